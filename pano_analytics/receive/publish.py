"""Give a file its name in the upload tree, without ever replacing a complete one.

Everything uses descriptors of folders, so that no link is followed. A file is synced
before it gets its name, and its folder afterwards, so that acknowledged uploads survive a
power cut. These functions wait for the disk, so they run in threads.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import io
import os
import stat
import threading
from functools import cache
from typing import Any, BinaryIO, Literal, NamedTuple

from pano_analytics.layouts.later import LENGTHS, later_name
from pano_analytics.receive.wholeness import contents_of

_PIECE = 1 << 20
_NOREPLACE = 1
_NOT_SUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)
_TRIES = 10

What = Literal["new", "same", "completed", "later"]


class Published(NamedTuple):
    """The name that a file has now, and what happened.

    "same": a file with this content existed already. "completed": it replaced an
    unfinished or broken file. "later": another file has the name, so it got a later name.
    """

    name: str
    what: What


class NotAFile(OSError):
    """A name exists but is not a regular file; links are not followed."""

    def __init__(self) -> None:
        super().__init__(errno.EEXIST, "Not a file")


# Two uploads with the same name are published one after the other.
_TURNS = tuple(threading.Lock() for _ in range(64))


def publish(
    folder: int,
    own: str,
    to_folder: int,
    name: str,
    *,
    is_synced: bool,
    is_contents_checked: bool = True,
    is_growth: bool = False,
) -> Published:
    """Give the file `own` in `folder` the name `name` in `to_folder`, or a later name.

    Both folders are descriptors. A file with different content that has the name is kept,
    and the new one gets a later name (see `layouts.later`), unless the old one is empty or
    cut, and the new one begins with it or is complete. `is_growth` means that the old one
    is the unfinished beginning of the new one, even if its contents do not show that it is
    cut. Raises OSError, including NotAFile; the file then keeps the name `own`.
    """
    if is_synced:
        with open_file(folder, own) as file:
            os.fsync(file.fileno())
    with _turn(to_folder, name):
        published = _published(folder, own, to_folder, name, is_contents_checked, is_growth)
    if is_synced:
        _sync(folder, to_folder, published)
    return published


def _turn(folder: int, name: str) -> threading.Lock:
    status = os.fstat(folder)
    return _TURNS[hash((status.st_dev, status.st_ino, name)) % len(_TURNS)]


def _sync(folder: int, to_folder: int, published: Published) -> None:
    if published.what != "new":
        # An earlier server may have been killed before it synced this file.
        with open_file(to_folder, published.name) as file:
            os.fsync(file.fileno())
    # The new name first: a power cut between the two leaves both names rather than none.
    os.fsync(to_folder)
    if not os.path.samestat(os.fstat(folder), os.fstat(to_folder)):
        os.fsync(folder)


def _published(
    folder: int, own: str, to_folder: int, name: str, is_contents_checked: bool, is_growth: bool
) -> Published:
    for _ in range(_TRIES):
        if rename_new(folder, own, to_folder, name):
            return Published(name, "new")
        try:
            with open_file(folder, own) as new, open_file(to_folder, name) as old:
                if is_same(new, old):
                    os.unlink(own, dir_fd=folder)
                    return Published(name, "same")
                if not _is_completed(old, new, name, is_contents_checked, is_growth):
                    return Published(_rename_later(folder, own, new, to_folder, name), "later")
                os.rename(own, name, src_dir_fd=folder, dst_dir_fd=to_folder)
                return Published(name, "completed")
        except FileNotFoundError:
            continue  # removed in the meantime, e.g. by culling, so the name is free
    raise FileExistsError(errno.EEXIST, "Another program keeps creating and removing this file")


def _rename_later(folder: int, own: str, new: io.FileIO, to_folder: int, name: str) -> str:
    """Give the file a later name, and return it."""
    new.seek(0)
    sha256 = hashlib.file_digest(new, "sha256").hexdigest()
    for digits in LENGTHS:
        later = later_name(name, sha256, digits)
        if rename_new(folder, own, to_folder, later):
            return later
        with open_file(to_folder, later) as existing:
            if is_same(new, existing):
                os.unlink(own, dir_fd=folder)
                return later
    raise FileExistsError(errno.EEXIST, "This name and its later names are all taken")


def _is_completed(
    old: BinaryIO, new: BinaryIO, name: str, is_contents_checked: bool, is_growth: bool
) -> bool:
    """Return whether `old` is unfinished, and nothing is lost if `new` replaces it."""
    if not (is_unfinished(old, name) or (is_growth and contents_of(old, name).says != "whole")):
        return False
    if begins_with(new, old):
        return True
    return is_contents_checked and contents_of(new, name).says == "whole"


def is_unfinished(file: BinaryIO, name: str) -> bool:
    """Return whether a file is empty, or its contents show that it is cut. Raises OSError."""
    return file.seek(0, os.SEEK_END) == 0 or contents_of(file, name).says == "cut"


# --- files by the descriptor of their folder ------------------------------------------------


def open_file(folder: int, name: str, flags: int = os.O_RDONLY) -> io.FileIO:
    """Open a regular file without a buffer and without following links. Raises OSError."""
    try:
        descriptor = os.open(
            name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666, dir_fd=folder
        )
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise NotAFile from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAFile
    return io.FileIO(descriptor, "rb" if flags == os.O_RDONLY else "r+b")


def begins_with(file: BinaryIO, beginning: BinaryIO) -> bool:
    """Return whether `file` begins with all bytes of `beginning`."""
    if file.seek(0, os.SEEK_END) < beginning.seek(0, os.SEEK_END):
        return False
    file.seek(0)
    beginning.seek(0)
    while piece := beginning.read(_PIECE):
        if _read(file, len(piece)) != piece:
            return False
    return True


def is_same(one: BinaryIO, other: BinaryIO) -> bool:
    """Return whether two files have the same content."""
    if one.seek(0, os.SEEK_END) != other.seek(0, os.SEEK_END):
        return False
    return begins_with(one, other)


def _read(file: BinaryIO, size_bytes: int) -> bytes:
    # An unbuffered read may return less than was requested.
    data = file.read(size_bytes)
    while len(data) < size_bytes and (more := file.read(size_bytes - len(data))):
        data += more
    return data


# --- renames that never replace a file ------------------------------------------------------


def rename_new(folder: int, name: str, to_folder: int, to_name: str) -> bool:
    """Rename atomically if the new name is free; return whether it was. Raises OSError."""
    done = _renameat2(folder, name, to_folder, to_name)
    if done is not None:
        return done
    try:
        os.link(name, to_name, src_dir_fd=folder, dst_dir_fd=to_folder, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (*_NOT_SUPPORTED, errno.EMLINK):
            raise
        return _rename_if_free(folder, name, to_folder, to_name)
    os.unlink(name, dir_fd=folder)
    return True


def _rename_if_free(folder: int, name: str, to_folder: int, to_name: str) -> bool:
    # For file systems without hard links on systems without renameat2. This is not atomic,
    # but nothing except this server writes here.
    try:
        os.stat(to_name, dir_fd=to_folder, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(name, to_name, src_dir_fd=folder, dst_dir_fd=to_folder)
        return True
    return False


@cache
def _linux_call() -> Any:
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def _renameat2(folder: int, name: str, to_folder: int, to_name: str) -> bool | None:
    """Return whether the name was free; None if system or file system lack the call."""
    call = _linux_call()
    if call is None:
        return None
    if call(folder, os.fsencode(name), to_folder, os.fsencode(to_name), _NOREPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number == errno.EEXIST:
        return False
    if number in _NOT_SUPPORTED:
        return None
    raise OSError(number, os.strerror(number), name)
