"""What a command said that it did survives a power cut right behind it, on either kind of disk."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from clocks import seen_as_they_arrived
from lived_in import NOON, lay, picture
from power import KINDS, Disk, Kind
from shared_files import snapshot_path

import pano_analytics
from pano_analytics.access.sessions import Sessions
from pano_analytics.access.users import Users
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.settings import Settings
from pano_analytics.settings import check as check_settings
from pano_analytics.store.journal import Journal
from pano_analytics.upkeep.backup import restore
from pano_analytics.upkeep.check import check
from pano_analytics.upkeep.culling import cull

WHERE = ["--uploads", "uploads", "--library", "library"]
_COMMAND = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pano_analytics.workers import crew
crew.pool = lambda workers: ThreadPoolExecutor(1)
from pano_analytics.cli import main
main(sys.argv[1:])
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for number in range(3):
        start = NOON + timedelta(minutes=number)
        lay(picture(number), tmp_path / "home/uploads" / snapshot_path("porch", start))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def lived_in_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out a home with a camera, a user who is logged in, and old uploads to delete."""
    home = tmp_path_factory.mktemp("lived") / "home"
    for number in range(3):
        start = NOON + timedelta(minutes=number)
        lay(picture(number), home / "uploads" / snapshot_path("porch", start), mtime=start)
    lay(picture(7), home / "uploads" / snapshot_path("gate", datetime.now()))
    (home / "pano.toml").write_text("keep_days = 1\ncull.most_share = 1\n")
    pano(home, *INGEST)
    seen_as_they_arrived(Settings(uploads=home / "uploads", library=home / "library"))
    pano(home, "cull", "--adopt", *WHERE)
    pano(home, "camera", "add", "yard", "--no-wait", "--password-stdin", *WHERE, stdin=CAMERA_WORDS)
    pano(home, *ADD, stdin=WORDS)
    Sessions(home / "library").begin("anna", "stamp", "192.0.2.7", "a browser")
    return home


@pytest.fixture
def lived(lived_in_home: Path, tmp_path: Path) -> Path:
    return shutil.copytree(lived_in_home, tmp_path / "home")


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
CUTS = [
    pytest.param("eager", "cull", 0),
    *(
        pytest.param(kind, by, 7, marks=pytest.mark.long)
        for kind in KINDS
        for by in ("cull", "ingest")
    ),
]
INGEST = ("ingest", "-q", *WHERE)
ADD = ("user", "add", "anna", "--password-stdin", "--library", "library")
WORDS = "correct horse 7 battery\n"
CAMERA_WORDS = "wAtCh-the-door7\n"


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


OTHER_WORDS = "mIlk-for-the-cat9\n"
PAGES = [
    ("camera add pool --no-wait --password-stdin", WHERE, "uploaders.json", CAMERA_WORDS),
    ("camera password yard --password-stdin", WHERE, "uploaders.json", OTHER_WORDS),
    ("camera remove yard", WHERE, "uploaders.json", ""),
    ("clock --confirm", WHERE, "clock.json", ""),
    ("user end-sessions --all", WHERE[2:], "sessions.json", ""),
    ("user remove anna", WHERE[2:], "users.json", ""),
]


@pytest.mark.parametrize("kind", SOME)
@pytest.mark.parametrize(("words", "where", "page", "stdin"), PAGES, ids=[one[0] for one in PAGES])
def test_a_page_of_the_library(
    lived: Path, kind: Kind, words: str, where: list[str], page: str, stdin: str
) -> None:
    """Who may upload or look, who is logged in, what was said of the clock: as it was told."""
    before = (lived / "library" / page).read_bytes()
    left = cut_after(lived, kind, *words.split(), *where, stdin=stdin)
    now = (lived / "library" / page).read_bytes()
    assert now != before
    assert (left / "library" / page).read_bytes() == now
    assert (left / "uploads/pool").is_dir() == (lived / "uploads/pool").is_dir()


