"""What the layers of both frameworks share: from a call to a state, and from a behaviour to a result.

A layer decides nothing itself.  It says in which state it is called, `states.behaviour` answers what a layer does
there, and the layer does it with `functional.batch_norm`.
"""

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from . import states
from .functional import BatchNormGradients, batch_norm, batch_norm_backward

ERRORS = {error.__name__: error for error in (TypeError, ValueError, RuntimeError, NotImplementedError)}
LAYOUTS = {2: "(N, C)", 3: "(N, C, L)", 4: "(N, C, H, W)", 5: "(N, C, D, H, W)"}


class LastCall(NamedTuple):
    """What the gradient of a call depends on.  The small arrays are copies, the input is the caller's array."""

    input: np.ndarray
    behaviour: states.Behaviour
    running_mean: np.ndarray | None
    running_var: np.ndarray | None
    weight: np.ndarray | None
    eps: float


class Layer:
    """A layer that looks its behaviour up.

    A framework's layer says which ranks it takes (`ranks`), what its arrays and its argument are called (`names`:
    mean, variance, weight and bias; `argument`), in which state it is (`_state`), and what a new observation weighs (`_weight_of_new`).
    """

    framework: str
    ranks: tuple
    names: tuple
    argument = "input"
    _last_call = None  # of the last call that did not raise

    def backward(self, grad_output):
        """Differentiate the last call that did not raise; its input must not have been written into since.

        Parameters
        ----------
        grad_output : array of the shape of that call's output
            The derivative of a loss by the output.

        Returns
        -------
        BatchNormGradients
            input, weight, bias: correctly rounded, in the dtypes of the input and of the layer's arrays; None for what
            the layer does not learn.

        Raises
        ------
        RuntimeError
            There was no call yet; in PyTorch's layers also another shape, or complex numbers.
        ValueError
            Another shape, in MindSpore's layers.
        TypeError
            No array of numbers; in MindSpore's layers also another dtype than the output's.  PyTorch's cast it.
        """
        last = self._last_call
        if last is None:
            raise RuntimeError("backward: the layer was not called yet; allowed: after a call, for its gradients")
        grad = self._grad(tensor("grad_output", grad_output), last.input)
        if grad.shape != last.input.shape:
            raise self._wrong_shape(f"grad_output: shape {grad.shape}; allowed: {last.input.shape}, that of the output")
        gradients = batch_norm_backward(grad, last.input, last.running_mean, last.running_var, last.weight,
                                        training=last.behaviour.normalises_by != "running", eps=last.eps)
        _, _, weight, bias = self.names
        return self._gradients(gradients.input, gradients.weight if weight in last.behaviour.learns else None,
                               gradients.bias if bias in last.behaviour.learns else None)

    _gradients = BatchNormGradients

    def _run(self, input):
        x = tensor(self.argument, input)
        call = self._call(x)
        does = states.behaviour(self._state(x, *_values_and_kind(x)), call)
        if does.raises:
            raise ERRORS[does.raises](self._complaint(does.because, x, call))
        return self._forward(x, does)

    def _forward(self, x, does):
        mean, var, weight, bias = (getattr(self, name) for name in self.names)
        if does.mean is None and does.normalises_by != "running":
            mean = var = None
        weight = weight if self.names[2] in does.applies else None
        bias = bias if self.names[3] in does.applies else None
        result = batch_norm(x, mean, var, weight, bias, training=does.normalises_by != "running",
                            momentum=self._weight_of_new(does), eps=float(self.eps))
        # The weight even where it is not applied: its dtype is that of its gradient.
        last = LastCall(x, does, _copy(mean), _copy(var), _copy(getattr(self, self.names[2])), float(self.eps))
        changes = [(mean, result.running_mean)] if does.mean else []
        changes += [(var, result.running_var)] if does.var else []
        changes += [(self.num_batches_tracked, self.num_batches_tracked + 1)] if does.counts else []
        _write(changes)
        self._last_call = last
        return result.output

    def _call(self, x):
        fits = x.ndim in self.ranks
        arrays = {kind(array.dtype) for array in (getattr(self, name) for name in self.names) if array is not None}
        return states.Call(rank=fits, channels=not fits or x.shape[1] == self.num_features,
                           eps=self._eps_kind(self.eps), arrays=tuple(sorted(arrays)))

    def _complaint(self, check, x, call):
        name = type(self).__name__
        if check == "rank":
            layouts = " or ".join(f"{rank}-D {LAYOUTS[rank]}" for rank in self.ranks)
            return f"{self.argument}: {x.ndim}-D, shape {x.shape}; {name} takes {layouts}"
        if check == "values":
            return (f"{self.argument}: shape {x.shape} has one value per channel; allowed: none, or more than one, "
                    "wherever the batch normalises itself")
        if check == "eps":
            return f"eps: {self.eps!r}; {name} takes {self._eps_allowed}"
        if check == "channels":
            return f"{self.argument}: {x.shape[1]} channels, shape {x.shape}; {name} takes num_features = {self.num_features}"
        table = states.DTYPES[self.framework]
        allowed = [dtype for dtype in states.AXES[self.framework]["input"]
                   if not any(table[array][dtype] for array in call.arrays)]
        return (f"{self.argument}: dtype {x.dtype}; allowed: {' or '.join(allowed) or 'nothing'}, "
                f"as the layer's arrays are {' and '.join(call.arrays) or 'none'}")


