"""Kills ingest at its n-th step that touches the disk, and tells what was left and what healed.

Run as a program (`python killing.py WORK`): it loads everything once and then
forks, for each step named on its input, a reader, a run that is to be killed
and a run that is to heal. One line of JSON a step comes back.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from pano_analytics import settings as settings_room
from pano_analytics.ingest import run as run_room
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.settings import Settings
from pano_analytics.store import catalog as catalog_room
from pano_analytics.store import journal
from pano_analytics.store.catalog import Catalog, unlisted
from pano_analytics.store.journal import Journal
from pano_analytics.store.removal import AT_WORK
from pano_analytics.store.storage import TEMPORARY, Storage

# A file is written in pieces; the first one torn stands for all.
_WRITERS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}


class Steps:
    """Counts what touches the disk below a folder, and kills this process at one of them."""

    def __init__(self, folder: Path, deadly: int | None) -> None:
        self.folder, self.deadly = str(folder), deadly
        self.names: list[str] = []
        self._lock = threading.Lock()

    def take(self, what: str, path: object, before_death: Callable[[], None] | None = None) -> None:
        """Note one step; the deadly one is not taken."""
        if not str(path).startswith(self.folder):
            return
        with self._lock:
            self.names.append(f"{what} {Path(str(path)).relative_to(self.folder)}")
            if len(self.names) == self.deadly:
                if before_death:
                    before_death()
                os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in _CHANGES:
            self.take(event, os.fsdecode(args[1 if event == "os.rename" else 0]))
        elif event == "open" and isinstance(args[0], str | bytes) and args[2] & _WRITERS:
            self.take("open", os.fsdecode(args[0]))

    def listen(self) -> None:
        """Hear of all changes, of each sync, and of each file's first bytes."""
        sys.addaudithook(self.audit)
        sync, opened = os.fsync, Path.open

        def heard_sync(descriptor: int) -> None:
            self.take("sync", Path(f"/proc/self/fd/{descriptor}").readlink())
            sync(descriptor)

        def heard_open(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
            file = opened(path, mode, *rest, **named)
            return Torn(file, path, self) if mode == "xb" else file

        os.fsync = heard_sync
        Path.open = heard_open  # type: ignore[assignment,method-assign]


class Torn:
    """A file whose first bytes are a step: the deadly one leaves half of them."""

    def __init__(self, file: Any, path: Path, steps: Steps) -> None:
        self._file, self._path, self._steps = file, path, steps
        self._is_begun = False

    def write(self, data: Any) -> int:
        if not self._is_begun:
            self._is_begun = True
            self._steps.take("write", self._path, partial(self._half, bytes(data)))
        return int(self._file.write(data))

    def _half(self, data: bytes) -> None:
        self._file.write(data[: len(data) // 2])
        self._file.flush()

    def writelines(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.write(piece)

    def __enter__(self) -> Torn:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def workers_of(pid: int) -> list[int]:
    """Return those who open files for a run: forked from the one that it started for that."""
    servers = _children(pid, "multiprocessing.forkserver")
    return [worker for server in servers for worker in _children(server, "")]


def _children(pid: int, command: str) -> list[int]:
    asked = ["pgrep", "-P", str(pid), "-f", command]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def run(settings: Settings) -> Any:
    """Ingest with threads for processes: all that touches the disk is in this process."""
    return ingest(settings, make_executor=partial(ThreadPoolExecutor, 2))


def told(settings: Settings) -> dict[str, Any]:
    """Return all that a library tells, but for names that each run makes anew."""
    library = Library.of(settings)
    media, frames = library.media(), library.frames()
    rows = {
        row["media_id"]: {k: str(v) for k, v in row.items() if k != "thumb"}
        | {
            "thumb": len(library.thumbnail_bytes(row["thumb"]))
            if isinstance(row["thumb"], str)
            else 0
        }
        for row in media.to_dict("records")
    }
    assert len(rows) == len(media), "a row stands twice"
    kept = sorted(
        (
            row["media_id"],
            row["offset_s"],
            library.thumbnail_bytes(row["thumb"]).hex()[:4000],
            bytes(row["grid"]).hex()[:200],
            str(row["date"]),
        )
        for row in frames.to_dict("records")
    )
    arrivals = Journal(library.storage).arrivals()
    return {"rows": rows, "frames": kept, "arrivals": arrivals}


def left(settings: Settings, packs_before: set[str]) -> dict[str, Any]:
    """Return what a killed run left, as a reader finds it: all parts are read."""
    storage = Storage(settings.library)  # type: ignore[arg-type]
    manifest = Catalog(storage).manifest()
    parts = [*manifest.media.values(), *manifest.table("frames").values()]
    for table, _, part in manifest.everything():
        assert Catalog(storage).read(part, table).num_rows == part.rows
    current = {part.path for part in parts}
    retired = {path for path, _ in manifest.retired}
    stray = set(storage.files("parts")) - current
    stray |= set(storage.files("unlisted")) - set(map(unlisted, retired))
    stray |= set(storage.files("manifests")) - {*manifest.files(), *retired}
    frames = [Catalog(storage).read(part, "frames") for part in manifest.table("frames").values()]
    packs = {
        f"thumbs/{locator.rpartition('/')[0]}"
        for table in frames
        for locator in table["thumb"].to_pylist()
    }
    return {
        "temporary": [name for name in storage.files(".") if name.endswith(TEMPORARY)],
        "stray": sorted(stray),
        "packs": sorted(set(storage.files("thumbs")) - packs - packs_before),
        "at_work": storage.exists(AT_WORK),
    }


def in_child(work: Callable[[], Any], report: Path) -> int:
    """Do `work` in a fork of this process; leave what it returns or raises in `report`."""
    child = os.fork()
    if child:
        return child
    try:
        report.write_text(json.dumps({"ok": work()}, default=str))
    except BaseException:
        report.write_text(json.dumps({"error": traceback.format_exc()}))
    finally:
        os._exit(0)


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def read_on(settings: Settings, trial: Path) -> dict[str, int]:
    """Ask again and again until told to stop; each answer is one generation's, and whole."""
    answers = 0
    library = Library.of(settings)
    while not (trial / "stop").exists() or not answers:
        media = library.media()
        assert media.media_id.is_unique
        if len(media):
            # The zone moves with one swap: all rows of the plain clock, or none.
            plain = media[(media.time_source == "name") & (media.state != "missing")]
            offsets = set(plain.wall_start - plain.start.dt.tz_convert("UTC").dt.tz_localize(None))
            assert len(offsets) == 1, f"a mixture: {offsets}"
            shown = media[media.thumb.notna()]
            for locator in shown.thumb:
                library.thumbnail_bytes(locator)
            frames = library.sql(
                "select f.media_id from frames f anti join media m using (media_id)"
            )
            assert not len(frames), "a frame without its row"
        answers += 1
        (trial / "reading").touch()
    return {"answers": answers}


class Work:
    """One folder with uploads, the library before, and what it is to become."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        plan = json.loads((folder / "plan.json").read_text())
        self.zone, self.is_patient = plan["zone"], plan["is_patient"]
        before = Storage(folder / "before")
        self.packs = set(before.files("thumbs"))

    def settings(self, library: Path) -> Settings:
        said = settings_room.check({"zone": self.zone})
        return said.model_copy(update={"uploads": self.folder / "uploads", "library": library})

    def victim(self, library: Path, deadly: int | None) -> list[str]:
        """Run, and be killed at the step `deadly`; return the steps taken if not."""
        # Every kind of step is to come: each camera-day its own swap, old parts
        # unlinked at once, journals folded.
        run_room.COMMIT_EVERY_S = 3600.0 if self.is_patient else 0.0
        catalog_room.GRACE_S = 3600.0 if self.is_patient else 0.0
        journal.FOLD_ABOVE = 1
        steps = Steps(library, deadly)
        steps.listen()
        run(self.settings(library))
        return steps.names

    def heal(self, library: Path) -> dict[str, Any]:
        settings = self.settings(library)
        found = left(settings, self.packs)  # also proves that all can be read
        seen_before = set(told(settings)["rows"])
        run(settings)
        again = run(settings)
        return {
            "found": found,
            "kept": sorted(seen_before),
            "left": left(settings, self.packs),
            "told": told(settings),
            "again": again.tally.total + sum(again.opened.values()),
        }

    def trial(self, deadly: int) -> dict[str, Any]:
        """Kill a run at one step while a reader asks, then heal; return what came of it."""
        trial = self.folder / f"trial-{deadly}"
        shutil.copytree(self.folder / "before", trial / "library")
        settings = self.settings(trial / "library")
        reader = None
        if self.is_patient:
            reader = in_child(lambda: read_on(settings, trial), trial / "reader.json")
            while not (trial / "reading").exists() and not (trial / "reader.json").exists():
                time.sleep(0.005)
        library = trial / "library"
        code = wait(in_child(lambda: self.victim(library, deadly), trial / "victim.json"))
        wait(in_child(lambda: self.heal(library), trial / "healed.json"))
        (trial / "stop").touch()
        if reader is not None:
            wait(reader)
        reports = ("victim", "healed", "reader")
        came = {
            name: json.loads(path.read_text())
            for name in reports
            if (path := trial / f"{name}.json").exists()
        }
        shutil.rmtree(trial)
        return {"step": deadly, "code": code, **came}

    def count(self) -> dict[str, Any]:
        """Run undisturbed; return the steps and what the library then tells."""
        trial = self.folder / "undisturbed"
        shutil.copytree(self.folder / "before", trial)
        wait(in_child(lambda: self.victim(trial, None), self.folder / "steps.json"))
        wait(in_child(lambda: told(self.settings(trial)), self.folder / "told.json"))
        steps, library = (
            json.loads((self.folder / f"{name}.json").read_text()) for name in ("steps", "told")
        )
        return {"steps": steps, "told": library}


def main() -> None:
    work = Work(Path(sys.argv[1]))
    for line in sys.stdin:
        answer = work.count() if line.strip() == "count" else work.trial(int(line))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
