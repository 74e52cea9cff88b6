"""By which powers of two the operands of a program may be scaled, so that nothing over- or underflows.

Programs of batch normalisation are homogeneous: where x is multiplied by 2**k, the mean is, var and eps must be by 2**2k, and
the output does not change (chapter 06). `degrees` finds such exponents by running the program on them.
"""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from typing import Any, TypeAlias

from ..typing import Program
from .recording import run

Exponents: TypeAlias = dict[int, Fraction]  # of operands: how often the scale of each counts


class NotHomogeneous(Exception):
    """What is added scales differently, whatever the scales of the operands."""


class Degree:
    """How a value scales: like a product of powers of operands."""

    __slots__ = ("system", "exponents")
    __array_ufunc__ = None

    def __init__(self, system: Degrees, exponents: Exponents) -> None:
        self.system, self.exponents = system, exponents

    def _of(self, other: Any) -> Degree:
        return other if isinstance(other, Degree) else Degree(self.system, {})  # a number scales not at all

    def __add__(self, other: Any) -> Degree:
        self.system.equate((self / other).exponents)
        return self

    __radd__ = __sub__ = __rsub__ = __add__

    def __mul__(self, other: Any) -> Degree:
        sums = dict(self.exponents)
        for k, exponent in self._of(other).exponents.items():
            sums[k] = sums.get(k, Fraction(0)) + exponent
        return Degree(self.system, sums)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Degree:
        return self * self._of(other) ** -1

    def __rtruediv__(self, other: Any) -> Degree:
        return self._of(other) / self

    def __pow__(self, exponent: int | Fraction) -> Degree:
        return Degree(self.system, {k: exponent * times for k, times in self.exponents.items()})

    def __neg__(self) -> Degree:
        return self


class Degrees:
    """The number system of degrees. The scales of the batch operands are free, those of the others follow: `solved`."""

    def __init__(self, free: Collection[int]) -> None:
        self.free = free
        self.solved: dict[int, Exponents] = {}

    def sum(self, value: Degree) -> Degree:
        """A sum scales as its terms do."""
        return value

    def count(self, batch: Degree) -> Degree:
        """A count does not scale."""
        return Degree(self, {})

    def sqrt(self, value: Degree) -> Degree:
        """Half as often."""
        return value ** Fraction(1, 2)

    def known(self, exponents: Exponents) -> Exponents:
        """The same, without operands whose scales follow from others."""
        product = Degree(self, {})
        for k, times in exponents.items():
            product *= Degree(self, self.solved.get(k, {k: Fraction(1)})) ** times
        return {k: times for k, times in product.exponents.items() if times}

    def equate(self, quotient: Exponents) -> None:
        """Let this not scale, by giving one of its operands a scale; the last, and no root if that can be: bias rather than eps."""
        quotient = self.known(quotient)
        if not quotient:
            return
        k = max(quotient, key=lambda k: (k not in self.free, abs(quotient[k]) == 1, k))
        if k in self.free:
            raise NotHomogeneous
        times = quotient.pop(k)
        self.solved[k] = {j: -other / times for j, other in quotient.items()}
        self.solved = {j: self.known(exponents) for j, exponents in self.solved.items()}


def degrees(program: Program, count: int, batch: Collection[int]) -> tuple[list[Exponents], list[Exponents]] | None:
    """The degrees of all `count` operands and of all results in the operands with the numbers `batch`.

    None where the program is not homogeneous, or a power is neither an integer nor half of one.
    """
    xp = Degrees(batch)
    try:
        results = run(program, (Degree(xp, {k: Fraction(1)}) for k in range(count)), xp)
    except NotHomogeneous:
        return None
    found = [[{j: times for j, times in xp.known(exponents).items() if j in batch} for exponents in many]
             for many in ([{k: Fraction(1)} for k in range(count)], [result.exponents for result in results])]
    halves = all((2 * times).denominator == 1 for many in found for exponents in many for times in exponents.values())
    return (found[0], found[1]) if halves else None
