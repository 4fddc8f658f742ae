"""A camera's clock that is known to have been wrong: corrected everywhere, and undone exactly."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from killing import Steps, in_child, wait
from lived_in import assert_same, fresh, live, renew, run, told
from shared_files import clip_path, lay, snapshot_path

import pano_analytics
from pano_analytics import doctor, status
from pano_analytics.cli import pano
from pano_analytics.dashboard.answers import Answers
from pano_analytics.dashboard.selection import Selection
from pano_analytics.dashboard.views import Overview, PageSocket
from pano_analytics.errors import QueryError
from pano_analytics.ingest import listing as reading
from pano_analytics.ingest.clock import NameTimes, SettledTime, settle, time_from_name
from pano_analytics.library import Library
from pano_analytics.model.times import WallClock, epoch_us
from pano_analytics.present import badges, facts
from pano_analytics.settings import Settings, check
from pano_analytics.store.decisions import Decisions
from pano_analytics.upkeep.backup import backup, restore
from pano_analytics.upkeep.check import check as check_library

BERLIN = WallClock(ZoneInfo("Europe/Berlin"))
NOON = datetime(2026, 3, 3, 12)
BEHIND = -2820  # 47 minutes
_S = 1_000_000


def us(moment: datetime) -> int:
    return int(moment.timestamp() * _S)


# --- one name ---------------------------------------------------------------------


def by_either_way(name: NameTimes, clock: WallClock = BERLIN) -> SettledTime:
    """Return what a name gives, also if it is not in doubt, as `NameReader` does."""
    start = epoch_us(name.start)
    end = None if name.end is None else epoch_us(name.end)
    plain = time_from_name(start, end, name.arrived, clock, name.ahead)
    [settled] = settle([name], clock)
    assert plain in (None, settled)
    return settled


@pytest.mark.parametrize(
    ("wall", "ahead_s", "arrived", "start", "source"),
    [
        # 47 minutes behind, and arrived in time.
        ((2026, 3, 3, 12, 0), -2820, (3, 3, 11, 48), (3, 3, 11, 47), "name+correction"),
        # As a copy, days later.
        ((2026, 3, 3, 12, 0), -2820, (3, 9, 0, 0), (3, 3, 11, 47), "name+correction"),
        # Ahead, so that the name alone would be impossible.
        ((2026, 3, 3, 12, 47), 2820, (3, 3, 11, 1), (3, 3, 11, 0), "name+correction"),
        # Never set, and known by how much.
        ((2000, 1, 1, 1, 0), -825_764_400, (3, 3, 12, 0), (3, 2, 11, 0), "name+correction"),
        # The clock was right already: the correction would put it after its arrival.
        ((2026, 3, 3, 12, 0), -2820, (3, 3, 11, 1), (3, 3, 11, 0), "name"),
        # Impossible with and without the correction.
        ((2027, 3, 3, 12, 0), 2820, (3, 3, 11, 1), (3, 3, 11, 1), "arrival"),
        # 01:30 by a clock that is 47 minutes behind is after the step in spring.
        ((2026, 3, 29, 1, 30), -2820, (3, 29, 1, 18), (3, 29, 1, 17), "name+correction"),
        # It made the step itself, 47 minutes late.
        ((2026, 3, 29, 3, 5), -2820, (3, 29, 1, 53), (3, 29, 1, 52), "name+correction"),
        # It never makes the step.
        ((2026, 3, 29, 2, 30), -2820, (3, 29, 2, 18), (3, 29, 2, 17), "gap+correction"),
        # The hour that it repeats, 47 minutes late: each pass by its arrival.
        ((2026, 10, 25, 2, 30), -2820, (10, 25, 1, 18), (10, 25, 1, 17), "name+arrival+correction"),
        ((2026, 10, 25, 2, 30), -2820, (10, 25, 2, 18), (10, 25, 2, 17), "name+arrival+correction"),
        ((2026, 10, 25, 2, 30), -2820, (10, 27, 0, 0), (10, 25, 1, 17), "guess+correction"),
    ],
)
def test_a_known_error_is_taken_off(
    wall: tuple[int, ...],
    ahead_s: int,
    arrived: tuple[int, ...],
    start: tuple[int, ...],
    source: str,
) -> None:
    """Names are settled on the camera's own clock, steps included, and then shifted."""
    come = datetime(2026, *arrived, tzinfo=UTC)  # type: ignore[arg-type]
    name = NameTimes(datetime(*wall), None, us(come), ahead_s * _S)  # type: ignore[arg-type]
    settled = by_either_way(name)
    assert settled.start == us(datetime(2026, *start, tzinfo=UTC))  # type: ignore[arg-type]
    assert settled.source == source
    if source.endswith("+correction"):
        assert settled.offset_s == ahead_s


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)),
    st.integers(-90_000, 90_000),
    st.integers(0, 7200),
    st.integers(0, 5),
)
def test_a_clock_that_is_off_gives_what_a_right_one_gives(
    true: datetime, ahead_s: int, length_s: int, late_s: int
) -> None:
    """A timely upload of a camera with a known error starts when it truly did, in any hour."""
    began = true.replace(microsecond=0, tzinfo=UTC)
    ended = began + timedelta(seconds=length_s)
    zone = BERLIN.zone
    shown = [
        (one + timedelta(seconds=ahead_s)).astimezone(zone).replace(tzinfo=None)
        for one in (began, ended)
    ]
    name = NameTimes(shown[0], max(shown), us(ended + timedelta(seconds=late_s)), ahead_s * _S)
    settled = by_either_way(name)
    assert settled.start == us(began) or settled.source.startswith("guess")
    assert settled.offset_s == (ahead_s or None)


