"""The bounds: no adversary among roundings gets past them, and one-pass code does."""

import itertools
from fractions import Fraction
from math import isqrt

import numpy as np
import pytest

import bnref
from bnref import bounds
from bnref.arithmetic.exact import ExactChannel
from bnref.bounds import Case, Profile, Statistics, allowances, profile


class Adversary:
    """A rational number whose every operation is off by a factor 1 + d with |d| = u, where `choose` gives the sign of d."""

    u, choose = Fraction(0), staticmethod(lambda: 1)

    def __init__(self, value):
        self.value = Fraction(value)

    def rounded(self, value):
        return Adversary(value * (1 + self.u * self.choose()))

    def __add__(self, other):
        return self.rounded(self.value + other.value)

    def __sub__(self, other):
        return self.rounded(self.value - other.value)

    def __mul__(self, other):
        return self.rounded(self.value * other.value)

    def __truediv__(self, other):
        return self.rounded(self.value / other.value)

    def sqrt(self):
        scale = 10**60
        return self.rounded(Fraction(isqrt(int(self.value * scale**2)), scale))


def total(values, order):
    values = [values[k] for k in order]
    while len(values) > 1:
        values = [values[0] + values[1], *values[2:]]
    return values[0]


def adversarial(case, c, order):
    """Textbook batch normalisation of one channel, every operation as wrong as it may be."""
    number = Adversary
    x = [number(float(v)) for v in case.input[:, c]]
    g = [number(float(v)) for v in case.grad_output[:, c]]
    w, b, rm, rv = (number(float(a[c])) for a in (case.weight, case.bias, case.running_mean, case.running_var))
    n, m, eps, one = number(len(x)), number(case.momentum), number(case.eps), number(1)
    mean = total(x, order) / n
    d = [v - mean for v in x]
    var = total([v * v for v in d], order) / n
    rstd = one / (var + eps).sqrt()
    xhat = [v * rstd for v in d]
    a = w * rstd
    shift = b - mean * a
    dbias, dweight = total(g, order), total([p * q for p, q in zip(g, xhat)], order)
    dx = [w * (rstd * (p - dbias / n - q * (dweight / n))) for p, q in zip(g, xhat)]
    return {
        "output": [[v * w + b for v in xhat], [v * a + shift for v in x]],
        "mean": [[mean]], "var": [[var]],
        "running_mean": [[(one - m) * rm + m * mean], [rm + m * (mean - rm)]],
        "running_var": [[(one - m) * rv + m * (var * n / (n - one))], [rv + m * (var * (n / (n - one)) - rv)]],
        "grad_input": [dx], "grad_weight": [[dweight]], "grad_bias": [[dbias]],
    }


def random_case(rng, n, channels=2, centre=0.0):
    shape = n, channels
    return Case(rng.normal(centre, 1, shape), rng.normal(centre, 1, channels), rng.uniform(0.5, 2, channels),
                rng.normal(2, 1, channels), rng.normal(0, 1, channels), rng.normal(0.3, 1, shape), True, 0.1, 0.001)


def in_turn(rng):
    signs = itertools.cycle([1, -1])
    return lambda: next(signs)


SIGNS = {"always up": lambda rng: lambda: 1, "always down": lambda rng: lambda: -1,
         "at random": lambda rng: lambda: int(rng.choice([-1, 1])), "in turn": in_turn}


@pytest.mark.parametrize("u", [2.0**-10, 2.0**-20], ids=["u = 2^-10", "u = 2^-20"])
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("n, centre", [(2, 0.0), (5, 3.0), (9, 20.0)])
def test_no_adversarial_rounding_gets_past_a_bound(sign, n, centre, u, monkeypatch):
    rng = np.random.default_rng(n)
    case = random_case(rng, n, centre=centre)
    true = case.results()
    known = Profile(u, u, u, n - 1, 0.0, 1e300)
    bound = allowances(case, true, known, bounds.NAMES)
    monkeypatch.setattr(Adversary, "u", Fraction(u))
    for _ in range(3):
        monkeypatch.setattr(Adversary, "choose", staticmethod(SIGNS[sign](rng)))
        for c in range(2):
            for name, forms in adversarial(case, c, rng.permutation(n)).items():
                for form in forms:
                    due, allowed = true[name].T[c], bound[name].T[c]
                    error = [abs(v.value - Fraction(float(t))) for v, t in zip(form, np.atleast_1d(due))]
                    assert all(e <= a for e, a in zip(error, np.atleast_1d(allowed))), (name, error, allowed)


