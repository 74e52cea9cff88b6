"""The worked example of the mapping page that started this project, with the sixteen numbers that it prints.

Source: MindSpore r2.3.1 documentation, "Differences with torch.nn.BatchNorm1d".
"""

import numpy as np
import pytest

import bnref

X = np.array([[0.7, 0.5, 0.5, 0.6], [0.5, 0.4, 0.6, 0.9]], np.float32)
PRINTED_BY_PYTORCH = [[0.9995001, 0.9980063, -0.998006, -0.99977785], [-0.9995007, -0.9980057, 0.998006, 0.99977785]]
PRINTED_BY_MINDSPORE = [[0.9995001, 0.9980063, -0.998006, -0.9997778], [-0.9995007, -0.9980057, 0.998006, 0.9997778]]


@pytest.fixture
def pytorch():
    return bnref.torch.BatchNorm1d(4, affine=False, momentum=0.1)


@pytest.fixture
def mindspore():
    net = bnref.mindspore.BatchNorm1d(num_features=4, affine=False, momentum=0.9)
    net.set_train()
    return net


def test_both_layers_print_the_pages_numbers(pytorch, mindspore):
    np.testing.assert_allclose(pytorch(X), PRINTED_BY_PYTORCH, rtol=0, atol=1e-6)
    np.testing.assert_allclose(mindspore(X), PRINTED_BY_MINDSPORE, rtol=0, atol=1e-6)


def test_both_layers_give_the_same_bits(pytorch, mindspore):
    assert np.array_equal(pytorch(X), mindspore(X))


def test_the_output_is_the_correctly_rounded_one(pytorch):
    expected = np.array([[0.9995004, 0.998006, -0.998006, -0.99977785], [-0.9995004, -0.998006, 0.998006, 0.99977785]])
    np.testing.assert_array_equal(pytorch(X), expected.astype(np.float32))


def test_one_step_moves_the_running_statistics_of_both(pytorch, mindspore):
    pytorch(X), mindspore(X)
    for mean, var in [(pytorch.running_mean, pytorch.running_var), (mindspore.moving_mean, mindspore.moving_variance)]:
        np.testing.assert_allclose(mean, [0.06, 0.045, 0.055, 0.075], rtol=2e-7)
        np.testing.assert_allclose(var, [0.902, 0.9005, 0.9005, 0.9045], rtol=2e-7)


def test_mindspores_layer_is_in_inference_mode_until_it_is_told():
    net = bnref.mindspore.BatchNorm1d(num_features=4, affine=False, momentum=0.9)
    np.testing.assert_allclose(net(X), X, rtol=1e-5)
    assert np.array_equal(net.moving_mean, np.zeros(4))
