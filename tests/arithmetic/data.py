"""Classes of data that make rounding hard, and the parameters that go with them."""

from typing import NamedTuple

import numpy as np

HALF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}  # of the place of 1


class Case(NamedTuple):
    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    running_mean: np.ndarray
    running_var: np.ndarray
    eps: float
    momentum: float


def to(dtype, values):
    """Cast with overflow to infinity avoided: the classes are about finite data."""
    if dtype == "bfloat16":
        import ml_dtypes

        return np.asarray(values, np.float32).astype(ml_dtypes.bfloat16)
    if dtype == "float16":
        values = np.clip(values, -6e4, 6e4)
    return np.asarray(values).astype(dtype)


def parameters(rng, x, eps=1e-5, momentum=0.1, dtype="float32"):
    C = x.shape[1]
    return Case(
        x,
        to(dtype, rng.normal(size=C)),
        to(dtype, rng.normal(size=C)),
        to(dtype, rng.normal(size=C)),
        to(dtype, rng.normal(size=C) ** 2 + 0.1),
        eps,
        momentum,
    )


def _randn(rng, dtype):
    return parameters(rng, to(dtype, rng.normal(size=(33, 5))))


def _spatial(rng, dtype):
    return parameters(rng, to(dtype, rng.normal(size=(4, 3, 7))))


def _mean_1e4(rng, dtype):
    return parameters(rng, to(dtype, rng.normal(size=(32, 4)) + 1e4))


def _mean_1e7(rng, dtype):
    return parameters(rng, to(dtype, rng.normal(size=(32, 4)) + 1e7))


def _decades(rng, dtype):
    width = {"float16": 4, "bfloat16": 25}.get(dtype, 25)
    return parameters(rng, to(dtype, rng.normal(size=(24, 4)) * 10.0 ** rng.uniform(-width, 0, (24, 4))))


def _tiny(rng, dtype):
    return parameters(rng, to(dtype, rng.normal(size=(16, 4)) * (1e-6 if dtype == "float16" else 1e-30)), eps=0.0)


def _pairs(rng, dtype):
    return parameters(rng, to(dtype, rng.integers(-9, 10, (2, 16)) + [[0], [20]]), eps=0.0)


def _ties(rng, dtype):
    """weight * xhat + bias with xhat = +-1 half an ulp away from a float."""
    case = parameters(rng, to(dtype, np.tile([[1.0], [-1.0]], (4, 16))), eps=0.0, dtype=dtype)
    half = HALF[dtype]
    bias = 1 + 2 * half * rng.integers(0, 9, 16)
    return case._replace(weight=to(dtype, np.full(16, half)), bias=to(dtype, bias))


def _signs(rng, dtype):
    x = np.array([[1, 1, -1], [-1, 1, -1], [1, -1, 1], [-1, 1, 1.0]])
    return parameters(rng, to(dtype, x), eps=0.0)


def _constant(rng, dtype):
    return parameters(rng, to(dtype, np.full((9, 4), [0.1, 0.0, -3.7, 1000.1])))


def _almost_constant(rng, dtype):
    case = _constant(rng, dtype)
    x = case.x.astype(np.float64)
    x[0] *= 1 + 2 * HALF[dtype]
    return case._replace(x=to(dtype, x))


def _outlier(rng, dtype):
    x = rng.normal(size=(32, 4))
    x[3] = 1e8
    return parameters(rng, to(dtype, x))


def _cancelling(rng, dtype):
    """bias = -weight * x where xhat is close to x."""
    case = parameters(rng, to(dtype, rng.normal(size=(32, 4))), dtype=dtype)
    first = case.x[0].astype(np.float64) * case.weight.astype(np.float64)
    return case._replace(bias=to(dtype, -first), running_mean=to(dtype, np.zeros(4)), running_var=to(dtype, np.ones(4)))


