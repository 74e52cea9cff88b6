"""Change bnref in every small way, one at a time; a test must notice each.    python -m tests.mutation

Every mutant (mutants.py) of every file of bnref is run against the tests that cover its line (covering.py), the quickest
first, until one fails, in a fork of its own (forks.py).  Nothing in the checkout is changed.  A mutant that hangs is
killed by its time limit, which counts, and is counted apart.  What survives is printed and makes the run fail, unless
equivalent.toml explains why no test can notice it.

Results are kept in .venv/mutation/results.jsonl as they come, and the next run takes them up: a kill stands until the
code of the mutated function changes or the test that did it is gone, a survivor until the file or a test that covers it
changes.  So `--all`, half a day on two processors, can be run in parts: `--all --minutes 300` each.
"""

import argparse
import fcntl
import hashlib
import json
import os
import sys
import time
import tomllib
from collections import Counter
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from .covering import covering
from .forks import STORE, TREE, copy_tree, finish, run_tests, start, warm
from .mutants import Source

RESULTS = STORE / "results.jsonl"
EQUIVALENT = Path(__file__).with_name("equivalent.toml")


class Result(NamedTuple):
    """What became of one mutant."""

    outcome: str   # "killed", "timed out" or "survived"
    by: str        # the test that failed, or "" where the tests could not even be collected
    tests: int     # how many cover it
    seconds: float
    state: str     # a digest of what a survivor's result depends on


def main():
    given = arguments()
    if given.formulas:
        from . import formulas  # it imports bnref, which the forks below must not find imported
        sys.exit(formulas.judge())
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one run at a time
        copy_tree()
        sys.exit(judge(given))


def judge(given):
    """Run the mutants asked for, and report; the exit status."""
    sources = [Source(str(path.relative_to(TREE)), path.read_text(encoding="utf-8"))
               for path in sorted((TREE / "bnref").rglob("*.py"))]
    everything = [(mutant, source) for source in sources for mutant in source.mutants]
    explained, stale = explanations({identity(mutant) for mutant, _ in everything})
    chosen = selection(everything, given)
    covers = covering()
    warm(covers.modules)
    results = run(chosen, covers, known(given.fresh), explained, given)
    return report(chosen, results, explained, stale, covers)


