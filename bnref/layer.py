"""What the layers of both frameworks share: from a call to a state, and from a behaviour to a result.

A layer decides nothing itself.  It says in which state it is called, `states.behaviour` answers what a layer does
there, and the layer does it with `functional.batch_norm`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, overload

import numpy as np

from . import arguments, states
from .functional import BatchNormGradients, batch_norm, batch_norm_backward
from .typing import Array, DTypeLike, Scalar

ERRORS: dict[str, type[Exception]] = {
    error.__name__: error for error in (TypeError, ValueError, RuntimeError, NotImplementedError)}
LAYOUTS = {2: "(N, C)", 3: "(N, C, L)", 4: "(N, C, H, W)", 5: "(N, C, D, H, W)"}


Gradients = TypeVar("Gradients", bound=BatchNormGradients)
Class = TypeVar("Class", bound=type)


class LastCall(NamedTuple):
    """What the gradient of a call depends on.  The small arrays are copies, the input is the caller's array."""

    input: Array
    behaviour: states.Behaviour
    running_mean: Array | None
    running_var: Array | None
    weight: Array | None
    eps: float


class Layer(ABC, Generic[Gradients]):
    """A layer that looks its behaviour up.

    A framework's layer says which ranks it takes (`ranks`), what its arrays and its argument are called (`names`:
    mean, variance, weight and bias; `argument`), in which state it is (`_state`), and what a new observation weighs (`_weight_of_new`).
    """

    framework: states.Framework
    ranks: tuple[int, ...]
    names: tuple[str, str, str, str]
    argument = "input"
    num_features: int
    num_batches_tracked: Array | None  # PyTorch's layers have it; nothing else counts
    _last_call: LastCall | None = None  # of the last call that did not raise
    _gradients: type[Gradients]
    _wrong_shape: type[Exception]  # of a grad_output
    _eps_allowed: str
    if TYPE_CHECKING:  # PyTorch's can be set, MindSpore's cannot
        @property
        def eps(self) -> Scalar:
            """Added to the variance."""

    @abstractmethod
    def _state(self, x: Array, values: str, kind: str) -> states.State:
        """In which state the layer is called."""

    @abstractmethod
    def _weight_of_new(self, does: states.Behaviour) -> float:
        """What a new observation weighs in the running statistics."""

    @staticmethod
    @abstractmethod
    def _eps_kind(eps: Scalar) -> str:
        """The eps as ``Call.eps`` names it."""

    @staticmethod
    @abstractmethod
    def _grad(grad: Array, x: Array) -> Array:
        """The grad_output in a dtype that the framework takes, or its error."""

    _lock: RLock  # held while a call reads the layer's arrays, computes and writes: calls come one after the other
    _may_be_none = False  # whether one of the arrays may

    def __init__(self) -> None:
        self._lock = RLock()

    # A copied or unpickled layer has a lock of its own.  (No __new__ makes it: Python 3.11.2's inspect would show that one's
    # signature for the layer's.)
    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Layer.__init__(self)
        vars(self).update(state)

    def backward(self, grad_output: Array) -> Gradients:
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
        MemoryError
            The gradients do not fit into memory.
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

    def _run(self, input: Array) -> Array:
        x = tensor(self.argument, input)
        with self._lock:
            self._check_arrays()
            call = self._call(x)
            does = states.behaviour(self._state(x, *_values_and_kind(x)), call)
            if does.raises:
                raise ERRORS[does.raises](self._complaint(does.because, x, call))
            return self._forward(x, does)

    def _counted(self, does: states.Behaviour) -> list[tuple[Array, Array]]:
        """The count of batches and what it becomes, in a layer that counts."""
        return []

    def _check_arrays(self) -> None:
        """Refuse what somebody put in the place of the layer's arrays, where it cannot be one of them."""
        for name in self.names:
            if getattr(self, name) is None and self._may_be_none:
                continue
            shape = tensor(name, getattr(self, name)).shape
            if shape != (self.num_features,):
                raise ValueError(f"{name}: shape {shape}; allowed: ({self.num_features},), the layer's num_features")

    def _forward(self, x: Array, does: states.Behaviour) -> Array:
        mean, var, weight, bias = (getattr(self, name) for name in self.names)
        eps = float(self.eps)
        if does.mean is None and does.normalises_by != "running":
            mean = var = None
        weight = weight if self.names[2] in does.applies else None
        bias = bias if self.names[3] in does.applies else None
        result = batch_norm(x, mean, var, weight, bias, training=does.normalises_by != "running",
                            momentum=self._weight_of_new(does), eps=eps)
        # The weight even where it is not applied: its dtype is that of its gradient.
        last = LastCall(x, does, _copy(mean), _copy(var), _copy(getattr(self, self.names[2])), eps)
        changes = [(mean, result.running_mean)] if does.mean else []
        changes += [(var, result.running_var)] if does.var else []
        changes += self._counted(does)
        write("running statistics", changes)
        self._last_call = last
        return result.output

    def _call(self, x: Array) -> states.Call:
        fits = x.ndim in self.ranks
        arrays = {kind(array.dtype) for array in (getattr(self, name) for name in self.names) if array is not None}
        return states.Call(rank=fits, channels=not fits or x.shape[1] == self.num_features,
                           eps=self._eps_kind(self.eps), arrays=tuple(sorted(arrays)))

    def _complaint(self, check: str | None, x: Array, call: states.Call) -> str:
        name = type(self).__name__
        if check == "rank":
            layouts = " or ".join(f"{rank}-D {LAYOUTS[rank]}" for rank in self.ranks)
            return f"{self.argument}: {x.ndim}-D, shape {x.shape}; {name} takes {layouts}"
        if check == "values":
            return (f"{self.argument}: shape {x.shape} has one value per channel; allowed: none, or more than one, "
                    "wherever the batch normalises itself")
        if check == "eps":
            return f"eps: {arguments.shown(self.eps)}; {name} takes {self._eps_allowed}"
        if check == "channels":
            return f"{self.argument}: {x.shape[1]} channels, shape {x.shape}; {name} takes num_features = {self.num_features}"
        table = states.DTYPES[self.framework]
        allowed = [dtype for dtype in states.AXES[self.framework]["input"]
                   if not any(table[array][dtype] for array in call.arrays)]
        return (f"{self.argument}: dtype {x.dtype}; allowed: {' or '.join(allowed) or 'nothing'}, "
                f"as the layer's arrays are {' and '.join(call.arrays) or 'none'}")


