"""A layer as a state machine: its states, its transitions, and a picture of both, all from `bnref.states`.

A machine's states are the modes of each configuration of the statistics.  Configurations that behave alike in both
modes, whatever the other axes say, are one row of the machine.
"""

import re
from functools import cache
from itertools import product
from typing import NamedTuple

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

import bnref
from bnref import states

from .show import INK, PALE, figure

# What a layer's configuration is, and what its calls are called.
CONFIGURATION = {"torch": ("track_running_stats", "flag"), "mindspore": ("use_batch_statistics",)}
SWITCHES = {"torch": {True: "train()", False: "eval()"},
            "mindspore": {True: "set_train()", False: "set_train(False)"}}
# The axes along which a layer can be moved after it was built.
CHANGES = {"torch": ("flag",), "mindspore": ()}


class Node(NamedTuple):
    """One state of a machine, and what a forward pass does in it."""

    number: int
    training: bool
    configurations: tuple[tuple, ...]  # those that behave like this in both modes
    normalises_by: str
    updates: bool
    counts: bool
    built: bool                        # can a new layer be in it?


class Edge(NamedTuple):
    """From one node to another, or to itself, by an event."""

    start: Node
    event: str
    end: Node


@cache
def nodes(framework):
    """The states of a layer: two modes for each configuration that is different from the others."""
    alike = {}
    for configuration in product(*(states.AXES[framework][name] for name in CONFIGURATION[framework])):
        does = tuple(_forward(framework, configuration, training) for training in (True, False))
        alike.setdefault(does, []).append(configuration)
    new = getattr(bnref, framework).BatchNorm1d(1).training
    found = [(training, tuple(configurations), *does) for behaviours, configurations in alike.items()
             for training, does in zip((True, False), behaviours)]
    return tuple(Node(number, *node, built=node[0] == new and any(map(_as_built, node[1])))
                 for number, node in enumerate(found, 1))


def _as_built(configuration):
    # The flag begins as what the layer was constructed with.
    return len(set(configuration)) == 1


def _forward(framework, configuration, training):
    # All states with this configuration are asked, so an axis that is left out is seen to decide nothing.
    chosen = dict(zip(CONFIGURATION[framework], configuration), training=training, values="many", input="float32")
    found = {(row.behaviour.normalises_by, row.behaviour.mean is not None, row.behaviour.counts)
             for row in states.enumerate_states(framework)
             if all(getattr(row.state, name) == value for name, value in chosen.items())}
    does, = found
    return does


def events(framework):
    """What can happen to a layer besides a forward pass: {event: (axis, value)}."""
    return ({event: ("training", training) for training, event in SWITCHES[framework].items()}
            | {f"{axis} = {value}": (axis, value) for axis in CHANGES[framework] for value in states.AXES[framework][axis]})


@cache
def edges(framework):
    """The transitions from every node by every event."""
    return tuple(Edge(node, event, _after(framework, node, *change))
                 for node in nodes(framework) for event, change in events(framework).items())


def _after(framework, node, axis, value):
    training, configurations = node.training, set(node.configurations)
    if axis == "training":
        training = value
    else:
        position = CONFIGURATION[framework].index(axis)
        configurations = {c[:position] + (value,) + c[position + 1:] for c in configurations}
    end, = (other for other in nodes(framework)
            if other.training == training and configurations <= set(other.configurations))
    return end


def mode(node):
    """The word for a node's mode."""
    return "training" if node.training else "inference"


def configuration(framework, node):
    """A node's configuration: {axis: value}, an axis that does not matter left out."""
    return {name: node.configurations[0][position] for position, name in enumerate(CONFIGURATION[framework])
            if len({c[position] for c in node.configurations}) == 1}


def forward(node):
    """What a forward pass does in a node, in words."""
    by = {"batch": "normalises by the batch", "running": "normalises by running statistics"}[node.normalises_by]
    return [by, "updates running statistics" if node.updates else "updates nothing"] + ["counts the batch"] * node.counts


def table(framework):
    """Header and rows: for each state what a forward pass does, and where each event leads."""
    rows = []
    for node in nodes(framework):
        ends = [edge.end for edge in edges(framework) if edge.start == node]
        words = ", ".join(f"{name} = {value}" for name, value in configuration(framework, node).items())
        rows.append([node.number, mode(node), words, ", ".join(forward(node)),
                     *("stays" if end == node else end.number for end in ends)])
    return ["", "mode", "configuration", "forward", *(f"`{event}`" for event in events(framework))], rows


