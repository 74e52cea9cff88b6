"""Mistakes planted in code that shares nothing with bnref are named, in every style; where their error is within the bound, nothing is."""

import numpy as np
import pytest

from bnref.testing import MISTAKES, compare
from tests import planted


def shows(bug, dtype):
    """Whether the mistake is any: rounded to float32, eps is right in float32."""
    return dtype == "float64" or bug != "eps float32(1e-5) of another library"


def named(bug, dtype, count):
    """What is answered in so many random cases whose error exceeds the bound; cases that conform are checked on the way."""
    rng = np.random.default_rng(sum(map(ord, bug + dtype)))
    answers = []
    for _ in range(20 + 10 * count if shows(bug, dtype) else 5):
        call, actual = planted.case(bug, dtype, rng)
        found = compare(actual, **call)
        if not found.conforms:
            answers.append(found.cause)
            if len(answers) == count:
                break
        else:
            assert found.cause == ()
    return answers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bug", MISTAKES)
def test_a_planted_mistake_is_named(bug, dtype):
    answers = named(bug, dtype, 1)
    assert bool(answers) == shows(bug, dtype) and all(bug in names for names in answers), answers


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bug", MISTAKES)
def test_planted_mistakes_are_named_in_nineteen_of_twenty_cases_and_never_by_wrong_names_alone(bug, dtype):
    answers = named(bug, dtype, 100)
    assert sum(bug in names for names in answers) >= 0.95 * len(answers), answers
    assert all(bug in names for names in answers if names), answers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [True, False])
def test_sound_code_in_any_style_conforms_and_has_nothing_to_explain(dtype, training):
    rng = np.random.default_rng(1)
    for _ in range(20):
        call = planted.random_call(rng, dtype, training, centre=rng.choice([0, 3, 1e3, 1e5]))
        found = compare(planted.planted(call, how=planted.style(rng)), **call)
        assert found.conforms and found.cause == (), str(found)
