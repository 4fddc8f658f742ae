"""`library.json`: what a library stores about itself, so that it opens without settings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pano_analytics import settings as settings_module
from pano_analytics.errors import LibraryError, UploadTreeError
from pano_analytics.model.upload import resolved
from pano_analytics.settings import Settings
from pano_analytics.store.storage import Stamp, Storage

NAME = "library.json"
FORMAT = 1
# `catalog.MANIFEST`, not imported, so that checking whether it changed does not import Arrow.
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Home:
    """The library's own page: the identity of its upload root and the last settings used.

    `root_id` identifies the upload root in every `media_id`; it is derived once from the
    root's path, and stays the same when the tree is mounted elsewhere.
    """

    root_id: str
    settings: Settings

    @classmethod
    def settle(cls, storage: Storage, settings: Settings) -> Home:
        """Store `settings` in the library's page, if they changed, and return the page."""
        known = cls.read(storage)
        home = cls(known.root_id if known else _root_id(settings), settings)
        if known is None or _as_json(known.settings) != _as_json(settings):
            storage.replace(NAME, home.encode())
        return home

    @classmethod
    def read(cls, storage: Storage) -> Home | None:
        """Return the library's page, None if there is none yet; LibraryError if unreadable."""
        try:
            document = json.loads(storage.read(NAME))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage.error_of(error) from error
        except ValueError as error:
            raise LibraryError(f"{storage.address(NAME)}: expected JSON; {error}.") from error
        if document.get("format") != FORMAT:
            raise LibraryError(
                f"{storage.address(NAME)}: expected format {FORMAT}, got "
                f"{document.get('format')!r}. It was written by another version of pano."
            )
        settings = settings_module.check(document["settings"], storage.address(NAME))
        return cls(document["root_id"], settings)

    def encode(self) -> bytes:
        """Return the page as JSON. Passwords were removed from addresses when they were read."""
        document = {"format": FORMAT, "root_id": self.root_id, "settings": _as_json(self.settings)}
        return json.dumps(document, indent=1).encode()


def _root_id(settings: Settings) -> str:
    root = str(resolved(settings.uploads or Path()))
    return hashlib.blake2b(root.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _as_json(settings: Settings) -> dict[str, Any]:
    values = settings.model_dump(mode="json", exclude_none=True)
    for key in ("uploads", "library"):
        if values.get(key):
            values[key] = str(resolved(values[key]))
    return values


class Places(NamedTuple):
    """The upload root and the folder of the library that goes with it, each as settings name it."""

    uploads: Path
    storage: Storage

    def require_uploads(self, advice: str = "Nothing was changed.") -> Path:
        """Return the upload root. Raises UploadTreeError, ending in `advice`, if it is missing."""
        if not self.uploads.is_dir():
            raise UploadTreeError(
                f"{self.uploads}: expected the folder that the cameras upload to; there is none. "
                f"Is its disk mounted? {advice}"
            )
        return self.uploads


def places(settings: Settings) -> Places:
    """Return where uploads and library are; neither needs to exist yet.

    Raises SettingsError if one of the two is not set, or the library is in the upload tree.
    """
    return Places(settings.the_uploads(), Storage(settings.the_library()))


def clips_folder(storage: Storage) -> Path:
    """Return the folder for the cache of playable clips, which is a local one; nothing is created.

    The cache is lost without harm, and FFmpeg writes it.
    """
    return storage.path("cache/clips")


def catalog_stamp(storage: Storage) -> Stamp | None:
    """Return a value that differs after each change of the catalog; None without a catalog."""
    return storage.stamp(MANIFEST)


def make_library(settings: Settings) -> Storage:
    """Return the library that `settings` name; create it if it does not exist yet.

    It is created only if the settings name both the uploads and the library: a mistyped
    `--library` alone must not create one. Raises LibraryError if the folder cannot be
    created.
    """
    storage = Storage(settings.the_library())
    if settings.uploads is None or Home.read(storage) is not None:
        return storage
    try:
        storage.root.mkdir(parents=True, exist_ok=True)
        Home.settle(storage, settings)
    except OSError as error:
        raise storage.error_of(error) from error
    return storage


def library_of(settings: Settings) -> Storage:
    """Return the library of `settings`. Raises LibraryError if there is none."""
    storage = Storage(settings.the_library())
    if Home.read(storage) is None:
        raise LibraryError(
            f"{settings.library}: expected a library; there is none yet. Create it with `pano "
            f"ingest --uploads DIR --library {settings.library}`."
        )
    return storage
