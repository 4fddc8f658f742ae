"""Events: one grouping of uploads, the same for library, dashboard, site and notebook."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pandas as pd
import pytest
from demo_library import DemoHome, demo_home, settings_of
from hypothesis import assume, example, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from shared_files import clip_path, snapshot_path
from test_library import made

from pano_analytics.analysis.events import COLUMNS, Rule, event_ids, event_numbers, events
from pano_analytics.dashboard.answers import Answers
from pano_analytics.dashboard.selection import Selection
from pano_analytics.dashboard.tiles import with_tiles
from pano_analytics.errors import QueryError
from pano_analytics.library import Library
from pano_analytics.model.upload import STATES
from pano_analytics.site.shown import Shown

__all__ = ["demo_home"]

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "investigate_incident.ipynb"
# Half an hour before the clocks of Berlin are set back from 3:00 to 2:00.
ZERO = pd.Timestamp("2026-10-25 00:30", tz="UTC")
ZONE = "Europe/Berlin"
NOON = datetime(2026, 3, 3, 12, 0, 0)


class Upload(NamedTuple):
    """An upload, times in seconds after ZERO; `length` is None for a snapshot."""

    start: int
    length: int | None = None
    camera: str = "a"
    channel: int | None = None
    trigger: str | None = "motion"
    arrived: int = 0
    clip: int | None = None  # the place of the clip that holds it
    state: str = "complete"
    has_picture: bool = True


def frame(uploads: list[Upload]) -> pd.DataFrame:
    """Return uploads as `library.media()` does; the id tells the place in the list."""
    starts = pd.Series([ZERO + timedelta(seconds=one.start) for one in uploads])
    ends = [
        pd.NaT if one.length is None else ZERO + timedelta(seconds=one.start + one.length)
        for one in uploads
    ]
    arrived = pd.Series([ZERO + timedelta(seconds=one.arrived) for one in uploads])
    found = pd.DataFrame(
        {
            "media_id": pd.Series([name(at) for at in range(len(uploads))], dtype="str"),
            "camera": pd.Series([one.camera for one in uploads], dtype="str"),
            "channel": pd.Series([one.channel for one in uploads], dtype="Int64"),
            "kind": ["snapshot" if one.length is None else "clip" for one in uploads],
            "trigger": pd.Series([one.trigger for one in uploads], dtype="str"),
            "start": pd.to_datetime(starts, utc=True),
            "end": pd.to_datetime(pd.Series(ends), utc=True),
            "arrived": pd.to_datetime(arrived, utc=True),
            "state": pd.Series([one.state for one in uploads], dtype="str"),
            "clip_id": pd.Series(
                [None if one.clip is None else name(one.clip) for one in uploads], dtype="str"
            ),
            "thumb": pd.Series(
                [f"thumb-{at}" if one.has_picture else None for at, one in enumerate(uploads)],
                dtype="str",
            ),
        }
    )
    for column in ("start", "end", "arrived"):
        found[column] = found[column].dt.as_unit("us").dt.tz_convert(ZONE)
    return found


def name(place: int) -> str:
    return f"{place:016x}"


def slowly(uploads: list[Upload], gap: float, longest: float) -> set[frozenset[int]]:
    """Return the events as sets of places, found one upload after another."""
    counted = [at for at, one in enumerate(uploads) if one.trigger != "scheduled"]
    units: dict[int, list[int]] = defaultdict(list)
    for at in counted:
        clip = uploads[at].clip
        units[at if clip is None or clip not in counted else clip].append(at)
    spans = []
    for owner, places in units.items():
        first = min(uploads[at].start for at in places)
        last = max(uploads[at].start + (uploads[at].length or 0) for at in places)
        spans.append((uploads[owner].camera, uploads[owner].channel or -1, first, last, places))
    found: list[set[int]] = []
    before: Any = None
    for camera, channel, first, last, places in sorted(spans):
        is_new = before is None or before[:2] != (camera, channel)
        # The end so far counts over a cut: what overlaps goes on, as an event of its own.
        if is_new or first - before[2] > gap or first - before[3] > longest:
            found.append(set())
            begin, end = first, last if is_new else max(last, before[2])
        else:
            end = max(end, last)
        found[-1].update(places)
        before = (camera, channel, end, begin)
    return {frozenset(one) for one in found}


def groups(values: pd.Series, ids: pd.Series) -> set[frozenset[Any]]:
    """Return what has the same value, as sets of ids; nulls are in none."""
    known = values.notna()
    return {frozenset(part) for _, part in ids[known].groupby(values[known].to_numpy())}


def events_of(uploads: list[Upload], rule: Rule | None = None) -> set[frozenset[int]]:
    rows = frame(uploads)
    places = rows["media_id"].map(lambda text: int(text, 16))
    return groups(event_numbers(rows, rule), places)


def held(uploads: list[Upload], places: list[int | None]) -> list[Upload]:
    """Return the uploads with snapshots in clips of their camera, by what was drawn."""
    return [
        one._replace(clip=clip)
        if one.length is None
        and clip is not None
        and clip < len(uploads)
        and uploads[clip].length is not None
        and uploads[clip].camera == one.camera
        else one
        for one, clip in zip(uploads, places, strict=False)
    ]


UPLOADS = st.lists(
    st.builds(
        Upload,
        # Over both passes of the hour that is repeated, in steps that meet the gaps exactly.
        start=st.integers(0, 500).map(lambda step: step * 15),
        length=st.one_of(st.none(), st.integers(-2, 120).map(lambda step: step * 15)),
        camera=st.sampled_from(["a", "b"]),
        channel=st.sampled_from([None, None, 1, 2]),
        trigger=st.sampled_from(["motion", "person", None, "scheduled"]),
        arrived=st.integers(0, 9),
        clip=st.none(),
        state=st.sampled_from(STATES),
        has_picture=st.booleans(),
    ),
    max_size=30,
)
PLACES = st.lists(st.one_of(st.none(), st.integers(0, 29)), min_size=30, max_size=30)
RULES = st.tuples(st.sampled_from([0, 15, 60, 600]), st.sampled_from([60, 600, 3600, 10**6]))


@pytest.mark.long
@given(UPLOADS, PLACES, RULES, st.randoms(use_true_random=False))
def test_events_are_those_found_one_by_one(
    uploads: list[Upload], places: list[int | None], rule: tuple[int, int], chance: Any
) -> None:
    """Several cameras and channels, overlapping clips, any order of rows, any limits."""
    uploads = held(uploads, places)
    uploads = [
        one._replace(length=max(0, one.length or 0) if one.length else one.length)
        for one in uploads
    ]
    made_rule = Rule(timedelta(seconds=rule[0]), timedelta(seconds=rule[1]))
    expected = slowly(uploads, *rule)
    assert events_of(uploads, made_rule) == expected
    rows = frame(uploads)
    shuffled = rows.sample(frac=1, random_state=chance.randint(0, 2**31))
    ids = event_ids(rows, made_rule)
    assert groups(event_numbers(shuffled, made_rule), shuffled["media_id"]) == groups(
        ids, rows["media_id"]
    )
    table = events(shuffled, made_rule)
    pd.testing.assert_frame_equal(table, events(rows, made_rule))
    assert tuple(table.columns) == COLUMNS
    assert table["files"].tolist() == (table["snapshots"] + table["clips"]).tolist()
    assert sorted(table["event_id"]) == sorted(ids.dropna().unique())
    assert len(table) == len(expected)
    for row in table.itertuples():
        own = rows[ids == row.event_id]
        assert row.files == len(own)
        assert row.start == own["start"].min()
        assert row.end == max(
            own["start"].max(), own["end"].max() if own["end"].notna().any() else own["start"].max()
        )
        assert row.arrived == own["arrived"].min()
        assert row.event_id == own.sort_values(["arrived", "media_id"])["media_id"].iloc[0]
        shown = own[own["thumb"].notna()]
        assert pd.isna(row.cover) == shown.empty
        if len(shown):
            assert row.thumb == shown.set_index("media_id")["thumb"][row.cover]


# --- what makes an event


@pytest.mark.parametrize(
    ("uploads", "expected"),
    [
        ([], []),
        ([Upload(0), Upload(60)], [{0, 1}]),
        ([Upload(0), Upload(61)], [{0}, {1}]),
        ([Upload(0, 600), Upload(5), Upload(660)], [{0, 1, 2}]),
        ([Upload(0, 600), Upload(5, 10), Upload(661)], [{0, 1}, {2}]),
        ([Upload(0), Upload(1, camera="b"), Upload(2)], [{0, 2}, {1}]),
        ([Upload(0, channel=1), Upload(1, channel=2), Upload(2)], [{0}, {1}, {2}]),
        ([Upload(0, 30, channel=1), Upload(5, clip=0)], [{0, 1}]),
        ([Upload(0), Upload(300, 30), Upload(310, clip=1)], [{0}, {1, 2}]),
        ([Upload(0, clip=1), Upload(300, 30)], [{0, 1}]),
        ([Upload(0, trigger=None), Upload(9, trigger="manual")], [{0, 1}]),
        ([Upload(0), Upload(9, trigger="scheduled"), Upload(80)], [{0}, {2}]),
        (
            [Upload(0, 3600, trigger="scheduled"), Upload(9, clip=0), Upload(900, clip=0)],
            [{1}, {2}],
        ),
    ],
)
def test_what_makes_an_event(uploads: list[Upload], expected: list[set[int]]) -> None:
    """Overlap, the gap after the latest end, the clip's snapshots; nothing that is scheduled."""
    assert events_of(uploads) == {frozenset(one) for one in expected}


