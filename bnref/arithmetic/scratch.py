"""Memory for the temporaries of a tile, used again for the next one.

A large array that is freed goes back to the operating system, and its pages are zeroed again for the next: that costs more than the
arithmetic on it. And arrays that lie in large pages stay in a cache that is hardly larger than they are: small pages come from
anywhere, and compete for the same places of it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

import numpy as np

from ..typing import Array, Dtype

BLOCK = 2**22  # bytes: enough for the forward pass of float32 data
PAGE = 2**21  # bytes of a large page; NumPy asks for such in an array of two
LINE = 64  # bytes of a cache line
KEPT = 2**24  # bytes: the malloc of glibc, once it has seen so large an array freed, keeps twice as much for other temporaries


class Scratch:
    """Named temporaries. The array that `take` returned for a name is overwritten after the next `take` of that name."""

    def __init__(self) -> None:
        np.empty(KEPT, np.uint8)  # freed at once, and not even touched
        memory = np.empty(BLOCK + PAGE, np.uint8)
        start = -memory.__array_interface__["data"][0] % PAGE
        self.block = memory[start : start + BLOCK]
        self.clear()

    def clear(self) -> None:
        """Forget all names."""
        self.used = 0  # bytes of the block
        self.arrays: dict[tuple[Hashable, Dtype], tuple[Array, Array]] = {}  # their memory, and as they were given last

    def take(self, name: Hashable, shape: tuple[int, ...], dtype: Dtype = np.float64) -> Array:
        """The array of this name and dtype, in this shape; its values are whatever was there."""
        flat, array = self.arrays.get((name, dtype), (None, None))
        if flat is None or array is None or array.shape != shape:
            size = math.prod(shape)
            if flat is None or flat.size < size:
                flat = self._new(size, dtype)
            array = flat[:size].reshape(shape)
            self.arrays[name, dtype] = flat, array
        return array

    def _new(self, size: int, dtype: Dtype) -> Array:
        """Memory for so many numbers: of the block, while there is room."""
        start, length = self.used, size * np.dtype(dtype).itemsize
        self.used += -(-length // LINE) * LINE
        return np.empty(size, dtype) if self.is_full else self.block[start : start + length].view(dtype)

    @property
    def is_full(self) -> bool:
        """Whether the block had no room for all: names of earlier evaluations, of other shapes, fill it in the end."""
        return self.used > BLOCK


_idle: list[Scratch] = []  # appending and popping are atomic: threads may share it


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A Scratch for one evaluation; the next takes it up again."""
    lent = _idle.pop() if _idle else Scratch()
    try:
        yield lent
    finally:
        if lent.is_full:
            lent.clear()
        if not _idle:
            _idle.append(lent)
