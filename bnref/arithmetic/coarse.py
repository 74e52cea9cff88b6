"""Channel numbers as enclosures whose products and roots are at the precision of float64: tried first, as they cost a third."""

from __future__ import annotations

import numpy as np

from .ball import Ball, total
from .double_double import SAFE, TINY, ZERO
from .tile_arithmetic import SLACK

# As arrays without axes: NumPy joins them to others several times faster than Python's numbers.
_NONE, _SAFE, _U, _SLACK = (np.array(x) for x in (0.0, SAFE, 2.0**-53, SLACK))


class Coarse(Ball):
    """A Ball that does not take more pains than its radius is worth.

    Sums are those of balls, for the mean of far data must be sharp; so is what is exact in a channel, for it may be a tie. Products
    of two numbers known better than to float64's precision are those of balls, too, for they may be nearly ties: a tenth of a mean of
    few digits often is one, and the double 0.1 is a tenth but for 2**-54 of it. So are the quotients of such numbers by exact ones:
    of sums by n. Elsewhere, and in numbers that are made blunt, lo counts as radius,

    x * y   |x| Y + |y| X + X Y + u |z|
    x / y   (X + |z| Y) / (|y| - Y) + u |z|   if |y| > Y
    sqrt x  X / (sqrt(x) + sqrt(x - X)) + u |z|   if x > X

    for z = the result rounded to float64, u = 2**-53, X = radius + |lo| of x and Y that of y.
    """

    __slots__ = ()

    def _times(self, other: Coarse) -> Coarse:
        if self._is_sharp() and other._is_sharp():
            return super()._times(other)
        hi, X, Y = self.hi * other.hi, self.spread(), other.spread()
        size = np.abs(hi)
        radius = size * _U
        if X is not ZERO:
            radius += total(np.abs(other.hi), Y) * X
        if Y is not ZERO:
            radius += np.abs(self.hi) * Y
        if np.count_nonzero(small := size < _SAFE):
            radius += np.where(small & (np.abs(self.hi) + X != 0) & (np.abs(other.hi) + Y != 0), TINY, 0)
        return Coarse(hi, ZERO, radius * _SLACK)

    def _over(self, other: Coarse) -> Coarse:
        if self._is_sharp() and other._is_exact():
            return super()._over(other)
        hi, X, Y = self.hi / other.hi, self.spread(), other.spread()
        size, least = np.abs(hi), np.abs(other.hi)
        if Y is not ZERO:
            least -= Y
            X = total(X, size * Y)
        radius = size * _U + X / least
        if np.count_nonzero(none := ~(least > _NONE)):
            radius = np.where(none, np.nan, radius)
        known = np.abs(self.hi)
        if np.count_nonzero(small := np.minimum(known, size) < _SAFE):
            radius += np.where(small & (known + X != 0), TINY * (1 + 1 / least), 0)
        return Coarse(hi, ZERO, radius * _SLACK)

    def sqrt(self) -> Ball:
        """The square root; NaN where the enclosure reaches below 0."""
        if self._is_exact():
            return super().sqrt()
        hi, X = np.sqrt(self.hi), self.spread()
        radius = hi * _U + X / (hi + np.sqrt(self.hi - X))
        if np.count_nonzero(bad := ~(self.hi > X)):
            radius = np.where(bad, np.nan, radius)
        return Coarse(hi, ZERO, radius * _SLACK)

    def blunt(self) -> Coarse:
        """The number no better than to float64's precision."""
        return Coarse(self.hi, ZERO, np.maximum(self.spread(), np.abs(self.hi) * (2 * _U)))

    def _is_exact(self) -> bool:
        """Whether this is a single float64 number, known exactly, in any channel."""
        return self.lo is ZERO and bool(np.count_nonzero(self.radius) < len(self.radius))

    def _is_sharp(self) -> bool:
        """Whether this is known better than to float64's precision, in any channel."""
        return self.radius is ZERO or bool(np.count_nonzero(self.radius <= np.abs(self.hi) * _U))
