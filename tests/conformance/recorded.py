"""Numbers of the real layers, for tests/golden/numbers_*.json: recipes, results, and how both are written down.

The input of a case is `numpy.random.default_rng(seed).normal(mean, std, shape)`; with the same generator and from the
standard normal, in this order, come grad (of the input's shape), and weight, bias, running mean and, squared plus 1/8,
running variance (one for each channel); all rounded to the case's dtype, which is the layer's too where it is not
float16.  A result is a flat list of the shortest decimals that give its floats back.
"""

import itertools

import numpy as np
from agreement import judge
from sides import Subject

SHAPES = ((4, 3), (2, 3, 5), (17, 2), (2, 2), (64, 1))
SCALES = ((0.5, 2.0), (100.0, 1.0))
MODES = ((True, 0.1), (True, 1.0), (False, 0.1))  # training, weight of the new observation
DTYPES = {"torch": ("float32", "float64", "float16"), "mindspore": ("float32", "float16"), "onnxruntime": ("float32", "float64")}
RESULTS = ("output", "running_mean", "running_var", "grad_input", "grad_weight", "grad_bias")
EPS = 1e-5


def cases(framework):
    """The recipes, as they are recorded."""
    product = itertools.product(DTYPES[framework], SHAPES, SCALES, MODES)
    rows = [dict(dtype=dtype, shape=list(shape), mean=scale[0], std=scale[1], training=mode[0], momentum=mode[1])
            for dtype, shape, scale, mode in product if framework != "onnxruntime" or mode == MODES[-1]]
    # Of the other types than float32, one shape in full.
    return [{**row, "seed": seed} for seed, row in enumerate(rows) if row["dtype"] == "float32" or row["shape"] == [4, 3]]


def inputs(case):
    """x, grad and the layer's arrays of a case."""
    rng, shape, own = np.random.default_rng(case["seed"]), tuple(case["shape"]), _own(case)
    x = rng.normal(case["mean"], case["std"], shape).astype(case["dtype"])
    grad = rng.normal(size=shape).astype(case["dtype"])
    weight, bias, mean, var = (rng.normal(size=shape[1]) for _ in range(4))
    values = {"weight": weight, "bias": bias, "mean": mean, "var": var * var + 0.125}
    return x, grad, {name: value.astype(own) for name, value in values.items()}


def _own(case):
    return "float32" if case["dtype"] == "float16" else case["dtype"]


def measure(real, case):
    """What the real layer gives: {result: array}."""
    x, grad, values = inputs(case)
    if real.framework == "onnxruntime":
        return {"output": real.normalise(x, values, EPS)}
    momentum = case["momentum"] if real.framework == "torch" else {0.1: 0.9, 1.0: 0.0}[case["momentum"]]
    arguments = dict(eps=EPS, momentum=momentum, dtype=_own(case))
    layer = real.build(Subject(real.framework, case["shape"][1], arguments, case["training"]))
    real.write(layer, values)
    step = real.step(layer, x, grad)
    after = real.read(layer)
    return dict(zip(RESULTS, (step.output, after["mean"], after["var"], *step[1:])))


def encode(results):
    """As they are written: flat lists of the shortest decimals."""
    return {name: [float(str(value)) for value in array.ravel()] for name, array in results.items()}


def decode(case, written):
    """The arrays that were written."""
    of_input, own = case["dtype"], _own(case)
    return {name: np.array(values).astype(of_input if name in ("output", "grad_input") else own)
            .reshape(case["shape"] if name in ("output", "grad_input") else -1) for name, values in written.items()}


def disagreements(case, results, framework):
    """What bnref has against these results."""
    x, grad, values = inputs(case)
    eps = float(np.float32(EPS)) if framework == "onnxruntime" else EPS
    momentum = 1.0 - 0.9 if (framework, case["momentum"]) == ("mindspore", 0.1) else case["momentum"]
    return judge(results, x, grad=grad, training=case["training"], momentum=momentum, eps=eps, **values)