def test_clips_cut_on_the_hour_are_one_event_up_to_the_limit() -> None:
    """What follows later than `longest` after the first begins another event."""
    cut = [Upload(600, 1200), Upload(1800, 3600), Upload(5400, 60)]
    assert events_of(cut) == {frozenset({0, 1}), frozenset({2})}
    assert events_of(cut, Rule(longest="2 h")) == {frozenset({0, 1, 2})}
    steady = [Upload(at) for at in range(0, 7200, 30)]
    assert sorted(map(len, events_of(steady))) == [119, 121]


def test_a_clip_and_its_snapshots_stay_together_beyond_the_limit() -> None:
    """A clip may be longer than an event; its snapshots belong to it all the same."""
    uploads = [Upload(0, 9000), *(Upload(at, clip=0) for at in range(0, 9000, 1000))]
    assert events_of(uploads) == {frozenset(range(10))}


def test_the_repeated_hour_parts_what_its_clock_joins() -> None:
    """Pictures of 2:20 and of the second 2:00 show near times, and are 40 minutes apart."""
    uploads = [Upload(-10), Upload(0), Upload(3600), Upload(3610), Upload(6300)]
    rows = frame(uploads)
    assert rows["start"].dt.strftime("%H:%M").tolist() == [
        "02:29",
        "02:30",
        "02:30",
        "02:30",
        "03:15",
    ]
    assert events_of(uploads) == {frozenset({0, 1}), frozenset({2, 3}), frozenset({4})}
    tiles = with_tiles(rows.iloc[::-1], {"a": Rule()})
    assert groups(tiles["tile"], tiles["media_id"]) == {
        frozenset(map(name, one)) for one in ({0, 1}, {2, 3}, {4})
    }


