"""What a run of `pano site` did, and how it is told meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class SiteSummary:
    """What a run did.

    `days` counts the camera-days shown, `days_made` those whose pages were made
    anew; `written` the files that were new or different, `clips_packed` those
    of them that are clips; `clips_waiting` had no room.
    """

    folder: Path
    cameras: int
    days: int
    days_made: int = 0
    written: int = 0
    removed: int = 0
    clips_packed: int = 0
    clips_waiting: int = 0
    seconds: float = 0.0
