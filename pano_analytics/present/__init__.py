"""Texts, names and badges for uploads, shared by all pages; clips for browsers (`clips`)."""

from pano_analytics.present.details import facts, when
from pano_analytics.present.marks import (
    STATE_BADGES,
    STATE_COUNTS,
    TIME_BADGES,
    Badge,
    badges,
    culled_on,
    time_source,
)
from pano_analytics.present.names import download_name
from pano_analytics.present.times import ZoneClock, clip_length, counts, short_day

__all__ = [
    "STATE_BADGES",
    "STATE_COUNTS",
    "TIME_BADGES",
    "Badge",
    "ZoneClock",
    "badges",
    "clip_length",
    "counts",
    "culled_on",
    "download_name",
    "facts",
    "short_day",
    "time_source",
    "when",
]
