"""NaN, infinities, zeros, sizes and layouts."""

import gc
import platform
import subprocess
import sys
import tracemalloc
import warnings
import weakref
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import bnref
from bnref.arithmetic import evaluate, evaluation
from bnref.arithmetic.exact import ExactChannel  # noqa: F401  (imported to be sure that it needs nothing else)

from . import data, programs
from .test_fast_equals_exact import counted

F32 = ["float32"] * 5


def case_of(x, **changes):
    return data.parameters(np.random.default_rng(3), np.asarray(x), **changes)


def assert_equal(a, b):
    for left, right in zip(a, b):
        np.testing.assert_array_equal(left.view(f"i{left.dtype.itemsize}"), right.view(f"i{right.dtype.itemsize}"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(9, 4), (5, 4, 3)])
def test_a_value_that_is_not_finite_spoils_its_own_channel_alone(value, dtype, shape):
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    case = case_of(x, dtype=dtype)
    clean = evaluate(programs.training, case, [dtype] * 5)
    spoilt = x.copy()
    spoilt[2, 1] = value
    results = evaluate(programs.training, case._replace(x=spoilt), [dtype] * 5)
    assert np.isnan(results[0][:, 1]).all() and np.isnan(results[2][1])
    np.testing.assert_array_equal(results[1][1], np.array(value, dtype))
    others = [0, 2, 3]
    assert_equal([results[0][:, others].copy()], [clean[0][:, others].copy()])
    for result, expected in zip(results[1:], clean[1:]):
        np.testing.assert_array_equal(result[others], expected[others])


def test_a_running_statistic_that_is_nan_does_not_spoil_the_output_in_training():
    case = case_of(np.random.default_rng(0).normal(size=(9, 4)).astype("float32"))
    clean = evaluate(programs.training, case, F32)
    bad = case.running_mean.copy()
    bad[1] = np.nan
    results = evaluate(programs.training, case._replace(running_mean=bad), F32)
    assert_equal(results[:3] + results[4:], clean[:3] + clean[4:])
    assert np.isnan(results[3][1]) and np.array_equal(results[3][[0, 2, 3]], clean[3][[0, 2, 3]])


def test_in_inference_an_infinite_variance_leaves_the_bias():
    case = case_of(np.random.default_rng(0).normal(size=(9, 4)).astype("float32"))
    case = case._replace(running_var=np.array([1, np.inf, 1, 1], "float32"))
    output, = evaluate(programs.inference, case, ["float32"])
    np.testing.assert_array_equal(output[:, 1], np.full(9, case.bias[1]))


def test_a_negative_w_gives_nan():
    case = case_of(np.random.default_rng(0).normal(size=(9, 4)).astype("float32"), eps=-100.0)
    results = evaluate(programs.training, case, F32)
    assert np.isnan(results[0]).all() and np.isfinite(results[1]).all() and np.isfinite(results[2]).all()


def test_w_equal_to_zero_divides_by_positive_zero():
    x = np.array([[1.0, 5.0], [3.0, 5.0], [1.0, 5.0], [3.0, 5.0]], "float32")  # variances 1 and 0
    one = np.ones(2, "float32")
    output, = evaluate(programs.inference, (x, one, one, np.array([1, 5], "float32"), np.array([-0.0, 0], "float32"), 0.0, 0.1), ["float32"])
    np.testing.assert_array_equal(output, [[np.nan, np.nan], [np.inf, np.nan], [np.nan, np.nan], [np.inf, np.nan]])
    output = evaluate(programs.training, (x, one, one, one, one, -1.0, 0.1), F32)[0]
    np.testing.assert_array_equal(output[:, 0], [-np.inf, np.inf, -np.inf, np.inf])
    assert np.isnan(output[:, 1]).all()


def test_w_equal_to_zero_is_seen_where_float64_arithmetic_does_not_see_it():
    x = np.full((3, 1), 0.1, "float32") * np.float32(3)  # the float64 mean of three may be rounded; the variance is 0
    one = np.ones(1, "float32")
    assert np.isnan(evaluate(programs.training, (x, one, one, one, one, 0.0, 0.1), F32)[0]).all()


def test_one_value_and_none_per_channel_are_left_to_the_caller_without_a_crash():
    one = evaluate(programs.training, case_of(np.ones((1, 3), "float32")), F32)
    assert np.array_equal(one[1], np.ones(3)) and np.isnan(one[4]).all()
    none = evaluate(programs.training, case_of(np.ones((0, 3), "float32")), F32)
    assert none[0].shape == (0, 3) and np.isnan(none[1]).all()
    for shape in [(4, 0), (4, 3, 0), (0, 3, 2, 2)]:
        assert evaluate(programs.training, case_of(np.ones(shape, "float32")), F32)[0].shape == shape


