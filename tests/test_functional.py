"""`batch_norm`: values against an independent computation, dtypes, special cases, and what it refuses."""

from collections import UserList
from fractions import Fraction

import mpmath
import numpy as np
import pytest

import bnref

ml_dtypes = pytest.importorskip("ml_dtypes")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype("float16"), BFLOAT16, np.dtype("float32"), np.dtype("float64")]
SHAPES = [(5, 3), (4, 3, 6), (2, 3, 4, 5), (2, 3, 1, 2, 3)]


def arguments(shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    channels = shape[1]
    return {
        "input": rng.normal(5, 3, shape).astype(dtype),
        "running_mean": rng.normal(1, 2, channels).astype(dtype),
        "running_var": rng.uniform(0.5, 2, channels).astype(dtype),
        "weight": rng.uniform(1.5, 3, channels).astype(dtype),
        "bias": rng.normal(-4, 1, channels).astype(dtype),
    }


def referee(input, running_mean, running_var, weight, bias, training, momentum, eps):
    """Channel by channel, with rational statistics and a root of 200 bits."""
    exact = np.frompyfunc(lambda v: Fraction(float(v)), 1, 1)
    x = np.moveaxis(exact(input), 1, 0)
    output, statistics = np.empty(x.shape, dtype=object), []
    for c, values in enumerate(x):
        n = values.size
        mean = sum(values.ravel()) / n
        var = sum((v - mean) ** 2 for v in values.ravel()) / n
        rm, rv = Fraction(float(running_mean[c])), Fraction(float(running_var[c]))
        m = Fraction(momentum)
        statistics.append((mean, var, rm + m * (mean - rm), rv + m * (var * n / (n - 1) - rv)))
        center, spread = (mean, var) if training else (rm, rv)
        w = spread + Fraction(eps)
        with mpmath.workprec(200):
            root = mpmath.sqrt(mpmath.mpf(w.numerator) / w.denominator)
            for index, v in np.ndenumerate(values):
                scaled = Fraction(float(weight[c])) * (v - center)
                output[(c, *index)] = (mpmath.mpf(scaled.numerator) / scaled.denominator / root
                                       + mpmath.mpf(float(bias[c])))
    return np.moveaxis(output, 0, 1), *np.array(statistics, dtype=object).T


def to_float(array):
    return np.frompyfunc(float, 1, 1)(array).astype(np.float64)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_training_gives_the_true_values_rounded_once(shape):
    given = arguments(shape)
    results = bnref.batch_norm(**given, training=True, momentum=0.3, eps=0.7)
    for name, got, true in zip(results._fields, results, referee(**given, training=True, momentum=0.3, eps=0.7),
                               strict=True):
        assert np.array_equal(got, to_float(true)), name


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_inference_gives_the_true_values_rounded_once(shape):
    given = arguments(shape)
    results = bnref.batch_norm(**given, training=False, eps=0.7)
    output, *_ = referee(**given, training=False, momentum=0.1, eps=0.7)
    assert np.array_equal(results.output, to_float(output))
    assert results.mean is None and results.var is None
    assert np.array_equal(results.running_mean, given["running_mean"])
    assert np.array_equal(results.running_var, given["running_var"])


@pytest.mark.parametrize("training", [True, False])
def test_weight_and_bias_default_to_one_and_zero(training):
    given = arguments((6, 3))
    without = given | {"weight": None, "bias": None}
    ones = given | {"weight": np.ones(3), "bias": np.zeros(3)}
    a, b = (bnref.batch_norm(**g, training=training).output for g in (without, ones))
    assert np.array_equal(a, b)


def test_without_running_statistics_training_gives_none_for_them():
    x = arguments((6, 3))["input"]
    result = bnref.batch_norm(x, training=True)
    assert result.running_mean is None and result.running_var is None
    assert np.array_equal(result.output, bnref.batch_norm(**arguments((6, 3)) | {"weight": None, "bias": None},
                                                          training=True).output)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("buffers", DTYPES, ids=str)
def test_every_result_has_the_promised_dtype(dtype, buffers):
    given = {name: array.astype(buffers) for name, array in arguments((4, 3)).items()}
    given["input"] = given["input"].astype(dtype)
    result = bnref.batch_norm(**given, training=True)
    assert result.output.dtype == dtype
    assert result.mean.dtype == result.var.dtype == (np.float64 if dtype == np.float64 else np.float32)
    assert result.running_mean.dtype == result.running_var.dtype == buffers
    inferred = bnref.batch_norm(**given, training=False)
    assert (inferred.output.dtype, inferred.running_mean.dtype, inferred.running_var.dtype) == (dtype, buffers, buffers)


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_changed_in_place_and_nothing_is_shared(training):
    given = arguments((4, 3))
    for array in given.values():
        array.flags.writeable = False
    before = {name: array.copy() for name, array in given.items()}
    result = bnref.batch_norm(**given, training=training)
    for array in result:
        if array is not None:
            array.fill(0)
    for name, array in given.items():
        assert np.array_equal(array, before[name]), name


class TestSpecialCases:
    """The table of notebooks/01_forward."""

    @pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (4, 3, 0)], ids=str)
    def test_an_empty_batch_keeps_the_running_statistics(self, shape):
        given = arguments((4, 3)) | {"input": np.empty(shape)}
        result = bnref.batch_norm(**given, training=True)
        assert result.output.shape == shape
        assert np.isnan(result.mean).all() and np.isnan(result.var).all()
        assert np.array_equal(result.running_mean, given["running_mean"])
        assert np.array_equal(result.running_var, given["running_var"])
        assert bnref.batch_norm(**given, training=False).output.shape == shape

    @pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1)], ids=str)
    def test_one_value_gives_the_bias_and_no_unbiased_variance(self, shape):
        given = arguments(shape)
        result = bnref.batch_norm(**given, training=True, momentum=0.5)
        assert np.array_equal(result.output.ravel(), given["bias"])
        assert np.array_equal(result.mean, given["input"].ravel())
        assert np.array_equal(result.var, np.zeros(3))
        assert np.array_equal(result.running_mean, (given["running_mean"] + given["input"].ravel()) / 2)
        assert np.isnan(result.running_var).all()

    def test_no_channels_are_no_error(self):
        result = bnref.batch_norm(np.empty((4, 0)), np.empty(0), np.empty(0), training=True)
        assert [array.shape for array in result] == [(4, 0), (0,), (0,), (0,), (0,)]

    def test_a_constant_channel_gives_its_bias_exactly(self):
        x = np.full((7, 2), [0.1, 1e7])
        result = bnref.batch_norm(x, weight=np.array([3.0, 5.0]), bias=np.array([0.3, -7.0]), training=True)
        assert (result.output == [0.3, -7.0]).all()
        assert (result.var == 0).all()

    def test_a_negative_w_gives_nan_in_its_channel_alone(self):
        x = np.array([[1.0, 1.0], [2.0, 9.0]])
        output = bnref.batch_norm(x, training=True, eps=-1.0).output
        assert np.isnan(output[:, 0]).all() and np.isfinite(output[:, 1]).all()

    def test_a_zero_w_divides_as_ieee_does(self):
        x = np.array([[-1.0], [0.0], [1.0]])
        output = bnref.batch_norm(x, np.zeros(1), np.zeros(1), eps=0.0).output.ravel()
        assert output[0] == -np.inf and np.isnan(output[1]) and output[2] == np.inf
        assert np.isnan(bnref.batch_norm(np.ones((3, 1)), training=True, eps=0.0).output).all()

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("channel", [0, 1, 2])
    def test_a_channel_that_is_not_finite_touches_no_other(self, value, channel):
        given = arguments((6, 3))
        clean = bnref.batch_norm(**given, training=True)
        given["input"] = given["input"].copy()
        given["input"][2, channel] = value
        spoilt = bnref.batch_norm(**given, training=True)
        others = [c for c in range(3) if c != channel]
        for name, ours, theirs in zip(clean._fields, clean, spoilt, strict=True):
            assert np.array_equal(ours[..., others], theirs[..., others]), name
        for array in (spoilt.output[:, channel], spoilt.var[channel], spoilt.running_var[channel]):
            assert np.isnan(array).all()
        assert np.array_equal(spoilt.mean[channel], value, equal_nan=True)

    def test_a_batch_of_nothing_but_nan_is_nan(self):
        result = bnref.batch_norm(np.full((4, 1), np.nan), training=True)
        assert result.output.shape == (4, 1) and np.isnan(result.output).all() and np.isnan(result.mean).all()

    def test_a_running_statistic_that_is_not_finite_does_not_touch_the_output_in_training(self):
        given = arguments((6, 3))
        clean = bnref.batch_norm(**given, training=True)
        given["running_var"] = np.array([np.nan, 1.0, np.inf])
        spoilt = bnref.batch_norm(**given, training=True)
        assert np.array_equal(clean.output, spoilt.output) and np.array_equal(clean.running_mean, spoilt.running_mean)
        assert np.isnan(spoilt.running_var[0]) and spoilt.running_var[2] == np.inf


