"""Set LaTeX as MathML, which browsers render by themselves: no script, no font, no network.

Only what the chapters use, and what stands in the tables below; anything else is refused by name, so that no page ever
shows a command where a formula should be.
"""

import re
from html import escape

TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[0-9]+(?:\.[0-9]+)?|[A-Za-z]{3,}|\s+|.", re.DOTALL)
GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "varepsilon": "ε", "zeta": "ζ",
         "eta": "η", "theta": "θ", "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ",
         "sigma": "σ", "tau": "τ", "phi": "ϕ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ",
         "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ",
         "Omega": "Ω", "infty": "∞", "ell": "ℓ", "emptyset": "∅", "prime": "′", "partial": "∂",
         "dots": "…", "ldots": "…", "cdots": "⋯"}
SIGNS = {"cdot": "⋅", "times": "×", "pm": "±", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠",
         "approx": "≈", "equiv": "≡", "in": "∈", "notin": "∉", "subset": "⊂", "cup": "∪", "cap": "∩", "to": "→",
         "rightarrow": "→", "Rightarrow": "⇒", "mapsto": "↦", "ll": "≪", "gg": "≫",
         "mid": "∣", "vert": "|", "lvert": "|", "rvert": "|", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉",
         "langle": "⟨", "rangle": "⟩", "nabla": "∇", "circ": "∘", "propto": "∝", "forall": "∀", "exists": "∃",
         "wedge": "∧", "vee": "∨", "neg": "¬", "colon": ":", "{": "{", "}": "}", "%": "%", "#": "#", "&": "&", "|": "‖"}
LARGE = {"sum": "∑", "prod": "∏", "bigcup": "⋃", "bigcap": "⋂"}
NAMES = {"log", "ln", "exp", "max", "min", "sup", "inf", "lim", "sin", "cos", "tan", "gcd", "deg", "det", "sgn"}
LIMITS = {"max", "min", "sup", "inf", "lim"}
SPACES = {",": "0.167em", ":": "0.222em", ";": "0.278em", " ": "0.25em", "!": "-0.167em", "quad": "1em", "qquad": "2em"}
ACCENTS = {"hat": "ˆ", "widehat": "ˆ", "bar": "¯", "overline": "¯", "tilde": "~", "dot": "˙", "vec": "→"}
DOUBLE = {"N": "ℕ", "Z": "ℤ", "Q": "ℚ", "R": "ℝ", "C": "ℂ"}
PRIMES = "′″‴"
TALL = re.compile("<(mfrac|munder|mover |munderover|msqrt|mroot)")  # what a pair of brackets has to grow around
SMALL = re.compile(r"<mfrac><mrow>(<mn>\d+</mn>)</mrow><mrow>(<mn>\d+</mn>)</mrow></mfrac>")
FENCES = {"(", ")", "[", "]", "|", ".", r"\{", r"\}", r"\lvert", r"\rvert", r"\lfloor", r"\rfloor", r"\lceil",
          r"\rceil", r"\langle", r"\rangle", r"\vert", r"\|"}


class MathError(ValueError):
    """LaTeX that cannot be set; the message names the command and the formula."""


def mathml(latex, display=False):
    """A formula as a ``math`` element, which keeps its LaTeX as `alttext`."""
    latex = latex.strip()
    shown = latex.removeprefix(r"\displaystyle").strip()
    block = display or shown != latex
    reader = _Reader(shown)
    body = "".join(_set(reader.row()))
    if reader.peek() is not None:
        raise MathError(f"{reader.peek()} closes nothing in {shown}")
    attributes = ' display="block"' if block else ""
    return f'<math{attributes} alttext="{escape(shown)}"><mrow>{body}</mrow></math>'


