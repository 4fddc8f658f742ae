"""How much came when: counts by hour, day or weekday, zero where nothing came.

Whose hours: the wall clock of one zone. The autumn hour that repeats is two
buckets, the spring hour that is skipped is none, and a day begins at its own
midnight, so that a day may have 23 or 25 hours.
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
# Counts come by the quarter of an hour: no zone's hour or day splits one.
QUARTER = "15min"


def zero_filled(
    counts: pd.DataFrame,
    by: str,
    cameras: Sequence[str],
    first: datetime | None,
    last: datetime | None,
    zone: ZoneInfo,
) -> pd.DataFrame:
    """Return `camera, bucket, snapshots, clips`, every camera with every bucket.

    `counts` has `camera, quarter, snapshots, clips`, `quarter` being the aware
    beginning of a quarter of an hour. The buckets run over [first, last), or
    where one of them is None from or to the first or last quarter counted.
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
    """Return the first and last moment that buckets must cover; None where there are none."""
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
    """Return the bucket that each aware moment lies in."""
    local = moments.dt.tz_convert(zone)
    if by == "weekday":
        names: pd.Series[Any] = local.dt.day_of_week.map(dict(enumerate(WEEKDAYS)))
        return names
    wall = local.dt.tz_localize(None)
    if by == "day":
        return pd.Series(_midnights(pd.DatetimeIndex(wall).normalize(), zone), index=moments.index)
    # Floored on the wall, shifted back by the offset of that very moment: so
    # the two passes of an autumn hour stay apart.
    offset = wall - local.dt.tz_convert("UTC").dt.tz_localize(None)
    begins = (wall.dt.floor("h") - offset).dt.tz_localize("UTC").dt.tz_convert(zone)
    hours: pd.Series[Any] = begins.dt.as_unit("us")
    return hours


def _midnights(days: pd.DatetimeIndex, zone: ZoneInfo) -> pd.DatetimeIndex:
    # Where a zone skips midnight itself the day begins at the step.
    repeated_is_first = np.ones(len(days), dtype=bool)
    local = days.tz_localize(zone, ambiguous=repeated_is_first, nonexistent="shift_forward")
    return local.as_unit("us")
