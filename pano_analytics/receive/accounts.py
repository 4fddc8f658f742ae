"""Upload accounts: each camera has a user name, a hashed password and its own folder."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pano_analytics import layouts
from pano_analytics.access.passwords import weakness
from pano_analytics.access.users import UPLOADERS_NAME, Register, check_hash, hash_password
from pano_analytics.errors import PanoError, UploadTreeError
from pano_analytics.model import alike
from pano_analytics.model.upload import as_on_disk, decode_path, encode_path, resolved
from pano_analytics.settings import Settings
from pano_analytics.settings.owners import owner_of
from pano_analytics.store.storage import give_to_owner, sync_path

FILE_NAME = UPLOADERS_NAME

# Characters that every camera's page accepts and that are not easily confused: no 0 O 1 l I.
_LETTERS = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_PASSWORD_LENGTH = 16
PASSWORD_LENGTHS = range(8, 33)
"""The web pages of cameras silently cut off longer passwords."""
_PASSWORD = re.compile(r"[!-~]+")
# Factory passwords, and words that come to mind for a camera; digits and signs are ignored.
_FACTORY = re.compile(
    "(admin|administrator|user|root|guest|default|supervisor|service|camera|cam|ip|web|ftp"
    "|uploads?|anonymous|nvr|dvr|video|security|surveillance|pass|password|secret|test|demo"
    "|home|house|front|back|side|door|gate|garage|garden|yard|porch"
    "|amcrest|dahua|hikvision|reolink|foscam|axis|vivotek|dlink|tplink|tapo|panasonic|sony|bosch"
    "|samsung|hanwha|wisenet|mobotix|geovision|lorex|swann|annke|ezviz|trendnet|unifi|ubnt"
    "|pano|panopticon)+"
)
_LONGEST_USER = 20
_USER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}", re.IGNORECASE)

PARALLEL = 1
"""For scrypt: about 30 ms per attempt. Generated passwords have 92 bits, too many to guess."""


class AccountError(PanoError):
    """A camera's name, user, folder or password cannot be used."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Account:
    """The account of one camera: `folder` as in the column `path`, `added` zone-aware UTC."""

    name: str
    camera: str
    folder: str
    hashed: str
    added: datetime

    def jail(self, uploads: Path) -> Path:
        """Return the path of the camera's folder below the upload root."""
        return uploads / decode_path(self.folder).decode("utf-8", "surrogateescape")


class Accounts(Register[Account]):
    """The accounts in a library's folder, by user name."""

    file_name, key, lock_name = FILE_NAME, "accounts", "uploaders.lock"
    made_by = "pano camera add"

    @staticmethod
    def encode(entry: Account) -> dict[str, str]:
        return {
            "name": entry.name,
            "camera": entry.camera,
            "folder": entry.folder,
            "hashed": entry.hashed,
            "added": entry.added.isoformat(),
        }

    @staticmethod
    def decode(fields: dict[str, Any]) -> Account:
        check_hash(fields["hashed"])
        added = datetime.fromisoformat(fields["added"])
        return Account(fields["name"], fields["camera"], fields["folder"], fields["hashed"], added)

    def of_camera(self, camera: str) -> Account:
        """Return the account of a camera or user name. Raises AccountError if there is none."""
        accounts = list(self.all())
        for names in ({one.camera: one for one in accounts}, {one.name: one for one in accounts}):
            match = alike.find(camera, names)
            if match is not None:
                return names[match]
        raise AccountError(
            f"{camera!r} has no upload account. `pano camera list` shows the cameras that have one."
            f"{alike.hint(camera, [name for one in accounts for name in (one.camera, one.name)])}"
        )

    def add(self, account: Account) -> None:
        """Add a new account.

        Raises AccountError if another account already has the camera, user or folder.
        """

        def with_it(known: dict[str, Account]) -> dict[str, Account]:
            _check_distinct_from_all(account, known.values())
            return known | {account.name: account}

        self._change(with_it)

    def check(self, account: Account) -> None:
        """Raise AccountError if `add` would, before anything is created for the account."""
        _check_distinct_from_all(account, self.all())

    def set_password(self, camera: str, password: str) -> Account:
        """Replace a camera's password, and return its account."""
        old = self.of_camera(camera)
        hashed = hash_password(password, PARALLEL)
        new = Account(old.name, old.camera, old.folder, hashed, old.added)
        self._change(lambda known: known | {new.name: new})
        return new

    def remove(self, camera: str) -> Account:
        """Remove a camera's account, and return it; the camera's uploads are kept."""
        old = self.of_camera(camera)
        self._change(lambda known: {name: one for name, one in known.items() if name != old.name})
        return old


def _check_distinct_from_all(new: Account, known: Iterable[Account]) -> None:
    for other in known:
        _check_distinct(new, other)


def _check_distinct(new: Account, other: Account) -> None:
    if alike.key(new.camera) == alike.key(other.camera):
        raise AccountError(
            f"{other.camera!r} already has an account (user {other.name!r}). For a new password: "
            f"`pano camera password {other.camera}`."
        )
    if alike.key(new.name) == alike.key(other.name):
        raise AccountError(
            f"the user {other.name!r} belongs to camera {other.camera!r}; choose another with "
            f"--user."
        )
    shorter, longer = sorted((alike.key(one.folder) + "/" for one in (new, other)), key=len)
    if longer.startswith(shorter):
        raise AccountError(
            f"the folder {new.folder!r} overlaps {other.folder!r} of {other.camera!r}, and each "
            f"camera needs its own; choose another with --folder."
        )


