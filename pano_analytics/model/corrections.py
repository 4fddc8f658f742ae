"""Corrections of a camera's clock: from when to when it was wrong, and by how much."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import combinations
from numbers import Real
from typing import Any, NamedTuple

from pano_analytics.errors import QueryError
from pano_analytics.model import alike
from pano_analytics.model.times import epoch_us, wall_time

CORRECTED = "+correction"
"""What `time_source` ends in if a correction was applied."""
# A hundred years: a clock that was never set shows 1970 or 2000.
MOST_SECONDS = 3_155_760_000.0


class ClockCorrection(NamedTuple):
    """While the clock of `camera` showed [`start`, `end`), it was `seconds` s ahead.

    Negative seconds mean that it was behind. `start` and `end` are naive, on the camera's own
    clock, as in the names of its files; without an end, the correction goes on.
    """

    camera: str
    start: datetime
    end: datetime | None
    seconds: float

    @classmethod
    def of_json(cls, camera: str, start: str, end: str | None, seconds: float) -> ClockCorrection:
        """Return what `to_json` was called of."""
        until = None if end is None else datetime.fromisoformat(end)
        return cls(camera, datetime.fromisoformat(start), until, float(seconds))

    def to_json(self) -> dict[str, object]:
        """Return it as a dictionary for JSON."""
        end = None if self.end is None else self.end.isoformat()
        return self._asdict() | {"start": self.start.isoformat(), "end": end}

    @property
    def ahead_us(self) -> int:
        """How far the clock was ahead, in microseconds."""
        return round(self.seconds * 1_000_000)

    def overlaps(self, other: ClockCorrection) -> bool:
        """Return whether both are of one camera, and apply to the same time on its clock."""
        return (
            alike.key(self.camera) == alike.key(other.camera)
            and (other.end is None or self.start < other.end)
            and (self.end is None or other.start < self.end)
        )

    @property
    def command(self) -> str:
        """The command that stores it."""
        words = ["pano", "clock", "correct", self.camera, "--start", f"{self.start}"]
        words += [] if self.end is None else ["--end", f"{self.end}"]
        return shlex.join([*words, "--seconds", _plain(self.seconds)])

    def __str__(self) -> str:
        """Return it in words, such as `2820 s behind from 2026-11-03 00:00:00`."""
        side = "ahead" if self.seconds > 0 else "behind"
        until = "" if self.end is None else f" to {self.end}"
        return f"{_plain(abs(self.seconds))} s {side} from {self.start}{until}"


def _plain(seconds: float) -> str:
    """Return a number without an exponent."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


class AheadSpan(NamedTuple):
    """How far a clock was ahead while it showed [`start`, `end`).

    All in microseconds; `start` and `end` since 1970 on the same clock.
    """

    start: int
    end: int | None
    ahead: int


def ahead_spans(corrections: Iterable[ClockCorrection]) -> tuple[AheadSpan, ...]:
    """Return the corrections of one camera in the form in which names are compared with them."""
    return tuple(
        AheadSpan(epoch_us(one.start), None if one.end is None else epoch_us(one.end), one.ahead_us)
        for one in corrections
    )


def ahead_at(spans: Sequence[AheadSpan], wall_us: int) -> int:
    """Return how far a clock that showed `wall_us` was ahead, by the first span that has it.

    All in microseconds; 0 if no span has it.
    """
    for start, end, ahead in spans:
        if start <= wall_us and (end is None or wall_us < end):
            return ahead
    return 0


def overlapping(
    corrections: Iterable[ClockCorrection],
) -> tuple[ClockCorrection, ClockCorrection] | None:
    """Return two corrections that overlap; None if no two do."""
    pairs = combinations(corrections, 2)
    return next(((one, other) for one, other in pairs if one.overlaps(other)), None)


def checked_wall(value: Any) -> datetime:
    """Return a time on a camera's own clock, naive. Raises ValueError with what was expected."""
    try:
        return wall_time(value)
    except QueryError:
        raise ValueError(
            "a time on the camera's own clock, such as '2026-11-03 18:00', without a time zone"
        ) from None


def checked_seconds(value: Any) -> float:
    """Return how many seconds a clock is ahead. Raises ValueError with what was expected."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 < abs(value) <= MOST_SECONDS:
        raise ValueError(
            "a number of seconds by which the camera's clock is ahead, negative if it is behind; "
            "not 0, and at most a hundred years"
        )
    return float(value)


def check_order(start: datetime, end: datetime | None) -> None:
    """Raise ValueError, with what was expected, unless `start` is before `end`."""
    if end is not None and end <= start:
        raise ValueError("an end after the start")
