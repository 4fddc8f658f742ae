"""The Python call behind each view, which returns the same data as a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from pano_analytics.dashboard.selection import Selection, text_of


def media_call(selection: Selection) -> str:
    """Return the call for the uploads of the gallery."""
    return _call(
        "media",
        camera=_names(selection.cameras),
        start=text_of(selection.start) or None,
        end=text_of(selection.end) or None,
        kind=selection.kind,
        state=_names(selection.states),
    )


def activity_call(first: date, last: date) -> str:
    """Return the call for the counts of the heatmaps."""
    end = last + timedelta(days=1)
    return _call("activity", by="hour", start=first.isoformat(), end=end.isoformat())


def cameras_call() -> str:
    """Return the call for the overview."""
    return _call("cameras")


def item_call(media_id: str, camera: str, day: date | datetime) -> str:
    """Return the call for one upload."""
    return f"library.item({media_id!r}, {camera!r}, '{day:%Y-%m-%d}')"


def _names(names: Sequence[str]) -> str | list[str] | None:
    return None if not names else names[0] if len(names) == 1 else list(names)


def _call(method: str, **arguments: Any) -> str:
    given = [f"{name}={value!r}" for name, value in arguments.items() if value is not None]
    return f"library.{method}({', '.join(given)})"
