"""Gate 3: `bnref/equations.py` is what the chapters give, to the character."""

import pytest
from tools import export


def test_the_equations_are_those_of_the_chapters():
    try:
        difference = export.difference()
    except export.ChapterError as error:
        pytest.fail(f"{error}\nMend the chapter, then run `make`.", pytrace=False)
    if difference:
        pytest.fail(f"{difference}\nbnref/equations.py is not what the chapters give: run `make export`.  "
                    "To change a formula, change its chapter.", pytrace=False)
