"""The fast path never differs from the exact path by one bit."""

import numpy as np
import pytest

from bnref.arithmetic import ball_batch, evaluate, evaluation, refined, tile_arithmetic
from bnref.arithmetic.tile_arithmetic import STRAIGHT, DoubleDoubles, Float64

from . import data, programs
from .test_tiles import cut_into


def exactly(monkeypatch, *arguments):
    """Run evaluate with rounding tests that never pass: everything is decided in exact arithmetic."""

    def open_everywhere(round_):
        def wrapped(*arguments):
            rounded, _ = round_(*arguments)
            return rounded, np.arange(rounded.size)

        return wrapped

    def certain_nowhere(round_):
        def wrapped(*arguments):
            rounded, certain = round_(*arguments)
            return rounded, np.zeros_like(certain)

        return wrapped

    with monkeypatch.context() as patch:
        for arithmetic in (Float64, DoubleDoubles):
            patch.setattr(arithmetic, "round", open_everywhere(arithmetic.round))
        for owner, name in ((Float64, "at"), (evaluation, "round_interval"), (refined, "round_interval")):
            patch.setattr(owner, name, certain_nowhere(getattr(owner, name)))
        return evaluate(*arguments)


def counted(monkeypatch):
    """A list to which each exact decision will add its number of elements."""
    decide, numbers = evaluation.Block.decide, []

    def counting(block, i, channels, *rest):
        numbers.append(len(channels))
        return decide(block, i, channels, *rest)

    monkeypatch.setattr(evaluation.Block, "decide", counting)
    return numbers


def check(monkeypatch, x, dtype, statistics):
    check_case(monkeypatch, data.parameters(np.random.default_rng(1), x), dtype, statistics)


def check_case(monkeypatch, case, dtype, statistics):
    for program, dtypes in [(programs.training, [dtype, *[statistics] * 4]), (programs.inference, [dtype])]:
        for fast, exact in zip(evaluate(program, case, dtypes), exactly(monkeypatch, program, case, dtypes)):
            np.testing.assert_array_equal(fast.view(f"i{fast.dtype.itemsize}"), exact.view(f"i{exact.dtype.itemsize}"))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_on_the_exact_path_every_element_is_decided_exactly(monkeypatch, dtype):
    numbers, x = counted(monkeypatch), np.random.default_rng(0).normal(size=(40, 4, 9)).astype(dtype)
    exactly(monkeypatch, programs.training, data.parameters(np.random.default_rng(1), x), [dtype, *["float64"] * 4])
    assert sum(numbers) == x.size


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("mean", [0, 1e4])
def test_fast_and_exact_path_agree(monkeypatch, dtype, mean):
    x = (np.random.default_rng(0).normal(size=(40, 4, 9)) + mean).astype(dtype)
    check(monkeypatch, x, dtype, "float64" if dtype == "float64" else "float32")


def test_fast_and_exact_path_agree_where_results_are_fused(monkeypatch):
    x = np.random.default_rng(0).integers(-300, 300, (1000, 2, 70)).astype("float32") / 64  # large, of few distinct values
    assert x.size > evaluation.LARGE
    check(monkeypatch, x, "float32", "float32")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_fast_and_exact_path_agree_where_results_are_written_to_the_output_as_it_lies(monkeypatch, dtype):
    x = np.random.default_rng(0).integers(-99, 99, (3, 2, STRAIGHT + 5)) / 64  # of few distinct values
    check(monkeypatch, data.to(dtype, x), dtype, "float32")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("n", [7, 300, 2500])  # sums of the last are not folded
@pytest.mark.parametrize("seed", range(10))
def test_fast_and_exact_path_agree_on_rugged_data(monkeypatch, dtype, n, seed):
    x = data.rugged(np.random.default_rng(seed), n, 6, dtype)
    with np.errstate(over="ignore"):
        check(monkeypatch, x, dtype, "float64" if dtype == "float64" else "float32")


@pytest.mark.parametrize("rare", [1, 10**6])  # the radius of all, then one of each; one of each at once
@pytest.mark.parametrize("block", [3, 4096])
@pytest.mark.parametrize("seed", range(8))
def test_fast_and_exact_path_agree_on_ties_beside_others_of_another_size(monkeypatch, seed, block, rare):
    for module, name, value in [(tile_arithmetic, "RARE", rare), (evaluation, "BLOCK", block), (evaluation, "LARGE", 0),
                                (evaluation, "FEW_OPEN", 0), (ball_batch, "SMALL", 0)]:
        monkeypatch.setattr(module, name, value)
    cut_into(monkeypatch, 128, 64, 64)  # two channels each
    check_case(monkeypatch, data.ties_and_zeros(np.random.default_rng(seed), 8), "float32", "float32")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mean", [0, 1e4])
def test_fast_and_exact_path_agree_on_ten_million_elements(monkeypatch, dtype, mean):
    x = np.random.default_rng(0).normal(size=(400, 25, 1000)).astype("float32")
    x = (np.round(x * 512) / 512 + mean).astype(dtype)  # few distinct values per channel: the exact path ends within minutes
    check(monkeypatch, x, dtype, dtype)
