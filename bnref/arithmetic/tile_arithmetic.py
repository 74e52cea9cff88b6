"""What recorded batch values are replayed in: float64 or double-double arithmetic on tiles, and their rounding tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..typing import Array, Bools, Floats
from .double_double import UNIT, ZERO, DoubleDouble
from .rounding import FORMATS, bits, format_of, nearest, round_ends
from .scratch import Scratch
from .tiles import Tile, of_channels, set_places

if TYPE_CHECKING:
    from .ball import Ball
    from .ball_batch import BallBatch

SLACK = 1 + 2.0**-40  # covers the float64 rounding of whoever computes a radius
STRAIGHT = 1024  # rows of so many values are written to as fast as an array without gaps
RARE = 64  # one value in so many may be larger than was guessed, or too close to a tie; otherwise each gets a radius of its own


class Float64:
    """Replay in float64: a tile is an array, a channel number its high part, and its low part in a second addition."""

    unit = 2.0**-53

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
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

    def shift(self, node: BallBatch, values: Floats, spread: Callable[[Floats], Floats]) -> Floats:
        """values + (hi + lo), those of the node's channel number: two roundings."""
        values = np.add(values, spread(node.right.hi), out=self._out(node, values))
        if np.count_nonzero(node.right.lo):
            values += spread(node.right.lo)
        return values

    def scale(self, node: BallBatch, values: Floats, spread: Callable[[Floats], Floats]) -> Floats:
        """values * hi."""
        return np.multiply(values, spread(node.right.hi), out=self._out(node, values))

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
        self.twice = format_of(dtype) is FORMATS["bfloat16"]  # whether NumPy's own cast would round twice
        if batch.kind == "shift" and not np.count_nonzero(batch.right.lo):  # this last addition and that of the radius are done as one
            self.batch, centre = batch.left, batch.right.hi
        self.in_place = self.batch.kind != "leaf" and self._is_chain(self.batch)
        a, r = bounds
        self.centre = np.zeros(a.shape) + centre  # not -0.0: an exact zero is +0
        self.relative = (r + 4 * self.unit) * SLACK  # 4 u: the rounding of the ends
        self.absolute = self._visible((a + 4 * self.unit * np.abs(self.centre)) * SLACK)
        self.proved = reach is not None
        peak = reach if self.proved else guess if dtype == np.float32 else None
        self.quick = peak is not None
        if peak is not None:
            radius = self._visible(self.absolute + self.relative * peak)
            self.ends = self.centre - radius, 2 * radius
            self.quick = bool(np.isfinite(self.ends).all())
            self.limit = (peak - self.ends[1] - 2.0**-126) * (1 - 2.0**-20)  # float32 results below show a guess to be one

    @staticmethod
    def _is_chain(batch: BallBatch) -> bool:
        """Whether one operand is shifted and scaled, and nothing else; its values, if they are cast, may be written over."""
        while batch.kind in ("shift", "scale"):
            batch = batch.left
        return batch.kind == "leaf" and batch.xp.leaves[batch.left].dtype.itemsize < 8

    @staticmethod
    def _visible(radius: Floats) -> Floats:
        """No less than the radius: so large that ends are not zeros of different sign in float32, unless it is 0."""
        return np.maximum(radius, 2.0**-149 * np.sign(radius))

    def round(self, leaves: Sequence[Array], tile: Tile, target: Array) -> tuple[Array, NDArray[np.intp]]:
        """The tile's values rounded, in `target` if that is an array to be written to as it lies; and the places where that is not certain.

        Certain is what both ends of the enclosure round to.
        """
        values = self.batch.on(self, leaves, tile, self.scratch)
        if self.quick:
            low, high = self._round_ends(values, tile, target)
            uncertain = self._differ(low, high)
            if not self.proved:
                uncertain |= self._beyond(low, tile, high)
            if len(places := set_places(uncertain)) * RARE <= uncertain.size:
                return low, places
            self.quick = False
            values = self.batch.on(self, leaves, tile, self.scratch)  # again: the ends went over them
        low, uncertain = self._round_each(values, tile, target)
        return low, set_places(uncertain)

    def _beyond(self, low: Array, tile: Tile, memory: Array) -> Bools:
        """Where the results show that values may be larger than was guessed."""
        sizes = np.abs(low, out=memory).reshape(len(memory), -1)
        limit = tile.spread(self.limit).astype(np.float32)
        return np.greater(sizes, limit, out=self.scratch.take("beyond", sizes.shape, np.bool_)).reshape(low.shape)

    def at(self, values: Sequence[Floats], channels: NDArray[np.intp]) -> tuple[Array, Bools]:
        """Round the value at some positions, those of `BallBatch.at`: each has a radius of its own. And tell where that is certain."""
        leaves = [value.copy() for value in values]  # results may go over them
        result = self.batch.replay(self, leaves, lambda numbers: of_channels(numbers, channels)) + self.centre[channels]
        return round_ends(result, np.abs(result) * self.relative[channels] + self.absolute[channels], self.dtype)

    def _round_each(self, values: Floats, tile: Tile, target: Array) -> tuple[Array, Bools]:
        """The same for values of unknown size: each has a radius of its own."""
        low, high = self._memory(values, target)
        values = np.add(values, tile.spread(self.centre), out=self._place(values))
        radius = np.abs(values, out=self.scratch.take("radius", values.shape))
        radius *= tile.spread(self.relative)
        radius += tile.spread(self.absolute)
        low[...] = self._cast(np.subtract(values, radius, out=self.scratch.take("lower end", values.shape))).reshape(low.shape)
        values += radius
        high[...] = self._cast(values).reshape(low.shape)
        uncertain = self._differ(low, high)
        if self.dtype != np.float32:  # what is not a number may have the bits of another such
            uncertain |= ~np.isfinite(radius).reshape(uncertain.shape)
        return low, uncertain

    def _differ(self, low: Array, high: Array) -> Bools:
        if self.dtype != np.float32:
            low, high = low.view(f"i{low.itemsize}"), bits(high)
        return np.not_equal(low, high, out=self.scratch.take("uncertain", low.shape, np.bool_))

    def _round_ends(self, values: Floats, tile: Tile, target: Array) -> tuple[Array, Array]:
        """Round the values plus the first of the ends, and those plus the second as well."""
        low, high = self._memory(values, target)
        values = np.add(values, tile.spread(self.ends[0]), out=self._place(values))
        shaped = values.reshape(low.shape)
        low[...] = self._cast(shaped)
        values += tile.spread(self.ends[1])
        high[...] = self._cast(shaped)
        return low, high

    def _memory(self, values: Floats, target: Array) -> tuple[Array, Array]:
        """For the roundings of lower ends and of upper ones."""
        low = target if self._straight(target) else self.scratch.take("low", values.shape, self.dtype)
        return low, self.scratch.take("high", low.shape, self.dtype)

    def _place(self, values: Floats) -> Floats:
        """Where values may be changed: where they are, unless they are an operand's own."""
        return self.scratch.take("end", values.shape) if self.batch.kind == "leaf" else values

    def _cast(self, values: Floats) -> Array:
        """Values that are rounded when they are stored in an array of the results' dtype: NumPy does that, but for bfloat16."""
        return nearest(values, self.dtype) if self.twice else values

    @staticmethod
    def _straight(target: Array) -> bool:
        """Whether NumPy writes to the array as fast as to one that lies without gaps."""
        return target.shape[-1] >= STRAIGHT and target.strides[-1] == target.itemsize


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

    def shift(self, node: BallBatch, values: DoubleDouble, spread: Callable[[Floats], Floats]) -> DoubleDouble:
        """values + (hi + lo), those of the node's channel number."""
        return values + self._spread(node.right, spread)

    def scale(self, node: BallBatch, values: DoubleDouble, spread: Callable[[Floats], Floats]) -> DoubleDouble:
        """values * (hi + lo)."""
        return values * self._spread(node.right, spread)

    @staticmethod
    def _spread(ball: Ball, spread: Callable[[Floats], Floats]) -> DoubleDouble:
        return DoubleDouble(spread(ball.hi), spread(ball.lo) if np.count_nonzero(ball.lo) else ZERO)

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
        a, r = bounds
        self.batch, self.absolute, self.relative = batch, a * SLACK, (r + 2 * UNIT) * SLACK  # 2 UNIT: the rounding of lo -+ radius
        self.scaled = batch.left.left if batch.kind == "scale" and batch.left.kind == "leaf" and np.count_nonzero(a) else None

    def round(self, leaves: Sequence[Array], tile: Tile, target: Array) -> tuple[Floats, NDArray[np.intp]]:
        """The tile's values rounded to float64, and the places where that is not certain."""
        values = self.batch.on(self, leaves, tile, self.scratch)
        hi, lo = values.hi, values.lo
        radius = np.abs(hi)
        radius *= tile.spread(self.relative)
        radius += tile.spread(self.absolute)
        if self.scaled is not None:
            radius *= tile.load(leaves[self.scaled]) != 0  # zeros are exact, though products may underflow
        rounded = hi + (lo - radius)
        uncertain = rounded != hi + (lo + radius)
        rounded += 0.0  # an exact zero is +0
        return rounded, set_places(uncertain)

    def at(self, values: Sequence[Floats], channels: NDArray[np.intp]) -> tuple[Floats, Bools]:
        """Nothing is certain at single positions that is not in a tile."""
        return np.empty(len(channels)), np.zeros(len(channels), bool)
