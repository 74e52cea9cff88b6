"""Gate 3: `bnref/equations.py` and `bnref/mistakes.py` are what the chapters give, to the character; plots what a record gives."""

import pytest
from tools import benchmarks, chapters, export


def test_the_generated_modules_are_those_of_the_chapters():
    try:
        found = export.differences()
    except export.ChapterError as error:
        pytest.fail(f"{error}\nMend the chapter, then run `make`.", pytrace=False)
    if found:
        pytest.fail("".join(found.values()) + f"\n{', '.join(found)}: not what the chapters give: run `make export`.  "
                    "To change a formula, change its chapter.", pytrace=False)


def test_the_benchmarks_page_is_that_of_its_record():
    stale = [chapters.shown(path) for path, text in benchmarks.files().items()
             if not path.exists() or path.read_text(encoding="utf-8") != text]
    if stale:
        pytest.fail(f"{', '.join(stale)}: not what tests/benchmarks/results.json says: "
                    "run `make weave`.", pytrace=False)
