"""Ingest killed at any step that touches the disk: nothing is lost, and the next run heals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from killing import workers_of
from older import with_one_manifest
from shared_files import clip_path, lay, snapshot_path
from test_ingest import picture

from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.settings import check
from pano_analytics.store.removal import AT_WORK
from pano_analytics.store.storage import Storage

NOON = datetime(2026, 3, 3, 12)
RESET = datetime(2000, 1, 1, 0, 5)
# In this hour it is another day in Helsinki than in Berlin.
EVENING = datetime(2026, 3, 3, 23, 30)


def lay_first(uploads: Path) -> None:
    """Lay two days of one camera, the second with a clock that was reset."""
    lay(picture(0), uploads / snapshot_path("porch", NOON))
    lay(b"no clip", uploads / clip_path("porch", NOON, NOON + timedelta(seconds=20)))
    lay(picture(1), uploads / snapshot_path("porch", RESET), EVENING)


def lay_more(uploads: Path) -> None:
    """Lay another day and two more cameras."""
    lay(picture(2), uploads / snapshot_path("porch", NOON + timedelta(hours=13)))
    lay(picture(4), uploads / snapshot_path("barn", NOON))
    lay(picture(6), uploads / snapshot_path("gone", NOON))


def lay_then(uploads: Path) -> None:
    """Change it: new, replaced, half, whole again, gone."""
    lay(picture(7), uploads / snapshot_path("porch", NOON + timedelta(days=1)))
    lay(picture(8, (640, 360)), uploads / snapshot_path("porch", NOON))
    lay(picture(9)[:900], uploads / snapshot_path("barn", NOON + timedelta(seconds=5)))
    lay(b"", uploads / snapshot_path("barn", NOON + timedelta(seconds=6)))
    (uploads / snapshot_path("gone", NOON)).unlink()


class Killer:
    """A process that forks runs and kills them; see `killing`."""

    def __init__(self, work: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("killing.py")), str(work)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, what: str | int) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(what, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture(params=["from nothing", "under readers", "from before"])
def work(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Make the uploads, the library before and what is to be done.

    From nothing: each camera-day is a swap of its own, old parts go at once.
    Under readers: another zone moves every row, in one swap, with the changes.
    From before: the same, of a library that has one manifest for all.
    """
    is_patient = request.param != "from nothing"
    settings = check({"zone": "Europe/Berlin"}).model_copy(
        update={"uploads": tmp_path / "uploads", "library": tmp_path / "before"}
    )
    (tmp_path / "before").mkdir()
    lay_first(tmp_path / "uploads")
    if is_patient:
        lay_more(tmp_path / "uploads")
        ingest(settings, make_executor=partial(ThreadPoolExecutor, 2))
        lay_then(tmp_path / "uploads")
    if request.param == "from before":
        with_one_manifest(Storage(tmp_path / "before"))
    plan = {"zone": "Europe/Helsinki", "is_patient": is_patient}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    return tmp_path


@pytest.fixture
def killer(work: Path) -> Iterator[Killer]:
    one = Killer(work)
    yield one
    one.end()


def check_trial(trial: Any, undisturbed: Any, before: set[str]) -> None:
    """Hold one killed and healed library against the undisturbed one."""
    assert trial["code"] == -9, trial.get("victim")
    healed = trial["healed"]
    assert "error" not in healed, healed
    healed = healed["ok"]
    assert before <= set(healed["kept"])
    assert healed["told"] == undisturbed
    assert healed["left"] == {"temporary": [], "stray": [], "packs": [], "at_work": False}
    assert healed["again"] == 0
    if "reader" in trial:
        assert "error" not in trial["reader"], trial["reader"]["error"]


def hold(work: Path, killer: Killer, every: int, first: int) -> None:
    counted = killer.ask("count")
    steps, undisturbed = counted["steps"]["ok"], counted["told"]["ok"]
    before = (
        set(Library.of(check({}).model_copy(update={"library": work / "before"})).media().media_id)
        if (work / "before/library.json").exists()
        else set()
    )
    assert any(step.startswith("os.rename manifest.json") for step in steps)
    for step in range(first, len(steps) + 1, every):
        try:
            check_trial(killer.ask(step), undisturbed, before)
        except AssertionError as error:
            raise AssertionError(f"killed at step {step}, {steps[step - 1]}: {error}") from error


