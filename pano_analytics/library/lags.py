"""Cameras whose times are shown wrong, because their clock is and nobody has corrected it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd

from pano_analytics.analysis.lags import NEEDED, CameraError, ShownError, shown_error
from pano_analytics.model.corrections import ClockCorrection
from pano_analytics.settings import Settings
from pano_analytics.store.catalog import Catalog

# How long a camera whose clock was right is not looked at again.
_AGAIN_AFTER_S = 300.0


class _Look(NamedTuple):
    """What the last look at a camera found; `at_s` is monotonic."""

    at_s: float
    generation: int
    error: ShownError | None


class ClockWatch:
    """Knows which cameras' times are shown wrong; reads a camera's newest days when needed.

    A camera whose clock was right is looked at again after some minutes at the earliest, so
    that asking costs nearly nothing. Safe to share between threads.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[str, _Look] = {}

    def errors(
        self,
        settings: Settings,
        cameras: Iterable[str],
        stored: Callable[[], Sequence[ClockCorrection]],
    ) -> list[CameraError]:
        """Return those of the cameras whose times are shown wrong.

        `stored` returns the corrections of all cameras; it is called only if there are any.
        """
        generation = self._catalog.manifest().generation
        found = ((name, self._error(settings, name, generation)) for name in cameras)
        wrong = [CameraError(name, error) for name, error in found if error is not None]
        known = stored() if wrong else ()
        return [one.among(known) for one in wrong]

    def _error(self, settings: Settings, camera: str, generation: int) -> ShownError | None:
        if settings.doctor.ignores(camera, "clock_off"):
            return None
        look, now_s = self._known.get(camera), time.monotonic()
        is_recent = look is not None and look.error is None and now_s - look.at_s < _AGAIN_AFTER_S
        if look is None or (look.generation != generation and not is_recent):
            error = self._newest_error(settings, camera)
            look = self._known[camera] = _Look(now_s, generation, error)
        return look.error

    def _newest_error(self, settings: Settings, camera: str) -> ShownError | None:
        days = self._catalog.newest_days(camera, settings.doctor.days, NEEDED)
        return shown_error(days, settings.doctor.clock_off_minutes * 60)


def errors_frame(errors: Iterable[CameraError], zone: ZoneInfo) -> pd.DataFrame:
    """Return errors of clocks as a frame, with the correction that each needs."""
    rows = [
        (one.camera, one.error.seconds, one.error.since, one.error.wall_start, one.text())
        for one in errors
    ]
    frame = pd.DataFrame(rows, columns=["camera", "seconds", "since", "wall_start", "text"])
    since = pd.to_datetime(frame["since"], utc=True).dt.as_unit("us").dt.tz_convert(zone)
    wall = pd.to_datetime(frame["wall_start"]).dt.as_unit("us")
    types = {"camera": "str", "text": "str", "seconds": "float64"}
    return frame.assign(since=since, wall_start=wall).astype(types)
