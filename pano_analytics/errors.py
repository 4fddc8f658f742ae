"""The errors of pano; messages say what was expected, what was found, and what to do."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import ClassVar, Self

# Errors on a path that a folder above it can cause.
_FROM_ABOVE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


# Exit code -> meaning, for all commands; the documents take the meanings from here.
EXIT_CODES: dict[int, str] = {
    0: "Done. For `ingest`, `rebuild`, `cull` and `site` also: another run is active, nothing was "
    "done. For `up`, `receive`, `serve` and `ingest --watch`: stopped as asked.",
    1: "A path could not be accessed, the system allowed no more processes, threads or memory, or "
    "an unexpected error (please report it).",
    2: "Invalid or missing settings or options: no upload root or library is given, the library "
    "is inside the upload tree, a name or password is not accepted, or an optional package is not "
    "installed.",
    3: "The upload tree is missing, empty although uploads are known, not fully readable, or not "
    "the one that belongs to the library. Nothing was changed.",
    4: "The library is missing, written by a newer pano, damaged, not the expected one, or cannot "
    "be created or written.",
    5: "A file cannot be read, shown or converted.",
    6: "A query of the library is invalid.",
    7: "An address or port is not available, or a certificate cannot be used.",
    8: "Something needs attention: a difference, problem or finding was reported, more would be "
    "deleted than one run may delete, or a first upload did not arrive in time.",
    9: "The disk of the library or the site is full. Existing files are intact.",
    10: "A disk other than those of library and uploads failed, or it is unknown which one did.",
    130: "Interrupted from the keyboard. The next run continues from there.",
    143: "Stopped cleanly by SIGTERM. The next run continues from there.",
}


class PanoError(Exception):
    """The base class of all errors that this package raises deliberately.

    The message tells the owner of the cameras what to do; the command line prints it
    without a traceback and exits with `exit_code`.
    """

    exit_code = 1


class SettingsError(PanoError):
    """`pano.toml`, or settings from another source, cannot be used.

    `lines` holds what is wrong: a heading and one line per key, or a single line. A line may
    quote a name that contains a line end, so lines are printed one by one.
    """

    exit_code = 2

    def __init__(self, *lines: str) -> None:
        super().__init__("\n  ".join(lines))
        self.lines = lines


class NotInstalled(PanoError):
    """The optional packages that a command needs are not installed."""

    exit_code = 2


class UploadTreeError(PanoError):
    """The upload root is missing, unreadable or not a folder."""

    exit_code = 3


class LibraryError(PanoError):
    """The library is missing, has a newer format, or is inconsistent."""

    exit_code = 4


class PartError(LibraryError):
    """A part of the catalog is damaged or cannot be read; the uploads are unchanged."""

    @classmethod
    def of(cls, part: Path | str, error: Exception) -> PartError:
        """Return the error that names the file `part` and says what to do.

        Raises NoProcess if the part could not be read only because no thread could be started.
        """
        NoProcess.check(error)
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        return cls(
            f"{part}: expected a readable part of the catalog; {why}. If pano has permission to "
            f"read it, `pano check` shows what is wrong, and `pano rebuild` rebuilds the "
            f"catalog."
        )


class RecordError(LibraryError):
    """A file that only a backup can replace is damaged; no file was changed."""

    record: ClassVar[str]
    """What the file belongs to."""
    without_backup: ClassVar[str]
    """What to do without a backup, after moving the file out of the library."""

    @classmethod
    def of(cls, path: Path | str, why: str) -> Self:
        """Return the error that names the file `path` and says what to do."""
        return cls(
            f"{path}: expected a readable file of {cls.record}; {why}. Nothing was changed. `pano "
            f"restore` puts it back from a backup. Without one, move it out of the "
            f"library{cls.without_backup}."
        )


class JournalError(RecordError):
    """A file of the journal is damaged; no file was changed."""

    record = "the journal"
    without_backup = ", and run `pano rebuild`"


class DecisionsError(RecordError):
    """A file of decisions is damaged; no file was changed."""

    record = "decisions"
    without_backup = ": the decisions in it are then lost"


class LibraryBusy(LibraryError):
    """Another process holds the library's lock."""

    exit_code = 0


