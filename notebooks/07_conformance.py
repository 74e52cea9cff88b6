# %% [markdown]
r"""
# Hold it against the real frameworks

> bnref agrees with the real frameworks in every state and in thousands of random runs, but for six reasons that have a name; nine oddities of theirs come with the lines that show them.

**Proves** nothing: it measures. Each statement is read from a record that `make conformance` compares with the installed frameworks. **Exports** nothing. **Checked by** `tests/conformance` and `tests/layers/test_states.py`.
"""

# %%
import json
from collections import Counter

import numpy as np

import bnref
from bnref import states
from tools.chapters import ROOT
from tools.show import QUIET, curve, figure, label, label_ends, log2, power_of, show, table

# %% [markdown]
r"""
Nothing of a framework runs in this chapter. `make record` asked them and wrote their answers to `tests/golden/`:
"""

# %%
def record(name):
    return json.loads((ROOT / "tests/golden" / f"{name}.json").read_text(encoding="utf-8"))


FRAMEWORKS = ("torch", "mindspore")
versions = {name: record(f"numbers_{name}")["version"] for name in (*FRAMEWORKS, "onnxruntime")}
assert versions["torch"] == bnref.torch.VERSION and versions["mindspore"] == bnref.mindspore.VERSION
versions

# %% [markdown]
r"""
## Ask in every state

The same experiment is made in every state of chapter 04. The layer's arrays get known values, it is called, and what it
did is inferred from results alone: by which statistics the output is normalised, how far the running statistics moved,
which parameters have a gradient, or what was raised. The record keeps the different answers, each under a letter, and
one letter for each state.
"""

# %%
observed = {framework: record(f"states_{framework}") for framework in FRAMEWORKS}
letters = {framework: "".join(observed[framework]["lines"].values()) for framework in FRAMEWORKS}
assert all(len(letters[framework]) == len(states.enumerate_states(framework)) for framework in FRAMEWORKS)
{framework: (len(letters[framework]), len(set(letters[framework]))) for framework in FRAMEWORKS}

# %% [markdown]
r"""
So many states, and so many different answers. PyTorch's answers, and the number of states that gave each:
"""

# %%
def answers(framework):
    """A row for each answer; where a refused batch was counted, the table says so."""
    count = Counter(letters[framework])
    for letter, seen in observed[framework]["letters"].items():
        says = [seen["normalises_by"], seen["mean"], seen["var"], "yes" if seen["counts"] else None,
                ", ".join(seen["learns"]), ", ".join(seen["applies"]), seen["raises"]]
        yield [letter, *(value or "" for value in says), count[letter]]


header = ["", "normalises by", "mean", "variance", "counts", "learns", "applies", "raises", "states"]
table(header, answers("torch"))

# %% [markdown]
r"""
MindSpore's; every state was asked once in PyNative and once in graph mode:
"""

# %%
table(header, answers("mindspore"))

# %% [markdown]
r"""
Two answers deserve a second look. PyTorch counts some batches that it refuses, and after an empty batch MindSpore's
statistics are called *undefined*: something moved them, and there was nothing to move them by. Both come back below.

## Read a state

Take the state that the mapping page describes as one that "does not learn weight and bias" (chapter 05): neither
training nor running statistics. The order of the states is that of `enumerate_states`:
"""

# %%
rows = {row.state: letter for row, letter in zip(states.enumerate_states("torch"), letters["torch"], strict=True)}
neither = states.TorchState(training=False, track_running_stats=False, flag=False, affine=True, bias=True,
                            momentum="between", ndim=2, values="many", input="float32")
seen = observed["torch"]["letters"][rows[neither]]
assert seen["learns"] == ["weight", "bias"]
seen

# %% [markdown]
r"""
The real layer normalised by the batch, and both parameters had a gradient. And do MindSpore's two execution modes ever
differ? States come in pairs, the last axis being the mode:
"""

# %%
pairs = list(zip(letters["mindspore"][0::2], letters["mindspore"][1::2]))
kind = {letter: tuple(seen[name] for name in ("mean", "var")) for letter, seen in observed["mindspore"]["letters"].items()}
different = [pair for pair in pairs if pair[0] != pair[1]]
assert all("undefined" in kind[a] + kind[b] for a, b in different)
len(pairs), len(different)

