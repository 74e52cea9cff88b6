"""A signature as a reader wants it: names, order and defaults.  What the arguments may be, the documentation says."""

import inspect


def plain(thing):
    """The signature of a function or class, without types."""
    known = inspect.signature(thing)
    parameters = [parameter.replace(annotation=parameter.empty) for parameter in known.parameters.values()]
    return known.replace(parameters=parameters, return_annotation=known.empty)


def signature(thing):
    """The same as text."""
    return str(plain(thing))