def test_killed_at_some_steps(work: Path, killer: Killer) -> None:
    """Killed here and there, every part can be read, no row goes, and the next run heals.

    It tells then what an undisturbed run tells, nothing is left over, and a
    reader that asks all the while meets no error and no mixture.
    """
    hold(work, killer, every=23, first=1 + os.getpid() % 23)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_at_every_step(work: Path, killer: Killer) -> None:
    """The same, for every step there is."""
    hold(work, killer, every=1, first=1)


def test_what_the_manifest_names_is_on_the_disk_first(work: Path, killer: Killer) -> None:
    """Parts, packs and journal files are synced, and their folders, before the manifest is.

    So are the folders that parts moved into, before the mark of a run at work goes.
    """
    steps = killer.ask("count")["steps"]["ok"]
    synced = set[str]()
    waiting, moved = set[str](), set[str]()
    files = ("unlisted/", "manifests/", "thumbs/", "journal/")
    swaps = 0
    for step in steps:
        what, _, path = step.partition(" ")
        if what == "os.rename" and path.startswith("unlisted/") and "unlisted" in moved:
            continue  # it was there before, in the tree
        if what == "os.rename" and path.startswith(files):
            waiting.add(path)
        elif what == "sync":
            waiting.discard(path)
            moved.discard(path)
            synced.add(path)
        elif what == "os.rename" and path.startswith("manifest.json"):
            swaps += 1
            assert not waiting
            moved.add("unlisted")
            assert {"unlisted", "journal"} <= synced
        elif what == "os.rename" and path.startswith("parts/"):
            moved.add(path.rpartition("/")[0])
        elif what == "os.remove" and path == AT_WORK:
            assert not moved, "the tree is not on the disk as the mark goes"
    assert swaps


def test_thumbnails_of_rows_that_moved_survive_a_sweep(tmp_path: Path) -> None:
    """Whatever day a row moved to, its thumbnail stays; what nothing names goes."""
    lay(picture(1), tmp_path / "uploads" / snapshot_path("porch", RESET), EVENING)
    places = {"uploads": tmp_path / "uploads", "library": tmp_path / "library"}
    for zone in ("Pacific/Honolulu", "Pacific/Kiritimati"):  # a whole day apart
        settings = check({"zone": zone}).model_copy(update=places)
        ingest(settings, make_executor=partial(ThreadPoolExecutor, 2))
    library = Library.of(settings)
    [row] = library.media().to_dict("records")
    folder = Path(row["thumb"]).parts[1]
    assert folder != str(row["date"])[:10], "it did not move"
    left = library.storage.path("thumbs/porch") / folder / "fffffffffff-0000.pack"
    left.write_bytes(b"left")
    # As of a run that was killed while the clock was far behind.
    library.storage.replace(AT_WORK, b"0")
    ingest(settings, make_executor=partial(ThreadPoolExecutor, 2))
    assert library.thumbnail_bytes(row["thumb"])
    assert not left.exists()


def test_a_killed_run_takes_its_processes_along(tmp_path: Path) -> None:
    """When the run is killed, those who open files for it end by themselves; the next run heals."""
    uploads, library = tmp_path / "uploads", tmp_path / "library"
    for number in range(300):
        lay(picture(number), uploads / snapshot_path("porch", NOON + timedelta(seconds=number)))
    command = [sys.executable, "-m", "pano_analytics.cli", "ingest", "--uploads", str(uploads)]
    process = subprocess.Popen([*command, "--library", str(library)])
    children: list[int] = []
    while not children and process.poll() is None:
        children = workers_of(process.pid)
    process.kill()
    process.wait()
    assert children, "the run ended before it could be killed"
    until = time.monotonic() + 60
    while any(is_alive(child) for child in children):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert (library / AT_WORK).exists()
    subprocess.run([*command, "--library", str(library)], check=True)
    settings = check({}).model_copy(update={"library": library})
    assert Library.of(settings).media().state.value_counts().to_dict() == {"complete": 300}


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
