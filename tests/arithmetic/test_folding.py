"""The lemma of folding.py, against fractions; and what small batches are summed by."""

import math
from fractions import Fraction
from itertools import combinations_with_replacement

import numpy as np
import pytest

from bnref.arithmetic.ball_batch import Balls
from bnref.arithmetic.double_double import ZERO
from bnref.arithmetic.extraction import Sums
from bnref.arithmetic.folding import SMALL, FoldedSums
from bnref.arithmetic.plain import PlainSums
from bnref.arithmetic.scratch import Scratch

from . import data

RNG = np.random.default_rng(5)
DATA = {
    "near": lambda shape: RNG.normal(size=shape),
    "far": lambda shape: RNG.normal(size=shape) + 1e4,
    "farther": lambda shape: RNG.normal(size=shape) * 1e-3 - 77.7,
    "near in one channel, far in another": lambda shape: RNG.normal(size=shape) + np.arange(shape[1]).reshape(-1, *(1,) * (len(shape) - 2)) * 30,
    "of all sizes": lambda shape: RNG.lognormal(0, 9, shape),
    "far but for a tiny one": lambda shape: np.where(np.arange(np.prod(shape)).reshape(shape) % 13 == 5, 1e-7, RNG.normal(size=shape) + 1e4),
    "far but for one that has many digits beside the pivot": lambda shape: np.where(np.arange(np.prod(shape)).reshape(shape) % 13 == 5,
                                                                                    2.0**-19, RNG.normal(size=shape) + 1e4),
    "constant": lambda shape: np.full(shape, 0.1),
    "smallest": lambda shape: RNG.integers(-3, 4, shape) * 2.0**-149,
    "largest": lambda shape: RNG.choice([-1, 1], shape) * 3e38,
    "of few digits": lambda shape: RNG.integers(-5, 6, shape) / 4.0,
    "whose squares underflow": lambda shape: RNG.normal(size=shape) * 2.0 ** RNG.integers(-545, -440, shape),
    "of very different sizes": lambda shape: RNG.choice([1.0, -1.0, 0.0], shape) * 2.0 ** RNG.choice([0, -53, -107, -1000, -1074], shape),
}


def true_moments(arrays, pivots, c):
    """{monomial: the true sum} in channel c."""
    terms = [[Fraction(float(v)) - Fraction(float(pivot[c])) for v in array[:, c].ravel()] for array, pivot in zip(arrays, pivots)]
    sums = {(k,): sum(values) for k, values in enumerate(terms)}
    return sums | {(i, j): sum(a * b for a, b in zip(terms[i], terms[j]))
                   for i, j in combinations_with_replacement(range(len(arrays)), 2)}


def root(value):
    """An upper bound of the square root of a Fraction, and a sharp one."""
    return Fraction(math.isqrt(int(value * 4**1200)) + 1, 2**1200)


@pytest.mark.parametrize("shape", [(1, 2), (2, 3), (7, 4), (32, 3), (65, 2), (5, 3, 4), (3, 4, 2, 2)])
@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("dtypes", [("float32",), ("bfloat16", "float32"), ("float16", "float16", "float32"), ("float64",),
                                    ("float64", "float32")])
@pytest.mark.parametrize("sharply", [False, True])
def test_folded_sums_lie_within_their_radius_which_is_that_of_double_double_arithmetic(shape, name, dtypes, sharply):
    pytest.importorskip("ml_dtypes")
    with np.errstate(over="ignore"):
        arrays = [data.to(dtype, DATA[name](shape)) for dtype in dtypes]
    for array in arrays:
        array[~np.isfinite(array.astype(float))] = 1
    n, stop = arrays[0][:, :1].size, max(2, shape[1] - 1)
    sums = FoldedSums(arrays, 1, stop, sharply)
    assert sums.pivots.shape == (len(arrays), stop - 1)
    for c in range(1, stop):
        true = true_moments(arrays, [np.insert(pivot, 0, 0) for pivot in sums.pivots], c)
        for monomial, value in true.items():
            hi, lo, radius = (float(part[c - 1]) for part in np.broadcast_arrays(*sums.moment(monomial)))
            assert abs(Fraction(hi) + Fraction(lo) - value) <= Fraction(radius)
            norm = root(true[monomial[0], monomial[0]]) * root(true[monomial[1], monomial[1]] if len(monomial) == 2 else n)
            digits, tiny = (103, Fraction(2) ** -1050) if "float64" in dtypes else (105, 0)
            assert Fraction(radius) <= n * (2 + Fraction(np.log2(n))) * norm / 2**digits + tiny  # sharp as well as true
    assert sums.sharp == (sharply or any(np.any(sums.moment(monomial)[2] == 0) for monomial in true if len(monomial) == 2))


