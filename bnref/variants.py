"""What an implementation gives that makes one of the known mistakes.

A mistake is a small edit: of the arguments (`Case.but`), of the program (`mistakes`, generated from notebooks/03_backward and
06_accuracy), or of the axes that sums run over (`axes`).  Each function here takes the results under examination
(`comparison.View`) and yields variants: real code makes the same mistake in more than one way, and often only in a part of what
it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from . import bounds, equations, mistakes
from .arithmetic import evaluate
from .bounds import GRADIENTS, RUNNING, Case, Examined, Outward, Results
from .typing import Array, Floats, Program

Choice: TypeAlias = float | Callable[[float], float]


class Variant(NamedTuple):
    """What an implementation with a mistake gives: the values of some results, and how far from them rounding may lead."""

    values: Results
    bound: Callable[[str], Array]  # called with a name of a result


# Edits of the arguments.

def _edited(view: Examined, only: tuple[str, ...] = bounds.NAMES, **changes: Any) -> Variant:
    """What the call gives with other arguments."""
    doubled = view.doubled.but(**changes)
    true = doubled.results(gradients=bool(set(view.actual) & set(only) & set(GRADIENTS)))
    return Variant({name: value for name, value in true.items() if name in only},
                   lambda name: view.bound(name, doubled=doubled, true=true))


def _copied(view: Examined, **values: Array) -> Variant:
    """Results that are numbers of the call, or zeros: only copied."""
    def bound(name: str) -> Floats:
        dtype = view.actual[name].dtype
        return 2 * bounds.unit(dtype) * np.abs(values[name]) + bounds.tiny(dtype)
    return Variant(values, bound)


def momenta(*choices: Choice) -> Callable[[Examined], Iterator[Variant]]:
    """Running statistics that move by another momentum: a number, or a function of the one given."""
    def variants(view: Examined) -> Iterator[Variant]:
        if view.case.training and view.case.running_mean is not None:
            for choice in choices:
                value = choice(view.case.momentum) if callable(choice) else choice
                if value != view.case.momentum:
                    yield _edited(view, only=RUNNING, momentum=value)
    return variants


def epsilons(*choices: Choice) -> Callable[[Examined], Iterator[Variant]]:
    """Another eps: a number, or a function of the one given."""
    def variants(view: Examined) -> Iterator[Variant]:
        for choice in choices:
            value = choice(view.case.eps) if callable(choice) else choice
            if value != view.case.eps:
                yield _edited(view, eps=value)
    return variants


def weight_missing(view: Examined) -> Iterator[Variant]:
    """No weight; what is not used has no gradient."""
    if view.case.weight is not None:
        yield _edited(view, weight=None)
        yield _copied(view, grad_weight=np.zeros(view.case.input.shape[1]))


def bias_missing(view: Examined) -> Iterator[Variant]:
    """No bias; what is not used has no gradient."""
    if view.case.bias is not None:
        yield _edited(view, bias=None)
        yield _copied(view, grad_bias=np.zeros(view.case.input.shape[1]))


def swapped(view: Examined) -> Iterator[Variant]:
    """Weight and bias exchanged, and their gradients with them."""
    if view.case.weight is None and view.case.bias is None:
        return
    channels = view.case.input.shape[1]
    edited = _edited(view, weight=_or(view.doubled.bias, np.zeros(channels)), bias=_or(view.doubled.weight, np.ones(channels)))
    yield edited
    if set(view.actual) & set(GRADIENTS):
        other = {"grad_weight": "grad_bias", "grad_bias": "grad_weight"}
        yield Variant({name: view.true[of] for name, of in other.items()}, lambda name: 2 * view.bound(name, of=other[name]))


def running_for_batch(view: Examined) -> Iterator[Variant]:
    """Inference in training, which reports and keeps the running statistics; or only their place in the formulas of training."""
    case, doubled = view.case, view.doubled
    if case.training and case.running_mean is not None:
        yield _edited(view, training=False, only=("output", *GRADIENTS))
        yield _copied(view, mean=doubled.running_mean, var=doubled.running_var,
                      running_mean=doubled.running_mean, running_var=doubled.running_var)
        yield from _backward_at(view, equations.backward, doubled.running_mean, doubled.running_var)


def batch_for_running(view: Examined) -> Iterator[Variant]:
    """Training in evaluation; or only the batch's statistics in the formulas of inference."""
    if not view.case.training:
        yield _edited(view, training=True)
        mean, var = _statistics(view)
        yield from _backward_at(view, equations.backward_inference, mean, var)


