"""bnref.testing where little is given, where nothing fits, and at the edges of what its mistakes are."""

import numpy as np
import pytest

import bnref
from bnref import bounds
from bnref.testing import compare, explain

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


def test_without_an_eps_it_cannot_be_outside_the_root():
    weight = np.array([2.0, 3.0, 5.0])
    without = bnref.batch_norm(X, training=True, eps=0.0).output
    assert explain({"output": without}, X, weight=weight, training=True, eps=0.0) == ("weight missing",)


def test_statistics_of_the_samples_are_recognised_without_running_ones_where_there_are_as_many_samples_as_channels():
    x = X[:3, :, 0]
    per_sample = bnref.batch_norm(x.T, training=True)
    names = explain({"output": per_sample.output.T, "mean": per_sample.mean, "var": per_sample.var}, x, training=True)
    assert names == ("statistics over the wrong axes: per sample",)


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
