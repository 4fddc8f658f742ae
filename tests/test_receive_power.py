"""What `pano receive` acknowledged survives a power cut, a kill and a failing disk at any call."""

from __future__ import annotations

import errno
import ftplib
import io
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from failing import points
from power import KINDS, Disk, Kind
from receiving import PASSWORD, PATIENCE_S, TINY_JPEG, let_in, settings_of, store, until

from pano_analytics.layouts.later import split
from pano_analytics.receive import records
from pano_analytics.settings import Settings
from pano_analytics.store.storage import Storage

pytest.importorskip("pyftpdlib")

MOST = 20
OTHER = TINY_JPEG.replace(b"\x11", b"\x12")
FOLDERS = ("2026-11-22", "2026-11-22/001", "2026-11-22/001/jpg", "2026-11-22/001/jpg/10")
DEEP = FOLDERS[-1]


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    settings = settings_of(tmp_path)
    let_in(settings, "porch")
    return settings


@pytest.fixture
def disk(here: Settings, tmp_path: Path) -> Disk:
    assert here.uploads is not None
    return Disk.made(here.uploads, tmp_path / "device")


@contextmanager
def receiving(here: Settings, disk: Disk, **how: Any) -> Iterator[int]:
    """Run `pano receive` on the disk; give its port. It may be dead at the end.

    What it says goes to the file `log` beside the library.
    """
    assert here.library is not None
    (here.library / records.NAME).unlink(missing_ok=True)
    toml = here.library.parent / "pano.toml"
    toml.write_text("[receive]\naddress = '127.0.0.1'\nport = 0\nkeep_free_mb = 0\ntls = 'off'\n")
    command = [sys.executable, "-m", "pano_analytics.cli", "receive", "--config", str(toml)]
    command += ["--uploads", str(here.uploads), "--library", str(here.library)]
    storage, log = Storage(here.library), log_of(here)
    with (
        log.open("wb") as said,
        subprocess.Popen(
            command, env=disk.env(**how), stdout=subprocess.DEVNULL, stderr=said
        ) as server,
    ):
        until(lambda: records.read(storage) or server.poll() is not None)
        try:
            yield int((records.read(storage) or {}).get("port", 0))
        finally:
            if server.poll() is None:
                server.terminate()
            server.wait(PATIENCE_S)
    assert "Traceback" not in log.read_text(), log.read_text()


def log_of(here: Settings) -> Path:
    assert here.library is not None
    return here.library.parent / "log"


def connect(port: int) -> ftplib.FTP:
    ftp = ftplib.FTP(encoding="utf-8")
    ftp.connect("127.0.0.1", port, timeout=PATIENCE_S)
    ftp.login("porch", PASSWORD)
    return ftp


Held = tuple[str, bytes]


class Known(NamedTuple):
    """What is certain from a moment on: folders, and bytes under a name or its later ones.

    `going` are bytes that may go, for `coming` ones that then have to be there.
    """

    moment: int
    folders: frozenset[str]
    held: frozenset[Held]
    going: Held | None = None
    coming: Held | None = None


