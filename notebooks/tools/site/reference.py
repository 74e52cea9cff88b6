"""The docstrings of `bnref` as one page: numpydoc sections, signatures, and the source of what is generated."""

import inspect
import re
from html import escape
from importlib import import_module
from textwrap import fill

from ..signatures import plain
from . import markup

SECTION = re.compile(r"^(?P<name>[A-Z][A-Za-z ]+)\n-{3,}$", re.MULTILINE)
ITEMS = {"Parameters", "Returns", "Yields", "Raises", "Warns", "Attributes", "Other Parameters"}
CITED = re.compile(r"notebooks/(?P<stem>\d\d_\w+)(?:, \"(?P<heading>[^\"]+)\")?")
ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # differs from run to run
FIELD = re.compile(r"^(\w+(?:, \w+)*) : ", re.MULTILINE)
ADDRESSES = re.compile(r"^Equations: (?:site/)?(?P<page>\S+\.html)#(?P<rest>.+?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
LINE = 44  # characters of a signature that stand on one line of a telephone
MODULES = ("torch", "mindspore", "port", "testing", "states", "equations", "mistakes", "arithmetic")
GENERATED = ("equations", "mistakes")


def names():
    """Every documented name and its id: {"bnref.batch_norm": "batch_norm"}."""
    found = {}
    for module, objects in _modules():
        if "." in module.__name__:
            found[module.__name__] = module.__name__
        for name, _ in objects:
            found[f"{module.__name__}.{name}"] = found[_id(module, name)] = _id(module, name)
            if module.__name__ == "bnref.equations":
                found[name] = _id(module, name)
    return found


class Reference:
    """The body of the page, and its headings."""

    def __init__(self, links, headings):
        short = {name.removeprefix("bnref."): target for name, target in links.items() if name.count(".") == 1}
        self.markup = markup.Markup(short | links, mathematics=False)
        self.chapters = headings  # {stem: {heading: id}}
        self.headings = []
        self.body = "\n".join(self._module(module, objects) for module, objects in _modules())

    def _heading(self, level, text, id):
        self.headings.append(markup.Heading(level, text, id))
        return id

    def _module(self, module, objects):
        name = module.__name__
        self._heading(2, name, name)
        about = re.sub(r"^bnref: (.)", lambda first: first[1].upper(), module.__doc__)
        parts = [f'<section><h2 id="{name}"><code>{name}</code></h2>', self._prose(about)]
        told = {}
        for label, thing in objects:
            documentation = inspect.getdoc(thing) or "" if callable(thing) else label
            like = told.setdefault(documentation.partition("\n")[2].strip() or label, label)
            parts.append(self._object(module, label, thing, documentation, like))
        return "\n".join([*parts, "</section>"])

    def _object(self, module, name, thing, documentation, like):
        id = self._heading(3, name, _id(module, name))
        if not callable(thing):
            return f'<section><h3 id="{id}"><code>{name}</code></h3>{self._constant(name, thing)}</section>'
        parts = [f'<section><h3 id="{id}"><code>{name}</code></h3>', _signature(name, thing)]
        if like != name:
            first = documentation.partition("\n")[0]
            parts.append(self.docstring(f"{first}  Otherwise as `{_id(module, like)}`."))
            return "\n".join([*parts, "</section>"])
        parts.append(self.docstring(documentation))
        if module.__name__.split(".")[-1] in GENERATED:
            body = re.sub(r'    """.*?"""\n', "", inspect.getsource(thing), count=1, flags=re.DOTALL)
            parts.append(markup.code(body, label="Source"))
        for method, function in _methods(thing):
            parts.append(f'<section><h4 id="{id}.{method}"><code>{name}.{method}</code></h4>')
            parts += [_signature(method, function), self.docstring(inspect.getdoc(function)), "</section>"]
        return "\n".join([*parts, "</section>"])

    def _constant(self, name, value):
        """A table of texts, a list of words, or else what Python shows."""
        if isinstance(value, dict) and all(isinstance(text, str) for pair in value.items() for text in pair):
            rows = (f"<dt><code>{escape(key)}</code></dt><dd>{self._prose(text)}</dd>" for key, text in value.items())
            return f"<dl>{''.join(rows)}</dl>"
        if isinstance(value, tuple) and all(isinstance(word, str) for word in value):
            return f"<ul>{''.join(f'<li><code>{escape(word)}</code></li>' for word in value)}</ul>"
        return markup.code(f"{name} = {ADDRESS.sub('', repr(value))}", label="Value")

    def docstring(self, text):
        """A numpydoc docstring as HTML."""
        first, *rest = SECTION.split(inspect.cleandoc(text))
        parts = [self._prose(first)]
        for name, body in zip(rest[::2], rest[1::2]):
            items = name in ITEMS
            parts.append(f'<p class="section">{name}</p>')
            parts.append(self._items(inspect.cleandoc(body)) if items else self._prose(body))
        return "\n".join(parts)

    def _items(self, text):
        """``name : type`` lines, each with an indented description."""
        entries = re.split(r"\n(?=\S)", text.strip("\n"))
        rows = []
        for entry in entries:
            head, _, description = entry.partition("\n")
            name, colon, kind = head.partition(" : ")
            name = ", ".join(f"<code>{escape(part)}</code>" for part in name.split(", "))
            kind = f' <span class="kind">{self.markup.inline(kind.replace("*", chr(92) + "*"))}</span>' if colon else ""
            meaning = FIELD.sub(r"\n- `\1` : ", inspect.cleandoc(description))
            rows.append(f"<dt>{name}{kind}</dt><dd>{self._prose(meaning) if meaning else ''}</dd>")
        return f"<dl>{''.join(rows)}</dl>"

    def _prose(self, text):
        addresses = ADDRESSES.search(text)
        if addresses:
            text = text[:addresses.start()] + "@addresses@" + text[addresses.end():]
        text = re.sub(r"^( *)\+ ", r"\1\\+ ", inspect.cleandoc(text), flags=re.MULTILINE)  # a sum that goes on, no list
        html = self.markup.html(_examples_fenced(text))
        html = CITED.sub(self._cited, html.replace("&quot;", '"'))
        return html.replace("@addresses@", self._equations(addresses)) if addresses else html

    def _cited(self, match):
        stem, heading = match["stem"], match["heading"]
        if stem not in self.chapters:
            return match[0]
        fragment = self.chapters[stem].get(heading)
        return f'<a href="{stem}.html{"#" + fragment if fragment else ""}">{match[0]}</a>'

    @staticmethod
    def _equations(match):
        links = [f'<a href="{match["page"]}#{address}"><code>{address.split(".")[1]}</code></a>'
                 for address in addresses(match["rest"])]
        return "Equations: " + ", ".join(links) + "."


def addresses(text):
    """What a docstring abbreviates: ``normalize.W, .rstd`` stands for normalize.W and normalize.rstd."""
    first, *others = re.split(r",\s+", text.strip())
    function = first.partition(".")[0]
    return [first, *(function + other for other in others)]


def _modules():
    """(module, [(name, object)]) in the order of the page: the functional form first."""
    package = import_module("bnref")
    listed = {name: getattr(package, name) for name in package.__all__}
    yield package, [(name, thing) for name, thing in listed.items() if not inspect.ismodule(thing)]
    modules = [name for name, thing in listed.items() if inspect.ismodule(thing) and name not in ("functional", "typing")]
    for name in sorted(modules, key=lambda name: (MODULES.index(name) if name in MODULES else len(MODULES), name)):
        yield listed[name], _public(listed[name])


def _public(module):
    own = getattr(module, "__all__", None) or [name for name, value in vars(module).items() if name == "VERSION" or (
        not name.startswith("_") and getattr(value, "__module__", None) == module.__name__ and callable(value))]
    return [(name, getattr(module, name)) for name in own if not inspect.ismodule(getattr(module, name))]


def _methods(thing):
    """What a class offers besides being called: (name, function), each with a docstring."""
    found = {}
    for owner in reversed(thing.__mro__) if inspect.isclass(thing) else ():
        for name, value in vars(owner).items() if owner.__module__.startswith("bnref") else ():
            value = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
            if not name.startswith("_") and inspect.isfunction(value) and value.__doc__:
                found[name] = value
    return list(found.items())


def _id(module, name):
    return f"{module.__name__}.{name}".removeprefix("bnref.")


def _signature(name, thing):
    """``name(...)`` as code, on several lines where it is long."""
    try:
        known = plain(thing)
    except (TypeError, ValueError):
        return ""
    parameters = [p for p in known.parameters.values() if p.name not in ("self", "cls")]
    text = str(known.replace(parameters=parameters))
    if len(name + text) > LINE:
        starred = next((at for at, p in enumerate(parameters) if p.kind is p.KEYWORD_ONLY), None)
        words = [str(p) for p in parameters]
        if starred is not None and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
            words.insert(starred, "*")
        text = "(\n" + fill(", ".join(words), LINE, initial_indent="    ", subsequent_indent="    ", break_long_words=False,
                            break_on_hyphens=False) + "\n)"
    text = re.sub(r"<function (\w+)>", r"\1", ADDRESS.sub("", text))
    return markup.code(f"{name}{text}", label="Signature", kind="code signature")


def _examples_fenced(text):
    """Examples as code: from >>> to the next empty line."""
    return re.sub(r"(?:^|(?<=\n))(>>> .*?)(?=\n\s*\n|\Z)", r"```pycon\n\1\n```", text, flags=re.DOTALL)
