"""The formulas of batch normalisation, as functions of a number system.

GENERATED from the notebooks: do not edit; change a chapter and run "make export".
Arrays have their channels last; `xp` supplies sum (over all axes but the last), count and sqrt.
"""

__all__ = [
    "batch_statistics",
    "normalize",
    "update_running_statistics",
    "complement",
    "cumulative_momentum",
    "backward",
    "backward_inference",
    "double_backward",
    "double_backward_inference",
    "mean_bound",
    "var_bound",
    "one_pass_var_bound",
    "rstd_bound",
    "output_bound",
    "running_bound",
    "backward_bound",
    "backward_inference_bound",
    "saved_bound",
    "stored_bound",
]


# --- notebooks/01_forward ---


def batch_statistics(x, *, xp):
    """Batch mean and biased batch variance of each channel.

    Derived in notebooks/01_forward, "Gather the statistics".
    Equations: site/01_forward.html#batch_statistics.mean, .var

    Parameters
    ----------
    x : (..., C)
    xp : number system, with sum, count and sqrt

    Returns
    -------
    mean : (C,)
    var : (C,)

    Notes
    -----
    Special cases: for n = 0 both are 0 / 0, NaN in floats; for n = 1 var is 0.
    """
    # inputs: x
    n = xp.count(x)
    # output
    mean = xp.sum(x) / n
    var = xp.sum((x - mean) ** 2) / n
    return mean, var


def normalize(x, mean, var, weight, bias, eps, *, xp):
    """Normalise, scale and shift each channel.

    Derived in notebooks/01_forward, "Normalise".
    Equations: site/01_forward.html#normalize.W, .rstd, .xhat, .y

    Parameters
    ----------
    x : (..., C)
    mean, var, weight, bias : (C,)
    eps : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    y : (..., C)

    Notes
    -----
    Special cases: W < 0 gives NaN; for W = 0 rstd is infinite, so y is infinite where x differs from mean and NaN where
    it does not.
    """
    # inputs: x mean var weight bias eps
    W = var + eps
    rstd = 1 / xp.sqrt(W)
    xhat = (x - mean) * rstd
    # output
    y = weight * xhat + bias
    return y


# --- notebooks/02_running_statistics ---


def update_running_statistics(running_mean, running_var, mean, var, n, momentum, *, xp):
    """Move the running statistics towards those of a batch of n values.

    Derived in notebooks/02_running_statistics, "Update".
    Equations: site/02_running_statistics.html#update_running_statistics.unbiased_var, .new_running_mean,
    .new_running_var

    Parameters
    ----------
    running_mean, running_var, mean, var : (C,)
    n, momentum : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    new_running_mean : (C,)
    new_running_var : (C,)

    Notes
    -----
    `momentum` is the weight of the new observation, as in PyTorch; `var` is the biased variance.

    Special cases: n = 1 is 0 / 0, since one value has no unbiased variance; the caller decides.
    """
    # inputs: running_mean running_var mean var n momentum
    unbiased_var = var * n / (n - 1)
    # output
    new_running_mean = (1 - momentum) * running_mean + momentum * mean
    new_running_var = (1 - momentum) * running_var + momentum * unbiased_var
    return new_running_mean, new_running_var


def complement(momentum, *, xp):
    """Convert a momentum between PyTorch's convention and MindSpore's.

    Derived in notebooks/02_running_statistics, "Convert the momentum".
    Equations: site/02_running_statistics.html#complement.converted

    Parameters
    ----------
    momentum : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    converted : scalar
    """
    # inputs: momentum
    # output
    converted = 1 - momentum
    return converted


def cumulative_momentum(num_batches_tracked, *, xp):
    """The momentum that makes the running statistics a plain average of all batches.

    Derived in notebooks/02_running_statistics, "Average all batches alike".
    Equations: site/02_running_statistics.html#cumulative_momentum.momentum

    Parameters
    ----------
    num_batches_tracked : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    momentum : scalar

    Notes
    -----
    `num_batches_tracked` includes the batch that is being added, so the first batch has momentum 1.
    Source: `torch.nn.BatchNorm1d` with ``momentum=None``.
    """
    # inputs: num_batches_tracked
    # output
    momentum = 1 / num_batches_tracked
    return momentum


