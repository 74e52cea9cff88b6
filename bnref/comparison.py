"""One set of results held against one call: the truth, the bounds of each class, and what is to be said about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from . import bounds
from .arithmetic.rounding import format_of, nearest
from .bounds import Case, Profile, Results, Statistics
from .catalogue import MISTAKES
from .typing import Bools, Floats

CLASSES = ("correctly rounded", "float64 accumulation", "pairwise", "sequential", "none")
"""What a result can be shown to be, strictest first; "none" is outside every bound."""

FIRST = 5


class Record(NamedTuple):
    """How one result compares.

    Attributes
    ----------
    name : str
    problem : str
        What is wrong; empty where nothing is.
    size, wrong : int
        The number of elements, and of those outside the bound.
    index : tuple of int
        Where the worst element is, measured by its error over its bound.
    value, true : float
        What it is and what it should be.
    error, ulp : float
        How far off it is, and the same in units in the last place of `true` in the array's format (of 1 where it is 0).
    bound : float
        How far off it may be.
    grade : str
        The strictest of `CLASSES` that every element meets.
    mean, std : float
        Of the worst element's channel: those by which it is normalised.
    first : tuple of (index, value, true, bound)
        The first five elements outside the bound.
    """

    name: str
    problem: str
    size: int = 0
    wrong: int = 0
    index: tuple[int, ...] = ()  # type: ignore[assignment]  # a field, as in tuple.index, which nobody needs here
    value: float = float("nan")
    true: float = float("nan")
    error: float = 0.0
    ulp: float = 0.0
    bound: float = 0.0
    grade: str = "none"
    mean: float = float("nan")
    std: float = float("nan")
    first: tuple[tuple[tuple[int, ...], float, float, float], ...] = ()


class Comparison:
    """What `compare` found: a `Record` for each name, as in a dictionary, and the probable cause.

    `str` of it is the message of `assert_batch_norm`, or, where all conforms, a line for each result.
    """

    def __init__(self, records: dict[str, Record], explanation: Callable[[], tuple[str, ...]]) -> None:
        self.records, self._explanation = records, explanation
        self._cause: tuple[str, ...] | None = None

    def __getitem__(self, name: str) -> Record:
        return self.records[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def conforms(self) -> bool:
        """Whether every result is within its bound."""
        return not any(record.problem for record in self.records.values())

    @property
    def cause(self) -> tuple[str, ...]:
        """The names of the mistakes that reproduce the results; see `explain`."""
        if self._cause is None:
            self._cause = () if self.conforms else self._explanation()
        return self._cause

    def __str__(self) -> str:
        faulty = [record for record in self.records.values() if record.problem]
        shown = [_described(record) for record in faulty or self.records.values()]
        return "\n".join(shown + ([_remedy(self)] if faulty else []))


class View:
    """One set of results against one call: the truth, and the bounds of each class."""

    def __init__(self, case: Case, actual: Results, precision: np.dtype[Any] | None, accumulate: str) -> None:
        self.case, self.actual, self.accumulate = case, actual, accumulate
        self.precision = precision
        self.doubled = case.doubled()
        gradients = bool(set(actual) & set(bounds.GRADIENTS))
        self.true = self.doubled.results(gradients)
        self.rounded = case.results(gradients)

    def dtype(self, name: str) -> np.dtype[Any]:
        """What the implementation computes this result in."""
        return self.actual[name].dtype if self.precision is None else self.precision

    def profile(self, name: str, accumulate: str | None = None) -> Profile:
        """How the implementation rounds this result."""
        saved = self.case.saved() if self.precision is None else None
        return bounds.profile(self.dtype(name), accumulate or self.accumulate, self.case.n, saved)

    def bound(self, name: str, accumulate: str | None = None, doubled: Case | None = None, true: Results | None = None,
              errors: Statistics | None = None, of: str | None = None) -> Floats:
        """How far a result may be from what the call, or another one, gives, or from another result of it."""
        doubled, true, of = doubled or self.doubled, true or self.true, of or name
        known = self.profile(name, accumulate)
        return self.stored(name, true[of], bounds.allowances(doubled, true, known, [of], errors)[of])

    def stored(self, name: str, value: Floats, error: Floats) -> Floats:
        """The error after storing in the array's format, where that is narrower than what was computed in."""
        dtype, known = self.actual[name].dtype, self.profile(name)
        narrower = bounds.unit(dtype) > (known.u_stat if name in bounds.STATISTICS else known.u)
        return bounds.stored(value, error, dtype) if narrower else error

    def within(self, name: str, true: Floats, bound: Floats) -> Bools:
        """Where a result is as good as it must be."""
        actual = self.actual[name]
        largest = 2.0 ** (format_of(actual.dtype).ceiling - 1)
        value = actual.astype(np.float64)
        with np.errstate(all="ignore"):
            near = np.abs(value - true) <= bound
            overflowed = np.isinf(value) & (np.sign(value) == np.sign(true)) & (np.abs(true) + bound >= largest)
        good: Bools = near | (value == true) | (np.isnan(value) & np.isnan(true)) | np.isinf(bound) | overflowed
        return good

    def sound(self, records: dict[str, Record]) -> set[str]:
        """The names of the results without a problem."""
        return {name for name, record in records.items() if not record.problem}

    def record(self, name: str) -> Record:
        """How one result compares."""
        actual, true = self.actual[name], self.true[name]
        if actual.shape != true.shape:
            return Record(name, f"shape {actual.shape}; it should be {true.shape}")
        bound = self.bound(name)
        good = self.within(name, true, bound)
        value = actual.astype(np.float64)
        if not value.size:
            return Record(name, "", grade=CLASSES[0])
        wrong = int(value.size - np.count_nonzero(good))
        with np.errstate(all="ignore"):
            error = np.where((value == true) | (np.isnan(value) & np.isnan(true)), 0, np.abs(value - true))
            ulps = error / _ulp(true, actual.dtype)
            severity = np.where(good, np.where(np.isfinite(bound) & (bound > 0), error / bound, 0),
                                np.where(np.isfinite(error), 1 + error / bound, np.inf))
        worst = np.unravel_index(np.argmax(np.where(np.isnan(severity), np.inf, severity)), value.shape)
        mean, std = self.channel(int(worst[1] if name in bounds.BATCH else worst[0]))
        first = tuple((_plain(where), float(value[where]), float(true[where]), float(bound[where]))
                      for where in map(tuple, np.argwhere(~good)[:FIRST]))
        return Record(name, self.problem(name, value, true, good, wrong), value.size, wrong, _plain(worst),
                      float(value[worst]), float(true[worst]), float(error[worst]), float(ulps[worst]), float(bound[worst]),
                      self.grade(name, wrong), mean, std, first)

    def channel(self, c: int) -> tuple[float, float]:
        """Mean and standard deviation by which a channel is normalised."""
        mean, var = ((self.true["mean"], self.true["var"]) if self.case.training
                     else (self.doubled.running_mean, self.doubled.running_var))
        with np.errstate(all="ignore"):
            return float(mean[c]), float(np.sqrt(var[c]))

    def problem(self, name: str, value: Floats, true: Floats, good: Bools, wrong: int) -> str:
        """What is wrong, in words; empty where nothing is."""
        if not wrong:
            return ""
        stray = np.count_nonzero(np.isnan(value) & ~np.isnan(true) & ~good)
        missing = np.count_nonzero(~np.isnan(value) & np.isnan(true) & ~good)
        if stray or missing:
            return (f"NaN at {stray} of {value.size} positions where a number is due, "
                    f"a number at {missing} where NaN is due")
        sums = {"float64": "sums in float64", "pairwise": "pairwise sums"}.get(self.accumulate, "sums in any order")
        return (f"{wrong} of {value.size} elements are outside the bound of a sound {self.dtype(name).name} "
                f"implementation ({sums})")

    def grade(self, name: str, wrong: int) -> str:
        """The strictest of `CLASSES` that the result meets."""
        actual = self.actual[name]
        due = self.rounded[name] if self.rounded[name].dtype == actual.dtype else nearest(self.true[name], actual.dtype)
        if np.array_equal(actual.astype(np.float64), due.astype(np.float64), equal_nan=True):
            return CLASSES[0]
        for grade, accumulate in zip(CLASSES[1:], bounds.ACCUMULATE):
            if self.within(name, self.true[name], self.bound(name, accumulate)).all():
                return grade
        return CLASSES[-1]


