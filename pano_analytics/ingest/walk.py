"""Walking the upload tree: its folders and their files. Nothing is written."""

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
    """What is scanned at once: a day folder with everything below it, or a folder's own files.

    `day` is None for a folder whose path has no date. Its `entries`, and what could not be
    read in it (`unreadable`, `skipped`), are then already known, because it had to be listed
    to find the folders below it.
    """

    path: str
    day: date | None = None
    entries: tuple[FileEntry, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def may_hold(self) -> bool:
        """Whether it has files, or may have some."""
        return self.day is not None or bool(self.entries)


@dataclass
class WalkProblems:
    """What could not be read and what was skipped, as pairs of path and reason."""

    unreadable: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def units(root: Path) -> list[WalkUnit]:
    """Return the units below `root`: day folders, and others with files or problems."""
    units_found: list[WalkUnit] = []
    waiting: list[str] = [""]
    while waiting:
        folder = waiting.pop()
        own, folders = _listed(root, folder)
        if own.entries or own.unreadable or own.skipped:
            units_found.append(own)
        for name in folders:
            below = f"{folder}/{name}" if folder else name
            day = layouts.day_of_folder(below.split("/"))
            if day is None:
                waiting.append(below)
            else:
                units_found.append(WalkUnit(encode_path(below), day))
    return units_found


def _listed(root: Path, folder: str) -> tuple[WalkUnit, list[str]]:
    """Return a folder without a date as a unit, and the names of the folders in it."""
    trouble = WalkProblems()
    entries, folders = list_folder(root, folder, trouble)
    problems = (tuple(trouble.unreadable), tuple(trouble.skipped))
    return WalkUnit(encode_path(folder), None, tuple(entries), *problems), folders


def units_of(root: Path, folders: Iterable[str]) -> list[WalkUnit]:
    """Return the units of the folders at these paths (as on disk), if they still exist."""
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
    day_units = [WalkUnit(encode_path(folder), day) for folder, day in days.items()]
    return day_units + [_listed(root, folder)[0] for folder in others]


def _is_folder(root: Path, folder: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(f"{root}/{folder}" if folder else root).st_mode)
    except OSError:
        return False


def entries(root: Path, unit: WalkUnit, trouble: WalkProblems) -> list[FileEntry]:
    """Return all regular files of `unit`; add what cannot be read to `trouble`."""
    if unit.day is None:
        trouble.unreadable += unit.unreadable
        trouble.skipped += unit.skipped
        return list(unit.entries)
    files: list[FileEntry] = []
    waiting = [os.fsdecode(decode_path(unit.path))]
    while waiting:
        folder = waiting.pop()
        own, folders = list_folder(root, folder, trouble)
        files += own
        waiting += [f"{folder}/{name}" for name in folders]
    return files


def list_folder(
    root: Path, folder: str, trouble: WalkProblems
) -> tuple[list[FileEntry], list[str]]:
    """Return a folder's own regular files and the names of its folders; links are not followed."""
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
        status = item.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # gone since it was listed: renamed by its camera, or culled
    except OSError as error:
        trouble.unreadable.append((prefix + name, error.strerror or str(error)))
        return
    mtime_ns = status.st_mtime_ns
    if not 0 <= mtime_ns <= CLOCKS_END_NS:
        mtime_ns = sane(mtime_ns)
    # As `FileEntry(…)`, in half the time.
    files.append(tuple.__new__(FileEntry, (prefix + name, status.st_size, mtime_ns)))


def _what(item: os.DirEntry[str]) -> str:
    return "a link, not followed" if item.is_symlink() else "not a regular file"


def fingerprint(entries: Iterable[FileEntry], key: str) -> str:
    """Return a short text that changes when any name, size or time, or `key`, does."""
    digest = hashlib.blake2b(key.encode(), digest_size=12)
    lines = sorted(f"{path}\0{size}\0{mtime}" for path, size, mtime in entries)
    digest.update("\n".join(lines).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
