"""Sums of operands and of products of two operands over the batch: as fast as float64 goes, with a radius for any order.

The cheap alternative to extraction.py, tried first. Each operand x is taken relative to its pivot p, d = x - p, and filled up
with zeros to a multiple of eight.

Lemma (BLOCKS). If every term passes through at most K additions, each rounding to nearest, in whatever order (BLAS, einsum, with
or without fused multiply-add), then with u = 2**-53 and up to the factor SLACK

    |computed sum of d * e - true|   <= (K + 3) u sqrt(Q R) + n 2**-1075,       Q = sum d**2, R = sum e**2.

    Each term is multiplied by at most K factors (1 + delta), |delta| <= u; one more each for d, e and d * e, which are rounded too;
    a product that underflows is off by half of 2**-1074 at most. Then Cauchy-Schwarz. The computed Q is itself such a sum: it is
    at least (1 - (K + 3) u) Q - n 2**-1075, which SLACK and the term n 2**-1074 in the norms make good.

Lemma (EIGHTS). If the terms are summed by eights, the m sums s_j with L additions each to sums v_i, and these with K additions each,
the sum of d is off by at most

    (c + L) u sqrt(8 m Q) + K u sum |v_i|,       c = sqrt(189 / 8),

and by another u sqrt(n Q) where the pivot is not 0, for then d is rounded.
    In a sum of eight the i-th term passes through k_i additions: it is off by u sum k_i |d_i| <= u sqrt(sum k_i**2 sum d_i**2) at
    most. One term after the other makes the sum of squares largest: 1 + 4 + ... + 49 + 49 = 189. Then Cauchy-Schwarz over the
    sums; as over all d for the sum of the |s_j|. In data with both signs the v_i are small: means come out sharper than by the
    first lemma, and small results are known well only if the mean is.

Lemma (COARSE). Let all x and p be multiples of a power of two g, and |p| + |d| <= 2**51 g, |d| <= m for all d. If n m <= 2**53 g,
the sums of d are exact; if n m**2 <= 2**53 g**2 and g >= 2**-530, those of the products of such operands are, too.
    All terms and partial sums are multiples of g, or of g_x g_y, of at most 2**53 times that. Adding and subtracting
    1.5 * 2**52 g shows whether x is a multiple: the sum lies between 2**52 g and 2**53 g, where floats are those.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, groupby

import numpy as np

from ..typing import Array, Bools, Floats
from .double_double import ZERO
from .polynomial import Monomial
from .scratch import Scratch
from .tiles import Tile, tiles

FEW = 1024  # up to so many values per channel, means are often ties: worth a look whether sums are exact
U = 2.0**-53
SLACK = 1 + 2.0**-30
_ONES = np.ones(8)
EIGHT = (189 / 8) ** 0.5


class _TileSums:
    """What is summed over tiles of one shape in the same channels.

    The terms of a tile are summed by eights, these sums tile by tile, two of as many tiles at a time, and in the end by halves: so
    each term passes through few additions.
    """

    def __init__(self, shape: tuple[int, ...], axis: int, operands: int, pairs: list[Monomial], scratch: Scratch) -> None:
        """shape: of a tile that is loaded. pairs: the products of two operands that are summed, first those of each with itself."""
        self.axis, self.operands, self.pairs, self.scratch = axis, operands, pairs, scratch
        self.length, self.channels = shape if axis == 0 else shape[::-1]
        self.eights = -(-self.length // 8)
        self.filled = (8 * self.eights, self.channels) if axis == 0 else (self.channels, 8 * self.eights)
        self.inside, self.beyond = ((slice(None),) * axis + (cut,) for cut in (slice(self.length), slice(self.length, None)))
        self.lead, self.width = (1, self.eights * self.channels) if axis == 0 else (self.channels, self.eights)
        self.kept: list[tuple[Floats, int]] = []  # sums of so many tiles: of ..., 4, 2, 1
        self.largest: Floats = np.zeros((operands, self.lead, self.width))  # sums of eight squares

    def load(self, tile: Tile, array: Array, pivot: Floats | None, name: int) -> Floats:
        """The values of a tile, less the pivot, filled up with zeros."""
        part = tile.part(array)
        values = self.scratch.take(name, self.filled)
        inside = values[self.inside]
        np.copyto(inside.reshape(part.shape), part)
        values[self.beyond] = 0
        if pivot is not None:
            inside -= tile.spread(pivot)
        return values

    def add(self, pieces: Sequence[Floats]) -> None:
        """Add the pieces of a tile, one of each operand."""
        lanes = [piece.reshape(self.lead, 8, self.width) for piece in pieces]
        rows = self.operands + len(self.pairs)
        sums = self.scratch.take(("sums", self.length, len(self.kept)), (rows, self.lead, self.width))
        for k, lane in enumerate(lanes):
            np.matmul(_ONES, lane, out=sums[k])
        for k, (i, j) in enumerate(self.pairs, self.operands):
            np.einsum("ljk,ljk->lk", lanes[i], lanes[j], out=sums[k])
        np.maximum(self.largest, sums[self.operands : 2 * self.operands], out=self.largest)
        size = 1
        while self.kept and self.kept[-1][1] == size:
            kept, _ = self.kept.pop()
            kept += sums
            sums, size = kept, 2 * size
        self.kept.append((sums, size))

    def total(self) -> tuple[Floats, Floats]:
        """The sums (rows, channels) of the operands and of the products, and those of the |v_i| of the operands."""
        sums, _ = self.kept.pop()
        while self.kept:
            sums += self.kept.pop()[0]
        sums = self._by_channel(sums)
        sizes = np.add.reduce(np.abs(sums[: self.operands]), axis=2)
        while (size := sums.shape[2]) > 1:
            half = (size + 1) // 2
            sums[:, :, : size - half] += sums[:, :, half:]
            sums = sums[:, :, :half]
        return sums[:, :, 0], sizes

    def peaks(self) -> Floats:
        """The largest sum of eight squares (operands, channels): no square is larger."""
        peaks: Floats = self._by_channel(self.largest).max(axis=2)
        return peaks

    def _by_channel(self, sums: Floats) -> Floats:
        """Sums of eights as (rows, channels, eights)."""
        return sums.reshape(len(sums), self.eights, self.channels).transpose(0, 2, 1) if self.axis == 0 else sums

    @property
    def count(self) -> int:
        """How many tiles were added, until their `total` is taken."""
        return sum(size for _, size in self.kept)

    @property
    def across(self) -> int:
        """So many additions takes a sum of eight part in until all tiles are added."""
        return (self.count - 1).bit_length()

    @property
    def folds(self) -> int:
        """And so many after that."""
        return (self.eights - 1).bit_length()


class PlainSums:
    """Moments of all operands about their pivots in the channels start, ..., stop - 1.

    moment(monomial) is (hi, lo, radius), arrays (C,), with |true - (hi + lo)| <= radius, lo is 0; where the data are not finite, or
    their squares overflow, the radius is not finite either. peaks[k] (C,): no value of operand k is farther from its pivot.
    """

    def __init__(self, arrays: Sequence[Array], pivots: Sequence[Floats], start: int, stop: int, scratch: Scratch) -> None:
        operands, self.n = len(arrays), arrays[0][:, :1].size
        self.pairs: list[Monomial] = [*((k, k) for k in range(operands)), *combinations(range(operands), 2)]
        self.shifted = [bool(np.count_nonzero(pivot)) for pivot in pivots]
        self.tiny = 2.0**-1074 if any(array.dtype.itemsize == 8 for array in arrays) else 0.0  # other formats' squares do not underflow
        columns = []
        for _, same in groupby(tiles(arrays[0].shape, start, stop), key=lambda tile: tile.channels.start):
            groups: dict[tuple[int, ...], _TileSums] = {}  # of the tiles of a shape
            for tile in same:
                part = tile.part(arrays[0])
                if (shape := (len(part), part.size // len(part))) not in groups:
                    groups[shape] = _TileSums(shape, tile.axis, operands, self.pairs, scratch)
                groups[shape].add([groups[shape].load(tile, array, pivot if shifted else None, k)
                                   for k, (array, pivot, shifted) in enumerate(zip(arrays, pivots, self.shifted))])
            columns.append(self._total(list(groups.values())))
        rows, sizes, largest = (np.concatenate(each, axis=1) for each in zip(*columns))
        self.sums, self.products = rows[:operands], rows[operands:]
        self.folded = self.folds * sizes
        self.peaks = np.sqrt(largest + 8 * self.tiny) * SLACK
        nowhere = np.zeros(stop - start, bool)
        self.exact = [(nowhere, nowhere)] * operands
        if self.n <= FEW:
            self.exact = [_exactness(array[:, start:stop], pivot, peak) for array, pivot, peak in zip(arrays, pivots, self.peaks)]

    def _total(self, groups: list[_TileSums]) -> tuple[Floats, Floats, Floats]:
        """Put together what was summed over all tiles of some channels. The counts that the lemmas need are the same for all channels."""
        self.across = max(group.across for group in groups)
        self.folds = max(group.folds for group in groups) + len(groups) - 1
        self.terms = sum(group.count * 8 * group.eights for group in groups)
        rows, sizes = zip(*(group.total() for group in groups))
        return sum(rows), sum(sizes), np.maximum.reduce([group.peaks() for group in groups])

    def moment(self, monomial: Monomial) -> tuple[Floats, Floats, Floats]:
        """(hi, lo, radius) of the sum over the batch of x - p, or of the product of two such."""
        squares = [self.products[k] for k in monomial]
        norms = np.sqrt(np.add(squares, self.n * self.tiny))
        if len(monomial) == 1:
            value, k = self.sums[monomial[0]], monomial[0]
            units = (EIGHT + self.across + self.shifted[k]) * np.sqrt(self.terms) * norms[0] + self.folded[k]  # Lemma EIGHTS
            exact = self.exact[k][0]
        else:
            value = self.products[self.pairs.index(monomial)]
            units = (7 + self.across + self.folds + 3) * norms[0] * norms[1]  # Lemma BLOCKS
            exact = self.exact[monomial[0]][1] & self.exact[monomial[1]][1]
        radius = units * (U * SLACK) + self.n * self.tiny
        return value, ZERO, np.where(exact, 0, radius) if np.count_nonzero(exact) else radius


def _exactness(part: Array, pivot: Floats, peak: Floats) -> tuple[Bools, Bools]:
    """Where Lemma COARSE shows the sums of the values of an (N, C, *) array to be exact, and those of their products."""
    n, values = part[:, :1].size, np.moveaxis(part, 1, -1)
    reach, found = (np.abs(pivot) + peak) * 2.0**-51, []
    for least in (n * 2.0**-53 * peak, np.maximum(np.sqrt(n) * 2.0**-26 * peak, 2.0**-530)):
        least = np.maximum(least, reach)
        sigma = np.ldexp(1.5 * 2.0**52, np.frexp(np.where(np.isfinite(least), least, 0))[1])
        multiples = ((values + sigma) - sigma == values).all(axis=tuple(range(values.ndim - 1)))
        found.append(multiples & ((pivot + sigma) - sigma == pivot) & np.isfinite(least))
    return found[0], found[1]
