"""Judge other people's results: does an implementation conform, by what right, and if not, what went wrong.

`compare` holds results against the true ones and against the bound that any sound implementation keeps, derived in
notebooks/06_accuracy; `assert_batch_norm` raises from it; `explain` names the mistakes that reproduce what it sees.

>>> import numpy as np, bnref
>>> x = np.array([[1.0], [2.0], [3.0], [6.0]], dtype=np.float32)
>>> y = (x - x.mean()) / np.sqrt(x.var(ddof=1) + np.float32(0.5))
>>> bnref.testing.explain({"output": y}, x, training=True, eps=0.5)
('unbiased variance used to normalise',)

Arrays come from any framework: whatever NumPy reads (``__array__``), or DLPack.  NumPy itself has no bfloat16; the recipe for
PyTorch is ``t.detach().view(torch.int16).numpy().view(ml_dtypes.bfloat16)``.
"""

from typing import NamedTuple

import numpy as np

from . import arguments, bounds, catalogue
from .arithmetic.rounding import format_of, nearest
from .bounds import Case
from .catalogue import MISTAKES, witness

__all__ = ["CLASSES", "Comparison", "MISTAKES", "Record", "assert_batch_norm", "compare", "explain", "witness"]

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
    index: tuple = ()
    value: float = float("nan")
    true: float = float("nan")
    error: float = 0.0
    ulp: float = 0.0
    bound: float = 0.0
    grade: str = "none"
    mean: float = float("nan")
    std: float = float("nan")
    first: tuple = ()


class Comparison:
    """What `compare` found: a `Record` for each name, as in a dictionary, and the probable cause."""

    def __init__(self, records, explanation):
        self.records, self._explanation, self._cause = records, explanation, None

    def __getitem__(self, name):
        return self.records[name]

    def __iter__(self):
        return iter(self.records)

    def __len__(self):
        return len(self.records)

    @property
    def conforms(self):
        """Whether every result is within its bound."""
        return not any(record.problem for record in self.records.values())

    @property
    def cause(self):
        """The names of the mistakes that reproduce the results; see `explain`."""
        if self._cause is None:
            self._cause = () if self.conforms else self._explanation()
        return self._cause

    def __str__(self):
        faulty = [record for record in self.records.values() if record.problem]
        shown = [_described(record) for record in faulty or self.records.values()]
        return "\n".join(shown + ([_remedy(self)] if faulty else []))


def compare(actual, input, running_mean=None, running_var=None, weight=None, bias=None, grad_output=None,
            training=False, momentum=0.1, eps=1e-5, precision=None, accumulate=None):
    """Compare results with the true ones, and with what a sound implementation can reach.

    Parameters
    ----------
    actual : {name: array}
        Any of output, mean, var, running_mean, running_var (after the call), grad_input, grad_weight, grad_bias.
        `var` is the biased batch variance.
    input, running_mean, running_var, weight, bias, training, momentum, eps
        As for `bnref.batch_norm`; running statistics as they were before the call.
    grad_output : array of the shape of `input`, optional
        Needed where `actual` has gradients.
    precision : dtype, optional
        What the implementation computes in; the dtype of each array in `actual` if not given.  Sums and statistics are
        taken to be in float32 at least.  One thing is different where it is not given: between the passes mean and rstd may be
        saved in the type of the layer's own arrays (`weight`, or the running statistics, or `input`, the first that there is),
        as PyTorch does with a layer of float16 or bfloat16; then the gradients have a wider bound.
    accumulate : None, "sequential", "pairwise" or "float64"
        How it sums: None and "sequential" mean any order, "pairwise" as NumPy's, "float64" in float64.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        An argument does not fit, or `actual` has a name that the call has no result for.
    MemoryError
        The true results do not fit into memory.

    Notes
    -----
    The bound is that of a two-pass implementation (notebooks/06_accuracy), whether it normalises by (x - mean) * rstd or by
    a * x + b.  Where the sums of an implementation may overflow, or the variance drowns in the error of the mean, nothing is
    promised and everything passes.
    """
    case = _case(input, running_mean, running_var, weight, bias, grad_output, training, momentum, eps)
    actual = _results(actual, case)
    view = _View(case, actual, _precision(precision), _accumulation(accumulate))
    records = {name: view.record(name) for name in actual}
    return Comparison(records, lambda: catalogue.explanations(case, view.sound(records), view))


