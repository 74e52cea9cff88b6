"""What a user of the layers meets: live arrays, state dictionaries, errors that say what to do, and no damage after one."""

import inspect
import re
from fractions import Fraction

import numpy as np
import pytest

import bnref.mindspore
import bnref.torch

X = np.array([[0.7, 0.5, 0.5, 0.6], [0.5, 0.4, 0.6, 0.9]], np.float32)


def torch_layer(n=1, **settings):
    return getattr(bnref.torch, f"BatchNorm{n}d")(4, **settings)


def mindspore_layer(n=1, **settings):
    return getattr(bnref.mindspore, f"BatchNorm{n}d")(4, **settings)


def arrays(layer):
    names = {"torch": ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
             "mindspore": ("gamma", "beta", "moving_mean", "moving_variance")}[type(layer).__module__.rpartition(".")[2]]
    return {name: getattr(layer, name) for name in names}


def snapshot(layer):
    return {name: None if array is None else array.tobytes() for name, array in arrays(layer).items()}


# ---- The worked example -------------------------------------------------------------------------------------------

PRINTED = {
    "torch": [[0.9995001, 0.9980063, -0.998006, -0.99977785], [-0.9995007, -0.9980057, 0.998006, 0.99977785]],
    "mindspore": [[0.9995001, 0.9980063, -0.998006, -0.9997778], [-0.9995007, -0.9980057, 0.998006, 0.9997778]],
}


@pytest.mark.parametrize("framework, layer", [
    ("torch", torch_layer(affine=False)), ("mindspore", mindspore_layer(affine=False).set_train())])
def test_the_worked_example_of_the_mapping_page(framework, layer):
    assert np.abs(layer(X) - PRINTED[framework]).max() < 1e-6
    mean, var = (getattr(layer, name) for name in layer.names[:2])
    np.testing.assert_allclose(mean, [0.06, 0.045, 0.055, 0.075], rtol=1e-6)
    np.testing.assert_allclose(var, [0.902, 0.9005, 0.9005, 0.9045], rtol=1e-6)


def test_pytorch_starts_in_training_and_mindspore_in_inference():
    assert torch_layer().training and not mindspore_layer().training and not mindspore_layer(3).training


# ---- Arrays ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", (torch_layer().eval(), mindspore_layer()))
def test_the_arrays_are_live_and_the_layer_updates_the_same_objects(layer):
    mean, var, weight, bias = (getattr(layer, name) for name in layer.names)
    mean[...], var[...], weight[...], bias[...] = 1, 4 - 1e-5, 3, 5
    np.testing.assert_allclose(layer(X), (X - 1) / 2 * 3 + 5, rtol=1e-6)
    (layer.train if hasattr(layer, "train") else layer.set_train)(True)
    layer(X)
    assert getattr(layer, layer.names[0]) is mean and (mean != 1).all() and (var != 4).all()


def test_state_dict_and_parameters_are_the_live_arrays():
    bn, net = torch_layer(), mindspore_layer()
    assert all(array is getattr(bn, name) for name, array in bn.state_dict().items())
    assert {name: p.array is arrays(net)[{"mean": "moving_mean", "variance": "moving_variance"}.get(name, name)]
            for name, p in net.parameters_dict().items()} == dict.fromkeys(("mean", "variance", "gamma", "beta"), True)
    assert [p.array for p in net.trainable_params()][0] is net.gamma
    assert [name for name, _ in net.trainable_params()] == ["gamma", "beta"]


def test_a_loaded_state_is_a_copy():
    bn, state = torch_layer(), {name: array.copy() for name, array in torch_layer().state_dict().items()}
    assert bn.load_state_dict(state) == ([], [])
    state["running_mean"][...] = 9
    assert (bn.running_mean == 0).all()