def tensor(name, value):
    # A framework takes its own tensors only; NumPy arrays of numbers stand for them, and nothing else does.
    if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: a {type(value).__name__}; allowed: a NumPy array of floating-point numbers")
    if kind(value.dtype) == "other" and value.dtype.kind not in "biuc":
        raise TypeError(f"{name}: dtype {value.dtype}; allowed: a NumPy array of floating-point numbers")
    return value


def _values_and_kind(x):
    # One layer's wrong rank is not our business here: a 0-D or 1-D input counts as having many values.
    count = np.prod(x.shape[:1] + x.shape[2:]) if x.ndim > 1 else 2
    return ("none", "one", "many")[min(int(count), 2)], kind(x.dtype)


def _write(changes):
    # All or nothing: a read-only array is found before the first one is written.
    for array, _ in changes:
        if not array.flags.writeable:
            raise ValueError("running statistics: a read-only array; allowed: writable, since this call updates them")
    for array, value in changes:
        array[...] = value


def _copy(array):
    return None if array is None else array.copy()


def kind(dtype):
    """Name a dtype as the axis ``input`` does: "float16", "bfloat16", "float32", "float64" or "other"."""
    return dtype.name if dtype.name in ("float16", "bfloat16", "float32", "float64") else "other"


def momentum_kind(momentum):
    """Name a momentum as the axis ``momentum`` does."""
    if momentum is None:
        return None
    if not isinstance(momentum, Real):
        raise TypeError(f"momentum: {momentum!r} of type {type(momentum).__name__}; allowed: a number")
    return "zero" if momentum == 0 else "one" if momentum == 1 else "between" if 0 < momentum < 1 else "outside"


def eps_kind(eps, types):
    """Name an eps as ``Call.eps`` does; `types` are the types that the framework takes."""
    if not isinstance(eps, types):
        return "wrong type"
    try:
        eps = float(eps)
    except OverflowError:
        return "not finite"
    if not np.isfinite(eps):
        return "not finite"
    return "negative" if eps < 0 else "zero" if eps == 0 else "positive" if eps <= 1 else "above one"


def feature_count(value, types=(Integral,)):
    """Check the type of num_features, and return it as an int."""
    if not isinstance(value, types) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"num_features: {value!r} of type {type(value).__name__}; allowed: an int")
    return int(value)


def float_dtype(value, error=TypeError):
    """Read a dtype argument: a NumPy dtype, or the name of one; bfloat16 where `ml_dtypes` is installed."""
    try:
        if isinstance(value, str) and value == "bfloat16":  # by its type: other packages register the name too
            from ml_dtypes import bfloat16 as value
        dtype = np.dtype(value)
    except (TypeError, ValueError, ImportError) as reason:
        raise TypeError(f"dtype: {value!r} ({reason}); allowed: float16, bfloat16, float32 or float64") from reason
    if kind(dtype) == "other":
        raise error(f"dtype: {dtype}; allowed: float16, bfloat16, float32 or float64")
    return dtype
