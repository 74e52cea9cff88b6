"""Sums of operands and of products of two operands over the batch: exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np

from ..typing import Array, Floats
from .exact import SCREENED, Exact, ExactChannel, number
from .polynomial import Monomial
from .recording import Batch
from .tiles import LONGEST, tiles

LIMB = (53 - (LONGEST - 1).bit_length()) // 2  # bits of a limb: a sum of LONGEST products of two limbs is exact in float64


def limbs(values: Floats) -> list[tuple[int, Floats]]:
    """Cut finite float64 values into integers: values == sum of limb * 2**exponent, each |limb| <= 2**LIMB.

    Returns (exponent, limb) pairs, the limbs as float64 arrays. Every step is exact.
    """
    pieces: list[tuple[int, Floats]] = []
    rest, spare = values.copy(), np.empty_like(values)
    while (largest := max(rest.max(initial=0), -rest.min(initial=0))) > 0:
        exponent = int(np.frexp(largest)[1]) - LIMB
        limb = _times(rest, -exponent, np.empty_like(rest))
        np.rint(limb, out=limb)
        rest -= _times(limb, exponent, spare)
        pieces.append((exponent, limb))
    return pieces


def _times(values: Floats, exponent: int, out: Floats) -> Floats:
    """values * 2**exponent; where that is a float64 number, a product is several times faster than ldexp."""
    if abs(exponent) < 1000:
        return np.multiply(values, 2.0**exponent, out=out)
    scaled: Floats = np.ldexp(values, exponent, out=out)
    return scaled


def _sum_of_limbs(total: dict[int, int]) -> Fraction:
    """The sum of integer * 2**exponent over {exponent: integer}."""
    lowest = min(total, default=0)
    return sum(integer << (exponent - lowest) for exponent, integer in total.items()) * Fraction(2) ** lowest


class TiledChannel(ExactChannel):
    """One channel of (N, C, *) arrays as exact number system."""

    def __init__(self, arrays: Sequence[Array], channel: int) -> None:
        self.arrays = arrays
        self.tiles = list(tiles(arrays[0].shape, channel, channel + 1)) if arrays else []
        self.n = arrays[0][:, :1].size if arrays else 0
        self.operands = [
            Batch.operand(k) if all(np.isfinite(tile.part(array)).all() for tile in self.tiles) else SCREENED
            for k, array in enumerate(arrays)
        ]
        self.known: dict[Monomial, Exact] = {}

    def positions(self) -> Iterator[Sequence[Any]]:
        """The values of the operands, position by position, tile by tile."""
        for tile in self.tiles:
            for values in zip(*(tile.load(array).ravel().tolist() for array in self.arrays)):
                yield [number(value) for value in values]

    def moment(self, monomial: Monomial) -> Exact:
        """The sum over the batch of the product of the operands in `monomial`; the first call takes all of one or two."""
        if not self.known:
            self.known = self._moments()
        if monomial not in self.known:
            self.known[monomial] = Exact(self._moment(monomial))
        return self.known[monomial]

    def _moments(self) -> dict[Monomial, Exact]:
        """The sums of the operands and of the products of two, from one pass: {monomial: Exact}."""
        operands = [k for k, operand in enumerate(self.operands) if operand is not SCREENED]
        totals: dict[Monomial, dict[int, int]] = {(k,): {} for k in operands} | {pair: {} for pair in combinations_with_replacement(operands, 2)}
        for tile in self.tiles:
            cut = {k: limbs(tile.load(self.arrays[k]).ravel()) for k in operands}
            for monomial, total in totals.items():  # exponent: integer
                if len(monomial) == 1:
                    for e, limb in cut[monomial[0]]:
                        total[e] = total.get(e, 0) + int(limb.sum())
                else:
                    for (e, a), (f, b) in product(cut[monomial[0]], cut[monomial[1]]):
                        total[e + f] = total.get(e + f, 0) + int(np.dot(a, b))
        return {monomial: Exact(_sum_of_limbs(total)) for monomial, total in totals.items()}

    def _moment(self, monomial: Monomial) -> Fraction:
        """The sum of the products of three operands or more."""
        total = Fraction(0)
        for tile in self.tiles:
            numbers = zip(*(tile.load(self.arrays[k]).ravel().tolist() for k in monomial))
            total += sum(math.prod(map(Fraction, each)) for each in numbers)
        return total
