"""Convert frames to the compact JSON that the page draws.

The browser's time zone has no effect: times are sent as text, or as wall-clock seconds of
the library's zone since midnight of the upload's camera-day.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pano_analytics import present
from pano_analytics.dashboard.records import Block, Heat, Near, UploadRecord, Uploads
from pano_analytics.dashboard.selection import (
    Range,
    Selection,
    neighbour_ranges,
    quick_ranges,
    range_label,
    text_of,
)
from pano_analytics.dashboard.snippets import activity_call, cameras_call, item_call, media_call
from pano_analytics.model.upload import GONE_STATES, Upload
from pano_analytics.present import STATE_BADGES, STATE_COUNTS
from pano_analytics.store import locators
from pano_analytics.wording import day_label, many, safe_link

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from pano_analytics.ingest.unread import UnreadFolder


Json = dict[str, Any]


def dumps(value: Any) -> str:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


# --- Days and times in words.


def when_text(moment: datetime, now: datetime) -> str:
    """Return a wall-clock time as text, such as `Today 14:03` or `Thu 19 Nov 14:03`."""
    days = (now.date() - moment.date()).days
    if days in (0, 1):
        return f"{('Today', 'Yesterday')[days]} {moment:%H:%M}"
    year = "" if moment.year == now.year else f" {moment.year}"
    return f"{moment:%a} {moment.day} {moment:%b}{year} {moment:%H:%M}"


# --- The bar.


def bar(selection: Selection, cameras: Sequence[str], now: datetime, zone: str) -> Json:
    """Return the selection as text, and the other choices."""
    earlier, later = neighbour_ranges(selection.start, selection.end, now)
    return {
        "label": range_label(selection.start, selection.end, now.year),
        "inputs": {"from": _input(selection.start), "to": _input(selection.end)},
        "earlier": _bounds(earlier, now.year),
        "later": _bounds(later, now.year),
        "quick": [
            {"name": r.name, "on": r.is_of(selection), **_ends(r)} for r in quick_ranges(now)
        ],
        "cameras": [{"name": name, "on": name in selection.cameras} for name in cameras],
        "kind": selection.kind or "",
        "notices": list(selection.notices),
        "zone": zone,
    }


def _input(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%dT%H:%M}"


def _ends(wanted: Range) -> Json:
    return {"from": text_of(wanted.start) or None, "to": text_of(wanted.end) or None}


def _bounds(wanted: Range | None, year: int) -> Json | None:
    return (
        None
        if wanted is None
        else {"label": range_label(wanted.start, wanted.end, year), **_ends(wanted)}
    )


# --- The overview.


def overview(
    cameras: pd.DataFrame,
    now: datetime,
    short: Mapping[str, str] | None = None,
    clocks: Mapping[str, str] | None = None,
) -> Json:
    """Return the content of all camera cards.

    `short` maps cameras to warnings about the disk, `clocks` to those about their clocks.
    """
    short, clocks = short or {}, clocks or {}
    return {
        "cameras": [
            _card(row, now)
            | {"short": short.get(row["camera"], ""), "clock": clocks.get(row["camera"], "")}
            for row in cameras.to_dict("records")
        ],
        "call": cameras_call(),
    }


def unread(places: Iterable[UnreadFolder], zone: ZoneInfo) -> list[Json]:
    """Return the notices about folders with files that no camera reads."""
    return [
        {"text": place.text(zone), "advice": place.advice, "snippet": place.snippet}
        for place in places
    ]


def _card(row: dict[Any, Any], now: datetime) -> Json:
    latest, arrived = _naive(row["latest"]), _naive(row["arrived"])
    return {
        "name": row["camera"],
        "description": _text(row["description"]),
        "item": _text(row["latest_media_id"]),
        "thumb": _text(row["latest_thumb"]),
        "when": when_text(latest, now) if latest else "No uploads yet",
        "today_text": f"{int(row['today']):,} today",
        "silent": bool(row["is_silent"]),
        "silent_text": f"since {when_text(arrived, now)}" if arrived else "No uploads yet",
        "live": _web(row["live_url"]),
        "admin": _web(row["admin_url"]),
    }


def _naive(moment: Any) -> datetime | None:
    return None if pd.isna(moment) else moment.tz_localize(None).to_pydatetime()


def _text(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(value)


def _web(url: Any) -> str | None:
    """Return an address that is safe as a link, else None (such as for `javascript:`)."""
    text = _text(url)
    return safe_link(text)


# --- The heatmaps.


def activity(heat: Heat, cameras: pd.DataFrame, selection: Selection, now: datetime) -> Json:
    """Return hour-by-day counts per camera, newest day first.

    Counts are null before a camera's first upload and in the future.
    """
    days = [heat.last - timedelta(days=back) for back in range((heat.last - heat.first).days + 1)]
    first = dict(zip(cameras["camera"], cameras["first"], strict=True))
    counts = hourly(heat.frame)
    return {
        "days": [_day(day) for day in days],
        "cameras": [
            _heatmap(name, counts.get(name), days, _naive(first[name]), now) for name in first
        ],
        "span": range_label(
            datetime.combine(heat.first, time()),
            datetime.combine(heat.last, time()) + timedelta(days=1),
            now.year,
        ),
        "earlier": heat.earlier and heat.earlier.isoformat(),
        "later": heat.later and heat.later.isoformat(),
        "selection": {
            "cameras": list(selection.cameras),
            "from": text_of(selection.start),
            "to": text_of(selection.end),
        },
        "call": activity_call(heat.first, heat.last),
    }


def _day(day: date) -> Json:
    return {"date": day.isoformat(), "short": f"{day:%a} {day.day}", "long": day_label(day)}


def hourly(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the counts by wall-clock hour per camera; a repeated autumn hour counts as one."""
    frame = frame.assign(hour=frame["bucket"].dt.tz_localize(None))
    sums = frame.groupby(["camera", "hour"], sort=False)[["snapshots", "clips"]].sum()
    return {str(name): part.droplevel(0) for name, part in sums.groupby(level=0, sort=False)}


