# %% [markdown]
r"""
# Walk through every state

> PyTorch's layer can be called in 4800 states and MindSpore's in 2160; over time they are seven kinds of layer, and four of them exist in both.

**Proves** which layers are the same under every sequence of train, eval and forward, and which are not, by a shortest sequence. **Exports** nothing. **Checked by** `tests/test_atlas.py` and `tests/layers/test_states.py`.
"""

# %%
from math import prod

from bnref import states
from tools.decisions import cells, decide
from tools.show import show, table

# %% [markdown]
r"""
What a layer does at a call depends on how it was built, on what was done to it since, and on the batch. `bnref.states`
lists the questions with all their answers, and a *state* is one answer to each. `flag` is the attribute
`bn.track_running_stats`, which can be changed after construction; `values` counts the values per channel.
"""

# %%
table(["framework", "axis", "values", "how many"],
      [[framework, f"`{axis}`", ", ".join(map(str, values)), len(values)]
       for framework, axes in states.AXES.items() for axis, values in axes.items()])

# %% [markdown]
r"""
The products:
"""

# %%
product = {framework: prod(len(values) for values in axes.values()) for framework, axes in states.AXES.items()}
assert product == {framework: len(states.enumerate_states(framework)) for framework in states.AXES}
product

# %% [markdown]
r"""
For each state the tables in `bnref.states` say what happens, and the layers of `bnref` ask them at every call. One
state of the 4800:
"""

# %%
row = states.enumerate_states("torch")[25]
table(["", "what", "is"], [["state", f"`{name}`", value] for name, value in row.state._asdict().items()]
      + [["behaviour", f"`{name}`", value] for name, value in row.behaviour._asdict().items()])

# %% [markdown]
r"""
## Read the decision tables

All of them, then, a question at a time. Rows merge where an axis does not matter; the last column counts the states
that a row stands for. What an earlier table has settled is counted in a row of its own, so each table adds up to the
whole product.
"""

# %%
decided = {}


def answers(framework, question, columns, ask, settled=None):
    """Tabulate what `ask` says of every state's behaviour."""
    does = {row.state: row.behaviour for row in states.enumerate_states(framework)}
    make = type(next(iter(does)))
    decided[framework, question] = decide(states.AXES[framework], lambda **state: ask(does[make(**state)]))
    return table(*cells(decided[framework, question], columns, settled))


# %% [markdown]
r"""
### Ask PyTorch's layer

One value per channel is an error wherever the batch normalises itself:
"""

# %%
def too_few(does):
    return (does.raises if does.because == "values" else "goes on",)


answers("torch", "is one value too few?", ["one value"], too_few)

# %% [markdown]
r"""
Then the dtypes. (The layer's arrays are float32.) With float64 a layer without arrays works, and so does one that
touches none of them:
"""

# %%
def wrong_input(does):
    return None if does.because == "values" else (does.raises or "goes on",)


answers("torch", "is the dtype wrong?", ["dtype"], wrong_input, "one value too few")

# %% [markdown]
r"""
What normalises, and what is updated? Empty batches count. With the flag changed to False, inference still uses the
running statistics that training no longer updates:
"""

# %%
def written(effect):
    return {None: "–", "NaN": "NaN"}.get(effect, "updated")


def normalises(does):
    seen = does.normalises_by, written(does.mean), written(does.var), "yes" if does.counts else "–"
    return None if does.raises else seen


STATISTICS = ["normalised by", "running mean", "running variance", "counted"]
answers("torch", "what normalises, what is updated?", STATISTICS, normalises, "refused")

# %% [markdown]
r"""
How is it updated? That is for `momentum` alone to say, and there are five ways:
"""

# %%
def updates(does):
    return (f"{does.mean}: {states.EFFECTS[does.mean]}",) if does.mean else None


answers("torch", "how is it updated?", ["the running mean"], updates, "no update")

# %% [markdown]
r"""
What is learned, and what is applied? Neither the mode nor the statistics appear, so weight and bias learn in inference
too:
"""

# %%
def parameters(does):
    return None if does.raises else (", ".join(does.learns) or "–", ", ".join(does.applies) or "–")


answers("torch", "what learns, what is applied?", ["learns", "applied"], parameters, "refused")

# %% [markdown]
r"""
### Ask MindSpore's layer

One value per channel is no error, so only the dtype can be wrong. Execution mode (PyNative or graph) is in no table:
it decides nothing.
"""

# %%
answers("mindspore", "is the dtype wrong?", ["dtype"], wrong_input)

