"""Logs: ISO times with their offset, one line per message whatever is in it; files rotate."""

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
"""A log file is renamed to FILE.1 at this size, FILE.1 to FILE.2; so many old ones are kept."""


def rotating(path: Path, uploads: Path | None) -> logging.Handler:
    """Return what writes to the log file at `path`; it rotates by size.

    Raises SettingsError where the file cannot be written or lies in the upload tree.
    """
    from logging.handlers import RotatingFileHandler  # late: quiet runs are to start fast

    if uploads and resolved(path).is_relative_to(resolved(uploads)):
        raise SettingsError(f"{path}: expected a log file outside the upload tree; choose another.")

    class Private(RotatingFileHandler):
        """No user of this machine but the owner, and whoever the owner lets, reads the log."""

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
    handler.setFormatter(Lines(FORM))
    return handler


def _private(path: str) -> int:
    """Open a log to append to: a new one for its owner alone, an old one closed to everybody."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) and mode & 0o007:
        with suppress(PermissionError):
            os.fchmod(descriptor, stat.S_IMODE(mode) & ~0o007)
    return descriptor


def on_stderr(form: str = FORM) -> logging.Handler:
    """Return what writes to stderr, in lines as in log files."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines(form))
    return handler


class Lines(logging.Formatter):
    """ISO times with the offset from UTC; one line per message, safe for a terminal."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(record.created))

    def format(self, record: logging.LogRecord) -> str:
        return printable(" ".join(super().format(record).splitlines()))


class Calm(logging.Filter):
    """Lets each place in the code write so many lines a minute, and counts the rest.

    Whoever floods a server with requests must not fill its disk with lines. How
    many were left out stands with the next line of that place.
    """

    LINES, WINDOW_S, TEXT, PLACES = 10, 60.0, 2000, 1000

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._places: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether `record` is written; it is made short, and told what was left out."""
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


def _shorten(record: logging.LogRecord, most: int, left_out: int) -> None:
    text = record.getMessage()
    if len(text) > most or left_out > 0:
        more = f" (and {left_out} similar since the last line)" if left_out > 0 else ""
        record.msg, record.args = text[:most] + more, ()