def _heatmap(
    name: str,
    counts: pd.DataFrame | None,
    days: Sequence[date],
    first: datetime | None,
    now: datetime,
) -> Json:
    hours = pd.DatetimeIndex(
        [datetime.combine(day, time(hour)) for day in days for hour in range(24)]
    )
    known = np.zeros(len(hours), dtype=bool)
    if first is not None:
        known = (hours > pd.Timestamp(first - timedelta(hours=1))) & (hours <= pd.Timestamp(now))
    table = (pd.DataFrame() if counts is None else counts).reindex(hours, fill_value=0)
    columns = {
        column: [
            int(value) if is_known else None
            for value, is_known in zip(table[column], known, strict=True)
        ]
        if column in table
        else [None] * len(hours)
        for column in ("snapshots", "clips")
    }
    total = sum(value or 0 for values in columns.values() for value in values)
    return {"name": name, "total": total, **columns}


# --- The gallery.


def blocks(frame: pd.DataFrame, *, has_more: bool) -> tuple[Block, ...]:
    """Return one block per day of `frame`, newest first.

    `frame` has the columns of `tiles.with_tiles`. With `has_more`, the oldest day may be
    incomplete.
    """
    if frame.empty:
        return ()
    days = [(day, part) for day, part in frame.groupby("date", sort=False)]
    last = len(days) - 1
    return tuple(
        _block(day, part, is_complete=not (has_more and index == last))
        for index, (day, part) in enumerate(days)
    )


