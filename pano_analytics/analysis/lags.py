"""What arrivals say about a camera's clock: NumPy arrays and Arrow tables in, a verdict out.

An upload arrives after its recording has ended. Its *lag* is the arrival (by this computer's
clock) minus the end of the recording (by the camera's clock), in seconds. The doctor explains
the conclusions (docs/design/doctor.md); everything else that warns about a clock uses the same
ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.errors import LibraryError
from pano_analytics.model.corrections import CORRECTED, ClockCorrection
from pano_analytics.model.times import from_epoch_us
from pano_analytics.wording import clock_error, many

NEWEST = 40
_FEWEST = 5
_S = 1_000_000
_NEWEST_SPAN_US = 3600 * _S
# In a shorter span, a copy of a few files looks like a clock that is behind.
_LEAST_SPAN_US = 1800 * _S
_TIGHT_S = 120.0
SAME_S = 600.0
"""Errors of one clock on several days differ by no more than this, unless it was set."""
NEEDED = ("start", "end", "arrived", "wall_start", "time_source")
"""The columns of an upload that say something about the clock."""
UNSETTLED = ("guess", "gap")
"""The first part of `time_source` for starts that say nothing about the clock."""


class Lags(NamedTuple):
    """Uploads in the order of arrival: start and arrival (µs since 1970 UTC), and lag (s)."""

    start_us: np.ndarray
    arrived_us: np.ndarray
    lag_s: np.ndarray

    def newest(self) -> Lags:
        """Return the newest arrivals: the last `NEWEST`, and all of the last hour."""
        if len(self.lag_s) <= NEWEST:
            return self
        since = min(self.arrived_us[-NEWEST], self.arrived_us[-1] - _NEWEST_SPAN_US)
        is_new = self.arrived_us >= since
        return Lags(*(column[is_new] for column in self))

    def is_spread(self) -> bool:
        """Return whether arrivals are spread like the recordings, unlike those of a copied tree."""
        recorded, arrived = np.ptp(self.start_us), np.ptp(self.arrived_us)
        return bool(recorded >= _LEAST_SPAN_US and arrived >= recorded / 2)


class ClockOffset(NamedTuple):
    """What the newest uploads say about a clock.

    `ahead_s`: how far it is ahead (negative: behind) according to the fastest uploads;
    None if the arrivals say nothing. `is_slow`: uploads arrive late, by varying amounts.
    `quickest_s` and `middle_s` are the lags of the fastest twentieth and the median.
    `uploads` is the number of uploads examined.
    """

    ahead_s: float | None
    is_slow: bool
    quickest_s: float
    middle_s: float
    uploads: int


class ShownError(NamedTuple):
    """How far the times that are shown of a camera are ahead (s; negative: behind).

    `since` is the start of the first upload that is known to be affected, as it is shown
    (aware, UTC), and `wall_start` what the camera's own clock showed then (naive).
    `is_corrected`: a correction was applied to the newest uploads.
    """

    seconds: float
    since: datetime
    wall_start: datetime
    is_corrected: bool


class CameraError(NamedTuple):
    """A camera whose times are shown wrong, and by how much.

    `is_stored`: a correction is stored, which the next ingest applies.
    """

    camera: str
    error: ShownError
    is_stored: bool = False

    @property
    def correction(self) -> ClockCorrection:
        """What corrects it."""
        seconds = float(round(self.error.seconds))
        return ClockCorrection(self.camera, self.error.wall_start, None, seconds)

    def among(self, stored: Iterable[ClockCorrection]) -> CameraError:
        """Return it with whether one of the stored corrections is about the same time."""
        return self._replace(is_stored=any(map(self.correction.overlaps, stored)))

    def concerns(self, last: datetime | None) -> bool:
        """Return whether a range that ends at `last` has uploads that are shown wrong."""
        margin = timedelta(seconds=abs(self.error.seconds))
        return last is None or last > self.error.since - margin

    def text(self, added: int = 0) -> str:
        """Return it as a warning; `added` more uploads belong to the range that it is about."""
        verb = "belongs" if added == 1 else "belong"
        more = f"; {many(added, 'more upload')} of it {verb} to this range" if added else ""
        return f"{self.camera}: {self._what}{more}. {self._advice}"

    @property
    def _what(self) -> str:
        error = clock_error(self.error.seconds)
        if self.error.is_corrected:
            return f"its times are {error}, because a correction of its clock does not fit"
        return f"its clock is {error}, and its times are not corrected"

    @property
    def _advice(self) -> str:
        if self.error.is_corrected:
            return "`pano doctor` says what to do."
        if self.is_stored:
            return "The next `pano ingest` corrects them."
        return f"Correct them with `{self.correction.command}`."


def judge(lags: Lags, limit_s: float) -> ClockOffset | None:
    """Return what the newest uploads say about a clock; None if they are too few.

    A clock that is ahead by less than `limit_s` seconds is not called ahead.
    """
    newest = lags.newest()
    if len(newest.lag_s) < _FEWEST:
        return None
    quickest, quick, middle = (float(one) for one in np.quantile(newest.lag_s, (0.05, 0.25, 0.5)))
    lags_and_count = (quickest, middle, len(newest.lag_s))
    if quick < -limit_s:
        return ClockOffset(-quickest, False, *lags_and_count)
    if not newest.is_spread():
        return ClockOffset(None, False, *lags_and_count)
    if middle - quickest > max(_TIGHT_S, quickest / 4):
        return ClockOffset(0.0 if quickest < _TIGHT_S else None, quickest > SAME_S, *lags_and_count)
    return ClockOffset(-quickest, False, *lags_and_count)


def shown_error(days: Iterable[pa.Table], limit_s: float) -> ShownError | None:
    """Return the error of the times that are shown of a camera; None unless it is certain.

    `days` are the columns `NEEDED` of its camera-days, newest first; as few as possible are
    read, and an error of reading them is an uncertain answer. An error of at most `limit_s`
    seconds is none. Corrections are part of what is shown.
    """
    try:
        return _shown_error(days, limit_s)
    except (OSError, LibraryError, pa.ArrowException):
        return None


def _shown_error(days: Iterable[pa.Table], limit_s: float) -> ShownError | None:
    tables = map(_timed, days)
    newest = list(_enough(tables))
    found = judge(_lags(pa.concat_tables(newest)), limit_s) if newest else None
    if found is None or found.ahead_s is None or abs(found.ahead_s) <= limit_s:
        return None
    since = list(_since((*newest, *tables), found.ahead_s))
    if not since:
        return None
    rows = pa.concat_tables(since).sort_by("start")
    first = from_epoch_us(rows["start"].cast(pa.int64())[0].as_py())
    is_corrected = pc.any(pc.ends_with(newest[0]["time_source"], CORRECTED)).as_py()
    wall_start = pc.min(rows["wall_start"]).as_py()
    return ShownError(found.ahead_s, first, wall_start, bool(is_corrected))


def _timed(table: pa.Table) -> pa.Table:
    """Return the columns that matter of the uploads whose start is from a clock."""
    chosen = table.select(NEEDED)
    source = pc.list_element(pc.split_pattern(chosen["time_source"], "+"), 0)
    is_unsettled = pc.is_in(source, pa.array(UNSETTLED))
    return chosen.filter(pc.and_(pc.is_valid(chosen["wall_start"]), pc.invert(is_unsettled)))


def _enough(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield tables until one has enough uploads, over a time that is long enough to judge."""
    for table in tables:
        yield table
        first, last = pc.min_max(table["start"].cast(pa.int64())).as_py().values()
        if table.num_rows >= NEWEST and last - first >= _NEWEST_SPAN_US:
            return


def _lags(table: pa.Table) -> Lags:
    ordered = table.sort_by("arrived")
    start, arrived = (ordered[name].cast(pa.int64()).to_numpy() for name in ("start", "arrived"))
    ended = pc.coalesce(ordered["end"], ordered["start"]).cast(pa.int64()).to_numpy()
    return Lags(start, arrived, (arrived - ended) / _S)


def _since(tables: Iterable[pa.Table], ahead_s: float) -> Iterator[pa.Table]:
    """Yield camera-days, newest first, while the clock has this error."""
    for table in tables:
        if table.num_rows:
            quickest_s = float(np.quantile(_lags(table).lag_s, 0.05))
            if abs(quickest_s + ahead_s) > SAME_S:
                return
            yield table
