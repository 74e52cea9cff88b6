"""Batch normalisation as functions: check the arguments, run the generated program, round once.

No formula stands here.  `equations` holds the formulas, `arithmetic` the numbers that they run on; this module joins
the two and says which dtype and shape every result has.  Sources: notebooks/01_forward and 02_running_statistics.
"""

from numbers import Real
from typing import NamedTuple, Optional

import numpy as np

from . import equations
from .arithmetic import evaluate

FLOATS = ("float16", "bfloat16", "float32", "float64")


class BatchNormResult(NamedTuple):
    """What one batch gives.  `None` stands for what the mode does not compute."""

    output: np.ndarray
    mean: Optional[np.ndarray]
    var: Optional[np.ndarray]
    running_mean: Optional[np.ndarray]
    running_var: Optional[np.ndarray]


def batch_norm(input, running_mean=None, running_var=None, weight=None, bias=None,
               training=False, momentum=0.1, eps=1e-5):
    """Normalise each channel, correctly rounded.

    The true value of every result is computed from the exact values of the arguments (a Python float means the
    double that it is) and rounded once, to nearest, ties to even.  Nothing is changed in place.

    Parameters
    ----------
    input : (N, C) or (N, C, *) array of float16, bfloat16, float32 or float64
        Statistics are over every axis but the second.
    running_mean, running_var : (C,) array, optional
        Both or neither; needed with ``training=False``.
    weight, bias : (C,) array, optional
        1 and 0 when not given.
    training : bool
        Normalise by the batch, and update the running statistics if there are any; otherwise by the running statistics.
    momentum : float
        Weight of the new observation, as in PyTorch.  MindSpore's is one minus it (notebooks/02_running_statistics).
    eps : float
        Any finite number; added to the variance.

    Returns
    -------
    BatchNormResult
        output : shape and dtype of `input`.
        mean, var : (C,), the batch mean and the biased batch variance, in the dtype of `input`, at least float32;
        None with ``training=False``.
        running_mean, running_var : (C,), in the dtype of their buffers; None where none were given.  The variance
        that enters is the unbiased one.

    Raises
    ------
    TypeError
        An argument is no array (or number) of the dtypes above.
    ValueError
        A shape does not fit, one running statistic is given without the other or none for ``training=False``,
        or eps or momentum is not finite.

    Notes
    -----
    Special cases (notebooks/01_forward, "Special cases").  With n values per channel, in training:

    - n = 0: output is empty, mean and var are NaN, running statistics stay as they are.
    - n = 1: output is bias, var is 0; the unbiased variance of one value does not exist, so running_var becomes NaN.
    - W = var + eps < 0 gives NaN in that channel, W = 0 what IEEE division gives.
    - NaN and infinities do what IEEE arithmetic in the formula gives, and touch no other channel.

    Examples
    --------
    >>> import numpy as np, bnref
    >>> x = np.array([[1.0], [2.0], [3.0], [6.0]])
    >>> r = bnref.batch_norm(x, training=True, eps=0.5)        # mean 3, var 7/2, so W = 4
    >>> r.output.ravel().tolist(), r.mean.tolist(), r.var.tolist()
    ([-1.0, -0.5, 0.0, 1.5], [3.0], [3.5])
    """
    x = _batch("input", input)
    channels = x.shape[1]
    rm, rv = _running(running_mean, running_var, channels, training)
    w = 1 if weight is None else _channel("weight", weight, channels)
    b = 0 if bias is None else _channel("bias", bias, channels)
    momentum, eps = _number("momentum", momentum), _number("eps", eps)

    if not training:
        output, = evaluate(_inference, (x, rm, rv, w, b, eps), (x.dtype,))
        return BatchNormResult(output, None, None, rm.copy(), rv.copy())

    statistics = np.promote_types(x.dtype, np.float32)
    n = x.size // channels if channels else 0
    if n == 0:
        undefined = np.full(channels, np.nan, statistics)
        return BatchNormResult(np.empty(x.shape, x.dtype), undefined, undefined.copy(), _copy(rm), _copy(rv))
    if rm is None:
        results = evaluate(_training, (x, w, b, eps), (x.dtype, statistics, statistics))
        return BatchNormResult(*results, None, None)
    output, mean, var, rm, rv = evaluate(_tracking, (x, rm, rv, w, b, momentum, eps),
                                         (x.dtype, statistics, statistics, rm.dtype, rv.dtype))
    if n == 1:
        rv = np.full_like(rv, np.nan)
    return BatchNormResult(output, mean, var, rm, rv)


# Which generated functions make one call.  Composition only: a number system comes in, nothing is computed here.

def _inference(x, running_mean, running_var, weight, bias, eps, *, xp):
    return (equations.normalize(x, running_mean, running_var, weight, bias, eps, xp=xp),)


def _training(x, weight, bias, eps, *, xp):
    mean, var = equations.batch_statistics(x, xp=xp)
    return equations.normalize(x, mean, var, weight, bias, eps, xp=xp), mean, var


def _tracking(x, running_mean, running_var, weight, bias, momentum, eps, *, xp):
    output, mean, var = _training(x, weight, bias, eps, xp=xp)
    running = equations.update_running_statistics(running_mean, running_var, mean, var, xp.count(x), momentum, xp=xp)
    return (output, mean, var) + tuple(running)


# What an argument may be.

def _array(name, value):
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: a masked array, whose mask would be lost; allowed: a plain array of {_one_of(FLOATS)}")
    try:
        array = np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name}: a {type(value).__name__} that NumPy cannot read ({error}); "
                        f"allowed: an array of {_one_of(FLOATS)}") from error
    if array.dtype.name not in FLOATS:
        raise TypeError(f"{name}: dtype {array.dtype}; allowed: {_one_of(FLOATS)}")
    return array


def _batch(name, value):
    array = _array(name, value)
    if array.ndim < 2:
        raise ValueError(f"{name}: shape {array.shape}; allowed: (N, C) or (N, C, *), with the channels second")
    return array


def _channel(name, value, channels):
    array = _array(name, value)
    if array.shape != (channels,):
        raise ValueError(f"{name}: shape {array.shape}; allowed: ({channels},), one value for each channel of input")
    return array


def _running(running_mean, running_var, channels, training):
    if (running_mean is None) != (running_var is None):
        given, missing = ("running_mean", "running_var")[::1 if running_var is None else -1]
        raise ValueError(f"{missing}: None, but {given} is given; allowed: both or neither")
    if running_mean is None:
        if not training:
            raise ValueError("running_mean, running_var: None with training=False; "
                             "allowed: both, since inference normalises by them")
        return None, None
    return _channel("running_mean", running_mean, channels), _channel("running_var", running_var, channels)


def _number(name, value):
    if not isinstance(value, Real) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: {value!r} of type {type(value).__name__}; allowed: a finite number")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not np.isfinite(number):
        shown = value if isinstance(value, float) else type(value).__name__
        raise ValueError(f"{name}: {shown}; allowed: a finite number")
    return number


def _copy(array):
    return None if array is None else array.copy()


def _one_of(names):
    return ", ".join(names[:-1]) + " or " + names[-1]
