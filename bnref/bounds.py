"""How far a sound implementation may be from the truth: the generated bounds, composed for one call.

Every formula comes from `equations` (notebooks/06_accuracy, where each is derived); this module supplies what the
formulas ask for: the true values, the profile of the implementation, and float64 arithmetic with an outward slack.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from math import ceil, log2
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from . import equations
from .arithmetic import arrays
from .arithmetic.rounding import format_of
from .functional import batch_norm, batch_norm_backward
from .typing import Array, Bools, Dtype, Floats

Results: TypeAlias = dict[str, Array]

FORWARD = ("output", "mean", "var", "running_mean", "running_var")
STATISTICS = ("mean", "var")
RUNNING = ("running_mean", "running_var")
GRADIENTS = ("grad_input", "grad_weight", "grad_bias")
NAMES = FORWARD + GRADIENTS
BATCH = ("output", "grad_input")
ACCUMULATE = ("float64", "pairwise", "sequential")
"""How sums are taken, strictest first.  "sequential" is any order."""

BLOCK = 18
"""Additions that pairwise summation may spend beyond log2(n): NumPy's sums blocks of 128 with eight accumulators."""

SLACK = 1 + 2.0**-20
"""Covers the rounding of the bounds themselves, which are computed in float64 from positive terms."""

HALF_ULP = 2.0**-53


@dataclass(frozen=True)
class Case:
    """The arguments of one call of batch normalisation, checked; Any is an array, or None where it was not given."""

    input: Array
    running_mean: Any
    running_var: Any
    weight: Any
    bias: Any
    grad_output: Any
    training: bool
    momentum: float
    eps: Any  # a float, or an array (C,) in a call that is made up

    @property
    def n(self) -> int:
        """The number of values of each channel."""
        channels = self.input.shape[1]
        return self.input.size // channels if channels else 0

    def but(self, **changes: Any) -> Case:
        """The same call with other arguments."""
        return replace(self, **changes)

    def saved(self) -> np.dtype[Any] | None:
        """The half precision of the layer's own arrays, in which it may keep mean and rstd; or None."""
        kept = next(array for array in (self.weight, self.running_mean, self.input) if array is not None)
        return kept.dtype if unit(kept.dtype) > unit(np.float32) else None

    def doubled(self) -> Case:
        """The same call with float64 arrays: its results are the true ones to half an ulp of float64."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return self.but(**{name: value.astype(np.float64) for name, value in given.items()
                           if isinstance(value, np.ndarray)})

    def results(self, gradients: bool = True) -> Results:
        """{name: array} of all that the call gives, correctly rounded."""
        found = batch_norm(self.input, self.running_mean, self.running_var, self.weight, self.bias,
                           self.training, self.momentum, self.eps)._asdict()
        if gradients and self.grad_output is not None:
            slopes = batch_norm_backward(self.grad_output, self.input, self.running_mean, self.running_var, self.weight,
                                         self.training, self.eps)
            found |= {f"grad_{name}": value for name, value in slopes._asdict().items()}
        return {name: value for name, value in found.items() if value is not None}


class Profile(NamedTuple):
    """How an implementation rounds: the unit roundoffs and the length of sums that the bounds ask for."""

    u: float
    u_stat: float
    u_sum: float
    steps: int
    tiny: float
    largest: float
    saved: np.dtype[Any] | None = None  # the half precision in which mean and rstd are kept


def unit(dtype: Dtype) -> float:
    """The unit roundoff of a format: 2**-24 for float32."""
    return 2.0**-format_of(dtype).precision


def tiny(dtype: Dtype) -> float:
    """What an underflow may lose: the smallest normal number, for it may be flushed; of float16 the smallest number."""
    format_ = format_of(dtype)
    exponent = format_.lowest + (format_.precision - 1 if np.dtype(dtype).name != "float16" else 0)
    return 2.0**exponent


def profile(dtype: Dtype, accumulate: str, n: int, saved: np.dtype[Any] | None = None) -> Profile:
    """The profile of an implementation that computes in `dtype`.

    Parameters
    ----------
    dtype : float16, bfloat16, float32 or float64
        Elements are computed in it.  Sums and statistics are kept in float32 at least: half-precision accumulation is a
        mistake, and none that this allows for.
    accumulate : "float64", "pairwise" or "sequential"
    n : int, the number of values of each channel
    saved : float16, bfloat16 or None: in what mean and rstd are kept, if in a half precision
    """
    u = unit(dtype)
    u_stat = min(u, unit(np.float32))
    u_sum = unit(np.float64) if accumulate == "float64" else u_stat
    steps = max(n - 1, 0)
    if accumulate == "pairwise" and n > 1:
        steps = min(steps, ceil(log2(n)) + BLOCK)
    if n * u_sum > 1:
        steps += 1  # n itself is rounded
    largest = 2.0 ** (max(format_of(dtype).ceiling, format_of(np.float32).ceiling) - 1)
    return Profile(u, u_stat, u_sum, steps, tiny(dtype), largest, saved)


class Examined(Protocol):
    """Results under examination, as those see them who look for a mistake: `comparison.View` is one."""

    case: Case
    doubled: Case
    actual: Results
    true: Results
    accumulate: str

    def dtype(self, name: str) -> np.dtype[Any]:
        """What the implementation computes this result in."""

    def profile(self, name: str, accumulate: str | None = None) -> Profile:
        """How the implementation rounds in this result."""

    def bound(self, name: str, accumulate: str | None = None, doubled: Case | None = None, true: Results | None = None,
              errors: Statistics | None = None, of: str | None = None) -> Floats:
        """How far a result may be from what the call, or another one, gives, or from another result of it."""

    def stored(self, name: str, value: Floats, error: Floats) -> Floats:
        """The error after storing in the array's format, where that is narrower than what was computed in."""

    def within(self, name: str, true: Floats, bound: Floats) -> Bools:
        """Where a result is as good as it must be."""


