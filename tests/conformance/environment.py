"""The frameworks' environment: `.venv/frameworks/` holds what tests/conformance/requirements.lock says.

    python3.11 tests/conformance/environment.py make     create it, or mend it, and say so
    python3.11 tests/conformance/environment.py lock     compile requirements.lock from requirements.txt

`make conformance` and `make record` call this.  It is made with the functions of tests/environment.py, which makes the
book's environment; it is another one because MindSpore needs an older NumPy, and a Python that it has a wheel for.
"""

import importlib.util
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUPPORTED = ((3, 11), (3, 12))  # bnref needs 3.11 or later, MindSpore 2.10.0 has no wheel above 3.12
MEND = ": run `make conformance`."


def book():
    """The module tests/environment.py, pointed at the frameworks' lock and folder."""
    path = HERE.parent / "environment.py"
    module = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location("book_environment", path))
    spec.loader.exec_module(module)
    module.LOCK, module.VENV, module.MEND = HERE / "requirements.lock", module.VENV / "frameworks", MEND
    module.PYTHON, module.READY = module.VENV / "bin" / "python", module.VENV / "ready"
    return module


def make(base):
    """Create .venv/frameworks/ or mend it; silent where there is nothing to do."""
    if why := base.unusable(("{}.{}".format(*sys.version_info),)):
        create(base, base.VENV, why.replace("about a minute", "gigabytes of packages; some minutes"))
    (site,) = base.VENV.glob("lib/python3*/site-packages")
    (site / "bnref.pth").write_text("../../../../..\n", encoding="utf-8")  # from site-packages to the checkout's root
    if not why:
        status, found = base.run(base.PYTHON, "-I", __file__, "check")
        if not status:
            return
        base.say(f"Mending .venv/frameworks/: {found.removesuffix(MEND)} ...")
        base.READY.unlink(missing_ok=True)
    # With dependencies: they are all pinned, but a torch that is built for GPUs brings libraries that the CPU's has not.
    base.need("the frameworks could not be installed", base.PYTHON, "-I", "-m", "pip", "install", "-q", "-r", base.LOCK)
    base.need("the frameworks were installed, but not all is found", base.PYTHON, "-I", __file__, "check")
    base.READY.touch()


def create(base, folder, why=""):
    base.say(f"Creating .venv/{folder.name}/ with Python {sys.version_info[0]}.{sys.version_info[1]}{why} ...")
    shutil.rmtree(folder, ignore_errors=True)
    base.need("the environment could not be created", sys.executable, "-I", "-m", "venv", folder)


def lock(base):
    """Write requirements.lock: everything that pip installs for requirements.txt, pinned."""
    folder = base.VENV.parent / "frameworks-lock"
    python = folder / "bin" / "python"
    create(base, folder)
    base.need("requirements.txt could not be installed", python, "-I", "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt")
    status, pins = base.run(python, "-I", "-m", "pip", "freeze", "--all")
    if status:
        sys.exit(pins)
    # A local version such as 2.13.0+cpu says how a wheel was built, and not what it is.  pip came with the Python.
    kept = [line.partition("+")[0].lower() for line in pins.splitlines() if not line.startswith(("pip==", "setuptools=="))]
    base.LOCK.write_text("# Written by `tests/conformance/environment.py lock` from requirements.txt.\n"
                         + "\n".join(sorted(kept)) + "\n", encoding="utf-8")
    shutil.rmtree(folder)


def check(base):
    """A sentence on how this Python's packages differ from the lock; "" where they do not."""
    installed = base.installed
    base.installed = lambda name: (installed(name) or "").partition("+")[0] or None
    return base.check()


def main(action):
    if sys.version_info[:2] not in SUPPORTED:
        sys.exit("The frameworks need Python 3.11 or 3.12, and this is {}.{}: MindSpore 2.10.0 has no wheel for it. Install one of these, "
                 "or say where it is: `make conformance PYTHON=...`.".format(*sys.version_info))
    base = book()
    if action == "make":
        base.alone()
        make(base)
    elif action == "lock":
        lock(base)
    elif action == "check":
        sys.exit(check(base).replace("requirements.lock", "tests/conformance/requirements.lock") or 0)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:] or ["help"])
