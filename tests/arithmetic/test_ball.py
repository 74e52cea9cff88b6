"""The lemmas of ball.py and coarse.py, against fractions."""

import operator
from fractions import Fraction

import numpy as np
import pytest

from bnref.arithmetic import double_double as dd
from bnref.arithmetic.ball import Ball
from bnref.arithmetic.coarse import Coarse
from bnref.arithmetic.tile_arithmetic import SLACK

from . import referee
from .test_double_double import exact, hard, pair

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("kind", [Ball, Coarse])
@pytest.mark.parametrize("exponent", [0, 1, -3, 40, -1000, 1000, -1100])
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_number_times_a_power_of_two_is_as_sharp_and_what_underflows_counts_as_radius(exponent, kind, per_channel):
    hi = RNG.normal(size=9) * 2.0 ** RNG.integers(-900, 20, 9)
    lo, radius = (np.abs(hi) * RNG.choice([0.0, 2.0**-60, 2.0**-90], 9) for _ in range(2))
    hi[:3], lo[:3], radius[:3] = [0.0, 1.5, -(2.0**-30)], [5e-324, 2.0**-1074 * 7, 0.0], [0.0, 0.0, 3e-323]
    number = kind(hi, lo, radius)
    scaled = number.scaled(np.full(9, exponent) if per_channel else exponent)
    factor, tiny = Fraction(2) ** exponent, Fraction(dd.TINY) + Fraction(5e-324)  # the radius is rounded, too
    for k, (value, part) in enumerate(zip(exact(hi, lo), exact(scaled.hi, scaled.lo))):
        off, before, after = abs(value * factor - part), Fraction(radius[k]) * factor, Fraction(scaled.radius[k])
        lost = off or Fraction(np.ldexp(radius[k], exponent)) != before
        assert off + before <= after <= (before + (tiny if lost else 0)) * Fraction(SLACK + 2.0**-50)  # what was within still is
        assert exponent < 0 or after == before
    if 2.0**-1000 <= 2.0**exponent <= 2.0**900 and not per_channel:
        for result in (number * 2.0**exponent, 2.0**exponent * number, number / 2.0**-exponent):
            for part, other in zip((result.hi, result.lo, result.radius), (scaled.hi, scaled.lo, scaled.radius)):
                assert type(result) is kind and np.array_equal(part, other)


@pytest.mark.parametrize("value", [Fraction(1, 3), Fraction(-1, 3), Fraction(2, 7), Fraction(10**400 + 1, 3 * 10**500), 2**70 + 1, -(2**53) - 1])
def test_a_fraction_lies_within_the_ball_made_of_it(value):
    ball = Ball.of(value)
    off = abs(value - sum(Fraction(float(part[0])) for part in (ball.hi, ball.lo)))
    assert off <= Fraction(ball.radius[0]) <= 3 * off


@pytest.mark.parametrize("value", [np.float32(np.inf), np.float16(-np.inf), np.float64(np.nan), np.float32(0.1)])
def test_a_numpy_scalar_is_the_number_that_it_is(value):
    ball = Ball.of(value)
    assert np.array_equal(ball.hi, [float(value)], equal_nan=True) and ball.lo == 0 and ball.radius == 0


@pytest.mark.parametrize("kind", [Ball, Coarse])
@pytest.mark.parametrize("operation", [operator.add, operator.mul, operator.truediv])
@pytest.mark.parametrize("lo, radius", [(0.0, 0.0), (2.0**-54, 0.0), (0.0, 2.0**-30), (-(2.0**-60), 2.0**-20), (0.0, 2.0**-80)])
@pytest.mark.parametrize("hi", [1.0, 0.5, 3.0])
def test_a_number_of_all_channels_is_one_with_all_of_its_parts(hi, lo, radius, operation, kind):
    number = kind(np.array([hi]), np.array([lo]) if lo else dd.ZERO, np.array([radius]) if radius else dd.ZERO)
    ball = random_ball(30, 2.0**-60, kind)
    result = operation(ball, number)
    lo_, radius_ = (np.broadcast_to(part, 30) for part in (result.lo, result.radius))
    for x, z, r in zip(inside(ball), exact(result.hi, lo_), radius_):
        for end in (-1, 1):
            assert abs(operation(x, Fraction(hi) + Fraction(lo) + end * Fraction(radius)) - z) <= Fraction(float(r))


