"""Decisions in a library: events show them, whatever happens to events, tree and library."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from lived_in import renew, run
from shared_files import lay, snapshot_path
from test_library import made

from pano_analytics.cli import pano
from pano_analytics.errors import QueryError
from pano_analytics.library import Library
from pano_analytics.library.queries import Queries
from pano_analytics.model.decision import DECISIONS
from pano_analytics.store.decisions import FOLDER, Decisions
from pano_analytics.upkeep.backup import backup, restore
from pano_analytics.upkeep.check import check

NOON = datetime(2026, 3, 3, 12)
PEOPLE = ("anna", "ben")


def files(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER).iterdir())


# --- the library: events --------------------------------------------------------


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Three events of the porch (3, 1 and 1 uploads, 10 minutes apart), and a scheduled upload."""
    starts = (0, 5, 10, 600, 1200)
    names = [snapshot_path("porch", NOON + timedelta(seconds=second)) for second in starts]
    return made(tmp_path, [*names, snapshot_path("gate", NOON, trigger="R")])


MARKED = ["is_reviewed", "is_pinned", "is_dismissed", "new_files"]


def marks_of(library: Library, **wanted: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in library.events(**wanted)[MARKED].to_numpy().tolist()]


def test_without_decisions_no_event_is_marked(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The columns are there, with their types, and nothing is looked up for them."""
    monkeypatch.setattr(Decisions, "marks", None)
    monkeypatch.setattr("pano_analytics.library.library.with_marks", None)
    found = library.events()
    assert found.columns.tolist()[-6:] == [*MARKED[:3], "note", "new_files", "session_id"]
    assert found[MARKED].dtypes.astype(str).tolist() == ["bool"] * 3 + ["int64"]
    assert marks_of(library) == [(False, False, False, 0)] * 3
    assert found["note"].isna().all()
    assert library.events(is_pinned=True).empty
    assert len(library.events(is_reviewed=False)) == 3
    assert library.decisions().empty


def test_a_decision_about_an_event_names_its_uploads(library: Library) -> None:
    """Given as a frame, a row, a column, an id, or ids; the types of the columns do not change."""
    events, empty = library.events(), library.events().dtypes
    first = events.iloc[0]
    for one_or_more in (
        events.head(1),
        first,
        events["event_id"].head(1),
        first["event_id"],
        [first["event_id"]],
        library.members(first),
    ):
        one = library.decide(one_or_more, "reviewed", who="anna")
        assert library.decisions().iloc[-1]["uploads"] == 3
        assert marks_of(library) == [(True, False, False, 0)] + [(False, False, False, 0)] * 2
        assert library.events().dtypes.equals(empty)
        assert library.events()["note"].isna().all()
        library.undo(one)
        assert marks_of(library) == [(False, False, False, 0)] * 3


def test_a_range_without_events_has_the_columns(library: Library) -> None:
    """With their types, although uploads around the range are marked."""
    library.decide(library.events(), "pinned", note="x")
    found = library.events(start="2026-03-03 12:05", end="2026-03-03 12:06")
    assert found.empty
    assert found.dtypes.drop("camera").equals(library.events().dtypes.drop("camera"))


def test_an_upload_can_be_named_alone(library: Library) -> None:
    """By a frame with media_id, or by an id that is not that of an event."""
    members = library.members(library.events().iloc[0])
    library.decide(members.tail(1), "reviewed", who="anna")
    assert marks_of(library)[0] == (False, False, False, 2)
    inside = members["media_id"].iloc[1]
    library.decide(inside, "pinned")
    assert library.decisions().iloc[-1]["media_ids"] == [inside]
    assert marks_of(library)[0] == (False, True, False, 2)
    alone = library.media("gate")
    library.decide(alone["media_id"].iloc[0], "pinned")
    assert library.decisions().iloc[-1]["uploads"] == 1


def test_a_frame_says_where_its_uploads_are(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only those camera-days are read; all others, too, if the frame is of before they moved."""
    asked_for: list[int] = []
    real = Queries.ask

    def ask(self: Queries, statement: str, parts: Any, *rest: Any, **more: Any) -> Any:
        chosen = list(parts)
        asked_for.append(len(chosen))
        return real(self, statement, chosen, *rest, **more)

    events, uploads = library.events(), library.media("gate")
    monkeypatch.setattr(Queries, "ask", ask)
    for rows, read in ((events, [1, 1]), (events.iloc[1], [1, 1]), (uploads, [1])):
        library.decide(rows, "pinned")
        assert asked_for == read
        asked_for.clear()
    moved = uploads.assign(start=uploads["start"] - timedelta(days=9))
    library.decide(moved, "unpinned")
    assert asked_for == [0, 2]


def test_reviewed_is_personal_and_the_rest_is_common(library: Library) -> None:
    """Two people review parts of an event; together they have seen all of it."""
    first = library.members(library.events().iloc[0])
    library.decide(first.head(2), "reviewed", who="anna")
    library.decide(first.tail(1), "reviewed", who="ben")
    library.decide(first, "dismissed", who="ben")
    assert marks_of(library)[0] == (True, False, True, 0)
    assert marks_of(library, who="anna")[0] == (False, False, True, 1)
    assert marks_of(library, who="ben")[0] == (False, False, True, 2)
    assert marks_of(library, who="carla")[0] == (False, False, True, 0)
    library.decide(first, "unreviewed", who="ben")
    assert marks_of(library)[0] == (False, False, True, 1)
    library.decide(first, "reviewed", who="anna")
    assert marks_of(library, who="anna", is_reviewed=True) == [(True, False, True, 0)]
    assert marks_of(library, who="ben", is_reviewed=True) == []
    library.decide(first.head(1), "restored", who="anna")
    assert marks_of(library)[0] == (True, False, False, 0)


def test_events_are_filtered_before_they_are_limited(library: Library) -> None:
    """By each of the marks, with columns that do not show them."""
    events = library.events()
    library.decide(events.tail(1), "pinned")
    library.decide(events.tail(2), "dismissed")
    ids = events["event_id"].tolist()
    pinned = library.events(is_pinned=True, columns="event_id", limit=1)
    assert pinned["event_id"].tolist() == ids[2:]
    assert library.events(is_dismissed=False)["event_id"].tolist() == ids[:1]
    assert library.events(is_dismissed=True, is_pinned=False)["event_id"].tolist() == ids[1:2]


def test_the_latest_note_in_force_is_shown(library: Library) -> None:
    """Whichever upload of the event it is about, and whatever kind of decision it came with."""
    first = library.members(library.events().iloc[0])
    library.decide(first.head(1), "noted", note="a cat")
    library.decide(first.tail(1), "dismissed", note="the neighbour's cat")
    last = library.decide(first.head(2), "noted", note="a fox")
    assert library.events()["note"].iloc[0] == "a fox"
    undo = library.undo(last)
    assert library.events()["note"].iloc[0] == "the neighbour's cat"
    library.undo(undo)
    assert library.events()["note"].iloc[0] == "a fox"
    assert library.events()["note"].isna().tolist() == [False, True, True]


def test_decisions_are_told_in_their_order(library: Library) -> None:
    """With their time in the library's zone, and with what was undone."""
    events = library.events()
    one = library.decide(events, "reviewed", note="all quiet")
    undo = library.undo(library.decisions().iloc[0], who="ben")
    found = library.decisions()
    assert found["decision_id"].tolist() == [one, undo]
    assert found["decision"].tolist() == ["reviewed", "undo"]
    assert found["who"].iloc[1] == "ben"
    assert found["uploads"].tolist() == [5, 0]
    assert sorted(found["media_ids"].iloc[0]) == sorted(library.members(events)["media_id"])
    assert found["undoes"].fillna("").tolist() == ["", one]
    assert found["is_undone"].tolist() == [True, False]
    assert found["note"].iloc[0] == "all quiet"
    assert str(found["decided"].dt.tz) == "Europe/Berlin"
    assert abs(found["decided"].iloc[0] - pd.Timestamp.now(tz="UTC")) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda library: library.decide("0" * 16, "pinned"), "expected the ids of events"),
        (lambda library: library.decide(["x\udcff", "y"], "pinned"), "expected the ids of events"),
        (lambda library: library.decide([], "pinned"), "expected at least one upload or event"),
        (lambda library: library.decide(library.events().head(0), "pinned"), "at least one upload"),
        (lambda library: library.decide(library.events(), "pined"), "Did you mean 'pinned'"),
        (lambda library: library.decide(library.events(), "undo"), "decision: expected one of"),
        (lambda library: library.decide(library.events(), "noted"), "note: expected text"),
        (lambda library: library.decide(library.events(), "noted", note="\udc80"), "in UTF-8"),
        (lambda library: library.decide(library.events(), "pinned", who=" "), "who: expected"),
        (lambda library: library.undo("0" * 16), "decision_id: expected the id of a decision"),
        (lambda library: library.undo(["a", "b"]), "expected the id of one decision"),
        (lambda library: library.events(is_pinned="yes"), "is_pinned: expected True or False"),
        (lambda library: library.events(who=7), "who: expected text"),
    ],
)
def test_what_cannot_be_decided_is_refused(
    library: Library, ask: Callable[[Library], Any], message: str
) -> None:
    """With what was expected and what came; nothing is written."""
    with pytest.raises(QueryError, match=message):
        ask(library)
    assert not (library.folder / FOLDER).exists()


