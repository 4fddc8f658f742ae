"""The disk of `power.py` itself: it forgets what real disks may forget, and nothing else."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from power import KINDS, Disk, Kind

_STEPS = """
import os, pathlib, sys
root = pathlib.Path(sys.argv[1])
def sync(path):
    fd = os.open(path, os.O_RDONLY); os.fsync(fd); os.close(fd)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    (tmp_path / "root" / "old").mkdir(parents=True)
    (tmp_path / "root" / "old" / "good").write_bytes(b"good")
    return Disk.made(tmp_path / "root", tmp_path / "device")


def do(disk: Disk, steps: str, **how: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _STEPS + steps, str(disk.root)]
    return subprocess.run(command, env=disk.env(**how), capture_output=True, text=True, check=False)


def left(disk: Disk, into: Path, kind: Kind) -> dict[str, bytes | None]:
    """Return what a cut leaves: bytes by path, None for folders."""
    top = disk.after_cut(into / kind, kind)
    return {
        path.relative_to(top).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in top.rglob("*")
    }


NEW = "(root/'new').write_bytes(b'x')\n"
IN_NEW_FOLDER = "(root/'day').mkdir(); (root/'day/x').write_bytes(b'x'); sync(root/'day/x')\n"
RENAMED = """
f = open(root/'a', 'wb'); f.write(b'one'); f.flush(); os.fdatasync(f.fileno())
f.write(b'two'); f.close(); os.rename(root/'a', root/'b'); sync(root)
"""
LINKED = "os.link(root/'old/good', root/'also'); os.symlink('also', root/'soft'); sync(root)"
# What is done; what a disk that keeps names late and one that keeps them at once have of it.
CASES: list[tuple[str, dict[str, bytes | None], dict[str, bytes | None]]] = [
    ("", {}, {}),
    (NEW, {}, {"new": b""}),
    (NEW + "sync(root/'new')", {}, {"new": b"x"}),
    (NEW + "sync(root)", {"new": b""}, {"new": b""}),
    (NEW + "sync(root/'new'); sync(root)", {"new": b"x"}, {"new": b"x"}),
    (IN_NEW_FOLDER + "sync(root/'day')", {}, {"day": None, "day/x": b"x"}),
    (IN_NEW_FOLDER + "sync(root)", {"day": None}, {"day": None, "day/x": b"x"}),
    (RENAMED, {"b": b"one"}, {"b": b"one"}),
    (LINKED, {"also": b"good", "soft": b"good"}, {"also": b"good", "soft": b"good"}),
]


@pytest.mark.parametrize(("steps", "lazy", "eager"), CASES)
def test_what_a_cut_leaves(
    disk: Disk,
    tmp_path: Path,
    steps: str,
    lazy: dict[str, bytes | None],
    eager: dict[str, bytes | None],
) -> None:
    """Names come with their folder's sync (or at once), bytes with their file's."""
    assert do(disk, steps).returncode == 0
    there = {"old": None, "old/good": b"good"}
    assert left(disk, tmp_path, "lazy") == there | lazy
    assert left(disk, tmp_path, "eager") == there | eager


def test_a_rename_before_its_sync_loses_the_old_file(disk: Disk, tmp_path: Path) -> None:
    """The disk that keeps names early shows why a file is synced before it is renamed."""
    assert do(disk, "(root/'x').write_bytes(b'new'); os.replace(root/'x', root/'old/good')")
    assert left(disk, tmp_path, "lazy")["old/good"] == b"good"
    assert left(disk, tmp_path, "eager")["old/good"] == b""


def test_numbers_of_inodes_are_used_again(disk: Disk, tmp_path: Path) -> None:
    """A new file with the number of one that is gone is another file."""
    steps = (
        "(root/'a').write_bytes(b'first'); sync(root/'a'); sync(root)\n"
        "for n in range(50):\n    (root/'a').unlink(); (root/'a').write_bytes(b'later')"
    )
    assert do(disk, steps).returncode == 0
    assert left(disk, tmp_path, "lazy")["a"] == b"first"
    assert left(disk, tmp_path, "eager")["a"] == b""


def test_a_file_with_two_names_is_one(tmp_path: Path) -> None:
    """Names that lay there at first may be those of one file; others keep their bytes."""
    root = tmp_path / "root"
    root.mkdir()
    for name in ("a", "b", "c"):
        (root / name).write_text(name)
        os.link(root / name, root / f"{name}-too")
    left = Disk.made(root, tmp_path / "device").after_cut(tmp_path / "left")
    assert {path.name: path.read_text() for path in left.iterdir()} == {
        f"{name}{more}": name for name in ("a", "b", "c") for more in ("", "-too")
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_moment_before(disk: Disk, tmp_path: Path, kind: Kind) -> None:
    """Every moment can be looked at afterwards."""
    assert do(disk, "(root/'x').write_bytes(b'one'); sync(root/'x'); sync(root)").returncode == 0
    moment = disk.moment()
    assert do(disk, "(root/'x').write_bytes(b'other'); sync(root/'x')").returncode == 0
    assert (disk.after_cut(tmp_path / "then", kind, moment) / "x").read_bytes() == b"one"
    assert (disk.after_cut(tmp_path / "now", kind) / "x").read_bytes() == b"other"
    assert disk.moments()[0] == 0
    assert disk.moments()[-1] == disk.moment()


def test_calls_fail_and_kill(disk: Disk) -> None:
    """The calls are listed in order; the one that is asked for fails, or is the last."""
    steps = "(root/'x').write_bytes(b'one'); sync(root/'x'); os.rename(root/'x', root/'y')"
    assert do(disk, steps).returncode == 0
    assert [call for call, _ in disk.calls()] == ["open", "write", "fsync", "rename"]
    (disk.root / "y").unlink()
    for number, what in enumerate(["open", "write", "fsync", "rename"], 1):
        done = do(disk, steps, fail_at=number, error=errno.ENOSPC)
        assert "No space left" in done.stderr, what
        assert not (disk.root / "y").exists()
    assert do(disk, steps, kill_at=4).returncode == -9
    assert (disk.root / "x").read_bytes() == b"one"
