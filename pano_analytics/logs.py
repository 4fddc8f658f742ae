"""Log files that rotate: ISO times with their offset, one line a message whatever is in it."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from pano_analytics.errors import SettingsError

LOG_BYTES, LOG_FILES = 1_000_000, 5
"""A log file is renamed to FILE.1 at this size, FILE.1 to FILE.2; so many old ones are kept."""


def rotating(path: Path, uploads: Path | None) -> logging.Handler:
    """Return what writes to the log file at `path`; it rotates by size.

    Raises SettingsError where the file cannot be written or lies in the upload tree.
    """
    from logging.handlers import RotatingFileHandler  # late: quiet runs are to start fast

    if uploads and path.resolve().is_relative_to(uploads.resolve()):
        raise SettingsError(f"{path}: expected a log file outside the upload tree; choose another.")
    try:
        handler = RotatingFileHandler(
            path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", errors="replace"
        )
    except OSError as error:
        raise SettingsError(
            f"{path}: expected a log file that can be written; {error.strerror or error}. "
            f"Make its folder, or give another --log."
        ) from error
    handler.setFormatter(Lines("%(asctime)s %(levelname)s %(message)s"))
    return handler


class Lines(logging.Formatter):
    """ISO times with the offset from UTC, and one line a message."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(record.created))

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(super().format(record).splitlines())
