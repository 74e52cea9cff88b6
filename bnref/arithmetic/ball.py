"""Channel numbers as rigorous enclosures: double-double values with a radius.

`Ball` is |true - (hi + lo)| <= radius: three float64 arrays (C,), or (1,) for a number of all channels. Radii are computed in
float64; SLACK covers the rounding of that.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..typing import Bools, Floats
from . import double_double as dd
from .double_double import SAFE, TINY, UNIT, ZERO
from .tile_arithmetic import SLACK
from .tiles import of_channels

# As arrays without axes: NumPy joins them to others several times faster than Python's numbers.
_NONE, _SAFE, _UNIT, _SLACK, _LESS = (np.array(x) for x in (0.0, SAFE, UNIT, SLACK, 1 - 2.0**-50))
_LEAST = np.array(2.0**-1000)  # SLACK times a radius above this covers what its shares lose by underflow


class Ball:
    """|true - (hi + lo)| <= radius. NaN in the radius, or infinity: nothing is known.

    Lemmas, for z = the double-double result and x, y true numbers within their radii X, Y (u2 = UNIT):

    x + y   X + Y + u2 |z|                             u2 |z| is 0 where both are single float64 numbers: two_sum is exact;
                                                       where one is, it is what the sum lacks
    x * y   |x| Y + |y| X + X Y + u2 |z|               likewise: two_product is exact
    x / y   (X + |z| Y) / (|y| - Y) + u2 |z|           if |y| > Y; x'/y' - x/y = (x' - x + (x/y) (y - y')) / y'
    sqrt x  X / (sqrt(x) + sqrt(x - X)) + u2 |z|       if x > X; sqrt x' - sqrt x = (x' - x) / (sqrt x' + sqrt x)
    """

    __slots__ = ("hi", "lo", "radius")
    __array_ufunc__ = None

    def __init__(self, hi: Floats, lo: Floats, radius: Floats) -> None:
        self.hi, self.lo, self.radius = hi, lo, radius

    @classmethod
    def of(cls, value: Any) -> Any:
        """A Python number, a (C,) array of any of the formats, or a Ball. For anything else NotImplemented."""
        if type(value) is cls:
            return value
        if isinstance(value, Ball):
            return cls(value.hi, value.lo, value.radius)
        if isinstance(value, np.ndarray):
            return cls(value.astype(np.float64), ZERO, ZERO)
        if isinstance(value, float) or isinstance(value, int) and abs(value) <= 2**53:
            return cls(np.array([float(value)]), ZERO, ZERO)
        if isinstance(value, np.integer):
            return cls.of(int(value))  # float64 does not hold all of them
        if isinstance(value, (int, Fraction, np.number)):
            value = value if isinstance(value, (int, Fraction)) else float(value)
            hi = float(value)
            rest = Fraction(value) - Fraction(hi) if np.isfinite(hi) and not isinstance(value, float) else 0
            lo = float(rest)
            radius = 2 * abs(float(rest - Fraction(lo))) if rest else 0.0
            return cls(np.array([hi]), np.array([lo]), np.array([radius]))
        return NotImplemented

    def take(self, channels: NDArray[np.intp]) -> Self:
        """The numbers of these channels; a number of all channels as it is."""
        return type(self)(*(of_channels(part, channels) for part in (self.hi, self.lo, self.radius)))

    def rounded(self) -> Self:
        """The number as single float64 numbers; what these lack counts as radius."""
        return type(self)(self.hi, ZERO, self.spread())

    def spread(self) -> Floats:
        """How far the true number may be from hi."""
        return self.radius if self.lo is ZERO else total(self.radius, np.abs(self.lo))

    def scaled(self, exponents: NDArray[np.int64] | int) -> Self:
        """The number times 2**exponents; where one of its parts loses a digit by that, TINY is added to the radius."""
        parts = self.hi, self.lo, self.radius
        hi, lo, radius = scaled = [part if part is ZERO else np.ldexp(part, exponents) for part in parts]
        lost = sum(np.ldexp(new, np.negative(exponents)) != part for part, new in zip(parts, scaled) if part is not ZERO)
        if np.count_nonzero(lost):
            radius = total(radius, np.sign(lost) * TINY) * _SLACK
        return type(self)(hi, lo, radius)

    def _beside(self, other: Self) -> tuple[Self, Self]:
        """Give this number and another with arrays of one length, as NumPy likes them."""
        mine, others = len(self.hi), len(other.hi)
        if mine == others:
            return self, other
        return (self._repeated(others), other) if mine == 1 else (self, other._repeated(mine))

    def _exponent(self) -> int | None:
        """The exponent of a power of two that is the number of all channels, as many a count of values is; otherwise None."""
        if len(self.hi) != 1 or self.lo is not ZERO or self.radius is not ZERO:
            return None
        mantissa, exponent = math.frexp(self.hi[0])
        return exponent - 1 if mantissa == 0.5 else None

    def _repeated(self, count: int) -> Self:
        lo = ZERO if self.lo is ZERO else self.lo.repeat(count)
        return type(self)(self.hi.repeat(count), lo, ZERO if self.radius is ZERO else self.radius.repeat(count))

    def _result(self, hi: Floats, lo: Floats, radius: Floats, x: Floats = ZERO, y: Floats = ZERO) -> Self:
        """What an operation has given: low parts that are all 0 are left out, and a radius is made good for its own rounding.

        x, y: the operands' radii, if multiples of them are in the radius. Where that is so small that such may have underflowed, TINY more.
        """
        if radius is not ZERO:
            radius = radius * _SLACK
            if (x is not ZERO or y is not ZERO) and np.count_nonzero(least := radius < _LEAST):
                radius = radius + np.where(least & (x + y != _NONE) & (hi != _NONE), TINY, 0)
        return type(self)(hi, lo if np.count_nonzero(lo) else ZERO, radius)

    def __neg__(self) -> Self:
        return type(self)(-self.hi, self.lo if self.lo is ZERO else -self.lo, self.radius)

    def _plus(self, other: Self) -> Self:
        if other is self:
            return type(self)(*(part if part is ZERO else part + part for part in (self.hi, self.lo, self.radius)))
        if other.lo is not ZERO and self.lo is ZERO:
            self, other = other, self
        radius = total(self.radius, other.radius)
        if self.lo is ZERO:
            hi, lo = dd.two_sum(self.hi, other.hi)
        elif other.lo is ZERO:
            hi, lo, lost = dd.add_float_exactly(self.hi, self.lo, other.hi)
            radius = total(radius, np.abs(lost))
        else:
            hi, lo = dd.add(self.hi, self.lo, other.hi, other.lo)
            radius = total(radius, dd.rounding(hi, self.lo, other.lo))
        return self._result(hi, lo, radius)

    def _times(self, other: Self) -> Self:
        if self.lo is ZERO and other.lo is ZERO:
            hi, lo = dd.two_product(self.hi, other.hi)
            radius = ZERO
        else:
            hi, lo = dd.multiply(self.hi, self.lo, other.hi, other.lo)
            radius = dd.rounding(hi, self.lo, other.lo)
        if self.radius is not ZERO:
            radius = total(radius, total(np.abs(other.hi), other.radius) * self.radius)
        if other.radius is not ZERO:
            radius = total(radius, np.abs(self.hi) * other.radius)
        if np.count_nonzero(small := np.abs(hi) < _SAFE):
            for factor in (self, other):
                small &= total(np.abs(factor.hi), factor.radius) != _NONE
            if np.count_nonzero(small):
                radius = radius + np.where(small, TINY, 0)
        return self._result(hi, lo, radius, self.radius, other.radius)

    def _over(self, other: Self) -> Self:
        hi, lo, exact = dd.divide(self.hi, self.lo, other.hi, other.lo)
        y, z = np.abs(other.hi) * _LESS, np.abs(hi)
        radius = self.radius
        if other.radius is not ZERO:
            y = y - other.radius
            radius = total(radius, z * other.radius)
        radius = total(where_inexact(z * _UNIT, exact), radius if radius is ZERO else radius / y)
        if np.count_nonzero(y <= _NONE):
            radius = np.where(y > 0, radius, np.nan)
        size = np.abs(self.hi)
        if np.count_nonzero(np.minimum(np.minimum(size, z), y) < _SAFE):
            small = (total(size, self.radius) != 0) & ((size < SAFE) | (z < SAFE) | (y < SAFE))
            radius = radius + np.where(small, TINY * (1 + 1 / y), 0)
        return self._result(hi, lo, radius, self.radius, other.radius)

    def sqrt(self) -> Ball:
        """The square root; NaN where the ball reaches below 0."""
        hi, lo, exact = dd.square_root(self.hi, self.lo)
        x = self.hi * _LESS
        radius = where_inexact(hi * _UNIT, exact)
        if self.radius is not ZERO:
            radius = total(radius, self.radius / (hi + np.sqrt(x - self.radius)))
        if np.count_nonzero(bad := ~(x > self.radius)):
            radius = np.where(bad, np.nan, radius)
        if np.count_nonzero(x < _SAFE):
            radius = radius + np.where(x < SAFE, TINY / hi, 0)
        return self._result(hi, lo, radius, self.radius)

    def __add__(self, other: Any) -> Any:
        if (other := self.of(other)) is NotImplemented:
            return other
        x, y = self._beside(other)
        return x._plus(y)

    def __mul__(self, other: Any) -> Any:
        if (other := self.of(other)) is NotImplemented:
            return other
        if (exponent := other._exponent()) is not None:
            return self.scaled(exponent)
        if (exponent := self._exponent()) is not None:
            return other.scaled(exponent)
        x, y = self._beside(other)
        return x._times(y)

    def __truediv__(self, other: Any) -> Any:
        if (other := self.of(other)) is NotImplemented:
            return other
        if (exponent := other._exponent()) is not None:
            return self.scaled(-exponent)
        x, y = self._beside(other)
        return x._over(y)

    def __pow__(self, exponent: int) -> Any:
        result = self
        for _ in range(exponent - 1):
            result = result * self
        return result

    def __sub__(self, other: Any) -> Any:
        other = self.of(other)
        return other if other is NotImplemented else self + -other

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __rtruediv__(self, other: Any) -> Any:
        other = self.of(other)
        return other if other is NotImplemented else other / self


def where_inexact(radius: Floats, exact: Bools) -> Floats:
    """A radius, but 0 where there is an exact result."""
    count = np.count_nonzero(exact)
    if count == len(exact):
        return ZERO
    if count:
        np.copyto(radius, _NONE, where=exact)
    return radius


def total(x: Floats, y: Floats) -> Floats:
    """The sum of two radii."""
    return y if x is ZERO else x if y is ZERO else x + y
