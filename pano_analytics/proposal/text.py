"""Write a `pano.toml` with comments, which is valid whatever the folders are called."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable
from itertools import chain, count
from math import ceil
from pathlib import Path
from textwrap import fill
from zoneinfo import ZoneInfo

from pano_analytics import layouts
from pano_analytics.errors import LibraryError
from pano_analytics.model import alike
from pano_analytics.model.upload import encode_path, resolved
from pano_analytics.proposal.original import OldCamera, Original
from pano_analytics.proposal.tree import SampledCamera, sample_cameras
from pano_analytics.store.home import Home
from pano_analytics.store.storage import Storage
from pano_analytics.wording import many


def propose(uploads: Path | None, zone: str, original: Original | None = None) -> str:
    """Return the text of a `pano.toml` for the tree at `uploads`, or one to be filled in.

    With `original`, the text contains the settings of the original system: first its
    cameras, then other cameras of the tree. If `uploads` is not given, the original's own
    upload folder is examined if it exists. `settings.load` accepts the text, whatever the
    folders are called.
    """
    root = uploads if uploads is not None or original is None else original.uploads
    exists = root is not None and (uploads is not None or root.is_dir())
    cameras = sample_cameras(root, ZoneInfo(zone)) if root is not None and exists else []
    hours = _common_hours_late(cameras)
    parts = [_head(root, zone, hours)]
    if original is not None:
        parts += _imported(original, exists or root is None)
        parts += _old_cameras(original, cameras, zone, hours)
        cameras = _others(original, cameras)
    taken_names = [] if original is None else [old.name for old in original.cameras]
    return "\n".join([*parts, *_cameras(cameras, zone, hours, taken_names)])


def _imported(original: Original, exists: bool) -> list[str]:
    remarks = [f"Imported from {original.file.name}."]
    if not exists:
        remarks.append(
            "Its upload folder does not exist on this computer (it may have another path inside a "
            "container): set the right one above, or use --uploads."
        )
    remarks += original.remarks
    pages = [] if original.pages is None else [_pages(original.pages, original, exists)]
    return ["\n".join([*map(_remark, remarks), ""]), _kept(original), *pages]


def _pages(folder: Path, original: Original, exists: bool) -> str:
    # Beside the original's own pages, because a web server already serves that folder.
    is_set = exists and folder.is_dir()
    minutes = original.gap_minutes
    gap = f"period_gap_s = {minutes * 60:g}" if minutes else "# period_gap_s = 600"
    return f"""\
# Pages that `pano site` writes, beside those of the original. Its web server served the uploads
# at /FTP/; without media_url, links are relative paths.
[site]
{"" if is_set else "# "}folder = {quoted(str(folder / "pano"))}
# media_url = "/FTP/"
{gap}
"""


def _remark(text: str) -> str:
    return fill(_on_one_line(text), 92, initial_indent="# ", subsequent_indent="#   ")


def _kept(original: Original) -> str:
    days = ceil(original.keep_days)
    if not original.is_culling:
        return (
            "# The original deleted nothing. Days to keep, if you want that to change:\n"
            f"# keep_days = {days}\n"
        )
    return f"""\
# Days to keep uploads, as before. But nothing is deleted until `pano cull --adopt`
# has marked the folder as the right one; then `pano cull --delete` deletes, or `pano up`
# if scheduled = true is set under [cull].
keep_days = {days}
"""


def _old_cameras(
    original: Original, cameras: list[SampledCamera], zone: str, hours: int
) -> list[str]:
    sampled = {alike.key(one.folder or ""): one for one in cameras}
    return [
        _old_table(old, sampled.get(alike.key(old.folder)), zone, hours) for old in original.cameras
    ]


def _others(original: Original, cameras: list[SampledCamera]) -> list[SampledCamera]:
    known = {alike.key(old.folder.partition("/")[0]) for old in original.cameras}
    return [one for one in cameras if alike.key(one.folder or "") not in known]


def _common_hours_late(cameras: list[SampledCamera]) -> int:
    """Return by how many hours most cameras are late, or 0 if they do not agree."""
    counts = Counter(camera.hours_late for camera in cameras if camera.layouts)
    [(hours, number)] = counts.most_common(1) or [(0, 0)]
    return hours if number > 1 and 2 * number > counts.total() else 0


def _head(uploads: Path | None, zone: str, hours_late: int) -> str:
    root = None if uploads is None else uploads.absolute()
    library = None if root is None else _library(root)
    return f"""\
