"""Memory for the temporaries of a tile, used again for the next one.

A large array that is freed goes back to the operating system, and its pages are zeroed again for the next: that costs more than the
arithmetic on it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

import numpy as np

from ..typing import Array, Dtype

KEPT = 2**24  # bytes: the malloc of glibc, once it has seen so large an array freed, keeps twice as much for other temporaries


class Scratch:
    """Named temporaries. The array that `take` returned for a name is overwritten after the next `take` of that name."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[Hashable, Dtype], Array] = {}  # as they were given last: views of what may be larger
        np.empty(KEPT, np.uint8)  # freed at once, and not even touched

    def take(self, name: Hashable, shape: tuple[int, ...], dtype: Dtype = np.float64) -> Array:
        """The array of this name and dtype, in this shape; its values are whatever was there."""
        array = self.arrays.get((name, dtype))
        if array is None or array.shape != shape:
            size, flat = math.prod(shape), None if array is None else array.base
            if flat is None or flat.size < size:
                flat = np.empty(size, dtype)
            array = self.arrays[name, dtype] = flat[:size].reshape(shape)
        return array


_idle: list[Scratch] = []  # appending and popping are atomic: threads may share it


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A Scratch for one evaluation."""
    lent = _idle.pop() if _idle else Scratch()
    try:
        yield lent
    finally:
        if not _idle:
            _idle.append(lent)