def not_updated(view: Examined) -> Iterator[Variant]:
    """Running statistics as they were."""
    if view.case.training and view.case.running_mean is not None:
        yield _copied(view, running_mean=view.doubled.running_mean, running_var=view.doubled.running_var)


def updated_twice(view: Examined) -> Iterator[Variant]:
    """Running statistics that one batch moved twice: the second move carries 1 - momentum of the error of the first."""
    if view.case.training and view.case.running_mean is not None:
        twice = _edited(view, only=RUNNING, running_mean=view.true["running_mean"], running_var=view.true["running_var"])
        yield Variant(twice.values, lambda name: twice.bound(name) + abs(equations.complement(view.case.momentum, xp=None)) * view.bound(name))


def updated_in_evaluation(view: Examined) -> Iterator[Variant]:
    """Running statistics that moved though they were only used."""
    if not view.case.training:
        yield _edited(view, only=RUNNING, training=True)


# Edits of the program.

def _run(program: Program, *operands: Any, results: tuple[str, ...]) -> Results:
    """A program's results in float64, correctly rounded."""
    values = evaluate(program, operands, (np.float64,) * len(results))
    return dict(zip(results, values))


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _statistics(view: Examined) -> tuple[Floats, Floats]:
    """Mean and variance of the batch."""
    if view.case.training:
        return view.true["mean"], view.true["var"]
    mean, var = _run(equations.batch_statistics, view.doubled.input, results=("mean", "var")).values()
    return mean, var


def _used(view: Examined) -> tuple[Floats, Floats]:
    """The statistics that the call normalises by."""
    return _statistics(view) if view.case.training else (view.doubled.running_mean, view.doubled.running_var)


def _normalized(view: Examined, normalize: Program) -> Results:
    """The output of a wrong `normalize`."""
    doubled = view.doubled
    rest = _or(doubled.weight, 1), _or(doubled.bias, 0), doubled.eps

    def of_batch(x: Any, weight: Any, bias: Any, eps: Any, *, xp: Any) -> tuple[Any]:
        return (normalize(x, *equations.batch_statistics(x, xp=xp), weight, bias, eps, xp=xp),)

    def of_given(x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: Any, *, xp: Any) -> tuple[Any]:
        return (normalize(x, mean, var, weight, bias, eps, xp=xp),)

    if view.case.training:
        return _run(of_batch, doubled.input, *rest, results=("output",))
    return _run(of_given, doubled.input, doubled.running_mean, doubled.running_var, *rest, results=("output",))


def _backward(view: Examined, formula: Program) -> Results:
    """The gradients of a wrong `backward`, in training."""
    doubled = view.doubled

    def program(grad_output: Any, x: Any, weight: Any, eps: Any, *, xp: Any) -> Any:
        return formula(grad_output, x, *equations.batch_statistics(x, xp=xp), weight, eps, xp=xp)

    return _run(program, doubled.grad_output, doubled.input, _or(doubled.weight, 1), doubled.eps, results=GRADIENTS)


def _backward_at(view: Examined, formula: Program, mean: Floats, var: Floats, eps: Any = None, weight: Any = None) -> Iterator[Variant]:
    """The gradients by a formula at other statistics."""
    doubled = view.doubled
    if doubled.grad_output is None:
        return
    case = doubled.but(training=True, eps=_or(eps, doubled.eps), weight=_or(weight, doubled.weight))
    values = _run(formula, case.grad_output, case.input, mean, var, _or(case.weight, 1), case.eps, results=GRADIENTS)
    true = {"mean": mean, "var": var} | values

    def bound(name: str) -> Floats:
        errors = bounds.statistics(case, true, view.profile(name)._replace(saved=None))
        return 2 * view.bound(name, doubled=case, true=true, errors=errors)

    yield Variant(values, bound)


def _as_wide_as(view: Examined, alike: Case, values: Results) -> Variant:
    """Values with the bounds of a right call, which gives the same outputs."""
    true = view.true | values
    return Variant(values, lambda name: 2 * view.bound(name, doubled=alike, true=true))


