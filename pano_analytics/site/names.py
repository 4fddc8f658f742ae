"""The names of a site's files, and the addresses of files in its pages."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote

from pano_analytics.model.upload import decode_path, resolved

INDEX = "index.html"
DAY_FORMAT = "%Y-%m-%d"

# Only files with such names are ever removed from a site, and only in folders that are in
# the site's own list.
_ID, _VERSION = r"[0-9a-f]{16}", r"[0-9a-f]{8}"
_TEMPORARY = r".+\.[0-9a-f]{8}\.pano-tmp"
_UNFINISHED = rf"\.{_ID}-{_VERSION}\.mp4\.{_VERSION}\.part"
LEFT_LIST = re.compile(r"\.pano-site\.json\.[0-9a-f]{8}\.pano-tmp")
IN_ROOT = re.compile(rf"index\.html|pano-{_VERSION}\.(css|js)|{_TEMPORARY}")
IN_CAMERA = re.compile(rf"index\.html|{_TEMPORARY}")
IN_DAY = re.compile(
    rf"index\.html|\d+\.html|{_ID}\.html|{_ID}-{_VERSION}(-keys)?\.(jpg|mp4)|{_TEMPORARY}|{_UNFINISHED}"
)

_FOLDER = r"[a-z0-9][a-z0-9_-]{0,39}"
_PLAIN = re.compile(_FOLDER)
DAY_FOLDER = re.compile(rf"{_FOLDER}/\d{{4}}-\d\d-\d\d")


def folder_of(camera: str) -> str:
    """Return the folder of a camera's pages: its name if it is plain, else words and a hash.

    The result works in every file system and address: lower-case letters, digits, `-`, `_`.
    """
    if _PLAIN.fullmatch(camera):
        return camera
    plain = unicodedata.normalize("NFKD", camera).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:30].strip("-")
    return f"{words or 'camera'}-{digest(camera)}"


def digest(text: str) -> str:
    """Return a digest of `text`, 8 hexadecimal digits."""
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()


def page_of(media_id: str) -> str:
    """Return the name of an upload's page, which never changes."""
    return f"{media_id}.html"


def picture_of(media_id: str, version: str) -> str:
    """Return the name of an upload's thumbnail; `version` changes with the picture."""
    return f"{media_id}-{version}.jpg"


def keys_of(media_id: str, version: str) -> str:
    """Return the name of the sheet of a clip's key frames."""
    return f"{media_id}-{version}-keys.jpg"


def clip_of(media_id: str, version: str) -> str:
    """Return the name of a clip converted for browsers."""
    return f"{media_id}-{version}.mp4"


def uploads_from_day(site: Path, uploads: Path | None, media_url: str | None) -> str | None:
    """Return the address of the upload root from a day's pages, as a prefix, or None.

    A relative `media_url` is relative to the root of the site.
    """
    if media_url is not None:
        is_absolute = media_url.startswith(("/", "http://", "https://"))
        return media_url if is_absolute else f"../../{media_url}"
    if uploads is None:
        return None
    relative = os.path.relpath(resolved(uploads), resolved(site) / "camera" / "day")
    return quote(os.fsencode(relative)) + "/"


def upload_address(beginning: str, path: str) -> str:
    """Return the address of the upload `path` (as in the column), with its bytes as on disk."""
    return beginning + quote(decode_path(path))


def page_name(number: int, pages: int) -> str:
    """Return the name of a day's page; the newest is `index.html`, the oldest `1.html`."""
    return INDEX if number == pages - 1 else f"{number + 1}.html"


def policy(media_url: str | None) -> str:
    """Return the Content-Security-Policy of every page: only the site's files and the uploads."""
    # 'self' does not include `file:` for a page opened from disk.
    own = "'self' file:"
    host = re.match(r"https?://[^/]+", media_url or "")
    media = f"{own} {host[0]}" if host else own
    return "; ".join(_directives(own, media))


def _directives(own: str, media: str) -> Sequence[str]:
    return (
        "default-src 'none'",
        f"img-src {media} data:",
        f"media-src {media}",
        f"style-src {own}",
        f"script-src {own}",
        "base-uri 'none'",
        "form-action 'none'",
    )
