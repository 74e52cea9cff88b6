"""Gate 7: the types of `bnref/` are right by mypy's strictest rules, and so is what a user sees of them."""

import pytest
from mypy import api


def test_bnref_type_checks_strictly():
    complaints, problems, status = api.run([])  # what and how: [tool.mypy] in pyproject.toml
    if status:
        pytest.fail(f"{complaints}{problems}Mend the types, here or in what they describe; `make types` checks them alone.",
                    pytrace=False)