class Elementwise:
    """The number systems of float64 arrays, but for what they sum over."""

    sqrt, abs, maximum = staticmethod(np.sqrt), staticmethod(np.abs), staticmethod(np.maximum)


class Outward(Elementwise):
    """The number system of the bounds: float64 arrays, channels last."""

    sum, count = staticmethod(arrays.sum), staticmethod(arrays.count)


class Statistics(NamedTuple):
    """How far an implementation's mean, and its variance below and above, may be from the true ones."""

    mean_error: Floats
    var_below: Floats
    var_above: Floats


def statistics(case: Case, true: Results, known: Profile) -> Statistics:
    """The errors of the statistics that the call normalises by; in inference they are given, and have none.

    Parameters
    ----------
    case : Case, of float64 arrays
    true : its results
    known : Profile
    """
    if not case.training:
        given = known.u_stat * np.abs(case.running_mean)  # a statistic of a wider type may be stored in the narrower
        loss = known.u_stat * np.abs(case.running_var)
        return Statistics(given, loss, loss)
    mean_error = equations.mean_bound(_last(case.input), true["mean"], known.u_stat, known.u_sum, known.steps, known.tiny,
                                      xp=Outward)
    if known.saved is not None:
        mean_error = stored(true["mean"], mean_error, known.saved)
    return Statistics(mean_error, *equations.var_bound(true["var"], mean_error, known.u_stat, known.u_sum, known.steps,
                                                       known.tiny, xp=Outward))


def allowances(case: Case, true: Results, known: Profile, names: Collection[str], errors: Statistics | None = None) -> Results:
    """{name: array}: how far each result may be from `true`, before it is stored in a narrower type.

    Parameters
    ----------
    case : Case, of float64 arrays; its eps may be an array (C,)
    true : {name: array}, its results in float64
    known : Profile
    names : which results
    errors : Statistics, those of `statistics` if not given

    Returns
    -------
    {name: array}; 0 where a NaN or an infinity is due, infinity where nothing can be promised.
    """
    with np.errstate(all="ignore"):
        return _Allowances(case, true, known, errors).of(names)


def rstd(var: Floats, eps: Any) -> Floats:
    """The reciprocal standard deviation: what becomes of 1 where the mean is 0 and weight and bias change nothing."""
    return equations.normalize(np.ones(1), 0, var, 1, 0, eps, xp=arrays)


def unbiased(var: Floats, n: int) -> Floats:
    """The unbiased variance: where a running variance is that has moved there altogether."""
    none = np.zeros(1)
    _, moved = equations.update_running_statistics(none, none, none, var, np.float64(n), 1, xp=arrays)
    return moved


