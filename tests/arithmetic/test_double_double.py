"""The lemmas of double_double.py, against fractions."""

from fractions import Fraction

import numpy as np
import pytest

from bnref.arithmetic import double_double as dd

from . import referee

RNG = np.random.default_rng(5)


def hard(size, width=60):
    """Doubles that are hard to add and multiply: all exponents, few bits, neighbours of powers of two, opposite pairs."""
    x = RNG.normal(size=size) * 2.0 ** RNG.integers(-width, width, size)
    x[::5] = np.ldexp(RNG.integers(-9, 9, x[::5].size).astype(float), RNG.integers(-width, width, x[::5].size))
    x[1::5] = np.nextafter(2.0 ** RNG.integers(-width, width, x[1::5].size), 0)
    return x


def pair(size, width=60):
    hi = hard(size, width)
    return dd.fast_two_sum(hi, hi * RNG.uniform(-(2.0**-53), 2.0**-53, size) * RNG.integers(0, 2, size))


def exact(*parts):
    return [sum((Fraction(float(p)) for p in values), Fraction(0)) for values in zip(*parts)]


def test_two_sum_and_two_product_lose_nothing():
    a, b = hard(4000), hard(4000)
    b[:500] = -a[:500] * (1 + 2.0**-52)
    assert exact(*dd.two_sum(a, b)) == exact(a, b)
    assert exact(*dd.two_product(a, b)) == [Fraction(x) * Fraction(y) for x, y in zip(a.tolist(), b.tolist())]


def test_a_number_is_split_into_parts_of_at_most_26_bits():
    a = np.concatenate([hard(4000), 2.0**52 + RNG.integers(0, 2**52, 4000), 2.0**53 - RNG.integers(1, 2**28, 4000)])
    high, low = dd.split(a)
    assert exact(high, low) == exact(a)
    for part in (high, low):
        digits = np.ldexp(np.frexp(part)[0], 26)
        assert (digits == np.rint(digits)).all()


def test_the_low_part_of_single_numbers_cannot_be_written_over():
    with pytest.raises(ValueError, match="read-only"):
        dd.ZERO[0] = 1


@pytest.mark.parametrize("a_lo, b_lo", [(np.zeros(3), np.zeros(3)), (dd.ZERO, np.zeros(3)), (np.zeros(3), dd.ZERO), (dd.ZERO, dd.ZERO)])
def test_what_has_no_low_parts_is_rounded_by_two_sum_or_two_product_alone(a_lo, b_lo):
    z = np.array([1.0, -3.0, 1e300])
    assert (dd.rounding(z, a_lo, b_lo) == 0).all()
    for low in (np.array([0, 1e-20, 0]), np.array([0, -1e-20, 0])):
        for pair_ in ((low, b_lo), (a_lo, low)):
            assert dd.rounding(z, *pair_).tolist() == [0, 3 * dd.UNIT, 0]


@pytest.mark.parametrize("name", ["add", "multiply", "divide", "square_root"])
def test_double_double_operations_err_by_less_than_their_unit(name):
    (a, al), (b, bl) = pair(4000), pair(4000)
    if name == "add":
        b[:1000], bl[:1000] = -a[:1000], al[:1000]  # cancellation down to the low parts
        b[1000:1500] = np.nextafter(-a[1000:1500], 0)
    b, bl = dd.two_sum(np.where(b == 0, 1, b), bl)
    x, y = exact(a, al), exact(b, bl)
    if name == "square_root":
        hi, lo, flag = dd.square_root(*dd.fast_two_sum(np.abs(a) + 1e-9, al))
        truth = [referee.root(v) for v in exact(*dd.fast_two_sum(np.abs(a) + 1e-9, al))]
    elif name == "divide":
        hi, lo, flag = dd.divide(a, al, b, bl)
        truth = [u / v for u, v in zip(x, y)]
    else:
        hi, lo = getattr(dd, name)(a, al, b, bl)
        truth = [u + v if name == "add" else u * v for u, v in zip(x, y)]
        flag = np.zeros(len(a), bool)
    for value, expected, is_exact in zip(exact(hi, lo), truth, flag):
        assert abs(value - expected) <= Fraction(dd.UNIT) * abs(expected) / 2
        if is_exact and name == "divide":
            assert value == expected
    assert name not in ("divide",) or flag.any()


@pytest.mark.parametrize("b", [3, 5, 6, 31, 1000.5, -7, 2.0**40 - 1])
def test_a_quotient_that_is_a_number_or_a_tie_is_known_to_be_exact_and_no_other_is(b):
    q = np.copysign(RNG.integers(2**52, 2**53, 3000).astype(float), RNG.normal(size=3000))
    half = RNG.choice([0.0, 0.5, -0.5], 3000)
    whole = [(Fraction(x) + Fraction(y)) * Fraction(b) for x, y in zip(q.tolist(), half.tolist())]
    hi = np.array([float(x) for x in whole])
    lo = np.array([float(x - Fraction(y)) for x, y in zip(whole, hi.tolist())])
    lo[2000:] += np.spacing(lo[2000:]) * RNG.choice([-1, 1], 1000)  # nearly
    dividend, divisor = exact(hi, lo), np.full(3000, float(b))
    result, rest, known = dd.divide(hi, lo, divisor, dd.ZERO)
    true = [x / Fraction(b) == y for x, y in zip(dividend, exact(result, rest))]
    assert known.tolist() == true and sum(true[:2000]) == 2000 and sum(true) < 2100


@pytest.mark.parametrize("b", [1.0, -1.0, 2.0, -2.0, 2.0**-30, -(2.0**70)])
def test_a_quotient_by_a_power_of_two_is_known_to_be_exact(b):
    hi, lo = pair(1000)
    result, rest, known = dd.divide(hi, lo, np.full(1000, b), dd.ZERO)
    assert known.all() and (result == hi / b).all() and (rest == lo / b).all()


def test_a_dividend_that_shares_only_its_low_part_with_the_product_is_no_multiple_of_the_divisor():
    a, b = 1 + RNG.random(20000), 1 + RNG.random(20000)
    p, e = dd.two_product(a / b, b)
    a, b, p, e = (x[p != a] for x in (a, b, p, e))
    result, rest, known = dd.divide(a, e, b, dd.ZERO)
    true = [x / Fraction(y) == z for x, y, z in zip(exact(a, e), b.tolist(), exact(result, rest))]
    assert len(a) > 1000 and not any(true) and not known.any()


def test_a_number_that_shares_only_its_low_part_with_the_square_is_no_square():
    a = 1 + RNG.random(20000)
    p, e = dd.two_product(np.sqrt(a), np.sqrt(a))
    other = p != a
    assert np.count_nonzero(other) > 1000 and not dd.square_root(a[other], e[other])[2].any()
    assert dd.square_root(p, e)[2].any()  # of the squares some


@pytest.mark.parametrize("b", [2.0, 2.0**40, 3.0])
@pytest.mark.parametrize("lo", [5e-324, -5e-324, 2.0**-1040 * 3, 1.5e-310])
def test_a_quotient_whose_low_part_underflows_is_not_known_to_be_exact(lo, b):
    assert not dd.divide(np.array([3 * (1 + 2.0**-24)]), np.array([lo]), np.array([b]), dd.ZERO)[2].any()
