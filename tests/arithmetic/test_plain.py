"""The lemmas of plain.py, against fractions; and the way from cheap sums to sharp ones."""

import functools
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

import bnref
from bnref.arithmetic import evaluate, evaluation, plain, refined
from bnref.arithmetic.plain import CUT, LANES, PlainSums, _TileSums, first
from bnref.arithmetic.rounding import round_interval
from bnref.arithmetic.scratch import Scratch
from bnref.arithmetic.tiles import tiles

from . import data, programs, referee
from .test_fast_equals_exact import check

RNG = np.random.default_rng(11)


def losing_lanes(length, channels):
    """1 + 2**-53 - 1 + 0 + ..., terms far apart that are summed first: each sum loses the most that it can, and comes out as 0."""
    place = np.arange(length) // -(-length // LANES)
    column = np.select([place == 0, place == 1, place == 2], [1.0, 2.0**-53, -1.0], 0.0)
    return np.repeat(column[:, np.newaxis], channels, axis=1)


DATA = {
    "of one sign": lambda shape: RNG.uniform(1, 2, shape),
    "of both signs": lambda shape: RNG.normal(size=shape),
    "just above powers of two": lambda shape: 2.0 ** RNG.integers(-9, 9, shape) * (1 + 2.0**-52 * RNG.integers(1, 4, shape)),
    "cancelling": lambda shape: np.resize([1e9, 1.1, -1e9, 2.0**-40], shape),
    "one outlier": lambda shape: np.where(np.arange(np.prod(shape)).reshape(shape) % 997 == 3, 1e12, RNG.uniform(size=shape)),
    "whose first sums lose a bit each": lambda shape: losing_lanes(*shape),
    "whose squares underflow": lambda shape: RNG.normal(size=shape) * 1e-170,
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("wide", [1, 32])
@pytest.mark.parametrize("long, part", [(2**18, 2**14), (0, 1), (0, 300)])  # as one; put together tile by tile, or of some tiles each
@pytest.mark.parametrize("length, longest", [(1, 9), (7, 9), (64, 99), (65, 99), (520, 100), (520, 999), (4097, 100), (4097, 9999)])
def test_plain_sums_lie_within_their_radius(length, longest, long, part, wide, name, monkeypatch):
    monkeypatch.setattr(plain, "LONG", long)
    monkeypatch.setattr(plain, "PART", part)
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", wide)
    monkeypatch.setattr("bnref.arithmetic.tiles.LONGEST", longest)
    x, g = DATA[name]((length, 2)), RNG.normal(size=(length, 2)).astype("float32")
    pivots = [np.array([0.0, 1.25]), np.array([0.0, -0.3])]
    sums = PlainSums([x, g], pivots, 0, 2, Scratch())
    for c in range(2):
        terms = [[Fraction(float(v)) - Fraction(float(pivot[c])) for v in operand[:, c]] for operand, pivot in zip((x, g), pivots)]
        for monomial in [(0,), (1,), (0, 0), (0, 1), (1, 1)]:
            left, right = terms[monomial[0]], terms[monomial[-1]]
            truth = sum(left) if len(monomial) == 1 else sum(a * b for a, b in zip(left, right))
            hi, lo, radius = (float(part[c]) for part in np.broadcast_arrays(*sums.moment(monomial)))
            assert abs(Fraction(hi) + Fraction(lo) - truth) <= Fraction(radius)
            norm = (sum(float(a) ** 2 for a in left) * (length if len(monomial) == 1 else sum(float(b) ** 2 for b in right))) ** 0.5
            units = 19 if len(monomial) == 1 else LANES + 11
            assert radius <= units * 2.0**-53 * norm + 1e-150  # sharp as well as true


def losing_squares(places):
    """A square near 1, and at places what is added to it: each time a bit more than half a unit of the sum, and that is rounded
    upwards; as the square itself is."""
    column = np.zeros(512)
    column[places] = np.sqrt(2.0**-53) * (1 + 2.0**-20)
    column[0] = 1 + np.ceil(2.0**25.5) * 2.0**-52
    return column


def one_after_the_other(terms, out):
    """The order of additions in which the first terms lose the most: BLAS has better ones."""
    out[...] = np.add.accumulate(terms, axis=1)[:, -1]


@functools.cache
def depths(leaves):
    """How many additions each of so many terms passes through, as sorted tuples: of every way to sum them."""
    if leaves == 1:
        return {(0,)}
    return {tuple(sorted(d + 1 for d in left + right))
            for k in range(1, leaves // 2 + 1) for left in depths(k) for right in depths(leaves - k)}


@pytest.mark.parametrize("lanes", range(1, LANES + 1))
def test_terms_pass_through_the_additions_that_the_lemma_counts(lanes):
    assert first(lanes) == math.sqrt(max(sum(d * d for d in ways) for ways in depths(lanes)) / lanes)


@pytest.mark.parametrize("spatial", [(), (3,)])
@pytest.mark.parametrize("exponent, near, far", [(-44, [False, False], [False, False]), (-38, [True, False], [False, False]),
                                                 (-24, [True, False], [True, False]), (-16, [True, True], [True, False]),
                                                 (0, [True, True], [True, True])])  # of the sums, and of those of squares
def test_sums_of_few_values_on_a_coarse_grid_are_known_to_be_exact(exponent, near, far, spatial):
    size = (40, 4, *spatial)
    x = 1000 + RNG.integers(-(2**3), 2**3, size) + 2.0**exponent * RNG.integers(-9, 9, size)
    x[0, 1], pivots = x[0, 1] + 2.0**-42, np.array([1000, 1000, 1000 + 2.0**-42, 0])
    sums = PlainSums([x], [pivots], 0, 4, Scratch())
    for monomial, *exact in zip([(0,), (0, 0)], near, far):
        value, _, radius = sums.moment(monomial)
        terms = [[Fraction(float(v)) - Fraction(float(pivot)) for v in x[:, c].ravel()] for c, pivot in enumerate(pivots)]
        truth = [sum(term ** len(monomial) for term in of_channel) for of_channel in terms]
        assert (radius == 0).tolist() == [exact[0], False, False, exact[1]]
        assert all(abs(Fraction(v) - t) <= Fraction(r) for v, t, r in zip(value.tolist(), truth, radius.tolist()))


def test_sums_of_products_are_known_to_be_exact_where_both_operands_lie_on_coarse_grids():
    x = RNG.integers(-99, 99, (50, 3)) / 64
    g = np.where([True, False, True], x[::-1] * 4, x + 2.0**-45)
    sums = PlainSums([x, g], [np.zeros(3)] * 2, 0, 3, Scratch())
    exact = [np.broadcast_to(sums.moment(pair)[2] == 0, 3).tolist() for pair in [(0, 0), (0, 1), (1, 1)]]
    assert exact == [[True] * 3, *[[True, False, True]] * 2]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("grid", [2.0**-7, 1.0, 2.0**300])
def test_sums_are_taken_for_exact_up_to_the_limits_of_the_lemma_and_not_beyond(grid, sign):
    n, near, beyond = 20, 1 - 2.0**-30, 1 + 2.0**-30
    x = sign * grid * np.resize([3.0, 4.0, 8.0], (4, 3, 5))
    for of_products, limit in enumerate((2.0**53 / n, 2.0**26 / n**0.5)):
        peak = limit * grid * np.array([near, beyond, near])
        assert plain._exactness(x, np.zeros(3), peak, 0, Scratch())[of_products].tolist() == [True, False, True]
        off = x + sign * grid / 2 * np.array([0, 0, 1])[:, np.newaxis]
        assert plain._exactness(off, np.zeros(3), peak, 0, Scratch())[of_products].tolist() == [True, False, False]
    pivots = np.rint(sign * 2.0**51 * np.array([near, beyond, near])) * grid
    assert plain._exactness(x, pivots, grid * np.array([8, 8, 2.0**30]), 0, Scratch())[0].tolist() == [True, False, False]  # by |p| + |d|


def test_sums_of_products_that_underflow_are_not_taken_for_exact():
    x = np.full((20, 2), 3.0) * [2.0**-529, 2.0**-538]
    sums = PlainSums([x], [np.zeros(2)], 0, 2, Scratch())
    assert (sums.moment((0,))[2] == 0).all() and (sums.moment((0, 0))[2] == 0).tolist() == [True, False]


def test_sums_of_many_values_and_of_values_that_are_not_finite_are_not_looked_at_for_exactness(monkeypatch):
    monkeypatch.setattr(plain, "FEW", 8)
    x = np.ones((9, 3))
    assert not (PlainSums([x], [np.zeros(3)], 0, 3, Scratch()).moment((0,))[2] == 0).any()
    x[3, 0], x[4, 1] = np.nan, np.inf
    with np.errstate(all="ignore"):
        assert (PlainSums([x[:8]], [np.zeros(3)], 0, 3, Scratch()).moment((0,))[2] == 0).tolist() == [False, False, True]


@pytest.mark.parametrize("longest, places, share", [
    (512, [*range(32, 512, 32), 1], 3 / 4),  # by sixteens, and all of these
    (64, [*range(4, 64, 4), 64, 128, 256, 1], 3 / 4),  # by sixteens, tile by tile, and all of these
    (64, [*range(4, 64, 4), *range(64, 512, 64), 1], 0),  # too many for one tile after the other
    (32, [*range(2, 32, 2), 32, *range(64, 512, 64), 1], 0),  # or for two after two others
    (32, [*range(2, 32, 2), *range(32, 512, 32), 1], 0),
])
@pytest.mark.parametrize("wide", [1, 32])
@pytest.mark.parametrize("last", [False, True])  # the tile with the square
def test_a_square_that_loses_the_most_at_every_addition_lies_within_the_radius(last, wide, longest, places, share, monkeypatch):
    monkeypatch.setattr(plain, "_add_lanes", one_after_the_other)
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", wide)
    monkeypatch.setattr("bnref.arithmetic.tiles.LONGEST", longest)
    column = np.roll(losing_squares(places), -longest if last else 0)
    sums = PlainSums([np.stack([column, column], axis=1)], [np.zeros(2)], 0, 2, Scratch())
    truth = sum(Fraction(value) ** 2 for value in column.tolist())
    value, _, radius = sums.moment((0, 0))
    for c in range(2):
        assert Fraction(radius[c]) * Fraction(share) <= abs(Fraction(value[c]) - truth) <= Fraction(radius[c])


@pytest.mark.parametrize("parts, share", [(32, 4 / 7), (8, 1 / 3), (2, 1 / 6), (1, 1 / 9)])
def test_the_sums_of_long_tails_are_sharp_and_sharper_in_parts(parts, share, monkeypatch):
    x = np.random.default_rng(3).lognormal(0, 3, (2**15, 1)).astype("float32")
    monkeypatch.setattr("bnref.arithmetic.tiles.LONGEST", 2**10)
    monkeypatch.setattr(plain, "LONG", 2**15 - 1)
    monkeypatch.setattr(plain, "PART", 2**10 * parts)
    hi, lo, radius = PlainSums([x], [np.zeros(1)], 0, 1, Scratch()).moment((0,))
    values = list(map(Fraction, x[:, 0].tolist()))
    assert abs(Fraction(hi[0]) + Fraction(lo[0]) - sum(values)) <= Fraction(radius[0])
    square = float(sum(value * value for value in values))
    assert radius[0] <= share * (first(16) + 5) * 2.0**-53 * math.sqrt(2**15 * square)  # of 32 tiles, by Cauchy-Schwarz over all values


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("wide", [1, 32])
def test_the_radius_is_that_of_the_lemmas(wide, dtype, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", wide)
    monkeypatch.setattr("bnref.arithmetic.tiles.LONGEST", 80)
    monkeypatch.setattr(plain, "FEW", 0)
    n, u = 386, 2.0**-53  # four tiles of 78 values: of five sums of sixteen two lack a value; one of 74: of five of fifteen one does
    most, last = 4 * 16**0.5 * (3 * 16**0.5 + 2 * 15**0.5), 15**0.5 * (4 * 15**0.5 + 14**0.5)
    x = np.ones((n, 2)) * [1, 4]
    for (pivot, rounded), (part, across) in itertools.product([(0.0, 0), (0.5, 1)], [(n, 2), (1, 0), (156, 1)]):
        monkeypatch.setattr(plain, "LONG", n - (part < n))
        monkeypatch.setattr(plain, "PART", part)
        sums = PlainSums([(x + pivot).astype(dtype)], [np.full(2, pivot)], 0, 2, Scratch())
        of_sum = (first(16) + CUT + across + rounded) * (most + last) + n
        of_squares = (15 + CUT + across + (3 if rounded or dtype == "float64" else 0) + 1) * n
        np.testing.assert_allclose(sums.moment((0,))[2], u * of_sum * np.array([1, 4]), rtol=1e-8)
        np.testing.assert_allclose(sums.moment((0, 0))[2], u * of_squares * np.array([1, 16]), rtol=1e-8)


def test_what_cutting_loses_is_what_the_lemma_says():
    assert CUT == 2.0**-17  # for so many numbers as one channel of a tile gives, at most; the next test shows it to be enough


@pytest.mark.parametrize("signs", [1, -1, 0])
@pytest.mark.parametrize("parts", [1, 2, 3, 2048])
def test_numbers_are_cut_on_the_grid_of_the_lemma_and_added_up_exactly_but_for_the_last_rounding(parts, signs):
    sums = _TileSums((2, LANES * parts), 1, 1, [(0, 0)], Scratch())
    for exponents in ((0, 1), (-20, 20), (-300, -100)):
        v = (RNG.choice([-1, 1], (2, 2, parts)) if signs == 0 else signs) * np.exp2(RNG.uniform(*exponents, (2, 2, parts)))
        v[1] = np.abs(v[1]) * 2.0**60  # of the squares; what is left of M is as small as it may be
        v[0] *= np.sqrt(LANES * v[1].max(axis=1)).min() / np.abs(v[0]).max()
        sums.kept = [(v.copy(), 1)]
        total = sums.total(0.0)
        totals, largest = total.hi, total.largest
        assert (largest == v[1].max(axis=1)).all() and not total.lo.any()
        heads = sums.scratch.take("heads", v.shape)
        for row, M in enumerate((np.sqrt(LANES * largest[0]), largest[0])):
            q = np.exp2(np.frexp(parts * M)[1] - 50)[:, np.newaxis]
            assert (heads[row] % q == 0).all() and (abs(v[row] - heads[row]) <= q / 2).all()
            for c in range(2):
                truth = sum(map(Fraction, v[row, c].tolist()))
                assert abs(Fraction(totals[row, c]) - truth) <= Fraction(2.0**-53 * abs(totals[row, c]) + 2.0**-70 * M[c])


def test_numbers_whose_squares_underflow_are_cut_on_a_grid_that_fits_the_largest_they_may_be():
    sums = _TileSums((2, LANES * 3), 1, 1, [(0, 0)], Scratch())
    M = LANES * 2.0**-537  # of so many terms whose squares may be 0
    v = np.stack([M * RNG.uniform(0.5, 1, (2, 3)), np.zeros((2, 3))])
    sums.kept = [(v.copy(), 1)]
    sums.total(2.0**-1074)
    heads, q = sums.scratch.take("heads", v.shape)[0], 4 * M * 2.0**-50
    assert (heads % q == 0).all() and (abs(v[0] - heads) <= q / 2).all()


@pytest.mark.parametrize("long", [1000, 99])
def test_the_radius_of_sums_whose_squares_underflow_is_that_of_the_largest_terms_they_may_have(long, monkeypatch):
    monkeypatch.setattr(plain, "LONG", long)
    monkeypatch.setattr(plain, "FEW", 0)
    n, filled, u = 100, 105, 2.0**-53  # seven sums of fifteen
    x, g = np.full((n, 1), 2.0**-540), np.ones((n, 1))
    sums = PlainSums([x, g], [np.zeros(1)] * 2, 0, 1, Scratch())
    of_sum = (first(15) + CUT) * filled * 2.0**-537 + n * 2.0**-540
    of_product = (14 + CUT + 3) * (n * 2.0**-1074) ** 0.5 * n**0.5 + n * 2.0**-540
    np.testing.assert_allclose(sums.moment((0,))[2], u * of_sum, rtol=1e-8)
    np.testing.assert_allclose(sums.moment((0, 1))[2], u * of_product, rtol=1e-8)
    np.testing.assert_allclose(sums.moment((0, 0))[2], n * 2.0**-1074, rtol=1e-8)


@pytest.mark.parametrize("pivots", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)])
def test_the_radius_of_a_sum_of_products_counts_the_roundings_of_either_operand(pivots, monkeypatch):
    monkeypatch.setattr(plain, "FEW", 0)
    leaves = [np.full((64, 1), 1 + pivot, np.float32) for pivot in pivots]
    radius = PlainSums(leaves, [np.full(1, pivot) for pivot in pivots], 0, 1, Scratch()).moment((0, 1))[2]
    np.testing.assert_allclose(radius, 2.0**-53 * 64 * (15 + CUT + (3 if any(pivots) else 0) + 1), rtol=1e-8)


def test_what_totals_lose_when_they_are_put_together_is_kept(monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.LONGEST", LANES)
    monkeypatch.setattr(plain, "LONG", 0)
    monkeypatch.setattr(plain, "PART", 1)
    column = np.zeros((200, LANES))
    column[0, 0], column[1:, 0] = 1.0, 2.0**-53  # which a sum of 1 does not change
    sums = PlainSums([column.reshape(-1, 1)], [np.zeros(1)], 0, 1, Scratch())
    hi, lo, radius = (float(part[0]) for part in sums.moment((0,)))
    assert abs(Fraction(hi) + Fraction(lo) - 1 - 199 * Fraction(2.0**-53)) <= Fraction(radius) <= 100 * Fraction(2.0**-53)
    assert sums.moment((0, 0))[1].tolist() == [199 * 2.0**-106]


def test_a_distance_from_the_pivot_that_is_rounded_down_is_below_the_peak():
    x, pivot = np.full((20, 1), -(2.0**-60)), -(2.0**-60)
    x[3] = 1
    peaks, = PlainSums([x], [np.full(1, pivot)], 0, 1, Scratch()).peaks
    assert Fraction(peaks[0]) >= 1 - Fraction(pivot)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("wide", [1, 32])
@pytest.mark.parametrize("length", [1, 65, 4097])
def test_no_value_is_farther_from_its_pivot_than_the_peak_and_the_peak_is_not_much_farther(length, wide, name, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.WIDE", wide)
    monkeypatch.setattr("bnref.arithmetic.tiles.LONGEST", 500)  # several tiles
    x, pivots = DATA[name]((length, 2)), [np.array([0.0, 1.25])]
    largest = np.abs(x - pivots[0]).max(axis=0)
    peaks, = PlainSums([x], pivots, 0, 2, Scratch()).peaks
    added = (LANES + 0.1) * len(list(tiles(x.shape, 0, 2)))
    assert (largest <= peaks).all() and (peaks <= added**0.5 * largest + 1e-150).all()


def test_plain_sums_know_when_data_are_not_finite_or_too_large():
    x = np.ones((70, 4))
    x[3, 0], x[3, 1], x[3, 2] = np.nan, np.inf, 1e200
    with np.errstate(all="ignore"):
        sums = PlainSums([x], [np.zeros(4)], 0, 4, Scratch())
        for monomial in [(0,), (0, 0)]:
            assert np.isfinite(sums.moment(monomial)[2]).tolist() == [False, False, False, True]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_with_a_tie_inside_the_radius_no_rounding_is_certain_however_small_it_is(dtype):
    half = float(np.finfo(dtype).eps) / 2  # above 1; below 1, half of that
    radius = half * 2.0 ** np.arange(-120.0, -10.0)
    for hi in (np.ones_like(radius), -np.ones_like(radius)):
        for lo in (half, -half / 2):
            assert not round_interval(hi, lo * hi, radius, dtype)[1].any()
            beside = round_interval(hi, (lo + 2 * radius) * hi, radius, dtype)[1]
            assert beside[radius > half * 2.0**-50].all()  # sharp as well as true


@pytest.mark.parametrize("gathered, deferred, some, long", [
    (1, 10, 2**17, 2**18), (2**20, 2**17, 2**17, 2**18), (2**20, 2**17, 8, 8)])  # 8: by sharper and sharper ones, and in parts
@pytest.mark.parametrize("name", data.CLASSES)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_results_left_open_by_plain_sums_are_decided_by_sharp_ones(name, dtype, gathered, deferred, some, long, monkeypatch):
    monkeypatch.setattr(evaluation, "SOME", some)
    monkeypatch.setattr(evaluation, "SEVERAL", some)
    monkeypatch.setattr(plain, "LONG", long)
    monkeypatch.setattr(plain, "PART", 8)
    monkeypatch.setattr(plain, "FEW", 0)
    monkeypatch.setattr(refined, "GATHERED", gathered)
    monkeypatch.setattr(evaluation, "LARGE", 0)
    monkeypatch.setattr(evaluation, "DEFERRED", deferred)
    x = np.concatenate([data.CLASSES[name](np.random.default_rng(3), dtype).x] * 3)
    check(monkeypatch, x, dtype, "float32")


@pytest.mark.parametrize("few", [0, 1024])
def test_a_constant_channel_is_certain_at_once(few, monkeypatch):
    monkeypatch.setattr(plain, "FEW", few)
    monkeypatch.setattr(evaluation.Block, "defer", None)
    case = data.parameters(np.random.default_rng(0), np.full((500, 3), [0.0, 1.0, -5.5], np.float32))
    output, *_ = evaluate(programs.training, case, ["float32"] * 5)
    np.testing.assert_array_equal(output, np.tile(case.bias, (500, 1)))


def test_a_tie_without_radius_is_decided_at_once():
    hi, lo = np.array([1.0, 1 + 2.0**-52]), np.array([2.0**-53, 2.0**-53])
    rounded, certain = round_interval(hi, lo, np.zeros(2), np.dtype("float64"))
    assert certain.all() and rounded.tolist() == [1.0, 1 + 2.0**-51]  # to even
    with np.errstate(invalid="ignore"):
        assert not round_interval(hi, np.array([np.nan, np.inf]), np.zeros(2), np.dtype("float64"))[1].any()


@pytest.mark.parametrize("x", [*(RNG.normal(size=(n, 300)) for n in (2, 3, 4, 5, 6, 12, 32)),
                               *(np.tile(RNG.normal(size=300), (n, 1)) for n in (3, 7, 98)),
                               np.full((250, 300), 0.1), np.full((3, 300), 1e7 + 0.1)], ids=lambda x: f"{len(x)} values")
def test_means_that_are_ties_between_float64_numbers_need_no_exact_arithmetic(x, monkeypatch):
    monkeypatch.setattr(evaluation.Block, "exact_results", None)
    mean = bnref.batch_norm(x, training=True).mean
    assert mean.tolist() == [float(sum(map(Fraction, column)) / len(x)) for column in x.T.tolist()]


@pytest.mark.parametrize("n, mean, initial", [(4, 0, True), (4, 0, False), (7, 1e4, False), (32, 0, True), (32, 1e4, True), (32, 1e4, False)])
def test_running_means_that_are_nearly_ties_need_no_exact_arithmetic(n, mean, initial, monkeypatch):
    monkeypatch.setattr(evaluation.Block, "exact_results", None)
    monkeypatch.setattr(refined.Refined, "round", None)
    rng = np.random.default_rng(n)
    x, before = (rng.normal(size=(n, 1000)) + mean).astype("float32"), np.zeros(1000, "float32")
    before = before if initial else (rng.normal(size=1000) + mean).astype("float32")
    after = bnref.batch_norm(x, before, np.ones(1000, "float32"), training=True, momentum=0.1, eps=1).running_mean
    momentum, near = Fraction(0.1), 0
    for c, column in enumerate(x.T.tolist()):
        true = (1 - momentum) * Fraction(float(before[c])) + momentum * sum(map(Fraction, column)) / n
        assert after[c] == referee.rounded(true, "float32")
        low, high = (referee.rounded(true * (1 + sign * Fraction(1, 2**52)), "float32") for sign in (-1, 1))
        near += low != high
    assert near > 0
