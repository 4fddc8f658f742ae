"""Visits: events of several cameras as sessions, on frames, on generated homes, in a library."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from shared_files import lay, snapshot_path
from test_library import made

from pano_analytics.analysis.events import EVENTS
from pano_analytics.analysis.sessions import (
    COLUMNS,
    coverage,
    expected_cameras,
    session_ids,
    sessions,
    transition_lags,
    usual_cameras,
)
from pano_analytics.analysis.transitions import PAIRS, links, true_times
from pano_analytics.cli import pano
from pano_analytics.errors import QueryError
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.library import sessions as queries

ROOT = Path(__file__).resolve().parents[1]
ZONE = "Europe/Berlin"
LIMITS = {name: timedelta(hours=24) for name in ("gate", "garden", "door", "shed")}


def benchmark() -> ModuleType:
    """Return the module that generates homes and scores sessions."""
    path = ROOT / "benchmarks" / "sessions.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_sessions", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# --- generated homes ----------------------------------------------------------------------------


def assert_good(total: Any) -> None:
    """At least 90 % of visits are whole, at most 3 % of merges are wrong."""
    assert total.visits > 150, total
    assert total.whole / total.visits >= 0.9, total
    assert total.wrong / total.merges <= 0.03, total


def test_visits_of_two_generated_homes_are_whole() -> None:
    """Seeds that no threshold was chosen on; the definitions are in the benchmark."""
    module = benchmark()
    assert_good(sum(map(module.score, map(module.planned, (2, 3))), module.SessionScore()))


@pytest.mark.long
@pytest.mark.parametrize("season", [0, 1])
def test_visits_of_many_generated_homes_are_whole(season: int) -> None:
    """In winter and in summer, across the change of the clocks or not, most incidents too."""
    module = benchmark()
    plans = [module.planned(seed, module.ENDS[season]) for seed in range(2, 12)]
    total = sum(map(module.score, plans), module.SessionScore())
    assert_good(total)
    assert total.whole_incidents / total.incidents >= 0.8, total


# --- frames with known answers ------------------------------------------------------------------


def frame(rows: list[tuple[str, datetime | pd.Timestamp]], **shown: Any) -> pd.DataFrame:
    """Return events of ten seconds, which arrive two seconds after their end."""
    starts = pd.DatetimeIndex([pd.Timestamp(when) for _, when in rows])
    if starts.tz is None:
        starts = starts.tz_localize(ZONE)
    start = pd.Series(starts.as_unit("us"))
    found = pd.DataFrame({name: pd.Series(dtype=object) for name, _, _ in EVENTS})
    ids = pd.Series([f"{at:016x}" for at in range(len(rows))], dtype="str")
    values: dict[str, Any] = {
        "event_id": ids,
        "camera": pd.Series([camera for camera, _ in rows], dtype="str"),
        "start": start,
        "end": start + timedelta(seconds=10),
        "arrived": start + timedelta(seconds=12),
        "files": 3,
        "snapshots": 2,
        "clips": 1,
        "triggers": "motion",
        "state": "complete",
        "cover": ids,
        "thumb": ids,
    }
    return found.assign(**{**values, **shown})


def walks(days: int = 14, first: str = "2026-11-02") -> list[tuple[str, datetime]]:
    """Return three walks a day, gate, garden, door, 25 seconds apart, and a shed at random."""
    rng = np.random.default_rng(7)
    rows: list[tuple[str, datetime]] = []
    for day in range(days):
        midnight = datetime.fromisoformat(first) + timedelta(days=day)
        for hour in (8, 12.5, 18):
            begin = midnight + timedelta(hours=hour, minutes=float(rng.uniform(0, 50)))
            rows += [("gate", begin), ("garden", begin + timedelta(seconds=25))]
            rows.append(("door", begin + timedelta(seconds=50)))
        rows += [("shed", midnight + timedelta(hours=float(h))) for h in rng.uniform(7, 20, 4)]
    return [(camera, when.replace(microsecond=0)) for camera, when in rows]


def paths(found: pd.DataFrame) -> list[str]:
    return found["path"].tolist()


def test_walks_are_whole_and_the_shed_stays_alone() -> None:
    events = frame(walks())
    found = sessions(events, transition_lags(events))
    several = found[found["cameras"] > 1]
    assert paths(several) == ["gate, garden, door"] * 42
    assert paths(found[found["cameras"] == 1]) == ["shed"] * 56
    assert tuple(found.columns) == COLUMNS
    assert several[["events", "files", "snapshots", "clips"]].iloc[0].tolist() == [3, 9, 6, 3]
    length = several["end"] - several["start"]
    assert (length == timedelta(seconds=60)).all()
    assert found["start"].dt.tz is events["start"].dt.tz


def test_pairs_say_how_soon_and_how_often() -> None:
    events = frame(walks())
    lags = transition_lags(events)
    assert tuple(lags.pairs.columns) == PAIRS
    pairs = lags.pairs.set_index(["camera", "next_camera", "has_moved"])
    usual, moved = pairs.loc[("gate", "garden", False)], pairs.loc[("garden", "door", True)]
    assert usual["followed"] == pytest.approx(42, abs=1)
    assert usual["by_chance"] < 1
    assert usual["lag_s"] == pytest.approx(15, abs=2)
    assert moved["share"] > 0.8
    assert 20 < moved["limit_s"] < 120
    assert pairs.loc[("gate", "shed", False)]["share"] < 0.05
    assert len(pairs) == 2 * 4 * 3


@pytest.mark.parametrize("rows", [[], [("gate", datetime(2026, 3, 3, 12))]])
def test_little_is_enough(rows: list[tuple[str, datetime]]) -> None:
    """No event, or one: frames with all columns, and the event is a session of its own."""
    events = frame(rows)
    if not rows:
        events = frame(walks(1)).head(0)
    lags = transition_lags(events)
    found = sessions(events, lags)
    assert len(found) == len(rows)
    assert tuple(found.columns) == COLUMNS
    assert session_ids(events, lags).tolist() == events["event_id"].tolist()
    assert usual_cameras(found)["visits"].sum() == len(rows)


def test_nothing_is_linked_by_what_was_learned_elsewhere() -> None:
    """A camera without events in the lags, and one camera twice, are linked to nothing."""
    lags = transition_lags(frame(walks()))
    noon = datetime(2026, 12, 1, 12)
    later = [noon + timedelta(seconds=20 * at) for at in range(4)]
    events = frame([("attic", later[0]), ("gate", later[1]), ("gate", later[2])])
    assert links(events, lags).isna().all()
    events = frame([("gate", later[0]), ("garden", later[1]), ("attic", later[2])])
    assert paths(sessions(events, lags)) == ["gate, garden", "attic"]


def test_nothing_is_linked_where_nothing_was_learned() -> None:
    """All events are outside the days that lags are learned from, such as those of a dead clock."""
    events = frame(walks(1))
    lags = transition_lags(events.head(0))
    assert links(events, lags).isna().all()


def test_order_and_index_do_not_matter() -> None:
    events = frame(walks())
    lags = transition_lags(events)
    mixed = events.sample(frac=1, random_state=3)
    expected = session_ids(events, lags)
    pd.testing.assert_series_equal(session_ids(mixed, lags).sort_index(), expected)
    pd.testing.assert_frame_equal(transition_lags(mixed).pairs, lags.pairs, atol=1e-6)


def test_the_id_is_of_the_event_that_arrived_first() -> None:
    """It stays the same when a member arrives late, even one that is earlier in time."""
    events = frame(walks())
    lags = transition_lags(events)
    today = datetime(2026, 11, 16, 8)
    visit = frame(
        [("gate", today), ("garden", today + timedelta(seconds=25))],
        event_id=["00000000000000ff", "0000000000000001"],
    )
    visit.loc[0, "arrived"] += timedelta(hours=3)
    assert session_ids(visit.tail(1), lags).tolist() == ["0000000000000001"]
    assert session_ids(visit, lags).tolist() == ["0000000000000001"] * 2


def test_midnight_and_the_changes_of_the_clocks() -> None:
    """A walk across midnight, and across each hour that is skipped or repeated, is whole."""
    lags = transition_lags(frame(walks()))
    for utc in ("2026-12-01 22:59:50", "2026-03-29 00:59:50", "2026-10-25 00:59:50"):
        begin = pd.Timestamp(utc, tz="UTC").tz_convert(ZONE)
        steps = [("gate", 0), ("garden", 25), ("door", 50)]
        events = frame([(name, begin + timedelta(seconds=after)) for name, after in steps])
        assert paths(sessions(events, lags)) == ["gate, garden, door"], utc


def test_a_slow_clock_is_corrected_until_it_is_set() -> None:
    """Arrivals show that the garden's clock is 47 minutes slow; later it is right."""
    right = frame(walks())
    slow = right["camera"] == "garden"
    shift = pd.to_timedelta(np.where(slow, 47 * 60, 0), unit="s")
    wrong = right.assign(start=right["start"] - shift, end=right["end"] - shift)
    lags = transition_lags(wrong)
    assert lags.clocks.set_index("camera")["shift_s"].to_dict() == {
        "door": 0,
        "garden": 47 * 60,
        "gate": 0,
        "shed": 0,
    }
    assert lags.longest_shift_s == 47 * 60
    found = sessions(wrong, lags)
    assert paths(found[found["cameras"] > 1]) == ["gate, garden, door"] * 42
    pd.testing.assert_series_equal(true_times(wrong, lags)["start"], right["start"])
    set_right = frame(walks(1, "2026-12-01"))
    assert paths(sessions(set_right, lags)).count("gate, garden, door") == 3


