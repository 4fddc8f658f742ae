"""Check logins against hashed passwords, and slow down guessing.

Right passwords are cached, as keyed hashes only. An unknown user costs no hash, which does
not reveal that the user is unknown: failed logins are answered seconds later
(`Control.handle_auth_failed`), and a hash takes 30 ms.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pyftpdlib.exceptions import AuthenticationFailed

from pano_analytics.access.users import is_password
from pano_analytics.errors import LibraryError
from pano_analytics.model.upload import resolved
from pano_analytics.receive.accounts import Account, Accounts, is_own_folder

RIGHTS = "elamwf"
"""pyftpdlib's letters: enter, list, append, make folders, store, rename."""

log = logging.getLogger("pano.receive")

LONGEST_USER = 64
CHECK_EVERY_S = 0.25
"""The time between two checks of passwords from an address that had many wrong ones."""
_MOST_REMEMBERED = 1000
_MOST_ADDRESSES = 10_000
_MOST_TOLD = 20
_ANONYMOUS = ("anonymous", "ftp")


class Bans:
    """Addresses with too many failed logins: further logins are checked slowly for a while.

    No address is blocked, because cameras may share it with somebody who guesses passwords.
    """

    def __init__(self, most_failed: int, ban_s: float) -> None:
        self._most_failed, self._ban_s = most_failed, ban_s
        self._failed: dict[str, int] = {}
        self._until: dict[str, tuple[float, str]] = {}
        self._next_check: dict[str, float] = {}

    def failed(self, address: str) -> bool:
        """Count a failed login; return whether the address is slowed down from now on."""
        count = self._failed.pop(address, 0) + 1
        self._failed[address] = count
        _forget_oldest(self._failed)
        if count < self._most_failed:
            return False
        until = datetime.now(UTC) + timedelta(seconds=self._ban_s)
        self._until[address] = (time.monotonic() + self._ban_s, until.isoformat("T", "seconds"))
        _forget_oldest(self._until)
        del self._failed[address]
        return True

    def succeeded(self, address: str) -> None:
        """Reset the count: of several cameras with one address, only one may be misconfigured."""
        self._failed.pop(address, None)

    def is_banned(self, address: str) -> bool:
        return address in self._until and self._until[address][0] > time.monotonic()

    def wait_s(self, address: str) -> float:
        """Return in how many seconds the next password from this address is checked."""
        if not self.is_banned(address):
            return 0
        now = time.monotonic()
        at = max(now, self._next_check.pop(address, 0.0)) + CHECK_EVERY_S
        self._next_check[address] = at
        _forget_oldest(self._next_check)
        return at - now

    def current(self) -> dict[str, str]:
        """Return the addresses that are slowed down, each with the end (UTC, ISO 8601)."""
        now = time.monotonic()
        self._until = {one: until for one, until in self._until.items() if until[0] > now}
        newest = list(self._until.items())[-_MOST_TOLD:]
        return {address: iso for address, (_, iso) in newest}

    def lift(self) -> None:
        self._failed.clear()
        self._until.clear()
        self._next_check.clear()


def _forget_oldest(table: dict[str, Any]) -> None:
    """Limit the size of a table of addresses; the oldest is removed first."""
    if len(table) > _MOST_ADDRESSES:
        table.pop(next(iter(table)))


class Gate:
    """pyftpdlib's authorizer, which uses the accounts as they are at the moment."""

    def __init__(self, accounts: Accounts, uploads: Path, bans: Bans) -> None:
        self.accounts, self.uploads, self.bans = accounts, uploads, bans
        self.trouble = ""
        """Why the accounts cannot be read at the moment, or ""."""
        self._secret = secrets.token_bytes(32)
        self._verified: set[bytes] = set()

    def account(self, user: str) -> Account | None:
        """Return the account of `user`; None if there is none, or the list cannot be read."""
        if len(user) > LONGEST_USER:
            return None
        try:
            account = self.accounts.get(user)
        except LibraryError as error:
            if str(error) != self.trouble:
                log.error("%s", error)
            self.trouble = str(error)
            return None
        self.trouble = ""
        return account

    def wait_s(self, user: str, password: str, address: str) -> float:
        """Return in how many seconds to check this login; 0 if it is known to be right."""
        account = self.account(user)
        if account is None or self._mark(account, password) in self._verified:
            return 0
        return self.bans.wait_s(address)

    def validate_authentication(self, user: str, password: str, session: Any) -> None:
        """Raise AuthenticationFailed if the login fails, with the reason in `session.refusal`."""
        session.refusal = ("", "")
        account = self.account(user)
        if account is None:
            session.refusal = self._unknown_user_refusal(user)
        elif not self._is_right(account, password):
            session.refusal = ("wrong_password", "")
        elif not self._has_folder(account):
            where = f"no folder {account.folder!r} below {self.uploads}: is it mounted?"
            session.refusal = ("folder_not_there", where)
        if session.refusal[0]:
            raise AuthenticationFailed("Authentication failed.")

    def _has_folder(self, account: Account) -> bool:
        try:
            return is_own_folder(account.jail(self.uploads), self.uploads, account.folder)
        except OSError:
            return False  # the disk fails: for the camera, the folder does not exist

    def _unknown_user_refusal(self, user: str) -> tuple[str, str]:
        if self.trouble:
            return "accounts_unreadable", ""
        return ("anonymous", "") if user.lower() in _ANONYMOUS else ("unknown_user", "")

    def _is_right(self, account: Account, password: str) -> bool:
        mark = self._mark(account, password)
        if mark in self._verified:
            return True
        if not is_password(password, account.hashed):
            return False
        if len(self._verified) >= _MOST_REMEMBERED:
            self._verified.clear()
        self._verified.add(mark)
        return True

    def _mark(self, account: Account, password: str) -> bytes:
        text = f"{account.name}\0{account.hashed}\0{password}"
        return hmac.digest(self._secret, text.encode("utf-8", "surrogateescape"), "sha256")

    def get_home_dir(self, user: str) -> str:
        account = self.account(user)
        if account is None:
            raise AuthenticationFailed("Authentication failed.")
        return str(account.jail(resolved(self.uploads)))

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
        """Do nothing: all folders belong to the user that runs pano."""

    def terminate_impersonation(self, user: str) -> None:
        """Do nothing, as above."""
