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
]


# --- notebooks/01_forward ---


def batch_statistics(x, *, xp):
    """Batch mean and biased batch variance of each channel.

    Derived in notebooks/01_forward, "Gather the statistics".

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

    Special cases: for n = 1 dx and dweight are 0, where eps > 0.
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
