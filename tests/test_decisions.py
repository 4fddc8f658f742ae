"""Decisions: what people decided is never lost or doubled, and all readers agree on the state."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_full_disk import fill

from pano_analytics.errors import DecisionsError, LibraryError, QueryError
from pano_analytics.model.decision import DECISIONS, UNDO, Decision, DecisionSet, Mark
from pano_analytics.store import decisions as room
from pano_analytics.store.decisions import FOLDER, Decisions
from pano_analytics.store.locks import writing
from pano_analytics.store.storage import TEMPORARY, Storage, StorageFull

NOON = datetime(2026, 3, 3, 12)
PEOPLE = ("anna", "ben")
IDS = tuple(f"{number:016x}" for number in range(6))


# --- the state: against a slow and obvious model ----------------------------


def in_force(one: Decision, every: Iterable[Decision]) -> bool:
    """Return whether no undo that is in force names the decision."""
    return not any(in_force(undo, every) for undo in every if undo.undoes == one.decision_id)


def slow_state(every: Iterable[Decision]) -> dict[str, dict[str, Any]]:
    """Return the state by upload, found one decision after another."""
    valid = [one for one in every if in_force(one, every)]
    state: dict[str, dict[str, Any]] = {}
    for one in sorted(valid, key=lambda one: (one.order, one.decision_id)):
        for media_id in one.media_ids:
            own = state.setdefault(
                media_id, {"by": set(), "pinned": False, "dismissed": False, "note": None}
            )
            if one.decision == "reviewed":
                own["by"] = own["by"] | {one.who}
            if one.decision == "unreviewed":
                own["by"] = own["by"] - {one.who}
            if one.decision in ("pinned", "unpinned"):
                own["pinned"] = one.decision == "pinned"
            if one.decision in ("dismissed", "restored"):
                own["dismissed"] = one.decision == "dismissed"
            own["note"] = one.note or own["note"]
    return state


def as_marks(state: dict[str, dict[str, Any]], who: str | None) -> dict[str, tuple[Any, ...]]:
    """Return the slow state as (is_reviewed, is_pinned, is_dismissed, note) by upload."""
    return {
        media_id: (
            who in own["by"] if who else bool(own["by"]),
            own["pinned"],
            own["dismissed"],
            own["note"],
        )
        for media_id, own in state.items()
    }


def told(marks: Iterable[Mark | None]) -> dict[str, tuple[Any, ...]]:
    return {
        one.media_id: (one.is_reviewed, one.is_pinned, one.is_dismissed, one.note)
        for one in marks
        if one is not None
    }


@st.composite
def histories(draw: st.DrawFn) -> list[Decision]:
    """Draw decisions and undos; some have the same order, as of writers at the same time."""
    found: list[Decision] = []
    order = 1
    for number in range(draw(st.integers(0, 25))):
        name, who = f"d{draw(st.integers(0, 9))}-{number}", draw(st.sampled_from(PEOPLE))
        target = draw(st.sampled_from([*found, None])) if found else None
        moment = datetime(2026, 3, 3, tzinfo=UTC) - timedelta(minutes=number)
        if target is not None and draw(st.booleans()):
            order = max(order, target.order + 1)
            found.append(Decision(name, order, moment, who, UNDO, undoes=target.decision_id))
        else:
            order += draw(st.integers(0, 1))
            kind = draw(st.sampled_from([*DECISIONS]))
            named = draw(st.sets(st.sampled_from(IDS), min_size=1))
            note = draw(st.sampled_from([None, None, "one", "other"]))
            found.append(Decision(name, order, moment, who, kind, tuple(sorted(named)), note))
    return found


@given(histories(), st.randoms(use_true_random=False), st.sampled_from([None, *PEOPLE]))
def test_the_state_is_that_of_the_slow_model(
    every: list[Decision], chance: Any, who: str | None
) -> None:
    """In whatever order decisions are read, and however often each is read."""
    shuffled = [*every, *every[::2]]
    chance.shuffle(shuffled)
    found = DecisionSet(shuffled[:5])
    found.update(shuffled[5:])
    assert told(found.mark(one, who) for one in IDS) == as_marks(slow_state(every), who)
    assert [found.is_undone(one.decision_id) for one in every] == [
        not in_force(one, every) for one in every
    ]
    assert found.in_order() == sorted(every, key=lambda one: (one.order, one.decision_id))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk: what matters here is what is read."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.usefixtures("quick")
def test_a_thousand_marks_and_their_undos_leave_nothing(tmp_path: Path) -> None:
    """Of three writers, among marks that stay, with folds between; undone in any order."""
    chance, storage = random.Random(7), Storage(tmp_path)
    writers = [Decisions(storage) for _ in range(3)]

    def mark() -> str:
        kind, named = chance.choice([*DECISIONS]), chance.sample(IDS, 2)
        writer = chance.choice(writers)
        return writer.decide(chance.choice(PEOPLE), kind, named, f"{len(made_ids)}").decision_id

    made_ids: list[str] = []
    for _ in range(30):
        mark()
    before = [told(writers[0].marks(IDS, who)) for who in (None, *PEOPLE)]
    made_ids += [mark() for _ in range(500)]
    chance.shuffle(made_ids)
    for number, one in enumerate(made_ids):
        undo = chance.choice(writers).undo("anna", one).decision_id
        if number % 5 == 0:  # redone, and undone again
            again = chance.choice(writers).undo("ben", undo).decision_id
            chance.choice(writers).undo("ben", again)
        if number % 100 == 0:
            writers[0].close()
            writers[1].fold()
    for reader in (*writers, Decisions(storage)):
        assert [told(reader.marks(IDS, who)) for who in (None, *PEOPLE)] == before
        every = [one for one, _ in reader.everything()]
        assert len(every) == 30 + 500 + 500 + 200
        assert as_marks(slow_state(every[:30]), None) == before[0]


def test_the_order_does_not_depend_on_clocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer whose clock is years behind decides last if it knew the others."""

    class Slow(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2001, 1, 1, tzinfo=tz)

    Decisions(Storage(tmp_path)).decide("anna", "pinned", IDS[:1])
    monkeypatch.setattr(room, "datetime", Slow)
    Decisions(Storage(tmp_path)).decide("ben", "unpinned", IDS[:1])
    [mark] = Decisions(Storage(tmp_path)).marks(IDS)
    assert not mark.is_pinned