@pytest.mark.parametrize("kind", [Ball, Coarse])
@pytest.mark.parametrize("share", [1e-5, 0.6, 0.9, 0.999])
def test_the_root_of_a_number_that_is_hardly_known_lies_within_its_radius(share, kind):
    x = np.exp2(RNG.uniform(-1, 1, 100))
    root = kind(x, dd.ZERO, x * share).sqrt()
    for end in (1 - share, 1, 1 + share):
        assert (np.abs(np.sqrt(x * end) - root.hi) <= root.radius * (1 + 1e-9)).all()
    assert (root.radius <= np.sqrt(x) * share / (1 + (1 - share) ** 0.5) * (1 + 1e-9)).all()  # sharp as well as true


def test_a_root_of_a_tiny_number_is_as_sharp_as_that_of_another():
    x = RNG.uniform(1, 2, 50) * 2.0 ** RNG.integers(-960, -900, 50)
    x[0] = 1.5
    root = Ball(x, x * 2.0**-55, dd.ZERO).sqrt()
    assert (root.radius <= root.hi * 2.0**-99).all()


def test_a_divisor_that_may_be_0_leaves_the_quotients_of_other_channels_known():
    divisor = Ball(np.array([0.5, 0.0, 2.0, 1.0]), dd.ZERO, np.array([0.0, 0.0, 0.25, 1.0]))
    with np.errstate(all="ignore"):
        quotient = Ball(np.ones(4), dd.ZERO, dd.ZERO) / divisor
    assert np.isfinite(quotient.radius).tolist() == [True, False, True, False]


@pytest.mark.parametrize("scale", [2, 3, 0.5, Fraction(1, 3)])
def test_the_numbers_of_no_channel_are_numbers_too(scale):
    none = Ball(np.empty(0), np.empty(0), np.empty(0))
    for result in (none * scale, scale * none, none / scale, none * none, none + scale):
        assert len(result.hi) == 0


def random_ball(size, radius, kind=Ball):
    """Of these radii; exact in some places, but for coarse balls: single floats if exact, or exact nowhere, not even in 0."""
    hi, lo = pair(size, 20)
    if kind is Ball:
        return Ball(hi, lo, np.abs(hi) * radius * RNG.integers(0, 2, size))
    return Coarse(hi, lo if radius else dd.ZERO, np.where(hi == 0, 2.0**-90, np.abs(hi)) * radius)


def inside(ball):
    """A true value in each ball, often at its end."""
    return [
        v + Fraction(float(r)) * Fraction(float(t))
        for v, r, t in zip(exact(ball.hi, np.broadcast_to(ball.lo, len(ball.hi))), ball.radius, RNG.choice([-1, 1, 0.5, 0], len(ball.hi)))
    ]


