"""What an argument may be: every check of the functional form, and the sentence that refuses.

A refusal names the argument, what was given and what is allowed.
"""

from __future__ import annotations

from numbers import Real

import numpy as np

from .typing import Array

FLOATS = ("float16", "bfloat16", "float32", "float64")
ALLOWED = "float16, bfloat16, float32 or float64"


def floats(name: str, value: object) -> Array:
    """An array of floating-point numbers."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: a masked array, whose mask would be lost; allowed: a plain array of {ALLOWED}")
    try:
        array: Array = np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name}: a {type(value).__name__} that NumPy cannot read ({error}); "
                        f"allowed: an array of {ALLOWED}") from error
    if array.dtype.name not in FLOATS:
        raise TypeError(f"{name}: dtype {array.dtype}; allowed: {ALLOWED}")
    return array


def batch(name: str, value: object) -> Array:
    """The values of a batch: (N, C) or (N, C, *)."""
    array = floats(name, value)
    if array.ndim < 2:
        raise ValueError(f"{name}: shape {array.shape}; allowed: (N, C) or (N, C, *), with the channels second")
    return array


def like(name: str, value: object, other: str, x: Array) -> Array:
    """Another batch, of the shape of `x`, which is called `other`."""
    array = floats(name, value)
    if array.shape != x.shape:
        raise ValueError(f"{name}: shape {array.shape}; allowed: {x.shape}, that of {other}")
    return array


def channel(name: str, value: object, channels: int) -> Array:
    """One value for each channel."""
    array = floats(name, value)
    if array.shape != (channels,):
        raise ValueError(f"{name}: shape {array.shape}; allowed: ({channels},), one value for each channel of input")
    return array


def running_statistics(running_mean: object, running_var: object, channels: int,
                       training: bool) -> tuple[Array, Array] | None:
    """Both or neither; both where inference normalises by them."""
    if (running_mean is None) != (running_var is None):
        given, missing = ("running_mean", "running_var")[::1 if running_var is None else -1]
        raise ValueError(f"{missing}: None, but {given} is given; allowed: both or neither")
    if running_mean is None:
        if not training:
            raise ValueError("running_mean, running_var: None with training=False; "
                             "allowed: both, since inference normalises by them")
        return None
    return channel("running_mean", running_mean, channels), channel("running_var", running_var, channels)


def flag(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: of type {type(value).__name__}; allowed: True or False")
    return bool(value)


def number(name: str, value: object) -> float:
    """A finite number, as the double that it is."""
    if not isinstance(value, Real) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: {value!r} of type {type(value).__name__}; allowed: a finite number")
    try:
        double = float(value)
    except OverflowError:
        double = float("inf")
    if not np.isfinite(double):
        shown = value if isinstance(value, float) else type(value).__name__
        raise ValueError(f"{name}: {shown}; allowed: a finite number")
    return double
