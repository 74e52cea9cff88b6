"""The gradients: against SymPy's own derivatives, against an independent Jacobian, and what they refuse."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy as sp

import bnref

DTYPES = ["float16", "float32", "float64"]


def exact(value):
    fraction = Fraction(float(value))
    return sp.Rational(fraction.numerator, fraction.denominator)


class Symbols:
    """One channel of n values as SymPy symbols, differentiated by SymPy alone."""

    def __init__(self, n, training):
        self.x, self.g, self.v = (sp.symbols(f"{name}0:{n}") for name in "xgv")
        self.w, self.b, self.eps, self.mean, self.var, self.u, self.s = sp.symbols("w b eps mean var u s")
        mean = sp.Add(*self.x) / n if training else self.mean
        var = sp.Add(*((x - mean) ** 2 for x in self.x)) / n if training else self.var
        loss = sp.Add(*(g * (self.w * (x - mean) / sp.sqrt(var + self.eps) + self.b)
                        for x, g in zip(self.x, self.g, strict=True)))
        self.dx, self.dw, self.db = [loss.diff(x) for x in self.x], loss.diff(self.w), loss.diff(self.b)
        weighed = sp.Add(*(v * d for v, d in zip(self.v, self.dx, strict=True))) + self.u * self.dw + self.s * self.db
        self.second = [weighed.diff(g) for g in self.g], [weighed.diff(x) for x in self.x], weighed.diff(self.w)

    def at(self, expression, x, g, w, eps, mean, var, v, u, s):
        numbers = {symbol: exact(value) for names, values in ((self.x, x), (self.g, g), (self.v, v))
                   for symbol, value in zip(names, values, strict=True)}
        numbers |= {symbol: exact(value) for symbol, value in (
            (self.w, w), (self.eps, eps), (self.mean, mean), (self.var, var), (self.u, u), (self.s, s))}
        return expression.subs(numbers).evalf(60)


@pytest.fixture(scope="module")
def symbols():
    return {(n, training): Symbols(n, training) for n in (2, 3) for training in (True, False)}


def random_arguments(n, channels=2, seed=0):
    rng = np.random.default_rng(seed)
    return dict(x=rng.normal(4, 3, (n, channels)), g=rng.normal(1, 1, (n, channels)), v=rng.normal(-1, 2, (n, channels)),
                w=rng.normal(2, 1, channels), mean=rng.normal(3, 1, channels), var=rng.uniform(0.5, 3, channels),
                u=rng.normal(1, 1, channels), s=rng.normal(0, 1, channels))


def one_channel(given, c):
    return {name: array[..., c] for name, array in given.items()}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_the_gradients_are_sympys_own_derivatives(symbols, n, training, seed):
    given, eps = random_arguments(n, seed=seed), 0.375
    result = bnref.batch_norm_backward(given["g"], given["x"], given["mean"], given["var"], given["w"], training, eps)
    by_sympy = symbols[n, training]
    for c in range(2):
        numbers = one_channel(given, c) | {"eps": eps}
        assert [float(by_sympy.at(d, **numbers)) for d in by_sympy.dx] == result.input[:, c].tolist()
        assert float(by_sympy.at(by_sympy.dw, **numbers)) == result.weight[c]
        assert float(by_sympy.at(by_sympy.db, **numbers)) == result.bias[c]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_the_second_gradients_are_sympys_own_derivatives(symbols, n, training, seed):
    given, eps = random_arguments(n, seed=seed), 0.375
    result = bnref.batch_norm_double_backward(given["v"], given["u"], given["s"], given["g"], given["x"],
                                              given["mean"], given["var"], given["w"], training, eps)
    by_sympy = symbols[n, training]
    for c in range(2):
        numbers = one_channel(given, c) | {"eps": eps}
        by_grad_output, by_input, by_weight = by_sympy.second
        assert [float(by_sympy.at(d, **numbers)) for d in by_grad_output] == result.grad_output[:, c].tolist()
        assert [float(by_sympy.at(d, **numbers)) for d in by_input] == result.input[:, c].tolist()
        assert float(by_sympy.at(by_weight, **numbers)) == result.weight[c]


def referee(g, x, w, mean, var, eps, training):
    """dx, dweight and dbias of one channel, by the Jacobian of the normalised values, in 300 bits."""
    x, g = [Fraction(float(v)) for v in x], [Fraction(float(v)) for v in g]
    n, w = len(x), Fraction(float(w))
    mean = sum(x) / n if training else Fraction(float(mean))
    var = sum((v - mean) ** 2 for v in x) / n if training else Fraction(float(var))
    big_w = var + Fraction(eps)
    centered = [v - mean for v in x]
    dot = sum(a * b for a, b in zip(g, centered, strict=True))
    slopes = []
    for a, b in zip(g, centered, strict=True):
        through_statistics = sum(g) / n + b * dot / (n * big_w) if training else 0
        slopes.append(w * (a - through_statistics))
    with mpmath.workprec(300):
        root = mpmath.sqrt(mpmath.mpf(big_w.numerator) / big_w.denominator)
        return [mpmath.mpf(s.numerator) / s.denominator / root for s in [*slopes, dot]], sum(g)


def rounded(value, dtype):
    """The number of a format that is nearest to a 300-bit value; no double in between decides."""
    with np.errstate(over="ignore"):
        candidate = np.dtype(dtype).type(float(value))
    if np.isinf(candidate):
        return candidate
    around = [candidate, np.nextafter(candidate, -candidate), np.nextafter(candidate, candidate + candidate)]
    return min(around, key=lambda c: abs(mpmath.mpf(float(c)) - value))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0, 100, 1e4])
def test_the_gradients_are_correctly_rounded(dtype, training, offset):
    rng = np.random.default_rng(7)
    x, g = (rng.normal(offset, 1, (33, 3, 2))).astype(dtype), rng.normal(0.5, 1, (33, 3, 2)).astype(dtype)
    w, mean, var = (rng.uniform(1.5, 3, 3).astype(dtype) for _ in range(3))
    result = bnref.batch_norm_backward(g, x, mean, var, w, training, 0.01)
    assert {array.dtype.name for array in result} == {dtype}
    for c in range(3):
        (*dx, dweight), dbias = referee(g[:, c].ravel(), x[:, c].ravel(), w[c], mean[c], var[c], 0.01, training)
        with mpmath.workprec(300):
            assert [rounded(d, dtype) for d in dx] == result.input[:, c].ravel().tolist()
            assert rounded(dweight, dtype) == result.weight[c]
            assert rounded(mpmath.mpf(dbias.numerator) / dbias.denominator, dtype) == result.bias[c]


@pytest.mark.parametrize("training", [True, False])
def test_each_gradient_has_the_dtype_of_what_it_is_the_gradient_of(training):
    x, g = np.ones((4, 3), np.float16), np.ones((4, 3), np.float64)
    statistics = np.ones(3, np.float32), np.ones(3, np.float32)
    result = bnref.batch_norm_backward(g, x, *statistics, np.ones(3, np.float64), training)
    assert [array.dtype for array in result] == [np.float16, np.float64, np.float64]
    result = bnref.batch_norm_backward(g, x, *statistics, None, training)
    assert [array.dtype for array in result] == [np.float16] * 3
    second = bnref.batch_norm_double_backward(x, None, None, g, x, *statistics, np.ones(3, np.float32), training)
    assert [array.dtype for array in second] == [np.float64, np.float16, np.float32]


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (4, 3, 0)], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_an_empty_batch_has_an_empty_gradient_and_zeros(shape, training):
    x, ones = np.empty(shape), np.ones(3)
    result = bnref.batch_norm_backward(x, x, ones, ones, ones, training)
    assert result.input.shape == shape and result.weight.tolist() == result.bias.tolist() == [0, 0, 0]
    second = bnref.batch_norm_double_backward(x, ones, ones, x, x, ones, ones, ones, training)
    assert second.grad_output.shape == second.input.shape == shape and second.weight.tolist() == [0, 0, 0]


def test_an_infinite_weight_gives_infinities_of_the_gradients_signs():
    g, x = np.random.default_rng(8).normal(10, 1, size=(2, 5, 3))  # only less their mean have the gradients both signs
    ones = bnref.batch_norm_backward(g, x, weight=np.ones(3), training=True)
    result = bnref.batch_norm_backward(g, x, weight=np.array([np.inf, 1.0, -np.inf]), training=True)
    assert np.array_equal(result.input, ones.input * [np.inf, 1.0, -np.inf])
    assert np.array_equal(result.weight, ones.weight) and np.array_equal(result.bias, ones.bias)


def test_one_value_has_no_gradient_in_training():
    result = bnref.batch_norm_backward(np.full((1, 2), 3.0), np.full((1, 2), 7.0), weight=np.full(2, 5.0), training=True)
    assert not result.input.any() and not result.weight.any() and (result.bias == 3).all()


def test_the_gradient_of_a_constant_shift_is_zero_to_the_last_bit():
    x = np.random.default_rng(1).normal(0, 1, (8, 2)).astype(np.float32)
    result = bnref.batch_norm_backward(np.ones_like(x), x, training=True)
    assert not result.input.any() and not result.weight.any() and (result.bias == 8).all()


@pytest.mark.parametrize("left_out", ["grad_grad_input", "grad_grad_weight", "grad_grad_bias"])
def test_a_weight_left_out_is_zeros(left_out):
    rng = np.random.default_rng(3)
    x, g, v = rng.normal(2, 1, (3, 5, 2))
    given = {"grad_grad_input": v, "grad_grad_weight": rng.normal(0, 1, 2), "grad_grad_bias": rng.normal(0, 1, 2)}
    none = bnref.batch_norm_double_backward(**given | {left_out: None}, grad_output=g, input=x, training=True)
    zero = bnref.batch_norm_double_backward(**given | {left_out: np.zeros_like(given[left_out])}, grad_output=g, input=x,
                                            training=True)
    assert all(np.array_equal(a, b) for a, b in zip(none, zero, strict=True))


x23, c3 = np.ones((2, 3)), np.ones(3)
REFUSED = [
    (dict(grad_output=np.ones((3, 2)), input=x23, training=True), ValueError,
     r"grad_output: shape \(3, 2\); allowed: \(2, 3\), that of input"),
    (dict(grad_output=1.0, input=x23, training=True), ValueError, r"grad_output: shape \(\); allowed: \(2, 3\)"),
    (dict(grad_output=x23.astype(int), input=x23, training=True), TypeError, r"grad_output: dtype int64; allowed"),
    (dict(grad_output=x23, input=x23), ValueError, r"running_mean, running_var: None with training=False"),
    (dict(grad_output=x23, input=x23, running_mean=c3, training=True), ValueError, r"running_var: None, but"),
    (dict(grad_output=x23, input=x23, weight=np.ones(2), training=True), ValueError, r"weight: shape \(2,\)"),
    (dict(grad_output=x23, input=x23, eps=float("nan"), training=True), ValueError, r"eps: nan; allowed"),
]


@pytest.mark.parametrize("call, error, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_bad_input_is_refused_with_its_name_its_value_and_what_is_allowed(call, error, message):
    with pytest.raises(error, match=message):
        bnref.batch_norm_backward(**call)
    with pytest.raises(error, match=message):
        bnref.batch_norm_double_backward(None, None, None, **call)


def test_the_weights_of_a_double_backward_must_fit():
    with pytest.raises(ValueError, match=r"grad_grad_input: shape \(3, 2\); allowed: \(2, 3\)"):
        bnref.batch_norm_double_backward(np.ones((3, 2)), None, None, x23, x23, training=True)
    with pytest.raises(ValueError, match=r"grad_grad_weight: shape \(2,\); allowed: \(3,\)"):
        bnref.batch_norm_double_backward(x23, np.ones(2), None, x23, x23, training=True)
    with pytest.raises(ValueError, match=r"grad_grad_bias: shape \(2, 3\); allowed: \(3,\)"):
        bnref.batch_norm_double_backward(x23, None, x23, x23, x23, training=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 3, 300])
@pytest.mark.parametrize("value", [0.1, 0.5, -7.7, 3e4])
def test_a_constant_channel_without_eps_has_no_gradients_but_that_of_bias(value, n, dtype):
    """0 times infinity, also where the mean is no float64 number or its float64 sum is rounded."""
    rng = np.random.default_rng(5)
    g, v, x = (array.astype(dtype) for array in rng.normal(size=(3, n, 3)))
    x[:, 1] = value
    others = [0, 2] if n > 1 else []
    one = bnref.batch_norm_backward(g, x, training=True, eps=0.0)
    assert np.isnan(one.input[:, 1]).all() and np.isnan(one.weight[1]) and np.isfinite(one.bias).all()
    assert np.isfinite(one.input[:, others]).all() and np.isfinite(one.weight[others]).all()
    two = bnref.batch_norm_double_backward(v, None, None, g, x, training=True, eps=0.0)
    for array in two:
        assert np.isnan(array[..., 1]).all() and np.isfinite(array[..., others]).all()


@pytest.mark.parametrize("tile", [100, 10**5])
def test_without_running_variance_and_eps_the_gradient_of_weight_is_an_infinity_where_all_terms_agree(tile, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.tiles.TILE", tile)
    rng = np.random.default_rng(6)
    x = 1e-200 * (2 + rng.random((300, 4)))
    g = 1e-200 * (1 + rng.random((300, 4))) * [1, -1, 1, 1]  # g * (x - mean) underflows in float64
    x[7, 2], g[9, 3] = 1e-200, -g[9, 3]
    found = bnref.batch_norm_backward(g, x, np.full(4, 1e-200), np.zeros(4), eps=0.0)
    np.testing.assert_array_equal(found.weight, [np.inf, -np.inf, np.nan, np.nan])
    np.testing.assert_array_equal(found.input, g * np.inf)