# Settings of pano, proposed by `pano init`. docs/pano.toml explains all keys.
# Lines that begin with `#` are comments, or keys with their default.

# The folder that the cameras upload to; it is only read.
{_folder("uploads", root, "/srv/ftp")}

# The folder where pano stores its data; must not be below the uploads.
{_folder("library", library, "/var/lib/pano")}

# The time zone of the cameras, unless a camera has its own below.
{_common_zone_remark(hours_late)}zone = {quoted(zone)}

# A camera is reported as silent after this many hours without an upload.
# silent_after_hours = 24
"""


def _common_zone_remark(hours_late: int) -> str:
    if not hours_late:
        return ""
    return (
        f"# But the files arrive {_apart(hours_late)} than their names say in this zone: most\n"
        "# likely the cameras use another time zone, which should be set here.\n"
    )


def _apart(hours_late: int) -> str:
    return f"{abs(hours_late)} h {'later' if hours_late > 0 else 'earlier'}"


def _folder(key: str, path: Path | None, example: str) -> str:
    if path is None:
        return f"# {key} = {quoted(example)}"
    if not _is_text(str(path)):
        return (
            f"# Its name has bytes that are not UTF-8 and cannot be written here: use --{key} "
            f"instead."
            f"\n# {key} = {quoted(encode_path(str(path)))}"
        )
    return f"{key} = {quoted(str(path))}"


def _library(uploads: Path) -> Path:
    """Return a folder for the library, beside the uploads or in the current folder.

    This is an existing library of these uploads if there is one, else a folder that can be
    created.
    """
    names = ("library", f"{uploads.name or 'pano'}-library")
    candidates = [folder / name for folder in (uploads.parent, Path.cwd()) for name in names]
    own = next((one for one in candidates if _is_library_of(one, uploads)), None)
    return own or next((one for one in candidates if _can_be_created(one, uploads)), candidates[1])


def _is_library_of(folder: Path, uploads: Path) -> bool:
    try:
        home = Home.read(Storage(folder))
    except LibraryError:
        return False
    return home is not None and home.settings.uploads == resolved(uploads)


def _can_be_created(folder: Path, uploads: Path) -> bool:
    # Ingest rejects a library below the uploads.
    is_apart = not folder.is_relative_to(uploads)
    return is_apart and not folder.exists() and os.access(folder.parent, os.W_OK)


def _cameras(
    cameras: list[SampledCamera], zone: str, common_hours_late: int, taken: Collection[str]
) -> list[str]:
    known = [camera for camera in cameras if camera.layouts and _can_be_named(camera)]
    names = _names(known, taken)
    tables = [_table(one, names[one.camera], zone, common_hours_late) for one in known]
    unknown = [
        _unknown_layout(camera) for camera in cameras if camera.unknown and not camera.layouts
    ]
    return [*tables, *unknown]


def _can_be_named(camera: SampledCamera) -> bool:
    # A camera without a folder is identified by its exact name.
    return camera.folder is not None or _on_one_line(camera.camera) == camera.camera


def _names(cameras: Iterable[SampledCamera], taken: Collection[str]) -> dict[str, str]:
    """Return camera -> a unique name on one line that is not taken, unchanged if possible."""
    names = {
        one.camera: one.camera
        for one in cameras
        if _on_one_line(one.camera) == one.camera and alike.find(one.camera, taken) is None
    }
    for camera in cameras:
        if camera.camera not in names:
            plain = _on_one_line(camera.camera) or "camera"
            names[camera.camera] = _free(plain, {*names.values(), *taken})
    return names


def _free(name: str, taken: Collection[str]) -> str:
    numbered = (f"{name} {number}" for number in count(2))
    return next(one for one in chain([name], numbered) if alike.find(one, taken) is None)


def _on_one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _table(camera: SampledCamera, name: str, zone: str, common_hours_late: int) -> str:
    lines = ["[[cameras]]", f"name = {quoted(name)}"]
    if camera.folder is not None:
        lines.append(f"{'# ' if camera.folder == name else ''}folder = {quoted(camera.folder)}")
    lines += [
        '# description = ""',
        f'# layout = "auto"   # seen: {_seen(camera)}',
        *(_zone_remark(camera, zone) if camera.hours_late != common_hours_late else []),
        '# admin_url = "http://…/"',
        "",
    ]
    return "\n".join(lines)


def _old_table(
    old: OldCamera, camera: SampledCamera | None, zone: str, common_hours_late: int
) -> str:
    is_off = camera is not None and camera.hours_late != common_hours_late
    seen = f"seen: {_seen(camera)}" if camera is not None else "no files seen here"
    return "\n".join(
        [
            "[[cameras]]",
            f"name = {quoted(old.name)}",
            f"{'# ' if old.folder == old.name else ''}folder = {quoted(old.folder)}",
            _key_or_comment("description", old.description),
            f'# layout = "auto"   # {_on_one_line(old.model) or "unknown model"}; {seen}',
            *(_zone_remark(camera, zone) if camera is not None and is_off else []),
            _key_or_comment("admin_url", old.admin_url, "http://…/"),
            _key_or_comment("live_url", old.live_url, "rtsp://…/"),
            "",
        ]
    )


def _key_or_comment(key: str, value: str | None, example: str = "") -> str:
    return f"{key} = {quoted(value)}" if value else f"# {key} = {quoted(example)}"


def _seen(camera: SampledCamera) -> str:
    seen = [*camera.layouts.most_common(), ("of unknown layout", camera.unknown)]
    return ", ".join(f"{number} × {what}" for what, number in seen if number)


def _zone_remark(camera: SampledCamera, zone: str) -> list[str]:
    hours = camera.hours_late
    if not hours:
        return []
    return [
        f"# Its files arrive {_apart(hours)} than their names say in {zone}. Is its clock wrong,",
        "# or does it use another time zone? If so, set it here:",
        f"# zone = {quoted('Europe/Berlin' if zone == 'UTC' else 'UTC')}",
    ]


def _unknown_layout(camera: SampledCamera) -> str:
    where = f"folder {quoted(camera.folder)}" if camera.folder else "root itself"
    template = layouts.propose(camera.unread)
    files = many(camera.unknown, "sampled file")
    if template is None:
        return (
            f"# In the {where}, no layout matches the names of {files}; a\n"
            "# template in `layout` can describe them (see docs/settings.md).\n"
        )
    folder = "" if camera.folder else '# folder = "."\n'
    return (
        f"# In the {where}, no layout matches the names of {files}. This\n"
        f"# template reads them; try it with `pano explain`, and remove the # signs to use it:\n"
        f"# [[cameras]]\n# name = {quoted(camera.camera)}\n{folder}# layout = {quoted(template)}\n"
    )


def _is_text(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def quoted(text: str) -> str:
    """Return `text` as a TOML string; surrogates, which TOML cannot express, become �."""
    safe = "".join(char if _is_text(char) else "\ufffd" for char in text)
    # JSON has the same escapes as TOML, but allows the delete character unescaped.
    return json.dumps(safe, ensure_ascii=False).replace("\x7f", "\\u007F")
