# %% [markdown]
r"""
# Differentiate through the batch

> Every value of a batch moves every output of its channel, through mean and variance, so the gradient has two terms more than it seems.

**Proves** the three gradients and the double backward for any n, with batch and with running statistics; the null spaces. **Exports** `backward`, `backward_inference`, `double_backward`, `double_backward_inference`, and wrong gradients to `bnref/mistakes.py`. **Checked by** `tests/test_equations.py` and `tests/test_backward.py`.
"""

# %% tags=["export"]
import sympy as sp

from tools.derive import Equation, Mistake, Program, as_written, batch, batch_sum, channels, evaluated, i, j, n, scalars
from tools.sums import linear

# %% [markdown]
r"""
A loss depends on the outputs $y_1, \dots, y_n$ of a channel; `grad_output` is its derivative by each of them. Wanted are
its derivatives by the inputs, the weight and the bias: $\mathrm{dx}$, $\mathrm{dweight}$, $\mathrm{dbias}$.

## Write the output out

To SymPy the forward equations of chapter 01 with nothing abbreviated; mean and variance sum over an index $k$ of their own:
"""

# %% tags=["export"]
x, xhat, grad_output = batch("x"), batch("xhat"), batch("grad_output")
mean, weight, bias = channels("mean weight bias")
var, W, rstd = channels("var W rstd", positive=True)
eps = scalars("eps")
k = sp.Symbol("k", integer=True)

M = sp.Sum(x[k], (k, 1, n)) / n
V = sp.Sum((x[k] - M) ** 2, (k, 1, n)) / n
y = weight * (x[i] - M) / sp.sqrt(V + eps) + bias
y

# %% [markdown]
r"""
A derivative by $x_j$ brings Kronecker deltas. `named` lets sums swallow them (`linear`, chapter 01) and gives the statistics
their names back:
"""

# %% tags=["export"]
def named(expression):
    return linear(expression.subs(V, W - eps)).subs(sp.Sum(x[k], (k, 1, n)), n * mean)


def zero(expression):
    return sp.simplify(sp.expand(linear(evaluated(expression))))


named(M.diff(x[j]))

# %% [markdown]
r"""
That is the share of one value in the mean. In the variance the mean's own motion drops out, since deviations from it add
up to nothing:
"""

# %%
named(V.diff(x[j]))

# %% [markdown]
r"""
## Differentiate one output by one input

SymPy differentiates the output as it stands, for general $n$, $i$ and $j$:
"""

# %% tags=["export"]
jacobian = named(y.diff(x[j]))
jacobian

# %% [markdown]
r"""
In the terms of chapter 01 that is
"""

# %% tags=["export"]
def normalized(t):
    return (x[t] - mean) / sp.sqrt(W)


compact = weight / sp.sqrt(W) * (sp.KroneckerDelta(i, j) - 1 / n - normalized(i) * normalized(j) / n)
assert zero(jacobian - compact) == 0
weight * rstd * (sp.KroneckerDelta(i, j) - 1 / n - xhat[i] * xhat[j] / n)

# %% [markdown]
r"""
The first term is what a reader expects; the second comes through the mean, the third through the variance.

## Add up the gradients

By the chain rule each gradient sums over the outputs. The bias reaches every output with factor one, the weight with factor
$\hat x_i$:
"""

# %% tags=["export"]
dx, dweight, dbias = batch("dx"), *channels("dweight dbias")
with as_written():
    W_is = Equation(W, var + eps)
    rstd_is = Equation(rstd, 1 / sp.sqrt(W))
    xhat_is = Equation(xhat[i], (x[i] - mean) * rstd)
    dbias_is = Equation(dbias, batch_sum(grad_output[i]))
dbias_is

# %% tags=["export"]
with as_written():
    dweight_is = Equation(dweight, batch_sum(grad_output[i] * xhat[i]))
dweight_is