@pytest.mark.parametrize("kind", [Ball, Coarse])
@pytest.mark.parametrize("radius", [0.0, 2.0**-60, 2.0**-53, 2.0**-52, 2.0**-20, 0.4])  # to Coarse, from 2**-52 on it is not sharp
@pytest.mark.parametrize("name", ["+", "-", "*", "/", "sqrt", "1-", "/7", "1/", "exact *"])
def test_a_ball_contains_the_true_value_after_every_operation(name, radius, kind):
    x, y = random_ball(1500, radius, kind), random_ball(1500, radius, kind)
    if name == "exact *":
        y = random_ball(1500, 0.0, kind)
    if name == "-":
        lo = dd.ZERO if y.lo is dd.ZERO else np.concatenate([x.lo[:700], y.lo[700:]])
        y = kind(np.concatenate([x.hi[:700], y.hi[700:]]), lo, y.radius)
    if name in ("/", "sqrt", "1/"):
        flip = np.where(y.hi < 0, -1.0, 1.0)
        y = kind(np.where(y.hi == 0, 1, y.hi * flip), y.lo if y.lo is dd.ZERO else np.where(y.hi == 0, 0, y.lo * flip), y.radius)
    u, v = inside(x), inside(y)
    result, truth = {
        "+": lambda: (x + y, [a + b for a, b in zip(u, v)]),
        "-": lambda: (x - y, [a - b for a, b in zip(u, v)]),
        "*": lambda: (x * y, [a * b for a, b in zip(u, v)]),
        "/": lambda: (x / y, [a / b for a, b in zip(u, v)]),
        "sqrt": lambda: (y.sqrt(), [referee.root(b) for b in v]),
        "1-": lambda: (1 - x, [1 - a for a in u]),
        "/7": lambda: (x / 7, [a / 7 for a in u]),
        "1/": lambda: (1 / y, [1 / b for b in v]),
        "exact *": lambda: (x * y, [a * b for a, b in zip(u, v)]),
    }[name]()
    assert type(result) is kind
    for value, r, expected in zip(exact(result.hi, np.broadcast_to(result.lo, 1500)), result.radius, truth):
        assert abs(value - expected) <= Fraction(float(r)) + abs(expected) / 2**1100
    assert np.isfinite(result.radius).all()
    assert radius > 0 or np.all(result.radius <= 2 * dd.UNIT * np.abs(result.hi))  # sharp as well as true
    if kind is Coarse and name in ("*", "/", "sqrt", "1/", "exact *"):
        rounding = 0 if name in ("*", "exact *") and radius <= 2.0**-53 else 3.01 * 2.0**-53  # and two low parts that are left out
        assert x._is_sharp() == (radius <= 2.0**-53)
        times = 0.51 if name == "sqrt" else 2.01
        assert radius in (0.0, 0.4) or np.all((result.radius <= (rounding + times * radius) * np.abs(result.hi)) | (result.hi == 0))


def test_what_is_exact_is_known_to_be_and_nothing_else():
    n, m = (RNG.integers(1, 2**20, 500).astype(float) for _ in range(2))
    x, power = hard(500), 2.0 ** RNG.integers(-60, 60, 500)
    x = np.where(x == 0, 1, x)
    wide = Ball(*dd.fast_two_sum(x, x * 2.0**-53 * RNG.uniform(0.1, 0.9, 500)), np.zeros(500))
    one, other, many = Ball.of(n), Ball.of(m), Ball.of(n * m)
    for exact_, result in [(True, one + other), (True, one * other), (True, many / other), (True, Ball.of(n * n).sqrt()),
                           (True, Ball.of(x) / Ball.of(power)), (True, wide / Ball.of(power)),
                           (False, 1 / Ball.of(n * 2 + 1)), (False, Ball.of(n * n + 1).sqrt()),
                           (False, wide * other), (False, other * wide)]:
        radius = np.broadcast_to(result.radius, 500)
        assert (radius == 0).all() if exact_ else (radius > 0).all()
    for result in (wide + other, other + wide):
        lost = [a + int(b) - c for a, b, c in zip(exact(wide.hi, wide.lo), m, exact(result.hi, result.lo))]
        assert all(abs(e) <= Fraction(float(r)) <= abs(e) * (1 + Fraction(1, 2**30)) for e, r in zip(lost, result.radius))
        assert 0 < lost.count(0) < 500


def test_a_ball_without_its_low_parts_contains_what_it_contained():
    ball = Ball(np.ones(2), np.array([2.0**-60, -(2.0**-60)]), np.full(2, 2.0**-70))
    assert ball.rounded().lo is dd.ZERO and ball.rounded().radius.tolist() == [2.0**-60 + 2.0**-70] * 2
    assert Ball.of(3.0).rounded().radius.tolist() == [0]


