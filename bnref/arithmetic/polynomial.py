"""Polynomials in the values of one batch position, with channel numbers as coefficients.

Every batch value of a generated program is one: x - mean is x with coefficient 1 and the constant -mean. So a sum over the
batch is a combination of moments of the operands (sum x, sum x*x, sum g*x), which depend on the data alone.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, TypeAlias

Monomial: TypeAlias = tuple[int, ...]


def _is_one(coefficient: Any) -> bool:
    return isinstance(coefficient, int) and coefficient == 1


class Polynomial:
    """terms: {(): constant, (0,): coefficient of operand 0, (0, 1): of the product of operands 0 and 1, ...}."""

    __slots__ = ("terms",)

    def __init__(self, terms: dict[Monomial, Any]) -> None:
        self.terms = terms

    @staticmethod
    def _of(value: Any) -> Polynomial:
        return value if isinstance(value, Polynomial) else Polynomial({(): value})

    def __add__(self, other: Any) -> Polynomial:
        terms = dict(self.terms)
        for monomial, coefficient in self._of(other).terms.items():
            terms[monomial] = terms[monomial] + coefficient if monomial in terms else coefficient
        return Polynomial(terms)

    def __neg__(self) -> Polynomial:
        return Polynomial({monomial: -coefficient for monomial, coefficient in self.terms.items()})

    def __sub__(self, other: Any) -> Polynomial:
        return self + -self._of(other)

    def __mul__(self, other: Any) -> Polynomial:
        terms: dict[Monomial, Any] = {}
        for left, a in self.terms.items():
            for right, b in self._of(other).terms.items():
                monomial = tuple(sorted(left + right))
                product = b if _is_one(a) else a if _is_one(b) else a * b
                terms[monomial] = terms[monomial] + product if monomial in terms else product
        return Polynomial(terms)

    def __truediv__(self, other: Any) -> Polynomial:
        if isinstance(other, Polynomial):
            raise TypeError("a batch value cannot be divided by a batch value: the result is not a polynomial")
        return Polynomial({monomial: coefficient / other for monomial, coefficient in self.terms.items()})

    def __pow__(self, exponent: int) -> Polynomial:
        result = self
        for _ in range(exponent - 1):
            result = result * self
        return result

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> Polynomial:
        return -self + self._of(other)


def monomials(count: int) -> list[Monomial]:
    """Those of degree one and two in so many variables: first x_0, x_1, ..., then their squares, then the other products."""
    return [*((k,) for k in range(count)), *((k, k) for k in range(count)), *combinations(range(count), 2)]


def variables(count: int) -> list[Polynomial]:
    """The polynomials x_0, x_1, ...: one per operand."""
    return [Polynomial({(k,): 1}) for k in range(count)]
