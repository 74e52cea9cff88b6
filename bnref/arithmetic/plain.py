"""Sums of operands and of products of two operands over the batch: as fast as float64 goes, with a radius for any order.

The cheap alternative to extraction.py, tried first. Each operand x is taken relative to its pivot p, d = x - p.

Lemma (BLOCKS). If every term passes through at most K additions, each rounding to nearest, in whatever order (BLAS, einsum, with
or without fused multiply-add), then with u = 2**-53 and up to the factor SLACK

    |computed sum of d - true|       <= (K + 1) u sqrt(n Q),       Q = sum d**2,
    |computed sum of d * e - true|   <= (K + 3) u sqrt(Q R) + n 2**-1075,       R = sum e**2.

    Each term is multiplied by at most K factors (1 + delta), |delta| <= u; one more each for d, e and d * e, which are rounded too;
    a product that underflows is off by half of 2**-1074 at most. Then Cauchy-Schwarz. The computed Q is itself such a sum: it is
    at least (1 - (K + 3) u) Q - n 2**-1075, which SLACK and the term n 2**-1074 in the norms make good.

Lemma (EIGHTS). If the terms are summed by eights, the m sums s_j by eights again, and the m / 8 sums t_k of these with K additions
each, the sum of d is off by at most c u sqrt(n Q) + c u sqrt(m S) + K u sqrt(m T / 8), S = sum s_j**2, T = sum t_k**2,
c = sqrt(189 / 8), and by another u sqrt(n Q) where the pivot is not 0, for then d is rounded.
    In a sum of eight the i-th term passes through k_i additions: it is off by u sum k_i |d_i| <= u sqrt(sum k_i**2 sum d_i**2) at
    most. One term after the other makes the sum of squares largest: 1 + 4 + ... + 49 + 49 = 189. Then Cauchy-Schwarz over the
    sums; for the last part the first lemma. As sums of data with both signs are small, S and T are about Q: means come out
    sharper than by the first lemma, and small results are known well only if the mean is.

Lemma (COARSE). Let all x and p be multiples of a power of two g, and |p| + |d| <= 2**51 g, |d| <= m for all d. If n m <= 2**53 g,
the sums of d are exact; if n m**2 <= 2**53 g**2 and g >= 2**-530, those of the products of such operands are, too.
    All terms and partial sums are multiples of g, or of g_x g_y, of at most 2**53 times that. Adding and subtracting
    1.5 * 2**52 g shows whether x is a multiple: the sum lies between 2**52 g and 2**53 g, where floats are those.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import TypeAlias

import numpy as np

from ..typing import Array, Bools, Floats
from .double_double import ZERO
from .polynomial import Monomial
from .scratch import Scratch
from .tiles import dot, tiles

BLOCK = 64
FEW = 1024  # up to so many values per channel, means are often ties: worth a look whether sums are exact
U = 2.0**-53
SLACK = 1 + 2.0**-30
_EIGHT = np.ones(8)
EIGHT = (189 / 8) ** 0.5
Parts: TypeAlias = tuple[Floats, Floats]  # all blocks of 64 values, and the rest


def _by_eights(values: Floats, lead: int, out: Floats | None = None) -> Floats:
    """The sums of values[i, 0, j], ..., values[i, 7, j], where the values are read as (lead, 8, ...): 7 additions."""
    width = values.size // (8 * lead)
    sums: Floats = np.matmul(_EIGHT, values.reshape(lead, 8, width), out=None if out is None else out.reshape(lead, width))
    return sums


class _TileSums:
    """What is summed over a tile of a certain shape.

    64 terms at a time become one partial sum (of a piece: by eights twice), the rest of them a last one; these are folded, by eights
    again. A call gives rows (rows, channels): the sums of the pieces (one per operand), of the products of two pieces, of the squares
    of the sums of eight, of those of 64, and of the squares of the rest; and per piece its largest partial sum of squares: no square
    is larger.

    additions: so many does a product pass through, `later` a sum of 64, `last` a value of the rest.
    """

    def __init__(self, shape: tuple[int, ...], axis: int, operands: int, pairs: list[Monomial], scratch: Scratch) -> None:
        self.axis, self.operands, self.pairs, self.scratch = axis, operands, pairs, scratch
        self.length, self.channels = shape if axis == 0 else shape[::-1]
        self.lead = 1 if axis == 0 else self.channels
        self.blocks, self.rest = divmod(self.length, BLOCK)
        filled, rows = self.blocks + (self.rest > 0), operands + len(pairs)
        self.times = max((filled - 1).bit_length() - 1, 0) // 3  # of folding, until no more than 8 are left
        width = -(-filled // 8**self.times) * 8**self.times
        self.partials = scratch.take("partials", (width, rows, self.channels) if axis == 0 else (rows, self.channels, width))
        self.eights = 8 * self.blocks
        folds = 7 * (self.times + 1)
        self.additions, self.later, self.last = max(14, self.rest - 1) + folds, folds, self.rest + folds
        self.squares = [k for k, (i, j) in enumerate(pairs, operands) if i == j]

    def __call__(self, pieces: list[Floats]) -> tuple[Floats, Floats]:
        partials = self.partials if self.axis == 0 else self.partials.transpose(2, 0, 1)
        partials[self.blocks :] = 0
        parts = [self._split(piece) for piece in pieces]
        found = [self._add(main, rest, partials[:, k]) for k, (main, rest) in enumerate(parts)]
        for k, (i, j) in enumerate(self.pairs, self.operands):
            self._multiply(parts[i], parts[j], partials[:, k])
        largest = np.array([partials[:, k].max(axis=0) for k in self.squares])
        return np.concatenate([self._folded(), *zip(*found)]), largest

    def _split(self, piece: Floats) -> Parts:
        """All blocks, and the rest."""
        whole = self.blocks * BLOCK
        return (piece[:whole], piece[whole:]) if self.axis == 0 else (piece[:, :whole], piece[:, whole:])

    def _add(self, main: Floats, rest: Floats, partials: Floats) -> tuple[Floats, Floats, Floats]:
        """Put the sums of 64 into partials; the squares of the sums of eight, of those of 64 and of the rest, summed."""
        eights = _by_eights(main, self.lead, self.scratch.take("eights", (main.size // 8,)))
        sums = self._store(eights, partials)
        shape = (-1, self.channels) if self.axis == 0 else (self.channels, -1)
        eights, sums = eights.reshape(shape), sums.reshape(shape)
        squares = dot(eights, eights, self.axis), dot(sums, sums, self.axis)
        if not self.rest:
            return *squares, np.zeros(self.channels)
        np.add.reduce(rest, axis=self.axis, out=partials[self.blocks])
        return *squares, dot(rest, rest, self.axis)

    def _store(self, eights: Floats, partials: Floats) -> Floats:
        """Put the sums of eight sums of eight into partials."""
        sums = _by_eights(eights, self.lead)
        partials[: self.blocks] = sums.reshape(self.blocks, self.channels) if self.axis == 0 else sums.T
        return sums

    def _multiply(self, x: Parts, y: Parts, partials: Floats) -> None:
        """Put the sums of 64 products into partials."""
        (left, left_rest), (right, right_rest) = x, y
        eights = self.scratch.take("eights", (left.size // 8,))
        shape = self.lead, 8, eights.size // self.lead
        np.einsum("ljk,ljk->lk", left.reshape(shape), right.reshape(shape), out=eights.reshape(self.lead, -1))
        self._store(eights, partials)
        if self.rest:
            partials[self.blocks] = dot(left_rest, right_rest, self.axis)

    def _folded(self) -> Floats:
        """The sums of the partials."""
        rows, partials = self.operands + len(self.pairs), self.partials
        lead = 1 if self.axis == 0 else rows * self.channels
        for _ in range(self.times):
            partials = _by_eights(partials, lead)
        sums: Floats
        if self.axis == 0:
            sums = np.add.reduce(partials.reshape(-1, rows, self.channels), axis=0)
        else:
            sums = np.add.reduce(partials.reshape(rows, self.channels, -1), axis=-1)
        return sums


class _Total:
    """What tiles of the same channels add up to. Sums of 1, 2, 4, ... tiles are kept, for few additions of each."""

    def __init__(self) -> None:
        self.kept: list[tuple[Floats, int]] = []
        self.largest: Floats = np.zeros(1)
        self.eights, self.rest = 0, 0

    def add(self, sums: _TileSums, pieces: list[Floats]) -> None:
        """Add a tile, cut into pieces."""
        part, largest = sums(pieces)
        size = 1
        while self.kept and self.kept[-1][1] == size:
            part, size = self.kept.pop()[0] + part, 2 * size
        self.kept.append((part, size))
        self.largest = np.maximum(self.largest, largest)
        self.eights, self.rest = self.eights + sums.eights, self.rest + sums.rest

    @property
    def depth(self) -> int:
        """So many additions has a tile's sum passed through at most in the end."""
        return 0 if self.kept[0][1] == 1 else self.kept[0][1].bit_length()

    def rows(self) -> Floats:
        """The sums of all tiles."""
        rows: Floats = sum((part for part, _ in self.kept[-2::-1]), start=self.kept[-1][0])
        return rows