def test_a_blunt_number_contains_what_it_contained_and_nobody_takes_pains_with_it():
    x = random_ball(200, 2.0**-60, Coarse)
    x = x.take(np.flatnonzero(x.hi))
    u, blunt = inside(x), x.blunt()
    assert blunt.lo is dd.ZERO and all(abs(Fraction(h) - v) <= Fraction(r) for h, v, r in zip(blunt.hi, u, blunt.radius))
    assert np.all(blunt.radius <= 2.01 * 2.0**-53 * np.abs(x.hi)) and (blunt * 3).lo is dd.ZERO and (x * 3).lo is not dd.ZERO


def test_what_underflows_is_not_known_where_a_number_reaches_from_zero_to_twice_its_size():
    factor = Coarse(np.array([1e-200]), dd.ZERO, np.array([1e-250]))
    for hi in (-1e-200, 1e-200):
        whole = Coarse(np.array([hi]), dd.ZERO, np.array([1e-200]))
        assert (factor * whole).radius > 0 and (whole * factor).radius > 0
        assert (whole / Coarse(np.array([1e200]), dd.ZERO, np.array([1e190]))).radius > 0
    assert (Coarse(np.zeros(1), dd.ZERO, np.array([1e-320])) / Coarse.of(np.array([3e200]))).radius > 0


@pytest.mark.parametrize("tiny", [2.0**-1070, 2.0**-1021, 3 * 2.0**-1015])
@pytest.mark.parametrize("far", [1.0, 2.0**60, 3 * 2.0**500])
def test_a_radius_does_not_vanish_by_underflow_and_what_is_exact_stays_so(tiny, far):
    hi, radius = np.array([far, far, far]), np.array([tiny, 0, tiny])
    x, y = Ball(hi, dd.ZERO, radius), Ball.of(np.array([2.0**-40, 2.0**-40, 1.5 * 2.0**-40]))
    u, v = [[Fraction(value) for value in part] for part in (hi + 0, y.hi)]
    more = [Fraction(value) for value in radius]
    root = Ball(hi * hi, dd.ZERO, radius).sqrt()
    for result, low, high in [
        (x * y, [a * b for a, b in zip(u, v)], [(a + c) * b for a, b, c in zip(u, v, more)]),
        (x / (1 / y), [a * b for a, b in zip(u, v)], [(a + c) * b for a, b, c in zip(u, v, more)]),
        (y / x, [b / a for a, b in zip(u, v)], [b / (a + c) for a, b, c in zip(u, v, more)]),
        (y * Ball(y.hi, dd.ZERO, radius), [b * b for b in v], [b * (b + c) for b, c in zip(v, more)]),
        (Ball(y.hi, dd.ZERO, radius) * Ball(y.hi, dd.ZERO, radius), [b * b for b in v], [(b + c) ** 2 for b, c in zip(v, more)]),
        (Ball(0 * hi, dd.ZERO, radius) / Ball.of(hi * 2.0**40), [Fraction(0)] * 3, [c / (a * 2**40) for a, c in zip(u, more)]),
        (root, u, [a + c / (2 * a + 1) for a, c in zip(u, more)]),  # sqrt(a*a + c) is even more than that, or as much, as 1 <= a
    ]:
        lo = np.broadcast_to(result.lo, 3)
        for c in range(3):
            centre, reach = Fraction(result.hi[c]) + Fraction(lo[c]), Fraction(np.broadcast_to(result.radius, 3)[c])
            assert abs(centre - low[c]) <= reach and abs(centre - high[c]) <= reach
        if far < 3:
            assert np.broadcast_to(result.radius, 3)[1] == 0


@pytest.mark.parametrize("x, y, lost", [
    ((1, 2.0**-1070), (2.0**-40, 2.0**-1060), True), ((2.0**-40, 2.0**-1060), (1, 2.0**-1070), True),
    ((1, 2.0**-1070), (0, 2.0**-40), True), ((0, 2.0**-40), (2.0**-40, 2.0**-1070), True), ((1, 2.0**-1074), (2.0**-40, 0), True),
    ((2.0**-40, 0), (1, 2.0**-1074), True), ((1, 2.0**-1070), (0, 0), False), ((0, 0), (1, 2.0**-1070), False), ((1, 0), (0.5, 0), False)])