# --- a library --------------------------------------------------------------------


def tree(folder: Path, cameras: Iterable[str] = ("garage", "porch")) -> Settings:
    """Lay uploads around two midnights and a step into a tree; return settings for a library."""
    root = folder / "uploads"
    for camera in cameras:
        for day in (date(2026, 3, 3), date(2026, 3, 29)):
            midnight = datetime(day.year, day.month, day.day)
            for minute in (-40, -1, 0, 20, 47, 90, 118, 150, 190, 720):
                begun = midnight + timedelta(minutes=minute)
                ended = begun + timedelta(seconds=30)
                lay(b"x", root / clip_path(camera, begun, ended), ended + timedelta(minutes=50))
                for second in (2, 40):
                    shot = begun + timedelta(seconds=second)
                    lay(b"x", root / snapshot_path(camera, shot), shot + timedelta(minutes=50))
    return settings_for(folder, "library")


def settings_for(folder: Path, library: str, **clocks: Any) -> Settings:
    """Return settings with corrections of cameras, given as lists of tables."""
    cameras = [{"name": name, "clock": spans} for name, spans in clocks.items()]
    said = check({"zone": "Europe/Berlin", "cameras": cameras})
    return said.model_copy(update={"uploads": folder / "uploads", "library": folder / library})


def rows_of(settings: Settings) -> pd.DataFrame:
    """Ingest and return all rows."""
    run(settings, is_inspecting=False)
    return Library.of(settings).media().astype({"camera": "str"})


