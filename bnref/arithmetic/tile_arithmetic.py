"""What recorded batch values are replayed in: float64 or double-double arithmetic on tiles, and their rounding tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..typing import Array, Bools, Floats
from .double_double import UNIT, DoubleDouble
from .rounding import FORMATS, bits, format_of, nearest
from .scratch import Scratch
from .tiles import BUFFER, Tile

if TYPE_CHECKING:
    from .ball import Ball
    from .ball_batch import BallBatch

SLACK = 1 + 2.0**-40  # covers the float64 rounding of whoever computes a radius
RARE = 64  # one value in so many may be larger than was guessed: it is as good as uncertain


class Float64:
    """Replay in float64: a tile is an array, a channel number its high part, and its low part in a second addition."""

    unit = 2.0**-53

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.missed = 0  # guesses of magnitudes that were too low
        self.in_place = False  # whether values go over those of the operand

    @staticmethod
    def share(operands: int) -> int:
        """That of `tiles`, for so many operands."""
        return 1

    def leaf(self, node: BallBatch, values: Floats) -> Floats:
        """An operand's values, as they are."""
        return values

    def _out(self, node: BallBatch, values: Floats) -> Floats:
        """Where the values of a node go: over those of its left operand if nothing else uses them."""
        if self.in_place:
            return values
        left = node.left
        while left.kind != "leaf" and left.users == 1:
            node, left = left, left.left
        return self.scratch.take(("node", node.slot), values.shape)

    def shift(self, node: BallBatch, values: Floats, hi: Floats, lo: Floats | None) -> Floats:
        """values + (hi + lo): two roundings."""
        values = np.add(values, hi, out=self._out(node, values))
        if lo is not None:
            values += lo
        return values

    def scale(self, node: BallBatch, values: Floats, hi: Floats, lo: Floats | None) -> Floats:
        """values * hi."""
        return np.multiply(values, hi, out=self._out(node, values))

    def add(self, node: BallBatch, x: Floats, y: Floats) -> Floats:
        """x + y."""
        return np.add(x, y, out=self._out(node, x))

    def multiply(self, node: BallBatch, x: Floats, y: Floats) -> Floats:
        """x * y."""
        return np.multiply(x, y, out=self._out(node, x))

    @staticmethod
    def dropped(ball: Ball) -> Floats:
        """What of a factor is not used: its low part."""
        return np.abs(ball.lo)

    @staticmethod
    def magnitude(values: Floats) -> Floats:
        """|values|."""
        return np.abs(values)

    def prepare(self, batch: BallBatch, bounds: tuple[Floats, Floats], dtype: np.dtype[Any], reach: Floats | None = None,
                guess: Floats | None = None) -> None:
        """For `round`: the batch value, its bounds (a, r), the dtype of the results, and what is known of their magnitude.

        reach: an upper bound per channel. guess: any number per channel; values that are larger are found out.
        """
        self.dtype, self.batch, centre = dtype, batch, 0.0
        self.cast = nearest if format_of(dtype) is FORMATS["bfloat16"] else lambda values, dtype: values
        if batch.kind == "shift" and not np.count_nonzero(batch.right.lo):  # this last addition and that of the radius are done as one
            self.batch, centre = batch.left, batch.right.hi
        self.in_place = self.batch.kind != "leaf" and self._is_chain(self.batch)
        self.a, self.r = bounds
        self.centre = np.zeros(self.a.shape) + centre  # not -0.0: an exact zero is +0
        proved = reach is not None and bool(np.isfinite(reach).all())
        peak = reach if proved else guess if dtype == np.float32 else None
        self.proved = self.guessed = False
        if peak is not None:
            self.ends = self._ends(peak, slice(None))
            finite = bool(np.isfinite(self.ends).all())
            self.proved, self.guessed = proved and finite, not proved and finite
            self.limit = (peak - self.ends[1] - 2.0**-126) * (1 - 2.0**-20)  # float32 results below show a guess to be one

    @staticmethod
    def _is_chain(batch: BallBatch) -> bool:
        """Whether one operand is shifted and scaled, and nothing else; its values, if they are cast, may be written over."""
        while batch.kind in ("shift", "scale"):
            batch = batch.left
        return batch.kind == "leaf" and batch.xp.leaves[batch.left].dtype.itemsize < 8

    def _ends(self, peak: Floats, channels: slice) -> tuple[Floats, Floats]:
        """What to add to values of at most this magnitude for the lower ends of their enclosures, and then for the upper ones."""
        centre = self.centre[channels]
        radius = (self.a[channels] + (self.r[channels] + 4 * self.unit) * peak + 4 * self.unit * np.abs(centre)) * SLACK
        radius = np.maximum(radius, 2.0**-149 * np.sign(radius))  # the ends are not zeros of different sign in float32
        return centre - radius, 2 * radius  # 4 u: the rounding of the ends

    def round(self, leaves: Sequence[Array], tile: Tile, target: Array) -> tuple[Array, Bools]:
        """The tile's values rounded, in `target` if that is an array to be written to as it lies; and where that is not certain.

        Certain is what both ends of the enclosure round to.
        """
        values = self.batch.on(self, leaves, tile, self.scratch)
        if self.proved or self.guessed:
            low, high = self._round_ends(values, tile, (tile.own(self.ends[0]), tile.own(self.ends[1])), target)
            uncertain = self._differ(low, high)
            if self.proved:
                return low, uncertain
            beyond = self._beyond(low, tile, high)
            if np.count_nonzero(beyond) * RARE <= beyond.size:
                return low, np.logical_or(uncertain, beyond, out=uncertain)
            self.missed += 1
            self.guessed = self.missed < 2
            values = self.batch.on(self, leaves, tile, self.scratch)  # again: the ends went over them
        peak = np.maximum(values.max(axis=tile.axis), -values.min(axis=tile.axis)) + np.abs(self.centre[tile.channels])
        ends = self._ends(peak, tile.channels)
        low, high = self._round_ends(values, tile, ends, target)
        uncertain = self._differ(low, high)
        known = np.isfinite(ends[1])
        if np.count_nonzero(known) < len(known):
            uncertain |= ~tile.column(known, uncertain.ndim)
        return low, uncertain

    def _beyond(self, low: Array, tile: Tile, memory: Array) -> Bools:
        """Where the results show that values may be larger than was guessed."""
        limit = tile.column(self.limit[tile.channels].astype(np.float32), low.ndim)
        return np.greater(np.abs(low, out=memory), limit, out=self.scratch.take("beyond", low.shape, np.bool_))

    def _differ(self, low: Array, high: Array) -> Bools:
        if self.dtype != np.float32:
            low, high = low.view(f"i{low.itemsize}"), bits(high)
        return np.not_equal(low, high, out=self.scratch.take("uncertain", low.shape, np.bool_))

    def _round_ends(self, values: Floats, tile: Tile, ends: tuple[Floats, Floats], target: Array) -> tuple[Array, Array]:
        """Round the values plus the first of the ends, and those plus the second as well."""
        low = target if self._straight(target) else self.scratch.take("low", values.shape, self.dtype)
        high = self.scratch.take("high", low.shape, self.dtype)
        end = self.scratch.take("end", values.shape) if self.batch.kind == "leaf" else values
        for column, rounded in zip(ends, (low, high)):
            values = np.add(values, tile.column(column), out=end)
            np.copyto(rounded, self.cast(values, self.dtype).reshape(low.shape), casting="same_kind")
        return low, high

    @staticmethod
    def _straight(target: Array) -> bool:
        """Whether NumPy writes to the array as fast as to one that lies without gaps."""
        return target.shape[-1] >= BUFFER and target.strides[-1] == target.itemsize


