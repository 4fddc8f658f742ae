"""A library on a disk that fills up: said plainly, nothing lost, healed once there is space."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from shared_files import lay, snapshot_path
from test_ingest import picture
from test_watch import until

from pano_analytics.ingest.run import IngestSummary, ingest
from pano_analytics.library import Library
from pano_analytics.service import schedule
from pano_analytics.settings import Settings, check
from pano_analytics.store.storage import TEMPORARY, StorageFull

NOON = datetime(2026, 3, 3, 12)
FEW, MANY = 3, 40


@pytest.fixture
def settings(tmp_path: Path, disk: Path) -> Settings:
    """Return settings for a library on the small disk that holds FEW uploads, and MANY to come."""
    settings = check({}).model_copy(
        update={"uploads": tmp_path / "uploads", "library": disk / "library"}
    )
    for number in range(FEW):
        lay_one(settings, number)
    run(settings)
    for number in range(FEW, FEW + MANY):
        lay_one(settings, number)
    return settings


def lay_one(settings: Settings, number: int) -> None:
    assert settings.uploads is not None
    start = NOON + timedelta(hours=7 * number)
    lay(picture(number, (640, 360)), settings.uploads / snapshot_path("porch", start))


def run(settings: Settings) -> IngestSummary:
    return ingest(settings, make_executor=partial(ThreadPoolExecutor, 2))


def fill(disk: Path, left_bytes: int) -> Path:
    """Fill the disk but for `left_bytes`; return the ballast."""
    free = os.statvfs(disk)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - left_bytes)))
    return ballast


def names(library: Path) -> set[str]:
    return {path.name for path in library.rglob("*") if path.is_file()}


@pytest.mark.parametrize("left_kb", [0, 4, 40, 120, 240, 400])
def test_a_full_disk_is_said_and_healed(settings: Settings, disk: Path, left_kb: int) -> None:
    """Wherever the space ends, what was shown is shown still, and the next run completes it."""
    assert settings.library is not None
    before = Library.of(settings).media()
    ballast = fill(disk, left_kb << 10)
    with pytest.raises(StorageFull, match="Free some space"):
        run(settings)
    shown = Library.of(settings)
    media = shown.media()
    assert set(before.media_id) <= set(media.media_id)
    for locator in media.thumb.dropna():
        assert shown.thumbnail_bytes(locator)
    assert not [name for name in names(settings.library) if name.endswith(TEMPORARY)]
    ballast.unlink()
    run(settings)
    assert Library.of(settings).media().state.tolist() == ["complete"] * (FEW + MANY)
    packs = {locator.split("/")[-2] for locator in Library.of(settings).media().thumb}
    assert {name for name in names(settings.library) if name.endswith(".pack")} == packs


def test_the_command_says_it_in_one_line(settings: Settings, disk: Path) -> None:
    """The exit code is 9, and no traceback stands in anybody's mail."""
    fill(disk, 0)
    command = [sys.executable, "-m", "pano_analytics.cli", "ingest"]
    command += ["--uploads", str(settings.uploads), "--library", str(settings.library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 9
    assert "the disk or the quota is full" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_watching_run_waits_for_space(
    settings: Settings,
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It says so once, tries again by itself, and shows all when there is space."""
    monkeypatch.setattr(schedule, "RETRY_FULL_S", 0.1)
    ballast = fill(disk, 100 << 10)

    def told(summary: IngestSummary) -> None:
        if summary.files == FEW + MANY and not summary.waiting:
            raise schedule.Stopped

    def watch() -> None:
        with pytest.raises(schedule.Stopped):
            schedule.watch(settings, told)

    watching = threading.Thread(target=watch)
    watching.start()
    until(lambda: "disk or the quota is full" in caplog.text)
    ballast.unlink()
    watching.join(60)
    assert caplog.text.count("disk or the quota is full") == 1
    assert Library.of(settings).media().state.tolist() == ["complete"] * (FEW + MANY)
