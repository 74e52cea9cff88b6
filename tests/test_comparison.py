"""bnref.testing where little is given, where nothing fits, and at the edges of what its mistakes are."""

from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

import bnref
from bnref import bounds, catalogue, unsettled
from bnref.comparison import View
from bnref.testing import compare, explain
from tests.planted import PLAIN, in_turn, planted, random_call

X = np.random.default_rng(2).normal(3, 2, (6, 3, 4))


def test_a_comparison_is_a_collection_of_records_by_name():
    true = bnref.batch_norm(X, training=True)
    found = compare({"output": true.output, "mean": true.mean}, X, training=True)
    assert list(found) == ["output", "mean"] and len(found) == 2 and found["mean"].name == "mean"


def test_a_wrong_shape_is_no_mistake_that_has_a_name():
    assert explain({"output": X[:-1]}, X, training=True) == ()


def test_a_momentum_that_is_a_default_itself_is_not_mistaken_for_that_default():
    running = {"running_mean": np.zeros(3), "running_var": np.ones(3)}
    moved = bnref.batch_norm(X, **running, training=True, momentum=0.1)
    names = explain({"running_mean": moved.running_mean, "running_var": moved.running_var}, X, **running, training=True,
                    momentum=0.9)
    assert "momentum of the other framework's default" in names
    assert explain({"running_mean": moved.running_mean}, X, **running, training=True, momentum=0.1) == ()
    assert explain({"running_mean": moved.running_mean + 7}, X, **running, training=True, momentum=0.1) == ()


@pytest.mark.parametrize("momentum", [0.1, 3.0, -9.0])
def test_statistics_moved_twice_by_sums_as_far_off_as_sound_ones_may_be_are_known_as_that(momentum):
    call = random_call(np.random.default_rng(2), "float32", shape=(20000, 2), centre=3.0) | {"momentum": momentum}
    view = View(bounds.Case(**call), {name: call[name] for name in bounds.RUNNING}, None, "sequential")
    off = bounds.statistics(view.doubled, view.true, view.profile("running_mean"))
    first, second = 0.98, np.copysign(0.98, 1 - momentum)  # so that the errors of the two moves add up
    moved = {}
    for name, error, factor in [("mean", off.mean_error, 1), ("var", off.var_above, 20000 / 19999)]:
        value = call[f"running_{name}"].astype(np.float64)
        for share in (first, second):
            value = (1 - momentum) * value + momentum * factor * (view.true[name] + share * error)
        moved[f"running_{name}"] = value.astype(np.float32)
    assert explain(moved, **call) == ("statistics updated twice",)


def test_without_an_eps_it_cannot_be_outside_the_root():
    weight = np.array([2.0, 3.0, 5.0])
    without = bnref.batch_norm(X, training=True, eps=0.0).output
    assert explain({"output": without}, X, weight=weight, training=True, eps=0.0) == ("weight missing",)


def test_where_eps_is_below_zero_nobody_is_told_that_it_is_outside_the_root():
    outside = (X - X.mean((0, 2), keepdims=True)) / (X.std((0, 2), keepdims=True) - 0.25)
    assert explain({"output": outside}, X, training=True, eps=-0.25) == ()


@pytest.mark.parametrize("weight, conforms", [(50000, True), (20000, False)])
def test_what_is_more_than_half_of_the_greatest_number_may_have_overflowed(weight, conforms):
    x, infinite = np.array([[1], [-1]], np.float16), np.array([[np.inf], [-np.inf]], np.float16)
    found = compare({"output": infinite}, x, weight=np.array([weight], np.float16), training=True, eps=0.0)
    assert found.conforms == conforms


def test_the_half_precisions_are_those_of_their_libraries():
    float16, bfloat16 = np.finfo(np.float16), ml_dtypes.finfo(ml_dtypes.bfloat16)
    assert unsettled.HALVES == {"float16": (float16.nmant + 1, float16.smallest_subnormal),
                                "bfloat16": (bfloat16.nmant + 1, bfloat16.smallest_normal)}


@pytest.mark.parametrize("shape", [(50, 3), (10, 3, 10)])
def test_variances_that_differ_are_not_those_of_one_pass_though_one_pass_may_give_each(shape):
    x = np.random.default_rng(4).normal(30, 1, shape).astype(np.float32)
    true = bnref.batch_norm(x, training=True)
    low, high = (true.var * np.float32(factor) for factor in (0.999, 1.001))
    of_low = bnref.batch_norm(x, true.mean, low).output
    assert explain({"output": of_low, "var": low}, x, training=True) == ("one-pass variance",)
    assert explain({"output": of_low, "var": high}, x, training=True) == ()