# %% [markdown]
r"""
These two sums are all that $\mathrm{dx}$ needs to know of the other values:
"""

# %% tags=["export"]
with as_written():
    dx_is = Equation(dx[i], weight * rstd * (grad_output[i] - dbias / n - xhat[i] * (dweight / n)))
dx_is

# %% [markdown]
r"""
Is it so? `spelled` puts the definitions into an equation; the derivative of the loss, as SymPy has it, less the compact
form (all three should be zero):
"""

# %% tags=["export"]
definitions = [(dweight, dweight_is.rhs), (dbias, dbias_is.rhs), (rstd, 1 / sp.sqrt(W))]


def spelled(expression, at=i):
    """The expression in x, mean and W alone, for the value with this index."""
    for symbol, meaning in [*definitions, (xhat[i], normalized(i))]:
        expression = evaluated(expression).xreplace({symbol: evaluated(meaning)})
    return expression.subs(i, at)


def derivative(of_output, by):
    """The derivative of the loss, where each output has this derivative."""
    return linear(batch_sum(grad_output[i] * named(of_output.diff(by))))


differences = [zero(derivative(y, by) - spelled(equation.rhs, at=j)) for by, equation
               in ((x[j], dx_is), (weight, dweight_is), (bias, dbias_is))]
assert differences == [0, 0, 0]
differences

# %% tags=["export"]
backward = Program(
    "backward", [grad_output, x, mean, var, weight, eps],
    [W_is, rstd_is, xhat_is, dbias_is, dweight_is, dx_is], [dx, dweight, dbias],
    summary="Gradients through batch statistics.",
    section='03_backward, "Add up the gradients"',
    notes="""
`mean` and `var` are those of x itself, so that dx counts what x does to them.

Special cases: for n = 1 dx and dweight are 0, where eps > 0; in a constant channel with eps = 0 they are NaN.
""")
backward

# %% [markdown]
r"""
## Leave the statistics alone in inference

Running statistics do not move with the input, so only the first of the three terms is left. `mean` and `var` are now
constants, and SymPy agrees (all three should be zero):
"""

# %% tags=["export"]
y_inference = weight * (x[i] - mean) / sp.sqrt(W) + bias
with as_written():
    dx_inference_is = Equation(dx[i], weight * rstd * grad_output[i])
differences = [zero(derivative(y_inference, by) - spelled(equation.rhs, at=j)) for by, equation
               in ((x[j], dx_inference_is), (weight, dweight_is), (bias, dbias_is))]
assert differences == [0, 0, 0]
dx_inference_is

# %% tags=["export"]
backward_inference = Program(
    "backward_inference", [grad_output, x, mean, var, weight, eps],
    [W_is, rstd_is, xhat_is, dbias_is, dweight_is, dx_inference_is], [dx, dweight, dbias],
    summary="Gradients through running statistics, which are constants.",
    section='03_backward, "Leave the statistics alone in inference"')
backward_inference

# %% [markdown]
r"""
## Find what the gradient cannot do

Adding a constant to a batch changes nothing, so the gradient has no component in that direction (should be zero):
"""

# %%
total = linear(batch_sum(spelled(dx_is.rhs))).subs(batch_sum(x[i]), n * mean)
assert zero(total) == 0
zero(total)

# %% [markdown]
r"""
Scaling a batch about its mean changes nothing either, but for eps. So the component along $\hat x$ is small, not zero:
"""

# %%
squares = batch_sum(x[i] ** 2)
along = linear(batch_sum(spelled(dx_is.rhs) * normalized(i)))
along = along.subs(squares, n * (W - eps + mean**2)).subs(batch_sum(x[i]), n * mean)
exact = weight * spelled(dweight) * eps / W / sp.sqrt(W)
assert zero(along - exact) == 0
weight * rstd * dweight * eps / W

