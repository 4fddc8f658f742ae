"""How an upload gets its name with its last byte. What is promised: `docs/design/receive.md`.

`Upload` is what pyftpdlib writes to. `write` and what only looks at memory is called by
the loop; `contents` and `settle` take as long as the disk does and run in a thread, after
the last `write`.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from pano_analytics.layouts.sidecars import PART
from pano_analytics.receive.publish import What, begins_with, is_unfinished, open_file, publish
from pano_analytics.receive.wholeness import Contents, contents_of, is_media
from pano_analytics.store.tree import open_folder

# A file system takes 255 bytes for a name; the part's has 20 more than the upload's.
_LONGEST_NAME = 255 - 20
# So often a large upload is held against the space that is left, and written to the disk,
# so that its end keeps the camera waiting no longer than this much takes.
_CHECK_EVERY = 8 << 20
_PIECE = 1 << 20
# So many files can still be made, or 1 % where that is less.
_FREE_INODES = 10_000
# Of so many names the parts are known, to be dropped once the whole upload comes.
_MOST_KNOWN = 10_000
# A camera that sends one file in pieces sends the next one within this time.
_NEXT_PIECE_S = 60.0
_FULL = (errno.ENOSPC, errno.EDQUOT)

Mode = Literal["new", "append", "resume"]


class Refused(OSError):
    """An upload that cannot go on: its reply to the camera, and the reason in words."""

    def __init__(self, reply: str, reason: str) -> None:
        super().__init__(errno.EIO, reason)
        self.reply, self.reason = reply, reason


@dataclass(frozen=True)
class Limits:
    """What one upload may take, and how sure it must be."""

    max_bytes: int
    keep_free_bytes: int
    is_synced: bool = True
    is_contents_checked: bool = True

    def check(self, folder: Path, wanted_bytes: int) -> None:
        """Raise Refused where `wanted_bytes` more in `folder` are too many."""
        if wanted_bytes > self.max_bytes:
            raise Refused("552", f"larger than the {self.max_bytes >> 20} MB limit per file")
        free = os.statvfs(folder)
        if free.f_bavail * free.f_frsize - wanted_bytes < self.keep_free_bytes:
            raise Refused("452", f"the disk keeps {self.keep_free_bytes >> 20} MB free")
        # Some file systems make inodes as they need them, and count none.
        if free.f_files and free.f_favail < min(_FREE_INODES, free.f_files // 100):
            raise Refused("452", f"the disk has room for {free.f_favail} more files only")


class Place(NamedTuple):
    """Where an upload goes: the folders below the upload root, and the name in the last."""

    root: Path
    folders: tuple[str, ...]
    name: str

    @classmethod
    def of(cls, path: Path, root: Path) -> Place:
        """Return the place at `path`, which lies below `root`."""
        *folders, name = path.relative_to(root).parts
        return cls(root, tuple(folders), name)

    @property
    def folder(self) -> Path:
        return self.root.joinpath(*self.folders)

    @property
    def path(self) -> Path:
        return self.folder / self.name

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Hold the folder by a descriptor; OSError where a link is on the way to it."""
        descriptor = open_folder(self.root, self.folders)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def size(self) -> int:
        """Return the size of what lies there in bytes; -1 where no file does."""
        try:
            with self.opened() as folder, open_file(folder, self.name) as file:
                return file.seek(0, os.SEEK_END)
        except OSError:
            return -1


class Folders:
    """Which folders are on the disk for good, with all above them."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], None] = {}

    def sync_above(self, place: Place) -> None:
        """Return when the folders that lead to a place are on the disk, by whoever made them."""
        for depth in range(len(place.folders), 0, -1):
            with Place(place.root, place.folders[:depth], "").opened() as folder:
                found = os.fstat(folder)
            if (found.st_dev, found.st_ino) in self._known:
                return
            with Place(place.root, place.folders[: depth - 1], "").opened() as above:
                os.fsync(above)
            self._remember((found.st_dev, found.st_ino))

    def _remember(self, key: tuple[int, int]) -> None:
        self._known[key] = None
        while len(self._known) > _MOST_KNOWN:
            self._known.pop(next(iter(self._known)), None)


class Parts:
    """The parts that cut uploads left while this server ran: of each name the longest stays."""

    def __init__(self) -> None:
        self._known: dict[Path, Path] = {}

    def keep(self, target: Path, part: Path) -> None:
        """Keep the part of a cut upload; of two for one name the shorter goes."""
        other = self._known.pop(target, None)
        if other is not None and _size(other) > _size(part):
            part, other = other, part
        if other is not None:
            other.unlink(missing_ok=True)
        self._known[target] = part
        if len(self._known) > _MOST_KNOWN:
            self._known.pop(next(iter(self._known)), None)

    def drop(self, target: Path) -> None:
        """Drop what is left of cut uploads of a name that came whole."""
        part = self._known.pop(target, None)
        if part is not None:
            part.unlink(missing_ok=True)


class Growing:
    """The files that APPE began while this server ran, and that the next APPE may continue.

    Only this tells a file that comes in pieces from a finished one, in a format that has
    no mark at its end.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, float]] = {}

    def note(self, path: Path, size_bytes: int) -> None:
        """Remember that a piece made the file at `path` this large, just now."""
        self._known.pop(path, None)
        self._known[path] = size_bytes, time.monotonic()
        if len(self._known) > _MOST_KNOWN:
            self._known.pop(next(iter(self._known)), None)

    def forget(self, path: Path) -> None:
        """Take the file at `path` for finished."""
        self._known.pop(path, None)

    def may_continue(self, place: Place) -> bool:
        """Tell whether the last piece of this file, and nothing since, came a moment ago."""
        size_bytes, since = self._known.get(place.path, (-1, 0.0))
        return time.monotonic() - since < _NEXT_PIECE_S and size_bytes == place.size() >= 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


