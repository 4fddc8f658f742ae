"""What a command said that it did survives a power cut right behind it, on either kind of disk."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from lived_in import NOON, lay, picture
from power import KINDS, Disk, Kind
from shared_files import snapshot_path

import pano_analytics
from pano_analytics.backup import restore
from pano_analytics.users import Users

WHERE = ["--uploads", "uploads", "--library", "library"]
_COMMAND = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pano_analytics.ingest import parallel
parallel.pool = lambda workers: ThreadPoolExecutor(1)
from pano_analytics.cli import main
main(sys.argv[1:])
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for number in range(3):
        start = NOON + timedelta(minutes=number)
        lay(picture(number), tmp_path / "home/uploads" / snapshot_path("porch", start))
    return tmp_path / "home"


def pano(home: Path, *words: str, disk: Disk | None = None, stdin: str = "") -> None:
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, *words],
        cwd=home,
        env=disk.env() if disk else None,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def cut_after(
    home: Path, kind: Kind, *words: str, stdin: str = "", before: tuple[str, ...] = ()
) -> Path:
    """Return the home as a power cut leaves it when the command has ended."""
    if before:
        pano(home, *before)
    disk = Disk.made(home, home.parent / "device")
    pano(home, *words, disk=disk, stdin=stdin)
    return disk.after_cut(home.parent / "left", kind)


# The disk that keeps names late forgets more; the other is for `make test-long`.
SOME = [pytest.param(kind, marks=() if kind == "lazy" else pytest.mark.long) for kind in KINDS]
INGEST = ("ingest", "-q", *WHERE)
ADD = ("user", "add", "anna", "--password-stdin", "--library", "library")
WORDS = "correct horse 7 battery\n"


@pytest.mark.parametrize("kind", SOME)
def test_an_ingest(home: Path, kind: Kind) -> None:
    """All rows and thumbnails of the very first run; the folder of the library is new."""
    left = cut_after(home, kind, *INGEST)
    library = pano_analytics.open(left / "library")
    media = library.media()
    assert media.state.tolist() == ["complete"] * 3
    assert all(library.thumbnail_bytes(one) for one in media.thumb)


@pytest.mark.parametrize("kind", SOME)
def test_a_user(home: Path, kind: Kind) -> None:
    """Who was told to be able to log in is."""
    left = cut_after(home, kind, *ADD, stdin=WORDS, before=INGEST)
    assert [user.name for user in Users(left / "library").all()] == ["anna"]


@pytest.mark.parametrize("kind", SOME)
def test_a_backup(home: Path, kind: Kind, tmp_path: Path) -> None:
    """The file is there, and every byte of it."""
    words = ("backup", "one.tar", "--library", "library")
    left = cut_after(home, kind, *words, before=INGEST)
    assert restore(left / "one.tar", tmp_path / "other").files


@pytest.mark.parametrize("kind", SOME)
def test_a_restore(home: Path, kind: Kind) -> None:
    """The journal, the identity and the users are in the new folder."""
    pano(home, *INGEST)
    pano(home, *ADD, stdin=WORDS)
    pano(home, "backup", "one.tar", "--library", "library")
    shutil.rmtree(home / "library")
    left = cut_after(home, kind, "restore", "one.tar", "other")
    assert [user.name for user in Users(left / "other").all()] == ["anna"]
    assert json.loads((left / "other/library.json").read_bytes())
    assert list((left / "other/journal").iterdir())


@pytest.mark.parametrize("kind", SOME)
def test_a_rebuild(home: Path, kind: Kind) -> None:
    """The new catalog is complete."""
    left = cut_after(home, kind, "rebuild", "-q", *WHERE, before=INGEST)
    assert len(pano_analytics.open(left / "library").media()) == 3


@pytest.mark.parametrize("kind", SOME)
def test_a_site(home: Path, kind: Kind) -> None:
    """Every page that the list names, and not one of them empty."""
    left = cut_after(home, kind, "site", "site", "-q", *WHERE, before=INGEST)
    files = [one for one in (left / "site").rglob("*.*") if one.is_file()]
    assert (left / "site/index.html").stat().st_size
    assert len(files) == len([one for one in (home / "site").rglob("*.*") if one.is_file()])
    assert all(one.stat().st_size for one in files if "lock" not in one.name)