# %% [markdown]
r"""
For a batch of three values the deviations from the mean lie in a plane, and there one can see it. `grad_output` is the same
everywhere, (1, 0, -1), a direction of that plane; an arrow is dx where it starts, times the standard deviation, so that
all are of one scale. Where the variance is large beside eps the gradient runs along circles about the mean, which keep the
variance, and on the line along `grad_output` it vanishes: the null space. Near the middle, where eps is what counts, it
points one way, as if there were no normalisation.
"""

# %%
import math

import numpy as np
from matplotlib.patches import Circle

from bnref.arithmetic import arrays
from tools.show import BLUE, INK, QUIET, VERMILION, figure, label, show, table

axis_1, axis_2 = np.array([1, -1, 0]) / math.sqrt(2), np.array([1, 1, -2]) / math.sqrt(6)
grad = np.array([1.0, 0.0, -1.0])
ticks = np.arange(-7, 8) * 0.35
across, up = np.meshgrid(ticks, ticks)
points = across.ravel() * axis_1[:, None] + up.ravel() * axis_2[:, None]


def field(eps):
    """dx times the standard deviation at every point, a batch of three values a channel, in the plane's two directions."""
    mean_, deviation = points.sum(axis=0) / 3, points - points.sum(axis=0) / 3
    var_ = (deviation * deviation).sum(axis=0) / 3
    slope, _, _ = backward(grad[:, None] + 0.0 * points, points, mean_, var_, 1.0, eps, xp=arrays)
    return [(slope * axis[:, None]).sum(axis=0) * np.sqrt(var_ + eps) for axis in (axis_1, axis_2)]


for eps_, color, seen in (
        (2.0**-10, BLUE, """The arrows run along circles around the origin, away from one end of a dashed line through it and
        towards the other; they are longest across that line and vanish on it. The line is the direction of grad_output."""),
        (1.0, VERMILION, """Far away from the origin the arrows bend towards the circles around it, and are short near the
        dashed line; near the origin all are long and point the same way, along the line.""")):
    fig, axes = figure(4.9, 5.0)
    for radius in (0.9, 1.7, 2.5):
        axes.add_patch(Circle((0, 0), radius, fill=False, color=QUIET, linewidth=0.8, linestyle=":"))
    along = [(grad * axis).sum() / math.sqrt(2) for axis in (axis_1, axis_2)]
    axes.plot([-2.7 * along[0], 2.7 * along[0]], [-2.7 * along[1], 2.7 * along[1]], "--", color=INK, linewidth=1.4)
    axes.quiver(across.ravel(), up.ravel(), *field(eps_), color=color, scale=22, width=0.006, pivot="mid", minlength=0.3)
    label(axes, -2.7, -3.0, "dashed: along grad_output, whose dx is 0 for eps = 0")
    axes.set(title="eps = 1/1024" if eps_ < 1 else "eps = 1", xlabel="along (1, -1, 0)", ylabel="along (1, 1, -2)",
             aspect="equal", xlim=(-2.8, 2.8), ylim=(-3.3, 2.8), xticks=range(-2, 3), yticks=range(-2, 3))
    show(fig, f"A field of arrows over the plane of deviations of a batch of three, dx for a fixed grad_output, eps = {eps_:g}. {seen}")

# %% [markdown]
r"""
## Check against SymPy and against differences

Two and three values in exact rationals, with eps such that W is 9/4 and 25/4. On the left SymPy's derivative of the loss with
numbers put in; right, what the program computes:
"""

# %%
from fractions import Fraction


def by_sympy(values, grads, weight_, eps_):
    """dx of the loss, differentiated with n symbols and then evaluated."""
    symbols = sp.symbols(f"x1:{len(values) + 1}")
    center = sum(symbols) / sp.Integer(len(values))
    spread = sum((s - center) ** 2 for s in symbols) / sp.Integer(len(values))
    loss = sum(g * weight_ * (s - center) / sp.sqrt(spread + eps_) for g, s in zip(grads, symbols))
    return [loss.diff(s).subs(dict(zip(symbols, values))) for s in symbols]


