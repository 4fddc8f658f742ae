"""Ingest: from the upload tree to the catalog, again and again."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from shared_files import clip_path, lay, lay_listing, needs_listings, snapshot_path

from pano_analytics.errors import LibraryBusy, SettingsError, UploadTreeError
from pano_analytics.ingest import examine
from pano_analytics.ingest.days import settle, uploads_in
from pano_analytics.ingest.run import IngestSummary, ingest
from pano_analytics.library import Library
from pano_analytics.model.tables import media_table
from pano_analytics.settings import Settings, check
from pano_analytics.store.catalog import CameraDay
from pano_analytics.store.storage import Storage
from pano_analytics.workers.crew import Crew, pool

NOON = datetime(2026, 3, 3, 12, 0, 0)
Run = Callable[..., IngestSummary]


def picture(number: int = 0, size: tuple[int, int] = (320, 180)) -> bytes:
    """Return a JPEG that no other number gives."""
    noise = random.Random(number).randbytes(size[0] * size[1] // 64)
    image = Image.frombytes(
        "L", (size[0] // 8, size[1] // 8), noise[: size[0] // 8 * (size[1] // 8)]
    )
    out = BytesIO()
    image.resize(size).convert("RGB").save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings for an empty tree and no library yet, in Berlin."""
    (tmp_path / "uploads").mkdir()
    return check({"zone": "Europe/Berlin"}).model_copy(
        update={"uploads": tmp_path / "uploads", "library": tmp_path / "library"}
    )


@pytest.fixture
def run(settings: Settings) -> Run:
    """Ingest with threads for processes: quick, and the same in all else."""
    return partial(ingest, settings, make_executor=partial(ThreadPoolExecutor, 2))


@pytest.fixture
def uploads(settings: Settings) -> Path:
    assert settings.uploads is not None
    return settings.uploads


def test_a_snapshot_comes_to_rest_with_all_it_tells(
    run: Run, library: Library, uploads: Path
) -> None:
    """A whole picture is complete, timed by its name in the camera's zone, with a thumbnail."""
    lay(picture(), uploads / snapshot_path("porch", NOON))
    run()
    row = library.media().iloc[0]
    assert row["camera"] == "porch"
    assert row["start"].isoformat() == "2026-03-03T12:00:00+01:00"
    assert row["date"] == datetime(NOON.year, NOON.month, NOON.day)
    assert (row["state"], row["trigger"], row["kind"]) == ("complete", "motion", "snapshot")
    assert (row["width"], row["height"], row["time_source"]) == (320, 180, "name")
    assert library.thumbnail(row).size == (320, 180)
    assert len(row["sha256"]) == 64
    assert library.source(row).read_bytes() == picture()


@needs_listings
def test_the_real_listing_of_one_camera(run: Run, library: Library, uploads: Path) -> None:
    """344 real uploads: 77 clips, 267 snapshots, 257 of them in a clip; 8 clips hold none."""
    assert lay_listing(uploads) == 344
    run(is_inspecting=False)
    media = library.media()
    snapshots, clips = media[media.kind == "snapshot"], media[media.kind == "clip"]
    assert (len(clips), len(snapshots), int(snapshots.clip_id.notna().sum())) == (77, 267, 257)
    assert len(set(clips.media_id) - set(snapshots.clip_id)) == 8
    assert set(media.state) == {"unread"}


def test_nothing_new_changes_nothing(run: Run, library: Library, uploads: Path) -> None:
    """A second run finds nothing, writes no part and opens no file."""
    lay(picture(), uploads / snapshot_path("porch", NOON))
    run()
    before, parts = library.generation, library.parts()
    again = run()
    assert again.tally.total == 0
    assert not again.opened
    assert (library.generation, library.parts()) == (before, parts)


def test_names_first_files_later(run: Run, library: Library, uploads: Path) -> None:
    """--no-inspect lists; a later run opens what was only listed."""
    lay(picture(), uploads / snapshot_path("porch", NOON))
    run(is_inspecting=False)
    assert library.media().state.tolist() == ["unread"]
    assert run().opened == {"complete": 1}
    assert library.media().state.tolist() == ["complete"]