# --- notebooks/03_backward ---


def backward(grad_output, x, mean, var, weight, eps, *, xp):
    """Gradients through batch statistics.

    Derived in notebooks/03_backward, "Add up the gradients".
    Equations: site/03_backward.html#backward.W, .rstd, .xhat, .dbias, .dweight, .dx

    Parameters
    ----------
    grad_output, x : (..., C)
    mean, var, weight : (C,)
    eps : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    dx : (..., C)
    dweight : (C,)
    dbias : (C,)

    Notes
    -----
    `mean` and `var` are those of x itself, so that dx counts what x does to them.

    Special cases: for n = 1 dx and dweight are 0, where eps > 0; in a constant channel with eps = 0 they are NaN.
    """
    # inputs: grad_output x mean var weight eps
    n = xp.count(grad_output)
    W = var + eps
    rstd = 1 / xp.sqrt(W)
    xhat = (x - mean) * rstd
    # output
    dbias = xp.sum(grad_output)
    dweight = xp.sum(grad_output * xhat)
    dx = weight * rstd * (grad_output - dbias / n - xhat * (dweight / n))
    return dx, dweight, dbias


def backward_inference(grad_output, x, mean, var, weight, eps, *, xp):
    """Gradients through running statistics, which are constants.

    Derived in notebooks/03_backward, "Leave the statistics alone in inference".
    Equations: site/03_backward.html#backward_inference.W, .rstd, .xhat, .dbias, .dweight, .dx

    Parameters
    ----------
    grad_output, x : (..., C)
    mean, var, weight : (C,)
    eps : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    dx : (..., C)
    dweight : (C,)
    dbias : (C,)
    """
    # inputs: grad_output x mean var weight eps
    W = var + eps
    rstd = 1 / xp.sqrt(W)
    xhat = (x - mean) * rstd
    # output
    dbias = xp.sum(grad_output)
    dweight = xp.sum(grad_output * xhat)
    dx = weight * rstd * grad_output
    return dx, dweight, dbias


def double_backward(grad_grad_input, grad_grad_weight, grad_grad_bias, grad_output, x, mean, var, weight, eps, *, xp):
    """Gradients of the gradients through batch statistics.

    Derived in notebooks/03_backward, "Differentiate once more".
    Equations: site/03_backward.html#double_backward.W, .rstd, .xhat, .dbias, .dweight, .ggbias, .ggweight,
    .projected_grad, .projected_gg, .inner, .d_grad_output, .d_x, .d_weight

    Parameters
    ----------
    grad_grad_input, grad_output, x : (..., C)
    grad_grad_weight, grad_grad_bias, mean, var, weight : (C,)
    eps : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    d_grad_output : (..., C)
    d_x : (..., C)
    d_weight : (C,)

    Notes
    -----
    The derivatives of sum(grad_grad_input * dx) + grad_grad_weight * dweight + grad_grad_bias * dbias by grad_output, x and
    weight; `mean` and `var` are those of x itself.
    """
    # inputs: grad_grad_input grad_grad_weight grad_grad_bias grad_output x mean var weight eps
    n = xp.count(grad_grad_input)
    W = var + eps
    rstd = 1 / xp.sqrt(W)
    xhat = (x - mean) * rstd
    dbias = xp.sum(grad_output)
    dweight = xp.sum(grad_output * xhat)
    ggbias = xp.sum(grad_grad_input)
    ggweight = xp.sum(grad_grad_input * xhat)
    projected_grad = grad_output - dbias / n - xhat * (dweight / n)
    projected_gg = grad_grad_input - ggbias / n - xhat * (ggweight / n)
    inner = xp.sum(grad_grad_input * projected_grad)
    # output
    d_grad_output = weight * rstd * projected_gg + grad_grad_weight * xhat + grad_grad_bias
    d_x = grad_grad_weight * rstd * projected_grad - weight * rstd ** 2 / n * (inner * xhat + dweight * projected_gg + ggweight * projected_grad)
    d_weight = rstd * inner
    return d_grad_output, d_x, d_weight