def assert_batch_norm(actual, input, running_mean=None, running_var=None, weight=None, bias=None, grad_output=None,
                      training=False, momentum=0.1, eps=1e-5, precision=None, accumulate=None):
    """Raise AssertionError unless `compare` finds every result within its bound.

    Parameters, and TypeError, ValueError and MemoryError for what does not fit, are those of `compare`.  The message says what is wrong, how many elements are, the worst with its index and
    allowance, the first five, and the probable cause.
    """
    __tracebackhide__ = True
    found = compare(actual, input, running_mean, running_var, weight, bias, grad_output,
                    training, momentum, eps, precision, accumulate)
    if not found.conforms:
        raise AssertionError(str(found))


def explain(actual, input, running_mean=None, running_var=None, weight=None, bias=None, grad_output=None,
            training=False, momentum=0.1, eps=1e-5, precision=None, accumulate=None):
    """Name the mistakes that reproduce `actual` within their bounds.

    Parameters, and TypeError, ValueError and MemoryError for what does not fit, are those of `compare`.

    Returns
    -------
    tuple of str
        Keys of `MISTAKES`: one, or several that these data cannot tell apart; () when `actual` conforms or no known mistake
        fits.

    Notes
    -----
    A mistake fits if every result that does not conform is what the mistake gives.  One-pass variance and half-precision
    accumulation have no single wrong result: they are named when all results agree with *one* variance (and mean) per channel,
    that such code may have computed, and that two-pass code of this precision cannot.
    """
    return compare(actual, input, running_mean, running_var, weight, bias, grad_output,
                   training, momentum, eps, precision, accumulate).cause


class _View:
    """One set of results against one call: the truth, and the bounds of each class."""

    def __init__(self, case, actual, precision, accumulate):
        self.case, self.actual, self.accumulate = case, actual, accumulate
        self.precision = precision
        self.doubled = case.doubled()
        gradients = bool(set(actual) & set(bounds.GRADIENTS))
        self.true = self.doubled.results(gradients)
        self.rounded = case.results(gradients)

    def dtype(self, name):
        """What the implementation computes this result in."""
        return self.actual[name].dtype if self.precision is None else self.precision

    def profile(self, name, accumulate=None):
        saved = self.case.saved() if self.precision is None else None
        return bounds.profile(self.dtype(name), accumulate or self.accumulate, self.case.n, saved)

    def bound(self, name, accumulate=None, doubled=None, true=None, errors=None, of=None):
        """How far a result may be from what the call, or another one, gives, or from another result of it."""
        doubled, true, of = doubled or self.doubled, true or self.true, of or name
        known = self.profile(name, accumulate)
        return self.stored(name, true[of], bounds.allowances(doubled, true, known, [of], errors)[of])

    def stored(self, name, value, error):
        """The error after storing in the array's format, where that is narrower than what was computed in."""
        dtype, known = self.actual[name].dtype, self.profile(name)
        narrower = bounds.unit(dtype) > (known.u_stat if name in bounds.STATISTICS else known.u)
        return bounds.stored(value, error, dtype) if narrower else error

    def within(self, name, true, bound):
        """Where a result is as good as it must be."""
        actual = self.actual[name]
        largest = 2.0 ** (format_of(actual.dtype).ceiling - 1)
        value = actual.astype(np.float64)
        with np.errstate(all="ignore"):
            near = np.abs(value - true) <= bound
            overflowed = np.isinf(value) & (np.sign(value) == np.sign(true)) & (np.abs(true) + bound >= largest)
        return near | (value == true) | (np.isnan(value) & np.isnan(true)) | np.isinf(bound) | overflowed

    def sound(self, records):
        """The names of the results without a problem."""
        return {name for name, record in records.items() if not record.problem}

    def record(self, name):
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
        channel = worst[1] if name in bounds.BATCH else worst[0]
        mean, std = self.channel(channel)
        first = tuple((_plain(where), float(value[where]), float(true[where]), float(bound[where]))
                      for where in map(tuple, np.argwhere(~good)[:FIRST]))
        return Record(name, self.problem(name, value, true, good, wrong), value.size, wrong, _plain(worst),
                      float(value[worst]), float(true[worst]), float(error[worst]), float(ulps[worst]), float(bound[worst]),
                      self.grade(name, wrong), mean, std, first)

    def channel(self, c):
        """Mean and standard deviation by which a channel is normalised."""
        mean, var = ((self.true["mean"], self.true["var"]) if self.case.training
                     else (self.doubled.running_mean, self.doubled.running_var))
        with np.errstate(all="ignore"):
            return float(mean[c]), float(np.sqrt(var[c]))

    def problem(self, name, value, true, good, wrong):
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

    def grade(self, name, wrong):
        actual = self.actual[name]
        due = self.rounded[name] if self.rounded[name].dtype == actual.dtype else nearest(self.true[name], actual.dtype)
        if np.array_equal(actual.astype(np.float64), due.astype(np.float64), equal_nan=True):
            return CLASSES[0]
        for grade, accumulate in zip(CLASSES[1:], bounds.ACCUMULATE):
            if self.within(name, self.true[name], self.bound(name, accumulate)).all():
                return grade
        return CLASSES[-1]


