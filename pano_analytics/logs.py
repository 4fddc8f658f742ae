"""Logging: one line per message, ISO times with their offset from UTC, rotating files."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

from pano_analytics.errors import SettingsError
from pano_analytics.model.upload import resolved
from pano_analytics.wording import printable

FORM = "%(asctime)s %(levelname)s %(message)s"
LOG_BYTES, LOG_FILES = 1_000_000, 5
"""At this size, a log file is renamed to FILE.1, FILE.1 to FILE.2; so many old files are kept."""


def rotating(path: Path, uploads: Path | None) -> logging.Handler:
    """Return a handler that writes to the log file at `path`, which rotates by size.

    Raises SettingsError if the file cannot be written or lies in the upload tree.
    """
    from logging.handlers import RotatingFileHandler  # late: quiet runs should start fast

    if uploads and resolved(path).is_relative_to(resolved(uploads)):
        raise SettingsError(f"{path}: expected a log file outside the upload tree; choose another.")

    class Private(RotatingFileHandler):
        """Creates log files that only their owner can read."""

        def _open(self) -> TextIOWrapper:
            descriptor = _private(self.baseFilename)
            return TextIOWrapper(os.fdopen(descriptor, "ab"), self.encoding, self.errors)

    try:
        handler = Private(
            path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", errors="replace"
        )
    except OSError as error:
        raise SettingsError(
            f"{path}: expected a log file that can be written; {error.strerror or error}. "
            f"Create its folder, or choose another file with --log."
        ) from error
    handler.setFormatter(LineFormatter(FORM))
    return handler


def _private(path: str) -> int:
    """Open a log to append to; a new one is private, an old one loses its access for others."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) and mode & 0o007:
        with suppress(PermissionError):
            os.fchmod(descriptor, stat.S_IMODE(mode) & ~0o007)
    return descriptor


def on_stderr(form: str = FORM) -> logging.Handler:
    """Return a handler that writes to stderr, formatted like log files."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(form))
    return handler


class LineFormatter(logging.Formatter):
    """ISO times with the offset from UTC; one line per message, safe for a terminal."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(record.created))

    def format(self, record: logging.LogRecord) -> str:
        return printable(" ".join(super().format(record).splitlines()))


class RateLimitFilter(logging.Filter):
    """Limits each logging call in the code to LINES lines per WINDOW_S, and counts the rest.

    A flood of requests must not fill the disk with lines. The next line of the same call says
    how many were left out.
    """

    LINES, WINDOW_S, TEXT, PLACES = 10, 60.0, 2000, 1000

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._places: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write `record`; shorten it, and add how many lines were left out."""
        place, now = (record.pathname, record.lineno), self._clock()
        since, count = self._places.get(place, (now, 0))
        is_new = now - since >= self.WINDOW_S
        self._keep(place, (now, 1) if is_new else (since, count + 1))
        if is_new or count < self.LINES:
            _shorten(record, self.TEXT, count - self.LINES if is_new else 0)
        return is_new or count < self.LINES

    def _keep(self, place: tuple[str, int], counted: tuple[float, int]) -> None:
        if len(self._places) >= self.PLACES:
            self._places.clear()
        self._places[place] = counted


def _shorten(record: logging.LogRecord, limit: int, left_out: int) -> None:
    text = record.getMessage()
    if len(text) > limit or left_out > 0:
        more = f" (and {left_out} similar since the last line)" if left_out > 0 else ""
        record.msg, record.args = text[:limit] + more, ()
