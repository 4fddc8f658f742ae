"""Give an upload its name once it is complete. For the guarantees see `docs/design/receive.md`.

pyftpdlib writes to an `Upload`. The loop calls `write` and everything that only uses memory;
`contents` and `settle` wait for the disk, so they run in a thread, after the last `write`.
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

# File systems allow 255 bytes in a name; that of a part has 20 more than the upload's.
_LONGEST_NAME = 255 - 20
# A large upload is compared with the free space, and written to the disk, after so many
# bytes each, so that the camera does not wait longer for the rest at its end.
_CHECK_EVERY = 8 << 20
_PIECE = 1 << 20
# The inodes kept free, or 1 % if that is less.
_FREE_INODES = 10_000
# For how many names the parts are known, which are deleted once the upload is complete.
_MOST_KNOWN = 10_000
# A camera that sends a file in pieces sends the next piece within this time.
_NEXT_PIECE_S = 60.0
_FULL = (errno.ENOSPC, errno.EDQUOT)

Mode = Literal["new", "append", "resume"]


class UploadRefused(OSError):
    """An upload cannot continue: the code of the reply, and the reason in words."""

    def __init__(self, reply: str, reason: str) -> None:
        super().__init__(errno.EIO, reason)
        self.reply, self.reason = reply, reason


@dataclass(frozen=True)
class Limits:
    """Limits for the size of uploads, and whether to sync them and check their contents."""

    max_bytes: int
    keep_free_bytes: int
    is_synced: bool = True
    is_contents_checked: bool = True

    def check(self, folder: Path, wanted_bytes: int) -> None:
        """Raise Refused if `folder` must not take `wanted_bytes` more."""
        if wanted_bytes > self.max_bytes:
            raise UploadRefused("552", f"larger than the {self.max_bytes >> 20} MB limit per file")
        free = os.statvfs(folder)
        if free.f_bavail * free.f_frsize - wanted_bytes < self.keep_free_bytes:
            raise UploadRefused("452", f"the disk keeps {self.keep_free_bytes >> 20} MB free")
        # Some file systems create inodes on demand, and report 0.
        if free.f_files and free.f_favail < min(_FREE_INODES, free.f_files // 100):
            raise UploadRefused("452", f"the disk has room for only {free.f_favail} more files")


class UploadPath(NamedTuple):
    """The path of an upload: the folders below the upload root, and the name."""

    root: Path
    folders: tuple[str, ...]
    name: str

    @classmethod
    def of(cls, path: Path, root: Path) -> UploadPath:
        """Return the location of `path`, which is below `root`."""
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
        """Open a descriptor of the folder. Raises OSError if its path contains a link."""
        descriptor = open_folder(self.root, self.folders)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def size(self) -> int:
        """Return the size of the existing file in bytes, or -1 if there is no file."""
        try:
            with self.opened() as folder, open_file(folder, self.name) as file:
                return file.seek(0, os.SEEK_END)
        except OSError:
            return -1


class Folders:
    """The folders that are known to be durable, with all folders above them."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], None] = {}

    def sync_path_to(self, place: UploadPath) -> None:
        """Make all folders on the path to `place` durable, whoever created them."""
        for depth in range(len(place.folders), 0, -1):
            with UploadPath(place.root, place.folders[:depth], "").opened() as folder:
                status = os.fstat(folder)
            if (status.st_dev, status.st_ino) in self._known:
                return
            with UploadPath(place.root, place.folders[: depth - 1], "").opened() as above:
                os.fsync(above)
            self._remember((status.st_dev, status.st_ino))

    def _remember(self, key: tuple[int, int]) -> None:
        self._known[key] = None
        while len(self._known) > _MOST_KNOWN:
            self._known.pop(next(iter(self._known)), None)


class Parts:
    """The parts of uploads that were cut while this server ran: the longest of each name."""

    def __init__(self) -> None:
        self._known: dict[Path, Path] = {}

    def keep(self, target: Path, part: Path) -> None:
        """Keep the part of a cut upload, and delete the shorter of two with the same name."""
        other = self._known.pop(target, None)
        if other is not None and _size(other) > _size(part):
            part, other = other, part
        if other is not None:
            other.unlink(missing_ok=True)
        self._known[target] = part
        if len(self._known) > _MOST_KNOWN:
            self._known.pop(next(iter(self._known)), None)

    def drop(self, target: Path) -> None:
        """Delete the part of a name whose upload is now complete."""
        part = self._known.pop(target, None)
        if part is not None:
            part.unlink(missing_ok=True)


