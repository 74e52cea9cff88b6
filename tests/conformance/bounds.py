"""How far a sound float implementation may be from the true value: bounds a priori, for any order of summation.

These are the bounds of a two-pass implementation that computes with unit roundoff u (float32's, also for float16 and
bfloat16 data; float64's for float64 data), and rounds its results to their own type.  Notation: gamma(k) = k u / (1 - k u);
n values a channel; mu, V the true mean and variance; W = V + eps; r = 1/sqrt(W); d = x - mu.

    mean       D = gamma(n + 1) mean|x|, and a rounding                      (Higham, ASNA 2nd ed., section 4.2)
    variance   (1/n) sum (x - m)^2 = V + (m - mu)^2 for every m, so it is off by G V + (1 + G) D^2,
               with G = (1 + gamma(3)) (1 + gamma(n + 2)) - 1
    rstd       relative error rho: the variance may come out too large by both terms, too small by the first alone
    output     the larger of that of weight * (x - mean) * rstd + bias and of a * x + (bias - a * mean)

The error of a product is at most |a| E_b + |b| E_a + E_a E_b, and every operation adds u times its result.
"""

import math
from typing import NamedTuple

import numpy as np

SLACK = 1 + 2.0**-30  # the bounds are themselves computed in float64


class Format(NamedTuple):
    """A float format: its unit roundoff and half its smallest number."""

    u: float
    tiny: float


FORMATS = {"float16": Format(2.0**-11, 2.0**-25), "bfloat16": Format(2.0**-8, 2.0**-134),
           "float32": Format(2.0**-24, 2.0**-150), "float64": Format(2.0**-53, 2.0**-1075)}


def working(*dtypes):
    """The unit roundoff of the arithmetic: float64 where the data are float64, else float32."""
    return FORMATS["float64" if "float64" in dtypes else "float32"].u


class Channel(NamedTuple):
    """What the bounds need to know of the data: float64 arrays with channels last, and true values."""

    x: np.ndarray       # (n, C)
    mean: np.ndarray    # (C,) true
    var: np.ndarray     # (C,) true
    weight: np.ndarray
    bias: np.ndarray
    eps: float
    by_batch: bool
    u: float
    stored: float = 0.0  # of the format in which mean and rstd are kept, that of the layer's arrays, if coarser

    def gamma(self, k):
        return k * self.u / (1 - k * self.u)

    def update(self, k):
        """As `gamma`, for the running statistics: they are computed in their own format."""
        u = max(self.u, self.stored)
        return k * u / (1 - k * u)

    @property
    def n(self):
        return len(self.x)

    @property
    def r(self):
        return 1 / np.sqrt(self.var + self.eps)

    @property
    def mean_error(self):
        if not self.by_batch:
            return np.zeros_like(self.mean)  # given, not computed
        error = self.gamma(self.n + 1) * np.abs(self.x).mean(axis=0)
        return error + (self.u + self.stored) * (np.abs(self.mean) + error)

    @property
    def var_factor(self):
        return (1 + self.gamma(3)) * (1 + self.gamma(self.n + 2)) - 1 if self.by_batch else 0.0

    @property
    def var_error(self):
        return self.var_factor * self.var + (1 + self.var_factor) * self.mean_error**2

    @property
    def rho(self):
        """The relative error of 1/sqrt(W)."""
        W, u = self.var + self.eps, self.u
        below = (1 + (self.var_factor * self.var + u * self.eps) / W) * (1 + u) - 1
        above = (1 + (self.var_error + u * self.eps) / W) * (1 + u) - 1
        rho = np.maximum((1 - below) ** -0.5 * (1 + u) / (1 - u) - 1, 1 - (1 + above) ** -0.5 * (1 - u) ** 2)
        return rho + self.stored * (1 + rho)


def output(c, y):
    """The error of the output before its last rounding."""
    shift, rho, u = c.mean_error, c.rho, c.u
    scale, distance = np.abs(c.weight) * c.r, np.abs(c.x - c.mean) + c.mean_error
    centred = scale * (shift + distance * ((1 + rho) * (1 + u) ** 3 - 1))
    rho_a = (1 + rho) * (1 + u) - 1
    a, centre = scale * (1 + rho_a), np.abs(c.mean) + shift
    affine = (scale * shift + scale * distance * rho_a + u * a * (np.abs(c.x) + centre)
              + u * (np.abs(c.bias) + a * centre * (1 + u)))
    error = np.maximum(centred, affine)
    return error + u * (np.abs(y) + error)


def running_mean(c, old, momentum):
    # fl(momentum) may be off by a rounding, and one minus it by as much.
    parts = np.abs((1 - momentum) * old) + np.abs(momentum * c.mean) + np.abs(momentum * old)
    return abs(momentum) * c.mean_error * (1 + c.update(3)) + c.update(3) * parts


def running_var(c, old, momentum):
    bessel = c.n / (c.n - 1) if c.n > 1 else math.nan
    parts = np.abs((1 - momentum) * old) + np.abs(momentum * c.var * bessel) + np.abs(momentum * old)
    return abs(momentum) * bessel * c.var_error * (1 + c.update(5)) + c.update(5) * parts


def gradients(c, grad):
    """The errors of the gradients by input, weight and bias, before their last rounding."""
    rho, u, r, shift, n = c.rho, c.u, c.r, c.mean_error, c.n
    distance = np.abs(c.x - c.mean) + shift
    e_bias = c.gamma(n) * np.abs(grad).sum(axis=0)
    dbias = grad.sum(axis=0)
    e_weight = r * shift * np.abs(dbias) + ((1 + rho) * (1 + c.gamma(n + 4)) - 1) * r * (np.abs(grad) * distance).sum(axis=0)
    scale = np.abs(c.weight) * r
    if not c.by_batch:
        return scale * np.abs(grad) * ((1 + rho) * (1 + u) ** 3 - 1), e_weight, e_bias
    xhat = (c.x - c.mean) * r
    dweight = (grad * xhat).sum(axis=0)
    e_xhat = r * shift + ((1 + rho) * (1 + u) ** 2 - 1) * r * distance
    linear = (e_bias + np.abs(xhat) * e_weight + np.abs(dweight) * e_xhat + e_xhat * e_weight) / n
    size = np.abs(grad) + (np.abs(dbias) + e_bias) / n + (np.abs(xhat) + e_xhat) * (np.abs(dweight) + e_weight) / n
    return scale * (linear + ((1 + rho) * (1 + c.gamma(8)) - 1) * size), e_weight, e_bias


def rounded(error, true, dtype):
    """The error once the result has been rounded to its type; its true value is itself known to float64 only."""
    form = FORMATS[np.dtype(dtype).name]
    error = error + form.u * (np.abs(true) + error) + form.tiny
    return error * SLACK + FORMATS["float64"].u * np.abs(true)
