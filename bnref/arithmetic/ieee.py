"""The number system of plain float64 arithmetic, for channels in which an operand is NaN or infinite.

Its values are IEEE's: every operation rounded to float64, NaN and infinities as IEEE 754 has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..typing import Array, Floats
from .recording import replay
from .tiles import Tile, tiles


class Ieee:
    """The number system of the channels start, ..., stop - 1. A channel number is a float64 array (C,) or (1,)."""

    def __init__(self, leaves: Sequence[Array], start: int, stop: int) -> None:
        self.leaves, self.start, self.stop = leaves, start, stop
        self.n = leaves[0][:, :1].size if leaves else 0

    def sum(self, batch: Any) -> Floats:
        """The sum over the batch, tile after tile."""
        total = np.zeros(self.stop - self.start)
        for tile, values in self.tiles(batch):
            total[tile.channels] += np.add.reduce(values, axis=tile.axis)
        return total

    def count(self, batch: Any) -> Floats:
        """The number of values of each channel."""
        return np.array([float(self.n)])

    def sqrt(self, value: Floats) -> Floats:
        """The square root; NaN of what is negative."""
        return np.sqrt(value)

    def tiles(self, batch: Any) -> Iterator[tuple[Tile, Floats]]:
        """The values of a batch result, tile by tile."""
        for tile in tiles(self.leaves[0].shape, self.start, self.stop):
            operands = [tile.load(leaf) for leaf in self.leaves]
            yield tile, replay(batch, operands, tile.spread)