def test_a_late_import_is_no_wrong_clock() -> None:
    """All arrive at one moment, or hours later by chance: no time is changed."""
    events = frame(walks())
    moment = events["start"].max() + timedelta(days=3)
    lags = transition_lags(events.assign(arrived=moment))
    assert (lags.clocks["shift_s"] == 0).all()
    late = pd.to_timedelta(np.random.default_rng(1).uniform(0, 40_000, len(events)), unit="s")
    lags = transition_lags(events.assign(arrived=events["arrived"] + late.as_unit("us")))
    assert (lags.clocks["shift_s"] == 0).all()


def test_wind_that_moves_two_cameras_is_no_walk() -> None:
    """Two cameras that are busy in the same afternoons, but not one after the other."""
    rng = np.random.default_rng(5)
    rows = [
        (camera, datetime(2026, 11, 2 + day, 13) + timedelta(seconds=float(second)))
        for day in range(10)
        for camera in ("gate", "garden")
        for second in rng.uniform(0, 4 * 3600, 25)
    ]
    events = frame(rows)
    found = sessions(events, transition_lags(events))
    assert (found["cameras"] > 1).sum() <= 0.02 * len(events)


def test_marks_and_covers_of_a_session() -> None:
    lags = transition_lags(frame(walks()))
    begin = datetime(2026, 12, 1, 8)
    events = frame(
        [("gate", begin), ("garden", begin + timedelta(seconds=25))],
        snapshots=[1, 4],
        state=["complete", "missing"],
        triggers=["smart, motion", "alarm"],
        cover=pd.Series([None, "b" * 16], dtype="str"),
        is_reviewed=[True, False],
        is_pinned=[True, False],
        is_dismissed=[True, True],
        note=pd.Series([None, "a fox"], dtype="str"),
        new_files=[0, 2],
    )
    row = sessions(events, lags).iloc[0]
    assert row["cover"] == "b" * 16
    assert row["state"] == "missing"
    assert set(row["triggers"].split(", ")) == {"smart", "motion", "alarm"}
    marks = ["is_reviewed", "is_pinned", "is_dismissed", "note", "new_files"]
    assert row[marks].tolist() == [False, True, True, "a fox", 2]


