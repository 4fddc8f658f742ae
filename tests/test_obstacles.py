"""What could not be read, and links and pipes that were skipped, are told everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from lived_in import picture, run
from modes import bound_by_modes
from shared_files import lay, snapshot_path

from pano_analytics import doctor, status
from pano_analytics.cli import pano
from pano_analytics.dashboard.answers import Answers
from pano_analytics.dashboard.selection import Selection
from pano_analytics.errors import UploadTreeError
from pano_analytics.ingest import memory, obstacles
from pano_analytics.ingest.run import ingest_folders
from pano_analytics.library import Library
from pano_analytics.settings import Settings, check
from pano_analytics.site import run as site_run
from pano_analytics.site.run import update
from pano_analytics.store.storage import Storage

TODAY = datetime.now().replace(hour=0, minute=0, second=30, microsecond=0)
LONG_AGO = TODAY - timedelta(days=40)


def settings_in(folder: Path, **said: Any) -> Settings:
    checked = check({"zone": "UTC", "silent_after_hours": 1e6, **said})
    return checked.model_copy(update={"uploads": folder / "uploads", "library": folder / "library"})


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Return the settings of a library of two cameras; who ingests is bound by modes."""
    for camera, moment in (("porch", TODAY), ("porch", LONG_AGO), ("yard", TODAY)):
        lay(picture(1, (64, 36)), tmp_path / "uploads" / snapshot_path(camera, moment))
    with bound_by_modes():
        settings = settings_in(tmp_path)
        run(settings)
        yield settings
        for path in (tmp_path / "uploads").rglob("*"):
            if path.is_dir():
                path.chmod(0o755)


def closed(settings: Settings, where: str, mode: int = 0) -> Path:
    path = settings.the_uploads() / where
    path.chmod(mode)
    return path


def found_by_doctor(settings: Settings) -> list[tuple[str, str, str]]:
    """Return what the doctor finds of what is not read."""
    found = doctor.examine(Library.of(settings))
    told = found[found["word"].isin(["unreadable", "skipped"])]
    return list(told[["camera", "word", "severity"]].itertuples(index=False, name=None))


def storage_of(settings: Settings) -> Storage:
    return Storage(settings.the_library())


def test_status_and_doctor_tell_a_folder_that_cannot_be_read(settings: Settings) -> None:
    """Where, since when, why and what to do; it ends when the folder can be read again."""
    folder = closed(settings, "yard")
    run(settings)
    told = status.collect(settings)
    [place] = told["unreadable"]
    assert (place["folder"], place["camera"], place["entries"]) == ("yard", "yard", 1)
    assert place["reason"] == "Permission denied"
    assert "chmod" in place["advice"]
    assert [one["what"] for one in told["problems"]] == ["unreadable"]
    assert "yard: 1 entry cannot be read, since " in told["problems"][0]["detail"]
    assert found_by_doctor(settings) == [("yard", "unreadable", "problem")]
    folder.chmod(0o755)
    run(settings)
    assert status.collect(settings)["is_healthy"]
    assert set(Library.of(settings).media()["state"]) == {"complete"}


def test_dashboard_and_site_tell_it(settings: Settings, tmp_path: Path) -> None:
    """In the notices of the first page, without a new upload."""
    site = tmp_path / "site"
    assert site_run.OBSTACLES == obstacles.NAME
    update(settings, site)
    assert "cannot be read" not in (site / "index.html").read_text()
    closed(settings, "yard")
    run(settings)
    [notice] = Answers(Library.of(settings), Selection()).troubles
    assert "yard: 1 entry cannot be read" in notice
    update(settings, site)
    assert "yard: 1 entry cannot be read" in (site / "index.html").read_text()


def test_a_file_that_cannot_be_opened_is_told(settings: Settings, tmp_path: Path) -> None:
    """Since the first run that met it, and until it can be opened."""
    path = snapshot_path("porch", TODAY + timedelta(seconds=9))
    lay(picture(2, (64, 36)), tmp_path / "uploads" / path)
    file = closed(settings, path)
    assert [path] == [one for one, _ in run(settings).unreadable]
    [first] = status.collect(settings)["unreadable"]
    assert (first["camera"], first["sample"]) == ("porch", path)
    assert "permission" in first["reason"]
    run(settings)
    assert status.collect(settings)["unreadable"] == [first]
    file.chmod(0o644)
    run(settings)
    assert status.collect(settings)["is_healthy"]


