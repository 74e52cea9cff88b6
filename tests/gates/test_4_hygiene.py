"""Gate 4: the notebooks are executed from top to bottom, without errors, and every figure can be read aloud.

nbval compares nothing in a cell that has no execution count, so this gate keeps it from passing vacuously.
"""

import re

import nbformat
import pytest
from tools import chapters
from tools.weave import stored

NOTEBOOKS = [stored(path) for path in chapters.chapters()]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_is_whole(path):
    if not path.exists():
        pytest.fail(f"{chapters.shown(path)} is missing: run `make weave`.", pytrace=False)
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    faults = [fault for number, cell in enumerate(code, 1) for fault in faults_of(cell, number)]
    faults += [f"a heading with mathematics: {heading}" for cell in notebook.cells if cell.cell_type == "markdown"
               for heading in re.findall(r"^#+ .*\$.*$", cell.source, re.MULTILINE)]
    if faults:
        pytest.fail(f"{chapters.shown(path)}:\n  " + "\n  ".join(faults) + "\nRun `make weave`; where that does not mend "
                    f"it, change {path.stem}.py.", pytrace=False)


def faults_of(cell, number):
    """What is wrong with the code cell that should have run as the `number`-th."""
    where = f"code cell {number} ({cell.source.strip().splitlines()[0]})"
    if cell.execution_count != number:
        yield f"{where}: execution count {cell.execution_count}, should be {number}: it was not run, or not in order"
    for output in cell.outputs:
        if output.get("execution_count", number) != number:
            yield f"{where}: an output has the count {output.execution_count}"
        if output.output_type == "error":
            yield f"{where}: stored an error: {output.ename}: {output.evalue}"
        if output.get("name") == "stderr":
            yield f"{where}: wrote to stderr: {output.text.strip().splitlines()[-1]}"
        yield from (f"{where}: {fault}" for fault in picture_faults(output))


def picture_faults(output):
    """What is wrong with the pictures of an output."""
    data = output.get("data", {})
    for kind in data:
        if kind.startswith("image/") and kind != "image/svg+xml":
            yield f"a picture of type {kind}; nbval does not compare those: use tools.show.show"
    if "image/svg+xml" in data:
        alt = output.metadata.get("image/svg+xml", {}).get("alt", "")
        if not alt.strip() or "aria-label=" not in data["image/svg+xml"]:
            yield "a figure without alt text: use tools.show.show(figure, alt)"
