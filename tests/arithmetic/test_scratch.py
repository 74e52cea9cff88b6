"""Memory that is used again: no two temporaries share it, and what is kept of it stays small."""

from itertools import combinations

import numpy as np
import pytest

import bnref
from bnref.arithmetic import scratch as module
from bnref.arithmetic.scratch import Scratch, scratch


@pytest.fixture
def idle(monkeypatch):
    """The Scratch that waits for the next evaluation, if there is one."""
    monkeypatch.setattr(module, "_idle", [])
    return module._idle


def test_no_two_names_or_dtypes_share_memory_even_where_the_block_ends(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 4096)
    memory = Scratch()
    kinds = [("a", (3, 5), np.float64), ("a", (3, 5), np.float32), ("b", (7,), np.bool_), ("c", (300,), np.float64),
             ("d", (2, 60), np.float64), ("e", (200,), np.float64), ("f", (0, 4), np.float64), ("g", (9,), np.float64)]
    arrays = [memory.take(*kind) for kind in kinds]
    assert [(array.shape, array.dtype) for array in arrays] == [(shape, dtype) for _, shape, dtype in kinds]
    assert not any(np.shares_memory(a, b) for a, b in combinations(arrays, 2))
    inside = [np.shares_memory(array, memory.block) for array in arrays]
    assert inside == [True, True, True, True, True, False, False, False], "of the block, until there is no room"
    assert memory.is_full
    assert all(array.__array_interface__["data"][0] % 64 == 0 for array, within in zip(arrays, inside) if within)


def test_the_last_bytes_of_a_block_are_used_too(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 128)
    memory = Scratch()
    assert np.shares_memory(memory.take("a", (3,)), memory.block)
    assert np.shares_memory(memory.take("b", (8,)), memory.block) and not memory.is_full
    assert not np.shares_memory(memory.take("c", (1,)), memory.block) and memory.is_full


def test_a_block_begins_with_a_large_page():
    memory = Scratch()
    assert memory.block.__array_interface__["data"][0] % 2**21 == 0


def test_a_name_keeps_its_memory_until_it_needs_more():
    memory = Scratch()
    first = memory.take("a", (4, 6))
    assert memory.take("a", (4, 6)) is first
    assert np.shares_memory(memory.take("a", (5, 2)), first)
    assert np.shares_memory(memory.take("a", (24,)), first)
    assert not np.shares_memory(memory.take("a", (5, 5)), first)


def test_the_next_evaluation_takes_up_the_memory_of_the_last(idle):
    with scratch() as first, scratch() as second:
        assert second is not first
    assert len(idle) == 1
    with scratch() as third:
        assert third in (first, second) and not idle


def test_memory_comes_back_after_an_error(idle):
    with pytest.raises(ZeroDivisionError), scratch() as memory:
        raise ZeroDivisionError
    assert idle == [memory]


def test_calls_of_many_shapes_leave_no_more_memory_behind_than_a_block(idle, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 2**19)
    rng, cleared, kept = np.random.default_rng(0), 0, []
    for n in range(8, 400, 7):
        bnref.batch_norm(rng.standard_normal((n, 40)).astype(np.float32), training=True)
        (memory,) = idle
        cleared += not memory.used
        kept.append(sum(flat.nbytes for flat, _ in memory.arrays.values()))
        assert all(np.shares_memory(flat, memory.block) for flat, _ in memory.arrays.values())
    assert cleared > 0 and 0 < max(kept) <= 2**19
