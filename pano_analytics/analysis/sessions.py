"""Sessions: events of several cameras that show one visit.

A session begins with an event that continues no other one, and contains all that continue it,
directly or through others; `transitions` says what continues what. An event that nothing
continues, and that continues nothing, is a session of its own. So each event belongs to
exactly one session.

Two events of the same camera are never linked directly, only through another camera: for one
camera, the gap of its events decides what belongs together.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pano_analytics.analysis.events import STATES_BY_WORTH
from pano_analytics.analysis.silence import is_silent
from pano_analytics.analysis.transitions import TransitionLags, links, transition_lags, true_times
from pano_analytics.model import arguments
from pano_analytics.model.upload import TRIGGERS

__all__ = [
    "COLUMNS",
    "SESSIONS",
    "SESSION_ID",
    "UNSEEN",
    "TransitionLags",
    "coverage",
    "expected_cameras",
    "session_ids",
    "sessions",
    "transition_lags",
    "usual_cameras",
]

# name, type, meaning.
SESSIONS: tuple[tuple[str, pa.DataType, str], ...] = (
    (
        "session_id",
        pa.string(),
        "the `event_id` of its event that arrived first (the lowest of several)",
    ),
    ("path", pa.string(), "its cameras in order of appearance, separated by commas"),
    ("cameras", pa.int64(), "number of cameras"),
    (
        "start",
        pa.timestamp("us", tz="UTC"),
        "when its first event starts; times of cameras whose clock is wrong are corrected",
    ),
    ("end", pa.timestamp("us", tz="UTC"), "when its last event ends, corrected in the same way"),
    ("arrived", pa.timestamp("us", tz="UTC"), "when the first of its uploads arrived"),
    ("events", pa.int64(), "number of events"),
    ("files", pa.int64(), "number of uploads"),
    ("snapshots", pa.int64(), "number of snapshots"),
    ("clips", pa.int64(), "number of clips"),
    ("triggers", pa.string(), "the triggers of its events, separated by commas"),
    ("state", pa.string(), "complete if all events are; otherwise the state of the worst"),
    (
        "cover",
        pa.string(),
        "the cover of its event with the most snapshots (the first of several); null without one",
    ),
    ("thumb", pa.string(), "locator of the thumbnail of the cover"),
)
COLUMNS = tuple(name for name, _, _ in SESSIONS)
# The last column of events.
SESSION_ID: tuple[tuple[str, pa.DataType, str], ...] = (
    (
        "session_id",
        pa.string(),
        "the session that it belongs to; never null: an event alone is a session of its own",
    ),
)
UNSEEN: tuple[tuple[str, pa.DataType, str], ...] = (
    (
        "unseen_by",
        pa.string(),
        "cameras that usually see such a visit, worked, and did not; null if there are none",
    ),
    (
        "silent",
        pa.string(),
        "cameras that usually see such a visit and were silent then; null if there are none",
    ),
)
EXPECTED = ("session_id", "camera", "share", "visits", "is_silent")
# A camera is expected if it was in this share of visits like this one, of at least so many.
_LEAST_SHARE = 0.5
_FEWEST_VISITS = 5
_COUNTS = ("files", "snapshots", "clips")
_SOURCE = "library.events()"

Integers = npt.NDArray[np.int64]


def session_ids(events: pd.DataFrame, lags: TransitionLags) -> pd.Series[Any]:
    """Return the `session_id` of each event, with the index of `events`; never null.

    `events` has `event_id`, `camera`, `start`, `end` and `arrived` (aware, in one zone), in any
    order. The id is the `event_id` of the member that arrived first (the lowest of several),
    so it stays the same when members arrive later. Events that are within two hours of the
    end of the frame may lack members that are outside of it. Raises QueryError for a frame
    without these columns.
    """
    ids = events["event_id"].astype(object).to_numpy()
    numbers = _numbers(events, lags)
    arrived = events["arrived"].dt.tz_convert("UTC")
    ordered = pd.DataFrame({"number": numbers, "arrived": arrived.to_numpy(), "id": ids})
    firsts = ordered.sort_values(["arrived", "id"], kind="stable").groupby("number")["id"].first()
    return pd.Series(firsts.reindex(numbers).to_numpy(), events.index, "str", name="session_id")


def _numbers(events: pd.DataFrame, lags: TransitionLags) -> Integers:
    """Return for each event the place of the event with which its session begins."""
    continued = links(events, lags).to_numpy(np.float64)
    own = np.arange(len(events))
    parent = np.where(np.isnan(continued), own, continued).astype(np.int64)
    while True:
        further = parent[parent]
        if (further == parent).all():
            return parent
        parent = further


def sessions(events: pd.DataFrame, lags: TransitionLags) -> pd.DataFrame:
    """Return one row per session: the columns of `SESSIONS`, sorted by start and path.

    `events` has the columns of `analysis.events.EVENTS`, as `library.events()` returns them.
    Times are aware in their zone. `is_reviewed`, `is_pinned`, `is_dismissed`, `note` and
    `new_files` are added if `events` has them: a session is reviewed or dismissed if all
    events are, pinned if one is; its note is the first one. Raises QueryError as
    `session_ids` does.
    """
    needed = ("event_id", "camera", "start", "end", "arrived", *_COUNTS, "triggers", "state")
    arguments.frame(events, (*needed, "cover", "thumb"), _SOURCE)
    rows = events.assign(**true_times(events, lags), session_id=session_ids(events, lags))
    rows = rows.assign(camera=rows["camera"].astype("str"))
    rows = rows.sort_values(["start", "camera", "event_id"], kind="stable", ignore_index=True)
    grouped = rows.groupby("session_id", sort=False)
    firsts = rows.drop_duplicates(["session_id", "camera"])
    cameras = firsts.groupby("session_id", sort=False)["camera"]
    covers = _covers(rows)
    found = pd.DataFrame(
        {
            "path": cameras.agg(", ".join).astype("str"),
            "cameras": cameras.size().astype("int64"),
            "start": grouped["start"].min(),
            "end": grouped["end"].max(),
            "arrived": grouped["arrived"].min(),
            "events": grouped.size().astype("int64"),
            **{name: grouped[name].sum().astype("int64") for name in _COUNTS},
            "triggers": _together(rows),
            "state": _worst(rows),
            "cover": covers["cover"],
            "thumb": covers["thumb"],
            **_marks(rows),
        }
    )
    found = found.rename_axis("session_id").reset_index().astype({"session_id": "str"})
    return found.sort_values(["start", "path"], kind="stable", ignore_index=True)


def _covers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `cover, thumb` by session: those of the event with the most snapshots."""
    shown = rows.dropna(subset="cover")
    most = shown.sort_values("snapshots", ascending=False, kind="stable")
    chosen = most.drop_duplicates("session_id").set_index("session_id")[["cover", "thumb"]]
    return chosen.reindex(rows["session_id"].unique()).astype("str")


