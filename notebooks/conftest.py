"""What pytest says at the end when a chapter gives another output than the stored one."""


def pytest_terminal_summary(terminalreporter):
    reports = terminalreporter.getreports("failed") + terminalreporter.getreports("error")
    if chapters := sorted({report.nodeid.split("::")[0] for report in reports if ".ipynb::" in report.nodeid}):
        terminalreporter.write_line(
            f"{', '.join(chapters)}: a cell gives another output than the one stored (above). "
            "If the new one is right, `make weave` stores it."
        )
