# %% [markdown]
r"""
# Track the running statistics

> PyTorch's momentum is one minus MindSpore's, exactly so on paper after any number of steps, and almost so in binary.

**Proves** the factor n / (n - 1); momentum_pytorch = 1 - momentum_mindspore for one step and for k; the cumulative average. **Exports** `update_running_statistics`, `complement`, `cumulative_momentum`. **Checked by** `tests/test_equations.py` and `tests/test_functional.py`.
"""

# %% tags=["export"]
import sympy as sp

from tools.derive import Equation, Program, as_written, channels, evaluated, i, j, n, scalars
from tools.sums import linear, peel

# %% [markdown]
r"""
Training normalises by the batch; inference has no batch worth the name, so the layer keeps a running mean and a running
variance, each an average of what the batches showed. Every step moves them a little towards the newest observation.
"""

# %% tags=["export"]
running_mean, mean, new_running_mean = channels("running_mean mean new_running_mean")
running_var, var, unbiased_var, new_running_var = channels("running_var var unbiased_var new_running_var")
momentum = scalars("momentum")

# %% [markdown]
r"""
## Correct the variance

Let the values of a channel be drawn independently with mean $\mu$ and variance $\sigma^2$. Then the expectation of
$x_i x_j$ is $\mu^2$, and $\sigma^2$ more where $i = j$:
"""

# %%
mu, sigma = sp.symbols("mu sigma", positive=True)
expected_product = mu**2 + sigma**2 * sp.KroneckerDelta(i, j)
expected_product

# %% [markdown]
r"""
The batch variance is the mean square less the squared mean (chapter 01), so its expectation needs these products
alone: those with $i = j$ for the first part, all of them for the second.
"""

# %%
mean_square = linear(sp.Sum(expected_product.subs(j, i), (i, 1, n))) / n
squared_mean = linear(sp.Sum(expected_product, (j, 1, n), (i, 1, n))) / n**2
expected_var = sp.factor(mean_square - squared_mean)
expected_var

# %% [markdown]
r"""
On the average the batch variance is too small, because the mean was fitted to the same values. Which factor mends it?
"""

# %%
factor = sp.Symbol("c")
correction, = sp.solve(factor * expected_var - sigma**2, factor)
assert correction == n / (n - 1)
correction

# %% [markdown]
r"""
Both frameworks put this *unbiased* variance into the running variance, while they normalise by the biased one. (That
`running_var` is not `numpy.var` surprises somebody every year; in NumPy's words it has `correction=1`.)
"""

# %% tags=["export"]
with as_written():
    unbiased_is = Equation(unbiased_var, var * n / (n - 1))
unbiased_is

# %% [markdown]
r"""
One value has no unbiased variance: for n = 1 the factor divides by zero. PyTorch's layer refuses such a batch;
MindSpore's running variance becomes NaN, and so does that of `bnref.batch_norm` (chapter 01, special cases).

## Update

A running statistic becomes a weighted mean of what it was and what was observed. In PyTorch the momentum is the weight
of the new observation:
"""

# %% tags=["export"]
with as_written():
    mean_update = Equation(new_running_mean, (1 - momentum) * running_mean + momentum * mean)
mean_update

# %% tags=["export"]
with as_written():
    var_update = Equation(new_running_var, (1 - momentum) * running_var + momentum * unbiased_var)
var_update

# %% tags=["export"]
update_running_statistics = Program(
    "update_running_statistics", [running_mean, running_var, mean, var, n, momentum],
    [unbiased_is, mean_update, var_update], [new_running_mean, new_running_var],
    summary="Move the running statistics towards those of a batch of n values.",
    section='02_running_statistics, "Update"',
    notes="""
`momentum` is the weight of the new observation, as in PyTorch; `var` is the biased variance.

Special cases: n = 1 is 0 / 0, since one value has no unbiased variance; the caller decides.
""")
update_running_statistics

# %% [markdown]
r"""
Run on symbols it gives the equations back (both should be zero):
"""

# %%
differences = [sp.simplify(computed - derived) for computed, derived
               in zip(update_running_statistics.on_symbols(), update_running_statistics.derived)]
assert differences == [0, 0]
differences

# %% [markdown]
r"""
## Convert the momentum

In MindSpore the momentum is the weight of the old value. Write $r$ for a running statistic and $o$ for what the batch
showed; then one step is, in PyTorch's convention,
"""

