"""Detecting changes in the upload tree soon after they happen: by inotify, or by polling.

inotify reports when a file was closed or renamed, at no cost while nothing happens. It does
not report what other computers write to a network file system: there, the modification times
of folders are polled, and new files are reported once they no longer change. Neither needs to
detect everything, because a regular run follows every few minutes; the newest days are
covered best.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import select
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Protocol

from pano_analytics import layouts
from pano_analytics.errors import UploadTreeError
from pano_analytics.ingest import walk
from pano_analytics.model.upload import resolved

# A watched folder costs the kernel about 1 KB; the default limit of a small computer is a few
# tens of thousands for all programs of a user.
MOST_FOLDERS = 20_000
# If the kernel allows fewer, polling detects more.
_FEWEST_FOLDERS = 100
# One upload causes several events (closed, renamed, its time set); a burst of events is
# reported as one change, but a steady stream must not delay the first.
_BURST_S, _LONGEST_BURST_S = 0.1, 0.4
# A file must be unchanged for two rounds before it is reported.
ROUND_S = 0.4
# Folders of files without changes for this long are polled in turn: a camera fills the folder
# of one minute, then that of the next. Those of recent days are polled every other round,
# because a camera may upload late after an outage.
_RECENT_NS = 2 * 3600 * 1_000_000_000
_IN_TURN = 200
_RECENT_DAYS = 3
_SURVEY_EVERY_S = 3600.0
# For this long after a file was last written to, its folder is listed in every round: a
# growing file does not change the modification time of its folder.
_GROWING_S = 60.0

_NETWORKED = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "vboxsf", "ceph", "afs", "ncpfs")
)
_OCTAL = re.compile(rb"\\(\d{3})")


class Changes(Protocol):
    """A source of changes: the folders of an upload tree with finished uploads or removals."""

    @property
    def is_partial(self) -> bool:
        """Whether the tree has more folders than are watched; those of the newest days are."""

    def wait(self, timeout_s: float) -> set[str]:
        """Return folders (relative, as on disk) with changes; an empty set after `timeout_s`.

        Raises UploadTreeError if the tree is gone.
        """

    def has_news(self) -> bool:
        """Return whether `wait` would return immediately, or nearly so."""

    def close(self) -> None:
        """Stop watching."""


def listen(root: Path, is_polling: bool = False) -> Changes:
    """Return a source of changes below `root`: inotify, or polling if that does not work."""
    if is_polling or is_networked(root):
        return Polled(root)
    try:
        return Notified(root)
    except (OSError, AttributeError):  # another system, or no instance left
        return Polled(root)


def is_networked(root: Path) -> bool:
    """Return whether `root` is on a file system that other computers write to."""
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return True  # not Linux: there is no inotify either
    kind = file_system_of(os.fsencode(resolved(root)), mounts)
    return kind in _NETWORKED or kind.startswith("fuse")


def file_system_of(place: bytes, mounts: bytes) -> str:
    """Return the type of the file system of the path `place`.

    `mounts` is the content of /proc/self/mountinfo (see proc(5)).
    """
    longest, kind = -1, ""
    for line in mounts.splitlines():
        left, _, right = line.partition(b" - ")
        point = _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), left.split(b" ")[4])
        # Of two mounts at one point, the later is on top.
        is_above = (place + b"/").startswith(point.rstrip(b"/") + b"/")
        if is_above and len(point) >= longest:
            longest, kind = len(point), right.split(b" ")[0].decode("ascii", "replace")
    return kind


def _folders(root: Path) -> Iterator[tuple[str, date | None]]:
    """Yield every folder with its day: those without a day first, then the newest days."""
    days: list[tuple[date, str]] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        yield folder, None
        for below in _below(root, folder):
            day = layouts.day_of_folder(below.split("/"))
            if day is None:
                waiting.append(below)
            else:
                days.append((day, below))
    for day, top in sorted(days, reverse=True):
        yield from ((folder, day) for folder in _tree(root, top))


def _tree(root: Path, top: str) -> Iterator[str]:
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        yield folder
        waiting += _below(root, folder)


def _below(root: Path, folder: str) -> list[str]:
    prefix = f"{folder}/" if folder else ""
    try:
        with os.scandir(root / folder) as listing:
            return [prefix + item.name for item in listing if item.is_dir(follow_symlinks=False)]
    except OSError:
        return []  # gone or unreadable: the regular run reports it


class _Root:
    """The upload root, and its identity when watching began."""

    def __init__(self, root: Path) -> None:
        self.path = root
        self._identity = self._look()

    def _look(self) -> tuple[int, int]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise UploadTreeError(
                f"{self.path}: expected the upload tree; {error.strerror}. Is its disk mounted?"
            ) from error
        return status.st_dev, status.st_ino

    def check(self) -> None:
        """Raise UploadTreeError if the root is gone, or was replaced by another folder."""
        if self._look() != self._identity:
            raise UploadTreeError(
                f"{self.path}: expected the same upload tree as before; another folder is in its "
                f"place. It was mounted, unmounted or renamed; scanning again."
            )


_ATTRIB, _CLOSED = 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATED, _DELETED = 0x40, 0x80, 0x100, 0x200
_OVERFLOWN, _IGNORED, _IS_FOLDER = 0x4000, 0x8000, 0x4000_0000
_ONLY_FOLDERS, _NO_LINKS, _NOT_UNLINKED = 0x0100_0000, 0x0200_0000, 0x0400_0000
_ASKED = _ATTRIB | _CLOSED | _MOVED_FROM | _MOVED_TO | _CREATED | _DELETED
_HOW = _ONLY_FOLDERS | _NO_LINKS | _NOT_UNLINKED
_EVENT = struct.Struct("iIII")


class Notified:
    """Changes by inotify(7): files closed after writing, renamed, given a time, or removed."""

    def __init__(self, root: Path, most: int = MOST_FOLDERS) -> None:
        self._root = _Root(root)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._most = most
        self._news: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        """Watch the newest folders, and leave room for new ones."""
        self._queue = self._checked(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._folders: dict[int, str] = {}
        self.is_partial = False
        for folder, _ in _folders(self._root.path):
            if len(self._folders) >= self._most * 3 // 4 or not self._watch(folder):
                self.is_partial = True
                break

    def _restart(self) -> None:
        """Stop watching the oldest folders in favor of new ones; report all, to miss nothing."""
        os.close(self._queue)
        self._begin()
        self._news |= set(self._folders.values())

    def _checked(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def _watch(self, folder: str) -> bool:
        """Watch a folder, if it still exists; return False if no more can be watched."""
        if len(self._folders) >= self._most:
            return False
        path = os.fsencode(self._root.path / folder)
        try:
            watch = self._libc.inotify_add_watch(self._queue, path, _ASKED | _HOW)
            self._folders[self._checked(watch)] = folder
        except OSError as error:
            if error.errno == errno.ENOSPC:  # the kernel's limit, shared with other programs
                self._most = len(self._folders)
                if self._most < _FEWEST_FOLDERS:
                    raise
                return False
        return True

    def wait(self, timeout_s: float) -> set[str]:
        """Return folders with changes, gathered until a burst of events is over."""
        self._gather(timeout_s)
        until = time.monotonic() + _LONGEST_BURST_S
        while self._news and time.monotonic() < until and self._gather(_BURST_S):
            pass
        self._root.check()
        news, self._news = self._news, set()
        return news

    def has_news(self) -> bool:
        """Return whether something changed since the last `wait`."""
        self._gather(0)
        return bool(self._news)

    def _gather(self, timeout_s: float) -> bool:
        """Process the events within `timeout_s`; return whether there were any."""
        ready, _, _ = select.select([self._queue], [], [], max(timeout_s, 0))
        if not ready:
            return False
        data = os.read(self._queue, 1 << 16)
        offset = 0
        folders = self._folders  # replaced when watching restarts: then the rest is obsolete
        while offset < len(data) and folders is self._folders:
            watch, mask, _, length = _EVENT.unpack_from(data, offset)
            name = data[offset + _EVENT.size : offset + _EVENT.size + length].rstrip(b"\0")
            self._take(watch, mask, os.fsdecode(name))
            offset += _EVENT.size + length
        return True

    def _take(self, watch: int, mask: int, name: str) -> None:
        if mask & _OVERFLOWN:
            # The kernel dropped events: every watched folder may have changed.
            self._news |= set(self._folders.values())
            return
        folder = self._folders.get(watch)
        if folder is None:
            return
        if mask & _IGNORED:
            del self._folders[watch]
        elif not mask & _IS_FOLDER:
            if name and not mask & _CREATED:
                self._news.add(folder)
        elif mask & (_CREATED | _MOVED_TO):
            self._take_folder(f"{folder}/{name}" if folder else name)

    def _take_folder(self, top: str) -> None:
        """Watch a new folder, and report it: files may have arrived before it was watched."""
        new = list(_tree(self._root.path, top))
        self._news.update(new)
        if not all(self._watch(folder) for folder in new):
            self._restart()

    def close(self) -> None:
        """Close the kernel's queue, with all its watches."""
        os.close(self._queue)