def test_the_bounds_are_not_idle():
    """Roundings all in one direction come within a factor of four of the bound of a sum, in float32 and any order."""
    x = np.full((1000, 1), np.float32(1 / 3))
    case = Case(x.astype(np.float64), None, None, None, None, x.astype(np.float64), True, 0.1, 1e-5)
    due = case.results()
    summed = np.float32(0)
    for value in x[:, 0]:
        summed = np.float32(summed + value)
    allowed = allowances(case, due, profile("float32", "sequential", 1000), ["grad_bias"])["grad_bias"]
    error = abs(float(summed) - due["grad_bias"])
    assert allowed / 40 < error <= allowed


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ratio", [1, 100, 1e4])
def test_textbook_statistics_keep_the_bound_against_exact_rationals(dtype, ratio):
    rng = np.random.default_rng(3)
    for n in (2, 3, 17, 100):
        x = rng.normal(ratio, 1, n).astype(dtype)
        mean = x.sum() / x.dtype.type(n)
        var = ((x - mean) ** 2).sum() / x.dtype.type(n)
        channel = ExactChannel([x.tolist()])
        exact = [value.a for value in bnref.equations.batch_statistics(*channel.operands, xp=channel)]
        case = Case(x[:, None].astype(np.float64), None, None, None, None, None, True, 0.1, 1e-5)
        bound = allowances(case, case.results(), profile(dtype, "sequential", n), ["mean", "var"])
        assert abs(Fraction(float(mean)) - exact[0]) <= Fraction(float(bound["mean"][0]))
        assert abs(Fraction(float(var)) - exact[1]) <= Fraction(float(bound["var"][0]))


@pytest.mark.parametrize("ratio", [64, 316, 1e3, 3160, 1e4])
def test_one_pass_variance_is_caught_on_the_ladder(ratio):
    """At n = 16 and mean / std of 4 n and more, in most draws; two passes never are."""
    rng, caught = np.random.default_rng(int(ratio)), 0
    for _ in range(20):
        x = rng.normal(ratio, 1, (16, 1)).astype(np.float32)
        mean = x.mean(axis=0)
        one, two = (x * x).mean(axis=0) - mean * mean, ((x - mean) ** 2).mean(axis=0)
        caught += not bnref.testing.compare({"var": one}, x, training=True).conforms
        assert bnref.testing.compare({"var": two}, x, training=True).conforms
    assert caught >= 12


def test_a_variance_of_two_passes_is_never_far_below():
    x = np.random.default_rng(0).normal(1e6, 1, (64, 1))
    case = Case(x, None, None, None, None, None, True, 0.1, 1e-5)
    errors = bounds.statistics(case, case.results(), profile("float32", "sequential", 64))
    assert errors.var_below < 1e-5 < 1 < errors.var_above


def test_stricter_profiles_have_smaller_bounds():
    case = random_case(np.random.default_rng(5), 200, centre=100.0)
    true = case.results()
    found = [allowances(case, true, profile("float32", accumulate, case.n), bounds.NAMES) for accumulate in bounds.ACCUMULATE]
    for stricter, wider in zip(found, found[1:]):
        assert all((stricter[name] <= wider[name]).all() for name in bounds.NAMES)
        assert (stricter["mean"] < wider["mean"]).all()


@pytest.mark.parametrize("change", [
    dict(input=np.full((4, 2), 3.0), eps=0.0),  # W = 0
    dict(input=np.full((4, 2), 1e38)),  # the sum of squares overflows float32
])
def test_nothing_is_promised_where_nothing_can_be(change):
    case = random_case(np.random.default_rng(1), 4).but(**change)
    bound = allowances(case, case.results(), profile("float32", "sequential", 4), ["output"])["output"]
    assert np.isinf(bound).all()


def test_where_a_nan_is_due_no_number_will_do():
    x = np.random.default_rng(1).normal(0, 1, (4, 2))
    x[1, 0] = np.nan
    case = random_case(np.random.default_rng(1), 4).but(input=x)
    bound = allowances(case, case.results(), profile("float32", "sequential", 4), ["output", "grad_bias"])
    assert not bound["output"][:, 0].any() and (bound["output"][:, 1] > 0).all() and (bound["grad_bias"] > 0).all()


