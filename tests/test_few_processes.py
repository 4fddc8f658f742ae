"""Where the system starts no more processes or threads: one line, the code of the table."""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import pano_analytics
from pano_analytics import Library, doctor
from pano_analytics.errors import NoProcess
from pano_analytics.upkeep.check import check
from pano_analytics.workers.crew import Crew
from pano_analytics.workers.executors import ProcessPool

SAMPLE = Path(__file__).parents[1] / "data/sample/uploads"
# The limit does not hold for root: another user's number, who may read what root may. The
# limit counts a user's processes wherever they were started, so each test process takes its own.
OTHER = [
    *("setpriv", "--reuid", f"{100_000 + os.getpid()}", "--clear-groups"),
    *("--inh-caps", "+dac_override,+dac_read_search"),
    *("--ambient-caps", "+dac_override,+dac_read_search"),
]
# What each command answers where it can do without more threads or processes.
COMMANDS = {
    "ingest": (["ingest"], 0),
    "check": (["check"], 0),
    "status": (["status"], 0),
    "doctor": (["doctor"], 8),
    "cull": (["cull"], 0),
    "rebuild": (["rebuild"], 0),
    "backup": (["backup", "kept.tar", "--with-catalog"], 0),
    "site": (["site", "pages"], 0),
    "explain": (["explain", "front_door/a.jpg"], 0),
    "clock": (["clock"], 0),
    "camera": (["camera", "list"], 0),
    "user": (["user", "list"], 0),
}
LIMITS = [("ingest", 1), *((name, 4) for name in COMMANDS), ("rebuild", 8)]


def limited(home: Path, most: int | None, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command while the system allows `most` processes and threads to its user."""

    def limit() -> None:
        if most is not None:
            resource.setrlimit(resource.RLIMIT_NPROC, (most, most))

    own = OTHER if os.geteuid() == 0 and most is not None else []
    return subprocess.run(
        [*own, sys.executable, "-m", "pano_analytics.cli", *words],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
        timeout=50,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a library that another user may write to."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("the limit of processes does not hold for root, and there is no setpriv")
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(SAMPLE, folder / "uploads")
    said = 'uploads = "uploads"\nlibrary = "library"\nsilent_after_hours = 1e6\n'
    (folder / "pano.toml").write_text(said)
    assert limited(folder, None, ["ingest"]).returncode == 0
    return folder


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "most"), LIMITS)
def test_a_command_ends_with_one_line(name: str, most: int, home: Path, tmp_path: Path) -> None:
    """Or does without; no file is blamed, and the next run finds all as it was."""
    here = tmp_path / "home"
    shutil.copytree(home, here)
    words, code = COMMANDS[name]
    if name == "ingest":
        shutil.rmtree(here / "library")
    done = limited(here, most, words)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (code, NoProcess.exit_code), done.stderr
    if done.returncode == NoProcess.exit_code:
        assert done.stderr.splitlines()[-1].startswith("pano: expected to start another process")
    assert limited(here, None, ["ingest"]).returncode == 0
    again = limited(here, None, ["check"])
    assert again.returncode == 0, again.stdout


def _die() -> None:
    os._exit(1)


def test_a_pool_whose_processes_all_end_at_once_blames_no_task() -> None:
    """What never began was not stopped by a file."""

    def make() -> ProcessPool:
        return ProcessPool(1, _die)

    blamed: list[object] = []
    with (
        Crew(make, 1, list, lambda task, _: blamed.append(task), 1) as crew,
        pytest.raises(NoProcess, match="ulimit -u"),
    ):
        list(crew.run([1, 2]))
    assert not blamed


def test_a_pool_whose_own_thread_ends_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that hands tasks over could not start the one that writes them."""

    def refused(queue: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("multiprocessing.queues.Queue._start_thread", refused)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def make() -> ProcessPool:
        return ProcessPool(1)

    with (
        Crew(make, 1, list, lambda task, _: task, 1) as crew,
        pytest.raises(NoProcess, match="a thread of the pool has ended"),
    ):
        list(crew.run([1, 2]))


@pytest.mark.parametrize(
    "ask",
    [Library.media, doctor.examine, lambda library: list(check(library))],
    ids=["frame", "doctor", "check"],
)
def test_no_part_is_blamed_for_a_missing_thread(
    ask: Callable[[Library], object], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow says it in an error of its own, as it does for bytes that cannot be read."""

    def refused(*_: object, **__: object) -> None:
        raise pa.ArrowException("Unknown error: Failed to launch worker thread: no more of them")

    library = pano_analytics.open(home / "library")
    for name in ("store.catalog", "store.decisions", "library.queries", "doctor"):
        module = importlib.import_module(f"pano_analytics.{name}")
        for reader in ("read_parquet", "_frame", "_all"):
            if hasattr(module, reader):
                monkeypatch.setattr(module, reader, refused)
    with pytest.raises(NoProcess, match="ulimit -u"):
        ask(library)
