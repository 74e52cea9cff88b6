"""A docstring of bnref's interface speaks of every argument.  (That there is one, and its form, ruff checks: gate 8.)"""

import inspect
import re
from types import ModuleType

import pytest

import bnref


def interface():
    """(name, function or class) of what a user calls: functions, layers, and the methods of all classes."""
    for name in bnref.__all__:
        thing = getattr(bnref, name)
        if not isinstance(thing, ModuleType):
            yield f"bnref.{name}", thing
            continue
        for label, value in vars(thing).items():
            listed = label in thing.__all__ if hasattr(thing, "__all__") else value_of(thing, label, value)
            if listed and inspect.isclass(value):
                yield from ((f"bnref.{name}.{label}.{method}", function) for method, function in methods(value))
            if listed and (inspect.isfunction(value) or label.startswith("BatchNorm") and name in ("torch", "mindspore")):
                yield f"bnref.{name}.{label}", value


def value_of(module, label, value):
    return not label.startswith("_") and getattr(value, "__module__", None) == module.__name__


def methods(cls):
    found = {name: value for owner in reversed(cls.__mro__) if owner.__module__.startswith("bnref.")
             for name, value in vars(owner).items()}
    return [(name, value) for name, value in found.items() if not name.startswith("_") and inspect.isfunction(value)]


@pytest.mark.parametrize("name, thing", [pytest.param(*each, id=each[0]) for each in interface()])
def test_a_docstring_speaks_of_every_argument(name, thing):
    text = inspect.getdoc(thing) or ""
    if "those of `compare`" not in text:
        arguments = [argument for argument in inspect.signature(thing).parameters if argument != "self"]
        missing = [argument for argument in arguments if not re.search(rf"\b{argument}\b", text)]
        assert not missing, f"{name}: the docstring does not speak of {', '.join(missing)}"
