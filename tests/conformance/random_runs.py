"""Random layers, shapes, data and sequences of calls, the same ones every time: hypothesis, derandomised."""

from unittest import mock

import numpy as np
from agreement import conforms, judge
from compare import arrays, normal, step
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import Constants, HypothesisProvider
from sides import Ours, Subject
from tallies import Tally

RUNS = 2500
JUDGES = (judge, conforms)
SCALES = ((0, 1), (0, 1), (3, 0.5), (-20, 4), (100, 1), (1000, 30))
LARGER_SCALES = SCALES + ((1e4, 1), (0, 1e-3), (1e6, 1e3), (-7, 0))  # not for float16


def often(usual, *others):
    """Mostly the first, sometimes another."""
    return st.sampled_from((usual,) * max(2, 2 * len(others)) + others)


@st.composite
def torch_layers(draw):
    tracking = draw(st.booleans())
    arguments = dict(eps=draw(often(1e-5, 1e-3, 0.5, 1e-12, 2.0, 0.0, -1e-5)), affine=draw(often(True, False)),
                     momentum=draw(st.sampled_from((0.1, None, 0.0, 0.5, 1.0, 0.01, 1.5, -0.5))), bias=draw(often(True, False)),
                     track_running_stats=tracking, dtype=draw(often("float32", "float64", "float16", "bfloat16")))
    return Subject("torch", draw(st.integers(1, 5)), arguments, draw(st.booleans()), dims=draw(often(1, 2, 3)), flag=tracking)


@st.composite
def mindspore_layers(draw):
    arguments = dict(eps=draw(often(1e-5, 1e-3, 0.5, 1e-12, 1.0, 2.0)), affine=draw(often(True, False)),
                     momentum=draw(st.sampled_from((0.9, 0.0, 0.5, 1.0, 0.1, 0.99))), dtype=draw(often("float32", "float32", "float16")),
                     use_batch_statistics=draw(st.sampled_from((None, True, False))))
    return Subject("mindspore", draw(st.integers(1, 5)), arguments, draw(st.booleans()), dims=draw(often(1, 2, 3)))


@st.composite
def calls(draw, layer):
    """What one call is given: mode, flag, shape, dtype, data."""
    own = layer.arguments["dtype"]
    channels = draw(often(layer.channels, layer.channels, layer.channels, layer.channels + 1))
    rank = layer.dims + 2 - (layer.dims == 1 and draw(st.booleans()))
    spatial = [draw(often(2, 1, 3, 4, 0)) for _ in range(rank - 2)]
    others = ("float16", "bfloat16", "float32", "float64", "int64")
    return dict(training=draw(st.booleans()), flag=draw(often(layer.flag, True, False)) if layer.framework == "torch" else None,
                shape=(draw(st.sampled_from((2, 3, 4, 5, 8, 13, 40, 1, 0))), channels, *spatial),
                dtype=draw(often(own, own, own, *others)), scale=draw(st.integers(0, 99)),
                kind=draw(often("plain", "constant", "nan", "infinite", "strided")), rewrite=draw(st.booleans()))


@st.composite
def runs(draw, layers):
    layer = draw(layers)
    return layer, [draw(calls(layer)) for _ in range(draw(st.integers(1, 4)))], draw(st.integers(0, 2**32 - 1))


def data(rng, call):
    """The input of a call."""
    scales = SCALES if call["dtype"] == "float16" else LARGER_SCALES
    mean, std = scales[call["scale"] % len(scales)]
    x = normal(rng, call["shape"], call["dtype"], mean, std)
    if x.size and call["dtype"] != "int64":
        if call["kind"] == "constant":
            x[:, -1] = x.flat[0]
        elif call["kind"] in ("nan", "infinite"):
            x[-1, 0] = np.nan if call["kind"] == "nan" else np.inf
        elif call["kind"] == "strided":  # channels lie together in memory
            x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    return x


def one(run, real, ours):
    """Problems and deviations of one run."""
    layer, sequence, seed = run
    rng = np.random.default_rng(seed)
    theirs, mine = real.build(layer), ours.build(layer)
    deviations = set()
    if real.keys(theirs) != ours.keys(mine):
        return [f"keys {real.keys(theirs)}, bnref {ours.keys(mine)}"], []
    for number, call in enumerate(sequence):
        if call["rewrite"] or number == 0:
            dtype = real.read(theirs)["weight" if layer.arguments["affine"] else "mean"]
            values = {name: value.astype("float32" if dtype is None else dtype.dtype) for name, value in
                      arrays(rng, layer.channels).items()}
            real.write(theirs, values), ours.write(mine, values)
        now = layer._replace(training=call["training"], flag=call["flag"])
        real.set_modes(theirs, now), ours.set_modes(mine, now)
        x = data(rng, call)
        grad = None if call["dtype"] == "int64" else normal(rng, call["shape"], call["dtype"], mean=0.5)
        kept = (judge,) if real.framework == "mindspore" and layer.arguments["dtype"] == "float16" else JUDGES
        problems, known = step(real, ours, theirs, mine, x, grad, kept)  # what MindSpore keeps in float16 is not known
        if problems:
            return [f"call {number + 1}: {problems[0]}"], []
        deviations.update(known)
        if "counted" in known:  # from here on the two would average differently
            ours.write(mine, {"count": real.read(theirs)["count"]})
    return [], sorted(deviations)


def run(framework, real, progress, examples=RUNS):
    """Compare; return the tally.  A run that is unexplained is made smaller first."""
    ours, tally = Ours(framework), Tally(f"{framework}: random layers and sequences of calls")
    layers = {"torch": torch_layers, "mindspore": mindspore_layers}[framework]()

    @settings(max_examples=examples, derandomize=True, database=None, deadline=None, print_blob=False,
              report_multiple_bugs=False, suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink))
    @given(runs(layers))
    def compare(run):
        problems, deviations = one(run, real, ours)
        assert not problems, f"{run}: {problems[0]}"
        tally.add([], deviations)
        progress(tally.what, tally.rows, examples)

    try:
        with mock.patch.object(HypothesisProvider, "_local_constants", Constants()):  # bnref's own numbers must not choose the runs
            compare()
    except AssertionError as unexplained:
        tally.add([str(unexplained)])
    return tally
