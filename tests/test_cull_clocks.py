"""No clock alone deletes: that of a camera, that of this computer, nor one that leapt between."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner
from clocks import Box, box_at, utc
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from lived_in import renew, run
from shared_files import lay, snapshot_path

from pano_analytics import doctor, status
from pano_analytics.cli import pano
from pano_analytics.errors import QueryError
from pano_analytics.library import Library
from pano_analytics.service.supervise import problems as supervised
from pano_analytics.settings import Settings, check
from pano_analytics.store.timekeeping import ClockDoubt
from pano_analytics.upkeep.culling import adopt, cull, last_run, plan

NOW = utc(2026, 3, 20, 12)
KEEP = 10


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Box:
    return box_at(monkeypatch, NOW)


def settings_in(folder: Path) -> Settings:
    (folder / "uploads").mkdir()
    said = {"zone": "UTC", "keep_days": KEEP, "cull": {"most_share": 1}}
    return check(said).model_copy(
        update={"uploads": folder / "uploads", "library": folder / "library"}
    )


@pytest.fixture
def settings(tmp_path: Path, box: Box) -> Settings:
    return settings_in(tmp_path)


def upload(settings: Settings, box: Box, named: datetime | None = None, number: int = 0) -> Path:
    """Let a camera whose clock says `named` (else the truth) upload; this computer stamps it."""
    assert settings.uploads is not None
    shown = (named or box.true).replace(tzinfo=None, microsecond=0)
    path = settings.uploads / snapshot_path("porch", shown, number)
    return lay(b"x", path, box.wall.astimezone().replace(tzinfo=None))


def uploads(settings: Settings, box: Box, count: int, named: datetime | None = None) -> None:
    for number in range(count):
        upload(settings, box, named, number)


def there(settings: Settings) -> int:
    assert settings.uploads is not None
    return sum(1 for _ in settings.uploads.rglob("*.jpg"))


def test_a_camera_that_was_reset_loses_nothing_fresh(settings: Settings, box: Box) -> None:
    """Its clock says 2015: what it uploads now is kept for as long as any other upload."""
    uploads(settings, box, 5, utc(2015, 1, 1, 3))
    run(settings)
    adopt(settings)
    assert cull(settings).files == 0
    box.pass_by(days=KEEP, hours=-1)
    assert cull(settings).files == 0
    box.pass_by(hours=2)
    found = plan(settings)
    assert {one.reason for one in found.due} == {f"kept for {KEEP} days since it arrived"}
    assert cull(settings).files == 5


def test_a_box_that_was_behind_and_is_set_right(settings: Settings, box: Box) -> None:
    """40 days behind while the cameras were right: all is minutes old, and nothing goes.

    The times that the names tell were moved to the wrong clock; they heal once the owner has
    confirmed the right one.
    """
    box.leap(days=-40)
    uploads(settings, box, 5)
    run(settings)
    adopt(settings)
    moved = Library.of(settings).media()
    assert set(moved.time_source) == {"arrival"}
    box.pass_by(minutes=5)
    box.set_right()
    with pytest.raises(ClockDoubt, match=r"40 days ahead.*pano clock --confirm"):
        cull(settings)
    run(settings)
    assert CliRunner().invoke(pano, ["clock", *where(settings), "--confirm"]).exit_code == 0
    assert cull(settings).files == 0
    run(settings)
    healed = Library.of(settings).media()
    assert set(healed.time_source) == {"name"}
    assert (healed.start.dt.tz_convert("UTC") == NOW).all()
    before = healed.drop(columns=["thumb"])
    renew(settings)
    assert Library.of(settings).media().drop(columns=["thumb"]).equals(before)
    box.pass_by(days=KEEP, hours=-1)
    assert cull(settings).files == 0
    box.pass_by(hours=2)
    assert cull(settings).files == 5


def test_a_box_that_starts_behind_moves_no_start(settings: Settings, box: Box) -> None:
    """Known to be behind by what the library knows: names that are ahead of it are believed."""
    upload(settings, box, number=9)
    run(settings)
    adopt(settings)
    box.restart(lost=timedelta(days=40), minutes=3)
    uploads(settings, box, 5)
    run(settings)
    media = Library.of(settings).media()
    assert set(media.time_source) == {"name"}
    assert "clock_doubtful" in words(settings)
    with pytest.raises(ClockDoubt, match="behind"):
        cull(settings)
    box.pass_by(hours=1)
    box.set_right()
    run(settings)
    assert "clock_doubtful" not in words(settings)
    assert set(Library.of(settings).media().time_source) == {"name"}
    assert cull(settings).files == 0


def test_two_years_ahead_for_one_cull(settings: Settings, box: Box) -> None:
    """Everybody is told, nothing goes; set right, culling goes on without a question."""
    uploads(settings, box, 5)
    run(settings)
    adopt(settings)
    box.leap(days=730)
    with pytest.raises(ClockDoubt, match="730 days ahead") as told:
        cull(settings)
    assert told.value.exit_code == 8
    assert there(settings) == 5
    assert plan(settings).trouble is not None
    assert plan(settings).due == ()
    assert words(settings) >= {"clock_doubtful", "cull_stopped"}
    assert "clock_doubtful" in set(doctor.examine(Library.of(settings)).word)
    assert "clock_doubtful" in {one["what"] for one in supervised.find(settings, 60.0)}
    shown = CliRunner().invoke(pano, ["clock", *where(settings)])
    assert shown.exception is not None
    assert "730 days ahead" in str(shown.exception)
    box.set_right()
    assert CliRunner().invoke(pano, ["clock", *where(settings)]).exit_code == 0
    assert cull(settings).files == 0
    assert words(settings).isdisjoint({"clock_doubtful", "cull_stopped"})


def where(settings: Settings) -> list[str]:
    return ["--uploads", str(settings.uploads), "--library", str(settings.library)]


def words(settings: Settings) -> set[str]:
    return {one["what"] for one in status.collect(settings)["problems"]}


@pytest.mark.parametrize("is_confirmed", [False, True])
def test_ahead_at_the_restart(settings: Settings, box: Box, is_confirmed: bool) -> None:
    """After a restart a clock far ahead is asked about; even confirmed it makes nothing older."""
    uploads(settings, box, 5)
    run(settings)
    adopt(settings)
    box.restart(minutes=2)
    box.leap(days=30)
    if is_confirmed:
        assert CliRunner().invoke(pano, ["clock", *where(settings), "--confirm"]).exit_code == 0
        assert cull(settings).files == 0
    else:
        with pytest.raises(ClockDoubt):
            cull(settings)
    assert there(settings) == 5


def test_ahead_at_ingest(settings: Settings, box: Box) -> None:
    """Seen while the clock was two years ahead, then set right: no sooner gone, and no later."""
    run(settings)
    box.leap(days=730)
    uploads(settings, box, 5)
    run(settings)
    adopt(settings)
    box.pass_by(hours=1)
    box.set_right()
    assert cull(settings).files == 0
    box.pass_by(days=KEEP, hours=-2)
    assert cull(settings).files == 0
    box.pass_by(hours=2)
    assert cull(settings).files == 5


@pytest.mark.parametrize("named", [utc(2026, 1, 1), utc(2030, 1, 1)])
def test_old_files_copied_in_are_new_here(settings: Settings, box: Box, named: datetime) -> None:
    """A modification time that FTP or a copy carried over proves no age; nor does a future name."""
    path = upload(settings, box, named)
    lay(path.read_bytes(), path, datetime(2026, 1, 1))
    run(settings)
    adopt(settings)
    assert cull(settings).files == 0
    [left] = plan(settings).cameras
    if named < NOW:
        assert (left.waiting_files, left.waiting_until.date()) == (1, utc(2026, 3, 30).date())  # type: ignore[union-attr]
        shown = CliRunner().invoke(pano, ["cull", *where(settings)])
        assert shown.exit_code == 0
    box.pass_by(days=KEEP, hours=1)
    assert [one.aged_by for one in plan(settings).due] == ["seen"]
    assert cull(settings).files == 1


def test_what_was_replaced_is_new(settings: Settings, box: Box) -> None:
    """Other bytes under an old name are fresh evidence."""
    path = upload(settings, box)
    run(settings)
    adopt(settings)
    box.pass_by(days=KEEP - 1)
    lay(b"other", path, box.wall.astimezone().replace(tzinfo=None))
    run(settings)
    box.pass_by(days=2)
    assert cull(settings).files == 0
    box.pass_by(days=KEEP)
    assert cull(settings).files == 1


def test_a_rebuilt_library_remembers_when(settings: Settings, box: Box) -> None:
    """By its journal; without one all is seen for the first time."""
    upload(settings, box)
    run(settings)
    adopt(settings)
    box.pass_by(days=KEEP + 1)
    renew(settings)
    assert len(plan(settings).due) == 1
    for name in list(Library.of(settings).storage.files("journal")):
        Library.of(settings).storage.remove(name)
    assert len(plan(settings).due) == 0
    assert cull(settings).files == 0


@pytest.mark.parametrize(
    ("shown_s", "seconds", "later_s"),
    [
        (480, 480, 480),  # ahead, and believed before: as late as before
        (2820, 2820, 0),  # ahead, and not believed before
        (-2820, -2820, 0),
        (0, 2820, 0),  # a slip of the pen makes nothing older
        (0, 40 * 86_400, 0),
        (-40 * 86_400, 40 * 86_400, 0),
    ],
)
def test_a_correction_makes_nothing_older(
    settings: Settings, box: Box, shown_s: int, seconds: int, later_s: int
) -> None:
    """What a camera's clock showed counts as before, whatever is taken off it."""
    uploads(settings, box, 3, box.true + timedelta(seconds=shown_s))
    run(settings)
    adopt(settings)
    library = Library.of(settings)
    library.correct_clock("porch", datetime(2020, 1, 1), None, seconds)
    run(settings)
    assert set(library.media().time_source) == {"name+correction"}
    box.pass_by(days=KEEP, seconds=later_s - 60)
    assert cull(settings).files == 0
    box.pass_by(seconds=180)
    assert cull(settings).files == 3


