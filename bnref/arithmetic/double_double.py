"""Arithmetic at twice the precision of float64, on arrays.

A double-double is an unevaluated sum hi + lo of two float64 numbers with |lo| <= ulp(hi)/2.

Lemma (UNIT). With u = 2**-53, and while nothing over- or underflows, the results of `add`, `multiply`, `divide` and
`square_root` differ from the true ones by at most UNIT * |result|, UNIT = 2**-100 = 64 u**2. The sharp constants are
3 u**2, 7 u**2, 15 u**2 + O(u**3) (Joldes, Muller, Popescu: Tight and rigorous error bounds for basic building blocks of
double-word arithmetic, ACM TOMS 44, 2017) and 25/8 u**2 (Lefevre, Louvet, Muller, Picot, Rideau: Accurate calculation of
Euclidean norms, ACM TOMS 49, 2023); the slack covers the rounding of whoever computes with the lemma.

Where a product falls below 2**-900, its low part may underflow; the absolute error is then at most TINY.
Overflow (also in `split`, from 2**996) gives NaN or infinity, never a wrong finite number.

Intermediate results are written over: that is faster than new arrays, large and small.
"""

from __future__ import annotations

import numpy as np

from ..typing import Bools, Floats

UNIT = 2.0**-100
TINY = 2.0**-1060
SAFE = 2.0**-900  # products above this have a low part that does not underflow
SPLITTER = np.array(2.0**27 + 1)  # an array without axes: NumPy joins it to others several times faster than a Python number
ZERO = np.zeros(1)  # the low part of what is a single float64 number
ZERO.flags.writeable = False
_NONE, _HALF, _TWO, _UNIT = (np.array(x) for x in (0.0, 0.5, 2.0, UNIT))


def two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """s + e == a + b exactly, s the rounded sum (Knuth)."""
    s = a + b
    b_part = s - a
    e = s - b_part
    np.subtract(a, e, e)
    np.subtract(b, b_part, b_part)
    e += b_part
    return s, e


def fast_two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """The same where |a| >= |b| or a == 0 (Dekker)."""
    s = a + b
    e = s - a
    return s, np.subtract(b, e, e)


def on_grid(values: Floats, sigma: Floats, out: Floats) -> Floats:
    """Round values to multiples of g, where sigma is 1.5 * 2**52 g: adding it rounds away all bits below the grid."""
    rounded: Floats = np.add(values, sigma, out=out)
    rounded -= sigma
    return rounded


def split(a: Floats) -> tuple[Floats, Floats]:
    """a == high + low, each of at most 26 bits (Veltkamp), so that products of parts are exact."""
    c = SPLITTER * a
    high = c - a
    np.subtract(c, high, high)
    return high, np.subtract(a, high, c)


def two_product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """p + e == a * b exactly, p the rounded product (Dekker)."""
    p = a * b
    a_high, a_low = split(a)
    b_high, b_low = (a_high, a_low) if b is a else split(b)
    e = a_high * b_high
    e -= p
    e += a_high * b_low
    e += a_low * b_high
    e += a_low * b_low
    return p, e


def add(a_hi: Floats, a_lo: Floats, b_hi: Floats, b_lo: Floats) -> tuple[Floats, Floats]:
    """(a_hi + a_lo) + (b_hi + b_lo), also under cancellation."""
    s, s_error = two_sum(a_hi, b_hi)
    t, t_error = two_sum(a_lo, b_lo)
    s, s_error = fast_two_sum(s, s_error + t)
    return fast_two_sum(s, s_error + t_error)


def add_float(a_hi: Floats, a_lo: Floats, b: Floats) -> tuple[Floats, Floats]:
    """(a_hi + a_lo) + b."""
    s, s_error = two_sum(a_hi, b)
    return fast_two_sum(s, s_error + a_lo)