class PlainSums:
    """Moments of all operands about their pivots in the channels start, ..., stop - 1.

    moment(monomial) is (hi, lo, radius), arrays (C,), with |true - (hi + lo)| <= radius, lo is 0; where the data are not finite, or
    their squares overflow, the radius is not finite either. peaks[k] (C,): no value of operand k is farther from its pivot.
    """

    def __init__(self, arrays: Sequence[Array], pivots: Sequence[Floats], start: int, stop: int, scratch: Scratch) -> None:
        operands, self.n = len(arrays), arrays[0][:, :1].size
        self.pairs: list[Monomial] = list(combinations_with_replacement(range(operands), 2))
        self.shifted = [bool(np.count_nonzero(pivot)) for pivot in pivots]
        self.tiny = 2.0**-1074 if any(array.dtype.itemsize == 8 for array in arrays) else 0.0  # other formats' squares do not underflow
        of_channels: dict[int, _Total] = {}  # of the tiles with the same first channel
        shapes: dict[tuple[int, ...], _TileSums] = {}  # of the tiles of a shape
        for tile in tiles(arrays[0].shape, start, stop):
            pieces = []
            for k, array in enumerate(arrays):
                values = tile.load(array, scratch, k)
                if self.shifted[k] and np.count_nonzero(pivots[k][tile.channels]):
                    values = np.subtract(values, tile.spread(pivots[k]), out=scratch.take(k, values.shape))
                pieces.append(values)
            if values.shape not in shapes:
                shapes[values.shape] = _TileSums(values.shape, tile.axis, operands, self.pairs, scratch)
            of_channels.setdefault(tile.channels.start, _Total()).add(shapes[values.shape], pieces)
        totals = [of_channels[first] for first in sorted(of_channels)]
        rows = totals[0].rows() if len(totals) == 1 else np.concatenate([total.rows() for total in totals], axis=1)
        squares = operands + len(self.pairs)
        self.sums, self.products = rows[:operands], rows[operands:squares]
        eights, blocks, rest = rows[squares:].reshape(3, operands, stop - start)
        depth = max(total.depth for total in totals)
        self.additions, later, last = (depth + max(getattr(sums, name) for sums in shapes.values())
                                       for name in ("additions", "later", "last"))
        tiny, m = self.n * self.tiny, totals[0].eights
        self.later = (EIGHT * np.sqrt(m * (eights + tiny)) + later * np.sqrt(m / 8 * (blocks + tiny))  # Lemma EIGHTS
                      + last * np.sqrt(totals[0].rest * (rest + tiny)))  # Lemma BLOCKS
        largest = np.concatenate([total.largest for total in totals], axis=1)
        self.peaks = np.sqrt(largest + BLOCK * self.tiny) * SLACK
        nowhere = np.zeros(stop - start, bool)
        self.exact = [(nowhere, nowhere)] * operands
        if self.n <= FEW:
            self.exact = [_exactness(array[:, start:stop], pivot, peak) for array, pivot, peak in zip(arrays, pivots, self.peaks)]

    def moment(self, monomial: Monomial) -> tuple[Floats, Floats, Floats]:
        """(hi, lo, radius) of the sum over the batch of x - p, or of the product of two such."""
        squares = [self.products[self.pairs.index((k, k))] for k in monomial]
        norms = np.sqrt(np.add(squares, self.n * self.tiny))
        if len(monomial) == 1:
            value, k = self.sums[monomial[0]], monomial[0]
            units = (EIGHT + self.shifted[k]) * np.sqrt(self.n) * norms[0] + self.later[k]
            exact = self.exact[k][0]
        else:
            value = self.products[self.pairs.index(monomial)]
            units = (self.additions + 3) * norms[0] * norms[1]
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
