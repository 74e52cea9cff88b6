"""The statistics that an implementation must have used, read back from its results.

The formulas, solved for the statistics, are in `mistakes` (notebooks/06_accuracy, "Read the statistics back"); this module chooses
which result to read, and knows how much of a reading is rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np

from . import bounds, equations, mistakes
from .arithmetic import evaluate
from .bounds import GRADIENTS, Examined, Outward, Results, Statistics
from .typing import Array, Batch, Channel, Floats, NumberSystem, Scalar

Reading: TypeAlias = tuple[Floats, Floats]  # values, and how uncertain they are


class Estimate(NamedTuple):
    """What an implementation must have used: (C,) each; NaN where its results are."""

    mean: Floats
    mean_error: Floats
    var: Floats
    var_error: Floats
    mean_seen: bool
    var_seen: bool
    own_sums: bool = False  # whether the sums in the gradients are to be judged by themselves

    def errors(self, times: float) -> Statistics:
        """Those of the statistics, so many times, as the bounds ask for them."""
        return Statistics(times * self.mean_error, times * self.var_error, times * self.var_error)

    def square_error(self) -> Floats:
        """That of var + mean**2."""
        return self.var_error + 2 * np.abs(self.mean) * self.mean_error


def read(view: Examined, failing: list[str], right: Statistics) -> Iterator[Estimate]:
    """What the results may have been computed with, the plainest first.

    Parameters
    ----------
    view : comparison.View
    failing : names of the results that do not conform
    right : bounds.Statistics, the errors of sound statistics

    Yields
    ------
    Estimate : of a wrong variance or mean; then, where only gradients show it, of a wrong mean; then with wrong sums in the
        gradients.
    """
    mean: Reading | None = None
    var: Reading | None = None
    for name in (name for name in _FORWARD if name in failing):
        seen_mean, seen_var = _FORWARD[name](view)
        mean, var = mean or seen_mean, var or seen_var
    seen = mean is not None or any(name in view.actual and name not in failing for name in ("mean", "output", "running_mean"))
    centre: Reading = mean or (view.true["mean"], right.mean_error)
    right_var: Reading = (view.true["var"], right.var_above)
    of_input = _from_grad_input(view) if "grad_input" in failing else None
    scaled: Reading = var or of_input or right_var
    weight_mean, weight_var = _from_grad_weight(view, centre[0], scaled) if "grad_weight" in failing else (None, None)
    sharpest: Reading = var or _sharper(of_input, weight_var) or right_var
    yield Estimate(*centre, *sharpest, seen, bool(var or of_input or weight_var))
    if weight_mean and not seen:
        yield Estimate(*weight_mean, *scaled, True, bool(var or of_input))
    if set(failing) & set(GRADIENTS):
        yield Estimate(*centre, *scaled, seen, bool(var or of_input), True)


def _sharper(one: Reading | None, other: Reading | None) -> Reading | None:
    """The reading with the smaller error, channel by channel; either may be None."""
    if one is None or other is None:
        return one or other
    better = one[1] <= other[1]
    return np.where(better, one[0], other[0]), np.where(better, one[1], other[1])


def columns(array: Array) -> Floats:
    """(n, C) in float64."""
    return np.moveaxis(array.astype(np.float64), 1, -1).reshape(-1, array.shape[1])


def parameters(view: Examined) -> tuple[Floats, Floats]:
    """Weight and bias, in float64; ones and zeros where none are given."""
    channels = view.case.input.shape[1]
    weight = np.ones(channels) if view.doubled.weight is None else view.doubled.weight
    return weight, np.zeros(channels) if view.doubled.bias is None else view.doubled.bias


def results(view: Examined, mean: Floats, var: Floats) -> Results:
    """All results of the call with these statistics in place of the batch's."""
    doubled, case = view.doubled, view.case
    weight, bias = parameters(view)
    output, = evaluate(_normalize, (doubled.input, mean, var, weight, bias, case.eps), (np.float64,))
    found: Results = {"mean": mean, "var": var, "output": output}
    if case.running_mean is not None:
        found |= zip(bounds.RUNNING, equations.update_running_statistics(
            doubled.running_mean, doubled.running_var, mean, var, np.float64(case.n), case.momentum, xp=Outward))
    if set(view.actual) & set(GRADIENTS):
        found |= zip(GRADIENTS, evaluate(
            equations.backward, (doubled.grad_output, doubled.input, mean, var, weight, case.eps), (np.float64,) * 3))
    return found


