"""The layers' gradients: of the last call, in every state, and what is refused."""

import numpy as np
import pytest

import bnref
from bnref import states

X = np.random.default_rng(1).normal(3, 2, (6, 4)).astype(np.float32)
GRAD = np.random.default_rng(2).normal(0.5, 1, (6, 4)).astype(np.float32)


def torch_layer(training=True, track=True, affine=True, bias=True, rank=1):
    layer = getattr(bnref.torch, f"BatchNorm{rank}d")(4, affine=affine, track_running_stats=track, bias=bias)
    layer.train(training)
    for array, value in ((layer.weight, 2.5), (layer.bias, -1.0), (layer.running_mean, 1.5), (layer.running_var, 0.75)):
        if array is not None:
            array[...] = value
    return layer


def mindspore_layer(training=True, use_batch_statistics=None, affine=True, rank=1):
    layer = getattr(bnref.mindspore, f"BatchNorm{rank}d")(4, affine=affine, gamma_init=2.5, beta_init=-1.0,
                                                          moving_mean_init=1.5, moving_var_init=0.75,
                                                          use_batch_statistics=use_batch_statistics)
    layer.set_train(training)
    return layer


def expected(normalises_by, weight=2.5):
    statistics = np.full(4, 1.5, np.float32), np.full(4, 0.75, np.float32)
    weight = None if weight is None else np.full(4, weight, np.float32)
    return bnref.batch_norm_backward(GRAD, X, *statistics, weight, training=normalises_by == "batch", eps=1e-5)


def check(gradients, true, learns):
    assert np.array_equal(gradients.input, true.input)
    for name in ("weight", "bias"):
        got = getattr(gradients, name)
        if name in learns:
            assert np.array_equal(got, getattr(true, name))
        else:
            assert got is None


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("track", [True, False])
@pytest.mark.parametrize("affine, bias", [(True, True), (True, False), (False, True)])
def test_pytorchs_gradients_are_those_of_its_state(training, track, affine, bias):
    layer = torch_layer(training, track, affine, bias)
    layer(X)
    normalises_by = "running" if track and not training else "batch"
    learns = ("weight", "bias")[:affine + (affine and bias)]
    check(layer.backward(GRAD), expected(normalises_by, 2.5 if affine else None), learns)


@pytest.mark.parametrize("training, use_batch_statistics, normalises_by", [
    (True, None, "batch"), (False, None, "running"), (True, True, "batch"), (False, True, "batch"),
    (True, False, "running"), (False, False, "running")])
@pytest.mark.parametrize("affine", [True, False])
def test_mindspores_gradients_are_those_of_its_state(training, use_batch_statistics, normalises_by, affine):
    layer = mindspore_layer(training, use_batch_statistics, affine)
    layer(X)
    gradients = layer.backward(GRAD)
    check(gradients, expected(normalises_by), ("weight", "bias") if affine else ())
    assert gradients.gamma is gradients.weight and gradients.beta is gradients.bias


@pytest.mark.parametrize("make", [torch_layer, mindspore_layer])
@pytest.mark.parametrize("rank, shape", [(1, (2, 4, 3)), (2, (2, 4, 3, 1)), (3, (3, 4, 1, 2, 1))])
def test_every_rank_has_the_same_gradients(make, rank, shape):
    x, grad = X.T.reshape(4, *[s for k, s in enumerate(shape) if k != 1]), GRAD.T
    x, grad = np.moveaxis(x, 0, 1), np.moveaxis(grad.reshape(x.shape), 0, 1)
    layer = make(rank=rank)
    layer(x)
    gradients = layer.backward(grad)
    assert gradients.input.shape == shape
    assert np.array_equal(np.moveaxis(gradients.input, 1, 0).reshape(4, 6), expected("batch").input.T)
    assert np.array_equal(gradients.weight, expected("batch").weight)


def test_the_gradient_is_of_the_last_call_whatever_the_layer_became_since():
    layer = torch_layer()
    layer(X)
    layer.weight[...], layer.eps, layer.training = 7.0, 0.5, False
    check(layer.backward(GRAD), expected("batch"), ("weight", "bias"))


def test_a_call_that_raised_is_not_the_last_call():
    layer = torch_layer()
    layer(X)
    with pytest.raises(ValueError):
        layer(X[:1])
    check(layer.backward(GRAD), expected("batch"), ("weight", "bias"))


@pytest.mark.parametrize("make", [torch_layer, mindspore_layer])
def test_an_empty_batch_has_an_empty_gradient(make):
    layer = make()
    layer(X[:0])
    gradients = layer.backward(GRAD[:0])
    assert gradients.input.shape == (0, 4) and not gradients.weight.any() and not gradients.bias.any()


@pytest.mark.parametrize("make", [torch_layer, mindspore_layer])
@pytest.mark.parametrize("rows", [0, 6])
def test_a_parameters_gradient_has_the_parameters_dtype(make, rows):
    layer = make()
    layer(X[:rows].astype(np.float16))
    gradients = layer.backward(GRAD[:rows].astype(np.float16))
    assert [array.dtype for array in gradients] == [np.float16, np.float32, np.float32]


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64])
def test_pytorch_casts_grad_output_to_the_outputs_dtype(dtype):
    layer = torch_layer()
    layer(X)
    grad = (GRAD * 3).astype(dtype)
    assert np.array_equal(layer.backward(grad).input, layer.backward(grad.astype(np.float32)).input)
    assert layer.backward(grad).input.dtype == np.float32


REFUSED = [
    (torch_layer, GRAD[:3], RuntimeError, r"grad_output: shape \(3, 4\); allowed: \(6, 4\), that of the output"),
    (torch_layer, GRAD.astype(complex), RuntimeError, r"grad_output: dtype complex128; allowed: real numbers, cast to"),
    (torch_layer, GRAD.tolist(), TypeError, r"grad_output: a list; allowed: a NumPy array"),
    (mindspore_layer, GRAD[:3], ValueError, r"grad_output: shape \(3, 4\); allowed: \(6, 4\), that of the output"),
    (mindspore_layer, GRAD.astype(float), TypeError, r"grad_output: dtype float64; allowed: float32, that of the output"),
]


@pytest.mark.parametrize("make, grad, error, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_a_wrong_grad_output_is_refused_as_the_framework_does(make, grad, error, message):
    layer = make()
    layer(X)
    with pytest.raises(error, match=message):
        layer.backward(grad)


@pytest.mark.parametrize("make", [torch_layer, mindspore_layer])
@pytest.mark.parametrize("rank", [1, 3])
def test_backward_before_a_call_is_refused(make, rank):
    with pytest.raises(RuntimeError, match="backward: the layer was not called yet; allowed: after a call"):
        make(rank=rank).backward(GRAD)


def test_a_3d_gradient_of_another_shape_is_refused():
    layer = mindspore_layer(rank=3)
    layer(X.T.reshape(1, 4, 6, 1, 1))
    with pytest.raises(ValueError, match=r"grad_output: shape \(1, 4, 1, 6, 1\); allowed: \(1, 4, 6, 1, 1\)"):
        layer.backward(GRAD.T.reshape(1, 4, 1, 6, 1))


def test_the_tables_say_who_learns():
    rows = [row for row in states.enumerate_states("torch") if row.behaviour.raises is None and not row.state.affine]
    assert rows and all(row.behaviour.learns == () for row in rows)
