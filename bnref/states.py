"""Every state of both frameworks' batch-normalisation layers, and what a layer does in each.

Everything that decides what a layer does at a call lives in this file, as data.  `AXES` names the questions and their
possible answers; a state is one answer to each; `behaviour` looks the state up in a handful of decision tables and says
what happens.  `bnref.torch` and `bnref.mindspore` ask this one function at every call, chapter 04 prints these tables,
and tests/golden holds what the real frameworks did in every state.

Sources: PyTorch 2.13.0 and MindSpore 2.10.0, both on CPU, MindSpore in PyNative and in graph mode, which behave alike.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import product
from typing import Any, Literal, NamedTuple, TypeAlias

from . import arguments
from .typing import cache

Framework: TypeAlias = Literal["torch", "mindspore"]

# ---- What there is ----------------------------------------------------------------------------------------------

# In this order the axes span the product.  The values of an axis are exclusive and together cover every case.
AXES: dict[Framework, dict[str, tuple[Any, ...]]] = {
    "torch": {
        "training": (True, False),
        "track_running_stats": (True, False),  # as constructed: decides whether there are buffers
        "flag": (True, False),                 # bn.track_running_stats at the call; may have been changed since
        "affine": (True, False),
        "bias": (True, False),                 # the keyword; without affine it has no effect
        "momentum": (None, "zero", "between", "one", "outside"),
        "ndim": (2, 3),
        "values": ("none", "one", "many"),     # values per channel
        "input": ("float16", "bfloat16", "float32", "float64", "other"),
    },
    "mindspore": {
        "training": (True, False),
        "use_batch_statistics": (None, True, False),
        "affine": (True, False),
        "momentum": ("zero", "between", "one"),
        "ndim": (2, 3),
        "values": ("none", "one", "many"),
        "input": ("float16", "bfloat16", "float32", "float64", "other"),
        "mode": ("pynative", "graph"),
    },
}

# What stands for an axis value wherever a state has to be built: in the tests, the record and the chapters.
EXAMPLES: dict[str, Any] = {
    "torch": {"momentum": {None: None, "zero": 0.0, "between": 0.1, "one": 1.0, "outside": 1.5}},
    "mindspore": {"momentum": {"zero": 0.0, "between": 0.9, "one": 1.0}},
    "shape": {(2, "none"): (0, 3), (2, "one"): (1, 3), (2, "many"): (4, 3),
              (3, "none"): (2, 3, 0), (3, "one"): (1, 3, 1), (3, "many"): (2, 3, 2)},
    "other": "int64",
}


class TorchState(NamedTuple):
    """One state of ``torch.nn.BatchNorm1d`` at a call.  The fields are ``AXES["torch"]``."""

    training: bool
    track_running_stats: bool
    flag: bool
    affine: bool
    bias: bool
    momentum: str | None
    ndim: int
    values: str
    input: str


class MindSporeState(NamedTuple):
    """One state of ``mindspore.nn.BatchNorm1d`` at a call.  The fields are ``AXES["mindspore"]``."""

    training: bool
    use_batch_statistics: bool | None
    affine: bool
    momentum: str
    ndim: int
    values: str
    input: str
    mode: str = "pynative"


class Call(NamedTuple):
    """What else a call can get wrong.  These are mistakes, not states: the enumeration makes none of them."""

    rank: bool = True               # does the layer take an input of this rank?
    channels: bool = True           # has the input num_features channels?
    eps: str = "positive"           # "wrong type", "negative", "zero", "positive", "above one" or "not finite"
    arrays: tuple[str, ...] = ("float32",)  # dtypes of the layer's arrays


State: TypeAlias = TorchState | MindSporeState
NOTHING_WRONG = Call()


class Behaviour(NamedTuple):
    """What a layer does at a call.  A call that raises does nothing else."""

    normalises_by: str | None = None  # "batch", "running", or "nothing" where there is no value to normalise
    mean: str | None = None           # what becomes of the running (moving) mean: an effect, or None: not touched
    var: str | None = None            # the same for the running (moving) variance
    counts: bool = False                 # does num_batches_tracked grow by one?
    learns: tuple[str, ...] = ()         # the parameters that receive a gradient
    applies: tuple[str, ...] = ()        # the arrays that scale and shift the output
    raises: str | None = None         # the class of the error
    because: str | None = None        # the check that raised it, from `CHECKS`
    deviates: tuple[str, ...] = ()       # where bnref knowingly differs from the real layer, from `DEVIATIONS`


class Row(NamedTuple):
    """One element of the product: a state and what the layer does in it."""

    framework: Framework
    state: State
    behaviour: Behaviour


# What can become of a running statistic: new = (1 - w) old + w batch, with the weight w of the new observation.
EFFECTS = {
    "kept": "w = 0: stays as it is while the batch is finite (0 * NaN is NaN)",
    "moved": "0 < w < 1: moves towards the batch",
    "replaced": "w = 1: becomes the batch's",
    "overshot": "w outside [0, 1]: moves beyond the batch, or away from it",
    "averaged": "w = 1/num_batches_tracked: the mean over all batches so far",
    "NaN": "the unbiased variance of one value does not exist",
}

DEVIATIONS = {
    "counted": "PyTorch has already added 1 to num_batches_tracked when it refuses a batch; bnref changes nothing.",
    "unchecked": "PyTorch checks neither dtype nor channels of an empty batch; bnref always does.",
    "undefined": "MindSpore updates the moving statistics by stale memory after an empty batch; bnref keeps them.",
}

# ---- Decision tables ----------------------------------------------------------------------------------------------


class Statistics(NamedTuple):
    """Which statistics a mode uses, and whether it updates the running ones."""

    normalises_by: str
    updates: bool


TORCH_STATISTICS = {
    # training, buffers, flag
    (True, True, True): Statistics("batch", updates=True),
    (True, True, False): Statistics("batch", updates=False),
    (True, False, True): Statistics("batch", updates=False),
    (True, False, False): Statistics("batch", updates=False),
    (False, True, True): Statistics("running", updates=False),
    (False, True, False): Statistics("running", updates=False),
    (False, False, True): Statistics("batch", updates=False),
    (False, False, False): Statistics("batch", updates=False),
}

MINDSPORE_STATISTICS = {
    # training, use_batch_statistics
    (True, None): Statistics("batch", updates=True),
    (True, True): Statistics("batch", updates=True),
    (True, False): Statistics("running", updates=False),
    (False, None): Statistics("running", updates=False),
    (False, True): Statistics("batch", updates=True),  # in inference too
    (False, False): Statistics("running", updates=False),
}

# PyTorch's momentum is the weight of the new observation, MindSpore's is one minus it.
UPDATE: dict[Framework, dict[str | None, str]] = {
    "torch": {None: "averaged", "zero": "kept", "between": "moved", "one": "replaced", "outside": "overshot"},
    "mindspore": {"zero": "replaced", "between": "moved", "one": "kept"},
}


class Parameters(NamedTuple):
    """Which arrays scale and shift the output, and which of them learn."""

    applies: tuple[str, ...]
    learns: tuple[str, ...]


PARAMETERS: dict[Framework, dict[Any, Parameters]] = {
    "torch": {  # affine, bias
        (True, True): Parameters(applies=("weight", "bias"), learns=("weight", "bias")),
        (True, False): Parameters(applies=("weight",), learns=("weight",)),
        (False, True): Parameters(applies=(), learns=()),
        (False, False): Parameters(applies=(), learns=()),
    },
    "mindspore": {  # affine: without it gamma and beta still exist, as they were initialised, and are applied
        True: Parameters(applies=("gamma", "beta"), learns=("gamma", "beta")),
        False: Parameters(applies=("gamma", "beta"), learns=()),
    },
}

# What the number of values per channel changes, beside the error that it may be.
FEW_VALUES: dict[tuple[Framework, str, str], dict[str, Any]] = {
    # framework, normalises by, values: fields of Behaviour that become different
    ("torch", "batch", "none"): dict(normalises_by="nothing", applies=(), mean=None, var=None),
    ("torch", "batch", "one"): {},
    ("torch", "batch", "many"): {},
    ("torch", "running", "none"): dict(normalises_by="nothing", applies=()),
    ("torch", "running", "one"): {},
    ("torch", "running", "many"): {},
    ("mindspore", "batch", "none"): dict(normalises_by="nothing", applies=(), mean=None, var=None,
                                         deviates=("undefined",)),
    ("mindspore", "batch", "one"): dict(var="NaN"),  # in this mode MindSpore always updates
    ("mindspore", "batch", "many"): {},
    ("mindspore", "running", "none"): dict(normalises_by="nothing", applies=()),
    ("mindspore", "running", "one"): {},
    ("mindspore", "running", "many"): {},
}

# ---- What is refused: for each check, the error class by what is found, or None -------------------------------------

VALUES: dict[tuple[Framework, str, str], str | None] = {
    # framework, normalises by, values
    ("torch", "batch", "none"): None,
    ("torch", "batch", "one"): "ValueError",
    ("torch", "batch", "many"): None,
    ("torch", "running", "none"): None,
    ("torch", "running", "one"): None,
    ("torch", "running", "many"): None,
    ("mindspore", "batch", "none"): None,
    ("mindspore", "batch", "one"): None,
    ("mindspore", "batch", "many"): None,
    ("mindspore", "running", "none"): None,
    ("mindspore", "running", "one"): None,
    ("mindspore", "running", "many"): None,
}

EPS: dict[tuple[Framework, str], dict[str, str | None]] = {
    # framework, normalises by: by the kind of eps.  MindSpore wants a float in (0, 1].
    # Real PyTorch takes an eps that is not finite; bnref refuses it.
    ("torch", "batch"): {"wrong type": "TypeError", "negative": "ValueError", "zero": "ValueError",
                         "positive": None, "above one": None, "not finite": "ValueError"},
    ("torch", "running"): {"wrong type": "TypeError", "negative": "ValueError", "zero": None,
                           "positive": None, "above one": None, "not finite": "ValueError"},
    ("mindspore", "batch"): {"wrong type": "TypeError", "negative": "ValueError", "zero": "ValueError",
                             "positive": None, "above one": "ValueError", "not finite": "ValueError"},
    ("mindspore", "running"): {"wrong type": "TypeError", "negative": "ValueError", "zero": "ValueError",
                               "positive": None, "above one": "ValueError", "not finite": "ValueError"},
}

# framework, does it fit?
RANK: dict[tuple[Framework, bool], str | None] = {
    ("torch", True): None, ("torch", False): "ValueError",
    ("mindspore", True): None, ("mindspore", False): "ValueError",
}
CHANNELS: dict[tuple[Framework, bool], str | None] = {
    ("torch", True): None, ("torch", False): "RuntimeError",
    ("mindspore", True): None, ("mindspore", False): "ValueError",
}


def _by_input(*errors: str | None) -> dict[str, str | None]:
    return dict(zip(AXES["torch"]["input"], errors, strict=True))


OK, TE, RE, NI = None, "TypeError", "RuntimeError", "NotImplementedError"
DTYPES: dict[Framework, dict[str, dict[str, str | None]]] = {
    # The layer's arrays against the input: float16, bfloat16, float32, float64, other.
    "torch": {
        "no arrays": _by_input(OK, OK, OK, OK, NI),  # none takes part in the call
        "float16": _by_input(OK, RE, RE, RE, NI),
        "bfloat16": _by_input(RE, OK, RE, RE, NI),
        "float32": _by_input(OK, OK, OK, RE, NI),
        "float64": _by_input(RE, RE, RE, OK, NI),
        "other": _by_input(RE, RE, RE, RE, NI),
    },
    "mindspore": {
        "float16": _by_input(OK, TE, OK, TE, TE),
        "bfloat16": _by_input(TE, TE, TE, TE, TE),
        "float32": _by_input(OK, TE, OK, TE, TE),
        "float64": _by_input(TE, TE, TE, TE, TE),
        "other": _by_input(TE, TE, TE, TE, TE),
    },
}

# In this order both frameworks look for mistakes: the first one found decides the class of the error.
CHECKS = ("rank", "values", "eps", "channels", "input")

# ---- The lookup -----------------------------------------------------------------------------------------------------


def enumerate_states(framework: Framework) -> tuple[Row, ...]:
    """List every state of a framework's layer with what it does there.

    Parameters
    ----------
    framework : {"torch", "mindspore"}

    Returns
    -------
    tuple of Row
        One row for each element of the product of ``AXES[framework]``, the last axis running fastest.  The layer's
        arrays are float32 and eps is positive.

    Raises
    ------
    ValueError
        `framework` is neither.
    """
    if not isinstance(framework, str) or framework not in AXES:
        raise ValueError(f"framework: {arguments.shown(framework)}; allowed: 'torch' or 'mindspore'")
    make = TorchState if framework == "torch" else MindSporeState
    states = (make(*values) for values in product(*AXES[framework].values()))
    return tuple(Row(framework, state, behaviour(state)) for state in states)


def behaviour(state: State, call: Call = NOTHING_WRONG) -> Behaviour:
    """Look up what a layer does in a state.

    Parameters
    ----------
    state : TorchState or MindSporeState
        The type says which framework's layer it is.
    call : Call
        What else is known of the call; by default nothing is wrong with it.

    Returns
    -------
    Behaviour

    Raises
    ------
    TypeError
        `state` is no state, or `call` no Call.
    ValueError
        There is no such state, or no such call.

    Examples
    --------
    >>> from bnref import states
    >>> inference = states.MindSporeState(training=False, use_batch_statistics=True, affine=True,
    ...                                   momentum="between", ndim=2, values="many", input="float32")
    >>> does = states.behaviour(inference)
    >>> does.normalises_by, does.mean, does.var          # in MindSpore this updates in inference too
    ('batch', 'moved', 'moved')
    """
    if not isinstance(state, (TorchState, MindSporeState)):
        raise TypeError(f"state: a {type(state).__name__}; allowed: a TorchState or a MindSporeState")
    if not isinstance(call, Call):
        raise TypeError(f"call: a {type(call).__name__}; allowed: a Call")
    try:
        _check(state, call)
        return _behaviour(state, call)
    except (KeyError, TypeError) as unknown:  # TypeError: it cannot be looked up, as a list cannot
        raise ValueError(f"state: {_shown(state)}, call: {_shown(call)}; {arguments.shown(unknown.args[0])} is no "
                         "combination of the values in states.AXES") from None


def _shown(record: State | Call) -> str:
    fields = (f"{field}={arguments.shown(value)}" for field, value in record._asdict().items())
    return f"{type(record).__name__}({', '.join(fields)})"


@cache
def _check(state: State, call: Call) -> None:
    # The number of axes may be any: whether a layer takes it is what Call.rank says.
    framework: Framework = "torch" if isinstance(state, TorchState) else "mindspore"
    known: list[tuple[Any, Collection[Any]]]
    known = [(value, AXES[framework][axis]) for axis, value in state._asdict().items() if axis != "ndim"]
    known += [(call.rank, (True, False)), (call.channels, (True, False)), (call.eps, EPS[framework, "batch"])]
    known += [(array, DTYPES[framework]) for array in call.arrays]
    for value, allowed in known:
        if value not in allowed:
            raise KeyError(value)


@cache
def _behaviour(state: State, call: Call) -> Behaviour:
    framework, statistics, parameters = _configuration(state)
    does = _does(framework, state, statistics, parameters)
    for check in CHECKS:
        error = _refusal(check, framework, state, call, statistics, parameters)
        if error is not None:
            return Behaviour(raises=error, because=check, deviates=_deviations_of_error(state, does, check))
    return does


def _configuration(state: State) -> tuple[Framework, Statistics, Parameters]:
    if isinstance(state, TorchState):
        return ("torch", TORCH_STATISTICS[state.training, state.track_running_stats, state.flag],
                PARAMETERS["torch"][state.affine, state.bias])
    return ("mindspore", MINDSPORE_STATISTICS[state.training, state.use_batch_statistics],
            PARAMETERS["mindspore"][state.affine])


def _does(framework: Framework, state: State, statistics: Statistics, parameters: Parameters) -> Behaviour:
    effect = UPDATE[framework][state.momentum] if statistics.updates else None
    usual = Behaviour(normalises_by=statistics.normalises_by, mean=effect, var=effect,
                      counts=framework == "torch" and statistics.updates,
                      learns=parameters.learns, applies=parameters.applies)
    return usual._replace(**FEW_VALUES[framework, statistics.normalises_by, state.values])


def _refusal(check: str, framework: Framework, state: State, call: Call, statistics: Statistics,
             parameters: Parameters) -> str | None:
    if check == "rank":
        return RANK[framework, call.rank]
    if check == "values":
        return VALUES[framework, statistics.normalises_by, state.values]
    if check == "eps":
        return EPS[framework, statistics.normalises_by][call.eps]
    if check == "channels":
        return CHANNELS[framework, call.channels]
    takes_part = parameters.applies or statistics.updates or statistics.normalises_by == "running"
    arrays = call.arrays if takes_part else ("no arrays",)
    errors = (DTYPES[framework][array][state.input] for array in arrays)
    return next((error for error in errors if error is not None), None)


def _deviations_of_error(state: State, does: Behaviour, check: str) -> tuple[str, ...]:
    if not isinstance(state, TorchState):
        return ()
    unchecked = state.values == "none" and check in ("channels", "input")
    return ("unchecked",) * unchecked + ("counted",) * (does.counts and check != "rank" and not unchecked)
