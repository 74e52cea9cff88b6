"""The lemmas of ball_batch.py, and the rounding tests of tile_arithmetic.py, against fractions."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from bnref.arithmetic import double_double as dd
from bnref.arithmetic.ball import Ball
from bnref.arithmetic.ball_batch import LARGER, Balls
from bnref.arithmetic.folding import SMALL
from bnref.arithmetic.rounding import nearest, round_ends
from bnref.arithmetic.scratch import Scratch
from bnref.arithmetic.tile_arithmetic import DoubleDoubles, Float64
from bnref.arithmetic.tiles import tiles

from . import programs, referee
from .test_ball import inside

RNG = np.random.default_rng(5)
in_both = pytest.mark.parametrize("arithmetic", [Float64(Scratch()), DoubleDoubles(Scratch())], ids=["float64", "double-double"])


def batch_programs():
    shift, scale = np.array([1.3, -1e4, 0.0]), np.array([0.7, -3e5, 1e-9])
    radius = np.array([0.0, 1e-13, 1e-20])
    c, s = Ball(shift, shift * 1e-17, radius), Ball(scale, scale * 1e-17, np.abs(scale) * 1e-17)
    return {
        "shift": lambda x, g: x + c,
        "scale": lambda x, g: x * s,
        "normalise": lambda x, g: ((x - c) * s) * 3 + c,
        "square": lambda x, g: (x - c) ** 2,
        "product": lambda x, g: (x - c) * (g * s),
        "difference": lambda x, g: g * s - (x - c) * 5,
        "sum": lambda x, g: (x - c) * 2 + ((g + c) * s - c),
        "one times, two times": lambda x, g: x * 1 + g * 2,
        "plain product": lambda x, g: x * g,
        "far down": lambda x, g: g * Ball.of(np.full(3, 1e-310)),
        "quotient": lambda x, g: (x - c) / 3,
        "used twice": lambda x, g: (lambda y: y * s + y)(x - c),
    }, (c, s)


@pytest.mark.parametrize("name", batch_programs()[0])
@in_both
def test_batch_values_lie_within_their_bounds(name, arithmetic, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", 1)  # tiles as the arrays lie
    (programs_, (c, s)), operands = batch_programs(), []
    for centre in (np.array([-1.3, 1e4, 0.0]), np.zeros(3)):
        values = RNG.normal(size=(300, 3)) + centre
        values[:40] = centre * (1 + 2.0**-50 * RNG.integers(-3, 3, (40, 1)))  # close to cancellation
        operands.append(values)
    xp = Balls(operands, 0, 3, 1, Scratch())
    batch = programs_[name](*xp.operands())
    a, r = (np.broadcast_to(b, 3) for b in batch.bounds(arithmetic))
    tile, = tiles((300, 3), 0, 3)
    computed = batch.replay(arithmetic, operands, tile.spread)
    hi, lo = (computed.hi, computed.lo) if isinstance(computed, dd.DoubleDouble) else (computed, np.zeros((300, 3)))
    cs, ss = inside(c), inside(s)
    for k in range(3):
        for i in range(300):
            x, g = Fraction(operands[0][i, k]), Fraction(operands[1][i, k])
            truth = {
                "shift": x + cs[k], "scale": x * ss[k], "normalise": (x - cs[k]) * ss[k] * 3 + cs[k],
                "square": (x - cs[k]) ** 2, "product": (x - cs[k]) * g * ss[k],
                "difference": g * ss[k] - (x - cs[k]) * 5, "quotient": (x - cs[k]) / 3,
                "sum": (x - cs[k]) * 2 + (g + cs[k]) * ss[k] - cs[k], "one times, two times": x + 2 * g,
                "plain product": x * g, "far down": g * Fraction(1e-310), "used twice": (x - cs[k]) * (ss[k] + 1),
            }[name]
            value = Fraction(float(hi[i, k])) + Fraction(float(lo[i, k]))
            assert abs(value - truth) <= Fraction(float(a[k])) + Fraction(float(r[k])) * abs(Fraction(float(hi[i, k])))
    assert np.isfinite(a).all() and np.isfinite(r).all()


@in_both
@pytest.mark.parametrize("radius", [0, 2.0**-53, 0.25])  # of the size of a number: so that each term is seen
def test_bounds_are_those_of_the_lemmas(arithmetic, radius):
    u, dropped = arithmetic.unit, isinstance(arithmetic, Float64)
    x, g = (RNG.normal(size=(50, 2)) for _ in range(2))
    c, s = (Ball(hi, hi * 2.0**-54 * share, np.abs(hi) * radius * share) for hi, share in
            ((np.array([1.5, -3e4]), 1.0), (np.array([-0.7, 11.0]), 0.75)))
    xp = Balls([x, g], 0, 2, 1, Scratch())

    def shifted(a, r, ball):
        return a + ball.radius + r * np.abs(ball.hi) + 2 * u * np.abs(ball.lo), r + 2 * u

    def scaled(a, r, ball):
        lost = ball.radius + dropped * np.abs(ball.lo)
        k = lost / np.abs(ball.hi)
        return a * (np.abs(ball.hi) + lost), r * (1 + k) + k + u

    def are_bounds(batch, a, r):
        with np.errstate(invalid="ignore"):
            found = batch.bounds(arithmetic)
        for bound, expected in zip(found, (a, r)):
            np.testing.assert_allclose(np.broadcast_to(bound, 2), np.broadcast_to(expected, 2), rtol=1e-10)

    left, right = xp.operands()
    first, second = (left + c) * s, (right * s + s) * c
    (a, r), (b, t) = scaled(*shifted(0, 0, c), s), scaled(*shifted(*scaled(0, 0, s), s), c)
    largest, others = (np.abs(values).max(axis=0) for values in ((x + c.hi) * s.hi, (g * s.hi + s.hi) * c.hi))
    are_bounds(left + Ball(np.zeros(2), dd.ZERO, np.full(2, 1e-9)), 1e-9, 2 * u)  # not nothing, as 0 is
    are_bounds(left * Ball(np.zeros(2), dd.ZERO, dd.ZERO), 0, u)
    are_bounds(left * right, dd.TINY, u)
    are_bounds(first, a, r)
    are_bounds(second, b, t)
    are_bounds(first + second, a + b + r * largest + t * others, u)
    are_bounds(first * second, a * (1 + t) * others + b * (1 + r) * largest + a * b, r + t + r * t + u)


@in_both
@pytest.mark.parametrize("dtype, least", [("float32", 2.0**-149), ("float64", 0.0)])
def test_bounds_count_an_underflow_where_one_is_possible(arithmetic, dtype, least):
    factors = np.array([0.0, -1.0, 2.0**-700, 2.0**-800, 2.0**-1000])
    leaf, = Balls([np.ones((3, 5), dtype)], 0, 5, 1, Scratch()).operands()
    with np.errstate(invalid="ignore"):
        absolute = (leaf * Ball(factors, dd.ZERO, dd.ZERO)).bounds(arithmetic)[0]
    underflows = (np.abs(factors) * least < dd.SAFE) & (factors != 0)
    np.testing.assert_allclose(absolute, underflows * dd.TINY, rtol=1e-9)
    assert underflows.any()


@pytest.mark.parametrize("dtype, least", [("float16", 2.0**-149), ("float32", 2.0**-149), ("float64", 0.0)])
def test_no_value_but_0_is_smaller_than_the_parts_that_it_is_the_sum_of_allow(dtype, least):
    leaf, = Balls([np.ones((3, 2), dtype)], 0, 2, 1, Scratch()).operands()
    assert leaf.smallest() == least and (leaf * 2).smallest() == 0
    for hi, lo, part in (([3.0, -5.0], dd.ZERO, 1), ([3.0, -(2.0**-250)], dd.ZERO, 2.0**-250),
                         ([0.0, 4.0], np.array([0.0, -(2.0**-200)]), 2.0**-200)):
        shifted = leaf + Ball(np.array(hi), lo, dd.ZERO)
        assert shifted.smallest() == min(least, part) * 2.0**-106
        assert (shifted + Ball(np.ones(2), dd.ZERO, dd.ZERO)).smallest() == min(least, part) * 2.0**-212


@pytest.mark.parametrize("name", batch_programs()[0])
def test_no_value_is_larger_than_its_reach_and_without_sums_none_is_known(name):
    operands = [RNG.normal(size=(SMALL // 2, 3)) + [-1.3, 1e4, 0.0] for _ in range(2)]  # not folded
    xp = Balls(operands, 0, 3, 0, Scratch())
    batch = batch_programs()[0][name](*xp.operands())
    assert batch.reach() is None
    xp.sum(xp.operands()[0])
    tile, = tiles(operands[0].shape, 0, 3)
    arithmetic = Float64(Scratch())
    largest = np.abs(batch.replay(arithmetic, [tile.load(leaf) for leaf in operands], tile.spread)).max(axis=tile.axis)
    assert (largest * (1 - 1e-9) <= batch.reach()).all() and (batch.reach() <= 80 * largest).all()


def test_a_reach_is_made_of_the_peaks_and_of_numbers_with_their_radius():
    operands = [RNG.normal(size=(SMALL // 2, 3)) + [-1.3, 1e4, 0.0] for _ in range(2)]
    xp = Balls(operands, 0, 3, 0, Scratch())
    xp.sum(xp.operands()[0])
    (p, q), (x, _) = xp.sums.peaks, np.abs(xp.sums.pivots)
    c, s = (np.array([3.0, -0.5, 2.0]) * share for share in (1, 2.5))
    first, second = xp.operands()
    scaled, shifted = first * Ball(c, dd.ZERO, np.abs(c) / 4), second + Ball(s, dd.ZERO, np.abs(s) / 4)
    rest = np.abs(xp.sums.pivots[1] + s) + np.abs(s) / 4
    for batch, expected in ((first, p + x), (scaled, (p + x) * np.abs(c) * 1.25), (shifted, q + rest),
                            (first * shifted, p * q + p * rest + x * q + x * rest)):
        np.testing.assert_allclose(batch.reach(), expected, rtol=1e-9)


def test_a_shift_that_leaves_little_more_than_its_low_part_lies_within_its_bounds():
    lo = -(2.0**-53) * (1 - RNG.uniform(0, 2.0**-18, 200))
    x = np.array([[-1 + 2.0**-52], [-1 + 2.0**-51], [-1.0]]) + np.zeros(200)
    xp = Balls([x], 0, 200, 1, Scratch())
    batch = xp.operands()[0] + Ball(np.ones(200), lo, np.zeros(200))
    arithmetic, tile = Float64(xp.scratch), next(tiles(x.shape, 0, 200))
    a, r = (np.broadcast_to(bound, 200) for bound in batch.bounds(arithmetic))
    values = batch.replay(arithmetic, [tile.load(x)], tile.spread)
    for k, c in np.ndindex(values.shape):
        value, truth = Fraction(values[k, c]), Fraction(x[k, c]) + 1 + Fraction(lo[c])
        assert abs(value - truth) <= Fraction(float(a[c])) + Fraction(float(r[c])) * abs(value)


@pytest.mark.parametrize("lo", [0.0, 2.0**-53, -(2.0**-53)])
def test_a_product_lies_within_its_bounds_also_where_its_factor_has_a_low_part_that_is_not_used(lo):
    x, c = RNG.uniform(1, 1.1, (2000, 1)), Ball(np.array([1 + 2.0**-30]), np.array([lo]), np.zeros(1))
    xp = Balls([x], 0, 1, 1, Scratch())
    batch = xp.operands()[0] * c
    arithmetic, tile = Float64(xp.scratch), next(tiles(x.shape, 0, 1))
    (a,), (r,) = (np.broadcast_to(bound, 1) for bound in batch.bounds(arithmetic))
    values = batch.replay(arithmetic, [tile.load(x)], tile.spread)
    shares = [abs(Fraction(z) - Fraction(v) * (Fraction(c.hi[0]) + Fraction(lo))) / (Fraction(a) + Fraction(r) * Fraction(z))
              for z, v in zip(values.ravel(), x.ravel())]
    assert 0.9 < max(shares) <= 1  # sharp as well as true


@pytest.mark.parametrize("mean", [0.0, 30.0])
def test_the_fused_form_is_an_equal_value(mean, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", 1)
    x = RNG.normal(size=(400, 3)) + mean
    xp = Balls([x], 0, 3, 1, Scratch())
    c, s = batch_programs()[1]
    c, s = Ball(np.full(3, mean), c.lo * 0, c.radius * 0), Ball(np.array([1.0, -2.0, 3.0]), np.zeros(3), np.zeros(3))
    batch = (xp.operands()[0] - c) * s + 1
    fused = batch.fused()
    assert (fused is not batch) == (mean == 0)
    tile, = tiles(x.shape, 0, 3)
    a, r = fused.bounds(Float64(Scratch()))
    values = fused.replay(Float64(Scratch()), [x], tile.spread)
    for k in range(3):
        for v, u in zip(values[:, k], x[:, k]):
            truth = (Fraction(u) - Fraction(mean)) * Fraction(s.hi[k]) + 1
            assert abs(Fraction(v) - truth) <= Fraction(float(np.broadcast_to(a, 3)[k])) + Fraction(float(np.broadcast_to(r, 3)[k])) * abs(Fraction(v))


@pytest.mark.parametrize("bias, radius", [(3.0, 0.0), (-20.0, 0.0), (3.0, 1e-15), (-20.0, 2e-15), (0.5, 1e-13)])
def test_the_fused_form_is_taken_where_what_it_adds_is_not_much_larger_than_the_results(bias, radius):
    noise, unit, u = RNG.normal(size=(40, 1)), 2.0**-20, Float64.unit  # few digits: no number is rounded

    def forms(steps):
        xp = Balls([noise + steps * unit], 0, 1, 0, Scratch())
        batch = (xp.operands()[0] - Ball(np.array([steps * unit + 0.5]), dd.ZERO, np.array([radius]))) * 4.0 + bias
        return xp.grid(0), batch, batch.fused()

    near, far = 1, 2**45
    assert forms(near)[2].left.left.kind == "leaf" and forms(far)[2].left.left.kind != "leaf"
    while far - near > 1:
        middle = (near + far) // 2
        near, far = (middle, far) if forms(middle)[2].left.left.kind == "leaf" else (near, middle)
    grid, batch, fused = forms(near)
    size = np.hypot((grid.mean - near * unit - 0.5) * 4 + bias, grid.spread * 4)
    np.testing.assert_allclose(abs((near * unit + 0.5) * 4 - bias), LARGER * size, rtol=1e-4)
    (a, r), (b, s) = (each.bounds(Float64(Scratch())) for each in (fused, batch))
    assert a + r * size <= np.maximum(16 * u * size, 1.5 * (b + s * size))  # its error is few units, or not much more than the other's


def test_where_no_cheaper_form_is_as_good_a_value_stays_as_it_is():
    x = RNG.normal(size=(40, 1)) + 1e6
    leaf, = Balls([x], 0, 1, 0, Scratch()).operands()
    far = Ball(np.array([-1e6]), np.array([-(2.0**-34)]), np.zeros(1))
    for batch in (leaf + far, leaf * Ball(np.array([1 + 2.0**-30]), dd.ZERO, dd.ZERO) + far, leaf + leaf):
        assert batch.fused() is batch


def test_sums_are_right_where_a_value_was_expanded_before_any_were_taken():
    x = np.float64(RNG.integers(-9, 9, (SMALL, 3)) + [1000, -500, 3])  # not folded: about pivots
    xp = Balls([x], 0, 3, 0, Scratch())
    batch = (xp.operands()[0] - 7) * 2.0
    assert batch.guess() is not None and not np.count_nonzero(xp.pivot(0))
    total = xp.sum(batch)
    assert np.count_nonzero(xp.pivot(0))
    assert (np.abs(total.hi + total.lo - 2 * (x - 7).sum(axis=0)) <= total.radius).all()


@pytest.mark.parametrize("bias", [0, 1.25])
def test_what_a_mean_has_below_float64_is_added_last(bias, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", 1)
    x = RNG.normal(size=(40, 3)) + 1e4
    mean = Ball(np.full(3, 1e4), np.array([6e-13, -7e-13, 8e-13]), np.full(3, 1e-16))
    factor = Ball(np.array([1e3, -1e-3, 3.0]), np.zeros(3), np.zeros(3))
    xp = Balls([x], 0, 3, 1, Scratch())
    batch = (xp.operands()[0] - mean) * factor + bias
    late = batch.fused()
    assert late is not batch and not np.count_nonzero(late.left.left.right.lo)
    tile, arithmetic = next(tiles(x.shape, 0, 3)), Float64(Scratch())
    values, (a, r) = late.replay(arithmetic, [tile.load(x)], tile.spread), late.bounds(arithmetic)
    for k in range(3):
        for v, u in zip(values[:, k], x[:, k]):
            m = Fraction(float(mean.hi[k])) + Fraction(float(mean.lo[k]))
            for end in (-1, 1):
                truth = (Fraction(u) - m + end * Fraction(1e-16)) * Fraction(float(factor.hi[k])) + Fraction(bias)
                assert abs(Fraction(v) - truth) <= Fraction(float(a[k])) + Fraction(float(r[k])) * abs(Fraction(v))
    b, s = batch.bounds(arithmetic)
    assert (a <= 2 * b + 4 * 2.0**-53 * bias).all() and (r <= s + 2.0**-51).all()  # hardly less sharp


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_correctly_rounded_too(dtype):
    from bnref.arithmetic import evaluate

    rng = np.random.default_rng(2)
    g, x = rng.normal(size=(21, 3)).astype(dtype), (rng.normal(size=(21, 3)) + [0, 5, 1e3]).astype(dtype)
    weight = rng.normal(size=3).astype(dtype)
    dx, dweight, dbias = evaluate(programs.backward, (g, x, weight, 1e-5), [dtype] * 3)
    for c in range(3):
        gs, xs, w, n = referee.fractions(g[:, c]), referee.fractions(x[:, c]), Fraction(float(weight[c])), 21
        mean = sum(xs) / n
        var = sum((v - mean) ** 2 for v in xs) / n
        r = 1 / referee.root(var + Fraction(1e-5))
        dw = sum(a * (b - mean) for a, b in zip(gs, xs)) * r
        expected = [w * r * (a - sum(gs) / n - (b - mean) * r * dw / n) for a, b in zip(gs, xs)]
        assert dbias[c] == referee.rounded(sum(gs), dtype) and dweight[c] == referee.rounded(dw, dtype)
        assert [float(v) for v in dx[:, c]] == [referee.rounded(v, dtype) for v in expected]


def rounding_test(precision, batch, dtype, reach=None, again=False, guess=None, bounds=None):
    """The one tile of a batch value, its values rounded, and where that is not certain.

    again: whether what is not certain is looked at once more.
    """
    leaves, shape = batch.xp.leaves, batch.xp.leaves[0].shape
    bounds = tuple(np.broadcast_to(bound, shape[1]) for bound in bounds or batch.bounds(precision))
    precision.prepare(batch, bounds, np.dtype(dtype), None if reach is None else np.full(shape[1], reach), guess)
    tile, = tiles(shape, 0, shape[1])
    rounded, places = precision.round(leaves, tile, tile.part(np.empty(shape, dtype)))
    uncertain = np.zeros(rounded.shape, bool)
    uncertain.flat[places] = True
    if again and len(places):
        where = tuple(tile.indices(places))
        rounded.flat[places], certain = precision.at([leaf[where].astype(float) for leaf in leaves], where[1])
        uncertain.flat[places] = ~certain
    return tile, rounded, uncertain


@pytest.fixture(params=[(None, False, 64), (3.0, False, 0), (3.0, True, 0), (2.0**30, True, 0), (2.0**30, False, 64)], ids=str)
def reach(request, monkeypatch):
    """Unknown, known, or much too large; and whether open results are looked at again, each on its own; or all are."""
    found, again, rare = request.param
    monkeypatch.setattr("bnref.arithmetic.tile_arithmetic.RARE", rare)
    return found, again


@pytest.mark.parametrize("wide", [1, 1000])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("double, dtype", [(False, "float16"), (False, "bfloat16"), (False, "float32"), (True, "float64")])
def test_where_a_tie_is_within_its_bound_a_rounded_value_is_not_certain(reach, double, dtype, sign, wide, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", wide)
    half, dtype = 2.0 ** -referee.FORMATS[dtype][0], np.dtype(getattr(ml_dtypes, dtype, dtype))
    radius = half * 2.0 ** np.arange(-140.0, -20.0)
    ties = np.array([half, -half / 2, 3 * half])[:, np.newaxis] + np.zeros_like(radius)  # plus 1
    beside = [ties, ties + 0.9 * radius, ties - 0.9 * radius]
    for x, certain in [*((x, False) for x in beside), (ties + 2 * radius + half * 2.0**-20, True)]:
        xp = Balls([sign * x], 0, len(radius), 3, Scratch())
        batch = xp.operands()[0] + Ball(np.full_like(radius, sign), np.zeros_like(radius), radius)
        precision = DoubleDoubles(Scratch()) if double else Float64(xp.scratch)
        tile, rounded, uncertain = rounding_test(precision, batch, dtype, *reach)
        assert (~uncertain if certain else uncertain).all()
        assert not certain or (rounded == nearest(tile.part(sign * (1 + x)), dtype)).all()


@pytest.mark.parametrize("wide", [1, 1000])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_where_a_tie_is_within_the_radius_of_a_factor_a_rounded_product_is_not_certain(reach, dtype, wide, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", wide)
    half, dtype = 2.0 ** -referee.FORMATS[dtype][0], np.dtype(getattr(ml_dtypes, dtype, dtype))
    radius = half * 2.0 ** np.arange(-20.0, -3.0)
    ties = np.array([1 + half, -1 - 3 * half, 1 - half / 2])[:, np.newaxis] + np.zeros_like(radius)
    for times, certain in [(0, False), (0.9, False), (-0.9, False), (4, True), (-4, True)]:
        x = ties * (1 + times * radius)
        xp = Balls([x], 0, len(radius), 3, Scratch())
        batch = xp.operands()[0] * Ball(np.ones_like(radius), np.zeros_like(radius), radius)
        tile, rounded, uncertain = rounding_test(Float64(xp.scratch), batch, dtype, *reach)
        assert (~uncertain if certain else uncertain).all()
        assert not certain or (rounded == nearest(tile.part(x), dtype)).all()


@pytest.mark.parametrize("reach", [None, np.full(3, 2.0)])
@pytest.mark.parametrize("shift", [0.0, -5.0])
def test_the_radius_of_a_rounding_test_counts_the_rounding_of_its_ends(reach, shift):
    xp, u = Balls([np.ones((4, 3))], 0, 3, 3, Scratch()), 2.0**-53
    batch = xp.operands()[0] + Ball(np.full(3, shift), np.zeros(3), np.zeros(3))
    precision, a, r = Float64(xp.scratch), np.array([0, 1e-9, 1.0]), np.array([0, 1e-12, u])
    precision.prepare(batch, (a, r), np.dtype("float32"), reach)
    assert (precision.relative >= r + 4 * u).all() and (precision.absolute >= a + 4 * u * abs(shift)).all()
    if reach is not None:
        low, width = precision.ends
        assert (shift - low >= precision.absolute + precision.relative * reach - 2.0**-52 * abs(shift)).all()
        assert (width >= 2 * (precision.absolute + precision.relative * reach)).all()


@pytest.mark.parametrize("large", [2.0**40, 2.0**60])
def test_the_radius_of_results_that_are_looked_at_again_counts_how_they_are_found_again(large, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tile_arithmetic.RARE", 0)
    seen = []
    monkeypatch.setattr("bnref.arithmetic.tile_arithmetic.round_ends", lambda *given: seen.append(given) or round_ends(*given))
    x, u = 100 + 1000 * RNG.random((20000, 1)), Fraction(2) ** -53
    xp = Balls([x], 0, 1, 3, Scratch())
    batch = xp.operands()[0] * Ball(np.ones(1), np.zeros(1), np.zeros(1))
    rounding_test(Float64(xp.scratch), batch, "float32", large, again=True, bounds=(0.0, 0.0))
    (values, radius, _), = seen
    assert len(values) == len(x)
    for value, size, true in zip(values.tolist(), radius.tolist(), x.ravel().tolist()):
        assert abs(Fraction(value) - Fraction(true)) + 2 * u * Fraction(value) <= Fraction(size)  # 2: the ends are rounded


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("radius", [np.nan, np.inf])
def test_what_has_no_finite_radius_is_not_certain(radius, dtype):
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    xp = Balls([np.full((4, 2), 1.25)], 0, 2, 3, Scratch())
    batch = xp.operands()[0] * Ball(np.ones(2), np.zeros(2), np.zeros(2))
    for bounds in ((np.array([0, radius]), 0.0), (0.0, np.array([0, radius]))):
        with np.errstate(all="ignore"):
            tile, _, uncertain = rounding_test(Float64(xp.scratch), batch, dtype, bounds=bounds)
        assert tile.part(np.array([[False, True]] * 4)).tolist() == uncertain.tolist()


@pytest.mark.parametrize("reach", [None, 2.0])
def test_where_a_tie_is_within_the_radius_of_a_much_larger_shift_a_rounded_value_is_not_certain(reach, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tile_arithmetic.RARE", 0)  # so that no result is looked at again
    shift, ties = np.array([1000.0, -1000.0]), np.array([[1 + 3 * 2.0**-24], [-1 - 3 * 2.0**-24]])
    for radius in (0.4 * 2.0**-43, 0.1 * 2.0**-43):  # less than a place of the shift
        xp = Balls([ties - shift], 0, 2, 3, Scratch())
        batch = xp.operands()[0] + Ball(shift, np.zeros(2), np.full(2, radius))
        assert np.count_nonzero(rounding_test(Float64(xp.scratch), batch, "float32", reach)[2]) == 4


@pytest.mark.parametrize("wide", [1, 1000])
@pytest.mark.parametrize("rows, again, uncertain", [(50, False, True), (50, True, False), (51, False, False)])
def test_values_larger_than_was_guessed_are_found_out(rows, again, uncertain, wide, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", wide)
    guess, beyond = np.array([4.0, 8.0]), 1 + 2.0**-23
    x, large = RNG.integers(-3, 3, (3200, 2)) + 0.5, np.zeros((3200, 2), bool)
    large[RNG.permutation(3200)[:rows]] = True
    x[large] = (RNG.choice([-1, 1], x.shape) * guess * beyond)[large]
    xp = Balls([x], 0, 2, 3, Scratch())
    batch = xp.operands()[0] * Ball(np.ones(2), np.zeros(2), np.full(2, 2.0**-43))
    precision = Float64(xp.scratch)
    tile, rounded, open_ = rounding_test(precision, batch, "float32", None, again, guess)
    assert (open_ == (tile.part(large) & uncertain)).all()
    assert (rounded[~open_] == tile.part(x)[~open_]).all()
    assert precision.quick == (rows * 64 <= 3200)


@pytest.mark.parametrize("tie", [2.0**-53, -(2.0**-54), 3 * 2.0**-53])
def test_where_a_tie_is_within_the_radius_of_a_factor_a_product_is_not_certain(tie):
    radius = 2.0 ** np.arange(-98.0, -55.0)
    for beside, certain in [(-radius / 2, False), (0, False), (radius / 2, False), (2 * radius, True)]:
        xp = Balls([np.ones((3, len(radius)))], 0, len(radius), 3, Scratch())
        batch = xp.operands()[0] * Ball(*dd.two_sum(np.ones_like(radius), tie + beside), radius)
        _, _, uncertain = rounding_test(DoubleDoubles(Scratch()), batch, "float64")
        assert (~uncertain if certain else uncertain).all()
