"""The arguments of culling: upload root, library, time and limits; and folders that always stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from numbers import Integral
from pathlib import Path
from typing import Any

from pano_analytics import layouts
from pano_analytics.errors import QueryError
from pano_analytics.model import alike
from pano_analytics.settings import Settings
from pano_analytics.store import home
from pano_analytics.store.home import library_of
from pano_analytics.store.storage import Storage


def settings_of(where: Any) -> Settings:
    """Return the settings of a library, or settings themselves. Raises QueryError otherwise."""
    settings = getattr(where, "settings", where)
    if not isinstance(settings, Settings):
        raise QueryError(f"expected a library or its settings; got {shown(where)}.")
    return settings


def storage_of(where: Any) -> Storage:
    """Return the storage of a library, of settings, or a storage itself."""
    return where if isinstance(where, Storage) else library_of(settings_of(where))


def clock(now: Any) -> datetime | None:
    """Return the time to plan for. Raises QueryError unless it is None or an aware datetime."""
    if now is not None and (not isinstance(now, datetime) or now.tzinfo is None):
        raise QueryError(f"now: expected an aware datetime; got {shown(now)}.")
    return now


def most_files(up_to: Any) -> int | None:
    """Return the limit of files. Raises QueryError unless it is None or a whole number from 0."""
    if up_to is None:
        return None
    if isinstance(up_to, bool) or not isinstance(up_to, Integral) or up_to < 0:
        raise QueryError(f"up_to: expected a whole number of at least 0; got {shown(up_to)}.")
    return int(up_to)


def shown(value: Any) -> str:
    """Return a value for a message, as `arguments.shown` does.

    `arguments` is imported late: it needs pandas, which a scheduled culling does without.
    """
    from pano_analytics.model import arguments

    return arguments.shown(value)


def places(settings: Settings) -> tuple[Path, Storage]:
    """Return the upload root and the library; SettingsError if one is not set."""
    library_of(settings)
    return home.places(settings)


def tops(settings: Settings) -> Callable[[str], str]:
    """Return a function: upload path -> its lowest folder that culling keeps, even if empty.

    That is the camera's folder (the one in the settings, else the first below the root if it
    is named like the camera, else the root, ""), or the folder above the day's folders if
    that is deeper. It is kept because FTP accounts and cameras are configured with it. If an
    upload is in no day's folder, all its folders are kept.
    """
    folders = settings.folders

    @cache
    def top(folder: str) -> str:
        return max(_camera_top(folder, folders), _above_day(folder), key=len)

    return lambda path: top(path.rpartition("/")[0])


def _camera_top(folder: str, folders: Mapping[str, str]) -> str:
    held = layouts.folder_holding(f"{folder}/x.jpg", folders)
    if held is not None:
        depth = 0 if held == "." else held.count("/") + 1
        return "/".join(folder.split("/")[:depth])
    first = folder.partition("/")[0]
    is_camera = layouts.camera_below(f"{folder}/x.jpg", {}, "") == alike.normal(first)
    return first if is_camera else ""


def _above_day(folder: str) -> str:
    parts = folder.split("/")
    days = (n for n in range(1, len(parts) + 1) if layouts.day_of_folder(parts[:n]) is not None)
    depth = next(days, None)
    return folder if depth is None else layouts.above_dates("/".join(parts[:depth]))
