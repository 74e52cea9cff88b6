"""Batch normalisation with a bug planted: textbook NumPy in the dtype of the input, in many styles; nothing of bnref is used.

A mistake is made in more than one way, and often in a part of the code alone: `Style` is what real code differs in.
"""

from types import SimpleNamespace

import ml_dtypes
import numpy as np

ONLY_EVALUATION = {"batch in place of running statistics", "statistics updated in evaluation"}
EITHER = {"eps outside the root", "eps 1e-3 of another library", "eps 2e-5 of another library",
          "eps float32(1e-5) of another library", "weight missing", "bias missing", "weight and bias swapped"}
GRADIENTS = {"gradient with mean detached", "gradient with variance detached", "inference gradient in training",
             "weight missing in the gradient", "gradient sums not divided by n", "var rebuilt from rstd in the gradient"}
EPSILONS = {"eps 1e-3 of another library": lambda eps: 1e-3, "eps 2e-5 of another library": lambda eps: 2e-5,
            "eps float32(1e-5) of another library": np.float32}
SHAPES = [(8, 3), (33, 5), (2, 4), (3, 1), (7, 3, 11), (64, 4), (9, 2, 5, 3), (128, 2), (5, 1, 7), (4, 3, 3), (500, 2), (4, 4, 4)]
HALVES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]


def in_turn(rows):
    """The sum of the rows, one addition after the other, each rounded."""
    total = np.zeros(rows.shape[1:], rows.dtype)
    for row in rows:
        total = (total + row).astype(rows.dtype)
    return total


SUMS = [in_turn, lambda rows: in_turn(rows[::-1]), lambda rows: rows.sum(axis=0),
        lambda rows: np.ascontiguousarray(rows.T).sum(axis=-1), lambda rows: rows.sum(axis=0, dtype=np.float64).astype(rows.dtype)]


def into_half(rows, half):
    """The same for rows of more digits than the total has."""
    total = np.zeros(rows.shape[1:], half)
    for row in rows:
        total = (total.astype(rows.dtype) + row).astype(half)
    return total


HALF_SUMS = [into_half, lambda rows, half: in_turn(rows.astype(half)), lambda rows, half: rows.astype(half).sum(axis=0, dtype=half)]

PLAIN = SimpleNamespace(
    sum=in_turn, form="centred", lerp=False, chain=False, forward_only=False, as_if_right=False, reported=False, moved=False,
    given=False, half=HALVES[0], half_sum=HALF_SUMS[1], scope="both", divided_in_half=False, one_pass=0, default=0.9,
    sums="both", rebuilt=0, way=0)


def style(rng):
    """One of the many ways to write it."""
    def one(*choices):
        return choices[rng.integers(len(choices))]

    yes_or_no = (False, True)
    return SimpleNamespace(
        sum=one(*SUMS), form=one("centred", "divided", "folded"), lerp=one(*yes_or_no), chain=one(*yes_or_no),
        forward_only=one(False, False, True), as_if_right=one(False, False, True), reported=one(*yes_or_no),
        moved=one(*yes_or_no), given=one(False, False, True), half=one(*HALVES), half_sum=one(*HALF_SUMS),
        scope=one("mean", "squares", "both", "all", "gradients"), divided_in_half=one(*yes_or_no), one_pass=one(0, 1, 2),
        default=one(0.1, 0.9), sums=one("both", "both", "first", "second"), rebuilt=one(0, 1, 2, 3, 4, 5), way=one(0, 1, 2))


def rows_of(array):
    return np.moveaxis(array, 1, -1).reshape(-1, array.shape[1])


def planted(call, bug=None, how=PLAIN):
    """All results of a call by code with this bug, in this style."""
    with np.errstate(all="ignore"):
        results = (_over_wrong_axes if bug and bug.startswith("statistics over") else _by_channel)(call, bug, how)
    return {name: np.asarray(value, call["input"].dtype) for name, value in results.items()}


def _arrays(call):
    """Weight, bias and running statistics in the dtype of the input; ones and zeros where none are given."""
    dtype, channels = call["input"].dtype, call["input"].shape[1]
    weight, bias = (np.full(channels, otherwise, dtype) if call[name] is None else call[name].astype(dtype)
                    for name, otherwise in (("weight", 1), ("bias", 0)))
    return weight, bias, *(None if call[name] is None else call[name].astype(dtype) for name in ("running_mean", "running_var"))