# %% tags=["export"]
momentum_pytorch, momentum_mindspore = scalars("momentum_pytorch momentum_mindspore")
r, o = sp.symbols("r o", real=True)


def step_pytorch(r, o):
    """The update above, with these values."""
    return evaluated(mean_update.rhs).subs({running_mean: r, mean: o, momentum: momentum_pytorch}, simultaneous=True)


step_pytorch(r, o)

# %% [markdown]
r"""
and in MindSpore's
"""

# %% tags=["export"]
def step_mindspore(r, o):
    return momentum_mindspore * r + (1 - momentum_mindspore) * o


step_mindspore(r, o)

# %% [markdown]
r"""
They agree for every $r$ and $o$ when
"""

# %% tags=["export"]
solution, = sp.solve(sp.expand(step_pytorch(r, o) - step_mindspore(r, o)), momentum_pytorch)
sp.Eq(momentum_pytorch, solution)

# %% [markdown]
r"""
One less the other, then; and with that in place the difference of the two steps is (should be zero)
"""

# %%
assert sp.expand(solution - (1 - momentum_mindspore)) == 0
one_step = sp.simplify((step_pytorch(r, o) - step_mindspore(r, o)).subs(momentum_pytorch, solution))
assert one_step == 0
one_step

# %% [markdown]
r"""
The way back is the same formula, so one function serves both directions:
"""

# %% tags=["export"]
complement = Program(
    "complement", [momentum], [Equation(scalars("converted"), solution.subs(momentum_mindspore, momentum))],
    [scalars("converted")],
    summary="Convert a momentum between PyTorch's convention and MindSpore's.",
    section='02_running_statistics, "Convert the momentum"')
complement

# %%
back = sp.simplify(complement(complement(momentum, xp=None), xp=None) - momentum)
assert back == 0
back

# %% [markdown]
r"""
## Follow k steps

One step agrees; does the agreement last? Let $o_1, o_2, \dots$ be the observations and $r_0$ the start. The claim: after
$k$ steps of PyTorch's rule the running statistic is
"""

# %%
k = sp.Symbol("k", integer=True, nonnegative=True)
t = sp.Symbol("t", integer=True)
r_0 = sp.Symbol("r_0", real=True)
observed = sp.IndexedBase("o", real=True)


def after_pytorch(k):
    m = momentum_pytorch
    return (1 - m) ** k * r_0 + m * sp.Sum((1 - m) ** (k - t) * observed[t], (t, 1, k))


after_pytorch(k)

# %% [markdown]
r"""
By induction. Before the first step it is the start (should be zero):
"""

# %%
base = (after_pytorch(0) - r_0).doit()
assert base == 0
base

# %% [markdown]
r"""
And a step from $k$ leads to $k + 1$; `peel` takes the last term off a sum (should be zero):
"""

# %%
induction = sp.simplify(linear(step_pytorch(after_pytorch(k), observed[k + 1]) - peel(after_pytorch(k + 1))))
assert induction == 0
induction

# %% [markdown]
r"""
The same for MindSpore, start and step (both should be zero):
"""

# %%
def after_mindspore(k):
    m = momentum_mindspore
    return m**k * r_0 + (1 - m) * sp.Sum(m ** (k - t) * observed[t], (t, 1, k))


base = (after_mindspore(0) - r_0).doit()
induction = sp.simplify(linear(step_mindspore(after_mindspore(k), observed[k + 1]) - peel(after_mindspore(k + 1))))
assert (base, induction) == (0, 0)
base, induction

# %% [markdown]
r"""
So the momentum identity holds after any number of steps, for every start and all observations (should be zero):
"""

# %%
identity = sp.simplify(after_pytorch(k).subs(momentum_pytorch, solution) - after_mindspore(k))
assert identity == 0
identity

# %% [markdown]
r"""
The weights of start and observations add up to one at every $k$: put one for each of them, and a step keeps it (should
be zero).
"""

# %%
kept = sp.simplify(step_pytorch(1, 1) - 1)
assert kept == 0
kept

# %% [markdown]
r"""
## Average all batches alike

With `momentum=None` PyTorch gives every batch the same weight. Let $A$ be the plain average of the first $k$
observations. The average of $k + 1$ is $(k A + o) / (k + 1)$; which momentum makes a step of it?
"""

# %% tags=["export"]
steps = sp.Symbol("k", integer=True, nonnegative=True)
average = sp.Symbol("A", real=True)
weight, = sp.solve(step_pytorch(average, o) - (steps * average + o) / (steps + 1), momentum_pytorch)
weight

