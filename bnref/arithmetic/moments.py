"""Sums of operands and of products of two operands over the batch: exactly."""

from fractions import Fraction

import numpy as np

from .exact import SCREENED, Exact, ExactChannel
from .recording import Batch
from .tiles import LONGEST, tiles

LIMB = (53 - (LONGEST - 1).bit_length()) // 2  # bits of a limb: a sum of LONGEST products of two limbs is exact in float64


def limbs(values):
    """Cut finite float64 values into integers: values == sum of limb * 2**exponent, each |limb| <= 2**LIMB.

    Returns (exponent, limb) pairs, the limbs as float64 arrays. Every step is exact.
    """
    pieces = []
    while (largest := np.abs(values).max(initial=0)) > 0:
        exponent = int(np.frexp(largest)[1]) - LIMB
        limb = np.rint(np.ldexp(values, -exponent))
        values = values - np.ldexp(limb, exponent)
        pieces.append((exponent, limb))
    return pieces


class TiledChannel(ExactChannel):
    """One channel of (N, C, *) arrays as exact number system."""

    def __init__(self, arrays, channel):
        self.arrays = arrays
        self.tiles = list(tiles(arrays[0].shape, channel, channel + 1)) if arrays else []
        self.n = arrays[0][:, :1].size if arrays else 0
        self.operands = [
            Batch.operand(k) if all(np.isfinite(tile.load(array)).all() for tile in self.tiles) else SCREENED
            for k, array in enumerate(arrays)
        ]
        self.known = {}

    def moment(self, monomial):
        if monomial not in self.known:
            self.known[monomial] = Exact(self._moment(monomial))
        return self.known[monomial]

    def _moment(self, monomial):
        total = {}  # exponent: integer
        for tile in self.tiles:
            operands = [tile.load(self.arrays[k]).ravel() for k in monomial]
            if len(operands) > 2:
                numbers = zip(*(operand.tolist() for operand in operands))
                total[0] = total.get(0, 0) + sum(np.prod([Fraction(x) for x in each]) for each in numbers)
                continue
            left = limbs(operands[0])
            right = left if monomial[0] == monomial[-1] else limbs(operands[-1])
            for e, a in left:
                if len(monomial) == 1:
                    total[e] = total.get(e, 0) + int(a.sum())
                else:
                    for f, b in right:
                        total[e + f] = total.get(e + f, 0) + int(np.dot(a, b))
        return sum((value * Fraction(2) ** exponent for exponent, value in total.items()), Fraction(0))