def _block(day: Any, rows: pd.DataFrame, *, is_complete: bool) -> Block:
    cameras, camera = _coded(rows["camera"])
    states, state = _coded(rows["state"])
    codecs, codec = _coded(rows["codec"].fillna(""))
    packs, thumbs = locators.packed(rows["thumb"])
    day = pd.Timestamp(day).date()
    text = dumps(
        {
            "date": day.isoformat(),
            "label": day_label(day),
            "complete": is_complete,
            "id": rows["media_id"].tolist(),
            "cameras": cameras,
            "camera": camera,
            "wall": wall_seconds(rows, day),
            "span": span_seconds(rows),
            "kind": (rows["kind"] == "clip").astype(int).tolist(),
            "states": states,
            "words": [STATE_BADGES[s].word if s in STATE_BADGES else "" for s in states],
            "state": state,
            "codecs": codecs,
            "codec": codec,
            "packs": packs,
            "thumb": thumbs,
            "tile": _tiles(rows),
            "cover": rows["is_cover"].astype(int).tolist(),
            "doubt": (rows["time_source"] != "name").astype(int).tolist(),
        }
    )
    return Block(day.isoformat(), text, blake2b(text.encode(), digest_size=8).digest())


def _coded(values: pd.Series) -> tuple[list[str], list[int]]:
    codes, names = pd.factorize(values)
    return [str(name) for name in names], codes.tolist()


def _tiles(rows: pd.DataFrame) -> list[int | str]:
    """Return the tile of each row: the index of the row that names it, else its media_id."""
    places = {media_id: at for at, media_id in enumerate(rows["media_id"])}
    # An event across midnight may be named by a row of another day.
    return [places.get(tile, tile) for tile in rows["tile"]]


