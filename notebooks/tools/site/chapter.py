"""A stored notebook as the body of a page.

Every equation that a deriving cell displays has the id ``eq-`` and its left side, as ``eq-xhat``.  Every equation of an
exported function has an address too, as ``normalize.xhat``: the place where the chapter displays it, or else its line
in the function's source.  The docstrings in `bnref/equations.py` name these.
"""

import re
from html import escape

from .. import show
from . import markup
from .mathml import mathml

ASSIGNMENT = re.compile(r"^(?: {4})?(?P<name>\w+) = .+$")
PROGRAM = re.compile(r"^```python\n(?P<source>def (?P<name>\w+)\(.*)```$", re.DOTALL)
COLORS = re.compile(r"\x1b\[[0-9;]*m")
SVG = "image/svg+xml"
# A figure's colours by the names of the variables in style.css, which has each of them for light and for dark.
FIGURE_COLORS = {value.lower(): name.lower() for name, value in vars(show).items() if re.fullmatch("#[0-9A-F]{6}", str(value))}


class Chapter:
    """The body of one chapter's page, and the headings and addresses in it."""

    def __init__(self, notebook, opening, links):
        self.ids = set()
        self.markup = markup.Markup(links, self.ids)
        self.figures = 0
        self.addresses = self._addresses(notebook.cells)
        cells = [self._cell(number, cell) for number, cell in enumerate(notebook.cells) if number]
        self.body = "\n".join([self._opening(opening), *cells])
        self.headings = [h for h in self.markup.headings if h.level > 1]

    def _addresses(self, cells):
        """{(number of the cell, number of the line or None): [id]}"""
        displayed, programs, addresses = {}, [], {}
        for number, cell in enumerate(cells):
            for text in _plain_results(cell):
                match = ASSIGNMENT.match(text)
                if match and "export" in cell.metadata.get("tags", ()):
                    addresses[number, None] = [self._free(f"eq-{match['name']}")]
                    displayed[text] = number
            programs += [(number, match) for text in _markdown_results(cell) if (match := PROGRAM.match(text))]
        for number, program in programs:
            for line, text in enumerate(program["source"].splitlines()):
                match = ASSIGNMENT.match(text)
                if match and not text.strip().startswith("n = xp.count("):
                    place = (displayed[text.strip()], None) if text.strip() in displayed else (number, line)
                    addresses.setdefault(place, []).append(self._free(f"{program['name']}.{match['name']}"))
        return addresses

    def _free(self, name):
        number, free = 1, name
        while free in self.ids:
            number += 1
            free = f"{name}-{number}"
        self.ids.add(free)
        return free

    def _opening(self, opening):
        self.ids.add("top")
        inline = self.markup.inline
        promises = [("Proves", opening.proves), ("Exports", opening.exports), ("Checked by", opening.checked)]
        rows = "".join(f"<div><dt>{name}</dt><dd>{inline(text)}</dd></div>" for name, text in promises)
        return (f'<h1>{inline(opening.title)}</h1>\n<p class="lede">{inline(opening.summary)}</p>\n'
                f'<dl class="promises">{rows}</dl>')

    def _cell(self, number, cell):
        if cell.cell_type == "markdown":
            return self.markup.html(cell.source)
        outputs = "\n".join(self._output(output, number) for output in cell.outputs)
        if len([output for output in cell.outputs if SVG in output.get("data", {})]) > 1:
            outputs = f'<div class="panels">{outputs}</div>'
        return f'{markup.code(cell.source)}\n{outputs}' if cell.source.strip() else outputs

    def _output(self, output, number):
        data = output.get("data", {})
        if SVG in data:
            return self._figure(data[SVG])
        if "text/latex" in data:
            return self._formula(data["text/latex"], self.addresses.get((number, None), []))
        if "text/markdown" in data:
            return self._markdown(data["text/markdown"], number)
        text = COLORS.sub("", data.get("text/plain", output.get("text", "")).rstrip("\n"))
        return markup.pre(f"<samp>{escape(text, quote=False)}</samp>", text, "Output", "output")

    def _formula(self, latex, ids):
        formula = mathml(latex.strip().strip("$"), display=True)
        if not ids:
            return ('<div class="output formula"><div class="scroll" role="group" tabindex="0" aria-label="Formula">'
                    f"{formula}</div></div>")
        first, *others = ids
        name = first.removeprefix("eq-")
        anchors = "".join(f'<span id="{other}"></span>' for other in others)
        return (f'<div class="output formula" id="{first}"><div class="scroll" role="group" tabindex="0" '
                f'aria-label="Equation for {name}">{anchors}{formula}</div>'
                f'<a class="address" href="#{first}" aria-label="Address of the equation for {name}">#</a></div>')

    def _markdown(self, text, number):
        program = PROGRAM.match(text)
        if program:
            ids = {line: names for (cell, line), names in self.addresses.items() if cell == number and line is not None}
            return f'<div class="output">{markup.code(program["source"], ids=ids, label="Generated source")}</div>'
        return f'<div class="output">{self.markup.html(text)}</div>'

    def _figure(self, svg):
        self.figures += 1
        return f'<figure class="output">{figure(svg, f"figure-{self.figures}-")}</figure>'


def figure(svg, prefix):
    """An SVG that can stand beside others on a page: ids of its own, no style that reaches out, colours of the page."""
    svg = re.sub(r"<style.*?</style>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", svg)
    svg = svg.replace("xlink:href=", "href=").replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    svg = re.sub(r"(?<=[ :])#[0-9a-fA-F]{6}\b", _variable, svg)
    return svg.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif").strip()


def _variable(match):
    name = FIGURE_COLORS.get(match[0].lower())
    if name is None:
        raise ValueError(f"{match[0]} in a figure; allowed: the colours of tools/show.py ({', '.join(FIGURE_COLORS)}), which "
                         "style.css gives a counterpart for the dark")
    return f"var(--figure-{name})"


def _plain_results(cell):
    for output in cell.get("outputs", ()):
        if "text/latex" in output.get("data", {}):
            yield output["data"]["text/plain"]


def _markdown_results(cell):
    for output in cell.get("outputs", ()):
        if "text/markdown" in output.get("data", {}):
            yield output["data"]["text/markdown"].strip()
