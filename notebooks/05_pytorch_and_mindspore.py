# %% [markdown]
r"""
# Port between PyTorch and MindSpore

> The mapping page that started this book, claim by claim: what holds, what fails, and what a porter should do.

**Proves** that the page's sixteen numbers are right to a few units in the last place; a verdict for each claim, with its evidence; the recipes, by running them. **Exports** nothing. **Checked by** `tests/layers` and `tests/test_recipes.py`.
"""

# %%
import io
import itertools
import json
import math
import re
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import numpy as np

import bnref
from bnref import equations, states
from bnref.arithmetic import arrays
from tools.chapters import NOTEBOOKS, ROOT, read
from tools.show import table
from tools.signatures import signature

# %% [markdown]
r"""
The page is *比较与torch.nn.BatchNorm1d的差异* ("Differences with torch.nn.BatchNorm1d") of the MindSpore documentation,
version r2.3.1, licensed CC BY 4.0. It compares PyTorch 1.8.1 with MindSpore 2.3.1. Chinese quotations are verbatim,
the translations are ours. What is said about today means PyTorch 2.13.0 and MindSpore 2.10.0 on the CPU.

## Run the worked example

The page's input and its two layers, as bnref has them:
"""

# %%
x = np.array([[0.7, 0.5, 0.5, 0.6], [0.5, 0.4, 0.6, 0.9]], np.float32)
bn = bnref.torch.BatchNorm1d(4, affine=False, momentum=0.1)
net = bnref.mindspore.BatchNorm1d(num_features=4, affine=False, momentum=0.9).set_train()
rounded = bn(x)
assert np.array_equal(rounded, net(x))
print(rounded)

# %% [markdown]
r"""
The same bits from both, and after one step the same statistics:
"""

# %%
assert np.array_equal(bn.running_mean, net.moving_mean) and np.array_equal(bn.running_var, net.moving_variance)
print(bn.running_mean, bn.running_var)

# %% [markdown]
r"""
The page prints sixteen numbers:
"""

# %%
printed = {
    "PyTorch": [["0.9995001", "0.9980063", "-0.998006", "-0.99977785"],
                ["-0.9995007", "-0.9980057", "0.998006", "0.99977785"]],
    "MindSpore": [["0.9995001", "0.9980063", "-0.998006", "-0.9997778"],
                  ["-0.9995007", "-0.9980057", "0.998006", "0.9997778"]],
}

# %% [markdown]
r"""
How far is each from the truth? With $d = x - \text{mean}$ the square of an output is $d^2 / W$, a rational; so an
integer square root gives the output to thirty decimals:
"""

# %%
values = arrays.rationals(x)
mean, var = equations.batch_statistics(values, xp=arrays)


def truth(row, channel):
    d = values[row, channel] - mean[channel]
    root = math.isqrt(int(d**2 / (var[channel] + Fraction(1e-5)) * 10**60))
    return Fraction(root if d > 0 else -root, 10**30)


f"{float(truth(0, 0)):.15f}"

# %% [markdown]
r"""
The unit is one ulp, here the distance of neighbouring float32 numbers between 1/2 and 1; at best an error is half of
it.
"""

# %%
def error(number, true):
    return abs(Fraction(float(np.float32(number))) - true) * 2**24


rows, errors = [], []
for row, channel in itertools.product(range(2), range(4)):
    true = truth(row, channel)
    off = {name: error(numbers[row][channel], true) for name, numbers in printed.items()}
    assert error(rounded[row, channel], true) <= Fraction(1, 2)
    errors += off.values()
    rows.append([f"{row}, {channel}", f"{float(true):.12f}", rounded[row, channel],
                 *(cell for name in printed for cell in (printed[name][row][channel], f"{float(off[name]):.1f}"))])
table(["sample, channel", "true value", "correctly rounded", "PyTorch", "ulp off", "MindSpore", "ulp off"], rows)

# %% [markdown]
r"""
None is wrong for any practical purpose. How many of the sixteen are the correctly rounded value, and by how many ulps
the worst is off:
"""

# %%
assert len(errors) == 16 and max(errors) < 6
sum(e <= Fraction(1, 2) for e in errors), f"{float(max(errors)):.1f}"

# %% [markdown]
r"""
## Read the records

What a real framework does is not computed here, it is read: `tests/golden` holds what both layers did in every state
of chapter 04, and their answers to several hundred small questions.
"""

# %%
def record(name):
    return json.loads((ROOT / "tests" / "golden" / f"{name}.json").read_text(encoding="utf-8"))


seen = {name: record(f"states_{name}") for name in states.AXES}
asked = {name: record(f"probes_{name}")["answers"] for name in states.AXES}
table(["framework", "version", "distinct behaviours", "questions"],
      [[name, seen[name]["version"], len(seen[name]["letters"]), len(asked[name])] for name in states.AXES])

# %% [markdown]
r"""
`did` looks a state up in the record. The two states to start from are the default layers, in training, on a float32
batch with many values per channel.
"""

# %%
TORCH = states.TorchState(training=True, track_running_stats=True, flag=True, affine=True, bias=True,
                          momentum="between", ndim=2, values="many", input="float32")
MINDSPORE = states.MindSporeState(training=True, use_batch_statistics=None, affine=True, momentum="between",
                                  ndim=2, values="many", input="float32")


def did(state, **changes):
    """What the real layer did in a state."""
    framework = "torch" if isinstance(state, states.TorchState) else "mindspore"
    *leading, a, b, c = state._replace(**changes)
    line = seen[framework]["lines"][" ".join(map(str, leading))]
    inner = list(itertools.product(*list(states.AXES[framework].values())[-3:]))
    return seen[framework]["letters"][line[inner.index((a, b, c))]]


def compared(*cases):
    """A table of labelled behaviours."""
    return table(["", "normalises by", "running mean", "running variance", "learns", "applies"],
                 [[label, b["raises"] or b["normalises_by"], b["mean"] or "–", b["var"] or "–",
                   ", ".join(b["learns"]) or "–", ", ".join(b["applies"]) or "–"] for label, b in cases])


