"""An environment that differs from the lock: `.venv/unlocked/` holds other versions of some packages, and else its pins.

    python3.12 tests/unlocked.py 'numpy==1.26.0'      the oldest NumPy that bnref promises to work with
    python3.12 tests/unlocked.py sympy numpy          the newest of both

`make test-unit` calls this where WITH names packages.
"""

import hashlib
import shutil
import sys

import environment
from environment import LOCK, READY, need, say

FOLDER = environment.VENV / "unlocked"
PYTHON = FOLDER / "bin" / "python"


def make(*packages):
    """Create .venv/unlocked/, or keep what is there: of this Python, these packages and this lock, if versions are named."""
    made_of = "\n".join([sys.version, *packages, hashlib.sha256(LOCK.read_bytes()).hexdigest()])
    sign = FOLDER / READY.name
    if sign.exists() and sign.read_text(encoding="utf-8") == made_of and all("==" in package for package in packages):
        return
    say(f"Creating .venv/unlocked/ with Python {sys.version_info[0]}.{sys.version_info[1]} and {', '.join(packages)} ...")
    shutil.rmtree(FOLDER, ignore_errors=True)
    need("the environment could not be created", sys.executable, "-I", "-m", "venv", FOLDER)
    (site,) = FOLDER.glob("lib/python3*/site-packages")
    (site / "bnref.pth").write_text("../../../../..\n", encoding="utf-8")  # from site-packages to the checkout's root
    install = PYTHON, "-I", "-m", "pip", "install", "-q"
    need("requirements.lock could not be installed", *install, "--no-deps", "-r", LOCK)
    need(f"{', '.join(packages)}: could not be installed", *install, "--upgrade", *packages)
    sign.write_text(made_of, encoding="utf-8")


if __name__ == "__main__":
    environment.alone()
    make(*sys.argv[1:])
    status, versions = environment.run(PYTHON, "-I", "-c", "import numpy, platform, sympy; print("
                                       "f'Python {platform.python_version()}, NumPy {numpy.__version__}, SymPy {sympy.__version__}')")
    say(versions)
    sys.exit(status)
