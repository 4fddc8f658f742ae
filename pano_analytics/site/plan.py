"""Plan what is shown: each camera's days, their moments, and the page of each.

Days are those of the library's zone, also for a camera whose clock is in another zone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice

import pandas as pd

from pano_analytics.analysis.periods import period_numbers, periods
from pano_analytics.library import Library
from pano_analytics.model.times import epoch_us
from pano_analytics.model.upload import GONE_STATES, Upload
from pano_analytics.site import names

COLUMNS = (
    "media_id", "camera", "date", "kind", "trigger", "start", "end", "wall_start", "time_source",
    "clock_offset_s", "path", "size_bytes", "arrived", "state", "state_reason", "clip_id",
    "width", "height", "fps", "duration_s", "codec", "sha256", "thumb",
)  # fmt: skip
# Uploads per page; the rest of a day gets its own page if it has at least ENOUGH.
FULL, ENOUGH = 100, 50
# A clip may have hundreds of pictures: then its moment continues on the next page.
_LONGEST = 60

Cut = tuple[int, str]


@dataclass(frozen=True, slots=True)
class PlannedUpload:
    """An upload on a day's page.

    `start` is in the library's zone, `version` changes with the content, and `period` is its
    number within the day.
    """

    upload: Upload
    start: datetime
    version: str
    period: int

    @property
    def key(self) -> Cut:
        """The sort key: start in microseconds, and media_id."""
        return epoch_us(self.upload.start.replace(tzinfo=None)), self.upload.media_id


def entries_of(rows: pd.DataFrame) -> list[PlannedUpload]:
    """Return the uploads of `rows` (from `with_periods`), in the same order."""
    return [
        PlannedUpload(
            Upload.of(row), row["start"].to_pydatetime(), row["version"], int(row["period"])
        )
        for row in rows.to_dict("records")
    ]


def uploads_of(library: Library, camera: str, days: int) -> pd.DataFrame:
    """Return the uploads of the newest `days` days that still have some, sorted by start.

    The columns are COLUMNS and `day` (ISO, in the library's zone), `version`
    (changes with the content) and `period` (number within the day). The frame is empty
    if there are no uploads.
    """
    # One more: a day here may overlap two days of the camera's zone.
    newest = islice(library.catalog.manifest().newest_first([camera]), days + 1)
    starts = [part.first_us for _, part in newest if part.first_us is not None]
    since = pd.Timestamp(min(starts), unit="us", tz="UTC") if starts else None
    uploads = library.media(camera, start=since, columns=COLUMNS)
    # Uploads without media have no pages.
    return _shown(uploads[~uploads["state"].isin(GONE_STATES)].copy(), days)


def _shown(rows: pd.DataFrame, days: int) -> pd.DataFrame:
    rows["start"] = rows["start"].fillna(rows["arrived"])
    rows["day"] = rows["start"].dt.strftime(names.DAY_FORMAT)
    newest = sorted(rows["day"].unique())[-days:]
    rows = rows[rows["day"].isin(newest)].sort_values(["start", "media_id"], kind="stable")
    content = rows["sha256"].fillna("").astype(object) + rows["thumb"].fillna("").astype(object)
    file_hash = rows["sha256"].str[:8]
    rows["version"] = file_hash.where(file_hash.notna(), content.map(names.digest))
    return rows.reset_index(drop=True)


def with_periods(uploads: pd.DataFrame, gap: timedelta) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the uploads with period numbers, and the periods, numbered within each day.

    Periods end at midnight, so that a day's pages change with that day only.
    Their columns are those of `analysis.periods` and `day`.
    """
    by_day = uploads.assign(camera=uploads["day"])
    numbered = uploads.assign(period=period_numbers(by_day, gap))
    return numbered, periods(by_day, gap).rename(columns={"camera": "day"})


@dataclass(frozen=True, slots=True)
class PlannedMoment:
    """A clip with the pictures taken during it, or pictures without a clip, in order of time."""

    period: int
    clip: PlannedUpload | None
    pictures: tuple[PlannedUpload, ...]

    @property
    def entries(self) -> tuple[PlannedUpload, ...]:
        return (*((self.clip,) if self.clip else ()), *self.pictures)

    @property
    def key(self) -> Cut:
        return min(entry.key for entry in self.entries)


def moments_of(entries: Sequence[PlannedUpload]) -> list[PlannedMoment]:
    """Return the moments of one day's uploads, oldest first."""
    clips = {entry.upload.media_id: entry for entry in entries if entry.upload.kind == "clip"}
    held: dict[str, list[PlannedUpload]] = defaultdict(list)
    moments: list[PlannedMoment] = []
    for entry in entries:
        holder = entry.upload.clip_id
        if entry.upload.kind == "clip":
            continue
        if holder is not None and holder in clips:
            held[holder].append(entry)
        else:
            moments.append(PlannedMoment(entry.period, None, (entry,)))
    moments += [part for key, clip in clips.items() for part in _parts(clip, held[key])]
    return sorted(moments, key=lambda moment: moment.key)


def _parts(clip: PlannedUpload, pictures: list[PlannedUpload]) -> Iterable[PlannedMoment]:
    first, rest = pictures[:_LONGEST], pictures[_LONGEST:]
    yield PlannedMoment(clip.period, clip, tuple(first))
    for at in range(0, len(rest), _LONGEST):
        yield PlannedMoment(clip.period, None, tuple(rest[at : at + _LONGEST]))


def pages_of(moments: Sequence[PlannedMoment]) -> list[list[PlannedMoment]]:
    """Return a day's moments by page, oldest first; a full page never changes."""
    pages: list[list[PlannedMoment]] = [[]]
    for moment in moments:
        if _size(pages[-1]) >= FULL:
            pages.append([])
        pages[-1].append(moment)
    if len(pages) > 1 and _size(pages[-1]) < ENOUGH:
        pages[-2:] = [pages[-2] + pages[-1]]
    return pages


def _size(page: Iterable[PlannedMoment]) -> int:
    return sum(len(moment.entries) for moment in page)


def cuts_of(pages: Sequence[Sequence[PlannedMoment]]) -> tuple[Cut, ...]:
    """Return the key of each page's first upload."""
    return tuple(page[0].key for page in pages if page)


def page_holding(cuts: Sequence[Cut], key: Cut) -> str:
    """Return the name of the page with the moment that begins with `key`."""
    return names.page_name(max(0, bisect_right(list(cuts), key) - 1), max(1, len(cuts)))


def joined(moments: Iterable[PlannedMoment]) -> list[PlannedMoment]:
    """Return moments, with consecutive pictures without a clip merged within their period."""
    result: list[PlannedMoment] = []
    for moment in moments:
        last = result[-1] if result else None
        if last and not last.clip and not moment.clip and last.period == moment.period:
            result[-1] = PlannedMoment(last.period, None, (*last.pictures, *moment.pictures))
        else:
            result.append(moment)
    return result


def day_of(text: str) -> date:
    """Return the date of a `day` text (ISO)."""
    return date.fromisoformat(text)
