"""compare, assert_batch_norm, explain and witness: against code that shares nothing with bnref, right and wrong on purpose."""

import numpy as np
import pytest

import bnref
from bnref import testing
from bnref.testing import MISTAKES, assert_batch_norm, compare, explain, witness
from tests.planted import EITHER, HALVES, ONLY_EVALUATION, in_turn, planted, random_call, rows_of


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [True, False])
def test_sound_code_conforms_and_has_nothing_to_explain(dtype, training):
    rng = np.random.default_rng(1)
    for centre in (0, 3, 1e5):
        call = random_call(rng, dtype, training, centre=centre)
        actual = planted(call)
        found = compare(actual, **call)
        assert found.conforms, str(found)
        assert found.cause == explain(actual, **call) == ()
        assert_batch_norm(actual, **call)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("training", [True, False])
def test_on_the_witness_every_mistake_that_shows_has_one_name(training, dtype):
    call = witness(training, dtype)
    silent = {True: ONLY_EVALUATION, False: set(MISTAKES) - EITHER - ONLY_EVALUATION}[training]
    if dtype == np.float32:
        silent = silent | {"eps float32(1e-5) of another library"}
    for bug in set(MISTAKES) - silent:
        if not (bug.startswith("statistics over") and not training):
            assert explain(planted(call, bug), **call) == (bug,)
    assert explain(planted(call), **call) == ()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_squares_summed_in_half_precision_are_told_by_their_few_digits_though_the_mean_is_right(dtype):
    x = np.random.default_rng(4).normal(1, 1, (50, 6)).astype(dtype)
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).sum(axis=0, dtype=np.float16).astype(dtype) / x.dtype.type(50)
    found = explain({"output": (x - mean) / np.sqrt(var + x.dtype.type(1e-5)), "mean": mean, "var": var}, x, training=True)
    assert found == ("half-precision accumulation",)


def test_what_is_wrong_in_no_known_way_has_no_name():
    call = witness()
    actual = planted(call)
    actual["output"][2, 1, 3] += 0.5
    assert explain(actual, **call) == ()


X = np.array([[1.0], [2.0], [3.0], [6.0]])
CALL = dict(input=X, training=True, eps=0.5)  # mean 3, var 7/2, W = 4
MESSAGE = """\
output: 4 of 4 elements are outside the bound of a sound float64 implementation (sums in any order)
  worst at [2, 0]: 0.25 instead of 0.0, off by 0.25 (1.13e+15 ulp); allowed: 1.5e-15
  its channel has mean 3 and standard deviation 1.87083; strictest class met: none
  first 4:
    [0, 0]: -0.75 instead of -1.0; allowed: 2.54e-15
    [1, 0]: -0.25 instead of -0.5; allowed: 2.02e-15
    [2, 0]: 0.25 instead of 0.0; allowed: 1.5e-15
    [3, 0]: 1.75 instead of 1.5; allowed: 3.39e-15
Probable cause: none that is known; see bnref.testing.MISTAKES for what was looked for."""


def test_the_message_says_what_how_many_the_worst_the_first_and_the_remedy():
    right = np.array([[-1.0], [-0.5], [0.0], [1.5]])
    assert_batch_norm({"output": right}, **CALL)
    with pytest.raises(AssertionError) as raised:
        assert_batch_norm({"output": right + 0.25}, **CALL)
    assert str(raised.value) == MESSAGE


def test_the_message_names_the_mistake():
    with pytest.raises(AssertionError, match="Probable cause: unbiased variance used to normalise: The output is norm"):
        assert_batch_norm({"output": (X - 3) / np.sqrt(14 / 3 + 0.5)}, **CALL)


def test_shape_and_nan_are_diagnosed_before_values():
    with pytest.raises(AssertionError, match=r"output: shape \(1, 4\); it should be \(4, 1\)\nThe channels are the second"):
        assert_batch_norm({"output": X.T}, **CALL)
    with pytest.raises(AssertionError, match="output: NaN at 1 of 4 positions where a number is due"):
        assert_batch_norm({"output": np.array([[-1.0], [np.nan], [0.0], [1.5]])}, **CALL)


def test_what_bnref_returns_is_correctly_rounded():
    rng = np.random.default_rng(8)
    for dtype in ("float16", "float32", "float64"):
        call = random_call(rng, dtype)
        result, slopes = (f(**{k: v for k, v in call.items() if k not in left}) for f, left in (
            (bnref.batch_norm, ["grad_output"]), (bnref.batch_norm_backward, ["bias", "momentum"])))
        found = compare(result._asdict() | {f"grad_{k}": v for k, v in slopes._asdict().items()}, **call)
        assert {record.grade for record in found.records.values()} == {"correctly rounded"} and found.conforms


THIRDS = np.full((20000, 2), np.float32(1 / 3))  # in any order, roundings of sums of equal values go one way


def test_the_grade_tells_how_sums_were_taken():
    by_numpy = np.array([np.ascontiguousarray(column).sum() for column in THIRDS.T])
    sums = THIRDS.astype(np.float64).sum(axis=0), by_numpy, in_turn(THIRDS), in_turn(THIRDS.astype(np.float16))
    means = [(total / np.float64(20000)).astype(np.float32) for total in sums]
    grades = [compare({"mean": mean}, THIRDS, training=True)["mean"].grade for mean in means]
    assert grades == ["correctly rounded", grades[1], "sequential", "none"] and grades[1] in testing.CLASSES[:3]