def test_old_rows_stay_while_the_clock_is_in_doubt(settings: Settings, box: Box) -> None:
    """Rows and thumbnails of culled uploads are not dropped by a clock that leapt either."""
    upload(settings, box)
    run(settings)
    adopt(settings)
    box.pass_by(days=KEEP + 1)
    assert cull(settings).files == 1
    box.leap(days=3000)
    with pytest.raises(ClockDoubt):
        cull(settings)
    assert set(Library.of(settings).media().state) == {"culled"}
    told: Any = last_run(Library.of(settings).storage)
    assert told["exit"] == 8


# --- for any history --------------------------------------------------------------

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("upload"), st.sampled_from([0, 0, 0, -4000, -40, -15, 300])),
        st.tuples(st.just("pass"), st.sampled_from([0.1, 1, 4, 9, 11])),
        st.tuples(st.just("leap"), st.sampled_from([-40, -2, 2, 12, 730])),
        st.tuples(st.just("right"), st.just(0)),
        st.tuples(st.just("restart"), st.sampled_from([0.01, 0.3, 20])),
        st.tuples(st.just("lost"), st.sampled_from([0.01, 40])),
        st.tuples(st.just("ingest"), st.just(0)),
        st.tuples(st.just("confirm"), st.just(0)),
        st.tuples(st.just("correct"), st.sampled_from([-4000, -15, -0.03, 0.003, 0.03, 15, 300])),
        st.tuples(st.just("cull"), st.just(0)),
    ),
    max_size=14,
)