class Growing:
    """Files that APPE began while this server ran, and that the next APPE may continue.

    For formats without an end mark, nothing else distinguishes a file that is sent in
    pieces from a finished one.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, float]] = {}

    def note(self, path: Path, size_bytes: int) -> None:
        """Record the size of the file at `path` after the piece that has just arrived."""
        self._known.pop(path, None)
        self._known[path] = size_bytes, time.monotonic()
        if len(self._known) > _MOST_KNOWN:
            self._known.pop(next(iter(self._known)), None)

    def forget(self, path: Path) -> None:
        """Treat the file at `path` as finished."""
        self._known.pop(path, None)

    def may_continue(self, place: UploadPath) -> bool:
        """Return whether a piece of this file arrived a moment ago, and nothing since."""
        size_bytes, since = self._known.get(place.path, (-1, 0.0))
        return time.monotonic() - since < _NEXT_PIECE_S and size_bytes == place.size() >= 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


class UploadOutcome(NamedTuple):
    """The outcome of an upload: its path now, and why it was cut, "" if it is complete.

    `what` is as in `Published`, None if it was cut or there was nothing to do. `reply` is
    the code of the reply if it was cut.
    """

    path: Path
    cut: str = ""
    what: What | None = None
    reply: str = "426"


@dataclass(frozen=True)
class ServerState:
    """What all uploads of one server share."""

    limits: Limits
    parts: Parts
    folders: Folders
    growing: Growing


class IncomingUpload:
    """One upload in progress: a file for pyftpdlib to write to, and the check of its end.

    Nothing is on the disk before the first byte. `settle` gives the upload its name or
    leaves it as a part; without `settle` it remains a part. If the upload continues an
    existing file, the part contains only the new bytes until the end.
    """

    def __init__(
        self, place: UploadPath, mode: Mode, declared: int | None, shared: ServerState
    ) -> None:
        self.name = str(place.path)
        self.place, self.mode, self.declared = place, mode, declared
        self.received_bytes = 0
        self.trouble = ""
        self.closed = False
        self._shared, self._limits = shared, shared.limits
        self._before = 0 if mode == "new" else max(0, place.size())
        self._file: BinaryIO | None = None
        self._part = _part_of(place.name)
        self._unchecked = 0
        self._is_growing = False

    def seek(self, offset: int) -> None:
        """Continue at `offset` of the existing file; the rest of that file is not used."""
        self._before = offset

    def write(self, data: bytes) -> None:
        """Write received bytes. Raises Refused if they are too many, or the disk is full."""
        try:
            file = self._opened()
            self._check_room(len(data))
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]  # a disk that fills up writes only a part
        except UploadRefused as refused:
            self.trouble = self.trouble or refused.reason
            raise
        except OSError as error:
            self.trouble = self.trouble or (error.strerror or str(error))
            reply = "452" if error.errno in _FULL else "451"
            raise UploadRefused(reply, self.trouble) from error
        self.received_bytes += len(data)

    def _check_room(self, more: int) -> None:
        size_bytes = self._before + self.received_bytes + more
        if size_bytes > self._limits.max_bytes:
            self._limits.check(self.place.folder, size_bytes)
        self._unchecked += more
        if self._unchecked >= _CHECK_EVERY:
            self._unchecked = 0
            self._limits.check(self.place.folder, 0)
            if self._limits.is_synced:
                self._begin_to_sync()

    def _begin_to_sync(self) -> None:
        """Ask the system to write the received data, without waiting for it."""
        advise = getattr(os, "posix_fadvise", None)
        if advise is not None:
            advise(self._opened().fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            # Unbuffered, so that the data received survives if the server is killed.
            with self.place.opened() as folder:
                self._file = open_file(folder, self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        return self._file

    def missing(self) -> str:
        """Return in words that fewer bytes arrived than declared, or "" if that is not so.

        For a piece that is appended only its own bytes are declared, otherwise all bytes.
        """
        received = self.received_bytes + (self._before if self.mode == "resume" else 0)
        if self.declared is None or received >= self.declared:
            return ""
        return f"{received} of the {self.declared} declared bytes arrived"

    # --- in a thread, at its end

    def contents(self) -> Contents:
        """Return what the contents say about their end, unless they must not be checked."""
        if self.mode == "append":
            return Contents("nothing")
        if not self._limits.is_contents_checked:
            return Contents("unasked")
        if self.mode == "resume" and not (self.received_bytes and self._may_grow()):
            return Contents("nothing")  # `settle` will refuse it and keep the piece
        if not self.received_bytes:
            is_odd = is_media(self.place.name) or self.place.size() > 0
            return Contents("cut", "0 bytes arrived") if is_odd else Contents("nothing")
        self._join()
        contents = contents_of(self._opened(), self.place.name)
        if contents.says in ("nothing", "unbroken") and self._is_only_the_beginning():
            return Contents("cut", "it is only the beginning of the existing file")
        return contents

    def _join(self) -> None:
        """Join the existing file and the received bytes in a new part."""
        if not self._before:
            return
        self._limits.check(self.place.folder, self._before + self.received_bytes)
        piece, joined = self._opened(), _part_of(self.place.name)
        with self.place.opened() as folder:
            whole = open_file(folder, joined, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            try:
                with open_file(folder, self.place.name) as existing:
                    _copy(existing, whole, self._before)
                _copy(piece, whole, self.received_bytes)
            except BaseException:
                whole.close()
                os.unlink(joined, dir_fd=folder)
                raise
            os.unlink(self._part, dir_fd=folder)
        piece.close()
        self._file, self._part, self._before = whole, joined, 0

    def _is_only_the_beginning(self) -> bool:
        """Return whether this upload is only the beginning of the existing file."""
        try:
            with self.place.opened() as folder, open_file(folder, self.place.name) as existing:
                size_bytes = self._opened().seek(0, os.SEEK_END)
                return size_bytes < existing.seek(0, os.SEEK_END) and begins_with(
                    existing, self._opened()
                )
        except OSError:
            return False

    def settle(self, cut: str) -> UploadOutcome:
        """Give the upload its name, or leave it as a part if `cut` says what is wrong."""
        outcome = UploadOutcome(self.place.path, cut or self.trouble)
        if self.closed:
            return outcome
        try:
            if not outcome.cut:
                outcome = self._publish()
        except UploadRefused as refused:
            outcome = outcome._replace(cut=refused.reason, reply=refused.reply)
        except OSError as error:
            reply = "452" if error.errno in _FULL else "451"
            outcome = outcome._replace(cut=error.strerror or str(error), reply=reply)
        self.trouble = outcome.cut
        self.close()
        return outcome

    def _publish(self) -> UploadOutcome:
        if self.mode != "new" and not self.received_bytes:
            return UploadOutcome(self.place.path)  # nothing to add
        if self.mode == "resume" and self._is_already_present():
            return self._drop()
        if self.mode != "new" and not self._may_grow():
            raise UploadRefused("550", "It is a finished upload; it cannot be appended to")
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
            self._shared.folders.sync_path_to(self.place)
        file.close()
        self._file = None
        self._shared.parts.drop(self.place.path)
        self._note_growth(published.what, size_bytes)
        return UploadOutcome(self.place.folder / published.name, what=published.what)

    def _may_grow(self) -> bool:
        """Return whether the name is free, or its file is known to be unfinished."""
        if self.place.size() < 0:
            return True
        with self.place.opened() as folder, open_file(folder, self.place.name) as existing:
            if is_unfinished(existing, self.place.name):
                return True
            if contents_of(existing, self.place.name).says == "whole":
                return False
        self._is_growing = self.mode == "append" and self._shared.growing.may_continue(self.place)
        return self._is_growing

    def _note_growth(self, what: What, size_bytes: int) -> None:
        """Record a file that is sent in pieces; any other upload of its name finishes it."""
        if what == "later":
            return
        if self.mode == "append" and (self._is_growing or what == "new"):
            self._shared.growing.note(self.place.path, size_bytes)
        else:
            self._shared.growing.forget(self.place.path)

    def _is_already_present(self) -> bool:
        """Return whether the existing file already ends with exactly this piece."""
        if self.place.size() != self._before + self.received_bytes:
            return False
        piece = self._opened()
        piece.seek(0)
        with self.place.opened() as folder, open_file(folder, self.place.name) as existing:
            existing.seek(self._before)
            while data := piece.read(_PIECE):
                if existing.read(len(data)) != data:
                    return False
        return True

    def _drop(self) -> UploadOutcome:
        """Remove a piece that the existing file already contains."""
        self._opened().close()
        self._file = None
        with self.place.opened() as folder:
            os.unlink(self._part, dir_fd=folder)
        return UploadOutcome(self.place.path, what="same")

    def close(self) -> None:
        """Leave the received bytes as a part, unless the upload was settled."""
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
        if self.received_bytes:
            self._shared.parts.keep(self.place.path, part)
        else:
            part.unlink(missing_ok=True)


def _part_of(name: str) -> str:
    short = os.fsdecode(os.fsencode(name)[:_LONGEST_NAME])
    return f".{short}.{secrets.token_hex(4)}{PART}"


def _copy(source: BinaryIO, target: BinaryIO, size_bytes: int) -> None:
    """Copy the first `size_bytes` of a file to the current position of another one."""
    source.seek(0)
    while size_bytes:
        piece = source.read(min(_PIECE, size_bytes))
        if not piece:
            raise OSError(errno.EIO, "The existing file became shorter while it was read")
        size_bytes -= len(piece)
        rest = memoryview(piece)
        while rest:
            rest = rest[target.write(rest) :]
