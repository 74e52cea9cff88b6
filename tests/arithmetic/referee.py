"""A second opinion that shares no code with bnref: fractions for what is rational, mpmath for the root."""

from fractions import Fraction

import mpmath
import numpy as np

BITS = 1200  # of the root; two numbers of these fields that agree to TIE bits are equal
TIE = Fraction(1, 2**500)
# significand bits, exponent of the smallest subnormal, exponent of the first power of two that overflows
FORMATS = {"float16": (11, -24, 16), "bfloat16": (8, -133, 128), "float32": (24, -149, 128), "float64": (53, -1074, 1024)}


def rounded(value, name):
    """The float of the format nearest to a Fraction, ties (to within TIE of a place) to even."""
    bits, lowest, top = FORMATS[name]
    if value == 0:
        return 0.0
    sign, value = (-1, -value) if value < 0 else (1, value)
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    if value < Fraction(2) ** exponent:
        exponent -= 1
    place = Fraction(2) ** max(exponent - bits + 1, lowest)
    count = value // place
    above = value / place - count - Fraction(1, 2)
    if above > TIE or abs(above) <= TIE and count % 2:
        count += 1
    result = count * place
    return sign * (float("inf") if result >= Fraction(2) ** top else float(result))


def root(value):
    """A Fraction within 2**-BITS (relative) of the square root of a Fraction."""
    with mpmath.workprec(BITS + 64):
        m = mpmath.sqrt(mpmath.mpf(value.numerator) / mpmath.mpf(value.denominator))
        man, exp = m.man_exp
        return Fraction(int(man)) * Fraction(2) ** int(exp)


def fractions(array):
    return [Fraction(float(v)) for v in np.asarray(array).ravel()]


def channels(x):
    """The values of each channel of an (N, C, *) array."""
    return [fractions(np.asarray(x)[:, c]) for c in range(x.shape[1])]


def batch_norm(x, weight, bias, running_mean, running_var, eps, momentum, training):
    """Exact values: per channel (output list, mean, var, new running mean, new running var). W must be positive."""
    results = []
    eps, momentum = Fraction(eps), Fraction(momentum)
    parameters = zip(channels(x), *(fractions(p) for p in (weight, bias, running_mean, running_var)))
    for values, w, b, rm, rv in parameters:
        n = len(values)
        mean, var, new_mean, new_var = rm, rv, None, None
        if training:
            mean = sum(values) / n
            var = sum(v * v for v in values) / n - mean * mean
            new_mean = rm + momentum * (mean - rm)
            new_var = rv + momentum * (var * n / (n - 1) - rv) if n > 1 else None
        scale = w / root(var + eps)
        cache = {v: scale * (v - mean) + b for v in set(values)}
        results.append(([cache[v] for v in values], mean, var, new_mean, new_var))
    return results
