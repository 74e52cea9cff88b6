"""`evaluate`: run a program on arrays, every result correctly rounded.

The fast number systems come first; where their rounding test does not decide, the exact one does; where an operand is not
finite, IEEE arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ..typing import Array, Bools, Dtype, Floats, Program
from .ball import Ball
from .ball_batch import BallBatch, Balls, TileArithmetic
from .exact import Positions, is_nan, is_screened, number, round_exact
from .ieee import Ieee
from .moments import TiledChannel
from .recording import Batch, run
from .refined import Indices, Refined, Scaled
from .rounding import format_of, nearest, round_interval
from .scratch import Scratch, scratch
from .tile_arithmetic import DoubleDoubles, Float64
from .tiles import BUFFER, Tile, merge_spatial_axes, tiles

BLOCK = 4096  # channels worked on at a time: bounds the memory for per-channel numbers
FEW_OPEN = 2  # so many results left open are decided exactly at once: that takes no longer than sharper sums for them
MANY = 2**22  # values of a channel: up to so many, cheap sums are worth trying first, as in few channels a result is too close to call
SOME = 2**17  # from more on, nothing is decided exactly that sharper sums may decide
SEVERAL = 2**10  # from more on, sharper sums are tried before the sharpest: of fewer values, many results left open are ties
DEFERRED = 2**15  # elements that may wait to be decided, and that are decided at a time
LARGE = 2**17  # batch results of more values are worth a search for a cheaper form
BLURRED = 2.0**-60  # a radius beyond this share of a number, where sums are sharp: something has underflowed
KEPT = 512  # channels whose exact results are remembered
DECISIONS = 100_000  # distinct values whose rounding is remembered, per channel block


def evaluate(program: Program, operands: Iterable[Any], dtypes: Iterable[Dtype]) -> tuple[Array, ...]:
    """Run a program of batch normalisation on arrays and round each result once, to nearest, ties to even.

    Parameters
    ----------
    program : called as program(*operands, xp=number_system); returns a value or a tuple of values made with
        + - * /, unary minus, ** and a positive int, and xp.sum(batch), xp.count(batch), xp.sqrt(channel).
    operands : arrays of shape (N, C, *) with at least two axes, all alike (batch); (C,) (channel); or numbers: int, float,
        Fraction (a float means the double that it is). Array dtypes float16, bfloat16, float32, float64.
    dtypes : one dtype per result.

    Returns
    -------
    A tuple of fresh arrays, one per result: (N, C, *) for a batch result, otherwise (C,).

    Raises
    ------
    TypeError
        If an operand is neither an array nor a number, or a dtype is none of these formats.
    ValueError
        If the shapes of operands do not fit together.

    Special cases
    -------------
    Where a result depends, in a channel, on an operand that is not finite, it is what float64 arithmetic gives there; other
    results and channels are not touched. Division by an exact zero counts it as +0, the root of a negative number is NaN;
    such an infinity or NaN goes on as the program is written, operation by operation, in exact numbers.
    An exact zero result is +0.
    """
    buffer = np.setbufsize(BUFFER)
    try:
        with np.errstate(all="ignore"), scratch() as memory:
            return Evaluation(program, operands, dtypes, memory).run()
    finally:
        np.setbufsize(buffer)


class Evaluation:
    """One call of `evaluate`."""

    def __init__(self, program: Program, operands: Iterable[Any], dtypes: Iterable[Dtype], memory: Scratch) -> None:
        self.memory = memory
        self.program = program
        self.operands = [operand[()] if isinstance(operand, np.ndarray) else operand for operand in operands]  # no array without axes
        self.stored = dtypes
        self.dtypes = [np.dtype(dtype).newbyteorder("=") for dtype in dtypes]
        self.formats = [format_of(dtype) for dtype in self.dtypes]
        arrays = {k: operand for k, operand in enumerate(self.operands) if isinstance(operand, np.ndarray)}
        for k, operand in enumerate(self.operands):
            if k not in arrays and not isinstance(operand, (int, float, Fraction, np.number)):
                raise TypeError(f"operands[{k}]: {operand!r}; allowed: an array of shape (N, C, *) or (C,), an int, a float, a Fraction")
        for array in arrays.values():
            format_of(array.dtype)
        self.batch = [k for k, array in arrays.items() if array.ndim > 1]
        self.channel = [k for k, array in arrays.items() if array.ndim == 1]
        shapes = {arrays[k].shape for k in self.batch}
        counts = {shape[1] for shape in shapes} | {arrays[k].shape[0] for k in self.channel}
        if len(shapes) > 1 or len(counts) > 1:
            given = [np.shape(operand) for operand in self.operands]
            raise ValueError(f"batch operands must have one shape (N, C, *) and channel operands (C,), not {given}")
        self.shape: tuple[int, ...] = shapes.pop() if shapes else ()
        self.C = counts.pop() if counts else 1
        self.leaves = merge_spatial_axes([self.operands[k] for k in self.batch])
        self.whole = all(abs(leaf.strides[1]) >= abs(leaf.strides[-1]) for leaf in self.leaves)  # whether a sample's channel lies in one piece
        self.n = self.leaves[0][:, :1].size if self.leaves else 0
        self.results: list[Array] = []

    def run(self) -> tuple[Array, ...]:
        """Block by block."""
        for start in range(0, max(self.C, 1), BLOCK):
            Block(self, start, min(start + BLOCK, self.C)).run()
        return tuple(result.astype(dtype, copy=False) for result, dtype in zip(self.results, self.stored))

    def allocate(self, values: Sequence[Any], batch: type) -> None:
        """Make the arrays for the results, once a run of the program has shown which of them are batch results."""
        if not self.results:
            shapes = [self.shape if isinstance(value, batch) else (self.C,) for value in values]
            self.results = [np.empty(shape, dtype) for shape, dtype in zip(shapes, self.dtypes)]
            self.views = [
                result.reshape(self.leaves[0].shape) if isinstance(value, batch) else result
                for result, value in zip(self.results, values)
            ]

    def others(self, channel: Callable[[Any], Any], scalar: Callable[[Any], Any]) -> dict[int, Any]:
        """The operands that are no batches, by their numbers, as a number system wants them."""
        return {k: channel(operand) if k in self.channel else scalar(operand)
                for k, operand in enumerate(self.operands) if k not in self.batch}

    def call(self, leaves: Iterable[Any], others: dict[int, Any], xp: Any) -> tuple[Any, ...]:
        """Run the program with these operands in the number system xp."""
        operands = dict(zip(self.batch, leaves)) | others
        return run(self.program, (operands[k] for k in range(len(operands))), xp)

    def enclosed(self, leaves: Sequence[Array], start: int, stop: int, limbs: int,
                 channels: list[int] | None = None) -> tuple[tuple[Any, ...], bool]:
        """The results over balls, and whether any sum was taken."""
        which = slice(start, stop) if channels is None else channels
        xp = Balls(leaves, start, stop, limbs, self.memory)
        others = self.others(lambda numbers: xp.number.of(numbers[which]), xp.number.of)
        values = self.call(xp.operands(), others, xp)
        return values, xp.sums is not None


class Block:
    """The channels start, ..., stop - 1 of an evaluation."""

    def __init__(self, evaluation: Evaluation, start: int, stop: int) -> None:
        self.evaluation, self.start, self.stop = evaluation, start, stop
        self.leaves, self.n = evaluation.leaves, evaluation.n
        self.exact: dict[int, tuple[Any, ...]] = {}  # channel: its exact results
        self.ready: dict[tuple[int, int], Positions | None] = {}  # (result, channel): the same, ready to be rounded
        self.undefined: set[tuple[int, int]] = set()  # (result, channel): NaN throughout; kept, as exact results may be forgotten
        self.decided: dict[tuple[int, tuple[Any, ...]], float] = {}  # (result, (channel, operand values)): rounded value
        self.refined: list[Refined] = []  # the sharper and sharper sums that are tried before exact ones
        self.scaled = Scaled(evaluation, start)
        self.deferred: list[tuple[Tile, Indices]] = []  # elements not decided yet: their places in tiles
        self.waiting = 0  # and how many

    def run(self) -> None:
        """All results of the block's channels."""
        evaluation = self.evaluation
        if any(dtype == np.float64 for dtype in evaluation.dtypes):
            limbs = 3
        else:
            limbs = 0 if self.n <= MANY else 1
        values, summed = evaluation.enclosed(self.leaves, self.start, self.stop, limbs)
        self.refined = [Refined(evaluation, self.start, k) for k in ((1, 2) if self.n > SEVERAL else (2,)) if summed and k > limbs]
        self.spared = FEW_OPEN if self.n <= SOME else 0
        evaluation.allocate(values, BallBatch)
        balls: dict[np.dtype[Any], list[tuple[int, Ball]]] = {}
        for i, value in enumerate(values):
            if isinstance(value, BallBatch):
                self.round_batch(i, value)
            else:
                balls.setdefault(evaluation.dtypes[i], []).append((i, Ball.of(value)))
        for dtype, same in balls.items():
            self.round_channels(same, dtype)

    def round_channels(self, numbered: list[tuple[int, Ball]], dtype: np.dtype[Any]) -> None:
        """Store results of one dtype that are channel numbers: (i, ball) pairs."""
        parts = np.zeros((3, len(numbered), self.stop - self.start))
        for row, (_, ball) in enumerate(numbered):
            parts[0, row], parts[1, row], parts[2, row] = ball.hi, ball.lo, ball.radius
        rounded, certain = round_interval(parts[0], parts[1], parts[2], dtype)
        for row, (i, _) in enumerate(numbered):
            self.evaluation.views[i][self.start : self.stop] = rounded[row]
            if np.count_nonzero(certain[row]) < self.stop - self.start:
                self.settle_channels(i, np.flatnonzero(~certain[row]), dtype)

    def settle_channels(self, i: int, uncertain: Indices, dtype: np.dtype[Any]) -> None:
        """Store result i, a channel number, of channels where it is not certain yet: by sharper sums, then exactly."""
        result, screened = self.evaluation.views[i], np.zeros(self.stop - self.start, bool)
        for refined in self.refined:
            if uncertain.size > self.spared:
                result[self.start + uncertain], sure = refined.round(i, uncertain, [], dtype)
                uncertain = uncertain[~sure]
        for c in (self.start + uncertain).tolist():
            exact = self.exact_results(c)[i]
            if is_screened(exact):
                screened[c - self.start] = True
            else:
                result[c] = round_exact(exact, self.evaluation.formats[i])
        self.store_screened(i, screened)

    def round_batch(self, i: int, batch: BallBatch) -> None:
        """Store result i, a batch value, tile by tile."""
        screened = np.zeros(self.stop - self.start, bool)  # channels whose results are left to IEEE arithmetic
        evaluation, memory = self.evaluation, self.evaluation.memory
        precision = DoubleDoubles(memory) if evaluation.dtypes[i] == np.float64 else Float64(memory)
        reach = guess = None
        if isinstance(precision, Float64) and self.leaves[0].size > LARGE:
            reach, batch = batch.reach(), batch.fused()
            guess = batch.guess() if reach is None else None
        bounds = self.bounds(batch, precision)
        reach = None if reach is None else reach * (1 + bounds[1]) + bounds[0]
        precision.prepare(batch, bounds, evaluation.dtypes[i], reach, guess)
        for tile in tiles(self.leaves[0].shape, self.start, self.stop, precision.share(len(self.leaves)), evaluation.whole):
            target = tile.part(evaluation.views[i])
            rounded, places = precision.round(self.leaves, tile, target)
            if len(places):
                self.defer(tile, places)
            if rounded is not target:
                target[...] = rounded.reshape(target.shape)
            if self.waiting > DEFERRED:
                self.settle(i, batch, precision, screened)
        self.settle(i, batch, precision, screened)
        self.store_screened(i, screened)

    def bounds(self, batch: BallBatch, precision: TileArithmetic) -> tuple[Floats, Floats]:
        """The bounds of a batch value, a number for each channel."""
        a, r = batch.bounds(precision)
        return np.zeros(self.stop - self.start) + a, np.zeros(self.stop - self.start) + r

    def defer(self, tile: Tile, places: Indices) -> None:
        """Put the elements of a tile that are not certain aside; `settle` decides many at once."""
        self.deferred.append((tile, places))
        self.waiting += len(places)

    def settle(self, i: int, batch: BallBatch, precision: TileArithmetic, screened: Bools) -> None:
        """Decide the elements put aside, but for screened channels."""
        if not self.deferred:
            return
        where = [np.concatenate(axis) for axis in zip(*(tile.indices(places) for tile, places in self.deferred))]
        self.deferred, self.waiting = [], 0
        for first in range(0, len(where[0]), DEFERRED):
            some = tuple(indices[first : first + DEFERRED] for indices in where)
            channels = some[1] - self.start  # counted from the block's first
            if np.count_nonzero(screened):
                wanted = ~screened[channels]
                some, channels = tuple(indices[wanted] for indices in some), channels[wanted]
            values = [leaf[some].astype(np.float64) for leaf in self.leaves]
            decided, certain = precision.at(values, channels)
            if np.count_nonzero(certain) < len(certain):
                decided[~certain] = self.settle_open(i, batch, channels[~certain], [value[~certain] for value in values], screened)
            self.evaluation.views[i][some] = decided

    def settle_open(self, i: int, batch: BallBatch, channels: Indices, values: list[Floats], screened: Bools) -> Array:
        """Result i of elements that float64 leaves open: at twice its precision, with sharper sums or scaled, then exactly."""
        dtype = self.evaluation.dtypes[i]
        ball = batch.at(values, channels)
        decided, certain = round_interval(ball.hi, ball.lo, ball.radius, dtype)
        for refined in self.refined:
            if np.count_nonzero(certain) < len(certain) - self.spared:
                again = np.flatnonzero(~certain & np.isfinite(ball.radius))
                decided[again], certain[again] = refined.round(i, channels[again], [value[again] for value in values], dtype)
        if np.count_nonzero(certain) < len(certain):
            known = np.isfinite(ball.radius) & (bool(self.refined) | (ball.radius <= np.abs(ball.hi) * BLURRED))
            lost = np.flatnonzero(~(certain | known))
            if len(lost) > FEW_OPEN:
                decided[lost], certain[lost] = self.scaled.round(i, channels[lost], [value[lost] for value in values], dtype)
        if np.count_nonzero(certain) < len(certain):
            decided[~certain] = self.decide(i, channels[~certain], [value[~certain] for value in values], screened)
        return decided

    def decide(self, i: int, channels: Indices, values: list[Floats], screened: Bools) -> Array:
        """Result i of elements, decided exactly, each distinct one once; in channels that are screened whatever."""
        order = np.argsort(channels, kind="stable")  # channel by channel: the exact results of only so many are remembered
        decided, rounded, passed = self.decided, [], set()
        for key in zip((channels[order] + self.start).tolist(), *(value[order].tolist() for value in values)):
            if (i, key) not in decided and key[0] not in passed:
                if len(decided) >= DECISIONS:
                    decided.clear()
                if positions := self.positions(i, key[0]):
                    decided[i, key] = positions.round(key[1:])
                else:
                    passed.add(key[0])
                    screened[key[0] - self.start] = True
            rounded.append(decided.get((i, key), 0.0))
        results = np.empty(len(order), self.evaluation.dtypes[i])
        results[order] = nearest(np.array(rounded), self.evaluation.dtypes[i])
        return results

    def exact_results(self, c: int) -> tuple[Any, ...]:
        """The results of the program in channel c: exact numbers, SCREENED, or batch values over exact numbers."""
        if c not in self.exact:
            if len(self.exact) >= KEPT:
                self.exact.clear()
                self.ready.clear()
            xp = TiledChannel(self.leaves, c)
            self.exact[c] = self.evaluation.call(
                xp.operands, self.evaluation.others(lambda numbers: number(float(numbers[c])), number), xp)
        return self.exact[c]

    def positions(self, i: int, c: int) -> Positions | None:
        """Result i in channel c, to be rounded exactly; None if it is screened, or NaN at every position."""
        if (i, c) not in self.ready:
            result = self.exact_results(c)[i]
            if is_nan(result):
                self.undefined.add((i, c))
            whole = is_nan(result) or is_screened(result)
            self.ready[i, c] = None if whole else Positions(result, len(self.leaves), self.evaluation.formats[i])
        return self.ready[i, c]

    def store_screened(self, i: int, channels: Bools) -> None:
        """Store result i, in these channels of the block, without a look at single positions: NaN, or what float64 arithmetic gives."""
        for c in (self.start + np.flatnonzero(channels)).tolist():
            if (i, c) in self.undefined:
                self.evaluation.views[i][:, c] = np.nan
            else:
                self.store_ieee(i, c)

    def store_ieee(self, i: int, c: int) -> None:
        """Store result i of channel c by float64 arithmetic."""
        evaluation = self.evaluation
        xp = Ieee(self.leaves, c, c + 1)
        leaves = [Batch.operand(k) for k in range(len(self.leaves))]
        others = evaluation.others(lambda numbers: numbers[c : c + 1].astype(np.float64), lambda scalar: np.array([float(scalar)]))
        value = evaluation.call(leaves, others, xp)[i]
        if isinstance(value, Batch):
            for tile, values in xp.tiles(value):
                tile.store(evaluation.views[i], nearest(values, evaluation.dtypes[i]))
        else:
            evaluation.views[i][c : c + 1] = nearest(np.asarray(value), evaluation.dtypes[i])
