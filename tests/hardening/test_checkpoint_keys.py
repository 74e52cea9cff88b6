"""Checkpoints with hostile keys: the right dictionary or a documented error; nothing is lost in silence."""

from collections import OrderedDict
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnref.port import Checkpoint, checkpoint_to_mindspore, checkpoint_to_torch

TORCH = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
MINDSPORE = ("gamma", "beta", "moving_mean", "moving_variance", "mean", "variance")
SEGMENTS = ["", "bn", "bn2d", ".", "..", "weight", "running_mean", "gamma", "num_batches_tracked", "0", " ", "ß", "重み", "\0", "\n",
            "\ud800", "{}", "%s", "x" * 5000]
RENAMED = dict(zip(TORCH, MINDSPORE))

prefixes = st.lists(st.sampled_from(SEGMENTS), max_size=3).map(".".join)
shapes = st.sampled_from([(3,), (3,), (3,), (4,), (), (3, 1), (0,)])
dtypes = st.sampled_from(["f4", "f8", "f2", ">f4", "i8", "?", "c8", "U3", "O", "M8[s]", "V2"])
arrays = st.builds(lambda shape, dtype: np.zeros(shape, dtype), shapes, dtypes)
odd_keys = st.one_of(st.none(), st.integers(), st.booleans(), st.binary(max_size=3), st.tuples(st.text(max_size=2)), st.floats(),
                     st.text(max_size=5), prefixes)


@st.composite
def checkpoints(draw, names):
    """Groups, whole and broken, under hostile prefixes, and whatever else; in any order."""
    entries = []
    for _ in range(draw(st.integers(0, 3))):
        prefix, dot, array = draw(prefixes), draw(st.sampled_from([".", ".", ""])), draw(arrays)
        present = draw(st.one_of(st.just(names), st.just(names), st.lists(st.sampled_from(TORCH + MINDSPORE), unique=True)))
        entries += [(prefix + dot + name if prefix or dot else name, np.copy(array) if draw(st.integers(0, 9)) else draw(arrays))
                    for name in present]
    entries += [(key, draw(arrays)) for key in draw(st.lists(odd_keys, max_size=3))]
    return dict(draw(st.permutations(entries)))


def accounted(d, ported):
    """Every old key is dropped, or its value stands under its new one; every new key has an old one, or is invented."""
    kept = [key for key in d if key not in ported.dropped]
    assert all(ported[ported.renamed.get(key, key)] is d[key] for key in kept)
    assert len({ported.renamed.get(key, key) for key in kept} | set(ported.invented)) == len(kept) + len(ported.invented)
    assert len(ported) == len(kept) + len(ported.invented)
    assert all(ported[key] is value for key, value in ported.invented.items())


def group_of(d, key, signs):
    """The prefix of a key in a group that has all the signs; None for other keys."""
    if not isinstance(key, str):
        return None
    prefix, dot, name = key.rpartition(".")
    whole = all(prefix + dot + sign in d for sign in signs) and (prefix or not dot)
    return prefix if whole and name in (*TORCH, *MINDSPORE) else None


@settings(max_examples=100, derandomize=True)
@given(checkpoints(TORCH))
def test_pytorchs_keys_are_all_accounted_for_or_an_error_says_why_not(d):
    before = list(d.items())
    try:
        there = checkpoint_to_mindspore(d)
    except ValueError as error:
        assert str(error).startswith("d: ")
        return
    assert [(key, id(value)) for key, value in d.items()] == [(key, id(value)) for key, value in before]
    accounted(d, there)
    for key in d:
        prefix = group_of(d, key, ("running_mean", "running_var"))
        name = key.rpartition(".")[2] if isinstance(key, str) else None
        if prefix is None or name not in TORCH:
            assert key not in there.renamed and key not in there.dropped
        elif name == "num_batches_tracked":
            assert key in there.dropped
        elif prefix:
            assert there.renamed[key] == f"{prefix}.{RENAMED[name]}"
    try:
        back = checkpoint_to_torch(there)
    except ValueError:
        assert any(str(key).rpartition(".")[2] in MINDSPORE for key in d)  # of a group that was MindSpore's from the start
        return
    accounted(there, back)
    if not any(str(key).rpartition(".")[2] in MINDSPORE for key in d):
        uncounted = {key: value for key, value in d.items() if key not in there.dropped}
        assert {key for key in back if key not in back.invented} == set(uncounted)
        assert all(back[key] is value for key, value in uncounted.items())


