# %% [markdown]
r"""
# Normalise a batch

> Every output of batch normalisation is a rational number plus a rational multiple of one square root.

**Proves** the moments of the output, and that all outputs lie in Q(√W). **Exports** `batch_statistics`, `normalize`. **Checked by** `tests/test_equations.py` and `tests/test_functional.py`.
"""

# %% tags=["export"]
import sympy as sp

from tools.derive import Equation, Program, as_written, batch, batch_sum, channels, evaluated, i, n, scalars
from tools.sums import linear

# %% [markdown]
r"""
Batch normalisation treats each channel on its own. Take one channel, and let $x_1, \dots, x_n$ be its values in the
batch: $n$ counts samples, and positions too where there are any. Nothing below fixes $n$.

Words name what has one value in a channel; $x$, $\hat x$ and $y$ have $n$.
"""

# %% tags=["export"]
x, xhat, y = batch("x"), batch("xhat"), batch("y")
mean, weight, bias = channels("mean weight bias")
var, W, rstd = channels("var W rstd", positive=True)
eps = scalars("eps")

# %% [markdown]
r"""
## Gather the statistics

The batch mean:
"""

# %% tags=["export"]
with as_written():
    mean_is = Equation(mean, batch_sum(x[i]) / n)
mean_is

# %% [markdown]
r"""
The batch variance is the *biased* one, divided by $n$. (The running variance takes the unbiased one: chapter 02.)
"""

# %% tags=["export"]
with as_written():
    var_is = Equation(var, batch_sum((x[i] - mean) ** 2) / n)
var_is

# %% [markdown]
r"""
Deviations from the mean add up to nothing. `linear` splits a sum of unknown length, and the definition of the mean
says what remains:
"""

# %%
total = batch_sum(x[i])
deviations = linear(batch_sum(x[i] - mean)).subs(total, n * mean)
assert deviations == 0
deviations

# %% [markdown]
r"""
So the variance is also the mean of the squares less the square of the mean, which one pass over the data gives. The
difference of the two formulas (should be zero):
"""

# %%
one_pass = batch_sum(x[i] ** 2) / n - mean**2
difference = sp.expand(linear(evaluated(var_is.rhs)).subs(total, n * mean) - one_pass)
assert difference == 0
difference

# %% [markdown]
r"""
They are the same number, and not the same computation: in floating point the one-pass formula cancels
catastrophically when the mean is large beside the standard deviation (chapter 06). What is exported is the definition.
"""

# %% tags=["export"]
batch_statistics = Program(
    "batch_statistics", [x], [mean_is, var_is], [mean, var],
    summary="Batch mean and biased batch variance of each channel.",
    section='01_forward, "Gather the statistics"',
    notes="""
Special cases: for n = 0 both are 0 / 0, NaN in floats; for n = 1 var is 0.
""")
batch_statistics

# %% [markdown]
r"""
## Normalise

A small number is added to the variance, lest a constant channel divide by zero:
"""

# %% tags=["export"]
with as_written():
    W_is = Equation(W, var + eps)
W_is

# %% [markdown]
r"""
The reciprocal standard deviation:
"""

# %% tags=["export"]
with as_written():
    rstd_is = Equation(rstd, 1 / sp.sqrt(W))
rstd_is

# %% [markdown]
r"""
The normalised values, and then each channel's own scale and shift, which are learned:
"""

# %% tags=["export"]
with as_written():
    xhat_is = Equation(xhat[i], (x[i] - mean) * rstd)
xhat_is

# %% tags=["export"]
with as_written():
    y_is = Equation(y[i], weight * xhat[i] + bias)
y_is

# %% [markdown]
r"""
In training, mean and variance are those of the batch; in inference they are running statistics (chapter 02). The
program is the same, so it takes them as inputs. One assignment for each equation above, in the same order:
"""

# %% tags=["export"]
normalize = Program(
    "normalize", [x, mean, var, weight, bias, eps], [W_is, rstd_is, xhat_is, y_is], [y],
    summary="Normalise, scale and shift each channel.",
    section='01_forward, "Normalise"',
    notes="""
Special cases: W < 0 gives NaN; for W = 0 rstd is infinite, so y is infinite where x differs from mean and NaN where
it does not.
""")
normalize

# %% [markdown]
r"""
The source is text, and text can be wrong. Run on symbols, it must give the equation back. First what the program
computes, then its difference from the derivation (should be zero):
"""

