"""Exact rationals: object arrays of `fractions.Fraction`, channels last, where every W is the square of a rational.

For worked examples that are checked by hand.  `exact` needs no such luck; it computes in Q(sqrt W).

>>> from bnref import equations
>>> x = array([[1], [2], [3], [6]])
>>> mean, var = equations.batch_statistics(x, xp=rational)
>>> y = equations.normalize(x, mean, var, 1, 0, Fraction(1, 2), xp=rational)        # W = 7/2 + 1/2 = 4
>>> [str(value) for value in y.ravel()]
['-1', '-1/2', '0', '3/2']
"""

import sys
from fractions import Fraction
from math import isqrt, prod

import numpy as np

rational = sys.modules[__name__]


def array(values):
    """An object array of Fractions; a string such as "7/10" means that rational, a float the dyadic that it is."""
    nested = np.array(values, dtype=object)
    return np.frompyfunc(Fraction, 1, 1)(nested) if nested.size else nested


def sum(x):
    """The sum over every axis but the last."""
    return x.reshape(-1, x.shape[-1]).sum(axis=0)


def count(x):
    """The number of values of each channel."""
    return Fraction(prod(x.shape[:-1]))


def sqrt(x):
    """The square root, of rational squares alone.

    Raises
    ------
    ValueError
        Some value is not the square of a rational; the message names it.
    """
    return np.frompyfunc(_root, 1, 1)(x)


def _root(value):
    value = Fraction(value)
    if value >= 0:
        root = Fraction(isqrt(value.numerator), isqrt(value.denominator))
        if root * root == value:
            return root
    raise ValueError(f"sqrt: {value} is not the square of a rational; allowed: 0, 1, 1/4, 9/16, ...  "
                     "Choose eps so that W = var + eps is such a square, or compute in Q(sqrt W) with bnref.arithmetic.exact.")
