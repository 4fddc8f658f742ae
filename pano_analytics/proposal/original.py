"""Read the settings of the original system (`pano-docker.json`).

Its keys changed over the years. All keys with a counterpart in pano are imported, and all
others are listed in `remarks`. See https://github.com/robyu/pano.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pano_analytics.errors import SettingsError
from pano_analytics.model.upload import encode_path
from pano_analytics.settings import Camera, without_password

KEEP_DAYS = 14.0
"""How long the original kept files if its settings do not say."""

# Keys for things that pano does by itself, or not at all.
_WITHOUT_COUNTERPART = frozenset(
    {
        "baseline_datetime",
        "cull_old_files",
        "database_file",
        "database_fname",
        "derived_dir",
        "drop_table_flag",
        "ffmpeg",
        "log_dir",
        "magick_convert",
        "num_worker_threads",
        "skip_cull_empty_dirs",
        "skip_cull_old_files",
        "skip_derive_media",
        "skip_gen_cam_pages",
        "skip_slurp",
        "sleep_interval_min",
        "watchdog_check_breadcrumb",
        "watchdog_check_ftpd",
        "watchdog_check_httpd",
        "watchdog_dir",
        "watchdog_enable_reboot",
        "watchdog_interval_min",
        "watchdog_max_faults",
        "www_base_dir",
        "www_data_dir",
        "www_derived_dir",
    }
)
_IMPORTED = frozenset({"base_data_dir", "camera_list", "delta_min", "max_age_days", "www_dir"})
_OF_A_CAMERA = frozenset({"name", "description", "model", "admin_url", "live_url"})


@dataclass(frozen=True)
class OldCamera:
    """One camera of the original; its links have no credentials, and are None if missing."""

    name: str
    description: str
    model: str
    admin_url: str | None
    live_url: str | None

    @property
    def folder(self) -> str:
        """The folder of its uploads below the upload root, as in the column `path`."""
        return encode_path(self.name)


@dataclass(frozen=True)
class Original:
    """The settings of the original that pano imports.

    `uploads` and `pages` are absolute, None if not set. `is_culling` is whether the original
    deleted files older than `keep_days`; `gap_minutes` is the length of its periods of
    activity, None if not set. `remarks` list what was not imported.
    """

    file: Path
    uploads: Path | None
    pages: Path | None
    keep_days: float
    is_culling: bool
    gap_minutes: float | None
    cameras: tuple[OldCamera, ...]
    remarks: tuple[str, ...]


def read(file: Path) -> Original:
    """Return the settings of the original in `file`.

    Keys that begin with @ are comments, as in the original. Raises SettingsError with the
    key, what was expected and what the file has.
    """
    content = _object(file)
    cameras = tuple(_cameras(file, content))
    return Original(
        file=file,
        uploads=_folder(file, content, "base_data_dir"),
        pages=_folder(file, content, "www_dir"),
        keep_days=_number(file, content, "max_age_days", "days", 36500) or KEEP_DAYS,
        is_culling=_is_culling(content),
        gap_minutes=_number(file, content, "delta_min", "minutes", 1440),
        cameras=cameras,
        remarks=tuple(_remarks(content)),
    )


def _object(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(
            f"{file}: expected the original's settings, such as pano-docker.json; "
            f"{error.strerror or error}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{file}: expected JSON; {error}.") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: expected a JSON object with a camera_list in it.")
    return {key: value for key, value in content.items() if not key.startswith("@")}


def _wrong(file: Path, key: str, expected: str, value: Any) -> SettingsError:
    got = "got nothing" if value is None else f"got {value!r:.80}"
    return SettingsError(f"{file}: {key}: expected {expected}; {got}.")


def _folder(file: Path, content: dict[str, Any], key: str) -> Path | None:
    value = content.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise _wrong(file, key, "a folder in quotes", value)
    # Paths are relative to the folder of its settings, in which the original was started.
    return file.absolute().parent / Path(value).expanduser()


def _number(file: Path, content: dict[str, Any], key: str, unit: str, most: float) -> float | None:
    value = content.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise _wrong(file, key, f"a number of {unit} above 0, {most} at most", value)
    return float(value)


def _is_culling(content: dict[str, Any]) -> bool:
    return bool(content.get("cull_old_files", True)) and not content.get(
        "skip_cull_old_files", False
    )


def _cameras(file: Path, content: dict[str, Any]) -> Iterable[OldCamera]:
    cameras = content.get("camera_list")
    if not isinstance(cameras, list) or not cameras:
        raise _wrong(file, "camera_list", "a list of at least one camera", cameras)
    names: set[str] = set()
    for number, one in enumerate(cameras):
        camera = _camera(file, f"camera_list[{number}]", one)
        if camera.name in names:
            raise _wrong(file, f"camera_list[{number}].name", "a unique name", camera.name)
        names.add(camera.name)
        yield camera


def _camera(file: Path, key: str, entry: Any) -> OldCamera:
    if not isinstance(entry, dict):
        # Do not show it: it may contain an address with a password.
        raise SettingsError(f"{file}: {key}: expected an object with a name; got something else.")
    return OldCamera(
        name=_name(file, f"{key}.name", entry.get("name")),
        description=_line(file, f"{key}.description", entry.get("description")),
        model=_line(file, f"{key}.model", entry.get("model")),
        admin_url=_link(entry.get("admin_url")),
        live_url=_link(entry.get("live_url")),
    )


def _name(file: Path, key: str, value: Any) -> str:
    if isinstance(value, str) and value.isprintable():
        try:
            # Check the name also as a folder: its uploads are in a folder of that name.
            return Camera(name=value, folder=encode_path(value)).name
        except ValidationError:
            pass
    raise _wrong(file, key, "the name of a camera and of its folder, in quotes", value)


def _line(file: Path, key: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(file, key, "text in quotes", value)
    return " ".join(value.split())


def _link(value: Any) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        return without_password(value if "://" in value else f"http://{value}")
    except ValueError:
        return None


def _remarks(content: dict[str, Any]) -> Iterable[str]:
    unknown = sorted(content.keys() - _IMPORTED - _WITHOUT_COUNTERPART)
    if unknown:
        yield f"Not imported, since pano has no such key: {', '.join(unknown)}"
    for number, camera in enumerate(content["camera_list"]):
        unknown = sorted(key for key in camera.keys() - _OF_A_CAMERA if not key.startswith("@"))
        if unknown:
            yield f"Not imported from camera_list[{number}]: {', '.join(unknown)}"
        for key in ("admin_url", "live_url"):
            if camera.get(key) and _link(camera[key]) is None:
                yield f"Not imported: camera_list[{number}].{key}, which is not a link"
