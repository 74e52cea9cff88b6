"""Rounding to the four formats, once, against fractions."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from bnref.arithmetic.rounding import format_of, nearest, nearest_sum, round_ends, round_interval

from . import referee

RNG = np.random.default_rng(3)
DTYPES = {name: getattr(ml_dtypes, name, name) for name in referee.FORMATS}  # of one kind and another
NARROW = [name for name in DTYPES if name != "float64"]
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning", "ignore:invalid value:RuntimeWarning")


def ties(name):
    """Halfway between two neighbours of the format: normal and subnormal ones, and where it overflows; of both signs."""
    bits, lowest, top = referee.FORMATS[name]
    normal = np.ldexp(RNG.integers(2 ** (bits - 1), 2**bits, 400) + 0.5, RNG.integers(lowest, top - bits, 400))
    subnormal = np.ldexp(RNG.integers(0, 9, 50) + 0.5, lowest)
    largest = np.ldexp(2**bits - 0.5, [top - bits] * 2)
    values = np.concatenate([normal, subnormal, largest])
    return np.copysign(values, RNG.choice([-1, 1], values.size))


def beside(values):
    """The values, and their neighbours in float64 up to three places away."""
    for direction in (-np.inf, np.inf):
        moved = values
        for _ in range(4):
            yield moved
            moved = np.nextafter(moved, direction)


@pytest.mark.parametrize("name", NARROW)
def test_what_lies_near_a_tie_is_rounded_once(name):
    near = [*beside(ties(name)), ties(name) * (1 + RNG.choice([-1, 1], 452) * 2.0 ** -RNG.integers(20, 52, 452))]
    for values in near:
        result = nearest(values, DTYPES[name])
        assert result.dtype == np.dtype(DTYPES[name])
        assert result.astype(float).tolist() == [referee.rounded(Fraction(v), name) for v in values.tolist()]


@pytest.mark.parametrize("name", DTYPES)
def test_zeros_keep_their_sign_and_what_is_not_finite_stays_so(name):
    result = nearest(np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-320, -1e-320]), DTYPES[name]).astype(float)
    assert result[2:4].tolist() == [np.inf, -np.inf] and np.isnan(result[4])
    assert np.signbit(result[[0, 1, 5, 6]]).tolist() == [False, True, False, True]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("part", [2.0**-54, 2.0**-80, 0.0])  # of the value: what float64 lacks
def test_a_sum_of_two_numbers_is_rounded_once(part, name):
    for hi in beside(ties(name) if name in NARROW else RNG.normal(size=400)):
        lo = hi * part * RNG.choice([-1, 1, 0.75], hi.size)
        expected = [referee.rounded(Fraction(a) + Fraction(b), name) for a, b in zip(hi.tolist(), lo.tolist())]
        assert nearest_sum(hi, lo, DTYPES[name]).astype(float).tolist() == expected


@pytest.mark.parametrize("name", DTYPES)
def test_a_sum_that_is_zero_is_positive_and_one_that_is_not_finite_stays_so(name):
    hi, lo = np.array([-0.0, 1.0, -np.inf, np.inf, np.nan]), np.array([-0.0, -1.0, 1.0, 1.0, 1.0])
    result = nearest_sum(hi, lo, DTYPES[name]).astype(float)
    assert result[:4].tolist() == [0, 0, -np.inf, np.inf] and not np.signbit(result[:2]).any() and np.isnan(result[4])


@pytest.mark.parametrize("name", NARROW)
def test_ends_round_alike_where_there_is_no_tie_between_them(name):
    values, place = ties(name)[:400], 2.0**-40
    for away, reaches in [(0.9, True), (1.1, False)]:
        centre, radius = values * (1 + away * place), np.abs(values) * place
        low, certain = round_ends(centre, radius, DTYPES[name])
        assert not certain.any() if reaches else certain.all()
        assert reaches or low.astype(float).tolist() == [referee.rounded(Fraction(v), name) for v in centre.tolist()]
    low, certain = round_ends(np.array([1.0, 1.0, -0.0]), np.array([np.nan, np.inf, 0]), DTYPES[name])
    assert certain.tolist() == [False, False, True] and not np.signbit(low.astype(float)[2])


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("name", DTYPES)
def test_an_interval_whose_computed_end_is_a_tie_reaches_beyond_it(name, sign):
    half = 2.0 ** -referee.FORMATS[name][0]  # 1.5 + half is a tie that rounds to 1.5
    places = half * 2.0**-53
    hi, lo, radius = (np.array([part]) for part in (sign * 1.5, sign * 1.25 * places, half - places))
    assert abs(lo[0]) + radius[0] == half < Fraction(abs(lo[0])) + Fraction(radius[0])
    assert not round_interval(hi, lo, radius, DTYPES[name])[1].any()
    rounded, certain = round_interval(hi, lo, radius * (1 - 2.0**-30), DTYPES[name])
    assert certain.all() and rounded.astype(float) == sign * 1.5


@pytest.mark.parametrize("name", NARROW)
def test_a_wide_interval_is_certain_to_round_to_zero_only_where_all_of_it_does(name):
    tie = 2.0 ** (referee.FORMATS[name][1] - 1)  # rounds to zero
    hi = 0.5 + 2.0 ** -RNG.uniform(1, 52, 4000) * RNG.choice([1, -0.2], 4000)
    lo = hi * RNG.uniform(-(2.0**-53), 2.0**-53, 4000)
    radius = (1 - hi) - lo
    certain = round_interval(hi * tie, lo * tie, radius * tie, DTYPES[name])[1]
    assert not any(sure and sum(map(Fraction, parts)) > 1 for sure, *parts in zip(certain.tolist(), hi, lo, radius))
    assert round_interval(hi * tie, lo * tie, radius * (1 - 2.0**-40) * tie, DTYPES[name])[1][hi > 0.51].all()


@pytest.mark.parametrize("name", DTYPES)
def test_of_an_interval_that_is_not_finite_no_rounding_is_certain(name):
    for place in range(3):
        for wrong in (np.nan, np.inf):
            parts = [np.ones(2), np.full(2, 2.0**-60), np.full(2, 2.0**-90)]
            parts[place][0] = wrong
            assert round_interval(*parts, DTYPES[name])[1].tolist() == [False, True]


@pytest.mark.parametrize("dtype", ["int32", "complex64", bool, "S4"])
def test_a_dtype_of_none_of_the_formats_is_named(dtype):
    with pytest.raises(TypeError, match=f"one of float16, bfloat16, float32, float64, not {np.dtype(dtype).name}$"):
        format_of(dtype)
