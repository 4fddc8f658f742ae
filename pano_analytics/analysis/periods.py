"""Periods of activity: events with a longer gap, as the static site shows them.

Camera trapping calls these independent events: observations further apart than an interval
belong to different events. Scheduled uploads are included, and a period may be of any length.
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
    """Return the number of the period that each upload belongs to, with the index of `uploads`.

    `uploads` has `camera`, `start` and `end` (aware; `end` is null for a snapshot), in any
    order. The periods of each camera, all channels together, are numbered from 0 in the order
    of time. A new period begins if more than `gap` has passed since all earlier uploads ended.
    An upload without a start belongs to no period: its number is null. `gap` may also be text
    such as "10 min". Raises QueryError for a frame without these columns and for a gap that
    is not a length of time.
    """
    arguments.frame(uploads, ("camera", "start", "end"), _SOURCE)
    rule = Rule(gap, longest=None, scheduled=True)
    numbers = event_numbers(uploads[["camera", "start", "end"]], rule)
    of_camera = numbers.groupby(uploads["camera"].to_numpy(object))
    return (numbers - of_camera.transform("min")).rename("period")


def periods(uploads: pd.DataFrame, gap: timedelta | str) -> pd.DataFrame:
    """Return one row per period: `camera, period, start, end, snapshots, clips, first_id`.

    `uploads` has `media_id` and `kind` in addition to what `period_numbers` needs. `start` is
    when its first upload starts and `end` when its last one ends, both aware in the zone of
    `uploads`; `first_id` is the `media_id` of the first upload, the lowest if several start
    together. Sorted by camera and number. Raises QueryError as `period_numbers` does.
    """
    arguments.frame(uploads, ("media_id", "camera", "kind", "start", "end"), _SOURCE)
    uploads = uploads.reset_index(drop=True)
    rows = uploads.assign(period=period_numbers(uploads, gap)).dropna(subset="period")
    rows = rows.sort_values(["camera", "start", "media_id"], kind="stable")
    rows["end"] = rows["end"].where(rows["end"] > rows["start"], rows["start"])
    grouped = rows.groupby(["camera", "period"], sort=False, observed=True)
    keys = [rows["camera"], rows["period"]]
    result = grouped.agg(
        start=("start", "min"), end=("end", "max"), first_id=("media_id", "first")
    ).assign(
        snapshots=rows["kind"].eq("snapshot").groupby(keys, observed=True).sum(),
        clips=rows["kind"].eq("clip").groupby(keys, observed=True).sum(),
    )
    return result.reset_index().astype({"period": "int64"})[list(COLUMNS)]
