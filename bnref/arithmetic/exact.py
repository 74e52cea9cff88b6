"""The number system without errors: rational numbers and Q(sqrt W).

Floats are rationals, so every value of a program made of + - * / and one square root per channel is a + b*sqrt(W) with
rational a, b, W. `Exact` is such a number, `round_to` rounds it once. `ExactChannel` runs a program on one channel.

>>> from fractions import Fraction
>>> channel = ExactChannel([[1, 2, 4]])
>>> x, = channel.operands
>>> channel.sum(x * x) / channel.count(x)
Exact(7)
>>> 1 / channel.sqrt(Exact(2))
Exact(0 + 1/2*sqrt(2))

Special cases. Division by an exact zero and the square root of a negative number are `NotFinite`: +inf, -inf or NaN, as IEEE
arithmetic has them for a zero that is +0. An operand that is itself NaN or infinite is `SCREENED`, and so is whatever is
computed from it: such results are left to `ieee.py`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from ..typing import Dtype
from .polynomial import Monomial, variables
from .recording import Batch, replay
from .rounding import Format, format_of


def _with_number(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Let an operator take ints, Fractions and floats too, and leave batch values and polynomials to their own operators."""

    @functools.wraps(operation)
    def operator(self: Any, other: Any) -> Any:
        other = number(other)
        return NotImplemented if other is NotImplemented else operation(self, other)

    return operator


