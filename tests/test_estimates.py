"""The statistics that are read back from results."""

import numpy as np
import pytest

from bnref import bounds, estimates
from bnref.comparison import View
from tests.planted import planted, random_call

POWERS = {"input": 1, "running_mean": 1, "running_var": 2, "eps": 2, "mean": 1, "var": 2, "grad_input": -1}  # of the unit of the input


def scaled(values, scale):
    """The same in units so many times as small."""
    return {name: value * scale ** POWERS.get(name, 0) if name in POWERS else value for name, value in values.items()}


def read(call, actual, failing):
    view = View(bounds.Case(**call), actual, None, "sequential")
    right = bounds.statistics(view.doubled, view.true, view.profile(failing[0]))
    with np.errstate(all="ignore"):
        return list(estimates.read(view, failing, right))


@pytest.mark.parametrize("failing", [
    ["output"], ["mean", "var"], ["grad_input"], ["grad_weight"], ["grad_input", "grad_weight"],
    ["output", "grad_input", "grad_weight", "grad_bias"], ["running_mean", "running_var"]])
def test_what_is_read_from_data_in_other_units_is_the_same_in_those_units_and_as_certain(failing):
    call = random_call(np.random.default_rng(3), "float64", shape=(33, 5), centre=3.0)
    actual = {name: value for name, value in planted(call, "one-pass variance").items() if name in failing}
    found, other = read(call, actual, failing), read(scaled(call, 2.0**20), scaled(actual, 2.0**20), failing)
    assert len(found) == len(other) > 0
    for one, two in zip(found, other):
        for name, power in [("mean", 1), ("mean_error", 1), ("var", 2), ("var_error", 2)]:
            np.testing.assert_array_equal(getattr(two, name), getattr(one, name) * 2.0 ** (20 * power))


def test_a_slope_that_is_off_by_more_than_the_outputs_are_from_the_line_is_read_within_its_error():
    rng, off = np.random.default_rng(0), 40 * 2.0**-24
    x = rng.normal(size=(8, 1))
    straight = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    line = np.hstack([np.ones((8, 1)), x])
    rest = (other := rng.normal(size=(8, 1))) - line @ np.linalg.lstsq(line, other, rcond=None)[0]
    output = straight * (1 + 1.5 * off) + off * rest / np.abs(rest).max()
    call = dict(input=x, running_mean=None, running_var=None, weight=None, bias=None, grad_output=None, training=True, momentum=0.1,
                eps=1e-5)
    found, = read(call, {"output": output.astype(np.float32)}, ["output"])
    assert np.abs(found.var - x.var()) <= found.var_error <= 200 * 2.0**-24 * x.var()


@pytest.mark.parametrize("failing", ["grad_input", "grad_weight"])
def test_a_variance_that_is_read_from_sums_of_many_values_has_an_error_above_zero(failing):
    call = random_call(np.random.default_rng(3), "float64", shape=(500, 2), centre=3.0)
    for found in read(call, {failing: planted(call, "one-pass variance")[failing]}, [failing]):
        assert (found.var_error > 0).all()


@pytest.mark.parametrize("name", ["mean", "output", "running_mean"])
def test_the_mean_is_known_to_be_seen_where_one_result_that_shows_it_is_right(name):
    call = random_call(np.random.default_rng(3), "float64", shape=(33, 5), centre=3.0)
    actual = {name: planted(call)[name], "grad_input": planted(call, "one-pass variance")["grad_input"]}
    assert all(found.mean_seen for found in read(call, actual, ["grad_input"]))


def test_of_three_values_a_variance_is_read_to_some_roundings():
    call = random_call(np.random.default_rng(3), "float64", shape=(3, 2), centre=3.0)
    for found in read(call, {"output": planted(call, "one-pass variance")["output"]}, ["output"]):
        assert (found.var_error <= 2.0**-53 * 1e5 * (found.var + 1)).all()


def test_a_gradient_before_its_sums_are_subtracted_is_grad_output_by_weight_and_rstd():
    call = random_call(np.random.default_rng(3), "float64", shape=(33, 5), centre=3.0)
    actual = {"grad_input": planted(call)["grad_input"]}
    found = read(call, actual, ["grad_input"])[0]
    unreduced = estimates.unreduced(View(bounds.Case(**call), actual, None, "sequential"), found)
    np.testing.assert_allclose(unreduced, call["grad_output"] * call["weight"] / np.sqrt(found.var + call["eps"]), rtol=1e-12)


def test_a_variance_that_is_read_from_a_gradient_by_sums_that_round_one_way_is_within_its_error():
    rows, u, weight = 4000, 2.0**-53, 1 + 2.0**-5
    small = 2.0**-26 * 1.40625  # its square is a little less than half an ulp of 4, and by the weight a little more
    size = np.repeat([1.0, small], [4, rows - 4])[:, np.newaxis]
    x, g = (np.tile(signs, rows // 4)[:, np.newaxis] * np.ones(2) for signs in ([1.0, 1, -1, -1], [1.0, -1, 1, -1]))
    call = dict(input=x, running_mean=None, running_var=None, weight=np.full(2, weight), bias=None, grad_output=g * size, training=True,
                momentum=0.1, eps=0.0)
    found = read(call, {"grad_input": weight * g * size}, ["grad_input"])[0]  # both of its sums are 0, x has the variance 1
    assert (np.abs(found.var - 1) > 3.5 * rows * u).all() and (np.abs(found.var - 1) <= found.var_error).all()


def test_what_is_left_of_errors_in_a_gradient_beside_its_sums_is_bounded_whatever_their_signs_and_can_be_near_the_bound():
    rng = np.random.default_rng(0)
    x, error = rng.normal(size=(64, 2)), rng.uniform(0.5, 1, (64, 2)) * [1, 8]
    x[0], x[1], error[1] = x[2:].mean(axis=0), 6.0, 0.0  # one that only the mean of the errors moves, and one that their moment moves
    x *= [1, 4]
    call = random_call(rng, "float64", shape=(64, 2)) | {"input": x}
    right, d = planted(call)["grad_input"], x - x.mean(axis=0)
    view = View(bounds.Case(**call), {"grad_input": right}, None, "sequential")
    found = estimates.Estimate(view.true["mean"], np.zeros(2), view.true["var"], np.zeros(2), True, True)
    allowed = estimates.unfitted(view, error)

    def left(signs):
        view.actual["grad_input"] = right + signs * error
        return np.abs(view.actual["grad_input"] - estimates.sums(view, found)[2])

    for at, near in [(0, 0.95), (1, 0.75)]:
        worst = -np.sign(1 / 64 + d * d[at] / (d * d).sum(axis=0))
        worst[at] = 1
        assert (near * allowed[at] < left(worst)[at]).all() and (left(worst) <= allowed).all()
    assert all((left(rng.choice([-1, 1], (64, 2))) <= allowed).all() for _ in range(100))