def test_a_pivot_is_0_near_0_and_else_the_multiple_of_a_power_of_two_that_is_next_to_the_mean():
    x = np.tile([[-1.0], [1.0]], (32, 8)) + [0, 0.74, 0.76, -0.76, -30.5, 1e4 + 0.75, 2.0**20, -77.7]
    x[:, 7] += np.tile([-0.6, 0.6], 32)  # a standard deviation of 1.6
    pivots = FoldedSums([x.astype("float32")], 0, 8).pivots[0]
    assert pivots.tolist() == [0, 0, 1, -1, -30, 10001, 2**20, -78]


@pytest.mark.parametrize("value", [0.1, -3e38, 2.0**-149, 0.0])
def test_the_pivot_of_a_constant_channel_is_its_value(value):
    x = np.full((9, 2), value, "float32")
    sums = FoldedSums([x], 0, 2)
    assert np.array_equal(sums.pivots, x[:1].astype(float))
    assert [part.tolist() for part in sums.moment((0, 0))] == [[0, 0], [0], [0]]


@pytest.mark.parametrize("tiny, pivot", [(2.0**-51, 4), (-(2.0**-51), 0)])
def test_whether_a_value_loses_digits_to_the_pivot_is_seen_exactly(tiny, pivot):
    x = np.array([3, 5, 4, 4, 4, 4, 4, 4.5, tiny], "float32")[:, np.newaxis]
    assert FoldedSums([x], 0, 1).pivots.tolist() == [[pivot]]  # 4 + 2**-51 is no double, 4 - 2**-51 is