compared(("PyTorch", did(TORCH)), ("MindSpore", did(MINDSPORE)))

# %% [markdown]
r"""
## Examine the page

Three verdicts. *True*: it holds as it stands. *Imprecise*: it holds in the usual case and leaves out one that a
program may contain. *False*: it fails in the very case that it speaks of. **Do** says what follows for a porter.
"""

# %% [markdown]
r"""
### The two signatures

> `class torch.nn.BatchNorm1d(` … `track_running_stats=True`
>
> `class mindspore.nn.BatchNorm1d(` … `data_format='NCHW'`

**True.** Names, order and defaults are right for the versions that the page names. Each has grown at the end since.

**Do:** pass everything after `num_features` by keyword, in both frameworks.
"""

# %%
signatures = [signature(layer) for layer in (bnref.torch.BatchNorm1d, bnref.mindspore.BatchNorm1d)]
assert signatures[0].startswith("(num_features, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, ")
assert signatures[1].startswith(
    "(num_features, eps=1e-05, momentum=0.9, affine=True, gamma_init='ones', beta_init='zeros', "
    "moving_mean_init='zeros', moving_var_init='ones', use_batch_statistics=None, data_format='NCHW', ")
table(["", "today"], [["PyTorch", f"`{signatures[0]}`"], ["MindSpore", f"`{signatures[1]}`"]])

# %% [markdown]
r"""
### The signature to come

> After version 2.9.0, the constructor signature will be changed

**Imprecise.** So MindSpore's docstring, since the page was written. It announces `(num_features, eps=1e-5,
momentum=0.1, affine=True, track_running_stats=True, dtype=None)`; release 2.10.0 came after 2.9.0 and has not done
it. It tells of a new default of momentum and not of a new meaning; but `mindspore.mint.nn.BatchNorm1d` has that
signature already, and there momentum means what it means in PyTorch. (It also has PyTorch's keys; it starts in
inference mode, and does not run on the CPU.) From the day of the change, a program that says `momentum=0.9` will
follow every batch, without an error.

**Do:** check the attribute after construction. It is the weight of the new observation in `nn` and in `mint`, so
`assert abs(net.momentum - 0.1) < 1e-6` stops on the day when the argument changes its meaning.
"""

# %%
assert seen["mindspore"]["version"] == bnref.mindspore.VERSION == "2.10.0"
assert asked["mindspore"]["len(repr(BatchNorm1d(4, track_running_stats=True))) > 0"] == "raises TypeError"
assert abs(asked["mindspore"]["BatchNorm1d(2, momentum=0.9).momentum"] - 0.1) < 1e-6
today, changed = bnref.mindspore.BatchNorm1d(4, momentum=0.9).set_train(), bnref.torch.BatchNorm1d(4, momentum=0.9)
today(x), changed(x)
table(["`momentum=0.9`", "running mean after one step"],
      [["today", today.moving_mean], ["as announced (PyTorch's meaning)", changed.running_mean]])

# %% [markdown]
r"""
### What the layer is for

> PyTorch:对输入的二维或三维数据进行批归一化。
>
> PyTorch: batch normalisation of input with two or three dimensions.

**True.** Of MindSpore as well; both refuse every other number of dimensions.

**Do:** nothing.
"""

# %%
def outcome(layer, *shape):
    try:
        return "taken" if layer(np.ones(shape, np.float32)).shape == shape else "reshaped"
    except ValueError:
        return "refused"


layers = bnref.torch.BatchNorm1d(2), bnref.mindspore.BatchNorm1d(2).set_train()
rows = [[f"{len(shape)}-D", *(outcome(layer, *shape) for layer in layers)]
        for shape in ((3,), (3, 2), (3, 2, 2), (3, 2, 1, 1))]
assert [row[1] for row in rows] == [row[2] for row in rows] == ["refused", "taken", "taken", "refused"]
for name, mode in ("torch", "train(True)"), ("mindspore", "set_train(True)"):
    for shape in "2", "3, 2, 1, 1":
        assert asked[name][f"BatchNorm1d(2).{mode}(x({shape})) is None"] == "raises ValueError"
table(["input", "PyTorch", "MindSpore"], rows)

# %% [markdown]
r"""
### The function as a whole

> MindSpore:MindSpore此API实现功能与PyTorch基本一致。
>
> MindSpore: the function of this API is basically the same as PyTorch's.

**Imprecise.** The default layers, in the same mode, do the same to every batch with at least two values per channel
(chapter 04, for all sequences of calls). With one value PyTorch raises; MindSpore returns beta, and its moving variance
is NaN from then on.

**Do:** drop a last batch of one sample (`drop_last=True` in PyTorch, `drop_remainder=True` in MindSpore), and look
for NaN in `moving_variance` before a checkpoint is saved.
"""

# %%
one = [("PyTorch", did(TORCH, values="one")), ("MindSpore", did(MINDSPORE, values="one"))]
assert one[0][1]["raises"] == "ValueError" and one[1][1]["var"] == "NaN"
net = bnref.mindspore.BatchNorm1d(4).set_train()
assert np.array_equal(net(x[:1]), [net.beta]) and np.isnan(net.moving_variance).all()
compared(*one)

# %% [markdown]
r"""
### The update strategy

> 训练以及推理时的参数更新策略和PyTorch有所不同。
>
> The strategy by which parameters are updated in training and in inference differs somewhat from PyTorch's.

**Imprecise.** With the default arguments it does not differ. It differs as soon as `use_batch_statistics` is True or
False.

**Do:** leave `use_batch_statistics` at None unless a recipe below says otherwise.
"""

# %%
modes = [(f"{name}, {'training' if training else 'inference'}", did(start, training=training))
         for training in (True, False) for name, start in (("PyTorch", TORCH), ("MindSpore", MINDSPORE))]
