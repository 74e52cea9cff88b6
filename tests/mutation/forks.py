"""Tests in forks of a warm process, on the package as it is or with one module changed in memory.

The warm process has imported what the tests need besides bnref, so a fork imports only bnref and the tests.  A mutant
takes the place of its module by an import hook: no file is touched, whenever a run is stopped.  The tests are those of a
copy of the tree as it was when the run began, so that the checkout may be worked on meanwhile.
"""

import contextlib
import importlib
import importlib.machinery
import os
import resource
import shutil
import signal
import sys
import traceback
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / ".venv" / "mutation"
TREE = STORE / "tree"
ARGUMENTS = ["-q", "--tb=no", "--assert=plain", "-p", "no:faulthandler", "-p", "no:nbval",
             "--hypothesis-seed=0", "--hypothesis-profile=mutation"]
MEMORY = 8 * 2**30
hypothesis.settings.register_profile("mutation", deadline=None, database=None, derandomize=True)


def copy_tree():
    """Copy what is under test, and what the tests read."""
    shutil.rmtree(TREE, ignore_errors=True)
    TREE.mkdir(parents=True)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, TREE)
        elif path.name in ("bnref", "notebooks", "tests"):
            shutil.copytree(path, TREE / path.name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))


def warm(modules):
    """Import once what every fork would import: nothing of the package, or of the tests."""
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    if "bnref" in sys.modules:
        raise RuntimeError("bnref is imported before it is mutated")


def start(job, folder):
    """Run job(note) in a fork, in the copy of the tree, in silence, with a folder for its files; the process's id.

    What job writes to the file `note` is read by `finish`, whatever becomes of the process.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "note").touch()
    (folder / "output").touch()
    sys.stdout.flush()
    if process := os.fork():
        return process
    status = 70
    try:
        os.setsid()
        os.chdir(TREE)
        sys.path[:] = [str(TREE), *(path for path in sys.path if path not in ("", str(ROOT)))]
        for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
            del sys.modules[name]
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.environ["TMPDIR"] = str(folder)
        output = os.open(folder / "output", os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        with (folder / "note").open("w", encoding="utf-8") as note:
            status = int(job(note))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def finish(process, folder):
    """What a process that has ended left: the last line of its note, and the end of what it printed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)  # what it started and left behind
    note, output = ((folder / name).read_text(encoding="utf-8", errors="replace") for name in ("note", "output"))
    shutil.rmtree(folder, ignore_errors=True)
    return note.split("\n")[-1], output[-3000:]


def run_tests(tests, known, module, code, note):
    """Run tests, {test: its usual seconds}, in this order, with the code of one module replaced; pytest's exit status.

    known: the names of all tests there are.
    """
    sys.meta_path.insert(0, _Replaced(module, code))
    files = list(dict.fromkeys(test.split("::")[0] for test in tests))
    return pytest.main([*ARGUMENTS, "-x", *files], plugins=[_Only(tests, known, note)])


class _Replaced:
    """An import hook that gives one module another code."""

    def __init__(self, name, code):
        self.name, self.code = name, code

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        spec.loader.get_code = lambda _: self.code
        return spec


class _Only:
    """A pytest plugin: run these tests, in this order, each with a limit of time, and note which one runs."""

    def __init__(self, seconds, known, note):
        self.seconds, self.known, self.note = seconds, known, note
        self.limit(30)

    def limit(self, seconds):
        """Be killed by SIGPROF after so much processor time, or by SIGALRM after ten times that on the clock."""
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, 10 * seconds)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        place = {test: k for k, test in enumerate(self.seconds)}
        functions = {test.partition("[")[0] for test in place}
        items[:] = [item for item in items if item.nodeid in place
                    or item.nodeid not in self.known and item.nodeid.partition("[")[0] in functions]  # renamed by the mutant
        items.sort(key=lambda item: place.get(item.nodeid, len(place)))

    def pytest_runtest_logstart(self, nodeid):
        self.limit(4 + 10 * self.seconds.get(nodeid, 3))
        self.note.write(f"\n{nodeid}")
        self.note.flush()

    def pytest_runtest_logfinish(self):
        self.limit(30)