def _normalize(x: Batch, mean: Channel, var: Channel, weight: Channel, bias: Channel, eps: Scalar, *,
               xp: NumberSystem[Batch, Channel]) -> tuple[Batch]:
    return (equations.normalize(x, mean, var, weight, bias, eps, xp=xp),)


def _deviation(view: Examined, mean: Floats | None = None) -> Floats:
    return columns(view.case.input) - (view.true["mean"] if mean is None else mean)


def _unit(view: Examined, name: str) -> float:
    return max(bounds.unit(view.actual[name].dtype), bounds.unit(view.dtype(name)))


def _blur(view: Examined, var: Floats) -> Floats:
    """How much rounding, in units of u, is in a variance read from elements: more where a * x + b cancels."""
    weight, bias = parameters(view)
    ratio = np.abs(view.true["mean"]) / np.sqrt(view.true["var"]) + np.abs(bias / weight)
    blur: Floats = 32 * (8 + ratio) * np.abs(var + view.case.eps) + 32 * abs(view.case.eps)
    return blur


# Readings: (mean, its error), (var, its error); None for what a result does not show.

def _from_mean(view: Examined) -> tuple[Reading, None]:
    mean = view.actual["mean"].astype(np.float64)
    return (mean, 4 * _unit(view, "mean") * np.abs(mean)), None


def _from_var(view: Examined) -> tuple[None, Reading]:
    var = view.actual["var"].astype(np.float64)
    return None, (var, 4 * _unit(view, "var") * (np.abs(var) + abs(view.case.eps)))


def _from_output(view: Examined) -> tuple[Reading, Reading]:
    """How far the outputs are from a straight line says how much rounding is in its slope, where there are enough of them."""
    weight, bias = parameters(view)
    x, y, u, eps = columns(view.case.input), columns(view.actual["output"]), _unit(view, "output"), view.case.eps
    mean, var = mistakes.read_output(_deviation(view), y, view.true["mean"], weight, bias, eps, xp=Outward)
    W, error = np.abs(var + eps), u * _blur(view, var)
    if len(y) > 3:
        rest = np.abs(y - equations.normalize(x, mean, var, weight, bias, eps, xp=Outward)).max(axis=0)
        share = 8 * u + 2 * rest / np.abs(weight * bounds.rstd(var, eps)) / np.sqrt(view.true["var"])
        error = np.fmin(error, 2 * share * W + 4 * u * abs(eps))
    return (mean, 16 * u * (np.abs(mean) + np.sqrt(W) * (1 + np.abs(bias / weight)))), (var, error)


def _updates(view: Examined, **given: Floats) -> tuple[Floats, Floats]:
    """A pair of readings from running statistics; what is not given counts as unmoved."""
    old = {name: getattr(view.doubled, name) for name in bounds.RUNNING}
    (old_mean, old_var), (mean, var) = old.values(), (old | given).values()
    return mistakes.read_update(old_mean, old_var, mean, var, np.float64(view.case.n), view.case.momentum, xp=Outward)


def _from_running(view: Examined, name: str) -> Reading:
    which, new, old = bounds.RUNNING.index(name), view.actual[name].astype(np.float64), getattr(view.doubled, name)
    value = _updates(view, **{name: new})[which]
    none, one = np.zeros_like(new), np.ones_like(new)  # the reading is linear in what it reads: this is its gain
    gain = mistakes.read_update(none, none, one, one, np.float64(view.case.n), view.case.momentum, xp=Outward)[which]
    return value, 16 * _unit(view, name) * (np.abs(new) + np.abs(old)) * np.abs(gain)


