"""Whole-model checkpoints: the batch-normalisation keys change, and nothing else does."""

import time

import numpy as np
import pytest

import bnref.mindspore
import bnref.port
import bnref.torch
from bnref.port import checkpoint_to_mindspore, checkpoint_to_torch


def resnet50():
    """The state dictionary of a ResNet-50, from its shapes: 53 batch normalisations among convolutions."""
    entries, rng = {}, np.random.default_rng(0)

    def array(*shape):
        # One number that is repeated: the keys are what this is about, not 100 MB of weights.
        return np.broadcast_to(np.float32(rng.normal()), shape)

    def convolution(name, outputs, inputs, size):
        entries[f"{name}.weight"] = array(outputs, inputs, size, size)

    def batch_norm(name, channels):
        for key in ("weight", "bias", "running_mean", "running_var"):
            entries[f"{name}.{key}"] = array(channels)
        entries[f"{name}.num_batches_tracked"] = np.array(1234)

    convolution("conv1", 64, 3, 7), batch_norm("bn1", 64)
    inputs = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            for number, (outputs, inner, size) in enumerate(((width, inputs, 1), (width, width, 3), (4 * width, width, 1)), 1):
                convolution(f"{name}.conv{number}", outputs, inner, size), batch_norm(f"{name}.bn{number}", outputs)
            if block == 0:
                convolution(f"{name}.downsample.0", 4 * width, inputs, 1), batch_norm(f"{name}.downsample.1", 4 * width)
            inputs = 4 * width
    entries["fc.weight"], entries["fc.bias"] = array(1000, 2048), array(1000)
    return entries


def counts(entries):
    return [key for key in entries if key.endswith("num_batches_tracked")]


def test_a_resnet_50_goes_there_and_back_unchanged_but_for_num_batches_tracked():
    entries = resnet50()
    assert len(entries) == 320 and len(counts(entries)) == 53
    start = time.perf_counter()
    there = checkpoint_to_mindspore(entries)
    back = checkpoint_to_torch(there)
    assert time.perf_counter() - start < 0.1
    assert list(back) == list(entries)
    assert all(back[key] is entries[key] for key in entries if key not in counts(entries))
    assert there.dropped == tuple(counts(entries)) and there.invented == {}
    assert list(back.invented) == counts(entries) and back.dropped == ()
    assert {(back[key].dtype.name, back[key].shape, int(back[key])) for key in counts(entries)} == {("int64", (), 0)}


def test_the_keys_of_a_resnet_50_are_mindspores():
    entries = resnet50()
    there = checkpoint_to_mindspore(entries)
    assert list(there)[:7] == ["conv1.weight", "bn1.gamma", "bn1.beta", "bn1.moving_mean", "bn1.moving_variance",
                               "layer1.0.conv1.weight", "layer1.0.bn1.gamma"]
    assert there["layer4.0.downsample.1.moving_variance"] is entries["layer4.0.downsample.1.running_var"]
    assert there["fc.weight"] is entries["fc.weight"] and len(there) == 320 - 53
    assert there.renamed["bn1.running_var"] == "bn1.moving_variance" and len(there.renamed) == 4 * 53


def test_a_plain_dictionary_goes_back_too():
    entries = resnet50()
    assert list(checkpoint_to_torch(dict(checkpoint_to_mindspore(entries)))) == list(entries)


def test_the_given_dictionary_stays_as_it_was():
    entries = resnet50()
    keys = list(entries)
    checkpoint_to_mindspore(entries)
    assert list(entries) == keys


def group(prefix, *names, channels=2):
    return {prefix + name: np.arange(channels, dtype=np.float32) for name in names}


TORCH = ("weight", "bias", "running_mean", "running_var")
MINDSPORE = ("moving_mean", "moving_variance", "gamma", "beta")


def test_a_layer_on_its_own_has_mindspores_standalone_names():
    there = checkpoint_to_mindspore(group("", *TORCH))
    assert list(there) == ["gamma", "beta", "mean", "variance"]
    assert list(checkpoint_to_torch(there)) == [*TORCH, "num_batches_tracked"]


