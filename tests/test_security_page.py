"""The security page: each test that it names exists, each line of OWASP ASVS has a verdict."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "design" / "security.md"
NUMBERS = TESTS / "asvs_4_0_3.txt"
TEST = re.compile(r"`(test_\w+|…)(?:::(test_\w+))?`")
NUMBER = re.compile(r"\d+\.\d+\.\d+")
VERDICT = re.compile(r"(L1 met, L2 partly|not met|met|partly|n/a)\b")


def rows_of(part: str) -> list[list[str]]:
    """Return the cells of the rows of all tables in `part`, without heads."""
    lines = re.findall(r"^\| (.*) \|$", part, re.MULTILINE)
    rows = [[cell.strip() for cell in line.split(" |")] for line in lines]
    heads = ("level", "who", "promise", "no.")
    return [row for row in rows if row[0] not in heads]


def parts() -> tuple[str, str]:
    """Return the threat model, and the walk through the standard."""
    model, walk = PAGE.read_text(encoding="utf-8").split("\n## OWASP ASVS 4.0.3")
    return model, walk


def named_in(text: str) -> list[tuple[str, str]]:
    """Return the tests that `text` names, as (file, function); "" for a whole file."""
    module, found = "", []
    for name, test in TEST.findall(text):
        module = module if name == "…" else name
        found.append((module, test))
    return found


@cache
def functions_of(module: str) -> frozenset[str]:
    """Return the tests in a file, by its syntax tree; none where there is no such file."""
    path = TESTS / f"{module}.py"
    if not path.exists():
        return frozenset()
    body = ast.parse(path.read_text(encoding="utf-8")).body
    functions = [one.name for one in body if isinstance(one, ast.FunctionDef)]
    return frozenset(name for name in functions if name.startswith("test_"))


def numbers() -> tuple[list[str], list[str]]:
    """Return the requirements of level 1, and those that level 2 adds."""
    levels: tuple[list[str], list[str]] = ([], [])
    for line in NUMBERS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            section, rest = line.split(" ", 1)
            for level, spans in zip(levels, rest.split("|"), strict=True):
                level += [f"{section}.{last}" for last in _spread(spans)]
    return levels


def _spread(spans: str) -> list[int]:
    found: list[int] = []
    for span in spans.split():
        first, _, last = span.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def test_every_test_of_the_page_exists() -> None:
    """A test that is renamed or removed is noticed."""
    named = named_in(PAGE.read_text(encoding="utf-8"))
    assert len(named) > 300
    missing = [(file, test) for file, test in named if not functions_of(file)]
    missing += [(file, test) for file, test in named if test and test not in functions_of(file)]
    assert missing == []


def test_every_promise_has_a_test() -> None:
    """Each row of the tables below "Promises" names one or more."""
    promises = parts()[0].split("\n## Promises")[1]
    rows = rows_of(promises)
    assert len(rows) > 60
    assert [row for row in rows if len(row) != 2 or not named_in(row[1])] == []


def test_the_list_is_that_of_the_standard() -> None:
    """4.0.3 has 128 requirements of level 1, level 2 adds 131; 2.4.6 came later."""
    first, second = numbers()
    assert len(first) == len(set(first))
    assert not set(first) & set(second)
    assert (len(first), len(second)) == (128, 132)


def test_every_requirement_has_one_row() -> None:
    """All of levels 1 and 2, each once, and nothing else."""
    listed = [number for row in rows_of(parts()[1]) for number in NUMBER.findall(row[0])]
    wanted = [number for level in numbers() for number in level]
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == set(wanted)


def test_what_is_met_is_shown() -> None:
    """Each row has a verdict; what is met names a test or a page, what is not says why."""
    for row in rows_of(parts()[1]):
        number, asked, here, shown = row
        assert asked, number
        verdict = VERDICT.match(here)
        assert verdict, number
        if verdict[1] in ("met", "partly", "L1 met, L2 partly"):
            assert named_in(shown) or "](" in shown or "this page" in shown, number
        if verdict[1] != "met":
            assert len(here) > len(verdict[1]) + 5, number
