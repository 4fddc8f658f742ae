"""Who is let in: hashed passwords, remembered only as keyed hashes, and bans after wrong ones."""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pyftpdlib.exceptions import AuthenticationFailed

from pano_analytics.errors import LibraryError
from pano_analytics.receive.accounts import PARALLEL, Account, Accounts, is_own_folder
from pano_analytics.users import is_password, nobodys_hash

RIGHTS = "elamwf"
"""As pyftpdlib spells them: enter, list, append, make folders, store, rename."""

log = logging.getLogger("pano.receive")

_MOST_REMEMBERED = 1000
_MOST_ADDRESSES = 10_000


class Bans:
    """Addresses that logged in wrongly too often, and for how long they stay outside."""

    def __init__(self, most_failed: int, ban_s: float) -> None:
        self._most_failed, self._ban_s = most_failed, ban_s
        self._failed: dict[str, int] = {}
        self._until: dict[str, tuple[float, str]] = {}

    def failed(self, address: str) -> bool:
        """Count a wrong login; return whether the address is banned from now on."""
        count = self._failed.pop(address, 0) + 1
        # Those who failed longest ago are forgotten first: memory stays small.
        self._failed[address] = count
        if len(self._failed) > _MOST_ADDRESSES:
            self._failed.pop(next(iter(self._failed)))
        if count < self._most_failed:
            return False
        until = datetime.now(UTC) + timedelta(seconds=self._ban_s)
        self._until[address] = (time.monotonic() + self._ban_s, until.isoformat("T", "seconds"))
        del self._failed[address]
        return True

    def right(self, address: str) -> None:
        """Forget what failed: many cameras may share one address, and one of them be set wrong."""
        self._failed.pop(address, None)

    def is_banned(self, address: str) -> bool:
        return address in self._until and self._until[address][0] > time.monotonic()

    def current(self) -> dict[str, str]:
        """Return the addresses that are banned, each with its end (UTC, ISO 8601)."""
        now = time.monotonic()
        self._until = {one: until for one, until in self._until.items() if until[0] > now}
        return {address: iso for address, (_, iso) in self._until.items()}

    def lift(self) -> None:
        self._failed.clear()
        self._until.clear()


class Gate:
    """Answers what pyftpdlib asks of an authorizer, from the accounts as they are now."""

    def __init__(self, accounts: Accounts, uploads: Path) -> None:
        self.accounts, self.uploads = accounts, uploads
        self._secret = secrets.token_bytes(32)
        self._verified: set[bytes] = set()

    def account(self, user: str) -> Account | None:
        """Return who logs in as `user`; None, and a line in the log, where no list can be read."""
        try:
            return self.accounts.get(user)
        except LibraryError as error:
            log.error("%s", error)
            return None

    def validate_authentication(self, user: str, password: str, session: Any) -> None:
        """Raise AuthenticationFailed, and leave the reason in `session.refusal`."""
        account = self.account(user)
        session.refusal = "wrong password" if account else "unknown user"
        if not self._is_right(account, password) or account is None:
            raise AuthenticationFailed("Authentication failed.")
        if not is_own_folder(account.jail(self.uploads), self.uploads, account.folder):
            session.refusal = f"no folder {account.folder!r} below {self.uploads}: is it mounted?"
            raise AuthenticationFailed("The folder of this camera is not there.")
        session.refusal = ""

    def _is_right(self, account: Account | None, password: str) -> bool:
        if account is None:
            # As long as for a known one; what is typed by mistake stays nowhere.
            is_password(password, nobodys_hash(PARALLEL))
            return False
        said = f"{account.name}\0{account.hashed}\0{password}".encode("utf-8", "surrogateescape")
        mark = hmac.digest(self._secret, said, "sha256")
        if mark in self._verified:
            return True
        if not is_password(password, account.hashed):
            return False
        if len(self._verified) >= _MOST_REMEMBERED:
            self._verified.clear()
        self._verified.add(mark)
        return True

    def get_home_dir(self, user: str) -> str:
        account = self.account(user)
        if account is None:
            raise AuthenticationFailed("Authentication failed.")
        return str(account.jail(self.uploads.resolve()))

    def has_user(self, user: str) -> bool:
        return self.account(user) is not None

    def has_perm(self, user: str, right: str, path: str | None = None) -> bool:
        return right in RIGHTS

    def get_perms(self, user: str) -> str:
        return RIGHTS

    def get_msg_login(self, user: str) -> str:
        return "Welcome."

    def get_msg_quit(self, user: str) -> str:
        return "Goodbye."

    def impersonate_user(self, user: str, password: str) -> None:
        """Do nothing: all folders belong to the user who runs pano."""

    def terminate_impersonation(self, user: str) -> None:
        """Do nothing, as above."""
