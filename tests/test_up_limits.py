"""`pano up` on a small box: one core and 1 GB under load, next to nothing when idle."""

from __future__ import annotations

import os
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from demo_library import CAMERAS, DemoHome, demo_home
from playwright.sync_api import Page
from serving import settle, wait_until
from upping import CAMERA, PASSWORD, Home, descendants, stamp, upping

import pano_analytics
from pano_demo import CAMERAS as ALL
from pano_demo import live

__all__ = ["demo_home"]

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

LIMIT_BYTES = 1 << 30
IDLE_S, IDLE_SHARE = 30.0, 0.02
VISIBLE_S = 2.0


class Box:
    """One core and, where this machine lets us, a control group with 1 GB of memory."""

    def __init__(self) -> None:
        self.group = _control_group()

    def enter(self) -> None:
        """Put this process, and what it starts from now on, into the box."""
        self.cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(self.cores)})

    def leave(self) -> None:
        os.sched_setaffinity(0, self.cores)

    def confine(self, pid: int) -> None:
        for process in (pid, *descendants(pid)):
            if self.group is not None:
                (self.group / "cgroup.procs").write_text(str(process))

    def kills(self) -> int:
        """Return how many processes the kernel ended for want of memory."""
        if self.group is None:
            return 0
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                lines = (self.group / name).read_text().splitlines()
                return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
        return 0

    def close(self) -> None:
        if self.group is not None:
            self.group.rmdir()


def _control_group() -> Path | None:
    name = f"pano-test-{os.getpid()}"
    for root, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = root / name
        with suppress(OSError):
            group.mkdir()
            try:
                (group / limit).write_text(str(LIMIT_BYTES))
                return group
            except OSError:
                group.rmdir()
    return None


def pss_bytes(pid: int) -> int:
    """Return the memory of a process, what it shares counted in shares."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_s(pids: list[int]) -> float:
    """Return the processor time of processes so far."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Scale:
    """Weighs a process and all below it, every half second."""

    def __init__(self, pid: int) -> None:
        self.pid, self.most = pid, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._weigh, daemon=True)
        self._thread.start()

    def _weigh(self) -> None:
        while not self._stop.wait(0.5):
            with suppress(OSError):
                self.most = max(self.most, sum(map(pss_bytes, [self.pid, *descendants(self.pid)])))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Box]]:
    """`pano up` for five cameras in a box of one core and 1 GB."""
    home, box = Home(tmp_path_factory.mktemp("small") / "home"), Box()
    for camera in ALL[:CAMERAS]:
        home.let_in(camera.name)
    box.enter()
    try:
        with upping(home):
            assert home.process is not None
            box.confine(home.process.pid)
            box.leave()
            yield home, box
    finally:
        box.leave()
        box.close()


def test_five_cameras_on_one_core_with_one_gigabyte(
    small: tuple[Home, Box], demo_home: DemoHome, visit: Callable[..., Page]
) -> None:
    """Three days of five cameras by FTP at once, a page open: nothing is killed, all arrives."""
    home, box = small
    assert home.process is not None
    scale = Scale(home.process.pid)
    page = visit(home.url)
    settle(page)
    passwords = {camera.name: PASSWORD for camera in ALL}
    server = live.DemoServer("127.0.0.1", home.ports["receive"], passwords)

    def send_all(camera: str) -> int:
        files = [path for path in (demo_home.uploads / camera).rglob("*[0-9a-z]") if path.is_file()]
        whole = [path for path in sorted(files) if path.suffix in (".jpg", ".mp4", ".dav")]
        taken = 0
        for path in whole:
            place = path.relative_to(demo_home.uploads).as_posix()
            with suppress(*live.ftplib.all_errors):  # the story has cut uploads: refused
                live.send(server, camera, place, path.read_bytes())
                taken += 1
        return taken

    with ThreadPoolExecutor(CAMERAS) as cameras:
        taken = sum(cameras.map(send_all, [camera.name for camera in ALL[:CAMERAS]]))
    library = pano_analytics.open(home.library)

    def states() -> dict[str, int]:
        return dict(library.media(columns=["state"])["state"].value_counts())

    def is_done() -> bool:
        now = states()
        return sum(now.values()) >= taken and not {"unread", "pending"} & set(now)

    try:
        wait_until(is_done, f"not all of {taken} uploads were opened")
    except AssertionError as error:
        error.add_note(f"states: {states()}; health: {home.health()}")
        raise
    scale.close()
    print(f"most memory: {scale.most / 1e6:.0f} MB; {taken} uploads; group: {box.group}")
    assert taken > 500
    assert scale.most < LIMIT_BYTES
    assert box.kills() == 0
    assert {part["restarts"] for part in home.health()[1]["parts"]} == {0}


def test_an_upload_is_visible_within_two_seconds(
    small: tuple[Home, Box], visit: Callable[..., Page]
) -> None:
    """From the last byte, its rename taken, to its tile in a page that is open: the usual time."""
    home, _ = small
    page = visit(f"{home.url}/?mode=files&camera={CAMERA}")
    settle(page)
    took_s = []
    for number in range(7):
        before = page.evaluate(_KEYS)
        home.upload(stamp() - timedelta(seconds=100 - number))
        sent = time.monotonic()
        is_there = f"(before) => ({_KEYS})().some((key) => !before.includes(key))"
        page.wait_for_function(is_there, arg=before, polling=20)
        took_s.append(time.monotonic() - sent)
    print(f"visible after {', '.join(f'{one:.2f}' for one in took_s)} s")
    assert statistics.median(took_s) < VISIBLE_S


_KEYS = "() => [...document.querySelectorAll('#pano-gallery a.tile')].map((one) => one.dataset.key)"


def test_idle_it_takes_next_to_nothing(small: tuple[Home, Box]) -> None:
    """Nothing uploaded, no page open: at most 2 % of a core, all parts together."""
    home, _ = small
    assert home.process is not None
    time.sleep(20)  # the page of the test before is given up by then
    processes = [home.process.pid, *descendants(home.process.pid)]
    before = cpu_s(processes)
    time.sleep(IDLE_S)
    assert set(processes) <= {home.process.pid, *descendants(home.process.pid)}
    share = (cpu_s(processes) - before) / IDLE_S
    print(f"idle: {share:.2%} of a core")
    assert share < IDLE_SHARE


def test_the_box_is_one(small: tuple[Home, Box]) -> None:
    """All parts may use one core only, and where this machine allows it lie in the group."""
    home, box = small
    assert home.process is not None
    for pid in (home.process.pid, *descendants(home.process.pid)):
        assert len(os.sched_getaffinity(pid)) == 1
        if box.group is not None:
            assert str(pid) in (box.group / "cgroup.procs").read_text().split()
    assert shutil.disk_usage(home.library).free
