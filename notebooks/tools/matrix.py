"""Draw the atlas: a matrix of PyTorch's layers against MindSpore's, and the same in words."""

from itertools import product

from .atlas import DIFFERENT, OUTPUTS, SAME, short, tabled
from .show import BLUE, figure

FILL = {SAME: (BLUE, "white"), OUTPUTS: ("#B9DCF2", "black"), DIFFERENT: ("white", "black")}
SIGN = {SAME: "=", OUTPUTS: "(=)"}


def draw(pairs):
    """The atlas as a matrix: a row for each PyTorch layer, a column for each of MindSpore's, parameters left out."""
    cell = {((one.track_running_stats, one.momentum), (other.use_batch_statistics, other.momentum)): verdict
            for (one, other), verdict in pairs.items()}
    rows, columns = (list(dict.fromkeys(key[side] for key in cell)) for side in (0, 1))
    fig, axes = figure(10.4, 6.6)
    for (y, row), (x, column) in product(enumerate(rows), enumerate(columns)):
        verdict = cell[row, column]
        color, ink = FILL[verdict.kind]
        axes.fill([x, x + 1, x + 1, x], [y, y, y + 1, y + 1], facecolor=color, edgecolor="#888888", linewidth=0.8,
                  linestyle="-")
        axes.text(x + 0.5, y + 0.5, SIGN.get(verdict.kind) or short(verdict.from_training), color=ink, ha="center",
                  va="center", fontsize=15 if verdict.kind == SAME else 11,
                  fontweight="bold" if verdict.kind == SAME else "normal")
    _label(axes, "PyTorch", "track_running_stats", rows, len(columns), vertical=True)
    _label(axes, "MindSpore", "use_batch_statistics", columns, len(rows), vertical=False)
    for y, row in enumerate(rows):
        if all(cell[row, column].kind != SAME for column in columns):
            axes.text(len(columns) + 0.35, y + 0.5, "×", ha="center", va="center", fontsize=14)
    for x, column in enumerate(columns):
        if all(cell[row, column].kind != SAME for row in rows):
            axes.text(x + 0.5, len(rows) + 0.4, "×", ha="center", va="center", fontsize=14)
    axes.text(-0.15, -0.3, "momentum", ha="right", va="center", fontsize=10.5)
    axes.set(xlim=(-2.1, len(columns) + 0.7), ylim=(len(rows) + 0.8, -1.6))
    axes.set_axis_off()
    return fig


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


def _label(axes, framework, name, entries, length, vertical):
    """Momenta along the cells, and outside of them the setting that a group of cells shares."""

    def write(along, across, text, **options):
        axes.text(*((across, along) if vertical else (along, across)), text, va="center", **options)

    for position, (_, momentum) in enumerate(entries):
        write(position + 0.5, -0.15 if vertical else -0.3, str(momentum), ha="right" if vertical else "center",
              fontsize=10.5)
    groups = list(dict.fromkeys(setting for setting, _ in entries))
    size = len(entries) // len(groups)
    for number, setting in enumerate(groups):
        write(size * (number + 0.5), -1.15 if vertical else -0.85, f"{name}={setting}", rotation=90 if vertical else 0,
              ha="center", fontsize=10.5)
    for edge in range(0, len(entries) + 1, size):
        line = ([-1.5 if vertical else -1.1, length], [edge, edge])
        axes.plot(*(line if vertical else line[::-1]), color="black", linewidth=1.6, linestyle="-")
    write(len(entries) / 2, -1.85 if vertical else -1.4, framework, rotation=90 if vertical else 0, ha="center",
          fontsize=12, fontweight="bold")
