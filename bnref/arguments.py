"""What an argument may be: every check of the functional form, and the sentence that refuses.

A refusal names the argument, what was given and what is allowed.  It is given at once, whatever the argument is: what
may be endless is not read, and what cannot be shown is named by its type.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from .typing import Array

FLOATS = ("float16", "bfloat16", "float32", "float64")
ALLOWED = "float16, bfloat16, float32 or float64"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100


def shown(value: object) -> str:
    """A value as a message shows it: short, even where its own `repr` is long or fails."""
    try:
        return _SHORT.repr(value)
    except Exception:  # an int of more digits than Python prints
        return f"a {type(value).__name__}"


def why(error: BaseException) -> str:
    """What an error says, short."""
    try:
        text = str(error)
    except Exception:
        text = type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is one of the four formats; a structure that bears the name of one is not."""
    return dtype.char in "efd" or dtype.name in FLOATS and not issubclass(dtype.type, np.void)  # NumPy puts names together slowly


def readable(name: str, value: object) -> None:
    """Refuse what NumPy would lose something of, or might never have read to its end."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: a masked array, whose mask would be lost; allowed: a plain array of {ALLOWED}")
    kind = type(value)
    array = isinstance(value, (list, tuple, np.generic)) or any(hasattr(kind, protocol) for protocol in ARRAY_PROTOCOLS)
    if not array and hasattr(kind, "__len__") and hasattr(kind, "__getitem__") and not _is_buffer(value):
        raise TypeError(f"{name}: a {kind.__name__}; allowed: an array of {ALLOWED}")


ARRAY_PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__", "__dlpack__")


def _is_buffer(value: Any) -> bool:
    try:
        memoryview(value)
    except Exception:
        return False
    return True


def floats(name: str, value: object) -> Array:
    """An array of floating-point numbers, without the subclass that it may have."""
    readable(name, value)
    try:
        array: Array = np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name}: a {type(value).__name__} that NumPy cannot read ({why(error)}); "
                        f"allowed: an array of {ALLOWED}") from error
    if not is_float(array.dtype):
        raise TypeError(f"{name}: dtype {array.dtype}; allowed: {ALLOWED}")
    return array


def batch(name: str, value: object) -> Array:
    """The values of a batch: (N, C) or (N, C, *)."""
    array = floats(name, value)
    if array.ndim < 2:
        raise ValueError(f"{name}: shape {array.shape}; allowed: (N, C) or (N, C, *), with the channels second")
    room(name, array.shape, array.dtype)
    return array


def room(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse a shape whose results do not fit into memory before anything is computed; a broadcast array may have it."""
    try:
        np.empty(shape, dtype), np.empty(shape[1:2])
    except (MemoryError, ValueError) as error:
        raise MemoryError(f"{name}: shape {shape} of {dtype}; allowed: what leaves memory for results of its size") from error


def like(name: str, value: object, other: str, x: Array) -> Array:
    """Another batch, of the shape of `x`, which is called `other`."""
    array = floats(name, value)
    if array.shape != x.shape:
        raise ValueError(f"{name}: shape {array.shape}; allowed: {x.shape}, that of {other}")
    return array


def channel(name: str, value: object, channels: int, whose: str = "input") -> Array:
    """One value for each channel."""
    array = floats(name, value)
    if array.shape != (channels,):
        raise ValueError(f"{name}: shape {array.shape}; allowed: ({channels},), one value for each channel of {whose}")
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
        raise TypeError(f"{name}: {shown(value)} of type {type(value).__name__}; allowed: a finite number")
    number = double(name, value)
    if not np.isfinite(number):
        given = value if isinstance(value, float) else type(value).__name__
        raise ValueError(f"{name}: {given}; allowed: a finite number")
    return number


def double(name: str, value: Any) -> float:
    """A number as a double, infinite beyond its range."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    except Exception as error:
        raise TypeError(f"{name}: a {type(value).__name__} that is no float ({why(error)}); allowed: a number") from error


def truth(name: str, value: object) -> bool:
    """What Python takes for true or false, as PyTorch takes its flags."""
    try:
        return bool(value)
    except Exception as error:
        raise TypeError(f"{name}: a {type(value).__name__} that is neither true nor false ({why(error)}); "
                        "allowed: True or False") from error


def mapping(name: str, value: object) -> dict[Any, Any]:
    """A dictionary of what a mapping holds."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: a {type(value).__name__}; allowed: a mapping of keys to arrays")
    try:
        return dict(value)
    except Exception as error:
        raise TypeError(f"{name}: a {type(value).__name__} that cannot be read ({why(error)}); "
                        "allowed: a mapping of keys to arrays") from error


def string(name: str, value: object) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: {shown(value)} of type {type(value).__name__}; allowed: a string")
    return value