def test_the_output_of_a_constant_channel_is_the_bias_and_its_zeros_are_positive():
    x = np.full((6, 3), [0.0, 0.1, -7.7], "float32")
    zero, minus = np.zeros(3, "float32"), np.full(3, -2.0, "float32")
    for dtype in ("float32", "float64"):
        output, _, var, *_ = evaluate(programs.training, (x, minus, zero, zero, zero, 1e-5, 0.1), [dtype] * 5)
        assert not output.any() and not np.signbit(output).any() and not var.any()


def test_a_tiny_output_underflows_to_a_zero_of_its_sign():
    x = np.array([[1.0], [-1.0]], "float32")
    tiny = np.array([1e-40], "float32")
    output = evaluate(programs.training, (x, tiny, tiny * 0, tiny, tiny, 1e20, 0.1), F32)[0]
    assert not output.any() and np.signbit(output).ravel().tolist() == [False, True]


def layouts(x):
    yield "Fortran order", np.asfortranarray(x)
    yield "every second row", np.repeat(x, 2, axis=0)[::2]
    yield "reversed", x[::-1].copy()[::-1]
    yield "channels last", np.ascontiguousarray(np.moveaxis(x, 1, -1)).transpose(0, x.ndim - 1, *range(1, x.ndim - 1))
    yield "swapped bytes", x.astype(x.dtype.newbyteorder())
    frozen = x.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    if x.ndim > 2:
        yield "padded", np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, 3)])[..., :-3]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(40, 7), (6, 5, 9), (3, 4, 5, 6), (2, 3, 2, 2, 2), (300, 3, 1), (2, 2, 20000)])
def test_the_layout_of_the_input_does_not_matter_and_the_input_is_not_changed(shape, dtype):
    x = np.random.default_rng(1).normal(size=shape).astype(dtype)
    case = case_of(x, dtype=dtype)
    expected = evaluate(programs.training, case, [dtype] * 5)
    assert expected[0].flags.c_contiguous and expected[0].shape == shape
    for name, view in layouts(x):
        before = view.tobytes()
        assert_equal(evaluate(programs.training, case._replace(x=view), [dtype] * 5), expected)
        assert view.tobytes() == before, name