x23 = np.ones((2, 3))
c3 = np.ones(3)
REFUSED = [
    (dict(input=[["a", "b"]], training=True), TypeError, r"input: dtype <U1; allowed: float16, bfloat16, float32 or"),
    (dict(input=[[1, 2], [3, 4]], training=True), TypeError, r"input: dtype int64; allowed"),
    (dict(input=x23.astype(complex), training=True), TypeError, r"input: dtype complex128; allowed"),
    (dict(input=x23.astype(object), training=True), TypeError, r"input: dtype object; allowed"),
    (dict(input=x23 > 0, training=True), TypeError, r"input: dtype bool; allowed"),
    (dict(input=x23.astype(np.longdouble), training=True), TypeError, r"input: dtype (float128|longdouble); allowed"),
    (dict(input=[[1.0], [1.0, 2.0]], training=True), TypeError, r"input: a list that NumPy cannot read"),
    (dict(input=None, training=True), TypeError, r"input: dtype object; allowed"),
    (dict(input=UserList([[1.0], [2.0]]), training=True), TypeError, r"input: a UserList; allowed: an array of"),
    (dict(input=np.ma.masked_array(x23), training=True), TypeError, r"input: a masked array, whose mask would be lost"),
    (dict(input=c3, training=True), ValueError, r"input: shape \(3,\); allowed: \(N, C\) or \(N, C, \*\)"),
    (dict(input=np.float64(1), training=True), ValueError, r"input: shape \(\); allowed"),
    (dict(input=np.empty((0, 2**50), "f4"), training=True), MemoryError, rf"input: shape \(0, {2**50}\) of float32; allowed: what leaves"),
    (dict(input=x23), ValueError, r"running_mean, running_var: None with training=False; allowed: both"),
    (dict(input=x23, running_mean=c3), ValueError, r"running_var: None, but running_mean is given; allowed: both or"),
    (dict(input=x23, running_var=c3, training=True), ValueError, r"running_mean: None, but running_var is given"),
    (dict(input=x23, running_mean=c3, running_var=np.ones(2)), ValueError, r"running_var: shape \(2,\); allowed: \(3,\)"),
    (dict(input=x23, weight=np.ones((3, 1)), training=True), ValueError, r"weight: shape \(3, 1\); allowed: \(3,\)"),
    (dict(input=x23, weight=1.0, training=True), ValueError, r"weight: shape \(\); allowed: \(3,\)"),
    (dict(input=x23, bias=np.ones(3, int), training=True), TypeError, r"bias: dtype int64; allowed"),
    (dict(input=x23, training=1), TypeError, r"training: of type int; allowed: True or False"),
    (dict(input=x23, training=np.ones(3)), TypeError, r"training: of type ndarray; allowed: True or False"),
    (dict(input=x23, training=True, eps=float("nan")), ValueError, r"eps: nan; allowed: a finite number"),
    (dict(input=x23, training=True, eps=float("inf")), ValueError, r"eps: inf; allowed: a finite number"),
    (dict(input=x23, training=True, eps=10**400), ValueError, r"eps: int; allowed: a finite number"),
    (dict(input=x23, training=True, eps="1e-5"), TypeError, r"eps: '1e-5' of type str; allowed: a finite number"),
    (dict(input=x23, training=True, eps=None), TypeError, r"eps: None of type NoneType; allowed: a finite number"),
    (dict(input=x23, training=True, momentum=None), TypeError, r"momentum: None of type NoneType; allowed"),
    (dict(input=x23, training=True, momentum=float("-inf")), ValueError, r"momentum: -inf; allowed"),
    (dict(input=x23, training=True, momentum=True), TypeError, r"momentum: True of type bool; allowed"),
]


@pytest.mark.parametrize("call, error, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_bad_input_is_refused_with_its_name_its_value_and_what_is_allowed(call, error, message):
    with pytest.raises(error, match=message):
        bnref.batch_norm(**call)


@pytest.mark.parametrize("eps", [1, np.float32(0.5), np.int64(2), Fraction(1, 2)], ids=repr)
def test_any_real_number_is_an_eps(eps):
    x = arguments((4, 3))["input"]
    assert np.array_equal(bnref.batch_norm(x, training=True, eps=eps).output,
                          bnref.batch_norm(x, training=True, eps=float(eps)).output)


@pytest.mark.parametrize("length", [200, 201])
def test_of_a_long_error_the_first_200_characters_are_told(length):
    class Unreadable:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("x" * length)

    with pytest.raises(TypeError) as refusal:
        bnref.batch_norm(Unreadable(), training=True)
    assert f"({'x' * 200}{'...' if length > 200 else ''})" in str(refusal.value)