def _dyadic_variance(rng, dtype):
    """mean 0 and variance a power of four: rational outputs."""
    x = np.array([[3.0], [-3.0], [1.0], [-1.0], [2.0], [-2.0], [1.0], [-1.0]]) * [1.0, 0.5, 4.0]
    return parameters(rng, to(dtype, x), eps=0.25)._replace(
        running_mean=to(dtype, np.zeros(3)), running_var=to(dtype, [3.75, 0.75, 15.75]), weight=to(dtype, [1.0, 0.3, 1e-3])
    )


def roots_beside_squares(rng, dtype, eps):
    """x is mean +- d, and W is d**2 + eps: results that are ties, or cancel, but for the share that eps has in the root."""
    d, sign = 2.0 ** rng.integers(-2, 3, 16), np.tile([[1.0], [-1.0]], (4, 1))
    half = HALF[dtype]
    ties, mean = np.arange(16) % 2 == 0, rng.integers(-3, 4, 16)
    weight = rng.choice([-3.0, -1.0, 1.0, 2.0], 16) * np.where(ties, half, 1)
    bias = np.where(ties, 1 + 2 * half * rng.integers(0, 9, 16), -weight * rng.choice([-1, 0, 1], 16))
    return Case(to(dtype, mean + d * sign), *(to(dtype, part) for part in (weight, bias, mean, d**2)), eps, 0.5)


def rugged(rng, n, channels, dtype):
    """(n, channels) finite values of whatever size, near the ends of the format as well: with long tails, outliers, zeros, far means."""
    low, high = {"float16": (-22, 14), "float32": (-145, 125), "float64": (-1070, 1020)}[dtype]
    x = np.empty((n, channels), dtype)
    for c in range(channels):
        v = rng.normal(size=n)
        v = [v, np.exp(v * rng.uniform(1, 20)), v + 2.0 ** rng.uniform(0, 50), rng.integers(-5, 6, n) / 1, np.sign(v)][rng.integers(5)]
        v[rng.integers(n, size=rng.integers(4))] = rng.normal() * 2.0 ** rng.uniform(-60, 80)
        v[rng.random(n) < rng.choice([0, 0, 0.3])] = 0
        top = int(np.frexp(abs(v).max())[1])
        sizes = [rng.uniform(low, high), rng.choice([-540, -511, -425, 500, 505, 508, 512, 520, 560])]
        x[:, c] = np.ldexp(v, int(np.clip(sizes[rng.integers(2)], low, high - top)))
    return x


def ties_and_zeros(rng, channels):
    """Results halfway between two float32 numbers or next to that, or 0, of all sizes, which float64 arithmetic misses by its roundings.

    In every other channel x is mean +- a root like 3/2; in those between a root of 1/2 counts for nothing where x is the mean.
    """
    rational = np.arange(channels) % 2 == 0
    x = [rng.permutation(np.repeat([-1, 1], 32) * (rng.integers(1, 9) + 0.5) if r else np.repeat([-1, 0, 0, 1], 16) + rng.integers(9))
         for r in rational]
    half = (1 + 2.0**-24 + 2.0**-52 * rng.integers(-1, 2, channels)) * 2.0 ** rng.integers(-30, 30, channels)
    size = 2.0 ** rng.choice([-110, -60, 0], channels)
    bias = half * size * 2.0**-30 * rng.integers(0, 2, channels)
    return Case(np.array(x, "float32").T, np.where(rational, half, size * rng.normal(size=channels)), np.where(rational, 0, bias),
                np.zeros(channels), np.ones(channels), 0.0, 0.1)


CLASSES = {
    "randn": _randn,
    "spatial": _spatial,
    "mean 1e4": _mean_1e4,
    "mean 1e7": _mean_1e7,
    "25 decades": _decades,
    "tiny": _tiny,
    "pairs of integers, eps 0": _pairs,
    "ties": _ties,
    "four signs": _signs,
    "constant": _constant,
    "constant up to an ulp": _almost_constant,
    "outlier": _outlier,
    "bias = -weight x": _cancelling,
    "dyadic variance": _dyadic_variance,
}
