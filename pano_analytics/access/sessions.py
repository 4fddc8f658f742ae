"""Login sessions, which the server stores and can end.

A browser holds a random token; the library stores only its SHA-256, in `sessions.json`
(0600). A session ends when its owner logs out or ends it from another browser, after
`idle_days` without a request, after `days` in any case, when the password changes, and
when the user is removed.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pano_analytics.access.users import Register
from pano_analytics.errors import LibraryError

log = logging.getLogger(__name__)

FILE_NAME = "sessions.json"
SESSION_DAYS, IDLE_DAYS = 30.0, 7.0
SAVE_EVERY = timedelta(minutes=5)
"""How often the time of a session's last request is saved."""
MOST_PER_USER = 50


@dataclass(frozen=True, slots=True)
class LoginSession:
    """One login of `user`: `begun` and `seen` (the last request) are zone-aware UTC.

    `stamp` is derived from the password hash that was valid at the login; `address`
    and `browser` show people where the login came from.
    """

    id: str
    user: str
    stamp: str
    begun: datetime
    seen: datetime
    address: str
    browser: str

    @property
    def name(self) -> str:
        return self.id

    @property
    def short_id(self) -> str:
        """The beginning of the id, which is shown to people."""
        return self.id[:8]


class Sessions(Register[LoginSession]):
    """The sessions of the library in `folder`."""

    file_name, key, lock_name, made_by = FILE_NAME, "sessions", "sessions.lock", "pano serve"

    def __init__(
        self, folder: Path, days: float = SESSION_DAYS, idle_days: float = IDLE_DAYS
    ) -> None:
        super().__init__(folder)
        self._longest, self._idle = timedelta(days=days), timedelta(days=idle_days)
        # Changes that could not be saved, e.g. on a full disk, are kept until the process ends.
        self._unsaved: dict[str, LoginSession] = {}
        self._ended: set[str] = set()
        self._seen: dict[str, datetime] = {}

    @staticmethod
    def encode(entry: LoginSession) -> dict[str, str]:
        times = {"begun": entry.begun.isoformat(), "seen": entry.seen.isoformat()}
        texts = ("id", "user", "stamp", "address", "browser")
        return {**{key: getattr(entry, key) for key in texts}, **times}

    @staticmethod
    def decode(fields: dict[str, Any]) -> LoginSession:
        times = {key: datetime.fromisoformat(fields[key]) for key in ("begun", "seen")}
        if any(time.tzinfo is None for time in times.values()):
            raise ValueError("expected times with their offset")
        return LoginSession(**{**fields, **times})

    def _read(self) -> dict[str, LoginSession]:
        try:
            return super()._read()
        except LibraryError as error:
            # Losing sessions is safe: users log in again, and nobody is admitted by mistake.
            log.error("all users have to log in again: %s", error)
            return {}

    def begin(self, user: str, stamp: str, address: str, browser: str) -> str:
        """Return the token of a new session of `user`."""
        token, now = secrets.token_urlsafe(32), datetime.now(UTC)
        session = LoginSession(_id_of(token), user, stamp, now, now, address[:64], browser[:80])
        try:
            self._change(lambda known: self._current_ones(known | {session.id: session}))
        except OSError as error:
            log.error("this login is valid only until the dashboard stops: %s", error)
            self._unsaved[session.id] = session
        return token

    def _current_ones(self, known: dict[str, LoginSession]) -> dict[str, LoginSession]:
        """Return the unexpired sessions of `known`, at most MOST_PER_USER of each user."""
        newest = sorted(known.values(), key=lambda session: session.seen, reverse=True)
        kept: dict[str, list[LoginSession]] = {}
        for session in newest:
            if self._has_time_left(session):
                kept.setdefault(session.user, []).append(session)
        return {one.id: one for mine in kept.values() for one in mine[:MOST_PER_USER]}

    def find(self, token: str) -> LoginSession | None:
        """Return the session of `token`, or None if there is none or it has expired."""
        session = self.with_id(_id_of(token))
        return session if session is not None and self._has_time_left(session) else None

    def with_id(self, session_id: str) -> LoginSession | None:
        """Return the session with this id, even if it has expired, or None."""
        if session_id in self._ended:
            return None
        return self._unsaved.get(session_id) or self.get(session_id)

    def _has_time_left(self, session: LoginSession) -> bool:
        now = datetime.now(UTC)
        seen = self._seen.get(session.id, session.seen)
        return now - session.begun < self._longest and now - seen < self._idle

    def current(self, user: str | None = None) -> list[LoginSession]:
        """Return the active sessions of `user`, or of all users, the most recent first."""
        sessions = [*self.all(), *self._unsaved.values()]
        return sorted(
            (
                replace(session, seen=self._seen.get(session.id, session.seen))
                for session in sessions
                if session.id not in self._ended
                and user in (None, session.user)
                and self._has_time_left(session)
            ),
            key=lambda session: session.seen,
            reverse=True,
        )

    def note(self, session: LoginSession) -> bool:
        """Record a request of `session`, and return whether it is time to `save`."""
        now = datetime.now(UTC)
        before = self._seen.get(session.id, session.seen)
        if abs(now - before) < SAVE_EVERY:
            return False
        self._seen[session.id] = now
        return True

    def save(self) -> None:
        """Save when each session was last seen."""

        def with_seen(known: dict[str, LoginSession]) -> dict[str, LoginSession]:
            updated = {
                key: replace(one, seen=self._seen.get(key, one.seen)) for key, one in known.items()
            }
            return self._current_ones(updated)

        try:
            self._change(with_seen)
        except (OSError, LibraryError) as error:
            log.error("the last activity of sessions could not be saved: %s", error)

    def end(self, ids: Iterable[str]) -> None:
        """End the sessions with these ids; unknown ids are ignored."""
        ended = set(ids)
        self._ended |= ended
        for session_id in ended:
            self._unsaved.pop(session_id, None)
            self._seen.pop(session_id, None)
        try:
            self._change(lambda known: {key: one for key, one in known.items() if key not in ended})
            self._ended -= ended
        except OSError as error:
            log.error("the end of a session could not be saved: %s", error)


def _id_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
