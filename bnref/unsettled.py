"""Two mistakes whose wrong result depends on the order of a sum: one-pass variance and half-precision accumulation.

They are recognised by their trace.  Both leave formulas as they are and falsify sums, so all results must agree with *one* mean and
one variance per channel (`estimates` reads them back), and in the gradients with one value of each sum.  Then these are judged: one
pass leaves the mean right and the variance within the one-pass bound; half precision falsifies the mean as well, within the bound of
half precision, or leaves a variance that has no more digits than a half.  A channel that is NaN fits where that bound admits a
negative variance, or where float16 may overflow.  Source of the bounds: notebooks/06_accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import bounds, equations, estimates, mistakes
from .bounds import FORWARD, GRADIENTS, Examined, Outward, Profile, Statistics
from .estimates import Estimate
from .typing import Floats

HALVES = {"float16": (11, 2.0**-24), "bfloat16": (8, 2.0**-126)}
"""Half precisions: their binary digits, and what an underflow may lose.  (NumPy alone does not know bfloat16.)"""

COINCIDENCE = 10
"""Bits of evidence that exclude one."""

ONE_PASS, HALF = "one-pass variance", "half-precision accumulation"


def admissible(view: Examined, failing: list[str]) -> dict[str, tuple[int, float]]:
    """The mistakes of the two that can explain what does not conform.

    Returns
    -------
    {name: (1 if the other results of the forward pass agree with it as well, 0 if not, 0)}
    """
    case = view.case
    if not case.training:
        sums_alone = set(failing) <= {"grad_weight", "grad_bias"} and _sums_in_half(view, failing, None)
        return {HALF: (1, 0)} if sums_alone else {}
    if case.n < 2:
        return {}
    known = view.profile(failing[0], "sequential")
    right = bounds.statistics(view.doubled, view.true, known)
    for found in estimates.read(view, failing, right):
        if names := _Judge(view, failing, known, right, found).names():
            return names
    return {}


class _Judge:
    """One estimate of the statistics, and the mistakes that may have led to it."""

    def __init__(self, view: Examined, failing: list[str], known: Profile, right: Statistics, found: Estimate) -> None:
        self.view, self.failing, self.known, self.right, self.found = view, failing, known, right, found
        self.mean, self.var = view.true["mean"], view.true["var"]
        self.off = bool((np.abs(found.mean - self.mean) > right.mean_error + found.mean_error).any())

    def names(self) -> dict[str, tuple[int, float]]:
        """{mistake: (whether it gives all of the forward pass, 0)}."""
        one_pass, (half, certain) = self.one_pass(), self.half()
        names = [ONE_PASS] * (one_pass and not certain) + [HALF] * half
        return dict.fromkeys(names, (int(self.whole()), 0)) if names else {}

    def whole(self) -> bool:
        """Whether the other results of the forward pass agree, too."""
        names = [name for name, array in self.view.actual.items() if name in FORWARD and array.shape == self.view.true[name].shape]
        return self.consistent(names, self.found._replace(own_sums=False))

    def one_pass(self) -> bool:
        """Whether one pass can give the estimates: the mean is right, and the variance lost what one pass may lose."""
        error = self.one_pass_error(self.right.mean_error, self.known)
        return not self.off and not self.found.own_sums and self.fits(self.right.mean_error, error)

    def half(self) -> tuple[bool, bool]:
        """Whether sums in a half precision can give the estimates, and whether their few digits leave nothing else."""
        mean_possible, mean_certain = self.few_digits(self.found.mean, self.found.mean_error, self.mean**2)
        if self.off and not mean_possible:
            return False, False
        two_pass, one_pass, square = mistakes.about_mean(self.mean, self.var, self.found.mean, self.found.var, xp=Outward)
        clean = not self.found.var_seen or any(self.near(var) for var in (two_pass, one_pass))
        *_, blur = mistakes.about_mean(self.mean, self.var, self.mean, self.var, xp=Outward)  # what is left of one pass has few digits, too
        kept = [self.few_digits(self.found.var, self.found.var_error, blur)]
        kept += [self.few_digits(square, self.found.square_error(), blur)] * self.off
        if self.found.mean_seen and not any(possible for possible, _ in kept) and not (
                clean and (self.off or self.found.own_sums or not self.found.var_seen)):
            return False, False
        fits = any(self.fits(*errors) for half in HALVES for errors in self.half_errors(half))
        return fits, fits and self.found.mean_seen and any(certain for _, certain in kept)

    def near(self, var: Floats) -> bool:
        """Whether the variance that was read is this one, but for the roundings of two passes or one."""
        error = self.one_pass_error(self.right.mean_error, self.known) + self.found.square_error()
        return bool((~(np.abs(self.found.var - var) > error)).all())

    def one_pass_error(self, mean_error: Floats, known: Profile) -> Any:
        """How far one pass over sums of this profile may lead."""
        return equations.one_pass_var_bound(self.mean, self.var, mean_error, known.u_stat, known.u_sum, known.steps, known.tiny, xp=Outward)

    def half_errors(self, half: str) -> Iterator[tuple[Floats, Floats]]:
        """How far sums in a half precision may lead: both statistics where the mean is off or unknown, else the squares alone."""
        known, n = in_half(self.known, half, self.view.case.n), self.view.case.n
        mean_error = bounds.statistics(self.view.doubled, self.view.true, known).mean_error
        var_error = self.one_pass_error(mean_error, known)
        squares = np.maximum(*equations.var_bound(self.var, self.right.mean_error, known.u_stat, known.u_sum, known.steps, known.tiny,
                                                  xp=Outward))
        if half == "float16":
            x = np.abs(estimates.columns(self.view.doubled.input))
            overflows = np.maximum((x * x).sum(axis=0), x.sum(axis=0)) * 2 > 2.0**16
            mean_error, var_error = (np.where(overflows, np.inf, error) for error in (mean_error, var_error))
            squares = np.where(n * self.var * 2 > 2.0**16, np.inf, squares)
        if self.off or not self.found.mean_seen:
            yield _unbounded(mean_error), _unbounded(var_error)
        if not self.off:
            yield self.right.mean_error, _unbounded(squares)

    def few_digits(self, value: Floats, error: Floats, blur: Floats) -> tuple[bool, bool]:
        """Whether numbers, or the sums that they come from, may have so few digits as a half; and whether beyond coincidence."""
        n, numbers = self.view.case.n, np.stack([value, error, self.known.u_stat * blur])
        found = [_few_digits(*of) for of in (numbers, n * numbers, bounds.unbiased(numbers, n))]
        return any(possible for possible, _ in found), any(certain for _, certain in found)

    def fits(self, mean_error: Floats, var_error: Floats) -> bool:
        """Whether the estimates are within these errors in every channel, and all that fails agrees with estimates that are.

        NaN asks for a variance that may be negative.
        """
        found = self.found
        mean_fits = np.isnan(found.mean) | (np.abs(found.mean - self.mean) <= mean_error + found.mean_error)
        near = np.abs(found.var - self.var) <= var_error + found.var_error
        var_fits = np.where(np.isnan(found.var), self.var + self.view.case.eps <= var_error, near | ~np.isfinite(found.var_error))
        if not (mean_fits & var_fits).all():
            return False
        unread = ~np.isfinite(found.var_error) & np.isfinite(found.var)
        within = found._replace(var=np.where(unread, self.var, found.var), var_error=np.where(unread, var_error, found.var_error))
        return self.consistent(self.failing, within)

    def consistent(self, names: list[str], found: Estimate) -> bool:
        """Whether the right formulas, with the estimated statistics, give these results."""
        view = self.view
        lost = ~np.isfinite(found.var) | ~np.isfinite(found.mean)
        true = estimates.results(view, np.where(lost, self.mean, found.mean), np.where(lost, self.var, found.var))
        errors = found.errors(4)
        for name in names:
            if found.own_sums and name in GRADIENTS:
                continue
            good = view.within(name, true[name], 4 * view.bound(name, true=true, errors=errors))
            good = np.moveaxis(good, 1, -1) if name in bounds.BATCH else good
            if not (good | lost).all():
                return False
        return not found.own_sums or _sums_in_half(view, names, found)


def in_half(known: Profile, half: str, n: int) -> Profile:
    """The profile of sums in a half precision, of values cast to it."""
    digits, tiny = HALVES[half]
    u = 2.0**-digits
    return known._replace(u=max(u, known.u), u_stat=u, u_sum=u, steps=n + 1, tiny=max(known.tiny, tiny))


def _few_digits(value: Floats, error: Floats, blur: Floats | float) -> tuple[bool, bool]:
    """Whether numbers may have so few digits as a half; and whether beyond coincidence, and what they are blurred by."""
    mantissa, exponent = np.frexp(np.where(np.isfinite(value), value, 0))
    possible = False
    for digits, _ in HALVES.values():
        if (np.abs(value - np.ldexp(np.round(np.ldexp(mantissa, digits)), exponent - digits)) > error).any():
            continue
        possible = True
        evidence = np.log2(np.ldexp(1.0, exponent - digits) / (2 * np.maximum(error, blur)))
        if np.maximum(np.where(np.isfinite(evidence), evidence, 0), 0).sum() >= COINCIDENCE:
            return True, True
    return possible, False


def _sums_in_half(view: Examined, names: list[str], found: Estimate | None) -> bool:
    """Whether the gradients are right but for sums in half precision, given the statistics (None: those of inference)."""
    case, read = view.doubled, {}
    if found is not None and "grad_input" in names:
        *of_dx, fitted = estimates.sums(view, found)
        read = dict(zip(("dbias", "dweight"), of_dx))
        rest = np.abs(estimates.columns(view.actual["grad_input"]) - fitted)
        allowed_rest = estimates.unfitted(view, estimates.columns(view.bound(
            "grad_input", true=view.true | {"mean": found.mean, "var": found.var},
            errors=found.errors(4))))
        subtracted = np.abs(fitted - estimates.unreduced(view, found))
    true = view.true if found is None else view.true | estimates.results(view, found.mean, found.var)
    for half in HALVES:
        known = in_half(view.profile(names[0]), half, view.case.n)
        errors = bounds.statistics(case, view.true, known if found is None or not found.mean_seen else view.profile(names[0]))
        errors = errors if found is None else errors._replace(var_below=found.var_error, var_above=found.var_error)
        allowed = bounds.allowances(case, true, known, ["grad_weight", "grad_bias"], errors)
        values = [(name, view.actual[name].astype(np.float64), allowed[name]) for name in ("grad_weight", "grad_bias") if name in names]
        if not all(_kept_in_half(view, name, value, true[name], errors) for name, value, _ in values):
            return False
        if found is not None and read:
            if not (rest <= allowed_rest + 4 * (known.u * subtracted + known.tiny)).all():
                continue  # not even if what is subtracted passed through halves, as where a cast is differentiated
            mean_error = bounds.statistics(case, view.true, known).mean_error
            shift = mean_error * bounds.rstd(found.var, case.eps) * np.abs(read["dweight"])
            values += [("grad_weight", read["dweight"], allowed["grad_weight"]), ("grad_bias", read["dbias"], allowed["grad_bias"] + shift)]
        if all((~(np.abs(value - true[name]) > error)).all() for name, value, error in values):
            return True
    return False


def _kept_in_half(view: Examined, name: str, value: Floats, true: Floats, errors: Statistics) -> bool:
    """Whether a sum has so few digits, or is right for these statistics."""
    right = np.abs(value - true) <= 4 * view.bound(name, true=view.true | {name: true}, errors=errors)
    return bool(right.all()) or _few_digits(value, 4 * bounds.unit(view.dtype(name)) * np.abs(value), 0)[0]


def _unbounded(error: Floats) -> Floats:
    return np.where(np.isnan(error), np.inf, error)
