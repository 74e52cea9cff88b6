"""PyTorch's batch-normalisation layers, as PyTorch 2.13.0 defines them on the CPU.

`BatchNorm1d`, `BatchNorm2d` and `BatchNorm3d` take NumPy arrays where PyTorch takes tensors.  What they do in which
state is looked up in `bnref.states`; the arithmetic is `bnref.functional.batch_norm`.  PyTorch itself is not imported.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from . import arguments, equations, states
from .functional import BatchNormGradients
from .layer import Layer, documented_like, eps_kind, feature_count, fill, float_dtype, momentum_kind, write
from .typing import Array, DTypeLike, Scalar

VERSION = "2.13.0"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found.

    Attributes
    ----------
    missing_keys : list of str
        Keys of the layer that are not in the dictionary.
    unexpected_keys : list of str
        The reverse.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


class _BatchNorm(Layer[BatchNormGradients]):
    """Batch normalisation as a layer with PyTorch's states.  Source: torch.nn.modules.batchnorm, PyTorch 2.13.0.

    Parameters
    ----------
    num_features : int
        The number of channels C.
    eps : float
        Added to the variance.  Checked at the call: positive where the batch normalises itself, else not negative.
    momentum : float or None
        Weight of the new observation in the running statistics.  None: cumulative average, weight
        1/num_batches_tracked.  Values outside [0, 1] are accepted.
    affine : bool
        Whether there are `weight` (ones) and `bias` (zeros).
    track_running_stats : bool
        Whether there are `running_mean` (zeros), `running_var` (ones) and `num_batches_tracked` (0).  Without them
        the batch normalises itself in inference too.
    device : None or "cpu"
    dtype : dtype or str, optional
        float16, bfloat16, float32 (the default) or float64.
    bias : bool
        False leaves out `bias` alone.

    Attributes
    ----------
    weight, bias, running_mean, running_var : (C,) array, or None
        The live arrays: writing into them changes the layer.
    num_batches_tracked : () array of int64, or None
    training : bool
        True after construction, as in PyTorch.
    eps, momentum, track_running_stats
        Read at every call.  `track_running_stats` set to False later: training no longer updates the running
        statistics, inference still uses them.

    Raises
    ------
    TypeError
        num_features is no int, dtype no dtype, a flag neither true nor false; at a call: the input is no array of numbers,
        eps or momentum no number, what stands in the place of one of the layer's arrays no array.
    RuntimeError
        num_features is negative or does not fit into memory, the dtype no floating-point one, the device not the CPU;
        at a call: the input has another number of channels, or a dtype that does not go with the arrays'
        (`states.DTYPES`).
    ValueError
        At a call: the rank, an eps out of range, one value per channel where the batch normalises itself; an array of
        the layer that was replaced by one of another shape, set to None alone, or is read-only and to be updated.
    MemoryError
        At a call: the results do not fit into memory.
    NotImplementedError
        At a call: integers, booleans or complex numbers.

    Notes
    -----
    - An empty batch gives an empty output, keeps the running statistics, and counts.
    - A call that raises leaves the layer as it was.  PyTorch has already counted the batch that it refuses.
    - Threads may share a layer: its calls are then made one after the other, in the order in which they come, and each
      sees all of those before.  `backward` goes with the last call, whichever thread made it.  PyTorch promises
      nothing here, and two of its updates may become one.
    - PyTorch takes an empty batch of any dtype and any number of channels; bnref refuses what it refuses otherwise.
    - eps and momentum that are not finite are a ValueError; PyTorch calculates with them.

    Examples
    --------
    >>> import numpy as np, bnref
    >>> bn = bnref.torch.BatchNorm1d(2, eps=0.5)
    >>> bn(np.array([[1, 0], [2, 0], [3, 0], [6, 0]], np.float32)).tolist()        # mean 3, variance 7/2
    [[-1.0, 0.0], [-0.5, 0.0], [0.0, 0.0], [1.5, 0.0]]
    >>> bn.running_mean.tolist(), int(bn.num_batches_tracked)
    ([0.30000001192092896, 0.0], 1)
    """

    framework = "torch"
    eps: Scalar
    names = ("running_mean", "running_var", "weight", "bias")
    _eps_allowed = "a number above 0 where the batch normalises itself, and at least 0 elsewhere"

    def __init__(self, num_features: int, eps: Scalar = 1e-5, momentum: Scalar | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, device: Literal["cpu"] | None = None,
                 dtype: DTypeLike | None = None, *, bias: bool = True) -> None:
        super().__init__()
        self.num_features = feature_count(num_features)
        if self.num_features < 0:
            raise RuntimeError(f"num_features: {arguments.shown(num_features)}; allowed: 0 or more")
        if device is not None and not (isinstance(device, str) and device == "cpu"):
            raise RuntimeError(f"device: {arguments.shown(device)}; allowed: None or 'cpu'")
        dtype = float_dtype("float32" if dtype is None else dtype, RuntimeError)
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats, self.training = affine, track_running_stats, True
        learns, shifts = arguments.truth("affine", affine), arguments.truth("bias", bias)
        tracks = arguments.truth("track_running_stats", track_running_stats)
        zeros, ones = (fill(self.num_features, value, dtype, RuntimeError) for value in (0, 1))
        self.weight: Array | None = ones if learns else None
        self.bias: Array | None = zeros if learns and shifts else None
        self.running_mean: Array | None = zeros.copy() if tracks else None
        self.running_var: Array | None = ones.copy() if tracks else None
        self.num_batches_tracked: Array | None = np.array(0, np.int64) if tracks else None

    def __call__(self, input: Array) -> Array:
        return self._run(input)

    def train(self, mode: bool = True) -> Self:
        """Set training mode, or inference.

        Parameters
        ----------
        mode : bool

        Returns
        -------
        The layer.

        Raises
        ------
        ValueError
            `mode` is no bool.
        """
        if not isinstance(mode, bool):
            raise ValueError(f"mode: {arguments.shown(mode)} of type {type(mode).__name__}; allowed: True or False")
        self.training = mode
        return self

    def eval(self) -> Self:
        """Set inference mode and return the layer."""
        return self.train(False)

    def state_dict(self, prefix: str = "") -> OrderedDict[str, Array]:
        """Return the live arrays under PyTorch's keys, in PyTorch's order.

        Parameters
        ----------
        prefix : str
            What every key begins with, such as "bn1.".

        Returns
        -------
        OrderedDict of str to array
            What is None has no key.

        Raises
        ------
        TypeError
            `prefix` is no string.

        Examples
        --------
        >>> import bnref
        >>> list(bnref.torch.BatchNorm1d(4, affine=False).state_dict("bn1."))
        ['bn1.running_mean', 'bn1.running_var', 'bn1.num_batches_tracked']
        """
        arguments.string("prefix", prefix)
        keys = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return OrderedDict((prefix + key, getattr(self, key)) for key in keys if getattr(self, key) is not None)

    def load_state_dict(self, state_dict: Mapping[str, Array], strict: bool = True) -> IncompatibleKeys:
        """Copy arrays into the layer's own, cast to their dtype.

        A dictionary without num_batches_tracked is complete, as one saved before PyTorch 0.4.1: the count stays.

        Parameters
        ----------
        state_dict : mapping of str to array
        strict : bool
            Whether missing and unexpected keys are an error.

        Returns
        -------
        IncompatibleKeys

        Raises
        ------
        TypeError
            `state_dict` is no mapping, or one that cannot be read; `strict` is neither true nor false.
        ValueError
            An array of the layer is read-only.
        RuntimeError
            All missing keys, unexpected keys and wrong shapes, in one message.  The layer stays as it was (PyTorch
            has by then loaded whatever did fit).

        Examples
        --------
        >>> import bnref
        >>> bn = bnref.torch.BatchNorm1d(2)
        >>> bn.load_state_dict({"weight": bn.weight * 3}, strict=False)
        IncompatibleKeys(missing_keys=['bias', 'running_mean', 'running_var'], unexpected_keys=[])
        >>> bn.weight.tolist()
        [3.0, 3.0]
        """
        state_dict = arguments.mapping("state_dict", state_dict)
        strict = arguments.truth("strict", strict)
        with self._lock:
            self._check_arrays()
            return self._load(state_dict, strict)

    def _load(self, state_dict: dict[Any, Any], strict: bool) -> IncompatibleKeys:
        own = self.state_dict()
        optional = {"num_batches_tracked"} if self.track_running_stats else set()
        missing = [key for key in own if key not in state_dict and key not in optional]
        unexpected = [key for key in state_dict if key not in own]
        wrong = [complaint for key in own if key in state_dict for complaint in _misfit(key, own[key], state_dict[key])]
        if strict:
            wrong = ([f"missing keys: {', '.join(map(arguments.shown, missing))}"] * bool(missing)
                     + [f"unexpected keys: {', '.join(map(arguments.shown, unexpected))}"] * bool(unexpected) + wrong)
        if wrong:
            raise RuntimeError(f"state_dict: does not fit this {type(self).__name__}: {'; '.join(wrong)}")
        # Copies, since the dictionary may hold this layer's own arrays under other names.
        write("state_dict", [(own[key], np.array(state_dict[key]).reshape(own[key].shape)) for key in own if key in state_dict])
        return IncompatibleKeys(missing, unexpected)

    def reset_running_stats(self) -> None:
        """Set the running statistics to 0 and 1 and the count to 0, if they are tracked."""
        with self._lock:
            self._check_arrays()
            if arguments.truth("track_running_stats", self.track_running_stats):
                tracked = (self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)
                write("running statistics", [(array, value) for array, value in tracked if array is not None])

    def __repr__(self) -> str:
        return (f"{type(self).__name__}({self.num_features}, eps={self.eps}, momentum={self.momentum}, "
                f"affine={self.affine}, bias={self.bias is not None}, track_running_stats={self.track_running_stats})")

    _may_be_none = True

    def _check_arrays(self) -> None:
        super()._check_arrays()
        if (self.running_mean is None) != (self.running_var is None):
            raise ValueError("running_mean, running_var: one of them is None; allowed: both or neither")
        if self.weight is None and self.bias is not None:
            raise ValueError("weight: None, but there is a bias; allowed: both, a weight alone, or neither")
        count = self.num_batches_tracked
        if count is not None and not (isinstance(count, np.ndarray) and count.shape == () and count.dtype.kind in "iu"):
            raise TypeError(f"num_batches_tracked: {arguments.shown(count)} of type {type(count).__name__}; "
                            "allowed: a NumPy array of shape () and integer dtype, or None")

    def _state(self, x: Array, values: str, kind: str) -> states.TorchState:
        return states.TorchState(
            training=self.training, track_running_stats=self.running_mean is not None,
            flag=arguments.truth("track_running_stats", self.track_running_stats), affine=self.weight is not None,
            bias=self.bias is not None, momentum=momentum_kind(self.momentum), ndim=x.ndim, values=values, input=kind)

    def _weight_of_new(self, does: states.Behaviour) -> float:
        if does.mean and self.momentum is not None:
            return arguments.double("momentum", self.momentum)
        if does.mean and self.num_batches_tracked is not None:
            if self.num_batches_tracked < 0:
                raise ValueError(f"num_batches_tracked: {self.num_batches_tracked}; allowed: 0 or more, for a cumulative average")
            return equations.cumulative_momentum(int(self.num_batches_tracked) + 1, xp=None)
        return 0.0  # without an update it is never looked at; PyTorch's average over a count that is None stays put

    def _counted(self, does: states.Behaviour) -> list[tuple[Array, Array]]:
        count = self.num_batches_tracked
        return [(count, np.add(count, 1, dtype=count.dtype))] if does.counts and count is not None else []

    @staticmethod
    def _eps_kind(eps: Scalar) -> str:
        return eps_kind(eps, Real)

    _gradients = BatchNormGradients
    _wrong_shape = RuntimeError

    @staticmethod
    def _grad(grad: Array, x: Array) -> Array:
        if grad.dtype.kind == "c":
            raise RuntimeError(f"grad_output: dtype {grad.dtype}; allowed: real numbers, cast to the output's {x.dtype}")
        with np.errstate(over="ignore"):
            return grad.astype(x.dtype)


def _misfit(key: str, own: Array, value: object) -> list[str]:
    if not isinstance(value, (np.ndarray, np.generic)) or isinstance(value, np.ma.MaskedArray):
        return [f"{key} is a {type(value).__name__}, allowed: a NumPy array"]
    if value.shape != own.shape and not (own.shape == () and value.shape == (1,)):
        return [f"{key} has shape {value.shape}, allowed: {own.shape}"]
    if value.dtype.kind not in "biuf" and not arguments.is_float(value.dtype):
        return [f"{key} has dtype {value.dtype}, allowed: numbers"]
    return []


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
class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W)."""

    ranks = (5,)
