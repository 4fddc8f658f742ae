"""Periods of activity: events with a longer interval, as the static site shows them.

What camera trapping calls independent: two observations further apart than an
interval are two events, all others one. Scheduled uploads count too, and a period may be of
any length.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd

from pano_analytics.analysis.events import Rule, event_numbers
from pano_analytics.model import arguments

COLUMNS = ("camera", "period", "start", "end", "snapshots", "clips", "first_id")
_SOURCE = "library.media()"


def period_numbers(uploads: pd.DataFrame, gap: timedelta | str) -> pd.Series[Any]:
    """Return the number of the period that each upload belongs to, by the index of `uploads`.

    `uploads` has `camera`, `start` and `end` (aware, `end` null for what does not
    last), in any order. Each camera counts its own periods from 0 in the order
    of time, all channels together. A new one begins where more than `gap` passed since
    everything before had ended. An upload without a start belongs to none: its number is
    null. `gap` may also be text such as "10 min". Raises QueryError for a frame without
    these columns and for a gap that is no length of time.
    """
    arguments.frame(uploads, ("camera", "start", "end"), _SOURCE)
    rule = Rule(gap, longest=None, scheduled=True)
    numbers = event_numbers(uploads[["camera", "start", "end"]], rule)
    of_camera = numbers.groupby(uploads["camera"].to_numpy(object))
    return (numbers - of_camera.transform("min")).rename("period")


def periods(uploads: pd.DataFrame, gap: timedelta | str) -> pd.DataFrame:
    """Return one row per period: `camera, period, start, end, snapshots, clips, first_id`.

    `uploads` has `media_id` and `kind` besides what `period_numbers` needs.
    `start` is that of its first upload, `end` when its last one ended, both as
    aware as they came; `first_id` is the `media_id` of the first upload, the
    lowest of those that start together. Sorted by camera and number. Raises QueryError
    as `period_numbers` does.
    """
    arguments.frame(uploads, ("media_id", "camera", "kind", "start", "end"), _SOURCE)
    uploads = uploads.reset_index(drop=True)
    rows = uploads.assign(period=period_numbers(uploads, gap)).dropna(subset="period")
    rows = rows.sort_values(["camera", "start", "media_id"], kind="stable")
    rows["end"] = rows["end"].where(rows["end"] > rows["start"], rows["start"])
    grouped = rows.groupby(["camera", "period"], sort=False, observed=True)
    keys = [rows["camera"], rows["period"]]
    found = grouped.agg(
        start=("start", "min"), end=("end", "max"), first_id=("media_id", "first")
    ).assign(
        snapshots=rows["kind"].eq("snapshot").groupby(keys, observed=True).sum(),
        clips=rows["kind"].eq("clip").groupby(keys, observed=True).sum(),
    )
    return found.reset_index().astype({"period": "int64"})[list(COLUMNS)]
