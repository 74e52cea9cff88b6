# %% [markdown]
r"""
# Bound every rounding

> The true answer can be computed and rounded once, and how far a sound implementation may be from it can be derived.

**Proves** the rules by which `bnref` encloses its results, and bounds for any two-pass implementation. **Exports** the bounds, and to `bnref/mistakes.py` the wrong forward formulas and what reads them back. **Checked by** `tests/test_bounds.py`, `tests/test_testing.py`, `tests/test_planted.py` and `tests/arithmetic/`.
"""

# %% tags=["export"]
import sympy as sp

from tools.derive import Equation, Maximum, Mistake, Program, as_written, batch, batch_sum, channels, evaluated, i, n, scalars

# %%
from fractions import Fraction

import numpy as np

import bnref
from bnref import equations
from bnref.arithmetic.ball import Ball
from bnref.arithmetic.exact import ExactChannel, round_to
from tools.show import QUIET, curve, figure, label, label_ends, log2, power_of, show, table

# %% [markdown]
r"""
## Have the exact value

Floats are rational numbers, and of a rational number's square root nothing comes but numbers $a + b\sqrt W$ (chapter 01).
So the generated programs run on pairs of rationals, and there is no error to speak of. Three floats, eps = 1/8:
"""

# %%
values = [0.5, 1.0, 3.0]
channel = ExactChannel([values])
x, = channel.operands
mean, var = equations.batch_statistics(x, xp=channel)
y = equations.normalize(x, mean, var, 1, 0, Fraction(1, 8), xp=channel)
outputs = channel.elements(y)
table(["x", "y"], [[value, f"{output.a} + {output.b} · √({output.W})"] for value, output in zip(values, outputs)])

# %% [markdown]
r"""
## Round once

A correctly rounded result is the float nearest to that value, and of two that are equally near the one with the even last
digit. To find it, scale the value so that the last digit of the float has the weight 1, take the floor, and look at the rest:
`math.isqrt` gives the floor of a root of integers, and with it that of $a + b\sqrt W$.
"""

# %%
def enclosed(value, places):
    """The value to so many binary places: the integers below and above it."""
    whole, exact = value.floor_scaled(places)
    return whole, whole if exact else whole + 1


enclosed(outputs[2], 23), round_to(outputs[2], np.float32)

# %% [markdown]
r"""
The float32 lies between the two, as it should. But what if the value is right in the middle between two floats? No number
of digits of a root ever shows that; but an irrational number is no midpoint, and a rational one is decided exactly.
The values 1 and -1 have variance 1; with eps = 3, W = 4, and the weight $1 + 2^{-23}$ puts $y$ at half of it plus the bias 1:
"""

# %%
eps_ = Fraction(1, 2**23)
channel = ExactChannel([[1.0, -1.0]])
x, = channel.operands
y = equations.normalize(x, *equations.batch_statistics(x, xp=channel), 1 + eps_, 1, 3, xp=channel)
tie = channel.elements(y)[0]
down, up = Fraction(3, 2), Fraction(3, 2) + eps_
assert tie.a - down == up - tie.a
table(["y", "float32 below", "float32 above", "rounded"],
      [[tie.a, down, up, Fraction(float(round_to(tie, np.float32)))]])

# %% [markdown]
r"""
Both neighbours are equally near; 3/2 has the even last digit. `bnref.batch_norm` agrees, and so does a value a hair above
the middle, which a computation by way of float64 rounds twice and gets wrong:
"""

# %%
def batch_norm_of(weight):
    x = np.array([[1.0], [-1.0]], dtype=np.float32)
    return bnref.batch_norm(x, weight=np.array([weight]), bias=np.array([1.0]), training=True, eps=3.0).output[0, 0]


weight_ = 1 + 2.0**-23 + 2.0**-52
true = Fraction(weight_) / 2 + 1
by_float64 = np.float32(weight_ / 2 + 1)
assert batch_norm_of(1 + 2.0**-23) == round_to(tie, np.float32) == 1.5
assert batch_norm_of(weight_) == round_to(true, np.float32) != by_float64
table(["true less midpoint", "rounded once", "by way of float64"],
      [[f"{float(true - tie.a):.1e}", Fraction(float(batch_norm_of(weight_))), Fraction(float(by_float64))]])

# %% [markdown]
r"""
## Carry a radius

Exact numbers are slow. A *ball* is a float with a radius: the true number is at most so far away. Each operation has a rule
for its radius, which is an identity of algebra and the size of one rounding. Write $x', y'$ for what is computed and $x, y$
for what is true, with $|x' - x| \le X$ and $|y' - y| \le Y$. A sum's error is the sum of the errors; a product's is
"""

# %%
x, y, x_, y_ = sp.symbols("x y x' y'", real=True)
product = x_ * (y_ - y) + y_ * (x_ - x) - (x_ - x) * (y_ - y)
assert sp.expand(x_ * y_ - x * y - product) == 0
sp.Eq(x_ * y_ - x * y, product, evaluate=False)

# %% [markdown]
r"""
so $|x'| Y + |y'| X + X Y$ is a radius. A quotient's error, and a square root's, are
"""

# %%
quotient = ((x_ - x) - x_ / y_ * (y_ - y)) / y
assert sp.simplify(x_ / y_ - x / y - quotient) == 0
sp.Eq(x_ / y_ - x / y, quotient, evaluate=False)

# %%
p, p_ = sp.symbols("p p'", positive=True)
root = (p_ - p) / (sp.sqrt(p_) + sp.sqrt(p))
assert sp.simplify(sp.expand((sp.sqrt(p_) - sp.sqrt(p)) * (sp.sqrt(p_) + sp.sqrt(p)) - (p_ - p))) == 0
sp.Eq(sp.sqrt(p_) - sp.sqrt(p), root, evaluate=False)

# %% [markdown]
r"""
so with $|y| \ge |y'| - Y$ their radii are $(X + |x'/y'|\, Y) / (|y'| - Y)$ and $X / \sqrt{p'}$. To each comes the rounding of
the operation itself. The rules of `bnref/arithmetic/ball.py` are these; here they are on two balls of radius 1/64, with the
farthest that a true result can be (roots squared to stay rational), in exact arithmetic:
"""

# %%
X = Y = Fraction(1, 64)
left, right = Ball(*np.array([[3.0], [0.0], [1 / 64]])), Ball(*np.array([[5.0], [0.0], [1 / 64]]))
corners = [(3 + s * X, 5 + t * Y) for s in (-1, 1) for t in (-1, 1)]


def radius(ball):
    return Fraction(float(ball.radius[0]))


rows = []
for name, ball, compute in (("x + y", left + right, lambda x, y: x + y), ("x · y", left * right, lambda x, y: x * y),
                            ("x / y", left / right, lambda x, y: x / y)):
    middle = Fraction(float(ball.hi[0])) + Fraction(float(ball.lo[0]))
    farthest = max(abs(compute(x, y) - middle) for x, y in corners)
    assert farthest <= radius(ball)
    rows.append([name, f"{float(farthest):.12f}", f"{float(radius(ball)):.12f}"])
ball = left.sqrt()
middle = Fraction(float(ball.hi[0])) + Fraction(float(ball.lo[0]))
assert (middle - radius(ball))**2 <= 3 - X and 3 + X <= (middle + radius(ball))**2
table(["operation", "farthest true result", "radius"], rows)

# %% [markdown]
r"""
## Scale what is too large

The variance of data near 1e200 is near 1e400, where float64 has ended. But batch normalisation is homogeneous: with $x$
multiplied by a power of two, and eps by its square, the outputs are the same. Nobody need read the formulas to know. Run on
degrees, the program shows them: of what is added the degrees are equal, of what is multiplied they add up.
"""

# %%
from bnref.arithmetic.scaling import degrees


def forward(x, weight, bias, eps, *, xp):
    mean, var = equations.batch_statistics(x, xp=xp)
    return mean, var, equations.normalize(x, mean, var, weight, bias, eps, xp=xp)


operands, results = degrees(forward, 4, [0])
degree = [exponents.get(0, 0) for exponents in operands + results]
assert degree == [1, 0, 0, 2, 1, 2, 0]
table(["", "x", "weight", "bias", "eps", "mean", "var", "y"], [["degree in x", *degree]])

# %% [markdown]
r"""
So where a ball over- or underflows, `bnref` scales the operands of that channel, in the forward formulas and in all the
others, and scales the result back:
"""

