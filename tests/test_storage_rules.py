"""Files of a library are reached through `Storage`: who asks for a local path says why."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

import pytest
from test_rules import FILES, name_of, tree_of

# Where local paths of a library are made, and what a library elsewhere would need there.
_ALLOWED = {
    "dashboard/routes.py": "the cache of clips, which is local wherever the library is",
    "library/library.py": "Library.parts promises local paths to other tools",
    "library/queries.py": "DuckDB reads Parquet by path; elsewhere it takes an address",
    "receive/server.py": "certificates, which OpenSSL reads by path",
    "service/supervise/": "pano up watches the files of its own computer",
    "site/": "the folder of a site, which a web server reads",
    "store/home.py": "the name of library.json in errors about settings",
    "store/catalog.py": "Arrow reads parts by path; the stamp of the root",
    "store/journal.py": "Arrow reads the journal by path; plans and folded files go",
    "upkeep/backup.py": "sizes and times of the files that are packed; private files",
    "upkeep/check.py": "the sizes of packs",
    "upkeep/rebuild.py": "a second library inside this one: its files move in by rename",
}
# Locks and links of the operating system, which a store elsewhere does not have.
_DISK_ONLY = {
    "present/clips.py": "locks of the cache of clips",
    "receive/publish.py": "links in the upload tree",
    "store/storage.py": "the local disk",
}
_LIBRARY = re.compile(r"(^|[._( ])(library(\.folder)?|storage\.root|settings\.library or '')\)?$")
_STORAGE = re.compile(r"(^|[._])(storage|aside)\.path$")


def local_paths(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that make a path below a library, but for those that only print it."""
    printed = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.FormattedValue)
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        is_asked = isinstance(node, ast.Call) and _STORAGE.search(ast.unparse(node.func))
        is_joined = (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Div)
            and _LIBRARY.search(ast.unparse(node.left))
        )
        is_made = (is_asked or is_joined) and node not in printed
        if is_made and isinstance(node, ast.expr):
            yield node.lineno


def disk_calls(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that lock or link files by means of the operating system."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            is_found = any(one.name == "fcntl" for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            is_found = node.module == "fcntl"
        else:
            is_found = isinstance(node, ast.Attribute) and (
                node.attr == "hardlink_to" or ast.unparse(node) == "os.link"
            )
        if is_found and isinstance(node, (ast.stmt, ast.expr)):
            yield node.lineno


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ("self.storage.path(name).unlink()", True),
        ("library.storage.path(FILE).exists()", True),
        ("self.aside.path(name).rename(target)", True),
        ('(settings.library / "manifest.json").stat()', True),
        ('Path(settings.library or "") / name', True),
        ('open(library.folder / "journal")', True),
        ('storage.root / "thumbs"', True),
        ('f"{storage.path(NAME)}: expected JSON"', False),
        ("self.storage.read(name)", False),
        ('self.uploads / "porch"', False),
        ("posixpath.join(part.path)", False),
    ],
)
def test_a_local_path_is_found(code: str, is_found: bool) -> None:
    """The search below finds the ways in which paths of a library are made."""
    assert bool(list(local_paths(ast.parse(code)))) is is_found


@pytest.mark.parametrize(
    "code",
    ["import fcntl", "from fcntl import flock", "os.link(a, b)", "target.hardlink_to(source)"],
)
def test_a_call_of_the_disk_is_found(code: str) -> None:
    """Each way to lock or to link is found."""
    assert list(disk_calls(ast.parse(code)))


def _elsewhere(search: Callable[[ast.Module], Iterator[int]], allowed: dict[str, str]) -> list[str]:
    return [
        f"{name_of(file)}:{line}"
        for file in FILES
        if not name_of(file).startswith(("store/storage.py", *allowed))
        for line in search(tree_of(file))
    ]


def test_local_paths_of_a_library_have_a_reason() -> None:
    """A new one uses `Storage`, or is added to the list with a reason."""
    assert _elsewhere(local_paths, _ALLOWED) == []


def test_only_the_storage_locks_and_links() -> None:
    """All others use `Storage.lock`, or work on files that are no library's."""
    assert _elsewhere(disk_calls, _DISK_ONLY) == []


def test_only_locators_know_the_folder_of_a_day() -> None:
    """Whoever puts a pack asks `locators.folder`."""
    knowing = [name_of(file) for file in FILES if "locators.FOLDER}/" in file.read_text("utf-8")]
    assert knowing == []
