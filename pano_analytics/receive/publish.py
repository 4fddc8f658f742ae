"""How a file gets its name in the upload tree: never at the cost of a whole one.

All is done by descriptors of folders, so that no link is followed. A file is synced
before it gets its name, and its folder after, so that what was acknowledged survives a
power cut. These functions take as long as the disk does: they run in threads.
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
    """The name that a file has now, and how it came to it.

    "same": these bytes were there already. "completed": it took the place of an
    unfinished or broken file. "later": another file has the name that it came under.
    """

    name: str
    what: What


class NotAFile(OSError):
    """What lies under a name is no regular file; links are not followed."""

    def __init__(self) -> None:
        super().__init__(errno.EEXIST, "Not a file")


# Of two uploads to one name, one is looked at after the other.
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
    """Give the file `own` in `folder` the name `name` in `to_folder`, or one beside it.

    Both folders are descriptors. Where a file with other bytes has the name, it stays,
    and the new one gets a later name (see `layouts.later`), unless the old one is empty
    or cut, and the new one begins with it or is whole. `is_growth`: the old one is the
    unfinished beginning of the new one, also where its contents do not show that it is
    cut. Raises OSError, NotAFile among them; the file then keeps the name `own`.
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
    found = os.fstat(folder)
    return _TURNS[hash((found.st_dev, found.st_ino, name)) % len(_TURNS)]


def _sync(folder: int, to_folder: int, published: Published) -> None:
    if published.what != "new":
        # It may have come just before, by a server that was killed before its sync.
        with open_file(to_folder, published.name) as file:
            os.fsync(file.fileno())
    # The new name first: a cut between the two leaves both names, never none.
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
                    return Published(_as_later(folder, own, new, to_folder, name), "later")
                os.rename(own, name, src_dir_fd=folder, dst_dir_fd=to_folder)
                return Published(name, "completed")
        except FileNotFoundError:
            continue  # removed meanwhile, as by culling: the name is free
    raise FileExistsError(errno.EEXIST, "Another file comes and goes under this name")


def _as_later(folder: int, own: str, new: io.FileIO, to_folder: int, name: str) -> str:
    """Give the file a later name; return it."""
    new.seek(0)
    sha256 = hashlib.file_digest(new, "sha256").hexdigest()
    for digits in LENGTHS:
        later = later_name(name, sha256, digits)
        if rename_new(folder, own, to_folder, later):
            return later
        with open_file(to_folder, later) as there:
            if is_same(new, there):
                os.unlink(own, dir_fd=folder)
                return later
    raise FileExistsError(errno.EEXIST, "Other files have this name and its later ones")


def _is_completed(
    old: BinaryIO, new: BinaryIO, name: str, is_contents_checked: bool, is_growth: bool
) -> bool:
    """Tell whether `old` is unfinished, and nothing is lost when `new` takes its place."""
    if not (is_unfinished(old, name) or (is_growth and contents_of(old, name).says != "whole")):
        return False
    if begins_with(new, old):
        return True
    return is_contents_checked and contents_of(new, name).says == "whole"


def is_unfinished(file: BinaryIO, name: str) -> bool:
    """Tell whether a file is empty, or its contents show that it is cut. Raises OSError."""
    return file.seek(0, os.SEEK_END) == 0 or contents_of(file, name).says == "cut"


# --- files by the descriptor of their folder ------------------------------------------------


def open_file(folder: int, name: str, flags: int = os.O_RDONLY) -> io.FileIO:
    """Open a regular file unbuffered; no link is followed. Raises OSError, NotAFile."""
    try:
        found = os.open(
            name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666, dir_fd=folder
        )
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise NotAFile from error
        raise
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise NotAFile
    return io.FileIO(found, "rb" if flags == os.O_RDONLY else "r+b")


def begins_with(file: BinaryIO, beginning: BinaryIO) -> bool:
    """Tell whether `file` begins with all bytes of `beginning`."""
    if file.seek(0, os.SEEK_END) < beginning.seek(0, os.SEEK_END):
        return False
    file.seek(0)
    beginning.seek(0)
    while piece := beginning.read(_PIECE):
        if _read(file, len(piece)) != piece:
            return False
    return True


def is_same(one: BinaryIO, other: BinaryIO) -> bool:
    """Tell whether two files hold the same bytes."""
    if one.seek(0, os.SEEK_END) != other.seek(0, os.SEEK_END):
        return False
    return begins_with(one, other)


def _read(file: BinaryIO, size_bytes: int) -> bytes:
    # Without a buffer a read may return less than is there.
    data = file.read(size_bytes)
    while len(data) < size_bytes and (more := file.read(size_bytes - len(data))):
        data += more
    return data


# --- renames that replace nothing -----------------------------------------------------------


def rename_new(folder: int, name: str, to_folder: int, to_name: str) -> bool:
    """Rename in one step if the new name is free; return whether it was. Raises OSError."""
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
    # A file system without links, and a system without the call: only we write here.
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
    """Return whether the name was free; None where the system or file system has no such call."""
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
