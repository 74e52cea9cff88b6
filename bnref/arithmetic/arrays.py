"""NumPy arrays as they are, channels last: floats as NumPy computes them, or exact rationals (`fractions.Fraction`).

The plainest number system, for reading and for worked examples: nothing is rounded correctly here.  Rationals need every
W to be the square of a rational; `exact` computes in Q(sqrt W) and needs no such luck.

>>> from fractions import Fraction
>>> from bnref import equations
>>> from bnref.arithmetic import arrays
>>> x = arrays.rationals([[1], [2], [3], [6]])
>>> mean, var = equations.batch_statistics(x, xp=arrays)
>>> y = equations.normalize(x, mean, var, 1, 0, Fraction(1, 2), xp=arrays)        # W = 7/2 + 1/2 = 4
>>> [str(value) for value in y.ravel()]
['-1', '-1/2', '0', '3/2']
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt, prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

T = TypeVar("T", bound=np.generic)


def rationals(values: ArrayLike) -> NDArray[np.object_]:
    """An object array of Fractions.  A string such as "7/10" means that rational, a float the binary one that it is."""
    fractions: NDArray[np.object_] = np.frompyfunc(Fraction, 1, 1)(np.array(values, dtype=object))
    return fractions


def sum(x: NDArray[T]) -> NDArray[T]:
    """The sum over every axis but the last."""
    total: NDArray[T] = x.reshape(count(x), x.shape[-1]).sum(axis=0)
    return total


def count(x: NDArray[Any]) -> int:
    """The number of values of each channel."""
    return prod(x.shape[:-1])


def sqrt(x: NDArray[T]) -> NDArray[T]:
    """The square root; of rationals, where it is one.

    Raises
    ------
    ValueError
        A rational is not the square of a rational; the message names it.
    """
    x = np.asarray(x)
    root: NDArray[T] = np.frompyfunc(_rational_root, 1, 1)(x) if x.dtype == object else np.sqrt(x)
    return root


def _rational_root(value: Any) -> Fraction:
    value = Fraction(value)
    if value >= 0:
        root = Fraction(isqrt(value.numerator), isqrt(value.denominator))
        if root * root == value:
            return root
    raise ValueError(f"sqrt: {value} is not the square of a rational; allowed: 0, 1, 1/4, 9/16, ...  "
                     "Choose eps so that W = var + eps is one, or compute in Q(sqrt W): bnref.arithmetic.exact.")
