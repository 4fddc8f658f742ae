"""The known details of an upload, as pairs of name and text."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pano_analytics.model.upload import Upload
from pano_analytics.present.marks import time_source
from pano_analytics.present.times import ZoneClock, short_day
from pano_analytics.wording import day_label, many


def when(upload: Upload, zone: ZoneInfo) -> str:
    """Return `Sunday 22 November 2026, 14:03:11 – 14:03:38 CET`; only a clip has an end."""
    start = upload.start.astimezone(zone)
    text = f"{day_label(start)}, {start:%H:%M:%S}"
    if upload.kind == "clip" and upload.end is not None:
        end = upload.end.astimezone(zone)
        # The UTC offset may change during a clip.
        first = "" if f"{start:%Z}" == f"{end:%Z}" else f" {start:%Z}"
        return f"{text}{first} – {end:%H:%M:%S %Z}"
    return f"{text} {start:%Z}"


def facts(upload: Upload, zone: ZoneInfo) -> list[tuple[str, str]]:
    """Return the known details of an upload as (name, text) pairs."""
    return [(name, text) for name, text in _facts(upload, zone) if text]


def _facts(upload: Upload, zone: ZoneInfo) -> Iterable[tuple[str, str]]:
    clock = ZoneClock(zone)
    yield "Camera", upload.camera
    yield "Time", when(upload, zone)
    yield "Camera’s clock", _camera_clock(upload, zone)
    yield "Time from", time_source(upload)
    yield "Clock error", _clock_error(upload.clock_offset_s)
    yield "Arrived", _moment(upload.arrived, clock)
    yield "Cause", upload.trigger or ""
    yield "State", ": ".join(part for part in (upload.state, upload.state_reason) if part)
    yield "Culled", _moment(upload.culled_at, clock)
    yield "Picture", f"{upload.width} × {upload.height}" if upload.width and upload.height else ""
    yield "Length", _length(upload)
    yield "Codec", upload.codec or ""
    yield "Size", _size(upload.size_bytes)
    yield "Time zone", zone.key
    yield "File", upload.path


def _moment(moment: datetime | None, clock: ZoneClock) -> str:
    if moment is None:
        return ""
    local = moment.astimezone(clock.zone)
    return f"{short_day(local)} {local.year}, {clock.second(local)}"


def _camera_clock(upload: Upload, zone: ZoneInfo) -> str:
    """Return the camera's own time, or nothing if it equals the displayed time."""
    camera_time = upload.wall_start
    is_shown = camera_time == upload.start.astimezone(zone).replace(tzinfo=None)
    return "" if camera_time is None or is_shown else f"{camera_time:%Y-%m-%d %H:%M:%S}"


def _clock_error(offset_s: float | None) -> str:
    if not offset_s:
        return ""
    size = timedelta(seconds=round(abs(offset_s)))
    return f"{size} {'ahead' if offset_s > 0 else 'behind'}, corrected here"


def _length(upload: Upload) -> str:
    if upload.kind != "clip":
        return ""
    parts = [f"{upload.span_s:.0f} s from start to end"]
    if upload.duration_s:
        parts.append(f"{upload.duration_s:.1f} s in the file")
    if upload.fps:
        parts.append(f"{many(round(upload.fps), 'frame')} per second")
    return ", ".join(parts)


def _size(size_bytes: int) -> str:
    if size_bytes >= 1e6:
        return f"{size_bytes / 1e6:.1f} MB"
    return f"{size_bytes / 1e3:.0f} kB" if size_bytes >= 1e3 else many(size_bytes, "byte")
