"""Many threads: the functional form, layers of their own, and one layer for all of them."""

import copy
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import bnref

X = np.random.default_rng(5).normal(3, 2, (8, 3, 16)).astype(np.float32)
MAKERS = {"torch": lambda: bnref.torch.BatchNorm1d(3), "mindspore": lambda: bnref.mindspore.BatchNorm1d(3).set_train()}


@pytest.fixture(autouse=True)
def threads_that_change_often():
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def together(tasks):
    """The results of the tasks, all begun at the same moment."""
    begin = threading.Barrier(len(tasks))

    def run(task):
        begin.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [done.result() for done in [pool.submit(run, task) for task in tasks]]


def arrays(layer):
    return {name: array for name, array in vars(layer).items() if isinstance(array, np.ndarray)}


def bits(values):
    return {name: array.tobytes() for name, array in values.items() if array is not None}


def test_the_functional_form_gives_in_many_threads_what_it_gives_alone():
    rng = np.random.default_rng(1)
    data = [rng.normal(10.0**k, 1, (7 + k, 2 + k % 3, 5 * (k + 1))).astype(("f2", "f4", "f8")[k % 3]) for k in range(3)]

    def everything(x):
        forward = bnref.batch_norm(x, training=True)
        backward = bnref.batch_norm_backward(x[::-1], x, training=True)
        double = bnref.batch_norm_double_backward(x, None, None, x[::-1], x, training=True)
        return [bits(record._asdict()) for record in (forward, backward, double)]

    alone = [everything(x) for x in data]
    for _ in range(3):
        assert together([lambda x=x: everything(x) for x in data + data]) == alone + alone


def test_errors_of_arithmetic_are_ignored_in_the_thread_that_asks_for_it_alone():
    x = np.full((4, 2), 1e300)

    def warned():
        with np.errstate(over="raise"):
            bnref.batch_norm(x, training=True)
            with pytest.raises(FloatingPointError):
                x * x
        return True

    assert together([warned] * 4) == [True] * 4


@pytest.mark.parametrize("name", MAKERS)
def test_layers_of_their_own_give_in_two_threads_what_they_give_alone(name):
    def trained(x):
        layer = MAKERS[name]()
        outputs = [layer(x * scale).tobytes() for scale in (1, 2, 3)]
        return outputs, bits(layer.backward(x)._asdict()), bits(arrays(layer))

    inputs = [X, X[:, :, ::-1] + 1]
    assert together([lambda x=x: trained(x) for x in inputs]) == [trained(x) for x in inputs]


@pytest.mark.parametrize("name", MAKERS)
def test_no_call_of_a_layer_that_threads_share_is_lost(name):
    shared, alone = MAKERS[name](), MAKERS[name]()
    outputs = together([lambda: [shared(X).tobytes() for _ in range(10)]] * 4)
    expected = {alone(X).tobytes() for _ in range(40)}
    assert {output for each in outputs for output in each} == expected
    assert bits(arrays(shared)) == bits(arrays(alone))


def test_calls_of_a_layer_that_threads_share_are_made_in_some_order():
    inputs = [X, X + 1, X * 2]
    possible = set()
    for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        layer = bnref.torch.BatchNorm1d(3, momentum=0.3)
        for k in order:
            layer(inputs[k])
        possible.add(tuple(bits(arrays(layer)).items()))
    assert len(possible) == 6
    for _ in range(10):
        layer = bnref.torch.BatchNorm1d(3, momentum=0.3)
        together([lambda x=x, layer=layer: layer(x) for x in inputs])
        assert tuple(bits(arrays(layer)).items()) in possible


def test_a_call_sees_a_loaded_state_as_a_whole_or_not_at_all():
    layer = bnref.torch.BatchNorm1d(3).eval()
    states = [{name: np.full(3, value, np.float32) for name in ("weight", "bias", "running_mean", "running_var")}
              for value in (2, 5)]
    possible = set()
    for state in states:
        layer.load_state_dict(state)
        possible.add(layer(X).tobytes())
    seen = together([lambda: [layer(X).tobytes() for _ in range(30)],
                     lambda: [layer.load_state_dict(states[k % 2]) and None for k in range(300)]])
    assert len(possible) == 2 and set(seen[0]) <= possible


def test_the_gradient_is_that_of_one_of_the_calls():
    net = bnref.mindspore.BatchNorm3d(3).set_train()
    inputs = [X[..., None, None], X[:4, :, :8, None, None]]
    possible = {}
    for x in inputs:
        net(x)
        possible[x.shape] = net.backward(np.ones_like(x)).input.tobytes()

    def differentiated():
        found = set()
        for x in inputs * 10:
            try:
                found.add(net.backward(np.ones_like(x)).input.tobytes() == possible[x.shape])
            except ValueError as error:  # the last call had the other shape
                assert "grad_output: shape" in str(error)
        return found

    _, found = together([lambda: [net(x) for x in inputs * 10], differentiated])
    assert False not in found


@pytest.mark.parametrize("name", MAKERS)
def test_a_call_that_raises_leaves_the_layer_to_the_other_threads(name):
    layer = MAKERS[name]()
    with pytest.raises(ValueError):
        layer(X[0, 0])
    assert together([lambda: layer(X).shape] * 2) == [X.shape] * 2


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
@pytest.mark.parametrize("layer", [bnref.torch.BatchNorm2d(3), bnref.mindspore.BatchNorm1d(3), bnref.mindspore.BatchNorm3d(3)])
def test_a_layer_can_be_copied_and_pickled_and_its_copy_has_a_lock_of_its_own(layer, duplicate):
    twin = duplicate(layer)
    inner, other = getattr(layer, "bn2d", layer), getattr(twin, "bn2d", twin)
    assert bits(arrays(inner)) == bits(arrays(other)) and repr(layer) == repr(twin)
    assert other._lock is not inner._lock or inner is other
