"""What the families share: kinds by extension, ends after midnight, invalid times."""

from __future__ import annotations

from datetime import datetime, timedelta

from pano_analytics.formats.endings import ENDINGS
from pano_analytics.model.upload import Kind, Reading

KIND_OF: dict[str, Kind] = {extension: ending.kind for extension, ending in ENDINGS.items()}
SNAPSHOT_EXTENSIONS = tuple(name for name, kind in KIND_OF.items() if kind == "snapshot")
CLIP_EXTENSIONS = tuple(name for name, kind in KIND_OF.items() if kind == "clip")

ONE_DAY = timedelta(days=1)


def kind_of(extension: str) -> Kind | None:
    """Return the kind of files with this extension (without the dot, any case), or None."""
    return KIND_OF.get(extension) or KIND_OF.get(extension.lower())


def end_after(start: datetime, end: str) -> datetime:
    """Return the first time of day `end` (`HH.MM.SS`, any separator) at or after `start`.

    24.00.00 is the midnight after `start`. Raises ValueError or OverflowError if it is not
    a valid time.
    """
    hour, minute, second = int(end[:2]), int(end[3:5]), int(end[6:])
    if hour == 24 and minute == second == 0:
        return start.replace(hour=0, minute=0, second=0) + ONE_DAY
    end_time = start.replace(hour=hour, minute=minute, second=second)
    return end_time if end_time >= start else end_time + ONE_DAY


def invalid_time(layout: str, text: str, error: Exception) -> Reading:
    """Return the reading of a name that looks like `layout`, but has an invalid time."""
    return Reading(
        kind="unknown", reason=f"looks like {layout}, but {text} is not a valid time: {error}"
    )