def test_a_product_is_exact_where_a_factor_is_0_and_nowhere_else_for_the_size_of_its_radius(x, y, lost):
    balls = [Ball(np.array([hi, 1.0]), dd.ZERO, np.array([radius, 0.1])) for hi, radius in (x, y)]
    radius = (balls[0] * balls[1]).radius
    assert (radius[0] > 0) == lost and radius[1] > 0.1
    if lost:
        ends = [(Fraction(hi) + Fraction(reach)) for hi, reach in (x, y)]
        assert Fraction(radius[0]) >= abs(ends[0] * ends[1] - Fraction(x[0]) * Fraction(y[0]))


@pytest.mark.parametrize("value", [2**53 + 1, -(2**60) - 1, 10**30 + 1, Fraction(1, 3), np.float32(0.1), 7, 0.1,
                                   np.int64(2**62 + 1), np.int64(-(2**63) + 1), np.uint64(2**64 - 1), np.int8(-3)], ids=repr)
def test_a_number_lies_in_its_ball(value):
    ball = Ball.of(value)
    true = Fraction(value.item() if isinstance(value, np.number) else value)
    error = abs(exact(ball.hi, np.broadcast_to(ball.lo, 1))[0] - true)
    assert error <= Fraction(float(ball.radius[0])) <= abs(true) * Fraction(dd.UNIT)
    assert [type(part) for part in (ball.hi, ball.lo, ball.radius)] == [np.ndarray] * 3


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("highest", [-800, -950])
@pytest.mark.parametrize("name", ["*", "/", "1/", "sqrt"])
@pytest.mark.parametrize("kind, radius", [(Ball, 0.0), (Coarse, 0.0), (Coarse, 2.0**-60), (Coarse, 2.0**-52)])
def test_a_ball_contains_the_true_value_where_low_parts_underflow(kind, radius, name, highest, double):
    def number(low, high):
        hi = RNG.normal(size=2000) * 2.0 ** RNG.integers(low, high, 2000)
        if name == "sqrt":
            hi = np.abs(hi)
        hi, lo = dd.fast_two_sum(hi, hi * RNG.uniform(-(2.0**-53), 2.0**-53, 2000) * double)
        return kind(hi, lo, np.maximum(np.abs(hi) * radius, least)) if double or radius else kind.of(hi)

    least = 2.0**-1073 if radius else 0.0  # so that nothing is exact

    x, y = number(-1040, highest), number(-300, 300)
    u, v = exact(x.hi, np.broadcast_to(x.lo, 2000)), exact(y.hi, np.broadcast_to(y.lo, 2000))
    with np.errstate(all="ignore"):
        result, truth = {
            "*": lambda: (x * y, [a * b for a, b in zip(u, v)]),
            "/": lambda: (x / y, [a / b for a, b in zip(u, v)]),
            "1/": lambda: (y / x, [b / a for a, b in zip(u, v)]),
            "sqrt": lambda: (x.sqrt(), [referee.root(a) for a in u]),
        }[name]()
    known = np.isfinite(result.hi) & np.isfinite(result.lo) & np.isfinite(result.radius)
    for k in np.flatnonzero(known):
        error = abs(exact(result.hi[k : k + 1], np.broadcast_to(result.lo, 2000)[k : k + 1])[0] - truth[k])
        assert error <= Fraction(float(result.radius[k])) + abs(truth[k]) / 2**1100
    assert np.mean(known) > (0.05 if name == "1/" else 0.99)  # quotients overflow from 2**996 on
    with np.errstate(all="ignore"):
        sharp = np.abs(result.hi) * (2.01 * radius + 4 * 2.0**-53) + 2 * dd.TINY + {
            "*": lambda: least * np.abs(y.hi) * 1.01,
            "/": lambda: 2 * dd.TINY / np.abs(y.hi) + least / np.abs(y.hi) * 1.01,
            "1/": lambda: 2 * dd.TINY / np.abs(x.hi) + least / np.abs(x.hi) * np.abs(result.hi) * 1.01,
            "sqrt": lambda: np.inf,
        }[name]()
    assert (result.radius <= sharp)[known].all()