class DoubleDoubles:
    """Replay in double-double arithmetic."""

    unit = UNIT

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch

    @staticmethod
    def share(operands: int) -> int:
        """That of `tiles`: values have two parts, and temporaries of all operands live at a time."""
        return 2 * operands

    def leaf(self, node: BallBatch, values: Floats) -> DoubleDouble:
        """An operand's values."""
        return DoubleDouble(values)

    def shift(self, node: BallBatch, values: DoubleDouble, hi: Floats, lo: Floats | None) -> DoubleDouble:
        """values + (hi + lo)."""
        return values + DoubleDouble(hi, lo)

    def scale(self, node: BallBatch, values: DoubleDouble, hi: Floats, lo: Floats | None) -> DoubleDouble:
        """values * (hi + lo)."""
        return values * DoubleDouble(hi, lo)

    def add(self, node: BallBatch, x: DoubleDouble, y: DoubleDouble) -> DoubleDouble:
        """x + y."""
        return x + y

    def multiply(self, node: BallBatch, x: DoubleDouble, y: DoubleDouble) -> DoubleDouble:
        """x * y."""
        return x * y

    @staticmethod
    def dropped(ball: Ball) -> float:
        """What of a factor is not used: nothing."""
        return 0.0

    @staticmethod
    def magnitude(values: DoubleDouble) -> Floats:
        """An upper bound of |values|."""
        return np.abs(values.hi) * (1 + 2.0**-50)

    def prepare(self, batch: BallBatch, bounds: tuple[Floats, Floats], dtype: np.dtype[Any], reach: Floats | None = None,
                guess: Floats | None = None) -> None:
        """For `round`: the batch value and its bounds (a, r); dtype is float64."""
        self.batch, self.bounds = batch, bounds

    def round(self, leaves: Sequence[Array], tile: Tile, target: Array) -> tuple[Floats, Bools]:
        """The tile's values rounded to float64, and where that is not certain."""
        values = self.batch.on(self, leaves, tile, self.scratch)
        a, r = (bound[tile.channels] for bound in self.bounds)
        hi, lo = values.hi, 0.0 if values.lo is None else values.lo
        peak = np.maximum(hi.max(axis=tile.axis), -hi.min(axis=tile.axis))
        radius = (a + (r + 2 * UNIT) * peak) * SLACK  # 2 UNIT: the rounding of lo -+ radius
        column = tile.column(radius)
        rounded = hi + (lo - column)
        uncertain = rounded != hi + (lo + column)
        rounded += 0.0  # an exact zero is +0
        if not np.isfinite(radius).all():
            uncertain |= ~tile.column(np.isfinite(radius))
        return rounded, uncertain
