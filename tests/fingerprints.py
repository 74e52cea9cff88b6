"""Numeric fingerprints of every exported equation: 30 digits at fixed inputs, in tests/golden/fingerprints.json.

They say whether a formula changed or only its printing, which is what moves when SymPy does (CONTRIBUTING.md).  Each comes
twice: from the SymPy expression of the chapter, and from the Python that was generated from it, both by mpmath.
`make fingerprints` writes the record, tests/test_fingerprints.py compares.

A fingerprint must show all of an expression: so inputs that may be negative partly are, and the larger of two numbers,
which hides the smaller, is replaced by the root of a**2 + 2 b**2.
"""

import hashlib
import json
import math
import sys
from functools import partial
from pathlib import Path

import mpmath
import numpy as np
import sympy as sp
from tools import chapters
from tools.derive import Count, Maximum, name_of
from tools.export import programs

from bnref import equations, mistakes
from bnref.arithmetic import arrays

RECORD = Path(__file__).parent / "golden" / "fingerprints.json"
DIGITS, WORKING = 30, 60
N = 3  # values to a batch
MODULES = {"equations": equations, "mistakes": mistakes}


def exported():
    """{name: Program} of all that the chapters export."""
    return {program.name: program for path in chapters.chapters() for program in programs(path)}


# --- the inputs: an array (N, 1) for a batch, (1,) for anything else ---


def inputs(program):
    """{name: value}, a value of its own for each name; n is the number of values that there are."""
    return {name_of(symbol): _value(symbol) for symbol in program.inputs}


def _value(symbol):
    name = name_of(symbol)
    if name == "n":
        return np.array([mpmath.mpf(N)], dtype=object)
    if isinstance(symbol, sp.IndexedBase):
        return np.array([[_number(f"{name}[{k}]", False)] for k in range(N)], dtype=object)
    return np.array([_number(name, symbol.is_positive)], dtype=object)


def _number(seed, positive):
    """From 1 to 2 where it must be positive; else 1/4 to 3/4 on either side of 0: so var + eps is positive."""
    digest = int(hashlib.sha256(seed.encode()).hexdigest()[:30], 16)
    fraction = mpmath.mpf(digest) / 16**30
    return 1 + fraction if positive else (1 + 2 * fraction) / 4 * (-1) ** (digest % 2)


# --- the two ways ---


class Numbers:
    """mpmath's numbers in NumPy arrays, as a number system."""

    sum, count = staticmethod(arrays.sum), staticmethod(arrays.count)
    sqrt = np.frompyfunc(mpmath.sqrt, 1, 1)
    abs = staticmethod(np.abs)

    @staticmethod
    def maximum(a, b):
        """No maximum: see above."""
        return Numbers.sqrt(a * a + 2 * b * b)


def by_sympy(program):
    """{left side: value} of the chapter's equations, one after the other."""
    with mpmath.workdps(WORKING):
        known = inputs(program)
        for equation in program.equations:
            known[name_of(equation.lhs)] = _evaluate(equation.rhs, known)
        return _texts(program, known)


def _evaluate(e, known):
    below = partial(_evaluate, known=known)
    if isinstance(e, (sp.Symbol, sp.Indexed)):
        return known[name_of(e)]
    if isinstance(e, sp.Rational):
        return mpmath.mpf(int(e.p)) / int(e.q)
    if isinstance(e, Count):
        return mpmath.mpf(N)
    if isinstance(e, sp.Sum):
        return Numbers.sum(below(e.function))
    if isinstance(e, sp.Abs):
        return Numbers.abs(below(e.args[0]))
    if isinstance(e, Maximum):
        return Numbers.maximum(*map(below, e.args))
    if isinstance(e, sp.Add):
        return sum(map(below, e.args))
    if isinstance(e, sp.Mul):
        return math.prod(map(below, e.args))
    if isinstance(e, sp.Pow):
        return np.power(below(e.base), below(e.exp), dtype=object)
    raise TypeError(f"{e}: a {type(e).__name__}; tell tests/fingerprints.py how to evaluate it")


def by_python(program):
    """{left side: value} of the generated function's assignments, read off when it returns."""
    function = getattr(MODULES[program.module], program.name)
    found = {}

    def keep(frame, event, _):
        if event == "return" and frame.f_code is function.__code__:
            found.update(frame.f_locals)

    with mpmath.workdps(WORKING):
        before = sys.getprofile()
        sys.setprofile(keep)
        try:
            function(**inputs(program), xp=Numbers)
        finally:
            sys.setprofile(before)
        return _texts(program, found)


def _texts(program, values):
    """Of every equation: its value, or the values of a batch one after the other."""
    names = [name_of(equation.lhs) for equation in program.equations if not isinstance(equation.rhs, Count)]
    return {name: " ".join(mpmath.nstr(value, DIGITS) for value in np.ravel(values[name])) for name in names}


def recorded():
    return json.loads(RECORD.read_text(encoding="utf-8"))


if __name__ == "__main__":
    record = {name: by_sympy(program) for name, program in exported().items()}
    changed = chapters.replace(RECORD, json.dumps(record, indent=1) + "\n")
    print(f"fingerprints  {chapters.shown(RECORD)}  {'written' if changed else 'unchanged'}")