def double_backward_inference(grad_grad_input, grad_grad_weight, grad_grad_bias, grad_output, x, mean, var, weight, eps, *, xp):
    """Gradients of the gradients through running statistics, which are constants.

    Derived in notebooks/03_backward, "Differentiate once more".
    Equations: site/03_backward.html#double_backward_inference.W, .rstd, .xhat, .inner, .d_grad_output, .d_x,
    .d_weight

    Parameters
    ----------
    grad_grad_input, grad_output, x : (..., C)
    grad_grad_weight, grad_grad_bias, mean, var, weight : (C,)
    eps : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    d_grad_output : (..., C)
    d_x : (..., C)
    d_weight : (C,)
    """
    # inputs: grad_grad_input grad_grad_weight grad_grad_bias grad_output x mean var weight eps
    W = var + eps
    rstd = 1 / xp.sqrt(W)
    xhat = (x - mean) * rstd
    inner = xp.sum(grad_grad_input * grad_output)
    # output
    d_grad_output = weight * rstd * grad_grad_input + grad_grad_weight * xhat + grad_grad_bias
    d_x = grad_grad_weight * rstd * grad_output
    d_weight = rstd * inner
    return d_grad_output, d_x, d_weight


# --- notebooks/06_accuracy ---


def mean_bound(x, mean, u_stat, u_sum, steps, tiny, *, xp):
    """How far a batch mean may be from the true one.

    Derived in notebooks/06_accuracy, "Bound the mean".
    Equations: site/06_accuracy.html#mean_bound.size, .gamma_sum, .sum_error, .mean_error

    Parameters
    ----------
    x : (..., C)
    mean : (C,)
    u_stat, u_sum, steps, tiny : scalar
    xp : number system, with sum, count, sqrt, abs and maximum

    Returns
    -------
    mean_error : (C,)
    """
    # inputs: x mean u_stat u_sum steps tiny
    n = xp.count(x)
    size = xp.sum(xp.abs(x)) / n
    gamma_sum = (steps + 2) * u_sum / xp.maximum(1 - (steps + 2) * u_sum, 0)
    sum_error = gamma_sum * size
    # output
    mean_error = sum_error + u_stat * (xp.abs(mean) + sum_error) + tiny
    return mean_error


def var_bound(var, mean_error, u_stat, u_sum, steps, tiny, *, xp):
    """How far below and above the true one a batch variance of two passes may be.

    Derived in notebooks/06_accuracy, "Bound the variance of two passes".
    Equations: site/06_accuracy.html#var_bound.gamma_sum, .gamma_term, .growth, .var_below, .var_above

    Parameters
    ----------
    var, mean_error : (C,)
    u_stat, u_sum, steps, tiny : scalar
    xp : number system, with sum, count, sqrt, abs and maximum

    Returns
    -------
    var_below : (C,)
    var_above : (C,)
    """
    # inputs: var mean_error u_stat u_sum steps tiny
    gamma_sum = (steps + 2) * u_sum / xp.maximum(1 - (steps + 2) * u_sum, 0)
    gamma_term = 6 * u_stat / xp.maximum(1 - 6 * u_stat, 0)
    growth = gamma_term + gamma_sum + gamma_term * gamma_sum
    # output
    var_below = growth * var + 3 * tiny
    var_above = growth * var + (1 + growth) * mean_error ** 2 + 3 * tiny
    return var_below, var_above


