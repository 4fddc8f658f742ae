"""Rules of the code that no other tool checks: one module for each, by syntax tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pano_analytics.model.upload import STATES

PACKAGE = Path(__file__).parent.parent / "pano_analytics"
FILES = sorted(PACKAGE.rglob("*.py"))
UPLOAD = "model/upload.py"

# Where `dict[str, Any]` is the right form, since what it holds is JSON, TOML or a library's.
_EDGES = {
    "access/": "JSON files of users and sessions",
    "cli/": "what is printed as JSON",
    "dashboard/auth.py": "arguments of Tornado and Bokeh",
    "dashboard/limits.py": "arguments of Tornado",
    "dashboard/payloads.py": "what pages get as JSON",
    "dashboard/routes.py": "arguments of Tornado",
    "dashboard/selection.py": "values of the address, and parameters",
    "dashboard/server.py": "arguments of Panel",
    "dashboard/views.py": "messages of the page",
    "proposal/": "the old tool's JSON",
    "receive/": "JSON files, and arguments of pyftpdlib",
    "service/": "JSON that monitors read",
    "settings/": "TOML, before it is checked",
    "status.py": "JSON that monitors read",
    "store/home.py": "library.json",
    "store/runs.py": "JSON of how runs ended",
    "store/storage.py": "JSON documents",
    "store/timekeeping.py": "clock.json",
    "upkeep/backup.py": "the index of a backup",
    "workers/confined.py": "JSON to and from another process",
}


def name_of(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def states_written(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that give a record a state: `{"state": "x"}`, `state="x"` in a call."""
    for node in ast.walk(tree):
        pairs: list[tuple[object, ast.expr | None]] = []
        if isinstance(node, ast.Dict):
            pairs = [(getattr(key, "value", None), value) for key, value in _items(node)]
        elif isinstance(node, ast.Call):
            pairs = [(one.arg, one.value) for one in node.keywords]
        for key, value in pairs:
            texts = {getattr(one, "value", None) for one in ast.walk(value)} if value else set()
            if key == "state" and texts & {*STATES}:
                yield node.lineno


def _items(node: ast.Dict) -> Iterator[tuple[ast.expr | None, ast.expr]]:
    return zip(node.keys, node.values, strict=True)


@pytest.mark.parametrize(
    ("code", "is_writing"),
    [
        ('{**row, "state": "missing"}', True),
        ('{"state": ["culled" if one else "unread" for one in rows]}', True),
        ('replace(upload, state="pending")', True),
        ('{"state": state}', False),
        ('row["state"] == "culled"', False),
        ('library.media(kind="clip")', False),
    ],
)
def test_a_state_that_is_written_is_seen(code: str, is_writing: bool) -> None:
    """The search below finds the ways in which states were written before."""
    assert bool(list(states_written(ast.parse(code)))) is is_writing


def test_only_one_module_changes_states() -> None:
    """All others call its functions."""
    found = {
        f"{name_of(file)}:{line}"
        for file in FILES
        if name_of(file) != UPLOAD
        for line in states_written(tree_of(file))
    }
    assert found == set()
    assert list(states_written(tree_of(PACKAGE / UPLOAD)))


def test_every_change_of_a_state_is_used() -> None:
    """A function for a change that nothing makes is one too many."""
    tree = tree_of(PACKAGE / UPLOAD)
    changes = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and ast.unparse(node.returns or ast.Constant(None)) == "Upload"
    ]
    others = "".join(file.read_text("utf-8") for file in FILES if name_of(file) != UPLOAD)
    assert len(changes) > 5
    assert [name for name in changes if not re.search(rf"\b{name}\(|map\({name}\b", others)] == []


def test_only_one_module_reads_locators() -> None:
    """No other takes a locator apart or names the folder of packs."""
    apart = re.compile(r"(locator|thumb)\w*(\[[^]]*\])?\.(r?partition|r?split)\(|[\"']thumbs[\"'/]")
    found = [
        f"{name_of(file)}: {line.strip()}"
        for file in FILES
        if name_of(file) != "store/locators.py"
        for line in file.read_text("utf-8").splitlines()
        if apart.search(line)
    ]
    assert found == []
    assert apart.search('locator.rpartition("/")')


def test_only_present_has_words_for_states() -> None:
    """A sentence that a page says of a state stands in one place."""
    words = ("Only part of this file", "Still arriving", "Not opened yet", "Repeated hour")
    for word in words:
        holders = [name_of(file) for file in FILES if word in file.read_text("utf-8")]
        assert holders == ["present/marks.py"], word


def dicts_in_signatures(tree: ast.Module) -> Iterator[str]:
    """Yield the functions that take or return `dict[str, Any]`."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            told = [one.annotation for one in every] + [node.returns]
            if any("dict[str, Any]" in ast.unparse(one) for one in told if one is not None):
                yield node.name


def test_no_dictionary_stands_for_a_row() -> None:
    """An upload is an `Upload`; what else travels as a dictionary is at JSON's edge."""
    named = re.compile(r"^\w+(: \w+)? = (dict|Mapping)\[str, Any\]", re.MULTILINE)
    inside = [
        f"{name_of(file)}: {name}"
        for file in FILES
        if not name_of(file).startswith(tuple(_EDGES))
        for name in [
            *dicts_in_signatures(tree_of(file)),
            *(alias[0] for alias in named.finditer(file.read_text("utf-8"))),
        ]
    ]
    assert inside == []
    unused = [edge for edge in _EDGES if not any(name_of(f).startswith(edge) for f in FILES)]
    assert unused == []


def test_no_class_name_has_two_meanings() -> None:
    places: dict[str, set[str]] = {}
    for file in FILES:
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, set()).add(name_of(file))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


# How files begin.
_MAGICS = (
    b"\xff\xd8",
    b"\x89PNG",
    b"GIF8",
    b"RIFF",
    b"ftyp",
    b"DHAV",
    b"\x1aE\xdf\xa3",
    b"FLV\x01",
)


def test_only_formats_know_how_files_begin() -> None:
    found = [
        f"{name_of(file)}:{node.lineno}"
        for file in FILES
        if not name_of(file).startswith("formats/")
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Constant) and isinstance(node.value, bytes)
        if any(magic in node.value for magic in _MAGICS)
    ]
    assert found == []
