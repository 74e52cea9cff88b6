"""Memory for the temporaries of a tile, used again for the next one.

A large array that is freed goes back to the operating system, and its pages are zeroed again for the next: that costs more than the
arithmetic on it.
"""

from contextlib import contextmanager

import numpy as np


class Scratch:
    """Named temporaries. The array that `take` returned for a name is overwritten after the next `take` of that name."""

    def __init__(self):
        self.arrays = {}

    def take(self, name, shape, dtype=np.float64):
        size = 1
        for extent in shape:
            size *= extent
        flat = self.arrays.get((name, dtype))
        if flat is None or flat.size < size:
            flat = self.arrays[name, dtype] = np.empty(size, dtype)
        return flat[:size].reshape(shape)


_idle = []  # appending and popping are atomic: threads may share it


@contextmanager
def scratch():
    """A Scratch for one evaluation."""
    lent = _idle.pop() if _idle else Scratch()
    try:
        yield lent
    finally:
        if not _idle:
            _idle.append(lent)
