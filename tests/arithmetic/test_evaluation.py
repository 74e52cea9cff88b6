"""How an evaluation goes about many channels, and about many results that are not certain at once."""

from fractions import Fraction

import numpy as np
import pytest

from bnref.arithmetic import ball_batch, evaluate, evaluation
from bnref.arithmetic.double_double import two_product, two_sum
from bnref.arithmetic.rounding import nearest_sum
from bnref.arithmetic.scratch import Scratch
from bnref.arithmetic.tile_arithmetic import Float64

from . import data, programs, referee
from .test_tiles import cut_into

RNG = np.random.default_rng(6)


@pytest.mark.parametrize("block", [2, 4096])
@pytest.mark.parametrize("deferred", [1, 7, 64, 10**6])
@pytest.mark.parametrize("dtype, digits", [("float16", 10), ("float32", 23), ("float64", 52)])
def test_ties_that_wait_are_decided_however_many_are_at_a_time(dtype, digits, deferred, block, monkeypatch):
    cut_into(monkeypatch, 60, 5, 60)
    monkeypatch.setattr(evaluation, "DEFERRED", deferred)
    monkeypatch.setattr(evaluation, "BLOCK", block)
    defer, waiting = evaluation.Block.defer, []

    def noticed(block, tile, places):
        defer(block, tile, places)
        waiting.append(block.waiting)

    monkeypatch.setattr(evaluation.Block, "defer", noticed)
    x = (1 + RNG.integers(1, 2**10, (70, 5)) * 2.0**-digits).astype(dtype)
    x[3, 0] = np.nan  # such a channel is left to IEEE arithmetic; the others' ties are decided as before
    half = np.full(5, 2.0 ** -(digits + 1), dtype)
    result, = evaluate(lambda x, c, xp: x + c, (x, half), [dtype])
    assert np.array_equal(result, x + half, equal_nan=True)  # one addition is correctly rounded, ties to even
    assert len(waiting) > 5 and max(waiting) <= deferred + 60  # not more than may, and those of one tile
    assert np.count_nonzero(result == x) > 100 and np.count_nonzero(result > x) > 100


@pytest.mark.parametrize("large", [0, 2**17])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(50, 3), (50, 40), (2, 3, 2000)])
def test_an_operand_that_is_only_shifted_or_scaled_is_not_written_to(shape, dtype, large, monkeypatch):
    """Float64 operands are worked on where they lie, without a copy."""
    monkeypatch.setattr(evaluation, "LARGE", large)
    x, c = RNG.normal(size=shape), RNG.normal(size=shape[1])
    before = x.copy()
    shifted, scaled = evaluate(lambda x, c, xp: (x + c, x * c), (x, c), [dtype] * 2)
    assert np.array_equal(x, before)
    c = np.broadcast_to(c.reshape(-1, *(1,) * (x.ndim - 2)), shape)
    for result, exact in ((shifted, two_sum(x, c)), (scaled, two_product(x, c))):
        assert np.array_equal(result, nearest_sum(*exact, np.dtype(dtype)))


@pytest.mark.parametrize("block", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_channels_that_are_not_finite_are_told_from_others_in_every_block(dtype, block, monkeypatch):
    x = RNG.normal(size=(9, 7)).astype(dtype)
    x[3, 1], x[4, 4], x[5, 5] = np.nan, np.inf, -np.inf
    case = data.parameters(RNG, x)
    expected = [evaluate(program, case, [dtype] * 5) for program in (programs.training, programs.inference)]
    monkeypatch.setattr(evaluation, "BLOCK", block)
    for program, results in zip((programs.training, programs.inference), expected):
        for result, known in zip(evaluate(program, case, [dtype] * 5), results):
            assert np.array_equal(result, known, equal_nan=True)
    assert not np.isfinite(expected[0][0][:, [1, 4, 5]]).all(axis=0).any() and np.isfinite(expected[0][0][:, [0, 2, 3, 6]]).all()


@pytest.mark.parametrize("mean", [0.0, 5.0, 1e4])
@pytest.mark.parametrize("program", [programs.training, programs.inference])
def test_no_result_is_larger_than_what_counts_as_proved(program, mean, monkeypatch):
    monkeypatch.setattr(evaluation, "LARGE", 0)
    monkeypatch.setattr(ball_batch, "SMALL", 0)
    prepare, known = Float64.prepare, []

    def checked(arithmetic, batch, bounds, dtype, reach=None, guess=None):
        peak = batch.peak(Float64(Scratch()))
        known.append("reach" if reach is not None else "guess" if guess is not None else "nothing")
        assert reach is None or ((peak <= reach) & (reach <= 20 * peak)).all()
        assert guess is None or (peak > guess).any()  # of the outlier nobody knows
        prepare(arithmetic, batch, bounds, dtype, reach, guess)

    monkeypatch.setattr(Float64, "prepare", checked)
    x = (RNG.normal(size=(3000, 3)) + mean).astype("float32")
    x[1231] *= 1000  # not in the sample
    evaluate(program, data.parameters(RNG, x), ["float32"] * (5 if program is programs.training else 1))
    assert known == ["reach" if program is programs.training else "guess"]


def test_what_is_computed_may_be_larger_than_what_is_true_by_its_bounds(monkeypatch):
    prepare, given = Float64.prepare, []
    monkeypatch.setattr(evaluation, "LARGE", 0)
    monkeypatch.setattr(evaluation.Block, "bounds", lambda *_: (np.array([0.5, 0.0, 2.0]), np.array([0.25, 0.5, 0.0])))
    monkeypatch.setattr(ball_batch.BallBatch, "reach", lambda _: np.array([4.0, 8.0, 16.0]))
    monkeypatch.setattr(Float64, "prepare", lambda *arguments: (given.append(arguments[4]), prepare(*arguments)))
    evaluate(programs.training, data.parameters(RNG, RNG.normal(size=(9, 3)).astype("float32")), ["float32"] * 5)
    assert [reach.tolist() for reach in given] == [[5.5, 12.0, 18.0]]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_ties_of_products_with_a_number_of_all_channels_are_decided(dtype):
    half = 2.0 ** -referee.FORMATS[dtype][0]
    x = (1 + np.arange(48.0).reshape(8, 3, 2) * half) / 4  # every other one is a tie, once it is multiplied
    result, = evaluate(lambda x, factor, *, xp: (x * factor,), (x, 4), [dtype])
    assert result.tolist() == [[[referee.rounded(Fraction(4 * v), dtype) for v in row] for row in rows] for rows in x.tolist()]
