"""The settings in `pano.toml`, typed and validated."""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from pano_analytics.errors import SettingsError
from pano_analytics.model import alike, corrections, zones
from pano_analytics.model.corrections import ClockCorrection
from pano_analytics.model.readers import Readers
from pano_analytics.model.times import is_zone, system_zone
from pano_analytics.model.upload import resolved

FILE_NAME = "pano.toml"
ENVIRONMENT = "PANO_CONFIG"


def _check_zone(name: str) -> str:
    if is_zone(name):
        return name
    raise ValueError(f"an IANA time zone such as 'Europe/Berlin' or 'UTC' ({_zone_hint(name)})")


def _zone_hint(name: str) -> str:
    offset = zones.offset_of(name)
    if offset is not None:
        return offset
    instead = " or ".join(repr(one) for one in zones.instead_of(name))
    if instead:
        return f"did you mean {instead}?"
    hint = alike.hint(name, zones.places()).strip()
    return hint[:1].lower() + hint[1:] or f"this machine's is {system_zone()!r}"


def without_password(url: str) -> str:
    """Return `url` without user name and password, so that no page or log can show them."""
    scheme, _, rest = url.strip().partition("://")
    # A password may contain any character, even / and #; it ends at the last @.
    parts = urlsplit(f"{scheme}://{rest.rpartition('@')[2]}")
    if parts.scheme not in ("http", "https", "rtsp", "rtsps") or not parts.hostname:
        raise ValueError("an address beginning with http://, https:// or rtsp://")
    query = _public_query(parts.query)
    fragment = parts.fragment if query == parts.query else ""
    return urlunsplit((parts.scheme, parts.netloc, _public_path(parts.path), query, fragment))


# Cameras also accept credentials as ?user=…&password=…, and some in the path.
_SECRET = r"(user(name)?|usr|login(use|pas)?|pass(word|wd)?|pwd|token|auth)="


def _public_query(query: str) -> str:
    parts = re.split("[&;]", query)
    return "&".join(part for part in parts if part and not re.match(_SECRET, part, re.IGNORECASE))


def _public_path(path: str) -> str:
    # Where a password in the path ends is unknown, so the rest is removed too.
    return re.sub(rf"[^/]*{_SECRET}.*", "", path, flags=re.IGNORECASE)


def _check_folder(folder: str) -> str:
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or not (path.parts or folder == "."):
        raise ValueError(
            "a folder below the upload root, such as 'front_door', or '.' for the upload root "
            "itself"
        )
    return path.as_posix()


def _check_name(name: str) -> str:
    if not name.strip() or "\0" in name or "\n" in name:
        raise ValueError("a name of at least one character on one line")
    return alike.normal(name)


def _check_media_url(url: str) -> str:
    # It is also part of each page's Content-Security-Policy, where blanks and semicolons separate.
    web, path = r"https?://[\w.-]+(:\d+)?(/[\w./~%-]*)?", r"/?[\w.~%-][\w./~%-]*"
    if not re.fullmatch(f"{web}|{path}", url, re.ASCII):
        raise ValueError(
            "a path or address such as '/uploads/', '../ftp/' or 'https://nas.home/uploads/'"
        )
    return url.rstrip("/") + "/"


