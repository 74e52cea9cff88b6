"""MindSpore's batch-normalisation layers, as MindSpore 2.10.0 defines ``mindspore.nn.BatchNorm1d`` on the CPU.

`BatchNorm1d`, `BatchNorm2d` and `BatchNorm3d` take NumPy arrays where MindSpore takes tensors.  What they do in which
state is looked up in `bnref.states`; the arithmetic is `bnref.functional.batch_norm`.  MindSpore is not imported.
"""

from __future__ import annotations

from collections import OrderedDict
from numbers import Real
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np

from . import arguments, equations, states
from .functional import BatchNormGradients
from .layer import ERRORS, Layer, documented_like, eps_kind, feature_count, fill, float_dtype, momentum_kind, tensor
from .typing import Array, DTypeLike, Scalar

VERSION = "2.10.0"

# The initialisers whose values do not depend on chance, by MindSpore's names for them, in any case of letters.
INITIALIZERS = {"ones": 1, "one": 1, "zeros": 0, "zero": 0}
Initial: TypeAlias = str | Scalar | Array


class Parameter(NamedTuple):
    """A parameter as `trainable_params` and `parameters_dict` list it: its name and its live array, (C,)."""

    name: str
    array: Array


class Gradients(BatchNormGradients):
    """The gradients, also under MindSpore's names for the parameters."""

    __slots__ = ()

    @property
    def gamma(self) -> Array | None:
        """The gradient by gamma."""
        return self.weight

    @property
    def beta(self) -> Array | None:
        """The gradient by beta."""
        return self.bias


