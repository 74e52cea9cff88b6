"""Does a result agree with bnref's?  Within a bound, or, where it is not finite, exactly in kind.

`judge` decides by the bounds of `bounds`, which share nothing with bnref's; `conforms` by `bnref.testing.compare`, whose
bounds are derived in chapter 06, and which is to raise no false alarm here.
"""

import itertools

import bounds
import numpy as np

import bnref


def judge(actual, x, *, mean=None, var=None, weight=None, bias=None, grad=None, training, momentum=0.1, eps):
    """Compare the results of one call with the truth.

    Parameters
    ----------
    actual : {name: array or None} with any of output, running_mean, running_var, grad_input, grad_weight, grad_bias
    x, mean, var, weight, bias, grad : arrays
        What the call was given; mean and var are the running statistics before it.
    training : bool
        Whether the batch normalises itself.
    momentum : float
        Weight of the new observation.

    Returns
    -------
    list of str
        A sentence for each result that does not agree.
    """
    wide = [None if a is None else np.asarray(a, np.float64) for a in (x, mean, var, weight, bias, grad)]
    x64, mean64, var64, weight64, bias64, grad64 = wide
    arrays = next((a.dtype.name for a in (weight, mean) if a is not None), x.dtype.name)
    forward = bnref.batch_norm(x64, mean64, var64, weight64, bias64, training=training, momentum=momentum, eps=eps)
    true = {"output": forward.output, "running_mean": forward.running_mean, "running_var": forward.running_var}
    if grad is not None:
        statistics = {} if training else {"running_mean": mean64, "running_var": var64}
        g = bnref.batch_norm_backward(grad64, x64, weight=weight64, training=training, eps=eps, **statistics)
        true.update(grad_input=g.input, grad_weight=g.weight, grad_bias=g.bias)
    allowed = _allowed(true, wide, str(x.dtype), arrays, training, momentum, eps)
    return list(itertools.chain.from_iterable(
        _compare(name, value, true[name], allowed[name]) for name, value in actual.items() if value is not None))


def conforms(actual, x, *, mean=None, var=None, weight=None, bias=None, grad=None, training, momentum=0.1, eps):
    """As `judge`, by `bnref.testing.compare`."""
    given = {name: value for name, value in actual.items() if value is not None}
    found = bnref.testing.compare(given, x, mean, var, weight, bias, grad, training=training, momentum=momentum, eps=eps)
    return [f"bnref.testing: {name}: {found[name].problem}" for name in found if found[name].problem]


def overflows(x, mean, var, weight, training, eps):
    """Whether the arrays are of float16, and 1/sqrt(W) of a channel is beyond it."""
    if next((a.dtype.name for a in (weight, mean) if a is not None), x.dtype.name) != "float16" or not x.size:
        return False
    W = (bnref.batch_norm(x.astype(np.float64), training=True, eps=eps).var if training else var.astype(np.float64)) + eps
    return bool(((W > 0) & (W < (1 / 65000) ** 2)).any())


def _allowed(true, wide, dtype, arrays, training, momentum, eps):
    x, mean, var, weight, bias, grad = wide
    flat = _channels_last(x)
    if not x.size:
        return {name: (lambda dtype: 0.0) for name in true}
    with np.errstate(all="ignore"):
        if training:
            exact = bnref.batch_norm(x, training=True, eps=eps)
            centre, spread = exact.mean, exact.var
        else:
            centre, spread = mean, var
        channels = np.ones(x.shape[1])
        c = bounds.Channel(flat, centre, spread, channels if weight is None else weight,
                           0 * channels if bias is None else bias, eps, training, bounds.working(dtype))
        kept = c._replace(stored=bounds.FORMATS[arrays].u if arrays in ("float16", "bfloat16") else 0.0)
        errors = {"output": bounds.output(kept, _channels_last(true["output"]))}
        if training and mean is not None:
            errors.update(running_mean=bounds.running_mean(kept, mean, momentum), running_var=bounds.running_var(kept, var, momentum))
        else:
            errors.update(running_mean=0 * channels, running_var=0 * channels)
        if grad is not None:
            names = ("grad_input", "grad_weight", "grad_bias")
            errors.update(zip(names, bounds.gradients(kept, _channels_last(grad)), strict=True))

    def bound(name):
        return lambda dtype: _channels_last_back(bounds.rounded(errors[name], _like(true[name], errors[name]), dtype), true[name].shape)
    return {name: bound(name) for name in true}


def _compare(name, actual, true, allowed):
    if actual.shape != true.shape:
        yield f"{name}: shape {actual.shape}, not {true.shape}"
        return
    bound, dtype = allowed(actual.dtype), actual.dtype
    if not true.size:
        return
    got = actual.astype(np.float64)
    with np.errstate(all="ignore"):
        true = np.where(np.abs(true) > float(_largest(dtype)), np.sign(true) * np.inf, true)
        same = (got == true) | (np.isnan(got) & np.isnan(true))
        error = np.abs(got - true)
        wrong = ~(same | (error <= bound))
    if wrong.any():
        at = np.unravel_index(np.argmax(np.where(wrong, np.where(np.isnan(error), np.inf, error), -1)), true.shape)
        limit = np.broadcast_to(bound, true.shape)[at]
        yield (f"{name}{list(map(int, at))}: {got[at]!r}, true {true[at]!r}, off by {error[at]:.3g}, allowed {limit:.3g}; "
               f"{int(wrong.sum())} of {true.size} are wrong")


def _largest(dtype):
    import ml_dtypes
    return ml_dtypes.finfo(dtype).max


def _channels_last(x):
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def _like(true, error):
    return true if true.ndim == 1 else _channels_last(true)


def _channels_last_back(flat, shape):
    if len(shape) == 1:
        return flat
    return np.moveaxis(flat.reshape(shape[0], *shape[2:], shape[1]), -1, 1)