def test_a_state_that_does_not_fit_is_refused_whole():
    bn = torch_layer()
    state = dict(torch_layer().state_dict(), weight=np.full(4, 7.0), running_mean=np.zeros(3), x=np.zeros(1), running_var=[1])
    del state["bias"]
    before = snapshot(bn)
    message = ("state_dict: does not fit this BatchNorm1d: missing keys: 'bias'; unexpected keys: 'x'; "
               "running_mean has shape (3,), allowed: (4,); running_var is a list, allowed: a NumPy array")
    with pytest.raises(RuntimeError, match=re.escape(message)):
        bn.load_state_dict(state)
    assert snapshot(bn) == before
    with pytest.raises(RuntimeError, match="dtype <U1, allowed: numbers"):
        bn.load_state_dict({"weight": np.array(list("abcd"))}, strict=False)


def test_an_initialiser_array_is_copied():
    values = np.arange(4, dtype=np.float32)
    net = mindspore_layer(gamma_init=values)
    values[...] = 9
    assert net.gamma.tolist() == [0, 1, 2, 3]


def test_running_statistics_can_be_reset():
    bn = torch_layer()
    bn(X)
    bn.reset_running_stats()
    assert (bn.running_mean.tolist(), bn.running_var.tolist(), int(bn.num_batches_tracked)) == ([0] * 4, [1] * 4, 0)
    without = torch_layer(track_running_stats=False)
    without.reset_running_stats()
    assert without.running_mean is None


def test_statistics_without_a_count_are_kept_as_pytorch_keeps_them():
    bn, average = torch_layer(momentum=0.1), torch_layer(momentum=None)
    bn.num_batches_tracked = average.num_batches_tracked = None
    bn(X), average(X)
    assert np.array_equal(bn.running_mean, bnref.batch_norm(X, np.zeros(4, "f"), np.ones(4, "f"), training=True).running_mean)
    assert average.running_mean.tolist() == [0] * 4  # no number of batches, so a weight of 0
    bn.reset_running_stats()
    assert (bn.running_mean.tolist(), bn.running_var.tolist(), bn.num_batches_tracked) == ([0] * 4, [1] * 4, None)


def test_momentum_none_gives_the_average_over_all_batches():
    bn = torch_layer(momentum=None, dtype="float64")
    batches = np.random.default_rng(0).normal(size=(5, 6, 4))
    for batch in batches:
        bn(batch)
    np.testing.assert_allclose(bn.running_mean, batches.mean((0, 1)), rtol=1e-13)
    np.testing.assert_allclose(bn.running_var, batches.var(1, ddof=1).mean(0), rtol=1e-13)
    assert bn.num_batches_tracked == 5 and bn.num_batches_tracked.dtype == np.int64


@pytest.mark.parametrize("shape, n", [((2, 4, 6), 1), ((2, 4, 3, 2), 2), ((2, 4, 3, 1, 2), 3)])
@pytest.mark.parametrize("make", (torch_layer, mindspore_layer))
def test_all_axes_but_the_second_are_one_batch(make, shape, n):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    flat = np.moveaxis(x, 1, -1).reshape(-1, 4)
    one, other = make(n), make(1)
    for layer in (one, other):
        (layer.train if make is torch_layer else layer.set_train)(True)
    assert np.moveaxis(one(x), 1, -1).reshape(-1, 4).tobytes() == other(flat).tobytes()
    assert snapshot(one) == snapshot(other)


def test_mindspores_weight_of_the_new_observation_is_the_double_that_it_stores():
    assert mindspore_layer(momentum=0.9).momentum == 0.09999999999999998
    net = mindspore_layer(momentum=0.9999999999999999).set_train()
    net(np.full((2, 4), 2.0 ** 60, np.float32))
    assert net.momentum == 2.0 ** -53 and net.moving_mean.tolist() == [128] * 4, "not 1e-16 * 2**60 = 115.3"


@pytest.mark.parametrize("name", ("momentum", "eps"))
def test_mindspores_momentum_and_eps_are_fixed_at_construction(name):
    with pytest.raises(AttributeError):
        setattr(mindspore_layer(), name, 0.5)


