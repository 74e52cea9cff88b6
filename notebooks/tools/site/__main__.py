"""Write `site/`, the book and the reference as pages that need no network.    python -m tools.site [--into FOLDER]"""

import argparse
import sys
from pathlib import Path

from .. import chapters
from .mathml import MathError
from .pages import pages


def main():
    arguments = argparse.ArgumentParser(prog="tools.site", description=__doc__.splitlines()[0])
    arguments.add_argument("--into", type=Path, default=chapters.ROOT / "site",
                           help="where to write; site/ when left out")
    folder = arguments.parse_args().into.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    written = set()
    try:
        for name, content in pages():
            changed = chapters.replace(folder / name, content)
            written.add(name)
            print(f"site    {name}  {'written' if changed else 'unchanged'}", flush=True)
    except (MathError, FileNotFoundError, ValueError) as error:
        sys.exit(f"site: {error}")
    for stray in set(folder.iterdir()) - {folder / name for name in written}:
        if stray.suffix in (".html", ".tmp"):  # .tmp: from a run that was killed
            stray.unlink()
            print(f"site    {stray.name}  removed")


if __name__ == "__main__":
    main()
