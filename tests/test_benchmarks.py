"""The record of `make bench` is what people read: in RESULTS.md, in its plots and in the README."""

import copy
import re

import pytest
from tools import benchmarks, chapters

SPEED = re.compile(r"\d[\d.,]* (?:million |M)?(?:elements? (?:a|per) second|M/s|GB/s)|\d[\d.]*(?:x| times) (?:as fast|faster|slower)"
                   r"|\d[\d.]* (?:ms|ns|µs|microseconds|milliseconds)\b")


@pytest.fixture
def record():
    return benchmarks.load()


def test_the_readme_tells_no_speed_but_the_record_s():
    text = chapters.README.read_text(encoding="utf-8")
    quoted = benchmarks.README_SPEED.search(text)[0]
    assert SPEED.search(quoted)
    others = [found[0] for found in SPEED.finditer(text.replace(quoted, ""))]
    assert others == [], f"README.md tells a speed between no markers: {others}; only what `make bench` wrote may stand there"


def test_every_number_of_the_readme_s_speed_is_in_the_record(record):
    quoted = benchmarks.speed(record).partition(", on")[0]
    rates = [benchmarks.elements(row) / row["seconds"][who] / 1e6 for row in record["rows"] for who in ("bnref", "NumPy")]
    rates = {f"{rate:.3g}" if rate < 1000 else f"{rate:.0f}" for rate in rates}
    numbers = re.findall(r"(?<![\w.])\d[\d.]*", quoted)
    assert len(numbers) == 8 and set(numbers) <= rates


def test_the_machine_stands_on_the_page(record):
    assert benchmarks.machine(record) in benchmarks.opening(record)


def test_a_peer_that_was_there_is_shown_and_one_that_was_not_is_not(record):
    group = benchmarks.groups(record)[0]
    joined = copy.deepcopy(group)
    for row in joined.rows:
        row["seconds"].pop("torch", None)
    assert "torch / NumPy" not in benchmarks.table(joined)[0] and "PyTorch" not in benchmarks.described(joined)
    for row in joined.rows[:3]:
        row["seconds"]["torch"] = row["seconds"]["NumPy"] / 4
    header, rows = benchmarks.table(joined)
    cells = [row[header.index("torch / NumPy")] for row in rows]
    assert cells == ["4"] * 3 + [""] * (len(rows) - 3)
    assert "PyTorch from" in benchmarks.described(joined)
    texts = [text.get_text() for text in benchmarks.plot(joined).axes[0].texts]
    assert "PyTorch" in texts and "bnref" in texts


def test_no_label_of_a_plot_covers_another_whoever_the_peers_and_whatever_the_shapes_are(record):
    group = benchmarks.groups(record)[0]
    more = copy.deepcopy(group)
    for row in more.rows:
        row["seconds"] |= {peer: row["seconds"]["NumPy"] * share for peer, share in zip(benchmarks.PLOTTED, (3, 1, 0.2, 0.21, 1.1),
                                                                                   strict=False) if peer != "NumPy"}
    more.rows.extend(row | {"shape": shape} for row in more.rows[:1] for shape in ([15, 64, 1024], [763, 64, 1024]))
    for each in (*benchmarks.groups(record), more):
        fig = benchmarks.plot(each)
        fig.canvas.draw()
        names, ticks = fig.axes[0].texts, fig.axes[0].get_xticklabels()
        for labels in (names, ticks):
            boxes = [label.get_window_extent() for label in labels]
            assert not any(a.overlaps(b) for at, a in enumerate(boxes) for b in boxes[:at]), each.title
