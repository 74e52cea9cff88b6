"""Write what depends on several questions as a decision table: rows that exclude each other and leave out nothing.

A row covers a box of the product: for each axis, the values that it stands for.  The boxes are the leaves of the
smallest decision tree, in which values that lead to the same subtree share a branch; ties go to the axis that is named
first, and boxes that lie side by side with one answer are joined.  So the table is the same every time, and an axis
that decides nothing does not appear.

Tables can be chained: a state that an earlier table has settled may lie in any box of a later one, and is counted in
a row of its own at the end.
"""

from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np


class Rule(NamedTuple):
    """One row: the values of each axis that it covers, the answer there, and how many states it stands for."""

    values: tuple[tuple, ...]
    answer: tuple
    states: int


class Decisions(NamedTuple):
    """The rows, the axes in the order of their columns, and how many states were settled before."""

    axes: dict
    rules: tuple[Rule, ...]
    settled: int

    @property
    def states(self):
        """What the numbers of all rows add up to."""
        return sum(rule.states for rule in self.rules) + self.settled

    @property
    def matter(self):
        """The axes that decide anything."""
        return tuple(name for position, (name, values) in enumerate(self.axes.items())
                     if any(len(rule.values[position]) < len(values) for rule in self.rules))


def decide(axes, answer):
    """Make the decision table of a function.

    Parameters
    ----------
    axes : {name: values}
        In the order of the columns.
    answer : callable
        Called with one keyword argument for each axis; returns a tuple, one item for each column of answers, or None
        where an earlier table has settled the matter.

    Returns
    -------
    Decisions
        Its rules are disjoint, cover what is not settled, and are sorted by the first element that each covers.
    """
    names, values = tuple(axes), tuple(map(tuple, axes.values()))
    answers = [answer(**dict(zip(names, state))) for state in product(*values)]
    distinct = [given for given in dict.fromkeys(answers) if given is not None]
    number = {None: -1} | {given: position for position, given in enumerate(distinct)}
    numbers = np.array([number[given] for given in answers]).reshape([len(v) for v in values])

    @cache
    def leaves(box):
        """The boxes of the smallest tree for a part of the product."""
        part = numbers[np.ix_(*box)]
        if len(set(part[part >= 0].tolist())) <= 1:
            return (box,)
        grouped = [_branches(part, axis) for axis in range(len(box))]
        if all(len(branches) == 1 for branches in grouped):  # each axis could be passed over, but not all of them
            grouped = [[[i] for i in range(len(indices))] for indices in box]
        best = None
        for axis, (indices, branches) in enumerate(zip(box, grouped)):
            if len(branches) > 1:
                found = tuple(leaf for branch in branches for leaf in
                              leaves(box[:axis] + (tuple(indices[i] for i in branch),) + box[axis + 1:]))
                if best is None or len(found) < len(best):
                    best = found
        return best

    everything = tuple(tuple(range(len(v))) for v in values)
    rules = []
    for box in sorted(_joined(leaves(everything), numbers), key=lambda box: [axis[0] for axis in box]):
        part = numbers[np.ix_(*box)]
        here = part[part >= 0]
        if here.size:
            open_ = [_open(part, axis, box, everything) for axis in range(len(box))]
            covered = tuple(tuple(v[i] for i in indices) for v, indices in zip(values, open_))
            rules.append(Rule(covered, distinct[here[0]], here.size))
    return Decisions(dict(zip(names, values)), tuple(rules), int((numbers < 0).sum()))


def _open(part, axis, box, everything):
    """The values of an axis that a row names: where it names some, those that are settled anyway are left out."""
    if box[axis] == everything[axis]:
        return box[axis]
    return tuple(i for position, i in enumerate(box[axis]) if (part.take(position, axis) >= 0).any())


def _branches(part, axis):
    """The positions along an axis, grouped where the rest of the product does not contradict itself."""
    groups = []
    for position in range(part.shape[axis]):
        here = part.take(position, axis)
        for group, seen in groups:
            if ((here == seen) | (here < 0) | (seen < 0)).all():
                group.append(position)
                np.copyto(seen, here, where=seen < 0)
                break
        else:
            groups.append(([position], here.copy()))
    return [group for group, _ in groups]


def _joined(boxes, numbers):
    """The boxes, with any two joined that differ along one axis and give one answer."""
    boxes = list(boxes)
    for one, other in ((a, b) for a in boxes for b in boxes if a < b):
        differing = [axis for axis in range(len(one)) if one[axis] != other[axis]]
        if len(differing) == 1:
            axis, = differing
            union = one[:axis] + (tuple(sorted(one[axis] + other[axis])),) + one[axis + 1:]
            answers = numbers[np.ix_(*union)]
            if len(set(answers[answers >= 0].tolist())) == 1:
                return _joined([union] + [box for box in boxes if box not in (one, other)], numbers)
    return boxes


def cells(decisions, columns, settled=None, counted="states"):
    """Header and rows for `tools.show.table`: the axes that matter, the answers, the numbers of states, and their sum.

    `settled` names what earlier tables have settled, `counted` what is counted.
    """
    shown = [position for position, name in enumerate(decisions.axes) if name in decisions.matter]
    every = list(decisions.axes.values())
    rows = [["any" if len(rule.values[p]) == len(every[p]) else ", ".join(map(str, rule.values[p])) for p in shown]
            + [*rule.answer, rule.states] for rule in decisions.rules]
    blank = [""] * (len(shown) + len(columns) - 1)
    if decisions.settled:
        rows.append([settled, *blank, decisions.settled])
    return [*decisions.matter, *columns, counted], [*rows, ["**together**", *blank, f"**{decisions.states}**"]]