class MediaError(PanoError):
    """A file cannot be read, shown or converted."""

    exit_code = 5


class QueryError(PanoError, ValueError):
    """A query of the library is invalid."""

    exit_code = 6


class AttentionNeeded(PanoError):
    """A command found something to act on: a difference, a problem, or a limit reached."""

    exit_code = 8


class DiskFailed(PanoError):
    """A disk that holds neither library nor uploads failed, or it is unknown which disk failed."""

    exit_code = 10


class DiskFull(PanoError):
    """A disk has no space left; existing files stay complete."""

    exit_code = 9


class NoProcess(PanoError):
    """The system does not let pano start another process or thread; all files are intact."""

    _words = ("start new thread", "launch worker thread", "Resource temporarily unavailable")

    @classmethod
    def matches(cls, error: BaseException) -> bool:
        """Return whether `error` says that Python, Arrow or DuckDB could not start a thread."""
        return any(words in str(error) for words in cls._words)

    @classmethod
    def check(cls, error: BaseException) -> None:
        """Raise NoProcess if a missing thread caused `error`, so that no file is blamed for it."""
        if cls.matches(error):
            raise cls.of(error) from error

    @classmethod
    def of(cls, error: BaseException) -> NoProcess:
        """Return the error with the system's reason, and what to do."""
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return cls(
            f"expected to start another process or thread; the system did not allow it ({why}). "
            f"Nothing was lost. Raise the limit of processes (`ulimit -u`, TasksMax= of the "
            f"service, pids of the container) or free some memory, and run the command again."
        )


_NO_RESOURCES = (errno.EAGAIN, errno.ENOMEM)
_FAILING = (errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ESTALE)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def as_pano_error(error: OSError, uploads: Path | None, library: Path | None) -> PanoError | None:
    """Return the PanoError that explains an OSError; None if no path or disk caused it.

    LibraryError or UploadTreeError for a path in the library or the uploads, or a folder
    above them; DiskFull if there is no space; DiskFailed if another disk fails or it is
    unknown which one; NoProcess if no process can be started; else a plain PanoError.
    """
    if error.errno in _FULL:
        return DiskFull(
            f"{error.filename or 'a file'}: expected free space; the disk or the quota is full. "
            f"Existing files are unchanged. Free some space and run the command again."
        )
    if error.errno in _NO_RESOURCES:
        return NoProcess.of(error)
    if not isinstance(error.filename, str):
        if error.errno not in _FAILING:
            return None
        return DiskFailed(
            f"expected a working disk; {error.strerror or error}. Existing files are unchanged; "
            f"check the disks (dmesg, smartctl) and run the command again."
        )
    path, why = Path(error.filename).absolute(), error.strerror or str(error)
    is_above = error.errno in _FROM_ABOVE
    if _concerns(path, library, is_above):
        return LibraryError(
            f"{path}: expected a library that pano can read and write; {why}. {_advice(error)}, "
            f"or choose another with --library."
        )
    if _concerns(path, uploads, is_above):
        return UploadTreeError(
            f"{path}: expected an upload tree that pano can read; {why}. {_advice(error)}, or "
            f"choose another with --uploads. Nothing was changed."
        )
    kind = DiskFailed if error.errno in _FAILING else PanoError
    return kind(f"{path}: cannot use this path; {why}. {_advice(error)}, or choose another.")


def _advice(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "Run pano as a user with permission to access it"
    if error.errno == errno.EIO:
        return "Check the disk (dmesg, smartctl) and run the command again"
    return "Check what is at that path"


def _concerns(path: Path, folder: Path | None, is_above: bool) -> bool:
    if folder is None:
        return False
    own = folder.absolute()
    return path.is_relative_to(own) or (is_above and own.is_relative_to(path))
