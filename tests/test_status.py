"""Status: what a monitor reads is there, true, and leads to the right exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from lived_in import fresh, lay, picture, run
from older import with_one_manifest
from shared_files import snapshot_path

from pano_analytics import status
from pano_analytics.cli import pano
from pano_analytics.errors import AttentionNeeded, LibraryError, UploadTreeError
from pano_analytics.settings import Settings
from pano_analytics.store import runs
from pano_analytics.store.catalog import Catalog
from pano_analytics.store.locks import LOCK
from pano_analytics.store.storage import Storage

KEYS = {
    "now", "library", "uploads", "generation", "is_running", "last_run", "rows", "snapshots",
    "clips", "waiting", "states", "cameras", "culling", "up", "problems", "is_healthy", "unread",
    "receive", "unreadable", "skipped", "journal_torn", "clock_errors",
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a library with one upload of today."""
    settings = fresh(tmp_path)
    lay(picture(1), tmp_path / "uploads" / snapshot_path("porch", datetime.now()))
    run(settings)
    return settings


@pytest.fixture
def storage(settings: Settings) -> Storage:
    assert settings.library is not None
    return Storage(settings.library)


def words(told: dict[str, object]) -> list[str]:
    problems = told["problems"]
    assert isinstance(problems, list)
    return [one["what"] for one in problems]


def altered(storage: Storage, **changes: object) -> None:
    """Write the heartbeat otherwise."""
    beat = runs.read(storage)
    assert beat is not None
    storage.replace(runs.NAME, json.dumps({**beat, **changes}).encode())


def test_a_healthy_library_tells_all_its_keys(settings: Settings) -> None:
    """The documented keys are there, and plain JSON."""
    told = json.loads(status.as_json(status.collect(settings, 30)))
    assert set(told) == KEYS
    assert (told["is_healthy"], told["problems"]) == (True, [])
    assert (told["rows"], told["snapshots"], told["clips"], told["waiting"]) == (1, 1, 0, 0)
    assert told["states"] == {"complete": 1}
    assert (told["generation"], told["is_running"]) == (2, False)
    [camera] = told["cameras"]
    assert (camera["camera"], camera["is_silent"], camera["silent_after_hours"]) == (
        *("porch", False, 24),
    )
    assert told["uploads"]["is_reachable"]
    assert 0 < told["uploads"]["free_bytes"] <= told["uploads"]["size_bytes"]
    run_told = told["last_run"]
    assert set(run_told) == {"pid", "started", "finished", "exit", "error", "summary", "age_s"}
    assert (run_told["exit"], run_told["error"]) == (0, None)
    assert (run_told["summary"]["files"], run_told["summary"]["new"]) == (1, 1)


def test_every_key_and_problem_is_documented() -> None:
    """docs/operations.md names all that a monitor may meet."""
    page = (Path(__file__).parents[1] / "docs/operations.md").read_text(encoding="utf-8")
    assert [key for key in (*KEYS, *status.PROBLEMS) if f"`{key}`" not in page] == []


def test_a_silent_camera_is_a_problem(settings: Settings, storage: Storage) -> None:
    """A camera that is set, or was heard of, and sends nothing any more is named."""
    assert settings.uploads is not None
    old = datetime.now() - timedelta(days=2)
    lay(picture(2), settings.uploads / snapshot_path("garden", old), old)
    run(settings)
    told = status.collect(settings)
    assert words(told) == ["camera_silent"]
    assert "garden" in told["problems"][0]["detail"]