# %% [markdown]
r"""
One over the number of batches, the new one included; that is what `num_batches_tracked` counts. The first batch has
weight 1, so the start is forgotten at once.
"""

# %% tags=["export"]
num_batches_tracked = scalars("num_batches_tracked", positive=True)
cumulative_momentum = Program(
    "cumulative_momentum", [num_batches_tracked],
    [Equation(momentum, sp.simplify(weight.subs(steps, num_batches_tracked - 1)))], [momentum],
    summary="The momentum that makes the running statistics a plain average of all batches.",
    section='02_running_statistics, "Average all batches alike"',
    notes="""
`num_batches_tracked` includes the batch that is being added, so the first batch has momentum 1.
Source: `torch.nn.BatchNorm1d` with ``momentum=None``.
""")
cumulative_momentum

# %% [markdown]
r"""
Three observations in exact rationals; the last line is their plain mean:
"""

# %%
from fractions import Fraction

from tools.show import GREEN, INK, PURPLE, QUIET, curve, figure, label, show, table

running, rows = Fraction(0), []
for count, seen in enumerate([Fraction(3), Fraction(5), Fraction(1)], 1):
    m = cumulative_momentum(Fraction(count), xp=None)
    running, _ = update_running_statistics(running, 1, seen, 1, 2, m, xp=None)
    rows.append([count, m, seen, running])
assert running == Fraction(3 + 5 + 1, 3)
table(["batch", "momentum", "observed", "running"], rows)

# %% [markdown]
r"""
## Watch the two conventions

The same sixty batch means, around 2. PyTorch with 0.1 and MindSpore with 0.9 are one curve, which converges; the
cumulative average, `momentum=None`, is steadier with every batch. A momentum that is carried over unconverted follows
the noise.
"""

# %%
import numpy as np

batches = np.random.default_rng(2).normal(2.0, 0.5, 60)


def track(weight_of_step):
    values = [0.0]
    for number, seen in enumerate(batches, 1):
        value, _ = update_running_statistics(values[-1], 1.0, float(seen), 1.0, 2, weight_of_step(number), xp=None)
        values.append(value)
    return values


curves = {
    "PyTorch, momentum=0.1": track(lambda number: 0.1),
    "MindSpore, momentum=0.9": track(lambda number: complement(0.9, xp=None)),
    "PyTorch, momentum=None": track(lambda number: cumulative_momentum(float(number), xp=None)),
    "PyTorch, momentum=0.9 by mistake": track(lambda number: 0.9),
}


def running_means(title):
    """Axes with the batch means, for curves to be drawn on."""
    fig, axes = figure()
    axes.plot(range(1, 61), batches, ".", color=QUIET, alpha=0.7)
    axes.set(title=title, xlabel="step", ylabel="running mean", xlim=(0, 60), ylim=(0, 3.6))
    return fig, axes


fig, axes = running_means("Two conventions, one curve")
curve(axes, "PyTorch", range(61), curves["PyTorch, momentum=0.1"], linewidth=5, marker="", alpha=0.4)
curve(axes, "MindSpore", range(61), curves["MindSpore, momentum=0.9"], marker="", color=INK)
label(axes, 13, 0.62, "PyTorch, momentum=0.1 (wide)\nMindSpore, momentum=0.9 (dashed)")
label(axes, 30, 3.3, "dots: batch means", color=QUIET)
show(fig, """Running means over sixty steps, starting at 0, among the dots of the batch means. The wide curve of PyTorch with
momentum 0.1 and the dashed one of MindSpore with momentum 0.9 lie on top of each other and approach 2 within thirty
steps.""")

fig, axes = running_means("Other weights")
axes.plot(curves["PyTorch, momentum=0.9 by mistake"], ":", color=PURPLE)
axes.plot(curves["PyTorch, momentum=None"], "-.", color=GREEN, linewidth=2.4)
label(axes, 10, 0.72, "dotted: PyTorch, momentum=0.9,\ntaken from MindSpore by mistake")
label(axes, 10, 0.28, "dot-dashed: PyTorch, momentum=None")
show(fig, """The same batch means. The cumulative average, dot-dashed, jumps to the first batch mean and stays near 2, steadier at
every step. PyTorch with momentum 0.9, dotted, runs from one batch mean to the next and does not settle.""")

# %% [markdown]
r"""
On top of each other to the eye; the largest difference between the first two curves is not zero, though:
"""