def _case(input, running_mean, running_var, weight, bias, grad_output, training, momentum, eps):
    """The arguments, checked as `batch_norm` checks its own."""
    x = arguments.batch("input", _array("input", input))
    training = arguments.flag("training", training)
    rm, rv = arguments.running_statistics(_array("running_mean", running_mean), _array("running_var", running_var),
                                          x.shape[1], training) or (None, None)
    w, b = (None if given is None else arguments.channel(name, _array(name, given), x.shape[1])
            for name, given in (("weight", weight), ("bias", bias)))
    g = None if grad_output is None else arguments.like("grad_output", _array("grad_output", grad_output), "input", x)
    return Case(x, rm, rv, w, b, g, training, arguments.number("momentum", momentum), arguments.number("eps", eps))


def _results(actual, case):
    """The results as arrays, each one that the call has."""
    if not isinstance(actual, dict):
        raise TypeError(f"actual: a {type(actual).__name__}; allowed: a dictionary of arrays named {', '.join(bounds.NAMES)}")
    if not actual:
        raise ValueError(f"actual: empty; allowed: any of {', '.join(bounds.NAMES)}")
    missing = {"mean": "training=True", "var": "training=True"} if not case.training else {}
    missing |= {"running_mean": "running_mean", "running_var": "running_var"} if case.running_mean is None else {}
    missing |= dict.fromkeys(bounds.GRADIENTS, "grad_output") if case.grad_output is None else {}
    for name in actual:
        if name not in bounds.NAMES:
            raise ValueError(f"actual: {arguments.shown(name)}; allowed: any of {', '.join(bounds.NAMES)}")
        if name in missing:
            raise ValueError(f"actual: {name} cannot be judged without {missing[name]}")
    return {name: arguments.floats(f"actual[{name!r}]", _array(f"actual[{name!r}]", value)) for name, value in actual.items()}


def _precision(precision):
    """A format, or None."""
    try:
        dtype = None if precision is None else np.dtype(precision)
    except Exception as error:
        raise TypeError(f"precision: {arguments.shown(precision)}; allowed: None, {arguments.ALLOWED}") from error
    if dtype is not None and not arguments.is_float(dtype):
        raise TypeError(f"precision: {dtype}; allowed: None, {arguments.ALLOWED}")
    return dtype


def _accumulation(accumulate):
    if accumulate is not None and not (isinstance(accumulate, str) and accumulate in bounds.ACCUMULATE):
        raise ValueError(f"accumulate: {arguments.shown(accumulate)}; "
                         f"allowed: None, {', '.join(map(repr, bounds.ACCUMULATE))}")
    return accumulate or "sequential"


def _array(name, value):
    """An array of any framework as NumPy's."""
    if value is None or isinstance(value, np.ndarray):
        return value
    arguments.readable(name, value)
    try:
        return np.asarray(value)
    except Exception as unreadable:
        try:
            return np.from_dlpack(value)
        except Exception:
            raise TypeError(f"{name}: a {type(value).__name__} that NumPy cannot read ({arguments.why(unreadable)}); allowed: what has "
                            "__array__ or DLPack, detached and on the CPU; for bfloat16 see the docstring of bnref.testing"
                            ) from unreadable


def _ulp(values, dtype):
    """The unit in the last place of each value in a format; zero counts as 1."""
    format_ = format_of(dtype)
    _, exponent = np.frexp(np.where(np.isfinite(values) & (values != 0), values, 1))
    return np.ldexp(1.0, np.maximum(exponent - format_.precision, format_.lowest))


def _plain(index):
    return tuple(int(k) for k in index)


def _described(record):
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


def _remedy(comparison):
    if any(record.problem.startswith("shape") for record in comparison.records.values()):
        return "The channels are the second axis, in `actual` as in `input`."
    if not comparison.cause:
        return "Probable cause: none that is known; see bnref.testing.MISTAKES for what was looked for."
    return "Probable cause: " + "\n  or ".join(f"{name}: {MISTAKES[name]}" for name in comparison.cause)
