"""The one place that removes from an upload tree: known by its marker, entered without any link.

The tree is held by a descriptor of its root. Whatever is mounted or moved
meanwhile, all that is looked at and removed lies in the tree whose marker was
read. Every folder on the way is opened by itself and no link is followed, so no
name leads out of it.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from pano_analytics.errors import UploadTreeError
from pano_analytics.model.times import sane
from pano_analytics.model.upload import decode_path
from pano_analytics.store.storage import Storage

MARKER = ".pano-root.json"
"""The marker in an upload root. A hidden name: no layout takes it for an upload."""
ADOPTED = "adopted.json"
"""Which root a library may cull: a page in the library's folder."""
_FORMAT = 1
_LONGEST_BYTES = 4096
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Outcome = Literal["removed", "absent", "changed", "refused"]


class WrongRoot(UploadTreeError):
    """The upload root does not carry the marker that the library wrote there."""


class Doomed(NamedTuple):
    """A file to remove: its path as in the column, and what it must still be (mtime in µs)."""

    path: str
    size_bytes: int
    mtime_us: int

    @property
    def parts(self) -> tuple[bytes, ...]:
        """The folders on the way and the file's own name, as on disk."""
        return tuple(decode_path(self.path).split(b"/"))


@dataclass(frozen=True, slots=True)
class PathStatus:
    """What lies at a path: a regular file, or why it is none that could be removed."""

    size_bytes: int = 0
    mtime_us: int = 0
    trouble: str | None = None
    is_absent: bool = False

    def is_still(self, file: Doomed) -> bool:
        """Whether this is the very file that was catalogued."""
        return self.trouble is None and (self.size_bytes, self.mtime_us) == file[1:]


class Tree:
    """An upload tree, held by its root's descriptor."""

    def __init__(self, root: Path, descriptor: int) -> None:
        self.root, self._descriptor = root, descriptor

    @classmethod
    @contextmanager
    def opened(cls, root: Path) -> Iterator[Tree]:
        """Hold the tree at `root`; raises UploadTreeError where there is none."""
        try:
            descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UploadTreeError(
                f"{root}: expected the folder that the cameras upload to; {error.strerror}. "
                f"Is its disk mounted? Nothing was deleted."
            ) from error
        try:
            yield cls(root, descriptor)
        finally:
            os.close(descriptor)

    # --- the marker ---------------------------------------------------------

    def identity(self) -> str | None:
        """Return the identity in the marker, None where there is none; WrongRoot if unreadable."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(MARKER, flags, dir_fd=self._descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise self._unreadable("it is not a regular file")
            return self._identity_in(file.read(_LONGEST_BYTES))

    def _identity_in(self, data: bytes) -> str:
        try:
            document = json.loads(data)
            identity = document["identity"] if document["format"] == _FORMAT else None
        except (ValueError, KeyError, TypeError) as error:
            raise self._unreadable("it has other content") from error
        if not (isinstance(identity, str) and identity):
            raise self._unreadable("it was written by another version of pano")
        return identity

    def _unreadable(self, why: str) -> WrongRoot:
        return WrongRoot(
            f"{self.root}/{MARKER}: expected the marker that `pano cull --adopt` wrote; {why}. "
            f"Nothing was deleted. If this is the right disk, delete {MARKER} and adopt it again."
        )

    def require(self, identity: str | None) -> None:
        """Raise WrongRoot unless the root carries the marker with `identity`."""
        found = self.identity()
        if identity is None:
            raise WrongRoot(
                f"{self.root}: this upload root has not been adopted for culling. Review what "
                f"`pano cull` shows, then run `pano cull --adopt` once. "
                f"Nothing was deleted."
            )
        if found is None:
            raise WrongRoot(
                f"{self.root}: expected the marker {MARKER} that `pano cull --adopt` wrote; there "
                f"is none. Is the right disk mounted? If the marker was deleted, run "
                f"`pano cull --adopt` again. Nothing was deleted."
            )
        if found != identity:
            raise WrongRoot(
                f"{self.root}: expected the marker of this library; found that of another "
                f"({MARKER} says {found[:40]!r}). Is the right disk mounted? Nothing was deleted."
            )

    def mark(self, identity: str) -> None:
        """Write the marker, whole and on the disk, where there is none yet."""
        temporary = f"{MARKER}.{secrets.token_hex(4)}.part"
        document = {
            "about": "pano deletes uploads below this folder only if this file is unchanged",
            "format": _FORMAT,
            "identity": identity,
            "adopted": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            self._write(temporary, json.dumps(document, indent=1).encode())
            os.rename(temporary, MARKER, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
            os.fsync(self._descriptor)
        except OSError as error:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=self._descriptor)
            raise UploadTreeError(
                f"{self.root}: expected to write {MARKER}; {error.strerror}. "
                f"Run pano as a user who can write there."
            ) from error

    def _write(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, 0o644, dir_fd=self._descriptor), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    # --- looking ------------------------------------------------------------

    def look(self, files: Iterable[Doomed]) -> Iterator[tuple[Doomed, PathStatus]]:
        """Yield what lies at the path of each file; a file of a folder follows the other fast."""
        with _Walk(self._descriptor) as walk:
            for file in files:
                yield file, walk.found(file.parts)

    def names(self, folder: tuple[bytes, ...]) -> list[bytes]:
        """Return the names in a folder; none where it cannot be entered without a link."""
        try:
            with _Walk(self._descriptor) as walk:
                return [os.fsencode(name) for name in os.listdir(walk.folder(folder))]
        except OSError:
            return []

    # --- removing -----------------------------------------------------------

    def remove(self, files: Iterable[Doomed]) -> Iterator[tuple[Doomed, Outcome]]:
        """Remove each file that is still what it was; yield what came of it.

        What is not there any more is "absent". Nothing is on the disk for sure
        before `tidy` returned.
        """
        with _Walk(self._descriptor) as walk:
            for file in files:
                yield file, walk.remove(file)

    def tidy(self, files: Iterable[Doomed], kept: frozenset[tuple[bytes, ...]]) -> None:
        """Remove the folders of removed files that are empty now, and sync what was changed.

        Upwards from each file, never the root, and none of `kept`. Raises OSError where
        the disk does not take the sync: the files may then come back with a power cut.
        """
        folders = {file.parts[:depth] for file in files for depth in range(len(file.parts))}
        # The deepest first: what holds nothing but emptied folders is empty then.
        ordered = sorted(folders, key=lambda folder: (len(folder), folder), reverse=True)
        with _Walk(self._descriptor) as walk:
            left = [one for one in ordered if one in kept or not walk.remove_folder(one)]
        with _Walk(self._descriptor) as walk:
            for folder in left:
                with suppress(FileNotFoundError, NotADirectoryError):
                    os.fsync(walk.folder(folder))


def open_folder(root: Path, parts: Iterable[str]) -> int:
    """Return a descriptor of the folder at `parts` below `root`, for the caller to close.

    No link below `root` is followed. Raises OSError where there is one, or no such folder.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        above = descriptor
        try:
            if part in ("", ".", ".."):
                raise OSError(errno.EINVAL, "an invalid name")
            descriptor = os.open(part, _FOLDER_FLAGS, dir_fd=above)
        finally:
            os.close(above)
    return descriptor


