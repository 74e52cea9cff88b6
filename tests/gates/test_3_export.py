"""Gate 3: `bnref/equations.py` and `bnref/mistakes.py` are what the chapters give, to the character."""

import pytest
from tools import export


def test_the_generated_modules_are_those_of_the_chapters():
    try:
        found = export.differences()
    except export.ChapterError as error:
        pytest.fail(f"{error}\nMend the chapter, then run `make`.", pytrace=False)
    if found:
        pytest.fail("".join(found.values()) + f"\n{', '.join(found)}: not what the chapters give: run `make export`.  "
                    "To change a formula, change its chapter.", pytrace=False)
