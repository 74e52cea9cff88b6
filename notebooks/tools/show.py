"""Show a figure or a table: vector graphics with alternative text, and Markdown, the same bytes every time."""

import io
import re

import matplotlib as mpl
from IPython.display import Markdown, display
from matplotlib import font_manager
from matplotlib.figure import Figure

# Okabe and Ito's palette without its yellow: told apart by the colour-blind, and in grey together with dash and marker.
BLUE, ORANGE, GREEN, PURPLE, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"

STYLE = {
    "svg.hashsalt": "bnref", "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6, "axes.axisbelow": True, "lines.linewidth": 1.8, "legend.frameon": False,
    "figure.facecolor": "white", "savefig.facecolor": "white", "axes.titlelocation": "left", "axes.titlesize": 11,
    "axes.prop_cycle": mpl.cycler(color=[BLUE, ORANGE, GREEN, PURPLE, SKY, RED],
                                  linestyle=["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1))]),
}
mpl.rcParams.update(STYLE)

# Only the fonts that matplotlib ships: another DejaVu on the machine would move a label.
font_manager.fontManager.ttflist = [font for font in font_manager.fontManager.ttflist
                                    if font.fname.startswith(mpl.get_data_path())]


def figure(width=7.0, height=3.2, rows=1, columns=1, **options):
    """A figure in the book's style, and its axes."""
    fig = Figure(figsize=(width, height), layout="constrained")
    return fig, fig.subplots(rows, columns, **options)


def show(fig, alt):
    """Display `fig` as SVG.  `alt` says in words what the picture shows, for those who cannot see it."""
    alt = " ".join(alt.split())
    if not alt:
        raise ValueError("alt: empty; allowed: a sentence that says what the figure shows")
    text = io.StringIO()
    fig.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg"):].replace("<svg ", f'<svg role="img" aria-label="{_escaped(alt)}" ', 1)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    display({"image/svg+xml": svg, "text/plain": alt}, metadata={"image/svg+xml": {"alt": alt}}, raw=True)


def table(header, rows):
    """A Markdown table, as an output."""
    lines = [header, ["---"] * len(header), *rows]
    return Markdown("\n".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in lines))


def _escaped(text):
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