def unbiased(view: Examined) -> Iterator[Variant]:
    """Differentiated as it is, or by the right formula at the unbiased variance."""
    if not view.case.training or view.case.n < 2:
        return
    mean, var = _statistics(view)
    unbiased_var = bounds.unbiased(var, view.case.n)
    weight = _or(view.doubled.weight, np.ones(len(var)))
    eps, weight = mistakes.alike_unbiased(np.float64(view.case.n), weight, view.case.eps, xp=Outward)
    alike = view.doubled.but(eps=eps, weight=weight)
    yield _as_wide_as(view, alike, _normalized(view, mistakes.normalize_unbiased) | {"var": unbiased_var})
    if view.case.grad_output is not None:
        yield _as_wide_as(view, alike, _backward(view, mistakes.backward_unbiased))
        yield from _backward_at(view, equations.backward, mean, unbiased_var)


def eps_outside(view: Examined) -> Iterator[Variant]:
    """Differentiated as it is, or by the right formula at the wrong rstd."""
    if view.case.eps <= 0:
        return
    mean, var = _used(view)
    eps = mistakes.alike_eps_outside(var, view.case.eps, xp=Outward)
    alike = view.doubled.but(eps=eps)
    yield _as_wide_as(view, alike, _normalized(view, mistakes.normalize_eps_outside))
    if view.case.grad_output is None:
        return
    if view.case.training:
        yield _as_wide_as(view, alike, _backward(view, mistakes.backward_eps_outside))
    formula = equations.backward if view.case.training else equations.backward_inference
    yield from _backward_at(view, formula, mean, var, eps)


def biased_update(view: Examined) -> Iterator[Variant]:
    """A running variance that took the biased one."""
    case, doubled = view.case, view.doubled
    if case.training and case.running_mean is not None:
        def program(x: Any, running_mean: Any, running_var: Any, momentum: Any, *, xp: Any) -> Any:
            return mistakes.update_biased(running_mean, running_var, *equations.batch_statistics(x, xp=xp), momentum, xp=xp)

        values = _run(program, doubled.input, doubled.running_mean, doubled.running_var, case.momentum, results=RUNNING)
        yield Variant(values, view.bound)


def gradient(*formulas: Program, only: tuple[str, ...] = ("grad_input",)) -> Callable[[Examined], Iterator[Variant]]:
    """dx, and what else is named, by wrong formulas, in training."""
    def variants(view: Examined) -> Iterator[Variant]:
        if view.case.training and set(view.actual) & set(only):
            for formula in formulas:
                found = _backward(view, formula)
                yield Variant({name: found[name] for name in only}, lambda name: 2 * view.bound(name))
    return variants


def inference_gradient(view: Examined) -> Iterator[Variant]:
    """The gradients of inference, at the statistics of the batch or at the running ones."""
    yield from gradient(equations.backward_inference)(view)
    if view.case.training and view.case.grad_output is not None and view.case.running_mean is not None:
        yield _edited(view, only=GRADIENTS, training=False)


def gradient_without_weight(view: Examined) -> Iterator[Variant]:
    """A dx that lacks the weight, in either mode."""
    if view.case.training:
        yield from gradient(mistakes.backward_weight_missing)(view)
    elif view.case.weight is not None:
        yield _edited(view, only=GRADIENTS, weight=None)


def sums_not_divided(view: Examined) -> Iterator[Variant]:
    """A dx of which one sum, or both, is not divided by n."""
    formulas = (mistakes.backward_sums_not_divided, mistakes.backward_dbias_not_divided, mistakes.backward_dweight_not_divided)
    def widened(variant: Variant) -> Variant:
        return Variant(variant.values, lambda name: view.case.n * variant.bound(name))
    yield from map(widened, gradient(*formulas)(view))


def var_rebuilt(view: Examined) -> Iterator[Variant]:
    """A wrong variance, from rstd, through all of the gradient, or only in the factor before it."""
    if not view.case.training or view.case.grad_output is None:
        return
    mean, var = _statistics(view)
    yield from gradient(mistakes.backward_var_rebuilt, only=GRADIENTS)(view)
    weight = _or(view.doubled.weight, np.ones(len(var)))
    for wrong in (var, *mistakes.rebuilt_variances(var, view.case.eps, xp=Outward)):
        for eps in (view.case.eps, 0.0)[int(wrong is var):]:
            yield from _backward_at(view, equations.backward, mean, wrong, eps=eps)
            share = bounds.rstd(wrong, eps) / bounds.rstd(var, view.case.eps)
            yield _edited(view, only=("grad_input",), weight=weight * share)