# %% [markdown]
r"""
Where they differ at all it is in that undefined update.

## Hold the decision tables against it

`bnref.states` is not made from the record. Here is the one beside the other, for every state of both frameworks; a state
that `bnref` knows to answer otherwise carries the reason in `deviates`.
"""

# %%
def described(row):
    """A row of the decision tables in the words of the experiment."""
    return {"normalises_by": row.normalises_by, "mean": row.mean, "var": row.var, "counts": row.counts,
            "learns": list(row.learns), "applies": list(row.applies), "raises": row.raises}


verdicts = Counter()
for framework in FRAMEWORKS:
    for row, letter in zip(states.enumerate_states(framework), letters[framework], strict=True):
        same = described(row.behaviour) == observed[framework]["letters"][letter]
        verdicts[framework, "the same" if same else ", ".join(row.behaviour.deviates) or "unexplained"] += 1
assert not any(verdict == "unexplained" for _, verdict in verdicts)
table(["framework", "verdict", "states"], [[*key, count] for key, count in sorted(verdicts.items())])

# %% [markdown]
r"""
## Agree

That was behaviour. `make conformance` also compares numbers: every state again, several steps each, forward, statistics
and gradients; then random layers with random shapes, types, data and sequences of calls. *Agrees* means within
the bound that any sound float implementation keeps (chapter 06), or exactly: for states, keys, types and error
classes. Its table, as recorded:
"""

# %%
agreement = record("agreement")
assert sum(row["unexplained"] for row in agreement) == 0
table(["what", "rows", "agreed", "known deviations", "unexplained"],
      [[row["what"], row["rows"], row["agreed"], row["deviating"], row["unexplained"]] for row in agreement])

# %% [markdown]
r"""
No row is unexplained. These are the known deviations; a run of several calls may have several:
"""

# %%
reasons = {**states.DEVIATIONS,
           "lost": "MindSpore's layer of float16 loses its update; bnref makes it.",
           "overflow": "PyTorch's layer of float16 keeps 1/sqrt(W) in float16, and that overflows.",
           "uncounted": "A PyTorch layer that uses none of its arrays takes any number of channels."}
known = sum((Counter(row["known"]) for row in agreement), Counter())
assert set(known) == set(reasons) and len(known) == 6
table(["rows", "reason"], [[count, reasons[name]] for name, count in sorted(known.items())])

# %% [markdown]
r"""
## Count the last places

Within the bound is not the same as right. For a modest set of cases the record keeps the numbers themselves, with a
recipe for the input:
"""

# %%
print(record("numbers_torch")["recipe"])

# %% [markdown]
r"""
One of PyTorch's: four values in each of three channels, mean 100 and standard deviation 1. First the input, and what
bnref makes of it:
"""

# %%
case = next(case for case in record("numbers_torch")["cases"] if case["mean"] == 100 and case["training"])
rng = np.random.default_rng(case["seed"])
x = rng.normal(case["mean"], case["std"], case["shape"]).astype(case["dtype"])
grad, weight, bias = rng.normal(size=x.shape), rng.normal(size=3).astype(x.dtype), rng.normal(size=3).astype(x.dtype)
rounded = bnref.batch_norm(x, weight=weight, bias=bias, training=True).output
print(rounded)

# %% [markdown]
r"""
And how far PyTorch's output is from that, in units of its last place:
"""

# %%
theirs = np.array(case["results"]["output"], x.dtype).reshape(x.shape)
ulps = (theirs.astype(float) - rounded.astype(float)) / np.spacing(abs(rounded))
assert abs(ulps).max() > 1
print(ulps)

# %% [markdown]
r"""
The same over all recorded float32 outputs, whose data are centred at 0.5 or at 100. (onnxruntime only infers, by a
running mean far from the data, so that nothing cancels.)
"""