def test_an_eps_that_is_not_finite_is_refused_in_inference_too():
    with pytest.raises(ValueError, match="eps: inf; BatchNorm1d takes a number above 0"):
        torch_layer(eps=float("inf")).eval()(X)


def test_mindspores_3d_layer_shows_what_the_2d_layer_in_it_has():
    net = mindspore_layer(3, eps=0.25, momentum=0.5, use_batch_statistics=False)
    for name in ("num_features", "eps", "momentum", "affine", "use_batch_statistics", "training"):
        assert getattr(net, name) == getattr(net.bn2d, name)
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        assert getattr(net, name) is getattr(net.bn2d, name)


# ---- Errors ---------------------------------------------------------------------------------------------------------

CALLS = [
    (torch_layer, {}, np.ones(4, np.float32), ValueError,
     "input: 1-D, shape (4,); BatchNorm1d takes 2-D (N, C) or 3-D (N, C, L)"),
    (torch_layer, {}, np.ones((3, 5), np.float32), RuntimeError,
     "input: 5 channels, shape (3, 5); BatchNorm1d takes num_features = 4"),
    (torch_layer, {}, np.ones((1, 4), np.float32), ValueError,
     "input: shape (1, 4) has one value per channel; allowed: none, or more than one, wherever the batch normalises itself"),
    (torch_layer, {}, np.ones((3, 4)), RuntimeError,
     "input: dtype float64; allowed: float16 or bfloat16 or float32, as the layer's arrays are float32"),
    (torch_layer, {}, np.ones((3, 4), int), NotImplementedError,
     "input: dtype int64; allowed: float16 or bfloat16 or float32, as the layer's arrays are float32"),
    (torch_layer, {"eps": 0}, X, ValueError,
     "eps: 0; BatchNorm1d takes a number above 0 where the batch normalises itself, and at least 0 elsewhere"),
    (torch_layer, {"eps": "1e-5"}, X, TypeError, "eps: '1e-5'; BatchNorm1d takes a number"),
    (torch_layer, {"eps": float("nan")}, X, ValueError, "eps: nan; BatchNorm1d takes a number"),
    (torch_layer, {"eps": 10 ** 400}, X, ValueError, "BatchNorm1d takes a number"),
    (torch_layer, {"momentum": "a"}, X, TypeError, "momentum: 'a' of type str; allowed: a number"),
    (torch_layer, {"momentum": float("nan")}, X, ValueError, "momentum: nan; allowed: a finite number"),
    (torch_layer, {}, [["a", "b", "c", "d"]], TypeError,
     "input: a list; allowed: a NumPy array of floating-point numbers"),
    (torch_layer, {}, np.array([["a"] * 4] * 2), TypeError, "input: dtype <U1; allowed: a NumPy array"),
    (torch_layer, {}, np.full((2, 4), None), TypeError, "input: dtype object; allowed: a NumPy array"),
    (torch_layer, {}, np.ma.masked_invalid(X), TypeError, "input: a MaskedArray; allowed: a NumPy array"),
    (mindspore_layer, {}, np.ones(4, np.float32), ValueError,
     "x: 1-D, shape (4,); BatchNorm1d takes 2-D (N, C) or 3-D (N, C, L)"),
    (mindspore_layer, {}, np.ones((3, 5), np.float32), ValueError,
     "x: 5 channels, shape (3, 5); BatchNorm1d takes num_features = 4"),
    (mindspore_layer, {}, np.ones((3, 4)), TypeError,
     "x: dtype float64; allowed: float16 or float32, as the layer's arrays are float32"),
    (mindspore_layer, {"dtype": "float64"}, X, TypeError, "x: dtype float32; allowed: nothing, as the layer's arrays are float64"),
    (mindspore_layer, {"eps": 0.0}, X, ValueError, "eps: 0.0; BatchNorm1d takes a float in (0, 1]"),
    (mindspore_layer, {"eps": 1}, X, TypeError, "eps: 1; BatchNorm1d takes a float in (0, 1]"),
    (mindspore_layer, {"eps": 1e300}, X, ValueError, "eps: 1e+300; BatchNorm1d takes a float in (0, 1]"),
    (mindspore_layer, {"n": 2}, X, ValueError, "x: 2-D, shape (2, 4); BatchNorm2d takes 4-D (N, C, H, W)"),
    (mindspore_layer, {"n": 3}, X, ValueError, "x: 2-D, shape (2, 4); BatchNorm3d takes 5-D (N, C, D, H, W)"),
    (mindspore_layer, {}, np.broadcast_to(np.float32(1), (2**50, 4)), MemoryError,
     f"x: shape ({2**50}, 4) of float32; allowed: what leaves memory for results of its size"),
    (mindspore_layer, {}, [["a"]], TypeError, "x: a list; allowed: a NumPy array of floating-point numbers"),
]