def _from_grad_weight(view: Examined, mean: Floats, of_var: Reading) -> tuple[Reading, Reading]:
    """The mean if the variance is this one, and the variance if the mean is."""
    g, d, u = columns(view.case.grad_output), _deviation(view, mean), _unit(view, "grad_weight")
    var, var_error = of_var
    seen_mean, seen_var = mistakes.read_grad_weight(g, d, view.actual["grad_weight"].astype(np.float64), mean, var, view.case.eps,
                                                    xp=Outward)
    size, moment = np.abs(g * d).sum(axis=0), np.abs((g * d).sum(axis=0))
    blurred = (u * _blur(view, var) + var_error) / np.abs(var + view.case.eps)
    mean_error = (blurred + u * view.case.n) * (size + np.abs(seen_mean - mean)) / np.abs(g.sum(axis=0))
    W = np.abs(seen_var + view.case.eps)
    return (seen_mean, mean_error), (seen_var, u * (_blur(view, seen_var) + 4 * view.case.n * W) * size / moment)


def _from_grad_input(view: Examined) -> Reading:
    """Not readable, so with an infinite error, where grad_output has no part across 1 and x: with two values, always."""
    weight, _ = parameters(view)
    g, d, dx = columns(view.case.grad_output), _deviation(view), columns(view.actual["grad_input"])
    across, var = mistakes.read_grad_input(g, d, dx, weight, view.case.eps, xp=Outward)
    share = (across * across).sum(axis=0) / (g * g).sum(axis=0)
    readable = (share > 2.0**-40) | np.isnan(dx).any(axis=0)
    var = np.where(readable, var, view.true["var"])
    W = np.abs(var + view.case.eps)
    error = _unit(view, "grad_input") * (_blur(view, var) * 4 / np.sqrt(share) + 4 * view.case.n * W)
    return var, np.where(readable, error, np.inf)


def sums(view: Examined, known: Estimate) -> tuple[Floats, Floats, Floats]:
    """The sums that dx subtracts, if it was computed with these statistics; and dx as it should then be, (n, C)."""
    weight, _ = parameters(view)
    g, d, rstd = columns(view.case.grad_output), _deviation(view), bounds.rstd(known.var, view.case.eps)
    dbias, dweight = mistakes.read_sums(g, d, columns(view.actual["grad_input"]), weight, rstd, xp=Outward)
    return dbias, dweight, mistakes.backward_of_sums(g, d, dbias, dweight, weight, rstd, xp=Outward)


def unfitted(view: Examined, error: Floats) -> Floats:
    """How far dx may be from what is fitted to it by its sums, (n, C), if its errors are within these.

    The fit takes from errors their parts along 1 and x, and leaves what is across; in size, they may add up.
    """
    across, _ = mistakes.read_grad_input(error, np.abs(_deviation(view)), error, 1.0, 0.0, xp=Outward)
    left: Floats = error + (error - across)
    return left


def unreduced(view: Examined, known: Estimate) -> Floats:
    """dx before the sums are subtracted, (n, C)."""
    weight, _ = parameters(view)
    g = columns(view.case.grad_output)
    return mistakes.backward_of_sums(g, np.zeros_like(g), 0, 0, weight, bounds.rstd(known.var, view.case.eps), xp=Outward)


_FORWARD: dict[str, Callable[[Examined], tuple[Reading | None, Reading | None]]] = {
    "mean": _from_mean, "var": _from_var, "output": _from_output,
    "running_mean": lambda view: (_from_running(view, "running_mean"), None),
    "running_var": lambda view: (None, _from_running(view, "running_var")),
}
"""What each result shows of the statistics, the plainest first."""
