"""Layers carried across: what is equivalent, what is not, and that the port knows it.

No rule of `bnref.port` is repeated here.  Which configurations correspond is found by running both layers through one
sequence of calls that visits every mode; the port has to agree with what is found.
"""

import itertools
import pickle

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import bnref.mindspore
import bnref.port
import bnref.torch

CLASSES = {"BatchNorm1d": (5, 3), "BatchNorm2d": (3, 3, 2, 1), "BatchNorm3d": (2, 3, 1, 2, 2)}
# Decimals that come back whole, and the momenta that are out of the ordinary.
MOMENTA = (0.1, 0.5, 0.25, 0.3, 0.7, 0.9, 0.01, 0.999, 0, 1.0)
STRANGE = (None, 1.5, -0.5)
ONE_OF_EACH = {"torch": (None, 0, 0.1, 1.0, 1.5), "mindspore": (0, 0.9, 1.0)}
VISIT_ALL = "FFTFFEFFTFEF"  # forward in inference, in training, again in inference, and back


def torch_layer(kind="BatchNorm1d", flag=None, **settings):
    bn = getattr(bnref.torch, kind)(3, **settings)
    bn.track_running_stats = bn.track_running_stats if flag is None else flag
    return _filled(bn, bn.names)


def mindspore_layer(kind="BatchNorm1d", **settings):
    net = getattr(bnref.mindspore, kind)(3, **settings)
    return _filled(net, ("moving_mean", "moving_variance") + (("gamma", "beta") if net.affine else ()))


def _filled(layer, names):
    for seed, name in enumerate(names):
        if getattr(layer, name) is not None:
            getattr(layer, name)[...] = np.random.default_rng(seed).integers(1, 9, 3) / 2
    return layer


def statistics(layer):
    names = ("running_mean", "running_var") if isinstance(layer, bnref.torch._BatchNorm) else ("moving_mean", "moving_variance")
    return [getattr(layer, name) for name in names if getattr(layer, name) is not None]


def set_mode(layer, training):
    layer.train(training) if isinstance(layer, bnref.torch._BatchNorm) else layer.set_train(training)


def learned(layer):
    if isinstance(layer, bnref.torch._BatchNorm):
        return [name for name in ("weight", "bias") if getattr(layer, name) is not None]
    return [{"gamma": "weight", "beta": "bias"}[p.name.rpartition(".")[2]] for p in layer.trainable_params()]


def distinguishable(one, other, sequence=VISIT_ALL, kind="BatchNorm1d"):
    """Do outputs, what is learned, or statistics that ever change, differ along the sequence?"""
    rng = np.random.default_rng(7)
    starts = [[array.copy() for array in statistics(layer)] for layer in (one, other)]
    if learned(one) != learned(other):
        return True
    for call in sequence:
        x = rng.normal(3, 2, CLASSES[kind]).astype(np.float32)
        if call in "TE":
            set_mode(one, call == "T"), set_mode(other, call == "T")
        elif not np.allclose(one(x), other(x), rtol=1e-4, atol=1e-4):
            return True
    changed = [any((a != b).any() for a, b in zip(start, statistics(layer), strict=True))
               for start, layer in zip(starts, (one, other), strict=True)]
    if not any(changed):
        return False
    pairs = list(zip(statistics(one), statistics(other), strict=False))
    return not pairs or not all(np.allclose(a, b, rtol=1e-4) for a, b in pairs)


def torch_configurations(momenta=MOMENTA + STRANGE):
    for track, flag, (affine, bias) in itertools.product((True, False), (True, False), ((1, 1), (1, 0), (0, 0))):
        for momentum in momenta:
            yield dict(track_running_stats=track, flag=flag, affine=bool(affine), bias=bool(bias), momentum=momentum)


def mindspore_configurations(momenta=MOMENTA):
    for use_batch_statistics, affine, momentum in itertools.product((None, True, False), (True, False), momenta):
        yield dict(use_batch_statistics=use_batch_statistics, affine=affine, momentum=momentum)


def _with_the_arrays_of(bn, settings):
    """The MindSpore layer of these settings, in the best case for equivalence: with the arrays of `bn`."""
    arrays = {"gamma_init": bn.weight, "beta_init": bn.bias, "moving_mean_init": bn.running_mean, "moving_var_init": bn.running_var}
    net = bnref.mindspore.BatchNorm1d(3, **settings, **{name: a for name, a in arrays.items() if a is not None})
    set_mode(net, bn.training)
    return net


