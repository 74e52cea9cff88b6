"""The recipes of notebooks/05_pytorch_and_mindspore hold for other data than the chapter's."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import bnref

names = st.lists(st.sampled_from(["block", "norm", "bn2d", "layer1", "0", "down"]), min_size=1, max_size=3).map(".".join)
dtypes = st.sampled_from(["float16", "float32", "float64"])


@st.composite
def networks(draw):
    """A state dictionary of PyTorch's: batch normalisations, some without affine, among other layers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    entries = {}
    for prefix in draw(st.lists(names, max_size=4, unique=True)):
        channels, dtype, affine = draw(st.integers(1, 4)), draw(dtypes), draw(st.booleans())
        for key in ("weight", "bias") * affine + ("running_mean", "running_var"):
            entries[f"{prefix}.bn.{key}"] = rng.normal(0.0, 1.0, channels).astype(dtype)
        entries[f"{prefix}.bn.num_batches_tracked"] = np.array(rng.integers(0, 10**6))
        entries[f"{prefix}.conv.weight"] = rng.normal(0.0, 1.0, (channels, 2, 3, 3)).astype(dtype)
    entries["fc.weight"], entries["fc.bias"] = rng.normal(0.0, 1.0, (3, 2)), rng.normal(0.0, 1.0, 3)
    return entries


def through_npz(entries):
    file = io.BytesIO()
    np.savez(file, **entries)
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def assert_same_entries(one, other):
    assert list(one) == list(other)
    for key in one:
        assert one[key].dtype == other[key].dtype, key
        assert_array_equal(one[key], other[key], err_msg=key)


@given(networks())
def test_a_network_comes_out_of_an_npz_file_as_it_went_in(network):
    assert_same_entries(through_npz(network), network)


@given(networks())
def test_a_checkpoint_goes_to_mindspore_and_back_through_two_files(network):
    there = bnref.port.checkpoint_to_mindspore(through_npz(network))
    back = bnref.port.checkpoint_to_torch(through_npz(there))
    # A file forgets what was invented: gamma and beta of a layer without affine come back as ones and zeros.
    for key in there.invented:
        key = key.replace("gamma", "weight").replace("beta", "bias")
        assert_array_equal(back.pop(key), 1 if key.endswith("weight") else 0)
    for key in there.dropped:
        assert back.pop(key) == 0
    assert set(back) == set(network) - set(there.dropped)
    assert_same_entries(back, {key: network[key] for key in back})


def test_an_npz_file_with_objects_is_refused():
    with pytest.raises(ValueError, match="allow_pickle=False"):
        through_npz({"weights": np.array([print], dtype=object)})


@given(st.integers(0, 2**32), st.text("TEF", max_size=12))
def test_frozen_statistics_are_the_same_in_both_frameworks(seed, calls):
    rng = np.random.default_rng(seed)
    mean, var, weight, bias = (rng.integers(1, 9, 3).astype(np.float32) for _ in range(4))
    bn = bnref.torch.BatchNorm1d(3).eval()
    for name, array in zip(("running_mean", "running_var", "weight", "bias"), (mean, var, weight, bias)):
        getattr(bn, name)[...] = array
    net = bnref.mindspore.BatchNorm1d(3, use_batch_statistics=False, moving_mean_init=mean, moving_var_init=var,
                                      gamma_init=weight, beta_init=bias)
    for call in calls:
        if call == "F":
            batch = rng.normal(3.0, 2.0, (4, 3)).astype(np.float32)
            assert_array_equal(bn(batch), net(batch))
        else:
            bn.train(call == "T").eval()     # the recipe: eval() again after each train()
            net.set_train(call == "T")
    assert_array_equal(bn.running_mean, mean), assert_array_equal(net.moving_mean, mean)
    assert_array_equal(bn.running_var, var), assert_array_equal(net.moving_variance, var)


@given(st.integers(0, 2**32), st.text("TEF", max_size=12))
def test_momentum_one_keeps_the_statistics_of_a_layer_that_always_uses_the_batch(seed, calls):
    rng = np.random.default_rng(seed)
    drifting, inert = (bnref.mindspore.BatchNorm1d(3, use_batch_statistics=True, momentum=m) for m in (0.9, 1.0))
    for call in calls:
        if call == "F":
            batch = rng.normal(3.0, 2.0, (4, 3)).astype(np.float32)
            assert_array_equal(drifting(batch), inert(batch))
        else:
            drifting.set_train(call == "T"), inert.set_train(call == "T")
    assert_array_equal(inert.moving_mean, 0), assert_array_equal(inert.moving_variance, 1)
    assert drifting.moving_mean.any() == ("F" in calls)


@pytest.mark.parametrize("training, unconverted", [(True, False), (False, False), (True, True)])
def test_a_network_that_does_not_train_is_found(training, unconverted):
    net = bnref.mindspore.BatchNorm1d(3, momentum=0.1 if unconverted else 0.9).set_train(training)
    before = net.moving_mean.copy()
    net(np.array([[1, 2, 3], [4, 5, 7]], np.float32))
    assert (net.training and not np.array_equal(net.moving_mean, before)) == training
    # The guard of "The signature to come": the attribute is the weight of the new observation.
    assert (abs(net.momentum - 0.1) < 1e-6) == (not unconverted)
