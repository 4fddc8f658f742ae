"""How the last ingest and the last culling ended, with when and figures, for monitoring."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from pano_analytics.errors import PanoError
from pano_analytics.store.storage import Storage

NAME = "state/heartbeat.json"
CULL = "state/cull.json"
FORMAT = 1
# Exit codes as in the shell: 128 plus the number of the signal, SIGINT or SIGTERM.
INTERRUPTED, ENDED = 130, 143


@contextmanager
def noted(storage: Storage, name: str, figures: Callable[[], dict[str, object]]) -> Iterator[None]:
    """Write to `name` how the run in the context ended, with the `figures` at its end.

    Only for the holder of the library's lock: a process that did not get it has no run.
    """
    started, code, error = _now(), 0, None
    try:
        yield
    except BaseException as raised:
        code, error = _code(raised), str(raised) or type(raised).__name__
        raise
    finally:
        document = {
            "format": FORMAT,
            "pid": os.getpid(),
            "started": started,
            "finished": _now(),
            "exit": code,
            "error": error,
            **figures(),
        }
        # A full disk must not hide the error of the run itself.
        with suppress(OSError, PanoError):
            storage.replace(name, json.dumps(document, separators=(",", ":")).encode())


@contextmanager
def beating(storage: Storage) -> Iterator[dict[str, Any]]:
    """Write the heartbeat when the ingest in the context ends; it fills in the summary."""
    summary: dict[str, Any] = {}
    with noted(storage, NAME, lambda: {"summary": summary}):
        yield summary


def read(storage: Storage, name: str = NAME) -> dict[str, Any] | None:
    """Return how the last run ended; None if there is no file that this version can read."""
    return storage.document(name, FORMAT)


def _code(raised: BaseException) -> int:
    if isinstance(raised, PanoError):
        return raised.exit_code
    if isinstance(raised, KeyboardInterrupt):
        return INTERRUPTED
    return 1 if isinstance(raised, Exception) else ENDED


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
