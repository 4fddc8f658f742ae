"""A home to which everything happens, in random order; a slow model says what may be gone.

Run as a program (`python mixed.py FOLDER SEED STEPS`), with `clock.c` and `power.c`
preloaded as `environment` says. Each command of `pano` is a fork of this process that runs
the command line whole; the upload server is one that stays. At the first disagreement with
the model it prints the seed, the last 20 steps and what was said, and ends with 1.

The model knows the true time, and of each acknowledged file its SHA-256, when it came and
when an ingest could see it first. Bytes may only go by a culling: of the adopted tree, with
clocks that agree, within the caps, and once they were there for `keep_days` of true time.
"""

from __future__ import annotations

import ctypes
import errno
import ftplib
import hashlib
import importlib
import io
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from mmap import mmap
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import power
from lived_in import film, picture
from power import KINDS, Disk
from shared_files import clip_path, snapshot_path

from pano_analytics import cli
from pano_analytics.errors import EXIT_CODES
from pano_analytics.layouts.later import MARK
from pano_analytics.layouts.sidecars import PART
from pano_analytics.library import Library
from pano_analytics.settings import check as checked
from pano_analytics.store import timekeeping
from pano_analytics.store.tree import MARKER
from pano_analytics.workers import crew

# All is loaded before the first fork.
for _name, _ in cli.COMMANDS.values():
    importlib.import_module(f"pano_analytics.cli.{_name}")
for _name in (
    "doctor",
    "library",
    "receive.server",
    "status",
    "upkeep.check",
    "upkeep.culling",
    "upkeep.rebuild",
):
    importlib.import_module(f"pano_analytics.{_name}")

