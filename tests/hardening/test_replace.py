"""What `make` writes is replaced whole: a run may be killed at any moment."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tools import chapters

ROOT = Path(__file__).parents[2]
NEW, OLD = "new " * 10**5, "old " * 10**5

# A run that is killed at the n-th of the calls by which a file is replaced, before or after the call.
KILLED = """
import os, signal, sys, types
from pathlib import Path
sys.modules["jupytext"] = types.ModuleType("jupytext")  # which takes a second to load, and is not needed here
from tools import chapters

place, moment = sys.argv[2], sys.argv[3]
owner = os if place == "replace" else Path
call = getattr(owner, place)

def fatal(*arguments, **keywords):
    if moment == "half":  # of what was to be written
        with open(arguments[0], "wb") as file:
            file.write(arguments[1][: len(arguments[1]) // 2])
    if moment == "after":
        call(*arguments, **keywords)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, place, fatal)
chapters.replace(Path(sys.argv[1]), "new " * 10**5)
"""


@pytest.mark.parametrize("place, moment", [("write_bytes", "before"), ("write_bytes", "half"), ("write_bytes", "after"),
                                           ("replace", "before"), ("replace", "after"), ("unlink", "before")])
def test_a_killed_run_leaves_the_old_file_or_the_new_one_and_the_next_run_ends_right(tmp_path, place, moment):
    path = tmp_path / "chapter.ipynb"
    path.write_text(OLD)
    run = subprocess.run([sys.executable, "-c", KILLED, path, place, moment], cwd=ROOT / "notebooks", check=False)
    assert run.returncode == -signal.SIGKILL
    assert path.read_text() == (NEW if (place, moment) in (("replace", "after"), ("unlink", "before")) else OLD)
    chapters.replace(path, NEW)
    assert path.read_text() == NEW and os.listdir(tmp_path) == ["chapter.ipynb"]


def test_what_a_killed_run_left_is_taken_away_even_where_nothing_changes(tmp_path):
    path = tmp_path / "equations.py"
    path.write_text(OLD)
    path.with_name(".equations.py.tmp").write_text("half of it")
    assert not chapters.replace(path, OLD)
    assert os.listdir(tmp_path) == ["equations.py"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_run_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, error):
    path = tmp_path / "page.html"
    path.write_text(OLD)

    def interrupted(*arguments):
        raise error

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(error):
        chapters.replace(path, NEW)
    assert path.read_text() == OLD and os.listdir(tmp_path) == ["page.html"]


def test_a_file_that_is_no_text_any_more_is_replaced(tmp_path):
    path = tmp_path / "README.md"
    path.write_bytes(b"\xff\xfe half a character \xe2\x82")
    assert chapters.replace(path, "whole")
    assert path.read_text() == "whole"


def test_what_a_killed_run_left_is_no_change_of_the_checkout():
    ignored = subprocess.run(["git", "check-ignore", ".README.md.tmp", "notebooks/.01_forward.ipynb.tmp",
                              "bnref/.equations.py.tmp"], cwd=ROOT, capture_output=True, text=True, check=False)
    if ignored.returncode == 128:
        pytest.skip("not a git checkout")
    assert ignored.stdout.count(".tmp") == 3
