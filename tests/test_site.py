"""The site: pages that need no network, where everything has a name, and every address leads somewhere."""

import re
from collections import Counter
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from tools import chapters, weave
from tools.site import markup
from tools.site import mathml as mathematics
from tools.site.chapter import figure
from tools.site.pages import pages
from tools.site.reference import ADDRESSES, addresses

VOID = {"meta", "wbr", "link", "br", "hr", "img", "input", "path", "use", "rect", "circle", "mspace"}
CALLS = {"script", "link", "img", "iframe", "object", "embed", "source", "video", "audio", "image", "use"}


class Page(HTMLParser):
    """Every element of a page as (name, attributes), and which of them are open at the end."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], text
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag, (tag, self.getpos())

    def ids(self):
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]

    def named(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def site():
    return dict(pages())


@pytest.fixture(scope="module")
def read(site):
    return {name: Page(text) for name, text in site.items() if name.endswith(".html")}


def test_every_chapter_has_a_page_and_the_front_page_leads_to_it(read):
    leads = {attributes.get("href") for attributes in read["index.html"].named("a")}
    assert leads >= {f"{path.stem}.html" for path in chapters.chapters()} | {"bnref.html"}
    assert set(read) >= {f"{path.stem}.html" for path in chapters.chapters()}


def test_each_chapter_leads_to_the_next_and_back(read):
    stems = [path.stem for path in chapters.chapters()]
    for before, after in zip(stems, stems[1:], strict=False):
        assert any(a.get("rel") == "next" and a["href"] == f"{after}.html" for a in read[f"{before}.html"].named("a"))
        assert any(a.get("rel") == "prev" and a["href"] == f"{before}.html" for a in read[f"{after}.html"].named("a"))


def test_elements_are_closed_in_order(read):
    assert all(page.open == [] for page in read.values())


def test_nothing_is_fetched_from_elsewhere(site, read):
    for name, page in read.items():
        for tag, attributes in page.elements:
            if tag in CALLS:
                for key in ("src", "href", "data", "srcset"):
                    target = attributes.get(key) or ""
                    assert target.startswith(("#", "data:")) or not target, (name, tag, target)
            assert tag != "script" and not any(key.startswith("on") for key in attributes), (name, tag)
        for target in re.findall(r"url\(([^)]*)\)", page.text):
            target = target.strip("\"'")
            assert target.startswith("#") or target in site, (name, target)
        assert "@import" not in page.text


def test_no_address_in_memory_gets_onto_a_page(read):
    assert [name for name, page in read.items() if re.search(r" at 0x[0-9a-f]+|0x[0-9a-f]{9}", page.text)] == []


def test_ids_are_unique(read):
    for name, page in read.items():
        assert [i for i, count in Counter(page.ids()).items() if count > 1] == [], name


def test_every_link_and_fragment_within_the_site_leads_somewhere(read):
    for name, page in read.items():
        targets = [(a["href"], "a") for a in page.named("a")] + [(a["href"], "use") for a in page.named("use")]
        for href, tag in targets:
            if re.match(r"[a-z]+:", href):
                continue
            other, _, fragment = unquote(href).partition("#")
            assert (other or name) in read, (name, href)
            assert not fragment or fragment in read[other or name].ids(), (name, tag, href)


def test_references_within_a_page_lead_to_its_own_ids(read):
    for name, page in read.items():
        ids = set(page.ids())
        assert set(re.findall(r"url\(#([^)]+)\)", page.text)) <= ids, name
        assert {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a} <= ids, name


def test_every_figure_keeps_its_alternative_text(read):
    for path in chapters.chapters():
        stored = weave.stored(path).read_text(encoding="utf-8")
        figures = [a for a in read[f"{path.stem}.html"].named("svg")]
        assert len(figures) == stored.count('"image/svg+xml": ['), path.stem
        assert all(a.get("role") == "img" and a.get("aria-label") for a in figures), path.stem


def test_every_table_has_headers_with_a_scope(read):
    for name, page in read.items():
        assert page.text.count("<table>") == page.text.count("<thead>"), name
        assert all(a.get("scope") in ("col", "row") for a in page.named("th")), name


def test_a_page_has_its_landmarks_one_heading_and_a_title(read):
    for name, page in read.items():
        count = Counter(tag for tag, _ in page.elements)
        assert (count["h1"], count["main"], count["header"], count["footer"], count["title"]) == (1, 1, 1, 1, 1), name
        assert page.named("html")[0]["lang"], name
        assert any(a.get("href") == "#main" for a in page.named("a")), name


def test_headings_skip_no_level(read):
    for name, page in read.items():
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False)), name


def test_no_latex_is_left_on_a_page(read):
    for name, page in read.items():
        seen = re.sub(r"<(pre|code|style)\b.*?</\1>|<[^>]*>", "", page.text, flags=re.DOTALL)
        assert not re.search(r"\\[a-z]{2,}|\$\\", seen), name


def test_the_equations_that_a_docstring_names_are_on_the_page(read):
    text = (chapters.ROOT / "bnref" / "equations.py").read_text(encoding="utf-8")
    named = 0
    for docstring in re.findall(r'"""(.*?)"""', text, re.DOTALL)[1:]:
        match = ADDRESSES.search(re.sub(r"^    ", "", docstring, flags=re.MULTILINE))
        assert match, docstring
        for address in addresses(match["rest"]):
            assert address in read[match["page"]].ids(), address
            named += 1
    assert named > 20


def test_a_displayed_equation_has_the_id_of_its_left_side(read):
    assert {"eq-W", "eq-rstd", "eq-xhat", "eq-y"} <= set(read["01_forward.html"].ids())


def test_chinese_is_marked_as_such():
    assert markup.Markup().inline("the page 比较与 `参数1`") == (
        'the page <span lang="zh-Hans">比较与</span> <code><span lang="zh-Hans">参数</span>1</code>')


def test_chapters_named_in_prose_are_links_but_not_within_a_link():
    links = {"01": "01_a.html", "02": "02_b.html"}
    assert markup.Markup(links).inline("chapters 01 and 02, [chapter 01](x.html), chapter 99") == (
        '<a href="01_a.html">chapters 01</a> and <a href="02_b.html">02</a>, <a href="x.html">chapter 01</a>, chapter 99')


def test_two_figures_on_a_page_do_not_share_ids_or_styles():
    svg = '<svg><style>*{a: b}</style><defs><path id="p"/></defs><use xlink:href="#p" clip-path="url(#q)"/></svg>'
    assert figure(svg, "one-") == ('<svg><defs><path id="one-p"/></defs>'
                                   '<use href="#one-p" clip-path="url(#one-q)"/></svg>')


@pytest.mark.parametrize("latex, expected", [
    (r"\operatorname{running\_mean}_{i}",
     '<msub><mi mathvariant="normal">running_mean</mi><mrow><mi>i</mi></mrow></msub>'),
    (r"\hat{x}", '<mover accent="true"><mrow><mi>x</mi></mrow><mo stretchy="false">ˆ</mo></mover>'),
    (r"kA + var", '<mi>k</mi><mi>A</mi><mo>+</mo><mi mathvariant="normal">var</mi>'),
    (r"- x", '<mo form="prefix">−</mo><mi>x</mi>'),
    (r"a - b", "<mi>a</mi><mo>−</mo><mi>b</mi>"),
    (r"\mathbb{Q}(\sqrt W)",
     '<mi>ℚ</mi><mo stretchy="false">(</mo><msqrt><mrow><mi>W</mi></mrow></msqrt><mo stretchy="false">)</mo>'),
    (r"\frac{1}{n}", "<mfrac><mrow><mn>1</mn></mrow><mrow><mi>n</mi></mrow></mfrac>"),
    (r"\sum_{i=1}^{n}", "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mrow><mi>n</mi></mrow>"
                        "</munderover>"),
    (r"x''", '<mrow><mi>x</mi><mo lspace="0" rspace="0">″</mo></mrow>'),
    (r"W^{\frac{3}{2}}", '<msup><mi>W</mi><mrow><mn>3</mn><mo lspace="0" rspace="0">/</mo><mn>2</mn></mrow></msup>'),
    (r"a < b", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"),
    (r"\delta_{i j}", "<msub><mi>δ</mi><mrow><mi>i</mi><mi>j</mi></mrow></msub>"),
])
def test_latex_becomes_mathml(latex, expected):
    assert mathematics.mathml(latex).partition("<mrow>")[2].removesuffix("</mrow></math>") == expected


@pytest.mark.parametrize("latex", [r"\unknown", r"\frac{1}", r"{x", r"\left( x", "x}", r"\left x \right)"])
def test_what_cannot_be_set_is_refused_by_name(latex):
    with pytest.raises(mathematics.MathError, match=re.escape(latex.split("{")[0].split(" ")[0].strip("}x") or "x")):
        mathematics.mathml(latex)


def test_the_site_is_written_whole_and_only_where_it_changed(tmp_path, monkeypatch, capsys):
    from tools.site import __main__ as press

    monkeypatch.setattr(press, "pages", lambda: iter([("index.html", "<p>x"), ("font.ttf", b"\0")]))
    (tmp_path / "stray.html").write_text("old")
    monkeypatch.setattr("sys.argv", ["site", "--into", str(tmp_path)])
    press.main()
    press.main()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["font.ttf", "index.html"]
    told = capsys.readouterr().out.splitlines()
    assert told[-2:] == ["site    index.html  unchanged", "site    font.ttf  unchanged"]
