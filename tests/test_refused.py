"""What may not be read or is torn: one plain error each, with its exit code and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from lived_in import NOON, fresh, lay, picture, run
from shared_files import snapshot_path

import pano_analytics
from pano_analytics.errors import (
    DiskFailed,
    DiskFull,
    LibraryError,
    PanoError,
    PartError,
    QueryError,
    UploadTreeError,
    as_pano_error,
)
from pano_analytics.library import Library

# Root may do everything: without these it is like anybody else before its own files.
_LESS = "-dac_override,-dac_read_search"
LIKE_ANYBODY = ["setpriv", f"--bounding-set={_LESS}", f"--inh-caps={_LESS}"]
SIGHT = {
    "sql": lambda library: library.sql("SELECT count(*) FROM media"),
    "media": lambda library: library.media(),
    "cameras": lambda library: library.cameras(),
    "activity": lambda library: library.activity(),
}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Lay out a library with one upload, and folders that nobody may enter."""
    settings = fresh(tmp_path)
    lay(picture(1), tmp_path / "uploads" / snapshot_path("porch", NOON))
    run(settings)
    locked = tmp_path / "locked"
    (locked / "deep").mkdir(parents=True)
    (locked / "lib").mkdir()
    locked.chmod(0)
    yield tmp_path
    locked.chmod(0o755)


def said(home: Path, *arguments: str, **named: str) -> tuple[int, str]:
    """Run `pano` as a user without rights of his own; return exit code and what it said."""
    folders = {"uploads": "uploads", "library": "library", **named}
    options = [f"--{key}={home / folder}" for key, folder in folders.items()]
    command = [sys.executable, "-m", "pano_analytics.cli", *arguments, *options]
    plain = LIKE_ANYBODY if os.geteuid() == 0 else []
    done = subprocess.run([*plain, *command], cwd=home, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("command", "named", "code"),
    [
        ("ingest", {"library": "locked/lib"}, 4),
        ("status", {"library": "locked/lib"}, 4),
        ("serve", {"library": "locked/lib"}, 4),
        ("up", {"library": "locked/lib"}, 4),
        ("ingest", {"library": "/proc/none/below"}, 4),
        ("ingest", {"uploads": "locked/deep"}, 3),
        ("check", {"uploads": "locked/deep"}, 3),
        ("receive", {"uploads": "locked/deep"}, 3),
    ],
)
def test_a_folder_that_may_not_be_entered(
    home: Path, command: str, named: dict[str, str], code: int
) -> None:
    """One line names the place and the reason; uploads end with 3 and a library with 4."""
    came, words = said(home, command, **named)
    [folder] = named.values()
    assert came == code, words
    assert words.startswith("pano: ")
    assert len(words.splitlines()) == 1
    assert folder.removesuffix("/below") in words
    assert "expected" in words
    assert "JSON" not in words


def test_a_place_that_is_nobodys_is_one_line_too(home: Path) -> None:
    """A folder that cannot be made, named as an argument."""
    came, words = said(home, "site", "/proc/none/below")
    assert (came, len(words.splitlines())) == (1, 1), words
    assert words.startswith("pano: /proc/none: cannot use this path; No such file")


@pytest.mark.parametrize("command", ["status", "ingest", "check", "cull"])
def test_a_manifest_that_may_not_be_read(home: Path, command: str) -> None:
    """It is named, as a matter of rights and not of its contents."""
    (home / "library/manifest.json").chmod(0)
    came, words = said(home, command)
    assert came == 4, words
    assert "manifest.json: expected a library that pano can read" in words
    assert "Permission denied" in words


def part_of(home: Path) -> Path:
    """Return the part that holds the upload: older ones lie beside it for a while."""
    [part] = pano_analytics.open(home / "library").parts()
    return Path(part)


def cut(part: Path) -> None:
    os.truncate(part, 100)


def scribble(part: Path) -> None:
    """Change bytes within: the end of the file stays good."""
    data = bytearray(part.read_bytes())
    data[4:400] = b"\xff" * 396
    part.write_bytes(data)


@pytest.mark.parametrize("ask", SIGHT.values(), ids=SIGHT)
def test_a_torn_part_is_named(home: Path, ask: Callable[[Library], pd.DataFrame]) -> None:
    """Every question over it is a LibraryError with the part, `pano check` and `pano rebuild`."""
    cut(part_of(home))
    with pytest.raises(LibraryError, match=part_of(home).name) as raised:
        ask(pano_analytics.open(home / "library"))
    assert "`pano check`" in str(raised.value)
    assert "`pano rebuild`" in str(raised.value)


def test_bytes_that_changed_within_a_part(home: Path) -> None:
    """DuckDB does not name the file then; we do, where only one was asked."""
    scribble(part_of(home))
    with pytest.raises(PartError, match=part_of(home).name):
        pano_analytics.open(home / "library").media()


def test_a_torn_part_ends_an_ingest_that_needs_it(home: Path) -> None:
    """Exit 4, and the rebuild that it asks for mends it."""
    cut(part_of(home))
    lay(picture(2), home / "uploads" / snapshot_path("porch", NOON.replace(minute=1)))
    came, words = said(home, "ingest")
    assert (came, part_of(home).name in words) == (4, True), words
    assert said(home, "rebuild")[0] == 0
    assert len(pano_analytics.open(home / "library").media()) == 2


def test_a_wrong_question_is_no_torn_part(home: Path) -> None:
    """What DuckDB refuses in a user's own statement stays a QueryError."""
    with pytest.raises(QueryError, match="expected an SQL query"):
        pano_analytics.open(home / "library").sql("SELECT * FROM read_parquet('/none.parquet')")


@pytest.mark.parametrize(
    ("path", "error", "kind"),
    [
        ("/srv/ftp", PermissionError(13, "no"), UploadTreeError),
        ("/srv/ftp/a", PermissionError(13, "no"), UploadTreeError),
        ("/srv/lib/parts", OSError(5, "broken"), LibraryError),
        ("/srv", PermissionError(13, "no"), LibraryError),
        ("/srv", IsADirectoryError(21, "a folder"), PanoError),
        ("/elsewhere", PermissionError(13, "no"), PanoError),
        (None, BrokenPipeError(32, "pipe"), None),
        (None, OSError(5, "broken"), DiskFailed),
        ("/elsewhere", OSError(5, "broken"), DiskFailed),
        ("/srv/lib/parts", OSError(28, "full"), DiskFull),
    ],
)
def test_whose_path_was_refused(path: str | None, error: OSError, kind: type | None) -> None:
    """Below the library it is the library's, below the uploads theirs; no path, none."""
    error.filename = path
    told = as_pano_error(error, Path("/srv/ftp"), Path("/srv/lib"))
    assert (None if told is None else type(told)) == kind