class _Walk:
    """A way down from the root, one folder at a time; the last one is kept open."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: list[tuple[bytes, int]] = []

    def __enter__(self) -> _Walk:
        return self

    def __exit__(self, *_: object) -> None:
        self._back_to(0)

    def _back_to(self, depth: int) -> None:
        while len(self._open) > depth:
            os.close(self._open.pop()[1])

    def folder(self, parts: tuple[bytes, ...]) -> int:
        """Return a descriptor of the folder at `parts`; OSError where a link is on the way."""
        same = 0
        for (name, _), part in zip(self._open, parts, strict=False):
            if name != part:
                break
            same += 1
        self._back_to(same)
        for part in parts[same:]:
            if part in (b"", b".", b".."):
                raise OSError(errno.EINVAL, "an invalid name")
            above = self._open[-1][1] if self._open else self._root
            self._open.append((part, os.open(part, _FOLDER_FLAGS, dir_fd=above)))
        return self._open[-1][1] if self._open else self._root

    def found(self, parts: tuple[bytes, ...]) -> PathStatus:
        try:
            folder = self.folder(parts[:-1])
            found = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return PathStatus(trouble="no file", is_absent=True)
        except OSError as error:
            return PathStatus(trouble=_why(error))
        if not stat.S_ISREG(found.st_mode):
            what = "a link, not followed" if stat.S_ISLNK(found.st_mode) else "not a regular file"
            return PathStatus(trouble=what)
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True):
            return PathStatus(trouble="pano has no permission to delete in its folder")
        return PathStatus(found.st_size, _mtime_us(found))

    def remove(self, file: Doomed) -> Outcome:
        found = self.found(file.parts)
        if found.is_absent:
            return "absent"
        if not found.is_still(file):
            return "refused" if found.trouble else "changed"
        try:
            os.unlink(file.parts[-1], dir_fd=self.folder(file.parts[:-1]))
        except FileNotFoundError:
            return "absent"
        except OSError:
            return "refused"
        return "removed"

    def remove_folder(self, parts: tuple[bytes, ...]) -> bool:
        """Remove an empty folder; return False where one is there and stays."""
        if not parts:
            return False
        try:
            os.rmdir(parts[-1], dir_fd=self.folder(parts[:-1]))
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


def _why(error: OSError) -> str:
    # O_NOFOLLOW and O_DIRECTORY together: ELOOP or ENOTDIR, by the system.
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "a link or a file in its path, not followed"
    return error.strerror or str(error)


def _mtime_us(found: os.stat_result) -> int:
    """Return the modification time as the catalog has it: within what a calendar holds."""
    return sane(found.st_mtime_ns) // 1000


# --- what the library says ----------------------------------------------------


def adopted(storage: Storage) -> str | None:
    """Return the identity of the root that this library may cull, None where there is none."""
    try:
        identity = json.loads(storage.read(ADOPTED))["identity"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongRoot(
            f"{storage.path(ADOPTED)}: expected what `pano cull --adopt` wrote; {error}. Restore "
            f"it with `pano restore`. Nothing was deleted."
        ) from error
    return str(identity)


def adopt(storage: Storage, identity: str) -> None:
    """Note in the library that the root of this identity may be culled."""
    document = {"format": _FORMAT, "identity": identity}
    storage.replace(ADOPTED, json.dumps(document).encode())