def test_a_run_that_failed_leaves_its_word(settings: Settings, tmp_path: Path) -> None:
    """The heartbeat of a run that could not go on says so, with its exit code."""
    assert settings.uploads is not None
    for path in sorted(settings.uploads.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(UploadTreeError):
        run(settings)
    told = status.collect(settings)
    assert words(told) == ["uploads_unreachable", "last_run_failed"]
    assert told["last_run"]["exit"] == 3
    assert "mounted" in told["last_run"]["error"]


def test_a_missing_upload_root_is_a_problem(settings: Settings) -> None:
    """Status answers where the uploads' disk is not there at all."""
    assert settings.uploads is not None
    settings.uploads.rename(settings.uploads.with_name("elsewhere"))
    told = status.collect(settings)
    assert words(told) == ["uploads_unreachable"]
    assert told["uploads"]["free_bytes"] is None


@pytest.mark.parametrize(("minutes", "expected"), [(None, []), (119, ["stale"]), (121, [])])
def test_an_old_heartbeat_is_stale_if_asked(
    settings: Settings, storage: Storage, minutes: float | None, expected: list[str]
) -> None:
    """Who asks for a run every so many minutes is told when there was none."""
    altered(storage, finished=(datetime.now(UTC) - timedelta(hours=2)).isoformat())
    assert words(status.collect(settings, minutes)) == expected


class Stopped(BaseException):
    """Stands for whatever ends a run that is no error."""


@pytest.mark.parametrize(
    ("ending", "code", "expected"),
    [
        (KeyboardInterrupt(), 130, []),
        (Stopped(), 143, []),
        (ValueError("a bug"), 1, ["last_run_failed"]),
        (LibraryError("no"), 4, ["last_run_failed"]),
    ],
)
def test_how_a_run_ended_is_told(
    settings: Settings, storage: Storage, ending: BaseException, code: int, expected: list[str]
) -> None:
    """A run that somebody ended is no failure; an error is, with its exit code and words."""
    with pytest.raises(type(ending)), runs.beating(storage):
        raise ending
    told = status.collect(settings)
    assert told["last_run"]["exit"] == code
    assert told["last_run"]["error"] == (str(ending) or type(ending).__name__)
    assert words(told) == expected


def test_no_heartbeat_is_no_run(settings: Settings, storage: Storage) -> None:
    """A torn heartbeat, or one of another format, is none."""
    for data in (b"{", b"[]", b'{"format": 99}'):
        storage.replace(runs.NAME, data)
        told = status.collect(settings)
        assert (told["last_run"], words(told)) == (None, ["never_ran"])


def test_an_unreadable_part_is_a_problem(settings: Settings, storage: Storage) -> None:
    """Status says so and goes on: a monitor needs an answer then most of all."""
    for name in storage.files("parts/media"):
        storage.path(name).write_bytes(b"torn")
    assert words(status.collect(settings)) == ["part_unreadable"]


def test_states_are_told_without_opening_old_days(settings: Settings, storage: Storage) -> None:
    """The manifest counts them; where it was written before it did, the parts are asked."""
    assert settings.uploads is not None
    earlier = datetime.now() - timedelta(days=2)
    lay(picture(2), settings.uploads / snapshot_path("porch", earlier))
    run(settings)
    days = Catalog(storage).manifest().media
    oldest = days[min(days)].path
    whole = storage.read(oldest)
    storage.path(oldest).write_bytes(b"torn")
    assert status.collect(settings)["states"] == {"complete": 2}
    with_one_manifest(storage, without=["states"])
    assert status.collect(settings)["states"] is None
    storage.path(oldest).write_bytes(whole)
    assert status.collect(settings)["states"] == {"complete": 2}


def test_a_run_at_work_is_seen_and_not_disturbed(settings: Settings, storage: Storage) -> None:
    """Whoever holds the lock is at work; asking takes nothing from him, and writes nothing."""
    program = (
        "import sys; from pathlib import Path; from pano_analytics.store.storage import Storage\n"
        f"with Storage(Path(sys.argv[1])).lock({LOCK!r}): print(flush=True); sys.stdin.read()"
    )
    before = {name: storage.path(name).stat().st_mtime_ns for name in storage.files(".")}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(storage.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert status.collect(settings)["is_running"]
        other.communicate()
    assert not status.collect(settings)["is_running"]
    assert {name: storage.path(name).stat().st_mtime_ns for name in storage.files(".")} == before


def test_who_was_turned_away_leaves_no_heartbeat(settings: Settings, storage: Storage) -> None:
    """Only the holder of the lock tells of a run."""
    before = storage.read(runs.NAME)
    with storage.lock(LOCK), pytest.raises(LibraryError):
        run(settings)
    assert storage.read(runs.NAME) == before


def test_no_library_is_told(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="pano ingest"):
        status.collect(fresh(tmp_path))


def test_the_command_exits_0_or_8(settings: Settings) -> None:
    """Healthy is 0; a problem is 8, printed in words and named on stderr."""
    where = ["--uploads", str(settings.uploads), "--library", str(settings.library)]
    well = CliRunner().invoke(pano, ["status", *where])
    assert well.exit_code == 0, well.output
    assert well.stdout.splitlines()[-1] == "healthy"
    assert "porch: 1 row," in well.stdout
    ill = CliRunner().invoke(pano, ["status", *where, "--json", "--max-age", "0.000001"])
    assert isinstance(ill.exception, AttentionNeeded)
    assert (ill.exception.exit_code, str(ill.exception)) == (8, "status: stale")
    assert json.loads(ill.stdout)["is_healthy"] is False


def test_people_are_told_times_of_their_zone(settings: Settings) -> None:
    """Text is on the clock of the settings, JSON in UTC; seconds count as people say them."""
    told = status.collect(settings)
    run_told, [camera] = told["last_run"], told["cameras"]
    run_told.update(finished="2026-07-01T22:30:00+00:00", age_s=1.2)
    camera.update(is_silent=True, arrived="2026-01-01T23:30:00+00:00")
    told["problems"] = [{"what": "camera_silent", "detail": f"nothing since {camera['arrived']}"}]
    said = "\n".join(status.in_words(told, ZoneInfo("Europe/Berlin")))
    assert "1 second ago (2026-07-02 00:30:00+02:00)" in said
    assert "nothing since 2026-01-02 00:30:00+01:00" in said
    assert "+00:00" not in said
    assert "2026-07-01T22:30:00+00:00" in status.as_json(told)
