"""Which test covers which line of bnref: one run of all tests, kept until the package or the test file changes."""

import hashlib
import importlib
import json
import os
import sys
from collections import Counter, defaultdict
from pathlib import Path

import coverage
import pytest

from .forks import ARGUMENTS, STORE, TREE, finish, start

FILE = STORE / "covering.json"
OURS = ("bnref", "tests", "tools", "conftest", "__main__")


class Covering:
    """What the tests ran.  A context of a line is a test, "file:" and a test file, or "import"."""

    def __init__(self, record):
        self.modules, self.seconds = record["modules"], {}
        self._contexts = defaultdict(lambda: defaultdict(set))  # file: line: contexts
        self._breadth = Counter()  # of a test: how many lines it runs
        for measured in record["files"].values():
            self.seconds |= measured["seconds"]
            for file, contexts in measured["lines"].items():
                for context, lines in contexts.items():
                    self._breadth[context] += len(lines)
                    for line in lines:
                        self._contexts[file][line].add(context)

    def of(self, mutant):
        """The tests that cover a mutant, {test: its usual seconds}: first those that are quick and run little else.

        What runs when bnref is imported is covered by the tests of the function or class that it belongs to.  What
        belongs to none is data that may be read without a line being run: then all tests of the files in which some
        test runs a line of the module; and if there are none, all.
        """
        tests = self._of_lines(mutant.file, mutant.line, mutant.last)
        if "import" in tests and mutant.scopes:
            tests |= self._of_lines(mutant.file, *mutant.scopes[0])
        if tests == {"import"} or "import" in tests and not mutant.scopes:
            module = self._of_lines(mutant.file, 1, 10**9)
            tests = {f"file:{test.removeprefix('file:').split('::')[0]}" for test in module - {"import"}} or {"file:"}
        shared = tuple(context.removeprefix("file:") for context in tests if context.startswith("file:"))
        found = [test for test in self.seconds if test in tests or test.startswith(shared)]
        found.sort(key=lambda test: (self.seconds[test] * self._breadth[test], test))
        return {test: self.seconds[test] for test in found}

    def _of_lines(self, file, first, last):
        return set().union(*(found for line, found in self._contexts[file].items() if first <= line <= last))


def covering():
    """Of the package and the tests as they are; what has changed since the last run is run again."""
    known = {"files": {}} | (json.loads(FILE.read_text()) if FILE.exists() else {})
    now = _contents()
    stale = [file for file in now if known["files"].get(file, {}).get("contents") != now[file]]
    if stale or known["files"].keys() != now.keys():
        print(f"Running the tests of {len(stale)} files, to see which lines each of them covers ...", flush=True)
        process = start(lambda note: _measure(now, stale, known, note), STORE / "coverage")
        _, status = os.waitpid(process, 0)
        failed, output = finish(process, STORE / "coverage")
        if status:
            sys.exit(f"{output}\nmutation: the tests must pass before anything is mutated; {failed or 'their run'} fails")
    return Covering(json.loads(FILE.read_text()))


def _contents():
    """{test file: a digest of what decides which lines its tests cover}: the file, the package, the helpers of the tests."""
    files = [path for folder in ("bnref", "tests") for path in sorted((TREE / folder).rglob("*"))
             if path.suffix in (".py", ".json") and (path.parent.name != "mutation" or path.name == Path(__file__).name)]
    tests = [path for path in files if path.name.startswith("test_") and path.suffix == ".py"]
    common = hashlib.sha256(b"".join(str(path).encode() + path.read_bytes() for path in files if path not in tests))
    return {str(path.relative_to(TREE)): hashlib.sha256(common.digest() + path.read_bytes()).hexdigest()
            for path in tests if path.parent.name != "gates"}


def _measure(now, stale, known, note):
    measured = coverage.Coverage(data_file=None, source=[str(TREE / "bnref")], config_file=False, messages=False)
    measured.start()
    measured.switch_context("import")
    importlib.import_module("bnref")
    plugin = _Contexts(measured, note)
    status = pytest.main([*ARGUMENTS, *stale], plugins=[plugin]) if stale else 0
    measured.stop()
    if status in (0, 1):
        stale = [file for file in stale if file not in plugin.failed]
        files = {file: known["files"][file] for file in now if file in known["files"]}
        files |= {file: {"contents": now[file], "seconds": {}, "lines": {}} for file in stale}
        for test, seconds in plugin.seconds.items():
            if test.split("::")[0] in stale:
                files[test.split("::")[0]]["seconds"][test] = seconds
        data = measured.get_data()
        for path in data.measured_files():
            for line, contexts in data.contexts_by_lineno(path).items():
                for context in contexts:
                    owner = context.removeprefix("file:").split("::")[0]
                    for test in {owner} & {*stale} if "test_" in owner else stale:
                        lines = files[test]["lines"].setdefault(str(Path(path).relative_to(TREE)), {})
                        lines.setdefault(context, []).append(line)
        modules = [name for name, module in sys.modules.items() if name.split(".")[0] not in OURS
                   and getattr(module, "__spec__", None) and getattr(module, "__file__", None)]
        modules = sorted({*modules, *known.get("modules", ())})
        FILE.with_suffix(".new").write_text(json.dumps({"files": files, "modules": modules}))
        FILE.with_suffix(".new").replace(FILE)
    return status


class _Contexts:
    """A pytest plugin: tell coverage which test runs.  What the tests of a file share counts for all of them."""

    def __init__(self, measured, note):
        self.measured, self.note, self.seconds, self.item = measured, note, {}, None
        self.failed = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector):
        self.measured.switch_context(f"file:{collector.nodeid.split('::')[0]}")
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        for module in [module for name, module in sys.modules.items() if name.split(".")[0] == "bnref"]:
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()  # what the last test has cached, this one needs as well
        self.item = item.nodeid
        self.measured.switch_context(self.item)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef, request):
        if fixturedef.scope == "function":
            return (yield)
        self.measured.switch_context(f"file:{self.item.split('::')[0]}")
        try:
            return (yield)
        finally:
            self.measured.switch_context(self.item)

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] = round(self.seconds.get(report.nodeid, 0) + report.duration, 4)
        if report.failed:
            self.failed.add(report.nodeid.split("::")[0])
            self.note.write(f"\n{report.nodeid}")