def test_an_upload_without_a_start_is_in_no_event() -> None:
    """Nothing tells when it was: it neither joins nor parts others."""
    rows = frame([Upload(0), Upload(30), Upload(60)])
    rows.loc[1, "start"] = pd.NaT
    assert event_numbers(rows).isna().tolist() == [False, True, False]
    assert event_numbers(rows).nunique() == 1
    assert events(rows)["files"].tolist() == [2]


def test_each_camera_may_have_a_rule_of_its_own() -> None:
    """A mapping gives the rule by camera; who is not named has the defaults."""
    uploads = [Upload(0), Upload(30), *(Upload(at, camera="b") for at in (0, 30, 500))]
    own = {"a": Rule("10 s"), "b": Rule("10 min", scheduled=True)}
    assert events_of(uploads, own) == {frozenset({0}), frozenset({1}), frozenset({2, 3, 4})}  # type: ignore[arg-type]


def test_what_an_event_says() -> None:
    """Triggers in their order, the worst state, counts, and a picture that stands for it."""
    rows = frame(
        [
            Upload(0, 30, trigger="person", arrived=5),
            Upload(5, trigger="motion", arrived=3, clip=0),
            Upload(6, trigger=None, arrived=9, state="partial", clip=0),
            Upload(7, trigger="motion", arrived=4, clip=0),
            Upload(900, 30, state="damaged", has_picture=False),
        ]
    )
    first, second = (row for _, row in events(rows).iterrows())
    assert (first.event_id, first.files, first.snapshots, first.clips) == (name(1), 4, 3, 1)
    assert (first.triggers, first.state) == ("motion, person", "partial")
    assert (first.cover, first.thumb) == (name(3), "thumb-3")
    alone = frame([Upload(0), Upload(1), Upload(2)])
    assert events(alone)["cover"].tolist() == [name(0)]
    assert second.state == "damaged"
    assert pd.isna(second.cover)
    assert pd.isna(second.thumb)
    assert events(rows.head(0)).dtypes.equals(events(rows).dtypes)


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_its_place(state: str) -> None:
    """An event of one upload has its state."""
    assert events(frame([Upload(0, state=state)]))["state"].tolist() == [state]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda rows: event_numbers(rows.drop(columns="trigger")), "trigger is missing"),
        (lambda rows: event_ids(rows.drop(columns="arrived")), "arrived is missing"),
        (lambda rows: events(rows.drop(columns=["kind", "thumb"])), "kind, thumb are missing"),
        (lambda rows: event_numbers(rows.assign(start=1)), "start: expected aware times"),
        (lambda rows: events(rows.assign(state="fine")), "state: expected one of"),
        (lambda rows: event_numbers("media"), "expected a frame"),
        (lambda rows: Rule("soon"), "gap: expected a length of time"),
        (lambda rows: Rule(longest="-1 s"), "longest: expected a length of time"),
    ],
)
def test_what_cannot_be_grouped_is_refused(
    ask: Callable[[pd.DataFrame], object], message: str
) -> None:
    """With what was expected and what came."""
    with pytest.raises(QueryError, match=message):
        ask(frame([Upload(0), Upload(9)]))