@pytest.mark.parametrize("kind", SOME)
def test_another_tree_accepted(lived: Path, kind: Kind) -> None:
    """The owner is not asked again, and the uploads that went are told as missing."""
    for path in (lived / "uploads").rglob("*.jpg"):
        path.unlink()
    left = cut_after(lived, kind, *INGEST, "--accept-tree")
    states = pano_analytics.open(left / "library").media().state
    assert states.tolist() == ["missing"] * 4
    shutil.copytree(lived / "uploads", left / "uploads", dirs_exist_ok=True)
    pano(left, *INGEST)


def due(home: Path) -> Settings:
    said = {"keep_days": 1, "cull": {"most_share": 1}}
    return check_settings(said).model_copy(
        update={"uploads": home / "uploads", "library": home / "library"}
    )


def after_notes(disk: Disk) -> list[int]:
    """Return the moments at which a file of the journal had just got its name."""
    last = {moment: (disk.calls(moment) or [("", "")])[-1] for moment in disk.moments()}
    return [at for at, (call, path) in last.items() if call == "rename" and "/journal/" in path]


def is_culled(home: Path) -> set[str]:
    """Check what a finished culling leaves: three old uploads went. Return what check finds."""
    library = Library.of(due(home))  # what the library knows of itself names another home
    assert not Journal(library.storage).open_plans()
    media = library.media()
    assert sorted(media.state) == ["complete", "culled", "culled", "culled"]
    assert all(library.thumbnail_bytes(one) for one in media.thumb)
    names = [path.relative_to(home / "uploads") for path in (home / "uploads").rglob("*.jpg")]
    assert [name.parts[0] for name in names] == ["gate"]
    return set(check(library).what)


@pytest.mark.parametrize("kind", SOME)
def test_a_culling(lived: Path, kind: Kind) -> None:
    """What was said to be deleted is, its rows and thumbnails stay, and nothing else went."""
    assert not is_culled(cut_after(lived, kind, "cull", "--delete", "-q", *WHERE))


@pytest.mark.parametrize(("kind", "by", "count"), CUTS)
def test_a_culling_that_is_cut(lived: Path, kind: Kind, by: str, count: int) -> None:
    """At any moment: what went has its row, all else is there, and the next run heals it."""
    before = {path: path.read_bytes() for path in (lived / "uploads").rglob("*.jpg")}
    disk = Disk.made(lived, lived.parent / "device")
    pano(lived, "cull", "--delete", "-q", *WHERE, disk=disk)
    moments = random.Random(8).sample(disk.moments(), count) or after_notes(disk)
    assert moments
    for number, moment in enumerate(sorted(moments)):
        left = disk.after_cut(lived.parent / f"left-{number}", kind, moment)
        there = {lived / path.relative_to(left): path for path in left.rglob("uploads/**/*.jpg")}
        assert all(path.read_bytes() == before[name] for name, path in there.items())
        assert {name.name for name in before if "/gate/" in str(name)} <= {
            name.name for name in there
        }
        if by == "ingest":
            ingest(due(left))
            media = pano_analytics.open(left / "library").media()
            assert len(media) == 4
            rows = media[~media.state.isin(["culled"])]
            assert set(rows.path) == {
                path.relative_to(left / "uploads").as_posix()
                for path in (left / "uploads").rglob("*.jpg")
            }
        cull(due(left))
        # What the cut run left of the catalog is swept by the next ingest, and told until then.
        assert is_culled(left) <= {"run_unfinished"}
        ingest(due(left))
        assert not is_culled(left)


@pytest.mark.parametrize("kind", SOME)
def test_a_decision(home: Path, kind: Kind) -> None:
    """The very first one: its file and the folder are new."""
    pinned = ("mark", "pinned", "--start", "2020-01-01", *WHERE)
    left = cut_after(home, kind, *pinned, before=INGEST)
    assert pano_analytics.open(left / "library").events()["is_pinned"].all()


@pytest.mark.parametrize("kind", SOME)
def test_folded_decisions(home: Path, kind: Kind) -> None:
    """An ingest put them into one file, and removed the files that it is made from."""
    pano(home, *INGEST)
    pano(home, "mark", "pinned", "--start", "2020-01-01", *WHERE)
    left = cut_after(home, kind, *INGEST)
    assert [path.suffix for path in (home / "library/decisions").iterdir()] == [".parquet"]
    assert pano_analytics.open(left / "library").events()["is_pinned"].all()