@effort(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(_STEPS)
def test_nothing_goes_before_it_was_there_long_enough(steps: list[tuple[str, float]]) -> None:
    """For any history of clocks, as a model has it that knows the truth.

    No upload goes before `keep_days` have truly passed since an ingest saw it, but for half a
    day for each start of this computer; and where nobody ever touched a clock, all goes then.
    """
    live(steps)


@pytest.mark.long
@pytest.mark.timeout(900)
@effort(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(_STEPS)
def test_nothing_goes_before_it_was_there_long_enough_in_many_lives(
    steps: list[tuple[str, float]],
) -> None:
    live(steps)


def correct(settings: Settings, days: float) -> None:
    """Correct the camera's clock, which may even be right, instead of as before."""
    library = Library.of(settings)
    for one in library.clock_corrections().decision_id:
        library.undo(one)
    library.correct_clock("porch", datetime(2005, 1, 1), None, days * 86_400)


def live(steps: list[tuple[str, float]]) -> None:
    """Let a history happen and hold it against the model."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        box = box_at(patch, NOW)
        settings = settings_in(Path(name))
        run(settings)
        seen: dict[Path, tuple[datetime, int]] = {}
        unseen: list[Path] = []
        is_plain, starts = True, 0
        for number, (what, days) in enumerate([*steps, ("cull", 0.0)]):
            if what == "upload":
                is_plain = is_plain and days == 0
                unseen.append(upload(settings, box, box.true + timedelta(days=days), number))
            elif what == "pass":
                box.pass_by(days=days)
            elif what == "leap":
                is_plain = False
                box.leap(days=days)
            elif what == "right":
                box.set_right()
            elif what in ("restart", "lost"):
                starts, is_plain = starts + 1, False
                box.restart(lost=timedelta(days=days if what == "lost" else 0), days=days)
            elif what == "ingest":
                run(settings, is_inspecting=False)
                seen |= dict.fromkeys(unseen, (box.true, starts))
                unseen.clear()
            elif what == "correct":
                is_plain = False
                with suppress(QueryError):
                    correct(settings, days)
            elif what == "confirm":
                CliRunner().invoke(pano, ["clock", *where(settings), "--confirm"])
            else:
                _cull(settings)
                for path, (since, before) in list(seen.items()):
                    allowance = timedelta(hours=12) * (starts - before + 1)
                    if not path.exists():
                        assert box.true - since + allowance >= timedelta(days=KEEP)
                        del seen[path]
                    else:
                        is_young = box.true - since < timedelta(days=KEEP)
                        assert is_young or not is_plain
                assert all(path.exists() for path in unseen)


def _cull(settings: Settings) -> None:
    if Library.of(settings).media().empty:
        return
    try:
        adopt(settings)
        cull(settings)
    except ClockDoubt:
        pass
