"""Chapter 04: the decision tables are the function, the machines are the layers, and the atlas holds when it is run."""

import itertools
from decimal import Decimal

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from tools import atlas, machines, trials
from tools.atlas import DIFFERENT, OUTPUTS, SAME, MindSpore, Torch
from tools.decisions import cells, decide

import bnref
from bnref import states

PAIRS = atlas.atlas()
TORCH, MINDSPORE = atlas.configurations(Torch), atlas.configurations(MindSpore)
seeded = hypothesis.settings(max_examples=200, deadline=None, derandomize=True, database=None)


# ---- Decision tables ------------------------------------------------------------------------------------------------

@st.composite
def functions(draw):
    """Axes, and a function on their product that is None here and there."""
    axes = {name: tuple(range(draw(st.integers(1, 3)))) for name in "abcd"}
    product = list(itertools.product(*axes.values()))
    values = draw(st.lists(st.sampled_from((None, ("x",), ("y",), ("z",))), min_size=len(product), max_size=len(product)))
    return axes, dict(zip(product, values, strict=True))


@seeded
@hypothesis.given(functions())
def test_every_state_is_in_one_row_with_its_answer_or_settled(function):
    axes, answers = function
    table = decide(axes, lambda **state: answers[tuple(state.values())])
    counted = 0
    for state, answer in answers.items():
        rows = [rule for rule in table.rules if all(value in covered for value, covered in zip(state, rule.values, strict=True))]
        if answer is not None:
            assert [rule.answer for rule in rows] == [answer]
            counted += 1
    assert sum(rule.states for rule in table.rules) == counted
    assert table.settled == len(answers) - counted and table.states == len(answers)


@seeded
@hypothesis.given(functions(), st.sampled_from("abcd"))
def test_an_axis_that_decides_nothing_does_not_appear(function, name):
    axes, answers = function
    position = list(axes).index(name)

    def answer(**state):
        return answers[tuple(0 if p == position else value for p, value in enumerate(state.values()))]

    assert name not in decide(axes, answer).matter


def test_a_table_ends_in_the_sum_of_its_rows():
    axes = {"n": (1, 2, 3), "idle": (0, 1)}
    header, rows = cells(decide(axes, lambda n, idle: None if n == 1 else (f"{n} squared is {n * n}",)), ["is"], "one")
    assert header == ["n", "is", "states"]
    assert rows == [["2", "2 squared is 4", 2], ["3", "3 squared is 9", 2], ["one", "", 2], ["**together**", "", "**6**"]]


# ---- Machines -------------------------------------------------------------------------------------------------------

def _built(framework, configuration, training):
    """A layer of bnref led into a state of its machine."""
    if framework == "torch":
        layer = bnref.torch.BatchNorm1d(3, track_running_stats=configuration[0]).train(training)
        layer.track_running_stats = configuration[1]
        return layer
    return bnref.mindspore.BatchNorm1d(3, use_batch_statistics=configuration[0]).set_train(training)


def _where(framework, layer):
    if framework == "torch":
        return layer.training, (layer.running_mean is not None, layer.track_running_stats)
    return layer.training, (layer.use_batch_statistics,)


@pytest.mark.parametrize("framework", states.AXES)
def test_the_layers_make_every_transition_of_their_machine(framework):
    events = {"train()": lambda bn: bn.train(), "eval()": lambda bn: bn.eval(),
              "set_train()": lambda net: net.set_train(), "set_train(False)": lambda net: net.set_train(False),
              "flag = True": lambda bn: setattr(bn, "track_running_stats", True),
              "flag = False": lambda bn: setattr(bn, "track_running_stats", False)}
    seen = set()
    for edge in machines.edges(framework):
        for configuration in edge.start.configurations:
            layer = _built(framework, configuration, edge.start.training)
            events[edge.event](layer)
            training, reached = _where(framework, layer)
            assert training == edge.end.training and reached in edge.end.configurations, edge
            seen.add((edge.start, edge.event))
    assert len(seen) == len(machines.nodes(framework)) * len(machines.events(framework))


