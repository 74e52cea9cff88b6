"""Run every chapter and write its `.ipynb`, the same bytes every time.    python -m tools.weave [--check] [chapter ...]

The notebook is a product: outputs kept, execution counts 1..n, cell ids from the content, no times, no versions.
"""

import argparse
import hashlib
import re
import sys
import time

import nbformat
from nbclient import NotebookClient

from . import chapters

METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"}}
COLORS = re.compile(r"\x1b\[[0-9;]*m")
RAISED = re.compile(r"^-+> +\d+ (.*)$", re.MULTILINE)  # the line of a cell at which a traceback points


class Broken(Exception):
    """A chapter in which something no longer holds; the message says under which heading and what."""


def woven(path):
    """The executed chapter, as the text of its `.ipynb`, or `Broken`."""
    notebook = chapters.read(path)
    notebook.metadata = nbformat.from_dict(METADATA)
    client = NotebookClient(notebook, kernel_name="python3", timeout=600, record_timing=False, coalesce_streams=True,
                            allow_errors=True, resources={"metadata": {"path": str(chapters.NOTEBOOKS)}})
    client.execute()
    if broken := _broken(notebook):
        raise Broken(broken)
    for number, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
        cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number
    _name_cells(notebook)
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def _broken(notebook):
    """Every claim that failed, and the first error in full; later errors of other kinds follow from earlier ones."""
    heading, claims, full = "its first cell", [], ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = (re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE) or [heading])[-1]
            continue
        for error in cell.outputs:
            if error.output_type != "error":
                continue
            trace = COLORS.sub("", "\n".join(error.traceback))
            line = RAISED.search(trace)
            if not full or error.ename == "AssertionError":
                claims.append(f'under "{heading}": {line[1].strip() if line else cell.source.splitlines()[-1]}   '
                              f"({error.ename}{': ' + error.evalue if error.evalue else ''})")
            full = full or f"{cell.source}\n\n{trace}"
    return "\n".join([*claims, "", "The first of them:", "", full]) if claims else ""


def _name_cells(notebook):
    """An id is a hash of the cell's content, so that it moves with the cell and changes with it."""
    seen = set()
    for cell in notebook.cells:
        key = f"{cell.cell_type}\n{cell.source}"
        while (name := hashlib.sha256(key.encode()).hexdigest()[:8]) in seen:
            key += "\n"
        seen.add(name)
        cell.id = name


def stored(path):
    """Where a chapter's notebook lies."""
    return path.with_suffix(".ipynb")


def main():
    arguments = argparse.ArgumentParser(prog="tools.weave", description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="write nothing; fail when a file would change")
    arguments.add_argument("chapter", nargs="*", help="the beginning of a chapter's name, such as 02; all when left out")
    options = arguments.parse_args()
    chosen = [p for p in chapters.chapters() if not options.chapter or p.name.startswith(tuple(options.chapter))]
    if not chosen:
        sys.exit(f"weave: {' '.join(options.chapter)}: no such chapter; allowed: "
                 + ", ".join(p.stem for p in chapters.chapters()))
    stale = [path for path in chosen if _weave(path, options.check)]
    try:
        index = chapters.readme_with_index()
    except ValueError as error:
        sys.exit(f"weave: {error}")
    if options.check:
        names = [chapters.shown(stored(p)) for p in stale]
        names += ["README.md"] if index != chapters.README.read_text(encoding="utf-8") else []
        sys.exit(f"{', '.join(names)}: not what the chapters give: run \"make weave\"." if names else 0)
    if chapters.replace(chapters.README, index):
        print("weave   README.md  index written")


def _weave(path, check):
    """Weave one chapter, with a line of progress; True when its notebook changed or would."""
    print(f"weave   {chapters.shown(path)}  ", end="", flush=True)
    start = time.monotonic()
    try:
        text = woven(path)
    except Broken as error:
        print("failed")
        sys.exit(f"weave: {chapters.shown(path)}: no longer holds,\n{error}")
    target = stored(path)
    if check:
        changed = not target.exists() or target.read_text(encoding="utf-8") != text
    else:
        changed = chapters.replace(target, text)
    verdict = ("stale" if check else "written") if changed else "unchanged"
    print(f"{verdict}, {time.monotonic() - start:.1f} s")
    return changed


if __name__ == "__main__":
    main()