@pytest.mark.parametrize("operand, result", [
    ("weight", "output"), ("bias", "output"), ("running_mean", "running_mean"), ("running_var", "running_var")])
def test_a_channel_without_one_of_its_numbers_is_due_a_nan_and_the_others_are_not(operand, result):
    case = random_case(np.random.default_rng(1), 4)
    case = case.but(**{operand: np.array([np.nan, getattr(case, operand)[1]])})
    bound = allowances(case, case.results(), profile("float32", "sequential", 4), [result])[result]
    assert not bound[..., 0].any() and np.isfinite(bound[..., 1]).all() and (bound[..., 1] > 0).all()


def test_sums_that_may_overflow_in_one_channel_leave_the_others_their_bounds():
    case = random_case(np.random.default_rng(1), 4)
    case = case.but(input=np.stack([np.full(4, 1e38), case.input[:, 1]], axis=1))
    bound = allowances(case, case.results(), profile("float32", "sequential", 4), ["output"])["output"]
    assert np.isinf(bound[:, 0]).all() and np.isfinite(bound[:, 1]).all()


@pytest.mark.parametrize("rstd, finite", [(65000, True), (65530, False)])
def test_an_rstd_that_rounding_may_take_out_of_float16_promises_nothing_to_a_layer_that_saves_it_so(rstd, finite):
    case = random_case(np.random.default_rng(1), 4).but(input=np.zeros((4, 2)), eps=1 / rstd**2)
    known = profile("float32", "sequential", 4, saved=np.dtype("float16"))
    assert np.isfinite(allowances(case, case.results(), known, ["grad_input"])["grad_input"]).all() == finite


def test_a_statistic_given_in_inference_is_off_by_half_a_unit_at_most():
    case = random_case(np.random.default_rng(1), 4).but(training=False, running_mean=np.array([0.0, -8.0]), running_var=np.array([0.0, 3.0]))
    errors = bounds.statistics(case, case.results(), profile("float32", "sequential", 4))
    assert [error.tolist() for error in errors] == [[0, 2.0**-21], [0, 3 * 2.0**-24], [0, 3 * 2.0**-24]]


def test_given_errors_of_the_statistics_replace_the_derived_ones():
    case = random_case(np.random.default_rng(2), 8)
    true, known = case.results(), profile("float64", "sequential", 8)
    errors = Statistics(*(np.full(2, 0.01) for _ in range(3)))
    assert (allowances(case, true, known, ["mean"], errors)["mean"] >= 0.01).all()


def test_sums_are_never_taken_to_be_in_half_precision():
    for dtype in ("float16", "float32"):
        assert profile(dtype, "sequential", 10).u_sum == 2.0**-24
    assert profile("float16", "sequential", 10).u == 2.0**-11


PROFILES = [  # dtype, sums, n; u, u_stat, u_sum, steps, tiny, largest
    ("float16", "pairwise", 2**20, (2.0**-11, 2.0**-24, 2.0**-24, 20 + 18, 2.0**-24, 2.0**127)),
    ("bfloat16", "float64", 5, (2.0**-8, 2.0**-24, 2.0**-53, 4, 2.0**-126, 2.0**127)),
    ("float32", "sequential", 5, (2.0**-24, 2.0**-24, 2.0**-24, 4, 2.0**-126, 2.0**127)),
    ("float32", "sequential", 2**24, (2.0**-24, 2.0**-24, 2.0**-24, 2**24 - 1, 2.0**-126, 2.0**127)),
    ("float32", "sequential", 2**24 + 1, (2.0**-24, 2.0**-24, 2.0**-24, 2**24 + 1, 2.0**-126, 2.0**127)),
    ("float32", "pairwise", 3, (2.0**-24, 2.0**-24, 2.0**-24, 2, 2.0**-126, 2.0**127)),
    ("float32", "pairwise", 0, (2.0**-24, 2.0**-24, 2.0**-24, 0, 2.0**-126, 2.0**127)),
    ("float64", "pairwise", 2**20 + 1, (2.0**-53, 2.0**-53, 2.0**-53, 21 + 18, 2.0**-1022, 2.0**1023)),
]


@pytest.mark.parametrize("dtype, accumulate, n, expected", PROFILES)
def test_a_profile_says_what_its_format_and_its_way_of_summing_can_do(dtype, accumulate, n, expected):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    assert profile(dtype, accumulate, n)[:6] == expected
