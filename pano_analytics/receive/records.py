"""The state of `pano receive` for other commands: one small file, replaced atomically.

Per camera, the last upload, and how many were complete or cut; all refusals (see
`refusals`); and addresses whose logins are slowed down. It contains no passwords, and no
unknown user names, because people type passwords into the wrong field.
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
from pano_analytics.receive.refusals import RefusalCount, Refusals
from pano_analytics.store.storage import Storage

log = logging.getLogger("pano.receive")

NAME = "state/receive.json"
LOCK = "state/receive.lock"
FORMAT = 1
WRITE_EVERY_S = 2.0
"""How often the file is written at most."""
DAYS = 15
"""For how many days uploads are counted per day."""
MOST_TRIES = 100
_MOST_REFUSED = 20
_MANY_REFUSALS = 40


@dataclass
class CameraTally:
    """The counts of one camera; times in UTC (ISO 8601), paths as in the column `path`.

    `whole` and `cut` count complete and cut uploads. `user` is the name it last logged in
    with. `days` has [whole, cut] per day (UTC), of the last DAYS days with uploads.
    `unanswered` counts how often in a row the camera requested a data connection but did
    not open it, which happens if passive ports are closed. `tries` counts attempts to
    replace, change or remove a complete upload; `last_tries` are the newest MOST_TRIES of
    them (what, path, kept: the path of the later upload or None, at, address).
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
    def of_json(cls, content: dict[str, Any]) -> CameraTally:
        """Return the tally from its JSON, which may be of an older version."""
        tally = cls(**{key: content[key] for key in _TALLIED if key in content})
        tally.usage = Usage(**content.get("usage", {}))
        return tally

    def count(self, whole: int, cut: int) -> None:
        """Count finished uploads, in total and per day."""
        self.whole, self.cut = self.whole + whole, self.cut + cut
        today = self.days.setdefault(now()[:10], [0, 0])
        today[:] = [today[0] + whole, today[1] + cut]
        for day in sorted(self.days)[:-DAYS]:
            del self.days[day]


_TALLIED = [one.name for one in fields(CameraTally)]


@dataclass
class Record:
    """The content of the file, and whether it changed since it was written."""

    storage: Storage
    listening: dict[str, Any] = field(default_factory=dict)
    cameras: dict[str, CameraTally] = field(default_factory=dict)
    refused: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_MOST_REFUSED))
    refusals: Refusals = field(default_factory=Refusals)
    bans: dict[str, str] = field(default_factory=dict)
    started: str = field(default_factory=lambda: now())
    _is_new: bool = True
    _is_urgent: bool = False
    _written_at: float = 0.0
    _trouble: str = ""

    @classmethod
    def resumed(cls, storage: Storage) -> Record:
        """Return a record that continues the counts of the file."""
        record = cls(storage)
        content = read(storage) or {}
        with suppress(TypeError, AttributeError):  # damaged counts must not stop the server
            record.cameras = {
                name: CameraTally.of_json(one) for name, one in content.get("cameras", {}).items()
            }
            record.refusals = Refusals(content.get("refusals", ()))
        return record

    def of(self, camera: str) -> CameraTally:
        """Return the tally of one camera, for changing it."""
        self._is_new = True
        return self.cameras.setdefault(camera, CameraTally())

    def note_complete(self, camera: str, path: str, size_bytes: int) -> None:
        """Record a complete upload."""
        tally = self.of(camera)
        tally.count(whole=1, cut=0)
        tally.size_bytes += size_bytes
        tally.last = {"path": path, "at": now(), "size_bytes": size_bytes}

    def note_renamed(self, camera: str, path: str) -> None:
        """Record that the last upload was renamed to its final name."""
        tally = self.of(camera)
        tally.last = {"size_bytes": None, **(tally.last or {}), "path": path, "at": now()}

    def note_cut(self, camera: str, path: str, size_bytes: int, reason: str) -> None:
        """Record an upload that was cut."""
        tally = self.of(camera)
        tally.count(whole=0, cut=1)
        tally.last_cut = {"path": path, "at": now(), "size_bytes": size_bytes, "reason": reason}

    def note_attempt(
        self, camera: str, what: str, path: str, kept: str | None, address: str
    ) -> None:
        """Record an attempt to replace, change or remove a complete upload, which was kept.

        `what` is "replace", "append", "rename" or "remove"; `kept` is the path of the
        later upload, if any.
        """
        tally = self.of(camera)
        tally.tries += 1
        entry = {"what": what, "path": path, "kept": kept, "at": now(), "address": address}
        tally.last_tries = [*tally.last_tries, entry][-MOST_TRIES:]

    def note_data_requested(self, camera: str) -> None:
        """Record that a camera requested a data connection, which it has not opened yet."""
        self.of(camera).unanswered += 1

    def note_data_opened(self, camera: str) -> None:
        """Record that a camera opened its data connection."""
        self.of(camera).unanswered = 0

    def logged_in(self, camera: str, address: str, user: str | None = None) -> None:
        """Record a login."""
        tally = self.of(camera)
        tally.last_login, tally.last_address = now(), address
        tally.user = user or tally.user

    def camera_of_user(self, user: str) -> str | None:
        """Return the camera that last logged in as `user`, even if its account was removed."""
        return next((name for name, one in self.cameras.items() if one.user == user), None)

    def refuse_login(self, user: str | None, address: str, reason: str) -> None:
        """Record a refused login; `user` is None if there is no such account."""
        self.refused.append({"user": user, "address": address, "at": now(), "reason": reason})
        self._is_new = True

    def refuse(self, refusal: RefusalCount) -> RefusalCount:
        """Count a refusal, and return its entry."""
        entry = self.refusals.note(refusal, now())
        self._is_new = True
        # Write a new kind of refusal immediately, but not during a flood from unknown
        # clients, which would keep the disk busy.
        is_flood = entry.camera is None and len(self.refusals) > _MANY_REFUSALS
        if entry.count == 1 and not is_flood:
            self._is_urgent = True
        return entry

    def ban(self, bans: dict[str, str]) -> None:
        """Record the addresses whose logins are slowed down, and until when."""
        self._is_new = self._is_new or bans != self.bans
        self.bans = dict(bans)

    def write_if_due(self) -> None:
        is_due = self._is_urgent or time.monotonic() - self._written_at >= WRITE_EVERY_S
        if self._is_new and is_due:
            self.write()

    def write(self, finished: str | None = None) -> None:
        """Replace the file. A full or missing disk must not stop the server.

        A failure is logged once, and writing is tried again later.
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
            self._log_trouble(f"{self.storage.path(NAME)} cannot be written: {error}")
        else:
            self._trouble = ""

    def _log_trouble(self, text: str) -> None:
        if not self._trouble:
            log.error("%s", text)
        self._trouble = text


def read(storage: Storage) -> dict[str, Any] | None:
    """Return the content of the file, or None if it is missing or of another format."""
    return storage.document(NAME, FORMAT)


def try_in_words(one: Mapping[str, Any]) -> str:
    """Return an attempt of `CameraTally.last_tries` in words."""
    outcomes = {
        "replace": f"different content arrived, kept as {one['kept']}",
        "append": "an attempt to append to it was refused",
        "rename": "a rename was refused",
        "remove": "its removal was refused",
    }
    return f"{outcomes[one['what']]}: {one['at']} from {one['address']}"


def is_running(storage: Storage) -> bool:
    """Return whether a `pano receive` is running for this library."""
    return storage.is_locked(LOCK)


def now() -> str:
    """Return the current time in UTC (ISO 8601 with milliseconds)."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
