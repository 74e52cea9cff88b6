"""Gate 8: ruff finds nothing; in `bnref/` it wants a numpydoc docstring of everything public, too."""

import subprocess
import sys

import pytest

from tests.environment import ROOT


def test_ruff_finds_nothing():
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--quiet", "--output-format=concise"], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{done.stdout}{done.stderr}Mend these; `.venv/bin/ruff check` says more of each.", pytrace=False)