for (_, ours), (_, theirs) in (modes[:2], modes[2:]):
    assert all(ours[key] == theirs[key] for key in ("normalises_by", "mean", "var"))
compared(*modes)

# %% [markdown]
r"""
### Parameter 1, num_features

> `| 参数1 | num_features | num_features | - |`
>
> No difference.

**Imprecise.** PyTorch builds a layer of no channels, MindSpore wants at least one.

**Do:** leave a layer of no channels out.
"""

# %%
assert asked["torch"]["repr(BatchNorm1d(0))"].startswith("BatchNorm1d(0, ")
assert asked["mindspore"]["len(repr(BatchNorm1d(0))) > 0"] == "raises ValueError"
asked["mindspore"]["len(repr(BatchNorm1d(0))) > 0"]

# %% [markdown]
r"""
### Parameter 2, eps

> `| 参数2 | eps | eps | - |`
>
> No difference.

**Imprecise.** MindSpore wants a float that is in (0, 1] after rounding to float32: no integer, nothing larger, and no
zero. PyTorch takes any positive number, and in inference a zero.

**Do:** write a float from 1e-37 to 1; `eps=1` becomes `eps=1.0`. Anything else has no counterpart.
"""

# %%
def answer(framework, call, eps):
    found = asked[framework][f"BatchNorm1d(2, eps={eps}).{call}(x(3, 2)) is None"]
    return found if "raises" in str(found) else "accepted"


calls = [(name, f"{mode}({training})") for name, mode in (("torch", "train"), ("mindspore", "set_train"))
         for training in (True, False)]
rows = [[eps, *(answer(*call, eps) for call in calls)] for eps in ("1", "1.5", "1e-60", "0.0")]
assert [row[1:3].count("accepted") for row in rows] == [2, 2, 2, 1] and not any("accepted" in row[3:] for row in rows)
table(["eps", "PyTorch, training", "PyTorch, inference", "MindSpore, training", "MindSpore, inference"], rows)

# %% [markdown]
r"""
### Parameter 3, momentum and its default

> 功能一致,但PyTorch中的默认值是0.1,MindSpore中是0.9,与PyTorch的momentum转换关系为1-momentum,默认值行为与PyTorch相同
>
> MindSpore中momentum参数默认值为0.9,与PyTorch的momentum转换关系为1-momentum,默认值行为与PyTorch相同
>
> The function is the same, but the default is 0.1 in PyTorch and 0.9 in MindSpore; it converts to PyTorch's momentum as
> 1-momentum; with the defaults the behaviour is the same as PyTorch's. (Said in the table, and once before it.)

**Imprecise.** As decimals the defaults agree. The function is not the same: `momentum=None` (the average of all
batches) and values outside [0, 1] exist in PyTorch alone. And 1.0 - 0.9 is not the double 0.1 (chapter 02), though as
a float32 it is the same weight.

**Do:** convert by decimal complement; for `momentum=None` choose a number.
"""

# %%
stored = asked["mindspore"]["BatchNorm1d(2, momentum=0.9).momentum"]
assert stored == 1.0 - 0.9 == bnref.mindspore.BatchNorm1d(4).momentum and np.float32(stored) == np.float32(0.1)
refused = {text: asked["mindspore"][f"len(repr(BatchNorm1d(4, momentum={text}))) > 0"]
           for text in ("None", "1.1", "-0.1")}
assert set(refused.values()) == {"raises TypeError", "raises ValueError"}
assert did(TORCH, momentum=None)["mean"] == "averaged" and did(TORCH, momentum="outside")["mean"] == "overshot"
stored, refused

# %% [markdown]
r"""
### Parameter 4, affine

> `| 参数4 | affine | affine | - |`
>
> No difference.

**Imprecise.** With `affine=False` PyTorch has neither weight nor bias; MindSpore keeps gamma and beta, applies them
as they were initialised, does not train them, and saves them. PyTorch's newer `bias=False` has no counterpart.

**Do:** with `affine=False` leave `gamma_init` and `beta_init` alone; expect two more keys in the checkpoint.
"""

# %%
plain = [("PyTorch", did(TORCH, affine=False)), ("MindSpore", did(MINDSPORE, affine=False))]
assert plain[0][1]["applies"] == [] and plain[1][1]["applies"] == ["gamma", "beta"]
assert plain[0][1]["learns"] == plain[1][1]["learns"] == []
compared(*plain)

# %% [markdown]
r"""
### Parameter 5, track_running_stats and use_batch_statistics

> 功能一致,不同值对应的默认方式不同
>
> The function is the same; the defaults that go with the values differ.

**False.** They answer different questions: one whether running statistics *exist*, the other which statistics
*normalise*. No value of the one does, in both modes, what a value of the other does, but for True and None.

**Do:** `track_running_stats=True` becomes `use_batch_statistics=None`; `track_running_stats=False` becomes
`use_batch_statistics=True` together with `momentum=1.0`. Never carry a True over as True.
"""

# %%
def pair(behaviours):
    return "; ".join(f"{b['normalises_by']}, {b['mean'] or 'no update'}" for b in behaviours)


both = {f"`track_running_stats={value}`": pair(did(TORCH, training=t, track_running_stats=value, flag=value)
                                               for t in (True, False)) for value in (True, False)}
both |= {f"`use_batch_statistics={value}`": pair(did(MINDSPORE, training=t, use_batch_statistics=value)
                                                 for t in (True, False)) for value in (None, True, False)}
inert = pair(did(MINDSPORE, training=t, use_batch_statistics=True, momentum="one") for t in (True, False))
tracked, not_tracked, by_mode, always, never = both.values()
assert tracked == by_mode and not_tracked not in (by_mode, always, never)
assert inert.replace("kept", "no update") == not_tracked
table(["setting", "in training; in inference"],
      [*both.items(), ["`use_batch_statistics=True`, `momentum=1.0`", inert]])

# %% [markdown]
r"""
(*Kept* means updated with weight 0: there is no moving statistic in PyTorch's layer, and an inert one in
MindSpore's.)
"""

