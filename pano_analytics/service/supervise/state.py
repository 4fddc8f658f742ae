"""What the supervisor knows of its parts, as the health address and `pano status` tell it."""

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
"""Exit codes of errors that say what their owner is to do (docs/operations.md)."""


@dataclass(frozen=True, slots=True)
class PartState:
    """How one part is doing.

    `state`: *off* (not wanted now), *starting*, *up*, *down* (it ended and is to
    be started again), *deaf* (it runs and does not answer); for errands *waiting*,
    *running*, *failed*. `since` is when that began (UTC), `exit_code` how it
    last ended (negative: by that signal), `detail` the last it said before.
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
        """Whether it is its owner's to mend: it ended with a reason of its own."""
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
    """Swap what `pano status` reads. Raises LibraryError where the disk refuses."""
    storage.replace(NAME, json.dumps({"format": FORMAT, **document}, indent=1).encode())


def forget_state(storage: Storage) -> None:
    """Leave none behind: what was stopped in order is missed by nobody."""
    storage.path(NAME).unlink(missing_ok=True)


def read_state(storage: Storage) -> dict[str, Any] | None:
    """Return what the supervisor of this library last said, with `is_running`.

    None where none is at work and the last was stopped in order.
    """
    said = storage.document(NAME, FORMAT)
    return said and {**said, "is_running": _is_held(storage)}


def _is_held(storage: Storage) -> bool:
    if not storage.exists(LOCK):
        return False
    try:
        with storage.lock(LOCK):
            return False
    except LibraryBusy:
        return True
    except (PanoError, OSError):
        # Not ours to lock: ask whether the process is there.
        return _is_there(storage)


def _is_there(storage: Storage) -> bool:
    try:
        os.kill(int(json.loads(storage.read(NAME))["pid"]), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        return True
    return True
