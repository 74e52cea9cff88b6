"""No exported formula has changed unnoticed: its value at fixed inputs, to 30 digits, is the recorded one."""

import pytest

from tests import fingerprints

PROGRAMS = fingerprints.exported()


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_equations_of_the_chapters_have_the_recorded_values(name):
    found, recorded = fingerprints.by_sympy(PROGRAMS[name]), fingerprints.recorded().get(name, {})
    for equation in [*found, *recorded]:
        now, was = found.get(equation, "gone"), recorded.get(equation, "nothing")
        if now != was:
            pytest.fail(f"{name}, {equation}: {now}, where tests/golden/fingerprints.json has {was}.  The formula has changed.  "
                        "If it should have, run `make fingerprints` and commit; else mend the chapter.  "
                        "After a move of the pins this must not happen: only the printing may change.", pytrace=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_generated_python_computes_the_same(name):
    assert fingerprints.by_python(PROGRAMS[name]) == fingerprints.by_sympy(PROGRAMS[name])


def test_nothing_is_recorded_that_is_not_exported():
    assert list(fingerprints.recorded()) == list(PROGRAMS)
