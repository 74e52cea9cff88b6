"""Batch normalisation as functions: check the arguments, run the generated program, round once.

No formula stands here.  `equations` holds the formulas, `arithmetic` the numbers that they run on; this module joins
the two and says which dtype and shape every result has.  Sources: notebooks/01_forward, 02_running_statistics and
03_backward.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import arguments, equations
from .arithmetic import evaluate
from .typing import Array, ArrayLike, Batch, Channel, NumberSystem, Scalar


class BatchNormResult(NamedTuple):
    """What one batch gives: the results of `batch_norm`.

    Attributes
    ----------
    output : (N, C) or (N, C, *) array
    mean, var : (C,) array, or None in inference
        The batch mean and the biased batch variance.
    running_mean, running_var : (C,) array, or None where none were given
    """

    output: Array
    mean: Array | None
    var: Array | None
    running_mean: Array | None
    running_var: Array | None


class BatchNormGradients(NamedTuple):
    """The derivatives of a loss: the results of `batch_norm_backward`.

    Attributes
    ----------
    input : (N, C) or (N, C, *) array
    weight, bias : (C,) array
        None, from a layer, for what it does not learn.
    """

    input: Array
    weight: Array | None
    bias: Array | None


class BatchNormSecondGradients(NamedTuple):
    """The derivatives of the weighed sum of the gradients: the results of `batch_norm_double_backward`.

    Attributes
    ----------
    grad_output, input : (N, C) or (N, C, *) array
    weight : (C,) array
    """

    grad_output: Array
    input: Array
    weight: Array


def batch_norm(input: ArrayLike, running_mean: ArrayLike | None = None, running_var: ArrayLike | None = None,
               weight: ArrayLike | None = None, bias: ArrayLike | None = None,
               training: bool = False, momentum: Scalar = 0.1, eps: Scalar = 1e-5) -> BatchNormResult:
    """Normalise each channel, correctly rounded.

    The true value of every result is computed from the exact values of the arguments (a Python float means the
    double that it is) and rounded once, to nearest, ties to even.  Nothing is changed in place.

    Parameters
    ----------
    input : (N, C) or (N, C, *) array of float16, bfloat16, float32 or float64
        Statistics are over every axis but the second.  This, and every array here, may have any strides and either order
        of bytes, be read-only, a memory map or of a subclass other than a masked array; results are plain arrays.
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
    MemoryError
        The results do not fit into memory.  Like every refusal it comes before anything is computed.

    Notes
    -----
    Special cases (notebooks/01_forward, "Special cases").  With n values per channel, in training:

    - n = 0: output is empty, mean and var are NaN, running statistics stay as they are.
    - n = 1: output is bias, var is 0; the unbiased variance of one value does not exist, so running_var becomes NaN.
    - W = var + eps < 0 gives NaN in that channel, W = 0 what IEEE division gives.
    - NaN and infinities do what IEEE arithmetic in the formula gives, and touch no other channel.

    Beyond its results a call takes less than 64 MiB of memory, whatever the shape; so do those for the gradients.

    Examples
    --------
    >>> import numpy as np, bnref
    >>> x = np.array([[1.0], [2.0], [3.0], [6.0]])
    >>> r = bnref.batch_norm(x, training=True, eps=0.5)        # mean 3, var 7/2, so W = 4
    >>> r.output.ravel().tolist(), r.mean.tolist(), r.var.tolist()
    ([-1.0, -0.5, 0.0, 1.5], [3.0], [3.5])
    """
    x = arguments.batch("input", input)
    running, w, b, eps = _common(x, running_mean, running_var, weight, bias, training, eps)
    momentum = arguments.number("momentum", momentum)
    if running is not None and not training:
        output, = evaluate(_inference, (x, *running, w, b, eps), (x.dtype,))
        return BatchNormResult(output, None, None, *_copies(running))

    statistics = np.promote_types(x.dtype, np.float32)
    n = _values_per_channel(x)
    if n == 0:
        undefined = np.full(x.shape[1], np.nan, statistics)
        return BatchNormResult(np.empty(x.shape, x.dtype), undefined, undefined.copy(), *_copies(running))
    if running is None:
        output, mean, var = evaluate(_training, (x, w, b, eps), (x.dtype, statistics, statistics))
        return BatchNormResult(output, mean, var, None, None)
    output, mean, var, rm, rv = evaluate(_tracking, (x, *running, w, b, momentum, eps),
                                         (x.dtype, statistics, statistics, *(array.dtype for array in running)))
    if n == 1:
        rv = np.full_like(rv, np.nan)
    return BatchNormResult(output, mean, var, rm, rv)


def batch_norm_backward(grad_output: ArrayLike, input: ArrayLike, running_mean: ArrayLike | None = None,
                        running_var: ArrayLike | None = None, weight: ArrayLike | None = None,
                        training: bool = False, eps: Scalar = 1e-5) -> BatchNormGradients:
    """Differentiate `batch_norm` by input, weight and bias, correctly rounded.

    Parameters
    ----------
    grad_output : array of the shape of `input`, in any of its dtypes
        The derivative of a loss by the output.
    input, running_mean, running_var, weight, training, eps
        As `batch_norm` had them.  With ``training=True`` the running statistics have no influence.

    Returns
    -------
    BatchNormGradients
        input : shape and dtype of `input`.
        weight, bias : (C,), in the dtype of `weight`, or of `input` where none was given.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `batch_norm`; also where `grad_output` has another shape than `input`.

    Notes
    -----
    Special cases: an empty batch gives an empty gradient and zeros; with one value per channel in training and eps > 0
    the gradients by input and weight are 0; for a constant channel with eps = 0 they are NaN.  Otherwise as
    `batch_norm`.  Source: notebooks/03_backward.

    Examples
    --------
    >>> import numpy as np, bnref
    >>> x, grad = np.array([[1.0], [3.0]]), np.array([[2.0], [5.0]])
    >>> g = bnref.batch_norm_backward(grad, x, training=True, eps=1.25)        # W = 1 + 5/4
    >>> g.input.ravel().tolist(), g.weight.tolist(), g.bias.tolist()
    ([-0.5555555555555556, 0.5555555555555556], [2.0], [7.0])
    """
    x = arguments.batch("input", input)
    grad = arguments.like("grad_output", grad_output, "input", x)
    running, w, _, eps = _common(x, running_mean, running_var, weight, None, training, eps)
    parameter = x.dtype if isinstance(w, int) else w.dtype
    if _values_per_channel(x) == 0:
        zeros = np.zeros(x.shape[1], parameter)
        return BatchNormGradients(np.empty(x.shape, x.dtype), zeros, zeros.copy())
    dtypes = (x.dtype, parameter, parameter)
    if running is None or training:
        return BatchNormGradients(*evaluate(_backward, (grad, x, w, eps), dtypes))
    return BatchNormGradients(*evaluate(_backward_inference, (grad, x, *running, w, eps), dtypes))


def batch_norm_double_backward(grad_grad_input: ArrayLike | None, grad_grad_weight: ArrayLike | None,
                               grad_grad_bias: ArrayLike | None, grad_output: ArrayLike, input: ArrayLike,
                               running_mean: ArrayLike | None = None, running_var: ArrayLike | None = None,
                               weight: ArrayLike | None = None, training: bool = False,
                               eps: Scalar = 1e-5) -> BatchNormSecondGradients:
    """Differentiate `batch_norm_backward`, correctly rounded.

    Its three gradients are weighed and added up: sum(grad_grad_input * g.input) + sum(grad_grad_weight * g.weight)
    + sum(grad_grad_bias * g.bias).  The results are the derivatives of that sum.

    Parameters
    ----------
    grad_grad_input : array of the shape of `input`, or None for zeros
    grad_grad_weight, grad_grad_bias : (C,) array, or None for zeros
    grad_output, input, running_mean, running_var, weight, training, eps
        As `batch_norm_backward` had them.

    Returns
    -------
    BatchNormSecondGradients
        grad_output : shape and dtype of `grad_output`.
        input : shape and dtype of `input`.
        weight : (C,), in the dtype of `weight`, or of `input` where none was given.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `batch_norm_backward`.

    Notes
    -----
    Special cases as `batch_norm_backward`.  Source: notebooks/03_backward, "Differentiate once more".

    Examples
    --------
    >>> import numpy as np, bnref
    >>> x, grad = np.array([[1.0], [3.0]]), np.array([[2.0], [5.0]])
    >>> h = bnref.batch_norm_double_backward(None, np.ones(1), None, grad, x, training=True, eps=1.25)     # of g.weight
    >>> h.grad_output.ravel().tolist(), h.input.ravel().tolist(), h.weight.tolist()
    ([-0.6666666666666666, 0.6666666666666666], [-0.5555555555555556, 0.5555555555555556], [0.0])
    """
    x = arguments.batch("input", input)
    grad = arguments.like("grad_output", grad_output, "input", x)
    running, w, _, eps = _common(x, running_mean, running_var, weight, None, training, eps)
    gg = np.zeros((), x.dtype) if grad_grad_input is None else arguments.like("grad_grad_input", grad_grad_input, "input", x)
    gg = np.broadcast_to(gg, x.shape)
    ggw = 0 if grad_grad_weight is None else arguments.channel("grad_grad_weight", grad_grad_weight, x.shape[1])
    ggb = 0 if grad_grad_bias is None else arguments.channel("grad_grad_bias", grad_grad_bias, x.shape[1])
    parameter = x.dtype if isinstance(w, int) else w.dtype
    if _values_per_channel(x) == 0:
        return BatchNormSecondGradients(np.empty(x.shape, grad.dtype), np.empty(x.shape, x.dtype),
                                        np.zeros(x.shape[1], parameter))
    dtypes = (grad.dtype, x.dtype, parameter)
    if running is None or training:
        return BatchNormSecondGradients(*evaluate(_double_backward, (gg, ggw, ggb, grad, x, w, eps), dtypes))
    return BatchNormSecondGradients(*evaluate(_double_backward_inference, (gg, ggw, ggb, grad, x, *running, w, eps), dtypes))


# Which generated functions make one call.  Composition only: a number system comes in, nothing is computed here.

def _inference(x: Batch, running_mean: Channel, running_var: Channel, weight: Channel | Scalar, bias: Channel | Scalar,
               eps: Scalar, *, xp: NumberSystem[Batch, Channel]) -> tuple[Batch]:
    return (equations.normalize(x, running_mean, running_var, weight, bias, eps, xp=xp),)


def _training(x: Batch, weight: Channel | Scalar, bias: Channel | Scalar, eps: Scalar, *,
              xp: NumberSystem[Batch, Channel]) -> tuple[Batch, Channel, Channel]:
    mean, var = equations.batch_statistics(x, xp=xp)
    return equations.normalize(x, mean, var, weight, bias, eps, xp=xp), mean, var


def _tracking(x: Batch, running_mean: Channel, running_var: Channel, weight: Channel | Scalar, bias: Channel | Scalar,
              momentum: Scalar, eps: Scalar, *,
              xp: NumberSystem[Batch, Channel]) -> tuple[Batch, Channel, Channel, Channel, Channel]:
    output, mean, var = _training(x, weight, bias, eps, xp=xp)
    running = equations.update_running_statistics(running_mean, running_var, mean, var, xp.count(x), momentum, xp=xp)
    return output, mean, var, *running


def _backward(grad_output: Batch, x: Batch, weight: Channel | Scalar, eps: Scalar, *,
              xp: NumberSystem[Batch, Channel]) -> tuple[Batch, Channel, Channel]:
    mean, var = equations.batch_statistics(x, xp=xp)
    return equations.backward(grad_output, x, mean, var, weight, eps, xp=xp)


_backward_inference = equations.backward_inference


def _double_backward(gg_input: Batch, gg_weight: Channel | Scalar, gg_bias: Channel | Scalar, grad_output: Batch, x: Batch,
                     weight: Channel | Scalar, eps: Scalar, *,
                     xp: NumberSystem[Batch, Channel]) -> tuple[Batch, Batch, Channel]:
    mean, var = equations.batch_statistics(x, xp=xp)
    return equations.double_backward(gg_input, gg_weight, gg_bias, grad_output, x, mean, var, weight, eps, xp=xp)


_double_backward_inference = equations.double_backward_inference


# What every function does with its arguments.

def _common(x: Array, running_mean: object, running_var: object, weight: object, bias: object, training: object,
            eps: object) -> tuple[tuple[Array, Array] | None, Array | int, Array | int, float]:
    channels = x.shape[1]
    running = arguments.running_statistics(running_mean, running_var, channels, arguments.flag("training", training))
    w = 1 if weight is None else arguments.channel("weight", weight, channels)
    b = 0 if bias is None else arguments.channel("bias", bias, channels)
    return running, w, b, arguments.number("eps", eps)


def _values_per_channel(x: Array) -> int:
    return x.size // x.shape[1] if x.shape[1] else 0


def _copies(running: tuple[Array, Array] | None) -> tuple[Array, Array] | tuple[None, None]:
    return (None, None) if running is None else (running[0].copy(), running[1].copy())
