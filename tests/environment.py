"""The environment of this checkout: `.venv/` holds what requirements.lock says, and environment.yml says the same.

    python3.11 tests/environment.py make            create .venv/, or mend it, and say so
    .venv/bin/python tests/environment.py check     say in one sentence how .venv/ differs from the lock, if it does
    .venv/bin/python tests/environment.py conda     write environment.yml

`make env`, `make test` and `make lock` call these. The standard library is all that it needs.
"""

import fcntl
import json
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


MEND = ": run `make env`."


def check():
    """A sentence on how this Python's packages differ from the lock; "" where they do not."""
    wrong = [(name, want, have) for name, want in pins().items() if (have := installed(name)) != want]
    if not wrong:
        return ""
    name, want, have = wrong[0]
    found = f"{name} {have} is installed" if have else f"{name} is not installed"
    others = f", and {len(wrong) - 1} more packages differ" if len(wrong) > 1 else ""
    return f"{found} where requirements.lock says {want}{others}{MEND}"


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
    if why := unusable((this,) if exactly else PYTHONS):
        say(f"Creating .venv/ with Python {this} from requirements.lock{why} ...")
        READY.unlink(missing_ok=True)
        shutil.rmtree(VENV, ignore_errors=True)
        need(f"Python {this} could not create .venv/", sys.executable, "-I", "-m", "venv", VENV)
    for path, text in settings():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, text)
    if not why:
        status, found = run(PYTHON, "-I", __file__, "check")
        if not status:
            return
        say(f"Mending .venv/: {found.removesuffix(MEND)} ...")
        READY.unlink(missing_ok=True)
    pip = PYTHON, "-I", "-m", "pip", "install", "-q", "--no-deps", "-r", LOCK
    need("requirements.lock could not be installed", *pip)
    need("requirements.lock was installed, but not all of it is found", PYTHON, "-I", __file__, "check")
    READY.touch()


def settings():
    """The files, besides packages, that .venv/ holds: pairs of path and text."""
    # The checkout is importable without being installed. The path is relative, so that the checkout may be moved.
    (site,) = VENV.glob("lib/python3*/site-packages")
    yield site / "bnref.pth", os.path.relpath(ROOT, site) + "\n"
    # A kernel warns at every start that it talks to its own machine unencrypted; errors are still shown.
    yield VENV / "etc/ipython/ipython_kernel_config.py", "c.IPKernelApp.log_level = 'ERROR'\n"
    # JupyterLab opens a chapter's .py as a notebook, and does not ask whether to fetch news.
    lab = {
        "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"python": "Jupytext Notebook"}},
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    }
    yield VENV / "share/jupyter/lab/settings/overrides.json", json.dumps(lab, indent=2) + "\n"
    yield VENV / "home/README", "The Makefile makes this folder HOME: yours is neither read nor written.\n"


def write(path, text):
    """Write a file whole or not at all: a run may be killed at any moment."""
    whole = path.with_name(f".{path.name}.tmp")
    whole.write_text(text, encoding="utf-8")
    os.replace(whole, path)


def unusable(versions):
    """Why .venv/ has to be made from nothing, in parentheses; "" where it has not."""
    if not VENV.exists():
        return " (about a minute)"
    status, version = run(PYTHON, "-I", "-c", "import sys, pip; print('{}.{}'.format(*sys.version_info))")
    if status:
        return " again (its Python has gone, or its pip)"
    if version not in versions:
        return f" again (it has Python {version})"
    if not READY.exists():
        return " again (it was left unfinished)"
    return ""


def run(*command):
    """The exit status of a command, and what it printed."""
    keep = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    try:
        # close_fds=False: the command inherits what `alone` holds.
        done = subprocess.run(command, check=False, cwd=ROOT, close_fds=False, **keep)
    except OSError as error:
        return 127, str(error)
    return done.returncode, done.stdout.strip()


def alone():
    """Wait until no other process makes .venv/: a second make, or a pip that outlived a killed one."""
    held = os.open(LOCK, os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Waiting for another process that is making .venv/ ...")
        fcntl.flock(held, fcntl.LOCK_EX)


def need(otherwise, *command):
    """Run a command, or stop with what it said."""
    status, said = run(*command)
    if status:
        sys.exit(f"{said}\n{otherwise} (see above).")


def say(line):
    print(line, flush=True)


def main(action, *options):
    if action == "make":
        alone()
        make(exactly="--exactly" in options)
    elif action == "check":
        sys.exit(check() or 0)
    elif action == "conda":
        write(CONDA, conda())
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:] or ["help"])
