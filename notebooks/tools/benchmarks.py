"""The record of `make bench` for people: tests/benchmarks/RESULTS.md, its plots, the README's lines on speed.

    python -m tools.benchmarks

Everything here is read from results.json, whoever the peers were: those that were not installed are not in it, and are
not shown.
"""

import json
import re
import sys
from functools import partial
from textwrap import fill
from typing import NamedTuple

from . import chapters
from .show import LOOKS, QUIET, curve, figure, label_ends, log2, markdown_table, power_of, svg

FOLDER = chapters.ROOT / "tests" / "benchmarks"
RECORD = FOLDER / "results.json"
# What the record calls a peer, and what a plot calls it; the order is that of the columns.
PLOTTED = {"bnref": "bnref", "NumPy": "NumPy", "torch": "PyTorch", "onnxruntime": "onnxruntime",
           "onnx reference": "ONNX reference", "mpmath": "mpmath", "memcpy": "copying"}
TYPICAL = "randn"  # the data of a plot; the table has all
README_SPEED = re.compile(r"(?<=<!-- speed -->\n).*?(?=<!-- end of speed -->)", re.DOTALL)


class Group(NamedTuple):
    """The rows of one dtype and mode."""

    dtype: str
    mode: str
    rows: list

    @property
    def title(self):
        return f"{self.dtype}, {self.mode}"

    @property
    def file(self):
        return f"{self.dtype}_{self.mode}.svg"


def load():
    """What `make bench` measured."""
    return json.loads(RECORD.read_text(encoding="utf-8"))


def groups(record):
    """The rows by dtype and mode, in the record's order."""
    found = {}
    for row in record["rows"]:
        found.setdefault((row["dtype"], row["mode"]), []).append(row)
    return [Group(*key, rows) for key, rows in found.items()]


def elements(row):
    """How many elements the input has."""
    size = 1
    for length in row["shape"]:
        size *= length
    return size


def throughput(group):
    """{name: {position of the shape: million elements a second}}, and the shapes, the smallest first."""
    rows = sorted((row for row in group.rows if row["data"] == TYPICAL), key=elements)
    speeds = {}
    for peer, name in PLOTTED.items():
        known = {at: _rate(row, peer) for at, row in enumerate(rows) if peer in row["seconds"]}
        if known:
            speeds[name] = known
    return speeds, ["×".join(map(str, row["shape"])) for row in rows]


def plot(group):
    """Throughput over shapes, a curve for each peer; the vertical axis is logarithmic."""
    speeds, shapes = throughput(group)
    crowded = len(shapes) > 6
    fig, axes = figure(height=4.2 if crowded else 3.8)
    heights = {name: {at: log2(speed) for at, speed in known.items()} for name, known in speeds.items()}
    for name, known in heights.items():
        curve(axes, name, list(known), list(known.values()), linewidth=2.4 if name == "bnref" else LOOKS[name].linewidth)
    low = min(min(known.values()) for known in heights.values())
    high = max(max(known.values()) for known in heights.values())
    last = len(shapes) - 1
    # A curve that ends early, as that of mpmath does, has its name where it ends.
    for end in sorted({max(known) for known in heights.values()}):
        ending = {name: known[end] for name, known in heights.items() if max(known) == end}
        label_ends(axes, ending, end + 0.15, (high - low) / 14)
    decades = [at for at in range(-6, 7) if low - 1 < log2(10.0**at) < high + 1]
    axes.set(title=group.title, ylabel="million elements a second", xlim=(-0.1, last * 1.47), xticks=range(last + 1),
             xticklabels=shapes if crowded else [_broken(shape) for shape in shapes], yticks=[log2(10.0**at) for at in decades],
             yticklabels=[f"{10**at:,}".replace(",", "\u202f") if at >= 0 else power_of(10, at) for at in decades])
    axes.tick_params(axis="x", labelsize=9, labelrotation=90 if crowded else 0)
    axes.grid(color=QUIET, alpha=0.25)
    return fig


def described(group):
    """The plot in words."""
    speeds, shapes = throughput(group)
    lines = [f"{name} from {_short(min(known.values()))} to {_short(max(known.values()))}" for name, known in speeds.items()]
    return (f"Million elements a second over the shapes {', '.join(shapes)}, {group.dtype} in {group.mode}, the vertical "
            f"axis logarithmic: {'; '.join(lines)}.")


def speeds_of_numpy(rows, peer):
    """The speed of a peer over that of NumPy, for each row that has both."""
    return [row["seconds"]["NumPy"] / row["seconds"][peer] for row in rows if peer in row["seconds"]]


def peers_of(rows):
    """Who was measured besides NumPy and bnref, in the record's order."""
    return list(dict.fromkeys(peer for row in rows for peer in row["seconds"] if peer not in ("NumPy", "bnref")))


