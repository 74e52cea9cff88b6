"""Sums of operands and of products of two operands over the batch: as fast as float64 goes, with a radius for any order.

The cheap alternative to extraction.py, tried first. Each operand x is taken relative to its pivot p, d = x - p.

Lemma (BLOCKS). If every term passes through at most K additions, each rounding to nearest, in whatever order (BLAS, einsum, with
or without fused multiply-add), then with u = 2**-53 and up to the factor SLACK

    |computed sum of d - true|       <= (K + 1) u sqrt(n Q),       Q = sum d**2,
    |computed sum of d * e - true|   <= (K + 3) u sqrt(Q R) + n 2**-1075,       R = sum e**2.

    Each term is multiplied by at most K factors (1 + delta), |delta| <= u; one more each for d, e and d * e, which are rounded too;
    a product that underflows is off by half of 2**-1074 at most. Then Cauchy-Schwarz. The computed Q is itself such a sum: it is
    at least (1 - (K + 3) u) Q - n 2**-1075, which SLACK and the term n 2**-1074 in the norms make good.

Lemma (EIGHTS). If the terms are first summed by eights to m sums s_j, and these then with K additions each, the sum of d is off by at
most 8 u sqrt(n Q) + K u sqrt(m S), S = sum s_j**2.
    The first lemma, once with K = 7 for the s_j, once for their sum. As the s_j of data with both signs are small, so is the second
    part: means come out sharper than by the first lemma, and small results are known well only if the mean is.
"""

from itertools import combinations_with_replacement

import numpy as np

from .double_double import two_sum
from .tiles import tiles

BLOCK = 64
U = 2.0**-53
SLACK = 1 + 2.0**-30