# --- the id stays


def ids_of(uploads: list[Upload], rule: Rule | None = None) -> list[str]:
    return event_ids(frame(uploads), rule).tolist()


def test_an_id_stays_when_a_member_comes_late() -> None:
    """Before or after the others: what arrived first names the event."""
    early = [Upload(100, arrived=1), Upload(130, arrived=2)]
    late = [*early, Upload(50, arrived=7), Upload(160, arrived=8)]
    assert ids_of(early) == [name(0)] * 2
    assert ids_of(late) == [name(0)] * 4


def test_an_id_stays_when_events_merge_and_split() -> None:
    """What joins two has the id of the one that was there first; its part keeps it again."""
    two = [Upload(0, arrived=2), Upload(100, arrived=1)]
    assert ids_of(two) == [name(0), name(1)]
    assert ids_of([*two, Upload(50, arrived=3)]) == [name(1)] * 3
    assert ids_of(two, Rule("100 s")) == [name(1)] * 2
    assert ids_of(two, Rule("10 s")) == [name(0), name(1)]


@given(UPLOADS, UPLOADS, RULES, RULES)
def test_an_id_is_lost_only_to_an_event_that_was_there_before(
    known: list[Upload], later: list[Upload], one: tuple[int, int], other: tuple[int, int]
) -> None:
    """Under late arrivals and other limits, in one step or both."""
    assume(known)
    before, after = (
        Rule(timedelta(seconds=gap), timedelta(seconds=most)) for gap, most in (one, other)
    )
    later = [upload._replace(arrived=upload.arrived + 10) for upload in later]
    rows, more = frame(known), frame([*known, *later])
    ids = dict(zip(more["media_id"], event_ids(more, after), strict=True))
    order = dict(
        zip(more["media_id"], zip(more["arrived"], more["media_id"], strict=True), strict=True)
    )
    for event_id in event_ids(rows, before).dropna().unique():
        assert ids[event_id] == event_id or order[ids[event_id]] < order[event_id]


