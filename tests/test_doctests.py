"""The examples in the docstrings of bnref run, and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import bnref

MODULES = ["bnref", *(module.name for module in pkgutil.walk_packages(bnref.__path__, "bnref."))]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    module = importlib.import_module(name)
    outcome = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert outcome.failed == 0, f"{name}: {outcome.failed} of {outcome.attempted} examples print something else"


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    examples = [e for name in MODULES for test in finder.find(importlib.import_module(name)) for e in test.examples]
    assert len(examples) > 20