@pytest.mark.parametrize("prefix, key", [("", "bn2d.moving_mean"), ("net.bn", "net.bn.bn2d.moving_mean")])
def test_batch_norm_3d_is_nested_in_mindspore_and_found_by_its_name_on_the_way_back(prefix, key):
    entries = group(prefix + "." if prefix else "", *TORCH)
    there = checkpoint_to_mindspore(entries, batch_norm_3d=[prefix])
    assert key in there and there.batch_norm_3d == (prefix,)
    back = checkpoint_to_torch(there)
    assert [name for name in back if name not in back.invented] == list(entries) and back.batch_norm_3d == (prefix,)
    assert list(checkpoint_to_mindspore(back)) == list(there), "what was 3d is remembered by the result itself"


def test_a_batch_norm_2d_that_is_called_bn2d_stays_where_it_is_on_request():
    entries = group("block.bn2d.", *MINDSPORE)
    assert "block.running_mean" in checkpoint_to_torch(entries)
    assert "block.bn2d.running_mean" in checkpoint_to_torch(entries, batch_norm_3d=())


def test_a_batch_norm_2d_that_is_called_bn2d_comes_back_to_where_it_was():
    entries = group("block.bn2d.", *TORCH)
    back = checkpoint_to_torch(checkpoint_to_mindspore(entries))
    assert [key for key in back if key not in back.invented] == list(entries)


def test_a_layer_loads_what_its_counterpart_saves():
    bn = bnref.torch.BatchNorm3d(3)
    bn.running_mean[...], bn.weight[...] = (1, 2, 3), (4, 5, 6)
    net = bnref.port.to_mindspore(bn)
    arrays = {name: parameter.array for name, parameter in net.parameters_dict().items()}
    assert list(checkpoint_to_mindspore(bn.state_dict(), batch_norm_3d=[""])) == [
        "bn2d.gamma", "bn2d.beta", "bn2d.moving_mean", "bn2d.moving_variance"]
    other = bnref.torch.BatchNorm3d(3)
    assert other.load_state_dict(checkpoint_to_torch(arrays)) == ([], [])
    assert other.running_mean.tolist() == [1, 2, 3] and other.weight.tolist() == [4, 5, 6]


@pytest.mark.parametrize("n", (1, 2, 3))
@pytest.mark.parametrize("prefix", (None, "block.bn."))
def test_the_keys_are_those_that_the_layers_themselves_use(n, prefix):
    net = getattr(bnref.mindspore, f"BatchNorm{n}d")(2)
    outer = "" if prefix is None else prefix
    if prefix:
        net.update_parameters_name(prefix)
    bn = getattr(bnref.torch, f"BatchNorm{n}d")(2)
    there = checkpoint_to_mindspore(bn.state_dict(prefix=outer), batch_norm_3d=[outer.rstrip(".")] if n == 3 else ())
    assert set(there) == set(net.parameters_dict())
    assert set(checkpoint_to_torch(there)) == set(bn.state_dict(prefix=outer))


@pytest.mark.parametrize("missing, invented", [
    (("weight", "bias"), {"bn.gamma": [1, 1], "bn.beta": [0, 0]}), (("bias",), {"bn.beta": [0, 0]})])
def test_a_missing_weight_or_bias_is_invented_reported_and_taken_back(missing, invented):
    entries = {"a": np.ones(1), **group("bn.", *(name for name in TORCH if name not in missing)), "z": np.ones(1)}
    there = checkpoint_to_mindspore(entries)
    assert {key: value.tolist() for key, value in there.invented.items()} == invented
    assert [key for key in there if key in invented] == list(invented) and list(there)[-1] == "z"
    assert all(there[key].dtype == np.float32 for key in invented)
    back = checkpoint_to_torch(there)
    assert [key for key in back if key not in back.invented] == list(entries) and back.dropped == tuple(invented)
    trained = checkpoint_to_torch({key: value + 1 for key, value in there.items()})
    assert "bn.weight" in trained and "bn.bias" in trained, "what was changed since is no longer an invention"


@pytest.mark.parametrize("entries", [
    group("norm.", "weight", "bias"), group("norm.", "gamma", "beta"), {"mean": np.ones(3), "std": np.ones(3)},
    {"epoch": 3, 7: np.ones(2), ("a", 1): None, "": 1, ".": 2, "running_mean_of_loss": 0.1, "x.mean": 1, "x.variance": 2}, {}])
