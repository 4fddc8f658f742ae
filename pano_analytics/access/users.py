"""Dashboard users with hashed passwords, and the secret that signs their logins.

Two files in the library folder, both readable by their owner only (0600):
`users.json` holds a scrypt hash for each name; `login.secret` holds 32 random bytes
that are created once, so that logins survive a restart. Neither contains a password.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pano_analytics.access.passwords import weakness
from pano_analytics.errors import LibraryError, PanoError
from pano_analytics.model import alike
from pano_analytics.store.storage import TEMPORARY, Stamp, Storage, give_to_owner, naming, sync_path

FILE_NAME = "users.json"
UPLOADERS_NAME = "uploaders.json"
"""The accounts of cameras that may upload, in the same folder (see `receive.accounts`)."""
SECRET_NAME = "login.secret"
LOCK_NAME = "users.lock"
FORMAT = 1

PASSWORD_LENGTHS = range(12, 129)
"""How many characters a new password may have, as OWASP ASVS 4.0.3 requires (2.1.1, 2.1.2)."""
PASSWORD_MAX_LENGTH = 1024
"""How long a password may be at login: older, longer passwords still work."""
NAME_MAX_LENGTH = 64

# One of the parameter sets that OWASP's Password Storage Cheat Sheet considers equal
# (N=2^17 r=8 p=1 … N=2^14 r=8 p=5); this one takes 16 MB, which a small computer has.
_COST, _BLOCK, _PARALLEL = 2**14, 8, 5
_NAME = re.compile(rf"[\w.@-]{{1,{NAME_MAX_LENGTH}}}")


class UserError(PanoError):
    """A name or a password cannot be used."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class User:
    """A user: `hashed` is `scrypt$N$r$p$salt$hash` (hex), `added` is zone-aware UTC."""

    name: str
    hashed: str
    added: datetime


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Entry = TypeVar("_Entry", bound=_Named)


