"""For the whole run: no test fails for being slow, and what mends a notebook whose outputs moved is said."""

import re
from collections import defaultdict

from hypothesis import settings

settings.register_profile("bnref", deadline=None)
settings.load_profile("bnref")


def pytest_terminal_summary(terminalreporter):
    cells = defaultdict(list)
    for report in terminalreporter.stats.get("failed", []):
        if match := re.match(r"(notebooks/\S+\.ipynb)::.*?(\d+)$", report.nodeid):
            cells[match[1]].append(int(match[2]) + 1)
    for notebook, numbers in cells.items():
        source = notebook.replace(".ipynb", ".py")
        terminalreporter.write_line(
            f"{notebook}, code cell {', '.join(map(str, numbers))}: what it gives now is not what is stored (see above).  "
            f"If what it gives now is right, run `make weave` and commit; else mend {source} or what it uses.", red=True)
