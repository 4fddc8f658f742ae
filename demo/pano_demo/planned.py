"""The rows that a library would have of a planned home, without a file being made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa

from pano_demo.habits import SCHEDULED, DemoUpload, Event
from pano_demo.plan import DemoPlan

_TIME = pa.timestamp("us", tz="UTC")
_SCHEMA = pa.schema(
    [
        ("media_id", pa.string()),
        ("camera", pa.string()),
        ("kind", pa.string()),
        ("trigger", pa.string()),
        ("start", _TIME),
        ("end", _TIME),
        ("arrived", _TIME),
        ("state", pa.string()),
        ("clip_id", pa.string()),
        ("thumb", pa.string()),
        ("visit", pa.string()),
        ("is_false_alarm", pa.bool_()),
    ]
)
_STATES = {"truncated": "partial", "empty": "empty", "stub": "damaged"}


def planned_uploads(plan: DemoPlan) -> pa.Table:
    """Return one row per planned upload, with the columns that events are computed from.

    As in a library, `start` and `end` (UTC) are what the camera's clock showed: those of a
    camera whose clock is wrong are wrong. `arrived` is right. The truth is in the last two
    columns, `visit` and `is_false_alarm` (see the design of the demonstration).
    """
    rows = [row for event in plan.events for row in _rows(event, plan.zone)]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _rows(event: Event, zone: ZoneInfo) -> Iterator[dict[str, object]]:
    clips = [upload for upload in event.uploads if upload.kind == "clip"]
    for upload in event.uploads:
        holding = [clip for clip in clips if clip is not upload and _holds(clip, upload)]
        media_id = _media_id(upload)
        yield {
            "media_id": media_id,
            "camera": event.moment.camera,
            "kind": upload.kind,
            "trigger": "scheduled" if event.moment.role == SCHEDULED else "motion",
            "start": _instant(upload.wall_start, zone),
            "end": _instant(upload.wall_end, zone) if upload.wall_end else None,
            "arrived": upload.arrived.astimezone(UTC),
            "state": _STATES.get(upload.fault or "", "complete"),
            "clip_id": _media_id(holding[0]) if holding else None,
            "thumb": None if upload.fault in ("empty", "stub") else media_id,
            "visit": event.moment.visit or None,
            "is_false_alarm": event.moment.false_sort is not None,
        }


def _holds(clip: DemoUpload, snapshot: DemoUpload) -> bool:
    ended = clip.wall_end or clip.wall_start
    return snapshot.kind == "snapshot" and clip.wall_start <= snapshot.wall_start <= ended


def _media_id(upload: DemoUpload) -> str:
    return hashlib.sha256(upload.path.encode()).hexdigest()[:16]


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    return wall.replace(tzinfo=zone).astimezone(UTC)
