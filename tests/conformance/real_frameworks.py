"""The conformance run: bnref against the real PyTorch, MindSpore and onnxruntime, and the records against what they do now.

`make conformance` runs this file by name in an environment that has them; `make test` does not collect it.  With RECORD=1
in the environment (`make record`) the records in tests/golden/ are written instead of compared.
"""

import contextlib
import json
import os
import sys
import time
from functools import cache
from pathlib import Path

import findings
import inference
import ladder
import pytest
import random_runs
import record_states
import recorded
import rows
import second
import sides
from probes import PROBES, answer
from tallies import TALLIES, Tally

from bnref import states

FRAMEWORKS = ("torch", "mindspore")
ALL = (*FRAMEWORKS, "onnxruntime")
GOLDEN = Path(__file__).parents[1] / "golden"
WRITE = os.environ.get("RECORD") == "1"


@cache
def real(framework):
    """The real side, imported when it is first needed."""
    return inference.OnnxRuntime() if framework == "onnxruntime" else sides.real(framework)


@cache
def bench(framework):
    """The bench of tests/conformance/record_states.py."""
    return {"torch": record_states.TorchBench, "mindspore": record_states.MindSporeBench}[framework]()


_last = [0.0]


def progress(what, done, rows):
    """A line now and then, and one at the end."""
    if done == rows or time.monotonic() - _last[0] > 10:
        _last[0] = time.monotonic()
        print(f"{what}: {done} of {rows}", file=sys.stderr, flush=True)


def finish(tally):
    """Keep a tally for the table, and fail on what is unexplained."""
    TALLIES.append(tally)
    assert not tally.unexplained, f"{len(tally.unexplained)} unexplained, the first of them: {tally.unexplained[0]}"


def hold(name, measured, same=lambda a, b: a == b):
    """Compare a record with what was measured, or write it."""
    path = GOLDEN / name
    measured = json.loads(json.dumps(measured))
    if WRITE:
        record_states.write(path, measured)
        return
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert same(stored, measured), (f"tests/golden/{name} is not what the frameworks do here and now: "
                                    f"{_first_difference(stored, measured)}.  `make record` writes it anew.")


def _first_difference(a, b, at=""):
    if isinstance(a, dict) and isinstance(b, dict) and list(a) == list(b):
        return next(filter(None, (_first_difference(a[key], b[key], f"{at}.{key}") for key in a)), "")
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return next(filter(None, (_first_difference(p, q, f"{at}[{k}]") for k, (p, q) in enumerate(zip(a, b)))), "")
    return "" if a == b else f"{at.lstrip('.')} was {a!r:.100}, is {b!r:.100}"


