"""Every row of the state enumeration, several steps each, through the real layer and through bnref's."""

import numpy as np
from compare import arrays, normal, step
from sides import Ours, Subject
from tallies import Tally

from bnref import states

STEPS = 3
CHANNELS = 3


def subject(row):
    """The layer of a row."""
    state, examples = row.state, states.EXAMPLES[row.framework]
    arguments = dict(momentum=examples["momentum"][state.momentum], affine=state.affine)
    if row.framework == "torch":
        arguments.update(track_running_stats=state.track_running_stats, bias=state.bias)
        return Subject("torch", CHANNELS, arguments, state.training, flag=state.flag)
    arguments.update(use_batch_statistics=state.use_batch_statistics)
    return Subject("mindspore", CHANNELS, arguments, state.training, graph=state.mode == "graph")


def run(framework, real, progress):
    """Compare every row; return the tally."""
    ours, rows = Ours(framework), states.enumerate_states(framework)
    tally = Tally(f"{framework}: states, {STEPS} steps each")
    for number, row in enumerate(rows):
        problems, deviations = one(row, real, ours, np.random.default_rng(number))
        tally.add([f"{row.state}: {problem}" for problem in problems], deviations)
        progress(tally.what, number + 1, len(rows))
    return tally


def one(row, real, ours, rng):
    """Problems and deviations of one row."""
    layer = subject(row)
    dtype = states.EXAMPLES["other"] if row.state.input == "other" else row.state.input
    shape = states.EXAMPLES["shape"][row.state.ndim, row.state.values]
    theirs, mine = real.build(layer), ours.build(layer)
    values = {name: value.astype(np.float32) for name, value in arrays(rng, CHANNELS).items()}
    real.write(theirs, values), ours.write(mine, values)
    if real.keys(theirs) != ours.keys(mine):
        return [f"keys {real.keys(theirs)}, bnref {ours.keys(mine)}"], []
    deviations = set()
    for number in range(STEPS):
        x = normal(rng, shape, dtype, mean=2 - number, std=1 + number)
        grad = None if layer.graph or dtype == "int64" else normal(rng, shape, dtype)
        problems, known = step(real, ours, theirs, mine, x, grad)
        if problems:
            return [f"step {number + 1}: {problems[0]}"], []
        deviations.update(known)
        if layer.graph and (row.behaviour.raises or number == 1):
            break  # a graph that does not compile takes as long again at every call
    return [], sorted(deviations)