@pytest.mark.parametrize("ask", [transition_lags, lambda rows: usual_cameras(rows)])
def test_other_frames_are_refused(ask: Any) -> None:
    with pytest.raises(QueryError, match="expected a frame"):
        ask(pd.DataFrame({"x": [1]}))


# --- who should have seen it --------------------------------------------------------------------


def test_a_silent_camera_is_told_from_one_that_saw_nothing() -> None:
    """Three visits without the garden: it worked, it was dead, and nobody knows yet."""
    events = frame(walks())
    lags = transition_lags(events)
    usual = usual_cameras(sessions(events, lags))
    lived = pd.date_range("2026-11-02", "2026-11-20", freq="6h", tz=ZONE)
    again = pd.date_range("2026-11-24", "2026-11-26 06:00", freq="6h", tz=ZONE)
    uploads = pd.DataFrame({"camera": "garden", "arrived": lived.append(again)})
    now = pd.Timestamp("2026-11-26 12:00", tz=ZONE).to_pydatetime()
    covered = coverage(uploads, LIMITS, now)
    assert covered["is_open"].tolist() == [False, True]
    visits = pd.DataFrame(
        {
            "session_id": ["a", "b", "c", "d"],
            "path": ["gate, door"] * 3 + ["door, gate"],
            "start": pd.to_datetime(
                ["2026-11-19 08:00", "2026-11-22 08:00", "2026-11-26 08:00", "2026-11-19 08:00"]
            ).tz_localize(ZONE),
        }
    )
    found = expected_cameras(visits, usual, covered)
    assert found["session_id"].tolist() == ["a", "b", "c"]
    assert found["camera"].unique().tolist() == ["garden"]
    assert [None if pd.isna(one) else bool(one) for one in found["is_silent"]] == [
        False,
        True,
        None,
    ]
    assert found["share"].tolist() == [1.0] * 3