# %%
computed, = normalize.on_symbols()
computed

# %%
derived, = normalize.derived
assert sp.simplify(computed - derived) == 0
computed - derived

# %% [markdown]
r"""
## Find the moments of the output

With batch statistics the mean of the output is the bias, whatever the data were. The difference (should be zero):
"""

# %%
output = weight * (x[i] - mean) / sp.sqrt(W) + bias
mean_of_output = linear(batch_sum(output) / n).subs(total, n * mean)
assert sp.simplify(mean_of_output - bias) == 0
sp.simplify(mean_of_output - bias)

# %% [markdown]
r"""
Its variance is not quite the square of the weight: it falls short by the factor var / W, since eps was added. Here
the sum of squares is written through the variance, by the one-pass formula:
"""

# %%
squares = batch_sum(x[i] ** 2)
var_of_output = linear(batch_sum((output - bias) ** 2) / n).subs(total, n * mean).subs(squares, n * (var + mean**2))
var_of_output = sp.simplify(var_of_output)
var_of_output

# %%
assert sp.simplify(var_of_output - weight**2 * var / W) == 0
sp.simplify(var_of_output - weight**2 * var / W)

# %% [markdown]
r"""
So a channel whose variance is far above eps leaves with standard deviation |weight|, and one far below is damped
towards its bias. Half of the variance is lost where var = eps.
"""

# %%
import math

import numpy as np

from tools.show import BLUE, INK, QUIET, figure, label, show, table

values = np.random.default_rng(1).normal(6.0, 2.0, 30)
center = values.sum() / 30
spread = ((values - center) ** 2).sum() / 30
rows = {"x": values, "x̂, eps = 0": (values - center) / math.sqrt(spread),
        "x̂, eps = var": (values - center) / math.sqrt(spread + spread),
        "x̂, eps = 15 var": (values - center) / math.sqrt(spread + 15 * spread)}
fig, axes = figure()
for height, (name, points) in zip((3, 2, 1, 0), rows.items()):
    middle = points.sum() / 30
    away = math.sqrt(((points - middle) ** 2).sum() / 30)
    axes.plot([middle - away, middle + away], [height - 0.27] * 2, color=INK, marker="|", linewidth=1.5)
    axes.plot(points, [height] * 30, "o", color=QUIET if name == "x" else BLUE, alpha=0.6)
    label(axes, max(points) + 0.4, height, name)
axes.set(title="A batch, and what W makes of it", yticks=[], ylim=(-0.6, 3.5), xlim=(-2.6, 10), xlabel="value")
show(fig, """Thirty values x around 6 with standard deviation 2, and below them the same values normalised, in three rows, all
around 0: with eps = 0 their standard deviation, drawn as a bar, is 1; with eps = var it is 0.71; with eps = 15 var it is
1/4. The order and the relative distances of the values are the same in every row.""")

powers = range(-5, 6)
fig, axes = figure()
axes.plot(powers, [math.sqrt(4.0**k / (4.0**k + 1.0)) for k in powers], "o-", color=BLUE)
axes.axhline(1, color=QUIET, linewidth=1)
label(axes, -5, 1.045, "all of it: |weight|", color=QUIET)
label(axes, 0.4, math.sqrt(0.5) - 0.02, "var = eps: half of\nthe variance is lost", va="top")
axes.set(title="Standard deviation of x̂", xlabel="var / eps", xticks=powers[::2], ylim=(0, 1.12),
         xticklabels=["1/1024", "1/64", "1/4", "4", "64", "1024"])
show(fig, """Standard deviation of the normalised values against var over eps; it rises from 0.03 at 1/1024 through 0.45
at 1/4, 0.71 where var = eps, and 0.89 at 4 to 1, its limit.""")

# %% [markdown]
r"""
## See that one square root is enough

Floats are rational numbers. Sums, products and quotients of rationals are rational, so mean, var and W are rational;
the only irrational step is the square root of W. Every output is therefore $a + b\sqrt W$ with rational $a$ and $b$:
"""

# %%
root = sp.sqrt(W)
a, b = bias, weight * (x[i] - mean) / W
sp.Eq(y[i], a + b * root, evaluate=False)

# %%
assert sp.simplify(a + b * root - output) == 0
sp.simplify(a + b * root - output)

