"""Wrong formulas that real implementations contain, for `bnref.testing` to recognise.

GENERATED from the notebooks: do not edit; change a chapter and run "make export".
Arrays have their channels last; `xp` supplies sum (over all axes but the last), count and sqrt.
"""

__all__ = [
    "backward_mean_detached",
    "backward_var_detached",
    "backward_weight_missing",
    "backward_sums_not_divided",
    "normalize_unbiased",
    "normalize_eps_outside",
    "update_biased",
    "backward_unbiased",
    "backward_eps_outside",
    "backward_var_rebuilt",
]


# --- notebooks/03_backward ---


def backward_mean_detached(grad_output, x, mean, var, weight, eps, *, xp):
    """Gradients that take the mean for a constant.

    Derived in notebooks/03_backward, "Know the wrong gradients".

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
    n = xp.count(grad_output)
    W = var + eps
    rstd = 1 / xp.sqrt(W)
    xhat = (x - mean) * rstd
    # output
    dbias = xp.sum(grad_output)
    dweight = xp.sum(grad_output * xhat)
    dx = weight * rstd * (grad_output - xhat * (dweight / n))
    return dx, dweight, dbias


def backward_var_detached(grad_output, x, mean, var, weight, eps, *, xp):
    """Gradients that take the variance for a constant.

    Derived in notebooks/03_backward, "Know the wrong gradients".

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
    n = xp.count(grad_output)
    W = var + eps
    rstd = 1 / xp.sqrt(W)
    xhat = (x - mean) * rstd
    # output
    dbias = xp.sum(grad_output)
    dweight = xp.sum(grad_output * xhat)
    dx = weight * rstd * (grad_output - dbias / n)
    return dx, dweight, dbias


def backward_weight_missing(grad_output, x, mean, var, weight, eps, *, xp):
    """A dx without the weight.

    Derived in notebooks/03_backward, "Know the wrong gradients".

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
    n = xp.count(grad_output)
    W = var + eps
    rstd = 1 / xp.sqrt(W)
    xhat = (x - mean) * rstd
    # output
    dbias = xp.sum(grad_output)
    dweight = xp.sum(grad_output * xhat)
    dx = rstd * (grad_output - dbias / n - xhat * (dweight / n))
    return dx, dweight, dbias


def backward_sums_not_divided(grad_output, x, mean, var, weight, eps, *, xp):
    """A dx whose sums are not divided by n.

    Derived in notebooks/03_backward, "Know the wrong gradients".

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
    dx = weight * rstd * (grad_output - dbias - xhat * dweight)
    return dx, dweight, dbias


# --- notebooks/06_accuracy ---


def normalize_unbiased(x, mean, var, weight, bias, eps, *, xp):
    """Normalise by the unbiased variance.

    Derived in notebooks/06_accuracy, "Know the wrong forward formulas".

    Parameters
    ----------
    x : (..., C)
    mean, var, weight, bias : (C,)
    eps : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    y : (..., C)
    """
    # inputs: x mean var weight bias eps
    n = xp.count(x)
    W = var * n / (n - 1) + eps
    rstd = 1 / xp.sqrt(W)
    xhat = (x - mean) * rstd
    # output
    y = weight * xhat + bias
    return y


def normalize_eps_outside(x, mean, var, weight, bias, eps, *, xp):
    """Add eps to the standard deviation instead of the variance.

    Derived in notebooks/06_accuracy, "Know the wrong forward formulas".

    Parameters
    ----------
    x : (..., C)
    mean, var, weight, bias : (C,)
    eps : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    y : (..., C)
    """
    # inputs: x mean var weight bias eps
    rstd = 1 / (xp.sqrt(var) + eps)
    xhat = (x - mean) * rstd
    # output
    y = weight * xhat + bias
    return y


def update_biased(running_mean, running_var, mean, var, momentum, *, xp):
    """Put the biased variance into the running one.

    Derived in notebooks/06_accuracy, "Know the wrong forward formulas".

    Parameters
    ----------
    running_mean, running_var, mean, var : (C,)
    momentum : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    new_running_mean : (C,)
    new_running_var : (C,)
    """
    # inputs: running_mean running_var mean var momentum
    # output
    new_running_mean = (1 - momentum) * running_mean + momentum * mean
    new_running_var = (1 - momentum) * running_var + momentum * var
    return new_running_mean, new_running_var


def backward_unbiased(grad_output, x, mean, var, weight, eps, *, xp):
    """Gradients of a layer that normalises by the unbiased variance.

    Derived in notebooks/06_accuracy, "Know the wrong forward formulas".

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
    n = xp.count(grad_output)
    W = var * n / (n - 1) + eps
    rstd = 1 / xp.sqrt(W)
    xhat = (x - mean) * rstd
    # output
    dbias = xp.sum(grad_output)
    dweight = xp.sum(grad_output * xhat)
    dx = weight * rstd * (grad_output - dbias / n - xhat * (dweight / (n - 1)))
    return dx, dweight, dbias


def backward_eps_outside(grad_output, x, mean, var, weight, eps, *, xp):
    """Gradients of a layer that adds eps to the standard deviation.

    Derived in notebooks/06_accuracy, "Know the wrong forward formulas".

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
    n = xp.count(grad_output)
    rstd = 1 / (xp.sqrt(var) + eps)
    xhat = (x - mean) * rstd
    # output
    dbias = xp.sum(grad_output)
    dweight = xp.sum(grad_output * xhat)
    dx = weight * rstd * (grad_output - dbias / n - xhat * (dweight / n) / (xp.sqrt(var) * rstd))
    return dx, dweight, dbias


def backward_var_rebuilt(grad_output, x, mean, var, weight, eps, *, xp):
    """Gradients of a layer that rebuilt var from rstd and added eps once more.

    Derived in notebooks/06_accuracy, "Know the wrong forward formulas".

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
    n = xp.count(grad_output)
    W = var + eps
    rebuilt_var = W
    W = rebuilt_var + eps
    rstd = 1 / xp.sqrt(W)
    xhat = (x - mean) * rstd
    # output
    dbias = xp.sum(grad_output)
    dweight = xp.sum(grad_output * xhat)
    dx = weight * rstd * (grad_output - dbias / n - xhat * (dweight / n))
    return dx, dweight, dbias