@settings(max_examples=100, derandomize=True)
@given(checkpoints(MINDSPORE[:4]))
def test_mindspores_keys_are_all_accounted_for_or_an_error_says_why_not(d):
    try:
        there = checkpoint_to_torch(d, batch_norm_3d=())
    except ValueError as error:
        assert str(error).startswith("d: ")
        return
    accounted(d, there)
    assert there.dropped == ()
    for key in d:
        prefix = group_of(d, key, MINDSPORE[:4])
        name = key.rpartition(".")[2] if isinstance(key, str) else None
        if prefix:
            ours = {theirs: own for own, theirs in RENAMED.items()}.get(name)
            assert there.renamed.get(key) == (f"{prefix}.{ours}" if ours else None)


def group(prefix, names=TORCH[:4], size=3):
    return {prefix + name: np.ones(size, np.float32) for name in names}


@pytest.mark.parametrize("prefix", ["a..bn2d.", "a.b..bn2d.", "bn2d.bn2d.", "bn2d.", "a.bn2d."], ids=repr)
def test_a_batch_norm_3d_goes_there_and_back_whatever_dots_are_before_it(prefix):
    names = MINDSPORE[:4]
    d = {prefix + name: np.ones(3) for name in names}
    there = checkpoint_to_torch(d)
    assert list(there.batch_norm_3d) == [prefix.removesuffix("bn2d.").removesuffix(".")]
    assert set(checkpoint_to_mindspore(there)) == set(d)


@pytest.mark.parametrize("key", [".running_mean", ".bn2d.moving_mean"])
def test_a_key_with_nothing_before_its_first_dot_is_passed_on(key):
    names = TORCH[:4] if "running" in key else MINDSPORE[:4]
    d = {key.rpartition(".")[0] + "." + name: np.ones(3) for name in names}
    ported = (checkpoint_to_mindspore if "running" in key else checkpoint_to_torch)(d)
    assert key in ported or ported.renamed[key].startswith(".")


def test_keys_of_both_frameworks_for_one_layer_collide():
    with pytest.raises(ValueError, match=r"d: these new keys are already taken: 'bn.gamma'"):
        checkpoint_to_mindspore(group("bn.") | {"bn.gamma": np.ones(3)})
    with pytest.raises(ValueError, match="already taken: 'bn.running_mean'"):
        checkpoint_to_torch(group("bn.", MINDSPORE[:4]) | {"bn.running_mean": np.ones(3)})


def test_two_layers_that_would_become_one_collide():
    both = group("bn.", MINDSPORE[:4]) | group("bn.bn2d.", MINDSPORE[:4])
    with pytest.raises(ValueError, match="already taken: .*'bn.running_mean'"):
        checkpoint_to_torch(both)
    assert len(checkpoint_to_torch(both, batch_norm_3d=())) == 10


def test_keys_of_the_other_framework_in_other_layers_are_passed_on():
    ours, theirs = group("a."), group("b.", MINDSPORE[:4])
    assert set(checkpoint_to_mindspore(ours | theirs)) == {"a.gamma", "a.beta", "a.moving_mean", "a.moving_variance", *theirs}


@pytest.mark.parametrize("wrap", [MappingProxyType, OrderedDict, lambda d: Checkpoint(d.items(), {}, (), {}, ())])
def test_any_mapping_will_do(wrap):
    d = group("bn.")
    assert dict(checkpoint_to_mindspore(wrap(d))) == dict(checkpoint_to_mindspore(d))


def test_what_is_invented_beside_arrays_of_other_types_is_float32():
    for dtype in ("i8", "U3", "O", "c8"):
        d = {f"bn.running_{name}": np.ones(3, dtype) for name in ("mean", "var")}
        assert [array.dtype for array in checkpoint_to_mindspore(d).invented.values()] == [np.float32, np.float32]