@pytest.mark.parametrize("kind, radius", [(Ball, 0.0), (Ball, 2.0**-60), (Coarse, 2.0**-60), (Coarse, 2.0**-52)])
def test_a_product_or_quotient_of_subnormal_size_lies_within_its_radius(kind, radius):
    def number(low, high):
        hi = RNG.normal(size=2000) * 2.0 ** RNG.integers(low, high, 2000)
        return kind(hi, dd.ZERO, np.abs(hi) * radius)

    for x, y, divided in [(number(-560, -500), number(-560, -500), False), (number(-560, -500), number(500, 540), True),
                          (number(-1070, -1010), number(-20, 20), True), (number(-530, -490), number(520, 560), True)]:
        result = x / y if divided else x * y
        for value, r, a, b in zip(exact(result.hi, np.broadcast_to(result.lo, 2000)), result.radius, inside(x), inside(y)):
            assert abs(value - (a / b if divided else a * b)) <= Fraction(float(r))


def test_a_product_with_an_exact_zero_is_one():
    zero, x = Coarse(np.array([0.0, 1e-300]), dd.ZERO, dd.ZERO), Coarse(np.array([1e-300, 0.0]), dd.ZERO, np.array([1e-310, 0.0]))
    x.radius[1] = 2.0**-1074  # a zero that is not exact
    for product in (zero * x, x * zero):
        assert product.hi.tolist() == [0, 0] and product.radius[0] == 0 < product.radius[1]
    assert (x / 2.0**20).radius[1] > 0
    for divisor in (2.0**20, Coarse(np.full(2, 3.0), dd.ZERO, np.full(2, 1e-9))):
        assert (Coarse(np.zeros(2), dd.ZERO, dd.ZERO) / divisor).radius.tolist() in ([0], [0, 0])


def test_a_number_is_sharp_where_one_channel_is_known_better_than_to_float64s_precision():
    for sign in (-1.0, 1.0):
        assert not Coarse(np.full(2, sign), dd.ZERO, np.full(2, 2.0**-52))._is_sharp()
        assert Coarse(np.full(2, sign), dd.ZERO, np.array([2.0**-52, 2.0**-54]))._is_sharp()


@pytest.mark.parametrize("operate", [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b], ids="+-*/")
def test_a_ball_takes_no_strings(operate):
    for operands in ((Ball.of(1), "2"), ("2", Ball.of(1))):
        with pytest.raises(TypeError):
            operate(*operands)


@pytest.mark.parametrize("kind", [Ball, Coarse])
def test_a_ball_knows_what_cannot_be_computed(kind):
    zero = kind(np.zeros(1), np.zeros(1), np.ones(1))
    huge, nan = kind.of(np.array([1e300])), kind.of(np.array([np.nan]))
    below = kind(np.ones(1), np.full(1, -(2.0**-54)), np.ones(1))  # 0 is within, but not within the radius of the high part
    vast = kind(np.full(1, 1e300), np.zeros(1), np.ones(1))
    broad = kind(np.ones(1), np.zeros(1), np.full(1, 1.5))
    with np.errstate(all="ignore"):
        for result in (1 / zero, (-kind.of(1)).sqrt(), zero.sqrt(), huge * huge, vast * vast, nan + 1, nan * vast, vast / nan,
                       below.sqrt(), 1 / below, 1 / broad, vast / kind(np.full(1, 1e-300), np.zeros(1), np.full(1, 1e-310))):
            assert not np.isfinite(result.radius + result.hi).any()