# %%
gap = max(abs(p - m) for p, m in zip(curves["PyTorch, momentum=0.1"], curves["MindSpore, momentum=0.9"]))
assert gap > 0
print(f"{gap:.1e}")

# %% [markdown]
r"""
## Mind the binary

The decimal 0.9 is no double, and neither is 0.1. MindSpore's layer stores `1.0 - momentum`:
"""

# %%
complement(0.9, xp=None), 0.1

# %% [markdown]
r"""
Is that the subtraction's fault? A float is an exact rational, so one can ask. The subtraction made no error at all:
"""

# %%
assert Fraction(1.0 - 0.9) == 1 - Fraction(0.9)
Fraction(1.0 - 0.9) - (1 - Fraction(0.9))

# %% [markdown]
r"""
The error was made when 0.9 was written down. In general: a double $m$ in $[1/2, 1]$ is a multiple of $2^{-53}$, so
$1 - m$ is one too, and at most $1/2$; such a number needs at most 52 bits and is a double. (Sterbenz's lemma: the
difference of two floats within a factor of two of each other is exact.) A thousand random momenta in $[1/2, 1]$, as
doubles and as float32, subtracted inexactly:
"""

# %%
draws = np.random.default_rng(3).integers(2**52, 2**53, 1000, endpoint=True)
doubles = [float(draw) / 2.0**53 for draw in draws]
singles = [np.float32(draw >> 29) / np.float32(2.0**24) for draw in draws]


def inexact(momenta):
    one = type(momenta[0])(1)
    return sum(Fraction(float(one - m)) != 1 - Fraction(float(m)) for m in momenta)


assert (inexact(doubles), inexact(singles)) == (0, 0)
inexact(doubles), inexact(singles)

# %% [markdown]
r"""
Below 1/2 that is not so: a double there can be finer than any double near 1. The double 0.1 is no multiple of
$2^{-53}$, and $1 - m$ always is one for $m$ in $[1/2, 1]$: so no MindSpore momentum gives exactly PyTorch's 0.1.
"""

# %%
assert (Fraction(0.1) * 2**53).denominator > 1
Fraction(0.1) * 2**53

# %% [markdown]
r"""
What the common momenta become. *Decimal* is the weight that was meant, *double* the one that a subtraction in double
gives; then that weight as a float32, against the subtraction done in float32:
"""

# %%
rows = []
for text in ("0.5", "0.75", "0.9", "0.95", "0.99", "0.997", "0.999", "0.1"):
    meant, weight_64 = complement(Fraction(text), xp=None), complement(float(text), xp=None)
    weight_32 = np.float32(1) - np.float32(text)
    rows.append([text, f"{float(meant):g}", repr(weight_64), "yes" if weight_64 == float(meant) else "no",
                 str(np.float32(weight_64)), "yes" if np.float32(weight_64) == np.float32(float(meant)) else "no",
                 str(weight_32)])
table(["MindSpore momentum", "decimal", "double", "same as the decimal's?", "as float32", "same as the decimal's?",
       "subtracted in float32"], rows)

# %% [markdown]
r"""
Subtracted in double and then rounded to float32, the weight is the one that was meant; subtracted in float32 it is not.

How much does a slightly different weight $m'$ matter? One step apart, from $r$ and $r'$ (should be zero):
"""

# %%
m, m_, r_ = sp.symbols("m m' r'", real=True)
apart = ((1 - m) * r + m * o) - ((1 - m_) * r_ + m_ * o)
claim = (1 - m) * (r - r_) + (m - m_) * (o - r_)
assert sp.expand(apart - claim) == 0
sp.expand(apart - claim)

# %% [markdown]
r"""
So the distance shrinks by $1 - m$ at each step and grows by $|m - m'|$ times the distance of the observation from the
running value. If that distance is at most $D$, a geometric series bounds the whole, for $0 < m \le 1$ and all $k$:

$$|r_k - r'_k| \;\le\; \frac{|m - m'|}{m}\, D .$$

For 0.1 against 1 - 0.9 the factor is tiny, and the gap measured above obeys it once the roundings of sixty steps
are added, each at most half an ulp:
"""

# %%
factor = abs(Fraction(0.1) - Fraction(1.0 - 0.9)) / Fraction(0.1)
largest = Fraction(max(batches)) + 1
assert Fraction(gap) <= factor * largest + 120 * Fraction(1, 2**52)
print(f"{float(factor):.3e}")
