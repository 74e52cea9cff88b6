"""Gate 2: every chapter's notebook holds the same cells as its source, and the README's index the chapters' own words."""

import nbformat
import pytest
from tools import chapters, weave
from tools.weave import stored

SOURCES = chapters.chapters()


def cells(notebook):
    return [(cell.cell_type, cell.source, tuple(cell.metadata.get("tags", ()))) for cell in notebook.cells]


def what_no_longer_holds(path):
    """The claims of a chapter that fail since it was changed, as text; nothing where all hold."""
    try:
        weave.woven(path)
    except weave.Broken as error:
        claims = str(error).partition("\n\n")[0]
        return f"As it is now, {chapters.shown(path)} contradicts itself:\n\n{claims}\n\n"
    return ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_notebook_holds_the_cells_of_its_source(path):
    notebook = stored(path)
    if not notebook.exists():
        pytest.fail(f"{chapters.shown(notebook)} is missing: run `make weave`.", pytrace=False)
    written, woven = cells(chapters.read(path)), cells(nbformat.read(notebook, as_version=4))
    for number, (ours, theirs) in enumerate(zip(written, woven, strict=False), 1):
        if ours != theirs:
            pytest.fail(f"{chapters.shown(notebook)}, cell {number}, is not that of {path.name}:\n\n{theirs[1]}\n\n"
                        f"is stored, and the source says\n\n{ours[1]}\n\n"
                        f"{what_no_longer_holds(path)}"
                        f"If {path.name} is right: run `make weave`.  If you edited the .ipynb: edit {path.name} instead.",
                        pytrace=False)
    if len(written) != len(woven):
        pytest.fail(f"{chapters.shown(notebook)} has {len(woven)} cells, {path.name} has {len(written)}: "
                    "run `make weave`.", pytrace=False)


def test_every_notebook_has_a_source():
    expected = {stored(path) for path in SOURCES}
    strays = sorted(set(chapters.NOTEBOOKS.glob("*.ipynb")) - expected)
    if strays:
        pytest.fail(f"{', '.join(map(chapters.shown, strays))}: no .py beside it; write the chapter as NN_slug.py, "
                    "or delete the notebook.", pytrace=False)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_first_cell_says_what_the_chapter_is(path):
    try:
        chapters.opening(path)
    except ValueError as error:
        pytest.fail(str(error), pytrace=False)


def test_the_readme_indexes_the_chapters_in_their_own_words():
    if chapters.readme_with_index() != chapters.README.read_text(encoding="utf-8"):
        pytest.fail("README.md: the index is not what the chapters' first cells say: run `make weave`.", pytrace=False)