@pytest.mark.parametrize("port", (checkpoint_to_mindspore, checkpoint_to_torch))
def test_everything_else_is_left_alone(port, entries):
    there = port(entries)
    assert dict(there) == entries and (there.renamed, there.dropped, there.invented) == ({}, (), {})


REFUSED = [
    (checkpoint_to_mindspore, group("bn.", "weight", "bias", "running_mean"),
     "group 'bn' (bn.bias, bn.running_mean, bn.weight) has no running_var"),
    (checkpoint_to_mindspore, group("bn.", "running_var"), "group 'bn' (bn.running_var) has no running_mean"),
    (checkpoint_to_mindspore, {"bn.num_batches_tracked": np.array(1)},
     "group 'bn' (bn.num_batches_tracked) has no running_mean and no running_var"),
    (checkpoint_to_mindspore, group("bn.", "bias", "running_mean", "running_var"), "has a bias and no weight"),
    (checkpoint_to_mindspore, {**group("bn.", *TORCH), "bn.weight": np.ones((2, 2))},
     "needs arrays of one shape (C,), but has bn.bias: (2,), bn.running_mean: (2,), bn.running_var: (2,), bn.weight: (2, 2)"),
    (checkpoint_to_mindspore, {**group("bn.", *TORCH), "bn.running_var": 1.0}, "bn.running_var: no array"),
    (checkpoint_to_mindspore, {"running_mean": 1.0, "running_var": None}, "running_mean: no array, running_var: no array"),
    (checkpoint_to_mindspore, {**group("bn.", *TORCH), **group("bn.", *MINDSPORE)}, "these new keys are already taken: 'bn."),
    (checkpoint_to_mindspore, {**group("", *TORCH), "mean": np.ones(2)}, "already taken: 'mean'"),
    (lambda d: checkpoint_to_mindspore(d, batch_norm_3d=["cn"]), group("bn.", *TORCH), "'cn' in batch_norm_3d is no group"),
    (lambda d: checkpoint_to_torch(d, batch_norm_3d=["bn"]), group("bn.", *MINDSPORE), "'bn' in batch_norm_3d is no group"),
    (checkpoint_to_torch, group("bn.", "moving_mean", "gamma", "beta"), "group 'bn' (bn.beta, bn.gamma, bn.moving_mean) has no moving_variance"),
    (checkpoint_to_torch, group("bn.", "moving_mean", "moving_variance"), "has no gamma and no beta"),
    (checkpoint_to_torch, group("", "mean", "variance"), "group '' (mean, variance) has no gamma and no beta"),
    (checkpoint_to_torch, group("", "mean", "gamma", "beta"), "has no moving_variance"),
    (checkpoint_to_torch, {**group("bn.", *MINDSPORE), **group("bn.bn2d.", *MINDSPORE)}, "these new keys are already taken: 'bn."),
    (checkpoint_to_torch, {**group("", *MINDSPORE), **group("", "mean", "variance")},
     "and mean or variance of one layer"),
    (checkpoint_to_torch, {**group("bn.", *MINDSPORE), "bn.num_batches_tracked": np.array(3)}, "already taken: 'bn.num_batches_tracked'"),
]


@pytest.mark.parametrize("port, entries, message", REFUSED)
def test_what_is_incomplete_or_ambiguous_is_refused_by_name(port, entries, message):
    with pytest.raises(ValueError) as refusal:
        port(entries)
    assert message in str(refusal.value)


def test_all_faults_are_named_at_once():
    with pytest.raises(ValueError) as refusal:
        checkpoint_to_mindspore({**group("a.", "running_mean"), **group("b.", "running_var")})
    assert "group 'a'" in str(refusal.value) and "group 'b'" in str(refusal.value)


def test_names_that_are_no_group_are_told_in_the_order_of_the_alphabet():
    names = list("qwertyuiop")
    with pytest.raises(ValueError) as refusal:
        checkpoint_to_torch(group("bn.", *MINDSPORE), batch_norm_3d=names)
    told = [str(refusal.value).index(f"{name!r} in batch_norm_3d is no group") for name in sorted(names)]
    assert told == sorted(told)


@pytest.mark.parametrize("port", (checkpoint_to_mindspore, checkpoint_to_torch))
def test_what_is_no_mapping_is_refused(port):
    with pytest.raises(TypeError, match="d: a list; allowed: a mapping of keys to arrays"):
        port([1])
