"""Read what a camera's file name says: one module per camera family, chosen per file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from pano_analytics.errors import SettingsError
from pano_analytics.layouts import (
    amcrest,
    dafang,
    dlink,
    foscam,
    frigate,
    geovision,
    hikvision,
    motion,
    reolink,
    sidecars,
    vivotek,
    xiaomi,
    yi,
)
from pano_analytics.layouts.folders import (
    LONGEST_NAME,
    Folder,
    above_dates,
    camera_below,
    day_of_folder,
    folder_holding,
    folder_of,
    is_serial,
    names_a_camera,
    passes_over,
    plain,
    same_folder,
)
from pano_analytics.layouts.later import split
from pano_analytics.layouts.names import kind_of
from pano_analytics.layouts.proposed import propose
from pano_analytics.layouts.template import Template
from pano_analytics.model.upload import Reading

__all__ = [
    "FAMILIES",
    "LAYOUTS",
    "SIDECARS",
    "Template",
    "above_dates",
    "camera_below",
    "day_of_folder",
    "family_of",
    "folder_holding",
    "folder_reader",
    "is_serial",
    "kind_of",
    "names_a_camera",
    "passes_over",
    "plain",
    "propose",
    "read",
    "reader_of",
    "same_folder",
]


class Family(Protocol):
    """The interface of a module of this package, for one camera family."""

    __doc__: str | None
    LAYOUTS: dict[str, str]

    def read(self, folder: Folder, name: str) -> Reading | None: ...


# Family -> its module, in the order in which they are tried: the narrower patterns first,
# because Vivotek's "any prefix and a stamp" also matches the names of several others.
FAMILIES: dict[str, Family] = {
    "amcrest": amcrest,
    "reolink": reolink,
    "hikvision": hikvision,
    "foscam": foscam,
    "dafang": dafang,
    "dlink": dlink,
    "geovision": geovision,
    "frigate": frigate,
    "yi": yi,
    "xiaomi": xiaomi,
    "motion": motion,
    "vivotek": vivotek,
}

_ALSO_CALLED = {"dahua": "amcrest"}

# Layout or family -> one line about its form: the values that `layout` accepts.
LAYOUTS: dict[str, str] = {
    **{name: (family.__doc__ or name).splitlines()[0] for name, family in FAMILIES.items()},
    "dahua": "the same as amcrest",
    **{name: line for family in FAMILIES.values() for name, line in family.LAYOUTS.items()},
}

# Layouts of files that are never media.
SIDECARS: dict[str, str] = sidecars.LAYOUTS


def read(path: str, layout: str | None = None) -> Reading:
    """Return what `path` says about the upload, from its text alone.

    `path` may be relative, absolute, a URL or a Windows path. `layout` is the only layout
    or family to try, None for all. Times are naive, as in the name. Accepts any `path`;
    raises SettingsError if `layout` does not exist.
    """
    if "\\" in path or "://" in path:
        path = plain(path)
    folder, _, name = path.rpartition("/")
    return _read(layout, folder_of(folder), name)


def reader_of(folder: str, layout: str | Sequence[str] = "auto") -> Callable[[str], Reading]:
    """Return a reader for the names in `folder`, by `layout` as a camera's settings have it.

    `layout` is "auto", the name of a layout or family, a template, or several of these; the
    first that reads a name is used. If none does, the reading has the reason of the first.
    """
    layouts = [layout] if isinstance(layout, str) else layout
    readers = [_reader_of(folder, one) for one in layouts]
    return readers[0] if len(readers) == 1 else partial(_first_that_reads, readers)


def _reader_of(folder: str, layout: str) -> Callable[[str], Reading]:
    if "{" in layout:
        return partial(_read_template, Template.parse(layout), f"{folder}/" if folder else "")
    return folder_reader(folder, None if layout == "auto" else layout)


def _read_template(template: Template, prefix: str, name: str) -> Reading:
    reading = template.read(f"{prefix}{name}")
    return reading or _unknown(f"does not fit the template {template.text}")


def _first_that_reads(readers: Sequence[Callable[[str], Reading]], name: str) -> Reading:
    readings = (read_name(name) for read_name in readers)
    first = next(readings)
    if first.kind != "unknown":
        return first
    return next((one for one in readings if one.kind != "unknown"), first)


def folder_reader(folder: str, layout: str | None = None) -> Callable[[str], Reading]:
    """Return a reader for the names in `folder`, which reads the folder's path only once.

    `folder_reader(f)(name)` equals `read(f + "/" + name)` for each `name` without a `/`.
    """
    own = folder_of(plain(folder) if "\\" in folder or "://" in folder else folder)

    def read_name(name: str) -> Reading:
        if "\\" in name:  # on Windows, a folder and a name
            return read(f"{folder}/{name}", layout)
        # A fast path for Amcrest and Dahua, whose names fill whole archives.
        if layout is None and "]" in name and len(name) <= LONGEST_NAME:
            reading = amcrest.read(own, name)
            if reading is not None:
                return reading
        return _read(layout, own, name)

    return read_name


def _read(layout: str | None, folder: Folder, name: str) -> Reading:
    if len(name) > LONGEST_NAME:
        return _unknown(f"its name is longer than the {LONGEST_NAME} characters of any file's")
    name, later = split(name)
    if later is not None:
        return _read(layout, folder, name)._replace(later=later)
    ignored = sidecars.read(name)
    if ignored is not None:
        return ignored
    reading = (
        _first(FAMILIES.values(), folder, name)
        if layout is None
        else _restricted(layout, folder, name)
    )
    return reading or _unknown(_why_not(name, layout))


def _first(families: Iterable[Family], folder: Folder, name: str) -> Reading | None:
    """Return the reading of the first family that recognises the name.

    A family that recognises the name but finds an invalid time ends the search, too: the
    next one would only be less strict about the same digits.
    """
    for family in families:
        reading = family.read(folder, name)
        if reading is not None:
            return reading
    return None


def _restricted(layout: str, folder: Folder, name: str) -> Reading | None:
    reading = family_of(layout).read(folder, name)
    is_wanted = (
        reading is None
        or reading.kind == "unknown"
        or layout in FAMILIES
        or layout in _ALSO_CALLED
        or reading.layout == layout
    )
    return reading if is_wanted else None


def family_of(layout: str) -> Family:
    """Return the family with this name or with a layout of this name.

    Raises SettingsError if there is none.
    """
    name = _ALSO_CALLED.get(layout, layout)
    for family_name, family in FAMILIES.items():
        if name == family_name or name in family.LAYOUTS:
            return family
    known = ", ".join(sorted(LAYOUTS))
    raise SettingsError(f"layout: expected one of {known}; got {layout!r}")


def _why_not(name: str, layout: str | None) -> str:
    stem, dot, extension = name.rpartition(".")
    if not name:
        return "it is the path of a folder, not of a file"
    if not (dot and stem):
        return "it has no extension, so it is neither a picture nor a clip"
    if kind_of(extension) is None:
        return f"files called .{extension} are neither pictures nor clips"
    if layout is None:
        return "its name matches no known layout"
    return f"it does not match the layout {layout}"


def _unknown(reason: str) -> Reading:
    return Reading(kind="unknown", reason=reason)
