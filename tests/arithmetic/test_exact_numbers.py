"""The exact number system by itself: every operator, what is not finite, and what it forgets."""

import math
from fractions import Fraction

import numpy as np
import pytest

import bnref
from bnref.arithmetic import arrays, evaluate, evaluation
from bnref.arithmetic.exact import SCREENED, Exact, ExactChannel, NotFinite, number, round_to

from . import data, programs
from .test_operators import WEIGHT, G, X, of_a_sum, of_small_integers, on_the_right, powers


@pytest.mark.parametrize("program", [powers, on_the_right, of_a_sum, of_small_integers])
def test_a_program_has_on_exact_numbers_the_values_that_it_has_on_fractions(program):
    true = program(*(arrays.rationals(a) for a in (X, G, WEIGHT)), Fraction(3), xp=arrays)
    for c in range(3):
        channel = ExactChannel([X[:, c].tolist(), G[:, c].tolist()])
        got = program(*channel.operands, number(float(WEIGHT[c])), number(3), xp=channel)
        for ours, theirs in zip(got, true, strict=True):
            if np.ndim(theirs) == 2:
                assert [value.a for value in channel.elements(ours)] == theirs[:, c].tolist()
            else:
                assert number(ours).a == np.broadcast_to(theirs, 3)[c]


def test_a_number_divided_by_a_batch_value_is_divided_by_each_of_its_elements():
    channel = ExactChannel([[1, 2, 4]])
    x, = channel.operands
    assert [value.a for value in channel.elements(1 / x)] == [1, Fraction(1, 2), Fraction(1, 4)]


def test_the_sum_of_what_is_divided_by_a_batch_value_is_no_combination_of_moments():
    channel = ExactChannel([[1, 2, 4], [3, 5, 7]])
    x, g = channel.operands
    with pytest.raises(TypeError, match="a batch value cannot be divided by a batch value"):
        channel.sum(x / g)


def test_a_root_lies_between_the_integers_that_its_floor_gives():
    assert Exact(2).sqrt().floor_scaled(10) == (math.isqrt(2 * 4**10), False)
    assert (-Exact(2).sqrt()).floor_scaled(10) == (-math.isqrt(2 * 4**10) - 1, False)
    assert number(0.75).floor_scaled(2) == (3, True) and number(0.75).floor_scaled(1) == (1, False)


def test_a_root_of_a_root_is_outside_of_the_number_system():
    with pytest.raises(ArithmeticError, match=r"the square root of Exact\(0 \+ 1\*sqrt\(2\)\) is not in Q\(sqrt W\)"):
        Exact(2).sqrt().sqrt()


@pytest.mark.parametrize("value, root", [(math.inf, math.inf), (-math.inf, math.nan), (math.nan, math.nan)])
def test_the_root_of_what_is_not_finite_is_that_of_ieee_arithmetic(value, root):
    assert repr(NotFinite(value).sqrt()) == f"NotFinite({root})"


def test_what_depends_on_an_operand_that_is_not_finite_says_so():
    assert repr(number(math.nan) + 1) == repr(SCREENED) == "SCREENED"


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_rounds_to_itself(value):
    assert np.array_equal(round_to(value, np.float16), np.float16(value), equal_nan=True)


def test_a_batch_value_that_occurs_twice_is_the_same_both_times():
    channel = ExactChannel([[1, 2, 4]])
    x, = channel.operands
    centred = x - channel.sum(x) / channel.count(x)
    assert [value.a for value in channel.elements(centred * centred)] == [Fraction(16, 9), Fraction(1, 9), Fraction(25, 9)]
    assert channel.sum(centred * centred / 2).a == Fraction(7, 3)


def test_results_that_are_forgotten_for_want_of_room_are_found_again(monkeypatch):
    case = data.CLASSES["randn"](np.random.default_rng(6), "float64")
    case = case._replace(x=case.x * 2.0**-1030, bias=case.bias * 0)  # below what float64 arithmetic can decide
    call = programs.training, (case.x, case.weight, case.bias, case.running_mean, case.running_var, case.eps, 0.5), ("f8",) * 5
    remembered, forgot = evaluate(*call), []

    class Small(dict):
        def clear(self):
            forgot.append(len(self))
            super().clear()

    ordinary = evaluation.Block.__init__

    def small(block, *arguments):
        ordinary(block, *arguments)
        block.exact, block.decided = Small(), Small()

    monkeypatch.setattr(evaluation.Block, "__init__", small)
    monkeypatch.setattr(evaluation, "KEPT", 2)
    monkeypatch.setattr(evaluation, "DECISIONS", 3)
    again = evaluate(*call)
    assert {2, 3} <= set(forgot)
    for ours, theirs in zip(again, remembered, strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_a_sum_of_products_of_three_is_correctly_rounded_in_every_block_of_channels(monkeypatch):
    monkeypatch.setattr(evaluation, "BLOCK", 2)
    x = np.random.default_rng(3).normal(size=(9, 5))
    result, = evaluate(lambda x, *, xp: (xp.sum(x * x * x),), (x,), ["float64"])
    assert result.tolist() == [float(sum(Fraction(v) ** 3 for v in x[:, c].tolist())) for c in range(5)]


def test_a_batch_that_is_repeated_has_the_gradient_of_the_batch_repeated():
    rng = np.random.default_rng(9)
    x, grad = (rng.normal(3, 1, (64, 2)).astype(np.float32) for _ in range(2))
    small = bnref.batch_norm_backward(grad, x, training=True).input
    large = bnref.batch_norm_backward(np.tile(grad, (1100, 1)), np.tile(x, (1100, 1)), training=True).input
    assert large.tobytes() == np.tile(small, (1100, 1)).tobytes()


@pytest.mark.parametrize("n", [2000, 200_000])
def test_a_large_batch_of_channels_that_are_not_finite_is_nan_throughout(n):
    x = np.ones((n, 2), np.float32)
    x[7] = np.nan, np.inf
    result = bnref.batch_norm(x, training=True)
    assert np.isnan(result.output).all() and np.isnan(result.var).all()
