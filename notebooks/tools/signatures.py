"""A signature as a reader wants it: names, order and defaults.  What the arguments may be, the documentation says."""

import inspect


def signature(thing):
    """The signature of a function or class as text, without types."""
    known = inspect.signature(thing)
    plain = [parameter.replace(annotation=parameter.empty) for parameter in known.parameters.values()]
    return str(known.replace(parameters=plain, return_annotation=known.empty))