def add_float_exactly(a_hi: Floats, a_lo: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
    """The same, and what that lacks: hi + lo + lost == (a_hi + a_lo) + b."""
    s, s_error = two_sum(a_hi, b)
    t, lost = two_sum(s_error, a_lo)
    return *fast_two_sum(s, t), lost


def multiply(a_hi: Floats, a_lo: Floats, b_hi: Floats, b_lo: Floats) -> tuple[Floats, Floats]:
    """(a_hi + a_lo) * (b_hi + b_lo)."""
    p, e = two_product(a_hi, b_hi)
    if b_lo is not ZERO:
        e += a_hi * b_lo
    if a_lo is not ZERO:
        e += a_lo * b_hi
    return fast_two_sum(p, e)


def rounding(z: Floats, a_lo: Floats, b_lo: Floats) -> Floats:
    """UNIT |z|, and 0 where both operands are single float64 numbers: where both low parts are 0."""
    low: Floats = np.abs(a_lo) if b_lo is ZERO else np.abs(b_lo) if a_lo is ZERO else np.maximum(np.abs(a_lo), np.abs(b_lo))
    radius: Floats = np.abs(z) * _UNIT * np.sign(low)
    return radius


def divide(a_hi: Floats, a_lo: Floats, b_hi: Floats, b_lo: Floats) -> tuple[Floats, Floats, Bools]:
    """(a_hi + a_lo) / (b_hi + b_lo), and whether that is exact: by one float64, of few digits or by a power of two."""
    q = a_hi / b_hi
    p, e = two_product(q, b_hi)
    p, e = fast_two_sum(p, e + q * b_lo)
    remainder = (a_hi - p) + (a_lo - e)
    exact = (a_hi == p) & (a_lo == e) | (np.abs(np.frexp(b_hi)[0]) == _HALF)
    q, correction = fast_two_sum(q, remainder / b_hi)
    if np.count_nonzero(short := ~exact & ((correction == _NONE) | (np.abs(np.frexp(correction)[0]) == _HALF))):
        exact |= short & _is_quotient(q, correction, a_hi, a_lo, b_hi)  # of so few digits it may be a tie
    if a_lo is not ZERO:
        exact &= (a_lo == _NONE) | (np.abs(a_lo) >= SAFE)  # the quotient of what is smaller may underflow
    return q, correction, (b_lo == _NONE) & exact


def _is_quotient(q: Floats, correction: Floats, a_hi: Floats, a_lo: Floats, b: Floats) -> Bools:
    """Whether (q + correction) * b is seen to be a_hi + a_lo, of which it is close: nothing is rounded, and nothing is left."""
    p, e = two_product(q, b)
    f, g = two_product(correction, b)
    s, s_error = two_sum(a_hi, -p)
    t, t_error = two_sum(a_lo, -e)
    left, left_error = two_sum(s, t)
    exact: Bools = (left == f) & (g == _NONE) & (s_error == _NONE) & (t_error == _NONE) & (left_error == _NONE)
    return exact


def square_root(a_hi: Floats, a_lo: Floats) -> tuple[Floats, Floats, Bools]:
    """sqrt(a_hi + a_lo), and whether that is exact."""
    s = np.sqrt(a_hi)
    p, e = two_product(s, s)
    remainder = ((a_hi - p) - e) + a_lo
    s, correction = fast_two_sum(s, remainder / (_TWO * s))
    return s, correction, (a_hi == p) & (a_lo == e)


class DoubleDouble:
    """A tile of batch values at twice the precision. `lo` is ZERO where the values are float64 numbers."""

    __slots__ = ("hi", "lo")

    def __init__(self, hi: Floats, lo: Floats = ZERO) -> None:
        self.hi, self.lo = hi, lo

    def __add__(self, other: DoubleDouble) -> DoubleDouble:
        if self.lo is ZERO:
            return DoubleDouble(*two_sum(self.hi, other.hi)) if other.lo is ZERO else other + self
        if other.lo is ZERO:
            return DoubleDouble(*add_float(self.hi, self.lo, other.hi))
        return DoubleDouble(*add(self.hi, self.lo, other.hi, other.lo))

    def __mul__(self, other: DoubleDouble) -> DoubleDouble:
        if self.lo is ZERO and other.lo is ZERO:
            return DoubleDouble(*two_product(self.hi, other.hi))
        return DoubleDouble(*multiply(self.hi, self.lo, other.hi, other.lo))
