"""Figures for notebooks say what the frames say."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import holoviews as hv
import pandas as pd
import pytest

from pano_analytics import plots
from pano_analytics.errors import QueryError

BERLIN = ZoneInfo("Europe/Berlin")


def hourly(start: str, hours: int, camera: str = "front") -> pd.DataFrame:
    """Return a frame as `library.activity(by="hour")` gives it, one snapshot more each hour."""
    buckets = pd.date_range(pd.Timestamp(start, tz=BERLIN), periods=hours, freq="h")
    files = range(1, hours + 1)
    return pd.DataFrame({"camera": camera, "bucket": buckets, "snapshots": files, "clips": 1})


def media(*rows: tuple[str, str, str, str | None, str]) -> pd.DataFrame:
    """Return a frame as `library.media()` gives it."""
    frame = pd.DataFrame(rows, columns=["camera", "kind", "start", "end", "state"])
    for column in ("start", "end"):
        frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601").dt.tz_convert(
            BERLIN
        )
    return frame


def test_activity_has_one_heatmap_a_camera_with_its_counts() -> None:
    """Each camera gets its own map, whose cells hold snapshots and clips of that hour."""
    frame = pd.concat([hourly("2026-11-20", 30), hourly("2026-11-20", 30, "garden")])
    layout = plots.activity(frame)
    assert [str(one.opts.get().kwargs.get("title")) for one in layout] == ["front", "garden"]
    cells = layout.values()[0].data
    row = cells[(cells["day"] == "Fri 20 Nov") & (cells["hour"] == 7)].iloc[0]
    assert (row["snapshots"], row["clips"]) == (8, 1)


def test_the_repeated_autumn_hour_is_one_cell() -> None:
    """25 hours of a day with a step back fall into 24 hours of its clock, none lost."""
    hours = plots.by_wall_hour(hourly("2026-10-25", 25))
    assert len(hours) == 24
    assert hours["files"].sum() == sum(range(1, 26)) + 25


def test_days_of_two_years_are_told_apart() -> None:
    """The day's text names the year where the frame has more than one."""
    frame = pd.concat([hourly("2025-11-20", 2), hourly("2026-11-20", 2)])
    assert plots.by_wall_hour(frame)["day"].nunique() == 2


def test_no_upload_at_all_is_a_figure_too() -> None:
    """An empty library draws words, not an error."""
    assert isinstance(plots.activity(hourly("2026-11-20", 0)), hv.Layout)


def test_timeline_draws_every_upload_once_on_the_wall_clock() -> None:
    """Each file is one mark in its camera's lane, at the time that the frame's zone shows."""
    frame = media(
        ("front", "clip", "2026-11-20T12:00", "2026-11-20T12:00:30", "complete"),
        ("front", "snapshot", "2026-11-20T12:00:06", None, "partial"),
        ("garden", "snapshot", "2026-11-20T13:00", None, "complete"),
    )
    overlay = plots.timeline(frame)
    marks = pd.concat([one.data for one in overlay if isinstance(one, hv.Points)])
    assert len(marks) == 3
    assert marks["start"].min() == pd.Timestamp("2026-11-20 13:00")
    assert set(marks.loc[marks["camera"] == "front", "lane"].round()) == {0}
    assert hv.render(overlay.opts(hv.opts.Overlay(responsive=False, width=400)))


@pytest.mark.parametrize("figure", [plots.activity, plots.timeline])
def test_a_frame_of_something_else_is_refused_in_words(figure: object) -> None:
    """The error names the call that gives the right frame."""
    with pytest.raises(QueryError, match=r"expected a frame as library\.\w+"):
        figure(pd.DataFrame({"x": [1]}))  # type: ignore[operator]
