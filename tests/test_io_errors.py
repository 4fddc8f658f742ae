"""A call to the disk that fails, whichever it is: one line, nothing lost, healed by the next run.

As SQLite tests it: the n-th open, read, write, sync, rename, unlink, folder, list or status
fails, for every n. The quick sample takes a few of them; `long` takes many more.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import power
import pytest
from lived_in import NOON, lay, picture
from shared_files import snapshot_path

WHERE = ["--uploads", "uploads", "--library", "library"]
# What a command may end with where a disk fails: docs/operations.md.
DOCUMENTED = {0, 2, 3, 4, 8, 9, 10}
COMMANDS: dict[str, list[str]] = {
    "ingest": ["ingest", "-q", *WHERE],
    "check": ["check", *WHERE],
    "rebuild": ["rebuild", *WHERE],
    "status": ["status", *WHERE],
    "doctor": ["doctor", *WHERE],
    "backup": ["backup", "one.tar", "--library", "library"],
    "restore": ["restore", "kept.tar", "other"],
    "site": ["site", "site", *WHERE],
    "user": ["user", "add", "anna", "--password-stdin", "--library", "library"],
    "camera": ["camera", "add", "yard", "--no-wait", *WHERE],
    "cull": ["cull", "--delete", *WHERE],
}
# Where a repeated command says that it was done already, or that something wants attention.
AGAIN = {"doctor": {0, 8}, "camera": {0, 2}, "cull": {0, 8}}


def pano(home: Path, *words: str) -> None:
    command = [sys.executable, "-m", "pano_analytics.cli", *words]
    subprocess.run(command, cwd=home, check=True, capture_output=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out a home with a library, a backup of it, and leave to delete."""
    folder = tmp_path_factory.mktemp("home")
    for number in range(3):
        start = NOON + timedelta(minutes=number)
        lay(picture(number), folder / "uploads" / snapshot_path("porch", start))
    lay(picture(7), folder / "uploads" / snapshot_path("gate", NOON))
    pano(folder, "ingest", *WHERE)
    (folder / "pano.toml").write_text("keep_days = 1\n")
    pano(folder, "cull", "--adopt", *WHERE)
    pano(folder, "backup", "kept.tar", "--library", "library")
    return folder


def bytes_of(folder: Path) -> dict[str, str]:
    """Return the hash of each upload."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.jpg")
    }


def sweep(home: Path, tmp_path: Path, name: str, errors: list[int], most: int) -> list[Any]:
    """Run a command with each of `most` calls failing; return the undisturbed run and these."""
    source, work = tmp_path / "source", tmp_path / "work"
    shutil.copytree(home, source, symlinks=True)
    if name == "ingest":
        shutil.rmtree(source / "library")
    work.mkdir()
    spec = {
        "argv": COMMANDS[name],
        "errors": errors,
        "most": most,
        "where": WHERE,
        "stdin": "correct horse 7 battery\n",
    }
    env = {
        **os.environ,
        "LD_PRELOAD": str(power.library()),
        "PANO_DISK_ROOT": str(work),
        "PANO_DISK_READS": "1",
    }
    script = Path(__file__).with_name("failing.py")
    done = subprocess.run(
        [sys.executable, script, source, work, json.dumps(spec)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if name != "cull":
        assert bytes_of(work / "uploads") == bytes_of(home / "uploads")
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(name: str, undisturbed: Any, runs: list[Any]) -> None:
    """Hold each run against what is promised."""
    assert undisturbed["code"] in AGAIN.get(name, {0}), undisturbed
    assert undisturbed["calls"] > 10
    for one in runs:
        what = f"{name}: {errno.errorcode[one['error']]} at {one['at']}: {one['code']} {one['err']}"
        assert "Traceback" not in one["err"], what
        assert one["code"] in DOCUMENTED, what
        if one["code"] not in (0, 8):
            said = [line for line in one["err"].splitlines() if line.startswith("pano: ")]
            assert said, what
            assert said[-1] == one["err"].splitlines()[-1], what
        again = one["again"]
        assert again["code"] in AGAIN.get(name, {0}), f"{what}\nagain: {again['err']}"
        if name != "restore":
            told = json.loads(one["look"]["out"])
            assert told["rows"] == 4, what
            assert told["states"].get("complete", 0) + told["states"].get("culled", 0) == 4, what


@pytest.mark.parametrize("name", COMMANDS)
def test_a_failing_call_is_one_line(name: str, home: Path, tmp_path: Path) -> None:
    """A few calls of each command, spread over it."""
    undisturbed, *runs = sweep(home, tmp_path, name, [errno.EIO], 3)
    check(name, undisturbed, runs)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_failing_call_is_one_line(name: str, error: int, home: Path, tmp_path: Path) -> None:
    """Up to two hundred calls of each command, for each reason."""
    undisturbed, *runs = sweep(home, tmp_path, name, [error], 200)
    check(name, undisturbed, runs)
