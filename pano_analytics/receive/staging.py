"""A camera's folder as its FTP session sees it, and how an upload gets its name with its last byte.

`Jail` is the file system that pyftpdlib asks; `Upload` what it writes to. What is
promised, and the order of steps, is in `docs/design/receive.md`.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pyftpdlib.exceptions import FilesystemError
from pyftpdlib.filesystems import AbstractedFS

from pano_analytics.layouts.sidecars import PART
from pano_analytics.receive.wholeness import Contents, contents_of, is_in_progress, is_media
from pano_analytics.storage import sync_path

# A file system takes 255 bytes for a name; the part's has 20 more than the upload's.
_LONGEST_NAME = 255 - 20
# So often a large upload is held against the space that is left, and made safe on the
# disk: the last of it then keeps other cameras waiting no longer than this much takes.
_CHECK_EVERY = 8 << 20
_PIECE = 1 << 20
# Of so many names the parts are known, to be dropped once the whole upload comes.
_MOST_KNOWN = 10_000

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
            raise Refused("552", f"larger than the {self.max_bytes >> 20} MB that a file may have")
        free = os.statvfs(folder)
        if free.f_bavail * free.f_frsize - wanted_bytes < self.keep_free_bytes:
            raise Refused("452", f"the disk keeps {self.keep_free_bytes >> 20} MB free")


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
            self._known.pop(next(iter(self._known)))

    def drop(self, target: Path) -> None:
        """Drop what is left of cut uploads of a name that came whole."""
        part = self._known.pop(target, None)
        if part is not None:
            part.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


class Upload:
    """One upload under way: a file for pyftpdlib to write to, and the judge of its end.

    Nothing is on the disk before the first byte. `settle` gives it its name or leaves
    the part; without it, what came is a part.
    """

    def __init__(
        self, target: Path, mode: Mode, declared: int | None, limits: Limits, parts: Parts
    ) -> None:
        self.name = str(target)
        self.target, self.mode, self.declared = target, mode, declared
        self.came_bytes = 0
        self.trouble = ""
        self.closed = False
        self._limits, self._parts = limits, parts
        self._offset: int | None = None
        self._file: BinaryIO | None = None
        self._part = target.with_name(f".{_short(target.name)}.{secrets.token_hex(4)}{PART}")
        self._unchecked = 0

    def seek(self, offset: int) -> None:
        """Go on at `offset` of what is there: what stands behind it does not stay."""
        self._offset = offset

    def write(self, data: bytes) -> None:
        """Take in what came. Raises Refused where it is too much, or the disk is full."""
        try:
            file = self._opened()
            self._check_room(file.tell(), len(data))
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]  # a disk that fills up takes a first half
        except Refused as refused:
            self.trouble = self.trouble or refused.reason
            raise
        except OSError as error:
            self.trouble = self.trouble or (error.strerror or str(error))
            reply = "452" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "451"
            raise Refused(reply, self.trouble) from error
        self.came_bytes += len(data)

    def _check_room(self, size_bytes: int, more: int) -> None:
        if size_bytes + more > self._limits.max_bytes:
            self._limits.check(self.target.parent, size_bytes + more)
        self._unchecked += more
        if self._unchecked >= _CHECK_EVERY:
            self._unchecked = 0
            self._limits.check(self.target.parent, 0)
            if self._limits.is_synced:
                os.fdatasync(self._opened().fileno())

    def _opened(self) -> BinaryIO:
        if self._file is None:
            # Each write reaches the file at once: a server that is killed leaves what came.
            self._file = self._part.open("x+b", buffering=0)
            if self.mode != "new" and self.target.exists():
                self._begin_with_what_is_there(self._file)
        return self._file

    def _begin_with_what_is_there(self, file: BinaryIO) -> None:
        with self.target.open("rb") as there:
            shutil.copyfileobj(there, file, _PIECE)
        if self._offset is not None:
            file.truncate(self._offset)
        file.seek(0, os.SEEK_END)

    def missing(self) -> str:
        """Return in words that fewer bytes came than were declared; empty where they did not.

        Of a piece that is appended its own bytes are declared, of any other upload all.
        """
        came = self.came_bytes
        if self.mode == "resume" and self._file is not None:
            came = self._file.seek(0, os.SEEK_END)
        if self.declared is None or came >= self.declared:
            return ""
        return f"{came} of the {self.declared} bytes declared came"

    def contents(self) -> Contents:
        """Return what the contents say of their end, as far as they are to be asked."""
        if self.mode == "append" or not self._limits.is_contents_checked:
            return Contents("nothing")
        if self.mode == "resume" and not self.came_bytes:
            return Contents("nothing")
        if not self.came_bytes:
            is_odd = is_media(self.target.name) or _size(self.target) > 0
            return Contents("cut", "0 bytes came") if is_odd else Contents("nothing")
        found = contents_of(self._opened(), self.target.name)
        if found.says == "nothing" and self._is_only_the_beginning():
            return Contents("cut", "it is only the beginning of what is there")
        return found

    def _is_only_the_beginning(self) -> bool:
        """Tell whether the file there begins with all of this one, and goes on."""
        size_bytes = self._opened().seek(0, os.SEEK_END)
        return size_bytes < _size(self.target) and self._begins_like_target()

    def _begins_like_target(self) -> bool:
        file = self._opened()
        file.seek(0)
        with self.target.open("rb") as there:
            while piece := file.read(_PIECE):
                if there.read(len(piece)) != piece:
                    return False
        return True

    def settle(self, cut: str) -> str:
        """Give the upload its name, or leave its part where `cut` says what is wrong with it.

        Returns what was wrong, in words; empty where the whole upload has its name now.
        """
        if self.closed:
            return cut
        cut = cut or self.trouble
        try:
            if not cut:
                self._publish()
        except OSError as error:
            cut = error.strerror or str(error)
        self.trouble = cut
        self.close()
        return cut

    def _publish(self) -> None:
        if self.mode != "new" and not self.came_bytes:
            return  # nothing to add
        file = self._opened()
        if file.seek(0, os.SEEK_END) == _size(self.target) and self._begins_like_target():
            self._part.unlink()  # the same bytes again, as after a camera's restart
        else:
            if self._limits.is_synced:
                os.fsync(file.fileno())
            self._part.replace(self.target)
            if self._limits.is_synced:
                sync_path(self.target.parent)
        file.close()
        self._file = None
        self._parts.drop(self.target)

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
        if self.came_bytes:
            self._parts.keep(self.target, self._part)
        else:
            self._part.unlink(missing_ok=True)


def _short(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:_LONGEST_NAME])


# --- the folder ---------------------------------------------------------------------------


class Jail(AbstractedFS):  # type: ignore[misc]
    """What a camera sees: its own folder, without links and without parts."""

    def __init__(self, root: str, cmd_channel: Any) -> None:
        super().__init__(root, cmd_channel)
        self.declared: int | None = None
        """What ALLO said of the upload that begins next, in bytes."""

    def open(self, filename: str, mode: str) -> Upload:
        """Return an Upload for a name that a camera may write to; the modes are pyftpdlib's."""
        target = Path(filename)
        said: Mode = "append" if "a" in mode else "resume" if "+" in mode else "new"
        self._check_target(target)
        if said == "resume" and not target.is_file():
            raise FilesystemError("No such file; send it from its beginning")
        if said == "append":
            _check_may_grow(target)
        service = self.cmd_channel.service
        return Upload(target, said, self.declared, service.limits, service.parts)

    def _check_target(self, target: Path) -> None:
        if is_ours(target.name):
            raise FilesystemError("That name is not for uploads")
        if not target.parent.is_dir():
            raise FilesystemError("No such directory")
        if not _is_free_or_file(target):
            raise FilesystemError("Not a file")
        if not os.access(target.parent, os.W_OK):
            raise FilesystemError("Permission denied")

    def rename(self, src: str, dst: str) -> None:
        """Give an upload its final name; raises FilesystemError for any other rename."""
        source, target = Path(src), Path(dst)
        if source == target:
            return
        self._check_target(target)
        _check_rename(source, target)
        source.replace(target)
        self.cmd_channel.renamed(dst)

    def chdir(self, path: str) -> None:
        # Not the process's own folder: all cameras share it.
        if not os.path.isdir(path):  # noqa: PTH112
            raise FilesystemError("No such directory")
        self.cwd = self.fs2ftp(path)

    def listdir(self, path: str) -> list[str]:
        """Return the names in a folder that are files and folders of the camera's own."""
        with os.scandir(path) as listing:
            return [item.name for item in listing if not (item.is_symlink() or is_ours(item.name))]

    def lexists(self, path: str) -> bool:
        return not is_ours(Path(path).name) and super().lexists(path)

    def isfile(self, path: str) -> bool:
        return not is_ours(Path(path).name) and super().isfile(path)

    def get_user_by_uid(self, uid: int) -> str:
        return "camera"

    def get_group_by_gid(self, gid: int) -> str:
        return "camera"


def is_ours(name: str) -> bool:
    """Tell whether a name is a part's: no camera sees or names one."""
    return name.lower().endswith(PART)


def _is_free_or_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return True


def _check_may_grow(target: Path) -> None:
    if target.is_file() and not is_in_progress(target.name) and _says(target).says == "whole":
        raise FilesystemError("It is whole already; nothing is appended to it")


def _check_rename(source: Path, target: Path) -> None:
    """Raise FilesystemError unless the rename ends an upload and destroys nothing."""
    if not (source.is_file() and _is_free_or_file(source) and is_in_progress(source.name)):
        raise FilesystemError("Only an upload in progress (as in .mp4_ or .tmp) can be renamed")
    if not target.exists() or _is_same(source, target):
        return
    if _says(target).says != "cut" or _says(source).says == "cut":
        raise FilesystemError("There is another file of that name")


def _says(path: Path) -> Contents:
    with path.open("rb") as file:
        return contents_of(file, path.name)


def _is_same(one: Path, other: Path) -> bool:
    if _size(one) != _size(other):
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while piece := left.read(_PIECE):
            if right.read(_PIECE) != piece:
                return False
    return True