# %% [markdown]
r"""
### Parameters 6 to 9, the initial values

> `PyTorch无此参数,MindSpore可以初始化参数gamma的值` … `beta` … `moving_mean` … `moving_var`
>
> PyTorch has no such parameter; MindSpore can initialise the value of gamma (beta, moving_mean, moving_var).

**True.** By name, number or tensor.

**Do:** towards PyTorch, write the arrays after construction: `bn.weight.fill_(0)` under `torch.no_grad()`.
"""

# %%
for name in "gamma", "beta", "moving_mean", "moving_var":
    attribute = name.replace("var", "variance")
    assert asked["mindspore"][f"values(BatchNorm1d(4, {name}_init=0.5).{attribute})"] == [0.5] * 4
bn, net = bnref.torch.BatchNorm1d(4), bnref.mindspore.BatchNorm1d(4, gamma_init=0.5, moving_mean_init=0.25).set_train()
bn.weight[...], bn.running_mean[...] = 0.5, 0.25
assert np.array_equal(bn(x), net(x)) and np.array_equal(bn.running_mean, net.moving_mean)
bn.running_mean

# %% [markdown]
r"""
### Parameter 10, data_format

> PyTorch无此参数
>
> PyTorch has no such parameter.

**True.** On the CPU it is no choice in MindSpore either.

**Do:** leave it out; transpose channels-last data.
"""

# %%
assert asked["mindspore"]["len(repr(BatchNorm1d(4, data_format='NHWC'))) > 0"] == "raises ValueError"
asked["mindspore"]["len(repr(BatchNorm1d(4, data_format='NHWC'))) > 0"]

# %% [markdown]
r"""
### The input

> 接口输入,功能一致,仅参数名不同
>
> The input of the interface; its function is the same, only the name differs.

**Imprecise.** MindSpore takes float16 and float32 alone. PyTorch takes float64 and bfloat16 too, in a layer of the
same dtype. (One value per channel: see above.)

**Do:** cast to float32 before MindSpore's layer; pass the input by position.
"""

# %%
def takes(framework, own, other):
    mode = {"torch": "train(True)", "mindspore": "set_train(True)"}[framework]
    tail = {"torch": ".dtype is None", "mindspore": " is None"}[framework]
    answer = asked[framework][f"BatchNorm1d(2, dtype=dtype('{own}')).{mode}(x(3, 2, dtype='{other}')){tail}"]
    return "yes" if answer == "False" or answer is False else answer


floats = ("float16", "bfloat16", "float32", "float64")
rows = [[f"layer and input {dtype}", *(takes(name, dtype, dtype) for name in states.AXES)] for dtype in floats]
assert [row[1] for row in rows] == ["yes"] * 4 and [row[2] == "yes" for row in rows] == [True, False, True, False]
table(["", "PyTorch", "MindSpore"], rows)

# %% [markdown]
r"""
### Two groups of parameters

> BatchNorm是CV领域比较特殊的正则化方法,它在训练和推理的过程中有着不同计算流程,通常由算子属性控制。MindSpore和PyTorch的BatchNorm在这一点上使用了两种不同的参数组。
>
> BatchNorm is a rather special regularisation method in computer vision; it computes differently in training and in
> inference, usually as an attribute of the operator decides. Here the two use different groups of parameters.

**Imprecise.** The mode of the layer, `training`, decides in both. What MindSpore adds is an argument that overrules
it. Counted as the page counts PyTorch's four states, MindSpore has six, and not three.

**Do:** think of the mode first and of `use_batch_statistics` second.
"""

# %%
assert len(states.MINDSPORE_STATISTICS) == 6
by_mode = {}
for value in None, True, False:
    start = MINDSPORE._replace(use_batch_statistics=value)
    by_mode[value] = did(start) != did(start, training=False)
assert by_mode == {None: True, True: False, False: False}
table(["use_batch_statistics", "does the mode matter?"],
      [[value, "yes" if matters else "no"] for value, matters in by_mode.items()])

# %% [markdown]
r"""
### PyTorch, training, statistics tracked

> 期望中训练的状态,running_mean 和 running_var 会跟踪整个训练过程中 batch 的统计特性,而每组输入数据用当前 batch 的 mean 和 var 统计特性做归一化,然后再更新 running_mean 和 running_var。
>
> The state expected in training: running_mean and running_var follow the statistics of the batches through the whole
> training; each input is normalised by the mean and var of the current batch, and then both are updated.

**True.** Two things go without saying: what normalises is the biased variance, what is tracked the unbiased one.

**Do:** nothing; MindSpore does the same.
"""

# %%
bn = bnref.torch.BatchNorm1d(4)
bn(x)
biased, unbiased = (0.9 + 0.1 * float(var[0] * factor) for factor in (1, 2))
assert abs(bn.running_var[0] - unbiased) < 1e-7 and did(TORCH)["normalises_by"] == "batch"
table(["running variance", "with the biased one", "with the unbiased one"],
      [[bn.running_var[0], f"{biased:.4f}", f"{unbiased:.4f}"]])

# %% [markdown]
r"""
### PyTorch, training, statistics not tracked

> 每组输入数据会根据当前 batch 的统计特性做归一化,但不会有 running_mean 和 running_var 参数了。
>
> Each input is normalised by the statistics of the current batch, but there are no running_mean and running_var any more.

**Imprecise.** So it is if the layer was built that way. `track_running_stats` can also be set to False later; then
the buffers stay, training leaves them alone, and inference goes on using them.

**Do:** look whether `running_mean` is None, and not at the flag. The second kind becomes `use_batch_statistics=None`
with `momentum=1.0`.
"""

# %%
late = [(f"set later, {'training' if t else 'inference'}", did(TORCH, training=t, flag=False)) for t in (True, False)]
assert [(b["normalises_by"], b["mean"]) for _, b in late] == [("batch", None), ("running", None)]
built = did(TORCH, track_running_stats=False, flag=False)
assert (built["normalises_by"], built["mean"]) == ("batch", None)
compared(("built with False, training", built), *late)

