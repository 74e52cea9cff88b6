"""Write `bnref/equations.py` and `bnref/mistakes.py` from the chapters.    python -m tools.export [--check]

Beside each goes a stub, with the types of its functions.
Only the cells tagged ``export`` run, and `bnref` cannot be imported by them: what it makes must not need what it makes.
"""

import argparse
import difflib
import re
import sys

from . import chapters
from .derive import Program
from .stubs import imports, stub

BANNER = '''\
"""{title}

GENERATED from the notebooks: do not edit; change a chapter and run "make export".
Arrays have their channels last; `xp` supplies sum (over all axes but the last), count and sqrt.
"""

'''
TITLES = {
    "equations": "The formulas of batch normalisation, as functions of a number system.",
    "mistakes": "Wrong formulas that real implementations contain, for `bnref.testing` to recognise.",
}
FOLDER = chapters.ROOT / "bnref"


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
    """The whole text of each generated file, by its name: the modules and their stubs."""
    parts, owners = {module: [] for module in TITLES}, {}
    for path in chapters.chapters():
        found = programs(path)
        for program in found:
            if program.name in owners:
                raise ChapterError(f"{chapters.shown(path)}: {program.name} is exported by {owners[program.name][0]} too")
            owners[program.name] = chapters.shown(path), program
        for module, sections in parts.items():
            if sources := [program.source for program in found if program.module == module]:
                sections.append(f"# --- notebooks/{path.stem} ---\n\n\n" + "\n\n".join(sources))
    files = {}
    for module, sections in parts.items():
        exported = [program for _, program in owners.values() if program.module == module]
        stubs = [stub(program) for program in exported]
        listed = "__all__ = [\n" + "".join(f'    "{program.name}",\n' for program in exported) + "]\n\n"
        banner = BANNER.format(title=TITLES[module])
        files[f"{module}.py"] = banner + listed + "\n" + "\n\n".join(sections)
        files[f"{module}.pyi"] = banner + imports(stubs) + listed + "\n".join(stubs)
    return files


def differences():
    """How each generated file differs from what the chapters give: {path: unified diff}, empty when none does."""
    found = {}
    for file, text in rendered().items():
        target = FOLDER / file
        stored = target.read_text(encoding="utf-8") if target.exists() else ""
        name = chapters.shown(target)
        diff = difflib.unified_diff(stored.splitlines(True), text.splitlines(True),
                                    name if target.exists() else f"{name} (missing)", "what the chapters give")
        if stored != text:
            found[name] = "".join(diff)
    return found


def main():
    arguments = argparse.ArgumentParser(prog="tools.export", description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="write nothing; fail when a file would change")
    try:
        if arguments.parse_args().check:
            found = differences()
            sys.exit("".join(found.values()) + f'{", ".join(found)}: not what the chapters give: run "make export".'
                     if found else 0)
        for file, text in rendered().items():
            changed = chapters.replace(FOLDER / file, text)
            print(f"export  {chapters.shown(FOLDER / file)}  {'written' if changed else 'unchanged'}")
    except (ChapterError, ValueError) as error:
        sys.exit(f"export: {error}")


if __name__ == "__main__":
    main()