def one_pass_var_bound(mean, var, mean_error, u_stat, u_sum, steps, tiny, *, xp):
    """How far a variance computed as E[x^2] - E[x]^2 may be from the true one.

    Derived in notebooks/06_accuracy, "Bound the variance of one pass".
    Equations: site/06_accuracy.html#one_pass_var_bound.gamma_sum, .gamma_term, .square, .rough, .one_pass_error

    Parameters
    ----------
    mean, var, mean_error : (C,)
    u_stat, u_sum, steps, tiny : scalar
    xp : number system, with sum, count, sqrt, abs and maximum

    Returns
    -------
    one_pass_error : (C,)
    """
    # inputs: mean var mean_error u_stat u_sum steps tiny
    gamma_sum = (steps + 6) * u_sum / xp.maximum(1 - (steps + 6) * u_sum, 0)
    gamma_term = 6 * u_stat / xp.maximum(1 - 6 * u_stat, 0)
    square = (xp.abs(mean) + mean_error) ** 2
    rough = (gamma_sum + gamma_term + gamma_sum * gamma_term) * (var + mean ** 2) + (2 * xp.abs(mean) + mean_error) * mean_error
    # output
    one_pass_error = (rough + gamma_term * square) * (1 + gamma_term) + gamma_term * var + 3 * tiny
    return one_pass_error


def rstd_bound(var, eps, var_below, var_above, u_stat, *, xp):
    """The relative error that 1 / sqrt(var + eps) may have.

    Derived in notebooks/06_accuracy, "Bound the reciprocal of the root".
    Equations: site/06_accuracy.html#rstd_bound.W, .below, .above, .root_below, .root_above, .faster, .slower,
    .gamma_root, .rstd_error

    Parameters
    ----------
    var, var_below, var_above : (C,)
    eps, u_stat : scalar
    xp : number system, with sum, count, sqrt, abs and maximum

    Returns
    -------
    rstd_error : (C,)
    """
    # inputs: var eps var_below var_above u_stat
    W = var + eps
    below = (var_below + u_stat * xp.abs(eps)) / W + u_stat
    above = (var_above + u_stat * xp.abs(eps)) / W * (1 + u_stat) + u_stat
    root_below = xp.sqrt(xp.maximum(1 - below, 0))
    root_above = xp.sqrt(1 + above)
    faster = below / (root_below + root_below ** 2)
    slower = above / (root_above + root_above ** 2)
    gamma_root = 2 * u_stat / xp.maximum(1 - 2 * u_stat, 0)
    # output
    rstd_error = xp.maximum(faster + gamma_root * (1 + faster), slower + gamma_root)
    return rstd_error


def output_bound(x, deviation, y, mean, rstd, weight, bias, mean_error, rstd_error, u, tiny, *, xp):
    """How far an output may be from the true one, centred or as a * x + b.

    Derived in notebooks/06_accuracy, "Bound the output".
    Equations: site/06_accuracy.html#output_bound.gamma_three, .scale, .reach, .slope, .spread, .fold, .lost,
    .centred_error, .fused_error, .output_error

    Parameters
    ----------
    x, deviation, y : (..., C)
    mean, rstd, weight, bias, mean_error, rstd_error : (C,)
    u, tiny : scalar
    xp : number system, with sum, count, sqrt, abs and maximum

    Returns
    -------
    output_error : (..., C)

    Notes
    -----
    `deviation` is |x - mean|, y the true output, rstd the true 1 / sqrt(W).
    """
    # inputs: x deviation y mean rstd weight bias mean_error rstd_error u tiny
    gamma_three = 3 * u / xp.maximum(1 - 3 * u, 0)
    scale = xp.abs(weight) * rstd
    reach = xp.abs(mean) + mean_error
    slope = scale * (1 + rstd_error) * (1 + u)
    spread = rstd_error + gamma_three + rstd_error * gamma_three
    fold = rstd_error + u + rstd_error * u
    lost = 4 * tiny * (1 + xp.abs(weight) + deviation + reach)
    centred_error = scale * (mean_error + (deviation + mean_error) * spread)
    fused_error = scale * (mean_error + (deviation + mean_error) * fold) + u * slope * (xp.abs(x) + reach * (2 + u)) + u * xp.abs(bias)
    # output
    output_error = xp.maximum(centred_error, fused_error) * (1 + u) + u * xp.abs(y) + lost
    return output_error