def _check_web(url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("an address beginning with http:// or https://")
    return without_password(url).rstrip("/") + "/"


def _check_scheme(url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ValueError("an address beginning with http:// or https://")
    return url


def _check_prefix(prefix: str) -> str:
    inner = prefix.strip("/")
    if not re.fullmatch(r"[\w.~-]*(/[\w.~-]+)*", inner, re.ASCII) or ".." in inner.split("/"):
        raise ValueError("a path of letters and digits, such as '/cameras/'")
    return f"/{inner}" if inner else ""


def _check_ipv4(address: str) -> str:
    try:
        return str(ipaddress.IPv4Address(address))
    except ValueError:
        # The reply to PASV contains four numbers, not a name.
        raise ValueError("an IPv4 address in numbers, such as '192.168.1.20'") from None


def _check_layout(layout: str) -> str:
    from pano_analytics import layouts  # late: only settings that name a layout need it

    if layout == "auto" or layout in layouts.LAYOUTS:
        return layout
    if "{" in layout:
        try:
            layouts.Template.parse(layout)
        except SettingsError as error:
            raise ValueError(str(error)) from error
        return layout
    hint = alike.hint(layout, ("auto", *layouts.LAYOUTS)).strip()
    raise ValueError(
        f"'auto', a template with {{start:…}}, or one of {', '.join(layouts.LAYOUTS)}"
        f"{hint and f' ({hint[0].lower()}{hint[1:]})'}"
    )


def _check_layouts(value: Any) -> Any:
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, list | tuple) or not several:
        raise ValueError(
            "a layout in quotes, or a list of layouts in the order in which to try them"
        )
    if not all(isinstance(one, str) for one in several):
        raise ValueError("each layout in the list in quotes")
    checked = tuple(map(_check_layout, several))
    return checked[0] if isinstance(value, str) else checked


def _as_path(value: Any) -> Any:
    return Path(value).expanduser() if isinstance(value, str) and value.strip() else value


# A hundred years; a longer time is probably a slip, or means "forever".
MOST_DAYS = 36_500


def _check_days(days: Any) -> Any:
    # 0 is refused: it could mean "keep nothing" or "no limit".
    is_number = isinstance(days, int) and not isinstance(days, bool)
    if days == "forever" or (is_number and 1 <= days <= MOST_DAYS):
        return days
    raise ValueError(f"a whole number of days from 1 to {MOST_DAYS}, or 'forever'")


ZoneName = Annotated[str, AfterValidator(_check_zone)]
KeepDays = Annotated[int | Literal["forever"], BeforeValidator(_check_days)]
PublicUrl = Annotated[str, AfterValidator(without_password)]
Layout = Annotated[str | tuple[str, ...], BeforeValidator(_check_layouts)]
LocalPath = Annotated[Path, BeforeValidator(_as_path)]
EventGap = Annotated[float, Field(ge=0, le=3600)]
EventMax = Annotated[float, Field(ge=60, le=86_400)]
Port = Annotated[int, Field(ge=1, le=65535)]
WallTime = Annotated[datetime, BeforeValidator(corrections.checked_wall)]
ClockSeconds = Annotated[float, BeforeValidator(corrections.checked_seconds)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClockSpan(_Strict):
    """When the clock of a camera was wrong, by that clock itself, and by how much."""

    start: WallTime
    end: WallTime | None = Field(default=None, description="goes on by default")
    seconds: ClockSeconds = Field(description="ahead; negative if the clock is behind")

    @model_validator(mode="after")
    def _in_order(self) -> ClockSpan:
        corrections.check_order(self.start, self.end)
        return self


class Camera(_Strict):
    """One camera: its name, and where its uploads are."""

    name: Annotated[str, AfterValidator(_check_name)]
    description: str = ""
    folder: Annotated[str, AfterValidator(_check_folder)] | None = Field(
        default=None, description="below the upload root; the camera's name by default"
    )
    also: tuple[Annotated[str, AfterValidator(_check_folder)], ...] = Field(
        default=(), description="earlier folders, under another name or serial"
    )
    channel: int | None = Field(
        default=None, ge=0, description="of the recorder that uploads to `folder`; all by default"
    )
    layout: Layout = "auto"
    zone: ZoneName | None = Field(
        default=None, description="of the camera's clock; the common zone by default"
    )
    admin_url: PublicUrl | None = None
    live_url: PublicUrl | None = None
    silent_after_hours: float | None = Field(default=None, gt=0)
    keep_days: KeepDays | None = Field(default=None, description="the common keep_days by default")
    event_gap_s: EventGap | None = Field(default=None, description="else the common event_gap_s")
    event_max_s: EventMax | None = Field(default=None, description="else the common event_max_s")
    clock: tuple[ClockSpan, ...] = Field(
        default=(), description="when its clock was wrong, each under a line [[cameras.clock]]"
    )

    @model_validator(mode="after")
    def _no_clock_twice(self) -> Camera:
        twice = corrections.overlapping(self.clock_corrections)
        if twice:
            raise ValueError(
                f"corrections of the clock that do not overlap; {' and '.join(map(str, twice))} do"
            )
        return self

    @property
    def clock_corrections(self) -> tuple[ClockCorrection, ...]:
        """The corrections of its clock."""
        return tuple(
            ClockCorrection(self.name, one.start, one.end, one.seconds) for one in self.clock
        )

    @property
    def upload_folders(self) -> tuple[str, ...]:
        """The folders below the upload root with this camera's uploads, the current one first."""
        return (self.folder or self.name, *self.also)


class Dashboard(_Strict):
    """Where `pano serve` listens, its TLS, and how long logins last."""

    address: str = "127.0.0.1"
    port: int = Field(default=5006, ge=0, le=65535)
    tls: Literal["none", "own"] = "none"
    certificate: LocalPath | None = None
    key: LocalPath | None = None
    prefix: Annotated[str, AfterValidator(_check_prefix)] = ""
    behind_proxy: bool = False
    # Browsers do not keep cookies for longer than 400 days.
    session_days: float = Field(default=30, gt=0, le=400)
    session_idle_days: float = Field(default=7, gt=0, le=400)

    @property
    def is_secure(self) -> bool:
        """Whether it is served by HTTPS."""
        return self.certificate is not None or self.tls == "own"

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Dashboard:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate together with its key")
        return self


class Up(_Strict):
    """How `pano up` logs and reports its health."""

    # False if another process or container runs `pano receive`.
    receive: bool = True
    log: LocalPath | None = None
    health_address: str = "127.0.0.1"
    health_port: int = Field(default=5007, ge=0, le=65535)
    # Not stored in the library: whoever knows the address can report that all is well.
    heartbeat_url: Annotated[str, AfterValidator(_check_scheme)] | None = Field(
        default=None, exclude=True, repr=False
    )
    heartbeat_command: tuple[str, ...] = Field(default=(), exclude=True, repr=False)
    heartbeat_minutes: float = Field(default=5, ge=0.01)


class Ingest(_Strict):
    """How uploads are found and opened."""

    recheck_days: int = Field(default=3, ge=1)
    quiet_s: float = Field(default=30, ge=0)
    workers: int | None = Field(default=None, ge=1)


class Cull(_Strict):
    """How uploads are deleted after their retention time, which is `keep_days`."""

    scheduled: bool = False
    rows_days: int = Field(default=400, ge=1, le=MOST_DAYS)
    most_files: int = Field(default=100_000, ge=1)
    most_gb: float = Field(default=200, gt=0)
    most_share: float = Field(default=0.5, gt=0, le=1)


class Receive(_Strict):
    """Where `pano receive` listens, and its limits."""

    address: str = "0.0.0.0"
    port: int = Field(default=2121, ge=0, le=65535)
    passive_ports: tuple[Port, Port] = (50000, 50099)
    masquerade: Annotated[str, AfterValidator(_check_ipv4)] | None = None
    tls: Literal["optional", "required", "off"] = "optional"
    certificate: LocalPath | None = None
    key: LocalPath | None = None
    max_connections: int = Field(default=64, ge=1)
    max_connections_per_address: int = Field(default=16, ge=1)
    max_file_mb: float = Field(default=4096, gt=0)
    max_kb_per_s: int | None = Field(default=None, ge=1)
    keep_free_mb: float = Field(default=500, ge=0)
    max_files_per_hour: int = Field(default=20_000, ge=1)
    max_folders_per_hour: int = Field(default=3_000, ge=1)
    max_files_per_day: int = Field(default=200_000, ge=1)
    max_folders_per_day: int = Field(default=24_000, ge=1)
    max_gb_per_day: float = Field(default=500, gt=0)
    stalled_after_s: float = Field(default=60, gt=0)
    failed_logins: int = Field(default=10, ge=1)
    ban_minutes: float = Field(default=10, gt=0)
    sync: bool = True
    check_contents: bool = True

    @model_validator(mode="after")
    def _fits_together(self) -> Receive:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate together with its key")
        if self.passive_ports[0] > self.passive_ports[1]:
            raise ValueError("passive_ports from lowest to highest, such as [50000, 50099]")
        return self


class Site(_Strict):
    """The static pages that `pano site` writes."""

    folder: LocalPath | None = None
    readers: Readers = "group"
    days: int = Field(default=31, ge=1)
    period_gap_s: float = Field(default=600, gt=0, le=86_400)
    clip_days: int = Field(default=7, ge=0)
    media_url: Annotated[str, AfterValidator(_check_media_url)] | None = None
    dashboard_url: Annotated[str, AfterValidator(_check_web)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_old_name(cls, data: Any) -> Any:
        """Take `gap_minutes`, the name of `period_gap_s` up to version 0.1, in minutes."""
        if not isinstance(data, dict) or "gap_minutes" not in data:
            return data
        if "period_gap_s" in data:
            raise ValueError("period_gap_s without gap_minutes, its old name")
        minutes = data["gap_minutes"]
        is_number = isinstance(minutes, int | float) and not isinstance(minutes, bool)
        if not is_number or not 0 < minutes <= 1440:
            raise ValueError(
                "gap_minutes, the old name of period_gap_s, as a number of minutes above 0 and "
                "up to 1440"
            )
        rest = {key: value for key, value in data.items() if key != "gap_minutes"}
        return {**rest, "period_gap_s": minutes * 60}


class Doctor(_Strict):
    """What `pano doctor` examines, and the values it expects."""

    days: int = Field(default=14, ge=1)
    recent_days: int = Field(default=1, ge=1)
    min_height: int = Field(default=1080, ge=0)
    min_fps: float = Field(default=15, ge=0)
    clock_off_minutes: float = Field(default=2, gt=0)
    no_clips_days: int = Field(default=3, ge=1)
    ignore: tuple[str, ...] = ()

    def ignores(self, camera: str, word: str) -> bool:
        """Return whether findings `word` of a camera are ignored."""
        entries = (entry.rpartition(":") for entry in self.ignore)
        return any(
            known.strip() == word and alike.key(name.strip()) in ("", alike.key(camera))
            for name, _, known in entries
        )


def _refuse_twice(what: str, values: list[tuple[str, int | None]]) -> None:
    keys = [(alike.key(value), channel) for value, channel in values]
    twice = sorted(
        {value[0] for value, key in zip(values, keys, strict=True) if keys.count(key) > 1}
    )
    if twice:
        raise ValueError(
            f"a different {what} for each camera, not differing only in letter case or Unicode "
            f"composition; used more than once: {', '.join(twice)}"
        )


def _share_a_folder(one: Camera, other: Camera) -> bool:
    own, others = ({alike.key(folder) for folder in c.upload_folders} for c in (one, other))
    return bool(own & others)


class Settings(_Strict):
    """All settings in `pano.toml`, with their defaults."""

    uploads: LocalPath | None = None
    library: LocalPath | None = None
    zone: ZoneName = Field(default_factory=system_zone)
    silent_after_hours: float = Field(default=24, gt=0)
    cache_limit_mb: int = Field(default=4096, ge=16)
    keep_days: KeepDays | None = None
    event_gap_s: EventGap = 60
    # Clips that are cut on the hour are at most an hour long: one and the next are one event.
    event_max_s: EventMax = 3600
    cameras: tuple[Camera, ...] = ()
    _split: frozenset[str] = PrivateAttr(default=frozenset())
    ingest: Ingest = Ingest()
    dashboard: Dashboard = Dashboard()
    up: Up = Up()
    receive: Receive = Receive()
    site: Site = Site()
    cull: Cull = Cull()
    doctor: Doctor = Doctor()

    @model_validator(mode="after")
    def _no_camera_twice(self) -> Settings:
        folders = [(folder, one.channel) for one in self.cameras for folder in one.upload_folders]
        _refuse_twice("name", [(camera.name, None) for camera in self.cameras])
        _refuse_twice("folder, or channel of a folder,", folders)
        for one, other in combinations(self.cameras, 2):
            if one.layout != other.layout and _share_a_folder(one, other):
                raise ValueError(
                    f"the same layout for all cameras that share a folder by channel; {one.name!r} "
                    f"and {other.name!r} have different ones"
                )
        return self

    def camera(self, name: str) -> Camera:
        """Return the settings of the camera `name`, or defaults if it has no table.

        Spellings that count as the same name are defined in `alike`.
        """
        # Not validated: a folder in the tree may have a name that settings do not allow.
        return self.table(name) or Camera.model_construct(name=name)

    def table(self, name: str) -> Camera | None:
        """Return the table of the camera `name` in any spelling, or None if it has none."""
        matches = (camera for camera in self.cameras if alike.key(camera.name) == alike.key(name))
        return next(matches, None)

    def called(self, name: str) -> str:
        """Return the spelling of the camera `name`: that of its table, else composed (NFC)."""
        return alike.find(name, [camera.name for camera in self.cameras]) or alike.normal(name)

    def with_split(self, parents: Mapping[str, str]) -> Settings:
        """Return settings in which cameras named by a template inherit the template's table.

        `parents` maps each such camera to the name of that table. A camera with its own table
        keeps it; the inherited table remains, but is not a camera itself (see `names`).
        """
        if not parents:
            return self
        children = [
            table.model_copy(update={"name": child, "folder": None, "also": ()})
            for child, parent in parents.items()
            if self.table(child) is None and (table := self.table(parent)) is not None
        ]
        split = self.model_copy(update={"cameras": (*self.cameras, *children)})
        split._split = frozenset(map(alike.key, parents.values()))
        return split

    @property
    def clock_corrections(self) -> list[ClockCorrection]:
        """The corrections of the clocks of all cameras that are in the settings."""
        return [one for name in self.names for one in self.camera(name).clock_corrections]

    @property
    def names(self) -> list[str]:
        """The names of the cameras that have a table."""
        named = (camera.name for camera in self.cameras)
        return [name for name in named if alike.key(name) not in self._split]

    @property
    def folders(self) -> dict[str, str]:
        """Folder below the upload root, as configured -> the name of a camera that uses it."""
        return {folder: camera.name for camera in self.cameras for folder in camera.upload_folders}

    def the_uploads(self) -> Path:
        """Return the upload root. Raises SettingsError if none is set."""
        if self.uploads is None:
            raise SettingsError(_not_set("an upload root", "uploads", "DIR"))
        return self.uploads

    def the_library(self) -> Path:
        """Return the library's folder. Raises SettingsError if not set or inside the uploads."""
        if self.library is None:
            raise SettingsError(_not_set("a library", "library", "LIB"))
        if self.uploads and resolved(self.library).is_relative_to(resolved(self.uploads)):
            raise SettingsError(
                f"{self.library}: expected a library outside the upload tree, which pano never "
                f"writes to. Choose another folder."
            )
        return self.library

    def zone_of(self, camera: str) -> ZoneInfo:
        """Return the zone of this camera's clock."""
        return ZoneInfo(self.camera(camera).zone or self.zone)

    def silent_after_hours_of(self, camera: str) -> float:
        """Return after how many hours without an upload this camera counts as silent."""
        return self.camera(camera).silent_after_hours or self.silent_after_hours

    def event_gap_s_of(self, camera: str) -> float:
        """Return within how many seconds the next upload of this camera continues an event."""
        own = self.camera(camera).event_gap_s
        return self.event_gap_s if own is None else own

    def event_max_s_of(self, camera: str) -> float:
        """Return for how many seconds uploads of this camera can continue an event."""
        return self.camera(camera).event_max_s or self.event_max_s

    def keep_days_of(self, camera: str) -> int | None:
        """Return how many days this camera's uploads are kept; None if forever."""
        days = self.camera(camera).keep_days or self.keep_days
        return days if isinstance(days, int) else None


def _not_set(what: str, key: str, value: str) -> str:
    return f"expected {what}: give --{key} {value}, or set `{key}` in pano.toml (see `pano init`)."


def find(config: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the settings file: `config`, else `PANO_CONFIG`, else `./pano.toml`, else none."""
    if config or os.environ.get(ENVIRONMENT):
        return Path(config or os.environ[ENVIRONMENT]).expanduser()
    here = Path(FILE_NAME)
    return here if here.is_file() else None


def load(path: Path) -> Settings:
    """Read and check the settings file at `path`; relative paths in it start at its folder.

    Raises SettingsError, which names each wrong key, what was expected and what was found.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{path}: expected a readable settings file; {error.strerror or error}. "
            f"`pano init` proposes one."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: expected TOML; {error}. See docs/pano.toml.") from error
    return _with_absolute_paths(check(data, str(path)), resolved(path).parent)


def check(data: dict[str, Any], origin: str = "settings") -> Settings:
    """Return the settings in a plain dictionary. Raises SettingsError that names `origin`."""
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        lines = [_explain(found) for found in error.errors(include_url=False)]
        raise SettingsError(f"{origin} cannot be used:", *lines) from None


def _with_absolute_paths(settings: Settings, folder: Path) -> Settings:
    changes: dict[str, Any] = {
        key: folder / value
        for key in ("uploads", "library")
        if (value := getattr(settings, key)) is not None
    }
    if settings.site.folder is not None:
        changes["site"] = settings.site.model_copy(update={"folder": folder / settings.site.folder})
    if settings.up.log is not None:
        changes["up"] = settings.up.model_copy(update={"log": folder / settings.up.log})
    for table in ("dashboard", "receive"):
        own: Dashboard | Receive = getattr(settings, table)
        if own.certificate is not None and own.key is not None:
            beside = {"certificate": folder / own.certificate, "key": folder / own.key}
            changes[table] = own.model_copy(update=beside)
    return settings.model_copy(update=changes)


def _explain(error: Any) -> str:
    key = _key(error["loc"])
    expected = _expected(error)
    if error["type"] == "extra_forbidden":
        return f"{key}: expected {expected}.{_key_hint(error['loc'])}"
    if error["type"] == "missing":
        return f"{key}: expected {expected}; it is missing. Add it."
    if not error["loc"]:
        return f"expected {expected}."
    return f"{key}: expected {expected}; got {_quoted_value(key, error['input'])}."


def _key_hint(loc: Sequence[Any]) -> str:
    """Return a hint at a key of the same table with a similar name, as `alike.hint` does."""
    table: Any = Settings
    for part in loc[:-1]:
        if isinstance(part, str):
            kind = table.model_fields[part].annotation
            table = next((one for one in get_args(kind) if isinstance(one, type)), kind)
    return alike.hint(str(loc[-1]), table.model_fields)


def _key(loc: Iterable[Any]) -> str:
    key = ""
    for part in loc:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    return key


_WORDS = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "tuple_type": 'a list in brackets, such as ["one", "other"]',
    "model_type": "a table",
    "is_instance_of": "a folder in quotes",
    "path_type": "a folder in quotes",
    "missing": "a value",
    "extra_forbidden": "a known key (see docs/pano.toml for all of them); this one is unknown",
}


def _expected(error: Any) -> str:
    if error["type"] == "tuple_type" and tuple(error["loc"]) == ("cameras",):
        return "tables, each under a line [[cameras]]"
    if error["type"] in _WORDS:
        return _WORDS[error["type"]]
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    message = str(error["msg"])
    return message.removeprefix("Input should be ").removeprefix("Value error, ")


def _quoted_value(key: str, value: Any) -> str:
    # A wrong address may still contain a password, so do not show it.
    return "an invalid address" if key.endswith("_url") else repr(value)[:80]
