"""From a path to what the camera said: one module per camera family, chosen per file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pano_analytics.errors import SettingsError
from pano_analytics.layouts import amcrest, sidecars
from pano_analytics.layouts.folders import (
    LONGEST_NAME,
    Folder,
    camera_below,
    day_of_folder,
    folder_of,
    is_serial,
    passes_over,
    plain,
)
from pano_analytics.layouts.names import kind_of
from pano_analytics.media import Reading

__all__ = [
    "FAMILIES",
    "LAYOUTS",
    "camera_below",
    "day_of_folder",
    "folder_reader",
    "is_serial",
    "passes_over",
    "read",
]

Reader = Callable[[Folder, str], Reading | None]

# family -> how it reads, in the order in which they are asked.
FAMILIES: dict[str, Reader] = {
    "amcrest": amcrest.read,
}

# layout -> one line on its form.
LAYOUTS: dict[str, str] = {**amcrest.LAYOUTS, **sidecars.LAYOUTS}


def read(path: str, layout: str | None = None) -> Reading:
    """Return what `path` says about the upload: a pure function of the text.

    `path` may be relative, absolute, a URL or of Windows. `layout` names the
    one layout or family to try, None for all. Times are naive, as spelled.
    Never raises for any `path`; a `layout` that does not exist is a
    `SettingsError`.
    """
    if "\\" in path or "://" in path:
        path = plain(path)
    folder, _, name = path.rpartition("/")
    return _read(layout, folder_of(folder), name)


def folder_reader(folder: str, layout: str | None = None) -> Callable[[str], Reading]:
    """Return a reader for the names in `folder`, whose own part is read once.

    `folder_reader(f)(name)` equals `read(f + "/" + name)` for each `name`
    without a separator of any system in it.
    """
    return partial(_read, layout, folder_of(plain(folder)))


def _read(layout: str | None, folder: Folder, name: str) -> Reading:
    # The short way for what whole archives are made of; all else takes the long one.
    if layout is None and "]" in name and len(name) <= LONGEST_NAME:
        reading = amcrest.read(folder, name)
        if reading is not None:
            return reading
    return _read_any(layout, folder, name)


def _read_any(layout: str | None, folder: Folder, name: str) -> Reading:
    if len(name) > LONGEST_NAME:
        return _unknown(f"its name is longer than the {LONGEST_NAME} characters of any file's")
    ignored = sidecars.read(name)
    if ignored is not None:
        return ignored
    resembling = None
    for reader in _readers(layout):
        reading = reader(folder, name)
        if reading is None:
            continue
        if reading.kind != "unknown":
            return reading
        resembling = resembling or reading
    return resembling or _unknown(_why_not(name, layout))


def _readers(layout: str | None) -> list[Reader]:
    if layout is None:
        return list(FAMILIES.values())
    raise SettingsError(layout)


def _why_not(name: str, layout: str | None) -> str:
    stem, dot, extension = name.rpartition(".")
    if not name:
        return "it names a folder, not a file"
    if not (dot and stem):
        return "it has no extension, so it is neither a picture nor a clip"
    if kind_of(extension) is None:
        return f"files called .{extension} are neither pictures nor clips"
    return "its name is of no known layout" if layout is None else f"it is not of layout {layout}"


def _unknown(reason: str) -> Reading:
    return Reading(kind="unknown", reason=reason)
