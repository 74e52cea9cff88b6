"""Sums of operands and of products of two operands over small batches: in double-double arithmetic, by few calls of NumPy.

A small batch takes the time of the calls, whatever they do. Each operand x is taken relative to a pivot p, d = x - p exactly; p is 0
unless the mean is far from 0, and then of few digits.

Lemma (FOLD). Adding the second half of the terms to the first by two_sum, then the second half of these sums to their first half,
and so on, gives one sum s and errors e_i, and s + sum e_i is the true sum; errors of two_product may be among the e_i. The sum of m
errors, computed in whatever order, is off by at most m u sum |e_i|, u = 2**-53, to first order; SLACK covers the rest, m being small.

Products of operands of at most 24 bits need no two_product: float64 holds them. Nothing underflows: no such operand other than 0 is
below 2**-149, and no pivot has digits below 2**-28 of itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..typing import Array, Floats
from .double_double import ZERO, two_product, two_sum
from .plain import SLACK, U
from .polynomial import Monomial, monomials

SMALL = 2**13  # operands of at most so many values are summed like this
NEAR = 0.75  # means of at most so many standard deviations get the pivot 0


class FoldedSums:
    """Moments of all operands, none of float64, about their pivots in the channels start, ..., stop - 1.

    moment(monomial) is (hi, lo, radius), arrays (C,), or ZERO for what is 0 in all channels, with |true - (hi + lo)| <= radius; the radius
    is NaN where the data are not finite. pivots: (operands, C).
    """

    def __init__(self, arrays: Sequence[Array], start: int, stop: int) -> None:
        n, operands = arrays[0][:, :1].size, len(arrays)
        self.rows = {monomial: row for row, monomial in enumerate(monomials(operands))}
        pairs = monomials(operands)[operands:]
        terms = np.zeros((1 << (n - 1).bit_length(), len(self.rows), stop - start))  # filled up with zeros
        values = terms[:n, :operands]
        for k, array in enumerate(arrays):
            part = np.moveaxis(array[:, start:stop], 1, -1)
            values[:, k].reshape(part.shape)[...] = part
        for k, (i, j) in enumerate(pairs, operands):
            np.multiply(terms[:, i], terms[:, j], out=terms[:, k])
        means = np.add.reduce(terms[:, : 2 * operands]) * (1 / n)
        self.pivots, errors = _pivots(means[:operands], means[operands:], values), []
        if np.count_nonzero(self.pivots):
            values -= self.pivots
            error = np.zeros_like(terms)
            for k, (i, j) in enumerate(pairs, operands):
                terms[:, k], error[:, k] = two_product(terms[:, i], terms[:, j])
            errors.append(error)
        self._fold(terms, errors)
        products = self.radius[operands:]
        self.sharp = np.count_nonzero(products) < products.size

    def _fold(self, sums: Floats, errors: list[Floats]) -> None:
        """Lemma FOLD, with errors that there are already."""
        while half := len(sums) // 2:
            sums, error = two_sum(sums[:half], sums[half:])
            errors.append(error)
        error = np.concatenate([*errors, sums - sums])  # 0, or NaN
        self.hi, self.lo = two_sum(sums[0], np.add.reduce(error))
        self.radius = np.add.reduce(np.abs(error)) * (len(error) * U * SLACK)

    def moment(self, monomial: Monomial) -> tuple[Floats, Floats, Floats]:
        """(hi, lo, radius) of the sum over the batch of x - p, or of the product of two such."""
        row = self.rows[monomial]
        lo, radius = (part[row] if np.count_nonzero(part[row]) else ZERO for part in (self.lo, self.radius))
        return self.hi[row], lo, radius


def _pivots(mean: Floats, square: Floats, values: Floats) -> Floats:
    """Pivots near the means that are far from 0: multiples of the power of two below the standard deviation, so of few digits.

    mean, square: those of the values and of their squares, about. A value that cannot be taken relative to a pivot without a rounding
    makes it 0.
    """
    near = mean * mean * (1 + NEAR**-2) <= square
    if np.count_nonzero(near) == near.size:
        return np.zeros_like(mean)
    deviation = np.sqrt(np.maximum(square - mean * mean, (mean * 2.0**-26) ** 2))
    sigma = np.ldexp(1.5 * 2.0**51, np.frexp(deviation)[1])
    pivots = np.where(near, 0, (mean + sigma) - sigma)
    error = two_sum(values, -pivots)[1]
    if np.count_nonzero(error):
        pivots[error.any(axis=0)] = 0
    return pivots
