"""Cutting (N, C, *) arrays into tiles of float64 numbers that fit the cache.

A loaded tile has two axes. Usually it is (channels, values) and the batch axis is 1; an (N, C) array of many channels
is cut into (rows, channels), the batch axis is 0: it is read in the order in which it lies.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..typing import Array, Bools, Floats
from .scratch import Scratch

SHORTEST = 1568  # values per channel and tile that are enough, half of 56 x 56: more channels make longer reads
TILE = 64 * SHORTEST  # values; about four float64 temporaries of this size live at a time: 3 MiB; of double-doubles more
WIDE = 32  # channels from which (N, C) arrays are worked on as they lie
BUFFER = 128  # values, of NumPy's buffers: rows at least as long need none, and are three times faster beside a number each
LONGEST = 32768  # values per channel and tile: the longest float64 sum, hence the worst rounding error of one
FEW = 8  # flags: so many are found faster one at a time than all at once


T = TypeVar("T", bound=np.generic)


class Tile(NamedTuple):
    """cut: slices into the arrays. channels: slice of the channels, counted from the block's first. axis: the batch axis."""

    cut: tuple[slice | int, ...]
    channels: slice
    axis: int

    def part(self, array: Array) -> Array:
        """The tile of an array: a view, the channels first unless the batch axis is."""
        part = array[self.cut]
        return part.swapaxes(0, 1) if self.axis == 1 else part

    def load(self, array: Array, scratch: Scratch | None = None, name: Hashable = None) -> Floats:
        """The tile of an array as float64, perhaps in the scratch array `name`; not to be written to: it may be a view."""
        part = self.part(array)
        if scratch is None or part.dtype == np.float64 and part.flags.c_contiguous:
            values = np.ascontiguousarray(part, dtype=np.float64)
        else:
            values = scratch.take(name, part.shape)
            values[...] = part
        return values.reshape(values.shape[0], -1) if values.ndim > 2 else values

    def store(self, array: Array, values: Array) -> None:
        """Store values, which lie as the tile does, into the array."""
        part = self.part(array)
        part[...] = values.reshape(part.shape)

    def spread(self, numbers: NDArray[T]) -> NDArray[T]:
        """Per-channel numbers of the block (C,), or one for all (1,), in the shape that broadcasts against the tile."""
        return self.column(of_channels(numbers, self.channels))

    def indices(self, places: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """The indices into the arrays, per axis, of places in the tile's part, counted through."""
        cut = [cut if isinstance(cut, slice) else slice(cut, cut + 1) for cut in self.cut]
        order = [1, 0, *range(2, len(cut))] if self.axis == 1 else [*range(len(cut))]  # of the axes of the part; its own inverse
        inside = np.unravel_index(places, [cut[axis].stop - cut[axis].start for axis in order])
        return [inside[order[axis]] + each.start for axis, each in enumerate(cut)]

    def column(self, numbers: NDArray[T]) -> NDArray[T]:
        """Numbers of the tile's own channels in the shape that broadcasts against the tile."""
        return numbers[:, np.newaxis] if self.axis == 1 else numbers


def of_channels(numbers: NDArray[T], channels: slice | NDArray[np.intp]) -> NDArray[T]:
    """The numbers of these channels, (C,), or the one for all, (1,), as it is."""
    return numbers[channels] if len(numbers) > 1 else numbers


def dot(a: Floats, b: Floats, axis: int) -> Floats:
    """The sums of a * b over the batch axis of two tiles, in any order."""
    sums: Floats
    if axis == 0:
        sums = np.einsum("nc,nc->c", a, b)
    else:
        sums = np.matmul(a[:, np.newaxis, :], b[:, :, np.newaxis])[:, 0, 0]
    return sums


def _ranges(start: int, stop: int, step: int) -> list[slice]:
    return [slice(i, min(i + step, stop)) for i in range(start, stop, step)]


def even(size: int, most: int) -> int:
    """The length of the fewest pieces of at most so much each, as alike as can be."""
    return -(-size // -(-size // most))


def merge_spatial_axes(arrays: Sequence[Array]) -> Sequence[Array]:
    """Views of the arrays with their spatial axes made one, where none of them would have to be copied for that."""
    if not all(_is_regular(array) for array in arrays):
        return arrays
    return [array.reshape(*array.shape[:2], math.prod(array.shape[2:])) for array in arrays]


def _is_regular(array: Array) -> bool:
    """Whether one step length leads through all values of a sample's channel, the last axis fastest."""
    axes = [(size, stride) for size, stride in zip(array.shape[2:], array.strides[2:]) if size != 1]
    return not array.size or all(outer == size * inner for (_, outer), (size, inner) in itertools.pairwise(axes))


def tiles(shape: tuple[int, ...], start: int, stop: int, share: int = 1, whole: bool = False) -> Iterator[Tile]:
    """The tiles of the channels start, ..., stop - 1 of an (N, C, *) array, each channel's values in a fixed order.

    share: each tile has at most TILE / share values.
    whole: for work on each value alone, where channels are not better together: rather fewer of them than parts of a sample's
    channel, so that long reads go on from one channel to the next; and no limit to what a channel has in a tile.
    """
    rows, spatial = shape[0], shape[2:]
    width = math.prod(spatial)
    if rows == 0 or width == 0 or stop == start:
        return
    most = TILE // share
    wide = width == 1 and stop - start >= WIDE
    least = max(min(rows * width, SHORTEST), width if whole else 1)  # values per channel
    channels = even(stop - start, max(2048, most // rows) if wide else max(most // least, 1))
    room = max(most // channels, 1)
    if not whole:
        room = min(room, LONGEST)
    steps: list[int] = []  # per spatial axis, from the last: as much of it as fits
    for size in reversed(spatial):
        steps.insert(0, even(size, room))
        room = max(room // size, 1)
    length = even(rows, room)
    cuts: list[tuple[slice | int, ...]] = [(0,) * len(spatial)]
    if not wide:
        cuts = list(itertools.product(*(_ranges(0, size, step) for size, step in zip(spatial, steps))))
    for c in _ranges(start, stop, channels):
        own = slice(c.start - start, c.stop - start)
        for n in _ranges(0, rows, length):
            for cut in cuts:
                yield Tile((n, c, *cut), own, 0 if wide else 1)


def set_places(flags: Bools) -> NDArray[np.intp]:
    """Where flags are set, counted through; looked for one by one as long as they are few."""
    places: list[int] = []
    flags, start = flags.ravel(), 0
    while start < len(flags) and flags[place := start + int(flags[start:].argmax())]:
        if len(places) == FEW:
            return flags.nonzero()[0]
        places.append(place)
        start = place + 1
    return np.array(places, np.intp)