# %%
near, far = (np.ldexp([[0.5], [1.0], [3.0]], power) for power in (0, 700))
outputs = [bnref.batch_norm(data, training=True, eps=0.0).output for data in (near, far)]
assert np.array_equal(*outputs)
far.ravel(), outputs[1].ravel()

# %% [markdown]
r"""
## Test whether the rounding is certain

Rounding is monotonic: what lies between two numbers rounds to between their roundings. So if both ends of a ball round to
the same float, that is the correctly rounded result, whatever the true value is. If they differ, somebody else must decide:
first a sharper ball, and in the end the exact numbers. Nothing is ever guessed.
"""

# %%
def decided(middle, radius):
    low, high = (round_to(middle + s * radius, np.float32) for s in (-1, 1))
    return f"{low}, {high}", "yes" if low == high else "no"


third = Fraction(1, 3)
table(["ball", "its ends as float32", "certain?"],
      [["1/3 ± 2⁻⁴⁰", *decided(third, Fraction(1, 2**40))], ["1/3 ± 2⁻²⁵", *decided(third, Fraction(1, 2**25))],
       ["1 + 2⁻²⁴ ± 2⁻⁴⁰", *decided(1 + Fraction(1, 2**24), Fraction(1, 2**40))]])

# %% [markdown]
r"""
The last ball lies on a midpoint; no radius but 0 decides it. The radii of `bnref` are so small that hardly an element is
left to the exact numbers. `make bench` counts them and keeps a record; the largest share of elements over all its shapes:
"""

# %%
import json
from pathlib import Path

record = json.loads(Path("../tests/benchmarks/results.json").read_text(encoding="utf-8"))
shares = {}
for row in record["rows"]:
    key = row["mode"], row["data"]
    shares.setdefault(key, {}).setdefault(row["dtype"], []).append(row["exact share"])
assert all(max(share) <= 1e-3 for by_dtype in shares.values() for share in by_dtype.values())
table(["mode", "data", "float32", "float64"],
      [[*key, *(f"{max(by_dtype[dtype]):.0e}" for dtype in ("float32", "float64"))] for key, by_dtype in shares.items()])

# %% [markdown]
r"""
The right answer costs time: most where an input is so small that the call itself is what counts, least where it is large. The
same record, as million elements a second, on a logarithmic axis (all of it: `tests/benchmarks/RESULTS.md`):
"""

# %%
from tools import benchmarks

for group in benchmarks.groups(record):
    if group.dtype == "float32" and group.mode != "backward":
        show(benchmarks.plot(group), benchmarks.described(group))

# %% [markdown]
r"""
## See what textbook code loses

Textbook code, in two passes and in one. The data are 64 values of standard deviation 1 around a mean that grows; the error
is that of the worst output, in ulp of 1, against the exact value rounded once.
"""

# %%
def two_pass(x):
    mean = x.sum() / x.dtype.type(len(x))
    return mean, ((x - mean) * (x - mean)).sum() / x.dtype.type(len(x))


def one_pass(x):
    count = x.dtype.type(len(x))
    mean = x.sum() / count
    return mean, np.maximum((x * x).sum() / count - mean * mean, x.dtype.type(0))


def textbook(statistics, x):
    mean, var = statistics(x)
    return (x - mean) / np.sqrt(var + x.dtype.type(2.0**-16))


def correctly_rounded(x):
    channel = ExactChannel([x.tolist()])
    values, = channel.operands
    y = equations.normalize(values, *equations.batch_statistics(values, xp=channel), 1, 0, Fraction(1, 2**16), xp=channel)
    return np.array([round_to(value, x.dtype) for value in channel.elements(y)])


def in_ulp(y, true):
    return float(np.abs(y.astype(np.float64) - true.astype(np.float64)).max() / np.finfo(true.dtype).eps)


noise = np.random.default_rng(6).normal(0.0, 1.0, 64)
ratios = [10.0**power for power in range(8)]
methods = [("one pass", one_pass), ("two passes", two_pass)]
errors = {}
for dtype in (np.float32, np.float64):
    data = [(noise + ratio).astype(dtype) for ratio in ratios]
    true = [correctly_rounded(x) for x in data]
    for name, statistics in methods:
        errors[name, dtype] = [in_ulp(textbook(statistics, x), t) for x, t in zip(data, true)]
    ours = [bnref.batch_norm(x[:, None], training=True, eps=2.0**-16).output[:, 0] for x in data]
    errors["bnref", dtype] = [in_ulp(y, t) for y, t in zip(ours, true)]
assert not any(errors["bnref", np.float32] + errors["bnref", np.float64])

# %%
def height(error):
    """0 for no error, 1 for one ulp, 2 for two, 3 for four."""
    return log2(error) + 1 if error >= 1 else error