def test_an_undo_of_what_is_not_in_force_is_refused(tmp_path: Path) -> None:
    """An unknown id, and a decision that was taken back; one that was redone can be undone."""
    found = Decisions(Storage(tmp_path))
    pinned = found.decide("anna", "pinned", IDS[:1]).decision_id
    with pytest.raises(QueryError, match="expected the id of a decision in this library"):
        found.undo("anna", "nothing")
    undo = found.undo("anna", pinned).decision_id
    with pytest.raises(QueryError, match="was taken back before"):
        found.undo("anna", pinned)
    found.undo("anna", undo)
    assert found.marks(IDS)[0].is_pinned
    found.undo("ben", pinned)
    assert found.marks(IDS) == []


# --- the files --------------------------------------------------------------


def files(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER).iterdir())


def test_a_file_is_json_lines_of_its_writer_alone(tmp_path: Path) -> None:
    """One file for each writer; other programs can read it."""
    one, other = (Decisions(Storage(tmp_path)) for _ in range(2))
    for writer in (one, other, one):
        writer.decide("anna", "noted", IDS[:2], 'a "fox"\n, ü')
    assert len(files(tmp_path)) == 2
    lines = [json.loads(line) for file in files(tmp_path) for line in file.read_text().splitlines()]
    assert sorted(line["order"] for line in lines) == [1, 2, 3]
    assert {line["note"] for line in lines} == {'a "fox"\n, ü'}
    assert {tuple(line["media_ids"]) for line in lines} == {IDS[:2]}


def test_only_files_whose_writer_is_gone_are_folded(tmp_path: Path) -> None:
    """The others stay; every reader sees the same before and after."""
    one, other, reader = (Decisions(Storage(tmp_path)) for _ in range(3))
    for number, media_id in enumerate(IDS):
        (one, other)[number % 2].decide("anna", "noted", [media_id], f"note {number}")
    before = reader.everything()
    one.close()
    reader.fold()
    assert sorted(path.suffix for path in files(tmp_path)) == [".jsonl", ".parquet"]
    assert reader.everything() == Decisions(Storage(tmp_path)).everything() == before
    one.decide("anna", "pinned", IDS[:1])
    del one, other
    reader.fold()
    assert [path.suffix for path in files(tmp_path)] == [".parquet"]
    rows = pd.read_parquet(files(tmp_path)[0])
    assert rows["decision"].tolist() == ["noted"] * 6 + ["pinned"]
    assert rows["order"].tolist() == [*range(1, 8)]
    before = reader.everything()
    reader.fold()
    assert reader.everything() == before


