"""Print an expression as Python and as LaTeX, in the order in which the author wrote it.

SymPy's printers sort sums and products and gather quotients, which changes floating-point results; these do not.
"""

import sympy as sp
from sympy.printing.latex import LatexPrinter

SUM, PRODUCT, POWER, ATOM = range(4)


def latex(expression):
    """LaTeX in the author's order."""
    return LatexPrinter({"order": "none"}).doprint(_flat(expression))


def source(expression):
    """Python source in the author's order: operators, and ``xp.sum``, ``count``, ``sqrt``, ``abs`` and ``maximum``."""
    return _print(expression)[0]


def _print(e):
    """(text, precedence)"""
    if isinstance(e, sp.Indexed):
        return e.base.label.name, ATOM
    if isinstance(e, sp.Symbol):
        return e.name, ATOM
    if isinstance(e, sp.Integer):
        return str(e), ATOM if e >= 0 else SUM
    if isinstance(e, sp.Sum):
        return f"xp.sum({source(e.function)})", ATOM
    if e.func.__name__ == "Count":
        return f"xp.count({source(e.args[0])})", ATOM
    if isinstance(e, sp.Abs):
        return f"xp.abs({source(e.args[0])})", ATOM
    if e.func.__name__ == "Maximum":
        return f"xp.maximum({', '.join(map(source, e.args))})", ATOM
    if isinstance(e, sp.Add):
        return _print_sum(e.args), SUM
    if isinstance(e, sp.Mul):
        return _print_product(e.args)
    if isinstance(e, sp.Pow):
        return _print_power(e)
    raise TypeError(f"{e}: a {type(e).__name__}, which no number system knows; allowed: + - * /, integer powers, "
                    "square roots, absolute values, maxima, sums over the batch")


def _print_sum(terms):
    text = _operand(terms[0], SUM)
    for term in terms[1:]:
        positive = _negated(term)
        text += f" + {_operand(term, PRODUCT)}" if positive is None else f" - {_operand(positive, PRODUCT)}"
    return text


def _print_product(factors):
    if factors[0] == -1 and len(factors) > 1:
        return "-" + _operand(sp.Mul(*factors[1:], evaluate=False), POWER), SUM
    text = None
    for factor in factors:
        divisor = _divisor(factor)
        if divisor is not None:
            text = f"{text or '1'} / {_operand(divisor, POWER)}"
        else:
            text = _operand(factor, PRODUCT) if text is None else f"{text} * {_operand(factor, POWER)}"
    return text, PRODUCT


def _print_power(e):
    divisor = _divisor(e)
    if divisor is not None:
        return f"1 / {_operand(divisor, POWER)}", PRODUCT
    if e.exp == sp.Rational(1, 2):
        return f"xp.sqrt({source(e.base)})", ATOM
    if e.exp.is_Integer:
        return f"{_operand(e.base, ATOM)} ** {e.exp}", POWER
    raise TypeError(f"{e}: the power {e.exp}; allowed: integers and 1/2")


def _operand(e, precedence):
    text, own = _print(e)
    return text if own >= precedence else f"({text})"


def _divisor(e):
    """b where e = 1 / b, else None."""
    if isinstance(e, sp.Pow) and e.exp.is_Rational and e.exp < 0:
        return e.base if e.exp == -1 else sp.Pow(e.base, -e.exp, evaluate=False)
    return None


def _negated(e):
    """b where e = -b as written, else None."""
    if isinstance(e, sp.Mul) and e.args[0].is_Integer and e.args[0] < 0:
        rest = e.args[1:] if e.args[0] == -1 else (-e.args[0],) + e.args[1:]
        return rest[0] if len(rest) == 1 else sp.Mul(*rest, evaluate=False)
    if e.is_Integer and e < 0:
        return -e
    return None


def _flat(e):
    """The same with (a + b) + c as a + b + c, which is how Python reads it and how it should look."""
    if e.is_Atom or isinstance(e, (sp.Indexed, sp.IndexedBase)):
        return e
    args = [_flat(arg) for arg in e.args]
    if isinstance(e, (sp.Add, sp.Mul)) and type(args[0]) is type(e):
        args = list(args[0].args) + args[1:]
    return e.func(*args, evaluate=False) if isinstance(e, (sp.Add, sp.Mul, sp.Pow)) else _rebuilt(e, args)


def _rebuilt(e, args):
    return sp.Sum(args[0], *e.limits) if isinstance(e, sp.Sum) else e.func(*args)