# --- the library


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Five hours of a snapshot every 40 s, a long clip with snapshots, and a quiet camera."""
    begin = NOON + timedelta(days=1)
    return made(
        tmp_path_factory.mktemp("steady"),
        [
            *(snapshot_path("porch", NOON + timedelta(seconds=at)) for at in range(0, 18_000, 40)),
            clip_path("garden", begin, begin + timedelta(hours=5)),
            *(snapshot_path("garden", begin + timedelta(minutes=at)) for at in (1, 100, 290)),
            snapshot_path("gate", NOON),
            snapshot_path("gate", NOON + timedelta(seconds=50)),
            snapshot_path("gate", NOON + timedelta(seconds=100), trigger="R"),
        ],
        event_max_s=1800,
        cameras=[{"name": "gate", "event_gap_s": 20}, {"name": "porch"}, {"name": "garden"}],
    )


def test_settings_say_what_an_event_is(steady: Library) -> None:
    """For all cameras or for one; what is scheduled forms none."""
    assert steady.events("gate")["files"].tolist() == [1, 1]
    assert steady.events("porch")["files"].tolist() == [46] * 9 + [36]
    assert steady.events("garden")["files"].tolist() == [4]
    assert steady.events()["camera"].cat.categories.tolist() == ["gate", "porch", "garden"]


@pytest.mark.long
@limits(max_examples=40)
@example(180, 10)
@example(1500, 1)
@given(st.integers(-60, 2000), st.integers(1, 400))
def test_a_range_gives_whole_events_and_the_same_ones(
    steady: Library, first: int, minutes: int
) -> None:
    """However far before and behind the range their uploads reach."""
    start = pd.Timestamp(NOON, tz=steady.zone) + timedelta(minutes=first)
    end = start + timedelta(minutes=minutes)
    everything = steady.events()
    overlaps = (everything["start"] < end) & (
        (everything["start"] >= start) | (everything["end"] > start)
    )
    expected = everything[overlaps].reset_index(drop=True)
    pd.testing.assert_frame_equal(steady.events(start=start, end=end), expected)


def test_events_take_what_media_takes(steady: Library) -> None:
    """Columns, order and limit; names and ranges that make no sense are refused."""
    newest = steady.events("porch", columns=["event_id", "start"], newest_first=True, limit=2)
    assert newest.columns.tolist() == ["event_id", "start"]
    assert newest["start"].is_monotonic_decreasing
    assert newest["event_id"].tolist() == steady.events("porch")["event_id"].tolist()[:-3:-1]
    for wrong, message in (
        ({"camera": "attic"}, "camera: expected one of gate"),
        ({"columns": ["kind"]}, "columns: expected one of event_id"),
        ({"columns": []}, "columns: expected at least one"),
        ({"limit": -1}, "limit: expected a whole number"),
        ({"newest_first": "yes"}, "newest_first: expected True or False"),
        ({"start": "2026-03-04", "end": "2026-03-04"}, "expected start before end"),
    ):
        with pytest.raises(QueryError, match=message):
            steady.events(**wrong)  # type: ignore[arg-type]


def test_members_are_the_uploads_of_events(steady: Library) -> None:
    """Of an id, of rows and of frames; an id of before a merge leads to the event of today."""
    found = steady.events()
    everything = steady.members(found)
    assert (
        everything.groupby("event_id").size().to_dict()
        == found.set_index("event_id")["files"].to_dict()
    )
    third = found[found["camera"] == "porch"].iloc[2]
    of_row = steady.members(third)
    assert len(of_row) == third["files"]
    assert of_row["start"].min() == third["start"]
    for same in (
        third["event_id"],
        [third["event_id"]],
        found[found["event_id"] == third["event_id"]],
    ):
        pd.testing.assert_frame_equal(steady.members(same), of_row)
    inside = of_row["media_id"].iloc[5]
    assert steady.members(inside)["event_id"].unique().tolist() == [third["event_id"]]
    assert steady.members([]).empty
    assert steady.members(found.head(0)).columns.tolist() == everything.columns.tolist()


def test_members_of_what_is_no_event_are_refused(steady: Library) -> None:
    """With what was expected: an id of this library, and of an upload that forms an event."""
    scheduled = steady.media("gate").query("trigger == 'scheduled'")["media_id"].iloc[0]
    for wrong, message in (
        ("0" * 16, "expected ids of events of this library.*got '0000"),
        (scheduled, "uploads that form none"),
        (None, "expected the id of an event.*got None"),
        (7, "expected one or more names"),
        (steady.media("gate"), "event_id: expected one or more names"),
    ):
        with pytest.raises(QueryError, match=message):
            steady.members(wrong)


# --- all four agree


def by_library(library: Library) -> set[frozenset[str]]:
    found = library.members(library.events())
    return groups(found["event_id"], found["media_id"])


def by_dashboard(library: Library) -> set[frozenset[str]]:
    """Return the tiles as the page is given them, of uploads that something triggered."""
    tiles: dict[str, set[str]] = defaultdict(set)
    for block in Answers(library, Selection()).uploads.blocks:
        said = json.loads(block.text)
        for media_id, tile in zip(said["id"], said["tile"], strict=True):
            tiles[said["id"][tile] if isinstance(tile, int) else tile].add(media_id)
    scheduled = scheduled_of(library)
    return {frozenset(one) for one in tiles.values() if not one & scheduled}


def by_site(library: Library) -> set[frozenset[str]]:
    """Return the periods of the site's days, without what is scheduled."""
    found: set[frozenset[str]] = set()
    for camera in Shown.all_of(library):
        rows = camera.uploads
        rows = rows[~rows["media_id"].isin(scheduled_of(library))]
        found |= groups(rows["day"] + " " + rows["period"].astype(str), rows["media_id"])
    return found


