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
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..typing import Dtype
from .polynomial import Monomial, variables
from .recording import Batch, replay
from .rounding import Format, format_of

ROOT = 160  # binary digits of a root that is known from below and from above: these decide almost always


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
        if not (self.b or other.b):
            return Exact(self.a + other.a)
        return self._with(self.a + other.a, self.b + other.b, other)

    @_with_number
    def __mul__(self, other: Any) -> Any:
        if not isinstance(other, Exact):
            return other.__rmul__(self)
        if not (self.b or other.b):
            return Exact(self.a * other.a)
        if not other.b:
            return self._with(self.a * other.a, self.b * other.a)
        if not self.b:
            return other._with(self.a * other.a, self.a * other.b)
        return self._with(self.a * other.a + self.b * other.b * self.W, self.a * other.b + self.b * other.a, other)

    def reciprocal(self) -> Exact | NotFinite:
        """1 / (a + b*sqrt(W)) = (a - b*sqrt(W)) / (a*a - b*b*W); the denominator is not 0, for W is no square."""
        if not self.b:
            return Exact(1 / self.a) if self.a else NotFinite(math.inf)
        norm = self.a * self.a - self.b * self.b * self.W
        return self._with(self.a / norm, -self.b / norm)

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

    def quotient(self) -> Quotient:
        """The same number over integers, of which rounding is made."""
        d = self.a.denominator * self.b.denominator * self.W.denominator
        b = self.b.numerator * (d // self.b.denominator)
        square = b * b * self.W.numerator // self.W.denominator  # an integer: W's denominator divides b
        return Quotient(self.a.numerator * (d // self.a.denominator), (b > 0) - (b < 0), square, d)

    def sign(self) -> int:
        """-1, 0 or 1."""
        return self.quotient().sign()

    def floor_scaled(self, k: int) -> tuple[int, bool]:
        """floor(v * 2**k), and whether v * 2**k is an integer, for v = a + b*sqrt(W)."""
        return self.quotient().floor_scaled(k)


class Quotient(NamedTuple):
    """The number (p + s*sqrt(q)) / d * 2**e: integers p, q >= 0, d > 0, e; s -1, 0 or 1; q no square unless s is 0."""

    p: int
    s: int
    q: int
    d: int
    e: int = 0

    def __neg__(self) -> Quotient:
        return self._replace(p=-self.p, s=-self.s)

    def sign(self) -> int:
        """-1, 0 or 1. Where p and s*sqrt(q) have different signs, their squares decide."""
        sign = (self.p > 0) - (self.p < 0)
        if sign * self.s >= 0:
            return sign or self.s
        return sign if self.p * self.p > self.q else self.s

    def floor_scaled(self, k: int) -> tuple[int, bool]:
        """floor(v * 2**k), and whether v * 2**k is an integer: floor((p + r) / d) = floor((p + floor(r)) / d)."""
        k += self.e
        p, q, d = (self.p << k, self.q << 2 * k, self.d) if k >= 0 else (self.p, self.q, self.d << -k)
        if not self.s:
            whole, rest = divmod(p, d)
            return whole, rest == 0
        root = math.isqrt(q)  # q is no square
        return (p + root) // d if self.s > 0 else (p - root - 1) // d, False

    def bits(self) -> int:
        """About so many binary digits has the larger part of the number before the point."""
        return max(self.p.bit_length(), self.q.bit_length() // 2) - self.d.bit_length() + self.e


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


def _depends(value: Any, on: Callable[[Any], bool]) -> bool:
    """Whether a result, or a number that it is made of, is such a one."""
    return any(_depends(argument, on) for argument in value.arguments) if isinstance(value, Batch) else on(value)


def is_screened(value: Any) -> bool:
    """Whether a result depends on an operand that is not finite."""
    return _depends(value, lambda each: each is SCREENED)


def is_nan(value: Any) -> bool:
    """Whether a result is NaN, or NaN at every position, as it depends on a NaN that came out of finite numbers."""
    return _depends(value, lambda each: isinstance(each, NotFinite) and math.isnan(each.value))


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
        terms = replay(batch, variables(len(self.operands))).terms
        if any(isinstance(coefficient, NotFinite) for coefficient in terms.values()):
            return self._sum_of_infinities(batch)
        total = Exact(0)
        for monomial, coefficient in terms.items():
            total = total + coefficient * (self.moment(monomial) if monomial else self.n)
        return total

    def _sum_of_infinities(self, batch: Any) -> Any:
        """The sum position by position, up to the first that makes it NaN: infinities are no combination of moments."""
        total = Exact(0)
        for values in self.positions():
            total = total + element(batch, values)
            if is_nan(total):
                break
        return total

    def positions(self) -> Iterable[Sequence[Any]]:
        """The values of the operands, position by position."""
        return zip(*self.leaves)

    def elements(self, batch: Any) -> list[Any]:
        """The exact values of a batch result."""
        return [element(batch, values) for values in self.positions()]


def element(batch: Any, values: Sequence[Any]) -> Any:
    """The exact value of a batch result at one position, where operand k is values[k]."""
    return replay(batch, values)


class Positions:
    """A batch result in one channel, to be rounded at one position after another: a polynomial in the operands, over integers.

    Its coefficients are (a + b*sqrt(W)) / d with one W and one integer d for all, a float is an integer times a power of two.
    With two bounds of sqrt(W) for it that is a rational number. Rounding is monotonic: where both round alike, so does the value.
    """

    def __init__(self, batch: Any, operands: int, format_: Format) -> None:
        self.batch, self.format = batch, format_
        terms = {monomial: number(coefficient) for monomial, coefficient in replay(batch, variables(operands)).terms.items()}
        self.polynomial = all(isinstance(coefficient, Exact) for coefficient in terms.values())
        if self.polynomial:
            self.W = next((coefficient.W for coefficient in terms.values() if coefficient.b), Fraction(0))
            parts = [part for coefficient in terms.values() for part in (coefficient.a, coefficient.b)]
            self.d = self.W.denominator * math.lcm(*(part.denominator for part in parts))
            self.terms = [(monomial, *(part.numerator * (self.d // part.denominator) for part in (coefficient.a, coefficient.b)))
                          for monomial, coefficient in terms.items()]
            W = Quotient(self.W.numerator, 0, 0, self.W.denominator)
            self.m = max(ROOT - W.bits() // 2, 0)
            root = math.isqrt(W.floor_scaled(2 * self.m)[0])
            self.roots = root, root + 1  # sqrt(W) * 2**m lies between them

    def round(self, values: Sequence[float]) -> float:
        """The result where operand k is the float values[k], rounded once."""
        if not self.polynomial:  # with infinities: as the program is written, operation by operation
            return round_exact(element(self.batch, [number(value) for value in values]), self.format)
        floats = [math.frexp(value) for value in values]
        terms = [(a, b, [floats[k] for k in monomial]) for monomial, a, b in self.terms]
        exponents = [sum(exponent - 53 for _, exponent in factors) for _, _, factors in terms]
        e, p, r = min(exponents), 0, 0
        for (a, b, factors), exponent in zip(terms, exponents):
            integer = math.prod(int(math.ldexp(mantissa, 53)) for mantissa, _ in factors) << (exponent - e)
            p, r = p + a * integer, r + b * integer
        ends = [round_exact(Quotient((p << self.m) + r * root, 0, 0, self.d << self.m, e), self.format) for root in self.roots]
        if ends[0] == ends[1] != 0:  # a zero has a sign
            return ends[0]
        return round_exact(Quotient(p, (r > 0) - (r < 0), r * r * self.W.numerator // self.W.denominator, self.d, e), self.format)


def round_exact(value: Exact | Quotient | NotFinite, format_: Format) -> float:
    """The float (or infinity) nearest to an exact number among those of a format, ties to even.

    The magnitude is brought to units of half the smallest subnormal, or to larger ones that are small enough: of which there
    are two digits more than the format has. Rounded down, that integer shows the exponent, and what lies below the last place,
    together with "there was a rest", decides. No precision grows.
    """
    if isinstance(value, NotFinite):
        return value.value
    if isinstance(value, Exact):
        value = value.quotient()
    negative = value.sign() < 0
    magnitude = -value if negative else value
    finest = 1 - format_.lowest
    k = min(format_.precision + 3 - magnitude.bits(), finest)
    units, whole = magnitude.floor_scaled(k)
    if units.bit_length() < format_.precision + 2 and k < finest:  # where p and s*sqrt(q) cancel
        k = finest
        units, whole = magnitude.floor_scaled(k)
    drop = max(units.bit_length() - format_.precision, 1)
    kept, rest = units >> drop, units & ((1 << drop) - 1)
    half = 1 << (drop - 1)
    if rest > half or rest == half and (not whole or kept % 2 == 1):
        kept += 1
    if kept.bit_length() + drop - k > format_.ceiling:
        return -math.inf if negative else math.inf
    rounded = math.ldexp(kept, drop - k)
    return -rounded if negative else rounded


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
