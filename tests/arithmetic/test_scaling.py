"""Data near the ends of float64: scaled by powers of two, so that few results are left to exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

from bnref import functional
from bnref.arithmetic import evaluate, refined
from bnref.arithmetic.ball import Ball
from bnref.arithmetic.double_double import TINY
from bnref.arithmetic.exact import round_to
from bnref.arithmetic.scaling import degrees

from .test_fast_equals_exact import counted, exactly

RNG = np.random.default_rng(12)


def of(**powers):
    return {int(name[1:]): Fraction(power) for name, power in powers.items()}


def test_a_program_shows_how_its_operands_and_results_scale():
    x, variance = of(_0=1), of(_0=2)
    assert degrees(functional._training, 4, [0]) == ([x, {}, {}, variance], [{}, x, variance])
    assert degrees(functional._tracking, 7, [0]) == ([x, x, variance, {}, {}, {}, variance], [{}, x, variance, x, variance])
    assert degrees(functional._inference, 6, [0]) == ([x, x, {}, {}, x, {}], [x])  # the bias, not the root of the variance
    grad, x, ratio = of(_0=1), of(_1=1), of(_0=1, _1=-1)
    assert degrees(functional._backward, 4, [0, 1]) == ([grad, x, {}, of(_1=2)], [ratio, grad, grad])


@pytest.mark.parametrize("program", [
    lambda x, c, *, xp: x + x * x,
    lambda x, c, *, xp: xp.sum(x) + xp.count(x),
    lambda x, c, *, xp: 1 - x,
    lambda x, c, *, xp: xp.sqrt(xp.sqrt(c)) + x * xp.sqrt(xp.sqrt(c + x)),  # a fourth root
])
def test_a_program_that_adds_what_scales_differently_cannot_be_scaled(program):
    assert degrees(program, 2, [0]) is None


def test_what_scales_like_what_is_known_later_scales_like_that():
    program = lambda x, a, b, c, *, xp: ((a - b) * c + 2 * x, -a, 3 / c, c ** 2 / 5)  # noqa: E731
    assert degrees(program, 4, [0]) == ([of(_0=1), {}, {}, of(_0=1)], [of(_0=1), {}, of(_0=-1), of(_0=2)])
    later = lambda x, a, b, *, xp: ((a + b), a + x)  # noqa: E731
    assert degrees(later, 3, [0]) == ([of(_0=1)] * 3, [of(_0=1)] * 2)


def test_a_scale_that_follows_is_no_root_if_that_can_be_and_at_most_a_square_root():
    x = of(_0=1)
    assert degrees(lambda x, a, b, *, xp: x + a * b * b, 3, [0]) == ([x, x, {}], [x])  # a scales like x, not b like its root
    assert degrees(lambda x, c, *, xp: x + c * c, 2, [0]) == ([x, {0: Fraction(1, 2)}], [x])
    assert degrees(lambda x, c, *, xp: x + c ** 3, 2, [0]) is None
    assert degrees(lambda x, c, *, xp: (x + c * c, c ** 3), 2, [0]) == ([x, {0: Fraction(1, 2)}], [x, {0: Fraction(3, 2)}])


@pytest.mark.parametrize("exponent", [0, 3, -40, -1050])
def test_a_scaled_ball_contains_the_scaled_number(exponent):
    ball = Ball(RNG.normal(size=50), RNG.normal(size=50) * 2.0**-54, 2.0 ** RNG.integers(-160, -60, 50)) * 2.0**-60
    scaled = ball.scaled(np.full(50, exponent))
    for k in range(50):
        middle, radius, old, old_radius = (sum(Fraction(float(part[k])) for part in parts) for parts in (
            (scaled.hi, scaled.lo), (scaled.radius,), (ball.hi, ball.lo), (ball.radius,)))
        assert abs(middle - old * Fraction(2) ** exponent) + old_radius * Fraction(2) ** exponent <= radius
        assert radius <= old_radius * Fraction(2) ** exponent + (exponent < 0) * Fraction(TINY)


def test_a_number_of_all_channels_is_scaled_for_each_and_an_exact_zero_stays_one():
    scaled = Ball.of(3.0).scaled(np.array([0, 1, -2]))
    assert scaled.hi.tolist() == [3, 6, 0.75] and not scaled.radius.any()
    assert not Ball.of(0.0).scaled(np.array([-2, 5])).radius.any()
    assert Ball.of(3.0).scaled(np.array([5, -1074, -1075])).radius.tolist() == [0, 0, TINY]


def operands(scale, of_grad, eps, shape=(30, 4, 2)):
    x, grad, gg = (RNG.normal(size=shape) for _ in range(3))
    weight, bias, running_mean = (RNG.normal(size=shape[1]) for _ in range(3))
    running_var = np.abs(running_mean) + 1
    return {
        "_tracking": (x * scale, running_mean * scale, running_var, weight, bias, 0.1, eps),
        "_training": (x * scale, weight, bias, eps),
        "_inference": (x * scale, running_mean * scale, running_var, weight, bias, eps),
        "_backward": (grad * of_grad, x * scale, weight, eps),
        "_double_backward": (gg, weight, bias, grad * of_grad, x * scale, weight, eps),
    }


@pytest.mark.parametrize("name, results", [("_tracking", 5), ("_training", 3), ("_inference", 1), ("_backward", 3), ("_double_backward", 3)])
@pytest.mark.parametrize("scale, of_grad", [(1e200, 1), (1e-200, 1e-200), (1e300, 1e-200), (1e-300, 1e200), (1e160, 1e-5), (1, 1e-250)])
@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_results_of_data_near_the_ends_are_the_exact_ones(name, results, scale, of_grad, eps, monkeypatch):
    call = getattr(functional, name), operands(scale, of_grad, eps)[name], ["float64"] * results
    for fast, exact in zip(evaluate(*call), exactly(monkeypatch, *call), strict=True):
        np.testing.assert_array_equal(fast.view("i8"), exact.view("i8"))


@pytest.mark.parametrize("name, scale, of_grad, eps", [
    ("_training", 1e200, 1, 1e-5), ("_training", 1e300, 1, 0.0), ("_training", 1e-200, 1, 0.0), ("_inference", 1e300, 1, 1e-5),
    ("_backward", 1e-200, 1e-200, 1e-5), ("_backward", 1e200, 1e200, 1e-5), ("_backward", 1e-300, 1, 0.0), ("_backward", 1, 1e-250, 0.1)])
def test_hardly_an_element_of_data_near_the_ends_is_left_to_exact_arithmetic(name, scale, of_grad, eps, monkeypatch):
    results, left = {"_training": 3, "_inference": 1, "_backward": 3}[name], counted(monkeypatch)
    evaluate(getattr(functional, name), operands(scale, of_grad, eps, (500, 5))[name], ["float64"] * results)
    assert sum(left) <= 2


def test_channels_of_another_size_or_not_finite_do_not_change_what_their_neighbours_are(monkeypatch):
    x = RNG.normal(size=(40, 6)) * [1e200, 1, 1e-200, 1e250, 1e200, 1e155]
    x[3, 4], x[5, 1] = np.inf, np.nan
    x[7, 3] = 1e-300  # scaling loses its digits
    call = functional._training, (x, np.ones(6), np.zeros(6), 1e-5), ["float64"] * 3
    together = evaluate(*call)
    for c in range(6):
        alone = evaluate(functional._training, (x[:, c : c + 1], np.ones(1), np.zeros(1), 1e-5), ["float64"] * 3)
        assert together[0][:, c].tobytes() == alone[0].tobytes()
    for fast, exact in zip(together, exactly(monkeypatch, *call), strict=True):
        np.testing.assert_array_equal(fast.view("i8"), exact.view("i8"))


@pytest.mark.parametrize("gathered, long", [(640, 200), (5120, 200), (12800, 200), (640, 10)])
def test_few_channels_at_a_time_and_channels_too_long_to_be_copied_are_decided_as_well(gathered, long, monkeypatch):
    call = functional._training, operands(1e200, 1, 1e-5)["_training"], ["float64"] * 3
    expected = evaluate(*call)
    monkeypatch.setattr(refined, "GATHERED", gathered)
    monkeypatch.setattr(refined, "LONG", long)
    for ours, theirs in zip(evaluate(*call), expected, strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_a_program_that_cannot_be_scaled_is_decided_exactly():
    x = np.array([[1e200, 1e-200], [-3e200, 2e-200]])
    result, = evaluate(lambda x, *, xp: (x * x * x / xp.sum(x * x) + 1,), (x,), ["float64"])
    for c in range(2):
        values = [Fraction(v) for v in x[:, c].tolist()]
        true = [round_to(v ** 3 / sum(u * u for u in values) + 1, np.float64) for v in values]
        assert result[:, c].tolist() == true