class Model:
    """What was acknowledged, by moments."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.known = [Known(0, frozenset(), frozenset())]

    @contextmanager
    def step(self, coming: Held | str, going: Held | None = None) -> Iterator[None]:
        """Do something that, once it is acknowledged, is there: bytes, or a folder."""
        last = self.known[-1]
        if isinstance(coming, str):
            yield
            self.known.append(Known(self.disk.moment(), last.folders | {coming}, last.held))
            return
        self.known.append(Known(self.disk.moment(), last.folders, last.held, going, coming))
        yield
        held = last.held - {going} | {coming}
        self.known.append(Known(self.disk.moment(), last.folders, frozenset(held)))

    def check(self, root: Path, moment: int) -> None:
        """Hold what is at `root` against all that was acknowledged until a moment."""
        known = [one for one in self.known if one.moment <= moment][-1]
        there = {
            (split(path.relative_to(root).as_posix())[0], path.read_bytes())
            for path in root.rglob("*")
            if path.is_file()
        }
        wanted = known.held - {known.going} if known.coming in there else known.held
        assert {one for one in known.folders if not (root / one).is_dir()} == set()
        assert {name for name, data in wanted - there} == set()


def use(ftp: ftplib.FTP, model: Model) -> None:
    """Do all that a camera can do that is acknowledged."""
    for folder in FOLDERS:
        with model.step(f"porch/{folder}"):
            ftp.mkd(folder)
    for name, data in (("a.jpg", TINY_JPEG), ("a.jpg", OTHER), ("a.jpg", TINY_JPEG)):
        with model.step(held(name, data)):
            store(ftp, f"{DEEP}/{name}", data)
    for data in (TINY_JPEG, OTHER):
        with model.step(held("b.jpg_", data)):
            store(ftp, f"{DEEP}/b.jpg_", data)
        with model.step(held("b.jpg", data), held("b.jpg_", data)):
            ftp.rename(f"{DEEP}/b.jpg_", f"{DEEP}/b.jpg")
    for start, end in ((0, 1000), (1000, 2000), (2000, len(TINY_JPEG))):
        with model.step(held("c.jpg", TINY_JPEG[:end]), held("c.jpg", TINY_JPEG[:start])):
            store(ftp, f"{DEEP}/c.jpg", TINY_JPEG[start:end], "APPE")
    with model.step(held("d.jpg", TINY_JPEG[:1000])):
        store(ftp, f"{DEEP}/d.jpg", TINY_JPEG[:1000], "APPE")
    with model.step(held("d.jpg", TINY_JPEG), held("d.jpg", TINY_JPEG[:1000])):
        ftp.storbinary(f"STOR {DEEP}/d.jpg", io.BytesIO(TINY_JPEG[700:]), rest=700)


def held(name: str, data: bytes) -> Held:
    return f"porch/{DEEP}/{name}", data


def test_the_order_of_an_upload(here: Settings, disk: Disk) -> None:
    """Bytes synced, then the name, then the folder synced, then the answer."""
    with receiving(here, disk) as port, connect(port) as ftp:
        ftp.mkd("day")
        store(ftp, "day/x.jpg", TINY_JPEG)
        store(ftp, "day/y.jpg_", TINY_JPEG)
        began = disk.moment()
        ftp.rename("day/y.jpg_", "day/y.jpg")
    root = f"{here.uploads}/porch"
    calls = disk.calls()

    def at(call: str, path: str, after: int = 0) -> int:
        found = [n for n, one in enumerate(calls) if n > after and one[0] == call]
        return next(n for n in found if calls[n][1].startswith(path))

    made = at("mkdir", f"{root}/day")
    assert made < at("fsync", root, made) < at("send", "257")
    part = at("open", f"{root}/day/.x.jpg.")
    synced = at("fsync", f"{root}/day/.x.jpg.")
    named = at("rename", f"{root}/day/x.jpg")
    assert part < synced < named < at("fsync", f"{root}/day", named) < at("send", "226", part)
    since = len(disk.calls(began)) - 1
    synced = at("fsync", f"{root}/day/y.jpg_", since)
    named = at("rename", f"{root}/day/y.jpg", since)
    assert synced < named < at("fsync", f"{root}/day", named) < at("send", "250", since)


@pytest.mark.parametrize("kind", KINDS)
def test_power_cuts(here: Settings, disk: Disk, tmp_path: Path, kind: Kind) -> None:
    """Cut at any moment, what was acknowledged until then is there, whole."""
    model = Model(disk)
    with receiving(here, disk) as port, connect(port) as ftp:
        use(ftp, model)
    answered = [known.moment for known in model.known]
    others = random.Random(7).sample(disk.moments(), 40)
    for number, moment in enumerate([*answered, *others, disk.moment()]):
        root = disk.after_cut(tmp_path / f"left{number}", kind, moment)
        model.check(root, moment)


def test_folders_that_others_made(here: Settings, disk: Disk, tmp_path: Path) -> None:
    """What a camera of another server, or a killed one, left unsynced is synced with an upload."""
    assert here.uploads is not None
    steps = f"import os; os.makedirs({str(here.uploads / 'porch' / DEEP)!r})"
    subprocess.run([sys.executable, "-c", steps], env=disk.env(), check=True)
    with receiving(here, disk) as port, connect(port) as ftp:
        store(ftp, f"{DEEP}/x.jpg", TINY_JPEG)
        moment = disk.moment()
    for kind in KINDS:
        root = disk.after_cut(tmp_path / kind, kind, moment)
        assert (root / "porch" / DEEP / "x.jpg").read_bytes() == TINY_JPEG


def number_of_calls(here: Settings, disk: Disk, reads: bool) -> int:
    with receiving(here, disk, reads=reads) as port, connect(port) as ftp:
        use(ftp, Model(disk))
    return sum(call != "send" for call, _ in disk.calls())


def refilled(here: Settings) -> None:
    """Empty the camera's folder."""
    assert here.uploads is not None
    for path in sorted((here.uploads / "porch").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def interrupted(here: Settings, disk: Disk, numbers: list[int], how: str, **more: Any) -> None:
    """Let the calls of these numbers fail or be the last, each in a run of its own."""
    assert here.uploads is not None
    for number in numbers:
        refilled(here)
        model = Model(disk)
        with (
            receiving(here, disk, **{how: number}, **more) as port,
            suppress(OSError, EOFError, ftplib.Error),
            connect(port) as ftp,
        ):
            use(ftp, model)
        model.check(here.uploads, sys.maxsize)


@pytest.mark.parametrize(
    ("how", "number", "more"),
    [
        ("kill_at", 31, {}),
        ("fail_at", 19, {"error": errno.EIO}),
        ("fail_at", 44, {"error": errno.ENOSPC, "fail_on": True}),
    ],
)
def test_some_calls(
    here: Settings, disk: Disk, how: str, number: int, more: dict[str, Any]
) -> None:
    """Killed before a call, or told by the disk that it failed: nothing acknowledged is lost."""
    interrupted(here, disk, [number], how, **more)


def test_a_library_that_fails(here: Settings, tmp_path: Path) -> None:
    """Who is logged in goes on uploading, nobody else is let in, each trouble is one line."""
    assert here.library is not None
    assert here.uploads is not None
    library, failing = Disk.made(here.library, tmp_path / "device"), tmp_path / "failing"
    with receiving(here, library, fail_while=failing, reads=True) as port, connect(port) as ftp:
        failing.touch()
        store(ftp, "a.jpg", TINY_JPEG)
        with pytest.raises(ftplib.error_perm, match="530"):
            connect(port)
        until(lambda: "receive.json cannot be written" in log_of(here).read_text())
        failing.unlink()
        with connect(port) as again:
            store(again, "b.jpg", OTHER)
        until(lambda: told(here) == 2)
    for name, data in (("a.jpg", TINY_JPEG), ("b.jpg", OTHER)):
        assert (here.uploads / "porch" / name).read_bytes() == data
    lines = log_of(here).read_text().splitlines()
    assert sum("receive.json cannot be written" in line for line in lines) == 1
    assert sum("expected the accounts that" in line for line in lines) == 1


def test_uploads_that_fail(here: Settings, tmp_path: Path) -> None:
    """Each command is answered while every call on the disk fails, and the log has no traceback."""
    assert here.uploads is not None
    uploads, failing = Disk.made(here.uploads, tmp_path / "device"), tmp_path / "failing"
    with receiving(here, uploads, fail_while=failing, reads=True) as port, connect(port) as ftp:
        store(ftp, "a.jpg", TINY_JPEG)
        failing.touch()
        ftp.voidcmd("TYPE I")
        for line in ("MKD x", "CWD x", "CWD /", "RNFR a.jpg", "DELE a.jpg", "SIZE a.jpg", "RMD x"):
            with suppress(ftplib.Error):
                ftp.voidcmd(line)
        for command in ("STOR", "APPE", "STOU"):
            with pytest.raises(ftplib.Error):
                store(ftp, "x/b.jpg", OTHER, command)
        with pytest.raises(ftplib.error_perm, match="530"):
            connect(port)
        failing.unlink()
        store(ftp, "b.jpg", OTHER)
    for name, data in (("a.jpg", TINY_JPEG), ("b.jpg", OTHER)):
        assert (here.uploads / "porch" / name).read_bytes() == data
    assert "Traceback" not in log_of(here).read_text()


def told(here: Settings) -> int:
    """Return how many whole uploads the server tells of."""
    assert here.library is not None
    found = records.read(Storage(here.library)) or {}
    return int(found.get("cameras", {}).get("porch", {}).get("whole", 0))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("how", "more"),
    [
        ("kill_at", {}),
        ("fail_at", {"error": errno.EIO}),
        ("fail_at", {"error": errno.ENOSPC}),
        ("fail_at", {"error": errno.EIO, "fail_on": True}),
        ("fail_at", {"error": errno.EROFS, "fail_on": True}),
        ("fail_at", {"error": errno.EIO, "reads": True}),
    ],
)
def test_many_calls(here: Settings, disk: Disk, how: str, more: dict[str, Any]) -> None:
    """The same at MOST calls, evenly spread; with `reads` also of those that only look."""
    count = number_of_calls(here, disk, more.get("reads", False))
    interrupted(here, disk, points(count, MOST), how, **more)