def folded(terms):
    """The errors of Lemma FOLD, as fractions."""
    errors = []
    while len(terms) > 1:
        pairs = list(zip(terms[: len(terms) // 2], terms[len(terms) // 2 :]))
        terms = [a + b for a, b in pairs]
        errors += [Fraction(a) + Fraction(b) - Fraction(s) for (a, b), s in zip(pairs, terms)]
    return errors


@pytest.mark.parametrize("length", [16, 64])
def test_the_radius_is_that_of_the_lemma(length):
    x = RNG.normal(size=(length // 2, 40)).astype("float32")
    x = np.concatenate([x, -2 * x])  # so that no pivot is needed
    sums = FoldedSums([x], 0, 40)
    bounds = [length * Fraction(2) ** -53 * sum(map(abs, folded([float(v) ** 2 for v in column]))) for column in x.T]
    radii = [Fraction(radius) for radius in sums.moment((0, 0))[2].tolist()]
    assert not sums.pivots.any() and sum(map(bool, bounds)) > 30
    assert all(bound <= radius <= bound * (1 + Fraction(1, 2**20)) for bound, radius in zip(bounds, radii))


def test_a_value_that_would_lose_digits_to_the_pivot_makes_it_0_in_its_channel():
    x = (RNG.normal(size=(16, 2)) + 1e4).astype("float32")
    x[3, 1] = 1e-9
    first, second = FoldedSums([x], 0, 2).pivots[0]
    assert first != 0 and second == 0


def test_sums_of_few_digits_are_exact_and_have_no_radius():
    x = (RNG.integers(-2000, 2000, (100, 5)) / 64 + 5000).astype("float32")
    sums = FoldedSums([x], 0, 5)
    for monomial in [(0,), (0, 0)]:
        _, lo, radius = sums.moment(monomial)
        assert lo is ZERO and radius is ZERO
    assert sums.sharp


@pytest.mark.parametrize("length", [1, 2, 16])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_is_known_of_a_channel_that_is_not_finite_and_others_are_not_touched(value, length):
    x = (RNG.normal(size=(length, 3)) + 10).astype("float32")
    clean = FoldedSums([x], 0, 3)
    x[5 % length, 1] = value
    with np.errstate(invalid="ignore"):
        sums = FoldedSums([x], 0, 3)
    for monomial in [(0,), (0, 0)]:
        radius = sums.moment(monomial)[2]
        assert np.isnan(np.broadcast_to(radius, 3)[1])
        for part, other in zip(sums.moment(monomial), clean.moment(monomial)):
            assert np.array_equal(np.broadcast_to(part, 3)[[0, 2]], np.broadcast_to(other, 3)[[0, 2]])


@pytest.mark.parametrize("shape, dtypes, limbs, kind", [
    ((SMALL // 4, 4), ["float32"], 0, FoldedSums), ((SMALL // 4 + 1, 4), ["float32"], 0, PlainSums),
    ((8, 4), ["float32", "float64"], 0, FoldedSums), ((8, 4), ["float16", "float32"], 0, FoldedSums),
    ((SMALL // 8, 4), ["float64"], 3, FoldedSums), ((SMALL // 8 + 1, 4), ["float64"], 3, Sums), ((SMALL // 8 + 1, 4), ["float32"], 1, Sums),
])
def test_small_batches_are_folded(shape, dtypes, limbs, kind):
    leaves = [np.ones(shape, dtype) for dtype in dtypes]
    assert type(Balls(leaves, 0, 4, limbs, Scratch()).summed()) is kind


def test_sums_of_float64_are_known_exactly_if_errors_are_folded_and_errors_of_errors_are_not_forgotten():
    x = RNG.normal(size=(32, 400))
    exact = [np.mean(np.broadcast_to(FoldedSums([x], 0, 400, sharply).moment((0,))[2], 400) == 0) for sharply in (False, True)]
    assert exact[0] < 0.1 and exact[1] > 0.95
    x = np.array([[1.0, 1.0], [2.0**-53, 2.0**-53], [2.0**-107, 0.0], [5e-324, 5e-324]])
    hi, lo, radius = FoldedSums([x], 0, 2, True).moment((0,))
    assert hi.tolist() == [1, 1] and lo.tolist() == [2.0**-53, 2.0**-53] and radius[0] > 2.0**-1074


@pytest.mark.parametrize("sharply", [False, True])
def test_sums_of_float64_numbers_of_few_digits_are_exact_also_with_zeros_and_products_below_zero(sharply):
    x, g = RNG.integers(-99, 100, (50, 3)) / 64.0, RNG.choice([-1, 1], (50, 3)) * RNG.integers(1, 99, (50, 3)) / 8.0
    x[::3] = 0
    for operands in ([x, g], [g, x]):
        sums = FoldedSums(operands, 0, 3, sharply)
        assert all(sums.moment(monomial)[2] is ZERO for monomial in [(0,), (1,), (0, 0), (0, 1), (1, 1)])


@pytest.mark.parametrize("sharply", [False, True])
@pytest.mark.parametrize("value", [1e160, 1e300, -1.7e308])
def test_nothing_is_known_of_products_that_overflow(value, sharply):
    x = np.array([[1.0, value], [2.0, 1.0], [3.0, 2.0]])
    with np.errstate(all="ignore"):
        sums = FoldedSums([x], 0, 2, sharply)
    assert np.isfinite(np.broadcast_to(sums.moment((0, 0))[2], 2)).tolist() == [True, False]


@pytest.mark.parametrize("value", [0.1, -1e100, 1 + 2.0**-52, 3e-200])
def test_the_pivot_of_a_constant_channel_of_float64_is_its_value(value):
    x = np.full((9, 2), value)
    x[4, 1] *= 1 + 2.0**-50
    sums = FoldedSums([x], 0, 2, True)
    assert sums.pivots[0, 0] == (value if abs(value) > 1e-150 else 0)  # the square of what is smaller is 0
    assert sums.moment((0, 0))[0][0] == (0 if sums.pivots[0, 0] else 9 * value * value)
