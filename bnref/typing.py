"""The types that bnref's signatures are made of.

What NumPy has no type for is checked at the call: which dtypes are floating-point ones (bfloat16 is another package's),
and that a shape fits.
"""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = ["Array", "ArrayLike", "Batch", "BoundingSystem", "Bools", "Channel", "DTypeLike", "Dtype", "Floats", "Number",
           "NumberSystem", "Program", "Scalar"]

Array: TypeAlias = NDArray[Any]
"""An array of float16, bfloat16, float32 or float64."""

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

Dtype: TypeAlias = np.dtype[Any] | type[Any] | str
"""A dtype, or what NumPy names it by."""

Scalar: TypeAlias = float | Fraction | np.floating[Any] | np.integer[Any]
"""A real number.  An int is a float to a type checker."""

Program: TypeAlias = Callable[..., Any]
"""What `arithmetic.evaluate` runs: a function of operands and a number system, ``program(*operands, xp=xp)``."""

Batch = TypeVar("Batch")
"""A value for every position of a batch, as a number system has it."""

Channel = TypeVar("Channel")
"""A value for every channel, as a number system has it."""

Number = TypeVar("Number", float, Fraction, Decimal, Floats)
"""A number that needs no number system: it knows + - * / itself."""

Function = TypeVar("Function", bound=Callable[..., Any])
if TYPE_CHECKING:
    def cache(function: Function, /) -> Function:
        """Remember results, as `functools.cache` does; but that forgets, for a type checker, what the arguments may be."""
else:
    from functools import cache as cache

B = TypeVar("B", contravariant=True)
C = TypeVar("C")


class NumberSystem(Protocol[B, C]):
    """What a generated program asks of the numbers that it runs on, besides + - * / and powers: its argument ``xp``."""

    def sum(self, x: B, /) -> C:
        """Add up `x`, channel by channel."""

    def count(self, x: B, /) -> Any:
        """The number of values of each channel of `x`."""

    def sqrt(self, x: C, /) -> C:
        """The square root of `x`, channel by channel."""


class BoundingSystem(NumberSystem[B, C], Protocol[B, C]):
    """What the bounds ask for besides, of batches, channels and scalars alike."""

    def abs(self, x: Any, /) -> Any:
        """The absolute value of `x`."""

    def maximum(self, x: Any, y: Any, /) -> Any:
        """The larger of `x` and `y`."""
