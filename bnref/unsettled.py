"""Two mistakes whose wrong result depends on the order of a sum: one-pass variance and half-precision accumulation.

They are recognised by their trace.  Both leave formulas as they are and falsify the statistics, so all results must agree
with *one* mean and one variance per channel: these are estimated from the results, and put back into the right formulas.
Then the estimates are judged: one pass leaves the mean right and the variance within the one-pass bound; half precision
falsifies the mean as well, within the bound of half precision, or leaves a variance that has no more digits than a half.
A channel that is NaN fits where that bound admits a negative variance, or where float16 may overflow.  Source of the
bounds: notebooks/06_accuracy.
"""

from typing import NamedTuple

import numpy as np

from . import bounds, equations
from .arithmetic import evaluate

HALVES = {"float16": 11, "bfloat16": 8}
"""Half precisions, and their binary digits."""

COINCIDENCE = 10
"""Bits of evidence that exclude one."""


class Estimate(NamedTuple):
    """The statistics that an implementation must have used: (C,) each; NaN where its results are."""

    mean: np.ndarray
    mean_error: np.ndarray
    var: np.ndarray
    var_error: np.ndarray
    mean_seen: bool


def admissible(view, failing):
    """The mistakes of the two that can explain what does not conform.

    Returns
    -------
    {name: (1 if all results agree with it, 0 if only those that do not conform, 0)}
    """
    if not view.case.training or view.case.n < 2:
        return {}
    known = bounds.profile(view.dtype(failing[0]), "sequential", view.case.n)
    right = bounds.statistics(view.doubled, view.true, known)
    found = _estimate(view, failing, right)
    if found is None or not _consistent(view, failing, found):
        return {}
    whole = int(_consistent(view, [name for name in view.actual if view.actual[name].shape == view.true[name].shape], found))
    off = np.abs(found.mean - view.true["mean"]) > right.mean_error + found.mean_error
    names = {}
    if not off.any() and _within(view, found, right.mean_error, _one_pass(view, known, right.mean_error)):
        names["one-pass variance"] = whole, 0
    if (off.any() or not found.mean_seen) and any(_half(view, found, half, known) for half in HALVES):
        names["half-precision accumulation"] = whole, 0
    elif not off.any():
        halves = [digits for digits in HALVES.values() if _squares_in_half(view, found, right.mean_error, known, digits)]
        blur = known.u_stat * (view.true["var"] + view.true["mean"] ** 2)  # what is left of one pass has few digits, too
        if any(_on_grid(found, view.case.n, digits, blur) for digits in halves):
            names = {"half-precision accumulation": (whole, 0)}
        elif any(_on_grid(found, view.case.n, digits, 0) for digits in halves):
            names["half-precision accumulation"] = whole, 0
    return names


def _squares_in_half(view, found, mean_error, known, digits):
    """Whether two passes with a right mean, and squares summed with so few digits, can give the estimates."""
    u = 2.0**-digits
    below, above = equations.var_bound(view.true["var"], mean_error, u, u, view.case.n + 1, known.tiny, xp=bounds.Outward)
    return _within(view, found, mean_error, _unbounded(np.maximum(below, above)))


def _on_grid(found, n, digits, blur):
    """Whether the variances, or the sums that they come from, are numbers of so few digits, beyond coincidence.

    A sum of squares that is kept in half precision betrays itself so where the mean is right.
    """
    for factor in (1, n):
        sums, error = factor * found.var, factor * found.var_error
        mantissa, exponent = np.frexp(sums)
        grid = np.ldexp(1.0, exponent - digits)
        near = np.abs(sums - np.ldexp(np.round(np.ldexp(mantissa, digits)), exponent - digits)) <= error
        evidence = np.log2(grid / (2 * np.maximum(error, factor * blur)))
        if near.all() and np.maximum(evidence, 0).sum() >= COINCIDENCE:
            return True
    return False