def described(framework):
    """The picture in words."""
    text = ["A state machine: training on the left, inference on the right, a row for each configuration."]
    for node in nodes(framework):
        words = " and ".join(f"{name} = {value}" for name, value in configuration(framework, node).items())
        ways = [f"{edge.event} leads to {edge.end.number}" for edge in edges(framework) if edge.start == node != edge.end]
        text.append(f"{node.number}, {mode(node)} with {words}{', where a new layer is' * node.built}: "
                    f"{', '.join(forward(node))}; {', '.join(ways)}.")
    return " ".join(text)


# ---- The picture ----------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, COLUMN, ROW = 4.0, 2.35, 7.4, 3.95
CODE = {"family": "DejaVu Sans Mono", "fontsize": 9}
ASIDE = 0.85  # beside the arrows that run along a box's outer edge


def draw(framework):
    """The machine: modes side by side, configurations below each other.  A dot marks where a new layer is."""
    everything = nodes(framework)
    groups = list(dict.fromkeys(node.configurations for node in everything))
    at = {node: ((not node.training) * COLUMN, -groups.index(node.configurations) * ROW) for node in everything}
    ways = [edge for edge in edges(framework) if edge.end != edge.start]
    fig, axes = figure(height=1.6 * len(groups) + 0.2)
    axes.set(xlim=(-0.05, COLUMN + WIDTH + 0.05), ylim=(-(len(groups) - 1) * ROW - 0.1, HEIGHT + 1.2))
    axes.set_axis_off()
    for title, x in (("training", 0), ("inference", COLUMN)):
        axes.text(x + WIDTH / 2, HEIGHT + 1.0, title, ha="center", va="center", fontweight="bold")
    for node, (x, y) in at.items():
        _box(axes, node, x, y)
        if node.training:
            words = ", ".join(f"{name} = {value}" for name, value in configuration(framework, node).items())
            crossed = any(at[edge.start][1] > y == at[edge.end][1] for edge in ways)
            axes.text(ASIDE * crossed, y + HEIGHT + 0.3, words, ha="left", va="center", **CODE)
    for edge in ways:
        _arrow(axes, edge.event, *at[edge.start], *at[edge.end])
    return fig


def _box(axes, node, x, y):
    axes.add_patch(FancyBboxPatch((x, y), WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.12",
                                  facecolor=PALE if node.updates else "none", edgecolor=INK,
                                  linewidth=2.6 if node.updates else 1.0))
    axes.text(x + 0.14, y + HEIGHT - 0.28, node.number, ha="left", va="center", fontsize=10, fontweight="bold")
    words = re.sub("(by|updates) (the|running)", r"\1\n\2", "\n".join(forward(node)))
    axes.text(x + WIDTH / 2, y + HEIGHT / 2, words, ha="center", va="center", fontsize=10, linespacing=1.2)
    if node.built:
        axes.plot([x + WIDTH - 0.25], [y + HEIGHT - 0.27], "o", color=INK, markersize=6)


def _arrow(axes, event, x, y, there, below):
    if y == below:  # a mode switch
        right = there > x
        height = y + HEIGHT * (0.70 if right else 0.22)
        start, end = ((x + WIDTH, height), (there, height)) if right else ((x, height), (there + WIDTH, height))
        where, align = ((start[0] + end[0]) / 2, height + 0.24), "center"
    else:           # a change of the configuration, along the box's outer edge
        down, outer = below < y, 1 if x else -1
        across = x + WIDTH / 2 + outer * (WIDTH / 2 - (0.25 if down else 0.6))
        start, end = ((across, y), (across, below + HEIGHT)) if down else ((across, y + HEIGHT), (across, below))
        where = (x + WIDTH / 2 + outer * (WIDTH / 2 - ASIDE), max(y, below) - (0.3 if down else 0.75))
        event, align = f"{'↓' if down else '↑'} {event}", "right" if x else "left"
    axes.text(*where, event, ha=align, va="center", **CODE)
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=INK, linewidth=1.3,
                                   shrinkA=0, shrinkB=1))
