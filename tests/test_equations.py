"""The generated functions: on symbols they give the derivation back, on rationals and floats its values."""

import hashlib
import inspect
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp
from tools import chapters
from tools.derive import Maximum, n, name_of
from tools.export import programs

from bnref import equations, mistakes
from bnref.arithmetic import arrays

PROGRAMS = {program.name: program for path in chapters.chapters() for program in programs(path)}


MODULES = {"equations": equations, "mistakes": mistakes}


def exported(program):
    return getattr(MODULES[program.module], program.name)


def fingerprint(expression, digits=30):
    """The value at a point of its own for each symbol, with three values to a batch: cheap, and blind to nothing else."""
    expression = expression.replace(Maximum, sp.Max).subs(n, 3).doit()
    point = {}
    for leaf in expression.atoms(sp.Symbol, sp.Indexed):
        seed = int(hashlib.md5(str(leaf).encode()).hexdigest()[:12], 16)
        point[leaf] = sp.Rational(seed, 16**12) + 1
    return expression.xreplace(point).evalf(digits)


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=lambda program: program.name)
def test_run_on_symbols_it_gives_the_derived_equation_back(program):
    computed = program.on_symbols(exported(program))
    assert len(computed) == len(program.derived)
    for output, got, derived in zip(program.outputs, computed, program.derived, strict=True):
        same = abs(fingerprint(got - derived)) < 1e-25
        assert same and (got == derived or sp.simplify(got - derived) == 0), f"{program.name}: {name_of(output)} is {got}, derived was {derived}"


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=lambda program: program.name)
def test_its_signature_and_its_docstring_are_the_chapters(program):
    function = exported(program)
    assert list(inspect.signature(function).parameters) == [*map(name_of, program.inputs), "xp"]
    assert f"notebooks/{program.section}" in inspect.getdoc(function)


@pytest.mark.parametrize("name", MODULES)
def test_every_function_is_derived_in_a_chapter(name):
    module = MODULES[name]
    assert module.__all__ == [program.name for program in PROGRAMS.values() if program.module == name]
    functions = [name for name, value in vars(module).items() if inspect.isfunction(value)]
    assert functions == module.__all__


def rational_batch():
    """Two channels: one with variance 7/2, one constant."""
    return arrays.rationals([[1, "1/3"], [2, "1/3"], [3, "1/3"], [6, "1/3"]])


def test_on_rationals_the_batch_statistics_are_exact():
    mean, var = equations.batch_statistics(rational_batch(), xp=arrays)
    assert mean.tolist() == [3, Fraction(1, 3)]
    assert var.tolist() == [Fraction(7, 2), 0]


def test_on_rationals_whose_w_is_a_square_the_output_is_exact():
    x, weight, bias = rational_batch(), arrays.rationals([2, 3]), arrays.rationals([1, "1/7"])
    mean, var = equations.batch_statistics(x, xp=arrays)
    eps = arrays.rationals(["1/2", "9/4"])
    y = equations.normalize(x, mean, var, weight, bias, eps, xp=arrays)
    assert y[:, 0].tolist() == [-1, 0, 1, 4]
    assert y[:, 1].tolist() == [Fraction(1, 7)] * 4


def test_on_rationals_whose_w_is_no_square_the_error_names_it():
    x = rational_batch()
    mean, var = equations.batch_statistics(x, xp=arrays)
    with pytest.raises(ValueError, match=r"sqrt: 9/2 is not the square of a rational"):
        equations.normalize(x, mean, var, 1, 0, Fraction(1), xp=arrays)


@pytest.mark.parametrize("w", ["-1", "2", "1/2", "8/9", "-4/9"])
def test_no_other_rational_has_a_root(w):
    with pytest.raises(ValueError, match=f"sqrt: {w} is not"):
        arrays.sqrt(Fraction(w))


def test_on_float64_arrays_it_is_numpys_arithmetic_in_the_authors_order():
    x = np.random.default_rng(4).normal(3, 2, (5, 7, 3))
    mean, var = equations.batch_statistics(x, xp=arrays)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 1)), rtol=1e-14)
    np.testing.assert_allclose(var, x.var(axis=(0, 1)), rtol=1e-13)
    weight, bias = np.array([2.0, -0.5, 3.0]), np.array([0.1, 5.0, -2.0])
    y = equations.normalize(x, mean, var, weight, bias, 0.25, xp=arrays)
    assert np.array_equal(y, weight * ((x - mean) * (1 / np.sqrt(var + 0.25))) + bias)


def test_the_update_is_the_weighted_mean_with_the_unbiased_variance():
    updated = equations.update_running_statistics(Fraction(1), Fraction(1), Fraction(3), Fraction(7, 2), 4,
                                                  Fraction(1, 4), xp=None)
    assert updated == (Fraction(3, 2), Fraction(3, 4) + Fraction(1, 4) * Fraction(14, 3))


def test_the_complement_converts_a_momentum_both_ways():
    assert equations.complement(Fraction(9, 10), xp=None) == Fraction(1, 10)
    assert equations.complement(0.9, xp=None) == 0.09999999999999998


def test_the_cumulative_momentum_averages():
    running, seen = Fraction(99), [Fraction(3), Fraction(5), Fraction(1), Fraction(-7)]
    for number, value in enumerate(seen, 1):
        momentum = equations.cumulative_momentum(Fraction(number), xp=None)
        running, _ = equations.update_running_statistics(running, 1, value, 1, 2, momentum, xp=None)
        assert running == sum(seen[:number]) / number


RIGHT = [program for program in PROGRAMS.values() if program.module == "equations"]


@pytest.mark.parametrize("program", RIGHT, ids=lambda program: program.name)
def test_the_derivation_itself_uses_every_input(program):
    """A guard for the first test: an equation that lost an input would agree with a function that lost it too."""
    used = set().union(*(expression.atoms(sp.Symbol) | expression.free_symbols for expression in program.derived))
    names = {str(symbol) for symbol in used}
    assert set(map(name_of, program.inputs)) <= names


def test_the_running_bound_is_as_wide_for_a_variance_below_zero():
    """That of E[x^2] - E[x]^2 can be.  On symbols nothing shows it, since a variance is no negative symbol."""
    def bound(var):
        xp = SimpleNamespace(abs=abs, maximum=max)
        return exported(PROGRAMS["running_bound"])(1.0, 1.0, 0.5, var, 4, 0.1, 1e-9, 1e-9, 2.0**-24, 2.0**-149, xp=xp)

    assert bound(-2.0) == bound(2.0)
