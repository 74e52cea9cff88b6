"""Rename the batch-normalisation keys of a whole model's checkpoint, and nothing else.

A checkpoint is a dictionary {key: array}; the arrays may be of any library, as long as they have a shape, and are
passed on as they are.  A group is what belongs to one layer:

=====================  =============================  ==============================  ===========================
PyTorch                MindSpore, within a network    MindSpore's BatchNorm3d         MindSpore, a layer alone
=====================  =============================  ==============================  ===========================
p.weight               p.gamma                        p.bn2d.gamma                    gamma
p.bias                 p.beta                         p.bn2d.beta                     beta
p.running_mean         p.moving_mean                  p.bn2d.moving_mean              mean
p.running_var          p.moving_variance              p.bn2d.moving_variance          variance
p.num_batches_tracked
=====================  =============================  ==============================  ===========================

Sources: state_dict of PyTorch 2.13.0, parameters_dict of MindSpore 2.10.0 (tests/golden/probes_*.json).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from . import arguments
from .typing import Array

Arrays: TypeAlias = Mapping[str, Any]  # of any library
Groups: TypeAlias = dict[str, dict[str, str]]  # {prefix: {name: key}}
Invented: TypeAlias = dict[str, dict[str, Array]]  # {the key after which they come: {new key: array}}

TORCH_TO_MINDSPORE = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
MINDSPORE_TO_TORCH = {theirs: ours for ours, theirs in TORCH_TO_MINDSPORE.items()}
ALONE = {"moving_mean": "mean", "moving_variance": "variance", "gamma": "gamma", "beta": "beta"}
COUNT = "num_batches_tracked"
NESTED = "bn2d"  # MindSpore's BatchNorm3d keeps its arrays in a BatchNorm2d of this name


class Checkpoint(dict[str, Any]):
    """A checkpoint that has been ported: a dictionary in the original's order, with a report.

    Attributes
    ----------
    renamed : dict of str to str
        Old key to new key, for every key of a batch-normalisation layer.
    dropped : tuple of str
        Old keys that the other framework has no place for.
    invented : dict of str to array
        New keys that the original had nothing for, with what they were given.
    batch_norm_3d : tuple of str
        The prefixes of the groups that were taken for, or made into, MindSpore's BatchNorm3d.
    """

    def __init__(self, entries: Iterable[tuple[str, Any]], renamed: dict[str, str], dropped: Iterable[str],
                 invented: dict[str, Array], batch_norm_3d: Iterable[str]) -> None:
        super().__init__(entries)
        self.renamed, self.dropped, self.invented = renamed, tuple(dropped), invented
        self.batch_norm_3d = tuple(batch_norm_3d)


def checkpoint_to_mindspore(d: Arrays, *, batch_norm_3d: Collection[str] | None = None) -> Checkpoint:
    """Give the batch-normalisation groups of a PyTorch checkpoint the keys that MindSpore has for them.

    Parameters
    ----------
    d : mapping of str to array
        For instance a model's ``state_dict()``, its tensors as arrays.
    batch_norm_3d : collection of str, optional
        The prefixes ("" for a layer alone) of the layers that are BatchNorm3d, which PyTorch's keys do not tell.
        Left out: those that `d` itself records, if it is a `Checkpoint`; otherwise none.

    Returns
    -------
    Checkpoint
        num_batches_tracked is dropped.  Where PyTorch has no weight or bias (affine=False, bias=False), a gamma of ones
        or a beta of zeros is invented, since MindSpore always has both; whether they learn is up to the layer.

    Raises
    ------
    TypeError
        `d` is no mapping, or one that cannot be read; `batch_norm_3d` is no collection of strings.
    ValueError
        Names every group that is incomplete (one running statistic, or only the count; a bias without a weight), or
        whose arrays differ in shape, every prefix in `batch_norm_3d` that is no group, and every new key that is
        already taken.

    Notes
    -----
    A group is recognised by running_mean and running_var.  A layer with track_running_stats=False has the keys of a
    LayerNorm and stays as it is, and so does all else; an InstanceNorm that tracks has the keys of a batch
    normalisation and is renamed like one.

    Examples
    --------
    >>> import bnref
    >>> there = bnref.port.checkpoint_to_mindspore(bnref.torch.BatchNorm1d(4).state_dict(prefix="bn1."))
    >>> list(there), there.dropped
    (['bn1.gamma', 'bn1.beta', 'bn1.moving_mean', 'bn1.moving_variance'], ('bn1.num_batches_tracked',))
    """
    recorded = d.batch_norm_3d if isinstance(d, Checkpoint) else ()
    nested = set(recorded) if batch_norm_3d is None else _prefixes(batch_norm_3d)
    d = arguments.mapping("d", d)
    groups = _groups(d, (*TORCH_TO_MINDSPORE, COUNT), ("running_mean", "running_var", COUNT))
    wrong = [f"{prefix!r} in batch_norm_3d is no group" for prefix in sorted(nested - set(groups))]
    _refuse(wrong + _faults(d, groups, ("running_mean", "running_var")))
    renamed, dropped, order = {}, [], _order(d)
    invented: Invented = {}
    for prefix, group in groups.items():
        for name, key in group.items():
            if name != COUNT:
                renamed[key] = _mindspore_key(prefix, TORCH_TO_MINDSPORE[name], prefix in nested)
        dropped += [group[COUNT]] if COUNT in group else []
        for name, fill in (("weight", np.ones), ("bias", np.zeros)):
            if name not in group:
                new = _mindspore_key(prefix, TORCH_TO_MINDSPORE[name], prefix in nested)
                invented.setdefault(_last(order, group), {})[new] = _filled(fill, d[group["running_mean"]])
    return _ported(d, renamed, dropped, invented, nested)


def checkpoint_to_torch(d: Arrays, *, batch_norm_3d: Collection[str] | None = None) -> Checkpoint:
    """Give the batch-normalisation groups of a MindSpore checkpoint the keys that PyTorch has for them.

    Parameters
    ----------
    d : mapping of str to array
        For instance ``{name: parameter.asnumpy() for ...}`` of a network, or of a layer alone.
    batch_norm_3d : collection of str, optional
        The prefixes ("" for a layer alone) of the layers that are BatchNorm3d, without the "bn2d" that their keys go
        on with.  Left out: those that `d` records, if it is a `Checkpoint`; otherwise wherever there is a "bn2d".  Pass () if
        that is only what your network calls a BatchNorm2d.

    Returns
    -------
    Checkpoint
        num_batches_tracked is invented, with the value 0; it matters to momentum=None only.  What
        `checkpoint_to_mindspore` invented is dropped, if `d` is its result and still holds it.

    Raises
    ------
    TypeError
        `d` is no mapping, or one that cannot be read; `batch_norm_3d` is no collection of strings.
    ValueError
        Names every group that is incomplete (MindSpore's have all four arrays), or whose arrays differ in shape, every
        prefix in `batch_norm_3d` that is no group, and every new key that is already taken.

    Notes
    -----
    A group is recognised by moving_mean and moving_variance; at the root, without a prefix, also by mean and variance.

    Examples
    --------
    >>> import bnref, numpy as np
    >>> arrays = {name: np.ones(4, np.float32) for name in ("mean", "variance", "gamma", "beta")}
    >>> back = bnref.port.checkpoint_to_torch(arrays)
    >>> list(back), list(back.invented)
    (['running_mean', 'running_var', 'weight', 'bias', 'num_batches_tracked'], ['num_batches_tracked'])
    """
    given, d = d, arguments.mapping("d", d)
    groups = _groups(d, tuple(MINDSPORE_TO_TORCH), ("moving_mean", "moving_variance"))
    wrong = []
    if _alone(d):
        wrong += [f"keys {' and '.join(groups[''].values())} and mean or variance of one layer"] if "" in groups else []
        groups[""] = _alone(d)
    places = {prefix: _outer(prefix) for prefix in groups if _is_nested(prefix)}
    recorded = given.batch_norm_3d if isinstance(given, Checkpoint) else places.values()
    nested = set(recorded) if batch_norm_3d is None else _prefixes(batch_norm_3d)
    wrong += [f"{prefix!r} in batch_norm_3d is no group" for prefix in sorted(nested - set(places.values()))]
    _refuse(wrong + _faults(d, groups, tuple(MINDSPORE_TO_TORCH)))
    fabricated = given.invented if isinstance(given, Checkpoint) else {}
    renamed, dropped, order = {}, [], _order(d)
    invented: Invented = {}
    for prefix, group in groups.items():
        ours = places[prefix] if places.get(prefix) in nested else prefix
        for name, key in group.items():
            if key in fabricated and d[key] is fabricated[key]:
                dropped.append(key)
            else:
                renamed[key] = _join(ours, MINDSPORE_TO_TORCH[name])
        invented[_last(order, group)] = {_join(ours, COUNT): np.array(0, np.int64)}
    return _ported(d, renamed, dropped, invented, nested)


# ---- Groups -------------------------------------------------------------------------------------------------------


def _groups(d: Arrays, names: tuple[str, ...], signs: tuple[str, ...]) -> Groups:
    """Find {prefix: {name: key}}: wherever one of `signs` is, with whatever else of `names` is there."""
    found: Groups = {}
    for key in d:
        if isinstance(key, str):
            prefix, dot, name = key.rpartition(".")
            if name in signs and (prefix or not dot):
                found[prefix] = {}
    for prefix, group in found.items():
        group.update({name: _join(prefix, name) for name in names if _join(prefix, name) in d})
    return found


def _alone(d: Arrays) -> dict[str, str]:
    # "mean" may be anything; with "variance", or with "gamma" and "beta", it is a layer on its own.
    group = {name: key for name, key in ALONE.items() if key in d}
    signs = {"moving_mean", "moving_variance"}
    return group if signs <= set(group) or (signs & set(group) and {"gamma", "beta"} <= set(group)) else {}


def _faults(d: Arrays, groups: Groups, needed: tuple[str, ...]) -> list[str]:
    return [fault for prefix, group in groups.items() for fault in _faults_of_group(d, prefix, group, needed)]


def _faults_of_group(d: Arrays, prefix: str, group: dict[str, str], needed: tuple[str, ...]) -> list[str]:
    """Say what is wrong with a group; nothing, usually."""
    keys = ", ".join(sorted(group.values()))
    missing = [name for name in needed if name not in group]
    if missing:
        return [f"group {prefix!r} ({keys}) has no {' and no '.join(missing)}"]
    if "bias" in group and "weight" not in group:
        return [f"group {prefix!r} ({keys}) has a bias and no weight"]
    shapes = {key: _shape(d[key]) for name, key in group.items() if name != COUNT}
    if any(shape is None or len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        listed = ", ".join(f"{key}: {'no array' if shape is None else shape}" for key, shape in sorted(shapes.items()))
        return [f"group {prefix!r} needs arrays of one shape (C,), but has {listed}"]
    return []


def _shape(value: Any) -> tuple[int, ...] | None:
    # Of an array of any library; None for what is no array.
    try:
        return tuple(int(extent) for extent in value.shape)
    except Exception:
        return None


def _prefixes(given: object) -> set[str]:
    # A collection has an end, which an iterator need not have.
    if isinstance(given, str) or not isinstance(given, Collection):
        raise TypeError(f"batch_norm_3d: a {type(given).__name__}; allowed: a collection of strings")
    try:
        other = next((prefix for prefix in given if not isinstance(prefix, str)), "")
    except Exception as error:
        raise TypeError(f"batch_norm_3d: a {type(given).__name__} that cannot be read ({arguments.why(error)}); "
                        "allowed: a collection of strings") from error
    if not isinstance(other, str):
        raise TypeError(f"batch_norm_3d: {arguments.shown(other)} of type {type(other).__name__} in it; "
                        "allowed: a collection of strings")
    return set(given)


def _last(order: dict[str, int], group: dict[str, str]) -> str:
    # What is invented follows the group's last key.
    return max(group.values(), key=order.__getitem__)


def _order(d: Arrays) -> dict[str, int]:
    return {key: position for position, key in enumerate(d)}


# ---- Keys ---------------------------------------------------------------------------------------------------------


def _join(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def _mindspore_key(prefix: str, name: str, nested: bool) -> str:
    if nested:
        return _join(prefix, NESTED, name)
    return _join(prefix, name) if prefix else ALONE[name]


def _is_nested(prefix: str) -> bool:
    return prefix == NESTED or prefix.endswith("." + NESTED) and prefix != "." + NESTED  # a key ".bn2d.gamma" names no layer


def _outer(prefix: str) -> str:
    return prefix.removesuffix(NESTED).removesuffix(".")


# ---- The result ---------------------------------------------------------------------------------------------------


def _filled(fill: Callable[..., Array], like: Any) -> Array:
    dtype = getattr(like, "dtype", None)
    return fill(_shape(like), dtype if isinstance(dtype, np.dtype) and arguments.is_float(dtype) else np.float32)


def _refuse(wrong: list[str]) -> None:
    if wrong:
        raise ValueError("d: " + "; ".join(wrong))


def _ported(d: Arrays, renamed: dict[str, str], dropped: list[str], invented: Invented, nested: set[str]) -> Checkpoint:
    entries: list[tuple[str, Any]] = []
    gone = set(dropped)
    for key, value in d.items():
        if key not in gone:
            entries.append((renamed.get(key, key), value))
        entries += invented.get(key, {}).items()
    taken = [key for key, times in Counter(key for key, _ in entries).items() for _ in range(times - 1)]
    _refuse([f"these new keys are already taken: {', '.join(map(repr, taken))}"] if taken else [])
    made = {key: value for group in invented.values() for key, value in group.items()}
    return Checkpoint(entries, renamed, dropped, made, sorted(nested))