# %% [markdown]
r"""
One value normalises to 0, has no unbiased variance, and leaves NaN behind. With `use_batch_statistics=True` the moving
statistics are updated in inference too:
"""

# %%
answers("mindspore", "what normalises, what is updated?", STATISTICS, normalises, "refused")

# %% [markdown]
r"""
Momentum is one minus PyTorch's (chapter 02), so its 1 is PyTorch's 0:
"""

# %%
answers("mindspore", "how is it updated?", ["the moving mean"], updates, "no update")

# %% [markdown]
r"""
Without affine, gamma and beta are still there and applied; they do not learn:
"""

# %%
answers("mindspore", "what learns, what is applied?", ["learns", "applied"], parameters, "refused")

# %% [markdown]
r"""
No state was left out, and none counted twice:
"""

# %%
assert all(tabled.states == product[framework] for (framework, _), tabled in decided.items())
table(["framework", "question", "rows", "states", "product"],
      [[framework, question, len(tabled.rules), tabled.states, product[framework]]
       for (framework, question), tabled in decided.items()])

# %% [markdown]
r"""
### Know where bnref differs

Where a framework leaves damage behind or an undefined result, `bnref` does not follow:
"""

# %%
deviating = {name: [row for framework in states.AXES for row in states.enumerate_states(framework)
                    if name in row.behaviour.deviates] for name in states.DEVIATIONS}
table(["states", "deviation"], [[len(rows), states.DEVIATIONS[name]] for name, rows in deviating.items()])

# %% [markdown]
r"""
Everywhere else the tables are what the frameworks did. `tests/golden/` holds a letter for every state, recorded from
the real layers on a CPU; `tests/layers/test_states.py` holds tables and layers against it.
"""

# %%
import json
from pathlib import Path

recorded = [json.loads(Path(f"../tests/golden/states_{framework}.json").read_text()) for framework in states.AXES]
letters = {record["framework"]: sum(map(len, record["lines"].values())) for record in recorded}
assert letters == product
table(["framework", "release", "states recorded"],
      [[record["framework"], record["version"], letters[record["framework"]]] for record in recorded])

# %% [markdown]
r"""
## Draw the machines

Of all axes only the mode, and PyTorch's flag, change during a layer's life. That makes each layer a small state
machine. A forward pass stays in its box, which says what it does; where it updates, the box is filled and its border
heavy. A dot marks where a new layer is.
"""

# %%
from tools import machines

show(machines.draw("torch"), machines.described("torch"))

# %% [markdown]
r"""
The same as a table, with the state that each event leads to:
"""

# %%
table(*machines.table("torch"))

# %% [markdown]
r"""
MindSpore's machine has as many states, and three of them update:
"""

# %%
show(machines.draw("mindspore"), machines.described("mindspore"))

# %%
table(*machines.table("mindspore"))

# %% [markdown]
r"""
PyTorch's row without statistics and MindSpore's row `True` look alike, but for the updates. Are they the same layer?

## Decide when two layers are the same

Start a layer of each framework as it was built but in the same mode, and give both the same calls, in any order and
number: forward, train, eval. If all outputs agree, whatever the batches hold, the layers are *equivalent*. Every batch
has a dtype that both accept and at least two finite values per channel; momenta are the decimals that were written.

Outputs depend on the running statistics, so follow how those of the two layers, $r$ and $r'$, are related. A step weighs
the observation $o$ by $w$ in one layer and by $v$ in the other, and leaves a difference, in which $o$ has the factor
"""

# %%
import sympy as sp

r, r_, o, w, v = sp.symbols("r r' o w v", real=True)
difference = ((1 - w) * r + w * o) - ((1 - v) * r_ + v * o)
factor, rest = sp.Poly(difference, o).all_coeffs()
factor

# %% [markdown]
r"""
The observation can be anything, so the factor must vanish: $w = v$. The rest then vanishes if $w = 1$, which forgets the
past, or if the statistics were equal before:
"""

# %%
rest = sp.factor(rest.subs(v, w))
assert factor == w - v and sp.expand(rest - (1 - w) * (r - r_)) == 0
rest

# %% [markdown]
r"""
So there is no need for numbers. Whether two statistics are *known equal* or *unrelated* after a step follows from
whether they were, and from two weights: are they equal, and are they 1? (The weight $1/k$ of a cumulative average is 1
once and never again. Statistics that neither layer ever uses are *never read*, and need not be followed.) With the mode
that makes a few joint states for each pair, all of which can be visited, nearest first. For example `momentum=None` in
PyTorch against `momentum=0` in MindSpore, with F for forward, T for train and E for eval:
"""

