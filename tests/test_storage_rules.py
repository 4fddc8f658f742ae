"""Files of a library are reached through `Storage`: who asks for a local path says why."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

import pytest
from test_rules import FILES, name_of, tree_of

# Where local paths of a library or a site are made: for programs that take no other.
_ALLOWED = {
    "receive/server.py": "certificates, which OpenSSL reads by path",
    "receive/service.py": "upload accounts, a private file beside those of `access`",
    "service/supervise/run.py": "the log, which Python's logging writes and rotates by path",
    "site/made.py": "clips of a site, which FFmpeg writes by path",
    "store/home.py": "the cache of clips, which FFmpeg writes by path; the folder of a new library",
}
# Locks and links of the operating system, which a store elsewhere does not have.
_DISK_ONLY = {
    "present/clips.py": "locks of the cache of clips",
    "receive/publish.py": "links in the upload tree",
    "store/storage.py": "the local disk",
}
_LIBRARY = re.compile(r"(^|[._( ])(library(\.folder)?|settings\.library or '')\)?$")
_STORAGE = re.compile(r"(^|[._])(storage|aside)\.(path|root)$")
# What is told to people and other programs is no path to open here.
_ADDRESS = re.compile(r"(^|[._])storage\.address\(")


def local_paths(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that make a path below a library, but for those that only print it."""
    printed = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.FormattedValue)
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        is_asked = isinstance(node, ast.Attribute) and _STORAGE.search(ast.unparse(node))
        is_opened = (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).rpartition(".")[2] in ("Path", "open")
            and any(_ADDRESS.search(ast.unparse(one)) for one in node.args)
        )
        is_joined = (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Div)
            and _LIBRARY.search(ast.unparse(node.left))
        )
        is_made = (is_asked or is_opened or is_joined) and node not in printed
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
        ("as_pano_error(error, None, storage.root)", True),
        ("Path(storage.address(name)).read_bytes()", True),
        ("open(self.storage.address(name))", True),
        ('f"{storage.root}: expected a folder"', False),
        ("PartError.of(self.storage.address(name), error)", False),
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
    needed = {name_of(file) for file in FILES if any(local_paths(tree_of(file)))}
    assert needed - {"store/storage.py"} == set(_ALLOWED)


def test_only_the_storage_locks_and_links() -> None:
    """All others use `Storage.lock`, or work on files that are no library's."""
    assert _elsewhere(disk_calls, _DISK_ONLY) == []


def test_only_locators_know_the_folder_of_a_day() -> None:
    """Whoever puts a pack asks `locators.folder`."""
    knowing = [name_of(file) for file in FILES if "locators.FOLDER}/" in file.read_text("utf-8")]
    assert knowing == []
