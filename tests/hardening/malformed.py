"""Malformed calls of everything public: what is called, with what, and what must come of it.

`calls` gives them, from a seed; `violations` makes one and says what it broke.  Each must raise an error that the
docstring announces and that names the argument, and leave layers and arguments as they were.
"""

import inspect
import random
import re
import time
from typing import NamedTuple

import numpy as np

import bnref
from bnref.port import COUNTERPARTS, NoCounterpart

from . import hostile
from .hostile import HUGE, NOTHING_SENSIBLE, NUMBERS, TEXT

ERRORS = {error.__name__: error for error in (TypeError, ValueError, RuntimeError, NotImplementedError, MemoryError,
                                              NoCounterpart)}


class Call(NamedTuple):
    """A call to be spoilt: of `function` with `given`, where each argument in `pools` can be replaced by what is wrong."""

    function: object
    given: dict
    pools: dict
    promised: object    # whose docstring announces the errors
    layer: object = None  # must stay as it is
    spoilt: str = ""    # the attribute of the layer that is wrong already


# ---- What is called -------------------------------------------------------------------------------------------------

C = 3
X = np.arange(24, dtype=np.float32).reshape(4, C, 2)
OF_RANK = {1: X, 2: X[..., None], 3: X[..., None, None]}
ONES = np.ones(C)
FORWARD = dict(input=X, running_mean=ONES, running_var=ONES, weight=ONES, bias=ONES, training=True, momentum=0.1, eps=1e-5)


def _functional(rng):
    x = rng.choice([X, X[..., 0], X.astype(np.float64), X.astype(np.float16), X.astype(hostile.ml_dtypes.bfloat16)])
    function = rng.choice([bnref.batch_norm, bnref.batch_norm_backward, bnref.batch_norm_double_backward])
    takes = inspect.signature(function).parameters
    given = FORWARD | dict(input=x, grad_output=x, grad_grad_input=x, grad_grad_weight=ONES, grad_grad_bias=ONES,
                           training=rng.random() < 0.5)
    wrong = _of_forward(x) | dict(grad_output=hostile.likes(x) + [lambda: None], grad_grad_input=hostile.likes(x),
                                  grad_grad_weight=hostile.channels(C), grad_grad_bias=hostile.channels(C))
    return Call(function, *({name: values[name] for name in takes} for values in (given, wrong)), function)


def _of_forward(x):
    return dict.fromkeys(["running_mean", "running_var", "weight", "bias"], hostile.channels(C)) | dict(
        input=hostile.batches(x) + [lambda: None], training=hostile.FLAGS, momentum=hostile.FINITE_NUMBERS,
        eps=hostile.FINITE_NUMBERS)


def _testing(rng):
    function = rng.choice([bnref.testing.compare, bnref.testing.assert_batch_norm, bnref.testing.explain])
    arrays = NOTHING_SENSIBLE + TEXT + NUMBERS + hostile.of_wrong_dtype(X.shape) + hostile.masked(X.shape)
    arrays = [make for make in arrays if not isinstance(make(), np.floating)]
    actual = [lambda make=make: {"output": make()} for make in arrays] + NOTHING_SENSIBLE + TEXT + [
        lambda: {3: X}, lambda: {"y": X}, lambda: {"x" * 10**6: X}, lambda: None]
    pools = _of_forward(X) | dict(actual=actual, grad_output=hostile.likes(X), precision=hostile.NO_DTYPES,
                                  accumulate=hostile.NO_STRINGS + TEXT)
    return Call(function, FORWARD | dict(actual={"output": X, "grad_input": X}, grad_output=X), pools, function)


def _witness(rng):
    pools = dict(training=hostile.FLAGS + [lambda: None], dtype=hostile.NO_DTYPES + [lambda: np.float16])
    return Call(bnref.testing.witness, {}, pools, bnref.testing.witness)


def _torch_constructor(rng):
    layer = rng.choice(list(COUNTERPARTS))
    pools = dict(num_features=hostile.SIZES, dtype=hostile.NO_DTYPES, device=hostile.NO_STRINGS + TEXT)
    pools |= dict.fromkeys(["affine", "track_running_stats", "bias"], hostile.UNDECIDED)
    return Call(layer, {"num_features": C}, pools, layer)


def _mindspore_constructor(rng):
    layer = rng.choice(list(COUNTERPARTS.values()))
    pools = dict(num_features=hostile.SIZES + [lambda: 0], dtype=hostile.NO_DTYPES + [lambda: None],
                 affine=hostile.FLAGS + [lambda: None], momentum=hostile.NO_NUMBERS + hostile.NOT_FINITE + [lambda: 1.5, lambda: None],
                 use_batch_statistics=hostile.FLAGS, data_format=hostile.NO_STRINGS + TEXT + [lambda: "NHWC", lambda: None])
    if layer is bnref.mindspore.BatchNorm3d:
        del pools["data_format"]
    pools |= dict.fromkeys(["gamma_init", "beta_init", "moving_mean_init", "moving_var_init"],
                           hostile.channel_arrays(C) + NOTHING_SENSIBLE + TEXT + [lambda: None, hostile.NoFloat])
    return Call(layer, {"num_features": C}, pools, layer)