# %%
def output_errors(framework):
    """Errors of the recorded float32 outputs, in ulp of the correctly rounded one, by the mean of the data."""
    eps = float(np.float32(1e-5)) if framework == "onnxruntime" else 1e-5  # as a float32, in the format of its models
    found = {}
    for case in record(f"numbers_{framework}")["cases"]:
        if case["dtype"] != "float32":
            continue
        rng = np.random.default_rng(case["seed"])
        x = rng.normal(case["mean"], case["std"], case["shape"]).astype(np.float32)
        rng.normal(size=x.shape)  # the gradient
        weight, bias, mean, root = (rng.normal(size=x.shape[1]) for _ in range(4))
        weight, bias, mean, var = (a.astype(np.float32) for a in (weight, bias, mean, root * root + 0.125))
        y = bnref.batch_norm(x, mean, var, weight, bias, training=case["training"], eps=eps).output.ravel()
        theirs = np.array(case["results"]["output"], np.float32)
        ulp = abs(theirs.astype(float) - y.astype(float)) / np.spacing(abs(y))
        found.setdefault(case["mean"], []).extend(ulp.tolist())
    return found


errors = {framework: output_errors(framework) for framework in versions}
summary = [[framework, mean, len(ulps), f"{np.mean(np.array(ulps) == 0):.0%}", f"{np.median(ulps):.1f}",
            f"{max(ulps):.0f}"]
           for framework, by_mean in errors.items() for mean, ulps in by_mean.items()]
assert all(float(row[-1]) >= 1 for row in summary)
table(["framework", "mean", "outputs", "correctly rounded", "median error in ulp", "greatest"], summary)

# %% [markdown]
r"""
## Look at what they get wrong

The run also recorded defects: results outside what their documentation or any bound would lead one to expect. Each
comes with a few lines that show it, and what these printed. They are measurements of the releases named above on a
CPU; a release that mends one makes `make conformance` say so.
"""

# %%
findings = record("findings")["findings"]
assert len(findings) == 9 and all(finding["code"].count("\n") <= 10 for finding in findings)
table(["framework", "finding", "lines"], [[f["framework"], f["title"], f["code"].count("\n")] for f in findings])

# %% [markdown]
r"""
### A constant channel

All values are 10 000 000, so every output should be 0.
"""

# %%
def reproduction(framework, start):
    """Print the lines of a finding and, below, what they printed."""
    (finding,) = (f for f in findings if f["framework"] == framework and f["title"].startswith(start))
    print(finding["code"] + "-> " + finding["printed"])


reproduction("torch", "A constant channel")

# %% [markdown]
r"""
Variance 0 makes the factor 1/sqrt(eps) = 316, and PyTorch computes x * 316 - 10 000 000 * 316: two numbers of
3 000 000 000 whose last places are worth 256 each. Subtracting first costs nothing:
"""

# %%
x = np.full((16, 1, 16), 1e7, np.float32)
assert not bnref.batch_norm(x, training=True).output.any()
abs(bnref.batch_norm(x, training=True).output).max()

# %% [markdown]
r"""
### A long channel far from zero

4096 values of mean 1 000 000 and standard deviation 1, a channel of its own. MindSpore replaces its running variance:
"""

# %%
reproduction("mindspore", "The running variance")

# %% [markdown]
r"""
PyTorch does the same with the same data, to the last digit shown:
"""

# %%
reproduction("torch", "The running variance")

# %% [markdown]
r"""
The correctly rounded one:
"""

# %%
x = np.random.default_rng(0).normal(1e6, 1, (4096, 1)).astype(np.float32)
r = bnref.batch_norm(x, np.zeros(1, np.float32), np.ones(1, np.float32), training=True, momentum=1.0)
assert 0.99 < r.running_var[0] < 1.01
r.running_mean, r.running_var

# %% [markdown]
r"""
The ladder shows when it begins: the standard deviation stays 1 and the mean climbs, in two of the recorded shapes. (PyTorch had
one thread.)
"""

