"""bnref against what the real frameworks gave, from the records alone; and that the judge of agreement can say no."""

import json
from pathlib import Path

import numpy as np
import pytest
import recorded
from agreement import judge

from bnref import states

GOLDEN = Path(__file__).parents[1] / "golden"
ALL = ("torch", "mindspore", "onnxruntime")


def record(name):
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("framework", ALL)
def test_the_numbers_that_a_framework_gave_are_within_the_bound_of_bnrefs(framework):
    for case in record(f"numbers_{framework}")["cases"]:
        results = recorded.decode(case, case["results"])
        assert recorded.disagreements(case, results, framework) == [], case


@pytest.mark.parametrize("framework", ALL)
def test_the_recorded_cases_are_those_of_the_recipe(framework):
    found = [{name: value for name, value in case.items() if name != "results"} for case in record(f"numbers_{framework}")["cases"]]
    assert found == recorded.cases(framework)


@pytest.mark.parametrize("name", recorded.RESULTS)
def test_a_number_that_is_a_little_off_is_not_within_the_bound(name):
    case = next(case for case in record("numbers_torch")["cases"] if case["training"] and case["mean"] == 0.5)
    results = recorded.decode(case, case["results"])
    results[name] = results[name].copy()
    results[name].flat[-1] += np.float32(1e-3)
    (sentence,) = recorded.disagreements(case, results, "torch")
    assert sentence.startswith(name) and "1 of" in sentence


def test_a_wrong_shape_a_nan_and_the_biased_variance_are_not_within_the_bound():
    x = np.array([[1.0], [2.0], [3.0], [6.0]])
    old = dict(mean=np.zeros(1), var=np.ones(1), training=True, momentum=0.5, eps=0.5)
    assert judge({"output": np.array([[-1.0], [-0.5], [0.0], [1.5]])}, x, **old) == []
    assert judge({"output": np.zeros((4, 2))}, x, **old)
    assert judge({"output": np.array([[-1.0], [-0.5], [np.nan], [1.5]])}, x, **old)
    assert judge({"running_var": np.array([0.5 + 0.5 * 14 / 3])}, x, **old) == []
    assert judge({"running_var": np.array([0.5 + 0.5 * 14 / 4])}, x, **old)


def test_the_table_of_agreement_has_every_state_2000_random_runs_and_nothing_unexplained():
    table = {row["what"]: row for row in record("agreement")}
    assert all(row["unexplained"] == 0 and row["rows"] == row["agreed"] + row["deviating"] for row in table.values())
    for framework in ("torch", "mindspore"):
        (every_state,) = (row for what, row in table.items() if what.startswith(f"{framework}: states"))
        assert every_state["rows"] == len(states.enumerate_states(framework))
        (random,) = (row for what, row in table.items() if what.startswith(f"{framework}: random"))
        assert random["rows"] >= 2000
