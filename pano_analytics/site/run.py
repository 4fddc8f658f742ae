"""`update()`: bring a site's pages up to date, or find at once that they are.

What a quiet run imports is little: pages are only made, with all that this
takes, where the catalog, the settings, the code or a camera's silence changed.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

from pano_analytics.errors import SettingsError
from pano_analytics.model.upload import resolved
from pano_analytics.settings import Settings
from pano_analytics.site.folder import BuiltDays, SiteFolder, refuse_place
from pano_analytics.site.summary import Progress, SiteSummary
from pano_analytics.store.home import Home, catalog_stamp, library_of
from pano_analytics.store.storage import Storage


def update(
    settings: Settings,
    folder: Path,
    *,
    is_full: bool = False,
    progress: Progress | None = None,
) -> SiteSummary:
    """Write the pages that changed into `folder` and remove what is no longer to be shown.

    With `is_full` every page is made and held against what is there. Raises
    SettingsError where the folder is not the site's to write in, LibraryError
    where there is no library, StrangeTree where the uploads are not those that the
    library knows, SiteBusy, SiteFull.
    """
    refuse_place(folder, settings.uploads, settings.library)
    site, home = SiteFolder(folder, settings.site.readers), _home(settings)
    site.known()  # refused before anything is made
    with site.locked():
        known = site.known()
        _refuse_other_library(folder, known, home)
        looked = _looked_at(settings, folder)
        if not is_full and _is_current(site, known, looked):
            return SiteSummary(folder, len(known.cameras), len(known.days))
        # Both open tables, with Arrow: a quiet run loads neither.
        from pano_analytics.site import build
        from pano_analytics.store import own_tree

        if settings.uploads is not None and settings.uploads.is_dir():
            # Another disk may be mounted there: no page goes for what it lacks.
            own_tree.require(Storage(settings.library or folder), settings.uploads)
        return build.build(settings, site, known, home.root_id, looked, is_full, progress)


def _home(settings: Settings) -> Home:
    home = Home.read(library_of(settings))
    assert home is not None
    return home


def _refuse_other_library(folder: Path, known: BuiltDays, home: Home) -> None:
    if known.root_id not in (None, home.root_id):
        raise SettingsError(
            f"{folder}: expected the site of this library; the folder has the site of another "
            f"library. Choose another folder, or empty this one."
        )


def _looked_at(settings: Settings, folder: Path) -> dict[str, object]:
    """Return what stands for all that pages are made of: the catalog, the settings, the code."""
    said = settings.model_dump(mode="json", include=set(_SAID))
    places = [str(resolved(path)) for path in (folder, settings.uploads) if path is not None]
    rest = json.dumps([said, places, _code()], sort_keys=True)
    return {
        "catalog": _stamp(settings),
        "unread": _unread(settings),
        "rest": blake2b(rest.encode(), digest_size=8).hexdigest(),
    }


# `NAME` of `ingest.unread` and `ingest.obstacles`, not imported: a quiet run loads little.
UNREAD, OBSTACLES = "state/unread.json", "state/obstacles.json"


def _unread(settings: Settings) -> str:
    assert settings.library is not None
    known = [_page(settings.library, name) for name in (UNREAD, OBSTACLES)]
    if not any(known):
        return ""
    ignored = repr(settings.doctor.ignore).encode()
    return blake2b(b"".join(known) + ignored, digest_size=8).hexdigest()


def _page(library: Path, name: str) -> bytes:
    try:
        return Storage(library).read(name)
    except OSError:
        return b""


_SAID = ("uploads", "zone", "silent_after_hours", "cameras", "site")


def _stamp(settings: Settings) -> list[int] | None:
    # The manifest is swapped with each change of the catalog.
    assert settings.library is not None
    found = catalog_stamp(Storage(settings.library))
    return None if found is None else list(found)


@cache
def _code() -> str:
    """Return a digest of this room and the version: new code makes new pages."""
    own = sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in _CODE)
    content = b"\0".join(path.read_bytes() for path in own)
    return blake2b(content + version("pano-analytics").encode(), digest_size=8).hexdigest()


_CODE = (".py", ".html", ".css", ".js")


def _is_current(site: SiteFolder, known: BuiltDays, looked: dict[str, object]) -> bool:
    due = known.looked.get("due")
    if due is not None and datetime.now(UTC) >= datetime.fromisoformat(str(due)):
        return False
    before = {key: known.looked.get(key) for key in looked}
    return before == looked and site.is_whole(known)
