"""What an implementation gives that makes one of the known mistakes.

A mistake is a small edit: of the arguments (`Case.but`), of the program (`mistakes`, generated from notebooks/03_backward and
06_accuracy), or of the axes that sums run over.  Each function here takes the results under examination (`testing._View`) and
yields variants: real code makes the same mistake in more than one way.
"""

from typing import NamedTuple

import numpy as np

from . import bounds, equations, mistakes
from .arithmetic import evaluate
from .bounds import GRADIENTS, RUNNING


class Variant(NamedTuple):
    """What an implementation with a mistake gives: the value of a result, and how far from it rounding may lead."""

    values: dict
    bound: object  # called with a name of a result


# Edits of the arguments.

def _edited(view, only=bounds.NAMES, **changes):
    """What the call gives with other arguments."""
    doubled = view.doubled.but(**changes)
    true = doubled.results(gradients=bool(set(view.actual) & set(only) & set(GRADIENTS)))
    return Variant({name: value for name, value in true.items() if name in only},
                   lambda name: view.bound(name, doubled=doubled, true=true))


def _momenta(*momenta):
    def variants(view):
        if view.case.training and view.case.running_mean is not None:
            for momentum in momenta:
                value = momentum(view.case.momentum) if callable(momentum) else momentum
                if value != view.case.momentum:
                    yield _edited(view, only=RUNNING, momentum=value)
    return variants


def _epsilons(*epsilons):
    def variants(view):
        for eps in epsilons:
            value = eps(view.case.eps) if callable(eps) else eps
            if value != view.case.eps:
                yield _edited(view, eps=value)
    return variants


def _weight_missing(view):
    if view.case.weight is not None:
        yield _edited(view, weight=None)


def _bias_missing(view):
    if view.case.bias is not None:
        yield _edited(view, bias=None)


def _swapped(view):
    if view.case.weight is not None or view.case.bias is not None:
        channels = view.case.input.shape[1]
        weight = np.ones(channels) if view.doubled.weight is None else view.doubled.weight
        bias = np.zeros(channels) if view.doubled.bias is None else view.doubled.bias
        yield _edited(view, weight=bias, bias=weight)


def _running_for_batch(view):
    if view.case.training and view.case.running_mean is not None:
        doubled, variant = view.doubled, _edited(view, training=False, only=("output", *GRADIENTS))
        reported = {"mean": doubled.running_mean, "var": doubled.running_var}
        kept = {"running_mean": doubled.running_mean, "running_var": doubled.running_var}
        for copies in ({}, reported, kept, reported | kept):
            yield Variant(variant.values | copies, lambda name, copies=copies:
                          _copied(view, copies[name], name) if name in copies else variant.bound(name))


def _batch_for_running(view):
    if not view.case.training:
        yield _edited(view, training=True)


def _not_updated(view):
    if view.case.training and view.case.running_mean is not None:
        values = {"running_mean": view.doubled.running_mean, "running_var": view.doubled.running_var}
        yield Variant(values, lambda name: _copied(view, values[name], name))


def _updated_twice(view):
    if view.case.training and view.case.running_mean is not None:
        twice = _edited(view, only=RUNNING, running_mean=view.true["running_mean"],
                        running_var=view.true["running_var"])
        yield Variant(twice.values, lambda name: twice.bound(name) + 2 * view.bound(name))


def _updated_in_evaluation(view):
    if not view.case.training:
        yield _edited(view, only=RUNNING, training=True)


def _copied(view, value, name):
    """The bound of a number that was only copied."""
    dtype = view.actual[name].dtype
    return 2 * bounds.unit(dtype) * np.abs(value) + bounds.tiny(dtype)


# Edits of the program.

def _run(program, *operands, results):
    """A program's results in float64, correctly rounded."""
    values = evaluate(program, operands, (np.float64,) * len(results))
    return dict(zip(results, values))


def _forward(view, normalize):
    """The output of a wrong `normalize`."""
    doubled = view.doubled

    def program(x, weight, bias, eps, *, xp):
        return (normalize(x, *equations.batch_statistics(x, xp=xp), weight, bias, eps, xp=xp),)

    def inference(x, mean, var, weight, bias, eps, *, xp):
        return (normalize(x, mean, var, weight, bias, eps, xp=xp),)

    rest = _or(doubled.weight, 1), _or(doubled.bias, 0), doubled.eps
    if view.case.training:
        return _run(program, doubled.input, *rest, results=("output",))
    return _run(inference, doubled.input, doubled.running_mean, doubled.running_var, *rest, results=("output",))