@pytest.mark.parametrize("framework", states.AXES)
def test_the_layers_do_in_every_state_what_the_machine_says(framework):
    x = np.array([[1, 2, 3], [2, 4, 9]], np.float32)
    for node in machines.nodes(framework):
        for configuration in node.configurations:
            layer = _built(framework, configuration, node.training)
            output = layer(x)
            assert (np.abs(output.mean(axis=0)).max() < 1e-3) == (node.normalises_by == "batch"), node
            mean = getattr(layer, layer.names[0])
            assert (mean is not None and bool(mean.any())) == node.updates, node
            assert (getattr(layer, "num_batches_tracked", None) is not None and layer.num_batches_tracked == 1) == node.counts


def test_a_new_layer_is_where_the_dot_is():
    for framework in states.AXES:
        layer = getattr(bnref, framework).BatchNorm1d(3)
        training, configuration = _where(framework, layer)
        node, = (n for n in machines.nodes(framework) if n.training == training and configuration in n.configurations)
        assert node.built


# ---- The atlas ------------------------------------------------------------------------------------------------------

def test_the_atlas_has_every_pair_and_every_class_of_momentum():
    assert len(PAIRS) == len(TORCH) * len(MINDSPORE) == (2 * 6 * 2 * 2) * (3 * 4 * 2)
    for framework, kind in (("torch", Torch), ("mindspore", MindSpore)):
        classes = [bnref.layer.momentum_kind(None if m is None else float(m)) for m in atlas.AXES[kind]["momentum"]]
        assert tuple(dict.fromkeys(classes)) == states.AXES[framework]["momentum"]


def test_what_is_equivalent_is_what_the_mathematics_of_chapter_02_says():
    for (one, other), found in PAIRS.items():
        if one.track_running_stats:
            complementary = one.momentum is not None and Decimal(one.momentum) == 1 - Decimal(other.momentum)
            expected = SAME if other.use_batch_statistics is None and complementary else DIFFERENT
        else:
            inert = SAME if other.momentum == "1" else OUTPUTS
            expected = inert if other.use_batch_statistics is True else DIFFERENT
        assert found.kind == expected, (one, other)


def test_to_be_equivalent_is_an_equivalence_relation():
    everything = TORCH + MINDSPORE
    group = {member: number for number, members in enumerate(atlas.classes()) for member in members}
    assert set(group) == set(everything)
    for one, other in itertools.product(everything, repeat=2):
        assert (atlas.compare(one, other).kind != DIFFERENT) == (group[one] == group[other]), (one, other)


def test_every_distinguishing_sequence_tells_the_layers_apart():
    for (one, other), found in PAIRS.items():
        for training, calls in ((True, found.from_training), (False, found.from_inference)):
            if found.kind != SAME:
                assert trials.told_apart(one, other, training, calls, seed=1), (one, other, training, calls)


def _sequences(longest):
    """Every sequence that ends in forward and never switches the mode twice in a row, shortest first."""
    found = [()]
    for calls in found:
        for more in (("forward",), ("train", "forward"), ("eval", "forward")):
            if len(calls + more) <= longest:
                found.append(calls + more)
    return sorted(found[1:], key=len)


@pytest.mark.parametrize("training", (True, False))
def test_no_shorter_sequence_tells_the_layers_apart(training):
    # Affine and bias change nothing (the table of the atlas has no such column), so one value of each is run.
    for (one, other), found in PAIRS.items():
        if not (one.affine and one.bias and other.affine):
            continue
        calls = found.from_training if training else found.from_inference
        for shorter in _sequences(4 if calls is None else len(calls) - 1):
            ours, theirs = (trials.play(each, shorter, training, seed=1) for each in (one, other))
            agree = all(np.allclose(a, b, atol=1e-4) for a, b in zip(ours.outputs, theirs.outputs, strict=True))
            assert agree, (one, other, training, shorter)


def test_mean_and_variance_are_updated_in_one_way_so_one_relation_stands_for_both():
    for configuration, training in itertools.product(TORCH + MINDSPORE, (True, False)):
        does = atlas.behaviour(configuration, training)
        assert does.mean == does.var, configuration


def test_what_the_atlas_looks_up_for_one_batch_holds_for_every_batch_that_both_accept():
    for framework, kind in (("torch", Torch), ("mindspore", MindSpore)):
        for row in states.enumerate_states(framework):
            state = row.state
            if state.values == "many" and state.input in ("float16", "float32") and getattr(state, "flag", None) in (
                    None, getattr(state, "track_running_stats", None)):
                written = states.EXAMPLES[framework]["momentum"][state.momentum]
                settings = {name: getattr(state, name) for name in kind._fields}
                configuration = kind(**settings | {"momentum": None if written is None else str(written)})
                assert atlas.behaviour(configuration, state.training) == row.behaviour, state


