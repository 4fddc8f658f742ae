"""Figures for notebooks, in hvPlot: activity by hour and day, and what came when."""

from __future__ import annotations

from typing import Any, cast

import holoviews as hv
import hvplot.pandas  # noqa: F401  gives frames their .hvplot
import numpy as np
import pandas as pd

from pano_analytics.errors import QueryError

# Shades of one hue from "nothing" on: the same reading in print and for the colour-blind.
COLOURS = ["#eef1f4", "#cfe6e3", "#9fd0ca", "#6bb7ae", "#3a9b91", "#0f766e", "#0a4f4a"]
# Each step is twice the one before, and means the same on every camera and day.
STEPS = [0, 1, 2, 4, 8, 16, 32, 64]


def activity(frame: pd.DataFrame, *, columns: int = 2) -> hv.Layout:
    """Return a heatmap a camera, hour by day, of `library.activity(by="hour")`.

    Shades count files an hour (snapshots and clips) on fixed steps, each twice
    the last. Both passes of the repeated autumn hour are one cell. Hovering
    tells the counts. Raises QueryError for a frame of other columns.
    """
    _expect(frame, ("camera", "bucket", "snapshots", "clips"), 'library.activity(by="hour")')
    hours = by_wall_hour(frame)
    maps = [_heatmap(name, part) for name, part in hours.groupby("camera", sort=False)]
    return hv.Layout(maps or [hv.Text(0, 0, "No uploads yet")]).cols(columns)


def by_wall_hour(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `camera, day, hour, snapshots, clips, files`, a row each hour of the wall clock.

    `day` is text such as `Sun 22 Nov`, in the order of time.
    """
    wall = frame["bucket"].dt.tz_localize(None)
    days = pd.DataFrame(
        {"camera": frame["camera"], "date": wall.dt.normalize(), "hour": wall.dt.hour}
    )
    counts = days.assign(snapshots=frame["snapshots"], clips=frame["clips"])
    sums = counts.groupby(["camera", "date", "hour"], sort=False).sum().reset_index()
    sums["files"] = sums["snapshots"] + sums["clips"]
    is_one_year = sums["date"].dt.year.nunique() <= 1
    sums["day"] = sums["date"].dt.strftime("%a %d %b" if is_one_year else "%a %d %b %Y")
    return sums[["camera", "day", "hour", "snapshots", "clips", "files"]]


def _heatmap(name: Any, hours: pd.DataFrame) -> hv.HeatMap:
    level = np.searchsorted(STEPS, hours["files"], side="right") - 1
    days = hours["day"].unique()
    figure = hours.assign(level=np.minimum(level, len(COLOURS) - 1)).hvplot.heatmap(
        x="hour",
        y="day",
        C="level",
        cmap=COLOURS,
        clim=(-0.5, len(COLOURS) - 0.5),
        colorbar=False,
        hover_cols=["snapshots", "clips"],
        xlabel="hour",
        ylabel="",
        title=str(name),
        width=430,
        height=90 + 17 * len(days),
        xticks=[0, 6, 12, 18, 23],
    )
    # The newest day on top, as in the dashboard.
    return cast(hv.HeatMap, figure.redim.values(day=list(days)).opts(toolbar=None))


def timeline(frame: pd.DataFrame) -> hv.Overlay:
    """Return what came when, a lane a camera, of `library.media()`: clips above, snapshots below.

    A clip is a bar of its length with a mark at its beginning; what is not whole
    is hollow. Raises QueryError for a frame of other columns.
    """
    _expect(frame, ("camera", "kind", "start", "end", "state"), "library.media()")
    cameras = list(frame["camera"].unique())
    shown = _in_lanes(frame, cameras)
    marks = [_marks(shown, kind, is_whole) for kind in _MARKS for is_whole in (True, False)]
    return hv.Overlay([_lengths(shown), *marks]).opts(
        xlabel="",
        ylabel="",
        yticks=list(enumerate(cameras)),
        ylim=(-0.6, max(0.6, len(cameras) - 0.4)),
        height=110 + 44 * max(1, len(cameras)),
        responsive=True,
        legend_position="top",
    )


# Colour, shape and distance from the middle of the lane.
_MARKS = {"clip": ("#b45309", "square", 0.16), "snapshot": ("#0f766e", "circle", -0.16)}


def _in_lanes(frame: pd.DataFrame, cameras: list[str]) -> pd.DataFrame:
    """Return the frame with wall-clock times, since Bokeh draws none of a zone, and with lanes."""
    start = frame["start"].dt.tz_localize(None)
    offset = frame["kind"].map({kind: mark[2] for kind, mark in _MARKS.items()})
    return frame.assign(
        start=start,
        end=frame["end"].dt.tz_localize(None).fillna(start),
        lane=frame["camera"].map({name: lane for lane, name in enumerate(cameras)}) + offset,
        is_whole=frame["state"] == "complete",
    )


def _marks(shown: pd.DataFrame, kind: str, is_whole: bool) -> hv.Points:
    colour, marker, _ = _MARKS[kind]
    rows = shown[(shown["kind"] == kind) & (shown["is_whole"] == is_whole)]
    label = f"{kind}s" if is_whole else f"{kind}s, not whole"
    return hv.Points(rows, ["start", "lane"], ["camera", "state"], label=label).opts(
        color=colour,
        marker=marker,
        size=7,
        fill_alpha=0.75 if is_whole else 0,
        tools=["hover"],
    )


def _lengths(shown: pd.DataFrame) -> hv.Segments:
    clips = shown[shown["kind"] == "clip"].assign(until=lambda rows: rows["lane"])
    return hv.Segments(clips, ["start", "lane", "end", "until"]).opts(
        color=_MARKS["clip"][0], line_width=7
    )


def _expect(frame: pd.DataFrame, columns: tuple[str, ...], source: str) -> None:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise QueryError(
            f"expected a frame as {source} gives it, with the columns {', '.join(columns)}; "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
        )
