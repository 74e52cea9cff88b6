"""The ladder: how far the frameworks are from the truth as the mean grows over the standard deviation.

Recorded in tests/golden/ladder.json for chapter 06: float32, standard deviation 1, no affine part, eps 1e-5.  `output`,
`mean` and `var` are those of a training call (the running statistics, replaced), `inference` the output by the true
statistics rounded to float32, which is all that onnxruntime does.  Of each result the worst and the median error of an
element in ulp of its true value, and the worst absolute error.  Where an output is near zero its own ulp says little: for
the worst, the ulp of an output is at least that of 1, one standard deviation out.
"""

import numpy as np
from sides import Subject

import bnref

SHAPES = ((4096, 1), (256, 8), (64, 16, 32))
RATIOS = tuple(float(f"{10 ** (k / 2):.3g}") for k in range(15))
EPS = 1e-5


def data(shape, ratio):
    """The data of a rung."""
    return np.random.default_rng(0).normal(ratio, 1, shape).astype(np.float32)


def rung(real, shape, ratio):
    """The errors of one framework on one rung."""
    x = data(shape, ratio)
    wide, zero, one = x.astype(np.float64), np.zeros(shape[1]), np.ones(shape[1])
    true = bnref.batch_norm(wide, zero, one, training=True, momentum=1.0, eps=EPS)
    mean, var = true.mean.astype(np.float32), true.var.astype(np.float32)
    values = {"weight": one, "bias": zero, "mean": mean, "var": var}
    values = {name: value.astype(np.float32) for name, value in values.items()}
    eps = float(np.float32(EPS)) if real.framework == "onnxruntime" else EPS
    inferred = bnref.batch_norm(wide, mean.astype(np.float64), var.astype(np.float64), training=False, eps=eps).output
    if real.framework == "onnxruntime":
        return {"inference": error(real.normalise(x, values, EPS), inferred, 1.0)}
    arguments = dict(eps=EPS, momentum=1.0 if real.framework == "torch" else 0.0)
    layer = real.build(Subject(real.framework, shape[1], arguments, training=False))
    real.write(layer, values)
    found = {"inference": error(real.step(layer, x).output, inferred, 1.0)}
    real.set_modes(layer, Subject(real.framework, shape[1], arguments, training=True))
    y, after = real.step(layer, x).output, real.read(layer)
    return {"output": error(y, true.output, 1.0), "mean": error(after["mean"], true.running_mean),
            "var": error(after["var"], true.running_var), **found}


def error(got, true, least=0.0):
    """Worst and median error in ulp, and the worst error."""
    off, size = np.abs(got.astype(np.float64) - true), np.abs(true).astype(np.float32)
    worst, median = (off / np.spacing(np.maximum(size, np.float32(floor))) for floor in (least, 2.0**-100))
    return {"worst_ulp": float(f"{worst.max():.3g}"), "median_ulp": float(f"{np.median(median):.3g}"), "worst": float(f"{off.max():.3g}")}


def measure(real):
    """All rungs of a framework: {shape: {result: {what: list over RATIOS}}}."""
    found = {}
    for shape in SHAPES:
        rungs = [rung(real, shape, ratio) for ratio in RATIOS]
        found["x".join(map(str, shape))] = {name: {what: [r[name][what] for r in rungs] for what in rungs[0][name]} for name in rungs[0]}
    return found


def alike(ours, theirs):
    """Whether two errors tell the same story: another processor sums in another order."""
    return max(ours, theirs) <= 8 * min(ours, theirs) + 8
