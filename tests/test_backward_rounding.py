"""Every gradient is the correctly rounded one on data that makes rounding hard, by a referee of Fractions and mpmath."""

import numpy as np
import pytest

import bnref
from tests.arithmetic import data, referee

pytest.importorskip("ml_dtypes")
DTYPES = ["float16", "bfloat16", "float32", "float64"]


def gradients(grads, values, w, mean, var, eps, training):
    """dx, dweight, dbias of one channel in Fractions; the root is good to 1200 bits.  None where W is not positive."""
    n = len(values)
    if training:
        mean = sum(values) / n
        var = sum(v * v for v in values) / n - mean * mean
    square = var + eps
    if square <= 0:
        return None
    rstd = 1 / referee.root(square)
    centered = [v - mean for v in values]
    dot = sum(g * d for g, d in zip(grads, centered, strict=True))
    total = sum(grads)
    dx = [w * rstd * (g - (total / n + d * dot / (n * square) if training else 0))
          for g, d in zip(grads, centered, strict=True)]
    return dx, dot * rstd, total


def check(case, grad, training):
    results = bnref.batch_norm_backward(grad, case.x, case.running_mean, case.running_var, case.weight, training, case.eps)
    per_channel = zip(referee.channels(grad), referee.channels(case.x), *(
        referee.fractions(p) for p in (case.weight, case.running_mean, case.running_var)), strict=True)
    checked = 0
    for c, (grads, values, w, mean, var) in enumerate(per_channel):
        true = gradients(grads, values, w, mean, var, referee.Fraction(case.eps), training)
        if true is None:
            continue
        for name, got, expected in zip(results._fields, (results.input[:, c].ravel(), results.weight[c], results.bias[c]),
                                       (true[0], [true[1]], [true[2]]), strict=True):
            rounded = [referee.rounded(v, got.dtype.name) for v in expected]
            wrong = np.flatnonzero(np.asarray(got, np.float64).ravel() != np.array(rounded))
            assert wrong.size == 0, f"gradient by {name}, channel {c}: {wrong.size} misrounded"
        checked += 1
    assert checked or case.eps == 0


def random_grad(rng, shape, dtype):
    return data.to(dtype, rng.normal(size=shape) + 0.5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", data.CLASSES)
def test_all_gradients_are_correctly_rounded(name, dtype, training):
    rng = np.random.default_rng(len(name))
    case = data.CLASSES[name](rng, dtype)
    check(case, random_grad(rng, case.x.shape, dtype), training)


@pytest.mark.parametrize("seed", range(8))
def test_gradients_of_mixed_dtypes_are_correctly_rounded(seed):
    rng = np.random.default_rng(seed)
    x_dtype, g_dtype, w_dtype = (DTYPES[k] for k in rng.integers(0, 4, 3))
    case = data.parameters(rng, data.to(x_dtype, rng.normal(size=(9, 4, 3)) * 3 + rng.integers(-50, 50, (4, 1))))
    case = case._replace(weight=data.to(w_dtype, case.weight.astype(float)))
    check(case, random_grad(rng, case.x.shape, g_dtype), seed % 2 == 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_that_are_exact_are_given_exactly(dtype):
    """Two values a channel and eps = 0: dx is exactly zero; eps = 3 var: W = 4 var is a square, dx is rational."""
    x = data.to(dtype, np.array([[1.0, -2.0, 5.0], [3.0, 2.0, 9.0]]))
    grad = data.to(dtype, np.array([[1.0, 4.0, -3.0], [7.0, 1.0, 2.0]]))
    assert not bnref.batch_norm_backward(grad, x, training=True, eps=0.0).input.any()
    one = bnref.batch_norm_backward(grad[:, :1], x[:, :1], training=True, eps=3.0)  # var 1, W 4, xhat -+1/2
    assert one.input.ravel().tolist() == [-1.125, 1.125] and one.weight[0] == 3 and one.bias[0] == 8


def test_the_bits_do_not_depend_on_the_layout():
    rng = np.random.default_rng(3)
    x, g = rng.normal(100, 1, (2, 40, 6, 9)).astype(np.float32)
    plain = bnref.batch_norm_backward(g, x, training=True)
    strided = bnref.batch_norm_backward(*(np.asfortranarray(a) for a in (g, x)), training=True)
    sliced = np.zeros((40, 6, 18), np.float32)
    sliced[..., ::2] = x
    other = bnref.batch_norm_backward(g.astype(">f4"), sliced[..., ::2], training=True)
    for a, b, c in zip(plain, strided, other, strict=True):
        assert np.array_equal(a, b) and np.array_equal(a, c)