def test_a_memory_mapped_input_works(tmp_path):
    x = np.random.default_rng(1).normal(size=(20, 3, 11)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert_equal(evaluate(programs.training, case_of(x)._replace(x=mapped), F32), evaluate(programs.training, case_of(x), F32))


def call_forward(x):
    return bnref.batch_norm(x, training=True)


def call_backward(x):
    return bnref.batch_norm_backward(x[::-1], x, training=True)


def call_double_backward(x):
    w = np.ones(x.shape[1], x.dtype)
    return bnref.batch_norm_double_backward(x[::-1], w, w, x, x, training=True)


@pytest.mark.parametrize("shape", [(3000, 400), (4, 3, 100_000), (2, 600_000), (250, 4500), (1000, 1024), (33, 4096, 4), (2, 64, 6000)])
@pytest.mark.parametrize("call, name, dtype", [
    *((call_forward, name, dtype) for name in ("randn", "integers", "ties") for dtype in ("float32", "float64")),
    (call_forward, "randn", "float16"), (call_backward, "randn", "float32"), (call_backward, "constant", "float64"),
    (call_double_backward, "randn", "float32"), (call_double_backward, "randn", "float64"),
])
def test_memory_beyond_the_outputs_stays_below_64_mib(call, name, dtype, shape, monkeypatch):
    monkeypatch.setattr("bnref.arithmetic.scratch._idle", [])  # what was used before is not counted, so let nothing be there
    x = np.random.default_rng(1).normal(size=shape)
    x = {"integers": np.rint(9 * x), "ties": np.sign(x), "constant": np.full(shape, 0.1)}.get(name, x).astype(dtype)
    tracemalloc.start()
    results = call(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - sum(result.nbytes for result in results if result is not None) < 64 * 2**20


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elements_of_channels_that_are_not_finite_are_looked_at_in_few_tiles_alone(dtype, monkeypatch):
    x = np.random.default_rng(1).normal(size=(1000, 40)).astype(dtype)
    x[700, ::2] = np.nan
    expected = bnref.batch_norm(x, training=True).output
    monkeypatch.setattr("bnref.arithmetic.tiles.TILE", 4000)
    monkeypatch.setattr(evaluation, "DEFERRED", 100)
    looked_at = counted(monkeypatch)
    assert bnref.batch_norm(x, training=True).output.tobytes() == expected.tobytes()
    assert np.isnan(expected).all(axis=0).tolist() == [True, False] * 20
    assert 0 < sum(looked_at) <= 2000  # of 20000


@pytest.mark.parametrize("name, dtype", [("randn", "float32"), ("integers", "float32"), ("large", "float64"), ("not finite", "float16")])
def test_results_and_all_that_led_to_them_are_freed_with_the_last_reference(name, dtype):
    x = np.random.default_rng(1).normal(size=(60, 40, 3))
    x = {"integers": np.rint(4 * x), "large": 1e200 * x, "not finite": np.where(x > 3, np.nan, x)}.get(name, x).astype(dtype)
    calls = [lambda: bnref.batch_norm(x, training=True), lambda: bnref.batch_norm_backward(x, x, training=True),
             lambda: bnref.batch_norm_double_backward(x, None, None, x, x, training=True)]
    [call() for call in calls]
    gc.collect()
    gc.disable()  # so that a reference cycle keeps what it holds
    try:
        assert [weakref.ref(call()[0])() for call in calls] == [None] * 3
        assert not any("bnref" in type(kept).__module__ or isinstance(kept, np.ndarray) for kept in _unreachable())
    finally:
        gc.enable()


def _unreachable():
    """What nothing refers to but cycles."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return gc.garbage[:]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


FAULTS = """
import resource, numpy as np, bnref
x = np.random.default_rng(0).normal(size=(256, 1024))
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bnref.batch_norm(x, np.ones(1024), np.ones(1024))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, x.nbytes // resource.getpagesize())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc keeps other memory")
def test_memory_of_temporaries_is_not_taken_from_the_operating_system_again_and_again():
    run = subprocess.run([sys.executable, "-c", FAULTS], cwd=Path(bnref.__file__).parents[1], capture_output=True, text=True, check=True)
    faults, pages = map(int, run.stdout.split())
    assert faults <= pages  # as many as the output has, at most


def test_no_warning_leaks():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(programs.training, case_of(np.array([[1e38, np.nan, np.inf], [-1e38, 0, 0]], "float32")), ["float16"] * 5)
        evaluate(programs.training, case_of(np.array([[1e300], [-1e300]])), ["float32"] * 5)


def test_the_size_of_numpys_buffers_is_as_it_was_also_after_an_error():
    before = np.setbufsize(4096)
    try:
        evaluate(programs.training, case_of(np.ones((3, 4), "float32")), F32)
        assert np.getbufsize() == 4096
        with pytest.raises(ValueError):
            evaluate(programs.training, case_of(np.ones((3, 4), "float32"))._replace(weight=np.ones(5)), F32)
        assert np.getbufsize() == 4096
    finally:
        np.setbufsize(before)


def test_shapes_that_do_not_fit_are_a_value_error():
    with pytest.raises(ValueError, match=r"one shape \(N, C, \*\) and channel operands \(C,\), not \[\(3, 4\), \(5,\), "):
        evaluate(programs.training, case_of(np.ones((3, 4), "float32"))._replace(weight=np.ones(5)), F32)
    with pytest.raises(ValueError, match=r"not \[\(3, 4\), \(2, 4\)\]"):
        evaluate(lambda x, g, xp: x + g, (np.ones((3, 4)), np.ones((2, 4))), ["float64"])


def test_a_dtype_that_is_none_of_the_four_is_a_type_error():
    with pytest.raises(TypeError, match="float16, bfloat16, float32, float64"):
        evaluate(programs.training, case_of(np.ones((3, 4), "float32")), ["int32"] * 5)
    for shape in ((3, 4), (4,)):
        with pytest.raises(TypeError, match="float16, bfloat16, float32, float64, not int32"):
            evaluate(lambda x, xp: x + 1, (np.ones(shape, "int32"),), ["float32"])


@pytest.mark.parametrize("wrong", ["1", None, [1.0, 2.0], 1j])
def test_what_is_no_number_is_a_type_error(wrong):
    with pytest.raises(TypeError, match=r"operands\[1\]: .*; allowed: an array of shape"):
        evaluate(lambda x, c, xp: x + c, (np.ones((3, 2)), wrong), ["float32"])


def test_less_than_half_of_the_smallest_number_is_rounded_to_zero_and_more_to_that_number():
    smallest = 5e-324
    x = np.array([[smallest], [2 * smallest], [-smallest], [3 * smallest]])
    result = bnref.batch_norm(x, np.zeros(1), np.array([4.75]), eps=0.0).output.ravel()  # 1 / sqrt(4.75) = 0.459
    assert result.tolist() == [0, smallest, 0, smallest] and np.signbit(result).tolist() == [False, False, True, False]


@pytest.mark.parametrize("below", [2.0**-53, -(2.0**-52)])
def test_a_difference_too_small_for_float16_is_a_zero_of_its_sign(below):
    output, = evaluate(lambda x, c, xp: x - c, (np.ones((3, 2), np.float16), np.full(2, 1 - below)), ["float16"])
    assert (output == 0).all() and (np.signbit(output) == (below < 0)).all()


def test_a_program_may_have_no_batch():
    first, second = evaluate(lambda a, b, xp: (a + b, a / b), (np.array([1.0, 2.0]), np.array([2.0, 3.0])), ["float64", "float32"])
    assert first.tolist() == [3, 5] and second.tolist() == [0.5, np.float32(2 / 3)]
    result, = evaluate(lambda a, b, xp: a + b, iter((0.5, Fraction(1, 4))), ["float16"])
    assert result.tolist() == [0.75]  # as if there were one channel
    quotient, = evaluate(lambda a, b, xp: a / b, (np.array([1.0, -1.0, 0.0]), np.zeros(3)), ["float32"])
    np.testing.assert_array_equal(quotient, [np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("number", [2, 2.0, Fraction(2), np.float16(2), np.int8(2), np.array(2.0), np.array(2)], ids=repr)
def test_a_number_may_be_of_any_kind(number):
    result, = evaluate(lambda x, c, xp: (x + c) * c, (np.ones((3, 2), "float32"), number), ["float64"])
    assert np.array_equal(result, np.full((3, 2), 6.0))


def test_a_fraction_beside_an_infinity_is_the_double_nearest_to_it():
    x = np.array([[np.inf, 1.0], [1.0, 4.0]])
    result, = evaluate(lambda x, c, xp: x * xp.sqrt(c), (x, Fraction(1, 4)), ["float64"])
    assert result.tolist() == [[np.inf, 0.5], [0.5, 2.0]]


@pytest.mark.parametrize("n", [3, 4, 6, 8, 300])
@pytest.mark.parametrize("tiny", [5e-324, -5e-324, 1e-323, 1e-310])
@pytest.mark.parametrize("dtype, tie", [("float32", (1, 2.0**-24)), ("float64", (1, 2.0**-53)), ("float32", (1 + 2.0**-24, 0))])
def test_the_smallest_number_decides_what_else_were_a_tie(dtype, tie, tiny, n):
    x = np.zeros((n, 1))
    x[:2, 0], x[-1, 0] = np.multiply(tie, n), tiny
    mean = bnref.batch_norm(x, np.zeros(1, dtype), np.ones(1, dtype), training=True, momentum=1.0).running_mean
    assert mean[0] == (np.nextafter(np.ones(1, dtype), 2) if tiny > 0 else 1)


@pytest.mark.parametrize("deviation", [1.0, 2.0**-5, 2.0**5, 2.0**20, 2.0**100])
@pytest.mark.parametrize("tiny", [1e-170, -1e-170, 1e-160])
def test_a_product_that_underflows_decides_what_else_were_a_tie_however_it_is_scaled(tiny, deviation):
    x, grad = np.array([[1 + 2.0**-24] * 2, [1e-170] * 2]), np.array([[1.0] * 2, [tiny] * 2])
    statistics = np.zeros(2), np.full(2, deviation**2)
    weight = bnref.batch_norm_backward(grad, x, *statistics, np.ones(2, "float32"), eps=0.0).weight
    scale = np.float32(1 / deviation)
    assert (weight == (np.nextafter(np.float32(1), np.float32(2)) * scale if tiny > 0 else scale)).all()


def test_zeros_of_float64_data_that_are_only_scaled_are_not_decided_one_by_one(monkeypatch):
    rng = np.random.default_rng(7)
    x = np.maximum(rng.normal(size=(64, 5)), 0.0)
    x[:9, 1], x[5, 2] = -0.0, 5e-324
    zero, one, weight = np.zeros(5), np.ones(5), np.array([0.4, -3.0, 0.3, np.inf, 1e300])
    deferred = []
    defer = evaluation.Block.defer
    monkeypatch.setattr(evaluation.Block, "defer", lambda block, tile, places: (
        deferred.extend((c, x[n, c]) for n, c, *_ in zip(*tile.indices(places))), defer(block, tile, places)))
    output = bnref.batch_norm(x, zero, one, weight, zero, eps=0.0).output
    assert (2, 5e-324) in deferred and {channel for channel, value in deferred if value == 0} == {3}
    clear = np.arange(5) != 3
    assert_equal([output[:, clear].copy()], [x[:, clear] * weight[clear] + 0.0])
    assert np.isnan(output[:, 3][x[:, 3] == 0]).all()