@contextlib.contextmanager
def quiet():
    """Without the logs that MindSpore writes for every error that is expected."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield lambda *arguments: (os.dup2(saved, 2), progress(*arguments), os.dup2(null, 2))
    finally:
        os.dup2(saved, 2)
        os.close(saved), os.close(null)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_bnref_agrees_in_every_state(framework):
    with quiet() as report:
        tally = rows.run(framework, real(framework), report)
    finish(tally)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_bnref_agrees_on_random_layers_and_calls(framework):
    with quiet() as report:
        tally = random_runs.run(framework, real(framework), report)
    finish(tally)


def test_bnref_agrees_on_double_backward():
    finish(second.run(real("torch"), progress))


def test_bnref_agrees_on_inference_with_onnxruntime():
    finish(inference.run(real("onnxruntime"), progress))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_record_of_the_states_holds(framework):
    """In graph mode only where it is written: a graph takes its time, and `test_bnref_agrees_in_every_state` has seen it."""
    def in_graph(state):
        return getattr(state, "mode", None) == "graph" and not WRITE

    def same(stored, measured):
        (head, were), (now_head, are) = map(_observations, (stored, measured))
        return head == now_head and all(was == now for was, now in zip(were, are, strict=True) if now)

    with quiet():
        measured = record_states.record(framework, bench(framework), in_graph)
    hold(f"states_{framework}.json", measured, same)


def _observations(record):
    """What each state showed; what stale memory did to the statistics is left out, since it may be anything."""
    head = {name: value for name, value in record.items() if name not in ("letters", "lines")}
    seen = [dict(record["letters"].get(letter, {})) for letter in "".join(record["lines"].values())]
    for row, observation in zip(states.enumerate_states(record["framework"]), seen, strict=True):
        if observation and "undefined" in row.behaviour.deviates:
            observation.update(mean="undefined", var="undefined")
    return head, seen


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_record_of_the_probes_holds(framework):
    with quiet():
        namespace = bench(framework).namespace()
        answers = {code: answer(code, namespace) for code in PROBES[framework]}
    hold(f"probes_{framework}.json", {"framework": framework, "version": bench(framework).version, "answers": answers})


@pytest.mark.parametrize("framework", ALL)
def test_the_record_of_the_numbers_holds(framework):
    """The numbers may differ in their last places, on another processor: each is held to the truth instead."""
    side, tally = real(framework), Tally(f"{framework}: recorded numbers")
    lines = []
    for case in recorded.cases(framework):
        results = recorded.measure(side, case)
        found = recorded.disagreements(case, results, framework)
        tally.add([f"{case}: {problem}" for problem in found])
        lines.append({**case, "results": recorded.encode(results)})

    def same(stored, measured):
        def recipes(record):
            return [{**case, "results": {name: len(values) for name, values in case["results"].items()}} for case in record["cases"]]
        pairs = [(a["results"], b["results"]) for a, b in zip(stored["cases"], measured["cases"])]
        moved = sum(x != y for a, b in pairs for name in a for x, y in zip(a[name], b[name]))
        progress(f"{framework}: recorded numbers that are other bits here: {moved}", 1, 1)
        return stored["version"] == measured["version"] and recipes(stored) == recipes(measured)

    hold(f"numbers_{framework}.json", {"framework": framework, "version": side.version, "recipe": recorded.__doc__, "cases": lines}, same)
    finish(tally)


def test_the_record_of_the_ladder_holds():
    def same(stored, measured):
        if isinstance(stored, dict):
            return list(stored) == list(measured) and all(same(stored[key], measured[key]) for key in stored)
        if isinstance(stored, list):
            return len(stored) == len(measured) and all(map(same, stored, measured))
        return ladder.alike(stored, measured) if isinstance(stored, float) else stored == measured

    hold("ladder.json", {"what": ladder.__doc__, "versions": {name: real(name).version for name in ALL},
                         "ratios": list(ladder.RATIOS), "errors": {name: ladder.measure(real(name)) for name in ALL}}, same)


def test_every_finding_still_stands():
    real("mindspore").pynative()
    tally, found = Tally("findings"), []
    for finding in findings.FINDINGS:
        with quiet():
            text = findings.printed(finding)
        stands = findings.stands(finding, text)
        tally.add([] if stands else [f"{finding.framework}, {finding.title}: prints {text}, so it stands no more"])
        found.append({"framework": finding.framework, "title": finding.title, "code": finding.code, "printed": text})

    def same(stored, measured):
        return [{**f, "printed": ""} for f in stored["findings"]] == [{**f, "printed": ""} for f in measured["findings"]]

    hold("findings.json", {"versions": {name: real(name).version for name in FRAMEWORKS}, "findings": found}, same)
    finish(tally)


def test_the_table_of_agreement_is_the_recorded_one():
    if len(TALLIES) < 9:
        pytest.skip("only a part was run")
    hold("agreement.json", [{"what": t.what, "rows": t.rows, "agreed": t.agreed, "known": dict(sorted(t.known.items())),
                             "deviating": t.deviating, "unexplained": len(t.unexplained)} for t in TALLIES])
