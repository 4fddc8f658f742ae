"""Files of a library on a local disk; only this module would change for another kind of storage.

It guarantees that a file appears under its name complete or not at all (`put`, `replace`);
that files passed to `sync` survive a power cut; that names are relative POSIX paths which
never leave the root; and that other users of the computer can never read any of it.
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
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

from pano_analytics.errors import LibraryBusy, LibraryError, as_pano_error
from pano_analytics.model.readers import Readers

if TYPE_CHECKING:
    import pyarrow as pa

Place = TypeVar("Place", str, Path)

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


class StorageFull(LibraryError):
    """The disk of the library is full; existing files are unchanged."""

    exit_code = 9


# Modification time, inode and size: a replaced file cannot have all three the same.
Stamp = tuple[int, int, int]


class Space(NamedTuple):
    """The size of a disk, and how much of it is free for this user, in bytes."""

    size_bytes: int
    free_bytes: int


# The suffix of temporary files, which a killed writer may leave; readers ignore such names.
TEMPORARY = ".pano-tmp"


# The rights of others than the owner for new folders; for files, without execution.
_RIGHTS: dict[Readers, int] = {"owner": 0o000, "group": 0o050, "everybody": 0o055}


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


class Storage:
    """The folder of a library, or of a site.

    Files in it can be read by the owner only, or also by the group or everybody, depending on
    `readers`. If the owner gave the folder the rights 750, the group may read it, too.
    """

    def __init__(self, root: Path, readers: Readers = "owner") -> None:
        self.root, self.readers = root, readers

    def make(self) -> None:
        """Create the root if it is missing, and remove the rights of those who may not read it.

        For the folder of a library or a site only: all files there are pano's own.
        """
        self._make(self.root)
        mode = stat.S_IMODE(self.root.stat().st_mode)
        # 755 is a default; 750 was chosen.
        kept = mode & ~0o077 if self.readers == "owner" and mode & 0o007 else mode & ~0o007
        if self.readers != "everybody" and mode != kept:
            with suppress(PermissionError):  # owned by another user, who decides
                self.root.chmod(kept)

    def make_folder(self, name: str) -> Path:
        """Return the folder `name`; create it if it is missing."""
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
            if is_again:  # /proc, for example, allows no new folders
                raise
            self._make(folder.parent)
            self._make(folder, is_again=True)
        except FileExistsError:
            if not folder.is_dir():
                raise
        else:
            give_to_owner(folder, folder.parent)
            if folder == self.root:
                sync_path(folder.parent)  # otherwise a power cut could lose the whole folder

    @cached_property
    def granted(self) -> Readers:
        """Who may read: `readers`, or the group if the root's rights allow that."""
        try:
            mode = self.root.stat().st_mode
        except FileNotFoundError:
            return self.readers
        is_chosen = mode & 0o050 == 0o050 and not mode & 0o007
        return "group" if self.readers == "owner" and is_chosen else self.readers

    @property
    def _rights(self) -> int:
        return _RIGHTS[self.granted]

    def create(self, path: Path, mode: int | None = None) -> IO[bytes]:
        """Create the file `path` and open it for writing, with the usual rights or `mode`."""
        mode = 0o600 | self._rights & 0o044 if mode is None else mode
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        give_to_owner(path, path.parent)
        return os.fdopen(descriptor, "wb")

    def settle(self, path: Path) -> None:
        """Give a file that another program wrote the usual rights and owner."""
        path.chmod(0o600 | self._rights & 0o044)
        give_to_owner(path, path.parent)

    def path(self, name: str) -> Path:
        """Return the path of `name`. Raises LibraryError if it would leave the root."""
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise LibraryError(f"expected a name inside {self.root}, got {name!r}")
        return self.root / name

    def address(self, name: str = "") -> str:
        """Return where the file `name`, or the root, is, as text.

        For messages, and for other programs that open files, such as DuckDB. Raises LibraryError
        for a name that would leave the root.
        """
        return str(self.path(name))

    def below(self, name: str) -> Storage:
        """Return the folder `name` as a storage of its own, which `take` can move files from.

        The same users may read it. Nothing is created yet.
        """
        return Storage(self.path(name), self.granted)

    def space(self) -> Space:
        """Return the space of the disk that the root is on. Raises OSError if it is unknown."""
        return space_of(self.root)

    def error_of(self, error: OSError) -> Exception:
        """Return the LibraryError that explains `error`, or `error` if the library is not at fault.

        An error of another path or disk becomes the PanoError that fits.
        """
        return as_pano_error(error, None, self.root) or error

    def exists(self, name: str) -> bool:
        """Return whether `name` exists. Raises OSError if that cannot be determined."""
        try:
            self.path(name).stat()  # `Path.exists` returns False for some errors
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def stamp(self, name: str) -> Stamp | None:
        """Return a value that changes whenever the file `name` is replaced; None without a file.

        Stamps are only meant to be compared. Raises OSError if the file cannot be examined.
        """
        try:
            status = self.path(name).stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def size_bytes(self, name: str) -> int:
        """Return the size of the file `name` in bytes. Raises FileNotFoundError."""
        return self.path(name).stat().st_size

    def age_s(self, name: str) -> float | None:
        """Return the seconds since the file `name` was written; None if that is unknown."""
        try:
            return max(0.0, time.time() - self.path(name).stat().st_mtime)
        except OSError:
            return None

    def read(self, name: str) -> bytes:
        with naming(self.path(name)) as path:
            return path.read_bytes()

    def open(self, name: str) -> IO[bytes]:
        """Open the file `name` for reading, from any offset. The caller closes it."""
        with naming(self.path(name)) as path:
            return path.open("rb")

    def source(self, name: str) -> pa.NativeFile:
        """Open the file `name` for Arrow, which reads it without holding the interpreter lock.

        The caller closes it. Raises FileNotFoundError or another OSError, as Arrow words it.
        """
        # Not every process that asks whether the catalog has changed has loaded Arrow.
        import pyarrow as pa

        return pa.OSFile(str(self.path(name)))

    def read_range(self, name: str, offset: int, size_bytes: int) -> bytes:
        """Return `size_bytes` bytes from `offset`; fewer if the file ends before."""
        with naming(self.path(name)) as path, path.open("rb") as file:
            file.seek(offset)
            return file.read(size_bytes)

    def put(
        self, name: str, write: Callable[[IO[bytes]], object], *, is_synced: bool = False
    ) -> None:
        """Create the file `name`, whose content `write` writes; the name is not synced yet.

        With `is_synced`, the content is synced to disk before the file gets its name.
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
        """Replace the file `name` by `data` atomically, and sync it.

        `mode` sets rights other than the usual ones, for a file that other programs share.
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
        """Return a new temporary path beside `name`; create the folder if it is missing."""
        target = self.path(name)
        self._make(target.parent)
        return target.with_name(f"{target.name}.{secrets.token_hex(4)}{TEMPORARY}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the disk into errors that say what to do."""
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
        """Sync the files `names` and their folders to disk.

        In threads: a journaling file system then commits many at once.
        """
        paths = [self.path(name) for name in names]
        with self._explained(), ThreadPoolExecutor(max_workers=16) as pool:
            list(pool.map(sync_path, paths))
            list(pool.map(sync_path, self._folders(paths)))

    def sync_folders(self, names: Iterable[str]) -> None:
        """Sync the folders of `names`, up to the root, to disk."""
        paths = [path for name in names if (path := self.path(name)).parent.is_dir()]
        with self._explained(), ThreadPoolExecutor(max_workers=16) as pool:
            list(pool.map(sync_path, self._folders(paths)))

    def _folders(self, paths: list[Path]) -> set[Path]:
        # A new folder survives a power cut only if its parent is synced, too.
        folders = set[Path]()
        for folder in {path.parent for path in paths}:
            while folder not in folders and folder.is_relative_to(self.root):
                folders.add(folder)
                folder = folder.parent
        return folders

    def drop_leftovers(self, name: str) -> None:
        """Remove temporary files of killed writers beside the file `name`. For its only writer."""
        target = self.path(name)
        for left in target.parent.glob(f"{target.name}.*{TEMPORARY}"):
            left.unlink(missing_ok=True)

    def unlink(self, name: str) -> None:
        """Remove the file `name` if it exists, but not its folder."""
        self.path(name).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove the file `name` if it exists, and its folder if that is empty then."""
        self.unlink(name)
        try:
            self.path(name).parent.rmdir()
        except OSError:
            return

    def move(self, name: str, to: str) -> bool:
        """Rename the file `name` to `to`; return False if there is no such file."""
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
        """Link or copy the file `name` of `other` to here; a hard link if possible.

        For files that are never modified.
        """
        target = self.path(name)
        self._make(target.parent)
        try:
            target.hardlink_to(other.path(name))
        except OSError:  # a file system without links
            shutil.copyfile(other.path(name), target)

    def take(self, name: str, other: Storage, to: str) -> None:
        """Move the file `name` of `other`, on the same file system, to `to` here."""
        target = self.path(to)
        self._make(target.parent)
        other.path(name).rename(target)

    def remove_tree(self, name: str) -> None:
        """Remove the folder `name` with everything in it, if it exists. Raises OSError."""
        path = self.path(name)
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            return
        except OSError as error:
            error.filename = str(path)  # otherwise a name without its folder
            raise

    def names(self, folder: str = "") -> list[str]:
        """Return what is directly in `folder`, by default the root: names of files and folders.

        Raises FileNotFoundError or NotADirectoryError if there is no such folder.
        """
        return os.listdir(self.path(folder))

    def files(self, name: str) -> Iterator[str]:
        """Yield the names of all files below the folder `name`.

        Raises OSError if a folder cannot be listed: its files must not be taken for gone.
        """
        for folder, _, files in os.walk(self.path(name), onerror=_raise_unless_gone):
            relative = Path(folder).relative_to(self.root).as_posix()
            yield from (f"{relative}/{file}" for file in files)

    def sizes_bytes(self, folder: str) -> dict[str, int]:
        """Return name -> size of each file directly in `folder`; nothing if it does not exist.

        Much faster than `files` and `size_bytes` for folders that are looked at often.
        """
        sizes: dict[str, int] = {}
        with suppress(FileNotFoundError), os.scandir(self.path(folder)) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # removed since it was listed
                    if entry.is_file(follow_symlinks=False):
                        sizes[f"{folder}/{entry.name}"] = entry.stat().st_size
        return sizes

    @contextmanager
    def lock(self, name: str, wait: bool = False) -> Iterator[None]:
        """Hold the lock `name`; it is released when the process ends, even if killed.

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

    def start_appending(self, name: str) -> AppendedFile:
        """Create the file `name` for appending, and lock it until it is closed.

        The lock is held before the file has its name: a file of that name that nobody has
        locked is complete. Raises LibraryError if the library is not writable, StorageFull.
        """
        with self._explained():
            temporary = self._temporary(name)
            file = self.create(temporary)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                temporary.rename(self.path(name))
                self.sync([name])
            except BaseException:
                file.close()
                temporary.unlink(missing_ok=True)
                raise
        return AppendedFile(self, name, file)

    def document(self, name: str, version: int) -> dict[str, Any] | None:
        """Return a JSON file of the library; None if there is no valid one of format `version`.

        Raises OSError, which names the file, if it cannot be read.
        """
        try:
            document = json.loads(self.read(name))
            return dict(document) if document["format"] == version else None
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None

    def is_locked(self, name: str) -> bool:
        """Return whether a process holds the lock `name`; False if that cannot be determined."""
        return self._try_lock(name) is False

    def is_unlocked(self, name: str) -> bool:
        """Return whether no process holds the lock `name`; False if that cannot be determined."""
        return self._try_lock(name) is True

    def _try_lock(self, name: str) -> bool | None:
        """Return whether the file `name` can be locked; None if it cannot be opened or locked.

        Tested with a shared lock that is released at once, so that two concurrent tests do not
        take each other for its holder.
        """
        try:
            with self.path(name).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True


class AppendedFile:
    """A file of a library that only this process writes, and keeps locked until it is closed.

    It is closed at the latest when it is no longer referred to.
    """

    def __init__(self, storage: Storage, name: str, file: IO[bytes]) -> None:
        self.name = name
        self._storage, self._path, self._file = storage, storage.path(name), file
        self.size_bytes = 0
        self._pid = os.getpid()
        weakref.finalize(self, file.close)

    @property
    def is_usable(self) -> bool:
        """Whether it is open in this process, not only in its parent, and still has its name.

        Somebody may have removed or replaced the folder: what is appended then is lost.
        """
        if self._file.closed or self._pid != os.getpid():
            return False
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False

    def append(self, data: bytes) -> None:
        """Write `data` at the end in one write, and sync it.

        After an error the file is closed, and ends where it ended before unless the disk
        refuses that, too. Raises StorageFull, LibraryError or another OSError.
        """
        descriptor = self._file.fileno()
        try:
            with self._storage._explained(), naming(self._path):
                _write_all(descriptor, data)
                os.fsync(descriptor)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(descriptor, self.size_bytes)
            self.close()
            raise
        self.size_bytes += len(data)

    def close(self) -> None:
        """Close the file, which releases its lock; nothing is appended to it again."""
        self._file.close()


def _write_all(descriptor: int, data: bytes) -> None:
    # A disk that fills up takes the first bytes; the next write then gets the error.
    while data:
        data = data[os.write(descriptor, data) :]


def space_of(folder: Path) -> Space:
    """Return the space of the disk that `folder` is on. Raises OSError if it is unknown."""
    usage = shutil.disk_usage(folder)
    return Space(usage.total, usage.free)


def stamp() -> str:
    """Return the current time as text that sorts by time; names of packs begin with it."""
    return f"{time.time_ns() // 1_000_000:011x}"


def give_to_owner(path: Path, folder: Path) -> None:
    """If running as root, give `path` the owner of `folder`, so that its service can read it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def sync_path(path: Path) -> None:
    """Sync a file, or the entries of a folder, to disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def naming(place: Place) -> Iterator[Place]:
    """Add the file's path or address to errors of reading, writing or syncing, which lack it."""
    try:
        yield place
    except OSError as error:
        if error.filename is None:
            error.filename = str(place)
        raise
