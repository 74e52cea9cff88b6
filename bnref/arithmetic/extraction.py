"""Sums of operands and of products of two operands over the batch: fast, with a small rigorous radius.

Each tile of an operand x is cut, relative to a pivot p near the channel's mean:

    x - p = l_1 + ... + l_k + rest,      l_i a multiple of the grid q_i,      |rest| <= q_k.

Lemma (EXACT). If the computed sum of l_i**2 over a tile is at most 2**52 q_i**2, it is exact, and so are the computed sums of
l_i and of l_i * l_j, in every order of summation.
    All terms and partial sums are multiples of q_i q_j. A partial sum of squares that exceeded 2**53 q_i**2 would have stayed
    above 2**52 q_i**2, since rounding is monotone; so |l_i| <= 2**26 q_i, and by Cauchy-Schwarz no partial sum of the others
    exceeds 2**53 grid units (tiles have fewer than 2**26 values per channel): nothing is ever rounded.

Lemma (REST). A sum of at most n products of a and b computed in any order differs from the true one by at most
(n + 2) u sqrt(sum a**2 * sum b**2), u = 2**-53, to first order; it is applied where the rest is a factor, with twice that.
    Squares and products of rests may underflow (those of limbs do not): each loses less than 2**-1074. So n times that is added to
    each sum of squares, and to the radius for each of at most 16 sums of products.

So the error is that of float64 arithmetic on the rest alone: about 2**-18 (k = 1) or 2**-55 (k = 3) of the naive one.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..typing import Array, Bools, Floats, cache
from .ball import Ball
from .double_double import TINY, ZERO, on_grid, two_sum
from .polynomial import Monomial
from .scratch import Scratch
from .tiles import LONGEST, Tile, dot, tiles

SAMPLE = 64  # values per channel that suggest the pivot and the grid
U = 2.0**-53

Terms: TypeAlias = list[tuple[Monomial, Floats]]
Channels: TypeAlias = "slice | NDArray[np.intp]"


class Grid:
    """Pivot p and coarsest grid q_1 of one operand: arrays (C,). Any choice is safe; these make the sums sharp.

    mean, spread: the mean and the standard deviation of a sample, (C,).
    """

    def __init__(self, array: Array, start: int, stop: int, near: float = 2) -> None:
        """near: means of at most so many standard deviations get the pivot 0. They cost little accuracy, and no subtraction."""
        self.longest = min(LONGEST, array[:, :1].size)
        sample = _sampled(array[:, start:stop])
        first, share = sample[0], 1 / len(sample)
        self.mean = first + np.add.reduce(sample - first) * share  # of a constant channel exactly its value
        sample -= self.mean
        self.sample = sample
        self.spread = np.sqrt(np.einsum("nc,nc->c", sample, sample) * share)
        self.close = np.abs(self.mean) <= near * self.spread
        self.pivot: Floats = np.where(self.close, 0, self.mean)
        if np.count_nonzero(self.pivot):
            sigma = 1.5 * 2.0**52 * self.q
            self.pivot = np.where(self.spread > 0, (self.pivot + sigma) - sigma, self.pivot)  # few bits: n * pivot is exact

    @cached_property
    def extent(self) -> Floats:
        """No further than this from the mean are all values or most, (C,): the longer the tails of the sample, the further."""
        farthest = np.abs(self.sample).max(axis=0)
        extent: Floats = 2 * farthest * (farthest / np.maximum(self.spread, TINY))
        return extent

    @cached_property
    def q(self) -> Floats:
        """The grid; `Sums` coarsens it where it turns out to be too fine."""
        return self.fitting(np.where(self.close, 3, 1) * self.spread, self.longest)

    def fitting(self, spread: Floats, longest: int, channels: Channels = slice(None)) -> Floats:
        """The grid for tiles of values whose root mean square about the pivot is at most 2 * spread."""
        exponent = np.frexp(np.maximum(spread * np.sqrt(longest), 2.0**-400))[1] - 25
        size = np.maximum(np.abs(self.pivot[channels]), 2.0**-400)  # frexp(0) is (0, 0), as if it were of the size of 1
        grid: Floats = np.ldexp(1.0, np.maximum(exponent, np.frexp(size)[1] - 50))
        return grid


def narrower(longest: int) -> int:
    """Bits from one grid to the next, so that the lemma's premise holds: longest * q**2 <= 2**52 (q / 2**bits)**2.

    What is left of a value is at most q / 2, and what is left of its pivot.
    """
    return 26 - (longest.bit_length() + 1) // 2


def _sampled(part: Array) -> Floats:
    """About SAMPLE values per channel of an (N, C, *) array, as (values, C), from rows all over it."""
    step, left = [], SAMPLE
    for size in (part.shape[0], *part.shape[:1:-1]):
        take = min(size, left)
        step.append(slice(None, None, -(-size // take)))
        left //= take
    part = np.moveaxis(part[(step[0], slice(None), *step[:0:-1])], 1, -1)
    return np.array(part, dtype=np.float64, order="C").reshape(-1, part.shape[-1])


def cut(values: Floats, pivot: Floats, q: Floats, bits: int, limbs: int, tile: Tile, scratch: Scratch, name: Hashable) -> list[Floats]:
    """values - pivot as limbs on the grids q, q / 2**bits, ... and the rest."""
    pieces, rest, shifted = [], values, np.count_nonzero(pivot)
    for i in range(limbs):
        sigma = 1.5 * 2.0 ** (52 - bits * i) * q
        limb = on_grid(rest, tile.column(sigma), scratch.take((name, i), values.shape))
        rest = np.subtract(rest, limb, out=scratch.take((name, "rest"), values.shape))
        if shifted:
            pivot_limb = (pivot + sigma) - sigma
            pivot = pivot - pivot_limb
            limb -= tile.column(pivot_limb)
        pieces.append(limb)
    if shifted:
        rest -= tile.column(pivot)
    return [*pieces, rest]


def _total(a: Floats, axis: int) -> Floats:
    sums: Floats = np.ones(len(a)) @ a if axis == 0 else np.einsum("cn->c", a)
    return sums


@cache
def moment_rows(pieces: int) -> dict[Monomial, int]:
    """Where the sums of so many pieces, and those of products of two of them, are kept."""
    keys = [*((k,) for k in range(pieces)), *itertools.combinations_with_replacement(range(pieces), 2)]
    return {key: row for row, key in enumerate(keys)}


@cache
def _terms(monomial: Monomial, pieces: int) -> tuple[Terms, Terms]:
    """The sums that a moment consists of, and how often: those of limbs that are exact, and those that are not, or as small."""
    keys = itertools.product(*(range(k * pieces, (k + 1) * pieces) for k in monomial))
    times = Counter(tuple(sorted(key)) for key in keys)
    large: Terms = []
    small: Terms = []
    for key, count in times.items():
        (large if sum(k % pieces for k in key) < pieces - 1 else small).append((key, np.array(float(count))))
    return large, small


class Sums:
    """Moments about the pivots of the operands in the channels start, ..., stop - 1.

    moment(monomial) is (hi, lo, radius), arrays (C,), or ZERO for lo and a radius of 0, with |true - (hi + lo)| <= radius; the radius
    is infinite where a premise of the lemmas fails, or NaN where the data are not finite.
    """

    sharp = True  # for PlainSums: no results from these sums are to be made less sharp

    def __init__(self, arrays: Sequence[Array], grids: Sequence[Grid], start: int, stop: int, limbs: int,
                 scratch: Scratch) -> None:
        self.scratch, self.pivots = scratch, [grid.pivot for grid in grids]
        self.operands, self.pieces = len(arrays), limbs + 1
        self.position = moment_rows(self.operands * self.pieces)
        self.firsts = [self.position[k, k] for k in range(0, self.operands * self.pieces, self.pieces)]  # rows of their first limbs' squares
        self.n, self.count = arrays[0][:, :1].size, 0
        self.longest = min(LONGEST, self.n)
        self.bits = narrower(self.longest)
        self.hi = np.zeros((len(self.position), stop - start))
        self.lo, self.errors = np.zeros_like(self.hi), np.zeros_like(self.hi)  # errors: the sum of what was added to lo, in size
        self.bad = np.zeros(stop - start, bool)
        self.tiny = np.zeros(stop - start, bool)  # whether what has the rest as factor may have underflowed:
        self.wide = [array.dtype.itemsize == 8 for array in arrays]  # other formats have no value below 2**-149
        for tile in tiles(arrays[0].shape, start, stop, 2 * self.operands):  # limbs of all of them live at a time
            self._add(tile, [tile.load(array, scratch, k) for k, array in enumerate(arrays)], grids)

    def _add(self, tile: Tile, loaded: list[Floats], grids: Sequence[Grid]) -> None:
        sums, exact = self._sums(tile, tile.channels, loaded, grids)
        if np.count_nonzero(exact) < len(exact):  # once more, but only the channels whose grid is too fine
            some = np.flatnonzero(~exact)
            channels, length = tile.channels.start + some, loaded[0].shape[tile.axis]
            for row, grid in zip(self.firsts, grids):
                square = sums[row, some]  # of the first limbs: nearly all there is
                spread = np.sqrt(np.where(np.isfinite(square), square, 0) / length)
                grid.q[channels] = grid.fitting(spread, length, channels)
            sums[:, some], exact = self._sums(tile, channels, [np.take(values, some, axis=1 - tile.axis) for values in loaded], grids)
            self.bad[channels] |= ~exact
        self.count += 1
        self.hi[:, tile.channels], error = two_sum(self.hi[:, tile.channels], sums)
        self.lo[:, tile.channels] += error
        self.errors[:, tile.channels] += np.abs(error)

    def _sums(self, tile: Tile, channels: Channels, loaded: list[Floats], grids: Sequence[Grid]) -> tuple[Floats, Bools]:
        """The sums over these channels of a tile, (rows + pairs, channels), and where the premise of Lemma EXACT holds.

        It holds for all limbs where it does for the first (`narrower`).
        """
        pieces: list[Floats] = []
        for k, (values, grid, wide) in enumerate(zip(loaded, grids, self.wide)):
            pieces += cut(values, grid.pivot[channels], grid.q[channels], self.bits, self.pieces - 1, tile, self.scratch, k)
            if wide:
                self.tiny[channels] |= pieces[-1].any(axis=tile.axis)
        sums = np.array([dot(pieces[key[0]], pieces[key[1]], tile.axis) if len(key) == 2 else _total(pieces[key[0]], tile.axis)
                         for key in self.position])
        exact: Bools = np.all([np.isfinite(square) & (square <= 2.0**52 * grid.q[channels] ** 2)  # where that is infinite, too
                               for square, grid in zip(sums[self.firsts], grids)], axis=0)
        return sums, exact

    def moment(self, monomial: Monomial) -> tuple[Floats, Floats, Floats]:
        """(hi, lo, radius) of the sum over the batch of x - p, or of the product of two such."""
        large, small = _terms(monomial, self.pieces)
        total: Any = None
        for key, times in large:
            hi, lo, errors = (part[self.position[key]] * times for part in (self.hi, self.lo, self.errors))
            term = Ball(hi, lo, errors * (2 * self.count * U)) if self.count > 1 else Ball(hi, ZERO, ZERO)
            total = term if total is None else total + term
        rest = bound = ZERO
        below = self.tiny * (self.n * 2.0**-1074)
        for key, times in small:  # added in float64, self.lo left out
            norms = [np.sqrt(self.hi[self.position[k, k]] + below) for k in key]
            rest = rest + self.hi[self.position[key]] * times
            bound = bound + norms[0] * (norms[1] if len(key) == 2 else np.sqrt(self.n)) * times
        if np.count_nonzero(bound):
            total = total + Ball(rest, ZERO, bound * ((2 * (self.longest + 2) + 16 + self.count) * U))  # Lemma REST
        hi, lo, radius = total.hi, total.lo, total.radius
        if np.count_nonzero(self.tiny):
            radius = radius + 16 * below
        if np.count_nonzero(self.bad):
            radius = np.where(self.bad, np.nan, radius)
        return hi, lo, radius