def _together(rows: pd.DataFrame) -> pd.Series[Any]:
    """Return the triggers of each session as text, in the order of TRIGGERS."""
    each = rows[["session_id", "triggers"]].dropna()
    each = each.assign(triggers=each["triggers"].str.split(", ")).explode("triggers")
    place = each["triggers"].map({name: at for at, name in enumerate(TRIGGERS)})
    each = each.assign(place=place.fillna(len(TRIGGERS))).drop_duplicates()
    each = each.sort_values(["place", "triggers"], kind="stable")
    texts = each.groupby("session_id")["triggers"].agg(", ".join)
    return texts.reindex(rows["session_id"].unique()).astype("str")


def _worst(rows: pd.DataFrame) -> pd.Series[Any]:
    worth = pd.Categorical(rows["state"], STATES_BY_WORTH, ordered=True)
    worst = pd.Series(worth.codes).groupby(rows["session_id"], sort=False).max()
    return worst.map(dict(enumerate(STATES_BY_WORTH))).astype("str")


def _marks(rows: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    """Return the marks of each session, as far as the events have any."""
    if not {"is_reviewed", "is_pinned", "is_dismissed", "note", "new_files"} <= set(rows.columns):
        return {}
    grouped = rows.groupby("session_id", sort=False)
    return {
        "is_reviewed": grouped["is_reviewed"].all(),
        "is_pinned": grouped["is_pinned"].any(),
        "is_dismissed": grouped["is_dismissed"].all(),
        "note": grouped["note"].first().astype("str"),
        "new_files": grouped["new_files"].sum().astype("int64"),
    }


# --- who should have seen it --------------------------------------------------------------------


def coverage(
    uploads: pd.DataFrame, silent_after: dict[str, timedelta], now: datetime
) -> pd.DataFrame:
    """Return the stretches of time in which each camera worked: `camera, start, end, is_open`.

    `uploads` has `camera` and `arrived` (aware) of all uploads, also scheduled ones, or of the
    first and the last of each hour. A camera worked from one upload to the next if it was not
    silent in between (see `silence`); `silent_after` has the limit of each camera. `is_open`
    says that the camera is not yet silent at `now`: nobody knows whether it still works. Times
    are in the zone of `uploads`. Raises QueryError for a frame without these columns.
    """
    arguments.frame(uploads, ("camera", "arrived"), "library.media()")
    arguments.aware_times(uploads, ("arrived",), "library.media()")
    rows = uploads[["camera", "arrived"]].dropna().sort_values(["camera", "arrived"])
    rows = rows.assign(camera=rows["camera"].astype("str"))
    limit = rows["camera"].map(silent_after)
    begins = ~(rows.groupby("camera")["arrived"].diff() < limit).to_numpy(bool)
    grouped = rows.groupby([rows["camera"], np.cumsum(begins)], sort=False)
    found = grouped["arrived"].agg(start="min", end="max").reset_index("camera")
    latest = ~found["camera"].duplicated(keep="last").to_numpy(bool)
    is_open = [
        last and not is_silent(end, silent_after[name] / timedelta(hours=1), now)
        for name, end, last in zip(found["camera"], found["end"], latest, strict=True)
    ]
    return found.assign(is_open=np.array(is_open, bool)).reset_index(drop=True)


def usual_cameras(sessions: pd.DataFrame) -> pd.DataFrame:
    """Return `path, day, visits`: how often visits took each path on each day.

    `sessions` are past ones, as the function `sessions` returns them. This is what
    `expected_cameras` compares with. `day` is the midnight, naive, of the day in their zone.
    """
    arguments.frame(sessions, ("path", "start"), "library.sessions()")
    day = sessions["start"].dt.tz_localize(None).dt.normalize()
    counted = sessions.assign(day=day).groupby(["path", "day"], as_index=False)
    return counted.agg(visits=("path", "size"))


def expected_cameras(
    sessions: pd.DataFrame, usual: pd.DataFrame, covered: pd.DataFrame
) -> pd.DataFrame:
    """Return the cameras that usually see such visits and did not see these.

    `sessions` are rows of the function `sessions`; `usual` is the result of `usual_cameras`,
    `covered` that of `coverage`. The columns are `session_id`, `camera`, `share` (of past
    visits that were seen by all cameras of this one and that took place while `camera`
    worked, the share that it saw, too), `visits` (their number) and `is_silent`: True if the
    camera was silent at the start of the visit or had no uploads yet, False if it worked and
    saw nothing, null if it has sent nothing since then, but not for so long that it counts as
    silent. Sorted as `sessions`, then by camera.

    A camera is expected if the share is at least a half, of at least five visits. A visit
    that nobody saw is unknown, so a camera that misses everything alone is not noticed.
    Raises QueryError for frames without these columns.
    """
    arguments.frame(sessions, ("session_id", "path", "start"), "library.sessions()")
    arguments.frame(covered, ("camera", "start", "end", "is_open"), "coverage()")
    shares = {path: _shares(path, usual, covered) for path in sessions["path"].unique()}
    stretches = {str(name): rows for name, rows in covered.groupby("camera", observed=True)}
    rows = [
        (session_id, camera, share, visits, _silence(stretches.get(camera), start))
        for session_id, path, start in zip(
            sessions["session_id"], sessions["path"], sessions["start"], strict=True
        )
        for camera, share, visits in shares[path]
    ]
    types = {"session_id": "str", "camera": "str", "share": "float64", "visits": "int64"}
    frame = pd.DataFrame(rows, columns=list(EXPECTED))
    return frame.astype({**types, "is_silent": "boolean"})


def _shares(path: str, usual: pd.DataFrame, covered: pd.DataFrame) -> list[tuple[str, float, int]]:
    """Return `camera, share, visits` of the cameras that are expected beside those of `path`.

    Visits are alike if they passed the cameras of `path` in the same order, and others.
    """
    seen = path.split(", ")
    steps = usual["path"].str.split(", ")
    is_alike = steps.map(lambda names: _passes(names, seen)).to_numpy(bool)
    alike, steps = usual[is_alike], steps[is_alike]
    found = []
    for camera in sorted(set(covered["camera"]) - set(seen)):
        is_working = _is_working(covered[covered["camera"] == camera], alike["day"])
        has = steps.map(lambda names, camera=camera: camera in names).to_numpy(bool)
        visits = int(alike["visits"].to_numpy()[is_working].sum())
        share = alike["visits"].to_numpy()[is_working & has].sum() / max(visits, 1)
        if visits >= _FEWEST_VISITS and share >= _LEAST_SHARE:
            found.append((str(camera), float(share), visits))
    return found


def _passes(steps: list[str], wanted: list[str]) -> bool:
    """Return whether `steps` has `wanted` in this order, maybe with others in between."""
    rest = iter(steps)
    return all(name in rest for name in wanted)


def _is_working(stretches: pd.DataFrame, days: pd.Series) -> npt.NDArray[np.bool_]:
    """Return whether a camera worked during the whole of each day."""
    working = np.zeros(len(days), bool)
    for start, end in zip(stretches["start"], stretches["end"], strict=True):
        first, last = start.tz_localize(None), end.tz_localize(None)
        working |= (days >= first).to_numpy(bool) & (days + timedelta(days=1) <= last).to_numpy(
            bool
        )
    return working


def _silence(stretches: pd.DataFrame | None, at: datetime) -> bool | None:
    """Return whether a camera was silent at a moment; None if that is not known yet."""
    if stretches is None:
        return True
    before = stretches[stretches["start"] <= at]
    if not len(before):
        return True
    last = before.iloc[-1]
    if at <= last["end"]:
        return False
    return None if last["is_open"] else True