rows = []
for values, grads, eps_ in (([1, 3], [2, 5], sp.Rational(5, 4)), ([1, 2, 6], [1, -2, 4], sp.Rational(19, 12))):
    column = arrays.rationals([[value] for value in values])
    mean_ = column.sum(axis=0) / Fraction(len(values))
    var_ = ((column - mean_) ** 2).sum(axis=0) / Fraction(len(values))
    slopes = arrays.rationals([[g] for g in grads])
    computed, _, _ = backward(slopes, column, mean_, var_, 3, Fraction(str(eps_)), xp=arrays)
    expected = by_sympy(values, grads, 3, eps_)
    assert [str(value) for value in computed.ravel()] == [str(value) for value in expected]
    rows.append([len(values), ", ".join(map(str, expected)), ", ".join(map(str, computed.ravel()))])
table(["n", "SymPy", "program"], rows)

# %% [markdown]
r"""
And in floats, against central differences of the loss, whose error falls with the square of the step: halved, it is a
quarter.
"""

# %%
rng = np.random.default_rng(5)
values, grads = rng.normal(3, 2, (7, 1)), rng.normal(0, 1, (7, 1))


def statistics(values):
    center = values.sum(axis=0) / len(values)
    return center, ((values - center) * (values - center)).sum(axis=0) / len(values)


def loss(values):
    center, spread = statistics(values)
    return float((grads * (2.0 * (values - center) / np.sqrt(spread + 0.5))).sum())


def central(step):
    slopes = []
    for row in range(len(values)):
        shift = np.zeros_like(values)
        shift[row] = step
        slopes.append((loss(values + shift) - loss(values - shift)) / (2 * step))
    return np.array(slopes)


slope, _, _ = backward(grads, values, *statistics(values), 2.0, 0.5, xp=arrays)
errors = [np.abs(central(step) - slope.ravel()).max() for step in (2.0**-6, 2.0**-7, 2.0**-8)]
assert all(3.9 < coarse / fine < 4.1 for coarse, fine in zip(errors, errors[1:]))
[f"{coarse / fine:.2f}" for coarse, fine in zip(errors, errors[1:])]

# %% [markdown]
r"""
## Know the wrong gradients

An implementation that detaches the mean from the graph, or the variance, differentiates with that statistic held
constant:
"""

# %% tags=["export"]
y_mean_detached = weight * (x[i] - mean) / sp.sqrt(sp.Sum((x[k] - mean) ** 2, (k, 1, n)) / n + eps) + bias
y_var_detached = weight * (x[i] - M) / sp.sqrt(W) + bias
with as_written():
    dx_mean_detached = Equation(dx[i], weight * rstd * (grad_output[i] - xhat[i] * (dweight / n)))
dx_mean_detached

# %% tags=["export"]
with as_written():
    dx_var_detached = Equation(dx[i], weight * rstd * (grad_output[i] - dbias / n))
dx_var_detached

# %% [markdown]
r"""
Both are what SymPy gives (should be zero):
"""

# %%
detached_root = sp.Sum((x[k] - mean) ** 2, (k, 1, n)) / n
slope = linear(batch_sum(grad_output[i] * linear(y_mean_detached.diff(x[j]).subs(detached_root, W - eps))))
differences = [zero(slope - spelled(dx_mean_detached.rhs, at=j)),
               zero(derivative(y_var_detached, x[j]) - spelled(dx_var_detached.rhs, at=j))]
assert differences == [0, 0]
differences

# %% [markdown]
r"""
What is lost by the first is the mean's share, and by the second the variance's:
"""

# %%
sp.factor(evaluated(dx_mean_detached.rhs) - evaluated(dx_is.rhs))

# %%
sp.factor(evaluated(dx_var_detached.rhs) - evaluated(dx_is.rhs))

