"""Every clause of docs/faults.md has tests, and every test that is named is there."""

import re
from pathlib import Path

import pytest
from clauses import CLAUSES, COLLECTED, PREFIX, proves

ROOT = Path(__file__).parents[2]
LISTS = (
    "Plugins",
    "Workers",
    "Lies",
    "Store and comparison",
    "Files from strangers",
    "Output",
    "Numba and the environment",
    "The library in a program",
)


def clauses_of(text):
    """The lists of the page, cut at the semicolons outside of brackets."""
    found = []
    for name in LISTS:
        body = " ".join(re.search(rf"^{name}[^:]*: (.*?)\n\n", text, re.DOTALL | re.MULTILINE).group(1).split())
        depth, clause = 0, ""
        for char in body.removesuffix("."):
            depth += {"(": 1, ")": -1}.get(char, 0)
            if char == ";" and not depth:
                found.append(clause.strip())
                clause = ""
            else:
                clause += char
        found.append(clause.strip())
    return found


def test_every_clause_of_the_page_has_its_tests():
    found = clauses_of((ROOT / "docs" / "faults.md").read_text(encoding="utf-8"))
    assert len(found) > 50
    assert sorted(found) == sorted(CLAUSES)
    assert all(CLAUSES.values())


@pytest.mark.parametrize("test", sorted({test for tests in CLAUSES.values() for test in tests}))
def test_every_test_that_a_clause_names_is_there(test, pytestconfig):
    file, _, name = test.partition("::")
    function = name.partition("[")[0]
    assert f"def {function}(" in (ROOT / PREFIX / file).read_text(encoding="utf-8")
    collected = pytestconfig.stash[COLLECTED]
    if any(node.startswith(f"{PREFIX}{file}::") for node in collected) and len(collected) > 500:
        assert any(proves(test, node) for node in collected)
