"""Periods of activity: uploads of one camera that follow each other closely are one story.

What camera trapping calls independent: two observations further apart than an
interval are two events, all others one. A clip lasts, so the interval counts
from the latest end so far, not from the last start.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd

COLUMNS = ("camera", "period", "start", "end", "snapshots", "clips", "first_id")


def period_numbers(uploads: pd.DataFrame, gap: timedelta) -> pd.Series[Any]:
    """Return the number of the period that each upload lies in, by the index of `uploads`.

    `uploads` has `camera`, `start` and `end` (aware, `end` null for what does not
    last), in any order. Each camera counts its own periods from 0 in the order
    of time. A new one begins where more than `gap` passed since everything
    before had ended. An upload without a start lies in none: its number is null.
    """
    known = uploads.loc[uploads["start"].notna(), ["camera", "start", "end"]]
    known = known.sort_values("start", kind="stable")
    ends = known["end"].where(known["end"] > known["start"], known["start"])
    before = ends.groupby(known["camera"]).cummax().groupby(known["camera"]).shift()
    begins = before.isna() | (known["start"] - before > gap)
    numbers = begins.groupby(known["camera"]).cumsum() - 1
    return numbers.reindex(uploads.index).astype("Int64").rename("period")


def periods(uploads: pd.DataFrame, gap: timedelta) -> pd.DataFrame:
    """Return one row a period: `camera, period, start, end, snapshots, clips, first_id`.

    `uploads` has `media_id` and `kind` besides what `period_numbers` wants.
    `start` is that of its first upload, `end` when its last one ended, both as
    aware as they came; `first_id` is the `media_id` of the first upload, the
    lowest of those that start together. Sorted by camera and number.
    """
    rows = uploads.assign(period=period_numbers(uploads, gap)).dropna(subset="period")
    rows = rows.sort_values(["camera", "start", "media_id"], kind="stable")
    rows["end"] = rows["end"].where(rows["end"] > rows["start"], rows["start"])
    grouped = rows.groupby(["camera", "period"], sort=False)
    found = grouped.agg(
        start=("start", "min"), end=("end", "max"), first_id=("media_id", "first")
    ).assign(
        snapshots=rows["kind"].eq("snapshot").groupby([rows["camera"], rows["period"]]).sum(),
        clips=rows["kind"].eq("clip").groupby([rows["camera"], rows["period"]]).sum(),
    )
    return found.reset_index().astype({"period": "int64"})[list(COLUMNS)]