class Register(ABC, Generic[_Entry]):
    """Named entries with secrets in one private file of the library in `folder`.

    Each access checks whether the file has changed. Raises LibraryError if the file exists
    but cannot be read: a damaged list must not count as an empty one.
    """

    file_name: ClassVar[str]
    key: ClassVar[str]
    lock_name: ClassVar[str]
    made_by: ClassVar[str]
    """The command that writes the file, for messages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read_at: Stamp | None = None
        self._known: dict[str, _Entry] = {}

    @staticmethod
    @abstractmethod
    def encode(entry: _Entry) -> dict[str, str]:
        """Return an entry as JSON."""

    @staticmethod
    @abstractmethod
    def decode(fields: dict[str, Any]) -> _Entry:
        """Return the entry for its JSON. Raises ValueError, KeyError or TypeError."""

    @property
    def path(self) -> Path:
        return self.folder / self.file_name

    def all(self) -> list[_Entry]:
        """Return all entries, sorted by name."""
        return sorted(self._current().values(), key=lambda entry: entry.name)

    def get(self, name: str) -> _Entry | None:
        """Return the entry called `name`, or None."""
        return self._current().get(alike.normal(name))

    def _current(self) -> dict[str, _Entry]:
        read_at = self.version()
        if read_at != self._read_at:
            self._known, self._read_at = self._read(), read_at
        return self._known

    def version(self) -> Stamp | None:
        """Return a value that changes whenever the file does; None if there is no file.

        Raises LibraryError if the file cannot be examined.
        """
        try:
            return Storage(self.folder).stamp(self.path.name)
        except OSError as error:
            raise self._unreadable(error) from error

    def _read(self) -> dict[str, _Entry]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"expected format {FORMAT}, got {content['format']!r}")
            return {entry.name: entry for entry in map(self.decode, content[self.key])}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> LibraryError:
        return LibraryError(
            f"{self.path}: expected the {self.key} that `{self.made_by}` wrote; {error!r}. "
            f"All logins are refused until the file is repaired, or removed and the {self.key} "
            f"added again."
        )

    def _change(self, change: Callable[[dict[str, _Entry]], dict[str, _Entry]]) -> None:
        if not self.folder.is_dir():
            raise LibraryError(
                f"expected a library folder at {self.folder}; there is none. Create it first: "
                f"`pano ingest --uploads DIR --library {self.folder}`."
            )
        with Storage(self.folder).lock(self.lock_name, wait=True):
            entries = sorted(change(self._read()).values(), key=lambda entry: entry.name)
            content = {"format": FORMAT, self.key: [self.encode(entry) for entry in entries]}
            write_private(self.path, (json.dumps(content, indent=1) + "\n").encode())


class Users(Register[User]):
    """The users of the library in `folder`."""

    file_name, key, lock_name, made_by = FILE_NAME, "users", LOCK_NAME, "pano user add"

    @staticmethod
    def encode(entry: User) -> dict[str, str]:
        return {"name": entry.name, "hashed": entry.hashed, "added": entry.added.isoformat()}

    @staticmethod
    def decode(fields: dict[str, Any]) -> User:
        check_hash(fields["hashed"])
        return User(fields["name"], fields["hashed"], datetime.fromisoformat(fields["added"]))

    def check_presence(self, had_users: bool = False) -> None:
        """Raise LibraryError where the file is gone although there were users.

        The secret is created with the first user, and the file remains when the last user is
        removed, so a secret without the file means that the file was lost. Pass `had_users`
        if the caller has seen users before.
        """
        if self.path.exists() or not (had_users or (self.folder / SECRET_NAME).exists()):
            return
        raise LibraryError(
            f"{self.path} is missing, but there were users. All logins are refused until the file "
            f"is restored or a user is added with `pano user add NAME`. To continue without "
            f"users, remove {SECRET_NAME} beside it and restart."
        )

    def add(self, name: str, password: str) -> None:
        """Add the user `name`, or give an existing user this password.

        Raises UserError if the name or the password is not acceptable.
        """
        checked = check_name(name)
        user = User(checked, hash_password(check_password(password, checked)), datetime.now(UTC))
        self._change(lambda users: users | {checked: user})
        login_secret(self.folder)

    def remove(self, name: str) -> None:
        """Remove the user `name`. Raises UserError if there is no such user."""
        checked = alike.normal(name)

        def without(users: dict[str, User]) -> dict[str, User]:
            if checked not in users:
                raise UserError(f"there is no user {name!r}. `pano user list` shows all users.")
            return {known: user for known, user in users.items() if known != checked}

        self._change(without)

    def verify(self, name: str, password: str) -> bool:
        """Return whether `password` is right for `name`; unknown names take equally long."""
        user = self.get(name)
        is_right = is_password(password, user.hashed if user else nobodys_hash())
        return is_right and user is not None


def check_name(name: str) -> str:
    """Return `name` in its normal form (NFC), or raise UserError."""
    normal = alike.normal(name)
    if not _NAME.fullmatch(normal):
        raise UserError(
            f"expected a user name of 1 to 64 letters, digits or . _ - @; got {name!r}. "
            f"Choose another one."
        )
    return normal


def check_password(password: str, name: str = "") -> str:
    """Return `password` of the user `name`, or raise UserError, whose text does not contain it."""
    # Several spaces count as one (ASVS 2.1.1), so that they do not make a password longer.
    length = len(re.sub(" +", " ", password))
    if length not in PASSWORD_LENGTHS or len(password) not in PASSWORD_LENGTHS:
        raise UserError(
            f"expected a password of {PASSWORD_LENGTHS.start} to {PASSWORD_LENGTHS.stop - 1} "
            f"characters, counting several spaces as one; got {length} ({len(password)} with all "
            f"spaces). A phrase of a few words is long and easy to remember."
        )
    if reason := weakness(password, name):
        raise UserError(
            f"expected a password that is hard to guess; {reason}. A phrase of a few words that "
            f"only you connect is long and easy to remember."
        )
    return password


def hash_password(password: str, parallel: int = _PARALLEL) -> str:
    """Return `scrypt$N$r$p$salt$hash` for `password`, with its own random salt (RFC 7914).

    Hashing takes about 30 ms times `parallel` (p), which can be lower for long random
    passwords, such as those generated for cameras.
    """
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, _COST, _BLOCK, parallel)
    return f"scrypt${_COST}${_BLOCK}${parallel}${salt.hex()}${digest.hex()}"


def is_password(password: str, hashed: str) -> bool:
    """Return whether `hashed` is the hash of `password`, in constant time."""
    if len(password) > PASSWORD_MAX_LENGTH:
        return False
    cost, block, parallel, salt, digest = _parameters(hashed)
    return hmac.compare_digest(_scrypt(password, salt, cost, block, parallel), digest)


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    # Some keyboards write é as one code point, others as two.
    normal = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(
        normal, salt=salt, n=cost, r=block, p=parallel, maxmem=256 * cost * block, dklen=32
    )


def _parameters(hashed: str) -> tuple[int, int, int, bytes, bytes]:
    method, cost, block, parallel, salt, digest = hashed.split("$")
    if method != "scrypt":
        raise ValueError(f"expected a scrypt hash, got {method!r}")
    return int(cost), int(block), int(parallel), bytes.fromhex(salt), bytes.fromhex(digest)


def check_hash(hashed: str) -> None:
    """Raise ValueError or AttributeError if `hashed` is not a result of `hash_password`."""
    _parameters(hashed)


def nobodys_hash(parallel: int = _PARALLEL) -> str:
    """Return a hash that no password matches, and that takes as long to check as a real one."""
    return f"scrypt${_COST}${_BLOCK}${parallel}${'00' * 16}${'00' * 32}"


def login_secret(folder: Path) -> bytes:
    """Return the 32 bytes that sign logins to the library in `folder`, created on first use.

    Raises LibraryError if the file is too short: a signature with it could be guessed.
    """
    path = folder / SECRET_NAME
    if not path.exists():
        with Storage(folder).lock(LOCK_NAME, wait=True):
            if not path.exists():
                write_private(path, secrets.token_bytes(32))
    secret = path.read_bytes()
    if len(secret) != 32:
        raise LibraryError(
            f"{path}: expected 32 bytes, got {len(secret)}. Remove the file; a new one is created, "
            f"and all users have to log in again."
        )
    return secret


def write_private(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically and durably, readable by its owner only."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with naming(temporary), os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        give_to_owner(temporary, path.parent)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_path(path.parent)