class _BatchNorm(Layer[Gradients]):
    """Batch normalisation as a layer with MindSpore's states.  Source: mindspore.nn.layer.normalization, 2.10.0.

    Parameters
    ----------
    num_features : int
        The number of channels C, at least 1.
    eps : float
        Added to the variance.  Checked at the call: a float that is in (0, 1] after rounding to float32.
    momentum : float
        Weight of the *old* moving statistics, in [0, 1].  The layer stores ``1.0 - momentum``, so 0.9 becomes the
        double 0.09999999999999998: the weight of the new observation.
    affine : bool
        Whether `gamma` and `beta` learn.  They exist and are applied in either case.
    gamma_init, beta_init, moving_mean_init, moving_var_init : str, number or (C,) array
        "ones" or "zeros" (also "one" and "zero"), a number for every channel, or an array, whose dtype is kept.
        MindSpore's random initialisers are refused: draw the array and pass it.
    use_batch_statistics : bool or None
        True: the batch normalises itself and updates the moving statistics, in inference too.  False: the moving
        statistics normalise, in training too.  None: by mode.
    data_format : "NCHW"
        "NHWC" exists on GPUs only.  `BatchNorm3d` has no such argument.
    dtype : dtype or str
        float16, bfloat16, float32 or float64.  A layer of bfloat16 or float64 can be made, but takes no input.

    Attributes
    ----------
    gamma, beta, moving_mean, moving_variance : (C,) array
        The live arrays: writing into them changes the layer.
    training : bool
        False after construction, as in MindSpore.
    use_batch_statistics : bool or None
        Read at every call.
    momentum : float
        1.0 minus the argument, as in MindSpore.  Like `eps` it cannot be changed: MindSpore ignores such changes.

    Raises
    ------
    TypeError
        A wrong type: num_features, momentum (None included), affine, an initialiser, dtype; at a call: the input is
        no array or neither float16 nor float32, eps is no float, what stands in the place of one of the layer's arrays no
        array.
    ValueError
        num_features (also where it does not fit into memory), momentum, use_batch_statistics, data_format, dtype=None or an
        initialiser that is not allowed; at a call: an eps out of range, the rank, another number of channels, an array of
        the layer that was replaced by one of another shape, or is read-only and to be updated.
    MemoryError
        At a call: the results do not fit into memory.

    Notes
    -----
    - One value per channel gives beta, updates `moving_mean`, and makes `moving_variance` NaN, without an error.
    - An empty batch leaves the moving statistics unchanged.  In MindSpore they are updated from stale memory.
    - A layer of dtype float16 updates its moving statistics.  On the CPU, MindSpore's loses the update.
    - A call that raises leaves the layer as it was.
    - Threads may share a layer: its calls are then made one after the other, in the order in which they come, and each
      sees all of those before.  `backward` goes with the last call, whichever thread made it.

    Examples
    --------
    >>> import numpy as np, bnref
    >>> net = bnref.mindspore.BatchNorm1d(2, eps=0.5)
    >>> x = np.array([[1, 0], [2, 0], [3, 0], [6, 0]], np.float32)
    >>> net.training, net.set_train()(x).tolist()                                  # mean 3, variance 7/2
    (False, [[-1.0, 0.0], [-0.5, 0.0], [0.0, 0.0], [1.5, 0.0]])
    >>> net.moving_mean.tolist(), [parameter.name for parameter in net.trainable_params()]
    ([0.30000001192092896, 0.0], ['gamma', 'beta'])
    """

    framework = "mindspore"
    names = ("moving_mean", "moving_variance", "gamma", "beta")
    argument = "x"
    _eps_allowed = "a float in (0, 1]"
    _prefix: str | None = None  # until the layer becomes a part of a network

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: Scalar = 0.9, affine: bool = True,
                 gamma_init: Initial = "ones", beta_init: Initial = "zeros", moving_mean_init: Initial = "zeros",
                 moving_var_init: Initial = "ones", use_batch_statistics: bool | None = None,
                 data_format: Literal["NCHW"] = "NCHW", dtype: DTypeLike = "float32") -> None:
        super().__init__()
        self.num_features = feature_count(num_features, (int,))
        if self.num_features < 1:
            raise ValueError(f"num_features: {arguments.shown(num_features)}; allowed: 1 or more")
        if momentum_kind(momentum) not in states.UPDATE["mindspore"]:
            error = TypeError if momentum is None else ValueError
            raise error(f"momentum: {arguments.shown(momentum)}; allowed: a number from 0 to 1, the weight of the old statistics")
        if not isinstance(data_format, str) or data_format != "NCHW":
            raise ValueError(f"data_format: {arguments.shown(data_format)}; allowed: 'NCHW', as on any CPU")
        if use_batch_statistics is not None and not isinstance(use_batch_statistics, bool):
            raise ValueError(f"use_batch_statistics: {arguments.shown(use_batch_statistics)}; allowed: True, False or None")
        if not isinstance(affine, bool):
            raise TypeError(f"affine: {arguments.shown(affine)} of type {type(affine).__name__}; allowed: True or False")
        if dtype is None:
            raise ValueError("dtype: None; allowed: float16, bfloat16, float32 or float64")
        dtype = float_dtype(dtype)
        self._eps, self._momentum_written = eps, float(momentum)  # port reads the decimal that was written
        self.affine, self.use_batch_statistics, self.training = affine, use_batch_statistics, False
        self.moving_mean = _initial("moving_mean_init", moving_mean_init, self.num_features, dtype)
        self.moving_variance = _initial("moving_var_init", moving_var_init, self.num_features, dtype)
        self.gamma = _initial("gamma_init", gamma_init, self.num_features, dtype)
        self.beta = _initial("beta_init", beta_init, self.num_features, dtype)

    @property
    def eps(self) -> float:
        """Added to the variance."""
        return self._eps

    @property
    def momentum(self) -> float:
        """Weight of the new observation: 1.0 minus the argument."""
        return equations.complement(self._momentum_written, xp=None)

    def __call__(self, x: Array) -> Array:
        return self._run(x)

    def set_train(self, mode: bool = True) -> Self:
        """Set training mode, or inference.

        Parameters
        ----------
        mode : bool

        Returns
        -------
        The layer.

        Raises
        ------
        TypeError
            `mode` is neither true nor false.
        """
        self.training = arguments.truth("mode", mode)
        return self

    def update_parameters_name(self, prefix: str = "") -> None:
        """Rename the parameters as MindSpore does when a layer becomes a part of a network.

        Parameters
        ----------
        prefix : str
            What every name begins with, such as "bn1.".

        Raises
        ------
        TypeError
            `prefix` is no string.
        """
        self._prefix = arguments.string("prefix", prefix)

    def parameters_dict(self) -> OrderedDict[str, Parameter]:
        """Return the parameters by name, in MindSpore's order.

        Returns
        -------
        OrderedDict of str to Parameter
            A layer on its own has mean, variance, gamma and beta.  Within a network (`update_parameters_name`) they are
            prefix.moving_mean, prefix.moving_variance, prefix.gamma and prefix.beta.
        """
        return OrderedDict((parameter.name, parameter) for parameter in map(self._parameter, self.names))

    def trainable_params(self) -> list[Parameter]:
        """List the parameters that learn.

        Returns
        -------
        list of Parameter
            gamma and beta, or none without affine.
        """
        learns = states.PARAMETERS["mindspore"][self.affine].learns
        return [self._parameter(attribute) for attribute in self.names if attribute in learns]

    def _parameter(self, attribute: str) -> Parameter:
        alone = {"moving_mean": "mean", "moving_variance": "variance"}.get(attribute, attribute)
        name = alone if self._prefix is None else self._prefix + attribute
        return Parameter(name, getattr(self, attribute))

    def __repr__(self) -> str:
        trainable = {parameter.name for parameter in self.trainable_params()}
        shown = {attribute: self._parameter(attribute) for attribute in self.names}
        parts = [f"num_features={self.num_features}", f"eps={self.eps}",
                 f"momentum={equations.complement(self.momentum, xp=None)}"]
        parts += [f"{attribute}=Parameter (name={shown[attribute].name}, shape={shown[attribute].array.shape}, "
                  f"dtype={_type_name(shown[attribute].array.dtype)}, requires_grad={shown[attribute].name in trainable})"
                  for attribute in ("gamma", "beta", "moving_mean", "moving_variance")]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _state(self, x: Array, values: str, kind: str) -> states.MindSporeState:
        return states.MindSporeState(
            training=self.training, use_batch_statistics=self.use_batch_statistics, affine=self.affine,
            momentum=momentum_kind(equations.complement(self.momentum, xp=None)),
            ndim=x.ndim, values=values, input=kind)

    def _weight_of_new(self, does: states.Behaviour) -> float:
        return self.momentum

    _gradients = Gradients
    _wrong_shape = ValueError

    @staticmethod
    def _grad(grad: Array, x: Array) -> Array:
        if grad.dtype != x.dtype:
            raise TypeError(f"grad_output: dtype {grad.dtype}; allowed: {x.dtype}, that of the output")
        return grad

    @staticmethod
    def _eps_kind(eps: Scalar) -> str:
        # NumPy's floats pass for Python's; an int does not, and a bool is one.  The range is checked in float32.
        if isinstance(eps, (float, np.floating)):
            with np.errstate(over="ignore"):
                eps = np.float32(eps)
        return eps_kind(eps, np.floating)