@pytest.mark.parametrize("kind", CLASSES)
def test_a_torch_layer_is_ported_if_and_only_if_a_mindspore_layer_does_the_same(kind):
    outcomes = {True: 0, False: 0}
    momenta = MOMENTA + STRANGE if kind == "BatchNorm1d" else ONE_OF_EACH["torch"]
    within = len(set(momenta) - {None, 1.5, -0.5})
    for settings in torch_configurations(momenta):
        try:
            bn = torch_layer(kind, **settings)
            assert not distinguishable(torch_layer(kind, **settings), bnref.port.to_mindspore(bn), kind=kind), settings
            outcomes[True] += 1
        except bnref.port.NoCounterpart:
            outcomes[False] += 1
            if kind == "BatchNorm1d":  # then every MindSpore layer can be told apart, in both starting modes
                for theirs in mindspore_configurations(ONE_OF_EACH["mindspore"]):
                    bn = torch_layer(kind, **settings)
                    assert distinguishable(bn, _with_the_arrays_of(bn, theirs)), (settings, theirs)
    # With and without affine: the momenta within [0, 1] while tracking, and every momentum where it has no effect.
    assert outcomes[True] == 2 * (within + 3 * len(momenta)) and sum(outcomes.values()) == 3 * 4 * len(momenta)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_mindspore_layer_is_ported_if_and_only_if_a_torch_layer_does_the_same(kind):
    outcomes = {True: 0, False: 0}
    for settings in mindspore_configurations((0, 0.25, 0.9, 1.0)):
        try:
            net = mindspore_layer(kind, **settings)
            assert not distinguishable(mindspore_layer(kind, **settings), bnref.port.to_torch(net), kind=kind), settings
            outcomes[True] += 1
        except bnref.port.NoCounterpart:
            outcomes[False] += 1
            others = torch_configurations(ONE_OF_EACH["torch"]) if kind == "BatchNorm1d" else ()
            for theirs in others:
                net, bn = mindspore_layer("BatchNorm1d", **settings), torch_layer("BatchNorm1d", **theirs)
                for name, array in zip(bn.names, (net.moving_mean, net.moving_variance, net.gamma, net.beta), strict=True):
                    if getattr(bn, name) is not None:
                        getattr(bn, name)[...] = array
                assert distinguishable(net, bn.eval()), (settings, theirs)
    assert outcomes == {True: 2 * (4 + 1), False: 2 * (4 + 4 - 1)}


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("training", (True, False))
def test_a_round_trip_returns_class_mode_momentum_statistics_and_parameters(kind, training):
    for settings in torch_configurations():
        bn = torch_layer(kind, eps=0.002, **settings).train(training)
        try:
            back = bnref.port.to_torch(bnref.port.to_mindspore(bn))
        except bnref.port.NoCounterpart:
            continue
        assert (type(back), back.training, back.eps, back.affine) == (type(bn), training, 0.002, bn.affine)
        assert [array is None for array in (back.weight, back.running_mean)] == [a is None for a in (bn.weight, bn.running_mean)]
        for name in bn.names:
            if getattr(bn, name) is not None:
                assert getattr(back, name).tobytes() == getattr(bn, name).tobytes()
                assert not np.shares_memory(getattr(back, name), getattr(bn, name))
        if settings["track_running_stats"] and settings["flag"]:
            assert back.momentum == bn.momentum, settings


@pytest.mark.parametrize("kind", CLASSES)
def test_a_round_trip_from_mindspore_restores_momentum_too(kind):
    for momentum in MOMENTA:
        net = mindspore_layer(kind, momentum=momentum)
        assert bnref.port.to_mindspore(bnref.port.to_torch(net)).momentum == net.momentum


def test_an_eps_that_numpy_counted_arrives_as_a_python_float():
    assert type(bnref.port.to_torch(mindspore_layer(eps=np.float64(0.25))).eps) is float
    assert type(bnref.port.to_mindspore(torch_layer(eps=np.float64(0.25))).eps) is float


def test_decimals_of_up_to_fifteen_places_come_back_from_the_complement():
    for momentum in [k / 1000 for k in range(1001)] + [0.123456789012345, 1e-15, 0.999999999999999]:
        assert bnref.port.decimal_complement(bnref.port.decimal_complement(momentum)) == momentum
    assert bnref.port.decimal_complement(0.1) == 0.9 and bnref.port.decimal_complement(0.9) == 0.1
    assert bnref.port.decimal_complement(1 - 0.99) == 0.99, "computed momenta land on the decimal that was meant"


U32 = 2.0 ** -24


@hypothesis.settings(max_examples=500, deadline=None, derandomize=True, database=None)
@hypothesis.given(
    kind=st.sampled_from(sorted(CLASSES)), track=st.booleans(), flag=st.booleans(), affine=st.booleans(),
    training=st.booleans(), momentum=st.one_of(st.sampled_from(MOMENTA), st.integers(0, 10**6).map(lambda k: k / 10**6)),
    eps=st.sampled_from((1e-5, 1e-3, 0.5)), calls=st.lists(st.sampled_from("TEFF"), min_size=1, max_size=6),
    seed=st.integers(0, 2**32 - 1))
