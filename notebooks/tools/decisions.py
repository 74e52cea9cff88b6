"""Write what depends on several questions as a decision table: rows that exclude each other and leave out nothing.

A row covers a box of the product: for each axis, the values that it stands for.  The boxes come from the decision
tree with the fewest leaves, in which values that lead to the same subtree share a branch; ties go to the axis that is
named first.  So the table is the same every time, and an axis that decides nothing does not appear.
"""

from functools import cache
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np


class Rule(NamedTuple):
    """One row: the values of each axis that it covers, and the answer there."""

    values: tuple[tuple, ...]
    answer: tuple

    @property
    def states(self):
        """For how many elements of the product the row stands."""
        return prod(map(len, self.values))


class DecisionTable(NamedTuple):
    """The rows, and the axes in the order of their columns."""

    axes: dict
    rules: tuple[Rule, ...]

    @property
    def states(self):
        """What the rows' numbers add up to."""
        return sum(rule.states for rule in self.rules)

    @property
    def matter(self):
        """The axes that decide anything."""
        return tuple(name for position, (name, values) in enumerate(self.axes.items())
                     if any(len(rule.values[position]) < len(values) for rule in self.rules))

    def lookup(self, **state):
        """The answer for one element of the product."""
        answer, = (rule.answer for rule in self.rules
                   if all(state[name] in covered for name, covered in zip(self.axes, rule.values)))
        return answer


def decide(axes, answer):
    """Make the decision table of a function.

    Parameters
    ----------
    axes : {name: values}
        In the order of the columns.
    answer : callable
        Called with one keyword argument for each axis; returns a tuple, one cell for each answer column.

    Returns
    -------
    DecisionTable
        Its rules are disjoint, cover the product, and are sorted by the first element that each covers.
    """
    names, values = tuple(axes), tuple(map(tuple, axes.values()))
    answers = [answer(**dict(zip(names, state))) for state in product(*values)]
    distinct = list(dict.fromkeys(answers))
    number = {given: position for position, given in enumerate(distinct)}
    numbers = np.array([number[given] for given in answers]).reshape([len(v) for v in values])

    @cache
    def leaves(box):
        """The boxes of the smallest tree for a part of the product, each with the number of its answer."""
        part = numbers[np.ix_(*box)]
        if (part == part.flat[0]).all():
            return ((box, int(part.flat[0])),)
        best = None
        for axis in range(len(box)):
            branches = _branches(part, axis)
            if len(branches) > 1:
                found = sum((leaves(box[:axis] + (tuple(box[axis][i] for i in branch),) + box[axis + 1:])
                             for branch in branches), ())
                if best is None or len(found) < len(best):
                    best = found
        return best

    boxes = sorted(leaves(tuple(tuple(range(len(v))) for v in values)), key=lambda leaf: [axis[0] for axis in leaf[0]])
    return DecisionTable(dict(zip(names, values)), tuple(
        Rule(tuple(tuple(v[i] for i in covered) for v, covered in zip(values, box)), distinct[given])
        for box, given in boxes))


def _branches(part, axis):
    """The positions along an axis, grouped where the rest of the product looks alike."""
    groups = {}
    for position in range(part.shape[axis]):
        groups.setdefault(part.take(position, axis).tobytes(), []).append(position)
    return list(groups.values())


def cells(decisions, columns, *, write=str):
    """Header and rows for `tools.show.table`: only the axes that matter, and the sum at the end."""
    shown = [position for position, name in enumerate(decisions.axes) if name in decisions.matter]
    every = list(decisions.axes.values())
    rows = [["any" if len(rule.values[p]) == len(every[p]) else ", ".join(map(write, rule.values[p])) for p in shown]
            + [write(cell) for cell in rule.answer] + [rule.states] for rule in decisions.rules]
    total = [""] * (len(shown) + len(columns) - 1) + ["together", decisions.states]
    return [*decisions.matter, *columns, "states"], [*rows, total]
