"""The README's lines run and print what it says they print."""

import doctest

import pytest
from tools.chapters import README


def test_the_lines_of_the_readme_run():
    outcome = doctest.testfile(str(README), module_relative=False, verbose=False,
                               optionflags=doctest.ELLIPSIS)
    if outcome.attempted < 15:
        pytest.fail(f"README.md: only {outcome.attempted} lines run; the examples are gone", pytrace=False)
    if outcome.failed:
        pytest.fail(f"README.md: {outcome.failed} of its lines print something else (see above); mend the line, or what "
                    "it shows", pytrace=False)