# %% [markdown]
r"""
Two more are met in real code (chapter 06): the weight forgotten, which no test with weight 1 sees, and sums of which one or
both are not divided by n. The wrong gradients go to a file of their own, for `bnref.testing` to recognise.
"""

# %% tags=["export"]
with as_written():
    dx_weight_missing = Equation(dx[i], rstd * (grad_output[i] - dbias / n - xhat[i] * (dweight / n)))
    dx_sums_not_divided = Equation(dx[i], weight * rstd * (grad_output[i] - dbias - xhat[i] * dweight))
    dx_dbias_not_divided = Equation(dx[i], weight * rstd * (grad_output[i] - dbias - xhat[i] * (dweight / n)))
    dx_dweight_not_divided = Equation(dx[i], weight * rstd * (grad_output[i] - dbias / n - xhat[i] * dweight))


def mistaken(name, equation, summary):
    return Mistake(name, backward.inputs, [W_is, rstd_is, xhat_is, dbias_is, dweight_is, equation], backward.outputs,
                   summary=summary, section='03_backward, "Know the wrong gradients"')


backward_mean_detached = mistaken("backward_mean_detached", dx_mean_detached, "Gradients that take the mean for a constant.")
backward_var_detached = mistaken("backward_var_detached", dx_var_detached, "Gradients that take the variance for a constant.")
backward_weight_missing = mistaken("backward_weight_missing", dx_weight_missing, "A dx without the weight.")
backward_sums_not_divided = mistaken("backward_sums_not_divided", dx_sums_not_divided, "A dx whose sums are not divided by n.")
backward_dbias_not_divided = mistaken("backward_dbias_not_divided", dx_dbias_not_divided, "A dx whose first sum is not divided by n.")
backward_dweight_not_divided = mistaken(
    "backward_dweight_not_divided", dx_dweight_not_divided, "A dx whose second sum is not divided by n.")
backward_mean_detached

# %% [markdown]
r"""
## Differentiate once more

Gradient penalties differentiate the gradient. Let the three gradients be weighed by `grad_grad_input` (one weight for each
value of dx), `grad_grad_weight` and `grad_grad_bias`; wanted are the derivatives of that sum by `grad_output`, x and weight.
"""

# %% tags=["export"]
grad_grad_input = batch("grad_grad_input")
grad_grad_weight, grad_grad_bias = channels("grad_grad_weight grad_grad_bias")

# %%
def weighed(slopes):
    """The weighed sum of the three gradients, with nothing abbreviated that depends on x."""
    dx_, dweight_, dbias_ = slopes
    return batch_sum(grad_grad_input[i] * dx_) + grad_grad_weight * dweight_ + grad_grad_bias * dbias_


def written_out(expression):
    """The statistics as sums over x again, so that they can be differentiated."""
    return spelled(expression).subs(W, V + eps).subs(mean, M)


first_order = weighed([written_out(equation.rhs) for equation in (dx_is, dweight_is, dbias_is)])

# %% [markdown]
r"""
The results are best said with the two sums from above, taken of `grad_grad_input` as well, and with what is left of a
gradient when its parts along one and along $\hat x$ are removed, a projection:
"""

# %% tags=["export"]
ggweight, ggbias, inner = channels("ggweight ggbias inner")
projected_grad, projected_gg = batch("projected_grad"), batch("projected_gg")
with as_written():
    ggbias_is = Equation(ggbias, batch_sum(grad_grad_input[i]))
    ggweight_is = Equation(ggweight, batch_sum(grad_grad_input[i] * xhat[i]))
    projected_grad_is = Equation(projected_grad[i], grad_output[i] - dbias / n - xhat[i] * (dweight / n))
    projected_gg_is = Equation(projected_gg[i], grad_grad_input[i] - ggbias / n - xhat[i] * (ggweight / n))
    inner_is = Equation(inner, batch_sum(grad_grad_input[i] * projected_grad[i]))
projected_grad_is

