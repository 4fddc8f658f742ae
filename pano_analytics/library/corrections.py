"""Arguments and frames of corrections of cameras' clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import pandas as pd

from pano_analytics.errors import QueryError
from pano_analytics.model import arguments
from pano_analytics.model.corrections import (
    ClockCorrection,
    check_order,
    checked_seconds,
    checked_wall,
)
from pano_analytics.model.decision import Decision

Checked = TypeVar("Checked")


class CorrectionRow(NamedTuple):
    """A row of `Library.clock_corrections`; `start` and `end` are naive, `decided` is aware."""

    decision_id: str | None
    camera: str
    start: datetime
    end: datetime | None
    seconds: float
    who: str | None
    decided: datetime | None


def chosen_correction(
    camera: Any, start: Any, end: Any, seconds: Any, known: Sequence[str]
) -> ClockCorrection:
    """Return the correction that arguments describe. Raises QueryError.

    `known` are the names of all cameras.
    """
    named = arguments.names(camera, "camera", known) or []
    if len(named) != 1:
        raise QueryError(f"camera: expected the name of one camera; got {arguments.shown(camera)}.")
    first = _checked(checked_wall, start, "start")
    last = None if end is None else _checked(checked_wall, end, "end")
    _checked(lambda one: check_order(first, one), last, "end")
    return ClockCorrection(named[0], first, last, _checked(checked_seconds, seconds, "seconds"))


def _checked(check: Callable[[Any], Checked], value: Any, name: str) -> Checked:
    try:
        return check(value)
    except ValueError as error:
        raise QueryError(f"{name}: expected {error}; got {arguments.shown(value)}.") from None


def correction_rows(
    settings: Iterable[ClockCorrection], decisions: Iterable[Decision]
) -> Iterator[CorrectionRow]:
    """Yield the corrections in the settings, then those that people decided on."""
    for one in settings:
        yield CorrectionRow(None, *one, None, None)
    for made in decisions:
        if made.clock is not None:
            yield CorrectionRow(made.decision_id, *made.clock, made.who, made.decided)


def corrections_frame(rows: Iterable[CorrectionRow], zone: ZoneInfo) -> pd.DataFrame:
    """Return corrections as a frame, sorted by camera and start."""
    ordered = sorted(rows, key=lambda row: (row.camera, row.start))
    frame = pd.DataFrame(ordered, columns=list(CorrectionRow._fields))
    decided = pd.to_datetime(frame["decided"], utc=True).dt.as_unit("us").dt.tz_convert(zone)
    walls = {name: pd.to_datetime(frame[name]).dt.as_unit("us") for name in ("start", "end")}
    types = {**dict.fromkeys(("decision_id", "camera", "who"), "str"), "seconds": "float64"}
    return frame.assign(decided=decided, **walls).astype(types)