def test_a_replaced_file_keeps_its_id_and_is_read_again(
    run: Run, library: Library, uploads: Path
) -> None:
    """Another size or time is another content under the same media_id."""
    path = uploads / snapshot_path("porch", NOON)
    lay(picture(1), path)
    run()
    before = library.media().iloc[0]
    lay(picture(2, (640, 360)), path)
    summary = run()
    after = library.media().iloc[0]
    assert summary.tally.changed == 1
    assert after["media_id"] == before["media_id"]
    assert after["sha256"] != before["sha256"]
    assert after["width"] == 640
    assert len(library.frames()) == 1


def test_a_file_that_went_is_missing_and_comes_back(
    run: Run, library: Library, uploads: Path
) -> None:
    """A row outlives its file, and is read anew when the file returns."""
    path = lay(picture(), uploads / snapshot_path("porch", NOON))
    lay(picture(1), uploads / snapshot_path("porch", NOON + timedelta(seconds=9)))
    run()
    path.unlink()
    assert run().tally.missing == 1
    assert library.media().state.tolist() == ["missing", "complete"]
    lay(picture(), path)
    run()
    assert library.media().state.tolist() == ["complete", "complete"]


def test_a_day_folder_that_went_leaves_missing_rows(
    run: Run, library: Library, uploads: Path
) -> None:
    """A whole day folder gone is all of its rows missing, and no other's."""
    lay(picture(), uploads / snapshot_path("porch", NOON))
    lay(picture(), uploads / snapshot_path("porch", NOON + timedelta(days=1)))
    run()
    day = uploads / "porch/AMC0001_F01N44/2026-03-03"
    for path in sorted(day.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    day.rmdir()
    assert run().tally.missing == 1
    assert library.media().state.tolist() == ["missing", "complete"]


def test_an_empty_root_is_an_unmounted_disk(run: Run, library: Library, uploads: Path) -> None:
    """A root that lost everything is refused: no row becomes missing by a missing mount."""
    lay(picture(), uploads / snapshot_path("porch", NOON))
    run()
    (uploads / "porch").rename(uploads.parent / "elsewhere")
    with pytest.raises(UploadTreeError, match="mounted"):
        run()
    assert library.media().state.tolist() == ["complete"]


def test_no_root_is_told(settings: Settings) -> None:
    """A root that is not there is told with what to check."""
    gone = settings.model_copy(update={"uploads": Path("/nowhere/at/all")})
    with pytest.raises(UploadTreeError, match="/nowhere/at/all"):
        ingest(gone)


def test_a_library_inside_the_evidence_is_refused(settings: Settings, uploads: Path) -> None:
    """Nothing of ours is written into the upload tree."""
    inside = settings.model_copy(update={"library": uploads / "library"})
    with pytest.raises(SettingsError, match="outside"):
        ingest(inside)


@pytest.mark.parametrize(
    ("cut", "state"), [(1.0, "complete"), (0.6, "partial"), (0.01, "damaged"), (0.0, "empty")]
)
def test_what_a_camera_gave_up_on_is_never_whole(
    run: Run, library: Library, uploads: Path, cut: float, state: str
) -> None:
    """A truncated picture is partial with what decodes, a stub damaged, nothing empty."""
    data = picture(3, (1280, 720))
    lay(data[: int(len(data) * cut)], uploads / snapshot_path("porch", NOON))
    run()
    row = library.media().iloc[0]
    assert row["state"] == state
    assert (row["state_reason"] == row["state_reason"]) == (state != "complete")
    assert (row["thumb"] == row["thumb"]) == (state in ("complete", "partial"))


def test_a_file_still_being_written_is_pending(run: Run, library: Library, uploads: Path) -> None:
    """What is not whole and was written to just now waits; once quiet it is judged."""
    data, now = picture(3, (1280, 720)), datetime.now()
    path = uploads / snapshot_path("porch", now)
    lay(data[: len(data) // 2], path, now)
    run()
    assert library.media().state.tolist() == ["pending"]
    os.utime(path, ((now - timedelta(hours=1)).timestamp(),) * 2)
    run()
    assert library.media().state.tolist() == ["partial"]
    lay(data, path)
    run()
    assert library.media().state.tolist() == ["complete"]


def test_a_whole_file_need_not_wait(run: Run, library: Library, uploads: Path) -> None:
    """A picture that ends as it should is shown at once, however new."""
    now = datetime.now()
    lay(picture(), uploads / snapshot_path("porch", now), now)
    run()
    assert library.media().state.tolist() == ["complete"]


def test_snapshots_arrive_before_their_clip(run: Run, library: Library, uploads: Path) -> None:
    """A clip that comes later takes the snapshots that lie in it."""
    for seconds in (7, 8, 40):
        lay(picture(seconds), uploads / snapshot_path("porch", NOON + timedelta(seconds=seconds)))
    run()
    assert library.media().clip_id.notna().sum() == 0
    lay(b"x", uploads / clip_path("porch", NOON, NOON + timedelta(seconds=20)))
    run(is_inspecting=False)
    media = library.media()
    clip = media[media.kind == "clip"].media_id.iloc[0]
    assert media[media.kind == "snapshot"].clip_id.tolist()[:2] == [clip, clip]
    assert media.clip_id.notna().sum() == 2


@pytest.mark.parametrize("clip_first", [True, False])
def test_a_clip_across_midnight_holds_both_days(
    run: Run, library: Library, uploads: Path, clip_first: bool
) -> None:
    """Snapshots after midnight belong to the clip that began before it, in whatever order."""
    midnight = datetime(2026, 3, 4)
    clip = uploads / clip_path(
        "porch", midnight - timedelta(seconds=10), midnight + timedelta(20 / 86400)
    )
    shot = uploads / snapshot_path("porch", midnight + timedelta(seconds=5))
    for path in (clip, shot) if clip_first else (shot, clip):
        lay(b"x", path)
        run(is_inspecting=False)
    media = library.media(kind="snapshot")
    assert media.clip_id.tolist() == library.media(kind="clip").media_id.tolist()
    assert media.date.dt.date.tolist() == [midnight.date()]


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_clip_that_no_longer_crosses_midnight_lets_go(
    run: Run, library: Library, uploads: Path, is_gone: bool
) -> None:
    """A clip that is found shorter, or on another day, holds nothing of the next day any more."""
    midnight = datetime(2026, 3, 4)
    begin, end = midnight - timedelta(seconds=10), midnight + timedelta(seconds=20)
    lay(b"x", uploads / clip_path("porch", begin, end))
    lay(b"x", uploads / snapshot_path("porch", begin))
    lay(b"x", uploads / snapshot_path("porch", midnight + timedelta(seconds=5)))
    run(is_inspecting=False)
    assert library.media(kind="snapshot").clip_id.notna().all()
    change = library.catalog.begin()
    day = CameraDay("porch", begin.date())
    uploads = uploads_in(change, day)
    short = [replace(one, end=one.start + timedelta(seconds=5)) for one in uploads]
    settle(change, day, media_table(one for one in short if one.kind != "clip" or not is_gone))
    change.commit()
    held = library.media(kind="snapshot").sort_values("start").clip_id.notna().tolist()
    assert held == [not is_gone, False]


def test_two_files_in_one_second_both_stay(run: Run, library: Library, uploads: Path) -> None:
    """A crop of the same shot shares its second, not its identity."""
    for crop in (0, 1):
        lay(picture(crop), uploads / snapshot_path("porch", NOON, crop))
    run()
    assert library.media().media_id.nunique() == 2


def test_what_is_no_media_is_counted_and_left(run: Run, library: Library, uploads: Path) -> None:
    """Unknown files are told, sidecars ignored, links and pipes passed over; all stay."""
    lay(picture(), uploads / snapshot_path("porch", NOON))
    lay(b"?", uploads / "porch/notes.jpg")
    lay(b"", uploads / "porch/AMC0001_F01N44/DVRWorkDirectory")
    lay(
        b"?",
        uploads / "porch/AMC0001_F01N44/2026-03-03/001/dav/12/12.00.00-12.00.09[M][0@0][0].mp4_",
    )
    (uploads / "porch/away").symlink_to("/etc")
    os.mkfifo(uploads / "porch/pipe.jpg")
    summary = run()
    assert (summary.unknown, summary.ignored, len(summary.skipped)) == (1, 2, 2)
    assert [path for path, _ in summary.unknown_files] == ["porch/notes.jpg"]
    assert len(library.media()) == 1
    assert (uploads / "porch/notes.jpg").exists()


def test_names_that_are_no_utf8_come_and_go_as_text(
    run: Run, library: Library, uploads: Path
) -> None:
    """A folder name of stray bytes stands as %XX in the path and leads back to the file."""
    folder = os.fsencode(uploads) + b"/caf\xe9 100%E9"
    target = Path(os.fsdecode(folder)) / snapshot_path("x", NOON).removeprefix("x/")
    lay(picture(), target)
    run()
    row = library.media().iloc[0]
    assert row["path"].startswith("caf%E9 100%25E9/")
    assert library.source(row).read_bytes() == picture()
    assert run().tally.total == 0


def test_a_configured_camera_has_its_name_folder_and_zone(settings: Settings) -> None:
    """Settings give a folder its camera's name and that camera's clock its zone."""
    assert settings.uploads is not None
    lay(b"x", settings.uploads / snapshot_path("ftp/cam7", NOON))
    said = check(
        {
            "zone": "Europe/Berlin",
            "cameras": [{"name": "Barn", "folder": "ftp/cam7", "zone": "UTC"}],
        }
    ).model_copy(update={"uploads": settings.uploads, "library": settings.library})
    ingest(said, is_inspecting=False)
    row = Library.of(said).media().iloc[0]
    assert row["camera"] == "Barn"
    assert row["start"].isoformat() == "2026-03-03T13:00:00+01:00"


def test_a_renamed_camera_is_joined_to_its_past(settings: Settings, run: Run) -> None:
    """A folder of the past that settings name becomes the camera's own, also what is known."""
    assert settings.uploads is not None
    lay(picture(1), settings.uploads / snapshot_path("cam7", NOON))
    lay(picture(2), settings.uploads / snapshot_path("porch", NOON + timedelta(days=1)))
    run()
    assert Library.of(settings).camera_names() == ["cam7", "porch"]
    joined = check(
        {"zone": "Europe/Berlin", "cameras": [{"name": "porch", "also": ["cam7"]}]}
    ).model_copy(update={"uploads": settings.uploads, "library": settings.library})
    summary = ingest(joined, make_executor=partial(ThreadPoolExecutor, 1))
    media = Library.of(joined).media()
    assert set(media["camera"]) == {"porch"}
    assert media["state"].tolist() == ["complete", "complete"]
    assert not summary.opened
    assert all(Library.of(joined).thumbnail(row).width == 320 for _, row in media.iterrows())


def test_another_zone_in_the_settings_moves_every_row(settings: Settings, run: Run) -> None:
    """A corrected zone is applied to what is known already, without opening a file again."""
    assert settings.uploads is not None
    lay(picture(), settings.uploads / snapshot_path("porch", NOON))
    run()
    moved = settings.model_copy(update={"zone": "America/New_York"})
    summary = ingest(moved, make_executor=partial(ThreadPoolExecutor, 1))
    row = Library.of(moved).media().iloc[0]
    assert row["start"].isoformat() == "2026-03-03T12:00:00-05:00"
    assert row["state"] == "complete"
    assert not summary.opened


def test_a_second_run_leaves_it_to_the_first(settings: Settings, uploads: Path) -> None:
    """While one run holds the lock another says so, and the command exits 0."""
    lay(picture(), uploads / snapshot_path("porch", NOON))
    assert settings.library is not None
    with Storage(settings.library).lock("state/lock"):
        with pytest.raises(LibraryBusy):
            ingest(settings)
        command = [sys.executable, "-m", "pano_analytics.cli", "ingest"]
        command += ["--uploads", str(uploads), "--library", str(settings.library)]
        busy = subprocess.run(command, capture_output=True, text=True, check=False)
    assert busy.returncode == 0
    assert "another run is active" in busy.stderr


def _double(numbers: Sequence[int]) -> list[int]:
    if 13 in numbers:
        os._exit(9)
    return [number * 2 for number in numbers]


def test_a_process_that_dies_loses_nobody_elses_work() -> None:
    """The task that kills its process is given up after two tries; all others are done."""
    blamed = []

    def given_up(number: int, what: str) -> int:
        blamed.append(what)
        return -number

    with Crew(partial(pool, 2), 2, _double, given_up, batch=5) as crew:
        results = list(crew.run(range(40)))
    assert results == [-13 if number == 13 else number * 2 for number in range(40)]
    assert blamed == ["ended its process, twice"]


def _circle(numbers: Sequence[int]) -> list[int]:
    while 13 in numbers:  # what a decoder does that never comes to the end of a file
        pass
    return [number * 2 for number in numbers]


@pytest.mark.long
def test_a_task_without_end_loses_nobody_elses_work() -> None:
    """Who works on one file for too long is killed; that file alone is given up, and why said."""
    blamed = []

    def given_up(number: int, what: str) -> int:
        blamed.append(what)
        return -number

    with Crew(partial(pool, 1), 1, _circle, given_up, batch=5, limit_s=4.0) as crew:
        results = list(crew.run(range(40)))
    assert results == [-13 if number == 13 else number * 2 for number in range(40)]
    assert blamed == ["took longer than 4 s"]


def _open_slowly(root: Path, tasks: Sequence[examine.Task]) -> list[examine.Outcome]:
    while any(task.path.endswith("05[M][0@0][0].jpg") for task in tasks):
        time.sleep(60)
    return examine.open_batch(root, tasks)


@pytest.mark.long
def test_a_file_that_is_read_without_end_is_too_large(
    run: Run, library: Library, uploads: Path
) -> None:
    """A file that no decoder comes to the end of is called too large; its day is complete."""
    for second in (0, 5, 10):
        lay(picture(), uploads / snapshot_path("porch", NOON + timedelta(seconds=second)))
    slow = Crew(
        partial(pool, 1), 1, partial(_open_slowly, uploads), examine.given_up, batch=12, limit_s=8.0
    )
    with slow as openers:
        run(openers=openers)
    media = library.media().sort_values("start")
    assert media.state.tolist() == ["complete", "unsupported", "complete"]
    assert media.state_reason.tolist()[1] == "too large to look at: reading it took longer than 8 s"


def test_the_journal_keeps_arrivals_through_a_new_catalog(
    run: Run, settings: Settings, library: Library, uploads: Path
) -> None:
    """When the catalog is made anew, a file copied since keeps the arrival of its first sight."""
    path = lay(picture(), uploads / snapshot_path("porch", NOON))
    run()
    before = library.media()
    later = datetime.now().timestamp()
    os.utime(path, (later, later))
    for name in ("manifest.json", "state/walk.json"):
        (library.folder / name).unlink()
    run()
    after = library.media()
    assert after.arrived.tolist() == before.arrived.tolist()
    assert after.sha256.tolist() == before.sha256.tolist()
    assert after.media_id.tolist() == before.media_id.tolist()


def test_the_upload_tree_is_only_read(run: Run, uploads: Path) -> None:
    """No name, byte or time in the upload tree is other after ingest than before."""
    lay(picture(), uploads / snapshot_path("porch", NOON))
    lay(b"?", uploads / "porch/notes.jpg")

    def state() -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_size)
            for path in sorted(uploads.rglob("*"))
        }

    before = state()
    run()
    assert state() == before