def new_rows(folder: Path, library: str, in_force: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a new library that has had these corrections in its settings always."""
    cameras = in_force.camera.unique()
    clocks = {name: flat(in_force[in_force.camera == name]) for name in cameras}
    return rows_of(settings_for(folder, library, **clocks))


def flat(in_force: pd.DataFrame) -> list[dict[str, Any]]:
    """Return spans that do not overlap: of two corrections, the later decision applies.

    Two overlap if an undo was taken back after the second was stored.
    """
    far = pd.Timestamp(2200, 1, 1)
    spans = in_force.assign(end=in_force.end.fillna(far)).sort_values("decided")
    bounds = sorted({*spans.start, *spans.end})
    found = []
    for start, end in pairwise(bounds):
        covering = spans[(spans.start <= start) & (end <= spans.end)]
        if len(covering):
            walls = {"start": start.to_pydatetime(), "end": end.to_pydatetime()}
            found.append(walls | {"seconds": covering.seconds.iloc[-1]})
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return tree(tmp_path)


def test_a_corrected_camera_moves_as_a_whole(settings: Settings, tmp_path: Path) -> None:
    """Across midnight, with its links, days and counts; no other camera changes."""
    before = rows_of(settings)
    library = Library.of(settings)
    library.correct_clock("garage", datetime(2026, 3, 1), datetime(2026, 3, 20), BEHIND)
    assert library.media().equals(before.astype({"camera": library.media().camera.dtype}))
    summary = run(settings, is_inspecting=False)
    after = library.media()
    moved = after[after.time_source == "name+correction"]
    assert summary.tally.changed == len(moved) == 30
    assert set(moved.camera) == {"garage"}
    was = before.set_index("media_id").loc[moved.media_id]
    assert ((moved.start.to_numpy() - was.start.to_numpy()) == pd.Timedelta(minutes=47)).all()
    clips = moved[moved.kind == "clip"]
    assert (clips.end - clips.start == pd.Timedelta(seconds=30)).all()
    assert set(moved.clock_offset_s) == {BEHIND}
    assert (moved.wall_start.to_numpy() == was.wall_start.to_numpy()).all()
    assert moved.clip_id.tolist() == was.clip_id.tolist()
    assert moved.clip_id.notna().sum() == 10
    assert (moved.date.dt.date == moved.start.dt.date).all()
    assert set(moved.date.dt.day) == {3}
    same = after[~after.media_id.isin(moved.media_id)].reset_index(drop=True)
    rest = before[~before.media_id.isin(moved.media_id)].reset_index(drop=True)
    assert same.astype({"camera": "str"}).equals(rest)
    assert after.astype({"camera": "str"}).equals(
        new_rows(tmp_path, "new", library.clock_corrections())
    )


def test_undo_restores_rows_exactly(settings: Settings) -> None:
    before = rows_of(settings)
    library = Library.of(settings)
    one = library.correct_clock("garage", "2026-03-01", None, 3600.5, who="anna")
    corrected = rows_of(settings)
    assert set(corrected.clock_offset_s.dropna()) == {3600.5}
    undo = library.undo(library.clock_corrections().iloc[0])
    assert rows_of(settings).equals(before)
    assert library.clock_corrections().empty
    library.undo(undo)
    assert rows_of(settings).equals(corrected)
    assert library.clock_corrections().decision_id.tolist() == [one]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (("attic", "2026-03-01", None, 5), r"camera: expected one of porch, garage"),
        ((["garage", "porch"], "2026-03-01", None, 5), "the name of one camera"),
        ((None, "2026-03-01", None, 5), "the name of one camera"),
        (("garage", "soon", None, 5), "start: expected a time on the camera's own clock"),
        (("garage", "2026-03-01T00:00Z", None, 5), "start: .*without a time zone"),
        (("garage", None, None, 5), "start: expected a time"),
        (("garage", "2026-03-01", pd.NaT, 5), "end: expected a time"),
        (("garage", "2026-03-02", "2026-03-01", 5), "end: expected an end after the start"),
        (("garage", "2026-03-01", None, 0), "seconds: expected a number of seconds"),
        (("garage", "2026-03-01", None, float("inf")), "seconds: expected"),
        (("garage", "2026-03-01", None, "5"), "seconds: expected"),
        (("Garage", "2026-03-05", None, 5), "overlaps no other.*9 s ahead from 2026-03-04"),
        (("porch", "2026-03-01", "2026-03-03", 5), "overlaps no other.*8 s behind from 2026-03-02"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(
    tmp_path: Path, given: tuple[Any, ...], match: str
) -> None:
    """With what was expected; also if it overlaps one in the settings or a decision."""
    tree(tmp_path)
    settings = settings_for(tmp_path, "library", porch=[{"start": "2026-03-02", "seconds": -8}])
    run(settings, is_inspecting=False)
    library = Library.of(settings)
    library.correct_clock("garage", "2026-03-04", "2026-03-06", 9)
    with pytest.raises(QueryError, match=match):
        library.correct_clock(*given)
    assert len(library.decisions()) == 1
    library.correct_clock("garage", "2026-03-06", None, 9)


def test_the_commands_correct_list_and_undo(settings: Settings) -> None:
    run(settings, is_inspecting=False)
    place = ["--library", str(settings.library)]
    span = ["--start", "2026-03-01", "--end", "2026-03-05 12:00", "--seconds", "-2820"]
    made = CliRunner().invoke(pano, ["clock", "correct", "garage", *span, *place])
    assert made.exit_code == 0, made.output
    name, _, said = made.output.partition(": ")
    assert said == "the next `pano ingest` corrects the uploads of garage\n"
    listed = CliRunner().invoke(pano, ["clock", "list", *place])
    assert listed.output == (
        f"{name}  garage: 2820 s behind from 2026-03-01 00:00:00 to 2026-03-05 12:00:00\n"
    )
    [row] = CliRunner().invoke(pano, ["clock", "list", "--json", *place]).output.splitlines()
    assert json.loads(row)["start"] == "2026-03-01T00:00:00"
    assert json.loads(row)["decision_id"] == name
    again = CliRunner().invoke(pano, ["clock", "correct", "garage", *span, *place])
    assert isinstance(again.exception, QueryError)
    assert CliRunner().invoke(pano, ["undo", name, *place]).exit_code == 0
    assert CliRunner().invoke(pano, ["clock", "list", *place]).output == "no corrections\n"
    assert CliRunner().invoke(pano, ["clock", *place]).exit_code == 0


def test_only_units_of_that_camera_are_read_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also old days of a large tree, which an ordinary run does not scan; and nothing else."""
    monkeypatch.setattr("pano_analytics.ingest.run.SMALL_TREE", 0)
    run(settings, is_inspecting=False)
    scanned: list[str] = []
    real = reading.NameReader.read

    def read(self: Any, entries: Any, *rest: Any) -> Any:
        scanned.extend({entry.path.split("/")[0] for entry in entries})
        return real(self, entries, *rest)

    monkeypatch.setattr(reading.NameReader, "read", read)
    library = Library.of(settings)
    one = library.correct_clock("garage", "2026-03-01", None, BEHIND)
    for _ in range(2):
        assert run(settings, is_inspecting=False).tally.changed == 60
        assert set(scanned) == {"garage"}
        scanned.clear()
        assert run(settings, is_inspecting=False).tally.total == 0
        assert scanned == []
        one = library.undo(one)


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Draw corrections, undos of anything, late uploads and ingests."""
    minutes = st.sampled_from([-60, 0, 30, 119, 121, 180, 600])
    moments = st.builds(
        lambda day, minute: datetime(2026, 3, day) + timedelta(minutes=minute),
        st.sampled_from([2, 3, 29]),
        minutes,
    )
    seconds = st.sampled_from([BEHIND, 2820, -3600, 86_400, -7.25, 90, -40 * 86_400])
    corrected = st.tuples(
        st.just("correct"),
        st.sampled_from(["garage", "porch"]),
        moments,
        st.one_of(st.none(), moments),
        seconds,
    )
    undone = st.tuples(st.just("undo"), st.integers(0, 9))
    late = st.tuples(st.just("late"), moments)
    one = st.one_of(corrected, corrected, undone, late, st.just(("ingest",)))
    return draw(st.lists(one, max_size=8))


@pytest.mark.long
@limits(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(steps())
def test_rows_are_those_of_a_library_made_with_these_settings(given: list[Any]) -> None:
    """After any corrections and undos, with ingests between them or not."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        settings = tree(folder)
        run(settings, is_inspecting=False)
        library = Library.of(settings)
        for what, *rest in given:
            if what == "ingest":
                run(settings, is_inspecting=False)
            elif what == "late":
                lay(b"x", folder / "uploads" / snapshot_path("garage", rest[0]), NOON)
            elif what == "correct":
                with suppress(QueryError):
                    library.correct_clock(*rest)
            elif len(made := library.decisions()):
                with suppress(QueryError):
                    library.undo(made.iloc[rest[0] % len(made)])
        pd.testing.assert_frame_equal(
            rows_of(settings), new_rows(folder, "new", library.clock_corrections())
        )


# --- a library that has lived -------------------------------------------------------


def test_what_is_gone_or_opened_follows_and_comes_back(tmp_path: Path) -> None:
    """Rows of deleted files and pictures move with their uploads; no file is opened again."""
    settings = fresh(tmp_path)
    library = live(settings)
    before, disagreements = told(library), sorted(check_library(library).what)
    one = library.correct_clock("porch", "2026-03-01", None, BEHIND * 20)  # to the next day
    summary = run(settings)
    assert summary.opened == {}
    corrected = told(library)
    media, frames = corrected
    moved = media[media.time_source == "name+correction"]
    assert {"complete", "missing", "empty"} <= set(moved.state)
    was = before[0].set_index("media_id").loc[moved.media_id]
    assert set(moved.start.to_numpy() - was.start.to_numpy()) == {
        pd.Timedelta(hours=15, minutes=40)
    }
    same = ["path", "state", "clip_id", "sha256", "thumb", "duration_s", "wall_start"]
    assert moved[same].reset_index(drop=True).equals(was[same].reset_index(drop=True))
    assert len(frames) == len(before[1])
    days = frames.merge(media, on="media_id")
    assert (days.date_x == days.date_y).all()
    assert sorted(check_library(library).what) == disagreements
    renew(settings)
    assert_same(corrected, told(library))
    assert run(settings).tally.total == 0
    kept = tmp_path / "kept.tar"
    backup(library.folder, kept)
    shutil.rmtree(library.folder)
    restore(kept, library.folder)
    run(settings)
    library = Library.of(settings)
    assert_same(corrected, told(library))
    assert library.clock_corrections().decision_id.tolist() == [one]
    library.undo(one)
    library.storage.remove("state/walk.json")
    assert run(settings).opened == {}
    assert_same(before, told(library))
    renew(settings)
    assert_same(before, told(library))


def test_a_folded_correction_is_still_there(settings: Settings) -> None:
    """In Parquet beside other decisions; a folded file of an older pano has no such columns."""
    run(settings, is_inspecting=False)
    old = Decisions(Library.of(settings).storage)
    old.decide("anna", "noted", ["0" * 16], "x")
    old.close()
    run(settings, is_inspecting=False)
    [folded] = (Library.of(settings).folder / "decisions").iterdir()
    names = [one for one in parquet.read_schema(folded).names if not one.startswith("clock_")]
    parquet.write_table(parquet.read_table(folded, columns=names), folded)
    first = Library.of(settings)
    first.correct_clock("garage", "2026-03-01", None, -7.25, who="anna")
    first.correct_clock("porch", "2026-03-01", datetime(2026, 3, 3, 0, 0, 30), 9)
    said = first.clock_corrections()
    first._decisions.close()
    run(settings, is_inspecting=False)
    assert [one.suffix for one in folded.parent.iterdir()] == [".parquet"]
    assert Library.of(settings).clock_corrections().equals(said)
    assert len(Library.of(settings).decisions()) == 3


def test_a_damaged_file_of_decisions_moves_no_row(settings: Settings) -> None:
    """Ingest goes on with the corrections of its last run until a backup is restored."""
    run(settings, is_inspecting=False)
    library = Library.of(settings)
    library.correct_clock("garage", "2026-03-01", None, BEHIND)
    library._decisions.close()
    corrected = rows_of(settings)
    [folded] = (library.folder / "decisions").iterdir()
    sound = folded.read_bytes()
    folded.write_bytes(sound[:-9])
    assert rows_of(settings).equals(corrected)
    folded.write_bytes(sound)
    assert run(settings, is_inspecting=False).tally.total == 0


@pytest.mark.long
def test_an_ingest_that_is_killed_at_any_step_is_completed_by_the_next(tmp_path: Path) -> None:
    """Readers see all rows once, each with or without the correction; the next run heals."""
    settings = tree(tmp_path, ["garage"])
    before = rows_of(settings)
    Library.of(settings).correct_clock("garage", "2026-03-02", "2026-03-28", BEHIND)
    expected = new_rows(tmp_path, "new", Library.of(settings).clock_corrections())
    killed, step = -signal.SIGKILL, 0
    while killed == -signal.SIGKILL:
        step += 1
        target = tmp_path / f"trial-{step}"
        shutil.copytree(str(settings.library), target)
        trial = settings.model_copy(update={"library": target})

        def correct(trial: Settings, deadly: int) -> list[str]:
            assert trial.library is not None
            steps = Steps(trial.library, deadly)
            steps.listen()
            run(trial, is_inspecting=False)
            return steps.names

        report = tmp_path / "report.json"
        killed = wait(in_child(lambda: correct(trial, step), report))  # noqa: B023
        seen = Library.of(trial).media().astype({"camera": "str"})
        assert seen.equals(before) or seen.equals(expected), step
        assert rows_of(trial).equals(expected), step
        shutil.rmtree(target)
    assert killed == 0
    assert step > 20


# --- until it is set ----------------------------------------------------------------


def lagging(folder: Path) -> Settings:
    """Let a right porch and a garage 47 minutes behind upload every 20 minutes, for four days."""
    begin = datetime(2026, 3, 3)
    for number in range(4 * 72):
        true = begin + timedelta(minutes=20 * number)
        come = true.replace(tzinfo=BERLIN.zone) + timedelta(seconds=2)
        for camera, late in (("garage", timedelta(minutes=47)), ("porch", timedelta())):
            lay(b"x", folder / "uploads" / snapshot_path(camera, true - late), come)
    return settings_for(folder, "library")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return the settings of a library with a camera that lags; only to be copied."""
    settings = lagging(tmp_path_factory.mktemp("lagging"))
    run(settings, is_inspecting=False)
    return settings


@pytest.fixture
def lag(known: Settings, tmp_path: Path) -> Library:
    shutil.copytree(str(known.library), tmp_path / "library")
    return Library.of(known.model_copy(update={"library": tmp_path / "library"}))


FIVE_MINUTES = (datetime(2026, 3, 5, 2, 58), datetime(2026, 3, 5, 3, 3))


def test_a_range_over_a_camera_that_lags_says_what_it_lacks(lag: Library) -> None:
    """Frames carry a sentence, with the number of uploads and the command; until it is set."""
    found = lag.media(start=FIVE_MINUTES[0], end=FIVE_MINUTES[1])
    assert found.camera.tolist() == ["porch"]
    [warning] = found.attrs["warnings"]
    assert warning.startswith(
        "garage: its clock is 47 min behind, and its times are not corrected; 1 more upload of "
        "it belongs to this range. Correct them with `pano clock correct garage --start "
        "'2026-03-02 23:13:00' --seconds -2822`."
    )
    assert lag.events(*[None, *FIVE_MINUTES]).attrs["warnings"] == [warning]
    assert lag.activity(start=FIVE_MINUTES[0], end=FIVE_MINUTES[1]).attrs["warnings"] == [warning]
    assert "warnings" not in lag.media("porch", *FIVE_MINUTES).attrs
    assert "warnings" not in lag.media(end="2026-03-02").attrs
    assert "belong" not in lag.media().attrs["warnings"][0]
    words = shlex.split(warning.partition("`")[2].partition("`")[0])
    made = CliRunner().invoke(pano, [*words[1:], "--library", str(lag.folder)])
    assert made.exit_code == 0, made.output
    [stored] = lag.media(start=FIVE_MINUTES[0], end=FIVE_MINUTES[1]).attrs["warnings"]
    assert stored.endswith("The next `pano ingest` corrects them.")
    run(lag.settings, is_inspecting=False)
    found = lag.media(start=FIVE_MINUTES[0], end=FIVE_MINUTES[1])
    assert sorted(found.camera) == ["garage", "porch"]
    assert "warnings" not in found.attrs
    assert lag.clock_errors().empty


def test_status_and_doctor_say_the_same(lag: Library) -> None:
    """A problem until it is corrected; then the doctor only reminds of the clock itself."""
    [row] = lag.clock_errors().itertuples()
    assert (row.camera, row.seconds) == ("garage", -2822)
    assert row.wall_start == datetime(2026, 3, 2, 23, 13)
    report = status.collect(lag.settings)
    assert [one["detail"] for one in report["problems"] if one["what"] == "clock_off"] == [row.text]
    [error] = report["clock_errors"]
    json.dumps(report)
    said = CliRunner().invoke(pano, ["doctor", "--json", "--library", str(lag.folder)])
    [finding] = [one for one in json.loads(said.output)["findings"] if one["word"] == "clock_off"]
    assert finding["correction"] == error["correction"]
    assert finding["command"] == error["command"]
    assert finding["advice"].endswith(f"\n{error['command']}")
    assert finding["severity"] == "problem"
    correction = error["correction"]
    lag.correct_clock(
        correction["camera"], correction["start"], correction["end"], correction["seconds"]
    )
    run(lag.settings, is_inspecting=False)
    assert status.collect(lag.settings)["clock_errors"] == []
    [found] = doctor.examine(lag).query("word == 'clock_off'").itertuples()
    assert (found.severity, found.value, found.command) == ("advice", -2822, None)
    assert "its uploads are corrected" in found.evidence


def test_a_correction_that_does_not_fit_is_told(lag: Library) -> None:
    """One of another size, or one of a clock that is right."""
    lag.correct_clock("garage", "2026-03-01", None, -600)
    lag.correct_clock("porch", "2026-03-01", None, 600)
    run(lag.settings, is_inspecting=False)
    texts = lag.clock_errors().set_index("camera").text
    for camera in ("garage", "porch"):
        assert "a correction of its clock does not fit. `pano doctor` says" in texts[camera]
    found = doctor.examine(lag).query("word == 'clock_off'").set_index("camera")
    assert set(found.severity) == {"problem"}
    assert "no longer fits" in found.advice["garage"]
    assert "its clock is right" in found.evidence["porch"]
    assert "an end" in found.advice["porch"]


def test_what_is_ignored_is_not_warned_of(lag: Library) -> None:
    ignoring = check({"zone": "Europe/Berlin", "doctor": {"ignore": ["Garage: clock_off"]}})
    settings = ignoring.model_copy(update={"library": lag.folder, "uploads": lag.uploads})
    assert Library.of(settings).clock_errors().empty
    assert "warnings" not in Library.of(settings).media().attrs
    assert status.collect(settings)["clock_errors"] == []


def test_cards_and_ranges_of_the_dashboard_warn(lag: Library) -> None:
    answers = Answers(lag, Selection())
    shown = json.loads(Overview(PageSocket(), lag, answers).first)
    assert {one["name"]: one["clock"] for one in shown["cameras"]} == {
        "garage": "47 min behind",
        "porch": "",
    }
    [notice] = shown["clocks"]
    assert notice.startswith("garage: its clock is 47 min behind")


def test_an_upload_says_that_it_was_corrected(settings: Settings) -> None:
    """With what the camera's clock showed, and by how much it was wrong."""
    run(settings, is_inspecting=False)
    library = Library.of(settings)
    library.correct_clock("garage", "2026-03-01", None, BEHIND)
    run(settings, is_inspecting=False)
    upload = library.upload(library.media("garage", limit=1).iloc[0])
    assert [(badge.word, badge.reason) for badge in badges(upload)][1:] == [
        (
            "Clock corrected",
            "The camera’s clock was 47 min behind. The time is shown without that error.",
        )
    ]
    told = dict(facts(upload, library.zone))
    assert told["Camera’s clock"] == "2026-03-02 23:20:00"
    assert told["Time"].startswith("Tuesday 3 March 2026, 00:07:00")
    assert told["Time from"] == "the file’s name, with the clock corrected"
    assert told["Clock error"] == "0:47:00 behind, corrected here"


def test_cameras_of_a_template_have_the_corrections_of_its_table(tmp_path: Path) -> None:
    """In the settings; a decision is about one of them."""
    for name in ("left", "right"):
        lay(b"x", tmp_path / "uploads" / "yard" / name / "20260303120000.jpg")
    table = {"name": "yard", "layout": "{camera}/{start:%Y%m%d%H%M%S}.jpg"}

    def ahead(**clock: Any) -> list[float | None]:
        settings = check({"zone": "UTC", "cameras": [table | clock]}).model_copy(
            update={"uploads": tmp_path / "uploads", "library": tmp_path / "library"}
        )
        rows = rows_of(settings).sort_values("camera")
        assert rows.camera.tolist() == ["left", "right"]
        assert rows_of(settings).sort_values("camera").equals(rows)
        return rows.clock_offset_s.fillna(0).tolist()

    span = [{"start": "2026-03-03", "seconds": BEHIND}]
    assert ahead() == [0, 0]
    assert ahead(clock=span) == [BEHIND, BEHIND]
    assert ahead() == [0, 0]
    library = pano_analytics.open(tmp_path / "library")
    library.correct_clock("right", "2026-03-03", None, 90)
    assert ahead() == [0, 90]
    # The settings take precedence.
    assert ahead(clock=span) == [BEHIND, BEHIND]
    assert library.clock_corrections().camera.tolist() == ["right"]
    assert pano_analytics.open(tmp_path / "library").clock_corrections().seconds.tolist() == [
        BEHIND,
        BEHIND,
        90,
    ]