def _one_pass(view, known, mean_error):
    return equations.one_pass_var_bound(view.true["mean"], view.true["var"], mean_error, known.u_stat, known.u_sum,
                                        known.steps, known.tiny, xp=bounds.Outward)


def _half(view, found, half, known):
    """Whether sums in this half precision, of values cast to it, can give the estimates."""
    u = 2.0**-HALVES[half]
    known = known._replace(u_stat=u, u_sum=u, steps=view.case.n + 1)
    mean_error = bounds.statistics(view.doubled, view.true, known).mean_error
    var_error = _one_pass(view, known, mean_error)
    if half == "float16":
        x = np.abs(np.moveaxis(view.doubled.input, 1, -1)).reshape(-1, len(mean_error))
        large = np.maximum((x * x).sum(axis=0), x.sum(axis=0)) * 2 > 2.0**16
        mean_error, var_error = np.where(large, np.inf, mean_error), np.where(large, np.inf, var_error)
    return _within(view, found, _unbounded(mean_error), _unbounded(var_error))


def _unbounded(error):
    return np.where(np.isnan(error), np.inf, error)


def _within(view, found, mean_error, var_error):
    """Whether the estimates are within these errors, in every channel; NaN asks for a variance that may be negative."""
    mean, var = view.true["mean"], view.true["var"]
    mean_fits = np.isnan(found.mean) | (np.abs(found.mean - mean) <= mean_error + found.mean_error)
    var_fits = np.abs(found.var - var) <= var_error + found.var_error
    return bool((mean_fits & np.where(np.isnan(found.var), var + view.case.eps <= var_error, var_fits)).all())


def _consistent(view, failing, found):
    """Whether the right formulas, with the estimated statistics, give every result that does not conform."""
    lost = np.isnan(found.var) | np.isnan(found.mean)
    mean, var = np.where(lost, view.true["mean"], found.mean), np.where(lost, view.true["var"], found.var)
    true = _with(view, mean, var)
    errors = bounds.Statistics(4 * found.mean_error, 4 * found.var_error, 4 * found.var_error)
    for name in failing:
        bound = 4 * view.bound(name, true=true, errors=errors)
        good = view.within(name, true[name], bound)
        good = np.moveaxis(good, 1, -1) if name in bounds.BATCH else good
        if not (good | lost).all():
            return False
    return True


def _with(view, mean, var):
    """All results of the call with these statistics in place of the batch's."""
    doubled, case = view.doubled, view.case
    weight = 1 if doubled.weight is None else doubled.weight
    bias = 0 if doubled.bias is None else doubled.bias
    output, = evaluate(_normalize, (doubled.input, mean, var, weight, bias, case.eps), (np.float64,))
    results = {"mean": mean, "var": var, "output": output}
    if case.running_mean is not None:
        results |= zip(("running_mean", "running_var"), equations.update_running_statistics(
            doubled.running_mean, doubled.running_var, mean, var, np.float64(case.n), case.momentum, xp=bounds.Outward))
    if case.grad_output is not None:
        results |= zip(bounds.GRADIENTS, evaluate(
            equations.backward, (doubled.grad_output, doubled.input, mean, var, weight, case.eps), (np.float64,) * 3))
    return results


def _normalize(x, mean, var, weight, bias, eps, *, xp):
    return (equations.normalize(x, mean, var, weight, bias, eps, xp=xp),)


# Estimates: the right formulas, solved for the statistics.

def _estimate(view, failing, right):
    """The statistics that the results show, where wrong ones show them; otherwise the right ones with their errors."""
    mean = var = None
    for name in (name for name in _SEEN if name in failing):
        u = bounds.unit(view.actual[name].dtype)
        seen_mean, mean_blur, seen_var, var_blur = _SEEN[name](view)
        if mean is None and seen_mean is not None:
            mean = seen_mean, mean_blur * u
        if var is None and seen_var is not None:
            var = seen_var, var_blur * u
    if mean is None and var is None:
        return None
    seen = mean is not None or any(name in view.actual and name not in failing for name in ("mean", "output", "running_mean"))
    mean = mean or (view.true["mean"], right.mean_error)
    var = var or (view.true["var"], right.var_above)
    return Estimate(*mean, *var, seen)


