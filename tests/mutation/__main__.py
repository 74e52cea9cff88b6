"""Change one operator, constant or term of a generated formula, and see its test fail.    python -m tests.mutation

Every mutant of `bnref/equations.py` is put in the module's place and the tests of tests/test_equations.py that hold the
mutated function run on it.  What survives is printed and makes the run fail, unless `EQUIVALENT` says why it computes
the same.
"""

import ast
import sys
import types
from pathlib import Path

from tests import test_equations

TARGET = Path(__file__).resolve().parents[2] / "bnref" / "equations.py"
SWAPS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
EQUIVALENT = {}  # "function: original -> mutant": the reason why both compute the same


def mutants(tree):
    """(function, what was changed, source) for every mutant."""
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        for statement in function.body:
            if isinstance(statement, ast.Assign):
                yield from _of_value(tree, function, statement)
            elif isinstance(statement, ast.Return) and isinstance(statement.value, ast.Tuple):
                elements = statement.value.elts
                for k in range(len(elements) - 1):
                    swapped = elements[:k] + [elements[k + 1], elements[k]] + elements[k + 2:]
                    yield from _with(tree, function, statement, ast.Tuple(swapped, ast.Load()))


def _of_value(tree, function, statement):
    for node in ast.walk(statement.value):
        for changed in _changes(node):
            yield from _with(tree, function, statement, _replaced(statement.value, node, changed))


def _changes(node):
    if isinstance(node, ast.BinOp):
        yield ast.BinOp(node.left, SWAPS[type(node.op)](), node.right)
        yield node.left
        yield node.right
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield ast.Constant(node.value + 1)
        yield ast.Constant(node.value - 1)
    elif isinstance(node, ast.Call) and node.func.attr in ("sum", "sqrt"):
        yield node.args[0]


def _replaced(tree, old, new):
    """A copy of an expression with one node exchanged."""
    if tree is old:
        return new
    fields = {}
    for name, value in ast.iter_fields(tree):
        if isinstance(value, list):
            fields[name] = [_replaced(v, old, new) if isinstance(v, ast.AST) else v for v in value]
        else:
            fields[name] = _replaced(value, old, new) if isinstance(value, ast.AST) else value
    return type(tree)(**fields)


def _with(tree, function, statement, value):
    original, statement.value = statement.value, value
    change = f"{function.name}: {ast.unparse(original)} -> {ast.unparse(value)}"
    source = ast.unparse(tree)
    statement.value = original
    yield function.name, change, source


def killed_by(name, source):
    """The message of the test that fails on a mutant, or None."""
    module = types.ModuleType("bnref.equations")
    exec(compile(source, "mutant", "exec"), vars(module))
    original, test_equations.MODULES["equations"] = test_equations.MODULES["equations"], module
    try:
        test_equations.test_run_on_symbols_it_gives_the_derived_equation_back(test_equations.PROGRAMS[name])
    except Exception as error:  # whatever the mutant does, it is noticed
        return f"{type(error).__name__}: {error}"
    finally:
        test_equations.MODULES["equations"] = original
    return None


def main():
    source = TARGET.read_text(encoding="utf-8")
    for name in test_equations.equations.__all__:
        if failure := killed_by(name, source):
            sys.exit(f"mutation: {name} fails without any mutation: {failure}")
    found = list(mutants(ast.parse(source)))
    survivors, equivalent = [], []
    for number, (name, change, mutant) in enumerate(found, 1):
        print(f"\r{number} of {len(found)}", end="", flush=True, file=sys.stderr)
        if killed_by(name, mutant) is None:
            (equivalent if change in EQUIVALENT else survivors).append(change)
    print(file=sys.stderr)
    for change in survivors:
        print(f"survived: {change}")
    for change in equivalent:
        print(f"equivalent: {change}, since {EQUIVALENT[change]}")
    print(f"{len(found)} mutants of bnref/equations.py: {len(found) - len(survivors) - len(equivalent)} killed, "
          f"{len(equivalent)} equivalent, {len(survivors)} survived")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
