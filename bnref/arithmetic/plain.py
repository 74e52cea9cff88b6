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
_ones = np.ones(BLOCK)


def _padded(length):
    """(times, a little more than length): a width that `_fold` can divide by eight so often that at most eight sums are left."""
    times = max((length - 1).bit_length() - 1, 0) // 3
    return times, -(-length // 8**times) * 8**times


def _fold(partials, times, axis):
    """Sum over an axis, 0 or the last, by eights: every term passes through at most 7 * times + 7 additions."""
    for _ in range(times):
        if axis == 0:
            partials = np.add.reduce(partials.reshape(8, len(partials) // 8, -1), axis=0)
        else:
            partials = np.add.reduce(partials.reshape(*partials.shape[:-1], 8, -1), axis=-2)
    return np.add.reduce(partials, axis=axis)


def _sum(piece, axis, scratch):
    """Lemma EIGHTS: the sum over an axis of a tile, and K sqrt(m S)."""
    length = piece.shape[axis]
    eighth, rest = divmod(length, 8)
    times, width = _padded(eighth + rest)
    if axis == 0:
        partials = scratch.take("eights", (width, piece.shape[1]))
        np.add.reduce(piece[: 8 * eighth].reshape(8, eighth, piece.shape[1]), axis=0, out=partials[:eighth])
        partials[eighth : eighth + rest] = piece[8 * eighth :]
        partials[eighth + rest :] = 0
        squares = np.einsum("nc,nc->c", partials, partials)
    else:
        partials = scratch.take("eights", (len(piece), width))
        np.add.reduce(piece[:, : 8 * eighth].reshape(len(piece), 8, eighth), axis=1, out=partials[:, :eighth])
        partials[:, eighth : eighth + rest] = piece[:, 8 * eighth :]
        partials[:, eighth + rest :] = 0
        squares = np.matmul(partials[:, np.newaxis], partials[:, :, np.newaxis])[:, 0, 0]
    error = (7 * times + 7) * np.sqrt(width * (squares + width * 2.0**-1074))
    return _fold(partials, times, axis), error


def _product(left, right, axis, scratch):
    """Lemma BLOCKS: the sum over an axis of the product of two tiles, and K."""
    length = left.shape[axis]
    blocks, rest = divmod(length, BLOCK)
    times, width = _padded(blocks + (rest > 0))
    whole = blocks * BLOCK
    if axis == 0:
        partials = scratch.take("products", (width, left.shape[1]))
        for block in range(blocks):
            part = slice(block * BLOCK, (block + 1) * BLOCK)
            np.einsum("nc,nc->c", left[part], right[part], out=partials[block])
        partials[blocks:] = 0
        if rest:
            np.einsum("nc,nc->c", left[whole:], right[whole:], out=partials[blocks])
    else:
        partials = scratch.take("products", (len(left), width))
        cut = [piece[:, :whole].reshape(len(left), blocks, BLOCK) for piece in (left, right)]
        np.matmul(cut[0][:, :, np.newaxis], cut[1][:, :, :, np.newaxis], out=partials[:, :blocks, np.newaxis, np.newaxis])
        partials[:, blocks:] = 0
        if rest:
            partials[:, blocks] = np.einsum("cn,cn->c", left[:, whole:], right[:, whole:])
    return _fold(partials, times, axis), BLOCK - 1 + 7 * times + 7


class PlainSums:
    """Moments of all operands about their pivots in the channels start, ..., stop - 1.

    moment(monomial) is (hi, lo, radius), arrays (C,), with |true - (hi + lo)| <= radius; where the data are not finite, or their
    squares overflow, the radius is not finite either.
    """

    def __init__(self, arrays, pivots, start, stop, scratch):
        self.operands, self.n = len(arrays), arrays[0][:, :1].size
        self.pairs = list(combinations_with_replacement(range(self.operands), 2))
        self.hi = np.zeros((self.operands + len(self.pairs), stop - start))
        self.lo, self.lost = np.zeros_like(self.hi), np.zeros_like(self.hi)  # lost: the sum of what was added to lo, in size
        self.errors = np.zeros((self.operands, stop - start))  # of the sums of the operands by Lemma EIGHTS, in units u
        self.count = self.additions = 0
        shifted = [pivot.any() for pivot in pivots]
        for tile in tiles(arrays[0].shape, start, stop):
            pieces = []
            for k, array in enumerate(arrays):
                values = tile.load(array, scratch, k)
                if shifted[k]:
                    values = np.subtract(values, tile.spread(pivots[k]), out=scratch.take(k, values.shape))
                pieces.append(values)
            self._add(tile, pieces, scratch)

    def _add(self, tile, pieces, scratch):
        sums = np.empty((len(self.hi), pieces[0].shape[1 - tile.axis]))
        for k, piece in enumerate(pieces):
            sums[k], error = _sum(piece, tile.axis, scratch)
            self.errors[k, tile.channels] += error
        for row, (j, k) in enumerate(self.pairs, len(pieces)):
            sums[row], additions = _product(pieces[j], pieces[k], tile.axis, scratch)
        self.additions = max(self.additions, additions)
        self.count += 1
        self.hi[:, tile.channels], lost = two_sum(self.hi[:, tile.channels], sums)
        self.lo[:, tile.channels] += lost
        self.lost[:, tile.channels] += np.abs(lost)

    def moment(self, monomial):
        """(hi, lo, radius) of the sum over the batch of x - p, or of the product of two such."""
        squares = [self.hi[self.operands + self.pairs.index((k, k))] for k in monomial]
        norms = np.sqrt(np.add(squares, self.n * 2.0**-1074))
        if len(monomial) == 1:
            at = monomial[0]
            units = 8 * np.sqrt(self.n) * norms[0] + self.errors[at]
        else:
            at = self.operands + self.pairs.index(monomial)
            units = (self.additions + 3) * norms[0] * norms[1]
        radius = (units + 2 * self.count * self.lost[at]) * (U * SLACK) + self.n * 2.0**-1074  # the second term: of lo
        return self.hi[at], self.lo[at], radius