@pytest.mark.parametrize("make, settings, x, error, message", CALLS)
def test_a_call_that_raises_names_argument_value_and_what_is_allowed_and_changes_nothing(make, settings, x, error, message):
    layer = make(**settings)
    (layer.train if make is torch_layer else layer.set_train)(True)
    before = snapshot(layer)
    with pytest.raises(error, match=re.escape(message)):
        layer(x)
    assert snapshot(layer) == before


@pytest.mark.parametrize("read_only", ("running_mean", "running_var", "num_batches_tracked"))
def test_a_read_only_buffer_is_refused_before_anything_is_written(read_only):
    bn = torch_layer()
    getattr(bn, read_only).flags.writeable = False
    before = snapshot(bn)
    with pytest.raises(ValueError, match="a read-only array; allowed: writable, since this call updates them"):
        bn(X)
    assert snapshot(bn) == before
    bn.eval()(X)


class NoFloat(Fraction):
    """A number that cannot be made a float."""

    def __float__(self):
        raise ArithmeticError("no float")


CONSTRUCTORS = [
    (bnref.torch, (2.0,), {}, TypeError, "num_features: 2.0 of type float; allowed: an int"),
    (bnref.torch, (True,), {}, TypeError, "num_features: True of type bool; allowed: an int"),
    (bnref.torch, (-1,), {}, RuntimeError, "num_features: -1; allowed: 0 or more"),
    (bnref.torch, (4,), {"device": "cuda"}, RuntimeError, "device: 'cuda'; allowed: None or 'cpu'"),
    (bnref.torch, (4,), {"dtype": "int64"}, RuntimeError, "dtype: int64; allowed: float16, bfloat16, float32 or float64"),
    (bnref.torch, (4,), {"dtype": "nope"}, TypeError, "dtype: 'nope' ("),
    (bnref.mindspore, (0,), {}, ValueError, "num_features: 0; allowed: 1 or more"),
    (bnref.mindspore, ("4",), {}, TypeError, "num_features: '4' of type str; allowed: an int"),
    (bnref.mindspore, (4,), {"momentum": None}, TypeError,
     "momentum: None; allowed: a number from 0 to 1, the weight of the old statistics"),
    (bnref.mindspore, (4,), {"momentum": 1.1}, ValueError,
     "momentum: 1.1; allowed: a number from 0 to 1, the weight of the old statistics"),
    (bnref.mindspore, (4,), {"momentum": float("nan")}, ValueError, "momentum: nan; allowed: a number from 0 to 1"),
    (bnref.mindspore, (4,), {"momentum": "a"}, TypeError, "momentum: 'a' of type str; allowed: a number"),
    (bnref.mindspore, (4,), {"momentum": NoFloat(1)}, TypeError, "momentum: a NoFloat that is no float (no float); allowed: a number"),
    (bnref.mindspore, (4,), {"affine": 1}, TypeError, "affine: 1 of type int; allowed: True or False"),
    (bnref.mindspore, (4,), {"use_batch_statistics": "x"}, ValueError,
     "use_batch_statistics: 'x'; allowed: True, False or None"),
    (bnref.mindspore, (4,), {"data_format": "NHWC"}, ValueError, "data_format: 'NHWC'; allowed: 'NCHW', as on any CPU"),
    (bnref.mindspore, (4,), {"gamma_init": "normal"}, ValueError,
     "gamma_init: 'normal'; allowed: 'ones', 'one', 'zeros', 'zero', a number or an array"),
    (bnref.mindspore, (4,), {"beta_init": None}, TypeError, "beta_init: a NoneType; allowed: a string, a number or an array"),
    (bnref.mindspore, (4,), {"moving_var_init": np.ones(3)}, ValueError, "moving_var_init: shape (3,); allowed: (4,)"),
    (bnref.mindspore, (4,), {"gamma_init": np.arange(4)}, TypeError, "gamma_init: dtype int64; allowed: float16, bfloat16, float32 or float64"),
]


