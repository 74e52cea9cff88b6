"""The vocabulary of a derivation: symbols, equations as they were written, and the programs made of them.

A chapter declares symbols, writes equations inside `as_written()` (SymPy would sort them), shows each one, and binds
them into a `Program`, which knows its Python source.  `Symbolic` is the number system that runs such a source on symbols.
"""

import textwrap
from functools import cached_property, partial

import sympy as sp

from .printing import latex, source

i, j = sp.symbols("i j", integer=True)
n = sp.Symbol("n", integer=True, positive=True)

as_written = partial(sp.evaluate, False)
"""Inside ``with as_written():`` SymPy keeps the author's order and grouping."""


class Word(sp.Symbol):
    """A symbol whose name is a word: set upright, the same in prose, in SymPy and in NumPy."""

    shape = "scalar"

    def _latex(self, printer):
        if len(self.name) == 1:
            return self.name
        if self.name.endswith("hat"):
            return rf"\hat{{{self.name[:-3]}}}"
        return r"\operatorname{" + self.name.replace("_", r"\_") + "}"


class Channel(Word):
    """One value for each channel."""

    shape = "(C,)"


class Scalar(Word):
    """One value for all channels."""


def channels(names, **assumptions):
    """Symbols with one value for each channel, real unless said otherwise."""
    return sp.symbols(names, cls=Channel, **{"real": True} | assumptions)


def scalars(names, **assumptions):
    """Symbols with one value for all channels, real unless said otherwise."""
    return sp.symbols(names, cls=Scalar, **{"real": True} | assumptions)


def batch(name):
    """The values of one channel in a batch: `batch("x")[i]` is the i-th of n."""
    return sp.IndexedBase(Word(name, real=True), real=True)


def batch_sum(term):
    """The sum over the batch, i = 1..n."""
    with sp.evaluate(True):
        return sp.Sum(term, (i, 1, n))


def evaluated(expression):
    """The same expression in SymPy's own order, for algebra."""
    return expression if expression.is_Atom else expression.func(*map(evaluated, expression.args))


class Equation:
    """``lhs = rhs`` as the author wrote it; becomes one assignment."""

    def __init__(self, lhs, rhs):
        self.lhs, self.rhs = sp.sympify(lhs), sp.sympify(rhs)

    def __repr__(self):
        return f"{source(self.lhs)} = {source(self.rhs)}"

    def _repr_latex_(self):
        return rf"$\displaystyle {latex(self.lhs)} = {latex(self.rhs)}$"


