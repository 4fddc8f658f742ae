"""Opening a file safely: for reading only, without following links or blocking."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pano_analytics.errors import MediaError


@contextmanager
def open_media(path: Path) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """Open a regular file without following a link or waiting for a FIFO's writer.

    Yields the file, for reading only, and its status when it was opened. Raises MediaError
    if it is not a regular file or cannot be read.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise MediaError(_why_not_opened(path, error)) from error
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        os.close(descriptor)
        raise MediaError(
            f"{path} is {_file_type(before.st_mode)}, not a media file: it is not read; move it "
            "out of the upload tree"
        )
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        yield file, before


def _why_not_opened(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return f"{str(path)!r} is not a valid file name: {error}"
    if error.errno == errno.ELOOP:
        return f"{path} is a symbolic link, and links are not followed: name the file itself"
    if isinstance(error, PermissionError):
        return f"{path} cannot be read: give the user who runs pano permission to read it"
    return f"{path} cannot be opened: {error.strerror}"


def _file_type(mode: int) -> str:
    types: tuple[tuple[Callable[[int], bool], str], ...] = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for test, name in types if test(mode)), "something else")
