"""Whose eyes a library is for: its owner's, from the first moment of every file."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from lived_in import NOON, lay, picture
from shared_files import clip_path, snapshot_path
from test_clips import dav

from pano_analytics.present.clips import ClipCache
from pano_analytics.store.storage import Storage

_OPEN_HANDED = """
import os, sys
os.umask(0)
from pano_analytics.cli import main
main(sys.argv[1:])
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Lay out uploads: a picture, and a clip that browsers do not play as it is."""
    uploads = tmp_path / "uploads"
    lay(picture(1), uploads / snapshot_path("porch", NOON))
    lay(dav(), uploads / clip_path("porch", NOON, NOON + timedelta(seconds=4)))
    return tmp_path


def pano(home: Path, *words: str, stdin: str = "") -> None:
    """Run a command as a user whose umask closes nothing."""
    command = [sys.executable, "-c", _OPEN_HANDED, *words]
    done = subprocess.run(
        command, cwd=home, capture_output=True, text=True, check=False, input=stdin
    )
    assert done.returncode in (0, 8), done.stderr


WHERE = ("--uploads", "uploads", "--library", "library")


def open_to(folder: Path, rights: int) -> list[str]:
    """Return what is in `folder`, itself included, that others may use so."""
    found = [folder, *folder.rglob("*")]
    return [str(one) for one in found if stat.S_IMODE(one.lstat().st_mode) & rights]


def test_nothing_of_a_library_is_for_others(home: Path) -> None:
    """Rows, thumbnails, journal, locks, users, keys, clips, logs: after every command."""
    pano(home, "ingest", *WHERE, "--log", "log.txt")
    pano(home, "user", "add", "anna", "--password-stdin", "--library", "library",
         stdin="correct horse 7 battery\n")  # fmt: skip
    pano(home, "camera", "add", "gate", "--no-wait", *WHERE)
    pano(home, "cull", *WHERE)
    pano(home, "rebuild", *WHERE)
    pano(home, "backup", "one.tar", "--library", "library")
    pano(home, "restore", "one.tar", "other")
    (clip,) = (home / "uploads").rglob("*.dav")
    ClipCache(home / "library/cache/clips", 1 << 30).playable(clip, "a1")
    library = home / "library"
    names = {one.name for one in library.rglob("*")}
    assert {"manifest.json", "users.json", "login.secret", "uploaders.json", "clips"} <= names
    assert open_to(library, 0o077) == []
    assert open_to(home / "other", 0o077) == []
    assert open_to(home / "log.txt", 0o077) == []
    assert open_to(home / "one.tar", 0o077) == []


def test_an_older_library_is_closed(home: Path) -> None:
    """One that everybody could enter is its owner's with the next run."""
    library = home / "library"
    library.mkdir(0o755)
    library.chmod(0o755)
    pano(home, "ingest", *WHERE)
    assert stat.S_IMODE(library.stat().st_mode) == 0o700


def test_an_older_log_is_closed(home: Path) -> None:
    """Its group keeps what it had; a device is left alone."""
    log = home / "log.txt"
    log.write_text("older\n")
    log.chmod(0o644)
    before = Path("/dev/null").stat().st_mode
    pano(home, "ingest", *WHERE, "--log", "log.txt")
    pano(home, "ingest", *WHERE, "--log", "/dev/null")
    assert stat.S_IMODE(log.stat().st_mode) == 0o640
    assert Path("/dev/null").stat().st_mode == before


def test_an_owner_may_let_the_group_in(home: Path) -> None:
    """`chmod 750`: what is made later may be read by the group, and changed by nobody."""
    library = home / "library"
    library.mkdir()
    library.chmod(0o750)
    pano(home, "ingest", *WHERE)
    assert stat.S_IMODE(library.stat().st_mode) == 0o750
    assert open_to(library, 0o027) == []
    assert stat.S_IMODE((library / "manifest.json").stat().st_mode) == 0o640
    assert all(stat.S_IMODE(part.stat().st_mode) == 0o640 for part in library.rglob("*.pack"))


@pytest.mark.parametrize(
    ("readers", "rights"), [("owner", 0), ("group", 0o50), ("everybody", 0o55)]
)
def test_a_site_is_for_whom_the_settings_say(home: Path, readers: str, rights: int) -> None:
    """Pages, pictures and packed clips alike; a folder that was open is closed."""
    (home / "pano.toml").write_text(
        f'[site]\nreaders = "{readers}"\ndays = 10000\nclip_days = 10000\n'
    )
    (home / "site").mkdir(0o755)
    (home / "site").chmod(0o755)
    pano(home, "ingest", *WHERE)
    pano(home, "site", "site", *WHERE)
    site = home / "site"
    assert list(site.rglob("*.mp4"))
    assert list(site.rglob("*.jpg"))
    files = {stat.S_IMODE(one.stat().st_mode) for one in site.rglob("*.*") if one.is_file()}
    folders = {stat.S_IMODE(one.stat().st_mode) for one in [site, *site.rglob("*")] if one.is_dir()}
    assert files - {0o600} == ({0o600 | rights & 0o44} if rights else set())
    assert folders == {0o700 | rights}
    pages = {stat.S_IMODE(one.stat().st_mode) for one in site.rglob("*.html")}
    assert pages == {0o600 | rights & 0o44}
    clips = {stat.S_IMODE(one.stat().st_mode) for one in site.rglob("*.mp4")}
    assert clips == pages


def test_settings_keep_their_rights(home: Path) -> None:
    """A camera that is added to pano.toml changes its text and not who may read it."""
    settings = home / "pano.toml"
    settings.write_text('uploads = "uploads"\nlibrary = "library"\n')
    settings.chmod(0o644)
    home.chmod(0o755)
    pano(home, "camera", "add", "gate", "--folder", "yard", "--no-wait")
    assert "gate" in settings.read_text()
    assert stat.S_IMODE(settings.stat().st_mode) == 0o644
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_belongs_to_the_owner_of_the_library(tmp_path: Path) -> None:
    """`sudo pano ingest` once must not leave what the service cannot read."""
    library = tmp_path / "library"
    library.mkdir(0o700)
    os.chown(library, 12345, 12345)
    storage = Storage(library)
    storage.replace("state/deep/one.json", b"{}")
    storage.put("parts/two", lambda file: file.write(b"2"))
    with storage.lock("state/lock"):
        pass
    owners = {(one.stat().st_uid, one.stat().st_gid) for one in library.rglob("*")}
    assert owners == {(12345, 12345)}


def test_the_very_first_moment_is_private(tmp_path: Path) -> None:
    """A file has its rights before it has contents, whatever the umask says."""
    seen: list[int] = []
    before = os.umask(0)
    try:
        storage = Storage(tmp_path / "library")

        def write(file: object) -> None:
            (one,) = (tmp_path / "library").iterdir()
            seen.append(stat.S_IMODE(one.stat().st_mode))

        storage.put("one", write)
    finally:
        os.umask(before)
    assert seen == [0o600]