# %%
from tools import atlas

average = atlas.Torch(track_running_stats=True, momentum=None, affine=True, bias=True)
replaced = atlas.MindSpore(use_batch_statistics=None, momentum="0", affine=True)
table(["reached by", "mode", "statistics", "next weights", "outputs agree"],
      [[atlas.short(calls), "training" if joint.training else "inference", joint.statistics,
        " and ".join(str(atlas.weight_of_new(layer, joint.training, joint.begun)) for layer in (average, replaced)),
        "yes" if atlas.agree(average, replaced, joint) else "no"]
       for joint, calls in atlas.reachable(average, replaced).items()])

# %% [markdown]
r"""
One joint state tells the two apart, and a shortest way to see it is that way and one more forward:
"""

# %%
assert atlas.short(atlas.tell_apart(average, replaced)) == "FFEF"
atlas.tell_apart(average, replaced)

# %% [markdown]
r"""
## Read the atlas

Now for every pair of constructions. Each class of momentum is there as a decimal, and the one between 0 and 1 as both
defaults, 0.1 and 0.9: they stand for any two that add up to 1, or do not.
"""

# %%
pairs = atlas.atlas()
kinds = (atlas.SAME, atlas.OUTPUTS, atlas.DIFFERENT)
counts = [sum(verdict.kind == kind for verdict in pairs.values()) for kind in kinds]
assert sum(counts) == len(pairs) == len(atlas.configurations(atlas.Torch)) * len(atlas.configurations(atlas.MindSpore))
table([*kinds, "pairs"], [[*counts, len(pairs)]])

# %% [markdown]
r"""
The first two are equivalent. *The same* means that the statistics agree too. With *the same outputs* MindSpore's moving
statistics drift, in inference too, which those of no PyTorch layer do; neither layer reads them, so they show in a
checkpoint alone. In the picture these are = and (=), and elsewhere stands a shortest sequence that tells the two apart,
starting in training. Momenta that make no difference share a row or a column. A cross marks what has no counterpart:
"""

# %%
from tools import matrix

show(matrix.draw(pairs), matrix.described(pairs))

# %% [markdown]
r"""
The diagonal is the momentum identity; off it lies 0.1 against 0.1, which is what forgetting to convert gives. As a table,
with the sequences that start in inference. (For *the same outputs* they tell the moving statistics apart.) Affine and
bias appear nowhere, for gamma begins as 1 and beta as 0:
"""

# %%
merged = atlas.tabled(pairs)
assert merged.states == len(pairs)
table(*cells(merged, ["verdict", "from training", "from inference"], counted="pairs"))

# %% [markdown]
r"""
From training, four sequences suffice. F: one layer uses its statistics in training. EF: one uses them in inference.
FEF: both do, after different updates. FFEF: the first update was the same and the second not.
"""

# %%
sequences = sorted({atlas.short(found.from_training) for found in pairs.values() if found.kind == atlas.DIFFERENT})
assert sequences == ["EF", "F", "FEF", "FFEF"]
sequences

# %% [markdown]
r"""
What is equivalent is one class, whichever framework it is from:
"""

# %%
groups = atlas.classes()
there = [(atlas.settings(group, atlas.Torch), atlas.settings(group, atlas.MindSpore)) for group in groups]
table(["training by", "inference by", "running statistics", "PyTorch", "MindSpore"],
      [[*atlas.character(group[0]), *both] for group, both in zip(groups, there)])

# %% [markdown]
r"""
*Moved* appears twice, once for each weight. So there are seven kinds: four in both frameworks, two in PyTorch alone, one
in MindSpore alone:
"""

# %%
kind = {atlas.character(group[0]): both for group, both in zip(groups, there)}
alone = [sum("none" not in both for both in kind.values()), sum(both[1] == "none" for both in kind.values()),
         sum(both[0] == "none" for both in kind.values())]
assert (len(kind), alone) == (7, [4, 2, 1])
table(["kinds", "in both", "PyTorch alone", "MindSpore alone"], [[len(kind), *alone]])

# %% [markdown]
r"""
## Compare what is learned

Layers that do the same must also learn the same. Here the statistics do not matter:
"""

