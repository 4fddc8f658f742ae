"""Walking the upload tree: which folders there are, and what lies in them. Reads only."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

from pano_analytics import layouts
from pano_analytics.model.times import CLOCKS_END_NS, sane
from pano_analytics.model.upload import decode_path, encode_path


class FileEntry(NamedTuple):
    """One regular file: its path below the root (as in the `path` column), size and time."""

    path: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class WalkUnit:
    """What is looked at in one go: a day folder with all below it, or a folder's own files.

    `day` is None for a folder that no day names; its entries are then already
    known, because it had to be listed to find the folders below it, and so is what
    could not be looked at in it (`unreadable`, `skipped`).
    """

    path: str
    day: date | None = None
    entries: tuple[FileEntry, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def may_hold(self) -> bool:
        """Whether files are known to lie in it, or may lie in it."""
        return self.day is not None or bool(self.entries)


@dataclass
class WalkProblems:
    """What could not be looked at, each with the reason: nothing is passed over in silence."""

    unreadable: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def units(root: Path) -> list[WalkUnit]:
    """Return the units below `root`: each day folder, and others that hold files or trouble."""
    found: list[WalkUnit] = []
    waiting: list[str] = [""]
    while waiting:
        folder = waiting.pop()
        own, folders = _listed(root, folder)
        if own.entries or own.unreadable or own.skipped:
            found.append(own)
        for name in folders:
            below = f"{folder}/{name}" if folder else name
            day = layouts.day_of_folder(below.split("/"))
            if day is None:
                waiting.append(below)
            else:
                found.append(WalkUnit(encode_path(below), day))
    return found


def _listed(root: Path, folder: str) -> tuple[WalkUnit, list[str]]:
    """Return a folder that no day names as a unit, and the names of the folders in it."""
    trouble = WalkProblems()
    entries, folders = list_folder(root, folder, trouble)
    told = (tuple(trouble.unreadable), tuple(trouble.skipped))
    return WalkUnit(encode_path(folder), None, tuple(entries), *told), folders


def units_of(root: Path, folders: Iterable[str]) -> list[WalkUnit]:
    """Return the units that the folders at these paths (as on disk) belong to, if still there."""
    days, others = dict[str, date](), set[str]()
    for folder in folders:
        if not _is_folder(root, folder):
            continue
        parts = folder.split("/") if folder else []
        above = ((n, layouts.day_of_folder(parts[:n])) for n in range(1, len(parts) + 1))
        n, day = next(((n, day) for n, day in above if day is not None), (0, None))
        if day is None:
            others.add(folder)
        else:
            days["/".join(parts[:n])] = day
    found = [WalkUnit(encode_path(folder), day) for folder, day in days.items()]
    return found + [_listed(root, folder)[0] for folder in others]


def _is_folder(root: Path, folder: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(f"{root}/{folder}" if folder else root).st_mode)
    except OSError:
        return False


def entries(root: Path, unit: WalkUnit, trouble: WalkProblems) -> list[FileEntry]:
    """Return all regular files of `unit`; what cannot be read goes to `trouble`."""
    if unit.day is None:
        trouble.unreadable += unit.unreadable
        trouble.skipped += unit.skipped
        return list(unit.entries)
    found: list[FileEntry] = []
    waiting = [os.fsdecode(decode_path(unit.path))]
    while waiting:
        folder = waiting.pop()
        own, folders = list_folder(root, folder, trouble)
        found += own
        waiting += [f"{folder}/{name}" for name in folders]
    return found


def list_folder(
    root: Path, folder: str, trouble: WalkProblems
) -> tuple[list[FileEntry], list[str]]:
    """Return a folder's own regular files and the names of the folders in it; follows no link."""
    files: list[FileEntry] = []
    folders: list[str] = []
    prefix = encode_path(folder) + "/" if folder else ""
    try:
        with os.scandir(f"{root}/{folder}" if folder else root) as listing:
            for item in listing:
                if item.is_file(follow_symlinks=False):
                    _add(files, prefix, item, trouble)
                elif item.is_dir(follow_symlinks=False):
                    folders.append(item.name)
                else:
                    trouble.skipped.append((prefix + encode_path(item.name), _what(item)))
    except OSError as error:
        trouble.unreadable.append((encode_path(folder) or ".", error.strerror or str(error)))
    return files, folders


def _add(
    files: list[FileEntry], prefix: str, item: os.DirEntry[str], trouble: WalkProblems
) -> None:
    name = item.name if item.name.isascii() and "%" not in item.name else encode_path(item.name)
    try:
        found = item.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # gone between listing and looking: renamed by its camera, or culled
    except OSError as error:
        trouble.unreadable.append((prefix + name, error.strerror or str(error)))
        return
    mtime_ns = found.st_mtime_ns
    if not 0 <= mtime_ns <= CLOCKS_END_NS:
        mtime_ns = sane(mtime_ns)
    files.append(FileEntry(prefix + name, found.st_size, mtime_ns))


def _what(item: os.DirEntry[str]) -> str:
    return "a link, not followed" if item.is_symlink() else "not a regular file"


def fingerprint(found: Iterable[FileEntry], key: str) -> str:
    """Return a short text that changes when any name, size or time, or `key`, does."""
    digest = hashlib.blake2b(key.encode(), digest_size=12)
    lines = sorted(f"{path}\0{size}\0{mtime}" for path, size, mtime in found)
    digest.update("\n".join(lines).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
