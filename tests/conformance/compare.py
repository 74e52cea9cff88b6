"""Put one call to both sides and say where they disagree."""

import itertools

import numpy as np
from agreement import judge, overflows
from sides import dtype_of

from bnref import states
from bnref.layer import _values_and_kind


def looked_up(layer, x):
    """What `bnref.states` says that bnref's layer does with this input, and the weight of the new observation."""
    core = getattr(layer, "bn2d", layer)
    if core is not layer and x.ndim == 5:  # MindSpore's 3-D layer is a 2-D one
        x = x.reshape(*x.shape[:2], x.shape[2] * x.shape[3], x.shape[4])
    does = states.behaviour(core._state(x, *_values_and_kind(x)), core._call(x))
    return does, core._weight_of_new(does) if not does.raises else 0.0


def attempt(side, layer, x, grad):
    """A step, or the class of its error."""
    try:
        return side.step(layer, x, grad), None
    except Exception as error:  # whatever it is: its class is what is compared
        return None, type(error).__name__


def step(real, ours, theirs_layer, our_layer, x, grad, judges=(judge,)):
    """One call on both layers, from the same arrays, judged by each of the judges.

    Returns
    -------
    (problems, deviations) : lists of sentences and of names from KNOWN
    """
    before = real.read(theirs_layer)
    ours.write(our_layer, before)
    does, momentum = looked_up(our_layer, x)
    got, error = attempt(real, theirs_layer, x, grad)
    mine, refusal = attempt(ours, our_layer, x, grad)
    after, ours_after = real.read(theirs_layer), ours.read(our_layer)
    if (does.because == "channels" and error in (None, "NotImplementedError") and real.framework == "torch"
            and _bare(theirs_layer)):
        return unchanged("the real layer's", before, after, ("mean", "var", "count")), ["uncounted"]
    if error or refusal:
        return _refused(error, refusal, does, before, after, ours_after), list(does.deviates)
    problems = [f"gradients: {_names(got)} are there, bnref has {_names(mine)}"] * (_names(got) != _names(mine))
    problems += [f"{name}: {theirs.dtype}{theirs.shape}, bnref {our.dtype}{our.shape}"
                 for name, theirs, our in zip(got._fields, got, mine, strict=True) if theirs is not None and our is not None
                 and (theirs.dtype, theirs.shape) != (our.dtype, our.shape)]
    if after["count"] != ours_after["count"]:
        problems.append(f"count: {after['count']}, bnref {ours_after['count']}")
    if problems:
        return problems, []
    by_batch = does.normalises_by != "running"
    updated, deviates = does.mean is not None, list(does.deviates)
    if updated and real.framework == "mindspore" and before["mean"].dtype == np.float16:
        deviates.append("lost")
    actual = dict(output=got.output, grad_input=got.input, grad_weight=got.weight, grad_bias=got.bias)
    if updated and not deviates:
        actual.update(running_mean=after["mean"], running_var=after["var"])
    elif "undefined" not in deviates:
        problems += unchanged("the real layer's", before, after, ("mean", "var"))
    problems += unchanged("bnref's", before, ours_after, ("mean", "var")) if not updated else []
    problems += unchanged("the real layer's", before, after, ("weight", "bias"))
    statistics = dict(mean=before["mean"], var=before["var"]) if updated or not by_batch else {}
    call = dict(weight=before["weight"], bias=before["bias"], grad=grad, training=by_batch, momentum=momentum,
                eps=float(our_layer.eps), **statistics)
    if real.framework == "torch" and overflows(x, statistics.get("mean"), statistics.get("var"), before["weight"], by_batch,
                                               call["eps"]):
        return problems, [*deviates, "overflow"]
    problems += itertools.chain.from_iterable(by(actual, x, **call) for by in judges)
    return problems, deviates


def _bare(layer):
    """Whether no array of a torch layer takes part in a call now."""
    aside = layer.running_mean is None or (layer.training and not layer.track_running_stats)
    return layer.weight is None and aside


def _refused(error, refusal, does, before, after, ours_after):
    """Problems where at least one side raised."""
    if "unchecked" in does.deviates and error is None:
        return [] if refusal == does.raises else [f"bnref raises {refusal}, its table says {does.raises}"]
    problems = [f"raises {error}, bnref {refusal}"] if error != refusal else []
    problems += unchanged("the real layer's", before, after, ("mean", "var", "weight", "bias"))
    problems += unchanged("bnref's", before, ours_after, ("mean", "var", "weight", "bias", "count"))
    if before["count"] is not None and after["count"] - before["count"] != ("counted" in does.deviates):
        problems.append(f"refused, and counted from {before['count']} to {after['count']}")
    return problems


def unchanged(whose, before, after, names):
    """A sentence for each array that is not the same bits any more."""
    return [f"{whose} {name} changed from {before[name]} to {after[name]}" for name in names
            if not _same(before[name], after[name])]


def _same(a, b):
    if a is None or b is None:
        return a is None and b is None
    return np.array_equal(np.asarray(a, np.float64), np.asarray(b, np.float64), equal_nan=True)


def _names(result):
    return [name for name, value in result._asdict().items() if value is not None]


def normal(rng, shape, dtype, mean=0.0, std=1.0):
    """Normal data of a dtype; of integers for "int64"."""
    data = rng.normal(mean, std, shape)
    return np.round(4 * data).astype(np.int64) if dtype == "int64" else data.astype(dtype_of(dtype))


def arrays(rng, channels):
    """Values for a layer's arrays that no default has: no two alike, weights of both signs, spread by powers of 2."""
    sign = rng.integers(0, 2, channels) * 2 - 1
    return {"mean": rng.normal(1, 3, channels), "var": rng.normal(0, 1, channels)**2 * 4 + 0.125,
            "weight": sign * (0.5 + rng.normal(0, 1, channels)**2), "bias": rng.normal(0, 2, channels)}