def _by_channel(call, bug, how):
    x, number = rows_of(call["input"]), call["input"].dtype.type
    weight, bias, old_mean, old_var = _arrays(call)
    n, right_eps = number(len(x)), number(call["eps"])
    eps = number(EPSILONS[bug](call["eps"])) if bug in EPSILONS else right_eps
    mean, var = _statistics(x, n, bug, how)
    by_batch = call["training"] != (bug in ("running in place of batch statistics", "batch in place of running statistics"))
    used = _used(mean, var, old_mean, old_var, n, by_batch, bug)
    w, b = {"weight missing": (np.ones_like(weight), bias), "bias missing": (weight, np.zeros_like(bias)),
            "weight and bias swapped": (bias, weight)}.get(bug, (weight, bias))
    rstd = _rstd(used[1], eps, bug)
    found = {"output": _placed(_output(x, used[0], rstd, w, b, how), call)}
    if call["training"]:
        report = how.reported and bug in ("unbiased variance used to normalise", "running in place of batch statistics")
        found |= zip(("mean", "var"), used if report else (mean, var))
    if old_mean is not None:
        found |= zip(("running_mean", "running_var"), _updated(call, old_mean, old_var, mean, var, n, bug, how))
    if how.forward_only:
        w, by_batch, eps = weight, call["training"], right_eps
        used = (mean, var) if by_batch else (old_mean, old_var)
        rstd = _rstd(used[1], eps, None)
    found |= _backward(call, x, n, used, rstd, w, eps, by_batch, bug, how)
    return found


def _placed(rows, call):
    shape = call["input"].shape
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def _sum(rows, how, part):
    """A sum, in half precision if this part is."""
    return how.half_sum(rows, how.half) if part else how.sum(rows)


def _mean(rows, n, how, part):
    total = _sum(rows, how, part)
    return (total / total.dtype.type(n) if part and how.divided_in_half else total.astype(rows.dtype) / n).astype(rows.dtype)


def _statistics(x, n, bug, how):
    half = how.scope if bug == "half-precision accumulation" else ""
    mean = _mean(x, n, how, half in ("mean", "both", "all"))
    if bug == "one-pass variance":
        square = how.sum(x * x) / n
        return mean, [square - mean * mean, np.maximum(square - mean * mean, 0), (how.sum(x * x) - n * mean * mean) / n][how.one_pass]
    return mean, _mean((x - mean) ** 2, n, how, half in ("squares", "both", "all"))


def _used(mean, var, old_mean, old_var, n, by_batch, bug):
    if not by_batch:
        return old_mean, old_var
    return mean, var * n / (n - 1) if bug == "unbiased variance used to normalise" else var


def _rstd(var, eps, bug):
    return 1 / (np.sqrt(var) + eps) if bug == "eps outside the root" else 1 / np.sqrt(var + eps)


def _output(x, mean, rstd, weight, bias, how):
    if how.form == "folded":
        slope = weight * rstd
        return x * slope + (bias - mean * slope)
    return ((x - mean) / (1 / rstd) if how.form == "divided" else (x - mean) * rstd) * weight + bias


def _updated(call, old_mean, old_var, mean, var, n, bug, how):
    momentum = {"momentum inverted": 1 - call["momentum"], "momentum of the other framework's default": how.default}
    m = mean.dtype.type(momentum.get(bug, call["momentum"]))
    new_var = var if bug == "biased variance used to update" else var * n / (n - 1)
    times = {"statistics updated twice": 2, "statistics not updated": 0, "statistics updated in evaluation": 1,
             "running in place of batch statistics": int(how.moved), "batch in place of running statistics": int(how.moved)}
    for _ in range(times.get(bug, int(call["training"]))):
        old_mean, old_var = ((old + m * (new - old) if how.lerp else (1 - m) * old + m * new)
                             for old, new in ((old_mean, mean), (old_var, new_var)))
    return old_mean, old_var


def _backward(call, x, n, used, rstd, weight, eps, by_batch, bug, how):
    g, (mean, var) = rows_of(call["grad_output"]), used
    xhat = (x - mean) * rstd
    half = bug == "half-precision accumulation" and how.scope in ("all", "gradients")
    dbias, dweight = (_sum(values, how, half).astype(g.dtype) for values in (g, g * xhat))
    first, second = dbias / n, xhat * (dweight / n)
    if bug == "unbiased variance used to normalise" and by_batch and not (how.as_if_right or how.forward_only):
        second = xhat * (dweight / (n - 1))
    if bug == "eps outside the root" and by_batch and not (how.as_if_right or how.forward_only):
        second = xhat * (dweight / n) / (np.sqrt(var) * rstd)
    if bug == "gradient sums not divided by n":
        first, second = (first if how.sums == "second" else dbias), (second if how.sums == "first" else xhat * dweight)
    if bug == "var rebuilt from rstd in the gradient":
        wrong = [1 / rstd**2, rstd, 1 / rstd, 1 / rstd**2 - eps][how.rebuilt % 4]
        rstd = 1 / np.sqrt(wrong + (eps if how.rebuilt < 3 else 0))
        if how.given:
            xhat = (x - mean) * rstd
            second = xhat * (how.sum(g * xhat) / n)
    if not by_batch or bug in ("gradient with mean detached", "inference gradient in training"):
        first = 0
    if not by_batch or bug in ("gradient with variance detached", "inference gradient in training"):
        second = 0
    dx = rstd * (g - first - second) * (1 if bug == "weight missing in the gradient" else weight)
    if how.chain and bug is None and by_batch:
        dvar = how.sum(g * weight * (x - mean)) * rstd**3 / -2
        dx = g * weight * rstd + dvar * 2 * (x - mean) / n - how.sum(g * weight) * rstd / n
    if bug == "weight and bias swapped" and how.given and not how.forward_only:
        dweight, dbias = dbias, dweight
    zero = how.given and bug in ("weight missing", "bias missing")
    return {"grad_input": _placed(dx, call), "grad_weight": 0 * dweight if zero and bug == "weight missing" else dweight,
            "grad_bias": 0 * dbias if zero and bug == "bias missing" else dbias}


