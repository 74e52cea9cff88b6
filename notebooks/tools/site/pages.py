"""The pages of the site, one after the other: the chapters, the reference, the front page, and what they share."""

import re
from importlib.metadata import distribution
from pathlib import Path

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup as Safe

from .. import benchmarks, chapters, show, weave
from . import markup, reference
from .chapter import Chapter, figure

HERE = Path(__file__).resolve().parent
FONT = "STIXTwoMath-Regular.ttf"
TEMPLATES = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                        lstrip_blocks=True, keep_trailing_newline=True)


def pages():
    """(name, text or bytes) of each file; the front page last, so that it leads to nothing that is missing."""
    yield FONT, Path(distribution("ziamath").locate_file(f"ziamath/fonts/{FONT}")).read_bytes()
    sources = chapters.chapters()
    openings = {path.stem: chapters.opening(path) for path in sources}
    links = {stem[:2]: f"{stem}.html" for stem in openings}
    links |= {name: f"bnref.html#{id}" for name, id in reference.names().items()}
    links |= {"tests/benchmarks/RESULTS.md": "benchmarks.html"}
    headings = {}
    for number, path in enumerate(sources):
        first = openings[path.stem]
        try:
            chapter = Chapter(_notebook(path), first, links)
        except ValueError as error:
            raise ValueError(f"{chapters.shown(weave.stored(path))}: {error}") from error
        headings[path.stem] = {heading.text: heading.id for heading in chapter.headings}
        around = [(openings[sources[at].stem], sources[at].stem) if 0 <= at < len(sources) else None
                  for at in (number - 1, number + 1)]
        yield f"{path.stem}.html", _page(
            title=first.title, description=first.summary, number=path.stem[:2], body=chapter.body,
            headings=[h for h in chapter.headings if h.level <= 3], here="book",
            previous=_link(around[0]), next=_link(around[1]) or ("bnref.html", "The reference"))
    api = reference.Reference(links | {name: f"#{id}" for name, id in reference.names().items()}, headings)
    last = (openings[sources[-1].stem], sources[-1].stem) if sources else None
    yield "benchmarks.html", _benchmarks(links)
    yield "bnref.html", _page(title="Reference", description="The functions, layers and tables of bnref.",
                              number="", body="<h1>Reference</h1>\n" + api.body, headings=api.headings,
                              here="reference", previous=_link(last), next=("benchmarks.html", "Benchmarks"))
    yield "index.html", _front(openings, links)


def _benchmarks(links):
    """What `make bench` measured: for each dtype and mode a plot and a table."""
    record, written = benchmarks.load(), markup.Markup(links, mathematics=False)
    parts = ["<h1>Benchmarks</h1>", written.html(benchmarks.opening(record))]
    for number, group in enumerate(benchmarks.groups(record), 1):
        drawn = figure(show.svg(benchmarks.plot(group), benchmarks.described(group)), f"figure-{number}-")
        parts += [written.html(f"## {group.title}"), f'<figure class="output">{drawn}</figure>',
                  written.html(show.markdown_table(*benchmarks.table(group)))]
    return _page(title="Benchmarks", description="How fast bnref is, and others beside it.", number="", body="\n".join(parts),
                 headings=written.headings, here="benchmarks", previous=("bnref.html", "The reference"), next=None)


def _notebook(path):
    stored = weave.stored(path)
    if not stored.exists():
        raise FileNotFoundError(f'{chapters.shown(stored)} is missing: run "make weave".')
    return nbformat.read(stored, as_version=4)


def _link(chapter):
    return chapter and (f"{chapter[1]}.html", f"{chapter[1][:2]} {chapter[0].title}")


def _page(body, **values):
    style = (HERE / "style.css").read_text(encoding="utf-8")
    return TEMPLATES.get_template("page.html").render(body=Safe(body), style=Safe(style), **values)


def _front(openings, links):
    import bnref

    inline = markup.Markup(links).inline
    first = bnref.__doc__.strip().partition("\n")[0]
    listed = [{"number": stem[:2], "address": f"{stem}.html", "title": first.title,
               **{field: Safe(inline(getattr(first, field))) for field in ("summary", "proves", "exports")}}
              for stem, first in openings.items()]
    told = {heading: Safe(markup.Markup(links, mathematics=False).html(_readme(heading)))
            for heading in ("What it is for", "Use it as an oracle")}
    body = TEMPLATES.get_template("front.html").render(
        motto=first.partition(": ")[2], purpose=told["What it is for"], oracle=told["Use it as an oracle"], chapters=listed,
        version=bnref.__version__)
    return _page(title="", description="Batch normalisation, derived in notebooks and correctly rounded.", number="",
                 body=body, headings=[], here="front", previous=None, next=None)


def _readme(heading):
    """What stands under a heading of the README, its links to chapters leading to their pages."""
    text = chapters.README.read_text(encoding="utf-8")
    match = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if match is None:
        raise ValueError(f"README.md: the heading {heading!r} is missing; the front page shows what stands under it")
    return re.sub(r"\(notebooks/(\w+)\.ipynb\)", r"(\1.html)", match[1])
