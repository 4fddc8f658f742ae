"""The data of one run: the library, and each camera's uploads and periods to show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import pandas as pd

from pano_analytics.analysis.silence import silent_from
from pano_analytics.ingest import obstacles
from pano_analytics.ingest.unread import places
from pano_analytics.library import Library
from pano_analytics.model.tables import TABLES
from pano_analytics.present import ZoneClock, counts
from pano_analytics.settings import Settings
from pano_analytics.site import names, pages, plan
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
        """Return the data of one camera; `arrived` is the arrival of its last upload.

        That upload may have been removed since.
        """
        silent = silent_from(arrived, library.settings.silent_after_hours_of(name))
        settings = library.settings.site
        uploads = plan.uploads_of(library, name, settings.days)
        numbered, periods = plan.with_periods(uploads, timedelta(seconds=settings.period_gap_s))
        return cls(name, names.folder_of(name), numbered, periods, silent)

    @classmethod
    def all_of(cls, library: Library) -> tuple[Shown, ...]:
        """Return the data of each camera."""
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
        """Return a day's uploads as planned uploads, by start."""
        return plan.entries_of(self._by_day[day])

    def counts(self, day: str | None = None) -> str:
        """Return the number of pictures and clips as text, of one day or in total."""
        kinds = (self.uploads if day is None else self._by_day[day])["kind"]
        return counts(int((kinds == "snapshot").sum()), int((kinds == "clip").sum()))

    def day_beside(self, day: str, step: int) -> str | None:
        """Return the previous (-1) or next (1) day with uploads, or None."""
        at = self.days.index(day) + step
        return self.days[at] if 0 <= at < len(self.days) else None

    def ends_of(self, day: str) -> tuple[str, str]:
        """Return the media_id of the first and last upload of a day."""
        ids = self._by_day[day]["media_id"]
        return ids.iloc[0], ids.iloc[-1]

    def is_packing(self, day: str, clip_days: int) -> bool:
        """Return whether clips of this day are converted for browsers."""
        return bool(clip_days) and day in self.days[-clip_days:]

    def parts(self, manifest: Manifest) -> dict[str, list[str]]:
        """Return the paths of the Parquet files with each day's uploads and their other rows."""
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
        """Return whether the camera is silent at `now`."""
        return self.silent_from is None or self.silent_from <= now


@dataclass(frozen=True)
class SiteRun:
    """One run: the library, the site's folder, the cameras, and values for all templates."""

    library: Library
    site: SiteFolder
    shown: tuple[Shown, ...]
    now: datetime

    @property
    def settings(self) -> Settings:
        return self.library.settings

    @cached_property
    def clock(self) -> ZoneClock:
        """Formats times in the library's zone."""
        return ZoneClock(self.library.zone)

    @cached_property
    def policy(self) -> str:
        """The Content-Security-Policy of every page."""
        return names.policy(self.settings.site.media_url)

    def render(self, template: str, **variables: object) -> bytes:
        """Return a page as UTF-8, with the values that every template has."""
        dashboard = self.settings.site.dashboard_url
        return pages.render(template, policy=self.policy, dashboard=dashboard, **variables)

    @cached_property
    def notices(self) -> list[tuple[str, str, str]]:
        """Unread folders: a text, advice, and settings to paste, which may be empty."""
        storage, zone = self.library.storage, self.library.zone
        unread = places(self.settings, storage, self.library.catalog.manifest().cameras())
        unreadable = obstacles.blocked(self.settings, storage, obstacles.UNREADABLE)
        return [
            *((notice.text(zone), notice.advice, notice.snippet) for notice in unread),
            *((notice.text(zone), notice.advice, "") for notice in unreadable),
        ]

    def keys(self) -> Iterable[str]:
        """Yield the folder of each shown camera-day."""
        return (f"{camera.folder}/{day}" for camera in self.shown for day in camera.days)

    def next_silence(self) -> datetime | None:
        """Return when the next camera becomes silent, or None."""
        times = [camera.silent_from for camera in self.shown]
        return min((at for at in times if at and at > self.now), default=None)