def test_numbers_of_few_digits_farther_off_than_half_precision_leads_are_no_sign_of_it():
    x = np.random.default_rng(4).normal(1, 1, (16, 6)).astype(np.float32)
    mean = (in_turn(x.astype(np.float16)) / 16).astype(np.float32)
    for factor, names in [(1, ("half-precision accumulation",)), (3, ())]:
        var = (factor * ((x - mean) ** 2).mean(axis=0)).astype(np.float16).astype(np.float32)
        output = (x - mean) / np.sqrt(var + np.float32(1e-5))
        assert explain({"output": output, "mean": mean, "var": var}, x, training=True) == names


def test_one_pass_is_recognised_by_the_gradients_alone():
    call = random_call(np.random.default_rng(2), "float32", shape=(64, 4), centre=300.0)
    wrong = planted(call, "one-pass variance")
    assert "one-pass variance" in explain({name: wrong[name] for name in ("grad_input", "grad_weight")}, **call)


def in_style(call, bug, **style):
    return planted(call, bug, SimpleNamespace(**vars(PLAIN) | style))


def test_sums_in_half_precision_excuse_nothing_else_in_the_gradient():
    call = random_call(np.random.default_rng(2), "float32", shape=(64, 4), centre=3.0)
    wrong = in_style(call, "half-precision accumulation", scope="gradients")
    assert explain(wrong, **call) == ("half-precision accumulation",)
    shown = np.stack([np.ones(64), call["input"][:, 2], call["grad_output"][:, 2]], axis=1)  # all that shows the variance and the sums
    other = np.random.default_rng(0).normal(size=64)
    wrong["grad_input"][:, 2] += other - shown @ np.linalg.lstsq(shown, other, rcond=None)[0]
    assert explain(wrong, **call) == ()


def test_half_precision_is_recognised_by_output_and_running_mean():
    call = random_call(np.random.default_rng(2), "float32", shape=(64, 4), centre=3.0)
    wrong = in_style(call, "half-precision accumulation")
    assert explain({name: wrong[name] for name in ("output", "running_mean")}, **call) == ("half-precision accumulation",)


def test_a_variance_with_all_its_digits_is_no_sign_of_half_precision():
    x = np.random.default_rng(4).normal(1, 1, (50, 6)).astype(np.float32)
    true = bnref.batch_norm(x, training=True)
    wrong = true.var * np.float32(1.001)
    assert explain({"output": bnref.batch_norm(x, true.mean, wrong).output, "mean": true.mean, "var": wrong}, x, training=True) == ()


@pytest.mark.parametrize("given", [False, True])
def test_weight_and_bias_are_recognised_in_each_others_place_with_their_gradients_and_without(given):
    call = random_call(np.random.default_rng(2), "float32", shape=(64, 4))
    assert explain(in_style(call, "weight and bias swapped", given=given), **call) == ("weight and bias swapped",)


def test_a_layer_without_weights_has_gradients_of_its_own_with_the_unbiased_variance():
    call = random_call(np.random.default_rng(2), "float64", shape=(9, 4)) | {"weight": None}
    name = "unbiased variance used to normalise"
    assert explain(in_style(call, name, as_if_right=True), **call) == (name,)


def test_a_channel_of_nan_says_nothing_of_how_clearly_a_mistake_shows_in_the_others():
    call = random_call(np.random.default_rng(2), "float64", shape=(9, 4))
    call["input"][3, 1] = np.nan
    view = View(bounds.Case(**call), planted(call, "weight missing"), None, "sequential")
    with np.errstate(all="ignore"):
        variant = next(catalogue.VARIANTS["weight missing"](view))
        assert 3 * 10 < catalogue._distance(view, variant, {"output"}) < 3 * 60


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize("axes", ["per sample", "per position", "channels last"])
def test_statistics_over_the_wrong_axes_are_recognised_whichever_of_them_they_are(axes, way):
    call = random_call(np.random.default_rng(2), "float64", shape=(5, 3, 4, 3), centre=3.0)
    name = f"statistics over the wrong axes: {axes}"  # over the channels alone it has both of two names
    assert name in explain(in_style(call, name, way=way), **call)


