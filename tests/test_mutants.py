"""The changes that `make mutation` makes."""

import ast
import textwrap

import pytest

from tests.mutation.mutants import Source

CHANGES = [
    ("y = a + b", {"y = a - b", "y = a", "y = b"}),
    ("y = x < 2", {"y = x <= 2", "y = x >= 2", "y = x < 3", "y = x < 1"}),
    ("y = p and not q", {"y = p or not q", "y = p", "y = not q", "y = p and q"}),
    ("y = 'key', 'some words'", {"y = ('key_', 'some words')"}),
    ("y = f(a, b, k=c, out=d)", {"y = f(b, a, k=c, out=d)", "y = f(a, b, out=d)"}),
    ("y = np.maximum(a, b)", set()),
    ("x += a", {"pass"}),
    ("self.x = a", {"pass"}),
    ("return a, b", {"return None", "return (b, a)"}),
    ("if c: pass", {"if not c:"}),
    ("raise ValueError(f'{name}: 3')", {"pass", "raise TypeError(f'{name}: 3')", "raise ValueError(f': 3')"}),
    ("for i in range(n): continue", {"for i in n:", "break"}),
    ("x[1:n] = a", {"pass", "x[:n] = a", "x[1:] = a", "x[2:n] = a", "x[0:n] = a"}),
]


@pytest.mark.parametrize("statement, changes", CHANGES, ids=[statement for statement, _ in CHANGES])
def test_a_statement_is_changed_in_these_ways(statement, changes):
    source = Source("f.py", f"def f():\n    {statement}\n")
    assert {mutant.change.partition(" -> ")[2] for mutant in source.mutants} == changes
    assert {mutant.function for mutant in source.mutants} <= {"f"}


def test_annotations_docstrings_overloads_and_caches_are_not_changed():
    code = '''
        """Text"""
        Array: TypeAlias = int | float
        T = TypeVar("T")

        @overload
        def f(x: int) -> int: ...

        @cache
        def f(x: int | float, y: "Array" = z) -> int | float:
            """Text"""
            a: int | float = x
            return cast("Array", None)
    '''
    assert [mutant.change for mutant in Source("f.py", textwrap.dedent(code)).mutants] == [
        "return cast('Array', None) -> return None"]


def test_the_code_of_a_mutant_is_changed_and_the_source_is_not():
    source = Source("f.py", "def f(x):\n    return x + 1\n")
    before, results = ast.dump(source.tree), set()
    for mutant in source.mutants:
        space = {}
        exec(source.compiled(mutant, "f.py"), space)
        results.add(space["f"](5))
    assert results == {None, 4, 5, 1, 7} and ast.dump(source.tree) == before


def test_a_mutant_keeps_its_key_when_other_functions_annotations_or_docstrings_change():
    one = Source("f.py", "def f(x):\n    return x + 1\n")
    other = Source("f.py", 'y = 3\n\n\ndef f(x: int) -> int:\n    """Text"""\n    return x + 1\n')
    edited = Source("f.py", "def f(x):\n    x = x\n    return x + 1\n")
    keys = [[mutant.key for mutant in source.mutants if mutant.function == "f"] for source in (one, other, edited)]
    assert keys[0] == keys[1] and not set(keys[0]) & set(keys[2])