def wall_seconds(rows: pd.DataFrame, day: date) -> list[int]:
    """Return the starts in wall-clock seconds since midnight of `day`, rounded down."""
    starts = rows["start"].fillna(rows["arrived"]).dt.tz_localize(None)
    return [int(s) for s in (starts - pd.Timestamp(day)).dt.total_seconds() // 1]


def span_seconds(rows: pd.DataFrame) -> list[float]:
    """Return each upload's length in seconds: by its times, else as decoded; 0 for a snapshot."""
    by_clock = (rows["end"] - rows["start"]).dt.total_seconds()
    spans = by_clock.where(by_clock > 0).fillna(rows["duration_s"]).fillna(0)
    return [round(float(s), 1) for s in spans.where(rows["kind"] == "clip", 0)]


def gallery_head(
    uploads: Uploads,
    near: Near | None,
    selection: Selection,
    *,
    is_known: bool,
    is_unread: bool = False,
) -> Json:
    """Return the gallery's texts: the counts, the problems, and why it is empty.

    `is_known` is True if the library has any upload at all, `is_unread` if files arrived
    that no camera reads.
    """
    frame = uploads.frame
    return {
        "text": _count_text(uploads),
        "problems": _problems(frame, selection),
        "more": "Older ones are not listed: choose a time range to see them."
        if uploads.has_more
        else "",
        "empty": _empty(near, selection, is_known=is_known, is_unread=is_unread)
        if frame.empty
        else None,
        "call": media_call(selection),
    }


def _count_text(uploads: Uploads) -> str:
    frame = uploads.frame
    if frame.empty:
        return "No files"
    if uploads.has_more:
        return f"The newest {many(len(frame), 'file')}"
    clips = int((frame["kind"] == "clip").sum())
    kinds = f"{many(len(frame) - clips, 'snapshot')}, {many(clips, 'clip')}"
    return f"{many(len(frame), 'file')}: {kinds}"


def _problems(frame: pd.DataFrame, selection: Selection) -> list[Json]:
    counts = frame["state"].value_counts().to_dict()
    wanted = [state for state in STATE_COUNTS if counts.get(state) or state in selection.states]
    shown = [state for state in wanted if state != "complete" or state in selection.states]
    return [
        {
            "state": state,
            "text": STATE_COUNTS[state].format(n=f"{counts.get(state, 0):,}"),
            "on": state in selection.states,
        }
        for state in shown
    ]


def _empty(near: Near | None, selection: Selection, *, is_known: bool, is_unread: bool) -> Json:
    if not is_known:
        text = "No uploads yet. They appear here automatically while ingest runs."
        if is_unread:
            text = "Files have arrived, but none of them can be read: see the notice above."
        return {"text": text, "links": []}
    links = [
        _near_link("Closest earlier", near.before if near else None),
        _near_link("Closest later", near.after if near else None),
        {"label": "Show all files", "patch": _ALL},
    ]
    text = "No files match these filters."
    if selection.start or selection.end:
        text = f"No files in this range: {range_label(selection.start, selection.end)}."
    return {"text": text, "links": [link for link in links if link]}


_ALL = dict.fromkeys(("camera", "from", "to", "kind", "state"))


def _near_link(label: str, moment: datetime | None) -> Json | None:
    if moment is None:
        return None
    hour = moment.replace(minute=0, second=0, microsecond=0)
    patch = {"from": text_of(hour), "to": text_of(hour + timedelta(hours=1))}
    return {
        "label": f"{label}: {moment:%a} {moment.day} {moment:%b}, {moment:%H:%M}",
        "patch": patch,
    }


# --- The open item.


def item(record: UploadRecord, zone: ZoneInfo) -> Json:
    """Return everything that the viewer shows about one upload."""
    upload = record.upload
    if upload is None:
        return {"id": record.media_id, "error": record.error}
    midnight = datetime.combine(upload.date, time())
    return {
        "id": record.media_id,
        "row": _viewer_row(upload, _since(midnight, upload.start, zone)),
        "when": present.when(upload, zone),
        "badges": [
            {"text": badge.word, "title": badge.reason, "tone": "warn"}
            for badge in present.badges(upload)
        ],
        "reason": upload.state_reason or "",
        "culled": present.culled_on(upload, zone),
        "facts": [[name, text] for name, text in present.facts(upload, zone)],
        "fps": upload.fps,
        "duration_s": upload.duration_s,
        "codec": upload.codec,
        "clip": _clip_moment(upload, record.clip),
        "strip": _strip(record, midnight, zone),
        "call": item_call(record.media_id, upload.camera, upload.date),
    }


def _viewer_row(upload: Upload, wall_s: float) -> Json:
    return {
        "id": upload.media_id,
        "camera": upload.camera,
        "date": upload.date.isoformat(),
        "wall": wall_s,
        "span": upload.span_s if upload.kind == "clip" else 0,
        "kind": upload.kind,
        "state": upload.state,
        "thumb": upload.thumb or "",
        "codec": upload.codec or "",
        "doubt": int(upload.time_source != "name"),
    }


def _since(midnight: datetime, moment: datetime, zone: ZoneInfo) -> float:
    """Return seconds of wall clock since `midnight`."""
    wall = moment.astimezone(zone).replace(tzinfo=None)
    return round((wall - midnight).total_seconds(), 1)


# Clips in these states cannot be played.
_NOT_PLAYED = ("damaged", "unsupported", "empty", *GONE_STATES)


def _clip_moment(upload: Upload, clip: Upload | None) -> Json | None:
    """Return the clip that contains a snapshot, and the position in its file in seconds."""
    if clip is None or upload.kind == "clip" or clip.state in _NOT_PLAYED:
        return None
    elapsed = (upload.start - clip.start).total_seconds() * clip.file_s_per_s
    return {"id": clip.media_id, "at": round(max(0.0, elapsed), 1)}


def _strip(record: UploadRecord, midnight: datetime, zone: ZoneInfo) -> list[Json]:
    """Return the clip's key frames and snapshots, in order of wall-clock time."""
    clip = record.clip
    if clip is None or record.frames is None or record.snapshots is None:
        return []
    begin, scale = _since(midnight, clip.start, zone), clip.file_s_per_s
    keys = [
        {"t": round(offset, 2), "wall": round(begin + offset / scale, 1), "thumb": thumb}
        for offset, thumb in zip(record.frames["offset_s"], record.frames["thumb"], strict=True)
    ]
    stills = [
        {"id": media_id, "wall": _since(midnight, start, zone), "thumb": thumb}
        for media_id, start, thumb in record.snapshots[["media_id", "start", "thumb"]].itertuples(
            index=False
        )
    ]
    return sorted([*keys, *stills], key=lambda frame: frame["wall"])
