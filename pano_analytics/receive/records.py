"""What `pano receive` tells others: one small file, swapped in one step.

Per camera the last upload, how many came whole and how many cut; everything that was
refused (see `refusals`); addresses whose logins are slowed down. No passwords, and no
user names that nobody has: people type passwords into the wrong field.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from pano_analytics.errors import PanoError
from pano_analytics.receive.quotas import Usage
from pano_analytics.receive.refusals import DAYS as REFUSAL_DAYS
from pano_analytics.receive.refusals import Refusal, Refusals
from pano_analytics.store.storage import Storage

log = logging.getLogger("pano.receive")

NAME = "state/receive.json"
LOCK = "state/receive.lock"
FORMAT = 1
WRITE_EVERY_S = 2.0
"""How soon after something happened the file tells of it."""
DAYS = 15
"""Of so many days uploads are counted by day."""
MOST_TRIES = 100
_MOST_REFUSED = 20
_MANY_REFUSALS = 40


@dataclass
class Tally:
    """What came of one camera; times in UTC (ISO 8601), paths as in the column `path`.

    `user` is the name it last logged in with; `days` has [whole, cut] by day (UTC) of the
    last DAYS days that had any; `unanswered` counts how often in a row the camera asked for
    a connection for data and then did not open it, as it must where passive ports are closed.
    `tries` counts attempts to replace, change or remove a whole upload; `last_tries` are
    the newest MOST_TRIES of them (what, path, kept: where a later upload lies now, at, address).
    """

    whole: int = 0
    cut: int = 0
    days: dict[str, list[int]] = field(default_factory=dict)
    unanswered: int = 0
    size_bytes: int = 0
    user: str | None = None
    last_login: str | None = None
    last_address: str | None = None
    last: dict[str, Any] | None = None
    last_cut: dict[str, Any] | None = None
    tries: int = 0
    last_tries: list[dict[str, Any]] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    @classmethod
    def of_json(cls, kept: dict[str, Any]) -> Tally:
        """Return the tally that an earlier server wrote, whatever its version knew."""
        tally = cls(**{key: kept[key] for key in _TALLIED if key in kept})
        tally.usage = Usage(**kept.get("usage", {}))
        return tally

    def count(self, whole: int, cut: int) -> None:
        """Count uploads that ended, in all and by day."""
        self.whole, self.cut = self.whole + whole, self.cut + cut
        today = self.days.setdefault(now()[:10], [0, 0])
        today[:] = [today[0] + whole, today[1] + cut]
        for day in sorted(self.days)[:-DAYS]:
            del self.days[day]


_TALLIED = [one.name for one in fields(Tally)]


@dataclass
class Record:
    """All that is told, and whether it changed since it was written."""

    storage: Storage
    listening: dict[str, Any] = field(default_factory=dict)
    cameras: dict[str, Tally] = field(default_factory=dict)
    refused: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_MOST_REFUSED))
    refusals: Refusals = field(default_factory=Refusals)
    bans: dict[str, str] = field(default_factory=dict)
    started: str = field(default_factory=lambda: now())
    _is_new: bool = True
    _is_urgent: bool = False
    _written_at: float = 0.0
    _trouble: str = ""

    @classmethod
    def going_on(cls, storage: Storage) -> Record:
        """Return a record that goes on counting where the last one ended."""
        record = cls(storage)
        kept = read(storage) or {}
        with suppress(TypeError, AttributeError):  # counts are worth no crash
            record.cameras = {
                name: Tally.of_json(one) for name, one in kept.get("cameras", {}).items()
            }
            record.refusals = Refusals(kept.get("refusals", ()))
        return record

    def of(self, camera: str) -> Tally:
        """Return the tally of one camera, to be changed."""
        self._is_new = True
        return self.cameras.setdefault(camera, Tally())

    def came(self, camera: str, path: str, size_bytes: int) -> None:
        """Note that an upload came whole."""
        tally = self.of(camera)
        tally.count(whole=1, cut=0)
        tally.size_bytes += size_bytes
        tally.last = {"path": path, "at": now(), "size_bytes": size_bytes}

    def renamed(self, camera: str, path: str) -> None:
        """Note that the last upload has its final name now."""
        tally = self.of(camera)
        tally.last = {"size_bytes": None, **(tally.last or {}), "path": path, "at": now()}

    def cut(self, camera: str, path: str, size_bytes: int, reason: str) -> None:
        """Note that an upload was cut."""
        tally = self.of(camera)
        tally.count(whole=0, cut=1)
        tally.last_cut = {"path": path, "at": now(), "size_bytes": size_bytes, "reason": reason}

    def tried(self, camera: str, what: str, path: str, kept: str | None, address: str) -> None:
        """Note an attempt to replace, change or remove a whole upload, which stayed as it was.

        `what` is "replace", "append", "rename" or "remove"; `kept` is the path of the
        later upload where there is one.
        """
        tally = self.of(camera)
        tally.tries += 1
        entry = {"what": what, "path": path, "kept": kept, "at": now(), "address": address}
        tally.last_tries = [*tally.last_tries, entry][-MOST_TRIES:]

    def awaits_data(self, camera: str) -> None:
        """Note that a camera was told which port to open, and has not opened it yet."""
        self.of(camera).unanswered += 1

    def got_data(self, camera: str) -> None:
        """Note that it opened it."""
        self.of(camera).unanswered = 0

    def logged_in(self, camera: str, address: str, user: str | None = None) -> None:
        """Note a login."""
        tally = self.of(camera)
        tally.last_login, tally.last_address = now(), address
        tally.user = user or tally.user

    def camera_of_user(self, user: str) -> str | None:
        """Return the camera that last logged in as `user`, whether its account is there or not."""
        return next((name for name, one in self.cameras.items() if one.user == user), None)

    def refuse_login(self, user: str | None, address: str, reason: str) -> None:
        """List a refused login among the newest; `user` is None where nobody is called so."""
        self.refused.append({"user": user, "address": address, "at": now(), "reason": reason})
        self._is_new = True

    def refuse(self, refusal: Refusal) -> Refusal:
        """Count something that was refused; return its entry."""
        entry = self.refusals.note(refusal, now())
        self._is_new = True
        # What is met for the first time is written at once; strangers, who could make the
        # disk busy, have to wait where they are many.
        is_flood = entry.camera is None and len(self.refusals) > _MANY_REFUSALS
        if entry.count == 1 and not is_flood:
            self._is_urgent = True
        return entry

    def ban(self, bans: dict[str, str]) -> None:
        """Note for which addresses logins are slowed down, until when."""
        self._is_new = self._is_new or bans != self.bans
        self.bans = dict(bans)

    def write_if_due(self) -> None:
        is_due = self._is_urgent or time.monotonic() - self._written_at >= WRITE_EVERY_S
        if self._is_new and is_due:
            self.write()

    def write(self, finished: str | None = None) -> None:
        """Swap the file; a disk that is full or gone must not keep a camera from uploading.

        What could not be written is said once in the log, and tried again later.
        """
        oldest = datetime.now(UTC) - timedelta(days=REFUSAL_DAYS)
        self.refusals.forget_before(oldest.isoformat())
        document = {
            "format": FORMAT,
            "pid": os.getpid(),
            "started": self.started,
            "updated": now(),
            "finished": finished,
            **self.listening,
            "cameras": {name: asdict(tally) for name, tally in sorted(self.cameras.items())},
            "refused": list(self.refused),
            "refusals": [asdict(one) for one in self.refusals.all()],
            "bans": self.bans,
        }
        self._written_at, self._is_new, self._is_urgent = time.monotonic(), False, False
        try:
            self.storage.replace(NAME, json.dumps(document, separators=(",", ":")).encode())
        except (OSError, PanoError) as error:
            self._is_new = True
            self._tell_trouble(f"{self.storage.path(NAME)} cannot be written: {error}")
        else:
            self._trouble = ""

    def _tell_trouble(self, text: str) -> None:
        if not self._trouble:
            log.error("%s", text)
        self._trouble = text


def read(storage: Storage) -> dict[str, Any] | None:
    """Return what was last told; None where there is nothing that this version understands."""
    return storage.document(NAME, FORMAT)


def try_in_words(one: Mapping[str, Any]) -> str:
    """Return an attempt of `Tally.last_tries` in words."""
    done = {
        "replace": f"different content arrived, kept as {one['kept']}",
        "append": "an attempt to append to it was refused",
        "rename": "a rename was refused",
        "remove": "its removal was refused",
    }
    return f"{done[one['what']]}: {one['at']} from {one['address']}"


def is_running(storage: Storage) -> bool:
    """Tell whether a `pano receive` is at work on this library."""
    return storage.is_locked(LOCK)


def now() -> str:
    """Return the present in UTC, to the millisecond (ISO 8601)."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