# %% [markdown]
r"""
### PyTorch, inference, statistics tracked

> 期望中推理的状态,BN 使用 running_mean 和 running_var 做归一化,并且不会对其进行更新。
>
> The state expected in inference: BN normalises by running_mean and running_var and does not update them.

**True.** Weight and bias still receive gradients.

**Do:** nothing.
"""

# %%
inference = did(TORCH, training=False)
assert (inference["normalises_by"], inference["mean"], inference["counts"]) == ("running", None, False)
compared(("inference", inference))

# %% [markdown]
r"""
### PyTorch, inference, statistics not tracked

> 效果同第二点,只不过处于推理状态,不会学习 weight 和 bias 两个参数。一般不采用该状态。
>
> The same effect as the second, only in inference, and weight and bias are not learned. Usually this state is not used.

**False.** The mode never decides what is learned: weight and bias receive gradients in all four states.

**Do:** to stop learning, say so: `requires_grad_(False)` in PyTorch, `requires_grad = False` in MindSpore.
"""

# %%
four = [(f"{'training' if t else 'inference'}, {'' if tracked else 'not '}tracked",
         did(TORCH, training=t, track_running_stats=tracked, flag=tracked))
        for t, tracked in itertools.product((True, False), repeat=2)]
assert all(b["learns"] == ["weight", "bias"] for _, b in four)
compared(*four)

# %% [markdown]
r"""
### MindSpore, use_batch_statistics=True

> 期望中训练的状态,moving_mean 和 moving_var 会跟踪整个训练过程中 batch 的统计特性,而每组输入数据用当前 batch 的 mean 和 var 统计特性做归一化,然后再更新 moving_mean 和 moving_var。
>
> The state expected in training: moving_mean and moving_var follow the statistics of the batches through the whole
> training; each input is normalised by the mean and var of the current batch, and then both are updated.

**Imprecise.** It is so in inference too: evaluation data move the statistics. No PyTorch layer does that.

**Do:** use None for training; if you want batch statistics everywhere, add `momentum=1.0`.
"""

# %%
always = [(f"True, {'training' if t else 'inference'}", did(MINDSPORE, training=t, use_batch_statistics=True))
          for t in (True, False)]
assert [(b["normalises_by"], b["mean"]) for _, b in always] == [("batch", "moved")] * 2
compared(*always)

# %% [markdown]
r"""
### MindSpore, use_batch_statistics=False

> 期望中推理的状态,BN 使用 moving_mean 和 moving_var 做归一化,并且不会对其进行更新。
>
> The state expected in inference: BN normalises by moving_mean and moving_var and does not update them.

**True.** In training as well, where gamma and beta go on learning: a frozen batch normalisation. (The page writes
"Fasle".)

**Do:** use it to fine-tune with frozen statistics.
"""

# %%
never = [(f"False, {'training' if t else 'inference'}", did(MINDSPORE, training=t, use_batch_statistics=False))
         for t in (True, False)]
assert [(b["normalises_by"], b["mean"]) for _, b in never] == [("running", None)] * 2
compared(*never)

# %% [markdown]
r"""
### MindSpore, use_batch_statistics=None

> 自动设置 use_batch_statistics。如果是训练,use_batch_statistics=True,如果是推理,use_batch_statistics=False。
>
> Sets use_batch_statistics automatically: True in training, False in inference.

**True.**

**Do:** keep this default.
"""

# %%
chosen = [did(MINDSPORE, training=t) == did(MINDSPORE, training=t, use_batch_statistics=t) for t in (True, False)]
assert chosen == [True, True]
chosen

# %% [markdown]
r"""
### Two redundant states dropped

> 通过比较可以发现,`mindspore.nn.BatchNorm1d`  相比 `torch.nn.BatchNorm1d`,少了两种冗余的状态,仅保留了最常用的训练和推理两种状态。
>
> The comparison shows that `mindspore.nn.BatchNorm1d` lacks two redundant states of `torch.nn.BatchNorm1d` and keeps only
> the two most common ones, training and inference.

**False.** The two states are not redundant, since nothing else normalises by the batch in inference without touching
statistics; and they are not dropped: `use_batch_statistics=True` with `momentum=1.0` does the same in both modes, as
chapter 04 proves for all sequences of calls. What MindSpore adds, PyTorch lacks: tracking in inference, and frozen
statistics in training.

**Do:** port `track_running_stats=False` as `use_batch_statistics=True` with `momentum=1.0`; `bnref.port` does.
"""

# %%
bn = bnref.torch.BatchNorm1d(4, track_running_stats=False)
net = bnref.mindspore.BatchNorm1d(4, use_batch_statistics=True, momentum=1.0)
rng = np.random.default_rng(5)
for training in (True, False, False, True, False):
    bn.train(training), net.set_train(training)
    batch = rng.normal(3.0, 2.0, (6, 4)).astype(np.float32)
    assert np.array_equal(bn(batch), net(batch))
for training in True, False:
    assert did(MINDSPORE, training=training, use_batch_statistics=True, momentum="one")["mean"] == "kept"
print(net.moving_mean, net.moving_variance)

# %% [markdown]
r"""
### The default modes

> 在PyTorch中,网络默认是训练模式,而MindSpore默认是推理模式(`is_training`为False)
>
> In PyTorch a network is in training mode by default, in MindSpore in inference mode (`is_training` is False).

**True.** Only the name is the operator's; the attribute of a network is `training`.

**Do:** set the mode explicitly, before every training and every evaluation, in both.
"""

# %%
start = {name: asked[name]["BatchNorm1d(2).training"] for name in asked}
assert start == {"torch": True, "mindspore": False}
start

