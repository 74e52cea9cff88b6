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

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from . import arguments, bounds, catalogue
from .bounds import Case, Results
from .catalogue import MISTAKES, witness
from .comparison import CLASSES, Comparison, Record, View
from .typing import ArrayLike, DTypeLike, Scalar

__all__ = ["CLASSES", "Comparison", "MISTAKES", "Record", "assert_batch_norm", "compare", "explain", "witness"]

Accumulate: TypeAlias = Literal["sequential", "pairwise", "float64"]


def compare(actual: dict[str, Any], input: ArrayLike, running_mean: ArrayLike | None = None,
            running_var: ArrayLike | None = None, weight: ArrayLike | None = None, bias: ArrayLike | None = None,
            grad_output: ArrayLike | None = None, training: bool = False, momentum: Scalar = 0.1, eps: Scalar = 1e-5,
            precision: DTypeLike | None = None, accumulate: Accumulate | None = None) -> Comparison:
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
        taken to be in float32 at least.  One thing is different where it is not given: mean and rstd may be kept in the type of
        the layer's own arrays (`weight`, or the running statistics, or `input`, the first that there is), as PyTorch does with
        a layer of float16 or bfloat16; then the bounds are wider.
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

    Examples
    --------
    >>> import numpy as np, bnref
    >>> x = np.array([[1.0], [2.0], [3.0], [6.0]])                             # mean 3, var 7/2, so W = 4
    >>> found = bnref.testing.compare({"output": (x - 3) / 2, "var": np.array([14 / 3])}, x, training=True, eps=0.5)
    >>> found.conforms, found["output"].grade, found["var"].value, found["var"].true
    (False, 'correctly rounded', 4.666666666666667, 3.5)
    >>> bnref.testing.compare({"output": (x - 3) / 2}, x, training=True, eps=0.5).conforms
    True
    """
    case = _case(input, running_mean, running_var, weight, bias, grad_output, training, momentum, eps)
    view = View(case, _results(actual, case), _precision(precision), _accumulation(accumulate))
    records = {name: view.record(name) for name in view.actual}
    return Comparison(records, lambda: catalogue.explanations(case, view.sound(records), view))


def assert_batch_norm(actual: dict[str, Any], input: ArrayLike, running_mean: ArrayLike | None = None,
                      running_var: ArrayLike | None = None, weight: ArrayLike | None = None,
                      bias: ArrayLike | None = None, grad_output: ArrayLike | None = None, training: bool = False,
                      momentum: Scalar = 0.1, eps: Scalar = 1e-5, precision: DTypeLike | None = None,
                      accumulate: Accumulate | None = None) -> None:
    """Raise AssertionError unless `compare` finds every result within its bound.

    The message says what is wrong, how many elements are, the worst with its index and allowance, the first five, and the
    probable cause.

    Parameters
    ----------
    actual, input, running_mean, running_var, weight, bias, grad_output, training, momentum, eps, precision, accumulate
        As for `compare`.

    Raises
    ------
    AssertionError
        A result is outside its bound.
    TypeError, ValueError, MemoryError
        As by `compare`.

    Examples
    --------
    >>> import numpy as np, bnref
    >>> x = np.array([[1.0], [2.0], [3.0], [6.0]])
    >>> bnref.testing.assert_batch_norm({"output": (x - 3) / 2}, x, training=True, eps=0.5)
    >>> bnref.testing.assert_batch_norm({"output": (x - 3) / (np.sqrt(3.5) + 0.5)}, x, training=True, eps=0.5)
    Traceback (most recent call last):
        ...
    AssertionError: output: 3 of 4 elements are outside the bound of a sound float64 implementation (sums in any order)
      ...
    Probable cause: eps outside the root: The divisor is sqrt(var) + eps instead of sqrt(var + eps).
    """
    __tracebackhide__ = True
    found = compare(actual, input, running_mean, running_var, weight, bias, grad_output,
                    training, momentum, eps, precision, accumulate)
    if not found.conforms:
        raise AssertionError(str(found))


def explain(actual: dict[str, Any], input: ArrayLike, running_mean: ArrayLike | None = None,
            running_var: ArrayLike | None = None, weight: ArrayLike | None = None, bias: ArrayLike | None = None,
            grad_output: ArrayLike | None = None, training: bool = False, momentum: Scalar = 0.1, eps: Scalar = 1e-5,
            precision: DTypeLike | None = None, accumulate: Accumulate | None = None) -> tuple[str, ...]:
    """Name the mistakes that reproduce `actual` within their bounds.

    Parameters
    ----------
    actual, input, running_mean, running_var, weight, bias, grad_output, training, momentum, eps, precision, accumulate
        As for `compare`.

    Returns
    -------
    tuple of str
        Keys of `MISTAKES`: one, or several that these data cannot tell apart; () when `actual` conforms or no known mistake
        fits.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As by `compare`.

    Notes
    -----
    A mistake fits if every result that does not conform is what code with the mistake may give; results that do conform must be
    spared by it, if any other mistake spares them.  One-pass variance and half-precision accumulation have no single wrong result:
    they are named when all results agree with *one* variance and mean per channel (and one value of each sum in the gradients),
    that such code may have computed, and that two-pass code of this precision cannot.

    Examples
    --------
    >>> import numpy as np, bnref
    >>> x = np.array([[1.0], [2.0], [3.0], [6.0]])
    >>> bnref.testing.explain({"output": (x - 3) / np.sqrt(14 / 3 + 0.5)}, x, training=True, eps=0.5)
    ('unbiased variance used to normalise',)
    >>> bnref.testing.explain({"output": (x - 3) / 2}, x, training=True, eps=0.5)
    ()
    """
    return compare(actual, input, running_mean, running_var, weight, bias, grad_output,
                   training, momentum, eps, precision, accumulate).cause


def _case(input: object, running_mean: object, running_var: object, weight: object, bias: object, grad_output: object,
          training: object, momentum: object, eps: object) -> Case:
    """The arguments, checked as `batch_norm` checks its own."""
    x = arguments.batch("input", _array("input", input))
    training = arguments.flag("training", training)
    rm, rv = arguments.running_statistics(_array("running_mean", running_mean), _array("running_var", running_var),
                                          x.shape[1], training) or (None, None)
    w, b = (None if given is None else arguments.channel(name, _array(name, given), x.shape[1])
            for name, given in (("weight", weight), ("bias", bias)))
    g = None if grad_output is None else arguments.like("grad_output", _array("grad_output", grad_output), "input", x)
    return Case(x, rm, rv, w, b, g, training, arguments.number("momentum", momentum), arguments.number("eps", eps))


def _results(actual: dict[str, Any], case: Case) -> Results:
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


def _precision(precision: DTypeLike | None) -> np.dtype[Any] | None:
    """A format, or None."""
    try:
        dtype = None if precision is None else np.dtype(precision)
    except Exception as error:
        raise TypeError(f"precision: {arguments.shown(precision)}; allowed: None, {arguments.ALLOWED}") from error
    if dtype is not None and not arguments.is_float(dtype):
        raise TypeError(f"precision: {dtype}; allowed: None, {arguments.ALLOWED}")
    return dtype


def _accumulation(accumulate: str | None) -> str:
    if accumulate is not None and not (isinstance(accumulate, str) and accumulate in bounds.ACCUMULATE):
        raise ValueError(f"accumulate: {arguments.shown(accumulate)}; "
                         f"allowed: None, {', '.join(map(repr, bounds.ACCUMULATE))}")
    return accumulate or "sequential"


def _array(name: str, value: Any) -> Any:
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
