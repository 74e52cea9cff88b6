"""Malformed calls are refused: 2000 of them here, 10,000 and their times by `make malformed`."""

import numpy as np
import pytest

import bnref

from .malformed import Call, calls, described, violations


def test_a_malformed_call_raises_an_announced_error_that_names_the_argument_and_changes_nothing():
    broken = [f"{described(*each)}: {violation}" for each in calls(2000, seed=7) for violation in violations(*each)[0]]
    assert not broken, "\n".join(broken)


def test_what_is_not_announced_is_not_named_or_changes_something_is_found():
    def unannounced(x):
        """Raises TypeError."""
        raise KeyError("x")

    def unnamed(x):
        """Raises TypeError."""
        raise TypeError("something is wrong")

    def changing(x):
        """Raises TypeError."""
        x[0] = 5
        raise TypeError("x: changed")

    def silent(x):
        """Raises TypeError."""

    found = {function.__name__: violations(Call(function, {}, {}, function), {"x": np.zeros(2)}, ["x"])[0]
             for function in (unannounced, unnamed, changing, silent)}
    assert [text for texts in found.values() for text in texts] == [
        "KeyError, which is not announced: 'x'", "does not name the argument: something is wrong",
        "a layer or an argument has changed", "no error, but NoneType"]


@pytest.mark.parametrize("call", [lambda x: bnref.batch_norm(x, training=True), bnref.torch.BatchNorm1d(3),
                                  bnref.mindspore.BatchNorm1d(3)], ids=["functional", "torch", "mindspore"])
def test_a_structure_with_the_name_of_a_format_is_not_taken_for_it(call):
    look_alike = np.dtype((type("float", (np.void,), {}), 4))
    assert look_alike.name == "float32"
    with pytest.raises(TypeError, match="dtype"):
        call(np.zeros((4, 3), look_alike))