def _backward(view, formula, **given):
    """The gradients of a wrong `backward`; `given` replaces mean or var."""
    doubled = view.doubled
    if doubled.grad_output is None:
        return {}
    weight, eps = _or(doubled.weight, 1), given.pop("eps", doubled.eps)

    def program(grad_output, x, weight, eps, *, xp):
        return formula(grad_output, x, *equations.batch_statistics(x, xp=xp), weight, eps, xp=xp)

    if not given and view.case.training:
        return _run(program, doubled.grad_output, doubled.input, weight, eps, results=GRADIENTS)
    known = {"mean": view.true["mean"], "var": view.true["var"]} if view.case.training else {
        "mean": doubled.running_mean, "var": doubled.running_var}
    known |= given
    return _run(formula, doubled.grad_output, doubled.input, known["mean"], known["var"], weight, eps, results=GRADIENTS)


def _or(value, otherwise):
    return otherwise if value is None else value


def _unbiased(view):
    n = view.case.n
    if not view.case.training or n < 2:
        return
    _, factor = equations.update_running_statistics(0, 0, 0, 1, np.float64(n), 1, xp=None)  # n / (n - 1), of variance 1
    weight = _or(view.doubled.weight, np.ones(view.case.input.shape[1]))
    alike = view.doubled.but(eps=view.case.eps / factor, weight=weight / np.sqrt(factor))
    output, slopes = _forward(view, mistakes.normalize_unbiased), _backward(view, mistakes.backward_unbiased)
    reported = {"var": view.true["var"] * factor}
    for values in (output, output | slopes, output | reported, output | slopes | reported):
        true = view.true | values
        yield Variant(values, lambda name, true=true: 2 * view.bound(name, doubled=alike, true=true))


def _outside(view):
    eps = view.case.eps
    if eps <= 0:
        return
    var = view.true["var"] if view.case.training else view.doubled.running_var
    output = _forward(view, mistakes.normalize_eps_outside)
    if view.case.training:
        slopes = _backward(view, mistakes.backward_eps_outside)
    else:
        slopes = _backward(view, equations.backward_inference, var=(np.sqrt(var) + eps) ** 2, eps=0.0)
    alike = view.doubled.but(eps=2 * np.sqrt(var) * eps + eps**2)
    for values in (output, output | slopes):
        true = view.true | values
        yield Variant(values, lambda name, true=true: 2 * view.bound(name, doubled=alike, true=true))


def _biased_update(view):
    case, doubled = view.case, view.doubled
    if case.training and case.running_mean is not None:
        def program(x, running_mean, running_var, momentum, *, xp):
            return mistakes.update_biased(running_mean, running_var, *equations.batch_statistics(x, xp=xp), momentum, xp=xp)

        values = _run(program, doubled.input, doubled.running_mean, doubled.running_var, case.momentum,
                      results=RUNNING)
        yield Variant(values, view.bound)


def _gradient(formula, *alternatives):
    def variants(view):
        if view.case.training and view.case.grad_output is not None:
            for given in ({}, *alternatives):
                chosen = {name: value(view) for name, value in given.items()}
                yield Variant(_backward(view, formula, **chosen), lambda name: 2 * view.bound(name))
    return variants


def _inference_gradient(view):
    yield from _gradient(equations.backward_inference)(view)
    if view.case.training and view.case.grad_output is not None and view.case.running_mean is not None:
        yield _edited(view, only=GRADIENTS, training=False)


def _gradient_without_weight(view):
    yield from _gradient(mistakes.backward_weight_missing)(view)
    if not view.case.training and view.case.weight is not None:
        yield _edited(view, only=GRADIENTS, weight=None)


def _not_divided(view):
    for variant in _gradient(mistakes.backward_sums_not_divided)(view):
        yield Variant(variant.values, lambda name, variant=variant: view.case.n * variant.bound(name))


def _rstd(view):
    return bounds.rstd(view.true["var"], view.case.eps)


def _rebuilt(view):
    for variant in _gradient(mistakes.backward_var_rebuilt)(view):
        yield variant
    for variant in _gradient(equations.backward, {"var": _rstd}, {"var": _rstd, "eps": lambda view: 0.0})(view):
        scale = np.maximum(1, np.abs(_ratio(variant, view)))
        yield Variant(variant.values, lambda name, variant=variant, scale=scale: scale * variant.bound(name))


def _ratio(variant, view):
    """How much larger the largest wrong gradient is than the largest true one."""
    peaks = [np.nanmax(np.abs(values["grad_input"])) for values in (variant.values, view.true)]
    return peaks[0] / peaks[1] if peaks[1] > 0 else 1


# Edits of the axes.

class _Over(bounds.Outward):
    """Sums over some axes only, which they keep: statistics that broadcast against the batch."""

    def __init__(self, axes):
        self.axes = axes

    def sum(self, values):
        return values.sum(axis=self.axes, keepdims=True)

    def count(self, values):
        return int(np.prod([values.shape[axis] for axis in self.axes]))