def _fold(partials, axis):
    """Sum over an axis (0 or the last) whose length is 8**t * k, k <= 8, by eights."""
    while (length := partials.shape[axis]) > 8:
        shape = (8, length // 8)
        if axis == 0:
            partials = np.add.reduce(partials.reshape(*shape, *partials.shape[1:]), axis=0)
        else:
            partials = np.add.reduce(partials.reshape(*partials.shape[:-1], *shape), axis=-2)
    return np.add.reduce(partials, axis=axis)


def _tile_sums(pieces, pairs, axis, tiny, scratch):
    """The sums of the pieces of a tile over an axis and K sqrt(m S) of each, by Lemma EIGHTS; the sums of products and their K.

    64 terms at a time become one partial sum (of pieces: by eights twice), with the rest as a last one; these are folded.
    """
    length, channels = pieces[0].shape if axis == 0 else pieces[0].shape[::-1]
    blocks, rest = divmod(length, BLOCK)
    whole = blocks * BLOCK
    times = max((blocks + (rest > 0) - 1).bit_length() - 1, 0) // 3
    width = -(-(blocks + (rest > 0)) // 8**times) * 8**times
    rows = len(pieces) + len(pairs)
    errors = []
    if axis == 0:
        partials = scratch.take("partials", (width, rows, channels))
        partials[blocks:] = 0
        for k, piece in enumerate(pieces):
            eights = scratch.take("eights", (8 * blocks + rest, channels))
            np.add.reduce(piece[:whole].reshape(8, 8 * blocks, channels), axis=0, out=eights[: 8 * blocks])
            eights[8 * blocks :] = piece[whole:]
            errors.append(np.einsum("nc,nc->c", eights, eights))
            np.add.reduce(eights[: 8 * blocks].reshape(8, blocks, channels), axis=0, out=partials[:blocks, k])
            if rest:
                np.add.reduce(piece[whole:], axis=0, out=partials[blocks, k])
        for row, (i, j) in enumerate(pairs, len(pieces)):
            for block in range(blocks + (rest > 0)):
                part = slice(block * BLOCK, (block + 1) * BLOCK)
                np.einsum("nc,nc->c", pieces[i][part], pieces[j][part], out=partials[block, row])
    else:
        partials = scratch.take("partials", (rows, channels, width))
        partials[:, :, blocks:] = 0
        cut = [piece[:, :whole].reshape(channels, blocks, BLOCK) for piece in pieces]
        for k, piece in enumerate(pieces):
            eights = scratch.take("eights", (channels, 8 * blocks + rest))
            np.add.reduce(piece[:, :whole].reshape(channels, 8, 8 * blocks), axis=1, out=eights[:, : 8 * blocks])
            eights[:, 8 * blocks :] = piece[:, whole:]
            errors.append(np.matmul(eights[:, np.newaxis], eights[:, :, np.newaxis])[:, 0, 0])
            np.add.reduce(eights[:, : 8 * blocks].reshape(channels, 8, blocks), axis=1, out=partials[k, :, :blocks])
            if rest:
                np.add.reduce(piece[:, whole:], axis=1, out=partials[k, :, blocks])
        for row, (i, j) in enumerate(pairs, len(pieces)):
            out = partials[row, :, :blocks, np.newaxis, np.newaxis]
            np.matmul(cut[i][:, :, np.newaxis], cut[j][:, :, :, np.newaxis], out=out)
            if rest:
                partials[row, :, blocks] = np.einsum("cn,cn->c", pieces[i][:, whole:], pieces[j][:, whole:])
    folds = 7 * (times + 1)
    m = 8 * blocks + rest
    errors = (max(7, rest) + folds) * np.sqrt(m * (np.array(errors) + m * tiny))
    return np.concatenate([_fold(partials, 0 if axis == 0 else -1), errors]), BLOCK - 1 + folds


class PlainSums:
    """Moments of all operands about their pivots in the channels start, ..., stop - 1.

    moment(monomial) is (hi, lo, radius), arrays (C,), with |true - (hi + lo)| <= radius; where the data are not finite, or their
    squares overflow, the radius is not finite either.
    """

    def __init__(self, arrays, pivots, start, stop, scratch):
        self.operands, self.n = len(arrays), arrays[0][:, :1].size
        self.pairs = list(combinations_with_replacement(range(self.operands), 2))
        shifted = [pivot.any() for pivot in pivots]
        self.tiny = 2.0**-1074 if any(array.dtype.itemsize == 8 for array in arrays) else 0.0  # other formats' squares do not underflow
        self.additions = 0
        sums = {}  # first channel of tiles: their sums
        for tile in tiles(arrays[0].shape, start, stop):
            pieces = []
            for k, array in enumerate(arrays):
                values = tile.load(array, scratch, k)
                if shifted[k] and pivots[k][tile.channels].any():
                    values = np.subtract(values, tile.spread(pivots[k]), out=scratch.take(k, values.shape))
                pieces.append(values)
            result, additions = _tile_sums(pieces, self.pairs, tile.axis, self.tiny, scratch)
            sums.setdefault(tile.channels.start, []).append(result)
            self.additions = max(self.additions, additions)
        self._add_up([sums[first] for first in sorted(sums)])

    def _add_up(self, sums):
        """Add the sums of tiles, sums[channels][tile], in double-double arithmetic."""
        self.count = len(sums[0])
        total = np.concatenate([of_channels[0] for of_channels in sums], axis=1)
        rows = self.operands + len(self.pairs)
        self.hi, self.errors = total[:rows], total[rows:]  # errors: those of Lemma EIGHTS, in units u
        self.lo, self.lost = np.zeros_like(self.hi), np.zeros_like(self.hi)  # lost: the sum of what was added to lo, in size
        for k in range(1, self.count):
            part = np.concatenate([of_channels[k] for of_channels in sums], axis=1)
            self.hi, lost = two_sum(self.hi, part[:rows])
            self.lo += lost
            self.lost += np.abs(lost)
            self.errors += part[rows:]

    def moment(self, monomial):
        """(hi, lo, radius) of the sum over the batch of x - p, or of the product of two such."""
        squares = [self.hi[self.operands + self.pairs.index((k, k))] for k in monomial]
        norms = np.sqrt(np.add(squares, self.n * self.tiny))
        if len(monomial) == 1:
            at = monomial[0]
            units = 8 * np.sqrt(self.n) * norms[0] + self.errors[at]
        else:
            at = self.operands + self.pairs.index(monomial)
            units = (self.additions + 3) * norms[0] * norms[1]
        radius = (units + 2 * self.count * self.lost[at]) * (U * SLACK) + self.n * self.tiny  # the second term: of lo
        return self.hi[at], self.lo[at], radius
