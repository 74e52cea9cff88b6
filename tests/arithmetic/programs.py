"""The programs that a batch normalisation consists of, composed as `bnref.functional` composes them."""

from bnref import equations


def training(x, weight, bias, running_mean, running_var, eps, momentum, *, xp):
    mean, var = equations.batch_statistics(x, xp=xp)
    output = equations.normalize(x, mean, var, weight, bias, eps, xp=xp)
    running = equations.update_running_statistics(running_mean, running_var, mean, var, xp.count(x), momentum, xp=xp)
    return (output, mean, var, *running)


def inference(x, weight, bias, running_mean, running_var, eps, momentum, *, xp):
    return equations.normalize(x, running_mean, running_var, weight, bias, eps, xp=xp)


def backward(grad_output, x, weight, eps, *, xp):
    """Written out for the tests: products of two batch operands in sums, and two of them in a result."""
    mean, var = equations.batch_statistics(x, xp=xp)
    n = xp.count(x)
    rstd = 1 / xp.sqrt(var + eps)
    xhat = (x - mean) * rstd
    dbias = xp.sum(grad_output)
    dweight = xp.sum(grad_output * xhat)
    return weight * rstd * (grad_output - dbias / n - xhat * dweight / n), dweight, dbias