class Exact:
    """The number a + b*sqrt(W); a, b, W rational, W > 0 and no square wherever b != 0."""

    __slots__ = ("a", "b", "W")

    def __init__(self, a: float | Fraction, b: Fraction = Fraction(0), W: Fraction = Fraction(0)) -> None:
        self.a = a if type(a) is Fraction else Fraction(a)
        self.b, self.W = b, W

    def __repr__(self) -> str:
        return f"Exact({self.a} + {self.b}*sqrt({self.W}))" if self.b else f"Exact({self.a})"

    def _with(self, a: Fraction, b: Fraction, other: Exact | None = None) -> Exact:
        """a + b*sqrt(W) with the W of self or other."""
        W = self.W
        if other is not None and other.b:
            if self.b and self.W != other.W:
                raise ArithmeticError(f"numbers with different square roots meet: sqrt({self.W}) and sqrt({other.W})")
            W = other.W
        return Exact(a, b, W) if b else Exact(a)

    def __neg__(self) -> Exact:
        return self._with(-self.a, -self.b)

    @_with_number
    def __add__(self, other: Any) -> Any:
        if not isinstance(other, Exact):
            return other.__radd__(self)
        return self._with(self.a + other.a, self.b + other.b, other)

    @_with_number
    def __mul__(self, other: Any) -> Any:
        if not isinstance(other, Exact):
            return other.__rmul__(self)
        if not (self.b or other.b):
            return Exact(self.a * other.a)
        W = self.W if self.b else other.W
        return self._with(self.a * other.a + self.b * other.b * W, self.a * other.b + self.b * other.a, other)

    def reciprocal(self) -> Exact | NotFinite:
        """1 / (a + b*sqrt(W)) = (a - b*sqrt(W)) / (a*a - b*b*W); the denominator is not 0, for W is no square."""
        norm = self.a * self.a - self.b * self.b * self.W
        return NotFinite(math.inf) if norm == 0 else self._with(self.a / norm, -self.b / norm)

    @_with_number
    def __truediv__(self, other: Any) -> Any:
        return self * other.reciprocal()

    def __pow__(self, exponent: int) -> Any:
        result = self
        for _ in range(exponent - 1):
            result = result * self
        return result

    @_with_number
    def __sub__(self, other: Any) -> Any:
        return self + -other

    __radd__, __rmul__ = __add__, __mul__

    @_with_number
    def __rsub__(self, other: Any) -> Any:
        return other + -self

    @_with_number
    def __rtruediv__(self, other: Any) -> Any:
        return other * self.reciprocal()

    def sqrt(self) -> Exact | NotFinite:
        """The square root of a rational number."""
        if self.b:
            raise ArithmeticError(f"the square root of {self!r} is not in Q(sqrt W)")
        if self.a < 0:
            return NotFinite(math.nan)
        root = Fraction(math.isqrt(self.a.numerator), math.isqrt(self.a.denominator))
        return Exact(root) if root * root == self.a else Exact(0, Fraction(1), self.a)

    def sign(self) -> int:
        """-1, 0 or 1. Where a and b*sqrt(W) have different signs, their squares decide."""
        sign_a, sign_b = (self.a > 0) - (self.a < 0), (self.b > 0) - (self.b < 0)
        if sign_a * sign_b >= 0:
            return sign_a or sign_b
        return sign_a if self.a * self.a > self.b * self.b * self.W else sign_b

    def floor_scaled(self, k: int) -> tuple[int, bool]:
        """floor(v * 2**k), and whether v * 2**k is an integer, for v = a + b*sqrt(W).

        v * 2**k = (p + s*sqrt(q)) / d with integers p, q >= 0, d > 0 and a sign s; as p and d are integers,
        floor((p + r) / d) = floor((p + floor(r)) / d).
        """
        d = self.a.denominator * self.b.denominator * self.W.denominator
        p = (self.a.numerator * (d // self.a.denominator)) << k
        if not self.b:
            whole, rest = divmod(p, d)
            return whole, rest == 0
        b = self.b.numerator * (d // self.b.denominator)
        q = (b * b * self.W.numerator // self.W.denominator) << (2 * k)  # an integer: W's denominator divides b
        root = math.isqrt(q)  # q is no square
        return (p + root) // d if b > 0 else (p - root - 1) // d, False


class NotFinite:
    """+inf, -inf or NaN that came out of finite exact numbers. Computes as IEEE arithmetic does."""

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"NotFinite({self.value})"

    @staticmethod
    def _size(other: Exact | NotFinite) -> float:
        """Beside an infinity, of a finite number only the sign matters."""
        return other.value if isinstance(other, NotFinite) else float(other.sign())

    def __neg__(self) -> NotFinite:
        return NotFinite(-self.value)

    @_with_number
    def __add__(self, other: Any) -> Any:
        return SCREENED if other is SCREENED else NotFinite(self.value + self._size(other))

    @_with_number
    def __mul__(self, other: Any) -> Any:
        return SCREENED if other is SCREENED else NotFinite(self.value * self._size(other))

    def reciprocal(self) -> Exact | NotFinite:
        """0 of an infinity; NaN of NaN."""
        return self if math.isnan(self.value) else Exact(0)

    __truediv__, __pow__, __sub__, __rsub__ = Exact.__truediv__, Exact.__pow__, Exact.__sub__, Exact.__rsub__
    __radd__, __rmul__, __rtruediv__ = __add__, __mul__, Exact.__rtruediv__

    def sqrt(self) -> NotFinite:
        """Infinity of +inf, otherwise NaN."""
        return NotFinite(self.value if self.value > 0 else math.nan)


class Screened:
    """What depends on an operand that is not finite; `ieee.py` computes it."""

    def __repr__(self) -> str:
        return "SCREENED"

    def _itself(self, *_: object) -> Screened:
        return self

    __neg__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _itself
    __truediv__ = __rtruediv__ = __pow__ = sqrt = reciprocal = _itself


SCREENED = Screened()
ExactNumber: TypeAlias = Exact | NotFinite | Screened


def number(value: Any) -> Any:
    """An int, Fraction or float as exact number; exact numbers as they are; for anything else NotImplemented."""
    if isinstance(value, (Exact, NotFinite, Screened)):
        return value
    if isinstance(value, (int, Fraction)):
        return Exact(value)
    if isinstance(value, (float, np.number)):
        return Exact(float(value)) if math.isfinite(value) else SCREENED
    return NotImplemented


def is_screened(value: Any) -> bool:
    """Whether a result depends on an operand that is not finite."""
    if isinstance(value, Batch):
        return any(is_screened(argument) for argument in value.arguments)
    return value is SCREENED


class ExactChannel:
    """The number system of one channel: an `xp` for programs.

    Parameters
    ----------
    leaves : a sequence of numbers (the values of the channel) per batch operand.
    """

    def __init__(self, leaves: Sequence[Iterable[Any]]) -> None:
        self.leaves = [[number(value) for value in leaf] for leaf in leaves]
        self.n = len(self.leaves[0])
        self.operands: list[Screened | Batch] = [
            SCREENED if SCREENED in leaf else Batch.operand(k) for k, leaf in enumerate(self.leaves)]

    def moment(self, monomial: Monomial) -> Any:
        """The sum over the batch of the product of the operands in `monomial`, say (0, 1) for the sum of x*g."""
        total = Exact(0)
        for values in zip(*(self.leaves[k] for k in monomial)):
            total = total + math.prod(values, start=Exact(1))
        return total

    def count(self, batch: Any) -> Exact:
        """The number of values."""
        return Exact(self.n)

    def sqrt(self, value: Any) -> Any:
        """The square root of a rational number; NaN where it is negative."""
        return number(value).sqrt()

    def sum(self, batch: Any) -> Any:
        """The sum of a polynomial in the operands: each coefficient times the moment of its monomial."""
        if is_screened(batch):
            return SCREENED
        total = Exact(0)
        for monomial, coefficient in replay(batch, variables(len(self.operands))).terms.items():
            if isinstance(coefficient, NotFinite):
                return SCREENED  # a sum of infinities, element by element, is no combination of moments
            total = total + coefficient * (self.moment(monomial) if monomial else self.n)
        return total

    def elements(self, batch: Any) -> list[Any]:
        """The exact values of a batch result."""
        return [element(batch, values) for values in zip(*self.leaves)]


def element(batch: Any, values: Sequence[Any]) -> Any:
    """The exact value of a batch result at one position, where operand k is values[k]."""
    return replay(batch, values)


def round_exact(value: Exact | NotFinite, format_: Format) -> float:
    """The float (or infinity) nearest to an exact number among those of a format, ties to even.

    The magnitude is brought to units of half the smallest subnormal, rounded down. That integer shows the exponent, and what
    lies below the last place, together with "there was a rest", decides. No precision grows: there is only this one.
    """
    if isinstance(value, NotFinite):
        return value.value
    negative = value.sign() < 0
    k = 1 - format_.lowest
    units, whole = (-value if negative else value).floor_scaled(k)
    drop = max(units.bit_length() - format_.precision, 1)
    kept, rest = units >> drop, units & ((1 << drop) - 1)
    half = 1 << (drop - 1)
    if rest > half or rest == half and (not whole or kept % 2 == 1):
        kept += 1
    if kept.bit_length() + drop - k > format_.ceiling:
        return -math.inf if negative else math.inf
    magnitude = math.ldexp(kept, drop - k)
    return -magnitude if negative else magnitude


def round_to(value: Any, dtype: Dtype) -> Any:
    """Round an exact number to dtype, once: to nearest, ties to even.

    Parameters
    ----------
    value : Exact, NotFinite, int, float or Fraction
    dtype : float16, bfloat16, float32 or float64

    Returns
    -------
    A NumPy scalar. Exact zero gives +0; a value other than zero that underflows keeps its sign; overflow gives infinity.
    """
    dtype = np.dtype(dtype)
    if isinstance(value, float) and not math.isfinite(value):
        return dtype.type(value)
    return dtype.type(round_exact(number(value), format_of(dtype)))
