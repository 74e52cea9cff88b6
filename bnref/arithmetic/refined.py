"""Results of single channels once more, for those that a block's numbers leave open: with sharper sums, or scaled."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..typing import Array, Bools, Floats
from .ball import Ball
from .ball_batch import BallBatch, Balls
from .rounding import round_interval
from .scaling import Exponents, degrees

if TYPE_CHECKING:
    from .evaluation import Evaluation

GATHERED = 2**24  # bytes of all operands in the channels that are worked on together
LONG = 2**20  # values of a channel that are still scaled
HIGH = 900  # binary digits that a scaled operand has before the point, at most
Indices: TypeAlias = NDArray[np.intp]


class Refined:
    """The results of a block over balls whose sums are sharp, for the channels that turn out to need them.

    start: the block's first channel.  (The block itself is not kept: a reference cycle would keep the memory of the results.)
    limbs: how sharp the sums are, as in `Balls`.
    """

    copies = 1  # of the operands that live at a time

    def __init__(self, evaluation: Evaluation, start: int, limbs: int = 2) -> None:
        self.evaluation, self.start, self.limbs = evaluation, start, limbs
        self.groups: list[tuple[Any, ...]] = []  # results of some channels
        self.place: dict[int, tuple[int, int]] = {}  # channel: (its group, its place there)

    def round(self, i: int, channels: Indices, values: list[Floats], dtype: np.dtype[Any]) -> tuple[Array, Bools]:
        """Result i, rounded, at positions given by channels (counted from the block's first) and operand values; and where certain."""
        if not len(channels):
            return np.empty(0, dtype), np.empty(0, bool)
        self._refine([c for c in np.unique(channels).tolist() if c not in self.place])
        groups, places = np.array([self.place[c] for c in channels.tolist()]).T
        rounded, certain = np.empty(len(channels), dtype), np.zeros(len(channels), bool)
        for group in np.unique(groups).tolist():
            here = groups == group
            ball = self._at(i, group, [value[here] for value in values], places[here])
            hi, lo, radius = (np.broadcast_to(part, places[here].shape) for part in (ball.hi, ball.lo, ball.radius))
            rounded[here], certain[here] = round_interval(hi, lo, radius, dtype)
        return rounded, certain

    def _refine(self, channels: list[int]) -> None:
        size = sum(leaf[:, :1].nbytes for leaf in self.evaluation.leaves) * self.copies
        together = max(GATHERED // size, 1)
        for first in range(0, len(channels), together):
            some = channels[first : first + together]
            values = self._evaluated([c + self.start for c in some])
            self.place.update({c: (len(self.groups), k) for k, c in enumerate(some)})
            self.groups.append(values)
            for value in values:
                if isinstance(value, BallBatch):
                    value.xp.release()

    def _evaluated(self, channels: list[int]) -> tuple[Any, ...]:
        """The results in these channels, counted from the first of all."""
        leaves = self.evaluation.leaves
        if len(channels) == 1:
            return self.evaluation.enclosed(leaves, channels[0], channels[0] + 1, self.limbs)[0]
        return self.evaluation.enclosed([np.take(leaf, channels, axis=1) for leaf in leaves], 0, len(channels), self.limbs, channels)[0]

    def _at(self, i: int, group: int, values: list[Floats], places: Indices) -> Ball:
        """Result i of a group at positions given by operand values and places in the group."""
        result = self.groups[group][i]
        ball: Ball = result.at(values, places) if isinstance(result, BallBatch) else Ball.of(result).take(places)
        return ball


class Scaled(Refined):
    """The results where the numbers of a program over- or underflow: on operands scaled by powers of two, channel by channel.

    In data near 1e200 the variance overflows although the outputs are of the size of 1. Nothing is decided where scaling itself
    loses a digit, in channels of more than `LONG` values, and where the program is not homogeneous.
    """

    copies = 8  # four in float64, where the operands are float32

    def __init__(self, evaluation: Evaluation, start: int) -> None:
        super().__init__(evaluation, start)
        self.scales: list[dict[int, NDArray[np.int64]]] = []  # of a group: {operand: the exponents of its scales (C,)}

    @cached_property
    def degrees(self) -> tuple[list[Exponents], list[Exponents]] | None:
        """Those of the operands and of the results; None where nothing is decided here."""
        evaluation = self.evaluation
        if evaluation.n > LONG:
            return None
        return degrees(evaluation.program, len(evaluation.operands), evaluation.batch)

    def round(self, i: int, channels: Indices, values: list[Floats], dtype: np.dtype[Any]) -> tuple[Array, Bools]:
        """As `Refined.round`."""
        if self.degrees is None:
            return np.empty(len(channels), dtype), np.zeros(len(channels), bool)
        return super().round(i, channels, values, dtype)

    def _evaluated(self, channels: list[int]) -> tuple[Any, ...]:
        assert self.degrees is not None
        evaluation, degrees_ = self.evaluation, self.degrees[0]
        others = evaluation.others(lambda numbers: Ball.of(numbers[channels]), Ball.of)
        leaves: list[Floats] = []
        scales: dict[int, NDArray[np.int64]] = {}
        for k, leaf in zip(evaluation.batch, evaluation.leaves):
            values = np.take(leaf, channels, axis=1).astype(np.float64)
            axes = (0, *range(2, values.ndim))
            size = np.frexp(np.abs(values).max(axis=axes))[1].astype(np.float64)
            for j, number in others.items():  # eps, for one, must not overflow where the data are tiny
                if (times := float(degrees_[j].get(k, 0))) > 0:
                    size = np.maximum(size, np.where(number.hi != 0, (np.frexp(number.hi)[1] - HIGH) / times, size))
            scales[k] = (2 * np.ceil(size / 2)).astype(np.int64)  # even, for their roots
            leaves.append(_scaled(values, -np.expand_dims(scales[k], axes)))
        self.scales.append(scales)
        xp = Balls(leaves, 0, len(channels), 3, evaluation.memory)
        scaled = {k: number.scaled(-_total(degrees_[k], scales, len(channels))) for k, number in others.items()}
        return evaluation.call(xp.operands(), scaled, xp)

    def _at(self, i: int, group: int, values: list[Floats], places: Indices) -> Ball:
        assert self.degrees is not None
        scales = {k: scale[places] for k, scale in self.scales[group].items()}
        ball = super()._at(i, group, [_scaled(value, -scales[k]) for k, value in zip(scales, values)], places)
        return ball.scaled(_total(self.degrees[1][i], scales, len(places)))


def _scaled(values: Floats, exponents: NDArray[np.int64]) -> Floats:
    """values * 2**exponents, NaN where that loses a digit."""
    scaled = np.ldexp(values, exponents)
    return np.where(np.ldexp(scaled, -exponents) == values, scaled, np.nan)


def _total(exponents: Exponents, scales: dict[int, NDArray[np.int64]], count: int) -> NDArray[np.int64]:
    """The exponents of the scale of what has this degree."""
    return sum((int(2 * times) * (scales[k] // 2) for k, times in exponents.items()), np.zeros(count, np.int64))
