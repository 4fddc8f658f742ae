"""From a path to what the camera said: one module per camera family, chosen per file."""

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
    "passes_over",
    "plain",
    "propose",
    "read",
    "reader_of",
    "same_folder",
]


class Family(Protocol):
    """What a module of this package offers for one vendor."""

    __doc__: str | None
    LAYOUTS: dict[str, str]

    def read(self, folder: Folder, name: str) -> Reading | None: ...


# family -> its module, in the order in which they are asked: the narrower forms
# first, for Vivotek's "any prefix and a stamp" would take several others' names.
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

# layout or family -> one line on its form: what may be asked for by name.
LAYOUTS: dict[str, str] = {
    **{name: (family.__doc__ or name).splitlines()[0] for name, family in FAMILIES.items()},
    "dahua": "the same as amcrest",
    **{name: line for family in FAMILIES.values() for name, line in family.LAYOUTS.items()},
}

# What is never media, by the layout that its reading names.
SIDECARS: dict[str, str] = sidecars.LAYOUTS


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


def reader_of(folder: str, layout: str | Sequence[str] = "auto") -> Callable[[str], Reading]:
    """Return a reader for the names in `folder` by the `layout` of a camera's table.

    That is "auto", the name of a layout or family, a template, or several of these: the
    first that reads a name has it. What none reads has the reason of the first.
    """
    wanted = [layout] if isinstance(layout, str) else layout
    readers = [_reader_of(folder, one) for one in wanted]
    return readers[0] if len(readers) == 1 else partial(_first_that_reads, readers)


def _reader_of(folder: str, layout: str) -> Callable[[str], Reading]:
    if "{" in layout:
        return partial(_read_template, Template.parse(layout), f"{folder}/" if folder else "")
    return folder_reader(folder, None if layout == "auto" else layout)


def _read_template(template: Template, inside: str, name: str) -> Reading:
    found = template.read(f"{inside}{name}")
    return found or _unknown(f"does not fit the template {template.text}")


def _first_that_reads(readers: Sequence[Callable[[str], Reading]], name: str) -> Reading:
    readings = (read_name(name) for read_name in readers)
    first = next(readings)
    if first.kind != "unknown":
        return first
    return next((one for one in readings if one.kind != "unknown"), first)


def folder_reader(folder: str, layout: str | None = None) -> Callable[[str], Reading]:
    """Return a reader for the names in `folder`, whose own part is read once.

    `folder_reader(f)(name)` equals `read(f + "/" + name)` for each `name` that a
    file can have: one without a `/`.
    """
    own = folder_of(plain(folder))

    def read_name(name: str) -> Reading:
        if "\\" in name:  # a folder and a name, elsewhere
            return read(f"{folder}/{name}", layout)
        return _read(layout, own, name)

    return read_name


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
    name, later = split(name)
    if later is not None:
        return _read_any(layout, folder, name)._replace(later=later)
    ignored = sidecars.read(name)
    if ignored is not None:
        return ignored
    reading = (
        _first(FAMILIES.values(), folder, name)
        if layout is None
        else (_restricted(layout, folder, name))
    )
    return reading or _unknown(_why_not(name, layout))


def _first(families: Iterable[Family], folder: Folder, name: str) -> Reading | None:
    """Return what the first family reads that knows the name.

    One that knows it but finds an impossible time ends the search as well: the
    next would only be less particular about the same digits.
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
    """Return the family that a layout or a family's name means.

    Raises SettingsError where there is none of that name.
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
