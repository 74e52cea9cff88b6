"""Finite sums of indefinite length: the rules of algebra that a derivation for a general n uses.

SymPy simplifies sums by heuristics that change between releases; these two rules are applied just as they are stated.
"""

import sympy as sp


def linear(expression):
    """Sums split and factored: sum(a f + b) = a sum(f) + n b, sum over i of delta_ij f(i) = f(j), q^(k-i) = q^k q^-i.

    The index j of a Kronecker delta is taken to lie within the limits of the sum.
    """
    expression = sp.sympify(expression)
    if expression.is_Atom or isinstance(expression, sp.Indexed):
        return expression
    if isinstance(expression, sp.Sum):
        *inner, (index, first, last) = expression.limits
        body = sp.Sum(expression.function, *inner) if inner else expression.function
        body = sp.expand(linear(body))
        return sp.Add(*(_sum_of(term, index, first, last) for term in sp.Add.make_args(body)))
    return expression.func(*map(linear, expression.args))


def _sum_of(term, index, first, last):
    for delta in term.atoms(sp.KroneckerDelta):
        if index in delta.args:
            other, = set(delta.args) - {index}
            return (term / delta).subs(index, other)
    constant, rest = term.as_independent(index, as_Add=False)
    for power in rest.atoms(sp.Pow):
        fixed, moving = power.exp.as_independent(index, as_Add=True)
        if fixed != 0 and index not in power.base.free_symbols and power in sp.Mul.make_args(rest):
            constant, rest = constant * power.base**fixed, rest.xreplace({power: power.base**moving})
    return constant * (last - first + 1 if rest == 1 else sp.Sum(rest, (index, first, last)))


def peel(expression):
    """The last term apart: sum over t = a..b of f(t) = sum over t = a..b-1 of f(t) + f(b)."""
    def apart(total):
        (index, first, last), = total.limits
        return sp.Sum(total.function, (index, first, last - 1)) + total.function.subs(index, last)
    return expression.replace(lambda e: isinstance(e, sp.Sum), apart)