def _ulp(values: Floats, dtype: np.dtype[Any]) -> Floats:
    """The unit in the last place of each value in a format; zero counts as 1."""
    format_ = format_of(dtype)
    _, exponent = np.frexp(np.where(np.isfinite(values) & (values != 0), values, 1))
    ulps: Floats = np.ldexp(1.0, np.maximum(exponent - format_.precision, format_.lowest))
    return ulps


def _plain(index: Iterable[Any]) -> tuple[int, ...]:
    return tuple(int(k) for k in index)


def _described(record: Record) -> str:
    """A record in words: what, how many, the worst with its allowance, the first five."""
    if not record.size:
        return f"{record.name}: {record.problem or 'empty, as it should be'}"
    lines = [f"{record.name}: {record.problem or 'conforms'}",
             f"  worst at {list(record.index)}: {record.value!r} instead of {record.true!r}, "
             f"off by {record.error:.3g} ({record.ulp:.3g} ulp); allowed: {record.bound:.3g}",
             f"  its channel has mean {record.mean:.6g} and standard deviation {record.std:.6g}; "
             f"strictest class met: {record.grade}"]
    if record.wrong > 1:
        lines.append(f"  first {len(record.first)}:")
        lines += [f"    {list(index)}: {value!r} instead of {true!r}; allowed: {bound:.3g}"
                  for index, value, true, bound in record.first]
    return "\n".join(lines)


def _remedy(comparison: Comparison) -> str:
    if any(record.problem.startswith("shape") for record in comparison.records.values()):
        return "The channels are the second axis, in `actual` as in `input`."
    if not comparison.cause:
        return "Probable cause: none that is known; see bnref.testing.MISTAKES for what was looked for."
    return "Probable cause: " + "\n  or ".join(f"{name}: {MISTAKES[name]}" for name in comparison.cause)
