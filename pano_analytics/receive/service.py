"""What all sessions of one upload server share: accounts, limits and records."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from pano_analytics.errors import LibraryError
from pano_analytics.model.upload import encode_path, resolved
from pano_analytics.receive import quotas
from pano_analytics.receive.accounts import Account, Accounts
from pano_analytics.receive.door import ConnectionLimits
from pano_analytics.receive.gate import LONGEST_USER, Bans, Gate
from pano_analytics.receive.publish import Published
from pano_analytics.receive.records import Record
from pano_analytics.receive.refusals import KINDS, RefusalCount
from pano_analytics.receive.staging import (
    Folders,
    Growing,
    IncomingUpload,
    Limits,
    Parts,
    ServerState,
    UploadOutcome,
)
from pano_analytics.receive.work import ThreadedTasks
from pano_analytics.settings import Receive, Settings
from pano_analytics.store import home
from pano_analytics.store.storage import Storage
from pano_analytics.wording import printable

log = logging.getLogger("pano.receive")

_GUESSES = ("wrong_password", "unknown_user", "anonymous")
_LINES_A_MINUTE = 60
_MINUTE_S = 60.0


class RefusalLog:
    """Limit logged refusals: each kind of each client once per minute, 60 in total."""

    def __init__(self) -> None:
        self._logged: set[tuple[str | None, str, str]] = set()
        self._withheld = 0
        self._began = time.monotonic()

    def may_log(self, *what: Any) -> bool:
        """Return whether to log this line; lines left out are summed up later."""
        if time.monotonic() - self._began >= _MINUTE_S:
            self._begin()
        is_new = what not in self._logged and len(self._logged) < _LINES_A_MINUTE
        if is_new:
            self._logged.add(what)
        else:
            self._withheld += 1
        return is_new

    def _begin(self) -> None:
        if self._withheld:
            log.warning(
                "%d more refusals were not logged; `pano camera list` counts them", self._withheld
            )
        self._logged, self._withheld, self._began = set(), 0, time.monotonic()


class Service:
    """The state that all sessions of one server share."""

    def __init__(self, settings: Settings) -> None:
        self.uploads, library = places(settings)
        self.settings = settings.receive
        self.storage = Storage(library)
        self.accounts = Accounts(library)
        self.bans = Bans(self.settings.failed_logins, self.settings.ban_minutes * 60)
        self.gate = Gate(self.accounts, self.uploads, self.bans)
        self.door = ConnectionLimits(
            self.settings.max_connections, self.settings.max_connections_per_address
        )
        self.is_ending = False
        self.limits = _limits(self.settings)
        self.shared = ServerState(self.limits, Parts(), Folders(), Growing())
        self.record = Record.resumed(self.storage)
        self._accounts_version = self.accounts.version()
        self._lines = RefusalLog()
        self.work: ThreadedTasks
        """Set by the server, which has the loop."""

    def settled(
        self, camera: str, upload: IncomingUpload, settled: UploadOutcome, address: str
    ) -> None:
        """Record an upload that has its name, or was cut."""
        path, received_bytes = self._path(settled.path), upload.received_bytes
        self.record.of(camera).usage.add_bytes(received_bytes)
        if settled.cut:
            self.record.note_cut(camera, path, received_bytes, settled.cut)
            log.warning(
                "%s: cut: %s (%d bytes): %s", camera, printable(path), received_bytes, settled.cut
            )
        else:
            self.record.note_complete(camera, path, received_bytes)
            log.debug("%s: complete: %s (%d bytes)", camera, printable(path), received_bytes)
        if settled.what == "later":
            self._kept_both(camera, self._path(upload.name), path, address)

    def renamed(self, camera: str, name: str, published: Published, address: str) -> None:
        """Record an upload that was renamed to its final name."""
        wanted_path = self._path(name)
        path = self._path(Path(name).with_name(published.name))
        self.record.note_renamed(camera, path)
        if published.what == "later":
            self._kept_both(camera, wanted_path, path, address)

    def _path(self, name: str | Path) -> str:
        return encode_path(os.path.relpath(name, self.uploads))

    def logged_in(self, account: Account, address: str) -> None:
        """Record a login, and reset the count of failed ones from this address."""
        self.bans.succeeded(address)
        self.record.logged_in(account.camera, address, account.name)

    def over_quota(self, camera: str, what: quotas.What) -> quotas.Over | None:
        """Return why a camera may not create one more file or folder now, or None."""
        return quotas.over(self.record.of(camera).usage, what, self.settings)

    def count_created(self, camera: str, what: quotas.What) -> None:
        """Count a file or folder of a camera."""
        self.record.of(camera).usage.add(what)

    def refused_login(self, user: str, address: str, kind: str, detail: str) -> bool:
        """Record a failed login; return whether logins from there are slowed down now."""
        account = self.gate.account(user)
        camera = account.camera if account else None
        if kind == "unknown_user" and len(user) <= LONGEST_USER:
            camera = self.record.camera_of_user(user)
            kind = "account_removed" if camera else kind
        reason = detail or KINDS[kind].what
        self.record.refuse_login(account.name if account else None, address, reason)
        self.refused(kind, camera, address, detail)
        if kind in _GUESSES and self.bans.failed(address):
            log.warning(
                "%s: %d failed logins; login attempts from there are slowed down for %g minutes",
                address,
                self.settings.failed_logins,
                self.settings.ban_minutes,
            )
        return self.bans.is_banned(address)

    def refused(
        self, kind: str, camera: str | None, address: str, detail: str = "", command: str = ""
    ) -> None:
        """Count a refusal, and log it unless there are too many."""
        one = RefusalCount(camera, address, kind, detail=detail, command=command)
        entry = self.record.refuse(one)
        if self._lines.may_log(camera, kind, address):
            log.warning(
                "%s: %s%s",
                printable(f"{camera} ({address})" if camera else address),
                entry.text,
                f" ({entry.count} times)" if entry.count > 1 else "",
            )

    def note_attempt(self, camera: str, what: str, name: str, address: str) -> None:
        """Record a refused change of a complete upload (`what` as in `Record.note_attempt`)."""
        path = self._path(name)
        self.record.note_attempt(camera, what, path, None, address)
        log.warning("%s: refused to %s %s, which is unchanged", camera, what, printable(path))

    def _kept_both(self, camera: str, wanted_path: str, path: str, address: str) -> None:
        self.record.note_attempt(camera, "replace", wanted_path, path, address)
        log.warning(
            "%s: %s already exists with different content; the later upload was kept as %s",
            camera,
            printable(wanted_path),
            printable(path),
        )

    def tick(self) -> None:
        """Write the record if it changed; after a change of accounts slow down no address."""
        with suppress(LibraryError):  # unreadable: the next login reports it
            version = self.accounts.version()
            if version != self._accounts_version:
                self._accounts_version = version
                self.bans.lift()
        self.record.ban(self.bans.current())
        self.record.write_if_due()


def _limits(receive: Receive) -> Limits:
    return Limits(
        int(receive.max_file_mb * (1 << 20)),
        int(receive.keep_free_mb * (1 << 20)),
        receive.sync,
        receive.check_contents,
    )


def places(settings: Settings) -> tuple[Path, Path]:
    """Return (upload root, library), both existing. Raises UploadTreeError or LibraryError."""
    found = home.places(settings)
    uploads = found.require_uploads("If it is a new folder, create it.")
    try:
        found.storage.make()
    except OSError as error:
        raise LibraryError(
            f"{found.storage.address()}: expected a library folder that can be created; "
            f"{error.strerror}. Choose another with --library."
        ) from error
    return resolved(uploads), found.storage.root