@dataclass
class _InTurn:
    """Folders of which each round polls some."""

    folders: list[str] = field(default_factory=list)
    at: int = 0

    def next(self, count: int) -> list[str]:
        """Return the next `count` folders; begin again after the last."""
        begin = self.at if self.at < len(self.folders) else 0
        self.at = begin + count
        return self.folders[begin : self.at]


class Polled:
    """Changes by polling, every ROUND_S: times of folders, and sizes and times of new files."""

    def __init__(self, root: Path, most: int = MOST_FOLDERS) -> None:
        self._root = _Root(root)
        self._most = most
        self._stamps: dict[str, int] = {}
        self._lasting: set[str] = set()
        self._recent, self._others = _InTurn(), _InTurn()
        self._listed: dict[str, tuple[str, bool]] = {}
        self._news: set[str] = set()
        self.is_partial = False
        self._survey()
        self._listed.clear()  # existing files are left to the regular run
        self._next = time.monotonic()

    def _survey(self) -> None:
        """Choose again which folders to poll in each round, and which in turn."""
        room = self._most * 3 // 4
        days = dict(islice(_folders(self._root.path), room))
        self.is_partial = len(days) == room
        holders = {folder.rpartition("/")[0] for folder in days}
        newest = max((day for day in days.values() if day), default=date.min)
        self._lasting, self._recent, self._others = set(), _InTurn(), _InTurn()
        known, self._stamps = self._stamps, {}
        for folder, day in days.items():
            is_of_files = day is not None and folder not in holders
            is_old = day is not None and (newest - day).days >= _RECENT_DAYS
            is_top = day is not None and days.get(folder.rpartition("/")[0]) is None
            if is_old:
                self._follow(folder, self._others)
            elif is_of_files and not is_top and self._is_quiet(folder):
                self._follow(folder, self._recent)
            else:
                self._follow(folder)
            if folder in known and folder in self._stamps:
                self._stamps[folder] = known[folder]
            else:
                self._listed.setdefault(folder, ("", False))
        self._surveyed = time.monotonic()

    def _is_quiet(self, folder: str) -> bool:
        stamp = self._stamp(folder)
        return stamp is None or time.time_ns() - stamp > _RECENT_NS

    def _follow(self, folder: str, in_turn: _InTurn | None = None) -> None:
        stamp = self._stamp(folder)
        if stamp is not None and folder not in self._stamps and len(self._stamps) < self._most:
            self._stamps[folder] = stamp
            if in_turn is None:
                self._lasting.add(folder)
            else:
                in_turn.folders.append(folder)

    def _stamp(self, folder: str) -> int | None:
        try:
            return os.stat(self._root.path / folder).st_mtime_ns  # noqa: PTH116
        except OSError:
            return None

    def wait(self, timeout_s: float) -> set[str]:
        """Return folders with new files that did not change for a round."""
        until = time.monotonic() + timeout_s
        while not self._news and self._next <= until:
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._round()
        if not self._news:
            time.sleep(max(0.0, until - time.monotonic()))
        news, self._news = self._news, set()
        return news

    def has_news(self) -> bool:
        """Return whether there are finished uploads; performs a round if one is due."""
        if not self._news and self._next <= time.monotonic():
            self._round()
        return bool(self._news)

    def _round(self) -> None:
        began = time.monotonic()
        self._root.check()
        if began - self._surveyed > _SURVEY_EVERY_S:
            self._survey()
        # Half of the folders that may get late uploads, so that two rounds poll all of them.
        recent = self._recent.next(len(self._recent.folders) // 2 + 1)
        for folder in [*self._lasting, *recent, *self._others.next(_IN_TURN)]:
            self._poll(folder)
        for folder in list(self._listed):
            self._list(folder)
        # A slow network is not polled without pauses.
        spent_s = time.monotonic() - began
        self._next = began + max(ROUND_S, 10 * spent_s)

    def _poll(self, folder: str) -> None:
        stamp = self._stamp(folder)
        if stamp is None:
            self._forget(folder)
        elif stamp != self._stamps[folder]:
            self._stamps[folder] = stamp
            self._take(folder)

    def _forget(self, folder: str) -> None:
        self._stamps.pop(folder, None)
        self._lasting.discard(folder)
        for some in (self._recent, self._others):
            if folder in some.folders:
                some.folders.remove(folder)

    def _take(self, folder: str) -> None:
        """List a changed folder from now on, and follow new folders in it."""
        self._listed.setdefault(folder, ("", False))
        for below in _below(self._root.path, folder):
            if below in self._stamps:
                continue
            for new in _tree(self._root.path, below):
                self._follow(new)
                self._listed.setdefault(new, ("", False))

    def _list(self, folder: str) -> None:
        """Report a folder if its files have not changed since the last round."""
        trouble = walk.WalkProblems()
        files, _ = walk.list_folder(self._root.path, folder, trouble)
        mark = walk.fingerprint(files, "")
        before, is_reported = self._listed[folder]
        if mark != before:
            self._listed[folder] = (mark, False)
            return
        if not is_reported:
            self._news.add(folder)
        youngest = max((entry.mtime_ns for entry in files), default=0) / 1e9
        if time.time() - youngest > _GROWING_S:
            del self._listed[folder]
        else:
            self._listed[folder] = (mark, True)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
