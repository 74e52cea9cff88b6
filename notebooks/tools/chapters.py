"""The chapters: where they lie, what their first cells say, and the README's index made from them."""

import os
import re
from pathlib import Path
from typing import NamedTuple

import jupytext

NOTEBOOKS = Path(__file__).resolve().parent.parent
ROOT = NOTEBOOKS.parent
README = ROOT / "README.md"
INDEX = re.compile(r"(?<=<!-- chapters -->\n).*?(?=<!-- end of chapters -->)", re.DOTALL)
FIRST_CELL = re.compile(
    r"# (?P<title>.+)\n\n> (?P<summary>.+)\n\n"
    r"\*\*Proves\*\* (?P<proves>.+) \*\*Exports\*\* (?P<exports>.+) \*\*Checked by\*\* (?P<checked>.+)")


class Opening(NamedTuple):
    """What a chapter's first cell promises."""

    title: str
    summary: str
    proves: str
    exports: str
    checked: str


def chapters():
    """The sources, in reading order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))


def read(path):
    """A chapter's source as a notebook without outputs."""
    notebook = jupytext.read(path, fmt="py:percent")
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
    return notebook


def opening(path):
    """The chapter's first cell, taken apart."""
    match = FIRST_CELL.match(read(path).cells[0].source)
    if match is None:
        raise ValueError(f"{shown(path)}: the first cell needs a heading, a one-sentence summary as a blockquote, and a "
                         "line each for **Proves**, **Exports** and **Checked by**")
    return Opening(**match.groupdict())


def index():
    """The README's table of chapters."""
    rows = ["| chapter | what it shows | exports |", "| --- | --- | --- |"]
    for path in chapters():
        first = opening(path)
        link = f"[{path.stem[:2]} {first.title}](notebooks/{path.stem}.ipynb)"
        rows.append(f"| {link} | {first.summary} | {first.exports.rstrip('.')} |")
    return "\n".join(rows) + "\n"


def readme_with_index():
    """The README as it should be."""
    text = README.read_text(encoding="utf-8")
    if not INDEX.search(text):
        raise ValueError("README.md: the lines <!-- chapters --> and <!-- end of chapters --> are missing; "
                         "the index of chapters stands between them")
    return INDEX.sub(lambda _: index(), text)


def replace(path, content):
    """Write a file, text or bytes, whole or not at all; True when it changed.

    The new file stands beside the old one until it is complete.  What a killed run left there is taken away.
    """
    content = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        if path.exists() and path.read_bytes() == content:
            return False
        temporary.write_bytes(content)
        os.replace(temporary, path)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def shown(path):
    """A path as a message shows it: from the checkout's root."""
    return str(Path(path).resolve().relative_to(ROOT))
