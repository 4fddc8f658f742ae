"""The settings of the original system (`pano-docker.json`), read as it read them.

Its keys changed over the years; what each of them meant is taken over, and what has no
counterpart is told of by its name. See https://github.com/robyu/pano.
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
"""How long the original kept files where its settings do not say."""

# What it did with these, pano does by itself or not at all.
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
_TAKEN_OVER = frozenset({"base_data_dir", "camera_list", "delta_min", "max_age_days", "www_dir"})
_OF_A_CAMERA = frozenset({"name", "description", "model", "admin_url", "live_url"})


@dataclass(frozen=True)
class OldCamera:
    """One camera of the original; its links without credentials, None where there are none."""

    name: str
    description: str
    model: str
    admin_url: str | None
    live_url: str | None

    @property
    def folder(self) -> str:
        """Where its uploads lie below the upload root, as in the `path` column."""
        return encode_path(self.name)


@dataclass(frozen=True)
class Original:
    """What the original's settings say that pano takes over.

    `uploads` and `pages` are absolute, None where not said. `is_culling` is whether the
    original deleted what was older than `keep_days`; `gap_minutes` how long its periods of
    activity were, None where not said. `remarks` tell what was left behind.
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
    """Return what the settings of the original at `file` say.

    Keys that begin with @ are comments, as they were there. Raises SettingsError that names
    the key, what was expected and what came.
    """
    said = _object(file)
    cameras = tuple(_cameras(file, said))
    return Original(
        file=file,
        uploads=_folder(file, said, "base_data_dir"),
        pages=_folder(file, said, "www_dir"),
        keep_days=_number(file, said, "max_age_days", "days", 36500) or KEEP_DAYS,
        is_culling=_is_culling(said),
        gap_minutes=_number(file, said, "delta_min", "minutes", 1440),
        cameras=cameras,
        remarks=tuple(_remarks(said)),
    )


def _object(file: Path) -> dict[str, Any]:
    try:
        said = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(
            f"{file}: expected the original's settings, such as pano-docker.json; "
            f"{error.strerror or error}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{file}: expected JSON; {error}.") from error
    if not isinstance(said, dict):
        raise SettingsError(f"{file}: expected a JSON object with a camera_list in it.")
    return {key: value for key, value in said.items() if not key.startswith("@")}


def _wrong(file: Path, key: str, expected: str, value: Any) -> SettingsError:
    got = "got nothing" if value is None else f"got {value!r:.80}"
    return SettingsError(f"{file}: {key}: expected {expected}; {got}.")


def _folder(file: Path, said: dict[str, Any], key: str) -> Path | None:
    value = said.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise _wrong(file, key, "a folder in quotes", value)
    # The original was started in the folder of its settings.
    return file.absolute().parent / Path(value).expanduser()


def _number(file: Path, said: dict[str, Any], key: str, unit: str, most: float) -> float | None:
    value = said.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise _wrong(file, key, f"a number of {unit} above 0, {most} at most", value)
    return float(value)


def _is_culling(said: dict[str, Any]) -> bool:
    return bool(said.get("cull_old_files", True)) and not said.get("skip_cull_old_files", False)


def _cameras(file: Path, said: dict[str, Any]) -> Iterable[OldCamera]:
    listed = said.get("camera_list")
    if not isinstance(listed, list) or not listed:
        raise _wrong(file, "camera_list", "a list of at least one camera", listed)
    names: set[str] = set()
    for number, one in enumerate(listed):
        camera = _camera(file, f"camera_list[{number}]", one)
        if camera.name in names:
            raise _wrong(file, f"camera_list[{number}].name", "a unique name", camera.name)
        names.add(camera.name)
        yield camera


def _camera(file: Path, key: str, said: Any) -> OldCamera:
    if not isinstance(said, dict):
        # Not shown: it may hold an address with a password.
        raise SettingsError(f"{file}: {key}: expected an object with a name; got something else.")
    return OldCamera(
        name=_name(file, f"{key}.name", said.get("name")),
        description=_line(file, f"{key}.description", said.get("description")),
        model=_line(file, f"{key}.model", said.get("model")),
        admin_url=_link(said.get("admin_url")),
        live_url=_link(said.get("live_url")),
    )


def _name(file: Path, key: str, value: Any) -> str:
    if isinstance(value, str) and value.isprintable():
        try:
            # Its uploads lie in a folder of its name: as such it is checked too.
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


def _remarks(said: dict[str, Any]) -> Iterable[str]:
    strange = sorted(said.keys() - _TAKEN_OVER - _WITHOUT_COUNTERPART)
    if strange:
        yield f"Not imported, since pano has no such key: {', '.join(strange)}"
    for number, camera in enumerate(said["camera_list"]):
        strange = sorted(key for key in camera.keys() - _OF_A_CAMERA if not key.startswith("@"))
        if strange:
            yield f"Not imported from camera_list[{number}]: {', '.join(strange)}"
        for key in ("admin_url", "live_url"):
            if camera.get(key) and _link(camera[key]) is None:
                yield f"Not imported: camera_list[{number}].{key}, which is not a link"
