"""Show a figure or a table: vector graphics with alternative text, and Markdown, the same bytes every time."""

import io
import math
import re
from typing import NamedTuple

import matplotlib as mpl
from IPython.display import Markdown, display
from matplotlib import font_manager, patheffects
from matplotlib.figure import Figure

# Those of Okabe and Ito's colours that stand out from white by 3 to 1: told apart by the colour-blind, and in grey by
# dash and marker.  PALE fills what has a border.  The site's style.css gives each of them a counterpart for the dark.
INK, PAPER, QUIET, GRID = "#000000", "#FFFFFF", "#5A6068", "#DDDDDD"
BLUE, VERMILION, GREEN, PURPLE, PALE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B9DCF2"


class Look(NamedTuple):
    """How a curve looks; nobody needs its colour to tell it from the others."""

    color: str
    linestyle: str | tuple
    marker: str
    linewidth: float = 1.8


# The same look for the same thing in every figure.
LOOKS = {
    "bnref": Look(GREEN, "-.", "s"),
    "PyTorch": Look(BLUE, "-", "o", 3.2),  # wide, for what lies on it
    "MindSpore": Look(VERMILION, "--", "^"),
    "onnxruntime": Look(PURPLE, ":", "v"),
    "two passes": Look(BLUE, "-", "o"),
    "one pass": Look(VERMILION, "--", "^"),
    "NumPy": Look(QUIET, (0, (5, 1)), "D"),
    "ONNX reference": Look(QUIET, (0, (1, 1)), "P"),
    "mpmath": Look(QUIET, (0, (3, 1, 1, 1, 1, 1)), "*"),
    "copying": Look(INK, (0, (1, 3)), "x"),
}

STYLE = {
    "svg.hashsalt": "bnref", "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 11,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": GRID,
    "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False,
    "figure.facecolor": PAPER, "savefig.facecolor": PAPER, "axes.facecolor": "none", "axes.titlelocation": "left",
    "axes.titlesize": 12, "axes.labelsize": 11, "xtick.labelsize": 10.5, "ytick.labelsize": 10.5, "lines.markersize": 5,
}
mpl.rcParams.update(STYLE)

# Only the fonts that matplotlib ships: another DejaVu on the machine would move a label.
font_manager.fontManager.ttflist = [font for font in font_manager.fontManager.ttflist
                                    if font.fname.startswith(mpl.get_data_path())]


def figure(width=4.9, height=3.3):
    """A figure in the book's style, and its axes.

    The width is a telephone's, so that text is as large there as on paper.  What belongs side by side is shown by one
    cell, one `show` after the other: the site sets such figures beside each other where there is room.
    """
    fig = Figure(figsize=(width, height), layout="constrained")
    return fig, fig.subplots()


def curve(axes, name, x, y, **options):
    """Plot a curve with the look of its name."""
    return axes.plot(x, y, **(LOOKS[name]._asdict() | options))


def label(axes, x, y, text, ha="left", va="center", **options):
    """Write beside a curve what it is, on a halo of paper."""
    axes.text(x, y, text, ha=ha, va=va, clip_on=False, **options,
              path_effects=[patheffects.withStroke(linewidth=3, foreground=PAPER)])


def label_ends(axes, ends, x, gap):
    """Write the names of curves to the right of where they end, at `x`, at least `gap` apart.

    Parameters
    ----------
    ends : dict
        {name: height of the curve's end}.
    """
    names = sorted(ends, key=ends.get)
    heights = [ends[name] for name in names]
    for _ in range(100):  # push the nearest apart, a little at a time, until none is too near
        for low in range(len(heights) - 1):
            short = gap - (heights[low + 1] - heights[low])
            if short > 1e-9:
                heights[low] -= short / 2
                heights[low + 1] += short / 2
    for name, height in zip(names, heights, strict=True):
        label(axes, x, height, name)


def log2(value):
    """The binary logarithm, exact at powers of two and linear between them: the same bytes on every machine."""
    mantissa, exponent = math.frexp(value)
    return exponent - 2 + 2 * mantissa


def power_of(base, exponent):
    """A power as a label: 2¹⁰."""
    return str(base) + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def svg(fig, alt):
    """`fig` as SVG text with the alternative text `alt`, without anything that differs from run to run."""
    alt = " ".join(alt.split())
    if not alt:
        raise ValueError("alt: empty; allowed: a sentence that says what the figure shows")
    text = io.StringIO()
    fig.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg"):].replace("<svg ", f'<svg role="img" aria-label="{_escaped(alt)}" ', 1)
    return re.sub(r"<metadata>.*?</metadata>\s*", "", drawn, flags=re.DOTALL)


def show(fig, alt):
    """Display `fig` as SVG.  `alt` says in words what the picture shows, for those who cannot see it."""
    drawn, alt = svg(fig, alt), " ".join(alt.split())
    display({"image/svg+xml": drawn, "text/plain": alt}, metadata={"image/svg+xml": {"alt": alt}}, raw=True)


def table(header, rows):
    """A Markdown table, as an output."""
    return Markdown(markdown_table(header, rows))


def markdown_table(header, rows):
    """A Markdown table, as text."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in lines)


def _escaped(text):
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
