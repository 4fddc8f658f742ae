"""What nothing reads is said everywhere: which folder, since when, and a template that reads it."""

from __future__ import annotations

import json
import os
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from lived_in import picture, run
from shared_files import lay, snapshot_path

from pano_analytics import doctor, status
from pano_analytics.cli import pano
from pano_analytics.dashboard import payloads
from pano_analytics.dashboard.answers import Answers
from pano_analytics.dashboard.selection import Selection
from pano_analytics.errors import AttentionNeeded
from pano_analytics.ingest import memory, unread
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.proposal import propose
from pano_analytics.settings import Settings, check, load
from pano_analytics.site import run as site_run
from pano_analytics.site.run import update
from pano_analytics.store.storage import Storage

START = datetime(2026, 11, 27, 14, 5, 9)
NAMES = [
    f"{START + timedelta(hours=n, seconds=n):%d.%m.%Y_%Hh%Mm%S}.{'mp4' if n % 6 == 5 else 'jpg'}"
    for n in range(18)
]
ARRIVED = datetime.now() - timedelta(hours=3)


def settings_in(folder: Path, **said: Any) -> Settings:
    (folder / "uploads").mkdir(exist_ok=True)
    checked = check({"zone": "UTC", "silent_after_hours": 1e6, **said})
    return checked.model_copy(update={"uploads": folder / "uploads", "library": folder / "library"})


def lay_unread(folder: Path, camera: str = "attic/motion") -> None:
    for name in NAMES:
        lay(picture(1, (64, 36)), folder / "uploads" / camera / name, ARRIVED)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a library whose tree holds nothing but what no layout knows."""
    lay_unread(tmp_path)
    settings = settings_in(tmp_path)
    run(settings)
    return settings


def command(settings: Settings, *words: str) -> Result:
    where = ["--uploads", str(settings.uploads), "--library", str(settings.library)]
    return CliRunner().invoke(pano, [*words, *where])


def test_status_says_it_in_words_and_as_json(settings: Settings) -> None:
    """The folder, how many, since when, why, and the template; it is a problem."""
    told = status.collect(settings)
    [place] = told["unread"]
    assert (place["folder"], place["camera"], place["files"]) == ("attic/motion", "attic", 18)
    first = datetime.fromisoformat(place["first"])
    assert abs(first - ARRIVED.astimezone(UTC)) < timedelta(minutes=1)
    assert place["sample"].rpartition("/")[2] in NAMES
    assert [one["what"] for one in told["problems"]] == ["unread"]
    assert not told["is_healthy"]
    answer = command(settings, "status")
    assert isinstance(answer.exception, AttentionNeeded)
    assert "attic/motion: 18 files that pano cannot read, since " in answer.output
    assert place["template"] in answer.output


def test_the_snippet_works_when_it_is_pasted(settings: Settings, tmp_path: Path) -> None:
    """Pasted into pano.toml, every file is read, and nothing is left to say."""
    [place] = status.collect(settings)["unread"]
    folders = f"uploads = {json.dumps(str(settings.uploads))}\nlibrary = 'library'\nzone = 'UTC'\n"
    (tmp_path / "pano.toml").write_text(f"{folders}\n{place['snippet']}\n")
    pasted = load(tmp_path / "pano.toml").model_copy(update={"silent_after_hours": 1e6})
    run(pasted, is_full=True)
    media = Library.of(pasted).media()
    assert len(media) == 18
    assert media["wall_start"].min() == START
    assert set(media["camera"]) == {"attic"}
    assert not status.collect(pasted)["unread"]
    assert status.collect(pasted)["is_healthy"]


def test_beside_uploads_that_are_read_the_template_joins_the_layouts(tmp_path: Path) -> None:
    """What was read stays read: the setting is a list, and works in the camera's own table."""
    lay(picture(1, (64, 36)), tmp_path / "uploads" / snapshot_path("attic", datetime.now()))
    lay_unread(tmp_path)
    settings = settings_in(tmp_path, cameras=[{"name": "Attic", "description": "up"}])
    run(settings)
    [place] = status.collect(settings)["unread"]
    layout = tomllib.loads(place["snippet"])["layout"]
    assert layout[0] == "auto"
    settings = settings_in(tmp_path, cameras=[{"name": "Attic", "layout": layout}])
    run(settings, is_full=True)
    assert len(Library.of(settings).media()) == 19