def test_days_on_which_a_camera_was_dead_do_not_count_against_it() -> None:
    """A camera that saw every visit while it lived is expected, though it was dead for long."""
    lived = frame(walks(7))
    dead = frame([one for one in walks(14, "2026-11-09") if one[0] != "garden"])
    events = pd.concat([lived, dead.assign(event_id="d" + dead["event_id"])], ignore_index=True)
    usual = usual_cameras(sessions(events, transition_lags(events)))
    arrivals = pd.date_range("2026-11-01", "2026-11-09", freq="6h", tz=ZONE)
    uploads = pd.DataFrame({"camera": "garden", "arrived": arrivals})
    now = pd.Timestamp("2026-11-23", tz=ZONE).to_pydatetime()
    visit = sessions(dead.head(3), transition_lags(events)).assign(path="gate, door").head(1)
    [row] = expected_cameras(visit, usual, coverage(uploads, LIMITS, now)).itertuples()
    assert (row.camera, row.share, row.is_silent) == ("garden", 1.0, True)


# --- a library ----------------------------------------------------------------------------------


def laid(folder: Path, rows: list[tuple[str, datetime]]) -> Library:
    """Return a library with one snapshot per event, arrived two seconds later."""
    for camera, when in rows:
        lay_at(folder, camera, when)
    return made(folder, [], ZONE)


def lay_at(folder: Path, camera: str, when: datetime) -> None:
    path = folder / "uploads" / snapshot_path(camera, when)
    lay(b"x", path)
    os.utime(path, ((pd.Timestamp(when, tz=ZONE).timestamp() + 2),) * 2)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return laid(tmp_path_factory.mktemp("home"), walks())


def test_events_name_their_session_last(library: Library) -> None:
    """The same for one camera and one day as for all; an id of an event of the session."""
    every = library.events()
    assert every.columns[-1] == "session_id"
    assert every["session_id"].notna().all()
    assert set(every["session_id"]) <= set(every["event_id"])
    ids = every.set_index("event_id")["session_id"]
    for day in ("2026-11-02", "2026-11-09", "2026-11-15"):
        following = pd.Timestamp(day) + timedelta(days=1)
        some = library.events("garden", day, following).set_index("event_id")["session_id"]
        assert len(some) == 3
        assert some.tolist() == ids[some.index].tolist()
    assert library.events(limit=0)["session_id"].dtype == every["session_id"].dtype


def test_sessions_of_a_library(library: Library) -> None:
    every = library.sessions()
    assert tuple(every.columns) == queries.COLUMNS
    assert set(every["session_id"]) == set(library.events()["session_id"])
    several = library.sessions(min_cameras=2)
    assert paths(several) == ["gate, garden, door"] * 42
    assert several["unseen_by"].isna().all()
    assert several["silent"].isna().all()
    day = library.sessions("door", "2026-11-09", "2026-11-10", newest_first=True, limit=2)
    assert paths(day) == ["gate, garden, door"] * 2
    assert day["start"].is_monotonic_decreasing
    begin = several["start"].iloc[5] + timedelta(seconds=30)
    inside = library.sessions(start=begin, end=begin + timedelta(seconds=10))
    assert inside["session_id"].tolist() == [several["session_id"].iloc[5]]
    assert inside["start"].tolist() == [several["start"].iloc[5]]
    assert library.sessions(columns="path", limit=1).columns.tolist() == ["path"]