# --- the parts of an account --------------------------------------------------------------


def new_account(
    settings: Settings, camera: str, user: str | None, folder: str | None, password: str
) -> Account:
    """Return a new account for `camera`, not yet added; a user or folder of None is chosen.

    Raises AccountError, with the reason, if an argument is not acceptable.
    """
    camera = check_camera(camera)
    name = check_user(user or _user_for(camera))
    return Account(
        name,
        camera,
        folder_for(settings, camera, folder),
        hash_password(check_password(password, name, camera), PARALLEL),
        datetime.now(UTC),
    )


def new_password() -> str:
    """Return a random password that can be typed into any camera."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_PASSWORD_LENGTH))


def check_password(password: str, *names: str) -> str:
    """Return `password` of an account with these names (user, camera), or raise AccountError.

    The message never contains the password.
    """
    if len(password) not in PASSWORD_LENGTHS or not _PASSWORD.fullmatch(password):
        raise AccountError(
            f"expected a password of {PASSWORD_LENGTHS.start} to {PASSWORD_LENGTHS.stop - 1} "
            f"letters, digits and signs without spaces; got {len(password)} characters. Let pano "
            f"generate one."
        )
    if reason := _weakness(password, names):
        raise AccountError(
            f"expected a password that is hard to guess; {reason}. Let pano generate one: run "
            f"this again without --password-stdin."
        )
    return password


def _weakness(password: str, names: Iterable[str]) -> str | None:
    if _FACTORY.fullmatch(re.sub(r"[\W\d_]+", "", password.casefold())):
        return "it consists of words that are easy to guess for a camera"
    reasons = (weakness(password, name) for name in (*names, ""))
    return next((reason for reason in reasons if reason), None)


def check_camera(camera: str) -> str:
    """Return a camera's name in its normal form (NFC), or raise AccountError."""
    normal = alike.normal(camera)
    if not normal.strip() or not normal.isprintable() or len(normal) > 100:
        raise AccountError(f"expected a camera's name on one line, got {camera!r}.")
    return normal


def check_user(user: str) -> str:
    """Return `user` if every camera's page accepts it, or raise AccountError."""
    if not _USER.fullmatch(user):
        raise AccountError(
            f"expected a user name of 1 to 32 plain letters, digits or . _ - that begins with a "
            f"letter or digit; got {user!r}. Give another with --user."
        )
    return user


def _user_for(camera: str) -> str:
    plain = unicodedata.normalize("NFKD", camera).encode("ascii", "ignore").decode().lower()
    user = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:_LONGEST_USER].strip("_")
    return user or f"camera_{secrets.token_hex(2)}"


def folder_for(settings: Settings, camera: str, folder: str | None) -> str:
    """Return the folder, below the upload root, for the uploads of `camera`.

    This is the folder in the settings if they list the camera, else `folder`, else the
    camera's name. Raises AccountError if `folder` contradicts the settings or is not an
    acceptable folder.
    """
    known = settings.table(camera)
    if known is not None:
        if known.upload_folders[0] == ".":
            raise AccountError(
                f"{camera!r} uses the upload root itself as its folder in the settings; an "
                f"account needs its own folder. Set one there."
            )
        own = as_on_disk(settings.uploads, known.upload_folders[0])
        if folder is not None and alike.key(folder) != alike.key(own):
            raise AccountError(
                f"{camera!r} has the folder {own!r} in the settings; got {folder!r}. Change it "
                f"there, or leave out --folder."
            )
        return own
    chosen = encode_path(camera) if folder is None else folder.rstrip("/")
    _check_folder(chosen, "--folder" if folder is None else "another")
    return as_on_disk(settings.uploads, chosen)


def _check_folder(folder: str, other: str) -> None:
    parts = folder.split("/")
    if any(not part or part.startswith(".") or layouts.passes_over(part) for part in parts):
        raise AccountError(
            f"expected a folder below the upload root that is not hidden; got {folder!r}. Give "
            f"{other}, such as 'front_door'."
        )


def is_of(settings: Settings, account: Account) -> bool:
    """Return whether `pano ingest` with these settings assigns the uploads to this camera."""
    owner = owner_of(settings, account.folder, "\n")
    known = (owner.camera, *owner.by_channel.values())
    return owner.is_split or alike.find(account.camera, known) is not None


def make_folder(account: Account, uploads: Path) -> Path:
    """Create the camera's folder if it does not exist, and return it.

    Raises UploadTreeError if it cannot be created, or if it is a link.
    """
    jail = account.jail(uploads)
    try:
        _make(jail, uploads)
    except OSError as error:
        raise UploadTreeError(
            f"{jail}: cannot create this folder; {error.strerror}. Create it, or run pano as the "
            f"user who owns {uploads}."
        ) from error
    if not is_own_folder(jail, uploads, account.folder):
        raise UploadTreeError(
            f"{jail}: expected a folder, got a link to {resolved(jail)}; ingest does not follow "
            f"links. Mount it there instead (mount --bind), or choose another --folder."
        )
    return jail


def _make(folder: Path, uploads: Path) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir()
        give_to_owner(one, uploads)
        sync_path(one.parent)


def is_own_folder(jail: Path, uploads: Path, folder: str) -> bool:
    """Return whether the folder exists, and no part of its path below the root is a link."""
    expected = resolved(uploads) / decode_path(folder).decode("utf-8", "surrogateescape")
    return jail.is_dir() and resolved(jail) == expected