def test_files_in_the_root_itself_can_be_given_a_template(tmp_path: Path) -> None:
    """The root is then one camera: its table has the folder "."."""
    for name in NAMES:
        lay(picture(1, (64, 36)), tmp_path / "uploads" / name)
    settings = settings_in(tmp_path)
    run(settings)
    [place] = status.collect(settings)["unread"]
    settings = settings_in(tmp_path, **tomllib.loads(place["snippet"]))
    run(settings, is_full=True)
    assert len(Library.of(settings).media()) == 18


def test_the_doctor_says_what_to_do(settings: Settings) -> None:
    """A problem with evidence, the lines to paste, and since when; `ignore` ends it."""
    found = doctor.examine(Library.of(settings))
    assert found[["camera", "word", "severity", "value"]].values.tolist() == [
        ["attic", "unread", "problem", 18.0]
    ]
    assert found["since"].notna().all()
    answer = command(settings, "doctor")
    assert isinstance(answer.exception, AttentionNeeded)
    [place] = status.collect(settings)["unread"]
    for line in place["snippet"].splitlines():
        assert f"{line}\n" in answer.output
    for ignore in (["unread"], ["ATTIC: unread"]):
        quiet = settings.model_copy(
            update={"doctor": settings.doctor.model_copy(update={"ignore": tuple(ignore)})}
        )
        assert doctor.examine(Library.of(quiet)).empty
        assert status.collect(quiet)["is_healthy"]


def test_the_dashboard_says_it_on_its_first_page(settings: Settings) -> None:
    """Not "No uploads yet": the notice has the folder and the template."""
    library = Library.of(settings)
    answers = Answers(library, Selection())
    [notice] = payloads.unread(answers.unread, library.zone)
    assert "attic/motion: 18 files" in notice["text"]
    assert 'name = "attic"' in notice["snippet"]
    counts = payloads.gallery_head(
        answers.uploads, answers.near, answers.selection, is_known=False, is_unread=True
    )
    assert "none of them can be read" in counts["empty"]["text"]


def test_the_site_says_it_and_notices_a_change(settings: Settings, tmp_path: Path) -> None:
    """The first page names the folder; a new unread file makes a new page, without an upload."""
    site = tmp_path / "site"
    assert site_run.UNREAD == unread.NAME
    update(settings, site)
    page = (site / "index.html").read_text()
    assert "attic/motion: 18 files" in page
    assert "No uploads yet" not in page
    lay(picture(1, (64, 36)), tmp_path / "uploads/attic/motion/01.12.2026_10h00m00.jpg")
    run(settings)
    update(settings, site)
    assert "attic/motion: 19 files" in (site / "index.html").read_text()


def test_every_run_lists_what_is_unknown(settings: Settings) -> None:
    """Not only a run that looks at the folder for the first time."""
    for _ in range(3):
        listed = command(settings, "ingest", "--unknown").stdout.splitlines()
        assert [line.split("\t")[0] for line in sorted(listed)] == sorted(
            f"attic/motion/{name}" for name in NAMES
        )
    assert command(settings, "ingest").exit_code == 0


def test_a_quiet_run_reads_no_names_and_writes_nothing(settings: Settings) -> None:
    """Unread files cost a run with nothing new no more than read ones."""
    library = settings.library
    assert library is not None
    before = (library / unread.NAME).stat().st_mtime_ns
    summary = ingest(settings)
    assert summary.unknown == 18
    assert not summary.unknown_files
    assert before == (library / unread.NAME).stat().st_mtime_ns


