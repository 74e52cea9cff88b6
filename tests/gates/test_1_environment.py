"""Gate 1: the packages are those that the lock names, and both descriptions of the environment say the same.

The first gate, because a wrong environment shall give one clear failure and not thirty.
"""

import pytest

from tests import environment


def test_the_installed_packages_are_the_pinned_ones():
    if sentence := environment.check():
        pytest.fail(sentence, pytrace=False)


def test_environment_yml_holds_the_pins_of_the_lock():
    if not environment.CONDA.exists() or environment.CONDA.read_text(encoding="utf-8") != environment.conda():
        pytest.fail("environment.yml does not say what requirements.lock says: run `make lock`.", pytrace=False)
