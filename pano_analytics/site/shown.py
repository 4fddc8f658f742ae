"""What one run has in hand: the library, and of each camera the uploads and periods to show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import pandas as pd

from pano_analytics.analysis.silence import silent_from
from pano_analytics.ingest import obstacles
from pano_analytics.ingest.unread import places
from pano_analytics.library import Library
from pano_analytics.model.tables import TABLES
from pano_analytics.present import ZoneClock, counts
from pano_analytics.settings import Settings
from pano_analytics.site import names, plan
from pano_analytics.site.folder import SiteFolder
from pano_analytics.store.catalog import CameraDay, Manifest


@dataclass(frozen=True)
class Shown:
    """One camera as the site shows it: its uploads (as `plan.with_periods`) and its periods."""

    name: str
    folder: str
    uploads: pd.DataFrame
    periods: pd.DataFrame
    silent_from: datetime | None

    @classmethod
    def of(cls, library: Library, name: str, arrived: datetime | None) -> Shown:
        """Return what is shown of a camera; `arrived` is when its last upload did.

        That upload may be gone since.
        """
        silent = silent_from(arrived, library.settings.silent_after_hours_of(name))
        said = library.settings.site
        uploads = plan.uploads_of(library, name, said.days)
        numbered, found = plan.with_periods(uploads, timedelta(seconds=said.period_gap_s))
        return cls(name, names.folder_of(name), numbered, found, silent)

    @classmethod
    def all_of(cls, library: Library) -> tuple[Shown, ...]:
        """Return what is shown of each camera."""
        known = library.cameras().set_index("camera")["arrived"].dropna()
        arrived = {str(name): moment.to_pydatetime() for name, moment in known.items()}
        return tuple(cls.of(library, name, arrived.get(name)) for name in library.camera_names())

    @cached_property
    def days(self) -> list[str]:
        """The days that have uploads, oldest first."""
        return sorted(self._by_day)

    @cached_property
    def _by_day(self) -> dict[str, pd.DataFrame]:
        return {str(day): rows for day, rows in self.uploads.groupby("day")}

    def of_day(self, day: str) -> pd.DataFrame:
        """Return a day's uploads, by start."""
        return self._by_day[day]

    def entries_of(self, day: str) -> list[plan.PlannedUpload]:
        """Return a day's uploads one by one, by start."""
        return plan.entries_of(self._by_day[day])

    def counts(self, day: str | None = None) -> str:
        """Return how many pictures and clips there are, of one day or in all."""
        kinds = (self.uploads if day is None else self._by_day[day])["kind"]
        return counts(int((kinds == "snapshot").sum()), int((kinds == "clip").sum()))

    def day_beside(self, day: str, step: int) -> str | None:
        """Return the day before (-1) or after (1) that has uploads."""
        at = self.days.index(day) + step
        return self.days[at] if 0 <= at < len(self.days) else None

    def ends_of(self, day: str) -> tuple[str, str]:
        """Return the first and last upload of a day."""
        ids = self._by_day[day]["media_id"]
        return ids.iloc[0], ids.iloc[-1]

    def is_packing(self, day: str, clip_days: int) -> bool:
        """Tell whether the day is one of those whose clips are packed for browsers."""
        return bool(clip_days) and day in self.days[-clip_days:]

    def parts(self, manifest: Manifest) -> dict[str, list[str]]:
        """Return for each day the parts that its uploads, or what belongs to them, stand in."""
        tables = [manifest.table(name) for name in TABLES if TABLES[name].is_by_day]
        return {
            day: [
                table[key].path
                for table in tables
                for date in sorted(rows["date"].dt.date.unique())
                if (key := CameraDay(self.name, date)) in table
            ]
            for day, rows in self._by_day.items()
        }

    def is_silent(self, now: datetime) -> bool:
        """Tell whether the camera is silent at `now`."""
        return self.silent_from is None or self.silent_from <= now


@dataclass(frozen=True)
class SiteRun:
    """One run: the library, the site's folder, the cameras, and what all templates are given."""

    library: Library
    site: SiteFolder
    shown: tuple[Shown, ...]
    now: datetime

    @property
    def settings(self) -> Settings:
        return self.library.settings

    @cached_property
    def clock(self) -> ZoneClock:
        """Says times of the library's zone."""
        return ZoneClock(self.library.zone)

    @cached_property
    def common(self) -> dict[str, Any]:
        """What every template is given."""
        said = self.settings.site
        return {"policy": names.policy(said.media_url), "dashboard": said.dashboard_url}

    @cached_property
    def notices(self) -> list[tuple[str, str, str]]:
        """What is not read: the folder and why, what to do, and lines to paste ("": none)."""
        storage, zone = self.library.storage, self.library.zone
        unread = places(self.settings, storage, self.library.catalog.manifest().cameras())
        closed = obstacles.blocked(self.settings, storage, obstacles.UNREADABLE)
        return [
            *((one.text(zone), one.advice, one.snippet) for one in unread),
            *((one.text(zone), one.advice, "") for one in closed),
        ]

    def keys(self) -> Iterable[str]:
        """Yield the folder of each camera's day that is shown."""
        return (f"{camera.folder}/{day}" for camera in self.shown for day in camera.days)

    def next_silence(self) -> datetime | None:
        """Return when the next camera falls silent."""
        coming = [camera.silent_from for camera in self.shown]
        return min((at for at in coming if at and at > self.now), default=None)