def _columns(array):
    """(n, C)."""
    return np.moveaxis(array.astype(np.float64), 1, -1).reshape(-1, array.shape[1])


def _parameters(view):
    channels = view.case.input.shape[1]
    weight = np.ones(channels) if view.doubled.weight is None else view.doubled.weight
    return weight, np.zeros(channels) if view.doubled.bias is None else view.doubled.bias


def _uncertainty(view, mean, W):
    """How much rounding, in units of u, is in estimates from elements: more where a * x + b cancels."""
    std = np.sqrt(np.where(W > 0, W, np.nan))
    return 16 * (np.abs(mean) + std), 32 * (8 + np.abs(mean) / std) * W + 32 * abs(view.case.eps)


def _from_output(view):
    """A straight line through (x, y): its slope is weight * rstd, and it is bias at the mean."""
    weight, bias = _parameters(view)
    y, d = _columns(view.actual["output"]), _columns(view.case.input) - view.true["mean"]
    slope = (d * (y - y.mean(axis=0))).sum(axis=0) / (d * d).sum(axis=0)
    mean = view.true["mean"] - (y.mean(axis=0) - bias) / slope
    W = (weight / slope) ** 2
    return mean, _uncertainty(view, mean, W)[0], W - view.case.eps, _uncertainty(view, mean, W)[1]


def _from_mean(view):
    mean = view.actual["mean"].astype(np.float64)
    return mean, np.abs(mean), None, None


def _from_var(view):
    var = view.actual["var"].astype(np.float64)
    return None, None, var, np.abs(var) + abs(view.case.eps)


def _observed(view, name):
    """What moved a running statistic, and how uncertain that is: the update is linear in it."""
    new, old = view.actual[name].astype(np.float64), getattr(view.doubled, name)
    unmoved, moved = (equations.update_running_statistics(old, old, np.float64(seen), np.float64(seen), np.float64(view.case.n),
                                                          view.case.momentum, xp=bounds.Outward)[name == "running_var"]
                      for seen in (0, 1))
    gain = moved - unmoved
    return (new - unmoved) / gain, 16 * (np.abs(new) + np.abs(old)) / np.abs(gain)


def _from_running_mean(view):
    return *_observed(view, "running_mean"), None, None


def _from_running_var(view):
    return None, None, *_observed(view, "running_var")


def _from_gradient(view, name):
    """rstd from a gradient: dweight is proportional to it, and so is dx across the deviations."""
    weight, _ = _parameters(view)
    g, d = _columns(view.case.grad_output), _columns(view.case.input) - view.true["mean"]
    if name == "grad_weight":
        rstd = view.actual[name].astype(np.float64) / (g * d).sum(axis=0)
        blur = np.abs(g * d).sum(axis=0) / np.abs((g * d).sum(axis=0))
    else:
        across = g - g.mean(axis=0)
        across = across - d * ((across * d).sum(axis=0) / (d * d).sum(axis=0))
        rstd = (_columns(view.actual[name]) * across).sum(axis=0) / (weight * (across * across).sum(axis=0))
        blur = 4 * np.sqrt((g * g).sum(axis=0) / (across * across).sum(axis=0))
    W = 1 / rstd**2
    return None, None, W - view.case.eps, (_uncertainty(view, view.true["mean"], W)[1]) * blur + 4 * view.case.n * W


_SEEN = {
    "mean": _from_mean, "var": _from_var, "output": _from_output,
    "running_mean": _from_running_mean, "running_var": _from_running_var,
    "grad_weight": lambda view: _from_gradient(view, "grad_weight"),
    "grad_input": lambda view: _from_gradient(view, "grad_input"),
}
"""What each result shows of the statistics, the plainest first: mean, its uncertainty in units of u, var, its uncertainty."""
