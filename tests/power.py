"""A disk that forgets what was not synced, fails, or is pulled: for tests of any command.

`power.c` is compiled once and preloaded into the processes under test. It notes what was
synced; `Disk.after_cut` then writes what a power cut at that moment would have left. Two
kinds of disk are told apart, and what was acknowledged must survive on both:

- "lazy": a name is on the disk once its folder was synced, bytes once their file was;
- "eager": names are on the disk at once, bytes still only once their file was synced. A
  rename before its file was synced then leaves an empty file in the place of the good one.

    disk = Disk.made(tmp_path / "uploads", tmp_path / "device")
    subprocess.run([...], env=disk.env())
    moment = disk.moment()                       # for example when a reply came
    left = disk.after_cut(tmp_path / "left", "lazy", moment)

`disk.env(fail_at=7, error=errno.EIO)` makes the 7th call that changes something fail,
`kill_at=7` kills the process before it; `disk.calls()` are the calls, in order.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

Kind = Literal["lazy", "eager"]
KINDS: tuple[Kind, ...] = ("lazy", "eager")


class Name(NamedTuple):
    """One entry of a folder: `type` is d, f or l; `target` is that of a link."""

    type: str
    key: str
    target: bytes


class Bytes(NamedTuple):
    """What is on the disk of one file."""

    mode: int
    mtime_ns: int
    copy: Path


@dataclass
class _State:
    """What is on the disk for good: names by folder, bytes by file."""

    folders: dict[str, dict[bytes, Name]] = field(default_factory=dict)
    files: dict[str, Bytes] = field(default_factory=dict)


@cache
def library() -> Path:
    """Return the compiled library; skips the test where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: a disk that drops what was not synced cannot be made")
    made = Path(tempfile.mkdtemp(prefix="pano-power-")) / "power.so"
    source = Path(__file__).with_name("power.c")
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(made), str(source)]
    done = subprocess.run(
        [*command, "-ldl", "-pthread"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return made


def _key(path: Path) -> str:
    key = ctypes.create_string_buffer(64)
    assert ctypes.CDLL(str(library())).power_key(os.fsencode(path), key) == 0
    return key.value.decode()


@dataclass
class Disk:
    """A folder watched as if it were a device. What lies there at first is on the disk."""

    root: Path
    device: Path
    _top: str
    _before: _State

    @classmethod
    def made(cls, root: Path, device: Path) -> Disk:
        """Watch the folder `root`; what is noted goes to the new folder `device`."""
        root.mkdir(parents=True, exist_ok=True)
        (device / "before").mkdir(parents=True)
        (device / "journal").touch()
        disk = cls(root, device, _key(root), _State())
        disk._note(root)
        return disk

    def _note(self, folder: Path) -> None:
        names = self._before.folders[_key(folder)] = {}
        for path in folder.iterdir():
            key, name = _key(path), os.fsencode(path.name)
            if path.is_symlink():
                names[name] = Name("l", key, os.fsencode(path.readlink()))
            elif path.is_dir():
                names[name] = Name("d", key, b"")
                self._note(path)
            else:
                names[name] = Name("f", key, b"")
                copy = self.device / "before" / key  # one for all the names of a file
                shutil.copyfile(path, copy)
                found = path.stat()
                self._before.files[key] = Bytes(found.st_mode & 0o7777, found.st_mtime_ns, copy)

    def env(
        self,
        *,
        fail_at: int | None = None,
        error: int = errno.EIO,
        fail_on: bool = False,
        fail_while: Path | None = None,
        kill_at: int | None = None,
        reads: bool = False,
    ) -> dict[str, str]:
        """Return the environment of a process that works on this disk.

        Calls are counted from 1 in each process; with `fail_on` all calls after
        `fail_at` fail as well. All fail while the file `fail_while` is there. With `reads`
        calls that only read are counted, and fail, as well.
        """
        said = {
            "LD_PRELOAD": str(library()),
            "PANO_DISK_ROOT": str(self.root.resolve()),
            "PANO_DISK_JOURNAL": str(self.device / "journal"),
        }
        said["PANO_DISK_ERRNO"] = str(error)
        if fail_at is not None:
            said["PANO_DISK_FAIL_AT"] = str(fail_at)
        if fail_while is not None:
            said["PANO_DISK_FAIL_WHILE"] = str(fail_while)
        if reads:
            said["PANO_DISK_READS"] = "1"
        if fail_on:
            said["PANO_DISK_FAIL_ON"] = "1"
        if kill_at is not None:
            said["PANO_DISK_KILL_AT"] = str(kill_at)
        return {**os.environ, **said}

    def moment(self) -> int:
        """Return the present, as `after_cut` takes it."""
        return (self.device / "journal").stat().st_size

    def moments(self) -> list[int]:
        """Return every moment at which what is on the disk for good, or called, changed."""
        ends, end = [0], 0
        for line in self._lines(None):
            end += len(line)
            ends.append(end)
        return ends

    def calls(self, moment: int | None = None) -> list[tuple[str, str]]:
        """Return the calls until then, in order: what was called, and for which path.

        "send" is what was written to a socket; its path is the text.
        """
        found = (line.rstrip(b"\n").split(b" ", 2) for line in self._lines(moment))
        return [
            (parts[1].decode(), os.fsdecode(parts[2]).strip())
            for parts in found
            if parts[0] == b"A"
        ]

    def _lines(self, moment: int | None) -> Iterator[bytes]:
        data = (self.device / "journal").read_bytes()[:moment]
        yield from data.splitlines(keepends=True)

    def after_cut(self, into: Path, kind: Kind = "lazy", moment: int | None = None) -> Path:
        """Write what a power cut at `moment` (now, if None) leaves to `into`, and return it."""
        state = _State(dict(self._before.folders), dict(self._before.files))
        for line in self._lines(moment):
            what, *said = line.split()
            if what == b"F":
                key, mode, mtime_ns, copy = said
                state.files[key.decode()] = Bytes(
                    int(mode, 8), int(mtime_ns), Path(os.fsdecode(copy))
                )
            elif what == b"D" or (what == b"N" and kind == "eager"):
                state.folders[said[0].decode()] = dict(map(_name, said[1:]))
        _write(state, self._top, into)
        return into


def _name(text: bytes) -> tuple[bytes, Name]:
    name, kind, key, target = text.split(b":")
    return bytes.fromhex(name.decode()), Name(kind.decode(), key.decode(), _unhex(target))


def _unhex(text: bytes) -> bytes:
    return bytes.fromhex(text.decode())


def _write(state: _State, folder: str, into: Path) -> None:
    into.mkdir()
    for name, entry in state.folders.get(folder, {}).items():
        path = into / os.fsdecode(name)
        if entry.type == "d":
            _write(state, entry.key, path)
        elif entry.type == "l":
            path.symlink_to(os.fsdecode(entry.target))
        else:
            _write_file(state.files.get(entry.key), path)


def _write_file(known: Bytes | None, path: Path) -> None:
    if known is None:  # its name reached the disk, and not a byte of it
        path.touch()
        return
    shutil.copyfile(known.copy, path)
    path.chmod(known.mode)
    os.utime(path, ns=(known.mtime_ns, known.mtime_ns))