def table(group):
    """Header and rows: times of NumPy and bnref, then each peer's speed over that of textbook NumPy."""
    peers = peers_of(group.rows)
    rows = []
    for row in group.rows:
        seconds = row["seconds"]
        ratios = ("".join(map(_short, speeds_of_numpy([row], peer))) for peer in ("bnref", *peers))
        rows.append(["×".join(map(str, row["shape"])), row["data"], f"{seconds['NumPy'] * 1e3:.2f}",
                     f"{seconds['bnref'] * 1e3:.2f}", _short(_rate(row)), *ratios,
                     f"{row['exact share']:.0e}" if row["exact share"] else "0", f"{row['extra MiB']:.1f}"])
    return ["shape", "data", "NumPy ms", "bnref ms", "bnref M/s", "bnref / NumPy", *(f"{peer} / NumPy" for peer in peers),
            "exact share", "extra MiB"], rows


def summary(record):
    """Header and rows: for each dtype and mode the least and the most of everything."""
    peers = ["bnref", *peers_of(record["rows"])]
    return ["", "bnref M/s", *(f"{peer} / NumPy" for peer in peers)], [
        [group.title, _range(map(_rate, group.rows)), *(_range(speeds_of_numpy(group.rows, peer)) for peer in peers)]
        for group in groups(record)]


def opening(record):
    """What the pages say before the tables, as Markdown."""
    imports = record["import seconds"]
    versions = "".join(f", {name} {version}" for name, version in record.get("versions", {}).items())
    return "\n\n".join([
        f"Written by `make bench`. The machine: {machine(record)}{versions}.",
        "Medians of interleaved calls in one process and one thread. *NumPy* is textbook code: two passes, each step an array "
        "operation, rounded at every step. A column *… / NumPy* is a speed over that of NumPy on the same data, so more is "
        f"faster. Plots show the data *{TYPICAL}*, and *copying*, or memcpy, reads and writes each element once. The "
        "*exact share* of the elements needed the exact path; *extra MiB* is memory beyond the outputs. In training the running "
        "statistics are those of a new layer, 0 and 1. *Array steps* are the operations on whole tiles that bnref takes for float32 "
        "data, alone: without numbers per channel and what is written around them. A compiled kernel would take them in one go.",
        f"`import numpy` takes {imports['numpy'] * 1e3:.0f} ms, `import bnref` after it {imports['bnref'] * 1e3:.0f} ms.",
        "From the slowest to the fastest over all shapes and data:", markdown_table(*summary(record))])


def speed(record):
    """The README's lines on speed; no other speed is told there."""
    said = []
    for group in groups(record):
        if group.dtype == "float32" and group.mode != "backward":
            ours, numpys = (_range(map(partial(_rate, peer=peer), group.rows)) for peer in ("bnref", "NumPy"))
            said.append(f"{ours} million float32 elements a second in {group.mode} (textbook NumPy: {numpys})")
    return fill(f"By shape and data {' and '.join(said)}, on {machine(record)}. "
                "[All measurements](tests/benchmarks/RESULTS.md), written by `make bench`.", 120, break_on_hyphens=False) + "\n"


def machine(record):
    """On what it was measured."""
    return record["machine"].partition("  ")[0].rstrip(".")


def readme_with_speed(record):
    """The README as it should be."""
    text = chapters.README.read_text(encoding="utf-8")
    if not README_SPEED.search(text):
        raise ValueError("README.md: the lines <!-- speed --> and <!-- end of speed --> are missing; what `make bench` measured "
                         "stands between them")
    return README_SPEED.sub(lambda _: speed(record), text)


def files():
    """{path: text} of everything that is written from the record."""
    record = load()
    parts, written = ["# Benchmarks", opening(record)], {}
    for group in groups(record):
        alt = described(group)
        written[FOLDER / group.file] = svg(plot(group), alt)
        parts += [f"## {group.title}", f"![{alt}]({group.file})", markdown_table(*table(group))]
    return written | {FOLDER / "RESULTS.md": "\n\n".join(parts) + "\n", chapters.README: readme_with_speed(record)}


def main():
    try:
        for path, text in files().items():
            if chapters.replace(path, text):
                print(f"bench   {chapters.shown(path)}  written")
    except ValueError as error:
        sys.exit(f"benchmarks: {error}")


def _rate(row, peer="bnref"):
    """Million elements a second."""
    return elements(row) / row["seconds"][peer] / 1e6


def _range(values):
    values = sorted(values)
    return f"{_short(values[0])} to {_short(values[-1])}" if values else ""


def _short(number):
    """Three digits at most."""
    return f"{number:.3g}" if number < 1000 else f"{number:.0f}"


def _broken(shape):
    """A shape on two lines where it has three lengths."""
    first, cross, last = shape.rpartition("×")
    return f"{first}\n×{last}" if "×" in first else shape.replace("×", "\n×")


if __name__ == "__main__":
    main()
