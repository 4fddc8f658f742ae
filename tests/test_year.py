"""A year of uploads and culls, compressed: memory, file handles, logs and catalog stay flat."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from clocks import Box, box_at
from serving import make_clip, wait_until
from shared_files import clip_path, lay, snapshot_path
from upping import CAMERA, Home, children, descendants, picture, stamp, upping

from pano_analytics.ingest import examine
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.service import schedule
from pano_analytics.settings import Settings, check
from pano_analytics.store import catalog
from pano_analytics.upkeep import culling
from pano_analytics.workers.crew import Crew

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

CAMERAS = ("porch", "yard")
KEPT_DAYS, ROWS_DAYS = 5, 10
EARLY, LAST = 60, 365


@dataclass(frozen=True)
class Measured:
    """What is to stay flat."""

    rss_kb: int
    handles: int
    uploads: int
    parts: int
    journal_files: int
    files: int
    size_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> Measured:
        assert settings.library is not None
        assert settings.uploads is not None
        gc.collect()
        files = [path for path in settings.library.rglob("*") if path.is_file()]
        return cls(
            rss_kb(os.getpid()),
            handles(os.getpid()),
            sum(path.is_file() for path in settings.uploads.rglob("*.*")),
            len([path for path in files if path.suffix == ".parquet"]),
            len([path for path in files if "journal" in path.parts]),
            len(files),
            sum(path.stat().st_size for path in files),
        )


def rss_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def handles(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def lay_day(settings: Settings, day: datetime, clip: bytes) -> None:
    """Lay a morning's uploads of each camera, as they arrived on that day."""
    assert settings.uploads is not None
    for number, camera in enumerate(CAMERAS):
        for minute in (0, 7):
            at = day + timedelta(hours=9, minutes=minute + number)
            lay(picture(minute), settings.uploads / snapshot_path(camera, at), at)
        start, end = day + timedelta(hours=10), day + timedelta(hours=10, seconds=2)
        lay(clip, settings.uploads / clip_path(camera, start, end, "mp4"), end)


def live_through(
    settings: Settings, days: range, first: datetime, clip: bytes, openers: Crew, box: Box
) -> None:
    """Let days pass: uploads, ingest, a question, the nightly culling."""
    for number in days:
        day = first + timedelta(days=number)
        lay_day(settings, day, clip)
        box.until((day + timedelta(hours=11)).replace(tzinfo=UTC))
        schedule.log.info("%s", ingest(settings, openers=openers))
        box.until((day + timedelta(hours=23)).replace(tzinfo=UTC))
        culling.cull(settings)
        Library.of(settings).media(camera="porch", start=day, end=day + timedelta(days=1))


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is one: a year of syncing is the disk's time, not ours."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def test_a_year(quick_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From day 60 to day 365 nothing grows; uploads are those of the days kept."""
    # Ten minutes of real time are a month here.
    monkeypatch.setattr(catalog, "GRACE_S", 0.0)
    settings = check(
        {
            "uploads": str(quick_folder / "uploads"),
            "library": str(quick_folder / "library"),
            "zone": "UTC",
            "keep_days": KEPT_DAYS,
            "cull": {"rows_days": ROWS_DAYS},
        }
    )
    clip = make_clip(quick_folder / "clip.mp4", seconds=2).read_bytes()
    first = datetime.combine(datetime.now().date(), datetime.min.time()) - timedelta(days=LAST)
    log = quick_folder / "ingest.log"
    schedule.log_to(log, settings)
    lay_day(settings, first, clip)
    box = box_at(monkeypatch, (first + timedelta(hours=11)).replace(tzinfo=UTC))
    ingest(settings)
    culling.adopt(settings)
    try:
        with examine.crew(settings.the_uploads(), partial(ThreadPoolExecutor, 1), 1) as openers:
            live_through(settings, range(EARLY), first, clip, openers, box)
            early = Measured.of(settings)
            live_through(settings, range(EARLY, LAST), first, clip, openers, box)
            late = Measured.of(settings)
    finally:
        schedule.log.handlers.pop().close()
    print(f"\nday {EARLY}: {early}\nday {LAST}: {late}\nlog: {log.stat().st_size} bytes")
    assert late.uploads == early.uploads
    assert early.uploads <= len(CAMERAS) * 3 * (KEPT_DAYS + 1) + 1
    assert late.parts <= early.parts + 4
    assert late.journal_files <= early.journal_files + 4
    assert late.files <= early.files + 8
    assert late.handles <= early.handles
    assert late.rss_kb <= early.rss_kb * 1.15
    assert log.stat().st_size <= 1_000_000
    rows = Library.of(settings).media()
    assert set(rows["state"]) == {"complete", "culled"}
    assert len(rows) == len(rows["media_id"].unique())
    assert len(rows) <= len(CAMERAS) * 3 * (KEPT_DAYS + ROWS_DAYS + 2)


def test_parts_of_pano_up_stay_flat(tmp_path: Path) -> None:
    """Hundreds of uploads by FTP through `pano up`: no part gains memory, handles or children."""
    home = Home(tmp_path / "home")
    home.let_in()
    with upping(home):
        assert home.process is not None
        begun = stamp() - timedelta(hours=20)
        _upload(home, begun, range(100))
        early = _weigh(home)
        _upload(home, begun, range(100, 500))
        late = _weigh(home)
    print(f"\nafter 100 uploads: {early}\nafter 500 uploads: {late}")
    assert late.keys() == early.keys()
    for part, (rss, open_files) in late.items():
        assert rss <= early[part][0] * 1.15 + 2000, part
        assert open_files <= early[part][1] + 2, part


def _upload(home: Home, begun: datetime, numbers: range) -> None:
    for number in numbers:
        home.upload(begun + timedelta(minutes=number))
    library = Library.of(Settings(uploads=home.uploads, library=home.library, zone="UTC"))

    def is_done() -> bool:
        frame = library.media(camera=CAMERA, columns=["state"])
        return len(frame) == numbers.stop and set(frame["state"]) == {"complete"}

    wait_until(is_done, "not all came in")


def _weigh(home: Home) -> dict[str, tuple[int, int]]:
    """Return RSS (KB) and open files of the supervisor and of each part with all below it."""
    assert home.process is not None
    weighed = {"supervisor": (rss_kb(home.process.pid), handles(home.process.pid))}
    for name in ("receive", "ingest", "serve"):
        pids = [home.pid_of(name), *descendants(home.pid_of(name))]
        weighed[name] = (sum(map(rss_kb, pids)), sum(map(handles, pids)))
    assert len(children(home.process.pid)) == 3
    return weighed