def test_a_folder_that_changes_while_it_is_listed_is_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing that misses the folded file, and those that were folded, is not believed."""
    writer, reader = Decisions(Storage(tmp_path)), Decisions(Storage(tmp_path))
    writer.decide("anna", "pinned", IDS[:1])
    before = reader.everything()
    writer.close()
    writer.fold()
    real, missed = room._sizes, [True]
    monkeypatch.setattr(room, "_sizes", lambda storage: {} if missed.pop() else real(storage))
    missed[:] = [False, False, True]
    assert reader.everything() == before


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_off_line_is_ignored_and_reported(tmp_path: Path, share: float) -> None:
    """A reader leaves it as it is; once its writer is gone, the next ingest drops it."""
    writer = Decisions(Storage(tmp_path))
    writer.decide("anna", "pinned", IDS[:1])
    writer.decide("anna", "pinned", IDS[1:2])
    [file] = files(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)
    cut = lines[0] + lines[1][: int(len(lines[1]) * share)]
    file.write_bytes(cut)
    reader = Decisions(Storage(tmp_path))
    assert reader.damage() == []  # it may still be written
    writer.close()
    [damage] = reader.damage()
    assert damage.name == f"{FOLDER}/{file.name}"
    assert "cut off" in damage.why
    assert [mark.media_id for mark in reader.marks(IDS)] == [IDS[0]]
    assert file.read_bytes() == cut
    reader.fold()
    assert reader.damage() == []
    assert [mark.media_id for mark in reader.marks(IDS)] == [IDS[0]]


@pytest.mark.parametrize(
    ("at_line", "old", "new"),
    [(0, b"pinned", b"dismis"), (1, b'"order":2', b'"order":9'), (0, b'"checksum":"', b'"x":"')],
)
def test_a_damaged_line_is_left_out_and_kept(
    tmp_path: Path, at_line: int, old: bytes, new: bytes
) -> None:
    """Its file is not folded, since a backup may have it; the other lines count."""
    writer = Decisions(Storage(tmp_path))
    for media_id in IDS[:3]:
        writer.decide("anna", "pinned", [media_id])
    writer.close()
    [file] = files(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)
    lines[at_line] = lines[at_line].replace(old, new)
    file.write_bytes(b"".join(lines))
    reader = Decisions(Storage(tmp_path))
    assert [one.why for one in reader.damage()] == [f"line {at_line + 1} is damaged"]
    assert len(reader.marks(IDS)) == 2
    reader.fold()
    assert files(tmp_path) == [file]
    assert len(reader.damage()) == 1


def test_a_damaged_folded_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    """It is not taken for no decisions, and nothing is folded over it."""
    writer = Decisions(Storage(tmp_path))
    writer.decide("anna", "pinned", IDS[:1])
    writer.close()
    writer.fold()
    [file] = files(tmp_path)
    file.write_bytes(file.read_bytes()[:-9])
    other = Decisions(Storage(tmp_path))
    for ask in (other.everything, lambda: other.marks(IDS)):
        with pytest.raises(DecisionsError, match=file.name):
            ask()
    assert [one.name for one in other.damage()] == [f"{FOLDER}/{file.name}"]
    lined = file.with_suffix(".jsonl")
    lined.write_bytes(b"")
    other.fold()
    assert files(tmp_path) == [lined, file]


def test_a_fork_writes_to_a_file_of_its_own(tmp_path: Path) -> None:
    """What parent and child write at the same time does not mix."""
    writer = Decisions(Storage(tmp_path))
    writer.decide("anna", "pinned", IDS[:1])
    child = get_context("fork").Process(target=writer.decide, args=("ben", "pinned", IDS[1:2]))
    child.start()
    child.join()
    writer.decide("anna", "pinned", IDS[2:3])
    assert len(files(tmp_path)) == 2
    assert len(writer.marks(IDS)) == 3


def test_a_file_that_was_removed_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a decision, or while it is written: the decision is in another file."""
    writer = Decisions(Storage(tmp_path / "library"))
    writer.decide("anna", "pinned", IDS[:1])
    (tmp_path / "library").rename(tmp_path / "old")
    writer.decide("anna", "pinned", IDS[1:2])
    assert [mark.media_id for mark in Decisions(writer.storage).marks(IDS)] == [IDS[1]]
    real, left = os.fsync, [1]

    def removing(descriptor: int) -> None:
        real(descriptor)
        if left.pop():
            shutil.rmtree(tmp_path / "library")

    monkeypatch.setattr(os, "fsync", removing)
    left[:] = [0] * 9 + [1]
    writer.decide("anna", "pinned", IDS[2:3])
    assert [mark.media_id for mark in Decisions(writer.storage).marks(IDS)] == [IDS[2]]
    assert [mark.media_id for mark in writer.marks(IDS)] == [IDS[2]]


