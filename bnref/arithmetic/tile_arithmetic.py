"""What recorded batch values are replayed in: float64 or double-double arithmetic on tiles, and their rounding tests."""

import numpy as np

from .double_double import UNIT, DoubleDouble
from .rounding import bits, nearest

SLACK = 1 + 2.0**-40  # covers the float64 rounding of whoever computes a radius


class Float64:
    """Replay in float64: a tile is an array, a channel number its high part, and its low part in a second addition."""

    unit = 2.0**-53

    def __init__(self, scratch):
        self.scratch = scratch
        self.missed = 0  # guesses of magnitudes that were too low

    def leaf(self, node, values):
        return values

    def _out(self, node, values):
        """Where the values of a node go: over those of its left operand if nothing else uses them."""
        left = node.left
        while left.kind != "leaf" and left.users == 1:
            node, left = left, left.left
        return self.scratch.take(("node", node.slot), values.shape)

    def shift(self, node, values, hi, lo):
        """values + (hi + lo): two roundings."""
        values = np.add(values, hi, out=self._out(node, values))
        if lo is not None:
            values += lo
        return values

    def scale(self, node, values, hi, lo):
        """values * hi."""
        return np.multiply(values, hi, out=self._out(node, values))

    def add(self, node, x, y):
        return np.add(x, y, out=self._out(node, x))

    def multiply(self, node, x, y):
        return np.multiply(x, y, out=self._out(node, x))

    @staticmethod
    def dropped(ball):
        """What of a factor is not used: its low part."""
        return np.abs(ball.lo)

    @staticmethod
    def magnitude(values):
        return np.abs(values)

    def round(self, batch, operands, tile, bounds, dtype, guess=None):
        """The tile's values rounded to dtype, and where that is certain: where both ends of the enclosure round alike.

        bounds: (a, r) of the batch value, guess: of its magnitude per channel; any guess is safe, it is verified.
        """
        if batch.kind == "shift" and not batch.right.lo.any():  # this last addition and that of the radius are done as one
            values, centre = batch.left.replay(self, operands, tile.spread), batch.right.hi
            centre = centre[tile.channels] if len(centre) > 1 else centre
        else:
            values, centre = batch.replay(self, operands, tile.spread), np.zeros(1)
        a, r = (bound[tile.channels] for bound in bounds)
        low = self.scratch.take("low", values.shape, dtype)
        high = self.scratch.take("high", values.shape, dtype)

        def ends(peak):
            radius = (a + (r + 4 * self.unit) * peak + 4 * self.unit * np.abs(centre)) * SLACK  # 4u: the rounding of the ends
            self._round_sum(values, tile.column(centre - radius), low)
            self._round_sum(values, tile.column(centre + radius), high)
            return radius

        guessed = guess is not None and dtype == np.float32 and self.missed < 2
        if guessed:
            peak = guess[tile.channels]
            radius = ends(peak)
            largest = np.maximum(low.max(axis=tile.axis), -low.min(axis=tile.axis)).astype(np.float64)
            guessed = (largest * (1 + 2.0**-20) + 2 * radius + 2.0**-126 <= peak).all()
            self.missed += not guessed
        if not guessed:
            radius = ends(np.maximum(values.max(axis=tile.axis), -values.min(axis=tile.axis)) + np.abs(centre))
        certain = np.equal(bits(low), bits(high), out=self.scratch.take("certain", values.shape, np.bool_))
        if not np.isfinite(radius).all():
            certain &= tile.column(np.isfinite(radius))
        return low, certain

    def _round_sum(self, values, column, out):
        if out.dtype == np.float32:
            np.add(values, column, out=out, casting="same_kind")
        else:
            out[...] = nearest(np.add(values, column, out=self.scratch.take("end", values.shape)), out.dtype)


class DoubleDoubles:
    """Replay in double-double arithmetic."""

    unit = UNIT

    def leaf(self, node, values):
        return DoubleDouble(values)

    def shift(self, node, values, hi, lo):
        return values + DoubleDouble(hi, lo)

    def scale(self, node, values, hi, lo):
        return values * DoubleDouble(hi, lo)

    def add(self, node, x, y):
        return x + y

    def multiply(self, node, x, y):
        return x * y

    @staticmethod
    def dropped(ball):
        return 0.0

    @staticmethod
    def magnitude(values):
        return np.abs(values.hi) * (1 + 2.0**-50)

    def round(self, batch, operands, tile, bounds, dtype, guess=None):
        """The tile's values rounded to float64, and where that is certain; bounds: (a, r) of the batch value."""
        values = batch.replay(self, operands, tile.spread)
        a, r = (bound[tile.channels] for bound in bounds)
        hi, lo = values.hi, 0.0 if values.lo is None else values.lo
        peak = np.maximum(hi.max(axis=tile.axis), -hi.min(axis=tile.axis))
        radius = (a + (r + 2 * UNIT) * peak) * SLACK  # 2 UNIT: the rounding of lo -+ radius
        column = tile.column(radius)
        rounded = hi + (lo - column)
        certain = rounded == hi + (lo + column)
        rounded += 0.0  # an exact zero is +0
        if not np.isfinite(radius).all():
            certain &= tile.column(np.isfinite(radius))
        return rounded, certain