# %%
ladder = record("ladder")
ratios = ladder["ratios"]
for shape, seen in (("4096x1", "Both curves lie on each other, jump above the true variance between 1e5 and 1e6, and end near 1000"),
                    ("64x16x32", "PyTorch stays near 0.001 or below, and MindSpore rises to several hundred only at 1e7")):
    fig, axes = figure()
    ends = {}
    for name, framework in (("PyTorch", "torch"), ("MindSpore", "mindspore")):
        heights = [log2(error) for error in ladder["errors"][framework][shape]["var"]["worst"]]
        curve(axes, name, range(len(ratios)), heights)
        ends[name] = heights[-1]
    last, title = len(ratios) - 1, shape.replace("x", " × ")
    label_ends(axes, ends, last * 1.03, 3.2)
    axes.axhline(0, color=QUIET, linewidth=1)
    label(axes, 0, 1.2, "as large as the variance itself", color=QUIET)
    axes.set(title=title, xlabel="mean / standard deviation", ylabel="error of the running variance", xlim=(-0.2, last * 1.36),
             xticks=range(0, last + 1, 2), xticklabels=[power_of(10, k) for k in range(last // 2 + 1)],
             ylim=(-26, 13), yticks=range(-25, 11, 5), yticklabels=[power_of(2, k) for k in range(-25, 11, 5)])
    show(fig, f"""The worst error of the running variance of PyTorch and MindSpore against mean over standard deviation from 1 to
1e7, both axes logarithmic, for the shape {title}. {seen}. A line marks the true variance, 1.""")

# %% [markdown]
r"""
The mean is the culprit. Summed one after the other in float32 it is off by some amount, and the variance of two passes
takes the square of that on top (chapter 06). At 1 000 000:
"""

# %%
at = ratios.index(1e6)
off = {(framework, shape): [ladder["errors"][framework][shape][name]["worst"][at] for name in ("mean", "var")]
       for framework in FRAMEWORKS for shape in ("4096x1", "256x8", "64x16x32")}
mean_off, var_off = off["mindspore", "4096x1"]
assert abs(var_off / mean_off**2 - 1) < 0.01
table(["framework", "shape", "error of the running mean", "error of the running variance"],
      [[*key, *value] for key, value in off.items()])

# %% [markdown]
r"""
In the last shape the values of a channel lie together in memory, and there PyTorch's mean is within half a last place:
it sums in float64.
"""

# %%
together = ladder["errors"]["torch"]["64x16x32"]["mean"]["worst_ulp"]
assert max(together) <= 0.5
print(together)

# %% [markdown]
r"""
### One value per channel

PyTorch refuses such a batch. MindSpore takes it, and the running variance is lost for good, without a word: from then on
inference gives NaN.
"""

# %%
reproduction("mindspore", "One value")

# %% [markdown]
r"""
This one bnref repeats, since there is no better answer (chapter 01), and says so in its documentation:
"""

# %%
net = bnref.mindspore.BatchNorm1d(1).set_train()
net(np.ones((1, 1), np.float32))
assert np.isnan(net.moving_variance).all()
net.moving_variance

# %% [markdown]
r"""
### An empty batch

Two layers that are built alike and called alike get different statistics; what decides is which layer ran before, and
left its statistics in the memory that is now read.
"""

# %%
reproduction("mindspore", "After an empty batch")

# %% [markdown]
r"""
That is no semantics to follow: bnref keeps the statistics.
"""

# %%
net = bnref.mindspore.BatchNorm1d(3).set_train()
net(np.zeros((0, 3), np.float32))
assert not net.moving_mean.any() and (net.moving_variance == 1).all()
net.moving_mean, net.moving_variance

# %% [markdown]
r"""
### Four smaller ones

A layer of float16 whose update is lost:
"""

# %%
reproduction("mindspore", "A float16 layer")

# %% [markdown]
r"""
A batch that is refused and counted all the same, which shifts every later cumulative average:
"""

# %%
reproduction("torch", "A refused batch")

# %% [markdown]
r"""
A layer of float16 that keeps 1/sqrt(W), here a million, in float16, whose largest number is 65504:
"""

# %%
reproduction("torch", "A float16 layer")

# %% [markdown]
r"""
And a layer for one channel that takes seven, because nothing in it has a length:
"""

# %%
reproduction("torch", "A layer without arrays")

# %% [markdown]
r"""
Each of the last four is in the list of deviations above, or is one that bnref's layers document. Nothing that the
frameworks did in any state is left without a name:
"""

# %%
assert sum(row["rows"] for row in agreement) == sum(row["agreed"] + row["deviating"] for row in agreement)
sum(row["rows"] for row in agreement), sum(row["unexplained"] for row in agreement)
