"""Figures for notebooks, with hvPlot: activity by hour and day, and a timeline of uploads."""

from __future__ import annotations

import os
from typing import Any, cast

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
from bokeh.model import Model
from bokeh.models.ui import UIElement
from panel.io.notebook import patch_inline_stylesheets

# Embed scripts and styles in notebooks instead of loading them from a CDN. Must be set before
# hvPlot is imported. Set PANEL_INLINE=false to use the CDN.
if "PANEL_INLINE" not in os.environ:
    hv.extension.inline = True
    pn.config.inline = True  # type: ignore[misc]

import hvplot.pandas  # noqa: F401  adds .hvplot to DataFrames

from pano_analytics.analysis.activity import WEEKDAYS
from pano_analytics.errors import QueryError
from pano_analytics.model import arguments


def _with_styles_inside(_: pn.viewable.Viewable, root: Model) -> None:
    """Embed style sheets in a figure that HoloViews shows, as Panel does for its own views."""
    if pn.config.inline:
        for model in root.select({"type": UIElement}):
            patch_inline_stylesheets(model)


pn.viewable.Viewable._preprocessing_hooks.append(_with_styles_inside)

# Shades of one hue, from none to many: readable in print and by colour-blind people.
COLOURS = ["#eef1f4", "#cfe6e3", "#9fd0ca", "#6bb7ae", "#3a9b91", "#0f766e", "#0a4f4a"]
# The least number of files for each shade; the same for every camera and day.
STEPS = [0, 1, 2, 4, 8, 16, 32, 64]
_COUNTED = ("camera", "bucket", "snapshots", "clips")


def activity(frame: pd.DataFrame, *, columns: int = 2) -> hv.Layout:
    """Return one figure per camera of the counts in `frame`, from `library.activity()`.

    Counts by hour are drawn as a heatmap (hour by day), by day and weekday as bars. Shades
    of the heatmap stand for numbers of files (snapshots and clips) on a fixed scale, each
    step twice the one before; the two occurrences of the repeated autumn hour share a cell.
    Hovering shows the counts. Raises QueryError for a frame with other columns.
    """
    arguments.frame(frame, _COUNTED, "library.activity()")
    width = arguments.whole(columns, "columns", least=1)
    by = _bucket_size(frame["bucket"])
    counted, draw = (by_wall_hour(frame), _heatmap) if by == "hour" else (_by_day(frame), _bars)
    figures = [draw(name, part) for name, part in counted.groupby("camera", sort=False)]
    return hv.Layout(figures or [hv.Text(0, 0, "No uploads yet")]).cols(width or 2)


def _bucket_size(buckets: pd.Series) -> str:
    """Return the kind of the buckets of `library.activity()`: "hour", "day" or "weekday"."""
    if not isinstance(buckets.dtype, pd.DatetimeTZDtype):
        if buckets.isin(WEEKDAYS).all():
            return "weekday"
        raise QueryError(
            "expected the buckets of library.activity(), aware times or names of weekdays; "
            f"got {buckets.dtype}."
        )
    if "by" in buckets.attrs:
        return str(buckets.attrs["by"])
    # Without the attribute that activity() sets: days begin at midnight, or just after if the
    # zone skips it.
    wall = buckets.drop_duplicates().dt.tz_localize(None)
    days = wall.dt.normalize()
    begins = days.dt.tz_localize(buckets.dt.tz, ambiguous=True, nonexistent="shift_forward")
    is_daily = len(wall) > 1 and days.is_unique and begins.dt.tz_localize(None).eq(wall).all()
    return "day" if is_daily else "hour"


def _by_day(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `camera, bucket, snapshots, clips, files`; `bucket` as text, in order of time."""
    buckets = frame["bucket"]
    if isinstance(buckets.dtype, pd.DatetimeTZDtype):
        is_one_year = buckets.dt.year.nunique() <= 1
        buckets = buckets.dt.strftime("%a %d %b" if is_one_year else "%a %d %b %Y")
    return frame.assign(bucket=buckets.astype(str), files=frame["snapshots"] + frame["clips"])


def _bars(name: Any, counts: pd.DataFrame) -> hv.Bars:
    columns = ["files", "snapshots", "clips"]
    return hv.Bars(counts, "bucket", columns, label=str(name)).opts(
        title=str(name),
        color=COLOURS[-2],
        xlabel="",
        ylabel="files",
        xrotation=60,
        width=430,
        height=260,
        tools=["hover"],
        toolbar=None,
    )


def by_wall_hour(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `camera, day, hour, snapshots, clips, files`, one row per hour of the wall clock.

    `frame` is the result of `library.activity()` by hour; `day` is text such as `Sun 22 Nov`,
    in order of time. Raises QueryError for another frame.
    """
    arguments.frame(frame, _COUNTED, "library.activity()")
    arguments.aware_times(frame, ("bucket",), "library.activity()")
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
    # The newest day is at the top, as in the dashboard.
    return cast(hv.HeatMap, figure.redim.values(day=list(days)).opts(toolbar=None))


def timeline(frame: pd.DataFrame) -> hv.Overlay:
    """Return a timeline of `frame`, from `library.media()`: one lane per camera.

    Clips are drawn above snapshots, as a bar from start to end with a mark at the start;
    marks of incomplete uploads are hollow. Times are those of the frame's zone. Raises
    QueryError for a frame with other columns.
    """
    arguments.frame(frame, ("camera", "kind", "start", "end", "state"), "library.media()")
    arguments.aware_times(frame, ("start", "end"), "library.media()")
    cameras = list(frame["camera"].unique())
    shown = _in_lanes(frame, cameras)
    marks = [_marks(shown, kind, is_complete) for kind in _MARKS for is_complete in (True, False)]
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
    """Return the frame with lanes, and wall-clock times: Bokeh does not draw times with a zone."""
    start = frame["start"].dt.tz_localize(None)
    lanes = {name: lane for lane, name in enumerate(cameras)}
    offset = frame["kind"].map({kind: mark[2] for kind, mark in _MARKS.items()})
    return frame.assign(
        start=start,
        end=frame["end"].dt.tz_localize(None).fillna(start),
        camera=frame["camera"].astype(str),
        lane=pd.Series([lanes[name] for name in frame["camera"]], frame.index, float) + offset,
        is_complete=frame["state"] == "complete",
    )


def _marks(shown: pd.DataFrame, kind: str, is_complete: bool) -> hv.Points:
    colour, marker, _ = _MARKS[kind]
    rows = shown[(shown["kind"] == kind) & (shown["is_complete"] == is_complete)]
    label = f"{kind}s" if is_complete else f"{kind}s, incomplete"
    return hv.Points(rows, ["start", "lane"], ["camera", "state"], label=label).opts(
        color=colour,
        marker=marker,
        size=7,
        fill_alpha=0.75 if is_complete else 0,
        tools=["hover"],
    )


def _lengths(shown: pd.DataFrame) -> hv.Segments:
    clips = shown[shown["kind"] == "clip"].assign(until=lambda rows: rows["lane"])
    return hv.Segments(clips, ["start", "lane", "end", "until"]).opts(
        color=_MARKS["clip"][0], line_width=7
    )
