"""Periods of activity: uploads of one camera that follow each other closely are one story.

What camera trapping calls independent: two observations further apart than an
interval are two events, all others one. A clip lasts, so the interval counts
from the latest end so far, not from the last start.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd

from pano_analytics.model import arguments

COLUMNS = ("camera", "period", "start", "end", "snapshots", "clips", "first_id")
_SOURCE = "library.media()"


def period_numbers(uploads: pd.DataFrame, gap: timedelta | str) -> pd.Series[Any]:
    """Return the number of the period that each upload belongs to, by the index of `uploads`.

    `uploads` has `camera`, `start` and `end` (aware, `end` null for what does not
    last), in any order. Each camera counts its own periods from 0 in the order
    of time. A new one begins where more than `gap` passed since everything
    before had ended. An upload without a start belongs to none: its number is null.
    `gap` may also be text such as "10 min". Raises QueryError for a frame without
    these columns and for a gap that is no length of time.
    """
    arguments.frame(uploads, ("camera", "start", "end"), _SOURCE)
    arguments.aware_times(uploads, ("start", "end"), _SOURCE)
    numbers = _numbers(uploads.reset_index(drop=True), arguments.length(gap, "gap"))
    return numbers.set_axis(uploads.index)


def _numbers(uploads: pd.DataFrame, gap: pd.Timedelta) -> pd.Series[Any]:
    """Return the number of each upload's period; the index of `uploads` has no label twice."""
    known = uploads.loc[uploads["start"].notna(), ["camera", "start", "end"]]
    known = known.sort_values("start", kind="stable")
    ends = known["end"].where(known["end"] > known["start"], known["start"])
    cameras = known["camera"].astype(object)
    before = ends.groupby(cameras).cummax().groupby(cameras).shift()
    begins = before.isna() | (known["start"] - before > gap)
    numbers = begins.groupby(cameras).cumsum() - 1
    return numbers.reindex(uploads.index).astype("Int64").rename("period")


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
