"""The four formats, and rounding float64 sums to them once: to nearest, ties to even.

Zero: an exact zero rounds to +0; a value other than zero that underflows keeps its sign. Overflow gives infinity.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..typing import Array, Bools, Dtype, Floats, cache
from .double_double import two_sum


class Format(NamedTuple):
    """Numbers m * 2**e with |m| < 2**precision, e >= lowest, below 2**ceiling."""

    precision: int
    lowest: int
    ceiling: int


FORMATS = {
    "float16": Format(11, -24, 16),
    "bfloat16": Format(8, -133, 128),
    "float32": Format(24, -149, 128),
    "float64": Format(53, -1074, 1024),
}


@cache
def format_of(dtype: Dtype) -> Format:
    """Look up the format of a dtype (by name, so that ml_dtypes need not be imported)."""
    name = np.dtype(dtype).name
    if name not in FORMATS:
        raise TypeError(f"dtype must be one of {', '.join(FORMATS)}, not {name}")
    return FORMATS[name]


def bits(values: Array) -> Array:
    """The bit patterns, as integers: equal bits are equal values of equal sign, zeros included."""
    return values.view(f"i{values.dtype.itemsize}")


def to_odd(s: Array, e: Array, integer: type[np.signedinteger[Any]]) -> Array:
    """s + e rounded to odd, for a rounded sum s and its error e: where e != 0, the neighbour with an odd last bit.

    Rounding the result to a format with at least two bits fewer equals rounding s + e to it (Boldo, Melquiond 2008):
    the odd last bit remembers on which side the value lies.
    """
    pattern = s.view(integer)
    even = (e != 0) & ((pattern & 1) == 0)
    outward = (e > 0) == (s >= 0)  # the neighbour of greater magnitude
    return np.where(even, pattern + np.where(outward, 1, -1).astype(integer), pattern).view(s.dtype)


def nearest(values: Floats, dtype: Dtype) -> Array:
    """Round float64 values to dtype, once; ml_dtypes itself casts float64 to bfloat16 through float32: twice."""
    if format_of(dtype) is not FORMATS["bfloat16"]:
        return values.astype(dtype)
    magnitude = np.abs(values)
    single = magnitude.astype(np.float32)
    pattern: Array = to_odd(single, magnitude - single, np.int32).view(np.uint32)  # an infinity becomes what rounds to one
    pattern = (pattern + (0x7FFF + ((pattern >> 16) & 1))) >> 16  # bfloat16: the upper half of float32
    pattern = np.where(np.isnan(values), 0x7FC0, pattern) | (np.signbit(values).astype(np.uint32) << 15)
    rounded: Array = pattern.astype(np.dtype(np.uint16).newbyteorder(np.dtype(dtype).byteorder)).view(dtype)
    return rounded


def nearest_sum(hi: Floats, lo: Floats, dtype: Dtype) -> Array:
    """Round the exact sum hi + lo of two float64 arrays to dtype, once; an exact zero becomes +0."""
    s, e = two_sum(hi, lo)
    s = s + 0.0
    if np.dtype(dtype) == np.float64:
        return s
    return nearest(to_odd(s, np.where(np.isfinite(s), e, 0), np.int64), dtype)


def round_interval(hi: Floats, lo: Floats, radius: Floats, dtype: Dtype) -> tuple[Array, Bools]:
    """Round hi + lo, and tell where the answer is certain: where all of [hi + lo - radius, hi + lo + radius] rounds alike.

    hi, lo, radius: float64 arrays of one shape. Not certain where anything is not finite.
    """
    if np.dtype(dtype) == np.float64:
        return _round_sums(hi, lo, radius, dtype)
    spread = np.abs(lo) + radius + np.abs(hi) * 2.0**-51  # for four roundings: with a spread above |hi| ends differ in sign
    low, certain = round_ends(hi, spread, dtype)
    if np.count_nonzero(certain) < certain.size:  # for these few the low parts count, and whether they are exact
        open_ = ~certain
        lo, radius = (part[open_] if part.shape == hi.shape else part for part in (lo, radius))
        low[open_], certain[open_] = _round_sums(hi[open_], lo, radius, dtype)
    return low, certain


def round_ends(values: Floats, radius: Floats, dtype: Dtype) -> tuple[Array, Bools]:
    """Round values - radius, and tell where values + radius, in float64, rounds alike. Not where a radius is not finite."""
    ends = np.array([values - radius, values + radius])
    ends += 0.0  # not -0.0: an exact zero is +0
    low, high = nearest(ends, dtype)
    return low, (bits(low) == bits(high)) & np.isfinite(radius)


def _round_sums(hi: Floats, lo: Floats, radius: Floats, dtype: Dtype) -> tuple[Array, Bools]:
    """The same, with ends at twice the precision of float64."""
    slack = np.abs(lo) * 2.0**-52 * np.sign(radius)  # for the rounding of lo - radius and lo + radius; NaN where lo is not finite
    radius = radius * (1 + 2.0**-40) + slack
    low, high = nearest_sum(hi, np.array([lo - radius, lo + radius]), dtype)
    return low, (bits(low) == bits(high)) & np.isfinite(hi) & np.isfinite(radius)