def test_affine_and_bias_decide_nothing():
    assert atlas.tabled(PAIRS).matter == ("PyTorch's track_running_stats", "PyTorch's momentum",
                                          "MindSpore's use_batch_statistics", "MindSpore's momentum")


decimals = st.integers(1, 6).flatmap(lambda places: st.integers(0, 10**places).map(lambda k: Decimal(k) / 10**places))
any_calls = st.lists(st.sampled_from(atlas.CALLS), min_size=1, max_size=12).map(tuple)


@seeded
@hypothesis.given(momentum=decimals, affine=st.booleans(), bias=st.booleans(), theirs=st.booleans(),
                  training=st.booleans(), calls=any_calls, seed=st.integers(0, 2**32 - 1))
def test_complementary_momenta_are_the_same_layer_over_random_sequences(
        momentum, affine, bias, theirs, training, calls, seed):
    one = Torch(True, str(momentum), affine, bias)
    other = MindSpore(None, str(1 - momentum), theirs)
    assert atlas.compare(one, other).kind == SAME
    agree = trials.same_bits if trials.same_double(one, other) else trials.within_the_bound
    assert agree(one, other, training, calls, seed)


@seeded
@hypothesis.given(one=st.sampled_from([c for c in TORCH if not c.track_running_stats]),
                  other=st.sampled_from([c for c in MINDSPORE if c.use_batch_statistics]),
                  training=st.booleans(), calls=any_calls, seed=st.integers(0, 2**32 - 1))
def test_layers_that_never_read_their_statistics_agree_over_random_sequences(one, other, training, calls, seed):
    ours, theirs = (trials.play(each, calls, training, seed) for each in (one, other))
    assert [a.tobytes() for a in ours.outputs] == [b.tobytes() for b in theirs.outputs]
    drifted = any((a != b).any() for a, b in zip(ours.statistics, theirs.statistics, strict=True))
    assert drifted == (PAIRS[one, other].kind == OUTPUTS and "forward" in calls)


@seeded
@hypothesis.given(momentum=decimals, other=decimals)
def test_any_two_momenta_between_stand_for_all(momentum, other):
    hypothesis.assume(0 < momentum < 1 and 0 < other < 1)
    pair = Torch(True, str(momentum), True, True), MindSpore(None, str(other), True)
    example = Torch(True, "0.1", True, True), MindSpore(None, "0.9" if momentum + other == 1 else "0.1", True)
    assert atlas.compare(*pair) == PAIRS[example]


# ---- The atlas and the port -----------------------------------------------------------------------------------------

def _counterparts(configuration):
    """What the atlas calls the same, and what learns the same."""
    return [one if other == configuration else other for (one, other), found in PAIRS.items()
            if configuration in (one, other) and found.kind == SAME and atlas.learned(one) == atlas.learned(other)]


def _configuration(layer):
    """How a layer of bnref was constructed, as the atlas writes it."""
    if isinstance(layer, bnref.mindspore.BatchNorm1d):
        return MindSpore(layer.use_batch_statistics, f"{layer._momentum_written:g}", layer.affine)
    return Torch(layer.running_mean is not None, f"{layer.momentum:g}", layer.weight is not None, layer.bias is not None)


@pytest.mark.parametrize("configurations, port", [(TORCH, bnref.port.to_mindspore), (MINDSPORE, bnref.port.to_torch)],
                         ids=["to_mindspore", "to_torch"])
def test_the_port_finds_a_counterpart_if_and_only_if_the_atlas_has_one(configurations, port):
    ported = 0
    for configuration in configurations:
        counterparts = _counterparts(configuration)
        if not counterparts:
            with pytest.raises(bnref.port.NoCounterpart):
                port(atlas.layer(configuration))
            continue
        there = _configuration(port(atlas.layer(configuration)))
        there = there._replace(bias=True) if isinstance(there, Torch) and not there.affine else there  # without effect
        assert there in counterparts, (configuration, there)
        ported += 1
    assert ported == (3 * (4 + 6) if configurations is TORCH else 2 * (4 + 1))