# %% [markdown]
r"""
By `grad_output`, in which the gradients are linear:
"""

# %% tags=["export"]
d_grad_output, d_x, d_weight = batch("d_grad_output"), batch("d_x"), channels("d_weight")
with as_written():
    d_grad_output_is = Equation(
        d_grad_output[i], weight * rstd * projected_gg[i] + grad_grad_weight * xhat[i] + grad_grad_bias)
d_grad_output_is

# %% [markdown]
r"""
By x, which enters everywhere:
"""

# %% tags=["export"]
with as_written():
    d_x_is = Equation(d_x[i], grad_grad_weight * rstd * projected_grad[i] - weight * rstd**2 / n * (
        inner * xhat[i] + dweight * projected_gg[i] + ggweight * projected_grad[i]))
d_x_is

# %% [markdown]
r"""
And by the weight:
"""

# %% tags=["export"]
with as_written():
    d_weight_is = Equation(d_weight, rstd * inner)
d_weight_is

# %% [markdown]
r"""
SymPy's derivatives of the weighed sum, for general n, less these (all three should be zero):
"""

# %%
definitions = [(inner, inner_is.rhs), (projected_grad[i], projected_grad_is.rhs), (projected_gg[i], projected_gg_is.rhs),
               (ggweight, ggweight_is.rhs), (ggbias, ggbias_is.rhs), *definitions]
differences = [zero(named(first_order.diff(by)) - spelled(equation.rhs, at=j).subs(batch_sum(x[i]), n * mean)) for by, equation
               in ((grad_output[j], d_grad_output_is), (x[j], d_x_is), (weight, d_weight_is))]
assert differences == [0, 0, 0]
differences

# %% tags=["export"]
double_backward = Program(
    "double_backward", [grad_grad_input, grad_grad_weight, grad_grad_bias, grad_output, x, mean, var, weight, eps],
    [W_is, rstd_is, xhat_is, dbias_is, dweight_is, ggbias_is, ggweight_is, projected_grad_is, projected_gg_is, inner_is,
     d_grad_output_is, d_x_is, d_weight_is], [d_grad_output, d_x, d_weight],
    summary="Gradients of the gradients through batch statistics.",
    section='03_backward, "Differentiate once more"',
    notes="""
The derivatives of sum(grad_grad_input * dx) + grad_grad_weight * dweight + grad_grad_bias * dbias by grad_output, x and
weight; `mean` and `var` are those of x itself.
""")
double_backward

# %% [markdown]
r"""
With running statistics little is left (all three should be zero):
"""

# %% tags=["export"]
with as_written():
    inner_inference_is = Equation(inner, batch_sum(grad_grad_input[i] * grad_output[i]))
    d_grad_output_inference_is = Equation(
        d_grad_output[i], weight * rstd * grad_grad_input[i] + grad_grad_weight * xhat[i] + grad_grad_bias)
    d_x_inference_is = Equation(d_x[i], grad_grad_weight * rstd * grad_output[i])
d_x_inference_is

# %%
definitions = [(inner, inner_inference_is.rhs), *definitions[1:]]
first_order = weighed([spelled(equation.rhs) for equation in (dx_inference_is, dweight_is, dbias_is)])
differences = [zero(first_order.diff(by) - spelled(equation.rhs, at=j)) for by, equation
               in ((grad_output[j], d_grad_output_inference_is), (x[j], d_x_inference_is), (weight, d_weight_is))]
assert differences == [0, 0, 0]
differences

# %% tags=["export"]
double_backward_inference = Program(
    "double_backward_inference", double_backward.inputs,
    [W_is, rstd_is, xhat_is, inner_inference_is, d_grad_output_inference_is, d_x_inference_is, d_weight_is],
    [d_grad_output, d_x, d_weight],
    summary="Gradients of the gradients through running statistics, which are constants.",
    section='03_backward, "Differentiate once more"')
double_backward_inference