# %% [markdown]
r"""
### What set_train is needed for

> 需要通过 `net.set_train()` 方法将网络调整为训练模式,此时才会在训练期间去对参数 `mean` 和 `variance` 进行计算
>
> `net.set_train()` has to put the network into training mode; only then are the parameters `mean` and `variance` computed
> during training.

**Imprecise.** True for None. With True they are updated without it, with False not even with it. And `mean` and
`variance` are their names in a layer on its own; within a network they are `moving_mean` and `moving_variance`.

**Do:** call `net.set_train()`, and expect the long names in a checkpoint.
"""

# %%
updates = {value: [did(MINDSPORE, training=t, use_batch_statistics=value)["mean"] for t in (True, False)]
           for value in (None, True, False)}
assert updates == {None: ["moved", None], True: ["moved", "moved"], False: [None, None]}
table(["use_batch_statistics", "after `set_train()`", "without"],
      [[value, *(effect or "no update" for effect in effects)] for value, effects in updates.items()])

# %% [markdown]
r"""
### Parameters from the checkpoint

> 否则,在推理模式下,参数会尝试从checkpoint去加载。
>
> Otherwise, in inference mode, the parameters are then tried to be loaded from the checkpoint.

**False.** Nothing is loaded unless the program loads it. A fresh layer in inference mode divides by √(1 + eps) and
returns its input almost unchanged, without a warning. (The example in MindSpore's own docstring prints these very
numbers, but for a last digit.)

**Do:** load explicitly, and check what was not: `ms.load_param_into_net(net, parameters) == ([], [])`.
"""

# %%
fresh = bnref.mindspore.BatchNorm1d(4)
assert np.allclose(fresh(x), x, rtol=1e-5) and not fresh.moving_mean.any()
print(fresh(x))

# %% [markdown]
r"""
### The meaning of momentum

> BatchNorm系列算子的momentum参数在MindSpore和PyTorch表示的意义相反,关系为: $momentum_{pytorch} = 1 - momentum_{mindspore}$
>
> The momentum of the operators of the BatchNorm family has opposite meanings in MindSpore and in PyTorch, related so.

**Imprecise.** It is true of the layers `mindspore.nn.BatchNorm1d`, `2d` and `3d`; chapter 02 proves it for any number
of steps. The *operators*, `mindspore.ops.BatchNorm` and `ops.batch_norm`, mean what PyTorch means, which is why the
layer passes `1.0 - momentum` on to them. So does all of `mint`.

**Do:** convert for `nn`; do not convert for `ops` and `mint`.
"""

# %%
handed_on = {m: asked["mindspore"][f"BatchNorm1d(2, momentum={m}).momentum"] for m in ("0.1", "0.3", "0.99", "0", "1")}
assert all(value == 1.0 - float(m) for m, value in handed_on.items())
bn, net = bnref.torch.BatchNorm1d(4, momentum=0.25), bnref.mindspore.BatchNorm1d(4, momentum=0.75).set_train()
for _ in range(10):
    batch = rng.normal(3.0, 2.0, (6, 4)).astype(np.float32)
    bn(batch), net(batch)
assert np.array_equal(bn.running_mean, net.moving_mean) and np.array_equal(bn.running_var, net.moving_variance)
table(["MindSpore's argument", "what the layer passes on"], handed_on.items())

# %% [markdown]
r"""
### The same function, the same usage

> 两API实现功能一致,用法相同。
>
> The two APIs do the same and are used in the same way.

**False.** The page's own example needs `set_train()` and 0.9 in MindSpore, and neither in PyTorch; its differences
two and three say why. Used in the same way, the two give this:

**Do:** change all three of mode, momentum and statistics argument, or let `bnref.port` say what to write.
"""

# %%
rows = []
for label, layer in (("PyTorch", bnref.torch.BatchNorm1d(4, affine=False, momentum=0.1)),
                     ("MindSpore, the same", bnref.mindspore.BatchNorm1d(4, affine=False, momentum=0.1)),
                     ("MindSpore, after `set_train()`",
                      bnref.mindspore.BatchNorm1d(4, affine=False, momentum=0.1).set_train())):
    output = layer(x)
    rows.append([label, output[0], layer.running_mean if layer.framework == "torch" else layer.moving_mean])
assert not np.allclose(rows[1][1], rows[0][1], atol=0.1) and np.allclose(rows[2][2], 9 * rows[0][2])
table(["", "output, first sample", "running mean"], rows)

# %% [markdown]
r"""
### The printed outputs

> `# [[ 0.9995001  0.9980063 -0.998006  -0.9997778]`

**True.** The sixteen numbers are those of the versions that the page names, and right to six digits. The last ones
are rounding errors, which other versions and processors make differently: MindSpore 2.10.0 was seen to print the
same, PyTorch 2.13.0 others.

**Do:** compare with a tolerance, or with the exact value; never with a printout.
"""

# %%
assert max(errors) * Fraction(1, 2**24) < Fraction(1, 10**6)
f"{float(max(errors) * Fraction(1, 2**24)):.1e}"

# %% [markdown]
r"""
### The printed layer

> `gamma=Parameter (name=gamma, shape=(4,), dtype=Float32, requires_grad=False)` …
> `moving_mean=Parameter (name=mean, shape=(4,), dtype=Float32, requires_grad=False)`

**True.** (Today between parentheses, and no longer between angle brackets.) The moving mean of a layer on its own is
named `mean`, its variance `variance`; as a part of a network they are renamed.

**Do:** look for `moving_mean` and `moving_variance` in a checkpoint of a network, for `mean` and `variance` in that
of a single layer.
"""

# %%
names = {part: asked["mindspore"][f"list([(net := BatchNorm1d(2, affine=True)), {part}][0].parameters_dict())"]
         for part in ("0", "net.update_parameters_name('bn1.')")}
net = bnref.mindspore.BatchNorm1d(4, affine=False)
assert all(f"name={name}" in repr(net) for name in names["0"])
table(["a layer on its own", "a part of a network, called bn1"], zip(*names.values()))

# %% [markdown]
r"""
## Sum up the claims

The table is read from the sections above, so it says what they say.
"""

