"""bnref as a user gets it: built as a wheel from an sdist, looked into, installed into an empty environment, and used.

Slow, and it needs the package index: `make test-slow` runs it.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import bnref

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
DIST_INFO = f"bnref-{bnref.__version__}.dist-info"
MADE = (".*", "site", "build", "dist", "*.egg-info", "__pycache__")  # what lies in a checkout and is not committed


def run(*command, cwd):
    """What a command prints; it must succeed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(folder, *packages):
    """The Python of a new environment that holds these packages."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    run(folder / "bin" / "python", "-m", "pip", "install", "-q", *packages, cwd=folder.parent)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel that is made from it as `pip install` makes it."""
    tmp = tmp_path_factory.mktemp("built")
    checkout = shutil.copytree(ROOT, tmp / "checkout", ignore=shutil.ignore_patterns(*MADE))
    python = environment(tmp / "backend", "setuptools>=77")
    code = "import sys, setuptools.build_meta as backend; print(backend.build_sdist(sys.argv[1]))"
    sdist = tmp / run(python, "-c", code, tmp, cwd=checkout).split()[-1]
    run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp, sdist, cwd=tmp)
    (wheel,) = tmp.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The Python of an environment into which nothing but the wheel was installed."""
    return environment(tmp_path_factory.mktemp("user") / "venv", built[1])


def sources():
    """The files of the package, as a wheel names them."""
    return {str(path.relative_to(ROOT)) for path in (ROOT / "bnref").rglob("*")
            if path.suffix in (".py", ".pyi") or path.name == "py.typed"}


def test_the_wheel_holds_the_package_with_its_types_and_the_licence_alone(built):
    names = set(zipfile.ZipFile(built[1]).namelist())
    about = {f"{DIST_INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "top_level.txt", "licenses/LICENSE")}
    assert names == sources() | about
    assert {"bnref/py.typed", "bnref/equations.pyi", "bnref/mistakes.pyi"} <= names


def test_the_wheel_requires_numpy_alone_and_knows_its_version(built):
    metadata = Parser().parsestr(zipfile.ZipFile(built[1]).read(f"{DIST_INFO}/METADATA").decode())
    assert metadata.get_all("Requires-Dist") == ["numpy>=1.26"]
    assert (metadata["Version"], metadata["Requires-Python"]) == (bnref.__version__, ">=3.11")


def test_the_sdist_holds_what_the_wheel_is_made_of_and_no_test(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    rest = {"CHANGELOG.md", "LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}
    assert {name for name in names if not name.startswith("bnref.egg-info/")} == sources() | rest


def test_nothing_but_numpy_is_installed_with_it(installed, tmp_path):
    listed = {line.partition("==")[0] for line in run(installed, "-m", "pip", "freeze", cwd=tmp_path).splitlines()}
    assert {name.partition(" ")[0] for name in listed} == {"bnref", "numpy"}
    version = run(installed, "-I", "-c", "import bnref, sys; assert sys.prefix in bnref.__file__; print(bnref.__version__)", cwd=tmp_path)
    assert version.strip() == bnref.__version__


def test_the_lines_of_the_readme_run_where_it_is_installed(installed, tmp_path):
    shutil.copy(ROOT / "README.md", tmp_path)
    run(installed, "-I", "-m", "doctest", "-o", "ELLIPSIS", "README.md", cwd=tmp_path)


def test_a_users_strict_type_checker_sees_the_installed_types(installed, tmp_path):
    shutil.copy(ROOT / "tests" / "types" / "right_and_wrong_use.py", tmp_path)
    run(sys.executable, "-I", "-m", "mypy", "--strict", "--config-file=", "--python-executable", installed,
        "right_and_wrong_use.py", cwd=tmp_path)