def test_who_is_by_default_the_user_of_this_computer(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the number of a user without a name."""
    monkeypatch.setenv("LOGNAME", "carla")
    library.decide(library.events(), "reviewed")

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nameless)
    library.decide(library.events(), "reviewed")
    assert library.decisions()["who"].tolist() == ["carla", str(os.geteuid())]


# --- the library: what changes around decisions ---------------------------------


class Home:
    """A home that changes, with an obvious model of its marks: sets of paths by person."""

    def __init__(self, folder: Path) -> None:
        self.library = made(folder, [snapshot_path("porch", NOON)])
        self.settings = self.library.settings
        self.seconds = {0}
        self.reviewed: dict[str, set[str]] = {name: set() for name in PEOPLE}
        self.pinned: set[str] = set()
        self.dismissed: set[str] = set()

    def arrive(self, second: int) -> None:
        assert self.settings.uploads is not None
        self.seconds.add(second)
        start = NOON + timedelta(seconds=second)
        lay(b"x", self.settings.uploads / snapshot_path("porch", start))
        run(self.settings, is_inspecting=False)
        self.reopen()

    def gap(self, seconds: int) -> None:
        self.settings = self.settings.model_copy(update={"event_gap_s": seconds})
        self.reopen()

    def rebuild(self) -> None:
        renew(self.settings)
        self.reopen()

    def reopen(self) -> None:
        self.library = Library.of(self.settings)

    def decide(self, number: int, kind: str, who: str) -> None:
        events = self.library.events()
        chosen = events.iloc[number % len(events)]
        paths = set(self.library.members(chosen)["path"])
        self.library.decide(chosen, kind, who=who)
        if kind == "reviewed":
            self.reviewed[who] |= paths
        elif kind == "unreviewed":
            self.reviewed[who] -= paths
        else:
            marked = self.pinned if kind in ("pinned", "unpinned") else self.dismissed
            marked |= paths
            if kind in ("unpinned", "restored"):
                marked -= paths

    def expect(self, who: str | None) -> None:
        """Fail unless the events are those that the gap makes, with the marks of their paths."""
        gap, groups = self.settings.event_gap_s, list[list[int]]()
        for second in sorted(self.seconds):
            if groups and second - groups[-1][-1] <= gap:
                groups[-1].append(second)
            else:
                groups.append([second])
        anybody = set().union(*self.reviewed.values())
        reviewed = self.reviewed[who] if who else anybody
        expected = []
        for group in groups:
            paths = {snapshot_path("porch", NOON + timedelta(seconds=one)) for one in group}
            unseen = len(paths - reviewed)
            is_new = 0 < unseen < len(paths)
            marks = (not unseen, bool(paths & self.pinned), paths <= self.dismissed)
            expected.append((*marks, unseen if is_new else 0))
        assert marks_of(self.library, who=who) == expected


STEPS = st.one_of(
    st.tuples(st.just("arrive"), st.integers(0, 40).map(lambda step: step * 15)),
    st.tuples(
        st.just("decide"),
        st.integers(0, 9),
        st.sampled_from([one for one in DECISIONS if one != "noted"]),
        st.sampled_from(PEOPLE),
    ),
    st.tuples(st.just("gap"), st.sampled_from([0, 15, 60, 200])),
    st.tuples(st.just("rebuild")),
)


@pytest.mark.long
@limits(max_examples=12)
@given(steps=st.lists(STEPS, min_size=4, max_size=9))
def test_marks_stay_whatever_happens_to_events(
    steps: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Late uploads, splits, merges, other gaps and rebuilds; against sets of paths."""
    home = Home(tmp_path_factory.mktemp("home"))
    for name, *values in steps:
        getattr(home, name)(*values)
        for who in (None, *PEOPLE):
            home.expect(who)


def test_a_late_member_opens_an_event_again(tmp_path: Path) -> None:
    """It is no longer reviewed or dismissed, says how many files are new, and stays pinned."""
    home = Home(tmp_path)
    for kind in ("reviewed", "dismissed", "pinned"):
        home.decide(0, kind, "anna")
    assert marks_of(home.library) == [(True, True, True, 0)]
    home.arrive(15)
    assert marks_of(home.library) == [(False, True, False, 1)]


def test_backup_restore_and_a_move_keep_decisions(library: Library, tmp_path: Path) -> None:
    """Those of open files and of folded ones, undone or not."""
    events = library.events()
    library.decide(events.head(1), "reviewed", who="anna")
    library._decisions.close()
    run(library.settings, is_inspecting=False)
    library.undo(library.decide(events, "pinned"))
    library.decide(events.tail(1), "dismissed", note="wind")
    assert len({path.suffix for path in files(library.folder)}) == 2
    before, marks = library.decisions(), library.events()
    backup(library.folder, tmp_path / "kept.tar", with_catalog=True)
    library.folder.rename(tmp_path / "moved")
    restore(tmp_path / "kept.tar", tmp_path / "again")
    for folder in (tmp_path / "moved", tmp_path / "again"):
        found = Library(folder, library.settings)
        pd.testing.assert_frame_equal(found.decisions(), before)
        pd.testing.assert_frame_equal(found.events(), marks)


def test_a_restore_adds_decisions_and_takes_none_away(library: Library, tmp_path: Path) -> None:
    """A file that went on since, one that was folded since, and one that lost its end."""
    one, two = (Library.of(library.settings) for _ in range(2))
    one.decide(library.events(), "noted", note="1")
    two.decide(library.events(), "noted", note="2")
    backup(library.folder, tmp_path / "kept.tar")
    two.decide(library.events(), "noted", note="3")
    one._decisions.close()
    two._decisions.fold()
    restore(tmp_path / "kept.tar", library.folder)
    assert library.decisions()["note"].tolist() == ["1", "2", "3"]
    two.decide(library.events(), "noted", note="4")
    two._decisions.close()
    restore(tmp_path / "kept.tar", library.folder)
    assert library.decisions()["note"].tolist() == ["1", "2", "3", "4"]
    [short] = [path for path in files(library.folder) if b'"note":"3"' in path.read_bytes()]
    short.write_bytes(b"")
    assert library.decisions()["note"].tolist() == ["1"]
    restore(tmp_path / "kept.tar", library.folder)
    assert library.decisions()["note"].tolist() == ["1", "2"]


def test_check_reports_what_cannot_be_read(library: Library) -> None:
    """A damaged line and a line that is cut off, with the file; nothing for whole files."""
    library.decide(library.events(), "pinned")
    library.decide(library.events(), "reviewed")
    library._decisions.close()
    assert "decisions_damaged" not in set(check(library)["what"])
    [file] = files(library.folder)
    file.write_bytes(file.read_bytes().replace(b"pinned", b"pinnex")[:-20])
    found = check(library).query("what == 'decisions_damaged'")
    assert found["part"].tolist() == [f"{FOLDER}/{file.name}"] * 2
    assert found["found"].str.contains("line 1 is damaged|cut off").all()


# --- the commands ---------------------------------------------------------------


def asked(library: Library, *words: str, stdin: str = "", code: int = 0) -> str:
    """Return what `pano WORDS` prints for this library. Fails for another exit code."""
    where = ["--library", str(library.folder)]
    done = CliRunner().invoke(pano, [*words, *where], input=stdin)
    found = getattr(done.exception, "exit_code", done.exit_code)
    assert found == code, (done.output, done.exception)
    return done.output


def test_events_are_listed_with_their_marks(library: Library) -> None:
    """As a table, as JSON and as CSV, all or those that are asked for."""
    first, second, third = library.events()["event_id"]
    library.decide(first, "reviewed", who="anna")
    library.decide(second, "pinned", note="a fox\nat night")
    head, *lines = asked(library, "events").splitlines()
    assert head.split() == ["start", "length", "camera", "files", "triggers", "marks", "event_id"]
    assert [line.split()[:5] for line in lines[:1]] == [
        ["2026-03-03", "12:00:00", "10", "s", "porch"]
    ]
    assert [first in line and "reviewed" in line for line in lines] == [True, False, False]
    assert lines[1].endswith(f"pinned    {second}  a fox\\nat night")
    unseen = [
        json.loads(line) for line in asked(library, "events", "--unreviewed", "--json").splitlines()
    ]
    assert [one["event_id"] for one in unseen] == [second, third]
    assert unseen[0]["note"] == "a fox\nat night"
    assert unseen[0]["start"].endswith("+01:00")
    assert (unseen[0]["files"], unseen[0]["channel"], unseen[0]["thumb"]) == (1, 1, None)
    assert len(asked(library, "events", "--unreviewed", "--who", "ben").splitlines()) == 4
    csv = asked(library, "events", "--csv", "--pinned", "--camera", "porch").splitlines()
    assert [line.split(",")[0] for line in csv] == ["event_id", second]
    assert asked(library, "events", "--camera", "gate") == "no events\n"
    asked(library, "events", "--csv", "--json", code=2)


def test_events_are_marked_and_unmarked(library: Library) -> None:
    """By ids, by ids from standard input, and by a range; each printed id can be undone."""
    first, second, third = library.events()["event_id"]
    who = ["--who", "anna"]
    one = asked(library, "mark", "reviewed", first, *who)
    assert one.endswith(": 1 event reviewed\n")
    asked(library, "mark", "dismissed", "-", stdin=f"{second}\n\n{third}\n")
    ranged = asked(
        library, "mark", "noted", "--start", "2026-03-03 12:05", "--camera", "porch", "--note", "x"
    )
    assert ranged.endswith(": 2 events noted\n")
    asked(library, "mark", "pinned", "--end", "2026-03-03 12:05")
    found = library.events()
    assert found["is_reviewed"].tolist() == [True, False, False]
    assert found["is_dismissed"].tolist() == [False, True, True]
    assert found["is_pinned"].tolist() == [True, False, False]
    assert found["note"].fillna("").tolist() == ["", "x", "x"]
    undo = asked(library, "undo", one.partition(":")[0], *who)
    assert not library.events()["is_reviewed"].any()
    asked(library, "undo", undo.partition(":")[0])
    assert library.events()["is_reviewed"].tolist() == [True, False, False]
    assert (
        asked(library, "mark", "pinned", "--end", "2026-03-01")
        == "no events; nothing was decided\n"
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["mark", "pinned"], 2),
        (["mark", "pinned", "0" * 16, "--camera", "porch"], 2),
        (["mark", "pined", "0" * 16], 2),
        (["mark", "pinned", "0" * 16], 6),
        (["mark", "noted", "--camera", "porch"], 6),
        (["mark", "pinned", "--camera", "attic"], 6),
        (["undo", "0" * 16], 6),
        (["events", "--start", "soon"], 6),
    ],
)
def test_a_command_that_cannot_be_understood_writes_nothing(
    library: Library, words: list[str], code: int
) -> None:
    """It ends with the code of the table."""
    asked(library, *words, code=code)
    assert not (library.folder / FOLDER).exists()