@pytest.mark.parametrize("module, positional, keywords, error, message", CONSTRUCTORS)
def test_a_constructor_names_argument_value_and_what_is_allowed(module, positional, keywords, error, message):
    with pytest.raises(error, match=re.escape(message)):
        module.BatchNorm1d(*positional, **keywords)


def test_modes_and_prefixes_of_the_wrong_type_are_refused():
    with pytest.raises(ValueError, match="mode: 1 of type int; allowed: True or False"):
        torch_layer().train(1)
    with pytest.raises(TypeError, match="prefix: 1 of type int; allowed: a string"):
        mindspore_layer().update_parameters_name(1)
    with pytest.raises(TypeError, match="state_dict: a list; allowed: a mapping of keys to arrays"):
        torch_layer().load_state_dict([])


def test_arrays_that_do_not_belong_together_are_refused():
    bn = torch_layer().eval()
    bn.running_var = None
    with pytest.raises(ValueError, match="running_mean, running_var: one of them is None; allowed: both or neither"):
        bn(X)
    bn = torch_layer()
    bn.weight = None
    with pytest.raises(ValueError, match="weight: None, but there is a bias"):
        bn(X)


@pytest.mark.parametrize("name", ("running_mean", "running_var", "weight", "bias"))
def test_an_array_of_another_size_is_refused_before_anything_is_written(name):
    bn = torch_layer()
    bn(X)
    setattr(bn, name, np.full(5, 7.0, np.float32))
    before = snapshot(bn)
    for call in (bn.reset_running_stats, lambda: bn.load_state_dict(torch_layer().state_dict()), lambda: bn(X)):
        with pytest.raises(ValueError, match=rf"^{name}: shape \(5,\); allowed: \(4,\), the layer's num_features"):
            call()
    assert snapshot(bn) == before


def test_a_state_that_does_not_exist_is_refused():
    bn, net = torch_layer(), mindspore_layer()
    bn.training = net.use_batch_statistics = "x"
    with pytest.raises(ValueError, match=r"state: TorchState\(training='x'.* is no combination of the values in states.AXES"):
        bn(X)
    with pytest.raises(ValueError, match=r"state: MindSporeState\(.*use_batch_statistics='x'"):
        net(X)


# ---- What the gradient will need ------------------------------------------------------------------------------------


def test_the_last_call_is_remembered_and_a_call_that_raises_does_not_count():
    bn = torch_layer().eval()
    assert bn._last_call is None
    bn(X)
    bn.running_mean[...] = 5
    with pytest.raises(ValueError):
        bn(X[0])
    last = bn._last_call
    assert last.input is X and last.running_mean.tolist() == [0] * 4 and last.behaviour.normalises_by == "running"


@pytest.mark.parametrize("layer", [torch_layer, mindspore_layer])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_layer_shows_its_arguments_on_every_python(layer, n):
    kind = type(layer(n))
    assert list(inspect.signature(kind).parameters)[:2] == ["num_features", "eps"]
    # The inspect of Python 3.11.2 prefers a __new__, wherever it stands, to the __init__ that takes the arguments.
    assert [base for base in kind.__mro__ if "__new__" in vars(base)] == [object]