def documented_like(other: type) -> Callable[[Class], Class]:
    """Give a class the documentation of another, under its own first lines."""
    def documented(cls: Class) -> Class:
        cls.__doc__ = f"{(cls.__doc__ or '').rstrip()}\n{(other.__doc__ or '').partition(chr(10))[2]}"
        return cls
    return documented


def tensor(name: str, value: object) -> Array:
    """A framework takes its own tensors only; NumPy arrays of numbers stand for them, and nothing else does."""
    if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: a {type(value).__name__}; allowed: a NumPy array of floating-point numbers")
    if kind(value.dtype) == "other" and value.dtype.kind not in "biuc":
        raise TypeError(f"{name}: dtype {value.dtype}; allowed: a NumPy array of floating-point numbers")
    if value.ndim > 1:
        arguments.room(name, value.shape, value.dtype)
    return np.asarray(value)  # a view without the subclass that it may have


def _values_and_kind(x: Array) -> tuple[str, str]:
    # One layer's wrong rank is not our business here: a 0-D or 1-D input counts as having many values.
    count = np.prod(x.shape[:1] + x.shape[2:]) if x.ndim > 1 else 2
    return ("none", "one", "many")[min(int(count), 2)], kind(x.dtype)


def write(name: str, changes: Iterable[tuple[Array, Any]]) -> None:
    """Write values into a layer's arrays, all or none: a read-only array is found before the first one is written."""
    for array, _ in changes:
        if not array.flags.writeable:
            raise ValueError(f"{name}: a read-only array; allowed: writable, since this call updates them")
    with np.errstate(all="ignore"):  # a value that the array's dtype does not hold becomes infinite
        for array, value in changes:
            array[...] = value


def _copy(array: Array | None) -> Array | None:
    return None if array is None else array.copy()


def kind(dtype: np.dtype[Any]) -> str:
    """Name a dtype as the axis ``input`` does: "float16", "bfloat16", "float32", "float64" or "other"."""
    return dtype.name if arguments.is_float(dtype) else "other"


@overload
def momentum_kind(momentum: None) -> None: ...
@overload
def momentum_kind(momentum: Scalar) -> str: ...
def momentum_kind(momentum: Scalar | None) -> str | None:
    """Name a momentum as the axis ``momentum`` does."""
    if momentum is None:
        return None
    if not isinstance(momentum, Real):
        raise TypeError(f"momentum: {arguments.shown(momentum)} of type {type(momentum).__name__}; allowed: a number")
    momentum = arguments.double("momentum", momentum)
    return "zero" if momentum == 0 else "one" if momentum == 1 else "between" if 0 < momentum < 1 else "outside"


def eps_kind(eps: Scalar, types: type | tuple[type, ...]) -> str:
    """Name an eps as ``Call.eps`` does; `types` are the types that the framework takes."""
    if not isinstance(eps, types):
        return "wrong type"
    try:
        eps = float(eps)
    except OverflowError:
        return "not finite"
    except Exception:  # a number by name
        return "wrong type"
    if not np.isfinite(eps):
        return "not finite"
    return "negative" if eps < 0 else "zero" if eps == 0 else "positive" if eps <= 1 else "above one"


def feature_count(value: int, types: tuple[type, ...] = (Integral,)) -> int:
    """Check the type of num_features, and return it as an int."""
    if not isinstance(value, types) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"num_features: {arguments.shown(value)} of type {type(value).__name__}; allowed: an int")
    return int(value)


def fill(num_features: int, value: Any, dtype: np.dtype[Any], error: type[Exception]) -> Array:
    """An array with one value for each channel; `error` is raised for more channels than fit into memory."""
    try:
        return np.full(num_features, value, dtype)
    except (MemoryError, ValueError, OverflowError) as reason:
        raise error(f"num_features: {arguments.shown(num_features)}; allowed: what fits into memory ({arguments.why(reason)})") from reason


def float_dtype(value: DTypeLike, error: type[Exception] = TypeError) -> np.dtype[Any]:
    """Read a dtype argument: a NumPy dtype, or the name of one; bfloat16 where `ml_dtypes` is installed."""
    try:
        if isinstance(value, str) and value == "bfloat16":  # by its type: other packages register the name too
            from ml_dtypes import bfloat16 as value
        dtype: np.dtype[Any] = np.dtype(value)
    except Exception as reason:
        raise TypeError(f"dtype: {arguments.shown(value)} ({arguments.why(reason)}); allowed: {arguments.ALLOWED}") from reason
    if kind(dtype) == "other":
        raise error(f"dtype: {dtype}; allowed: {arguments.ALLOWED}")
    return dtype
