"""`update()`: update a site's pages, or return quickly if they are current.

A run without changes imports little: pages are built, with everything that needs, only if
the catalog, the settings, the code or the silence of a camera changed.
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
    """Write the changed pages to `folder`, and remove what is no longer shown.

    With `is_full`, every page is built and compared with the existing file. Raises
    SettingsError if the site may not use the folder, LibraryError if there is no library,
    StrangeTree if the uploads are not those of the library, SiteBusy and SiteFull.
    """
    refuse_place(folder, settings.uploads, settings.library)
    site, home = SiteFolder(folder, settings.site.readers), _home(settings)
    site.known()  # raises before the lock file is created
    with site.locked():
        known = site.known()
        _refuse_other_library(folder, known, home)
        fingerprints = _fingerprints(settings, folder)
        if not is_full and _is_current(site, known, fingerprints):
            return SiteSummary(folder, len(known.cameras), len(known.days))
        # Both import Arrow, which a run without changes does not need.
        from pano_analytics.site import build
        from pano_analytics.store import own_tree

        if settings.uploads is not None and settings.uploads.is_dir():
            # Another disk may be mounted there: do not remove pages because of that.
            own_tree.require(Storage(settings.library or folder), settings.uploads)
        return build.build(settings, site, known, home.root_id, fingerprints, is_full, progress)


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


def _fingerprints(settings: Settings, folder: Path) -> dict[str, object]:
    """Return fingerprints of all inputs of the pages: catalog, settings and code."""
    values = settings.model_dump(mode="json", include=set(_SETTINGS))
    places = [str(resolved(path)) for path in (folder, settings.uploads) if path is not None]
    other_inputs = json.dumps([values, places, _code()], sort_keys=True)
    return {
        "catalog": _stamp(settings),
        "unread": _unread(settings),
        "rest": blake2b(other_inputs.encode(), digest_size=8).hexdigest(),
    }


# `NAME` of `ingest.unread` and `ingest.obstacles`, which are not imported to load little.
UNREAD, OBSTACLES = "state/unread.json", "state/obstacles.json"


def _unread(settings: Settings) -> str:
    assert settings.library is not None
    contents = [_read_state(settings.library, name) for name in (UNREAD, OBSTACLES)]
    if not any(contents):
        return ""
    ignored = repr(settings.doctor.ignore).encode()
    return blake2b(b"".join(contents) + ignored, digest_size=8).hexdigest()


def _read_state(library: Path, name: str) -> bytes:
    try:
        return Storage(library).read(name)
    except OSError:
        return b""


_SETTINGS = ("uploads", "zone", "silent_after_hours", "cameras", "site")


def _stamp(settings: Settings) -> list[int] | None:
    # The manifest is replaced at each change of the catalog.
    assert settings.library is not None
    stamp = catalog_stamp(Storage(settings.library))
    return None if stamp is None else list(stamp)


@cache
def _code() -> str:
    """Return a digest of this package and the version: new code builds new pages."""
    own = sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in _CODE)
    content = b"\0".join(path.read_bytes() for path in own)
    return blake2b(content + version("pano-analytics").encode(), digest_size=8).hexdigest()


_CODE = (".py", ".html", ".css", ".js")


def _is_current(site: SiteFolder, known: BuiltDays, fingerprints: dict[str, object]) -> bool:
    due = known.fingerprints.get("due")
    if due is not None and datetime.now(UTC) >= datetime.fromisoformat(str(due)):
        return False
    before = {key: known.fingerprints.get(key) for key in fingerprints}
    return before == fingerprints and site.is_whole(known)
