"""Bytes at rest: write, sync, rename, on a local disk; the one place that another store replaces.

Four promises: a file appears under its name complete or not at all (`put`,
`replace`); what `sync` was given survives a power cut; names are relative
POSIX paths and never leave the root; other users of the machine can read
nothing of it, at no moment.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from pano_analytics.errors import LibraryBusy, LibraryError
from pano_analytics.model.readers import Readers

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


class StorageFull(LibraryError):
    """The disk of the library has no space left; what is there stays whole."""

    exit_code = 9


# Time of change, inode and size: what a replacement cannot leave the same.
Stamp = tuple[int, int, int]

# Leftovers of a killed writer end in this; no reader opens such a name.
TEMPORARY = ".pano-tmp"


# What others than the owner may do with new folders; with files, but for passing through.
_RIGHTS: dict[Readers, int] = {"owner": 0o000, "group": 0o050, "everybody": 0o055}


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


class Storage:
    """The folder of a library, or of a site.

    What is made in it belongs to its owner alone, or may be read by its group or
    by everybody. A library whose owner took the rights of everybody away, but not
    those of the group (`chmod 750`), is one that the group may read.
    """

    def __init__(self, root: Path, readers: Readers = "owner") -> None:
        self.root, self.readers = root, readers

    def make(self) -> None:
        """Make the root where it is missing, and close it to those who may not read it.

        For the folder of a library or a site only: what lies there is ours.
        """
        self._make(self.root)
        now = stat.S_IMODE(self.root.stat().st_mode)
        # 755 is what nobody chose; 750 is.
        kept = now & ~0o077 if self.readers == "owner" and now & 0o007 else now & ~0o007
        if self.readers != "everybody" and now != kept:
            with suppress(PermissionError):  # somebody else's: it is theirs to close
                self.root.chmod(kept)

    def make_folder(self, name: str) -> Path:
        """Return the folder `name`, which is made where it is missing."""
        folder = self.path(name)
        self._make(folder)
        return folder

    def _make(self, folder: Path, *, is_again: bool = False) -> None:
        if not folder.is_relative_to(self.root):
            missing = [one for one in (folder, *folder.parents) if not one.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            for one in missing:
                sync_path(one.parent)
            return
        try:
            folder.mkdir(0o700 | self._rights)
        except FileNotFoundError:
            if is_again:  # /proc, and mount points that nothing is mounted at, have no room
                raise
            self._make(folder.parent)
            self._make(folder, is_again=True)
        except FileExistsError:
            if not folder.is_dir():
                raise
        else:
            give_to_owner(folder, folder.parent)
            if folder == self.root:
                sync_path(folder.parent)  # else all below it goes with a power cut

    @cached_property
    def granted(self) -> Readers:
        """Who may read: `readers`, or the group where the root's rights say so."""
        try:
            now = self.root.stat().st_mode
        except FileNotFoundError:
            return self.readers
        is_chosen = now & 0o050 == 0o050 and not now & 0o007
        return "group" if self.readers == "owner" and is_chosen else self.readers

    @property
    def _rights(self) -> int:
        return _RIGHTS[self.granted]

    def create(self, path: Path, mode: int | None = None) -> IO[bytes]:
        """Open the new file `path` for writing, with the rights that files here have."""
        mode = 0o600 | self._rights & 0o044 if mode is None else mode
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        give_to_owner(path, path.parent)
        return os.fdopen(descriptor, "wb")

    def settle(self, path: Path) -> None:
        """Give a file that somebody else wrote the rights that files here have."""
        path.chmod(0o600 | self._rights & 0o044)
        give_to_owner(path, path.parent)

    def path(self, name: str) -> Path:
        """Return where `name` lies; raises LibraryError if it would leave the root."""
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise LibraryError(f"expected a name inside {self.root}, got {name!r}")
        return self.root / name

    def exists(self, name: str) -> bool:
        """Return whether `name` is there. Raises OSError where the disk does not tell."""
        try:
            self.path(name).stat()  # `Path.exists` takes some errors for an absence
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def stamp(self, name: str) -> Stamp | None:
        """Return what changes whenever the file `name` is replaced; None where there is none.

        Two stamps are only ever compared with each other. Raises OSError where the disk
        does not tell.
        """
        try:
            found = self.path(name).stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def size_bytes(self, name: str) -> int:
        """Return how many bytes the file `name` has. Raises FileNotFoundError."""
        return self.path(name).stat().st_size

    def age_s(self, name: str) -> float | None:
        """Return how long ago the file `name` was written; None where the disk tells nothing."""
        try:
            return max(0.0, time.time() - self.path(name).stat().st_mtime)
        except OSError:
            return None

    def read(self, name: str) -> bytes:
        with naming(self.path(name)) as path:
            return path.read_bytes()

    def read_range(self, name: str, offset: int, size_bytes: int) -> bytes:
        """Return `size_bytes` bytes from `offset`; fewer where the file ends before."""
        with naming(self.path(name)) as path, path.open("rb") as file:
            file.seek(offset)
            return file.read(size_bytes)

    def put(
        self, name: str, write: Callable[[IO[bytes]], object], *, is_synced: bool = False
    ) -> None:
        """Make the new file `name` with what `write` puts into it; the name is not synced yet.

        With `is_synced` its bytes are on the disk before it has its name.
        """
        with self._explained():
            temporary = self._temporary(name)
            try:
                with naming(temporary), self.create(temporary) as file:
                    write(file)
                    if is_synced:
                        file.flush()
                        os.fsync(file.fileno())
                temporary.rename(self.path(name))
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def replace(self, name: str, data: bytes, mode: int | None = None) -> None:
        """Swap the file `name` for `data` in one step that survives a power cut.

        `mode` where its rights are not those of a library: of a file that others share.
        """
        with self._explained():
            temporary = self._temporary(name)
            try:
                with naming(temporary), self.create(temporary, mode) as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path(name))
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            sync_path(temporary.parent)

    def _temporary(self, name: str) -> Path:
        """Return a new name beside `name` to write to, in a folder that is there."""
        target = self.path(name)
        self._make(target.parent)
        return target.with_name(f"{target.name}.{secrets.token_hex(4)}{TEMPORARY}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what a disk refuses into an error that says what to do."""
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFull(
                    f"{self.root}: expected space to write; the disk or the quota is full. The "
                    f"library is unchanged. Free some space and run the command again."
                ) from error
            if error.errno in _REFUSED:
                raise LibraryError(
                    f"{self.root}: expected a writable library; {error.strerror} "
                    f"({error.filename}). Run pano as the user who owns it."
                ) from error
            raise

    def sync(self, names: Iterable[str]) -> None:
        """Return when the files `names` and their folders are on the disk.

        Side by side: a journalling file system then commits many at once.
        """
        paths = [self.path(name) for name in names]
        with self._explained(), ThreadPoolExecutor(max_workers=16) as pool:
            list(pool.map(sync_path, paths))
            list(pool.map(sync_path, self._folders(paths)))

    def sync_folders(self, names: Iterable[str]) -> None:
        """Return when the folders of `names`, up to the root, have their names on the disk."""
        paths = [path for name in names if (path := self.path(name)).parent.is_dir()]
        with self._explained(), ThreadPoolExecutor(max_workers=16) as pool:
            list(pool.map(sync_path, self._folders(paths)))

    def _folders(self, paths: list[Path]) -> set[Path]:
        # A new folder is only found after a power cut if its parent is synced too.
        folders = set[Path]()
        for folder in {path.parent for path in paths}:
            while folder not in folders and folder.is_relative_to(self.root):
                folders.add(folder)
                folder = folder.parent
        return folders

    def drop_leftovers(self, name: str) -> None:
        """Remove what killed writers left beside the file `name`. For its only writer."""
        target = self.path(name)
        for left in target.parent.glob(f"{target.name}.*{TEMPORARY}"):
            left.unlink(missing_ok=True)

    def unlink(self, name: str) -> None:
        """Remove the file `name` if it is there; its folder stays."""
        self.path(name).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove the file `name` if it is there, and its folder if that leaves it empty."""
        self.unlink(name)
        try:
            self.path(name).parent.rmdir()
        except OSError:
            return

    def move(self, name: str, to: str) -> bool:
        """Give the file `name` the name `to`; return False where there is no such file."""
        source, target = self.path(name), self.path(to)
        with self._explained():
            for _ in range(2):
                try:
                    source.rename(target)
                except FileNotFoundError:
                    self._make(target.parent)
                else:
                    return True
        return False

    def remove_folders(self, names: Iterable[str]) -> None:
        """Remove the folders of `names` that are empty."""
        for folder in {self.path(name).parent for name in names}:
            with suppress(OSError):
                folder.rmdir()

    def share(self, name: str, other: Storage) -> None:
        """Have the file `name` of `other` here, too, by a hard link where that is possible.

        For files that are never changed under their name.
        """
        target = self.path(name)
        self._make(target.parent)
        try:
            target.hardlink_to(other.path(name))
        except OSError:  # a file system without links
            shutil.copyfile(other.path(name), target)

    def take(self, name: str, other: Storage, to: str) -> None:
        """Move the file `name` from `other`, on the same file system, to here, as `to`."""
        target = self.path(to)
        self._make(target.parent)
        other.path(name).rename(target)

    def remove_tree(self, name: str) -> None:
        """Remove the folder `name` with all that it holds, if it is there. Raises OSError."""
        path = self.path(name)
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            return
        except OSError as error:
            error.filename = str(path)  # else a name without its folder
            raise

    def files(self, name: str) -> Iterator[str]:
        """Yield the names of all files below the folder `name`, whatever their ending.

        Raises OSError where a folder cannot be listed: what it holds is not gone.
        """
        for folder, _, files in os.walk(self.path(name), onerror=_raise_unless_gone):
            relative = Path(folder).relative_to(self.root).as_posix()
            yield from (f"{relative}/{file}" for file in files)

    @contextmanager
    def lock(self, name: str, wait: bool = False) -> Iterator[None]:
        """Hold the library's lock `name`; it goes with the process, however that ends.

        Raises LibraryBusy if another process holds it and `wait` is False.
        """
        path = self.path(name)
        with self._explained():
            self.make()
            self._make(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            file = os.fdopen(descriptor, "a+b")
            give_to_owner(path, path.parent)
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise LibraryBusy(
                    f"{self.root}: another run is active; nothing was done. Wait until it ends, "
                    f"or use --wait."
                ) from None
            yield

    def document(self, name: str, version: int) -> dict[str, Any] | None:
        """Return a JSON page of the library; None where none is there of the format `version`.

        Raises OSError, which names the file, where the disk does not tell.
        """
        try:
            found = json.loads(self.read(name))
            return dict(found) if found["format"] == version else None
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None

    def is_locked(self, name: str) -> bool:
        """Tell whether a process holds the lock `name`.

        Asked with a shared lock that is given back at once, so that two who ask
        do not take each other for its holder.
        """
        try:
            with self.path(name).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def stamp() -> str:
    """Return the present as the names of packs begin with it: text that sorts by time."""
    return f"{time.time_ns() // 1_000_000:011x}"


def give_to_owner(path: Path, folder: Path) -> None:
    """Where root makes something in somebody's folder, make it theirs: a service must read it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def sync_path(path: Path) -> None:
    """Bring a file, or a folder's own names, to the disk; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path) -> Iterator[Path]:
    """Let an error of a read, a write or a sync say which file it was: the system does not."""
    try:
        yield path
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
