"""The environment of this checkout: `.venv/` holds what requirements.lock says, and environment.yml says the same.

    python3.11 tests/environment.py make            create .venv/, or mend it, and say so
    .venv/bin/python tests/environment.py check     say in one sentence how .venv/ differs from the lock, if it does
    .venv/bin/python tests/environment.py conda     write environment.yml

`make env`, `make test` and `make lock` call these. The standard library is all that it needs.
"""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13")
ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
CONDA = ROOT / "environment.yml"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
READY = VENV / "ready"  # written last: without it, .venv/ is not trusted


# --- what the lock says ---


def lines():
    """The pins of the lock, verbatim: "name==version" or "name==version ; marker"."""
    return [line for line in LOCK.read_text(encoding="utf-8").splitlines() if line[:1] not in ("", " ", "#")]


def pins():
    """{name: version} of the pins that hold on this Python and platform."""
    try:
        from packaging.markers import Marker
    except ImportError:  # one of the pins itself: let it be reported as missing
        from pip._vendor.packaging.markers import Marker
    split = [line.partition(" ; ") for line in lines()]
    return dict(pin.split("==") for pin, _, marker in split if not marker or Marker(marker).evaluate())


def installed(name):
    """The version of `name` that this Python finds, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def difference():
    """How this Python's packages differ from the lock, as a clause; "" where they do not."""
    wrong = [(name, want, have) for name, want in pins().items() if (have := installed(name)) != want]
    if not wrong:
        return ""
    name, want, have = wrong[0]
    others = f", and {len(wrong) - 1} more of its packages differ" if len(wrong) > 1 else ""
    return f"{name} {have or 'none'} is installed where requirements.lock says {name} {want}{others}"


def conda():
    """The text of environment.yml: the same pins for users of conda."""
    pip = "\n".join(f"      - {line}" for line in [*lines(), "-e ."])
    return f"""\
# Written by `make lock` from requirements.lock. To change a package, edit pyproject.toml and run `make lock`.
name: bnref
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python >={PYTHONS[0]},<3.{int(PYTHONS[-1].partition(".")[2]) + 1}
  - pip
  - pip:
{pip}
"""


# --- making it so ---


def make(exactly=False):
    """Create .venv/ or mend it, and say so; silent where there is nothing to do.

    exactly : bool
        Wanted is the very Python that runs this: an environment of another version is made again.
    """
    this = "{}.{}".format(*sys.version_info)
    if not VENV.exists():
        why = "there is none"
    else:
        status, version = run(PYTHON, "-I", "-c", "import sys, pip; print('{}.{}'.format(*sys.version_info))")
        if status:
            why = "its Python does not run, or has lost pip"
        elif version not in ((this,) if exactly else PYTHONS):
            why = f"it has Python {version}, wanted is {this if exactly else ', '.join(PYTHONS)}"
        elif not READY.exists():
            why = "it was left unfinished"
        else:
            why = ""
    if why:
        say(f".venv/: {why}; creating it with Python {this} and installing requirements.lock ...")
        READY.unlink(missing_ok=True)
        shutil.rmtree(VENV, ignore_errors=True)
        need(f"Python {this} cannot create .venv/", sys.executable, "-I", "-m", "venv", VENV)
    else:
        status, found = run(PYTHON, "-I", __file__, "check")
        if not status:
            return
        say(f".venv/: {found.removesuffix(MEND)}; installing what the lock says ...")
        READY.unlink(missing_ok=True)
    need("installing requirements.lock failed", PYTHON, "-I", "-m", "pip", "install", "-q", "--no-deps", "-r", LOCK)
    # The checkout is importable without being installed. The path is relative, so that it may be moved.
    (site,) = VENV.glob("lib/python3*/site-packages")
    (site / "bnref.pth").write_text(os.path.relpath(ROOT, site) + "\n", encoding="utf-8")
    need("the new environment is not right", PYTHON, "-I", __file__, "check")
    READY.write_text(f"Python {this}\n", encoding="utf-8")


MEND = ": run `make env`."


def check():
    """One sentence that names the first wrong package and the command that mends it; "" where all is right."""
    clause = difference()
    return clause and clause + MEND


def run(*command):
    """The exit status of a command, and what it printed."""
    try:
        done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        return 127, str(error)
    return done.returncode, done.stdout.strip()


def need(otherwise, *command):
    """Run a command, or stop with what it said."""
    status, said = run(*command)
    if status:
        sys.exit(f"{said}\n{otherwise} (see above).")


def say(line):
    print(line, flush=True)


def main(action, *options):
    if action == "make":
        make(exactly="--exactly" in options)
    elif action == "check":
        sys.exit(check() or 0)
    elif action == "conda":
        CONDA.write_text(conda(), encoding="utf-8")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:] or ["help"])