class _Reader:
    """Reads tokens; a row is a list of (kind, MathML) pairs, where kind decides the spacing."""

    def __init__(self, latex):
        self.latex = latex
        self.tokens = [t for t in TOKEN.findall(latex) if not t.isspace()]
        self.at = 0

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self):
        token = self.peek()
        if token is None:
            raise MathError(f"{self.latex} ends too early")
        self.at += 1
        return token

    def expect(self, token):
        if self.take() != token:
            raise MathError(f"{token} is missing in {self.latex}")

    def row(self, *ends):
        """Atoms up to one of `ends`, which stays unread, or to a brace that closes."""
        atoms = []
        while self.peek() not in (None, "}", r"\right", *ends):
            atoms.append(self.scripted(atoms[-1] if atoms else None))
        return atoms

    def scripted(self, before):
        kind, base = self.atom(before)
        scripts = {}
        while self.peek() in ("_", "^", "'"):
            mark = self.take()
            if mark == "'":
                number = 1
                while self.peek() == "'":
                    number += self.take() == "'"
                base = f'<mrow>{base}<mo lspace="0" rspace="0">{PRIMES[number - 1]}</mo></mrow>'
            else:
                scripts[mark] = SMALL.sub(r'\1<mo lspace="0" rspace="0">/</mo>\2', self.argument())
        below, above = scripts.get("_"), scripts.get("^")
        if below is None and above is None:
            return kind, base
        tags = ("munder", "mover", "munderover") if kind in ("large", "limits") else ("msub", "msup", "msubsup")
        tag = tags[2] if below and above else tags[0] if below else tags[1]
        parts = "".join(f"<mrow>{part}</mrow>" for part in (below, above) if part)
        return kind, f"<{tag}>{base}{parts}</{tag}>"

    def argument(self):
        """What a command or a script applies to: a group in braces, or one atom."""
        if self.peek() != "{":
            return self.atom(None)[1]
        self.take()
        atoms = self.row()
        self.expect("}")
        return "".join(_set(atoms))

    def text(self):
        """A group in braces, as text."""
        self.expect("{")
        start, depth = self.at, 1
        while depth:
            depth += {"{": 1, "}": -1}.get(self.take(), 0)
        return "".join(t.removeprefix("\\") if t != r"\ " else " " for t in self.tokens[start:self.at - 1])

    def atom(self, before):
        token = self.take()
        if token == "{":
            self.at -= 1
            parts = self.grouped()
            return parts[0] if len(parts) == 1 else ("name", f"<mrow>{''.join(_set(parts))}</mrow>")
        if token[0] == "\\":
            return self.command(token[1:], before)
        if token[0].isdigit():
            return "number", f"<mn>{token}</mn>"
        if token.isalpha():  # three letters and more are a word: products are written with spaces
            return ("name", f"<mi>{token}</mi>") if len(token) == 1 else ("word", _word(token))
        return self.sign(token, before)

    def grouped(self):
        self.expect("{")
        atoms = self.row()
        self.expect("}")
        return atoms

    def sign(self, sign, before):
        kind = "open" if sign in "([{⌊⌈⟨" else "close" if sign in ")]}⌋⌉⟩" else "sign"
        text = {"-": "−", "*": "∗"}.get(sign, escape(sign))
        if sign in "+-±" and (before is None or before[0] in ("sign", "open")):
            return "prefix", f'<mo form="prefix">{text}</mo>'
        if sign in "|‖":  # opens or closes, by what stands before it
            kind = "open" if before is None or before[0] in ("sign", "open") else "close"
            return kind, f'<mo stretchy="false" lspace="0" rspace="0">{sign}</mo>'
        stretch = ' stretchy="false"' if kind != "sign" else ' lspace="0" rspace="0"' if sign == "/" else ""
        return kind, f"<mo{stretch}>{text}</mo>"

    def command(self, name, before):
        if name in GREEK:
            return "name", f"<mi>{GREEK[name]}</mi>"
        if name in SIGNS:
            return self.sign(SIGNS[name], before)
        if name in LARGE:
            return "large", f"<mo>{LARGE[name]}</mo>"
        if name in NAMES:
            return "limits" if name in LIMITS else "word", _word(name)
        if name in SPACES:
            return "space", f'<mspace width="{SPACES[name]}"></mspace>'
        if name in ACCENTS:
            below, accent = self.argument(), f'<mo stretchy="false">{ACCENTS[name]}</mo>'
            return "name", f'<mover accent="true"><mrow>{below}</mrow>{accent}</mover>'
        if name in ("operatorname", "mathrm", "mathtt"):
            word = self.text()
            return "word" if len(word) > 1 else "name", _word(word)
        if name == "text":
            return "text", f"<mtext>{escape(self.text()).replace(' ', chr(160))}</mtext>"
        if name == "mathbb":
            letter = self.text()
            return "name", f"<mi>{DOUBLE.get(letter, letter)}</mi>"
        if name in ("frac", "dfrac", "tfrac"):
            return "name", f"<mfrac><mrow>{self.argument()}</mrow><mrow>{self.argument()}</mrow></mfrac>"
        if name == "sqrt":
            return "name", self.root()
        if name == "left":
            return "name", self.fenced()
        if name in ("displaystyle", "textstyle"):
            return "space", ""
        raise MathError(f"\\{name} in {self.latex}: not known; give it a meaning in tools/site/mathml.py")

    def root(self):
        if self.peek() == "[":
            self.take()
            degree = "".join(_set(self.row("]")))
            self.expect("]")
            return f"<mroot><mrow>{self.argument()}</mrow><mrow>{degree}</mrow></mroot>"
        return f"<msqrt><mrow>{self.argument()}</mrow></msqrt>"

    def fenced(self):
        left = self.take()
        body = "".join(_set(self.row()))
        self.expect(r"\right")
        tall = bool(TALL.search(body))
        left, right = self.fence(left, "prefix", tall), self.fence(self.take(), "postfix", tall)
        return f"<mrow>{left}<mrow>{body}</mrow>{right}</mrow>"

    def fence(self, token, form, tall):
        if token not in FENCES:
            raise MathError(f"{token} cannot stand beside \\left or \\right in {self.latex}")
        sign = SIGNS.get(token[1:], token) if token[0] == "\\" else token
        return "" if sign == "." else f'<mo form="{form}" stretchy="{str(tall).lower()}">{sign}</mo>'


def _word(word):
    return f'<mi mathvariant="normal">{escape(word)}</mi>'


def _set(atoms):
    """The row's MathML, with a thin space where a word would run into its neighbour."""
    solid = {"name", "word", "number", "large", "limits", "text"}
    previous = None
    for kind, markup in atoms:
        if previous in solid and kind in solid and {"word", "limits"} & {previous, kind}:
            yield '<mspace width="0.2em"></mspace>'
        elif previous in ("name", "number") and kind == "name" and ("<mfrac" in markup or "<mrow><mo form" in markup):
            yield '<mspace width="0.1em"></mspace>'
        yield markup
        previous = kind
