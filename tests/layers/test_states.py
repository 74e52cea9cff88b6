"""Every state of both layers: the decision tables and the layers against what the real frameworks did.

tests/golden/states_*.json was recorded from the real layers by tests/conformance/record_states.py, through the same
experiment that is made here on bnref's.
"""

import itertools

import pytest
from layer_bench import BENCHES, bfloat16_is_here, golden
from observe import observe

from bnref import states

FRAMEWORKS = ("torch", "mindspore")


def recorded(framework):
    """{state: what the real layer did}, in the order of the product."""
    record = golden("states", framework)
    letters = "".join(record["lines"].values())
    values = itertools.product(*(map(tuple, record["axes"].values())))
    make = {"torch": states.TorchState, "mindspore": states.MindSporeState}[framework]
    return {make(*state): record["letters"][letter] for state, letter in zip(values, letters, strict=True)}


def expected(state, real):
    """What bnref's layer is to show: what the real one did, but for the deviations that the table admits to."""
    row = states.behaviour(state)
    seen = dict(real)
    if "counted" in row.deviates:
        assert seen["counts"], f"{state}: PyTorch did not count the refused batch; there is nothing to deviate from"
        seen["counts"] = False
    if "undefined" in row.deviates:
        # Stale memory: nothing is the right answer, and with weight 0 nothing is what happens.
        assert {seen["mean"], seen["var"]} <= {"undefined", None}, f"{state}: {seen}"
        seen["mean"] = seen["var"] = None
    if "unchecked" in row.deviates:
        assert seen["raises"] is None and state.values == "none", f"{state}: {seen}"
        seen = dict(normalises_by=None, mean=None, var=None, counts=False, learns=[], applies=[], raises=row.raises)
    return seen


def described(row):
    """A row of the table in the words of the experiment."""
    fields = {name: getattr(row, name) for name in ("normalises_by", "mean", "var", "counts", "raises")}
    return {**fields, "learns": list(row.learns), "applies": list(row.applies)}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_there_is_one_row_for_each_element_of_the_product(framework):
    rows = states.enumerate_states(framework)
    axes = states.AXES[framework]
    assert [tuple(row.state) for row in rows] == list(itertools.product(*axes.values()))
    assert {row.state._fields for row in rows} == {tuple(axes)}
    assert {row.framework for row in rows} == {framework}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_row_of_the_table_is_what_the_real_layer_did(framework):
    real = recorded(framework)
    assert list(real) == [row.state for row in states.enumerate_states(framework)]
    wrong = {state: (described(states.behaviour(state)), expected(state, seen)) for state, seen in real.items()
             if described(states.behaviour(state)) != expected(state, seen)}
    assert not wrong, _first(wrong)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_layer_does_in_every_state_what_the_real_layer_did(framework):
    wrong, known, bench = {}, {}, BENCHES[framework]
    for state, seen in recorded(framework).items():
        if state.input == "bfloat16" and not bfloat16_is_here():
            continue
        # bnref has no graph to compile: both modes of MindSpore are the same call.
        alike = state._replace(mode="pynative") if framework == "mindspore" else state
        if alike not in known:
            known[alike] = observe(bench, alike)
        if known[alike] != expected(state, seen):
            wrong[state] = (known[alike], expected(state, seen))
    assert not wrong, _first(wrong)


def test_mindspore_does_the_same_in_pynative_and_in_graph_mode():
    real = recorded("mindspore")
    different = [state for state, seen in real.items() if "undefined" not in states.behaviour(state).deviates
                 and seen != real[state._replace(mode="pynative")]]
    assert different == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_record_was_made_by_the_release_that_bnref_mirrors(framework):
    import bnref.mindspore
    import bnref.torch
    assert golden("states", framework)["version"] == getattr(bnref, framework).VERSION
    assert golden("probes", framework)["version"] == getattr(bnref, framework).VERSION


def test_every_deviation_and_every_effect_occurs_and_is_explained():
    rows = [row.behaviour for framework in FRAMEWORKS for row in states.enumerate_states(framework)]
    assert {name for row in rows for name in row.deviates} == set(states.DEVIATIONS)
    assert {effect for row in rows for effect in (row.mean, row.var)} - {None} == set(states.EFFECTS)


def test_an_example_shape_has_the_rank_and_the_values_per_channel_that_it_stands_for():
    examples = states.EXAMPLES["shape"]
    assert list(examples) == list(itertools.product(states.AXES["torch"]["ndim"], states.AXES["torch"]["values"]))
    for (ndim, values), shape in examples.items():
        others = (shape[0], *shape[2:])
        assert (len(shape), shape[1]) == (ndim, 3)
        assert {"none": min(others) == 0, "one": set(others) == {1}, "many": min(others) > 1}[values], (ndim, values)


def test_an_unknown_framework_is_refused_by_name():
    with pytest.raises(ValueError, match=r"framework: 'jax'; allowed: 'torch' or 'mindspore'"):
        states.enumerate_states("jax")


def _first(wrong):
    state, (got, want) = next(iter(wrong.items()))
    return f"{len(wrong)} states differ, the first of them {state}:\n  bnref {got}\n  real  {want}"