class _Allowances:
    def __init__(self, case: Case, true: Results, known: Profile, errors: Statistics | None) -> None:
        self.case, self.true, self.known = case, true, known
        self.x = _last(case.input)
        self.mean: Array
        self.var: Array
        self.mean, self.var = ((true["mean"], true["var"]) if case.training else (case.running_mean, case.running_var))
        self.weight = np.ones(1) if case.weight is None else case.weight
        self.bias = np.zeros(1) if case.bias is None else case.bias
        self.errors = statistics(case, true, known) if errors is None else errors
        self.rstd = rstd(self.var, case.eps)
        self.rstd_error = equations.rstd_bound(self.var, case.eps, self.errors.var_below, self.errors.var_above,
                                               known.u_stat, xp=Outward)
        distance = np.abs(self.x - self.mean)
        self.deviation = distance + 2 * HALF_ULP * (distance + np.abs(self.mean))

    def of(self, names: Collection[str]) -> Results:
        found: Results = {}
        if "output" in names:
            found["output"] = self.output()
        if set(STATISTICS) & set(names):
            found["mean"], found["var"] = self.errors.mean_error, np.maximum(self.errors.var_below, self.errors.var_above)
        if set(RUNNING) & set(names):
            found["running_mean"], found["running_var"] = self.running()
        if set(GRADIENTS) & set(names):
            found |= zip(GRADIENTS, self.gradients())
        return {name: self.settled(name, found[name]) for name in names}

    def output(self) -> Floats:
        known = self.known
        return equations.output_bound(
            self.x, self.deviation, _last(self.true["output"]), self.mean, self.rstd, self.weight, self.bias,
            self.errors.mean_error, self.rstd_error, known.u, known.tiny, xp=Outward)

    def running(self) -> tuple[Floats, Floats]:
        case, known, n = self.case, self.known, self.case.n
        if not case.training or n == 0:
            return np.zeros_like(case.running_mean), np.zeros_like(case.running_var)
        above = np.maximum(self.errors.var_below, self.errors.var_above)
        mean_error, var_error = equations.running_bound(
            case.running_mean, case.running_var, self.mean, self.var, np.float64(n), case.momentum, self.errors.mean_error,
            above, known.u, known.tiny, xp=Outward)
        return mean_error, np.zeros_like(mean_error) if n == 1 else var_error

    def gradients(self) -> tuple[Floats, Floats, Floats]:
        case, known, true = self.case, self.known, self.true
        rest = (*self.saved(), known.u, known.u_sum, known.steps, known.tiny)
        grad = _last(case.grad_output)
        if case.training:
            return equations.backward_bound(grad, self.deviation, self.rstd, self.weight, true["grad_weight"],
                                            true["grad_bias"], *rest, xp=Outward)
        return equations.backward_inference_bound(grad, self.deviation, self.rstd, self.weight, true["grad_bias"], *rest,
                                                  xp=Outward)

    def saved(self) -> tuple[Floats, Floats]:
        """The errors of mean and rstd in the backward pass."""
        saved = self.known.saved
        if saved is None or not self.case.training:
            return self.errors.mean_error, self.rstd_error
        rstd_error = equations.saved_bound(self.rstd, self.rstd_error, unit(saved), tiny(saved), xp=Outward)
        overflows = self.rstd * (1 + rstd_error) >= 2.0 ** format_of(saved).ceiling
        return self.errors.mean_error, np.where(overflows, np.inf, rstd_error)

    def settled(self, name: str, error: Floats) -> Floats:
        """In the layout of the result, with slack; nothing is promised where it is not finite, unless the data are not."""
        true = self.true[name]
        error = np.broadcast_to(error, _last(true).shape if name in BATCH else true.shape)
        finite = np.isfinite(self.operands()) & np.isfinite(self.x).all(axis=tuple(range(self.x.ndim - 1)))
        known = np.isfinite(error) & (~self.overflows() | ~finite)
        settled = np.where(known, error * SLACK + HALF_ULP * np.abs(np.where(np.isfinite(_at(name, true)), _at(name, true), 0)),
                           np.where(finite, np.inf, 0))
        return _first(settled) if name in BATCH else settled

    def operands(self) -> Floats:
        """Per channel, not finite where an operand is not."""
        case = self.case
        given = [case.weight, case.bias, None if case.training else self.mean, None if case.training else self.var,
                 case.running_mean, case.running_var]
        total = np.zeros(case.input.shape[1])
        for array in given:
            total = total + (0 if array is None else 0 * array)
        if case.grad_output is not None:
            total = total + (0 * _last(case.grad_output)).sum(axis=tuple(range(case.input.ndim - 1)))
        return total

    def overflows(self) -> Bools:
        """Per channel, where the sums of an implementation may leave its range."""
        if not self.case.training:
            return np.zeros(self.case.input.shape[1], bool)
        squares = self.case.n * (self.var + self.errors.mean_error**2)
        size = np.abs(self.x).sum(axis=tuple(range(self.x.ndim - 1)))
        within: Bools = np.maximum(squares, size) < self.known.largest
        return ~within


def stored(value: Floats, error: Floats, dtype: Dtype) -> Floats:
    """The error after storing in `dtype`."""
    with np.errstate(all="ignore"):
        return equations.stored_bound(np.where(np.isfinite(value), value, 0), error, unit(dtype), tiny(dtype), xp=Outward)


def _last(array: Array) -> Array:
    """Channels last."""
    return np.moveaxis(array, 1, -1)


def _first(array: Array) -> Array:
    """Channels second again."""
    return np.moveaxis(array, -1, 1)


def _at(name: str, array: Array) -> Array:
    return _last(array) if name in BATCH else array
