"""Access to an upload tree, and the only code that removes files from it.

The tree is identified by a marker file and accessed through a descriptor of its root. Even if
other folders are mounted or moved in the meantime, all files examined and removed are in the
tree whose marker was read. Each folder on a path is opened separately and no link is
followed, so no name leads out of the tree.
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
"""The name of the marker in an upload root. It is hidden, so no layout reads it as an upload."""
ADOPTED = "adopted.json"
"""The file in a library's folder that says which upload root may be culled."""
_FORMAT = 1
_LONGEST_BYTES = 4096
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Outcome = Literal["removed", "absent", "changed", "refused"]


class WrongRoot(UploadTreeError):
    """The upload root does not have the marker that the library wrote there."""


class Doomed(NamedTuple):
    """A file to remove: its path as in the column, and its expected size and mtime (µs)."""

    path: str
    size_bytes: int
    mtime_us: int

    @property
    def parts(self) -> tuple[bytes, ...]:
        """The names of its folders and of the file itself, as on disk."""
        return tuple(decode_path(self.path).split(b"/"))


@dataclass(frozen=True, slots=True)
class PathStatus:
    """What is at a path: a regular file, or else why it cannot be removed (`trouble`)."""

    size_bytes: int = 0
    mtime_us: int = 0
    trouble: str | None = None
    is_absent: bool = False

    def is_still(self, file: Doomed) -> bool:
        """Return whether this is still the file in the catalog."""
        return self.trouble is None and (self.size_bytes, self.mtime_us) == file[1:]


class Tree:
    """An upload tree, accessed through a descriptor of its root."""

    def __init__(self, root: Path, descriptor: int) -> None:
        self.root, self._descriptor = root, descriptor

    @classmethod
    @contextmanager
    def opened(cls, root: Path) -> Iterator[Tree]:
        """Open the tree at `root`. Raises UploadTreeError if there is none."""
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
        """Return the identity in the marker, None without one. Raises WrongRoot if unreadable."""
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
        """Raise WrongRoot unless the root has the marker with `identity`."""
        marked = self.identity()
        if identity is None:
            raise WrongRoot(
                f"{self.root}: this upload root has not been adopted for culling. Review what "
                f"`pano cull` shows, then run `pano cull --adopt` once. "
                f"Nothing was deleted."
            )
        if marked is None:
            raise WrongRoot(
                f"{self.root}: expected the marker {MARKER} that `pano cull --adopt` wrote; there "
                f"is none. Is the right disk mounted? If the marker was deleted, run "
                f"`pano cull --adopt` again. Nothing was deleted."
            )
        if marked != identity:
            raise WrongRoot(
                f"{self.root}: expected the marker of this library; found that of another "
                f"({MARKER} says {marked[:40]!r}). Is the right disk mounted? Nothing was deleted."
            )

    def mark(self, identity: str) -> None:
        """Write the marker atomically and sync it."""
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
        """Yield each file with what is at its path; fast if files of a folder are together."""
        with _Walk(self._descriptor) as walk:
            for file in files:
                yield file, walk.status_of(file.parts)

    def names(self, folder: tuple[bytes, ...]) -> list[bytes]:
        """Return the names in a folder; none if it cannot be opened without following links."""
        try:
            with _Walk(self._descriptor) as walk:
                return [os.fsencode(name) for name in os.listdir(walk.folder(folder))]
        except OSError:
            return []

    # --- removing -----------------------------------------------------------

    def remove(self, files: Iterable[Doomed]) -> Iterator[tuple[Doomed, Outcome]]:
        """Remove each file that is unchanged; yield each file with the outcome.

        A file that no longer exists is "absent". Removals are only synced to disk by `tidy`.
        """
        with _Walk(self._descriptor) as walk:
            for file in files:
                yield file, walk.remove(file)

    def tidy(self, files: Iterable[Doomed], kept: frozenset[tuple[bytes, ...]]) -> None:
        """Remove the folders of removed files that are now empty, and sync the others.

        Goes up from each file, but never removes the root or the folders in `kept`. Raises
        OSError if syncing fails: the files may then reappear after a power cut.
        """
        folders = {file.parts[:depth] for file in files for depth in range(len(file.parts))}
        # Deepest first, so that folders with only empty folders are empty when it is their turn.
        ordered = sorted(folders, key=lambda folder: (len(folder), folder), reverse=True)
        with _Walk(self._descriptor) as walk:
            left = [one for one in ordered if one in kept or not walk.remove_folder(one)]
        with _Walk(self._descriptor) as walk:
            for folder in left:
                with suppress(FileNotFoundError, NotADirectoryError):
                    os.fsync(walk.folder(folder))


def open_folder(root: Path, parts: Iterable[str]) -> int:
    """Return a descriptor of the folder at `parts` below `root`, which the caller must close.

    No link below `root` is followed. Raises OSError if there is a link or no such folder.
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
    """Opens folders below the root one by one, and keeps those of the last path open."""

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
        """Return a descriptor of the folder at `parts`. Raises OSError for a link in its path."""
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

    def status_of(self, parts: tuple[bytes, ...]) -> PathStatus:
        try:
            folder = self.folder(parts[:-1])
            status = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return PathStatus(trouble="no file", is_absent=True)
        except OSError as error:
            return PathStatus(trouble=_why(error))
        if not stat.S_ISREG(status.st_mode):
            what = "a link, not followed" if stat.S_ISLNK(status.st_mode) else "not a regular file"
            return PathStatus(trouble=what)
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True):
            return PathStatus(trouble="pano has no permission to delete in its folder")
        return PathStatus(status.st_size, _mtime_us(status))

    def remove(self, file: Doomed) -> Outcome:
        status = self.status_of(file.parts)
        if status.is_absent:
            return "absent"
        if not status.is_still(file):
            return "refused" if status.trouble else "changed"
        try:
            os.unlink(file.parts[-1], dir_fd=self.folder(file.parts[:-1]))
        except FileNotFoundError:
            return "absent"
        except OSError:
            return "refused"
        return "removed"

    def remove_folder(self, parts: tuple[bytes, ...]) -> bool:
        """Remove an empty folder; return False if it could not be removed."""
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
    # O_NOFOLLOW with O_DIRECTORY fails with ELOOP or ENOTDIR, depending on the system.
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "a link or a file in its path, not followed"
    return error.strerror or str(error)


def _mtime_us(status: os.stat_result) -> int:
    """Return the modification time in µs as in the catalog, limited as in `times.sane`."""
    return sane(status.st_mtime_ns) // 1000


# --- the library's record of its root -----------------------------------------


def adopted(storage: Storage) -> str | None:
    """Return the identity of the root that this library may cull, or None."""
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
    """Store in the library that the root with this identity may be culled."""
    document = {"format": _FORMAT, "identity": identity}
    storage.replace(ADOPTED, json.dumps(document).encode())
