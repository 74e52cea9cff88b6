"""Sums of operands and of products of two operands over small batches: in double-double arithmetic, by few calls of NumPy.

A small batch takes the time of the calls, whatever they do. Each operand x is taken relative to a pivot p, d = x - p exactly; p is 0
unless the mean is far from 0, and then of few digits.

Lemma (FOLD). Adding the second half of the terms to the first by two_sum, then the second half of these sums to their first half,
and so on, gives one sum s and errors e_i, and s + sum e_i is the true sum; errors of two_product may be among the e_i. The sum of m
errors, computed in whatever order, is off by at most m u sum |e_i|, u = 2**-53, to first order; SLACK covers the rest, m being small.
For results in float64 the errors are folded, too: mostly none are left of that, and the sum is known exactly.

Products of operands of at most 26 bits need no two_product: float64 holds them. Of at most 24 are those of the smaller formats; what is
relative to a pivot, or in float64, is looked at. Nothing underflows in the smaller formats: no operand other than 0 is below 2**-149,
and no pivot has digits below 2**-28 of itself. In float64, where a product is below SAFE, its low part may underflow, or the product
itself: that is off by TINY at most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..typing import Array, Floats
from .double_double import SAFE, TINY, ZERO, split, two_product, two_sum
from .plain import SLACK, U
from .polynomial import Monomial, monomials

SMALL = 2**13  # operands of at most so many values are summed like this; of at most half as many where errors are folded, too
NEAR = 0.75  # means of at most so many standard deviations get the pivot 0


class FoldedSums:
    """Moments of all operands about their pivots in the channels start, ..., stop - 1.

    moment(monomial) is (hi, lo, radius), arrays (C,), or ZERO for what is 0 in all channels, with |true - (hi + lo)| <= radius; the radius
    is NaN where the data are not finite, or products overflow. pivots: (operands, C).
    """

    def __init__(self, arrays: Sequence[Array], start: int, stop: int, sharply: bool = False) -> None:
        """sharply: fold the errors, too: means often are ties between two float64 numbers, which only exact sums decide."""
        n, operands = arrays[0][:, :1].size, len(arrays)
        self.rows = {monomial: row for row, monomial in enumerate(monomials(operands))}
        pairs = monomials(operands)[operands:]
        terms = np.zeros((1 << (n - 1).bit_length(), len(self.rows), stop - start))  # filled up with zeros
        values, products = terms[:n, :operands], terms[:, operands:]
        for k, array in enumerate(arrays):
            part = np.moveaxis(array[:, start:stop], 1, -1)
            values[:, k].reshape(part.shape)[...] = part
        _multiply(terms, pairs)
        means = _added(terms) * (1 / n)
        self.pivots, errors = _pivots(means[:operands], means[operands : 2 * operands], values), []
        shifted, wide = np.count_nonzero(self.pivots) > 0, any(array.dtype.itemsize == 8 for array in arrays)
        if shifted:
            values -= self.pivots
        if (shifted or wide) and np.count_nonzero(split(values)[1]):
            error = np.zeros_like(terms)
            for k, (i, j) in enumerate(pairs, operands):
                terms[:, k], error[:, k] = two_product(terms[:, i], terms[:, j])
            errors.append(error)
        elif shifted:
            _multiply(terms, pairs)
        hi, lo, self.radius = _folded(terms, errors, sharply)
        self.hi, self.lo = two_sum(hi, lo)
        if wide and np.count_nonzero(small := np.abs(products) < SAFE):
            for k, (i, j) in enumerate(pairs):
                small[:, k] &= (terms[:, i] != 0) & (terms[:, j] != 0)
            self.radius[operands:] += np.add.reduce(small) * TINY
        self.sharp = sharply or np.count_nonzero(self.radius[operands:]) < self.radius[operands:].size

    def moment(self, monomial: Monomial) -> tuple[Floats, Floats, Floats]:
        """(hi, lo, radius) of the sum over the batch of x - p, or of the product of two such."""
        row = self.rows[monomial]
        lo, radius = (part[row] if np.count_nonzero(part[row]) else ZERO for part in (self.lo, self.radius))
        return self.hi[row], lo, radius


def _multiply(terms: Floats, pairs: Sequence[Monomial]) -> None:
    """Fill in the products of the operands, which are first among the terms."""
    for k, (i, j) in enumerate(pairs, terms.shape[1] - len(pairs)):
        np.multiply(terms[:, i], terms[:, j], out=terms[:, k])


def _folded(sums: Floats, errors: list[Floats], again: bool) -> tuple[Floats, Floats, Floats]:
    """Lemma FOLD, with errors that there are already: the sum, that of all errors, and the radius of that.

    again: whether the errors are folded, too. They are as many as the terms, or twice as many.
    """
    while half := len(sums) // 2:
        sums, error = two_sum(sums[:half], sums[half:])
        errors.append(error)
    error = np.concatenate([*errors, sums - sums])  # 0, or NaN
    if again:
        lo, rest, radius = _folded(error, [], False)
        lo += rest
        return sums[0], lo, radius + np.abs(lo) * (rest != 0) * U  # 0 where nothing is left of the errors: the sum is exact
    return sums[0], _added(error), _added(np.abs(error)) * (len(error) * U * SLACK)


def _added(terms: Floats) -> Floats:
    """The sum of the first axis, in any order: by BLAS, which is as fast where the others are short."""
    sums: Floats = np.ones(len(terms)) @ terms.reshape(len(terms), -1)
    return sums.reshape(terms.shape[1:])


def _pivots(mean: Floats, square: Floats, values: Floats) -> Floats:
    """Pivots near the means that are far from 0: multiples of the power of two below the standard deviation, so of few digits.

    mean, square: those of the values and of their squares, about. A constant channel has its value; a value that cannot be taken
    relative to a pivot without a rounding makes it 0.
    """
    near = mean * mean * (1 + NEAR**-2) <= square
    if np.count_nonzero(near) == near.size:
        return np.zeros_like(mean)
    deviation = np.sqrt(np.maximum(square - mean * mean, (mean * 2.0**-26) ** 2))
    sigma = np.ldexp(1.5 * 2.0**51, np.frexp(deviation)[1])
    pivots = np.where(near, 0, (mean + sigma) - sigma)
    if np.count_nonzero(deviation < np.abs(mean) * 2.0**-16):  # maybe some are constant: their squares cancel but for roundings
        pivots = np.where((values == values[0]).all(axis=0), values[0], pivots)
    error = two_sum(values, -pivots)[1]
    if np.count_nonzero(error):
        pivots[error.any(axis=0)] = 0
    return pivots