def test_a_nan_where_nothing_is_promised_is_not_counted_among_the_faults():
    x = np.array([[1e38, 1], [1e38, 2], [1e38, 3], [1e38, 6]], np.float32)
    output = bnref.batch_norm(x, training=True).output
    output[:, 0] = np.nan
    assert compare({"output": output}, x, training=True).conforms
    output[0, 1] += 0.5
    assert compare({"output": output}, x, training=True)["output"].problem.startswith("1 of 8 elements are outside the bound")


def test_sums_in_half_precision_are_recognised_in_inference_too():
    call = random_call(np.random.default_rng(2), "float32", training=False, shape=(64, 4), centre=3.0)
    wrong = in_style(call, "half-precision accumulation", scope="gradients")
    assert explain({name: wrong[name] for name in ("grad_weight", "grad_bias")}, **call) == ("half-precision accumulation",)


def test_statistics_of_the_samples_are_recognised_without_running_ones_where_there_are_as_many_samples_as_channels():
    x = X[:3, :, 0]
    per_sample = bnref.batch_norm(x.T, training=True)
    names = explain({"output": per_sample.output.T, "mean": per_sample.mean, "var": per_sample.var}, x, training=True)
    assert names == ("statistics over the wrong axes: per sample",)


def test_running_statistics_far_from_those_of_the_samples_are_known_to_be_moved_by_them_in_all_their_digits():
    x, old, momentum = X[:3, :, 0].astype(np.float32), np.array([1e3, -2e3, 3e3], np.float32), np.float32(0.1)
    moved = (1 - momentum) * old + momentum * x.mean(axis=1)  # each digit that it lacks is more than the means need
    names = explain({"running_mean": moved}, x, old, np.abs(old), training=True, momentum=0.1)
    assert names == ("statistics over the wrong axes: per sample",)


@pytest.mark.parametrize("momentum", [0.1, 0.99, 0.999, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_statistics_of_the_samples_are_recognised_in_far_running_ones_whatever_the_momentum(momentum, dtype):
    rng, m = np.random.default_rng(3), dtype(momentum)  # 1 - m has a rounding of its own
    x, mean, var = rng.normal(3, 1, (6, 6)).astype(dtype), *rng.uniform(1e4, 1e6, (2, 6)).astype(dtype)
    moved = {"running_mean": (1 - m) * mean + m * x.mean(axis=1), "running_var": (1 - m) * var + m * x.var(axis=1, ddof=1)}
    assert "statistics over the wrong axes: per sample" in explain(moved, x, mean, var, training=True, momentum=momentum)


@pytest.mark.parametrize("share, known", [(1, True), (4, False)])
def test_averages_of_many_statistics_may_be_off_by_what_their_sum_may_lose_and_not_by_more(share, known):
    x = np.random.default_rng(4).normal(1, 1, (3, 2, 4000)).astype(np.float32)  # per position: 4000 means of three for each channel
    mean = x.astype(np.float64).mean(axis=0).mean(axis=-1)
    off = mean * (1 + share * 4000 * 2.0**-24)
    names = explain({"mean": off.astype(np.float32), "output": _per_position(x)}, x, training=True)
    assert ("statistics over the wrong axes: per position" in names) == known


def _per_position(x):
    mean, var = (f(x, axis=0, dtype=np.float64) for f in (np.mean, np.var))
    return ((x - mean) / np.sqrt(var + 1e-5)).astype(np.float32)


@pytest.mark.parametrize("share, known", [(1, True), (3, False)])
def test_a_weight_gradient_over_wrong_axes_may_be_off_by_what_its_sum_may_lose_and_not_by_three_times_that(share, known):
    rows = 3000  # so many that the sum loses more than all that comes before it
    x, g = np.random.default_rng(2).normal(size=(2, rows, 3)).astype(np.float32)
    mean, var = (f(x.astype(np.float64), axis=1, keepdims=True) for f in (np.mean, np.var))
    terms = g * (x - mean) / np.sqrt(var + 1e-5)
    off = terms.sum(axis=0) + share * rows * 2.0**-24 * np.abs(terms).sum(axis=0)
    names = explain({"grad_weight": off.astype(np.float32)}, x, grad_output=g, training=True)
    assert ("statistics over the wrong axes: per sample" in names) == known


def test_channels_last_are_recognised_where_the_last_axis_is_as_long_as_the_channels():
    x = X[:, :, :3] + np.arange(3) * 10
    last = bnref.batch_norm(np.moveaxis(x, -1, 1), training=True).output
    assert explain({"output": np.moveaxis(last, 1, -1)}, x, training=True) == ("statistics over the wrong axes: channels last",)


@pytest.mark.parametrize("n, steps", [(2**24, 2**24 - 1), (2**24 + 1, 2**24 + 1)])
def test_more_values_than_a_format_can_count_cost_a_rounding_more(n, steps):
    assert bounds.profile(np.float32, "sequential", n).steps == steps


def test_a_wrong_gradient_by_the_bias_says_nothing_of_the_statistics():
    g = bnref.batch_norm_backward(X, X, training=True)
    assert explain({"grad_bias": g.bias + 7}, X, grad_output=X, training=True) == ()


def test_one_value_per_channel_has_no_sum_that_could_be_taken_in_half_precision_or_in_one_pass():
    x = np.ones((1, 3), np.float32)
    assert explain({"output": x + 1}, x, training=True) == ()


def test_without_a_weight_none_is_missed_in_a_gradient():
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, 9, 3))
    actual = {"grad_input": 3 * g}
    assert explain(actual, x, np.zeros(3), np.ones(3), grad_output=g) == ()


