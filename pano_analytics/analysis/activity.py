"""Counts of uploads by hour, day or weekday, including zero counts.

Hours and days are those of the wall clock of one zone. The repeated autumn hour has two
buckets, the skipped spring hour has none, and a day begins at local midnight, so that it may
have 23 or 25 hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

BUCKETS = ("hour", "day", "weekday")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# Counts are given by quarter of an hour: the hours and days of every zone consist of these.
QUARTER = "15min"


def zero_filled(
    counts: pd.DataFrame,
    by: str,
    cameras: Sequence[str],
    first: datetime | None,
    last: datetime | None,
    zone: ZoneInfo,
) -> pd.DataFrame:
    """Return `camera, bucket, snapshots, clips` with every bucket for every camera.

    `counts` has `camera, quarter, snapshots, clips`; `quarter` is the aware time at which a
    quarter of an hour begins. `by` is one of BUCKETS. The buckets cover [first, last); None
    means the first or last quarter in `counts`. Times are aware in `zone`.
    """
    buckets = _buckets(by, _span(counts["quarter"], first, last, zone), zone)
    counted = counts.assign(bucket=_bucket_of(counts["quarter"], by, zone))
    sums = counted.groupby(["camera", "bucket"])[["snapshots", "clips"]].sum()
    grid = pd.MultiIndex.from_product([cameras, buckets], names=["camera", "bucket"])
    filled = sums.reindex(grid, fill_value=0).astype("int64").reset_index()
    if by == "weekday":
        filled["bucket"] = pd.Categorical(filled["bucket"], WEEKDAYS, ordered=True)
    filled.attrs["by"] = by
    return filled


def _span(
    quarters: pd.Series[Any], first: datetime | None, last: datetime | None, zone: ZoneInfo
) -> tuple[pd.Timestamp, pd.Timestamp] | None:
    """Return the first and last moment that buckets must cover; None if there are no buckets."""
    low = quarters.min() if first is None else pd.Timestamp(first)
    high = quarters.max() if last is None else pd.Timestamp(last) - pd.Timedelta("1us")
    if pd.isna(low) or pd.isna(high) or high < low:
        return None
    return low.tz_convert(zone), high.tz_convert(zone)


def _buckets(by: str, span: tuple[pd.Timestamp, pd.Timestamp] | None, zone: ZoneInfo) -> Any:
    if by == "weekday":
        return list(WEEKDAYS)
    if span is None:
        return pd.DatetimeIndex([], tz=zone).as_unit("us")
    low, high = span
    if by == "day":
        days = pd.date_range(low.tz_localize(None).normalize(), high.tz_localize(None).normalize())
        return _midnights(days, zone)
    utc = pd.date_range(low.tz_convert("UTC").floor(QUARTER), high.tz_convert("UTC"), freq=QUARTER)
    return pd.DatetimeIndex(_bucket_of(utc.to_series(), by, zone).drop_duplicates())


def _bucket_of(moments: pd.Series[Any], by: str, zone: ZoneInfo) -> pd.Series[Any]:
    """Return the bucket of each aware moment."""
    local = moments.dt.tz_convert(zone)
    if by == "weekday":
        names: pd.Series[Any] = local.dt.day_of_week.map(dict(enumerate(WEEKDAYS)))
        return names
    wall = local.dt.tz_localize(None)
    if by == "day":
        return pd.Series(_midnights(pd.DatetimeIndex(wall).normalize(), zone), index=moments.index)
    # Rounded down in wall-clock time, then converted with the offset of that very moment, so
    # that the two passes of an autumn hour stay separate.
    offset = wall - local.dt.tz_convert("UTC").dt.tz_localize(None)
    begin = (wall.dt.floor("h") - offset).dt.tz_localize("UTC").dt.tz_convert(zone)
    hours: pd.Series[Any] = begin.dt.as_unit("us")
    return hours


def _midnights(days: pd.DatetimeIndex, zone: ZoneInfo) -> pd.DatetimeIndex:
    # If a zone skips midnight itself, the day begins at the change.
    repeated_is_first = np.ones(len(days), dtype=bool)
    local = days.tz_localize(zone, ambiguous=repeated_is_first, nonexistent="shift_forward")
    return local.as_unit("us")
