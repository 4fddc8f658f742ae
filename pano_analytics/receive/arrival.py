"""Describe a camera's first upload to a person: whether it is complete, and the clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pano_analytics import layouts
from pano_analytics.errors import MediaError
from pano_analytics.inspection import inspect_file
from pano_analytics.model.times import wall_to_utc
from pano_analytics.model.upload import Inspection, Reading, locate
from pano_analytics.receive.wholeness import is_in_progress as is_in_progress
from pano_analytics.settings import Settings
from pano_analytics.settings.owners import owner_of
from pano_analytics.wording import many
from pano_analytics.workers import confined

# An upload arrives a minute or two after its recording: a smaller difference means nothing.
_NEAR = timedelta(minutes=2)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CheckedUpload:
    """One upload: what its name and its contents say, and when it arrived (aware, UTC).

    `clock_off` is how far the camera's clock is ahead of ours (negative: behind); None if
    neither name nor contents have a time.
    """

    path: str
    reading: Reading
    inspection: Inspection | None
    trouble: str
    arrived: datetime
    clock_off: timedelta | None

    @property
    def is_media(self) -> bool:
        return self.reading.kind in ("snapshot", "clip")

    @property
    def is_whole(self) -> bool:
        return self.inspection is not None and self.inspection.state == "complete"


def examine_upload(settings: Settings, camera: str, path: str, arrived: datetime) -> CheckedUpload:
    """Examine the upload at `path` (as in the column) of `camera`; raises no error about it."""
    folder, _, name = path.rpartition("/")
    reading = layouts.reader_of(folder, owner_of(settings, folder, "").layout)(name)
    inspection, trouble = _inspect_confined(settings.uploads, path, reading)
    off = _clock_off(settings, camera, reading, inspection, arrived)
    return CheckedUpload(path, reading, inspection, trouble, arrived, off)


def _inspect_confined(
    uploads: Path | None, path: str, reading: Reading
) -> tuple[Inspection | None, str]:
    if uploads is None or reading.kind not in ("snapshot", "clip"):
        return None, reading.reason or ""
    upload = str(locate(uploads, path).absolute())
    try:
        facts = confined.call(_inspect, upload, reading.kind, limit_s=60.0, cpu_s=30.0)
    except MediaError as error:
        return None, str(error)
    except confined.Ended as ended:
        return Inspection("unsupported", f"too large to look at: reading it {ended}"), ""
    clock = facts.pop("camera_clock")
    return Inspection(**facts, camera_clock=clock and datetime.fromisoformat(clock)), ""


def _inspect(upload: str, kind: str) -> dict[str, Any]:
    """Return the facts about an upload that `CheckedUpload` needs; runs in a confined process."""
    inspection = inspect_file(Path(upload), kind)
    return {
        "state": inspection.state,
        "state_reason": inspection.state_reason,
        "duration_s": inspection.duration_s,
        "camera_clock": inspection.camera_clock and inspection.camera_clock.isoformat(),
    }


def _clock_off(
    settings: Settings,
    camera: str,
    reading: Reading,
    inspection: Inspection | None,
    arrived: datetime,
) -> timedelta | None:
    """Return how far the latest time in picture or name is ahead of the arrival."""
    shown = None
    if inspection is not None and reading.kind == "snapshot":
        shown = inspection.camera_clock
    is_utc = shown is None and reading.zone == "utc"
    shown = shown or reading.end or _end_of(reading, inspection)
    if shown is None:
        return None
    zone = ZoneInfo("UTC") if is_utc else settings.zone_of(camera)
    return wall_to_utc(shown, zone) - arrived


def _end_of(reading: Reading, inspection: Inspection | None) -> datetime | None:
    if reading.start is None:
        return None
    length_s = (inspection.duration_s or 0.0) if inspection else 0.0
    return reading.start + timedelta(seconds=length_s)


# --- in words -----------------------------------------------------------------------------


def in_words(arrival: CheckedUpload, settings: Settings, camera: str) -> list[str]:
    """Return the lines about a camera's first upload, with advice if its clock is wrong."""
    lines = [f"first upload arrived, {_state(arrival)}, {_clock(arrival.clock_off)}"]
    lines.append(f"  {arrival.path} ({arrival.reading.kind}, {arrival.reading.layout})")
    off = arrival.clock_off
    if off is not None and abs(off) > _NEAR:
        lines.append(f"  {_what_to_do(off, settings, camera)}")
    return lines


def _state(arrival: CheckedUpload) -> str:
    if arrival.inspection is None:
        return f"not inspected ({arrival.trouble})"
    if arrival.is_whole:
        return "complete"
    return f"{arrival.inspection.state} ({arrival.inspection.state_reason})"


def _clock(off: timedelta | None) -> str:
    if off is None:
        return "clock unknown"
    if abs(off) <= _NEAR:
        return "clock right"
    return f"clock {_length(abs(off))} off ({'ahead' if off > timedelta() else 'behind'})"


def _length(off: timedelta) -> str:
    for unit, one in (("day", 24 * _HOUR), ("hour", _HOUR), ("minute", _HOUR / 60)):
        count = round(off / one)
        if off >= one and count:
            rest = off - count * one
            if unit == "hour" and abs(rest) > _NEAR:
                break  # 90 minutes must not become an hour
            return many(count, unit)
    return many(round(off / (_HOUR / 60)), "minute")


def _what_to_do(off: timedelta, settings: Settings, camera: str) -> str:
    zone = settings.zone_of(camera).key
    hours = round(off / _HOUR)
    if hours and abs(off - hours * _HOUR) <= _NEAR and abs(hours) <= 26:
        return (
            f"A whole number of hours: another time zone, or daylight saving time. pano assumes "
            f"{zone}; set the camera to that, or set its `zone` in pano.toml."
        )
    return (
        "Configure a time server (NTP) in the camera, and check its time zone and daylight "
        "saving time."
    )
