"""Batch values as recorded elementwise operations.

An operand with N*L values per channel is never worked on as a whole. `Batch` remembers which operation of which operands it
stands for; `replay` carries the operations out when values are wanted, on anything that has operators: a tile of float64
numbers, one exact number, a polynomial in the leaves.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any


class Batch:
    """The result of `operation` on `arguments`: Batch, channel numbers, integers. A leaf is an operand of the program."""

    __slots__ = ("operation", "arguments", "leaf")
    __array_ufunc__ = None  # an array on the left leaves the operation to Batch

    def __init__(self, operation: Callable[..., Any] | None, *arguments: Any, leaf: int = -1) -> None:
        self.operation, self.arguments, self.leaf = operation, arguments, leaf

    @classmethod
    def operand(cls, leaf: int) -> Batch:
        """The operand with number `leaf` among the program's batch operands."""
        return cls(None, leaf=leaf)

    def __add__(self, other: Any) -> Batch:
        return Batch(operator.add, self, other)

    def __radd__(self, other: Any) -> Batch:
        return Batch(operator.add, other, self)

    def __sub__(self, other: Any) -> Batch:
        return Batch(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Batch:
        return Batch(operator.sub, other, self)

    def __mul__(self, other: Any) -> Batch:
        return Batch(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Batch:
        return Batch(operator.mul, other, self)

    def __truediv__(self, other: Any) -> Batch:
        return Batch(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> Batch:
        return Batch(operator.truediv, other, self)

    def __neg__(self) -> Batch:
        return Batch(operator.neg, self)

    def __pow__(self, exponent: int) -> Batch:
        return Batch(operator.pow, self, exponent)


def run(program: Callable[..., Any], operands: Iterable[Any], xp: Any) -> tuple[Any, ...]:
    """The results of a program in a number system, as a tuple also where there is one alone."""
    values = program(*operands, xp=xp)
    return values if isinstance(values, tuple) else (values,)


def replay(batch: Any, leaves: Sequence[Any], channel: Callable[[Any], Any] = lambda number: number,
           known: dict[int, Any] | None = None) -> Any:
    """The value of `batch` where operand k is leaves[k] and a channel number c counts as channel(c)."""
    if not isinstance(batch, Batch):
        return batch if isinstance(batch, int) else channel(batch)
    if batch.operation is None:
        return leaves[batch.leaf]
    known = {} if known is None else known  # of what is used twice
    if id(batch) not in known:
        known[id(batch)] = batch.operation(*[replay(argument, leaves, channel, known) for argument in batch.arguments])
    return known[id(batch)]
