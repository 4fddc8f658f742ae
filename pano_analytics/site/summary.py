"""The result of `pano site`, and its progress callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class SiteSummary:
    """The result of a run.

    `days` counts the camera-days shown, `days_made` those whose pages were written again,
    `written` the new or changed files, `clips_packed` the converted clips, and
    `clips_waiting` those without disk space.
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