def test_an_accumulation_that_is_asked_for_is_a_stricter_bound():
    actual = {"mean": in_turn(THIRDS) / np.float32(20000)}
    assert compare(actual, THIRDS, training=True).conforms
    for accumulate in ("pairwise", "float64"):
        assert not compare(actual, THIRDS, training=True, accumulate=accumulate).conforms
        with pytest.raises(AssertionError, match="mean: 2 of 2"):
            assert_batch_norm(actual, THIRDS, training=True, accumulate=accumulate)


def test_a_precision_that_is_asked_for_replaces_that_of_the_arrays():
    call = random_call(np.random.default_rng(3), "float32", centre=30.0)
    actual = {name: array.astype(np.float64) for name, array in planted(call).items()}
    assert not compare(actual, **call).conforms
    assert compare(actual, **call, precision="float32").conforms
    assert_batch_norm(actual, **call, precision="float32")


class Foreign:
    """A tensor of another framework."""

    def __init__(self, array):
        self.array = array


class WithArray(Foreign):
    def __array__(self, dtype=None, copy=None):
        return self.array


class WithDLPack(Foreign):
    def __array__(self, dtype=None, copy=None):
        raise TypeError("not this way")

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("wrap", [WithArray, WithDLPack])
def test_arrays_come_from_any_framework(wrap):
    call = random_call(np.random.default_rng(3), "float32")
    actual = {name: wrap(array) for name, array in planted(call).items()}
    wrapped = {name: wrap(value) if isinstance(value, np.ndarray) else value for name, value in call.items()}
    assert compare(actual, **wrapped).conforms


def test_bfloat16_is_judged_by_its_own_unit():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    call = random_call(np.random.default_rng(3), "float32", centre=0.5)
    rounded = bnref.batch_norm(call["input"], training=True).output.astype(ml_dtypes.bfloat16)
    assert compare({"output": rounded}, call["input"], training=True).conforms
    assert compare({"output": rounded}, call["input"], training=True, precision="float32").conforms
    assert not compare({"output": rounded.astype(np.float32)}, call["input"], training=True).conforms


@pytest.mark.parametrize("half", HALVES, ids=lambda half: half.name)
def test_a_layer_of_halves_may_save_mean_and_rstd_as_halves_for_its_gradients(half):
    """As PyTorch's does; a layer whose arrays are float32 may not."""
    call = random_call(np.random.default_rng(7), "float32", shape=(64, 3), centre=30.0)
    halves = {name: value.astype(half) if isinstance(value, np.ndarray) else value for name, value in call.items()}
    x, g = (rows_of(halves[name]).astype(np.float32) for name in ("input", "grad_output"))
    mean, rstd = x.mean(axis=0), 1 / np.sqrt(x.var(axis=0) + np.float32(call["eps"]))
    output = ((x - mean) * rstd * halves["weight"].astype(np.float32) + halves["bias"].astype(np.float32)).astype(half)
    saved_mean, saved_rstd = (value.astype(half).astype(np.float32) for value in (mean, rstd))
    actual = {"output": output, "grad_weight": (g * (x - saved_mean) * saved_rstd).sum(axis=0).astype(half)}
    assert compare(actual, **halves).conforms
    assert not compare({"output": (output + output).astype(half)}, **halves).conforms
    mixed = halves | {name: halves[name].astype(np.float32) for name in ("weight", "bias", "running_mean", "running_var")}
    assert compare(actual | {"grad_weight": actual["grad_weight"].astype(np.float32)}, **mixed)["grad_weight"].problem
    assert compare(actual, **halves, precision="float32")["grad_weight"].problem


REFUSED = [
    (dict(actual=[1]), TypeError, "actual: a list; allowed: a dictionary of arrays named output, mean"),
    (dict(actual={}), ValueError, "actual: empty; allowed: any of output"),
    (dict(actual={"y": X}), ValueError, "actual: 'y'; allowed: any of output"),
    (dict(actual={"grad_bias": X[0]}), ValueError, "actual: grad_bias cannot be judged without grad_output"),
    (dict(actual={"running_mean": X[0]}), ValueError, "actual: running_mean cannot be judged without running_mean"),
    (dict(actual={"output": object()}), TypeError, r"actual\['output'\]: dtype object; allowed"),
    (dict(actual={"output": X}, precision="int8"), TypeError, "precision: int8; allowed: None, float16, bfloat16"),
    (dict(actual={"output": X}, accumulate="kahan"), ValueError, "accumulate: 'kahan'; allowed: None, 'float64'"),
]


@pytest.mark.parametrize("call, error, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_bad_input_is_refused_with_its_name_its_value_and_what_is_allowed(call, error, message):
    with pytest.raises(error, match=message):
        compare(**{"input": X, "training": True} | call)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3)])
def test_few_values_are_no_trouble(shape):
    x = np.ones(shape, np.float32)
    result = bnref.batch_norm(x, np.zeros(3, np.float32), np.ones(3, np.float32), training=True)
    found = compare(result._asdict(), x, np.zeros(3, np.float32), np.ones(3, np.float32), training=True)
    assert found.conforms, str(found)
