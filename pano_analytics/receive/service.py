"""What all sessions of one upload server share: accounts, limits, and what is told to others."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from pano_analytics.errors import UploadTreeError
from pano_analytics.media import encode_path
from pano_analytics.receive.accounts import Accounts
from pano_analytics.receive.gate import Bans, Gate
from pano_analytics.receive.publish import Published
from pano_analytics.receive.records import Record
from pano_analytics.receive.staging import Folders, Limits, Parts, Settled, Shared, Upload
from pano_analytics.receive.work import Work
from pano_analytics.settings import Receive, Settings
from pano_analytics.storage import Storage
from pano_analytics.wording import printable

log = logging.getLogger("pano.receive")


class Service:
    """What all sessions share, from the start to the end of one server."""

    def __init__(self, settings: Settings) -> None:
        self.uploads, library = places(settings)
        self.said = settings.receive
        self.storage = Storage(library)
        self.accounts = Accounts(library)
        self.gate = Gate(self.accounts, self.uploads)
        self.bans = Bans(self.said.failed_logins, self.said.ban_minutes * 60)
        self.limits = _limits(self.said)
        self.shared = Shared(self.limits, Parts(), Folders())
        self.record = Record.going_on(self.storage)
        self._accounts_version = self.accounts.version()
        self.work: Work
        """Set by the server, which has the loop that the work belongs to."""

    def settled(self, camera: str, upload: Upload, settled: Settled, address: str) -> None:
        """Tell of an upload that has its name, or was cut."""
        path, came = self._path(settled.path), upload.came_bytes
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

    def refused_login(self, user: str, address: str, reason: str) -> None:
        """Tell of a login that failed, and ban the address if there were too many."""
        account = self.gate.account(user)
        known = account.name if account else None
        self.record.refuse(known, address, reason)
        log.warning("login refused: %s from %s: %s", known or "somebody", address, reason)
        if reason in ("wrong password", "unknown user") and self.bans.failed(address):
            log.warning("%s is banned for %g minutes", address, self.said.ban_minutes)

    def tried(self, camera: str, what: str, name: str, address: str) -> None:
        """Tell of an attempt on a whole upload that was refused (`what` as in `Record.tried`)."""
        path = self._path(name)
        self.record.tried(camera, what, path, None, address)
        log.warning("%s: refused to %s %s, which stays as it is", camera, what, printable(path))

    def _kept_both(self, camera: str, wanted: str, path: str, address: str) -> None:
        self.record.tried(camera, "replace", wanted, path, address)
        log.warning(
            "%s: %s is there already with other bytes; the later upload was kept as %s",
            camera,
            printable(wanted),
            printable(path),
        )

    def tick(self) -> None:
        """Tell of what is new; a change of the accounts lifts all bans."""
        if self.accounts.version() != self._accounts_version:
            self._accounts_version = self.accounts.version()
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
    uploads, library = settings.uploads, settings.library
    if uploads is None or library is None:
        raise UploadTreeError(
            "expected an upload root and a library: give --uploads DIR and --library LIB, or "
            "`uploads` and `library` in pano.toml."
        )
    if not uploads.is_dir():
        raise UploadTreeError(
            f"{uploads}: expected the folder that the cameras are to upload to; there is none. "
            f"Is its disk mounted? If it is a new one, make it."
        )
    if library.resolve().is_relative_to(uploads.resolve()):
        raise UploadTreeError(
            f"{library}: expected a library outside the upload tree; nothing of ours may lie in "
            f"somebody's evidence. Choose another folder."
        )
    try:
        library.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UploadTreeError(
            f"{library}: expected a library folder that can be made; {error.strerror}."
        ) from error
    return uploads.resolve(), library