def test_a_ported_layer_agrees_over_random_call_sequences(kind, track, flag, affine, training, momentum, eps, calls, seed):
    bn = torch_layer(kind, track_running_stats=track, flag=flag, affine=affine, momentum=momentum, eps=eps).train(training)
    net = bnref.port.to_mindspore(bn)
    rng = np.random.default_rng(seed)
    updates = track and flag
    difference = abs(bn.momentum - net.momentum) if updates else 0.0
    largest, steps = max([1.0] + [np.abs(array).max() for array in statistics(bn)]), 0
    for call in calls:
        if call in "TE":
            set_mode(bn, call == "T"), set_mode(net, call == "T")
            continue
        x = rng.normal(2, 3, CLASSES[kind]).astype(np.float32)
        same = all(a.tobytes() == b.tobytes() for a, b in zip(statistics(bn), statistics(net), strict=track))
        ours, theirs = bn(x), net(x)
        if bn.training or not track or same:
            assert ours.tobytes() == theirs.tobytes()
        if bn.training and updates:
            # new = old + w (batch - old): a step adds |dw| |batch - old|, and rounds twice; what was there shrinks.
            steps, largest = steps + 1, max(largest, 2 * float(np.square(x).max()))
            for a, b in zip(statistics(bn), statistics(net), strict=track):
                if difference == 0:
                    assert a.tobytes() == b.tobytes()
                assert np.abs(a.astype(float) - b).max() <= steps * (2 * difference * largest + 2 * U32 * largest)


def test_momenta_whose_two_weights_are_the_same_double_are_among_those_tried():
    exact = [m for m in MOMENTA if torch_layer(momentum=m).momentum == bnref.port.to_mindspore(torch_layer(momentum=m)).momentum]
    assert {0.5, 0.25, 0, 1.0} <= set(exact) and 0.1 not in exact


REASONS = [
    (lambda: torch_layer(momentum=None), "momentum=None weighs each batch by 1/num_batches_tracked"),
    (lambda: torch_layer(momentum=1.5), "momentum=1.5 is outside MindSpore's range, 0 to 1"),
    (lambda: torch_layer(momentum=float("nan")), "momentum=nan is outside MindSpore's range, 0 to 1"),
    (lambda: torch_layer(momentum=1e-20), "momentum=1e-20 is so small that"),
    (lambda: torch_layer(eps=0), "eps=0 is outside MindSpore's range, above 0 and up to 1"),
    (lambda: torch_layer(eps=1.5), "eps=1.5 is outside"),
    (lambda: torch_layer(eps=1e-60), "eps=1e-60 is outside"),
    (lambda: torch_layer(bias=False), "bias=False learns a weight and no bias"),
    (lambda: torch_layer(dtype="float64"), "arrays of float64; MindSpore's layer takes"),
    (lambda: bnref.torch.BatchNorm1d(0), "num_features=0; MindSpore wants at least 1"),
    (lambda: mindspore_layer(use_batch_statistics=True), "use_batch_statistics=True with momentum=0.9 updates the moving"),
    (lambda: mindspore_layer(use_batch_statistics=False), "use_batch_statistics=False normalises by the moving statistics"),
    (lambda: mindspore_layer(affine=False, gamma_init=2), "affine=False applies a gamma that is not 1"),
    (lambda: mindspore_layer(affine=False, beta_init=2), "or a beta that is not 0"),
    (lambda: mindspore_layer(eps=0.0), "eps=0.0 is refused by MindSpore itself"),
    (lambda: mindspore_layer(dtype="float64"), "arrays of float64; such a MindSpore layer takes no input"),
    (lambda: mindspore_layer(gamma_init=np.ones(3, np.float16)), "arrays of float16 and float32; such"),
]


@pytest.mark.parametrize("layer, reason", REASONS)
def test_what_has_no_counterpart_is_refused_with_the_reason_and_a_recipe(layer, reason):
    layer = layer()
    there = bnref.port.to_mindspore if isinstance(layer, bnref.torch._BatchNorm) else bnref.port.to_torch
    with pytest.raises(bnref.port.NoCounterpart) as refusal:
        there(layer)
    assert reason in str(refusal.value) and ".  What works: " in str(refusal.value)
    assert str(pickle.loads(pickle.dumps(refusal.value))) == str(refusal.value)
    assert (refusal.value.reason, refusal.value.recipe) == tuple(str(refusal.value)[:-1].split(".  What works: "))


def test_recipes_work():
    bn = torch_layer(momentum=None)
    bn.momentum = 0.1
    assert not distinguishable(bn, bnref.port.to_mindspore(bn))
    tracks, inert = (mindspore_layer(use_batch_statistics=True, momentum=m) for m in (0.9, 1.0))
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert tracks(x).tobytes() == inert(x).tobytes() == bnref.port.to_torch(inert)(x).tobytes()
    frozen = mindspore_layer(use_batch_statistics=False)
    bn = bnref.port.to_torch(mindspore_layer()).eval()
    assert frozen.set_train()(x).tobytes() == bn(x).tobytes()


def test_a_subclass_is_ported_as_what_it_is():
    class Mine(bnref.torch.BatchNorm2d):
        pass

    assert type(bnref.port.to_mindspore(Mine(3))) is bnref.mindspore.BatchNorm2d


@pytest.mark.parametrize("port, message", [
    (bnref.port.to_mindspore, "bn: a BatchNorm1d; allowed: a layer of bnref.torch"),
    (bnref.port.to_torch, "net: a BatchNorm1d; allowed: a layer of bnref.mindspore"),
])
def test_a_layer_of_the_wrong_framework_is_refused(port, message):
    with pytest.raises(TypeError, match=message):
        port((bnref.mindspore if port is bnref.port.to_mindspore else bnref.torch).BatchNorm1d(3))