def arguments():
    parser = argparse.ArgumentParser(prog="tests.mutation", description=__doc__.partition("\n")[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--sample", type=int, default=500, metavar="N", help="so many of all mutants (500)")
    which.add_argument("--all", action="store_true", help="all of them")
    which.add_argument("--formulas", action="store_true",
                       help="those of bnref/equations.py, each against the test of its own function alone")
    parser.add_argument("--seed", type=int, default=0, help="which sample: edits elsewhere change little of it (0)")
    parser.add_argument("--file", action="append", default=[], metavar="TEXT", help="of the files whose path has this in it")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no mutant after so many minutes")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="mutants at a time (2)")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--seconds", type=float, default=float("inf"), metavar="S",
                        help="a first look: leave out the slowest tests, so that S seconds are enough for the others")
    return parser.parse_args()


def selection(everything, given):
    """The mutants asked for.  A sample is the first N by a seeded digest, so that an edit exchanges few of them."""
    def draw(pair):
        return hashlib.sha256(f"{given.seed}/{pair[0].name}".encode()).digest()

    chosen = everything if given.all else sorted(everything, key=draw)[:given.sample]
    if given.file:
        chosen = [pair for pair in (everything if given.all else chosen) if any(part in pair[0].file for part in given.file)]
    return chosen


def known(fresh):
    """{key: Result} of earlier runs."""
    if fresh:
        RESULTS.unlink(missing_ok=True)
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    found = {}
    for line in lines:
        try:
            key, *values = json.loads(line)
        except ValueError:
            continue  # the run was killed while it wrote this
        found[key] = Result(*values)
    return found


def run(chosen, covers, results, explained, given):
    """Run what has no result that still holds, some at a time; {key: Result} of all that have one."""
    waiting, states, files = [], {}, {}
    for mutant, source in chosen:
        enough = 10 if identity(mutant) in explained else float("inf")  # no test is expected to notice
        tests = within(min(given.seconds, enough), covers.of(mutant))
        states[mutant.key] = state_of(mutant, tests, files)
        if not holds(results.get(mutant.key), states[mutant.key], covers):
            waiting.append((mutant, source, tests))
    waiting.reverse()
    number, running, end = len(waiting), {}, time.monotonic() + 60 * given.minutes
    with RESULTS.open("a", encoding="utf-8") as store:
        while running or waiting and time.monotonic() < end:
            while waiting and len(running) < given.processes and time.monotonic() < end:
                mutant, source, tests = waiting.pop()
                folder = STORE / "run" / mutant.key
                process = start(partial(one, mutant, source, tests, covers.seconds), folder)
                running[process] = mutant, len(tests), folder, time.monotonic()
            process, status = os.wait()
            mutant, tests, folder, began = running.pop(process)
            by, output = finish(process, folder)
            outcome = outcome_of(os.waitstatus_to_exitcode(status))
            if outcome == "failed":
                sys.exit(f"{output}\nmutation: the tests could not be run on {mutant.file}: {mutant.change}")
            results[mutant.key] = Result(outcome, "" if outcome == "survived" else by, tests,
                                         round(time.monotonic() - began, 2), states[mutant.key])
            store.write(json.dumps([mutant.key, *results[mutant.key]]) + "\n")
            store.flush()
            if sys.stderr.isatty():
                print(f"\r{number - len(waiting) - len(running)} of {number}", end="", flush=True, file=sys.stderr)
    return {m.key: results[m.key] for m, _ in chosen if holds(results.get(m.key), states[m.key], covers)}


def within(seconds, tests):
    """The quickest tests, which together take no more than so many seconds."""
    return {test: tests[test] for test, total in zip(tests, accumulate(tests.values())) if total <= seconds}


def one(mutant, source, tests, known, note):
    """In a fork: run the tests on the mutant; pytest's exit status."""
    if not tests:
        return 0
    name = mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return run_tests(tests, known, name, source.compiled(mutant, str(TREE / mutant.file)), note)


def outcome_of(status):
    """Of pytest's exit status, or minus the signal that ended the process."""
    if status in (-27, -14):  # SIGPROF, SIGALRM
        return "timed out"
    return {0: "survived", 5: "survived", 70: "failed"}.get(status, "killed")  # 5: there was no test to run


def state_of(mutant, tests, files):
    """A digest of the mutated file, and of the tests that cover the mutant and their files."""
    for name in (mutant.file, *{test.split("::")[0] for test in tests}):
        if name not in files:
            files[name] = hashlib.sha256((TREE / name).read_bytes()).hexdigest()
    parts = sorted(files[name] for name in {mutant.file, *(test.split("::")[0] for test in tests)})
    return hashlib.sha256("".join(parts + sorted(tests)).encode()).hexdigest()[:24]


def holds(result, state, covers):
    """Whether an earlier result says what a run would say now."""
    if result is None:
        return False
    if result.outcome == "survived":
        return result.state == state
    return result.by == "" or result.by in covers.seconds


def identity(mutant):
    """What an explanation names a mutant by: whatever else happens to the file."""
    return mutant.file, mutant.function, mutant.change


def explanations(existing):
    """{(file, function, change): reason}, and what explains a mutant that does not exist."""
    reasons = {}
    for entry in tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("equivalent", []):
        for change in entry["changes"]:
            reasons[entry["file"], entry["function"], change] = entry["reason"]
    return reasons, [f"no such mutant: {' | '.join(key)}" for key in reasons if key not in existing]


def report(chosen, results, explained, stale, covers):
    """Print what survived; the exit status."""
    counts, outcomes = Counter(), {}
    for mutant, _ in chosen:
        result, key = results.get(mutant.key), identity(mutant)
        kind = result.outcome if result else "not run"
        outcomes.setdefault(key, set()).add(kind)
        if kind == "survived" and key in explained:
            kind = "explained"
        counts[kind] += 1
        if kind == "survived":
            tests = list(covers.of(mutant))
            print(f"survived: {mutant.file}:{mutant.line} {mutant.function}\n    {mutant.change}\n    tests: "
                  + (", ".join(tests[:3]) + (f" and {len(tests) - 3} more" if len(tests) > 3 else "") or "none covers it"))
    stale += [f"killed now: {' | '.join(key)}" for key in explained if outcomes.get(key, set()) & {"killed", "timed out"}
              and not outcomes[key] & {"survived", "not run"}]
    for line in stale:
        print(f"stale in equivalent.toml, {line}")
    seconds = sum(result.seconds for result in results.values())
    print(f"{len(chosen)} mutants: {counts['killed']} killed, {counts['timed out']} killed by the time limit, "
          f"{counts['explained']} explained, {counts['survived']} survived, {counts['not run']} not run; "
          f"{seconds / 60:.0f} minutes of tests")
    return bool(stale or counts["survived"])


if __name__ == "__main__":
    main()