def _call(rng):
    layer, rank = _layer(rng)
    x = OF_RANK[rank]
    wrong = (NOTHING_SENSIBLE + TEXT + NUMBERS + hostile.of_wrong_dtype(x.shape) + hostile.masked(x.shape)
             + [lambda: None, x.tolist, lambda: x[0, :, 0], lambda: x[None, None], lambda: x[:, :2], lambda: HUGE,
                lambda: np.broadcast_to(np.float32(1), (2**28, C) + (2 ** (28 // rank),) * rank), lambda: x.astype(np.float64)])
    argument = getattr(layer, "argument", "x")
    return Call(layer, {argument: x}, {argument: wrong}, type(layer), layer)


def _spoilt(rng):
    """A call, or a port, of a layer of which somebody has spoilt an attribute."""
    layer, _ = _layer(rng, rank=1)
    arrays = hostile.channel_arrays(C, keep="biufc") + NOTHING_SENSIBLE + TEXT + NUMBERS + [lambda: [1.0] * C]
    pools = dict.fromkeys(layer.names, arrays)
    if layer.framework == "torch":
        function, argument = rng.choice([(layer.train(), "input"), (bnref.port.to_mindspore, "bn")])
        pools |= dict(track_running_stats=hostile.UNDECIDED, momentum=hostile.NO_NUMBERS + hostile.NOT_FINITE,
                      num_batches_tracked=NOTHING_SENSIBLE + TEXT + NUMBERS + [lambda: np.zeros(1, int), lambda: np.array(1.0)],
                      eps=hostile.NO_NUMBERS + hostile.NOT_FINITE + [lambda: -1.0, lambda: None])
    else:
        function, argument = rng.choice([(layer.set_train(), "x"), (bnref.port.to_torch, "net")])
        pools |= dict(use_batch_statistics=hostile.FLAGS)
    if function is layer:
        pools |= dict(training=hostile.FLAGS + [lambda: None])
    name = rng.choice(list(pools))
    setattr(layer, name, rng.choice(pools[name])())
    promised = type(layer) if function is layer else function
    return Call(function, {argument: X if function is layer else layer}, {}, promised, layer, name)


def _backward(rng):
    layer, rank = _layer(rng)
    x = OF_RANK[rank]
    layer(x)
    wrong = NOTHING_SENSIBLE + TEXT + NUMBERS + hostile.masked(x.shape) + [
        lambda: None, x.tolist, lambda: x[0], lambda: x[:-1], lambda: x[:, :2], lambda: x[None], lambda: HUGE]
    wrong += hostile.of_wrong_dtype(x.shape, keep="biuf" if isinstance(layer, tuple(COUNTERPARTS)) else "")
    return Call(layer.backward, {"grad_output": x}, {"grad_output": wrong}, layer.backward, layer)


def _load(rng):
    layer, _ = _layer(rng, bnref.torch)
    state = {name: array.copy() for name, array in layer.state_dict().items()}
    key = rng.choice([name for name in state if name != "num_batches_tracked"])
    arrays = hostile.channel_arrays(C, keep="biuf") + NOTHING_SENSIBLE + TEXT + NUMBERS[:6]
    wrong = [lambda make=make: state | {key: make()} for make in arrays]
    wrong += [lambda: state | {3: X}, lambda: state | {"w" * 10**6: X}, lambda: state | {None: None},
              lambda: {name: array for name, array in state.items() if name != "weight"}]
    wrong += NOTHING_SENSIBLE + TEXT + NUMBERS + [hostile.BadMapping, lambda: None, lambda: list(state.items())]
    return Call(layer.load_state_dict, {"state_dict": state}, {"state_dict": wrong, "strict": hostile.UNDECIDED},
                layer.load_state_dict, layer)


def _modes(rng):
    layer, _ = _layer(rng)
    method, argument, pool = rng.choice(
        [("train", "mode", hostile.FLAGS + [lambda: None]), ("state_dict", "prefix", hostile.NO_STRINGS)]
        if isinstance(layer, tuple(COUNTERPARTS)) else
        [("set_train", "mode", hostile.UNDECIDED), ("update_parameters_name", "prefix", hostile.NO_STRINGS)])
    return Call(getattr(layer, method), {}, {argument: pool}, getattr(layer, method), layer)


def _port(rng):
    function, argument, module = rng.choice([(bnref.port.to_mindspore, "bn", bnref.mindspore),
                                             (bnref.port.to_torch, "net", bnref.torch)])
    wrong = NOTHING_SENSIBLE + TEXT + NUMBERS + [lambda: None, lambda: X, lambda: _layer(rng, module)[0]]
    return Call(function, {}, {argument: wrong}, function)


def _checkpoint(rng):
    function, names = rng.choice([
        (bnref.port.checkpoint_to_mindspore, ["weight", "bias", "running_mean", "running_var"]),
        (bnref.port.checkpoint_to_torch, ["gamma", "beta", "moving_mean", "moving_variance"])])
    group = {f"bn.{name}": ONES for name in names}
    key = rng.choice(list(group))
    no_arrays = TEXT + NUMBERS + [object, hostile.ShapeRaises, hostile.Endless, lambda: X, lambda: np.ones(C + 1), lambda: None]
    wrong = [lambda make=make: group | {key: make()} for make in no_arrays]
    wrong += [lambda: {name: array for name, array in group.items() if "mean" not in name}, hostile.BadMapping, lambda: None]
    wrong += [make for make in NOTHING_SENSIBLE if not isinstance(make(), dict)] + TEXT + NUMBERS
    prefixes = NOTHING_SENSIBLE + TEXT + NUMBERS + [lambda: ["nowhere"], lambda: ["bn", 3], lambda: [[]]]
    prefixes = [make for make in prefixes if not isinstance(make(), (dict, set))]  # an empty one is allowed
    return Call(function, {"d": group}, {"d": wrong, "batch_norm_3d": prefixes}, function)


def _states(rng):
    row = rng.choice(ROWS)
    field = rng.choice([field for field in row.state._fields if field != "ndim"])
    junk = NOTHING_SENSIBLE + TEXT
    states = [lambda make=make: row.state._replace(**{field: make()}) for make in junk] + junk + [lambda: None]
    calls = [lambda make=make: bnref.states.Call(eps=make()) for make in junk] + junk + [lambda: None]
    function, pools = rng.choice([
        (bnref.states.behaviour, {"state": states, "call": calls}),
        (bnref.states.enumerate_states, {"framework": hostile.NO_STRINGS + TEXT})])
    return Call(function, {"state": row.state} if "state" in pools else {}, pools, function)


ROWS = [row for name in bnref.states.AXES for row in bnref.states.enumerate_states(name)[::97]]
KINDS = [_functional, _functional, _testing, _testing, _witness, _torch_constructor, _mindspore_constructor, _call, _call, _spoilt,
         _spoilt, _backward, _load, _modes, _port, _checkpoint, _states]


def _layer(rng, module=None, rank=None):
    """A layer that has been used once, and the number of its spatial axes."""
    module, rank = module or rng.choice([bnref.torch, bnref.mindspore]), rank or rng.choice([1, 2, 3])
    layer = getattr(module, f"BatchNorm{rank}d")(C)
    if rng.random() < 0.7:
        layer(OF_RANK[rank])
    return layer, rank


# ---- What comes of it -----------------------------------------------------------------------------------------------

def calls(count, seed):
    """`count` malformed calls: (Call, its arguments, the names of those that are wrong)."""
    rng = random.Random(seed)
    for _ in range(count):
        call = rng.choice(KINDS)(rng)
        wrong = [call.spoilt] if call.spoilt else rng.sample(list(call.pools), min(len(call.pools), rng.choice([1, 1, 1, 2, 3])))
        yield call, call.given | {name: rng.choice(call.pools[name])() for name in wrong if name in call.pools}, wrong


def announced(promised):
    """The errors that a docstring announces: in its section Raises, or, without one, anywhere."""
    text = inspect.getdoc(promised)
    section = re.search(r"^Raises\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", text, re.MULTILINE | re.DOTALL)
    names = re.findall(r"\b(\w+Error|NoCounterpart)\b", section[1] if section else text)
    return tuple({ERRORS[name] for name in names if name in ERRORS})


def violations(call, arguments, wrong):
    """What a call breaks, in words, and how long it took."""
    before, found = _snapshot(call.layer, arguments), []
    start = time.perf_counter()
    try:
        result = call.function(**arguments)
    except Exception as error:
        taken = time.perf_counter() - start
        if not isinstance(error, announced(call.promised)):
            found.append(f"{type(error).__name__}, which is not announced: {error}"[:300])
        elif not any(name in str(error) for name in wrong):
            found.append(f"does not name the argument: {error}"[:300])
        elif len(str(error)) > 5000 and "w" * 1000 not in str(error):
            found.append(f"has {len(str(error))} characters: {error}"[:300])
    else:
        taken = time.perf_counter() - start
        found.append(f"no error, but {type(result).__name__}")
    if _snapshot(call.layer, arguments) != before:
        found.append("a layer or an argument has changed")
    return found, taken


def _snapshot(layer, arguments):
    inside = [] if layer is None else [vars(layer), vars(getattr(layer, "bn2d", layer))]
    return [{name: _frozen(value) for name, value in values.items()} for values in [*inside, arguments]]


def _frozen(value):
    if isinstance(value, dict):
        return id(value), [(key, _frozen(each)) for key, each in value.items()]
    if not isinstance(value, np.ndarray):
        return id(value)
    return id(value), value.dtype, value.shape, value.strides, np.asarray(value).tobytes() if value.size < 10**6 else None


def described(call, arguments, wrong):
    """A call in words, for a message."""
    shown = [f"{name}={bnref.arguments.shown(arguments.get(name, getattr(call.layer, name, None)))}" for name in wrong]
    return f"{getattr(call.promised, '__qualname__', call.promised)}, {', '.join(shown)}"