BEGIN = datetime(2031, 10, 25, 18, tzinfo=UTC)
"""The evening before the hour that is repeated in Berlin."""
REPEATED = datetime(2031, 10, 26, 0, 30, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Berlin")
PASSWORD = "wAtCh-the-door7"
KEEP_DAYS = {"porch": 8, "barn": 4, "yard": 8, "shed": 8}
MOST_FILES, MOST_SHARE = 30, 0.8
SETTINGS = f"""
zone = "Europe/Berlin"
keep_days = 8

[[cameras]]
name = "barn"
keep_days = 4

[cull]
most_files = {MOST_FILES}
most_share = {MOST_SHARE}

[receive]
address = "127.0.0.1"
port = 0
keep_free_mb = 0
tls = "off"
"""
PATIENCE_S = 60.0
_GONE = ("missing", "culled")
# Cameras of an account each; to `yard` another server writes.
_CAMERAS = ("porch", "barn")
_WHOLE = frozenset({"complete"})
_BROKEN = frozenset({"partial", "damaged", "pending"})
_S = 1_000_000_000
_HALF_DAY = timedelta(hours=12)


def environment(folder: Path) -> dict[str, str]:
    """Return what a process needs that is to run in a home below `folder`."""
    made = Path(tempfile.mkdtemp(prefix="pano-clock-")) / "clock.so"
    source = Path(__file__).with_name("clock.c")
    command = ["gcc", "-O1", "-shared", "-fPIC", "-o", str(made), str(source), "-ldl"]
    subprocess.run(command, check=True)
    (folder / "clock").write_bytes(bytes(16))
    preloaded = f"{power.library()}:{made}"
    return {**os.environ, "LD_PRELOAD": preloaded, "PANO_CLOCK_FILE": str(folder / "clock")}


class Wrong(AssertionError):
    """The product and the model disagree."""


# --- the computer ---------------------------------------------------------------------------


class Computer:
    """Its clocks, which run on by themselves; `true` is the time that nobody may set."""

    def __init__(self, folder: Path) -> None:
        with (folder / "clock").open("r+b") as file:
            self._shown = mmap(file.fileno(), 16)
        self._boot_id = folder / "boot_id"
        timekeeping._BOOT_ID = self._boot_id
        self._true_ahead = BEGIN - datetime.now(UTC)
        self.wrong_by = timedelta()
        self._boot_ahead_s = 0.0
        self.starts = -1
        self.restart()

    def real_ns(self) -> int:
        return time.time_ns() - int(struct.unpack("qq", self._shown[:])[0])

    @property
    def true(self) -> datetime:
        real = datetime.fromtimestamp(self.real_ns() / _S, UTC)
        return real + self._true_ahead

    @property
    def wall(self) -> datetime:
        return self.true + self.wrong_by

    def _show(self) -> None:
        wall = int((self._true_ahead + self.wrong_by) / timedelta(microseconds=1)) * 1000
        self._shown[:] = struct.pack("qq", wall, int(self._boot_ahead_s * _S))

    def pass_by(self, passed: timedelta) -> None:
        self._true_ahead += passed
        self._boot_ahead_s += passed.total_seconds()
        self._show()

    def set_wrong(self, by: timedelta) -> None:
        self.wrong_by = by
        self._show()

    def restart(self, off: timedelta = timedelta(), lost: timedelta = timedelta()) -> None:
        self._true_ahead += off
        self.wrong_by -= lost
        self._boot_ahead_s = 20 - time.monotonic()
        self.starts += 1
        self._boot_id.write_text(f"start-{self.starts}\n")
        self._show()


# --- the model ------------------------------------------------------------------------------


@dataclass
class Fact:
    """What is known of some bytes. `seen` is when an ingest could first see them, truly."""

    sha: str
    camera: str
    came: datetime
    states: frozenset[str]
    seen: datetime | None = None
    starts: int = 0


@dataclass
class Model:
    """All bytes that were ever sent, by SHA-256.

    `held` were acknowledged; `offered` were sent and not acknowledged, or have been
    superseded by better ones; `culled` went. `planned` may go in any run, since a culling
    that was killed may have planned them.
    """

    held: dict[str, Fact] = field(default_factory=dict)
    offered: dict[str, Fact] = field(default_factory=dict)
    culled: dict[str, Fact] = field(default_factory=dict)
    planned: set[str] = field(default_factory=set)

    def acknowledge(self, sha: str) -> None:
        if sha in self.offered:
            self.held[sha] = self.offered.pop(sha)

    def supersede(self, sha: str) -> None:
        if sha in self.held:
            self.offered[sha] = self.held.pop(sha)

    def see(self, now: datetime, starts: int) -> None:
        """Note that an ingest may have seen all that is there."""
        for fact in (*self.held.values(), *self.offered.values()):
            if fact.seen is None:
                fact.seen, fact.starts = now, starts

    def old(self, now: datetime, starts: int) -> set[str]:
        """Return what a culling may take now: half a day for each start is believed."""
        found = set()
        for fact in (*self.held.values(), *self.offered.values()):
            if fact.seen is None:
                continue
            allowance = _HALF_DAY * (starts - fact.starts + 1)
            keep = timedelta(days=KEEP_DAYS[fact.camera])
            if now - fact.seen + allowance >= keep:
                found.add(fact.sha)
        return found

    def fact(self, sha: str) -> Fact | None:
        return self.held.get(sha) or self.offered.get(sha) or self.culled.get(sha)


class Done(NamedTuple):
    """What came of a command: its exit code (below 0: the signal that killed it), and its words."""

    command: str
    code: int
    said: str


# --- the home -------------------------------------------------------------------------------


class Home:
    """The home, and the steps that may be taken in it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.home = folder, folder / "home"
        self.uploads, self.library = self.home / "uploads", self.home / "library"
        self.random = random.Random(seed)
        self.computer = Computer(folder)
        self.model = Model()
        self.log: list[str] = []
        self.counts: Counter[str] = Counter()
        self.ids: dict[str, str] = {}
        self.numbers = 0
        self.agreed: tuple[int, timedelta, datetime] | None = None
        self.culled_at: tuple[int, datetime] | None = None
        self.server: Server | None = None
        self.backups = 0
        self.device = 0
        self.is_cut = False
        self.power = ctypes.CDLL(os.environ["LD_PRELOAD"].split(":")[0])
        self.uploads.mkdir(parents=True)
        (folder / "pano.toml").write_text(SETTINGS)
        self.places = ["--uploads", str(self.uploads), "--library", str(self.library)]
        self.places += ["--config", str(folder / "pano.toml")]
        said = checked({"zone": "Europe/Berlin"})
        self.settings = said.model_copy(update={"uploads": self.uploads, "library": self.library})

    def note(self, text: str) -> None:
        wrong = self.computer.wrong_by
        clock = f", clock {wrong / timedelta(days=1):+.1f} d" if wrong else ""
        self.log.append(f"{self.computer.true:%Y-%m-%d %H:%M}{clock}: {text}")

    # --- commands

    def fork(self, work: Callable[[], int], said: Path, **how: str) -> int:
        """Begin `work` in a fork whose disk does as `how` says; return its process id."""
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            target = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            os.dup2(target, 1)
            os.dup2(target, 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            signal.alarm(180)
            crew.pool = ThreadPoolExecutor  # type: ignore[assignment]
            crew.begin = lambda needed: None
            os.environ.update(how)
            if how:
                self.power.power_begin()
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def pano(self, *args: str, typed: str = "", **how: str) -> Done:
        """Run a command of `pano` to its end."""
        said = self.folder / "said"
        if typed:
            (self.folder / "typed").write_text(typed)
        child = self.fork(lambda: _main([*args, *self.places], self.folder, typed), said, **how)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        done = Done(" ".join(args), code, said.read_text(errors="replace"))
        words = " ".join(f"{key.removeprefix('PANO_DISK_')}={value}" for key, value in how.items())
        self.note(f"pano {done.command} {words}-> {code}: {done.said.strip()[:300]}")
        self._require_plain(done, how)
        self.counts["killed"] += done.code == -9
        self.counts["disk failed"] += "PANO_DISK_FAIL_AT" in how and done.code != 0
        return done

    def _require_plain(self, done: Done, how: dict[str, str]) -> None:
        if "Traceback" in done.said or "unexpected error" in done.said:
            raise Wrong(f"a traceback: {done.said}")
        if done.code not in EXIT_CODES and not (done.code == -9 and "PANO_DISK_KILL_AT" in how):
            raise Wrong(f"exit code {done.code} is not documented")

    def fault(self, most: int) -> dict[str, str]:
        """Return a disk that fails, or a process that is killed, at a random call."""
        at = str(self.random.randint(1, most))
        root = {"PANO_DISK_ROOT": str(self.home)}
        if self.random.random() < 0.4:
            at, root = str(self.random.randint(1, 10 * most)), {**root, "PANO_DISK_READS": "1"}
        if self.random.random() < 0.6:
            return {**root, "PANO_DISK_KILL_AT": at}
        error = str(self.random.choice([errno.EIO, errno.ENOSPC]))
        on = {"PANO_DISK_FAIL_ON": "1"} if self.random.random() < 0.3 else {}
        return {**root, "PANO_DISK_FAIL_AT": at, "PANO_DISK_ERRNO": error, **on}

    # --- what lies in the tree

    def tree(self, root: Path | None = None) -> dict[str, str]:
        """Return path -> SHA-256 of every upload under its own name."""
        root = root or self.uploads
        return {
            path.relative_to(root).as_posix(): _sha(path.read_bytes())
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name != MARKER and not path.name.endswith(PART)
        }

    def stamp(self) -> None:
        """Give files that came just now the time of this computer's clock."""
        real, wall = self.computer.real_ns(), int(self.computer.wall.timestamp() * _S)
        for path in self.uploads.rglob("*"):
            if path.is_file() and abs(path.lstat().st_mtime_ns - real) < 3600 * _S:
                os.utime(path, ns=(wall, wall))

    def fresh(self, *, is_clip: bool = False) -> bytes:
        """Return a whole picture or clip that was never sent before."""
        self.numbers += 1
        if is_clip:
            mark = self.numbers.to_bytes(8)
            return film(2) + struct.pack(">I4s", 8 + len(mark), b"free") + mark
        return picture(self.numbers)

    def cut(self, *, is_clip: bool = False) -> bytes:
        """Return the beginning of one, unlike all others too."""
        return self.fresh(is_clip=is_clip)[:900] + self.numbers.to_bytes(8)

    def offer(self, data: bytes, camera: str, states: frozenset[str] = _WHOLE) -> str:
        """Note bytes that are about to be sent; return their SHA-256."""
        sha = _sha(data)
        if self.model.fact(sha) is None:
            self.model.offered[sha] = Fact(sha, camera, self.computer.true, states)
        return sha

    def names(self, camera: str, *, is_clip: bool = False) -> str:
        """Return a path below the camera's folder, as its clock names it now."""
        wrong = self.random.choice([0] * 12 + [-1, 1, -48, 24 * 300])
        shown = self.computer.true.astimezone(ZONE).replace(tzinfo=None, microsecond=0)
        shown += timedelta(hours=wrong)
        if self.random.random() < 0.05:
            shown = datetime(2015, 1, 1, 0, shown.minute, shown.second)
        if is_clip:
            path = clip_path(camera, shown, shown + timedelta(seconds=2), "mp4")
        else:
            path = snapshot_path(camera, shown, self.random.randrange(3))
        return path.partition("/")[2]

    # --- steps: uploads

    def upload(self) -> None:
        """A camera uploads some pictures, or a clip, by FTP."""
        name = self.random.choice(_CAMERAS)
        self.session(name, lambda ftp: self._upload(ftp, name))

    def _upload(self, ftp: ftplib.FTP, name: str) -> None:
        for _ in range(self.random.choice([1, 1, 2, 3, 9])):
            is_clip = self.random.random() < 0.2
            path = self.names(name, is_clip=is_clip)
            how = self.in_progress if self.random.random() < 0.2 else self.store
            how(ftp, name, path, self.fresh(is_clip=is_clip))
            self.computer.pass_by(timedelta(seconds=self.random.choice([1, 2, 60])))

    def store(self, ftp: ftplib.FTP, camera: str, path: str, data: bytes) -> None:
        """Store whole bytes under a path; a server that is well acknowledges them."""
        _make_folders(ftp, path)
        sha = self.offer(data, camera)
        there = self.uploads / camera / path
        old = _sha(there.read_bytes()) if there.is_file() else None
        fact = self.model.held.get(old or "")
        if fact is not None and fact.states & _BROKEN:
            self.model.supersede(fact.sha)
        self.note(f"STOR {camera}/{path} {sha[:8]}")
        ftp.storbinary(f"STOR {path}", io.BytesIO(data))
        self.model.acknowledge(sha)
        self.counts["stored"] += 1

    def in_progress(self, ftp: ftplib.FTP, camera: str, path: str, data: bytes) -> None:
        """Upload under an in-progress name, then rename to the final one."""
        self.store(ftp, camera, f"{path}_", data)
        self.note(f"RNTO {camera}/{path}")
        ftp.rename(f"{path}_", path)
        self.counts["renamed"] += 1

    def attack(self) -> None:
        """Try to overwrite, cut, append to, rename, delete or backdate a whole upload."""
        camera = self.random.choice(_CAMERAS)
        own = [
            path.partition("/")[2]
            for path, sha in self.tree().items()
            if path.startswith(f"{camera}/") and self._is_whole(sha)
            if not path.endswith("_") and MARK not in path
        ]
        if not own:
            self.upload()
            return
        path = self.random.choice(own)
        self.session(camera, lambda ftp: self._attack(ftp, camera, path))

    def _is_whole(self, sha: str) -> bool:
        fact = self.model.held.get(sha)
        return fact is not None and fact.states == _WHOLE

    def _attack(self, ftp: ftplib.FTP, camera: str, path: str) -> None:
        what = self.random.randrange(9)
        is_clip = path.endswith(".mp4")
        there = self.uploads / camera / path
        if what == 0:
            self.store(ftp, camera, path, self.fresh(is_clip=is_clip))
        elif what == 1:
            self.store(ftp, camera, path, there.read_bytes())
        elif what == 2:
            self.in_progress(ftp, camera, path, self.fresh(is_clip=is_clip))
        elif what == 3:
            data = self.cut()
            self.offer(data, camera, _BROKEN)
            self.refused(lambda: ftp.storbinary(f"STOR {path}", io.BytesIO(data)), f"cut {path}")
        elif what == 4:
            self.refused(lambda: ftp.delete(path), f"DELE {path}")
        elif what == 5:
            self.refused(lambda: ftp.rename(path, f"{path}.bak"), f"RNFR {path}")
        elif what == 6:
            self.refused(lambda: ftp.storbinary(f"APPE {path}", io.BytesIO(b"xx")), f"APPE {path}")
        elif what == 7:
            self.refused(lambda: ftp.voidcmd(f"MFMT 20200101000000 {path}"), f"MFMT {path}")
        else:
            folder = path.rpartition("/")[0]
            self.refused(lambda: ftp.rmd(folder), f"RMD {folder}")

    def refused(self, attempt: Callable[[], Any], what: str) -> None:
        """Do what a server has to refuse."""
        self.note(what)
        try:
            reply = attempt()
        except (ftplib.error_perm, ftplib.error_temp):
            self.counts["refused"] += 1
            return
        raise Wrong(f"{what}: expected to be refused, got {reply}")

    def session(self, camera: str, work: Callable[[ftplib.FTP], Any]) -> None:
        """Log in as a camera and work; only a server that is to fail may end this early."""
        server = self.server or self.serve()
        try:
            with server.login(camera) as ftp:
                work(ftp)
        except (OSError, EOFError, ftplib.Error) as error:
            self.note(f"the session ended: {error}")
            if not server.is_faulty:
                raise Wrong(f"a server that is well: {error!r}") from error
            self.counts["sessions ended"] += 1
            self.end_server()
        finally:
            self.stamp()

    def serve(self, **how: str) -> Server:
        """Begin `pano receive`; it stays until it is ended."""
        self.server = Server(self, how)
        self.note(f"pano receive begins {how}")
        return self.server

    def end_server(self) -> None:
        if self.server is not None:
            said = self.server.end(self.random.choice([signal.SIGTERM, signal.SIGKILL]))
            self.server = None
            self.note("pano receive ended")
            if "Traceback" in said:
                raise Wrong(f"a traceback of the server: {said}")

    def faulty_server(self) -> None:
        """Upload to a server whose disk fails, or that is killed, at a random call."""
        self.end_server()
        self.serve(**self.fault(60))
        self.upload()
        if self.server is not None:
            self.attack()
        self.end_server()

    def other_writer(self) -> None:
        """Another server writes whole and broken files straight into the tree."""
        for _ in range(self.random.choice([1, 2, 4])):
            camera = self.random.choice(["yard", "porch"])
            is_clip = self.random.random() < 0.2
            path = self.uploads / camera / self.names(camera, is_clip=is_clip)
            if path.exists():
                continue
            is_broken = self.random.random() < 0.3
            data = self.cut(is_clip=is_clip) if is_broken else self.fresh(is_clip=is_clip)
            sha = self.offer(data, camera, _BROKEN if is_broken else _WHOLE)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self.model.acknowledge(sha)
            self.note(f"written {camera}/{path.name} {sha[:8]}{' broken' if is_broken else ''}")
            self.computer.pass_by(timedelta(seconds=self.random.choice([1, 40])))
        self.stamp()

    def complete(self) -> None:
        """A camera sends a whole upload to the name of one that another server left broken."""
        broken = [
            path.partition("/")[2]
            for path, sha in self.tree().items()
            if path.startswith("porch/") and (fact := self.model.held.get(sha)) is not None
            if fact.states == _BROKEN
        ]
        if not broken:
            self.other_writer()
            return
        path = self.random.choice(broken)
        data = self.fresh(is_clip=path.endswith(".mp4"))
        self.session("porch", lambda ftp: self.store(ftp, "porch", path, data))

    def repeated_hour(self) -> None:
        """In the hour that is repeated, a camera gives two pictures the same name."""
        if self.computer.true > REPEATED:
            self.attack()
            return
        self.computer.pass_by(REPEATED - self.computer.true)
        self.session("porch", self._same_name)
        self.computer.pass_by(REPEATED + timedelta(hours=1) - self.computer.true)
        self.session("porch", self._same_name)

    def _same_name(self, ftp: ftplib.FTP) -> None:
        shown = self.computer.true.astimezone(ZONE).replace(tzinfo=None, microsecond=0, second=0)
        path = snapshot_path("porch", shown).partition("/")[2]
        self.store(ftp, "porch", path, self.fresh())

    # --- steps: the library

    def see(self) -> None:
        self.model.see(self.computer.true, self.computer.starts)

    def ingest(self, **how: str) -> None:
        self.see()
        done = self.pano("ingest", "--full", **how)
        if not how:
            if done.code != 0:
                raise Wrong(f"an ingest that is well ended with {done.code}: {done.said}")
            self.look()

    def failing_ingest(self) -> None:
        self.ingest(**self.fault(120))

    def rebuild(self, **how: str) -> None:
        self.see()
        done = self.pano("rebuild", **how)
        if not how:
            if done.code != 0:
                raise Wrong(f"a rebuild ended with {done.code}: {done.said}")
            self.look()

    def failing_rebuild(self) -> None:
        self.rebuild(**self.fault(200))

    def look(self) -> None:
        """Hold every row against the tree: each upload once, in the right state."""
        answer = self.folder / "rows.json"
        child = self.fork(lambda: _rows(self, answer), self.folder / "said")
        if os.waitpid(child, 0)[1]:
            raise Wrong(f"the library cannot be asked: {(self.folder / 'said').read_text()}")
        rows = json.loads(answer.read_text())
        _require(len({row["media_id"] for row in rows}) == len(rows), "a row stands twice")
        for row in rows:
            same = self.ids.setdefault(row["path"], row["media_id"])
            _require(same == row["media_id"], f"{row['path']} has another media_id")
        present = {row["path"]: row for row in rows if row["state"] not in _GONE}
        tree = {path: sha for path, sha in self.tree().items() if not path.endswith("_")}
        _require(present.keys() == tree.keys(), f"differ: {present.keys() ^ tree.keys()}")
        for path, sha in tree.items():
            self._require_right(path, sha, present[path])
        self.counts["rows looked at"] += len(rows)

    def _require_right(self, path: str, sha: str, row: dict[str, Any]) -> None:
        fact = self.model.fact(sha)
        assert fact is not None, "what nobody sent was looked for before"
        _require(row["state"] in fact.states, f"{path} is {row['state']}: {row}")
        if fact.states == _WHOLE:
            _require(row["sha256"] == sha, f"{path} has the SHA-256 of other bytes: {row}")

    def check(self) -> None:
        """`pano check --depth hash` after an ingest: nothing but what was tried and told."""
        self.ingest()
        done = self.pano("check", "--depth", "hash", "--json")
        found = {json.loads(line)["what"] for line in done.said.splitlines() if line[:1] == "{"}
        _require(done.code in (0, 8), f"check ended with {done.code}")
        _require(found <= {"overwrite_tried", "overwritten"}, f"check found {done.said}")

    def ask(self) -> None:
        self.pano(self.random.choice(["status", "doctor", "clock", "cull"]))

    def account(self) -> None:
        """Add accounts and users while all is running."""
        if self.random.random() < 0.5:
            name = f"extra{self.numbers}-{len(self.log)}"
            done = self.pano("camera", "add", name, "--no-wait")
        else:
            words = ["user", "add", f"anna{len(self.log)}", "--password-stdin"]
            done = self.command(*words, "--library", str(self.library), typed=PASSWORD)
        _require(done.code == 0, f"expected to be added: {done}")

    def backup(self) -> None:
        """Keep a backup; restore it, or an older one, into a library that was lost."""
        self.backups += 1
        kept = self.folder / f"backup-{self.backups % 3}.tar"
        library = ["--library", str(self.library), "--config", str(self.folder / "pano.toml")]
        done = self.command("backup", str(kept), *library)
        _require(done.code == 0, f"expected a backup: {done}")
        if self.random.random() < 0.5:
            return
        self.end_server()
        kept = self.random.choice(sorted(self.folder.glob("backup-*.tar")))
        shutil.rmtree(self.library)
        self.agreed = None
        done = self.command("restore", str(kept), str(self.library))
        _require(done.code == 0, f"expected a restore: {done}")
        self.library.joinpath("pano.toml").unlink(missing_ok=True)
        self.accounts()
        (self.rebuild if self.random.random() < 0.5 else self.ingest)()

    def command(self, *args: str, typed: str = "") -> Done:
        """Run a command that takes other options than uploads and library."""
        places, self.places = self.places, []
        try:
            return self.pano(*args, typed=typed)
        finally:
            self.places = places

    def accounts(self) -> None:
        for name in _CAMERAS:
            done = self.pano("camera", "add", name, "--no-wait", "--password-stdin", typed=PASSWORD)
            _require(done.code == 0, f"expected to be added: {done}")

    # --- steps: culling

    def cull(self, **how: str) -> None:
        """Delete what is due; the model says whether it may."""
        if self.random.random() < 0.3:
            self.pano("cull", "--adopt")
        is_doubtful = self.is_surely_doubtful()
        limit = self.random.choice([None, None, None, 200])
        more = [] if limit is None else ["--up-to", str(limit)]
        before = self.tree()
        may_go = self.model.old(self.computer.true, self.computer.starts)
        done = self.pano("cull", "--delete", *more, **how)
        gone = set(before.values()) - set(self.tree().values()) - self.model.planned
        if is_doubtful:
            _require(not gone, f"the clock is wrong, and {len(gone)} files went")
            _require(how or done.code == 8, f"expected 8 of a wrong clock, got {done.code}")
            self.counts["doubted"] += 1
        self.counts["capped"] += "(most_files)" in done.said
        lost = Counter(fact.camera for sha in gone if (fact := self.model.fact(sha)))
        if limit is None:
            _require(max(lost.values(), default=0) <= MOST_FILES, f"above the cap: {lost}")
            self._require_share(lost, Counter(path.partition("/")[0] for path in before))
        else:
            _require(len(gone) <= limit, f"{len(gone)} files went with --up-to {limit}")
        self.culled_at = (self.computer.starts, self.computer.true)
        if how or done.code:
            self.model.planned |= may_go if not is_doubtful else set()
        else:
            self.agree()
        self.take_away(may_go)

    def _require_share(self, lost: Counter[str], before: Counter[str]) -> None:
        """No camera loses more than its share, but for a culling that followed another soon."""
        now, last = self.computer.true, self.culled_at
        is_long_ago = last is None or (
            last[0] == self.computer.starts and now - last[1] > timedelta(days=2, hours=1)
        )
        over = {name for name, count in lost.items() if count > MOST_SHARE * before[name]}
        _require(not (is_long_ago and over), f"above the share: {lost} of {before}")

    def failing_cull(self) -> None:
        self.cull(**self.fault(120))

    def take_away(self, may_go: set[str]) -> None:
        """Let the model know what a culling took, as far as it may."""
        there = set(self.tree().values())
        for facts in (self.model.held, self.model.offered):
            for sha in [sha for sha in facts if sha in may_go and sha not in there]:
                if facts is self.model.held:
                    self.counts["culled on the way"] += 1
                self.model.culled[sha] = facts.pop(sha)

    def agree(self) -> None:
        """Note that the library believed the clock now."""
        self.agreed = (self.computer.starts, self.computer.wrong_by, self.computer.true)

    def is_surely_doubtful(self) -> bool:
        """Tell whether the clock leapt, in this start, since the library last believed it."""
        if self.agreed is None or self.agreed[0] != self.computer.starts:
            return False
        drift = timedelta(minutes=12) + (self.computer.true - self.agreed[2]) / 500
        ahead = self.computer.wrong_by - self.agreed[1]
        # Half a day ahead may be the time for which the computer was off before this start.
        return ahead > drift + _HALF_DAY or ahead < -drift

    # --- steps: clocks

    def time_passes(self) -> None:
        hours = self.random.choice([0.1, 1, 3, 9, 20, 30, 50, 80])
        self.note(f"{hours} hours pass")
        self.computer.pass_by(timedelta(hours=hours))

    def clock_leaps(self) -> None:
        days = self.random.choice([-400, -40, -2, -0.04, 0.04, 2, 12, 730])
        self.note(f"the clock leaps by {days} days")
        self.computer.set_wrong(self.computer.wrong_by + timedelta(days=days))
        if self.random.random() < 0.7:
            self.random.choice([self.ingest, self.cull, self.failing_cull, self.upload])()
        if self.random.random() < 0.6:
            self.clock_is_right()

    def clock_is_right(self) -> None:
        """Set the clock right; the owner confirms it where it is asked about."""
        self.note("the clock is set right")
        self.computer.set_wrong(timedelta())
        done = self.pano("clock")
        if done.code == 8:
            self.confirm()

    def confirm(self) -> None:
        done = self.pano("clock", "--confirm")
        _require(done.code == 0, f"expected to be confirmed: {done}")
        self.agree()

    def wrongly_confirmed(self) -> None:
        """The owner confirms a clock that is wrong: it may stop culling, and hasten nothing."""
        self.clock_leaps()
        self.confirm()

    def restart(self) -> None:
        """The computer is off for a while; without a battery its clock loses time."""
        self.end_server()
        off = self.random.choice([0.01, 0.3, 1, 20])
        lost = self.random.choice([0, 0, 0, 0.2, off, 40, 4000])
        self.note(f"off for {off} days, the clock loses {lost} days")
        self.computer.restart(timedelta(days=off), timedelta(days=lost))
        if self.random.random() < 0.5:
            self.random.choice([self.ingest, self.cull, self.upload])()
            self.clock_is_right()

    # --- steps: disks

    def another_disk(self) -> None:
        """Another disk lies under the path for a while: nothing is concluded, all is told."""
        if not any(sha in self.model.held for sha in self.tree().values()):
            self.ingest()
            return
        self.ingest()
        self.end_server()
        before, aside = self.tree(), self.folder / "aside"
        self.uploads.rename(aside)
        what = self.random.choice(["none", "empty", "lost+found", "other", "half"])
        self._other_tree(what, aside)
        other = self.tree() if self.uploads.exists() else {}
        self.note(f"another disk: {what}")
        commands = [
            ["ingest"], ["ingest", "--full"], ["cull", "--delete"], ["rebuild"],
            ["cull", "--delete", "--up-to", "1000"], ["status"], ["check"], ["doctor"],
        ]  # fmt: skip
        for words in self.random.sample(commands, 3):
            done = self.pano(*words)
            if words[0] in ("ingest", "rebuild"):
                _require(done.code == 3, f"expected 3 on another disk ({what}): {done}")
            _require(done.code != 0, f"counts as healthy: {done}")
        _require(self.tree(aside) == before, "the tree that was taken out changed")
        if self.uploads.exists():
            _require(self.tree() == other, "the other disk changed")
            shutil.rmtree(self.uploads)
        aside.rename(self.uploads)
        self.ingest()

    def _other_tree(self, what: str, aside: Path) -> None:
        if what == "none":
            return
        self.uploads.mkdir()
        if what == "lost+found":
            (self.uploads / "lost+found").mkdir()
        elif what == "other":
            path = self.uploads / self.names("other/porch")
            path.parent.mkdir(parents=True)
            path.write_bytes(self.fresh())
        elif what == "half":
            for folder in sorted(aside.iterdir())[:1]:
                if folder.is_dir():
                    (self.uploads / folder.name).mkdir()

    def power_cut(self) -> None:
        """The power goes at a random moment: what was not synced is not there."""
        self.end_server()
        self.device += 1
        disk = Disk.made(self.home, self.folder / f"device-{self.device}")
        journal = {
            "PANO_DISK_ROOT": str(self.home),
            "PANO_DISK_JOURNAL": str(disk.device / "journal"),
        }
        held, what = [(0, set(self.model.held))], self.random.choice("uuuuicr")
        self.note(f"what was not synced goes soon ({what})")
        may_go: set[str] = set()
        if what == "u":
            self.serve(**journal)
            for _ in range(self.random.randint(1, 3)):
                self.random.choice([self.upload, self.attack])()
                held.append((disk.moment(), set(self.model.held)))
            assert self.server is not None
            self.server.end(signal.SIGKILL)
            self.server = None
        elif what == "i":
            self.ingest(**journal)
        elif what == "r":
            self.rebuild(**journal)
        else:
            may_go = self.model.old(self.computer.true, self.computer.starts)
            self.cull(**journal)
        moments = disk.moments()
        moment = self.random.choice([moments[-1], self.random.choice(moments)])
        kind = self.random.choice(KINDS)
        self.note(f"power cut at {moment} of {moments[-1]} ({kind})")
        left = disk.after_cut(self.folder / "left", kind, moment)
        shutil.rmtree(self.home)
        left.rename(self.home)
        self.home.joinpath("uploads").mkdir(exist_ok=True)
        shutil.rmtree(disk.device)
        sure = [shas for at, shas in held if at <= moment][-1]
        for sha in set(self.model.held) - sure:
            self.model.supersede(sha)
        self._come_back(may_go)
        self.take_away(may_go)
        self.agreed = None
        self.stamp()
        self.computer.restart(timedelta(minutes=5))
        self.counts["power cuts"] += 1

    def _come_back(self, may_go: set[str]) -> None:
        """What a culling took is there again where its removal was not synced."""
        there = set(self.tree().values())
        for sha in [sha for sha in self.model.culled if sha in there and sha in may_go]:
            self.model.held[sha] = self.model.culled.pop(sha)

    # --- all of it

    STEPS: tuple[tuple[str, int], ...] = (
        ("upload", 20), ("attack", 14), ("other_writer", 7), ("complete", 4), ("faulty_server", 6),
        ("repeated_hour", 2), ("ingest", 12), ("failing_ingest", 9), ("cull", 9),
        ("failing_cull", 8), ("rebuild", 2), ("failing_rebuild", 3), ("check", 2), ("ask", 3),
        ("account", 2), ("backup", 2), ("time_passes", 14), ("clock_leaps", 4),
        ("clock_is_right", 4), ("wrongly_confirmed", 1), ("restart", 3), ("another_disk", 3),
        ("power_cut", 5),
    )  # fmt: skip

    def step(self) -> None:
        """Take a random step, and hold what is there against the model."""
        names, weights = zip(*self.STEPS, strict=True)
        name = self.random.choices(names, weights)[0]
        if self.computer.wrong_by and self.random.random() < 0.15:
            name = "clock_is_right"
        self.note(f"--- {name}")
        self.counts[name] += 1
        began = time.monotonic()
        may_go = set(self.model.planned)
        getattr(self, name)()
        self.take_away(may_go)
        self.hold()
        self.counts[f"ms {name}"] += int((time.monotonic() - began) * 1000)

    def hold(self) -> None:
        """Every acknowledged file is there, and nothing that nobody sent."""
        there = set(self.tree().values())
        lost = [fact for sha, fact in self.model.held.items() if sha not in there]
        _require(not lost, f"lost: {lost}")
        known = self.model.held.keys() | self.model.offered.keys()
        _require(there <= known, f"there and not known: {there - known}")

    def begin(self) -> None:
        """The first evening."""
        (self.home / "library").mkdir()
        self.accounts()
        self.upload()
        self.other_writer()
        self.ingest()
        self.pano("cull", "--adopt")

    def end(self) -> None:
        """Once the clock is right and all is old, all can go, and nothing is left behind."""
        self.clock_is_right()
        self.ingest()
        self.pano("cull", "--adopt")
        self.computer.pass_by(timedelta(days=30))
        self.clock_is_right()
        self.hold()
        may_go = self.model.old(self.computer.true, self.computer.starts)
        done = self.pano("cull", "--delete", "--up-to", "100000")
        for sha in may_go:
            self.model.held.pop(sha, None)
        _require(done.code == 0, f"expected all to be culled: {done}")
        left = [path for path in self.tree() if not path.endswith("_")]
        _require(not left, f"never culled: {left}")
        self.end_server()


class Server:
    """`pano receive` in a fork that stays."""

    def __init__(self, home: Home, how: dict[str, str]) -> None:
        self.is_faulty = "PANO_DISK_JOURNAL" not in how and bool(how)
        self._said = home.folder / "server"
        self._said.unlink(missing_ok=True)
        words = ["receive", *home.places]
        self._pid = home.fork(lambda: _main(words, home.folder), self._said, **how)
        self._code: int | None = None
        self.port = self._found_port()

    def _found_port(self) -> int:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and not self._is_over():
            said = self._said.read_text() if self._said.exists() else ""
            if found := re.search(r"ftp://[^ ]*:(\d+) ", said):
                return int(found[1])
            time.sleep(0.005)
        if not self.is_faulty:
            raise Wrong(f"a server that does not begin: {self._said.read_text()}")
        return 0

    def _is_over(self) -> bool:
        if self._code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code is not None

    def login(self, camera: str) -> ftplib.FTP:
        ftp = ftplib.FTP(encoding="utf-8")
        if not self.port:
            raise EOFError("the server did not begin")
        ftp.connect("127.0.0.1", self.port, timeout=PATIENCE_S)
        ftp.login(camera, PASSWORD)
        return ftp

    def end(self, how: signal.Signals) -> str:
        """End it; return what it said."""
        if not self._is_over():
            os.kill(self._pid, how)
            os.waitpid(self._pid, 0)
        return self._said.read_text(errors="replace")


def _main(words: list[str], folder: Path, typed: str = "") -> int:
    """Run the command line; return its exit code."""
    if typed:
        os.dup2(os.open(folder / "typed", os.O_RDONLY), 0)
        sys.stdin = os.fdopen(0)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    try:
        cli.main(words)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def _rows(home: Home, answer: Path) -> int:
    wanted = ["media_id", "path", "state", "state_reason", "sha256", "time_source"]
    rows = Library.of(home.settings).media()[wanted]
    answer.write_text(json.dumps(rows.to_dict("records"), default=str))
    return 0


def _make_folders(ftp: ftplib.FTP, path: str) -> None:
    folders = path.split("/")[:-1]
    with suppress(ftplib.error_perm):
        ftp.size("/".join(folders))
    for depth in range(1, len(folders) + 1):
        with suppress(ftplib.error_perm):
            ftp.mkd("/".join(folders[:depth]))


@cache
def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _require(fact: Any, otherwise: str) -> None:
    if not fact:
        raise Wrong(otherwise)


def main() -> int:
    folder, seed, steps = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    home = Home(folder, seed)
    number = 0
    try:
        home.begin()
        for number in range(1, steps + 1):  # noqa: B007
            home.step()
        home.end()
    except (Wrong, Exception):
        print(f"PANO_MIXED_SEED={seed}: step {number} of {steps}")
        (folder / "log").write_text("\n".join(home.log))
        begins = [n for n, line in enumerate(home.log) if ": --- " in line][-20:]
        print("\n".join(home.log[begins[0] if begins else 0 :]))
        traceback.print_exc(file=sys.stdout)
        home.end_server()
        return 1
    (folder / "log").write_text("\n".join(home.log))
    print(json.dumps(home.counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