def _over(view, axes, x=None, grad=None, back=lambda values: np.moveaxis(values, -1, 1), by_last=True):
    """What statistics over these axes of the batch, channels last, give."""
    case, doubled = view.case, view.doubled
    xp = _Over(axes)
    x = np.moveaxis(doubled.input, 1, -1) if x is None else x
    if grad is None and case.grad_output is not None:
        grad = np.moveaxis(doubled.grad_output, 1, -1)
    weight, bias = _or(doubled.weight, np.ones(1)), _or(doubled.bias, np.zeros(1))
    if not by_last:
        weight, bias = (np.reshape(a, (-1,) + (1,) * (x.ndim - 2)) for a in (weight, bias))
    mean, var = equations.batch_statistics(x, xp=xp)
    values = {"output": equations.normalize(x, mean, var, weight, bias, case.eps, xp=xp)}
    if grad is not None:
        dx, dweight, dbias = equations.backward(grad * weight, x, mean, var, 1.0, case.eps, xp=xp)
        values["grad_input"] = dx
    if mean.size == case.input.shape[1]:
        values |= {"mean": mean.ravel(), "var": var.ravel()}
        if case.running_mean is not None:
            moved = equations.update_running_statistics(doubled.running_mean, doubled.running_var, mean.ravel(), var.ravel(),
                                                        np.float64(xp.count(x)), case.momentum, xp=xp)
            values |= zip(RUNNING, moved)

    def bound(name):
        known = bounds.profile(view.dtype(name), view.accumulate, xp.count(x))
        mean_error = equations.mean_bound(x, mean, known.u_stat, known.u_sum, known.steps, known.tiny, xp=xp)
        errors = equations.var_bound(var, mean_error, known.u_stat, known.u_sum, known.steps, known.tiny, xp=xp)
        rstd = bounds.rstd(var, case.eps)
        rstd_error = equations.rstd_bound(var, case.eps, *errors, known.u_stat, xp=xp)
        deviation = np.abs(x - mean)
        if name == "output":
            error = equations.output_bound(x, deviation, values[name], mean, rstd, weight, bias, mean_error, rstd_error,
                                           known.u, known.tiny, xp=xp)
        elif name == "grad_input":
            error, *_ = equations.backward_bound(grad * weight, deviation, rstd, 1.0, dweight, dbias, mean_error, rstd_error,
                                                 known.u, known.u_sum, known.steps, known.tiny, xp=xp)
        else:
            return 2 * np.broadcast_to({"mean": mean_error, "var": errors[1]}.get(name, mean_error + errors[1]).ravel(),
                                       values[name].shape)
        return view.stored(name, back(values[name]), 2 * back(error))

    return Variant({name: back(value) if name in bounds.BATCH else value for name, value in values.items()}, bound)


def _per_sample(view):
    positions = tuple(range(1, view.case.input.ndim))
    yield _over(view, positions)
    if len(positions) > 1:
        yield _over(view, positions[:-1])


def _per_position(view):
    if view.case.input.ndim > 2:
        yield _over(view, (0,))


def _channels_last(view):
    case, doubled = view.case, view.doubled
    if case.input.ndim < 3:
        return
    axes, grad = tuple(range(case.input.ndim - 1)), doubled.grad_output
    as_it_is = dict(x=doubled.input, grad=grad, back=lambda values: values)
    yield _over(view, axes, by_last=False, **as_it_is)
    if case.input.shape[-1] == case.input.shape[1]:
        yield _over(view, axes, **as_it_is)
    flat = (-1, case.input.shape[1])
    yield _over(view, (0,), x=doubled.input.reshape(flat), grad=None if grad is None else grad.reshape(flat),
                back=lambda values: np.reshape(values, case.input.shape))


VARIANTS = {
    "momentum inverted": _momenta(lambda given: 1 - given),
    "momentum of the other framework's default": _momenta(0.1, 0.9, 0.01, 0.99),
    "unbiased variance used to normalise": _unbiased,
    "biased variance used to update": _biased_update,
    "running in place of batch statistics": _running_for_batch,
    "batch in place of running statistics": _batch_for_running,
    "statistics not updated": _not_updated,
    "statistics updated twice": _updated_twice,
    "statistics updated in evaluation": _updated_in_evaluation,
    "eps outside the root": _outside,
    "eps 1e-3 of another library": _epsilons(1e-3),
    "eps 2e-5 of another library": _epsilons(2e-5),
    "eps float32(1e-5) of another library": _epsilons(lambda given: float(np.float32(given)), float(np.float32(1e-5))),
    "weight missing": _weight_missing,
    "bias missing": _bias_missing,
    "weight and bias swapped": _swapped,
    "statistics over the wrong axes: per sample": _per_sample,
    "statistics over the wrong axes: per position": _per_position,
    "statistics over the wrong axes: channels last": _channels_last,
    "gradient with mean detached": _gradient(mistakes.backward_mean_detached),
    "gradient with variance detached": _gradient(mistakes.backward_var_detached),
    "inference gradient in training": _inference_gradient,
    "weight missing in the gradient": _gradient_without_weight,
    "gradient sums not divided by n": _not_divided,
    "var rebuilt from rstd in the gradient": _rebuilt,
}
"""{mistake: the function that yields its variants}; the two without a definite result are in `unsettled`."""
