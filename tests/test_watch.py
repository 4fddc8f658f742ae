"""`pano ingest --watch`, its log, and how a run is ended."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from killing import workers_of
from shared_files import clip_path, lay, snapshot_path
from test_ingest import picture

from pano_analytics import logs
from pano_analytics.errors import SettingsError
from pano_analytics.ingest import changes as changes_room
from pano_analytics.ingest.changes import Notified, Polled, file_system_of, is_networked, listen
from pano_analytics.ingest.run import IngestSummary, ingest, ingest_folders
from pano_analytics.library import Library
from pano_analytics.service import schedule
from pano_analytics.settings import Settings, check
from pano_analytics.store.storage import Storage

PATIENCE_S = 60.0


def settings_of(folder: Path) -> Settings:
    """Return settings for uploads and a library below `folder`."""
    (folder / "uploads").mkdir(exist_ok=True)
    return check({"ingest": {"quiet_s": 2}}).model_copy(
        update={"uploads": folder / "uploads", "library": folder / "library"}
    )


def until(fact: Callable[[], Any]) -> None:
    """Wait until `fact` holds."""
    end = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@dataclass
class Watched:
    """A watching ingest in a process of its own."""

    folder: Path
    settings: Settings
    process: subprocess.Popen[str]

    @property
    def uploads(self) -> Path:
        return self.folder / "uploads"

    def states(self) -> dict[str, str]:
        """Return path -> state as the library shows it now."""
        media = Library.of(self.settings).media(columns=["path", "state"])
        return dict(zip(media.path, media.state, strict=True))

    def until_shown(self, path: Path, state: str = "complete") -> None:
        name = path.relative_to(self.uploads).as_posix()
        until(lambda: self.states().get(name) == state)

    def log(self) -> str:
        return (self.folder / "ingest.log").read_text()


def begin(folder: Path, *options: str) -> Watched:
    """Start `pano ingest --watch` and wait for its first run."""
    settings = settings_of(folder)
    (folder / "pano.toml").write_text(
        'uploads = "uploads"\nlibrary = "library"\n[ingest]\nquiet_s = 2\n'
    )
    command = [sys.executable, "-m", "pano_analytics.cli", "ingest", "--watch", *options]
    command += ["--config", str(folder / "pano.toml"), "--log", str(folder / "ingest.log")]
    output = (folder / "output").open("w")
    process = subprocess.Popen(command, stdout=output, stderr=output, text=True)
    return Watched(folder, settings, process)


@pytest.fixture(scope="module", params=["told", "asking"])
def watched(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """A watching ingest on a tree with one upload in it, told by the kernel or polling."""
    folder = tmp_path_factory.mktemp("watched")
    settings_of(folder)
    first = lay(picture(), folder / "uploads" / snapshot_path("porch", datetime(2026, 3, 3)))
    one = begin(folder, *(["--poll"] if request.param == "asking" else []))
    try:
        one.until_shown(first)
        yield one
        assert one.process.poll() is None, (folder / "output").read_text()
    finally:
        one.process.terminate()
        assert one.process.wait(PATIENCE_S) == 0, (folder / "output").read_text()


def test_what_comes_is_shown(watched: Watched) -> None:
    """An upload of now, of long ago, and of a camera never seen are each brought in."""
    now = datetime.now()
    for place in (
        snapshot_path("porch", now),
        snapshot_path("porch", datetime(2026, 3, 3, 12)),
        snapshot_path("barn", datetime(2021, 3, 6)),
        f"pool/snap/MDAlarm_{now:%Y%m%d-%H%M%S}.jpg",
    ):
        watched.until_shown(lay(picture(7), watched.uploads / place, now))


def test_an_upload_renamed_at_its_end_is_shown(watched: Watched) -> None:
    """A camera marks what it is still writing in the name; the rename is the end."""
    start = datetime.now()
    name = clip_path("porch", start, start + timedelta(seconds=9), "mp4")
    part = lay(b"no clip", watched.uploads / f"{name}_")
    part.rename(watched.uploads / name)
    watched.until_shown(watched.uploads / name, "damaged")


def test_an_upload_in_pieces_comes_to_be_whole(watched: Watched) -> None:
    """What was looked at half-way is looked at again when the rest has come."""
    start, data = datetime.now() - timedelta(minutes=9), picture(9, (1280, 720))
    path = watched.uploads / snapshot_path("porch", start)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.write(data[: len(data) // 2])
        file.flush()
        watched_before = lay(picture(8), path.with_name("59[M][0@0][0].jpg"), datetime.now())
        watched.until_shown(watched_before)
        file.write(data[len(data) // 2 :])
    watched.until_shown(path)


def test_what_a_camera_gave_up_on_is_judged_once_quiet(watched: Watched) -> None:
    """Half a picture is pending at first, and partial when no more came."""
    start, data = datetime.now() - timedelta(minutes=7), picture(9, (1280, 720))
    path = watched.uploads / snapshot_path("porch", start)
    watched.until_shown(lay(data[: len(data) // 2], path, datetime.now()), "partial")


def test_a_lock_that_is_held_is_waited_for(watched: Watched) -> None:
    """While another run is at work nothing is lost; after it, all is shown."""
    with Storage(watched.folder / "library").lock("state/lock", wait=True):
        path = lay(picture(5), watched.uploads / snapshot_path("gate", datetime.now()))
        until(lambda: "another run is active" in watched.log())
    watched.until_shown(path)


def test_a_decoder_that_dies_takes_nothing_along(watched: Watched) -> None:
    """When the process that opens files is killed, another one opens the next file."""
    until(lambda: workers_of(watched.process.pid))
    for worker in workers_of(watched.process.pid):
        os.kill(worker, signal.SIGKILL)
    path = watched.uploads / snapshot_path("porch", datetime.now() - timedelta(minutes=3))
    watched.until_shown(lay(picture(6), path))


def test_an_upload_tree_that_went_is_waited_for(tmp_path: Path) -> None:
    """Unmounted and empty, no row goes missing; when the tree is back so is the watch.

    An interrupt ends it with 130, and its processes with it.
    """
    settings_of(tmp_path)
    place = tmp_path / "uploads" / snapshot_path("porch", datetime.now())
    lay(picture(), place)
    one = begin(tmp_path, "--quiet")
    try:
        one.until_shown(place)
        one.uploads.rename(tmp_path / "elsewhere")
        until(lambda: "Is its disk mounted?" in one.log())
        one.uploads.mkdir()
        until(lambda: "the folder is empty" in one.log())
        assert list(one.states().values()) == ["complete"]
        one.uploads.rmdir()
        (tmp_path / "elsewhere").rename(one.uploads)
        until(lambda: "Working again." in one.log())
        one.until_shown(lay(picture(2), one.uploads / snapshot_path("gate", datetime.now())))
    finally:
        one.process.send_signal(signal.SIGINT)
        code = one.process.wait(PATIENCE_S)
    assert code == 130
    assert " WARNING " in one.log()
    with Storage(tmp_path / "library").lock("state/lock"):
        pass
    found = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, check=False)
    assert not found.stdout


def is_waiting_for_a_lock(pid: int) -> bool:
    """Tell by the kernel's table of locks, where who waits stands behind an arrow."""
    waiting = (line for line in Path("/proc/locks").read_text().splitlines() if "->" in line)
    return any(str(pid) in line.split() for line in waiting)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_stopped_says_so(tmp_path: Path, number: int, code: int) -> None:
    """A run stopped by its manager or at the keyboard ends at once with its own exit code."""
    settings = settings_of(tmp_path)
    assert settings.library is not None
    command = [sys.executable, "-m", "pano_analytics.cli", "ingest", "--wait"]
    command += ["--uploads", str(settings.uploads), "--library", str(settings.library)]
    with Storage(settings.library).lock("state/lock"):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        until(lambda: is_waiting_for_a_lock(process.pid))
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    assert "Traceback" not in said