def by_notebook(library: Library) -> set[frozenset[str]]:
    """Return the events of the notebook's afternoon, by its own cells."""
    said = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell.source for cell in said.cells if cell.cell_type == "code"]
    [cell] = [text for text in code if "library.events(" in text]
    names: dict[str, Any] = {"library": library, "cameras": library.cameras(), "pd": pd}
    exec(cell, names)
    found = names["afternoon"]
    return groups(found["event_id"], found["media_id"])


def scheduled_of(library: Library) -> set[str]:
    found = library.media()
    return set(found.loc[found["trigger"] == "scheduled", "media_id"])


def test_library_dashboard_site_and_notebook_agree(demo_home: DemoHome) -> None:
    """For the same uploads all of them show the same events."""
    said = settings_of(demo_home)
    same = said.site.model_copy(update={"period_gap_s": said.event_gap_s})
    library = Library.of(said.model_copy(update={"site": same}))
    rows = library.media()
    of_id = {media_id: at for at, media_id in enumerate(rows["media_id"])}
    zero = rows["start"].min()
    seconds = partial(pd.Series.map, func=lambda when: (when - zero).total_seconds())
    starts, ends = seconds(rows["start"]), seconds(rows["end"])
    uploads = [
        Upload(
            start,
            None if pd.isna(end) else end - start,
            row.camera,
            row.channel,
            row.trigger,
            clip=of_id.get(row.clip_id),
        )
        for start, end, row in zip(starts, ends, rows.itertuples(), strict=True)
    ]
    places = slowly(uploads, said.event_gap_s, said.event_max_s)
    expected = {frozenset(rows["media_id"].iloc[list(one)]) for one in places}
    assert len(expected) > 100
    assert by_library(library) == expected
    assert by_dashboard(library) == expected
    assert by_site(library) == expected
    afternoon = by_notebook(library)
    assert len(afternoon) > 10
    assert afternoon < expected