def test_threads_share_a_writer(tmp_path: Path) -> None:
    """All of one process: no decision is lost, and no order is given twice."""
    writer = Decisions(Storage(tmp_path))

    def work() -> None:
        for media_id in IDS:
            writer.decide("anna", "pinned", [media_id])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    orders = [one.order for one, _ in Decisions(Storage(tmp_path)).everything()]
    assert orders == [*range(1, 25)]


def test_leftovers_of_killed_writers_go_in_time(tmp_path: Path) -> None:
    """A temporary file of an hour ago is removed; one of a moment ago may be in use."""
    Decisions(Storage(tmp_path)).decide("anna", "pinned", IDS[:1])
    old, young = (tmp_path / FOLDER / f"{name}{TEMPORARY}" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 9000,) * 2)
    Decisions(Storage(tmp_path)).fold()
    assert (old.exists(), young.exists()) == (False, True)


# --- many writers -----------------------------------------------------------


def write_many(folder: Path, name: str, count: int, per_file: int) -> None:
    """Decide `count` times as the person `name`, with a new file after each `per_file`."""
    for number in range(count):
        if number % per_file == 0:
            writer = Decisions(Storage(folder))
        writer.decide(name, "noted", [IDS[number % len(IDS)]], f"{name} {number}")


def four_writers(folder: Path, count: int, per_file: int) -> int:
    """Let four processes write while this one folds; return how many times it folded.

    Fails unless each decision is there once, and in the order of its writer.
    """
    people = [f"person{number}" for number in range(4)]
    spawn = get_context("spawn")
    writers = [
        spawn.Process(target=write_many, args=(folder, name, count, per_file)) for name in people
    ]
    for writer in writers:
        writer.start()
    folds, reader, seen = 0, Decisions(Storage(folder)), 0
    while any(writer.is_alive() for writer in writers):
        with writing(Storage(folder), wait=True):
            Decisions(Storage(folder)).fold()
        folds += 1
        assert len(reader.everything()) >= seen
        seen = len(reader.everything())
        time.sleep(0.2)
    assert [writer.exitcode for writer in writers] == [0] * 4
    Decisions(Storage(folder)).fold()
    assert [path.suffix for path in files(folder)] == [".parquet"]
    for found in (reader.everything(), Decisions(Storage(folder)).everything()):
        notes = [one.note for one, _ in found]
        for name in people:
            own = [note for note in notes if note and note.startswith(f"{name} ")]
            assert own == [f"{name} {number}" for number in range(count)]
        assert len(notes) == 4 * count
    return folds


def test_four_writers_lose_and_double_nothing(tmp_path: Path) -> None:
    """While ingest folds what they have finished."""
    assert four_writers(tmp_path, 500, 60) > 3


# --- disks that are full or fail --------------------------------------------


def test_a_full_disk_acknowledges_nothing(disk: Path) -> None:
    """The error says what to do; the decision has no effect, and others follow it unharmed."""
    writer = Decisions(Storage(disk))
    writer.decide("anna", "pinned", IDS[:1])
    ballast = fill(disk, 8192)

    def go_on() -> None:
        for _ in range(99):
            writer.decide("anna", "noted", IDS[1:2], "x" * 3000)

    with pytest.raises(StorageFull, match="Free some space"):
        go_on()
    there = len(writer.everything())
    with pytest.raises(StorageFull):
        writer.decide("anna", "pinned", [f"{number:016x}" for number in range(9000)])
    assert len(writer.everything()) == len(Decisions(Storage(disk)).everything()) == there
    ballast.unlink()
    assert Decisions(Storage(disk)).damage() == []
    writer.decide("anna", "pinned", IDS[2:3])
    assert len(Decisions(Storage(disk)).everything()) == there + 1


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_failing_disk_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A line that was half written, or not synced, is taken back, also for who has read it."""
    writer, witness = Decisions(Storage(tmp_path)), Decisions(Storage(tmp_path))
    writer.decide("anna", "pinned", IDS[:1])
    real: Callable[..., int] = getattr(os, call)
    seen: list[int] = []

    def fails(descriptor: int, *data: bytes) -> int:
        if data:
            real(descriptor, data[0][:40])
        seen.append(len(witness.everything()))
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fails)
        with pytest.raises(LibraryError, match="Input/output error"):
            writer.decide("anna", "pinned", IDS[1:2])
    assert seen == [2 if call == "fsync" else 1]
    writer.decide("anna", "pinned", IDS[2:3])
    for reader in (witness, Decisions(Storage(tmp_path))):
        assert [mark.media_id for mark in reader.marks(IDS)] == [IDS[0], IDS[2]]
        assert reader.damage() == []
