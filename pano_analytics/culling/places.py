"""Where culling is at work: the upload root, the library, and the folders that always stay."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from pano_analytics import alike, layouts
from pano_analytics.errors import UploadTreeError
from pano_analytics.home import library_of
from pano_analytics.settings import Settings
from pano_analytics.storage import Storage


def places(settings: Settings) -> tuple[Path, Storage]:
    """Return the upload root and the library; UploadTreeError or LibraryError if one is not set."""
    storage = library_of(settings)
    if settings.uploads is None:
        raise UploadTreeError(
            "expected an upload root: give --uploads DIR or `uploads` in pano.toml."
        )
    return settings.uploads, storage


def tops(settings: Settings) -> Callable[[str], str]:
    """Return what tells the top folder of an upload's camera, as in the column `path`.

    That is the folder that settings give the camera, else the first below the
    root where it names the camera, else the root itself (""). It stays, empty
    or not: the camera's account on the FTP server leads there.
    """
    folders = settings.folders

    @cache
    def top(folder: str) -> str:
        held = layouts.folder_holding(f"{folder}/x.jpg", folders)
        if held is not None:
            depth = 0 if held == "." else held.count("/") + 1
            return "/".join(folder.split("/")[:depth])
        first = folder.partition("/")[0]
        is_camera = layouts.camera_below(f"{folder}/x.jpg", {}, "") == alike.normal(first)
        return first if is_camera else ""

    return lambda path: top(path.rpartition("/")[0])
