"""The mistakes that real implementations contain, and which of them explain what is seen.

`variants` and `axes` say what an implementation with a mistake returns, `unsettled` recognises the two mistakes that have no single
wrong result; this module compares, and weighs one explanation against another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from . import arguments, axes, bounds, equations, mistakes, unsettled, variants
from .bounds import GRADIENTS, NAMES, RUNNING, Case, Examined
from .typing import Dtype
from .variants import Variant

MISTAKES = {
    "momentum inverted": "The running statistics move by 1 - momentum instead of momentum.",
    "momentum of the other framework's default": "The running statistics move by a default, 0.1 or 0.9 (0.01 or 0.99), not by "
                                                 "the momentum given.",
    "unbiased variance used to normalise": "The output is normalised by the variance times n / (n - 1).",
    "biased variance used to update": "The running variance takes the biased variance, without n / (n - 1).",
    "running in place of batch statistics": "In training the batch is normalised by the running statistics.",
    "batch in place of running statistics": "In evaluation the batch is normalised by its own statistics.",
    "statistics not updated": "The running statistics stay as they were in training.",
    "statistics updated twice": "The running statistics are moved twice by one batch.",
    "statistics updated in evaluation": "The running statistics are moved in evaluation.",
    "eps outside the root": "The divisor is sqrt(var) + eps instead of sqrt(var + eps).",
    "eps 1e-3 of another library": "eps is 1e-3, as in Keras and MXNet, not the eps given.",
    "eps 2e-5 of another library": "eps is 2e-5, as in Chainer, not the eps given.",
    "eps float32(1e-5) of another library": "eps is rounded to float32, as in ONNX, in a computation that is more precise.",
    "weight missing": "The output is not multiplied by the weight.",
    "bias missing": "The bias is not added.",
    "weight and bias swapped": "Weight and bias are in each other's place.",
    "one-pass variance": "The variance is computed as E[x^2] - E[x]^2, which cancels where the mean is large.",
    "statistics over the wrong axes: per sample": "Mean and variance are those of each sample, over the channels or the "
                                                  "positions, as in layer or instance normalisation.",
    "statistics over the wrong axes: per position": "Mean and variance are those of each position, over the samples alone.",
    "statistics over the wrong axes: channels last": "The last axis, or every C-th value in memory, is taken for the channel.",
    "half-precision accumulation": "Sums are accumulated in half precision (float16 or bfloat16).",
    "gradient with mean detached": "dx takes the mean for a constant.",
    "gradient with variance detached": "dx takes the variance for a constant.",
    "inference gradient in training": "dx is weight * rstd * grad_output, as if the statistics did not depend on the batch.",
    "weight missing in the gradient": "dx is not multiplied by the weight.",
    "gradient sums not divided by n": "dx subtracts the sums of the batch instead of their means.",
    "var rebuilt from rstd in the gradient": "dx is that of a layer that rebuilt var from rstd, and got it wrong: eps added twice, "
                                             "or the saved rstd taken for a variance.",
}
"""{name: what went wrong, in one sentence}."""

VARIANTS: dict[str, Callable[[Examined], Iterator[Variant]]] = {
    "momentum inverted": variants.momenta(lambda given: equations.complement(given, xp=None)),
    "momentum of the other framework's default": variants.momenta(0.1, 0.9, 0.01, 0.99),
    "unbiased variance used to normalise": variants.unbiased,
    "biased variance used to update": variants.biased_update,
    "running in place of batch statistics": variants.running_for_batch,
    "batch in place of running statistics": variants.batch_for_running,
    "statistics not updated": variants.not_updated,
    "statistics updated twice": variants.updated_twice,
    "statistics updated in evaluation": variants.updated_in_evaluation,
    "eps outside the root": variants.eps_outside,
    "eps 1e-3 of another library": variants.epsilons(1e-3),
    "eps 2e-5 of another library": variants.epsilons(2e-5),
    "eps float32(1e-5) of another library": variants.epsilons(lambda given: float(np.float32(given)), float(np.float32(1e-5))),
    "weight missing": variants.weight_missing,
    "bias missing": variants.bias_missing,
    "weight and bias swapped": variants.swapped,
    "statistics over the wrong axes: per sample": axes.per_sample,
    "statistics over the wrong axes: per position": axes.per_position,
    "statistics over the wrong axes: channels last": axes.channels_last,
    "gradient with mean detached": variants.gradient(mistakes.backward_mean_detached),
    "gradient with variance detached": variants.gradient(mistakes.backward_var_detached),
    "inference gradient in training": variants.inference_gradient,
    "weight missing in the gradient": variants.gradient_without_weight,
    "gradient sums not divided by n": variants.sums_not_divided,
    "var rebuilt from rstd in the gradient": variants.var_rebuilt,
}
"""{mistake: the function that yields its variants}; the two without a definite result are in `unsettled`."""

_OF_RUNNING = ("momentum inverted", "momentum of the other framework's default", "biased variance used to update",
               "statistics not updated", "statistics updated twice", "statistics updated in evaluation")
_OF_GRADIENTS = ("gradient with mean detached", "gradient with variance detached", "inference gradient in training",
                 "weight missing in the gradient", "gradient sums not divided by n", "var rebuilt from rstd in the gradient")
TOUCHED: dict[str, tuple[str, ...]] = dict.fromkeys(MISTAKES, NAMES) | dict.fromkeys(_OF_RUNNING, RUNNING) | dict.fromkeys(_OF_GRADIENTS, GRADIENTS)
"""{mistake: the results that it can spoil}."""

_OUTPUT: tuple[str, ...] = ("output",)
_INPUT: tuple[str, ...] = ("grad_input",)
DECISIVE: dict[str, tuple[str, ...]] = (
    dict.fromkeys(MISTAKES, _OUTPUT) | dict.fromkeys(_OF_RUNNING, RUNNING) | dict.fromkeys(_OF_GRADIENTS, _INPUT))
"""{mistake: the results that it is sure to spoil}; where code makes it in the forward pass, the gradients may be right."""

CERTAIN = 10
"""Bits: how far from the truth a mistake must be, over all channels, to exclude a coincidence of rounding errors."""


def explanations(case: Case, sound: Collection[str], view: Examined) -> tuple[str, ...]:
    """The names of the mistakes that reproduce what is not sound.

    Parameters
    ----------
    case : Case
    sound : the names of the results that conform
    view : the results, the true results and their bounds: `comparison.View`
    """
    failing = [name for name, array in view.actual.items() if name not in sound and array.shape == view.true[name].shape]
    if not failing or not case.n:
        return ()
    with np.errstate(all="ignore"):
        fitting = _reproducing(view, failing)
        if max(fitting.values(), default=(0, 0))[1] < CERTAIN:
            fitting |= unsettled.admissible(view, failing)
    # Who gives all results goes before who gives only the wrong ones, and would spoil others that are right.
    best = max((whole for whole, _ in fitting.values()), default=0)
    return tuple(name for name in MISTAKES if name in fitting and fitting[name][0] == best)


def _reproducing(view: Examined, failing: list[str]) -> dict[str, tuple[int, float]]:
    """{mistake: (whether it also gives what it is sure to spoil and is right; how clearly)} of those with a definite result."""
    found: dict[str, tuple[int, float]] = {}
    for mistake, yielded in VARIANTS.items():
        if not set(failing) <= set(TOUCHED[mistake]):
            continue
        right = [name for name in DECISIVE[mistake] if name in view.actual and name not in failing]
        given: set[str] = set()
        clear = 0.0
        for variant in yielded(view):
            fits = {name for name in (*failing, *right) if _fits(view, variant, name)}
            given, clear = given | fits, max(clear, _distance(view, variant, fits & set(failing)))
        if given >= set(failing):
            found[mistake] = int(given >= set(right)), clear
    return found


def _fits(view: Examined, variant: Variant, name: str) -> bool:
    """Whether the variant gives this result."""
    if name not in variant.values or variant.values[name].shape != view.true[name].shape:
        return False
    bound = variant.bound(name)
    return bool(view.within(name, variant.values[name], bound).all() and np.isfinite(bound).any())


def _distance(view: Examined, variant: Variant, names: Collection[str]) -> float:
    """How clearly the variant differs from the truth, in bits, added up over the channels."""
    bits = np.zeros(view.case.input.shape[1])
    for name in names:
        ratio = np.abs(variant.values[name] - view.true[name]) / variant.bound(name)
        ratio = np.where(np.isfinite(ratio), ratio, 1)
        if name in bounds.BATCH:
            ratio = np.moveaxis(ratio, 1, -1).reshape(-1, len(bits)).max(axis=0)
        bits = np.maximum(bits, np.log2(np.maximum(ratio, 1)))
    return float(bits.sum())


def witness(training: bool = True, dtype: Dtype = np.float64) -> dict[str, Any]:
    """A small input on which all mistakes differ, from the truth and from each other.

    Parameters
    ----------
    training : bool
        Which mode: "in evaluation" and "in training" are part of what some mistakes are.
    dtype : float32 or float64
        In float32 the mistake of an eps rounded to float32 is none.

    Returns
    -------
    dict
        The arguments of `compare` after `actual`, with shape (7, 3, 5); mean / std is 64 to 1024, var about 1/1024, so
        that one pass and every eps show.

    Raises
    ------
    TypeError
        `training` is neither True nor False, or `dtype` none of the two.

    Examples
    --------
    >>> import numpy as np, bnref
    >>> call = bnref.testing.witness()
    >>> wrong = bnref.batch_norm(call["input"], weight=call["weight"], training=True, eps=call["eps"]).output
    >>> bnref.testing.explain({"output": wrong}, **call)
    ('bias missing',)
    """
    training = arguments.flag("training", training)
    try:
        dtype = np.dtype(dtype)
    except Exception as error:
        raise TypeError(f"dtype: {arguments.shown(dtype)} ({arguments.why(error)}); allowed: float32 or float64") from error
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"dtype: {dtype}; allowed: float32 or float64")
    rng = np.random.default_rng(0)
    centre, weight, bias = np.array([2.0, -8.0, 32.0]), np.array([1.5, -0.75, 2.5]), np.array([0.5, 3.0, -1.25])
    x = centre[:, np.newaxis] + rng.normal(0, 1 / 32, (7, 3, 5))
    arrays = {"input": x, "running_mean": centre + 0.25, "running_var": np.array([0.5, 0.25, 2.0]), "weight": weight,
              "bias": bias, "grad_output": rng.normal(0.5, 1, x.shape)}
    return {name: array.astype(dtype) for name, array in arrays.items()} | {
        "training": training, "momentum": 0.25, "eps": 3e-5}