class _Enough(BaseException):
    """What ends a watch within this process."""


def test_the_executor_that_is_given_opens_the_files(tmp_path: Path) -> None:
    """Watching starts no process of its own where it is given something that works."""
    settings = settings_of(tmp_path)
    assert settings.uploads is not None
    assert settings.library is not None
    lay(picture(), settings.uploads / snapshot_path("porch", datetime(2026, 3, 3)))
    threads: list[ThreadPoolExecutor] = []

    def make_executor() -> ThreadPoolExecutor:
        threads.append(ThreadPoolExecutor(1))
        return threads[-1]

    def told(summary: IngestSummary) -> None:
        assert not workers_of(os.getpid())
        raise _Enough

    with pytest.raises(_Enough):
        schedule.watch(settings, told, make_executor=make_executor)
    assert len(threads) == 1
    assert Library.of(settings).media()["state"].tolist() == ["complete"]


def test_only_the_folders_told_are_looked_at(tmp_path: Path) -> None:
    """What lies elsewhere waits for the next ordinary run; a folder that went does no harm."""
    settings = settings_of(tmp_path)
    assert settings.uploads is not None
    for camera in ("porch", "barn"):
        lay(picture(), settings.uploads / snapshot_path(camera, datetime(2026, 3, 3)))
    folder = Path(snapshot_path("porch", datetime(2026, 3, 3))).parent.as_posix()
    summary = ingest_folders(settings, [folder, "porch/gone", "never"])
    assert (summary.tally.new, summary.opened) == (1, {"complete": 1})
    assert Library.of(settings).camera_names() == ["porch"]
    assert ingest(settings, is_inspecting=False).tally.new == 1