def ladder(title, ratios, climbed, top, apart):
    """A figure of errors in ulp, {name: errors}, over mean / standard deviation; both axes logarithmic."""
    fig, axes = figure()
    for name, errors in climbed.items():
        curve(axes, name, range(len(ratios)), [height(error) for error in errors], clip_on=False)
    last = len(ratios) - 1
    label_ends(axes, {name: height(errors[-1]) for name, errors in climbed.items()}, last * 1.03, apart)
    every, step = max(1, last // 7), 10 if top > 30 else 5
    powers = range(step, top, step)
    axes.set(title=title, xlabel="mean / standard deviation", ylabel="worst error in ulp", xlim=(0, last * 1.36),
             ylim=(-0.06 * top, top), xticks=range(0, last + 1, every),
             xticklabels=[power_of(10, round(log2(ratios[k]) * 0.30103)) for k in range(0, last + 1, every)],
             yticks=[0, *(power + 1 for power in powers)], yticklabels=["0", *(power_of(2, power) for power in powers)])
    return fig


for dtype, seen in ((np.float32, "Two-pass code starts at a few ulp and loses as much as the mean grows, a factor of ten a step"),
                    (np.float64, "The same, later: two-pass code is ahead by the 29 more bits")):
    climbed = {name: errors[name, dtype] for name in ("one pass", "two passes", "bnref")}
    show(ladder(f"{dtype.__name__}, 64 values", ratios, climbed, 53, 3.6),
         f"""Worst error in ulp of {dtype.__name__} results against the mean in standard deviations, 1 to 1e7, both axes
logarithmic. {seen}. One-pass code loses the square of it, a factor of a hundred a step, until nothing is left. The line of
bnref lies at 0 throughout.""")

# %% [markdown]
r"""
float64 is no help, only a later start. That two passes lose a factor $\kappa$ = mean / std and one pass $\kappa^2$ is no accident
of these data; the rest of this chapter derives it, with every constant.
"""

# %% [markdown]
r"""
## Count the roundings

Now somebody else's code, which rounds every operation: its result is the true one times $1 + \delta$ with $|\delta| \le u$,
$u = 2^{-24}$ for float32. What happens to a product of $k$ such factors and their reciprocals? Two factors $1 - j u$ and
$1 - k u$ are more than one with $j + k$; the difference is never negative:
"""

# %%
j, k, u = sp.symbols("j k u", positive=True)
rest = (1 - j * u) * (1 - k * u) - (1 - (j + k) * u)
assert sp.expand(rest - j * k * u**2) == 0
sp.expand(rest)

# %% [markdown]
r"""
By induction $(1 - u)^k \ge 1 - k u$. So a product of $k$ factors, and reciprocals of factors, lies between $1 - ku$ and
$1 / (1 - ku)$, and both are within $\gamma_k = ku / (1 - ku)$ of one. Above, exactly so, and below with room (should be zero, and
positive):
"""

# %%
gamma_k = k * u / (1 - k * u)
above, below = sp.simplify(1 / (1 - k * u) - 1 - gamma_k), sp.simplify(gamma_k - k * u)
assert above == 0 and sp.simplify(below - (k * u)**2 / (1 - k * u)) == 0
above, below

# %% [markdown]
r"""
For $k u \ge 1$ nothing is known: the bound is infinite, which is what the maximum in the denominator says.

What is known of an implementation is its *profile*: $u$ for operations on elements, `u_stat` for what is kept of statistics,
`u_sum` for sums, and the number of `steps` of a sum, the additions on the longest way of a value into it: $n - 1$ in any order,
about $\log_2 n$ in pairs. `tiny` is the smallest normal number: what an underflow can lose, and a flush to zero.
"""

# %% tags=["export"]
x, y, grad_output, deviation = batch("x"), batch("y"), batch("grad_output"), batch("deviation")
mean, weight, bias = channels("mean weight bias")
var, W, rstd = channels("var W rstd", positive=True)
eps, momentum = scalars("eps momentum")
u, u_stat, u_sum, steps, tiny = scalars("u u_stat u_sum steps tiny", positive=True)


def gamma(k, u):
    return k * u / Maximum(1 - k * u, 0)


with as_written():
    gamma_is = Equation(scalars("gamma"), gamma(steps, u_sum))
gamma_is

# %% [markdown]
r"""
## Bound the mean

On its way into the sum a value passes at most `steps` additions, and the sum a division, or a multiplication by a rounded
1 / n: the computed mean is $\frac1n \sum x_i (1 + \theta_i)$ with $|\theta_i| \le \gamma_{steps + 2}$. Then it is stored.
"""

# %% tags=["export"]
size, gamma_sum, sum_error, mean_error = channels("size gamma_sum sum_error mean_error", positive=True)
with as_written():
    size_is = Equation(size, batch_sum(sp.Abs(x[i])) / n)
    gamma_sum_is = Equation(gamma_sum, gamma(steps + 2, u_sum))
    sum_error_is = Equation(sum_error, gamma_sum * size)
    mean_error_is = Equation(mean_error, sum_error + u_stat * (sp.Abs(mean) + sum_error) + tiny)
mean_bound = Program(
    "mean_bound", [x, mean, u_stat, u_sum, steps, tiny], [size_is, gamma_sum_is, sum_error_is, mean_error_is], [mean_error],
    summary="How far a batch mean may be from the true one.", section='06_accuracy, "Bound the mean"')
mean_bound

# %% [markdown]
r"""
## Bound the variance of two passes

Let $m' = \mathrm{mean} + \delta$ be what the second pass subtracts. The mean square of the deviations from it is, exactly:
"""

# %%
from tools.sums import linear

delta = sp.Symbol("delta", real=True)
total = batch_sum(x[i])
about = linear(batch_sum((x[i] - mean - delta)**2) / n).subs(total, n * mean)
true_var = linear(batch_sum((x[i] - mean)**2) / n).subs(total, n * mean)
assert sp.expand(about - true_var - delta**2) == 0
sp.Eq(batch_sum((x[i] - mean - delta)**2) / n, var + delta**2, evaluate=False)

# %% [markdown]
r"""
That is why two passes are safe: an error of the mean enters by its square, and only upwards. All terms are positive, so the
roundings make it $(var + \delta^2)(1 + \Theta)$. In $\Theta$ there are the `steps + 2` factors of the sum and up to six more: a
difference counted twice since it is squared, the square, a factor n / (n - 1) there and back, the storage. With
$|\Theta| \le G$ the error lies between $-G\,var$ and (should be zero)
"""

# %%
V, G, theta = sp.symbols("V G theta", positive=True)
assert sp.expand((V + delta**2) * (1 + theta) - V - (theta * V + (1 + theta) * delta**2)) == 0
sp.expand((V + delta**2) * (1 + theta) - V - (theta * V + (1 + theta) * delta**2))

# %% tags=["export"]
gamma_term, growth, var_below, var_above = channels("gamma_term growth var_below var_above", positive=True)
with as_written():
    gamma_term_is = Equation(gamma_term, gamma(sp.Integer(6), u_stat))
    growth_is = Equation(growth, gamma_term + gamma_sum + gamma_term * gamma_sum)
    var_below_is = Equation(var_below, growth * var + 3 * tiny)
    var_above_is = Equation(var_above, growth * var + (1 + growth) * mean_error**2 + 3 * tiny)
var_bound = Program(
    "var_bound", [var, mean_error, u_stat, u_sum, steps, tiny],
    [gamma_sum_is, gamma_term_is, growth_is, var_below_is, var_above_is], [var_below, var_above],
    summary="How far below and above the true one a batch variance of two passes may be.",
    section='06_accuracy, "Bound the variance of two passes"')
var_bound

# %% [markdown]
r"""
## Bound the variance of one pass

E[x²] - E[x]² subtracts two numbers of the size var + mean², each with its roundings. With relative errors $\theta_1$ and
$\theta_2$ of the two, and $\delta$ of the mean, the error is
"""

# %%
theta_1, theta_2, mu = sp.symbols("theta_1 theta_2 mu", real=True)
square = V + mu**2
one_pass_error = square * (1 + theta_1) - (mu + delta)**2 * (1 + theta_2) - V
parts = theta_1 * square - (2 * mu * delta + delta**2) - theta_2 * (mu + delta)**2
assert sp.expand(one_pass_error - parts) == 0
parts

# %% [markdown]
r"""
Relative to var the first term is $\theta_1 (1 + \kappa^2)$ with $\kappa = mean / std$: hence the square in the picture. And
no sign is excluded, so the variance may be negative. This bound is for `bnref.testing.explain`, which recognises such code.
"""

# %% tags=["export"]
square_, rough, one_pass_error_ = channels("square rough one_pass_error", positive=True)
with as_written():
    gamma_more_is = Equation(gamma_sum, gamma(steps + 6, u_sum))
    gamma_stat_is = Equation(gamma_term, gamma(sp.Integer(6), u_stat))
    square_is = Equation(square_, (sp.Abs(mean) + mean_error)**2)
    rough_is = Equation(rough, (gamma_sum + gamma_term + gamma_sum * gamma_term) * (var + mean**2)
                        + (2 * sp.Abs(mean) + mean_error) * mean_error)
    one_pass_is = Equation(one_pass_error_, (rough + gamma_term * square_) * (1 + gamma_term) + gamma_term * var + 3 * tiny)
one_pass_var_bound = Program(
    "one_pass_var_bound", [mean, var, mean_error, u_stat, u_sum, steps, tiny],
    [gamma_more_is, gamma_stat_is, square_is, rough_is, one_pass_is], [one_pass_error_],
    summary="How far a variance computed as E[x^2] - E[x]^2 may be from the true one.",
    section='06_accuracy, "Bound the variance of one pass"')
one_pass_var_bound

# %% [markdown]
r"""
## Bound the reciprocal of the root

Let $W(1 - b)$ and $W(1 + a)$ enclose the computed W: eps may be rounded, and the sum is. Then $1/\sqrt W$ is off by at most these
factors, in forms that do not cancel (both should be zero):
"""

# %%
a, b = sp.symbols("a b", positive=True)
s, t = sp.symbols("s t", positive=True)  # sqrt(1 - b), sqrt(1 + a)
faster, slower = b / (s + s**2), a / (t + t**2)
differences = [sp.simplify((1 / s - 1 - faster).subs(b, 1 - s**2)), sp.simplify((1 - 1 / t - slower).subs(a, t**2 - 1))]
assert differences == [0, 0]
differences

# %% [markdown]
r"""
The root and the division are two more roundings. (A hardware `rsqrt` that is right to one ulp counts as much.) From below
only the variance's own roundings count and not the error of the mean: with a symmetric bound nothing would be known as soon as
that error is as large as the standard deviation.
"""

# %% tags=["export"]
below, above, root_below, root_above, faster_, slower_, gamma_root, rstd_error = channels(
    "below above root_below root_above faster slower gamma_root rstd_error", positive=True)
with as_written():
    W_is = Equation(W, var + eps)
    below_is = Equation(below, (var_below + u_stat * sp.Abs(eps)) / W + u_stat)
    above_is = Equation(above, (var_above + u_stat * sp.Abs(eps)) / W * (1 + u_stat) + u_stat)
    root_below_is = Equation(root_below, sp.sqrt(Maximum(1 - below, 0)))
    root_above_is = Equation(root_above, sp.sqrt(1 + above))
    faster_is = Equation(faster_, below / (root_below + root_below**2))
    slower_is = Equation(slower_, above / (root_above + root_above**2))
    gamma_root_is = Equation(gamma_root, gamma(sp.Integer(2), u_stat))
    rstd_error_is = Equation(rstd_error, Maximum(faster_ + gamma_root * (1 + faster_), slower_ + gamma_root))
rstd_bound = Program(
    "rstd_bound", [var, eps, var_below, var_above, u_stat],
    [W_is, below_is, above_is, root_below_is, root_above_is, faster_is, slower_is, gamma_root_is, rstd_error_is], [rstd_error],
    summary="The relative error that 1 / sqrt(var + eps) may have.", section='06_accuracy, "Bound the reciprocal of the root"')
rstd_bound

# %% [markdown]
r"""
## Bound the output

In the centred form, $weight \cdot (x - mean) \cdot rstd + bias$ in whatever order, the product has the error of the mean, and
the relative errors of rstd and of three roundings; the sum with the bias is one more. Let $\rho$ be all relative errors together:
"""

# %%
d, r, rho = sp.symbols("d r rho", real=True)
centred = r * (1 + rho) * (d - delta) - r * d
assert sp.expand(centred - r * (rho * (d - delta) - delta)) == 0
sp.Eq(centred, r * (rho * (d - delta) - delta), evaluate=False)

# %% [markdown]
r"""
Many kernels fold everything into $a\,x + b$ with $a = weight \cdot rstd$ and $b = bias - mean \cdot a$. Then four products
and sums of the size of the mean are rounded, and cancel: with $\delta_1, \delta_2, \delta_3$ for $a x$, $mean \cdot a$ and the
difference,
"""

# %%
x_, a_, m_, c_ = sp.symbols("x a m c", real=True)
d_1, d_2, d_3 = sp.symbols("delta_1 delta_2 delta_3", real=True)
fused = x_ * a_ * (1 + d_1) + (c_ - m_ * a_ * (1 + d_2)) * (1 + d_3)
parts = a_ * (x_ - m_) + c_ + d_1 * x_ * a_ - d_2 * (1 + d_3) * m_ * a_ + d_3 * (c_ - m_ * a_)
assert sp.expand(fused - parts) == 0
sp.expand(fused - (a_ * (x_ - m_) + c_))

# %% [markdown]
r"""
Both forms are sound and in use, so the larger of the two errors is the bound.
"""

# %% tags=["export"]
scale, reach, slope, spread, fold = channels("scale reach slope spread fold", positive=True)
gamma_three = scalars("gamma_three", positive=True)
lost, centred_error, fused_error, output_error = (
    batch("lost"), batch("centred_error"), batch("fused_error"), batch("output_error"))
with as_written():
    gamma_three_is = Equation(gamma_three, gamma(sp.Integer(3), u))
    scale_is = Equation(scale, sp.Abs(weight) * rstd)
    reach_is = Equation(reach, sp.Abs(mean) + mean_error)
    slope_is = Equation(slope, scale * (1 + rstd_error) * (1 + u))
    spread_is = Equation(spread, rstd_error + gamma_three + rstd_error * gamma_three)
    fold_is = Equation(fold, rstd_error + u + rstd_error * u)
    lost_is = Equation(lost[i], 4 * tiny * (1 + sp.Abs(weight) + deviation[i] + reach))
    centred_is = Equation(centred_error[i], scale * (mean_error + (deviation[i] + mean_error) * spread))
    fused_is = Equation(fused_error[i], scale * (mean_error + (deviation[i] + mean_error) * fold)
                        + u * slope * (sp.Abs(x[i]) + reach * (2 + u)) + u * sp.Abs(bias))
    output_error_is = Equation(
        output_error[i], Maximum(centred_error[i], fused_error[i]) * (1 + u) + u * sp.Abs(y[i]) + lost[i])
output_bound = Program(
    "output_bound", [x, deviation, y, mean, rstd, weight, bias, mean_error, rstd_error, u, tiny],
    [gamma_three_is, scale_is, reach_is, slope_is, spread_is, fold_is, lost_is, centred_is, fused_is, output_error_is], [output_error],
    summary="How far an output may be from the true one, centred or as a * x + b.",
    section='06_accuracy, "Bound the output"',
    notes="""
`deviation` is |x - mean|, y the true output, rstd the true 1 / sqrt(W).
""")
output_bound

# %% [markdown]
r"""
## Bound the running statistics

$(1 - m)\,running + m\,observed$ is also written $running + m\,(observed - running)$, and 1 - m of a momentum that was stored
inverted and rounded (MindSpore's) is off by $u$, not by $u\,m$. So the roundings are counted against both numbers:
"""

# %% tags=["export"]
running_mean, running_var, unbiased_var = channels("running_mean running_var unbiased_var")
factor, gamma_step = scalars("factor gamma_step", positive=True)
running_mean_error, running_var_error = channels("running_mean_error running_var_error", positive=True)
with as_written():
    factor_is = Equation(factor, n / (n - 1))
    gamma_step_is = Equation(gamma_step, gamma(sp.Integer(8), u) * (sp.Abs(momentum) + sp.Abs(1 - momentum)))
    running_mean_error_is = Equation(
        running_mean_error, sp.Abs(momentum) * mean_error
        + gamma_step * (sp.Abs(running_mean) + sp.Abs(mean) + mean_error) + 4 * tiny)
    running_var_error_is = Equation(
        running_var_error, sp.Abs(momentum) * factor * var_above
        + gamma_step * (sp.Abs(running_var) + factor * (sp.Abs(var) + var_above)) + 4 * tiny)
running_bound = Program(
    "running_bound", [running_mean, running_var, mean, var, n, momentum, mean_error, var_above, u, tiny],
    [factor_is, gamma_step_is, running_mean_error_is, running_var_error_is], [running_mean_error, running_var_error],
    summary="How far updated running statistics may be from the true ones.",
    section='06_accuracy, "Bound the running statistics"')
running_bound

# %% [markdown]
r"""
## Bound the gradients

An error $\delta$ of the mean is the same for all values, so in the gradient of the weight it meets the *sum* of grad_output, which
is dbias, and not the sum of magnitudes (should be zero):
"""

# %%
shift = linear(batch_sum(grad_output[i] * (x[i] - mean - delta)) - batch_sum(grad_output[i] * (x[i] - mean)))
assert sp.expand(shift + delta * batch_sum(grad_output[i])) == 0
sp.expand(shift + delta * batch_sum(grad_output[i]))

# %% [markdown]
r"""
Each of the two sums has its roundings; that of grad_output alone gives
"""

# %% tags=["export"]
dweight, dbias = channels("dweight dbias")
total_grad, dbias_error, dweight_error = channels("total_grad dbias_error dweight_error", positive=True)
with as_written():
    gamma_adds_is = Equation(gamma_sum, gamma(steps + 1, u_sum))
    total_grad_is = Equation(total_grad, batch_sum(sp.Abs(grad_output[i])))
    dbias_error_is = Equation(dbias_error, gamma_sum * (1 + u) * total_grad + u * sp.Abs(dbias) + tiny)
dbias_error_is

# %% [markdown]
r"""
The gradient of the weight: the error of the mean times dbias, and the relative errors of rstd, of eight roundings and of the sum,
times the sum of the magnitudes:
"""

# %% tags=["export"]
moment, turn = batch("moment"), channels("turn", positive=True)
gamma_eight, gamma_moment = scalars("gamma_eight gamma_moment", positive=True)
with as_written():
    gamma_eight_is = Equation(gamma_eight, gamma(sp.Integer(8), u))
    gamma_moment_is = Equation(gamma_moment, gamma_sum + gamma_eight + gamma_sum * gamma_eight)
    turn_is = Equation(turn, rstd_error + gamma_moment + rstd_error * gamma_moment)
    moment_is = Equation(moment[i], sp.Abs(grad_output[i]) * (deviation[i] + mean_error))
    dweight_error_is = Equation(
        dweight_error, rstd * (mean_error * sp.Abs(dbias) + turn * batch_sum(moment[i]))
        + tiny * (1 + rstd) * (1 + n + total_grad))
dweight_error_is

# %% [markdown]
r"""
A normalised value, a difference and a product, as in the output:
"""

# %% tags=["export"]
xhat_error, gamma_two = batch("xhat_error"), scalars("gamma_two", positive=True)
with as_written():
    gamma_two_is = Equation(gamma_two, gamma(sp.Integer(2), u))
    spread_two_is = Equation(spread, rstd_error + gamma_two + rstd_error * gamma_two)
    xhat_error_is = Equation(
        xhat_error[i], rstd * (mean_error + (deviation[i] + mean_error) * spread) + tiny * (1 + deviation[i] + mean_error))
xhat_error_is

# %% [markdown]
r"""
In dx three terms are added up. Computed sums and normalised values have the errors $B$, $C$ and $X$; then the bracket of
chapter 03 is off by (the second output should be zero)
"""

# %%
B, C, X, beta, omega, h, g = sp.symbols("B C X beta omega h g", real=True)
bracket = (g - (beta + B) / n - (h + X) * (omega + C) / n) - (g - beta / n - h * omega / n)
parts = -(B + h * C + omega * X + X * C) / n
assert sp.expand(bracket - parts) == 0
parts, sp.expand(bracket - parts)

# %% tags=["export"]
inner, terms = batch("inner"), batch("terms")
with as_written():
    inner_is = Equation(
        inner[i], (dbias_error + rstd * deviation[i] * dweight_error + sp.Abs(dweight) * xhat_error[i]
                   + xhat_error[i] * dweight_error) / n)
inner_is

# %% [markdown]
r"""
and each of the three terms has passed at most eight roundings when it arrives, besides that of rstd:
"""

# %% tags=["export"]
dx_error, whole = batch("dx_error"), channels("whole", positive=True)
with as_written():
    terms_is = Equation(
        terms[i], sp.Abs(grad_output[i]) + (sp.Abs(dbias) + dbias_error) / n
        + (rstd * deviation[i] + xhat_error[i]) * (sp.Abs(dweight) + dweight_error) / n)
    whole_is = Equation(whole, rstd_error + gamma_eight + rstd_error * gamma_eight)
    dx_error_is = Equation(
        dx_error[i], sp.Abs(weight) * rstd * (inner[i] + whole * terms[i])
        + 8 * tiny * (1 + sp.Abs(weight)) * (1 + rstd) * (1 + terms[i]))
dx_error_is

# %% tags=["export"]
backward_bound = Program(
    "backward_bound",
    [grad_output, deviation, rstd, weight, dweight, dbias, mean_error, rstd_error, u, u_sum, steps, tiny],
    [gamma_two_is, gamma_eight_is, gamma_adds_is, total_grad_is, dbias_error_is, gamma_moment_is, turn_is, moment_is, dweight_error_is,
     spread_two_is, xhat_error_is, inner_is, terms_is, whole_is, dx_error_is], [dx_error, dweight_error, dbias_error],
    summary="How far the gradients through batch statistics may be from the true ones.",
    section='06_accuracy, "Bound the gradients"',
    notes="""
`deviation` is |x - mean|, rstd the true 1 / sqrt(W), dweight and dbias the true gradients.
""")
backward_bound

# %% [markdown]
r"""
In inference the sums do not flow back into dx; the statistics are given, so their errors are 0 and only rstd has one.
"""

# %% tags=["export"]
with as_written():
    dx_inference_error_is = Equation(
        dx_error[i], sp.Abs(weight) * rstd * sp.Abs(grad_output[i]) * whole
        + 8 * tiny * (1 + sp.Abs(weight)) * (1 + rstd) * (1 + sp.Abs(grad_output[i])))
backward_inference_bound = Program(
    "backward_inference_bound",
    [grad_output, deviation, rstd, weight, dbias, mean_error, rstd_error, u, u_sum, steps, tiny],
    [gamma_eight_is, gamma_adds_is, total_grad_is, dbias_error_is, gamma_moment_is, turn_is, moment_is, dweight_error_is, whole_is,
     dx_inference_error_is], [dx_error, dweight_error, dbias_error],
    summary="How far the gradients through running statistics may be from the true ones.",
    section='06_accuracy, "Bound the gradients"')
backward_inference_bound

# %% [markdown]
r"""
A layer whose own arrays are halves keeps mean and rstd as halves, too (PyTorch's does): the mean before the second pass of the
variance, which is then taken about that rounded mean, and rstd for the backward pass. The one is an error of the mean like any other;
with $\rho$ the relative error of rstd and $\delta$ that of saving it, together they are $\rho + \delta\,(1 + \rho)$ (should be zero):
"""

# %%
saved = (1 + rho) * (1 + delta) - 1 - (rho + delta * (1 + rho))
assert sp.expand(saved) == 0
sp.expand(saved)

# %% tags=["export"]
u_saved, tiny_saved = scalars("u_saved tiny_saved", positive=True)
saved_rstd_error = channels("saved_rstd_error", positive=True)
with as_written():
    saved_rstd_error_is = Equation(saved_rstd_error, rstd_error + u_saved * (1 + rstd_error) + tiny_saved / rstd)
saved_bound = Program(
    "saved_bound", [rstd, rstd_error, u_saved, tiny_saved], [saved_rstd_error_is], [saved_rstd_error],
    summary="The relative error of a rstd that was saved in the format of the layer's arrays.",
    section='06_accuracy, "Bound the gradients"')
saved_bound

# %% [markdown]
r"""
At last every result is stored in a format of its own, which may be coarser:
"""

# %% tags=["export"]
error, value, stored_error = batch("error"), batch("value"), batch("stored_error")
u_out, tiny_out = scalars("u_out tiny_out", positive=True)
with as_written():
    stored_error_is = Equation(stored_error[i], error[i] + u_out * (sp.Abs(value[i]) + error[i]) + tiny_out)
stored_bound = Program(
    "stored_bound", [value, error, u_out, tiny_out], [stored_error_is], [stored_error],
    summary="The error of a computed value after it is rounded to the format of its array.",
    section='06_accuracy, "Bound the gradients"')
stored_bound

# %% [markdown]
r"""
## Watch the bounds hold

`bnref.testing.compare` computes the true values and these bounds. Here are they for a float32 batch of 64 values with mean 100,
next to the errors of textbook code (as far as the printed digits go, on any machine):
"""

# %%
from bnref.testing import assert_batch_norm, compare, explain

batch_ = (noise[:, None] + 100.0).astype(np.float32)
grads = np.random.default_rng(7).normal(0.5, 1.0, (64, 1)).astype(np.float32)


def in_two_passes(x, g, eps):
    """Textbook batch normalisation and its gradients; sums along the first axis go from top to bottom."""
    n = x.dtype.type(len(x))
    mean = x.sum(axis=0) / n
    var = ((x - mean) * (x - mean)).sum(axis=0) / n
    rstd = 1 / np.sqrt(var + x.dtype.type(eps))
    xhat = (x - mean) * rstd
    dbias, dweight = g.sum(axis=0), (g * xhat).sum(axis=0)
    return {"output": xhat, "mean": mean, "var": var, "grad_input": rstd * (g - dbias / n - xhat * (dweight / n)),
            "grad_weight": dweight, "grad_bias": dbias}


found = compare(in_two_passes(batch_, grads, 2.0**-16), batch_, grad_output=grads, training=True, eps=2.0**-16)
assert found.conforms
table(["result", "worst error", "bound", "error / bound"],
      [[name, f"{found[name].error:.1e}", f"{found[name].bound:.1e}", f"{found[name].error / found[name].bound:.3f}"]
       for name in found])

# %% [markdown]
r"""
A bound for *any* order of the sum has to allow for the worst, so ordinary errors stay well below it. `tests/test_bounds.py` lets an
adversary choose the sign of every rounding, and the bounds hold all the same.

## Climb a ladder of means

Does the bound catch one-pass code? Relative to var, one pass errs by something like $\kappa^2 u$, and the bound of two passes is about
$n u + \kappa^2 n^2 u^2$. So the ladder separates best with few values, and from $\kappa = n$ at the latest: here 16 values, in eight channels.
"""

# %%
def share_of_bound(statistics, ratio):
    """The largest error of a variance over its bound."""
    x = (np.random.default_rng(8).normal(0.0, 1.0, (16, 8)) + ratio).astype(np.float32)
    record = compare({"var": np.array([statistics(column)[1] for column in x.T.copy()])}, x, training=True)["var"]
    return record.error / record.bound


rungs = [2.0**power for power in range(15)]
shares = {name: [share_of_bound(statistics, rung) for rung in rungs] for name, statistics in methods}
assert max(shares["two passes"]) < 1
assert all(share > 1 for share, rung in zip(shares["one pass"], rungs) if rung >= 16)

fig, axes = figure()
ends = {name: [max(log2(share), -8) if share else -8 for share in values] for name, values in shares.items()}
for name, values in ends.items():
    curve(axes, name, range(15), values)
label_ends(axes, {name: values[-1] for name, values in ends.items()}, 14.4, 2)
axes.axhline(0, color=QUIET, linewidth=1)
label(axes, 18.6, 0, "the bound", ha="right", color=QUIET)
axes.set(title="16 values, float32", xlabel="mean / standard deviation", xticks=range(0, 15, 2),
         xticklabels=[power_of(2, k) for k in range(0, 15, 2)], ylabel="error of var over its bound", xlim=(0, 18.8),
         yticks=range(-8, 21, 4), yticklabels=[power_of(2, k) for k in range(-8, 21, 4)], ylim=(-8.5, 20.5))
show(fig, """Error of a float32 variance over the two-pass bound, against mean over standard deviation from 1 to 16384. Two passes
stay below the bound throughout. One pass crosses it between 2 and 4, and rises to 2^16 times the bound and more.""")

# %% [markdown]
r"""
Fixed tolerances cannot do that: what condemns one pass at one rung condemns sound code at the next.

## Take data that are exact

The other kind of test data is exact: small integers around a mean, in pairs. Every sum on the way is an integer that float32 holds,
so mean and variance come out exactly, in any order, and the tolerance is 0:
"""

# %%
steps_ = np.random.default_rng(9).integers(1, 8, 32)
exact_data = np.array([16.0 + sign * step for step in steps_ for sign in (-1, 1)], dtype=np.float32)
orders = {"as it is": exact_data, "backwards": exact_data[::-1].copy(), "sorted": np.sort(exact_data)}
results = [[order, name, *map(str, statistics(x))] for order, x in orders.items() for name, statistics in methods]
assert len({tuple(row[2:]) for row in results}) == 1
table(["order", "code", "mean", "var"], results)

# %% [markdown]
r"""
An error of one ulp in such a test is a mistake and no rounding. But one pass is exact here too: this family is blind to
cancellation, and the ladder is not. Both are needed.
"""

# %% [markdown]
r"""
## See how far the frameworks are

The same ladder, climbed by the real ones: float32, standard deviation 1, in training; onnxruntime has no training and normalises by
the true statistics, rounded. The numbers are a record that `make conformance` holds against the installed frameworks (chapter 07).
"""

# %%
import json

from tools.chapters import ROOT

recorded = json.loads((ROOT / "tests/golden/ladder.json").read_text(encoding="utf-8"))
climbers = {"PyTorch": ("torch", "output"), "MindSpore": ("mindspore", "output"), "onnxruntime": ("onnxruntime", "inference")}
for shape, seen in (("4096x1", "PyTorch and MindSpore lie on each other, above onnxruntime, and jump to 2^24 beyond 1e5"),
                    ("64x16x32", "the three are never far from each other")):
    climbed = {name: recorded["errors"][framework][shape][result]["worst_ulp"] for name, (framework, result) in climbers.items()}
    climbed["bnref"] = [0] * len(recorded["ratios"])
    title = shape.replace("x", " × ")
    show(ladder(f"{title}, float32", recorded["ratios"], climbed, 27, 1.9),
         f"""Worst error in ulp of the outputs of PyTorch, MindSpore and onnxruntime against mean over standard deviation, for
the shape {title}. All rise about as fast as the mean grows, from a few ulp to 2^20 and more at 1e7; {seen}. bnref stays at
0.""")

# %% [markdown]
r"""
They lose a factor $\kappa$, as two passes do, and nobody loses $\kappa^2$. In the first shape torch and MindSpore add 4096 values
one after the other in float32, and beyond 1e5 the error of the mean exceeds the standard deviation. Is that sound? Here is the recorded
error of the mean at mean / std = 1e6, and what such data allow, by the order of the sums:
"""

# %%
at = recorded["ratios"].index(1e6)
far = np.random.default_rng(10).normal(1e6, 1.0, (4096, 1)).astype(np.float32)
right = {"mean": bnref.batch_norm(far, training=True).mean}
allowed = [compare(right, far, training=True, accumulate=order)["mean"].bound for order in ("sequential", "pairwise", "float64")]
measured = [recorded["errors"][name]["4096x1"]["mean"]["worst"][at] for name in ("torch", "mindspore")]
assert allowed[1] < min(measured) and max(measured) < allowed[0]
table(["torch", "MindSpore", "any order", "in pairs", "in float64"], [measured + [f"{bound:.2g}" for bound in allowed]])

# %% [markdown]
r"""
It is what float32 sums in sequence may do, and nothing better: `compare` calls it "sequential", and with `accumulate="pairwise"`
it does not pass.
"""

# %% [markdown]
r"""
## Know the wrong forward formulas

What real code gets wrong where the numbers are right, for `bnref.testing.explain`; the wrong gradients are in chapter 03. The
unbiased variance used to normalise, as in Darknet:
"""

# %% tags=["export"]
xhat = batch("xhat")
with as_written():
    W_unbiased = Equation(W, var * n / (n - 1) + eps)
    rstd_is = Equation(rstd, 1 / sp.sqrt(W))
    rstd_outside = Equation(rstd, 1 / (sp.sqrt(var) + eps))
    xhat_is = Equation(xhat[i], (x[i] - mean) * rstd)
    y_is = Equation(y[i], weight * xhat[i] + bias)
W_unbiased

# %% [markdown]
r"""
Eps outside the root, which Darknet has too:
"""

# %% tags=["export"]
def mistaken(name, inputs, equations, outputs, summary):
    return Mistake(name, inputs, equations, outputs, summary=summary, section='06_accuracy, "Know the wrong forward formulas"')


normalize_unbiased = mistaken(
    "normalize_unbiased", [x, mean, var, weight, bias, eps], [W_unbiased, rstd_is, xhat_is, y_is], [y],
    "Normalise by the unbiased variance.")
normalize_eps_outside = mistaken(
    "normalize_eps_outside", [x, mean, var, weight, bias, eps], [rstd_outside, xhat_is, y_is], [y],
    "Add eps to the standard deviation instead of the variance.")
rstd_outside

# %% [markdown]
r"""
The biased variance put into the running one, as Keras, Flax and Burn do on purpose:
"""

# %% tags=["export"]
new_running_mean, new_running_var = channels("new_running_mean new_running_var")
with as_written():
    mean_update = Equation(new_running_mean, (1 - momentum) * running_mean + momentum * mean)
    var_update_biased = Equation(new_running_var, (1 - momentum) * running_var + momentum * var)
update_biased = mistaken(
    "update_biased", [running_mean, running_var, mean, var, momentum], [mean_update, var_update_biased],
    [new_running_mean, new_running_var], "Put the biased variance into the running one.")
var_update_biased

# %% [markdown]
r"""
Whoever differentiates a wrong forward formula gets a gradient to match. With the factor n / (n - 1) the third term grows by
it; with eps outside, the root's own derivative remains:
"""

# %% tags=["export"]
dx = batch("dx")
with as_written():
    dbias_is = Equation(dbias, batch_sum(grad_output[i]))
    dweight_is = Equation(dweight, batch_sum(grad_output[i] * xhat[i]))
    dx_unbiased = Equation(dx[i], weight * rstd * (grad_output[i] - dbias / n - xhat[i] * (dweight / (n - 1))))
    dx_outside = Equation(
        dx[i], weight * rstd * (grad_output[i] - dbias / n - xhat[i] * (dweight / n) / (sp.sqrt(var) * rstd)))
dx_outside

# %% [markdown]
r"""
SymPy's derivative of the wrong formulas at three rational values, whose variances are squares, less these (should be zero):
"""

# %%
def slopes(formula, values, grads, center, spread):
    """The derivative of the loss by each value, at these values."""
    symbols = sp.symbols("x1:4")
    mean_, var_ = sum(symbols) / sp.Integer(3), sum((s - sum(symbols) / sp.Integer(3))**2 for s in symbols) / sp.Integer(3)
    loss = sum(g * formula(s - mean_, var_) for g, s in zip(grads, symbols))
    return [loss.diff(s).subs(dict(zip(symbols, values))) for s in symbols]


def by_program(equation, root, values, grads, center, spread):
    """dx as the equation has it, with rstd = root."""
    hats = [(value - center) * root for value in values]
    known = {weight: 1, rstd: root, n: 3, var: spread, dbias: sum(grads), dweight: sum(g * h for g, h in zip(grads, hats))}
    return [equation.rhs.subs({grad_output[i]: g, xhat[i]: h, **known}) for g, h in zip(grads, hats)]


points = [sp.Integer(value) for value in (1, 1, 4)], [sp.Integer(g) for g in (2, -1, 5)], sp.Integer(2), sp.Integer(2)
unbiased_slopes = slopes(lambda d, V: d / sp.sqrt(V * sp.Rational(3, 2) + 1), *points)
outside_slopes = slopes(lambda d, V: d / (sp.sqrt(V) + 1), *points)
differences = [sp.simplify(a - b) for a, b in zip(
    unbiased_slopes + outside_slopes,
    by_program(dx_unbiased, sp.Rational(1, 2), *points) + by_program(dx_outside, 1 / (sp.sqrt(2) + 1), *points))]
assert not any(differences)
differences

# %% [markdown]
r"""
Some kernels save rstd and rebuild the variance from it. Who takes 1 / rstd² for the variance, which is W, adds eps twice:
"""

# %% tags=["export"]
rebuilt = channels("rebuilt_var", positive=True)
with as_written():
    rebuilt_is = Equation(rebuilt, W)
    W_rebuilt = Equation(W, rebuilt + eps)
    dx_is = Equation(dx[i], weight * rstd * (grad_output[i] - dbias / n - xhat[i] * (dweight / n)))
gradients = [xhat_is, dbias_is, dweight_is]
backward_unbiased = mistaken(
    "backward_unbiased", [grad_output, x, mean, var, weight, eps], [W_unbiased, rstd_is, *gradients, dx_unbiased],
    [dx, dweight, dbias], "Gradients of a layer that normalises by the unbiased variance.")
backward_eps_outside = mistaken(
    "backward_eps_outside", [grad_output, x, mean, var, weight, eps], [rstd_outside, *gradients, dx_outside],
    [dx, dweight, dbias], "Gradients of a layer that adds eps to the standard deviation.")
backward_var_rebuilt = mistaken(
    "backward_var_rebuilt", [grad_output, x, mean, var, weight, eps],
    [W_is, rebuilt_is, W_rebuilt, rstd_is, *gradients, dx_is], [dx, dweight, dbias],
    "Gradients of a layer that rebuilt var from rstd and added eps once more.")
backward_var_rebuilt

# %% [markdown]
r"""
Others forget the square, or take rstd itself for a variance. What may be rebuilt, and is no variance:
"""

# %% tags=["export"]
unreduced, unsquared, unchanged = channels("unreduced unsquared unchanged", positive=True)
with as_written():
    unreduced_is = Equation(unreduced, 1 / rstd**2)
    unsquared_is = Equation(unsquared, 1 / rstd)
    unchanged_is = Equation(unchanged, rstd)
rebuilt_variances = mistaken(
    "rebuilt_variances", [var, eps], [W_is, rstd_is, unreduced_is, unsquared_is, unchanged_is], [unreduced, unsquared, unchanged],
    "What is rebuilt from rstd by mistake: eps is left in, or the square forgotten, or both.")
rebuilt_variances

# %% [markdown]
r"""
How far rounding may lead such code is known from the right layer that gives the same outputs. With the unbiased variance that is the
layer with another eps and another weight, and with eps outside the root one with another eps in each channel; SymPy solves for them:
"""

# %%
V, E, w_, f = sp.symbols("V E w f", positive=True)  # variance, eps, weight, and n / (n - 1)
alike_eps, alike_weight = sp.symbols("alike_eps alike_weight", positive=True)
same_slope = sp.Eq(alike_weight**2 * (V * f + E), w_**2 * (V + alike_eps))  # both slopes squared, whatever V is
unbiased_pair, = sp.solve(sp.Poly(sp.expand(same_slope.lhs - same_slope.rhs), V).coeffs(), [alike_eps, alike_weight], dict=True)
outside_eps, = sp.solve(sp.Eq(V + alike_eps, (sp.sqrt(V) + E)**2), alike_eps)
unbiased_pair, sp.expand(outside_eps)

# %% tags=["export"]
eps_alike, weight_alike = channels("eps_alike weight_alike")
with as_written():
    eps_unbiased_is = Equation(eps_alike, eps * (n - 1) / n)
    weight_unbiased_is = Equation(weight_alike, weight * sp.sqrt((n - 1) / n))
    eps_outside_is = Equation(eps_alike, 2 * sp.sqrt(var) * eps + eps**2)
alike_unbiased = mistaken(
    "alike_unbiased", [n, weight, eps], [eps_unbiased_is, weight_unbiased_is], [eps_alike, weight_alike],
    "Eps and weight of the right layer that gives what a layer with the unbiased variance gives.")
alike_eps_outside = mistaken(
    "alike_eps_outside", [var, eps], [eps_outside_is], [eps_alike],
    "Eps of the right layer that gives what a layer with eps outside the root gives.")
alike_unbiased

# %% [markdown]
r"""
These are the solutions (should be zero):
"""

# %%
in_words = {var: V, eps: E, weight: w_, n: f / (f - 1)}
differences = [sp.simplify(evaluated(equation.rhs).subs(in_words, simultaneous=True) - solution) for equation, solution in (
    (eps_unbiased_is, unbiased_pair[alike_eps]), (weight_unbiased_is, unbiased_pair[alike_weight]), (eps_outside_is, outside_eps))]
assert not any(differences)
differences

# %% [markdown]
r"""
## Read the statistics back

Two mistakes have no single wrong result: what one pass loses, and what a sum in half precision does, depends on the order of the
sum. But they leave a trace. All results are the right formulas of *wrong* statistics, so the formulas are solved for them. An
output is a straight line in x. With the deviations d from the true mean, which add up to 0, its level is the mean of y and its slope
is $\sum d\,(y - level) / \sum d^2$; let it belong to other statistics $m$ and $v$:
"""

# %%
d, g_, m_, v_ = sp.IndexedBase("d", real=True), sp.IndexedBase("g", real=True), sp.Symbol("m", real=True), sp.Symbol("v", positive=True)
gamma_w, beta_w, mu_w = sp.symbols("w b mu", real=True, nonzero=True)
root_ = 1 / sp.sqrt(v_ + E)
line = gamma_w * (mu_w + d[i] - m_) * root_ + beta_w


def centred(expression):
    """Sums split, and the sum of the deviations 0."""
    return sp.simplify(linear(sp.expand(expression)).subs(batch_sum(d[i]), 0))


level_, slope_ = centred(batch_sum(line) / n), centred(batch_sum(d[i] * line) / batch_sum(d[i]**2))
level_, slope_

# %% [markdown]
r"""
Two equations for two unknowns:
"""

# %%
level_seen, slope_seen = sp.symbols("level slope", real=True, nonzero=True)
read_v, = sp.solve(sp.Eq(slope_seen**2, slope_**2), v_)
read_m, = sp.solve(sp.Eq(level_seen, level_.subs(root_, slope_seen / gamma_w)), m_)
read_m, read_v

# %% tags=["export"]
read_mean, read_var = channels("read_mean read_var")
level, slope, = channels("level slope")
with as_written():
    level_is = Equation(level, batch_sum(y[i]) / n)
    slope_seen_is = Equation(slope, batch_sum(deviation[i] * (y[i] - level)) / batch_sum(deviation[i]**2))
    read_mean_is = Equation(read_mean, mean + (bias - level) / slope)
    read_var_is = Equation(read_var, (weight / slope)**2 - eps)


def reading(name, inputs, equations, outputs, summary):
    return Mistake(name, inputs, equations, outputs, summary=summary, section='06_accuracy, "Read the statistics back"')


read_output = reading(
    "read_output", [deviation, y, mean, weight, bias, eps], [level_is, slope_seen_is, read_mean_is, read_var_is],
    [read_mean, read_var], "The statistics by which an output is normalised; deviation is x - mean.")
read_output

# %% [markdown]
r"""
The generated equations are these solutions (should be zero):
"""

# %%
in_words = {mean: mu_w, bias: beta_w, weight: gamma_w, eps: E, level: level_seen, slope: slope_seen}
differences = [sp.simplify(evaluated(equation.rhs).subs(in_words, simultaneous=True) - solution)
               for equation, solution in ((read_mean_is, read_m), (read_var_is, read_v))]
assert differences == [0, 0]
differences

# %% [markdown]
r"""
And what is the variance about a mean $m$ that was read? In two passes that of the identity above; in one pass the mean square is
right, and the square of the wrong mean is subtracted:
"""

# %% tags=["export"]
two_pass_var, one_pass_var, mean_square = channels("two_pass_var one_pass_var mean_square")
with as_written():
    two_pass_var_is = Equation(two_pass_var, var + (read_mean - mean)**2)
    one_pass_var_is = Equation(one_pass_var, var + mean**2 - read_mean**2)
    mean_square_is = Equation(mean_square, read_var + read_mean**2)
about_mean = reading(
    "about_mean", [mean, var, read_mean, read_var], [two_pass_var_is, one_pass_var_is, mean_square_is],
    [two_pass_var, one_pass_var, mean_square],
    "The variance about a wrong mean in two passes and in one, and the mean square that one pass must have had.")
about_mean

# %%
about_m = linear(sp.expand(batch_sum((mu_w + d[i] - m_)**2) / n)).subs(batch_sum(d[i]), 0)
square_less_m = linear(sp.expand(batch_sum((mu_w + d[i])**2) / n)).subs(batch_sum(d[i]), 0) - m_**2
in_words = {var: batch_sum(d[i]**2) / n, mean: mu_w, read_mean: m_}
differences = [sp.expand(evaluated(equation.rhs).subs(in_words, simultaneous=True) - direct)
               for equation, direct in ((two_pass_var_is, about_m), (one_pass_var_is, square_less_m))]
assert differences == [0, 0]
differences

# %% [markdown]
r"""
The updates of chapter 02 are linear in what is observed:
"""

# %%
new_, old_, seen_ = sp.symbols("new old seen", real=True)
p_, N = sp.symbols("p N", positive=True)
observed_mean, = sp.solve(sp.Eq(new_, (1 - p_) * old_ + p_ * seen_), seen_)
observed_var, = sp.solve(sp.Eq(new_, (1 - p_) * old_ + p_ * seen_ * N / (N - 1)), seen_)
observed_mean, observed_var

# %% tags=["export"]
new_running_mean, new_running_var = channels("new_running_mean new_running_var")
with as_written():
    observed_mean_is = Equation(read_mean, (new_running_mean - (1 - momentum) * running_mean) / momentum)
    observed_var_is = Equation(read_var, (new_running_var - (1 - momentum) * running_var) / momentum * (n - 1) / n)
read_update = reading(
    "read_update", [running_mean, running_var, new_running_mean, new_running_var, n, momentum], [observed_mean_is, observed_var_is],
    [read_mean, read_var], "The statistics that moved the running ones.")
read_update

# %%
differences = []
for equation, old, new, solution in ((observed_mean_is, running_mean, new_running_mean, observed_mean),
                                     (observed_var_is, running_var, new_running_var, observed_var)):
    in_words = {momentum: p_, old: old_, new: new_, n: N}
    differences.append(sp.simplify(evaluated(equation.rhs).subs(in_words, simultaneous=True) - solution))
assert differences == [0, 0]
differences

# %% [markdown]
r"""
The gradient of the weight, with an error $\delta$ of the mean, is $r \left(\sum g d - \delta \sum g\right)$. One number tells one
unknown: the variance where the mean is right, or the mean where the variance is known:
"""

# %%
delta, moment_, total_, dweight_ = sp.symbols("delta moment total dweight", real=True)
named_sums = {batch_sum(d[i] * g_[i]): moment_, batch_sum(g_[i]): total_}
slope_of_weight = linear(sp.expand(batch_sum(g_[i] * (d[i] - delta) * root_))).subs(named_sums)
var_seen, = sp.solve(sp.Eq(dweight_**2, slope_of_weight.subs(delta, 0)**2), v_)
delta_seen, = sp.solve(sp.Eq(dweight_, slope_of_weight), delta)
slope_of_weight, var_seen, delta_seen

# %% tags=["export"]
moment_of, total_of = channels("moment_of total_of")
with as_written():
    moment_of_is = Equation(moment_of, batch_sum(grad_output[i] * deviation[i]))
    total_of_is = Equation(total_of, batch_sum(grad_output[i]))
    var_of_weight_is = Equation(read_var, (moment_of / dweight)**2 - eps)
    mean_of_weight_is = Equation(read_mean, mean + (moment_of - dweight * sp.sqrt(var + eps)) / total_of)
read_grad_weight = reading(
    "read_grad_weight", [grad_output, deviation, dweight, mean, var, eps], [moment_of_is, total_of_is, mean_of_weight_is, var_of_weight_is],
    [read_mean, read_var],
    "The mean by which a gradient of the weight is centred, if the variance is var; and its variance, if the mean is right.")
read_grad_weight

# %%
in_words = {eps: E, var: v_, mean: 0, moment_of: moment_, total_of: total_, dweight: dweight_}
differences = [sp.simplify(evaluated(equation.rhs).subs(in_words, simultaneous=True) - solution)
               for equation, solution in ((var_of_weight_is, var_seen), (mean_of_weight_is, delta_seen))]
assert differences == [0, 0]
differences

# %% [markdown]
r"""
And dx is a sum of grad_output, of a constant and of d. Only the first has a part across the other two, and that part shows rstd. What is
then left shows the sums that were subtracted: $A = \text{dbias} - \delta\, r\, \text{dweight}$, and dweight:
"""

# %%
r_, A, D = sp.symbols("r A D", positive=True)
sum_dd, sum_gg = batch_sum(d[i]**2), batch_sum(g_[i]**2)
slope_dx = gamma_w * r_ * (g_[i] - A / n - d[i] * r_ * D / n)
across_g = g_[i] - batch_sum(g_[i]) / n - d[i] * batch_sum(d[i] * g_[i]) / sum_dd
seen_r = centred(batch_sum(slope_dx * across_g)) - centred(gamma_w * r_ * batch_sum(across_g**2))
seen_A = centred(batch_sum(g_[i] - slope_dx / (gamma_w * r_))) - A
seen_D = centred(batch_sum((g_[i] - slope_dx / (gamma_w * r_)) * d[i]) * n / (r_ * sum_dd)) - D
differences = [sp.simplify(difference) for difference in (seen_r, seen_A, seen_D)]
assert differences == [0, 0, 0]
differences

# %% tags=["export"]
across, rest = batch("across"), batch("rest")
read_dbias, read_dweight = channels("read_dbias read_dweight")
with as_written():
    across_is = Equation(
        across[i], grad_output[i] - total_of / n - deviation[i] * (moment_of / batch_sum(deviation[i]**2)))
    rstd_across_is = Equation(rstd, batch_sum(dx[i] * across[i]) / (weight * batch_sum(across[i]**2)))
    var_across_is = Equation(read_var, 1 / rstd**2 - eps)
    rest_is = Equation(rest[i], grad_output[i] - dx[i] / (weight * rstd))
    read_dbias_is = Equation(read_dbias, batch_sum(rest[i]))
    read_dweight_is = Equation(read_dweight, n * batch_sum(rest[i] * deviation[i]) / (rstd * batch_sum(deviation[i]**2)))
    dx_of_sums_is = Equation(dx[i], weight * rstd * (grad_output[i] - dbias / n - deviation[i] * rstd * (dweight / n)))
read_grad_input = reading(
    "read_grad_input", [grad_output, deviation, dx, weight, eps], [moment_of_is, total_of_is, across_is, rstd_across_is, var_across_is],
    [across, read_var], "The part of grad_output across 1 and x, and the variance by which a gradient of the input is scaled.")
read_sums = reading(
    "read_sums", [grad_output, deviation, dx, weight, rstd], [rest_is, read_dbias_is, read_dweight_is], [read_dbias, read_dweight],
    "The sums that a gradient of the input subtracts, less what an error of the mean adds to the first.")
backward_of_sums = reading(
    "backward_of_sums", [grad_output, deviation, dbias, dweight, weight, rstd], [dx_of_sums_is], [dx],
    "The gradient of the input that subtracts these sums.")
read_sums

# %% [markdown]
r"""
## Name the mistake

A test suite needs three lines. Here the implementation under test normalises by the unbiased variance:
"""

# %%
x = (noise[:, None] + np.array([3.0, -1.0])).astype(np.float32)
mean = x.sum(axis=0) / np.float32(64)
unbiased = ((x - mean) * (x - mean)).sum(axis=0) / np.float32(63)
try:
    assert_batch_norm({"output": (x - mean) / np.sqrt(unbiased)}, x, training=True, eps=0.0)
except AssertionError as error:
    print(error)

# %% [markdown]
r"""
`explain` answers with names alone. On the `witness`, an input made for it, every mistake shows and no two look alike; elsewhere
it gives several where the data cannot tell. One-pass variance is recognised by its trace: all results agree with one variance per
channel, which is read back from them, and which one pass may give and two passes cannot. (Where the mean is larger, what one pass
leaves of a variance has as few digits as a half; then both names are the answer.)
"""

# %%
x = (noise[:, None] + np.array([30.0, 60.0, 100.0])).astype(np.float32)
wrong = np.stack([textbook(one_pass, column) for column in x.T.copy()], axis=1)
names = explain({"output": wrong}, x, training=True, eps=2.0**-16)
assert names == ("one-pass variance",)
names