def test_an_old_day_stays_told_while_runs_look_at_new_days(
    settings: Settings, tmp_path: Path
) -> None:
    """The memory of its folder holds it, as that of other folders holds theirs."""
    old = str(Path(snapshot_path("porch", LONG_AGO)).parents[0])
    folder = closed(settings, old)
    run(settings)
    [before] = status.collect(settings)["unreadable"]
    assert before["camera"] == "porch"
    new = snapshot_path("porch", TODAY + timedelta(seconds=20))
    lay(picture(3, (64, 36)), tmp_path / "uploads" / new)
    ingest_folders(settings, [str(Path(new).parent)])
    assert status.collect(settings)["unreadable"] == [before]
    assert memory.load(storage_of(settings)).obstacles
    # Gone while nobody could look: it is missing once that can be seen.
    folder.chmod(0o755)
    (settings.the_uploads() / snapshot_path("porch", LONG_AGO)).unlink()
    run(settings)
    assert sorted(Library.of(settings).media()["state"]) == [
        *["complete"] * 3,
        "missing",
    ]


def test_skipped_entries_are_counted_in_status_and_doctor(settings: Settings) -> None:
    """Links, pipes and sockets are no problem, and are told with where to look."""
    root = settings.the_uploads()
    (root / "yard/latest.jpg").symlink_to("nowhere")
    os.mkfifo(root / "yard/pipe.mp4")
    day = str(Path(snapshot_path("porch", TODAY)).parent)
    (root / day / "again.jpg").symlink_to(root)
    run(settings)
    told = status.collect(settings)
    assert [(one["folder"], one["entries"]) for one in told["skipped"]] == [
        ("porch/AMC0001_F01N44", 1),
        ("yard", 2),
    ]
    assert told["is_healthy"]
    where = ["--uploads", str(settings.uploads), "--library", str(settings.library)]
    answer = CliRunner().invoke(pano, ["status", *where]).output
    assert "skipped   yard: 2 entries not read (links, pipes, sockets, devices), since" in answer
    assert "`pano ingest --unknown` lists" in answer
    assert found_by_doctor(settings) == [
        ("porch", "skipped", "advice"),
        ("yard", "skipped", "advice"),
    ]
    ignoring = settings_in(root.parent, doctor={"ignore": ["yard: skipped", "porch: skipped"]})
    assert found_by_doctor(ignoring) == []
    for path in (root / "yard/latest.jpg", root / "yard/pipe.mp4", root / day / "again.jpg"):
        path.unlink()
    run(settings)
    assert not status.collect(settings)["skipped"]


def test_a_quiet_run_writes_nothing(settings: Settings) -> None:
    """What is skipped costs nothing once it is known."""
    (settings.the_uploads() / "yard/latest.jpg").symlink_to("nowhere")
    run(settings)
    page = storage_of(settings).path(obstacles.NAME)
    before = page.stat().st_mtime_ns
    run(settings)
    assert before == page.stat().st_mtime_ns


@pytest.mark.parametrize("name", ["lost+found", ".Trash-0", "#recycle"])
def test_folders_of_the_system_are_no_obstacle(settings: Settings, name: str) -> None:
    """`lost+found` belongs to root on each disk: nobody has to open it."""
    (settings.the_uploads() / name).mkdir()
    closed(settings, name)
    run(settings)
    assert status.collect(settings)["is_healthy"]


def test_a_root_that_cannot_be_read_is_not_called_empty(settings: Settings) -> None:
    """The run ends with the reason."""
    closed(settings, "", 0o311)
    try:
        with pytest.raises(UploadTreeError, match="Permission denied"):
            run(settings)
    finally:
        closed(settings, "", 0o755)


def test_folders_are_told_as_one_place_and_their_number_is_bounded(tmp_path: Path) -> None:
    """A camera whose every day is closed is one line."""
    storage = Storage(tmp_path)
    one = obstacles.Obstacles(obstacles.Obstacle(1, 5, "cam/2026-11-27", "why"))
    days = {f"cam/2026-11-{day:02}": one for day in range(1, 31)}
    others = {f"x{number}": one for number in range(1000)}
    obstacles.save(storage, {**others, **days}, {"cam": obstacles.Obstacle(2, 3, "cam/a", "no")})
    told = obstacles.load(storage, obstacles.UNREADABLE)
    assert len(told) == 200
    obstacles.save(storage, days, {"cam": obstacles.Obstacle(2, 3, "cam/a", "no")})
    told = obstacles.load(storage, obstacles.UNREADABLE)
    assert told == {"cam": obstacles.Obstacle(32, 3, "cam/2026-11-27", "why")}
