"""Sums of operands and of products of two operands over the batch: as fast as float64 goes, with a radius for any order.

The cheap alternative to extraction.py, tried first. Each operand x is taken relative to its pivot p, d = x - p, and filled up
with zeros to a multiple of l, which is LANES or somewhat less.

Lemma (BLOCKS). If every term passes through at most K additions, each rounding to nearest, in whatever order (BLAS, einsum, with
or without fused multiply-add), then with u = 2**-53 and up to the factor SLACK

    |computed sum of d * e - true|   <= (K + 3) u sqrt(Q R) + n 2**-1075,       Q = sum d**2, R = sum e**2.

    Each term is multiplied by at most K factors (1 + delta), |delta| <= u; one more each for d, e and d * e, which are rounded too;
    a product that underflows is off by half of 2**-1074 at most. Then Cauchy-Schwarz. The computed Q is itself such a sum: it is
    at least (1 - (K + 3) u) Q - n 2**-1075, which SLACK and the term n 2**-1074 in the norms make good.

Lemma (CUT). Let |v_i| <= M for m numbers, m <= 2**11, m M < 2**e and q = 2**(e - 50). Adding and subtracting 1.5 * 2**52 q cuts
each v_i into a multiple h_i of q and a rest of at most q / 2, exactly. The sum of the h_i plus that of the rests, computed in
whatever order, is off by at most u |result| + 2**-17 u M.
    The h_i and their partial sums are multiples of q below 2**53 q: nothing is rounded. Summing the rests makes an error of at most
    m u m q / 2 <= m**3 2**-50 u M.

Lemma (LANES). If l terms each are summed first, these sums with L additions each to m numbers v_i, of t terms each, and these by the
last lemma, the sum of d is off by at most

    (c + L + 2**-17) u T + u |result|,       c**2 l = 1 + 4 + ... + (l - 1)**2 + (l - 1)**2,       T = sum sqrt(t Q_i),

Q_i = sum d**2 over the terms of v_i; t counts the zeros that fill them up, too. And by another u T where the pivot is not 0, for then
d is rounded. T <= sqrt(m t Q), and much less where few values are much larger than the others.
    In a first sum the i-th term passes through k_i additions: it is off by u sum k_i |d_i| <= u sqrt(sum k_i**2 sum d_i**2) at most.
    One term after the other makes the sum of squares largest, as in c. Then Cauchy-Schwarz over the first sums in v_i; as over all
    its terms for what L additions are off by, and for M; and again over the v_i, for the last.

For products, K of the first lemma is l - 1 + L, and the 3 is 0 where the operands have at most 24 bits and pivots 0: all is exact then.
Long sums are put together of such results by two_sum; N errors of that, added up, are off by N**2 u**2 times the sum of the sizes at most.

Lemma (COARSE). Let all x and p be multiples of a power of two g, and |p| + |d| <= 2**51 g, |d| <= m for all d. If n m <= 2**53 g,
the sums of d are exact; if n m**2 <= 2**53 g**2 and g >= 2**-530, those of the products of such operands are, too.
    All terms and partial sums are multiples of g, or of g_x g_y, of at most 2**53 times that; so are those of the last lemmas.
    Adding and subtracting 1.5 * 2**52 g shows whether x is a multiple: the sum lies between 2**52 g and 2**53 g, where floats are
    those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from ..typing import Array, Bools, Floats
from .ball import where_inexact
from .double_double import ZERO, on_grid, two_sum
from .polynomial import Monomial, monomials
from .scratch import Scratch
from .tiles import LONGEST, Tile, even, tiles

LONG = 2**18  # values per channel: longer sums are put together of ones over at least PART values, which are sharper
PART = 16384
FEW = 1024  # up to so many values per channel, means are often ties: worth a look whether sums are exact
U = 2.0**-53
SLACK = 1 + 2.0**-30
LANES = 16  # most terms that are summed first, or as many fewer as leave less to fill up: few are more accurate, many are faster
ONES = np.ones(LANES)
CUT = (LONGEST / LANES) ** 3 * 2.0**-50  # 2**-17: a tile has at most LONGEST values per channel


def first(lanes: int) -> float:
    """The constant c of Lemma LANES."""
    most = sum(k * k for k in range(1, lanes)) + (lanes - 1) ** 2
    return math.sqrt(most / lanes)


class _Total(NamedTuple):
    """The sums hi + lo over some tiles, put together of sums of these sizes, (rows, channels); and for each operand, (operands, channels)."""

    hi: Floats
    lo: Floats
    sizes: Floats
    largest: Floats  # the largest sum of squares of terms that were summed first
    norms: Floats  # T of Lemma LANES

    def plus(self, more: _Total) -> _Total:
        """The sums over the tiles of both; those of `more` have no lo yet."""
        hi, error = two_sum(self.hi, more.hi)
        return _Total(hi, self.lo + error, self.sizes + more.sizes, np.maximum(self.largest, more.largest), self.norms + more.norms)


class _TileSums:
    """What is summed over tiles of one shape in the same channels.

    So many terms of a tile as there are lanes are summed first, these sums tile by tile, two of as many tiles at a time: so each term
    passes through few additions.
    """

    def __init__(self, shape: tuple[int, ...], axis: int, operands: int, pairs: list[Monomial], scratch: Scratch) -> None:
        """shape: of a tile that is loaded. pairs: the products of two operands that are summed, first those of each with itself."""
        self.axis, self.operands, self.pairs, self.scratch = axis, operands, pairs, scratch
        self.length, self.channels = shape if axis == 0 else shape[::-1]
        self.lanes = even(self.length, LANES)
        self.parts = -(-self.length // self.lanes)  # of a channel in a tile
        long = self.lanes * self.parts
        values = [scratch.take(k, (long, self.channels) if axis == 0 else (self.channels, long)) for k in range(operands)]
        inside, beyond = ((slice(None),) * axis + (cut,) for cut in (slice(self.length), slice(self.length, None)))
        self.inside, self.beyond = [each[inside] for each in values], [each[beyond] for each in values]
        lead, width = (1, self.parts * self.channels) if axis == 0 else (self.channels, self.parts)
        self.terms = [each.reshape(lead, self.lanes, width) for each in values]
        self.shape = operands + len(pairs), lead, width  # of the sums of a tile
        self.kept: list[tuple[Floats, int]] = []  # sums of so many tiles: of ..., 4, 2, 1

    def load(self, k: int, part: Array, pivot: Floats | None) -> None:
        """Load the part of operand k in a tile, less the pivot, and fill it up with zeros."""
        inside = self.inside[k]
        inside.reshape(part.shape)[...] = part
        if self.length % self.lanes:
            self.beyond[k][...] = 0
        if pivot is not None:
            inside -= pivot

    def add(self) -> None:
        """Add the tile that was loaded. Its values are written over: by their squares."""
        terms = self.terms
        sums = self.scratch.take(("sums", self.length, len(self.kept)), self.shape)
        for k, each in enumerate(terms):
            _add_lanes(each, sums[k])
        for k, (i, j) in reversed([*enumerate(self.pairs, self.operands)]):  # squares are the last
            product = terms[i] if i == j else self.scratch.take("product", terms[i].shape)
            _add_lanes(np.multiply(terms[i], terms[j], out=product), sums[k])
        size = 1
        while self.kept and self.kept[-1][1] == size:
            kept, _ = self.kept.pop()
            kept += sums
            sums, size = kept, 2 * size
        self.kept.append((sums, size))

    def total(self, tiny: float) -> _Total:
        """The sums of the tiles since the last `total`."""
        terms, axis = self.lanes * self.count, self.axis + 1
        sums, _ = self.kept.pop()
        while self.kept:
            sums += self.kept.pop()[0]
        sums = sums.reshape(len(sums), *((self.channels, self.parts) if self.axis else (self.parts, self.channels)))
        squares = sums[self.operands : 2 * self.operands]
        largest = np.maximum.reduce(squares, axis=axis, keepdims=True)
        roots = np.sqrt(largest + terms * tiny)
        bounds = np.concatenate([roots * terms**0.5, *(roots[i : i + 1] * roots[j] for i, j in self.pairs)])  # M, by Cauchy-Schwarz
        norms = np.add.reduce(np.sqrt(squares + terms * tiny), axis) * terms**0.5
        sigma = np.ldexp(1.5, np.frexp(bounds * self.parts)[1] + 2)  # Lemma CUT
        heads = on_grid(sums, sigma, self.scratch.take("heads", sums.shape))
        sums -= heads
        sums = np.add.reduce(heads, axis) + np.add.reduce(sums, axis)
        return _Total(sums, np.zeros_like(sums), np.abs(sums), largest.reshape(self.operands, self.channels), norms)

    @property
    def count(self) -> int:
        """How many tiles were added, until their `total` is taken."""
        return sum(size for _, size in self.kept)

    @property
    def across(self) -> int:
        """So many additions takes a first sum part in until all tiles are added."""
        return (self.count - 1).bit_length()


def _add_lanes(terms: Floats, out: Floats) -> None:
    """Add up the axis but one, in any order: by BLAS."""
    np.matmul(ONES[: terms.shape[1]], terms, out=out)


class PlainSums:
    """Moments of all operands about their pivots in the channels start, ..., stop - 1.

    moment(monomial) is (hi, lo, radius), arrays (C,), or ZERO for what is 0 in all channels, with |true - (hi + lo)| <= radius. Where the
    data are not finite, or their squares overflow, the radius is not finite either. peaks[k] (C,): no value of operand k is farther from
    its pivot.
    """

    def __init__(self, arrays: Sequence[Array], pivots: Sequence[Floats], start: int, stop: int, scratch: Scratch) -> None:
        operands, self.n = len(arrays), arrays[0][:, :1].size
        self.rows = {monomial: row for row, monomial in enumerate(monomials(operands))}
        self.pairs = monomials(operands)[operands:]
        self.pivots = pivots
        self.shifted = [bool(np.count_nonzero(pivot)) for pivot in pivots]
        self.tiny = 2.0**-1074 if any(array.dtype.itemsize == 8 for array in arrays) else 0.0  # other formats' squares do not underflow
        self.scratch, self.lanes, self.across, self.tiles = scratch, 0, 0, 0
        self.in_parts = self.n > LONG
        totals = [self._summed(list(same), arrays)
                  for _, same in groupby(tiles(arrays[0].shape, start, stop), key=lambda tile: tile.channels.start)]
        self.hi, self.lo, self.sizes, largest, self.norms = (np.concatenate(each, axis=1) for each in zip(*totals))
        self.roots = np.sqrt(self.hi[operands : 2 * operands] + self.n * self.tiny)
        self.peaks = np.sqrt(largest + self.tiny) * SLACK
        nowhere = np.zeros(1, bool)
        self.exact = [(nowhere, nowhere)] * operands
        if self.n <= FEW:
            self.exact = [_exactness(array, pivot, peak, start, scratch) for array, pivot, peak in zip(arrays, pivots, self.peaks)]
        self.sharp = any(np.count_nonzero(products) for _, products in self.exact)

    def _summed(self, same: Sequence[Tile], arrays: Sequence[Array]) -> _Total:
        """The sums over all tiles of some channels. The counts that the lemmas need are the same for all channels, or smaller."""
        groups: dict[tuple[int, ...], _TileSums] = {}  # of the tiles of a shape
        self.tiles, total = max(self.tiles, len(same)), None
        for tile in same:
            parts = [tile.part(array) for array in arrays]
            part = parts[0]
            if (shape := (len(part), part.size // len(part))) not in groups:
                groups[shape] = _TileSums(shape, tile.axis, len(arrays), self.pairs, self.scratch)
            group = groups[shape]
            for k, part in enumerate(parts):
                group.load(k, part, tile.spread(self.pivots[k]) if self.shifted[k] else None)
            group.add()
            if self.in_parts and group.count * group.length >= PART:
                total = self._with(total, group)
        for group in groups.values():
            if group.count:
                total = self._with(total, group)
        assert total is not None
        return total

    def _with(self, total: _Total | None, group: _TileSums) -> _Total:
        """The total, if there is one, and what was summed since the last."""
        self.lanes, self.across = max(self.lanes, group.lanes), max(self.across, group.across)
        more = group.total(self.tiny)
        return more if total is None else total.plus(more)

    def moment(self, monomial: Monomial) -> tuple[Floats, Floats, Floats]:
        """(hi, lo, radius) of the sum over the batch of x - p, or of the product of two such."""
        i, j, row = monomial[0], monomial[-1], self.rows[monomial]
        shifted = self.shifted[i] or self.shifted[j]
        if len(monomial) == 1:
            units = (first(self.lanes) + CUT + self.across + shifted) * self.norms[i]  # Lemma LANES
            exact = self.exact[i][0]
        else:
            units = (self.lanes - 1 + CUT + self.across + (3 if shifted or self.tiny else 0)) * self.roots[i] * self.roots[j]  # Lemma BLOCKS
            exact = self.exact[i][1] & self.exact[j][1]
        radius = (units + (1 + self.tiles**2 * U) * self.sizes[row]) * (U * SLACK) + self.n * self.tiny
        lo = self.lo[row] if np.count_nonzero(self.lo[row]) else ZERO
        return self.hi[row], lo, where_inexact(radius, exact)


def _exactness(array: Array, pivot: Floats, peak: Floats, start: int, scratch: Scratch) -> tuple[Bools, Bools]:
    """Where Lemma COARSE shows the sums of the values of an (N, C, *) array to be exact, and those of their products.

    Channels are counted from start, and there are as many as peaks. Multiples of the coarser grid are those of the finer one, too.
    """
    n = array[:, :1].size
    least = np.array([n * 2.0**-53 * peak, np.maximum(n**0.5 * 2.0**-26 * peak, 2.0**-530)])
    least = np.maximum(least, (np.abs(pivot) + peak) * 2.0**-51)
    sigmas = np.ldexp(1.5 * 2.0**52, np.frexp(least)[1])
    found = ((pivot + sigmas) - sigmas == pivot) & np.isfinite(least)
    for tile in tiles(array.shape, start, start + len(peak)):
        values = tile.load(array, scratch, 0)
        fine, coarse = found[:, tile.channels]
        if np.count_nonzero(coarse):
            coarse &= _multiples(values, tile.spread(sigmas[1]), tile.axis, scratch)
        if np.count_nonzero(fine) > np.count_nonzero(coarse):
            fine &= _multiples(values, tile.spread(sigmas[0]), tile.axis, scratch)
    return found[0], found[1]


def _multiples(values: Floats, sigma: Floats, axis: int, scratch: Scratch) -> Bools:
    """Where all values are multiples of the grid that sigma stands for. Mostly the first few show that they are not."""
    few = values[:8] if axis == 0 else values[:, :8]
    if not np.count_nonzero(((few + sigma) - sigma == few).all(axis=axis)):
        return np.zeros(values.shape[1 - axis], bool)
    multiples: Bools = (on_grid(values, sigma, scratch.take("heads", values.shape)) == values).all(axis=axis)
    return multiples
