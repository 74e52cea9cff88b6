"""The types of a generated module, as a stub (.pyi) beside it: the formulas themselves stay free of annotations."""

import re

from .derive import name_of, shape_of

OUTPUT = {"(..., C)": "Batch", "(C,)": "Channel", "scalar": "Number"}  # what they mean: bnref/typing.py
INPUT = {"(..., C)": "Batch", "(C,)": "Channel | Scalar", "scalar": "Channel | Scalar"}


def stub(program):
    """The type of a program's function, one parameter a line."""
    number_system = _number_system(program)
    types = dict(INPUT)
    if number_system == "object":  # the operands alone say what numbers they are
        types["(C,)"] = "Channel"
    if {shape_of(symbol) for symbol in program.inputs} == {"scalar"}:
        types["scalar"] = "Number"
    parameters = [f"{name_of(symbol)}: {types[shape_of(symbol)]}" for symbol in program.inputs]
    outputs = [OUTPUT[shape_of(symbol)] for symbol in program.outputs]
    result = outputs[0] if len(outputs) == 1 else f"tuple[{', '.join(outputs)}]"
    lines = "".join(f"    {parameter},\n" for parameter in [*parameters, "*", f"xp: {number_system}"])
    return f"def {program.name}(\n{lines}) -> {result}: ...\n"


def _number_system(program):
    operations = set(re.findall(r"xp\.(\w+)\(", program.source))
    name = "BoundingSystem" if operations & {"abs", "maximum"} else "NumberSystem"
    return f"{name}[Batch, Channel]" if operations else "object"


def imports(stubs):
    """The line that imports the types which these stubs name."""
    names = {"Batch", "BoundingSystem", "Channel", "Number", "NumberSystem", "Scalar"}
    used = names & set(re.findall(r"\w+", "".join(stubs)))
    return f"from .typing import {', '.join(sorted(used))}\n\n"