def running_bound(running_mean, running_var, mean, var, n, momentum, mean_error, var_above, u, tiny, *, xp):
    """How far updated running statistics may be from the true ones.

    Derived in notebooks/06_accuracy, "Bound the running statistics".
    Equations: site/06_accuracy.html#running_bound.factor, .gamma_step, .running_mean_error, .running_var_error

    Parameters
    ----------
    running_mean, running_var, mean, var, mean_error, var_above : (C,)
    n, momentum, u, tiny : scalar
    xp : number system, with sum, count, sqrt, abs and maximum

    Returns
    -------
    running_mean_error : (C,)
    running_var_error : (C,)
    """
    # inputs: running_mean running_var mean var n momentum mean_error var_above u tiny
    factor = n / (n - 1)
    gamma_step = 8 * u / xp.maximum(1 - 8 * u, 0) * (xp.abs(momentum) + xp.abs(1 - momentum))
    # output
    running_mean_error = xp.abs(momentum) * mean_error + gamma_step * (xp.abs(running_mean) + xp.abs(mean) + mean_error) + 4 * tiny
    running_var_error = xp.abs(momentum) * factor * var_above + gamma_step * (xp.abs(running_var) + factor * (xp.abs(var) + var_above)) + 4 * tiny
    return running_mean_error, running_var_error


def backward_bound(grad_output, deviation, rstd, weight, dweight, dbias, mean_error, rstd_error, u, u_sum, steps, tiny, *, xp):
    """How far the gradients through batch statistics may be from the true ones.

    Derived in notebooks/06_accuracy, "Bound the gradients".
    Equations: site/06_accuracy.html#backward_bound.gamma_two, .gamma_eight, .gamma_sum, .total_grad, .dbias_error,
    .gamma_moment, .turn, .moment, .dweight_error, .spread, .xhat_error, .inner, .terms, .whole, .dx_error

    Parameters
    ----------
    grad_output, deviation : (..., C)
    rstd, weight, dweight, dbias, mean_error, rstd_error : (C,)
    u, u_sum, steps, tiny : scalar
    xp : number system, with sum, count, sqrt, abs and maximum

    Returns
    -------
    dx_error : (..., C)
    dweight_error : (C,)
    dbias_error : (C,)

    Notes
    -----
    `deviation` is |x - mean|, rstd the true 1 / sqrt(W), dweight and dbias the true gradients.
    """
    # inputs: grad_output deviation rstd weight dweight dbias mean_error rstd_error u u_sum steps tiny
    n = xp.count(grad_output)
    gamma_two = 2 * u / xp.maximum(1 - 2 * u, 0)
    gamma_eight = 8 * u / xp.maximum(1 - 8 * u, 0)
    gamma_sum = (steps + 1) * u_sum / xp.maximum(1 - (steps + 1) * u_sum, 0)
    total_grad = xp.sum(xp.abs(grad_output))
    dbias_error = gamma_sum * (1 + u) * total_grad + u * xp.abs(dbias) + tiny
    gamma_moment = gamma_sum + gamma_eight + gamma_sum * gamma_eight
    turn = rstd_error + gamma_moment + rstd_error * gamma_moment
    moment = xp.abs(grad_output) * (deviation + mean_error)
    dweight_error = rstd * (mean_error * xp.abs(dbias) + turn * xp.sum(moment)) + tiny * (1 + rstd) * (1 + n + total_grad)
    spread = rstd_error + gamma_two + rstd_error * gamma_two
    xhat_error = rstd * (mean_error + (deviation + mean_error) * spread) + tiny * (1 + deviation + mean_error)
    inner = (dbias_error + rstd * deviation * dweight_error + xp.abs(dweight) * xhat_error + xhat_error * dweight_error) / n
    terms = xp.abs(grad_output) + (xp.abs(dbias) + dbias_error) / n + (rstd * deviation + xhat_error) * (xp.abs(dweight) + dweight_error) / n
    whole = rstd_error + gamma_eight + rstd_error * gamma_eight
    # output
    dx_error = xp.abs(weight) * rstd * (inner + whole * terms) + 8 * tiny * (1 + xp.abs(weight)) * (1 + rstd) * (1 + terms)
    return dx_error, dweight_error, dbias_error