# %%
with_affine, without = atlas.configurations(atlas.MindSpore)[:2]
table(["PyTorch", "learns", "MindSpore that learns the same"],
      [[f"`affine={one.affine}`, `bias={one.bias}`", ", ".join(atlas.learned(one)) or "–",
        next((f"`affine={other.affine}`" for other in (with_affine, without)
              if atlas.learned(other) == atlas.learned(one)), "none")]
       for one in atlas.configurations(atlas.Torch)[:4]])

# %% [markdown]
r"""
A weight without a bias is PyTorch's alone. Of the pairs that are the same, so many learn the same too; `bnref.port`
carries a model across such pairs, and refuses all others:
"""

# %%
portable = [(one, other) for (one, other), found in pairs.items()
            if found.kind == atlas.SAME and atlas.learned(one) == atlas.learned(other)]
assert len(portable) == 4 * 3 + 6 * 3
len(portable)

# %% [markdown]
r"""
## Run all sequences

A search over relations may have a mistake in it, so now the layers themselves, on three channels of random values. Every
distinguishing sequence is run on both layers of its pair, from both modes; the last outputs (for *the same outputs*, the
statistics) must be far apart, and all before must agree:
"""

# %%
from tools import trials

runs = [(one, other, training, calls) for (one, other), found in pairs.items()
        for training, calls in ((True, found.from_training), (False, found.from_inference)) if calls]
apart = [trials.told_apart(*run) for run in runs]
assert all(apart) and len(runs) == 2 * (len(pairs) - counts[0])
print(f"{sum(apart)} of {len(runs)} sequences tell their layers apart")

# %% [markdown]
r"""
And each pair that is the same, over random sequences of twelve calls from both modes. Where the weight that MindSpore
stores is PyTorch's double, every bit must agree:
"""

# %%
import numpy as np

draws = np.random.default_rng(4).integers(0, len(atlas.CALLS), (5, 12))
sequences = [tuple(atlas.CALLS[draw] for draw in line) for line in draws]
same = [pair for pair, found in pairs.items() if found.kind == atlas.SAME]
exact = [pair for pair in same if trials.same_double(*pair)]
agreed = [trials.same_bits(*pair, training, calls) for pair in exact for training in (True, False) for calls in sequences]
assert all(agreed)
print(f"{len(exact)} of {len(same)} pairs: {sum(agreed)} of {len(agreed)} runs agree to the last bit")

# %% [markdown]
r"""
PyTorch's 0.1 and MindSpore's 0.9 remain. Outputs normalised by the batch agree to the last bit; the statistics stay within
the bound of chapter 02, an ulp added for the two roundings of each step:
"""

# %%
others = [pair for pair in same if pair not in exact]
assert {(one.momentum, other.momentum) for one, other in others} == {("0.1", "0.9")}
bounded = [trials.within_the_bound(*pair, training, calls) for pair in others for training in (True, False) for calls in sequences]
assert all(bounded)
print(f"{len(others)} of {len(same)} pairs: {sum(bounded)} of {len(bounded)} runs stay within the bound")

# %% [markdown]
r"""
## Mind what the atlas leaves out

The atlas begins with both layers in one mode, and they are not built so:
"""

# %%
import bnref

built = [bnref.torch.BatchNorm1d(3).training, bnref.mindspore.BatchNorm1d(3).training]
assert built == [True, False]
table(["", "PyTorch", "MindSpore"], [["built in", *("training" if training else "inference" for training in built)]])

# %% [markdown]
r"""
And it wants two values per channel. With one, PyTorch refuses where MindSpore goes on; an empty batch leaves PyTorch's
statistics alone, while the real MindSpore updates its own by whatever lay in memory. For the PyTorch layers that have a
counterpart:
"""

# %%
few = decide(*atlas.outside(pairs))
table(*cells(few, ["PyTorch", "its counterparts in MindSpore"], "no counterpart", "cases"))

# %% [markdown]
r"""
A NaN or an infinity spoils the statistics of both layers alike, and also those that MindSpore keeps and never reads:
"""

# %%
untracked = bnref.torch.BatchNorm1d(1, track_running_stats=False)
inert = bnref.mindspore.BatchNorm1d(1, use_batch_statistics=True, momentum=1.0).set_train()
spoilt, whole = np.array([[1.0], [np.nan]], np.float32), np.array([[1.0], [3.0]], np.float32)
rows = [[", ".join(f"{value:g}" for value in batch.ravel()), np.array_equal(untracked(batch), inert(batch), equal_nan=True),
         float(inert.moving_mean[0])] for batch in (whole, spoilt, whole)]
assert all(agree for _, agree, _ in rows)
table(["batch", "same output", "MindSpore's moving mean"], rows)
