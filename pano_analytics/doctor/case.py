"""One camera as the doctor sees it: its newest uploads, and the limits that apply to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

import pandas as pd

from pano_analytics.doctor.menus import Menu, menu_of
from pano_analytics.settings import Doctor

# The columns of an upload that the checks use.
NEEDED = (
    *("kind", "trigger", "start", "end", "wall_start", "time_source", "clock_offset_s"),
    *("layout", "sequence", "arrived", "state", "width", "height", "fps", "codec"),
    "camera_clock",
)
_NEWEST = 20


@dataclass(frozen=True)
class Case:
    """One camera: its `uploads` of the examined days (columns NEEDED, by start, times aware).

    `snapshots` and `clips` count all uploads ever; `zone` is the camera's own.
    """

    camera: str
    uploads: pd.DataFrame
    snapshots: int
    clips: int
    zone: ZoneInfo
    rules: Doctor

    @cached_property
    def menu(self) -> Menu:
        """The menus of its camera family, according to its newest uploads."""
        layouts = self.uploads["layout"].dropna().tail(_NEWEST).mode()
        return menu_of(None if layouts.empty else str(layouts.iloc[0]))

    def of(self, kind: str) -> pd.DataFrame:
        """Return its uploads of a kind, without crops of other pictures."""
        return self.uploads[(self.uploads["kind"] == kind) & ~self._is_crop]

    @cached_property
    def _is_crop(self) -> pd.Series:
        # Amcrest and Dahua number the crops of one picture from 1; 0 is the whole scene.
        family = self.uploads["layout"].fillna("").str.startswith(("amcrest", "dahua"))
        sequence = pd.to_numeric(self.uploads["sequence"], errors="coerce")
        return family & (sequence > 0)