def backward_inference_bound(grad_output, deviation, rstd, weight, dbias, mean_error, rstd_error, u, u_sum, steps, tiny, *, xp):
    """How far the gradients through running statistics may be from the true ones.

    Derived in notebooks/06_accuracy, "Bound the gradients".
    Equations: site/06_accuracy.html#backward_inference_bound.gamma_eight, .gamma_sum, .total_grad, .dbias_error,
    .gamma_moment, .turn, .moment, .dweight_error, .whole, .dx_error

    Parameters
    ----------
    grad_output, deviation : (..., C)
    rstd, weight, dbias, mean_error, rstd_error : (C,)
    u, u_sum, steps, tiny : scalar
    xp : number system, with sum, count, sqrt, abs and maximum

    Returns
    -------
    dx_error : (..., C)
    dweight_error : (C,)
    dbias_error : (C,)
    """
    # inputs: grad_output deviation rstd weight dbias mean_error rstd_error u u_sum steps tiny
    n = xp.count(grad_output)
    gamma_eight = 8 * u / xp.maximum(1 - 8 * u, 0)
    gamma_sum = (steps + 1) * u_sum / xp.maximum(1 - (steps + 1) * u_sum, 0)
    total_grad = xp.sum(xp.abs(grad_output))
    dbias_error = gamma_sum * (1 + u) * total_grad + u * xp.abs(dbias) + tiny
    gamma_moment = gamma_sum + gamma_eight + gamma_sum * gamma_eight
    turn = rstd_error + gamma_moment + rstd_error * gamma_moment
    moment = xp.abs(grad_output) * (deviation + mean_error)
    dweight_error = rstd * (mean_error * xp.abs(dbias) + turn * xp.sum(moment)) + tiny * (1 + rstd) * (1 + n + total_grad)
    whole = rstd_error + gamma_eight + rstd_error * gamma_eight
    # output
    dx_error = xp.abs(weight) * rstd * xp.abs(grad_output) * whole + 8 * tiny * (1 + xp.abs(weight)) * (1 + rstd) * (1 + xp.abs(grad_output))
    return dx_error, dweight_error, dbias_error


def saved_bound(rstd, rstd_error, u_saved, tiny_saved, *, xp):
    """The relative error of a rstd that was saved in the format of the layer's arrays.

    Derived in notebooks/06_accuracy, "Bound the gradients".
    Equations: site/06_accuracy.html#saved_bound.saved_rstd_error

    Parameters
    ----------
    rstd, rstd_error : (C,)
    u_saved, tiny_saved : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    saved_rstd_error : (C,)
    """
    # inputs: rstd rstd_error u_saved tiny_saved
    # output
    saved_rstd_error = rstd_error + u_saved * (1 + rstd_error) + tiny_saved / rstd
    return saved_rstd_error


def stored_bound(value, error, u_out, tiny_out, *, xp):
    """The error of a computed value after it is rounded to the format of its array.

    Derived in notebooks/06_accuracy, "Bound the gradients".
    Equations: site/06_accuracy.html#stored_bound.stored_error

    Parameters
    ----------
    value, error : (..., C)
    u_out, tiny_out : scalar
    xp : number system, with sum, count, sqrt, abs and maximum

    Returns
    -------
    stored_error : (..., C)
    """
    # inputs: value error u_out tiny_out
    # output
    stored_error = error + u_out * (xp.abs(value) + error) + tiny_out
    return stored_error
