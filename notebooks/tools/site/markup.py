"""Markdown, mathematics and code as HTML: the pieces that chapters and reference are made of."""

import re
from html import escape

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from .mathml import mathml

CHAPTER = re.compile(r"\bchapters? (\d\d)(?:(, | and |, and )(\d\d))?\b")
CHINESE = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]+")
BREAKS = re.compile(r"(?<=\w)[_(=](?=[\w'])|(?<=[a-z])\.(?=[a-z])")
NARROW = 32  # characters that fit on a small telephone; what is wider may scroll, so the keyboard must reach it


class Heading:
    """A heading of a page: its level, its text and the id that addresses it."""

    def __init__(self, level, text, id):
        self.level, self.text, self.id = level, text, id


class Markup:
    """Renders the Markdown of one page, and collects its headings.

    Parameters
    ----------
    links : dict
        What "chapter 02" and the code `bnref.batch_norm` lead to: {text: address}.
    ids : set
        Ids that are taken; headings add theirs.
    mathematics : bool
        Whether dollars enclose LaTeX.
    """

    def __init__(self, links=(), ids=None, mathematics=True):
        self.links, self.ids, self.headings = dict(links), set() if ids is None else ids, []
        self.in_table = False
        self.parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        if mathematics:
            self.parser.use(dollarmath_plugin, renderer=lambda latex, options: mathml(latex, options["display_mode"]),
                            allow_space=False, double_inline=True)
            self.parser.add_render_rule("math_inline", lambda _, tokens, at, *rest: _inline_math(tokens[at].content))
        rules = {"heading_open": self._heading, "table_open": self._table_open, "table_close": self._table_close,
                 "fence": self._fence, "code_block": self._fence, "text": self._text, "code_inline": self._code}
        for name, rule in rules.items():
            self.parser.add_render_rule(name, lambda _, *args, rule=rule: rule(*args))

    def html(self, text):
        """A piece of Markdown as HTML."""
        return self.parser.render(text)

    def inline(self, text):
        """One line of Markdown, without a paragraph around it."""
        return self.parser.renderInline(text)

    def new_id(self, text):
        """An id that no other element of the page has: from the words of `text`."""
        name = slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
        number = 1
        while name in self.ids:
            number += 1
            name = f"{slug}-{number}"
        self.ids.add(name)
        return name

    def _heading(self, tokens, at, *_):
        level, text = int(tokens[at].tag[1]), plain(tokens[at + 1])
        heading = Heading(level, text, self.new_id(text))
        self.headings.append(heading)
        return f'<h{level} id="{heading.id}">'

    def _table_open(self, tokens, at, *_):
        header = next(i for i in range(at, len(tokens)) if tokens[i].type == "thead_close")
        end = next(i for i in range(at, len(tokens)) if tokens[i].type == "table_close")
        names = [plain(token) for token in tokens[at:header] if token.type == "inline"]
        for i in range(at, end):
            if tokens[i].type == "th_open" and tokens[i + 1].content:
                tokens[i].attrSet("scope", "col")
            elif tokens[i].type == "th_open":  # an empty corner heads nothing
                tokens[i].tag = tokens[i + 2].tag = "td"
            elif tokens[i].type == "td_open" and tokens[i - 1].type == "tr_open" and not names[0]:
                tokens[i].tag = tokens[i + 2].tag = "th"  # and below it stand the names of the rows
                tokens[i].attrSet("scope", "row")
        self.in_table = True
        label = escape("Table of " + ", ".join(filter(None, names)))
        return f'<div class="scroll" role="group" tabindex="0" aria-label="{label}"><table>'

    def _table_close(self, *_):
        self.in_table = False
        return "</table></div>"

    def _broken(self, html):
        """In a table a long name may go on in the next line, or the table gets too wide for a telephone."""
        return BREAKS.sub(r"\g<0><wbr>", html) if self.in_table else html

    def _fence(self, tokens, at, *_):
        return code(tokens[at].content, tokens[at].info.strip() or "text")

    def _text(self, tokens, at, *_):
        def link(match):
            first, between, second = match.groups()
            if first not in self.links:
                return match[0]
            text = f'<a href="{self.links[first]}">{match[0].split(first)[0]}{first}</a>'
            if second:
                text += between + (f'<a href="{self.links[second]}">{second}</a>' if second in self.links else second)
            return text

        text = escape(tokens[at].content, quote=False)
        inside = sum(token.nesting for token in tokens[:at] if token.type in ("link_open", "link_close"))
        text = self._broken(text)
        return _spoken(text if inside else CHAPTER.sub(link, text))

    def _code(self, tokens, at, *_):
        text = tokens[at].content
        shown = f"<code>{_spoken(self._broken(escape(text, quote=False)))}</code>"
        target = self.links.get(text.split("(")[0])
        return f'<a href="{target}">{shown}</a>' if target else shown


def _spoken(text):
    """Chinese marked as such, so that it is read aloud in Chinese and set in its own font."""
    return CHINESE.sub(r'<span lang="zh-Hans">\g<0></span>', text)


def _inline_math(latex):
    """A formula in a line; a long one may go on in the next line after its equals sign."""
    left, sign, right = latex.partition(" = ")
    if sign and len(latex) > NARROW and left.count("{") == left.count("}"):
        return f"{mathml(left + ' =')} {mathml(right)}"
    return mathml(latex)


def plain(token):
    """The words of an inline token."""
    return "".join(child.content for child in token.children)


class _Lines(HtmlFormatter):
    """Highlighted source, where chosen lines can be linked to."""

    def __init__(self, ids):
        super().__init__(nowrap=True)
        self.ids = ids

    def format_unencoded(self, tokens, out):
        lines = list(self._format_lines(tokens))
        for number, (_, line) in enumerate(lines):
            names = self.ids.get(number, ())
            opened = "".join(f'<span id="{name}">' for name in names)
            out.write(opened + line.removesuffix("\n") + "</span>" * len(names) + "\n")


def code(text, language="python", ids=(), label="Code", kind="code"):
    """Source as HTML, in colour; `ids` are the ids of some of its lines: {number: [id]}, from 0."""
    text = text.rstrip("\n")
    try:
        lexer = get_lexer_by_name({"": "text"}.get(language, language), stripnl=False)
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    body = highlight(text, lexer, _Lines(dict(ids))).rstrip("\n")
    return pre(f"<code>{body}</code>", text, label, kind)


def pre(body, text, label, kind):
    """Preformatted text; where it may have to scroll it takes part in the keyboard's round."""
    wide = max(map(len, text.splitlines()), default=0) > NARROW
    reach = f' tabindex="0" role="group" aria-label="{label}"' if wide else ""
    return f'<pre class="{kind}"{reach}>{body}</pre>'
