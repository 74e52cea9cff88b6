"""Gate 1: the packages are those that the lock names, and whoever else names packages agrees with the lock.

The first gate, because a wrong environment shall give one clear failure and not thirty.
"""

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import environment

PYPROJECT = tomllib.loads((environment.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ASKED = PYPROJECT["project"]["dependencies"] + [r for group in PYPROJECT["dependency-groups"].values() for r in group]


def fail(sentence):
    pytest.fail(sentence, pytrace=False)


def test_the_installed_packages_are_the_pinned_ones():
    if sentence := environment.check():
        fail(sentence)


@pytest.mark.parametrize("asked", [Requirement(asked) for asked in ASKED], ids=str)
def test_the_lock_pins_what_pyproject_asks_for(asked):
    pinned = environment.pins().get(canonicalize_name(asked.name))
    if pinned is None or pinned not in asked.specifier:
        fail(f"requirements.lock has {asked.name} {pinned} where pyproject.toml asks for {asked}: run `make lock`.")


def test_the_lock_names_no_index():
    for line in environment.LOCK.read_text(encoding="utf-8").splitlines():
        if "://" in line or line.startswith("-"):
            fail(f"requirements.lock says where to download from ({line!r}): run `make lock`.")


def test_environment_yml_holds_the_pins_of_the_lock():
    if not environment.CONDA.exists() or environment.CONDA.read_text(encoding="utf-8") != environment.conda():
        fail("environment.yml does not say what requirements.lock says: run `make lock`.")
