"""Draw the atlas: a matrix of PyTorch's layers against MindSpore's, and the same in words."""

from itertools import groupby, product

from .atlas import DIFFERENT, OUTPUTS, SAME, short, tabled
from .show import BLUE, GRID, INK, PALE, PAPER, figure

FILL = {SAME: (BLUE, PAPER), OUTPUTS: (PALE, INK), DIFFERENT: ("none", INK)}
SIGN = {SAME: "=", OUTPUTS: "(=)"}
WIDE = 1.28  # a cell's width, in heights


def draw(pairs):
    """The atlas as a matrix: a row for each PyTorch layer, a column for each of MindSpore's, parameters left out.

    Neighbours that differ in the momentum alone, and fare alike against every layer, are one row or one column.
    """
    cell = {((one.track_running_stats, one.momentum), (other.use_batch_statistics, other.momentum)): verdict
            for (one, other), verdict in pairs.items()}
    everyone = [list(dict.fromkeys(key[side] for key in cell)) for side in (0, 1)]
    rows = _alike(everyone[0], lambda row: [_mark(cell[row, column]) for column in everyone[1]])
    columns = _alike(everyone[1], lambda column: [_mark(cell[row, column]) for row in everyone[0]])
    fig, axes = figure(4.9, 4.9)
    for (y, row), (x, column) in product(enumerate(rows), enumerate(columns)):
        verdict = cell[row[0], column[0]]
        color, ink = FILL[verdict.kind]
        left, right = WIDE * x, WIDE * (x + 1)
        axes.fill([left, right, right, left], [y, y, y + 1, y + 1], facecolor=color, edgecolor=GRID, linewidth=0.8)
        axes.text((left + right) / 2, y + 0.5, _mark(verdict), color=ink, ha="center", va="center",
                  fontsize=15 if verdict.kind == SAME else 10.5, fontweight="bold" if verdict.kind == SAME else "normal")
    end = WIDE * len(columns)
    _label(axes, "PyTorch, track_running_stats =", rows, 1, end, vertical=True)
    _label(axes, "MindSpore, use_batch_statistics =", columns, WIDE, len(rows), vertical=False)
    for y, row in enumerate(rows):
        if all(cell[row[0], column[0]].kind != SAME for column in columns):
            axes.text(end + 0.3, y + 0.5, "×", ha="center", va="center", fontsize=14)
    for x, column in enumerate(columns):
        if all(cell[row[0], column[0]].kind != SAME for row in rows):
            axes.text(WIDE * (x + 0.5), len(rows) + 0.4, "×", ha="center", va="center", fontsize=14)
    axes.text(-0.2, -0.6, "momentum", ha="right", va="center", fontsize=10)
    axes.set(xlim=(-2.9, end + 0.6), ylim=(len(rows) + 0.8, -2.4))
    axes.set_axis_off()
    return fig


def _mark(verdict):
    return SIGN.get(verdict.kind) or short(verdict.from_training)


def _alike(entries, fares):
    """Neighbours with the same setting that fare alike, together."""
    return [list(group) for _, group in groupby(entries, key=lambda entry: (entry[0], fares(entry)))]


def described(pairs):
    """The picture in words."""
    rules = tabled(pairs)
    text = ["A matrix of PyTorch's layers against MindSpore's."]
    for kind in (SAME, OUTPUTS):
        found = [", ".join(f"{axis} {' or '.join(map(str, covered))}" for axis, covered in zip(rules.axes, rule.values)
                           if len(covered) < len(rules.axes[axis]))
                 for rule in rules.rules if rule.answer[0] == kind]
        text.append(f"{kind.capitalize()} are: {'; '.join(found)}.")
    sequences = dict.fromkeys(rule.answer[1] for rule in rules.rules if rule.answer[0] == DIFFERENT)
    return " ".join(text) + f" All others are told apart by {', '.join(sequences)}."


def _label(axes, heading, entries, size, length, vertical):
    """Momenta along the cells, and outside of them the setting that a group of cells shares."""

    def write(along, across, text, **options):
        axes.text(*((across, along) if vertical else (along, across)), text, va="center", **options)

    def edge(at):
        line = ([-2.2 if vertical else -1.65, length], [at, at])
        axes.plot(*(line if vertical else line[::-1]), color=INK, linewidth=1.6)

    settings = [setting for (setting, _), *_ in entries]
    whole = {setting: settings.count(setting) == 1 for setting in settings}
    for position, group in enumerate(entries):
        text = "any" if whole[group[0][0]] else "\n".join(str(momentum) for _, momentum in group)
        write(size * (position + 0.5), -0.2 if vertical else -0.6, text, ha="right" if vertical else "center",
              fontsize=10 if len(group) == 1 or whole[group[0][0]] else 8.5, linespacing=0.95)
    for setting in dict.fromkeys(settings):
        first, last = settings.index(setting), len(settings) - settings[::-1].index(setting)
        edge(size * first)
        write(size * (first + last) / 2, -1.75 if vertical else -1.4, str(setting), ha="center", fontsize=10,
              rotation=90 if vertical and last - first > 1 else 0)
    edge(size * len(entries))
    write(size * len(entries) / 2, -2.6 if vertical else -2.1, heading, rotation=90 if vertical else 0, ha="center",
          fontsize=10.5, fontweight="bold")