class Program:
    """A function made of equations: one assignment each, in the author's order.

    Parameters
    ----------
    name : str
        The function's name in `bnref.equations`.
    inputs : list of symbols
    equations : list of Equation
    outputs : list of symbols
        What the function returns; the last equations define them.
    summary : str
        First line of the docstring.
    section : str
        Chapter and heading that derive it: ``01_forward, "Normalise"``.
    notes : str
        Special cases and sources: the docstring's Notes.
    """

    module = "equations"

    def __init__(self, name, inputs, equations, outputs, summary, section, notes=""):
        self.name, self.inputs, self.outputs = name, list(inputs), list(outputs)
        self.equations = self._count_first(list(equations))
        self.summary, self.section, self.notes = summary, section, notes
        self._check_bound()

    def _count_first(self, equations):
        """`n` is counted where it is needed and not given."""
        needed = any(n in leaves(eq.rhs) for eq in equations) or n in self.outputs
        given = n in self.inputs or any(eq.lhs == n for eq in equations)
        batches = [s for s in self.inputs if isinstance(s, sp.IndexedBase)]
        return [Equation(n, Count(batches[0][i]))] + equations if needed and not given and batches else equations

    def _check_bound(self):
        bound = {name_of(s) for s in self.inputs}
        for eq in self.equations:
            unbound = {name_of(s) for s in leaves(eq.rhs)} - bound
            if unbound:
                raise ValueError(f"{self.name}: {eq!r} uses {', '.join(sorted(unbound))}, which is no input "
                                 "and not assigned above")
            bound.add(name_of(eq.lhs))
        missing = {name_of(s) for s in self.outputs} - bound
        if missing:
            raise ValueError(f"{self.name}: no equation for the output {', '.join(sorted(missing))}")

    @cached_property
    def source(self):
        """The function as Python source."""
        parameters = ", ".join([name_of(s) for s in self.inputs] + ["*", "xp"])
        lines = [f"def {self.name}({parameters}):", *self._docstring(), *self._body(),
                 "return " + ", ".join(map(name_of, self.outputs))]
        return lines[0] + "\n" + "".join(f"    {line}".rstrip() + "\n" for line in lines[1:])

    def _docstring(self):
        shapes = {}
        for symbol in self.inputs:
            shapes.setdefault(shape_of(symbol), []).append(name_of(symbol))
        returned = [f"{name_of(s)} : {shape_of(s)}" for s in self.outputs]
        notes = ["", "Notes", "-----", *self.notes.strip().splitlines()] if self.notes.strip() else []
        return [f'"""{self.summary}', "", f"Derived in notebooks/{self.section}.", *self._addresses(), "",
                "Parameters", "----------",
                *(f"{', '.join(names)} : {shape}" for shape, names in shapes.items()),
                f"xp : number system, with {self._operations()}", "",
                "Returns", "-------", *returned, *notes, '"""']

    def _addresses(self):
        """Where the site shows each equation."""
        first, *others = [name_of(eq.lhs) for eq in self.equations if not isinstance(eq.rhs, Count)]
        text = f"Equations: site/{self.section.partition(',')[0]}.html#{self.name}.{first}"
        return textwrap.wrap(text + "".join(f", .{name}" for name in others), 112, break_on_hyphens=False)

    def _operations(self):
        """What a number system must supply; the bounds need more than the formulas do."""
        further = any(eq.rhs.atoms(sp.Abs, Maximum) for eq in self.equations)
        return "sum, count, sqrt, abs and maximum" if further else "sum, count and sqrt"

    def _body(self):
        results = {name_of(s) for s in self.outputs}
        first_output = len(self.equations)
        while first_output and name_of(self.equations[first_output - 1].lhs) in results:
            first_output -= 1
        intermediate = [repr(eq) for eq in self.equations[:first_output]]
        output = [repr(eq) for eq in self.equations[first_output:]]
        return ["# inputs: " + " ".join(map(name_of, self.inputs)), *intermediate, "# output", *output]

    @cached_property
    def function(self):
        """The source, compiled: what a chapter demonstrates before anything is exported."""
        namespace = {}
        exec(compile(self.source, f"<{self.name}>", "exec"), namespace)
        return namespace[self.name]

    def __call__(self, *args, xp):
        return self.function(*args, xp=xp)

    @cached_property
    def derived(self):
        """The outputs as expressions in the inputs alone, by SymPy, without the generated source."""
        known = {}
        for eq in self.equations:
            known[eq.lhs] = evaluated(eq.rhs).xreplace({Count(b): n for b in eq.rhs.atoms(sp.Indexed)}).xreplace(known)
        return tuple(known.get(at_i(s), at_i(s)) for s in self.outputs)

    def on_symbols(self, function=None):
        """The outputs that `function` (the generated source, unless given) computes when it is run on the symbols."""
        results = (function or self.function)(*map(at_i, self.inputs), xp=Symbolic)
        return results if isinstance(results, tuple) else (results,)

    def __repr__(self):
        return self.source

    def _repr_markdown_(self):
        return f"```python\n{self.source}```"


class Mistake(Program):
    """A wrong program that real implementations contain; exported to `bnref.mistakes`."""

    module = "mistakes"

    def _addresses(self):
        """None: the chapter shows what is right."""
        return []


class Count(sp.Function):
    """The number of values of a batch; printed as ``xp.count``."""


class Maximum(sp.Function):
    """The larger of two; printed as ``xp.maximum``. (SymPy's own Max compares its arguments, at length.)"""

    def _latex(self, printer):
        return r"\max(" + ",\\ ".join(map(printer._print, self.args)) + ")"


class Symbolic:
    """SymPy symbols as a number system: a batch is its i-th value."""

    sqrt = staticmethod(sp.sqrt)
    abs = staticmethod(sp.Abs)
    maximum = staticmethod(Maximum)
    sum = staticmethod(batch_sum)

    @staticmethod
    def count(term):
        """n, whatever the batch."""
        return n


def at_i(symbol):
    """A batch stands for its i-th value."""
    return symbol[i] if isinstance(symbol, sp.IndexedBase) else symbol


def leaves(expression):
    """What the printed expression reads: symbols, and batches. The limits of a sum are not read."""
    if isinstance(expression, sp.Indexed):
        return {expression.base}
    if isinstance(expression, sp.Symbol):
        return {expression}
    parts = [expression.function] if isinstance(expression, sp.Sum) else expression.args
    return set().union(*map(leaves, parts))


def name_of(symbol):
    """The Python name of a symbol, a batch or one of its values."""
    if isinstance(symbol, sp.Indexed):
        symbol = symbol.base
    return symbol.label.name if isinstance(symbol, sp.IndexedBase) else symbol.name


def shape_of(symbol):
    """The shape that a docstring promises."""
    if isinstance(symbol, (sp.Indexed, sp.IndexedBase)):
        return "(..., C)"
    return getattr(symbol, "shape", "scalar")
