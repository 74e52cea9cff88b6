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

    def prepare(self, batch, bounds, dtype, guess=None):
        """For `round`: the batch value, its bounds (a, r), the dtype of the results, and a guess of their magnitude per channel.

        Any guess is safe: it is verified.
        """
        self.dtype, self.centre = dtype, 0.0
        if batch.kind == "shift" and not batch.right.lo.any():  # this last addition and that of the radius are done as one
            batch, self.centre = batch.left, batch.right.hi
        self.batch = batch
        self.a, self.r = bounds
        self.centre = np.broadcast_to(self.centre, self.a.shape)
        self.guessed = guess is not None and dtype == np.float32
        if self.guessed:
            self.low, self.high = self._ends(guess, slice(None))
            self.limit = (guess - (self.high - self.low) - 2.0**-126) * (1 - 2.0**-20)  # float32 results below show it verified
            self.guessed = np.isfinite(self.high - self.low).all()

    def _ends(self, peak, channels):
        """What to add to values of at most this magnitude for the ends of their enclosures."""
        centre = self.centre[channels]
        radius = (self.a[channels] + (self.r[channels] + 4 * self.unit) * peak + 4 * self.unit * np.abs(centre)) * SLACK
        return centre - radius, centre + radius  # 4 u: the rounding of the ends

    def round(self, operands, tile):
        """The tile's values rounded, and where that is certain: where both ends of the enclosure round alike."""
        values = self.batch.replay(self, operands, tile.spread)
        low = self.scratch.take("low", values.shape, self.dtype)
        high = self.scratch.take("high", values.shape, self.dtype)
        certain = self.scratch.take("certain", values.shape, np.bool_)
        if self.guessed:
            self._round_sum(values, tile.spread(self.low), low)
            limit = self.limit[tile.channels]
            if (low.max(axis=tile.axis) <= limit).all() and (low.min(axis=tile.axis) >= -limit).all():
                self._round_sum(values, tile.spread(self.high), high)
                return low, np.equal(bits(low), bits(high), out=certain)
            self.missed += 1
            self.guessed = self.missed < 2
        centre = self.centre[tile.channels]
        ends = self._ends(np.maximum(values.max(axis=tile.axis), -values.min(axis=tile.axis)) + np.abs(centre), tile.channels)
        self._round_sum(values, tile.column(ends[0]), low)
        self._round_sum(values, tile.column(ends[1]), high)
        np.equal(bits(low), bits(high), out=certain)
        known = np.isfinite(ends[1] - ends[0])
        if not known.all():
            certain &= tile.column(known)
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

    def prepare(self, batch, bounds, dtype, guess=None):
        """For `round`: the batch value and its bounds (a, r); dtype is float64."""
        self.batch, self.bounds = batch, bounds

    def round(self, operands, tile):
        """The tile's values rounded to float64, and where that is certain."""
        values = self.batch.replay(self, operands, tile.spread)
        a, r = (bound[tile.channels] for bound in self.bounds)
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
