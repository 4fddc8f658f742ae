"""How the last ingest and the last culling ended: when, with which figures, for a monitor."""

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
# As the shell counts: 128 and the number of the signal, SIGINT or SIGTERM.
INTERRUPTED, ENDED = 130, 143


@contextmanager
def noted(storage: Storage, name: str, figures: Callable[[], dict[str, object]]) -> Iterator[None]:
    """Write to `name` how the run inside ended, well or not, with the `figures` at its end.

    Only for the holder of the library's lock: who was turned away has no run.
    """
    started, code, error = _now(), 0, None
    try:
        yield
    except BaseException as came:
        code, error = _code(came), str(came) or type(came).__name__
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
        # A full disk must not hide what the run itself has to say: no note tells enough.
        with suppress(OSError, PanoError):
            storage.replace(name, json.dumps(document, separators=(",", ":")).encode())


@contextmanager
def beating(storage: Storage) -> Iterator[dict[str, Any]]:
    """Leave a heartbeat when the ingest inside ends; it fills in its own summary."""
    summary: dict[str, Any] = {}
    with noted(storage, NAME, lambda: {"summary": summary}):
        yield summary


def read(storage: Storage, name: str = NAME) -> dict[str, Any] | None:
    """Return how the last run ended, None where there is no note that this version understands."""
    return storage.document(name, FORMAT)


def _code(came: BaseException) -> int:
    if isinstance(came, PanoError):
        return came.exit_code
    if isinstance(came, KeyboardInterrupt):
        return INTERRUPTED
    return 1 if isinstance(came, Exception) else ENDED


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
