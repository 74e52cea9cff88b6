"""Wrong formulas that real implementations contain, for `bnref.testing` to recognise.

GENERATED from the notebooks: do not edit; change a chapter and run "make export".
Arrays have their channels last; `xp` supplies sum (over all axes but the last), count and sqrt.
"""

__all__ = [
    "backward_mean_detached",
    "backward_var_detached",
    "backward_weight_missing",
    "backward_sums_not_divided",
    "backward_dbias_not_divided",
    "backward_dweight_not_divided",
    "normalize_unbiased",
    "normalize_eps_outside",
    "update_biased",
    "backward_unbiased",
    "backward_eps_outside",
    "backward_var_rebuilt",
    "rebuilt_variances",
    "alike_unbiased",
    "alike_eps_outside",
    "read_output",
    "about_mean",
    "read_update",
    "read_grad_weight",
    "read_grad_input",
    "read_sums",
    "backward_of_sums",
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


def backward_dbias_not_divided(grad_output, x, mean, var, weight, eps, *, xp):
    """A dx whose first sum is not divided by n.

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
    dx = weight * rstd * (grad_output - dbias - xhat * (dweight / n))
    return dx, dweight, dbias


def backward_dweight_not_divided(grad_output, x, mean, var, weight, eps, *, xp):
    """A dx whose second sum is not divided by n.

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
    dx = weight * rstd * (grad_output - dbias / n - xhat * dweight)
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


def rebuilt_variances(var, eps, *, xp):
    """What is rebuilt from rstd by mistake: eps is left in, or the square forgotten, or both.

    Derived in notebooks/06_accuracy, "Know the wrong forward formulas".

    Parameters
    ----------
    var : (C,)
    eps : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    unreduced : (C,)
    unsquared : (C,)
    unchanged : (C,)
    """
    # inputs: var eps
    W = var + eps
    rstd = 1 / xp.sqrt(W)
    # output
    unreduced = 1 / rstd ** 2
    unsquared = 1 / rstd
    unchanged = rstd
    return unreduced, unsquared, unchanged


def alike_unbiased(n, weight, eps, *, xp):
    """Eps and weight of the right layer that gives what a layer with the unbiased variance gives.

    Derived in notebooks/06_accuracy, "Know the wrong forward formulas".

    Parameters
    ----------
    n, eps : scalar
    weight : (C,)
    xp : number system, with sum, count and sqrt

    Returns
    -------
    eps_alike : (C,)
    weight_alike : (C,)
    """
    # inputs: n weight eps
    # output
    eps_alike = eps * (n - 1) / n
    weight_alike = weight * xp.sqrt((n - 1) / n)
    return eps_alike, weight_alike


def alike_eps_outside(var, eps, *, xp):
    """Eps of the right layer that gives what a layer with eps outside the root gives.

    Derived in notebooks/06_accuracy, "Know the wrong forward formulas".

    Parameters
    ----------
    var : (C,)
    eps : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    eps_alike : (C,)
    """
    # inputs: var eps
    # output
    eps_alike = 2 * xp.sqrt(var) * eps + eps ** 2
    return eps_alike


def read_output(deviation, y, mean, weight, bias, eps, *, xp):
    """The statistics by which an output is normalised; deviation is x - mean.

    Derived in notebooks/06_accuracy, "Read the statistics back".

    Parameters
    ----------
    deviation, y : (..., C)
    mean, weight, bias : (C,)
    eps : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    read_mean : (C,)
    read_var : (C,)
    """
    # inputs: deviation y mean weight bias eps
    n = xp.count(deviation)
    level = xp.sum(y) / n
    slope = xp.sum(deviation * (y - level)) / xp.sum(deviation ** 2)
    # output
    read_mean = mean + (bias - level) / slope
    read_var = (weight / slope) ** 2 - eps
    return read_mean, read_var


def about_mean(mean, var, read_mean, read_var, *, xp):
    """The variance about a wrong mean in two passes and in one, and the mean square that one pass must have had.

    Derived in notebooks/06_accuracy, "Read the statistics back".

    Parameters
    ----------
    mean, var, read_mean, read_var : (C,)
    xp : number system, with sum, count and sqrt

    Returns
    -------
    two_pass_var : (C,)
    one_pass_var : (C,)
    mean_square : (C,)
    """
    # inputs: mean var read_mean read_var
    # output
    two_pass_var = var + (read_mean - mean) ** 2
    one_pass_var = var + mean ** 2 - read_mean ** 2
    mean_square = read_var + read_mean ** 2
    return two_pass_var, one_pass_var, mean_square


def read_update(running_mean, running_var, new_running_mean, new_running_var, n, momentum, *, xp):
    """The statistics that moved the running ones.

    Derived in notebooks/06_accuracy, "Read the statistics back".

    Parameters
    ----------
    running_mean, running_var, new_running_mean, new_running_var : (C,)
    n, momentum : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    read_mean : (C,)
    read_var : (C,)
    """
    # inputs: running_mean running_var new_running_mean new_running_var n momentum
    # output
    read_mean = (new_running_mean - (1 - momentum) * running_mean) / momentum
    read_var = (new_running_var - (1 - momentum) * running_var) / momentum * (n - 1) / n
    return read_mean, read_var


def read_grad_weight(grad_output, deviation, dweight, mean, var, eps, *, xp):
    """The mean by which a gradient of the weight is centred, if the variance is var; and its variance, if the mean is right.

    Derived in notebooks/06_accuracy, "Read the statistics back".

    Parameters
    ----------
    grad_output, deviation : (..., C)
    dweight, mean, var : (C,)
    eps : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    read_mean : (C,)
    read_var : (C,)
    """
    # inputs: grad_output deviation dweight mean var eps
    moment_of = xp.sum(grad_output * deviation)
    total_of = xp.sum(grad_output)
    # output
    read_mean = mean + (moment_of - dweight * xp.sqrt(var + eps)) / total_of
    read_var = (moment_of / dweight) ** 2 - eps
    return read_mean, read_var


def read_grad_input(grad_output, deviation, dx, weight, eps, *, xp):
    """The part of grad_output across 1 and x, and the variance by which a gradient of the input is scaled.

    Derived in notebooks/06_accuracy, "Read the statistics back".

    Parameters
    ----------
    grad_output, deviation, dx : (..., C)
    weight : (C,)
    eps : scalar
    xp : number system, with sum, count and sqrt

    Returns
    -------
    across : (..., C)
    read_var : (C,)
    """
    # inputs: grad_output deviation dx weight eps
    n = xp.count(grad_output)
    moment_of = xp.sum(grad_output * deviation)
    total_of = xp.sum(grad_output)
    across = grad_output - total_of / n - deviation * (moment_of / xp.sum(deviation ** 2))
    rstd = xp.sum(dx * across) / (weight * xp.sum(across ** 2))
    # output
    read_var = 1 / rstd ** 2 - eps
    return across, read_var


def read_sums(grad_output, deviation, dx, weight, rstd, *, xp):
    """The sums that a gradient of the input subtracts, less what an error of the mean adds to the first.

    Derived in notebooks/06_accuracy, "Read the statistics back".

    Parameters
    ----------
    grad_output, deviation, dx : (..., C)
    weight, rstd : (C,)
    xp : number system, with sum, count and sqrt

    Returns
    -------
    read_dbias : (C,)
    read_dweight : (C,)
    """
    # inputs: grad_output deviation dx weight rstd
    n = xp.count(grad_output)
    rest = grad_output - dx / (weight * rstd)
    # output
    read_dbias = xp.sum(rest)
    read_dweight = n * xp.sum(rest * deviation) / (rstd * xp.sum(deviation ** 2))
    return read_dbias, read_dweight


def backward_of_sums(grad_output, deviation, dbias, dweight, weight, rstd, *, xp):
    """The gradient of the input that subtracts these sums.

    Derived in notebooks/06_accuracy, "Read the statistics back".

    Parameters
    ----------
    grad_output, deviation : (..., C)
    dbias, dweight, weight, rstd : (C,)
    xp : number system, with sum, count and sqrt

    Returns
    -------
    dx : (..., C)
    """
    # inputs: grad_output deviation dbias dweight weight rstd
    n = xp.count(grad_output)
    # output
    dx = weight * rstd * (grad_output - dbias / n - deviation * rstd * (dweight / n))
    return dx