# %% [markdown]
r"""
Such numbers form a field, called $\mathbb{Q}(\sqrt W)$: sums and products stay in it, and so do quotients, because
multiplying by the conjugate makes the denominator rational. So whatever else is computed from a batch in this book,
gradients included, stays in it too (should be zero):
"""

# %%
p, q, r, s = sp.symbols("p q r s", rational=True)
quotient = ((p * r - q * s * W) + (q * r - p * s) * root) / (r**2 - s**2 * W)
assert sp.simplify((p + q * root) / (r + s * root) - quotient) == 0
sp.simplify((p + q * root) / (r + s * root) - quotient)

# %% [markdown]
r"""
That is why an exact answer exists and can be rounded correctly: to decide on which side of a number $c$ the value
$a + b\sqrt W$ lies, compare $b^2 W$ with $(c - a)^2$, which are rational (chapter 06).

## Work an example by hand

Choose eps so that W is the square of a rational; then every number on the page is one. Take the values 1, 2, 3, 6 and
eps = 1/2. The programs printed above run on exact rationals as they stand:
"""

# %%
from fractions import Fraction

from bnref.arithmetic import arrays

values = arrays.rationals([[1], [2], [3], [6]])
batch_mean, batch_var = batch_statistics(values, xp=arrays)
half = Fraction(1, 2)
outputs = normalize(values, batch_mean, batch_var, 1, 0, half, xp=arrays)
table(["mean", "var", "W", "y"],
      [[batch_mean[0], batch_var[0], batch_var[0] + half, ", ".join(map(str, outputs.ravel()))]])

# %%
assert batch_var[0] + half == 2**2
assert [str(v) for v in outputs.ravel()] == ["-1", "-1/2", "0", "3/2"]

# %% [markdown]
r"""
The mean of these outputs is 0 and their variance var / W = 7/8, as the moments said:
"""

# %%
output_mean, output_var = batch_statistics(outputs, xp=arrays)
assert (output_mean[0], output_var[0]) == (0, batch_var[0] / 4)
table(["mean of y", "variance of y"], [[output_mean[0], output_var[0]]])

# %% [markdown]
r"""
Where W is no such square, rationals do not suffice, and the number system says so:
"""

# %%
try:
    normalize(values, batch_mean, batch_var, 1, 0, 0, xp=arrays)
except ValueError as error:
    print(str(error).replace("  ", "\n"))

# %% [markdown]
r"""
## Special cases

The formulas leave a few cases open; this table closes them. It is what `bnref.batch_norm` does, in training unless the
row says inference, with momentum 1/10, running mean 0, running variance 1, weight 2 and bias 3.
"""

# %%
import bnref


def case(name, values, why, eps=0.25, training=True, running_var=1.0):
    values = np.array(values, dtype=float).reshape(len(values), 1)
    result = bnref.batch_norm(values, np.array([0.0]), np.array([running_var]), np.array([2.0]), np.array([3.0]),
                              training=training, momentum=0.1, eps=eps)
    cells = [", ".join(f"{v:g}" for v in array.ravel()) or "empty" if array is not None else "–" for array in result]
    return [name, *cells, why]


rows = [
    case("n = 0", [], "nothing was observed: statistics stay"),
    case("n = 1", [5.0], "y = bias; one value has no unbiased variance"),
    case("constant channel", [5.0, 5.0], "y = bias, exactly"),
    case("W = 0 (constant, eps = 0)", [5.0, 5.0], "0 · ∞", eps=0.0),
    case("W = 0 in inference", [-1.0, 0.0, 1.0], "±1 · ∞ and 0 · ∞", eps=0.0, training=False, running_var=0.0),
    case("W < 0", [1.0, 2.0], "no real root", eps=-1.0),
    case("a NaN in the channel", [1.0, math.nan], "other channels are untouched"),
    case("an infinity in the channel", [1.0, math.inf], "∞ - ∞ in the deviations"),
]
table(["case", "output", "mean", "var", "running mean", "running var", "why"], rows)

# %% [markdown]
r"""
PyTorch's layer refuses n = 1 in training, MindSpore's returns these very values (chapter 04); the function computes
them, and a layer may refuse. The cells of the first three rows follow from the definitions, so they are checked:
"""

# %%
assert [row[1] for row in rows[:3]] == ["empty", "3", "3, 3"]
assert [row[5] for row in rows[:3]] == ["1", "nan", "0.9"]
assert all("nan" in row[1] for row in rows[3:])