@pytest.mark.parametrize("kind", [Notified, Polled])
def test_new_folders_find_room(
    tmp_path: Path, kind: type[Notified] | type[Polled], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not all can be watched, the newest are, and each new one is told."""
    monkeypatch.setattr(changes_room, "ROUND_S", 0.02)
    start = datetime(2026, 3, 3)
    for day in range(4):
        lay(b"x", tmp_path / snapshot_path("porch", start + timedelta(days=day)))
    with closing(kind(tmp_path, most=24)) as changes:
        assert changes.is_partial
        for hour in range(24):
            path = tmp_path / snapshot_path("porch", start + timedelta(days=4, hours=hour))
            lay(b"x", path, datetime.now())
            until_told(changes, path.parent.relative_to(tmp_path).as_posix())


def until_told(changes: Notified | Polled, folder: str) -> None:
    """Wait until `changes` tells of `folder`."""
    until(lambda: folder in changes.wait(0.1))


MOUNTS = rb"""21 1 254:0 / / rw - ext4 /dev/vda rw
30 21 0:40 / /srv rw - tmpfs tmpfs rw
31 30 0:41 / /srv/my\040box rw shared:1 - nfs4 box:/export rw
32 31 0:42 / /srv/my\040box rw - cifs //box rw
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        (b"/srv/my box/ftp", "cifs"),
        (b"/srv/my boxes", "tmpfs"),
        (b"/srv", "tmpfs"),
        (b"/srvs", "ext4"),
    ],
)
def test_the_file_system_of_a_place(place: bytes, kind: str) -> None:
    """The longest mount point above a place holds it; of two on one point the later."""
    assert file_system_of(place, MOUNTS) == kind


def test_the_kernel_is_asked_where_it_knows(tmp_path: Path) -> None:
    """On a disk of this machine the kernel tells; polling only where it was asked for."""
    if is_networked(tmp_path):
        pytest.skip("the temporary folder is on a network file system")
    assert isinstance(listen(tmp_path), Notified)
    assert isinstance(listen(tmp_path, is_polling=True), Polled)


@pytest.fixture
def clean_log() -> Iterator[None]:
    yield
    for handler in schedule.log.handlers[:]:
        schedule.log.removeHandler(handler)
        handler.close()


@pytest.mark.usefixtures("clean_log")
def test_the_log_rotates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full, it goes on under a new name; the oldest goes; a message is one line in ISO time."""
    monkeypatch.setattr(logs, "LOG_BYTES", 300)
    monkeypatch.setattr(logs, "LOG_FILES", 2)
    schedule.log_to(tmp_path / "pano.log", settings_of(tmp_path))
    for number in range(20):
        schedule.log.warning("a name with\na line in it, %s", number)
    names = sorted(path.name for path in tmp_path.glob("pano.log*"))
    assert names == ["pano.log", "pano.log.1", "pano.log.2"]
    last = (tmp_path / "pano.log").read_text().splitlines()[-1]
    stamp, level, said = last.split(" ", 2)
    assert datetime.fromisoformat(stamp).tzinfo is not None
    assert (level, said) == ("WARNING", "a name with a line in it, 19")
    assert logging.getLogger().handlers == [] or schedule.log.propagate


@pytest.mark.parametrize("place", ["uploads/pano.log", "nowhere/pano.log"])
def test_a_log_that_cannot_be_is_refused(tmp_path: Path, place: str) -> None:
    """Nothing of ours lies in the upload tree, and a folder that is not there is said."""
    with pytest.raises(SettingsError, match="log file"):
        schedule.log_to(tmp_path / place, settings_of(tmp_path))


def test_polling_sees_late_uploads_into_recent_days_in_a_few_rounds(tmp_path: Path) -> None:
    """A folder of the day before yesterday that was long quiet is asked every other round."""
    today, long_ago = datetime.now(), time.time() - 86_400
    for number in range(1500):
        moment = today.replace(hour=12, minute=0) - timedelta(days=number % 3, minutes=number)
        path = lay(b"x", tmp_path / snapshot_path("porch", moment))
        os.utime(path.parent, (long_ago, long_ago))
    changes = Polled(tmp_path)
    late = lay(b"y", path.with_name("58[M][0@0][0].jpg"))
    for _ in range(4):
        changes._round()
    assert late.parent.relative_to(tmp_path).as_posix() in changes.wait(0)
