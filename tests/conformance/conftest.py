"""The modules of this folder import each other; a conformance run takes MindSpore last, and ends with its table."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection_modifyitems(items):
    # MindSpore brings threads, logs and a working directory of its own: nothing of the others is to run beside it.
    if any(item.path.name == "real_frameworks.py" for item in items):
        items.sort(key=lambda item: 2 * ("agreement" in item.name) + ("mindspore" in item.name or "finding" in item.name
                                                                      or "ladder" in item.name))


def pytest_terminal_summary(terminalreporter):
    tallies = sys.modules.get("tallies")
    if tallies is not None and tallies.TALLIES:
        terminalreporter.section("conformance")
        for line in tallies.table(tallies.TALLIES):
            terminalreporter.write_line(line)