def test_a_sum_that_no_longer_grows_in_bfloat16_is_known_as_one_in_half_precision_though_float16_would_have_been_closer():
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(600, 3)).astype(np.float32), rng.uniform(0.4, 0.43, (600, 3)).astype(np.float32)
    total = np.zeros(3, ml_dtypes.bfloat16)
    for row in g:
        total = (total + row.astype(ml_dtypes.bfloat16)).astype(ml_dtypes.bfloat16)
    assert (total == 128).all()
    found = explain({"grad_bias": total.astype(np.float32)}, x, np.zeros(3, np.float32), np.ones(3, np.float32), grad_output=g)
    assert found == ("half-precision accumulation",)


def test_a_sum_in_half_precision_is_known_by_its_digits_though_it_was_kept_as_a_mean_in_between():
    x, g = np.random.default_rng(0).normal(0.5, 1, (2, 41, 6)).astype(np.float32)
    total = in_turn(g.astype(np.float16)).astype(np.float32)
    kept = total / np.float32(41) * np.float32(41)
    assert (kept != total).any()
    found = explain({"grad_bias": kept}, x, np.zeros(6, np.float32), np.ones(6, np.float32), grad_output=g)
    assert found == ("half-precision accumulation",)


def test_where_one_sum_of_the_gradients_is_in_half_precision_the_other_may_be_right_for_statistics_that_are_not():
    call = random_call(np.random.default_rng(2), "float32", shape=(64, 4), centre=3.0)
    of_statistics, of_all = (in_style(call, "half-precision accumulation", scope=scope) for scope in ("both", "all"))
    wrong = {name: of_statistics[name] for name in ("output", "grad_weight")} | {"grad_bias": of_all["grad_bias"]}
    assert explain(wrong, **call) == ("half-precision accumulation",)
    assert explain(wrong | {"grad_weight": wrong["grad_weight"] * np.float32(1.01)}, **call) == ()


def test_a_gradient_that_should_be_nothing_may_differ_from_what_its_sums_give_by_the_roundings_of_the_others():
    rng = np.random.default_rng(2)
    a, b, c, d = np.round(rng.uniform(1000, 2000, 4) * 64).astype(np.float32) / 64
    x = np.array([[0, 0, 1, 1, 1, -1, -1, -1], [3, -1, 2, -4, 1, 1, -1, -1]], np.float32).T
    g = np.array([[0, 0, a, b, -a - b, c, d, -c - d], rng.uniform(100, 1000, 8)], np.float32).T  # across 1 and x, and any
    call = dict(input=x, weight=np.array([1.3, 0.7], np.float32), grad_output=g, training=True, eps=1e-5)
    given = call | {"running_mean": None, "running_var": None, "bias": None}
    wrong = in_style(given, "half-precision accumulation", scope="gradients")
    gradients = {name: wrong[name] for name in bounds.GRADIENTS}
    assert (gradients["grad_input"][:2, 0] == 0).all()
    assert explain(gradients, **call, accumulate="float64") == ("half-precision accumulation",)
