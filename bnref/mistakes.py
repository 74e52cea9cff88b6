"""Wrong formulas that real implementations contain, for `bnref.testing` to recognise.

GENERATED from the notebooks: do not edit; change a chapter and run "make export".
Arrays have their channels last; `xp` supplies sum (over all axes but the last), count and sqrt.
"""

__all__ = [
    "backward_mean_detached",
    "backward_var_detached",
    "backward_weight_missing",
    "backward_sums_not_divided",
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
