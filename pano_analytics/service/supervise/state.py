"""The state of the supervised parts, as the health address and `pano status` report it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pano_analytics.errors import LibraryBusy, PanoError
from pano_analytics.store.storage import Storage

NAME, LOCK = "state/up.json", "state/up.lock"
FORMAT = 1

Word = Literal["off", "starting", "up", "down", "deaf", "waiting", "running", "failed"]
WELL: tuple[Word, ...] = ("off", "up", "waiting", "running")
_EXPLAINED = range(2, 10)
"""Exit codes of errors whose message says what the owner can do (docs/operations.md)."""


@dataclass(frozen=True, slots=True)
class PartState:
    """The state of one part.

    `state`: *off* (not wanted now), *starting*, *up*, *down* (it ended and will be restarted),
    *deaf* (it runs but does not answer); for errands *waiting*, *running*, *failed*. `since` is
    when that began (UTC), `exit_code` how it last ended (negative: by that signal), `detail`
    what happened, with its last line of output.
    """

    part: str
    state: Word
    since: datetime
    restarts: int = 0
    exit_code: int | None = None
    detail: str = ""
    was_well: bool = False

    @property
    def is_well(self) -> bool:
        return self.state in WELL

    @property
    def is_explained(self) -> bool:
        """Whether it ended with an error that its owner must fix."""
        return self.state in ("down", "failed") and self.exit_code in _EXPLAINED

    def to_json(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "state": self.state,
            "is_well": self.is_well,
            "since": self.since.isoformat(timespec="seconds"),
            "restarts": self.restarts,
            "exit": self.exit_code,
            "detail": self.detail,
        }


def now() -> datetime:
    return datetime.now(UTC)


def write_state(storage: Storage, document: dict[str, Any]) -> None:
    """Replace the state that `pano status` reads. Raises LibraryError if it cannot be written."""
    storage.replace(NAME, json.dumps({"format": FORMAT, **document}, indent=1).encode())


def forget_state(storage: Storage) -> None:
    """Remove the state after an orderly stop, so that it does not count as unexpected."""
    storage.unlink(NAME)


def read_state(storage: Storage) -> dict[str, Any] | None:
    """Return the supervisor's last state, with `is_running`.

    None if no supervisor is running and the last one was stopped in order.
    """
    document = storage.document(NAME, FORMAT)
    return document and {**document, "is_running": _is_held(storage)}


def _is_held(storage: Storage) -> bool:
    if not storage.exists(LOCK):
        return False
    try:
        with storage.lock(LOCK):
            return False
    except LibraryBusy:
        return True
    except (PanoError, OSError):
        # We may not lock it: check whether the process exists.
        return _process_exists(storage)


def _process_exists(storage: Storage) -> bool:
    try:
        os.kill(int(json.loads(storage.read(NAME))["pid"]), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        return True
    return True