# %%
SECTION = re.compile(r"### (?P<claim>.+)\n\n> .*\n\n\*\*(?P<verdict>True|Imprecise|False)\.\*\*"
                     r".*\n\n\*\*Do:\*\* (?P<do>.+)", re.DOTALL)
cells = read(NOTEBOOKS / "05_pytorch_and_mindspore.py").cells
claims = [SECTION.fullmatch(cell.source) for cell in cells if cell.source.startswith("### ")]
assert all(claims)
table(["claim", "verdict", "what to do"],
      [[claim["claim"], claim["verdict"], " ".join(claim["do"].split())] for claim in claims])

# %%
verdicts = Counter(claim["verdict"] for claim in claims)
assert sum(verdicts.values()) == len(claims) == 29
table(verdicts, [verdicts.values()])

# %% [markdown]
r"""
## Port a layer

`bnref.port` makes the layer of the other framework that does the same under every sequence of calls, in the same mode
and with the statistics carried over:
"""

# %%
bn = bnref.torch.BatchNorm1d(4, momentum=0.01, eps=1e-3)
bn(x)
net = bnref.port.to_mindspore(bn)
assert np.array_equal(net(x), bn(x)) and np.array_equal(net.moving_mean, bn.running_mean) and net.training
bn, bnref.port.to_torch(net)

# %% [markdown]
r"""
Where there is none, it says why, and what comes nearest:
"""

# %%
try:
    bnref.port.to_mindspore(bnref.torch.BatchNorm1d(4, momentum=None))
except bnref.port.NoCounterpart as refusal:
    print(refusal.reason, refusal.recipe, sep="\n")

# %% [markdown]
r"""
All that it refuses, from PyTorch to MindSpore and back:
"""

# %%
def refusal(port, layer):
    try:
        port(layer)
    except bnref.port.NoCounterpart as error:
        return [error.reason, error.recipe]


rows = [refusal(bnref.port.to_mindspore, bnref.torch.BatchNorm1d(**{"num_features": 4} | settings)) for settings in (
    dict(momentum=None), dict(momentum=1.5), dict(momentum=1e-20), dict(eps=1.5), dict(bias=False),
    dict(dtype="float64"), dict(num_features=0))]
rows += [refusal(bnref.port.to_torch, bnref.mindspore.BatchNorm1d(4, **settings)) for settings in (
    dict(use_batch_statistics=True), dict(use_batch_statistics=False), dict(affine=False, gamma_init=2),
    dict(eps=0.0), dict(dtype="float64"))]
assert all(rows) and len(rows) == len(bnref.port.TO_MINDSPORE) + len(bnref.port.TO_TORCH)
table(["why not", "what works"], rows)

# %% [markdown]
r"""
## Convert a momentum

Take the complement of the decimal that was written, as `bnref.port` does, and not of the double: that leaves a tail
in the configuration file, and 0.1 does not come back. (The tail is what MindSpore computes with all the same, and as
a float32 the weight is the one that was meant: chapter 02.)
"""

# %%
rows = []
for text in ("0.1", "0.9", "0.01", "0.003"):
    decimal, binary = float(1 - Decimal(text)), 1.0 - float(text)
    assert decimal == bnref.port.decimal_complement(float(text))
    rows.append([text, decimal, float(1 - Decimal(repr(decimal))), binary, 1.0 - binary])
assert all(str(row[2]) == row[0] for row in rows) and str(rows[0][4]) != "0.1"
table(["m", "`float(1 - Decimal(m))`", "and back", "`1.0 - float(m)`", "and back"], rows)

# %% [markdown]
r"""
## Find a network left in inference mode

A network that was never told to train normalises by zeros and ones. It runs, it even learns something, and no error
is raised. After the first step, ask the mode and see whether a statistic moved:
"""

# %%
def trains(net, batch):
    before = net.moving_mean.copy()         # in MindSpore: net.bn1.moving_mean.asnumpy()
    net(batch)
    return net.training and not np.array_equal(net.moving_mean, before)


found = trains(bnref.mindspore.BatchNorm1d(4).set_train(), x), trains(bnref.mindspore.BatchNorm1d(4), x)
assert found == (True, False)
found

# %% [markdown]
r"""
## Stop statistics that drift in evaluation

With `use_batch_statistics=True`, five batches of other data move the statistics of a layer that is in inference mode.
With None they stay; with True and `momentum=1.0` they stay too, and the outputs are those of True:
"""

# %%
rows, outputs = [], []
for settings in dict(use_batch_statistics=True), dict(), dict(use_batch_statistics=True, momentum=1.0):
    net = bnref.mindspore.BatchNorm1d(4, **settings)
    for other in np.random.default_rng(6).normal(7.0, 1.0, (5, 8, 4)).astype(np.float32):
        output = net(other)
    outputs.append(output)
    rows.append([", ".join(f"{name}={value}" for name, value in settings.items()) or "default", net.moving_mean])
assert np.array_equal(outputs[0], outputs[2]) and rows[0][1].min() > 2 and not rows[1][1].any() and not rows[2][1].any()
table(["layer, in inference mode", "moving mean after five batches"], rows)

# %% [markdown]
r"""
## Fine-tune with frozen statistics

In PyTorch, put the batch normalisations into `eval()`, again after every `model.train()`, which undoes it:

```python
model.train()
for module in model.modules():
    if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)):
        module.eval()
```

In MindSpore, build them with `use_batch_statistics=False`; `set_train()` cannot undo that. The parameters learn in both
(the records above), and the outputs are the same:
"""

# %%
pretrained = dict(running_mean=np.array([0.5, 0.25, 1.0, 2.0], np.float32), running_var=np.full(4, 3.0, np.float32))
bn = bnref.torch.BatchNorm1d(4)
for name, array in pretrained.items():
    getattr(bn, name)[...] = array
net = bnref.mindspore.BatchNorm1d(4, use_batch_statistics=False, moving_mean_init=pretrained["running_mean"],
                                  moving_var_init=pretrained["running_var"])