class Settled(NamedTuple):
    """What came of an upload: its path now, and why it was cut, empty where it is whole.

    `what` is how it came to its name, None where it was cut or nothing was to be done.
    `reply` is set where another reply than 426 says what is wrong.
    """

    path: Path
    cut: str = ""
    what: What | None = None
    reply: str = "426"


@dataclass(frozen=True)
class Shared:
    """What all uploads of one server share."""

    limits: Limits
    parts: Parts
    folders: Folders
    growing: Growing


class Upload:
    """One upload under way: a file for pyftpdlib to write to, and the judge of its end.

    Nothing is on the disk before the first byte. `settle` gives it its name or leaves
    the part; without it, what came is a part. Of an upload that goes on where another
    ended, the part holds the new bytes alone until its end.
    """

    def __init__(self, place: Place, mode: Mode, declared: int | None, shared: Shared) -> None:
        self.name = str(place.path)
        self.place, self.mode, self.declared = place, mode, declared
        self.came_bytes = 0
        self.trouble = ""
        self.closed = False
        self._shared, self._limits = shared, shared.limits
        self._before = 0 if mode == "new" else max(0, place.size())
        self._file: BinaryIO | None = None
        self._part = _part_of(place.name)
        self._unchecked = 0
        self._is_growing = False

    def seek(self, offset: int) -> None:
        """Go on at `offset` of what is there: what stands behind it is not taken over."""
        self._before = offset

    def write(self, data: bytes) -> None:
        """Take in what came. Raises Refused where it is too much, or the disk is full."""
        try:
            file = self._opened()
            self._check_room(len(data))
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]  # a disk that fills up takes a first half
        except Refused as refused:
            self.trouble = self.trouble or refused.reason
            raise
        except OSError as error:
            self.trouble = self.trouble or (error.strerror or str(error))
            reply = "452" if error.errno in _FULL else "451"
            raise Refused(reply, self.trouble) from error
        self.came_bytes += len(data)

    def _check_room(self, more: int) -> None:
        size_bytes = self._before + self.came_bytes + more
        if size_bytes > self._limits.max_bytes:
            self._limits.check(self.place.folder, size_bytes)
        self._unchecked += more
        if self._unchecked >= _CHECK_EVERY:
            self._unchecked = 0
            self._limits.check(self.place.folder, 0)
            if self._limits.is_synced:
                self._begin_to_sync()

    def _begin_to_sync(self) -> None:
        """Let the system write what came, without waiting for it."""
        advise = getattr(os, "posix_fadvise", None)
        if advise is not None:
            advise(self._opened().fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            # Each write reaches the file at once: a server that is killed leaves what came.
            with self.place.opened() as folder:
                self._file = open_file(folder, self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        return self._file

    def missing(self) -> str:
        """Return in words that fewer bytes came than were declared; empty where they did not.

        Of a piece that is appended its own bytes are declared, of any other upload all.
        """
        came = self.came_bytes + (self._before if self.mode == "resume" else 0)
        if self.declared is None or came >= self.declared:
            return ""
        return f"{came} of the {self.declared} bytes declared came"

    # --- in a thread, at its end

    def contents(self) -> Contents:
        """Return what the contents say of their end, as far as they are to be asked."""
        if self.mode == "append":
            return Contents("nothing")
        if not self._limits.is_contents_checked:
            return Contents("unasked")
        if self.mode == "resume" and not (self.came_bytes and self._may_grow()):
            return Contents("nothing")  # `settle` refuses it, and leaves the piece alone
        if not self.came_bytes:
            is_odd = is_media(self.place.name) or self.place.size() > 0
            return Contents("cut", "0 bytes came") if is_odd else Contents("nothing")
        self._join()
        found = contents_of(self._opened(), self.place.name)
        if found.says in ("nothing", "unbroken") and self._is_only_the_beginning():
            return Contents("cut", "it is only the beginning of the existing file")
        return found

    def _join(self) -> None:
        """Put what is there before what came, in a part of their own."""
        if not self._before:
            return
        self._limits.check(self.place.folder, self._before + self.came_bytes)
        piece, joined = self._opened(), _part_of(self.place.name)
        with self.place.opened() as folder:
            whole = open_file(folder, joined, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            try:
                with open_file(folder, self.place.name) as there:
                    _copy(there, whole, self._before)
                _copy(piece, whole, self.came_bytes)
            except BaseException:
                whole.close()
                os.unlink(joined, dir_fd=folder)
                raise
            os.unlink(self._part, dir_fd=folder)
        piece.close()
        self._file, self._part, self._before = whole, joined, 0

    def _is_only_the_beginning(self) -> bool:
        """Tell whether the file there begins with all of this one, and goes on."""
        try:
            with self.place.opened() as folder, open_file(folder, self.place.name) as there:
                size_bytes = self._opened().seek(0, os.SEEK_END)
                return size_bytes < there.seek(0, os.SEEK_END) and begins_with(
                    there, self._opened()
                )
        except OSError:
            return False

    def settle(self, cut: str) -> Settled:
        """Give the upload a name, or leave its part where `cut` says what is wrong with it."""
        done = Settled(self.place.path, cut or self.trouble)
        if self.closed:
            return done
        try:
            if not done.cut:
                done = self._publish()
        except Refused as refused:
            done = done._replace(cut=refused.reason, reply=refused.reply)
        except OSError as error:
            reply = "452" if error.errno in _FULL else "451"
            done = done._replace(cut=error.strerror or str(error), reply=reply)
        self.trouble = done.cut
        self.close()
        return done

    def _publish(self) -> Settled:
        if self.mode != "new" and not self.came_bytes:
            return Settled(self.place.path)  # nothing to add
        if self.mode == "resume" and self._is_there_already():
            return self._drop()
        if self.mode != "new" and not self._may_grow():
            raise Refused("550", "It is a finished upload; it cannot be appended to")
        self._join()
        file = self._opened()
        size_bytes = file.seek(0, os.SEEK_END)
        limits = self._limits
        with self.place.opened() as folder:
            published = publish(
                folder,
                self._part,
                folder,
                self.place.name,
                is_synced=limits.is_synced,
                is_contents_checked=limits.is_contents_checked,
                is_growth=self.mode == "append" and self._is_growing,
            )
        if limits.is_synced:
            self._shared.folders.sync_above(self.place)
        file.close()
        self._file = None
        self._shared.parts.drop(self.place.path)
        self._note_growth(published.what, size_bytes)
        return Settled(self.place.folder / published.name, what=published.what)

    def _may_grow(self) -> bool:
        """Tell whether what has the name is known to be unfinished, or nothing has it."""
        if self.place.size() < 0:
            return True
        with self.place.opened() as folder, open_file(folder, self.place.name) as there:
            if is_unfinished(there, self.place.name):
                return True
            if contents_of(there, self.place.name).says == "whole":
                return False
        self._is_growing = self.mode == "append" and self._shared.growing.may_continue(self.place)
        return self._is_growing

    def _note_growth(self, what: What, size_bytes: int) -> None:
        """Remember a file that comes in pieces; any other upload under its name finishes it."""
        if what == "later":
            return
        if self.mode == "append" and (self._is_growing or what == "new"):
            self._shared.growing.note(self.place.path, size_bytes)
        else:
            self._shared.growing.forget(self.place.path)

    def _is_there_already(self) -> bool:
        """Tell whether the file ends with exactly this piece, where the piece would go."""
        if self.place.size() != self._before + self.came_bytes:
            return False
        piece = self._opened()
        piece.seek(0)
        with self.place.opened() as folder, open_file(folder, self.place.name) as there:
            there.seek(self._before)
            while data := piece.read(_PIECE):
                if there.read(len(data)) != data:
                    return False
        return True

    def _drop(self) -> Settled:
        """Remove a piece that is there already."""
        self._opened().close()
        self._file = None
        with self.place.opened() as folder:
            os.unlink(self._part, dir_fd=folder)
        return Settled(self.place.path, what="same")

    def close(self) -> None:
        """Leave what came as a part, unless it was settled."""
        if self.closed:
            return
        self.closed = True
        if self._file is not None:
            self._file.close()
            self._file = None
            with suppress(OSError):
                self._leave()

    def _leave(self) -> None:
        part = self.place.folder / self._part
        if self.came_bytes:
            self._shared.parts.keep(self.place.path, part)
        else:
            part.unlink(missing_ok=True)


def _part_of(name: str) -> str:
    short = os.fsdecode(os.fsencode(name)[:_LONGEST_NAME])
    return f".{short}.{secrets.token_hex(4)}{PART}"


def _copy(source: BinaryIO, target: BinaryIO, size_bytes: int) -> None:
    """Copy the first bytes of a file to where another one stands."""
    source.seek(0)
    while size_bytes:
        piece = source.read(min(_PIECE, size_bytes))
        if not piece:
            raise OSError(errno.EIO, "What is there became shorter while it was read")
        size_bytes -= len(piece)
        rest = memoryview(piece)
        while rest:
            rest = rest[target.write(rest) :]
