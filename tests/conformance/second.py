"""Double backward: PyTorch's against bnref's.  (MindSpore has none for this operation on the CPU.)

How far off a result may be is a running error bound (Higham, Accuracy and Stability of Numerical Algorithms, 3.3): the
generated program is run on values that carry their own error, to which each operation adds a rounding, and each sum the
roundings of any order.  PyTorch does the same operations, some in another order.
"""

import itertools

import bounds
import numpy as np
from compare import arrays, normal
from sides import Subject
from tallies import Tally

import bnref
from bnref import equations

SHAPES = ((2, 3), (16, 3), (5, 3, 4), (33, 2), (64, 3))


class Estimate:
    """A float64 value, and how far from it a computation with unit roundoff u may be."""

    def __init__(self, value, error, u):
        self.value, self.error, self.u = np.asarray(value, np.float64), error, u

    def _made(self, value, error):
        return Estimate(value, error + self.u * (np.abs(value) + error), self.u)

    def _other(self, other):
        return other if isinstance(other, Estimate) else Estimate(other, 0.0, self.u)

    def __add__(self, other):
        other = self._other(other)
        return self._made(self.value + other.value, self.error + other.error)

    def __neg__(self):
        return Estimate(-self.value, self.error, self.u)

    def __sub__(self, other):
        return self + -self._other(other)

    def __mul__(self, other):
        b = self._other(other)
        return self._made(self.value * b.value, self.error * np.abs(b.value) + np.abs(self.value) * b.error + self.error * b.error)

    def __truediv__(self, other):
        b = self._other(other)
        quotient = self.value / b.value
        return self._made(quotient, (self.error + np.abs(quotient) * b.error) / np.maximum(np.abs(b.value) - b.error, 0))

    def __pow__(self, exponent):
        return self if exponent == 1 else self * self ** (exponent - 1)

    def __rtruediv__(self, other):
        return self._other(other) / self

    __radd__, __rmul__ = __add__, __mul__


class Estimates:
    """The number system of estimates, channels last."""

    @staticmethod
    def sum(x):
        gamma = len(x.value) * x.u / (1 - len(x.value) * x.u)
        return Estimate(x.value.sum(axis=0), x.error.sum(axis=0) + gamma * (np.abs(x.value) + x.error).sum(axis=0), x.u)

    @staticmethod
    def count(x):
        return len(x.value)

    @staticmethod
    def sqrt(x):
        return x._made(np.sqrt(x.value), x.error / np.sqrt(np.maximum(x.value - x.error, 0)))


def allowed(x, call, eps, training, u):
    """The errors of grad_output, input and weight, channels last."""
    flat = bounds.Channel(x, *(call[name] for name in ("mean", "var", "weight")), 0 * call["weight"], eps, training, u)
    known = {"mean": flat.mean_error, "var": flat.var_error if training else 0 * flat.var}
    operands = [Estimate(call[name], known.get(name, 0 * call[name]), u) for name in
                ("gg_input", "gg_weight", "gg_bias", "grad")] + [Estimate(x, 0 * x, u)]
    operands += [Estimate(call[name], known.get(name, 0 * call[name]), u) for name in ("mean", "var", "weight")]
    program = equations.double_backward if training else equations.double_backward_inference
    return [result.error for result in program(*operands, eps, xp=Estimates)]


def run(real, progress):
    """Compare; return the tally."""
    tally = Tally("torch: double backward")
    cases = list(itertools.product((True, False), (True, False), (True, False), ("float32", "float64"), SHAPES, (0, 30), range(3)))
    for number, case in enumerate(cases):
        tally.add([f"{case}: {problem}" for problem in one(real, np.random.default_rng(number), *case)])
        progress(tally.what, number + 1, len(cases))
    return tally


def one(real, rng, training, affine, bias, dtype, shape, mean, _):
    """The disagreements of one case."""
    channels, eps = shape[1], 1e-3
    layer = real.build(Subject("torch", channels, dict(eps=eps, affine=affine, bias=bias, dtype=dtype), training))
    values = {name: value.astype(dtype) for name, value in arrays(rng, channels).items()}
    real.write(layer, values)
    x, grad, gg_input = (normal(rng, shape, dtype, centre) for centre in (mean, 0.5, -0.5))
    gg_weight, gg_bias = (normal(rng, channels, dtype) if has is not None else np.zeros(channels)
                          for has in (layer.weight, layer.bias))
    got = real.second(layer, x, grad, gg_input, gg_weight, gg_bias)
    wide = [a.astype(np.float64) for a in (gg_input, gg_weight, gg_bias, grad, x)]
    weight = values["weight"].astype(np.float64) if affine else np.ones(channels)
    running = [values[name].astype(np.float64) for name in ("mean", "var")]
    true = bnref.batch_norm_double_backward(*wide, *([] if training else running), weight=weight, training=training, eps=eps)
    statistics = bnref.batch_norm(wide[4], training=True)[1:3] if training else running
    flat = [np.moveaxis(a, 1, -1).reshape(-1, channels) if a.ndim > 1 else a for a in wide]
    call = dict(zip(("gg_input", "gg_weight", "gg_bias", "grad"), flat), mean=statistics[0], var=statistics[1], weight=weight)
    errors = allowed(flat[4], call, eps, training, bounds.working(dtype))
    problems = []
    for name, theirs, ours, error in zip(true._fields, got, true, errors):
        if name == "weight" and not affine:
            continue
        theirs, ours = (np.moveaxis(a, 1, -1).reshape(-1, channels) if a.ndim > 1 else a for a in (theirs, ours))
        off, limit = np.abs(theirs - ours), bounds.rounded(error, ours, dtype)
        if not (off <= limit).all():
            problems.append(f"{name} off by {off.max():.3g}, allowed {np.broadcast_to(limit, off.shape).flat[off.argmax()]:.3g}")
    return problems
