"""What an implementation gives that gathers its statistics over the wrong axes.

The generated programs sum over the axes that their number system names: `Over` names others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import bounds, equations
from .bounds import GRADIENTS, RUNNING, Examined, Profile, Results
from .typing import Array, Floats
from .variants import Variant


class Over(bounds.Elementwise):
    """Sums over some axes only, which they keep: statistics that broadcast against the batch."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def sum(self, values: Floats) -> Floats:
        """The sum, over these axes, which are kept."""
        total: Floats = values.sum(axis=self.axes, keepdims=True)
        return total

    def count(self, values: Array) -> int:
        """How many values each sum has."""
        return int(np.prod([values.shape[axis] for axis in self.axes]))


class Gathered:
    """A call whose statistics are over these axes of arrays that are laid out with their parameters along one axis.

    Parameters
    ----------
    view : comparison.View
    axes : those that are summed over
    x, grad : the batch and the gradient of the output, in this layout; grad may be None
    along : the axis of weight and bias
    back : puts an array of this layout into that of the results
    """

    def __init__(self, view: Examined, axes: tuple[int, ...], x: Floats, grad: Any, along: int,
                 back: Callable[[Floats], Floats]) -> None:
        self.view, self.xp, self.x, self.grad, self.back = view, Over(axes), x, grad, back
        self.along = along % x.ndim
        self.learned = Over(tuple(axis for axis in range(x.ndim) if axis != self.along))
        self.weight, self.bias = (self.spread(given, otherwise) for given, otherwise in (
            (view.doubled.weight, 1.0), (view.doubled.bias, 0.0)))
        self.mean, self.var = equations.batch_statistics(x, xp=self.xp)
        eps = view.case.eps
        self.rstd = bounds.rstd(self.var, eps)
        self.xhat = equations.normalize(x, self.mean, self.var, 1.0, 0.0, eps, xp=self.xp)
        self.values: Results = {"output": equations.normalize(x, self.mean, self.var, self.weight, self.bias, eps, xp=self.xp)}
        if grad is not None:
            self.backward(eps)
        self.values |= self.statistics()

    def spread(self, given: Any, otherwise: float) -> Floats:
        """A parameter along its axis."""
        shape = [1] * self.x.ndim
        shape[self.along] = -1
        return np.full([1] * self.x.ndim, otherwise) if given is None else given.reshape(shape)

    def backward(self, eps: float) -> None:
        """dx through these statistics; the parameters' gradients are sums over all axes but their own."""
        dx, self.moment, self.total = equations.backward(self.grad * self.weight, self.x, self.mean, self.var, 1.0, eps, xp=self.xp)
        _, dweight, self.dbias = equations.backward_inference(self.grad, self.x, self.mean, self.var, 1.0, eps, xp=self.learned)
        self.values |= {"grad_input": dx, "grad_weight": dweight.ravel(), "grad_bias": self.dbias.ravel()}

    def statistics(self) -> Results:
        """Mean and variance where there is one for each channel, or their averages where each channel has several."""
        mean, var, doubled = self.by_channel(self.mean), self.by_channel(self.var), self.view.doubled
        if mean.size != self.view.case.input.shape[1]:
            return {}
        values: Results = {"mean": mean, "var": var}
        if doubled.running_mean is not None:
            values |= zip(RUNNING, equations.update_running_statistics(
                doubled.running_mean, doubled.running_var, mean, var, np.float64(self.xp.count(self.x)),
                self.view.case.momentum, xp=self.xp))
        return values

    def by_channel(self, values: Floats) -> Floats:
        """What was gathered, or its averages where each channel has several of them."""
        channels = self.view.case.input.shape[1]
        averaged = values.size != channels and values.shape[self.along] == channels
        return np.ravel(values.mean(axis=self.learned.axes) if averaged else values)

    def errors(self, name: str) -> tuple[Profile, Floats, Floats, Floats]:
        """The profile, and the errors of mean, variance and rstd."""
        known = bounds.profile(self.view.dtype(name), self.view.accumulate, self.xp.count(self.x))
        mean_error = equations.mean_bound(self.x, self.mean, known.u_stat, known.u_sum, known.steps, known.tiny, xp=self.xp)
        below, above = equations.var_bound(self.var, mean_error, known.u_stat, known.u_sum, known.steps, known.tiny, xp=self.xp)
        return known, mean_error, above, equations.rstd_bound(self.var, self.view.case.eps, below, above, known.u_stat, xp=self.xp)

    def bound(self, name: str) -> Floats:
        """How far a result may be from what this call gives: twice what a sound implementation of it needs."""
        known, mean_error, var_error, rstd_error = self.errors(name)
        deviation = np.abs(self.x - self.mean)
        of_output = (self.x, deviation), (self.mean, self.rstd), (mean_error, rstd_error, known.u, known.tiny)
        if name == "output":
            error = self.output_error(*of_output, self.values[name], self.weight, self.bias)
        elif name == "grad_input":
            error, *_ = equations.backward_bound(
                self.grad * self.weight, deviation, self.rstd, 1.0, self.moment, self.total, mean_error, rstd_error,
                known.u, known.u_sum, known.steps, known.tiny, xp=self.xp)
        elif name in GRADIENTS:
            steps = self.x.size // self.values[name].size
            _, of_sum, of_total = equations.backward_inference_bound(
                self.grad, np.abs(self.xhat), 1.0, 1.0, self.dbias, 0.0, 0.0, known.u, known.u_sum, steps, known.tiny,
                xp=self.learned)
            of_terms = self.learned.sum(np.abs(self.grad) * self.output_error(*of_output, self.xhat, 1.0, 0.0))
            return 2 * np.ravel(of_sum + of_terms if name == "grad_weight" else of_total)
        else:
            return 2 * self.statistics_error(name, known, mean_error, var_error)
        return self.view.stored(name, self.back(self.values[name]), 2 * self.back(error))

    def statistics_error(self, name: str, known: Profile, mean_error: Floats, var_error: Floats) -> Floats:
        """How far mean or variance may be off: an average errs as a sum does besides, and a running statistic in its update."""
        mean, var = self.values["mean"], self.values["var"]
        errors = [self.by_channel(error) + self.of_average(np.abs(value) + error, known)
                  for value, error in ((self.mean, mean_error), (self.var, var_error))]
        if name in RUNNING:
            doubled, n = self.view.doubled, np.float64(self.xp.count(self.x))
            errors = [*equations.running_bound(doubled.running_mean, doubled.running_var, mean, var, n, self.view.case.momentum,
                                               errors[0], errors[1], known.u, known.tiny, xp=bounds.Outward)]
        return self.view.stored(name, self.values[name], errors[0] if name.endswith("mean") else errors[1])

    def of_average(self, sizes: Floats, known: Profile) -> Any:
        """How far the averages of numbers of these sizes may be off, where there are any."""
        count = self.learned.count(sizes)
        if self.by_channel(sizes).size * count != sizes.size or count == 1:
            return 0.0
        mean, _ = equations.batch_statistics(sizes, xp=self.learned)
        return np.ravel(equations.mean_bound(sizes, mean, known.u_stat, known.u_sum, count - 1, known.tiny, xp=self.learned))

    @staticmethod
    def output_error(batches: tuple[Floats, Floats], statistics: tuple[Floats, Floats],
                     rest: tuple[Floats, Floats, float, float], y: Floats, weight: Any, bias: Any) -> Floats:
        """How far an output may be off; statistics broadcast against the batch."""
        return equations.output_bound(*batches, y, *statistics, weight, bias, *rest, xp=bounds.Outward)

    def variant(self) -> Variant:
        """What it gives, in the layout of the results."""
        return Variant({name: self.back(value) if name in bounds.BATCH else value for name, value in self.values.items()}, self.bound)


