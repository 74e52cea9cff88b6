"""Write `bnref/equations.py` from the chapters.    python -m tools.export [--check]

Only the cells tagged ``export`` run, and `bnref` cannot be imported by them: what it makes must not need what it makes.
"""

import argparse
import difflib
import re
import sys

from . import chapters
from .derive import Program

TARGET = chapters.ROOT / "bnref" / "equations.py"
BANNER = '''\
"""The formulas of batch normalisation, as functions of a number system.

GENERATED from the notebooks: do not edit; change a chapter and run "make export".
Arrays have their channels last; `xp` supplies sum (over all axes but the last), count and sqrt.
"""

'''


class ChapterError(Exception):
    """A chapter cannot be exported; the message names chapter, cell and reason."""


def programs(path):
    """The programs that a chapter exports, in order."""
    cells = chapters.read(path).cells
    namespace = {"__name__": path.stem}
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "bnref"}
    sys.modules["bnref"] = None
    try:
        for number, cell in enumerate(cells, 1):
            if cell.cell_type == "code" and "export" in cell.metadata.get("tags", ()):
                _run(cell.source, namespace, f"{chapters.shown(path)}, cell {number}")
    finally:
        del sys.modules["bnref"]
        sys.modules.update(hidden)
    found = [value for value in namespace.values() if isinstance(value, Program)]
    _check_sections(path, cells, found)
    return found


def _run(source, namespace, where):
    try:
        exec(compile(source, where, "exec"), namespace)
    except Exception as error:
        raise ChapterError(f"{where}: {type(error).__name__}: {error}") from error


def _check_sections(path, cells, found):
    headings = {heading for cell in cells if cell.cell_type == "markdown"
                for heading in re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE)}
    for program in found:
        chapter, _, heading = program.section.partition(", ")
        if chapter != path.stem or heading.strip('"') not in headings:
            raise ChapterError(f"{chapters.shown(path)}: {program.name} cites {program.section}; "
                               f"allowed: {path.stem} and one of its headings")


def rendered():
    """The whole text of `bnref/equations.py`."""
    parts, names = [], {}
    for path in chapters.chapters():
        found = programs(path)
        for program in found:
            if program.name in names:
                raise ChapterError(f"{chapters.shown(path)}: {program.name} is exported by {names[program.name]} too")
            names[program.name] = chapters.shown(path)
        if found:
            parts.append(f"# --- notebooks/{path.stem} ---\n\n\n" + "\n\n".join(p.source for p in found))
    listed = "".join(f'    "{name}",\n' for name in names)
    return BANNER + f"__all__ = [\n{listed}]\n\n\n" + "\n\n".join(parts)


def difference():
    """How `bnref/equations.py` differs from what the chapters give: a unified diff, empty when it does not."""
    stored = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    return "".join(difflib.unified_diff(stored.splitlines(True), rendered().splitlines(True),
                                        f"{chapters.shown(TARGET)}" + ("" if TARGET.exists() else " (missing)"),
                                        "what the chapters give"))


def main():
    arguments = argparse.ArgumentParser(prog="tools.export", description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="write nothing; fail when the file would change")
    try:
        if arguments.parse_args().check:
            text = difference()
            sys.exit(f"{text}\nbnref/equations.py is not what the chapters give: run \"make export\"." if text else 0)
        changed = chapters.replace(TARGET, rendered())
    except (ChapterError, ValueError) as error:
        sys.exit(f"export: {error}")
    print(f"export  {chapters.shown(TARGET)}  {'written' if changed else 'unchanged'}")


if __name__ == "__main__":
    main()
