"""The heartbeat: when the last run was, what it did and how it ended, for a monitor to read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from pano_analytics.errors import PanoError
from pano_analytics.store.storage import Storage

NAME = "state/heartbeat.json"
FORMAT = 1
# As the shell counts: 128 and the number of the signal, SIGINT or SIGTERM.
INTERRUPTED, ENDED = 130, 143


@contextmanager
def beating(storage: Storage) -> Iterator[dict[str, Any]]:
    """Leave a heartbeat when the run inside ends, well or not; it fills in its own figures.

    Only for the holder of the library's lock: who was turned away has no run.
    """
    summary: dict[str, Any] = {}
    started, code, error = _now(), 0, None
    try:
        yield summary
    except BaseException as came:
        code, error = _code(came), str(came) or type(came).__name__
        raise
    finally:
        _leave(storage, started, code, error, summary)


def _leave(
    storage: Storage, started: str, code: int, error: str | None, summary: dict[str, Any]
) -> None:
    document = {
        "format": FORMAT,
        "pid": os.getpid(),
        "started": started,
        "finished": _now(),
        "exit": code,
        "error": error,
        "summary": summary,
    }
    # A full disk must not hide what the run itself has to say: no heartbeat tells enough.
    with suppress(OSError, PanoError):
        storage.replace(NAME, json.dumps(document, separators=(",", ":")).encode())


def read(storage: Storage) -> dict[str, Any] | None:
    """Return the last heartbeat, None where there is none that this version understands."""
    return storage.document(NAME, FORMAT)


def _code(came: BaseException) -> int:
    if isinstance(came, PanoError):
        return came.exit_code
    if isinstance(came, KeyboardInterrupt):
        return INTERRUPTED
    return 1 if isinstance(came, Exception) else ENDED


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
