"""Events: uploads of one camera that overlap or closely follow each other.

Every part of pano that groups uploads uses `event_numbers`, so that all of them agree. An
event consists of uploads of one camera and channel, each of which begins within a gap after
all earlier ones have ended. The gap is measured from the latest end so far, because clips
have a length. A clip and the snapshots that it covers (`clip_id`) are never separated.

Instants are compared, not wall-clock times: in the repeated autumn hour, pictures an hour
apart have the same wall-clock time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.errors import QueryError
from pano_analytics.model import arguments
from pano_analytics.model.upload import TRIGGERS

# name, type, meaning.
EVENTS: tuple[tuple[str, pa.DataType, str], ...] = (
    (
        "event_id",
        pa.string(),
        "the `media_id` of its upload that arrived first (the lowest of several)",
    ),
    ("camera", pa.string(), "the camera"),
    ("channel", pa.int32(), "channel of a recorder, if the paths have its number"),
    ("start", pa.timestamp("us", tz="UTC"), "when its first upload starts"),
    (
        "end",
        pa.timestamp("us", tz="UTC"),
        "when its last upload ends; a snapshot ends when it starts",
    ),
    ("arrived", pa.timestamp("us", tz="UTC"), "when the first of its uploads arrived"),
    ("files", pa.int64(), "number of uploads"),
    ("snapshots", pa.int64(), "number of snapshots"),
    ("clips", pa.int64(), "number of clips"),
    ("triggers", pa.string(), "the triggers of its uploads, separated by commas"),
    ("state", pa.string(), "complete if all uploads are; otherwise the state of the worst"),
    (
        "cover",
        pa.string(),
        "`media_id` of the picture that stands for it; null if no upload has a thumbnail",
    ),
    ("thumb", pa.string(), "locator of the thumbnail of the cover"),
)
COLUMNS = tuple(name for name, _, _ in EVENTS)
# From best to worst: a file that is gone can no longer be viewed.
STATES_BY_WORTH = (
    "complete",
    "partial",
    "unread",
    "pending",
    "unsupported",
    "damaged",
    "empty",
    "missing",
    "culled",
)
_NEEDED = ("media_id", "camera", "kind", "trigger", "start", "end", "arrived", "state", "thumb")
_SOURCE = "library.media()"
_NO_LIMIT = np.iinfo(np.int64).max

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rule:
    """When uploads of a camera belong to one event.

    `gap`: the longest time between the end of all earlier uploads and the start of the next.
    `longest`: an upload that starts later than this after the first one begins a new event;
    None for no limit. A single clip may be longer. Both are a timedelta, or text such as
    "60 s". `scheduled`: whether uploads with the trigger "scheduled" (pictures at set times,
    continuous recording) are included; nothing triggered them, so by default they are not.
    Raises QueryError for a value that is not a length of time.
    """

    gap: timedelta | str = timedelta(seconds=60)
    longest: timedelta | str | None = timedelta(hours=1)
    scheduled: bool = False

    def __post_init__(self) -> None:
        # Checked here, so that a wrong rule is reported where it was made.
        arguments.length(self.gap, "gap")
        if self.longest is not None:
            arguments.length(self.longest, "longest")

    @property
    def gap_us(self) -> int:
        return _microseconds(self.gap, "gap")

    @property
    def longest_us(self) -> int:
        return _NO_LIMIT if self.longest is None else _microseconds(self.longest, "longest")


Rules = Rule | Mapping[str, Rule]
"""One rule for all cameras, or one rule per camera (`Rule()` for all others)."""


def _microseconds(length: timedelta | str, what: str) -> int:
    return int(arguments.length(length, what) // pd.Timedelta("1us"))


def event_numbers(uploads: pd.DataFrame, rules: Rules | None = None) -> pd.Series[Any]:
    """Return the number of the event that each upload belongs to, with the index of `uploads`.

    `uploads` has `camera`, `start` and `end` (aware; `end` is null for a snapshot), in any
    order. `trigger` is needed unless the rule includes scheduled uploads. A column `channel`
    separates the channels of a recorder; uploads without a channel then form a channel of
    their own. The columns `media_id` and `clip_id` together keep snapshots with their clip.
    Rows whose file is gone (missing, culled) are included: filter them out first for events
    of existing files only.

    Numbers begin at 0 and increase by camera (in the order of `uploads`), channel and time.
    An upload without a start, or that is scheduled and not included, belongs to no event: its
    number is null. Raises QueryError for a frame without these columns.
    """
    rules = _checked(rules)
    arguments.frame(uploads, ("camera", "start", "end"), _SOURCE)
    arguments.aware_times(uploads, ("start", "end"), _SOURCE)
    counted = _counted(uploads, rules)
    numbers = np.full(len(uploads), -1, np.int64)
    numbers[counted] = _numbers(uploads.iloc[np.flatnonzero(counted)], rules)
    result = pd.Series(numbers, uploads.index, "Int64", name="event")
    return result.mask(numbers < 0)


def _checked(rules: Any) -> Rules:
    if rules is None:
        return Rule()
    if isinstance(rules, Rule):
        return rules
    if isinstance(rules, Mapping) and all(isinstance(rule, Rule) for rule in rules.values()):
        return dict(rules)
    raise QueryError(
        "rules: expected a Rule, or a dictionary with a Rule by camera; "
        f"got {arguments.shown(rules)}."
    )


def _counted(uploads: pd.DataFrame, rules: Rules) -> npt.NDArray[np.bool_]:
    """Return which uploads can belong to an event."""
    counted: npt.NDArray[np.bool_] = uploads["start"].notna().to_numpy(bool)
    if isinstance(rules, Rule):
        if rules.scheduled:
            return counted
        takes_all: Any = False
    else:
        cameras = uploads["camera"].astype(object)
        takes_all = cameras.map(lambda name: rules.get(name, Rule()).scheduled).to_numpy(bool)
    arguments.frame(uploads, ("trigger",), _SOURCE)
    is_scheduled = uploads["trigger"].eq("scheduled").fillna(False).to_numpy(bool)
    return np.asarray(counted & (takes_all | ~is_scheduled), bool)


def _numbers(uploads: pd.DataFrame, rules: Rules) -> Integers:
    """Return the number of each upload; all of them have a start."""
    if not len(uploads):
        return np.empty(0, np.int64)
    start = _instants(uploads["start"])
    end = np.maximum(start, _instants(uploads["end"]))
    lane, gap, longest = _lanes(uploads, rules)
    clip = _holding(uploads)
    # A clip and the snapshots it covers get the same begin and end, so that they stay together.
    lane = lane[clip]
    np.minimum.at(first := start.copy(), clip, start)
    np.maximum.at(last := end.copy(), clip, end)
    first, last = first[clip], last[clip]
    order = np.lexsort((first, lane))
    numbers = np.empty(len(uploads), np.int64)
    numbers[order] = _runs(lane[order], first[order], last[order], gap, longest)
    return numbers


def _instants(times: pd.Series) -> Integers:
    """Return microseconds since 1970 UTC; null becomes the lowest integer."""
    utc = times.dt.tz_convert("UTC").dt.tz_localize(None)
    return np.asarray(utc.to_numpy("datetime64[us]").astype(np.int64))


def _lanes(uploads: pd.DataFrame, rules: Rules) -> tuple[Integers, Integers, Integers]:
    """Return the lane (camera and channel) of each upload, and `gap` and `longest` per lane."""
    camera, names = pd.factorize(uploads["camera"])
    channel, channels = np.zeros(len(uploads), np.int64), 1
    if "channel" in uploads:
        # Codes begin at 0, and -1 means no channel, which comes first.
        codes, known = pd.factorize(uploads["channel"], sort=True)
        channel, channels = codes.astype(np.int64) + 1, len(known) + 1
    of_camera = [rules if isinstance(rules, Rule) else rules.get(name, Rule()) for name in names]
    gap = np.array([rule.gap_us for rule in of_camera], np.int64)
    longest = np.array([rule.longest_us for rule in of_camera], np.int64)
    return camera * channels + channel, np.repeat(gap, channels), np.repeat(longest, channels)


def _holding(uploads: pd.DataFrame) -> Integers:
    """Return for each upload the position of the clip that covers it, or its own position."""
    own = np.arange(len(uploads))
    if "clip_id" not in uploads or "media_id" not in uploads:
        return own
    held = np.flatnonzero(uploads["clip_id"].notna().to_numpy(bool))
    if not len(held):
        return own
    wanted = _texts(uploads["clip_id"].iloc[held])
    is_named = pc.is_in(_texts(uploads["media_id"]), value_set=wanted)
    named = np.flatnonzero(is_named.to_numpy(zero_copy_only=False))
    ids = _texts(uploads["media_id"].iloc[named])
    place = pc.fill_null(pc.index_in(wanted, value_set=ids), -1).to_numpy()
    own[held[place >= 0]] = named[place[place >= 0]]
    return own


def _texts(column: pd.Series) -> pa.Array:
    texts = pa.array(column, pa.large_string(), from_pandas=True)
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def _runs(
    lane: Integers, start: Integers, end: Integers, gap: Integers, longest: Integers
) -> Integers:
    """Return the event number of each span; spans are sorted by lane and start.

    `gap` and `longest` have one value per lane.
    """
    ended = pd.Series(end).groupby(lane).cummax().to_numpy()
    begins = np.ones(len(start), bool)
    begins[1:] = (lane[1:] != lane[:-1]) | (start[1:] - ended[:-1] > gap[lane[1:]])
    firsts = np.flatnonzero(begins)
    ends = np.append(firsts[1:], len(start))
    for low, high in zip(firsts.tolist(), ends.tolist(), strict=True):
        # Most runs are shorter and need no cut.
        if start[high - 1] - start[low] > longest[lane[low]]:
            begins[_cuts(start[low:high], int(longest[lane[low]])) + low] = True
    numbers: Integers = np.cumsum(begins) - 1
    return numbers


def _cuts(start: Integers, longest: int) -> Integers:
    """Return where to cut a run so that each piece starts at most `longest` after its first."""
    following = np.searchsorted(start, start + longest, side="right").tolist()
    cuts = []
    at = following[0]
    while at < len(start):
        cuts.append(at)
        at = following[at]
    return np.array(cuts, np.int64)


def event_ids(uploads: pd.DataFrame, rules: Rules | None = None) -> pd.Series[Any]:
    """Return the `event_id` of the event that each upload belongs to, or null.

    The id is the `media_id` of the member that arrived first (the lowest if several arrived
    together). So it stays the same when members arrive later or the gap is changed; when an
    event is split, for the part with that member; and when events are merged, for the one
    that arrived first. `uploads` has `media_id` and `arrived` in addition to what
    `event_numbers` needs. Raises QueryError as `event_numbers` does.
    """
    arguments.frame(uploads, ("media_id", "camera", "start", "end", "arrived"), _SOURCE)
    arguments.aware_times(uploads, ("arrived",), _SOURCE)
    counted, numbers, ids = _identified(uploads, rules)
    result = np.full(len(uploads), None, object)
    result[counted] = ids[numbers]
    return pd.Series(result, uploads.index, "str", name="event_id")


def _identified(
    uploads: pd.DataFrame, rules: Rules | None
) -> tuple[Integers, Integers, npt.NDArray[np.object_]]:
    """Return the positions of uploads in events, their event numbers, and the id per number."""
    all_numbers = event_numbers(uploads, rules)
    counted = np.flatnonzero(all_numbers.notna().to_numpy(bool))
    numbers = all_numbers.to_numpy(np.int64, na_value=-1)[counted]
    return counted, numbers, _first_arrived(uploads.iloc[counted], numbers)


def _first_arrived(rows: pd.DataFrame, numbers: Integers) -> npt.NDArray[np.object_]:
    """Return for each event number the `media_id` of the row that arrived first."""
    arrived = _instants(rows["arrived"])
    arrived[arrived == np.iinfo(np.int64).min] = _NO_LIMIT
    earliest = pd.Series(arrived).groupby(numbers).transform("min").to_numpy()
    chosen = np.flatnonzero(arrived == earliest)
    ids = rows["media_id"].iloc[chosen]
    order = np.lexsort((_ranks(ids), numbers[chosen]))
    _, first = np.unique(numbers[chosen][order], return_index=True)
    return ids.to_numpy(object)[order[first]]


def _ranks(ids: pd.Series) -> Integers:
    """Return the rank of each text in sorted order."""
    return np.asarray(pc.rank(_texts(ids), tiebreaker="dense").to_numpy(), np.int64)


def events(uploads: pd.DataFrame, rules: Rules | None = None) -> pd.DataFrame:
    """Return one row per event: the columns of `EVENTS`, sorted by start, camera and channel.

    `uploads` has the columns that `event_ids` needs, and `kind`, `state` and `thumb`.
    `start`, `end` and `arrived` are aware in the zone of `uploads`; `end` is never null.
    `triggers` lists the known triggers. `state` is the worst one, in the order
    complete, partial, unread, pending, unsupported, damaged, empty, missing, culled.

    The cover is chosen from uploads with a thumbnail: from complete snapshots, or else from
    other snapshots, the middle one in time (the first picture of an event with clips may show
    an empty yard), or the first one if the event has no clips; or else the first complete
    clip, or else the first other clip. Raises QueryError as `event_numbers` does.
    """
    arguments.frame(uploads, _NEEDED, _SOURCE)
    counted, numbers, ids = _identified(uploads, rules)
    rows = _one_row_each(uploads.iloc[counted].reset_index(drop=True), numbers, ids)
    return rows.sort_values(["start", "camera", "channel"], kind="stable", ignore_index=True)


def _one_row_each(
    rows: pd.DataFrame, numbers: Integers, ids: npt.NDArray[np.object_]
) -> pd.DataFrame:
    is_clip = rows["kind"].eq("clip").to_numpy(bool)
    files = np.bincount(numbers, minlength=len(ids)).astype(np.int64)
    clips = np.bincount(numbers, is_clip, len(ids)).astype(np.int64)
    firsts = rows.iloc[np.unique(numbers, return_index=True)[1]].reset_index(drop=True)
    no_channel = pd.Series(pd.NA, rows.index, "Int64")
    # A clip may cover snapshots without a channel: the event has the known channel.
    channels = rows.get("channel", no_channel).astype("Int64").groupby(numbers).min()
    ended = rows.assign(end=rows["end"].where(rows["end"] > rows["start"], rows["start"]))
    times = ended.groupby(numbers).agg(
        start=("start", "min"), end=("end", "max"), arrived=("arrived", "min")
    )
    cover = _covers(rows, numbers).reindex(range(len(ids)))
    return pd.DataFrame(
        {
            "event_id": pd.Series(ids, dtype="str"),
            "camera": firsts["camera"],
            "channel": channels,
            "start": times["start"],
            "end": times["end"],
            "arrived": times["arrived"],
            "files": files,
            "snapshots": files - clips,
            "clips": clips,
            "triggers": _triggers(rows["trigger"], numbers, len(ids)),
            "state": _worst(rows["state"], numbers, len(ids)),
            "cover": cover["media_id"].astype("str"),
            "thumb": cover["thumb"].astype("str"),
        },
        columns=list(COLUMNS),
    )


def _triggers(triggers: pd.Series, numbers: Integers, count: int) -> pd.Series:
    """Return the known triggers of each event as text, in the order of TRIGGERS."""
    names = sorted(triggers.dropna().unique(), key=_place_of_trigger)
    bits = np.zeros(count, np.int64)
    for at, name in enumerate(names):
        has = np.bincount(numbers, triggers.eq(name).fillna(False).to_numpy(bool), count) > 0
        bits |= has.astype(np.int64) << at
    words = {
        int(one): ", ".join(name for at, name in enumerate(names) if one >> at & 1)
        for one in np.unique(bits)
    }
    return pd.Series([words[one] or None for one in bits.tolist()], dtype="str")


def _place_of_trigger(name: str) -> tuple[int, str]:
    return (TRIGGERS.index(name) if name in TRIGGERS else len(TRIGGERS), name)


def _worst(states: pd.Series, numbers: Integers, count: int) -> pd.Series:
    places = pd.Index(STATES_BY_WORTH, dtype=object).get_indexer(pd.Index(states, dtype=object))
    unknown = states[places < 0]
    if len(unknown):
        raise QueryError(
            f"state: expected one of {', '.join(STATES_BY_WORTH)}; got {unknown.iloc[0]!r}."
        )
    worst = np.zeros(count, np.int64)
    np.maximum.at(worst, numbers, places.astype(np.int64))
    return pd.Series(np.array(STATES_BY_WORTH, object)[worst], dtype="str")


def covers(uploads: pd.DataFrame, events: pd.Series) -> npt.NDArray[np.bool_]:
    """Return for each upload whether it is the cover of its event (see `events`).

    `events` identifies the event of each row of `uploads`, by number or id; null for none.
    """
    codes, _ = pd.factorize(events)
    is_cover = np.zeros(len(uploads), bool)
    has_event = np.flatnonzero(codes >= 0)
    rows = uploads.iloc[has_event].reset_index(drop=True)
    chosen = _covers(rows, codes[has_event])
    is_cover[has_event[chosen["place"].to_numpy(np.int64)]] = True
    return is_cover


def _covers(rows: pd.DataFrame, numbers: Integers) -> pd.DataFrame:
    """Return `place, media_id, thumb` of the cover by event; no row for an event without one."""
    shown = np.flatnonzero(rows["thumb"].notna().to_numpy(bool))
    event = numbers[shown]
    is_clip = rows["kind"].eq("clip").to_numpy(bool)
    is_whole = rows["state"].eq("complete").to_numpy(bool)
    rank = 2 * is_clip[shown] + ~is_whole[shown]
    best = pd.Series(rank).groupby(event).transform("min").to_numpy()
    shown, event = shown[rank == best], event[rank == best]
    ids = rows["media_id"].iloc[shown]
    order = np.lexsort((_ranks(ids), _instants(rows["start"])[shown], event))
    shown, event = shown[order], event[order]
    ordered = pd.Series(event).groupby(event)
    is_with_clips = np.isin(event, numbers[is_clip]) & ~is_clip[shown]
    wanted = np.where(is_with_clips, ordered.transform("size") // 2, 0)
    middle = (ordered.cumcount() == wanted).to_numpy(bool)
    chosen = rows.iloc[shown[middle]]
    return pd.DataFrame(
        {
            "place": shown[middle],
            "media_id": chosen["media_id"].to_numpy(object),
            "thumb": chosen["thumb"].to_numpy(object),
        },
        index=event[middle],
    )
