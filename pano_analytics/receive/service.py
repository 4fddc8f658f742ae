"""What all sessions of one upload server share: accounts, limits, and what is told to others."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from pano_analytics.errors import LibraryError, UploadTreeError
from pano_analytics.model.upload import encode_path, resolved
from pano_analytics.receive import quotas
from pano_analytics.receive.accounts import Account, Accounts
from pano_analytics.receive.door import Door
from pano_analytics.receive.gate import LONGEST_USER, Bans, Gate
from pano_analytics.receive.publish import Published
from pano_analytics.receive.records import Record
from pano_analytics.receive.refusals import KINDS, Refusal
from pano_analytics.receive.staging import Folders, Growing, Limits, Parts, Settled, Shared, Upload
from pano_analytics.receive.work import Work
from pano_analytics.settings import Receive, Settings
from pano_analytics.store.storage import Storage
from pano_analytics.wording import printable

log = logging.getLogger("pano.receive")

_GUESSES = ("wrong_password", "unknown_user", "anonymous")
_LINES_A_MINUTE = 60
_MINUTE_S = 60.0


class Lines:
    """How many refusals the log tells: each kind of each client once a minute, 60 in all."""

    def __init__(self) -> None:
        self._told: set[tuple[str | None, str, str]] = set()
        self._withheld = 0
        self._began = time.monotonic()

    def may_tell(self, *what: Any) -> bool:
        """Return whether there is room for this line; what was left out is told later."""
        if time.monotonic() - self._began >= _MINUTE_S:
            self._begin()
        is_new = what not in self._told and len(self._told) < _LINES_A_MINUTE
        if is_new:
            self._told.add(what)
        else:
            self._withheld += 1
        return is_new

    def _begin(self) -> None:
        if self._withheld:
            log.warning(
                "%d more refusals were not logged; `pano camera list` counts them", self._withheld
            )
        self._told, self._withheld, self._began = set(), 0, time.monotonic()


class Service:
    """What all sessions share, from the start to the end of one server."""

    def __init__(self, settings: Settings) -> None:
        self.uploads, library = places(settings)
        self.said = settings.receive
        self.storage = Storage(library)
        self.accounts = Accounts(library)
        self.bans = Bans(self.said.failed_logins, self.said.ban_minutes * 60)
        self.gate = Gate(self.accounts, self.uploads, self.bans)
        self.door = Door(self.said.max_connections, self.said.max_connections_per_address)
        self.is_ending = False
        self.limits = _limits(self.said)
        self.shared = Shared(self.limits, Parts(), Folders(), Growing())
        self.record = Record.going_on(self.storage)
        self._accounts_version = self.accounts.version()
        self._lines = Lines()
        self.work: Work
        """Set by the server, which has the loop that the work belongs to."""

    def settled(self, camera: str, upload: Upload, settled: Settled, address: str) -> None:
        """Tell of an upload that has its name, or was cut."""
        path, came = self._path(settled.path), upload.came_bytes
        self.record.of(camera).usage.add_bytes(came)
        if settled.cut:
            self.record.cut(camera, path, came, settled.cut)
            log.warning("%s: cut: %s (%d bytes): %s", camera, printable(path), came, settled.cut)
        else:
            self.record.came(camera, path, came)
            log.debug("%s: whole: %s (%d bytes)", camera, printable(path), came)
        if settled.what == "later":
            self._kept_both(camera, self._path(upload.name), path, address)

    def renamed(self, camera: str, name: str, published: Published, address: str) -> None:
        """Tell of an upload that has its final name now."""
        wanted = self._path(name)
        path = self._path(Path(name).with_name(published.name))
        self.record.renamed(camera, path)
        if published.what == "later":
            self._kept_both(camera, wanted, path, address)

    def _path(self, name: str | Path) -> str:
        return encode_path(os.path.relpath(name, self.uploads))

    def logged_in(self, account: Account, address: str) -> None:
        """Tell of a login, which forgives the wrong ones of this address."""
        self.bans.right(address)
        self.record.logged_in(account.camera, address, account.name)

    def over_quota(self, camera: str, what: quotas.What) -> quotas.Over | None:
        """Return why a camera may not make one more file or folder now; None where it may."""
        return quotas.over(self.record.of(camera).usage, what, self.said)

    def made(self, camera: str, what: quotas.What) -> None:
        """Count a file or folder that a camera may make."""
        self.record.of(camera).usage.add(what)

    def refused_login(self, user: str, address: str, kind: str, detail: str) -> bool:
        """Tell of a login that failed; return whether logins from there are slowed down now."""
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
                self.said.failed_logins,
                self.said.ban_minutes,
            )
        return self.bans.is_banned(address)

    def refused(
        self, kind: str, camera: str | None, address: str, detail: str = "", command: str = ""
    ) -> None:
        """Count what was refused, and give it a line in the log unless there are too many."""
        one = Refusal(camera, address, kind, detail=detail, command=command)
        entry = self.record.refuse(one)
        if self._lines.may_tell(camera, kind, address):
            log.warning(
                "%s: %s%s",
                printable(f"{camera} ({address})" if camera else address),
                entry.text,
                f" ({entry.count} times)" if entry.count > 1 else "",
            )

    def tried(self, camera: str, what: str, name: str, address: str) -> None:
        """Tell of an attempt on a whole upload that was refused (`what` as in `Record.tried`)."""
        path = self._path(name)
        self.record.tried(camera, what, path, None, address)
        log.warning("%s: refused to %s %s, which is unchanged", camera, what, printable(path))

    def _kept_both(self, camera: str, wanted: str, path: str, address: str) -> None:
        self.record.tried(camera, "replace", wanted, path, address)
        log.warning(
            "%s: %s already exists with different content; the later upload was kept as %s",
            camera,
            printable(wanted),
            printable(path),
        )

    def tick(self) -> None:
        """Tell of what is new; after a change of the accounts no address is slowed down."""
        with suppress(LibraryError):  # unreadable: the next login says so
            version = self.accounts.version()
            if version != self._accounts_version:
                self._accounts_version = version
                self.bans.lift()
        self.record.ban(self.bans.current())
        self.record.write_if_due()


def _limits(said: Receive) -> Limits:
    return Limits(
        int(said.max_file_mb * (1 << 20)),
        int(said.keep_free_mb * (1 << 20)),
        said.sync,
        said.check_contents,
    )


def places(settings: Settings) -> tuple[Path, Path]:
    """Return (upload root, library), both there. Raises UploadTreeError where they cannot be."""
    uploads, library = settings.the_uploads(), settings.the_library()
    if not uploads.is_dir():
        raise UploadTreeError(
            f"{uploads}: expected the folder that the cameras upload to; there is none. Is its "
            f"disk mounted? If it is a new folder, create it."
        )
    try:
        Storage(library).make()
    except OSError as error:
        raise LibraryError(
            f"{library}: expected a library folder that can be created; {error.strerror}. "
            f"Choose another with --library."
        ) from error
    return resolved(uploads), library
