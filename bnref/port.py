"""Carry a layer, or the checkpoint of a whole model, from PyTorch to MindSpore and back.

Two layers are equivalent if they start in the same mode and then agree, in their outputs and in every statistic that
ever changes or is ever read, under all sequences of train, eval and forward; forward means an input that both accept,
finite, with at least two values per channel.  What they learn is the same too.  Momenta are compared as the decimals
that were written: PyTorch's 0.1 and MindSpore's 0.9 (notebooks/02_running_statistics and 04_states).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, localcontext
from numbers import Real
from typing import Any, TypeAlias, overload

from . import arguments, equations, mindspore, torch
from .checkpoint import Checkpoint, checkpoint_to_mindspore, checkpoint_to_torch
from .layer import eps_kind, kind, momentum_kind
from .typing import Array, Scalar

__all__ = ["Checkpoint", "NoCounterpart", "checkpoint_to_mindspore", "checkpoint_to_torch", "to_mindspore", "to_torch"]


class NoCounterpart(ValueError):
    """No layer of the other framework does the same under all sequences of train, eval and forward.

    Attributes
    ----------
    reason : str
        What the other framework cannot do.
    recipe : str
        The nearest thing that works.
    """

    def __init__(self, reason: str, recipe: str) -> None:
        super().__init__(reason, recipe)
        self.reason, self.recipe = reason, recipe

    def __str__(self) -> str:
        return f"{self.reason}.  What works: {self.recipe}."


TorchLayer: TypeAlias = torch.BatchNorm1d | torch.BatchNorm2d | torch.BatchNorm3d
MindSporeLayer: TypeAlias = mindspore.BatchNorm1d | mindspore.BatchNorm2d | mindspore.BatchNorm3d
COUNTERPARTS: dict[type[TorchLayer], type[MindSporeLayer]] = {
    torch.BatchNorm1d: mindspore.BatchNorm1d, torch.BatchNorm2d: mindspore.BatchNorm2d,
    torch.BatchNorm3d: mindspore.BatchNorm3d}

# What has no counterpart: the reason and the recipe.  {} is filled with the value in question.
TO_MINDSPORE = {
    "averaged": ("momentum=None weighs each batch by 1/num_batches_tracked; MindSpore's weight is constant",
                 "set bn.momentum to a number from 0 to 1 and port; for inference alone, any such number is right"),
    "outside": ("momentum={} is outside MindSpore's range, 0 to 1",
                "set bn.momentum to a number from 0 to 1 and port; for inference alone, any such number is right"),
    "vanishes": ("momentum={} is so small that MindSpore's momentum, one minus it, would be 1.0 and update nothing",
                 "set bn.momentum to 0, which has a counterpart, or to at least 1e-15"),
    "eps": ("eps={} is outside MindSpore's range, above 0 and up to 1",
            "set bn.eps within it; instead of 0 the smallest normal float32, 1.2e-38, which no other variance notices"),
    "bias": ("bias=False learns a weight and no bias; MindSpore learns gamma and beta, or neither",
             "give the layer a bias of zeros, port, and set beta.requires_grad = False in MindSpore"),
    "dtype": ("arrays of {}; MindSpore's layer takes inputs with arrays of float16 or float32 only",
              "build the layer with dtype='float32', load the state into it, and port that"),
    "channels": ("num_features={}; MindSpore wants at least 1", "leave the layer out: it has nothing to normalise"),
}
TO_TORCH = {
    "tracks": ("use_batch_statistics=True with momentum={} updates the moving statistics in inference too; "
               "no PyTorch layer does",
               "build it with momentum=1.0: the outputs are the same, the moving statistics, which this layer never "
               "reads, stay put, and PyTorch's counterpart is track_running_stats=False"),
    "frozen": ("use_batch_statistics=False normalises by the moving statistics in training too; "
               "PyTorch's layers then use the batch",
               "build it with use_batch_statistics=None, port, and keep PyTorch's layer in eval()"),
    "fixed": ("affine=False applies a gamma that is not 1 or a beta that is not 0, and learns neither; "
              "PyTorch's affine=False applies nothing",
              "build it with affine=True, port, and call requires_grad_(False) on PyTorch's weight and bias"),
    "eps": ("eps={} is refused by MindSpore itself at every call", "build it with an eps above 0 and up to 1"),
    "dtype": ("arrays of {}; such a MindSpore layer takes no input, or has no single dtype to give to PyTorch's",
              "build it with dtype='float32' and port that"),
}

# Which configuration has the same statistics.  True: momentum goes over by decimal complement; else what it becomes.
STATISTICS_TO_MINDSPORE: dict[tuple[bool, bool], dict[str, Any]] = {
    # buffers, bn.track_running_stats
    (True, True): dict(use_batch_statistics=None, momentum=True),
    (True, False): dict(use_batch_statistics=None, momentum=1.0),   # inference reads them, training leaves them alone
    (False, True): dict(use_batch_statistics=True, momentum=1.0),   # never read, never changed
    (False, False): dict(use_batch_statistics=True, momentum=1.0),
}
STATISTICS_TO_TORCH: dict[tuple[bool | None, bool], dict[str, Any] | str] = {
    # use_batch_statistics, is the weight of a new observation zero?
    (None, False): dict(track_running_stats=True, momentum=True),
    (None, True): dict(track_running_stats=True, momentum=True),
    (True, False): "tracks",
    (True, True): dict(track_running_stats=False, momentum=0.1),    # the default: without statistics it has no effect
    (False, False): "frozen",
    (False, True): "frozen",
}


@overload
def to_mindspore(bn: torch.BatchNorm1d) -> mindspore.BatchNorm1d: ...
@overload
def to_mindspore(bn: torch.BatchNorm2d) -> mindspore.BatchNorm2d: ...
@overload
def to_mindspore(bn: torch.BatchNorm3d) -> mindspore.BatchNorm3d: ...
def to_mindspore(bn: TorchLayer) -> MindSporeLayer:
    """Make MindSpore's counterpart of a PyTorch layer.

    Parameters
    ----------
    bn : bnref.torch.BatchNorm1d, BatchNorm2d or BatchNorm3d

    Returns
    -------
    bnref.mindspore.BatchNorm1d, BatchNorm2d or BatchNorm3d
        The class of the same rank, in the same mode, with copies of the statistics and parameters.

    Raises
    ------
    TypeError
        `bn` is no such layer, its momentum no number, or what stands in the place of one of its arrays no array.
    ValueError
        Its arrays do not belong together.
    NoCounterpart
        With the reason and the nearest recipe.

    Notes
    -----
    track_running_stats=False becomes use_batch_statistics=True with momentum=1.0, which leaves the moving statistics
    alone.  The flag set to False after construction becomes momentum=1.0.  num_batches_tracked is dropped: with a
    constant momentum nothing reads it.

    Examples
    --------
    >>> import bnref
    >>> net = bnref.port.to_mindspore(bnref.torch.BatchNorm1d(4, momentum=0.1))
    >>> net.momentum, net.training                  # MindSpore keeps 1.0 - 0.9, and net began in PyTorch's mode
    (0.09999999999999998, True)
    """
    Counterpart = next((theirs for ours, theirs in COUNTERPARTS.items() if isinstance(bn, ours)), None)
    if Counterpart is None:
        raise TypeError(f"bn: a {type(bn).__name__}; allowed: a layer of bnref.torch")
    with bn._lock:
        return _to_mindspore(bn, Counterpart)


def _to_mindspore(bn: TorchLayer, Counterpart: type[MindSporeLayer]) -> MindSporeLayer:
    bn._check_arrays()
    tracks = arguments.truth("track_running_stats", bn.track_running_stats)
    settings = dict(STATISTICS_TO_MINDSPORE[bn.running_mean is not None, tracks])
    if settings["momentum"] is True:
        settings["momentum"] = _momentum_for_mindspore(bn.momentum)
    given = {"moving_mean_init": bn.running_mean, "moving_var_init": bn.running_var,
             "gamma_init": bn.weight, "beta_init": bn.bias}
    arrays: dict[str, Any] = {name: array for name, array in given.items() if array is not None}
    if bn.weight is not None and bn.bias is None:
        raise _none(TO_MINDSPORE, "bias")
    if bn.num_features < 1:
        raise _none(TO_MINDSPORE, "channels", bn.num_features)
    if eps_kind(bn.eps, Real) != "positive" or mindspore._BatchNorm._eps_kind(float(bn.eps)) != "positive":
        raise _none(TO_MINDSPORE, "eps", arguments.shown(bn.eps))
    dtype = _dtype(arrays.values(), TO_MINDSPORE)
    net = Counterpart(bn.num_features, eps=float(bn.eps), affine=bn.weight is not None, dtype=dtype, **arrays, **settings)
    return net.set_train(bn.training)


@overload
def to_torch(net: mindspore.BatchNorm1d) -> torch.BatchNorm1d: ...
@overload
def to_torch(net: mindspore.BatchNorm2d) -> torch.BatchNorm2d: ...
@overload
def to_torch(net: mindspore.BatchNorm3d) -> torch.BatchNorm3d: ...
def to_torch(net: MindSporeLayer) -> TorchLayer:
    """Make PyTorch's counterpart of a MindSpore layer.

    Parameters
    ----------
    net : bnref.mindspore.BatchNorm1d, BatchNorm2d or BatchNorm3d

    Returns
    -------
    bnref.torch.BatchNorm1d, BatchNorm2d or BatchNorm3d
        The class of the same rank, in the same mode, with copies of the statistics and parameters, as far as PyTorch
        has them, and num_batches_tracked 0.

    Raises
    ------
    TypeError
        `net` is no such layer, or what stands in the place of one of its arrays no array.
    ValueError
        Its arrays do not belong together, or its use_batch_statistics is neither True, False nor None.
    NoCounterpart
        With the reason and the nearest recipe.

    Examples
    --------
    >>> import bnref
    >>> bnref.port.to_torch(bnref.mindspore.BatchNorm2d(4, momentum=0.9))
    BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """
    Counterpart = next((ours for ours, theirs in COUNTERPARTS.items() if isinstance(net, theirs)), None)
    if Counterpart is None:
        raise TypeError(f"net: a {type(net).__name__}; allowed: a layer of bnref.mindspore")
    inner = net.bn2d if isinstance(net, mindspore.BatchNorm3d) else net
    with inner._lock:
        return _to_torch(inner, Counterpart)


def _to_torch(inner: mindspore._BatchNorm, Counterpart: type[TorchLayer]) -> TorchLayer:
    inner._check_arrays()
    if inner.use_batch_statistics is not None and not isinstance(inner.use_batch_statistics, bool):
        raise ValueError(f"use_batch_statistics: {arguments.shown(inner.use_batch_statistics)}; allowed: True, False or None")
    settings = STATISTICS_TO_TORCH[inner.use_batch_statistics, inner.momentum == 0]
    if isinstance(settings, str):
        raise _none(TO_TORCH, settings, inner._momentum_written)
    settings = dict(settings)
    if settings["momentum"] is True:
        settings["momentum"] = decimal_complement(inner._momentum_written)
    if inner._eps_kind(inner.eps) != "positive":
        raise _none(TO_TORCH, "eps", arguments.shown(inner.eps))
    if not inner.affine and not ((inner.gamma == 1).all() and (inner.beta == 0).all()):
        raise _none(TO_TORCH, "fixed")
    dtype = _dtype([getattr(inner, name) for name in inner.names], TO_TORCH)
    bn = Counterpart(inner.num_features, eps=float(inner.eps), affine=inner.affine, dtype=dtype, **settings)
    arrays = zip(torch._BatchNorm.names, (getattr(inner, name) for name in inner.names), strict=True)
    for name, array in arrays:
        if getattr(bn, name) is not None:
            getattr(bn, name)[...] = array
    return bn.train(inner.training)


def decimal_complement(momentum: Scalar) -> float:
    """Subtract a momentum from one, as the decimals that were written: 0.1 and 0.9 turn into each other.

    Both doubles stand for the shortest decimals that name them.  The result comes back to `momentum` wherever that has
    no more than 15 decimals.  Its distance from the exact complement is at most half an ulp of a double below one.
    """
    with localcontext(Context(prec=1200)):  # more digits than a double's exact value has: nothing is rounded here
        return float(equations.complement(Decimal(repr(float(momentum))), xp=None))


def _momentum_for_mindspore(momentum: Scalar | None) -> float:
    if momentum is None:
        raise _none(TO_MINDSPORE, "averaged")
    momentum_is = momentum_kind(momentum)
    if momentum_is == "outside":
        raise _none(TO_MINDSPORE, "outside", arguments.shown(momentum))
    complement = decimal_complement(momentum)
    if momentum_is == "between" and complement == 1:
        raise _none(TO_MINDSPORE, "vanishes", momentum)
    return complement


def _dtype(arrays: Iterable[Array], table: dict[str, tuple[str, str]]) -> str:
    names = {kind(array.dtype) for array in arrays} or {"float32"}  # what has no arrays takes any
    if len(names) > 1 or not names <= {"float16", "float32"}:
        raise _none(table, "dtype", " and ".join(sorted(names)))
    return names.pop()


def _none(table: dict[str, tuple[str, str]], why: str, value: object = None) -> NoCounterpart:
    reason, recipe = table[why]
    return NoCounterpart(reason.format(value), recipe)