def _channels_first(values: Array) -> Array:
    return np.moveaxis(values, -1, 1)


def _over(view: Examined, *choices: tuple[int, ...]) -> Iterator[Variant]:
    """What statistics over these axes of the batch, channels last, give."""
    x, grad = np.moveaxis(view.doubled.input, 1, -1), view.doubled.grad_output
    grad = None if grad is None else np.moveaxis(grad, 1, -1)
    for axes in dict.fromkeys(choices):
        if axes:
            yield Gathered(view, axes, x, grad, -1, _channels_first).variant()


def per_sample(view: Examined) -> Iterator[Variant]:
    """Over the channels and the positions of each sample, over its positions, or over its channels."""
    last = view.case.input.ndim - 1
    positions = tuple(range(1, last))
    yield from _over(view, (*positions, last), positions, (last,))


def per_position(view: Examined) -> Iterator[Variant]:
    """Over the samples at each position, or over the channels, or both; with one axis of positions, both are `channels_last`."""
    last = view.case.input.ndim - 1
    if last > 1:
        yield from _over(view, (0,), (last,), (0, last) if last > 2 else ())


def channels_last(view: Examined) -> Iterator[Variant]:
    """The last axis, or every C-th value in memory, taken for the channel."""
    x, grad = view.doubled.input, view.doubled.grad_output
    if x.ndim < 3:
        return
    axes, channels = tuple(range(x.ndim - 1)), x.shape[1]
    yield Gathered(view, axes, x, grad, 1, np.asarray).variant()
    if x.shape[-1] == channels:
        yield Gathered(view, axes, x, grad, -1, np.asarray).variant()
    flat = (-1, channels)
    yield Gathered(view, (0,), x.reshape(flat), None if grad is None else grad.reshape(flat), -1,
                   lambda values: np.reshape(values, x.shape)).variant()
