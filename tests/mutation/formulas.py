"""Change every formula of bnref/equations.py in every way: the test of its own function must notice.

    python -m tests.mutation --formulas

That test runs the function on symbols and wants the derived equation back, so it needs no data and no luck.  (The run
of `python -m tests.mutation` is content with any test that covers the line.)  One function has a second test of its own.
"""

import sys
import types

from tests import test_equations

from .forks import ROOT
from .mutants import Source

TARGET = ROOT / "bnref" / "equations.py"


def killed_by(name, code):
    """The message of the test that fails on the function, or None."""
    module = types.ModuleType("bnref.equations")
    original, test_equations.MODULES["equations"] = test_equations.MODULES["equations"], module
    try:
        exec(code, vars(module))
        test_equations.test_run_on_symbols_it_gives_the_derived_equation_back(test_equations.PROGRAMS[name])
        if name == "running_bound":
            test_equations.test_the_running_bound_is_as_wide_for_a_variance_below_zero()
    except Exception as error:  # whatever the mutant does, it is noticed
        return f"{type(error).__name__}: {error}"
    finally:
        test_equations.MODULES["equations"] = original
    return None


def judge():
    """Run them all, and report; the exit status."""
    source = Source("bnref/equations.py", TARGET.read_text(encoding="utf-8"))
    for name in test_equations.equations.__all__:
        if failure := killed_by(name, compile(source.tree, str(TARGET), "exec")):
            sys.exit(f"mutation: {name} fails without any mutation: {failure}")
    found = [mutant for mutant in source.mutants if mutant.function]
    survivors = []
    for number, mutant in enumerate(found, 1):
        if sys.stderr.isatty():
            print(f"\r{number} of {len(found)}", end="", flush=True, file=sys.stderr)
        if killed_by(mutant.function, source.compiled(mutant, str(TARGET))) is None:
            survivors.append(mutant)
    for mutant in survivors:
        print(f"survived: {TARGET.name}:{mutant.line} {mutant.function}\n    {mutant.change}")
    print(f"{len(found)} mutants of the formulas in bnref/equations.py: {len(found) - len(survivors)} killed by the test of "
          f"their own function, {len(survivors)} survived")
    return bool(survivors)