def _over_wrong_axes(call, bug, how):
    x, g, last, channels = call["input"], call["grad_output"], call["input"].ndim - 1, call["input"].shape[1]
    axes = {"per sample": [tuple(range(1, last + 1)), tuple(range(2, last + 1)) or (1,), (1,)],
            "per position": [(0,), (1,), (0, 1) if last > 2 else (0,)],
            "channels last": [tuple(range(last))] * 2 + [(0,)]}[bug.split(": ")[1]][how.way]
    along, back = 1, x.shape
    if bug.endswith("channels last") and how.way == 1 and x.shape[-1] == channels:
        along = last
    if bug.endswith("channels last") and how.way == 2:
        x, g = x.reshape(-1, channels), g.reshape(-1, channels)
    spread = [1] * x.ndim
    spread[along] = -1
    weight, bias = (array.reshape(spread) for array in _arrays(call)[:2])
    mean = x.mean(axis=axes, keepdims=True)
    rstd = 1 / np.sqrt(((x - mean) ** 2).mean(axis=axes, keepdims=True) + x.dtype.type(call["eps"]))
    xhat, scaled = (x - mean) * rstd, g * weight
    dx = rstd * (scaled - scaled.mean(axis=axes, keepdims=True) - xhat * (scaled * xhat).mean(axis=axes, keepdims=True))
    others = tuple(axis for axis in range(x.ndim) if axis != along)
    return {"output": (xhat * weight + bias).reshape(back), "grad_input": dx.reshape(back),
            "grad_weight": (g * xhat).sum(axis=others), "grad_bias": g.sum(axis=others)}


def random_call(rng, dtype, training=True, shape=None, centre=None):
    """Arguments of `compare` after `actual`: mean / std from 0 to 1e4."""
    shape = shape or SHAPES[rng.integers(len(SHAPES))]
    channels, spread = shape[1], (1, shape[1]) + (1,) * (len(shape) - 2)
    centre = rng.choice([0, 0.5, 3.0, 30.0, 300.0, 1000.0]) if centre is None else centre
    std = rng.choice([0.1, 1, 1, 5])
    x = rng.normal(0, std, shape) * rng.uniform(0.5, 2, spread) + centre * rng.choice([-1, 1], spread) * rng.uniform(0.5, 1.5, spread)
    arrays = dict(input=x, running_mean=rng.normal(centre, 1, channels), running_var=rng.uniform(0.5, 3, channels),
                  weight=rng.uniform(0.3, 3, channels) * rng.choice([-1, 1], channels), bias=rng.normal(0, 2, channels),
                  grad_output=rng.normal(0.5, 1, shape))
    return {name: array.astype(dtype) for name, array in arrays.items()} | dict(
        training=training, momentum=float(rng.choice([0.1, 0.3, 0.01])), eps=float(rng.choice([1e-5, 1e-5, 0.01, 1e-8])))


def case(bug, dtype, rng):
    """A random call, and what code with the bug gives: everything, or any part of it."""
    training = bug not in ONLY_EVALUATION and not (bug in EITHER and rng.integers(4) == 0)
    how = style(rng)
    shapes = [shape for shape in SHAPES if len(shape) > 2 or not ("per position" in bug or "channels last" in bug)]
    call = random_call(rng, dtype, training, shapes[rng.integers(len(shapes))],
                       centre=rng.choice([10.0, 100.0, 1000.0]) if bug == "one-pass variance" else None)
    if bug == "eps float32(1e-5) of another library":
        call["eps"] = 1e-5
    for name in ("weight", "bias"):
        if rng.integers(4) == 0 and name not in bug:
            call[name] = None
    if training and rng.integers(5) == 0 and not any(word in bug for word in ("running", "statistics", "momentum", "update")):
        call["running_mean"] = call["running_var"] = None
    if call["momentum"] == how.default:
        how.default = 0.9
    actual = planted(call, bug, how)
    if rng.integers(2):
        kept = [("output",), ("mean", "var", "running_mean", "running_var"), ("grad_input", "grad_weight", "grad_bias"),
                tuple(rng.permutation(list(actual))[:rng.integers(1, len(actual) + 1)])][rng.integers(4)]
        kept += ("grad_input",) if bug in GRADIENTS else ("output",) if call["running_mean"] is None else ()
        actual = {name: value for name, value in actual.items() if name in kept} or actual
    return call, actual
