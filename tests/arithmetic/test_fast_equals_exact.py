"""The fast path never differs from the exact path by one bit."""

import numpy as np
import pytest

from bnref.arithmetic import evaluate, evaluation, refined, tile_arithmetic
from bnref.arithmetic.tile_arithmetic import STRAIGHT, DoubleDoubles, Float64

from . import data, programs


def exactly(monkeypatch, *arguments):
    """Run evaluate with rounding tests that never pass: everything is decided in exact arithmetic."""

    def doubtful(round_, doubt):
        def wrapped(*arguments, **keywords):
            rounded, decided, *count = round_(*arguments, **keywords)
            return rounded, np.full_like(decided, doubt), *(decided.size for _ in count)

        return wrapped

    with monkeypatch.context() as patch:
        for owner, name, doubt in [(Float64, "round", True), (DoubleDoubles, "round", True), (evaluation, "round_interval", False),
                                   (refined, "round_interval", False)]:
            patch.setattr(owner, name, doubtful(getattr(owner, name), doubt))
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
    case = data.parameters(np.random.default_rng(1), x)
    for program, dtypes in [(programs.training, [dtype, *[statistics] * 4]), (programs.inference, [dtype])]:
        for fast, exact in zip(evaluate(program, case, dtypes), exactly(monkeypatch, program, case, dtypes)):
            np.testing.assert_array_equal(fast.view(f"i{fast.dtype.itemsize}"), exact.view(f"i{exact.dtype.itemsize}"))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("mean", [0, 1e4])
def test_fast_and_exact_path_agree(monkeypatch, dtype, mean):
    x = (np.random.default_rng(0).normal(size=(40, 4, 9)) + mean).astype(dtype)
    check(monkeypatch, x, dtype, "float64" if dtype == "float64" else "float32")


@pytest.mark.parametrize("few", [0, 10**6])  # open results of a tile that are not looked at on their own
def test_fast_and_exact_path_agree_where_results_are_fused(few, monkeypatch):
    monkeypatch.setattr(tile_arithmetic, "FEW", few)
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


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mean", [0, 1e4])
def test_fast_and_exact_path_agree_on_ten_million_elements(monkeypatch, dtype, mean):
    x = np.random.default_rng(0).normal(size=(400, 25, 1000)).astype("float32")
    x = (np.round(x * 512) / 512 + mean).astype(dtype)  # few distinct values per channel: the exact path ends within minutes
    check(monkeypatch, x, dtype, dtype)