def _initial(name: str, value: Initial, num_features: int, dtype: np.dtype[Any]) -> Array:
    """Make one parameter's array, as MindSpore's `initializer` does."""
    if isinstance(value, str):
        if value.lower() not in INITIALIZERS:
            raise ValueError(f"{name}: {arguments.shown(value)}; "
                             f"allowed: {', '.join(map(repr, INITIALIZERS))}, a number or an array")
        return fill(num_features, INITIALIZERS[value.lower()], dtype, ValueError)
    if isinstance(value, Real):
        with np.errstate(over="ignore"):
            return fill(num_features, np.float64(arguments.double(name, value)), dtype, ValueError)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: a {type(value).__name__}; allowed: a string, a number or an array")
    return arguments.channel(name, value, num_features, "the layer").copy()


def _flat(x: Array) -> Array:
    n, c, d, h, w = x.shape
    return x.reshape(n, c, d * h, w)


def _type_name(dtype: np.dtype[Any]) -> str:
    return {"bfloat16": "BFloat16"}.get(dtype.name, dtype.name.capitalize())


# The three differ in the ranks that they take.  Each shows the whole documentation, under its own first line.

@documented_like(_BatchNorm)
class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L)."""

    ranks = (2, 3)


@documented_like(_BatchNorm)
class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W)."""

    ranks = (4,)