def test_since_when_is_kept_as_more_files_come(settings: Settings, tmp_path: Path) -> None:
    """A file whose time is not known keeps the moment when it was first seen."""
    never_set = tmp_path / "uploads/attic/motion" / NAMES[0]
    os.utime(never_set, (0, 0))
    run(settings)
    [first] = status.collect(settings)["unread"]
    lay(picture(1, (64, 36)), tmp_path / "uploads/attic/motion/01.12.2026_10h00m00.jpg")
    run(settings)
    [later] = status.collect(settings)["unread"]
    assert (later["first"], later["files"]) == (first["first"], 19)
    for path in (tmp_path / "uploads").rglob("*.*"):
        path.unlink()
    lay(picture(1, (64, 36)), tmp_path / "uploads" / snapshot_path("barn", datetime.now()))
    run(settings)
    assert not status.collect(settings)["unread"]


def test_a_run_killed_before_it_remembers_loses_nothing(settings: Settings) -> None:
    """The places are written before the memory that they come from."""
    assert settings.library is not None
    storage = Storage(settings.library)
    storage.remove(unread.NAME)
    storage.remove(memory.NAME)
    run(settings)
    assert [one["files"] for one in status.collect(settings)["unread"]] == [18]


def test_days_and_folders_are_one_place_and_their_number_is_bounded() -> None:
    """A camera of years is one line; a hostile tree of a million folders is not remembered."""
    heap = unread.Heap(2, 1, 5, 9, "why", ("cam/2026-11-27/a.jpg",))
    days = {f"cam/2026-{month:02}-{day:02}": heap for month in range(1, 13) for day in (1, 9, 17)}
    [(folder, total)] = unread.gather(days).items()
    assert (folder, total.files, total.uploads) == ("cam", 36 * 3, 36 * 2)
    many = unread.gather({f"x{number}": heap for number in range(5000)})
    assert len(many) == unread.MOST_PLACES
    assert all(len(one.samples) <= 12 for one in many.values())


@pytest.mark.parametrize(
    ("path", "is_told", "is_problem"),
    [
        ("porch/notes.txt", True, False),
        ("notes.txt", True, False),
        ("attic/picture.heic", True, True),
        ("porch/odd.jpg", True, True),
        ("porch/@eaDir/odd.jpg", False, False),
        ("porch/.odd.jpg", False, False),
        ("porch/x.jpg.tmp", False, False),
        ("porch/10.22.28-10.22.55[M][0@0][0].idx", False, False),
    ],
)
def test_what_is_a_problem(tmp_path: Path, path: str, is_told: bool, is_problem: bool) -> None:
    """Pictures, clips and folders of which nothing is read are; notes beside uploads are not."""
    lay(picture(1, (64, 36)), tmp_path / "uploads" / snapshot_path("porch", datetime.now()))
    lay(b"x", tmp_path / "uploads" / path)
    settings = settings_in(tmp_path)
    run(settings)
    told = status.collect(settings)
    assert bool(told["unread"]) == is_told
    assert [one["what"] for one in told["problems"]] == (["unread"] if is_problem else [])


def test_dafang_cameras_are_read(tmp_path: Path) -> None:
    """Their default name, which docs/cameras.md names, is a layout."""
    for n in range(18):
        name = f"{START + timedelta(hours=n):%d-%m-%Y_%H.%M.%S}.jpg"
        lay(picture(n, (64, 36)), tmp_path / "uploads/dafang" / name)
    settings = settings_in(tmp_path)
    run(settings)
    media = Library.of(settings).media()
    assert (len(media), set(media["layout"])) == (18, {"dafang"})
    assert media["wall_start"].min() == START
    assert status.collect(settings)["is_healthy"]


def test_init_proposes_a_template_for_names_that_no_layout_knows(tmp_path: Path) -> None:
    """Without the signs of comments the proposed lines read every file."""
    lay_unread(tmp_path)
    text = propose(tmp_path / "uploads", "UTC")
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    table = lines[lines.index("[[cameras]]") :][:3]
    settings = settings_in(tmp_path, **tomllib.loads("\n".join(table)))
    run(settings)
    assert len(Library.of(settings).media()) == 18
