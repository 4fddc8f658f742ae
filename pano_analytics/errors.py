"""What can go wrong, each error saying what was expected, what came and what to do."""

from __future__ import annotations

import errno
from pathlib import Path

# What is said of a folder because of one above it.
_FROM_ABOVE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


# code -> what it means: of every command, and the one place where that is written.
EXIT_CODES: dict[int, str] = {
    0: "Done. For `ingest`, `rebuild`, `cull` and `site` also: another run is at work, nothing "
    "was done. For `up`, `receive`, `serve` and `ingest --watch`: stopped as asked.",
    1: "A place that the system refuses, or an error that nobody foresaw (please report it).",
    2: "Settings or options cannot be used, or one is missing: no upload root or library is "
    "named, the library lies within the uploads, a name or password is not accepted.",
    3: "The upload tree is missing, empty where uploads are known, not readable as a whole, or "
    "not the one that belongs to the library. Nothing was changed.",
    4: "The library is missing, of a newer pano, damaged, not the one that was meant, or in a "
    "place where it cannot be made or written.",
    5: "A file cannot be read, shown or converted.",
    6: "A question to the library was not understood.",
    7: "An address or port is not available, or a certificate cannot be used.",
    8: "Something needs attention: disagreements, a problem or a finding was reported, more is "
    "to be deleted than a run may, or a first upload did not come in time.",
    9: "The disk of the library, or of the site, is full. What is there stays whole.",
    10: "A disk failed that holds neither library nor uploads, or it is not known which one did.",
    130: "Interrupted from the keyboard. The next run continues from there.",
    143: "Ended by SIGTERM, in order. The next run continues from there.",
}


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


class DiskFailed(PanoError):
    """A disk that holds neither library nor uploads failed, or it is not known which one did."""

    exit_code = 10


class DiskFull(PanoError):
    """A disk has no space left; what is there stays complete."""

    exit_code = 9


_FAILING = (errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ESTALE)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def refused(error: OSError, uploads: Path | None, library: Path | None) -> PanoError | None:
    """Return what it means that the system refused a path, by whose path it is.

    A LibraryError or UploadTreeError for theirs, DiskFull where there is no space,
    DiskFailed where another disk fails or it is not told which one did, else a PanoError;
    None where neither a path nor a disk is at fault. The folders above count as theirs:
    a refusal there is a refusal of all below.
    """
    if error.errno in _FULL:
        return DiskFull(
            f"{error.filename or 'a file'}: expected space to write; the disk or the quota is "
            f"full. What was there is as it was. Free some space and run the same again."
        )
    if not isinstance(error.filename, str):
        if error.errno not in _FAILING:
            return None
        return DiskFailed(
            f"expected a disk that reads and writes; {error.strerror or error}. What was there is "
            f"as it was; look at the disks (dmesg, smartctl) and run the same again."
        )
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
    kind = DiskFailed if error.errno in _FAILING else PanoError
    return kind(
        f"{path}: expected a place that can be used; {why}. {_advice(error)}, or name another."
    )


def _advice(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "Run pano as a user who may use it"
    if error.errno == errno.EIO:
        return "Look at the disk (dmesg, smartctl) and run the same again"
    return "Look what is there"


def _lies_at(path: Path, folder: Path | None, is_above: bool) -> bool:
    if folder is None:
        return False
    own = folder.absolute()
    return path.is_relative_to(own) or (is_above and own.is_relative_to(path))