@documented_like(_BatchNorm)
class BatchNorm3d:
    """Batch normalisation of (N, C, D, H, W), by the `BatchNorm2d` that is its attribute `bn2d`.

    The arrays belong to `bn2d` and their names begin with "bn2d."; bnref also shows them on the layer.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: Scalar = 0.9, affine: bool = True,
                 gamma_init: Initial = "ones", beta_init: Initial = "zeros", moving_mean_init: Initial = "zeros",
                 moving_var_init: Initial = "ones", use_batch_statistics: bool | None = None,
                 dtype: DTypeLike = "float32") -> None:
        self.bn2d = BatchNorm2d(num_features, eps, momentum, affine, gamma_init, beta_init, moving_mean_init,
                                moving_var_init, use_batch_statistics, dtype=dtype)
        self.bn2d.update_parameters_name("bn2d.")

    @property
    def num_features(self) -> int:
        """``bn2d.num_features``."""
        return self.bn2d.num_features

    @property
    def eps(self) -> float:
        """``bn2d.eps``."""
        return self.bn2d.eps

    @property
    def momentum(self) -> float:
        """``bn2d.momentum``."""
        return self.bn2d.momentum

    @property
    def affine(self) -> bool:
        """``bn2d.affine``."""
        return self.bn2d.affine

    @property
    def use_batch_statistics(self) -> bool | None:
        """``bn2d.use_batch_statistics``."""
        return self.bn2d.use_batch_statistics

    @property
    def training(self) -> bool:
        """``bn2d.training``."""
        return self.bn2d.training

    @property
    def gamma(self) -> Array:
        """``bn2d.gamma``."""
        return self.bn2d.gamma

    @property
    def beta(self) -> Array:
        """``bn2d.beta``."""
        return self.bn2d.beta

    @property
    def moving_mean(self) -> Array:
        """``bn2d.moving_mean``."""
        return self.bn2d.moving_mean

    @property
    def moving_variance(self) -> Array:
        """``bn2d.moving_variance``."""
        return self.bn2d.moving_variance

    def __call__(self, x: Array) -> Array:
        """Normalise `x` as a batch, or by the moving statistics, as the class says."""
        x = tensor("x", x)
        if x.ndim != 5:
            raise ERRORS[str(states.RANK["mindspore", False])](
                f"x: {x.ndim}-D, shape {x.shape}; BatchNorm3d takes 5-D (N, C, D, H, W)")
        with self.bn2d._lock:
            output = self.bn2d(_flat(x)).reshape(x.shape)
            self._shape = x.shape
        return output

    _shape: tuple[int, ...] | None = None  # of the last input

    def backward(self, grad_output: Array) -> Gradients:
        """Differentiate the last call; see `BatchNorm2d.backward`, through which `grad_output` goes.

        RuntimeError, ValueError, TypeError and MemoryError as there.
        """
        grad = tensor("grad_output", grad_output)
        with self.bn2d._lock:
            if self._shape is not None and grad.shape != self._shape:
                raise ValueError(f"grad_output: shape {grad.shape}; allowed: {self._shape}, that of the output")
            gradients = self.bn2d.backward(_flat(grad) if grad.ndim == 5 else grad)
        return gradients._replace(input=gradients.input.reshape(grad.shape))

    def set_train(self, mode: bool = True) -> Self:
        """Set training `mode`, or inference with False, and return the layer; TypeError for what is neither true nor false."""
        self.bn2d.set_train(mode)
        return self

    def update_parameters_name(self, prefix: str = "") -> None:
        """Rename the parameters as MindSpore does when a layer becomes a part of a network: ``prefix`` is "bn1.".

        TypeError for a prefix that is no string.
        """
        arguments.string("prefix", prefix)
        self.bn2d.update_parameters_name(f"{prefix}bn2d.")

    def parameters_dict(self) -> OrderedDict[str, Parameter]:
        """Return {name: Parameter}: bn2d.moving_mean, bn2d.moving_variance, bn2d.gamma, bn2d.beta."""
        return self.bn2d.parameters_dict()

    def trainable_params(self) -> list[Parameter]:
        """List the parameters that learn: bn2d.gamma and bn2d.beta, or none without affine."""
        return self.bn2d.trainable_params()

    def __repr__(self) -> str:
        return f"BatchNorm3d(\n  (bn2d): {self.bn2d!r}\n)"
