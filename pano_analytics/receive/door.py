"""Limit the connections: of cameras that are logged in, and of clients that are not yet.

The two have separate slots, so that clients without a login never use those of the
cameras. If there are no free slots, the least active connection is closed in favour of a
newer one: a client that holds connections open and does nothing shuts nobody out, not even
a camera at the same address.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

LOGIN_S = 30.0
"""How long a client may take to log in, encryption included."""
STALE_S = 30.0
"""After this time without a command, a newer session of the same camera may replace one."""
_LEAST_STRANGERS = 16


class Guest(Protocol):
    """One control connection."""

    remote_ip: str
    stage: int
    """How far it has come towards a login; 0 has not sent anything."""
    active_at: float
    """When it last sent a command or ended a transfer (monotonic seconds)."""

    @property
    def is_busy(self) -> bool:
        """Whether a transfer is in progress."""
        ...

    def dismiss(self, kind: str, reply: str) -> None:
        """Close the connection, with this reply; `kind` is one of `refusals.KINDS`."""
        ...


class ConnectionLimits:
    """The connections of one server: at most `most` sessions, `most_each` per camera."""

    def __init__(self, most: int, most_each: int) -> None:
        self.most, self.most_each = most, most_each
        self.most_strangers = max(_LEAST_STRANGERS, most // 2)
        self._strangers: list[Guest] = []
        self._cameras: dict[str, list[Guest]] = {}

    def connected(self, guest: Guest) -> None:
        """Add a client that has not logged in; another such client may be closed for it."""
        own = [one for one in self._strangers if one.remote_ip == guest.remote_ip]
        if len(own) >= self.most_each:
            self._push_out(own)
        elif len(self._strangers) >= self.most_strangers:
            [(address, _)] = Counter(one.remote_ip for one in self._strangers).most_common(1)
            self._push_out(one for one in self._strangers if one.remote_ip == address)
        self._strangers.append(guest)

    def _push_out(self, strangers: Iterable[Guest]) -> None:
        # `min` returns the first, which has waited longest. Clients that only hold a
        # connection are closed before those that are about to log in.
        least = min(strangers, key=lambda one: one.stage)
        self._strangers.remove(least)
        least.dismiss("pushed_out", "421 Too many connections without a login; try again.")

    def enter(self, guest: Guest, camera: str) -> str:
        """Add a session of `camera`; return why not, as one of `refusals.KINDS`, or ""."""
        self.forget(guest)
        own = self._cameras.get(camera, [])
        if len(own) >= self.most_each and not self._give_way(own, STALE_S):
            return "too_many_sessions"
        if self._session_count() >= self.most and not self._make_room(len(own)):
            return "server_full"
        self._cameras.setdefault(camera, []).append(guest)
        return ""

    def _session_count(self) -> int:
        return sum(len(sessions) for sessions in self._cameras.values())

    def _make_room(self, own: int) -> bool:
        """Close an idle session, preferably of the camera with most, if more than `own`."""
        most = max(self._cameras.values(), key=len)
        if len(most) > own and self._give_way(most, 0):
            return True
        return any(self._give_way(sessions, STALE_S) for sessions in self._cameras.values())

    def _give_way(self, sessions: list[Guest], idle_s: float) -> bool:
        """Close the session that has been idle longest, at least `idle_s`, if there is one."""
        before = time.monotonic() - idle_s
        idle = [one for one in sessions if not one.is_busy and one.active_at <= before]
        if not idle:
            return False
        longest = min(idle, key=lambda one: one.active_at)
        sessions.remove(longest)
        longest.dismiss("pushed_out", "421 Closed for a newer connection.")
        return True

    def forget(self, guest: Guest) -> None:
        """Remove a connection that was closed, or that logged in or out."""
        if guest in self._strangers:
            self._strangers.remove(guest)
        for camera, sessions in list(self._cameras.items()):
            if guest in sessions:
                sessions.remove(guest)
            if not sessions:
                del self._cameras[camera]