bn.train(), net.set_train()
bn.eval()                       # after train(), each time
for batch in np.random.default_rng(7).normal(7.0, 1.0, (5, 8, 4)).astype(np.float32):
    assert np.array_equal(bn(batch), net(batch))
assert np.array_equal(bn.running_mean, pretrained["running_mean"]) and np.array_equal(bn.running_mean, net.moving_mean)
net.moving_mean

# %% [markdown]
r"""
## Carry a checkpoint across

A small made-up network in PyTorch's keys: convolution, two batch normalisations (the second without affine), one
`BatchNorm3d`, a classifier.
"""

# %%
rng = np.random.default_rng(8)


def weights(*shape):
    return rng.normal(0.0, 1.0, shape).astype(np.float32)


def batch_norm(prefix, channels, affine=True):
    learned = {f"{prefix}.weight": weights(channels), f"{prefix}.bias": weights(channels)} if affine else {}
    return learned | {f"{prefix}.running_mean": weights(channels), f"{prefix}.running_var": weights(channels) ** 2,
                      f"{prefix}.num_batches_tracked": np.array(1200)}


network = ({"conv1.weight": weights(8, 3, 3, 3)} | batch_norm("bn1", 8) | {"conv2.weight": weights(4, 8, 1, 1)}
           | batch_norm("bn2", 4, affine=False) | batch_norm("video.norm", 4)
           | {"fc.weight": weights(5, 4), "fc.bias": weights(5)})
len(network)

# %% [markdown]
r"""
PyTorch's keys do not tell a `BatchNorm3d`, so it is named; MindSpore keeps its arrays one level deeper.
"""

# %%
there = bnref.port.checkpoint_to_mindspore(network, batch_norm_3d=["video.norm"])
origin = {there.renamed.get(key, key): key for key in network}
table(["PyTorch", "MindSpore"], [[origin.get(key, "(invented)"), key] for key in there]
      + [[key, "(dropped)"] for key in there.dropped])

# %% [markdown]
r"""
`num_batches_tracked` is dropped: only `momentum=None` reads it, which has no counterpart. A gamma of ones and a beta
of zeros are invented, since MindSpore's layer has them even without affine. Everything else keeps its key, which
suits convolutions and dense layers; a `LayerNorm` or an `Embedding` has other names in MindSpore, a `Conv1d` another
shape, and those are yours. On the way back the inventions go, and the counts begin at 0:
"""

# %%
back = bnref.port.checkpoint_to_torch(there)
counts = [key for key in network if key.endswith("num_batches_tracked")]
assert list(back) == list(network) and all(back[key] is network[key] for key in network if key not in counts)
assert list(back.invented) == counts == list(there.dropped) and not any(back[key] for key in counts)
counts

# %% [markdown]
r"""
That memory belongs to the object. Read from a file, MindSpore's checkpoint does not tell that `bn2` is a layer
without affine, so it gets a weight and a bias; PyTorch reports them as unexpected, and if they are ones and zeros you
may drop them. A group that is incomplete is refused by name:
"""

# %%
try:
    bnref.port.checkpoint_to_mindspore({key: array for key, array in network.items() if key != "bn1.running_var"})
except ValueError as error:
    print(error)

# %% [markdown]
r"""
## Read and write the files

These functions take a dictionary and import no framework. Between the two stands a file; `.npz` needs NumPy alone:

```python
# where PyTorch is
np.savez("model.npz", **{key: tensor.numpy() for key, tensor in model.state_dict().items()})

# where MindSpore is
with np.load("model.npz", allow_pickle=False) as file:
    there = bnref.port.checkpoint_to_mindspore({key: file[key] for key in file.files})
parameters = {key: ms.Parameter(ms.Tensor(array), name=key) for key, array in there.items()}
assert ms.load_param_into_net(net, parameters) == ([], [])
```

and on the way back:

```python
np.savez("model.npz", **{key: parameter.asnumpy() for key, parameter in net.parameters_dict().items()})

with np.load("model.npz", allow_pickle=False) as file:
    back = bnref.port.checkpoint_to_torch({key: file[key] for key in file.files})
model.load_state_dict({key: torch.from_numpy(array) for key, array in back.items()})
```

The assertion matters: MindSpore skips a key that matches nothing, and returns its name. The same file, in memory:
"""

# %%
file = io.BytesIO()
np.savez(file, **network)
file.seek(0)
with np.load(file, allow_pickle=False) as archive:
    loaded = {key: archive[key] for key in archive.files}
assert list(loaded) == list(network)
assert all(loaded[key].dtype == network[key].dtype and np.array_equal(loaded[key], network[key]) for key in network)
same = bnref.port.checkpoint_to_mindspore(loaded, batch_norm_3d=["video.norm"])
assert list(same) == list(there)
len(loaded), len(same)

# %% [markdown]
r"""
`.npz` has no bfloat16: cast to float32 first (`tensor.float()`).

Hugging Face's `.safetensors` is as plain: eight bytes with the length of a header (little-endian), the header in JSON
with each array's dtype, shape and place, and then the raw numbers. Its library `safetensors` reads and writes the
same dictionaries, and MindSpore reads the result with `ms.load_checkpoint(path, format="safetensors")`:

```python
from safetensors.numpy import load_file, save_file

there = bnref.port.checkpoint_to_mindspore(load_file("model.safetensors"))
save_file(there, "model_mindspore.safetensors")
```

## Leave the pickle

PyTorch's `.pt` and `.pth` files hold a pickle, and so does an `.npz` with an array of objects. A pickle is a program
for a small machine that may call any function: loading it runs what its author, or whoever changed it, put in. So
load such a file once, with `torch.load(path, weights_only=True)`, and pass the numbers on in a format that is only
numbers. With `allow_pickle=False` NumPy refuses the rest:
"""

# %%
file = io.BytesIO()
np.savez(file, weights=np.array([print], dtype=object))
file.seek(0)
try:
    with np.load(file, allow_pickle=False) as archive:
        archive["weights"]
except ValueError as error:
    print(error)
