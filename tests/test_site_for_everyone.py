"""What a page owes to those who see little, no colours or nothing, and to a telephone: what can be said without a browser."""

import re
from html import unescape
from itertools import product
from pathlib import Path

import pytest
from tools.site import pages as press
from tools.site.chapter import FIGURE_COLORS

TELEPHONE = 350  # CSS pixels beside the margins of a narrow screen
STYLE = (Path(press.__file__).parent / "style.css").read_text(encoding="utf-8")
LIGHT, DARK, PRINT = (
    {name: value for name, value in re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", block)}
    for block in (STYLE.partition("@media")[0], re.search(r"@media \(prefers-color-scheme: dark\) \{(.*?)\n\}", STYLE, re.DOTALL)[1],
                  STYLE[STYLE.index("@media print"):].partition("@page")[0]))
# What is read, and on what.
READ = ("ink", "quiet", "link", "keyword", "string", "number", "comment", "name", "builtin")
GROUNDS = ("ground", "raised", "target")


@pytest.fixture(scope="module")
def site():
    return {name: text for name, text in press.pages() if name.endswith(".html")}


def luminance(color):
    """Of #rgb or #rrggbb, as WCAG 2 defines it."""
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    parts = [int(digits[at:at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_wcag():
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("palette", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
def test_text_stands_out_from_every_ground_by_aa(palette):
    assert {*READ, *GROUNDS} <= set(palette)
    weak = [(text, ground) for text, ground in product(READ, GROUNDS) if contrast(palette[text], palette[ground]) < 4.5]
    assert weak == []


@pytest.mark.parametrize("palette", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
def test_figures_stand_out_by_aa(palette):
    color = {name: palette[f"figure-{name}"] for name in FIGURE_COLORS.values()}
    text = [("ink", "paper"), ("quiet", "paper"), ("ink", "pale"), ("paper", "blue")]
    assert [pair for pair in text if contrast(*map(color.get, pair)) < 4.5] == []
    curves = set(color) - {"ink", "paper", "quiet", "grid", "pale"}
    assert len(curves) == 4
    assert [name for name in curves if contrast(color[name], color["paper"]) < 3] == []


def test_curves_that_share_a_figure_differ_without_their_colour():
    from tools.show import LOOKS

    methods, implementations = ("one pass", "two passes", "bnref"), set(LOOKS) - {"one pass", "two passes"}
    for together in (methods, implementations):
        assert len({LOOKS[name].marker for name in together}) == len(together)
        assert len({str(LOOKS[name].linestyle) for name in together}) == len(together)


def figures(site):
    for name, text in site.items():
        for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
            yield name, svg


def test_a_figure_has_no_colour_that_the_dark_does_not_change(site):
    seen = 0
    for name, svg in figures(site):
        assert not re.search(r"#[0-9a-f]{6}\b|rgb\(", svg), name
        seen += 1
    assert seen >= 20


def test_the_text_of_a_figure_can_be_read_on_a_telephone(site):
    for name, svg in figures(site):
        width = float(re.search(r'viewBox="0 0 ([\d.]+) ', svg)[1])
        sizes = [float(size) for size in re.findall(r"font: (?:\w+ )*([\d.]+)px", svg)]
        sizes += [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
        assert sizes and min(sizes) * TELEPHONE / width >= 8, (name, min(sizes), width)


def test_alternative_texts_say_what_is_seen_and_each_something_else(site):
    told = {}
    for name, svg in figures(site):
        told.setdefault(name, []).append(unescape(re.search(r'aria-label="([^"]*)"', svg)[1]))
    for name, texts in told.items():
        assert len(set(texts)) == len(texts), name
        assert all(len(text.split()) >= 12 and text.endswith(".") for text in texts), name


def test_links_say_where_they_lead(site):
    for name, text in site.items():
        for attributes, inside in re.findall(r"<a\b([^>]*)>(.*?)</a>", text, re.DOTALL):
            said = re.search(r'aria-label="([^"]+)"', attributes)
            words = said[1] if said else re.sub(r"<[^>]*>", "", inside)
            assert words.strip() and words.strip().lower() not in ("here", "link", "this", "more"), (name, inside)


def test_no_markdown_is_left_on_a_page(site):
    for name, text in site.items():
        seen = re.sub(r"<(pre|code|style|svg|math)\b.*?</\1>|<[^>]*>", "", text, flags=re.DOTALL)
        assert not re.search(r"\*\*\w|\w\*\*|\]\(|`|^#+ |^\s*\| ", seen, re.MULTILINE), name


def test_no_address_of_another_machine_is_asked_for(site):
    for name, text in site.items():
        called = re.findall(r'(\w[\w:-]*)="((?:https?:)?//[^"]*)"', text)
        assert [(key, to) for key, to in called if key not in ("href", "xmlns") and not key.startswith("xmlns:")] == [], name
        assert not re.search(r"<(?!a\b)\w+[^>]* href=\"(?:https?:)?//", text), name


def test_what_can_be_scrolled_can_be_reached_by_keyboard(site):
    for name, text in site.items():
        boxes = re.findall(r'<div class="scroll"([^>]*)>', text)
        assert all('tabindex="0"' in box and "aria-label=" in box and 'role="group"' in box for box in boxes), name
        for attributes, inside in re.findall(r"<pre\b([^>]*)>(.*?)</pre>", text, re.DOTALL):
            longest = max(map(len, unescape(re.sub(r"<[^>]*>", "", inside)).splitlines()), default=0)
            assert longest <= 32 or 'tabindex="0"' in attributes, (name, inside)


def test_signatures_fit_a_telephone(site):
    signatures = re.findall(r'<pre class="code signature"[^>]*>(.*?)</pre>', site["bnref.html"], re.DOTALL)
    lines = [line for text in signatures for line in unescape(re.sub(r"<[^>]*>", "", text)).splitlines()]
    assert len(signatures) > 30 and max(map(len, lines)) <= 48
    assert not any("typing" in line or "ndarray[" in line for line in lines)


def test_the_front_page_shows_what_the_readme_says(site):
    front = re.sub(r"<[^>]*>", "", site["index.html"])
    for words in ("Reading.", "Porting.", "Testing.", "Use it as an oracle", "Probable cause: one-pass variance"):
        assert words in unescape(front), words