def test_decisions_reach_sessions(tmp_path: Path) -> None:
    library = laid(tmp_path, walks(5))
    visit = library.sessions(min_cameras=2).iloc[0]
    members = library.events().query("session_id == @visit.session_id")
    library.decide(members.head(1), "pinned", note="the postman")
    library.decide(members, "reviewed", who="anna")
    [pinned] = library.sessions(is_pinned=True).itertuples()
    assert (pinned.session_id, pinned.note) == (visit["session_id"], "the postman")
    assert library.sessions(is_reviewed=True, who="anna")["events"].tolist() == [3]
    assert library.sessions(is_reviewed=True, who="ben").empty


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """The garden misses one walk of a day, and is dead for the last two days."""
    rows = walks(16)
    missed = [when for camera, when in rows if camera == "garden"][30]
    last = datetime(2026, 11, 16)
    left = [one for one in rows if one[0] != "garden" or (one[1] < last and one[1] != missed)]
    library = laid(tmp_path, left)
    found = library.sessions(min_cameras=2)
    at = found["path"] == "gate, door"
    [one] = found[at & (found["start"] < "2026-11-15")].itertuples()
    assert (one.unseen_by, one.start.date()) == ("garden", missed.date())
    dead = found[at & (found["start"] >= "2026-11-16 09:00")]
    assert len(dead) >= 4
    assert dead["silent"].eq("garden").all()
    assert dead["unseen_by"].isna().all()
    lines = asked(library, "--min-cameras", "2")
    [missing] = [line for line in lines if one.session_id in line]
    assert missing.endswith(f"{one.session_id}  not seen by garden")
    assert [cell.strip() for cell in missing.split("  ") if cell.strip()][2:4] == [
        "gate, door",
        "2",
    ]
    assert (
        sum(line.endswith("silent: garden") for line in lines) == found["silent"].eq("garden").sum()
    )


def asked(library: Library, *words: str) -> list[str]:
    """Return what `pano sessions` prints for this library."""
    done = CliRunner().invoke(pano, ["sessions", "--library", str(library.folder), *words])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output.splitlines()


def test_the_command_selects_and_prints(tmp_path: Path) -> None:
    """As a table, as JSON and as CSV, all visits or those that are asked for."""
    library = laid(tmp_path, walks(3))
    found = library.sessions()
    several = found[found["cameras"] > 1]
    head, *lines = asked(library)
    assert head.split()[:3] == ["start", "length", "cameras"]
    assert [line.split()[-1] for line in lines] == found["session_id"].tolist()
    rows = [json.loads(line) for line in asked(library, "--json", "--min-cameras", "2")]
    assert [one["session_id"] for one in rows] == several["session_id"].tolist()
    assert tuple(rows[0]) == tuple(found.columns)
    library.decide(library.events().query("session_id == @rows[0]['session_id']"), "reviewed")
    assert len(asked(library, "--csv", "--unreviewed")) == len(found)
    day = ("--start", "2026-11-03", "--end", "2026-11-04", "--camera", "shed")
    assert len(asked(library, *day)) - 1 == sum(
        "shed" in one.path and one.start.day == 3 for one in found.itertuples()
    )
    assert asked(library, "--pinned") == ["no visits"]


def test_lags_are_learned_once_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload of today does not change them; one of the day before does."""
    library = laid(tmp_path, walks(6))
    known = library.transition_lags()
    lay_at(tmp_path, "gate", datetime(2026, 11, 7, 21, 30))
    ingest(library.settings, is_inspecting=False)
    again = Library.of(library.settings)
    assert library.transition_lags() is known
    assert len(library.events(start="2026-11-07 21:00")) == 1
    pd.testing.assert_frame_equal(again.transition_lags().pairs, known.pairs)
    lay_at(tmp_path, "gate", datetime(2026, 11, 6, 21, 30))
    ingest(library.settings, is_inspecting=False)
    assert library.transition_lags() is not known


def test_one_camera_needs_no_lags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = laid(tmp_path, [one for one in walks(2) if one[0] == "gate"])
    monkeypatch.setattr(queries, "learned", None)
    found = library.events()
    assert found["session_id"].tolist() == found["event_id"].tolist()


def test_a_library_without_uploads_has_no_sessions(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    library = made(tmp_path, [])
    assert library.sessions().empty
    assert tuple(library.sessions().columns) == queries.COLUMNS
    assert library.events().columns[-1] == "session_id"
    assert library.transition_lags().pairs.empty


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"camera": "attic"}, "camera: expected one of"),
        ({"columns": "paths"}, "columns: expected one of"),
        ({"columns": []}, "columns: expected at least one"),
        ({"min_cameras": 0}, "min_cameras: expected a whole number of at least 1"),
        ({"start": "2026-11-03", "end": "2026-11-03"}, "expected start before end"),
        ({"is_pinned": "yes"}, "is_pinned: expected True or False"),
    ],
)
def test_wrong_questions_are_answered(library: Library, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(QueryError, match=said):
        library.sessions(**asked)
