"""What can go wrong, each error saying what was expected, what came and what to do."""

from __future__ import annotations

import errno
from pathlib import Path

# What is said of a folder because of one above it.
_FROM_ABOVE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class PanoError(Exception):
    """The parent of every error this package raises on purpose.

    The message is one that an owner of cameras can act on; the command line
    prints it without a traceback and exits with `exit_code`.
    """

    exit_code = 1


class SettingsError(PanoError):
    """`pano.toml` (or what stands in for it) cannot be used."""

    exit_code = 2


class UploadTreeError(PanoError):
    """The upload root is missing, unreadable or not a folder."""

    exit_code = 3


class LibraryError(PanoError):
    """The library is missing, of a newer format, or contradicts itself."""

    exit_code = 4


class PartError(LibraryError):
    """A part of the catalog is torn, or may not be read; the uploads are as they were."""

    @classmethod
    def of(cls, part: Path | str, error: Exception) -> PartError:
        """Return the error that names the file `part` and says what to do."""
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        return cls(
            f"{part}: expected a part of the catalog that can be read; {why}. If pano may read it, "
            f"`pano check` says what is wrong, and `pano rebuild` makes the catalog anew."
        )


class LibraryBusy(LibraryError):
    """Another process holds the library's lock."""

    exit_code = 0


class MediaError(PanoError):
    """A file cannot be read, shown or converted."""

    exit_code = 5


class QueryError(PanoError, ValueError):
    """A question to the library was not understood."""

    exit_code = 6


class AttentionNeeded(PanoError):
    """`pano check` found disagreements, or `pano status` a problem."""

    exit_code = 8


def refused(error: OSError, uploads: Path | None, library: Path | None) -> PanoError | None:
    """Return what it means that the system refused a path, by whose path it is.

    A LibraryError or UploadTreeError for theirs, for any other a PanoError, and None
    where the error tells of no path. The folders above count as theirs: a refusal there
    is a refusal of all below.
    """
    if not isinstance(error.filename, str):
        return None
    path, why = Path(error.filename).absolute(), error.strerror or str(error)
    is_above = error.errno in _FROM_ABOVE
    if _lies_at(path, library, is_above):
        return LibraryError(
            f"{path}: expected a library that may be read and written to; {why}. "
            f"{_advice(error)}, or name another with --library."
        )
    if _lies_at(path, uploads, is_above):
        return UploadTreeError(
            f"{path}: expected an upload tree that may be read; {why}. "
            f"{_advice(error)}, or name another with --uploads. Nothing was changed."
        )
    return PanoError(
        f"{path}: expected a place that can be used; {why}. {_advice(error)}, or name another."
    )


def _advice(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "Run pano as a user who may use it"
    return "Look what is there"


def _lies_at(path: Path, folder: Path | None, is_above: bool) -> bool:
    if folder is None:
        return False
    own = folder.absolute()
    return path.is_relative_to(own) or (is_above and own.is_relative_to(path))
