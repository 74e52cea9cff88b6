"""See what a layer does in a state, by its results alone.

The same experiment is made on the real layers (record_states.py) and on bnref's (tests/layers).  It looks into no
decision table: it gives the layer's arrays known values, calls it once or twice, and infers from the output and from
the running statistics what it normalised by, what it updated and how, what it counted and applied, or what it raised.
"""

import itertools

import numpy as np

EPS = 1e-5
TOLERANCE = 0.01  # float16 and bfloat16 results are among those that are compared

# Channel 0 and 1 are ordinary; channel 2 contains a NaN, which shows an update of weight 0 (0 * NaN is NaN).
OLD = {"mean": np.array([10.0, -6.0, 1.0]), "var": np.array([4.0, 16.0, 1.0])}
SCALE = {"weight": np.array([2.0, 0.5, 3.0]), "bias": np.array([1.0, -3.0, 0.5])}
BATCHES = {
    (2, "none"): np.zeros((0, 3)),
    (2, "one"): np.array([[3.0, 5.0, np.nan]]),
    (2, "many"): np.array([[3.0, 5.0, np.nan], [7.0, -1.0, 1.0], [2.0, 4.0, 2.0], [-4.0, 8.0, 3.0]]),
    (3, "none"): np.zeros((2, 3, 0)),
    (3, "one"): np.array([[[3.0], [5.0], [np.nan]]]),
    (3, "many"): np.array([[[3.0, 7.0], [5.0, -1.0], [np.nan, 1.0]], [[2.0, -4.0], [4.0, 8.0], [2.0, 3.0]]]),
}


def batch(ndim, values, integers=False):
    """Give the batch of an experiment.  Integers have no NaN; 0 stands in its place."""
    x = BATCHES[ndim, values]
    return np.nan_to_num(x) if integers else x


def observe(bench, state):
    """Do the experiment of one state on a workbench, and say what happened.

    Parameters
    ----------
    bench : object with
        ``build(state)``, a layer whose arrays hold OLD and SCALE;
        ``call(layer, state, x)``, its float64 output;
        ``read(layer)``, {"mean", "var", "count"}, float64 arrays or None;
        ``learns(layer)``, the names of the parameters that learned from the last call; and ``names``, what it calls
        {"weight", "bias"}.
    state : NamedTuple of `bnref.states`

    Returns
    -------
    dict
        The fields of `bnref.states.Behaviour` that can be seen from outside.
    """
    layer = bench.build(state)
    x = batch(state.ndim, state.values, state.input == "other")
    before = bench.read(layer)
    seen = dict(normalises_by=None, mean=None, var=None, counts=False, learns=[], applies=[], raises=None)
    try:
        output = bench.call(layer, state, x)
    except Exception as error:  # whatever it is: its class is the observation
        seen["raises"] = type(error).__name__
    after = bench.read(layer)
    seen["counts"] = before["count"] is not None and bool(after["count"] == before["count"] + 1)
    if seen["raises"]:
        for name in ("mean", "var"):
            assert before[name] is None or np.array_equal(before[name], after[name], equal_nan=True), (state, name)
        return seen
    seen["learns"] = list(bench.learns(layer))
    seen["normalises_by"], seen["applies"] = _normalisation(bench, x, output)
    for name in ("mean", "var"):
        seen[name] = _effect(name, x, before, after)
    if seen["mean"] == "replaced" and state.momentum is None:  # the first of an average; the second tells
        bench.call(layer, state, x + 1)
        second = _weight(_statistic("mean", x + 1), after["mean"], bench.read(layer)["mean"])
        seen["mean"] = seen["var"] = "averaged" if abs(second - 0.5) < TOLERANCE else f"second weight {second}"
    return seen


def _statistic(name, x):
    axes = (0,) + tuple(range(2, x.ndim))
    count = x.size // x.shape[1]
    if name == "mean":
        return x.mean(axes)
    return x.var(axes) * count / (count - 1) if count > 1 else np.full(x.shape[1], np.nan)


def _normalisation(bench, x, output):
    if not x.size:
        return "nothing", []
    shape = (1, -1) + (1,) * (x.ndim - 2)
    axes = (0,) + tuple(range(2, x.ndim))
    found = []
    for by, (mean, var) in {"batch": (x.mean(axes), x.var(axes)), "running": (OLD["mean"], OLD["var"])}.items():
        for with_weight, with_bias in itertools.product((True, False), repeat=2):
            weight = SCALE["weight"] if with_weight else np.ones(3)
            bias = SCALE["bias"] if with_bias else np.zeros(3)
            y = (x - mean.reshape(shape)) / np.sqrt(var + EPS).reshape(shape) * weight.reshape(shape) + bias.reshape(shape)
            if np.allclose(y[:, :2], output[:, :2], rtol=TOLERANCE, atol=TOLERANCE):
                found.append((by, [name for name, used in zip(bench.names, (with_weight, with_bias), strict=True) if used]))
    # One value normalised by itself is 0: no weight shows.  The parameters that exist are then taken at their word.
    if len({by for by, _ in found}) == 1 and x.size == x.shape[1]:
        return found[0]
    return found[0] if len(found) == 1 else (f"ambiguous: {found}", [])


def _weight(statistic, old, new):
    weights = ((new - old) / (statistic - old))[:2]
    return weights[0] if abs(weights[0] - weights[1]) < TOLERANCE else float("nan")


def _effect(name, x, before, after):
    old, new = before[name], after[name]
    if old is None or np.array_equal(old, new, equal_nan=True):
        return None
    if not x.size:
        return "undefined"  # there is nothing that it could have been updated by
    if np.isnan(new).all():
        return "NaN"
    weight = _weight(_statistic(name, x), old, new)
    for effect, value in (("kept", 0), ("replaced", 1)):
        if abs(weight - value) < TOLERANCE:
            return effect
    return "moved" if 0 < weight < 1 else "overshot"
