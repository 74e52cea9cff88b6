# %% [markdown]
r"""
# Bound every rounding

> The true answer can be computed and rounded once; textbook code is far from it.

**Proves** the rules by which `bnref` encloses its results. **Exports** nothing. **Checked by** `tests/arithmetic/`.
"""

# %%
from fractions import Fraction

import numpy as np
import sympy as sp

import bnref
from bnref import equations
from bnref.arithmetic import arrays
from bnref.arithmetic.ball import Ball
from bnref.arithmetic.exact import Exact, ExactChannel, round_to
from tools.show import BLUE, GREEN, ORANGE, PURPLE, figure, show, table

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
The last ball lies on a midpoint; no radius but 0 decides it. The radii of `bnref` are so small that of ordinary data few
elements are left over; `make bench` counts them.

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
methods = [("one pass", one_pass, ORANGE, "--"), ("two passes", two_pass, BLUE, "-")]
errors = {}
for dtype in (np.float32, np.float64):
    data = [(noise + ratio).astype(dtype) for ratio in ratios]
    true = [correctly_rounded(x) for x in data]
    for name, statistics, *_ in methods:
        errors[name, dtype] = [in_ulp(textbook(statistics, x), t) for x, t in zip(data, true)]
    ours = [bnref.batch_norm(x[:, None], training=True, eps=2.0**-16).output[:, 0] for x in data]
    errors["bnref", dtype] = [in_ulp(y, t) for y, t in zip(ours, true)]
assert not any(errors["bnref", np.float32] + errors["bnref", np.float64])

# %%
import math


def height(error):
    """The binary logarithm, made piecewise linear: 0 for no error, 1 for one ulp, 2 for two, 3 for four."""
    mantissa, exponent = math.frexp(error)
    return exponent + 2 * mantissa - 1 if error >= 1 else error


def ladder(panel, title, shown, top):
    for values, name, color, dashes, marker in shown:
        panel.plot(range(len(values)), [height(value) for value in values], color=color, linestyle=dashes, marker=marker,
                   markersize=5, label=name, clip_on=False)
    ticks = [0, *range(11, top + 1, 10)]
    panel.set(title=title, xlabel="mean / standard deviation", xticks=range(8), ylim=(-0.5, top), yticks=ticks,
              xticklabels=["1", "10", "100", "1e3", "1e4", "1e5", "1e6", "1e7"],
              yticklabels=["0", *(f"2^{tick - 1}" for tick in ticks[1:])])


fig, panels = figure(7.4, 3.6, columns=2, sharey=True)
for panel, dtype in zip(panels, (np.float32, np.float64)):
    shown = [(errors[name, dtype], name, color, dashes, "o") for name, _, color, dashes in methods]
    ladder(panel, dtype.__name__, [*shown, (errors["bnref", dtype], "bnref", GREEN, "-.", "s")], 56)
panels[0].set_ylabel("worst error in ulp of 1")
panels[0].legend(loc="upper left", fontsize=9)
show(fig, """Two panels, float32 and float64: worst error in ulp against the mean in standard deviations, 1 to 1e7, both axes
logarithmic. Two-pass code starts at a few ulp and loses as much as the mean grows, a factor of ten a step. One-pass code loses
the square of it, a factor of a hundred a step, until nothing is left. The line of bnref lies at 0 throughout.""")

# %% [markdown]
r"""
float64 is no help, only a later start. That two passes lose a factor $\kappa$ = mean / std and one pass $\kappa^2$ is no accident
of these data.
"""
