"""The house as it was meant: what may import what, and what a user finds after `import bnref`."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import bnref

PACKAGE = Path(bnref.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
# Lower floors are imported by higher ones only; `arithmetic` is a room of its own, and knows no formula.
FLOORS = [("typing",), ("equations", "mistakes", "arithmetic", "arguments"), ("functional", "states"), ("layer", "bounds"),
          ("torch", "mindspore", "estimates"), ("checkpoint", "unsettled", "variants"), ("port", "axes"), ("catalogue",),
          ("comparison",), ("testing",)]


def room(path):
    """The module of bnref that a file belongs to: "functional", or "arithmetic" for all that lies in it."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """(top-level name of a package, or "." and the room of bnref) for every import in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0], None
        elif isinstance(node, ast.ImportFrom):
            depth = len(path.relative_to(PACKAGE).parts) - node.level
            if depth > 0:
                continue  # a neighbour in the same room
            yield from ((".", (node.module or alias.name).split(".")[0]) for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_but_numpy_is_needed(path):
    allowed = {"numpy", "ml_dtypes", ".", *sys.stdlib_module_names}
    strangers = {name for name, _ in imports(path)} - allowed
    assert not strangers, f"{path.name} imports {strangers}; bnref needs NumPy alone"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "__init__.py"],
                         ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    floor = {name: height for height, names in enumerate(FLOORS) for name in names}
    assert room(path) in floor, f"{room(path)}: on which floor? add it to FLOORS"
    upward = {other for name, other in imports(path) if name == "." and other != room(path)
              and floor[other] >= floor[room(path)]}
    assert not upward, f"{path.name} imports {upward}, which is not below it"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_holds_two_things(path):
    if path.name in ("equations.py", "mistakes.py"):
        pytest.skip("generated: as long as the chapters make it")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 420


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_has_what_it_says_that_it_has(path):
    name = ".".join(("bnref", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    module = importlib.import_module(name)
    said = getattr(module, "__all__", [])
    assert [name for name in said if not hasattr(module, name)] == [] and len(set(said)) == len(said)


def test_all_submodules_are_attributes_after_import():
    rooms = {room(path) for path in SOURCES} - {"__init__"}
    code = f"import bnref; print(*sorted(name for name in {sorted(rooms)} if not hasattr(bnref, name)))"
    missing = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert missing.stdout.strip() == ""


def test_no_framework_and_no_sympy_is_loaded():
    code = "import bnref, sys; print(*sorted({'sympy', 'torch', 'mindspore'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""
