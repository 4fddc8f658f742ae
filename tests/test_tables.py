"""The registry of tables: one that is added there is carried everywhere, and named nowhere else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from clocks import box_at, seen_as_they_arrived
from lived_in import NOON, at, fresh, picture, renew, run
from shared_files import lay, snapshot_path

from pano_analytics.errors import QueryError
from pano_analytics.ingest.camera_names import respell
from pano_analytics.library import Library
from pano_analytics.model import tables
from pano_analytics.model.tables import Column, Table
from pano_analytics.settings import Cull, Settings
from pano_analytics.site.run import update
from pano_analytics.store.catalog import MANIFEST, WHOLE, CameraDay
from pano_analytics.store.journal import Journal
from pano_analytics.upkeep.backup import backup, restore
from pano_analytics.upkeep.check import check
from pano_analytics.upkeep.culling import adopt, cull

DAY = CameraDay("porch", NOON.date())
MARKS = Table(
    "marks",
    "What somebody said of an upload.",
    ("media_id", "word"),
    (
        Column("media_id", pa.string(), "the upload"),
        Column("word", pa.string(), "what was said"),
    ),
    is_derived=False,
)
NOTES = Table(
    "notes",
    "What is true of the whole library.",
    ("name",),
    (Column("name", pa.string(), "its name"), Column("value", pa.int64(), "its value")),
    version=7,
    is_by_day=False,
    is_derived=False,
)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Register two more tables."""
    for table in (MARKS, NOTES):
        monkeypatch.setitem(tables.TABLES, table.name, table)
    yield
    tables.schema.cache_clear()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a library that has rows of them."""
    settings = fresh(tmp_path)
    assert settings.uploads is not None
    for second in (1, 2):
        lay(picture(second), settings.uploads / at(second))
    run(settings)
    mark(Library.of(settings))
    return settings


def mark(library: Library) -> None:
    """Say a word of each upload, and one thing of the library."""
    media = library.media()
    change = library.catalog.begin()
    for day, own in media.groupby("date"):
        words = [{"media_id": one, "word": f"of {one}"} for one in own.media_id]
        rows = pa.Table.from_pylist(words, schema=tables.schema("marks"))
        change.write(CameraDay("porch", pd.Timestamp(str(day)).date()), rows, "marks")
    known = pa.Table.from_pylist([{"name": "n", "value": 1}], schema=tables.schema("notes"))
    change.write(WHOLE, known, "notes")
    change.commit()


def marks(library: Library) -> dict[str, tuple[str, str, date]]:
    """Return all marks: word, camera and date by upload; none stands twice."""
    found = library.sql("SELECT * FROM marks")
    assert found["media_id"].is_unique
    rows = zip(found.media_id, found.word, found.camera, found.date.dt.date, strict=True)
    return {one: (word, camera, day) for one, word, camera, day in rows}


def expected(library: Library) -> dict[str, tuple[str, str, date]]:
    """Return the marks that each upload has, where it lies now."""
    media = library.media()
    rows = zip(media.media_id, media.camera, media.date.dt.date, strict=True)
    return {one: (f"of {one}", camera, day) for one, camera, day in rows}


def notes(library: Library) -> dict[str, int]:
    found = library.sql("SELECT * FROM notes")
    assert list(found.columns) == ["name", "value"]
    return dict(zip(found.name, found.value, strict=True))


def assert_carried(library: Library, count: int) -> None:
    """All uploads have their marks, the library its note, and nothing disagrees."""
    assert len(expected(library)) == count
    assert marks(library) == expected(library)
    assert notes(library) == {"n": 1}
    assert list(check(library)["what"]) == []


def test_it_has_files_a_view_and_a_folder_of_its_own(library: Library) -> None:
    """In `parts()` and SQL, with its own schema version, in a tree of its own."""
    assert_carried(library, 2)
    [path] = library.parts("marks")
    assert "/parts/marks/camera=porch/date=" in path
    [path] = library.parts("notes")
    assert re.search(r"/parts/notes/part-[^/]*\.parquet$", path)
    assert library.catalog.manifest().table("notes")[WHOLE].schema_version == 7


def test_an_ingest_leaves_it_alone(settings: Settings, library: Library) -> None:
    """What comes beside it changes nothing of it."""
    assert settings.uploads is not None
    before = marks(library)
    lay(picture(3), settings.uploads / at(3))
    run(settings)
    assert len(expected(library)) == 3
    assert marks(library) == before


def test_what_moves_to_another_day_takes_it_along(settings: Settings) -> None:
    """A picture of a clock that was reset lies on the day it arrived, by the library's zone."""
    assert settings.uploads is not None
    evening = datetime(2026, 3, 3, 23, 30)
    lay(picture(5), settings.uploads / snapshot_path("porch", datetime(2000, 1, 1)), evening)
    run(settings)
    mark(Library.of(settings))
    before = expected(Library.of(settings))
    elsewhere = settings.model_copy(update={"zone": "Pacific/Honolulu"})
    run(elsewhere)
    assert expected(Library.of(elsewhere)) != before, "nothing moved"
    assert_carried(Library.of(elsewhere), 3)


def test_a_name_that_is_spelled_otherwise_takes_it_along(library: Library) -> None:
    """All rows of a camera move to its one name."""
    change = library.catalog.begin()
    respell(change, lambda name: name.upper())
    change.commit()
    assert {camera for _, camera, _ in marks(library).values()} == {"PORCH"}
    assert notes(library) == {"n": 1}
    assert {day.camera for day in library.catalog.manifest().table("marks")} == {"PORCH"}


def test_check_sees_what_is_wrong_with_it(library: Library) -> None:
    """Rows of no upload, and files that are gone, torn or of another length."""
    rows = pa.Table.from_pylist([{"media_id": "0" * 16}], schema=tables.schema("marks"))
    change = library.catalog.begin()
    change.write(DAY, rows, "marks")
    change.commit()
    assert list(check(library)["what"]) == ["row_orphan"]
    Path(library.parts("marks")[0]).write_bytes(b"torn")
    Path(library.parts("notes")[0]).unlink()
    assert sorted(check(library)["what"]) == ["part_missing", "part_unreadable"]


def test_a_rebuild_carries_over_what_is_not_derived(settings: Settings, library: Library) -> None:
    """What neither tree nor journal can make again comes from the old catalog."""
    assert settings.uploads is not None
    (settings.uploads / at(1)).unlink()
    renew(settings)
    assert_carried(library, 2)
    assert (library.media().state == "missing").sum() == 1


def test_the_journal_keeps_it_for_what_went(settings: Settings, library: Library) -> None:
    """Of an upload whose file is gone, it comes back even where the catalog is lost."""
    assert settings.uploads is not None
    (settings.uploads / at(1)).unlink()
    run(settings)
    [gone] = library.media(state="missing").media_id
    for name in (MANIFEST, "parts", "state"):
        path = library.storage.path(name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run(settings)
    assert marks(Library.of(settings)) == {gone: expected(Library.of(settings))[gone]}


def test_a_journal_of_before_the_table_is_read(
    settings: Settings, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was noted when there was no such table has nothing in it."""
    assert settings.uploads is not None
    with monkeypatch.context() as before:
        before.delitem(tables.TABLES, "marks")
        (settings.uploads / at(1)).unlink()
        run(settings)
    assert len(marks(library)) == 2, "a table that this pano does not know was dropped"
    [name] = Journal(library.storage).gone_files()
    assert Journal(library.storage).read_gone(name)["marks"].to_pylist() == [None]
    for name in (MANIFEST, "parts", "state"):
        path = library.storage.path(name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run(settings)
    assert marks(Library.of(settings)) == {}
    assert len(Library.of(settings).media()) == 2


def test_a_backup_with_the_catalog_has_it(
    settings: Settings, library: Library, tmp_path: Path
) -> None:
    """And a restore puts it back."""
    backup(library.folder, tmp_path / "b.tar", with_catalog=True)
    restore(tmp_path / "b.tar", tmp_path / "again")
    again = settings.model_copy(update={"library": tmp_path / "again"})
    assert_carried(Library.of(again), 2)


def test_culling_keeps_it_and_drops_it_with_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays with a row whose file was culled, and goes when that row goes."""
    noon = NOON.replace(tzinfo=UTC)
    box = box_at(monkeypatch, noon + timedelta(days=1))
    kept = fresh(tmp_path).model_copy(update={"keep_days": 10, "cull": Cull(most_share=1)})
    for second in (1, 2):
        lay(picture(second), tmp_path / "uploads" / at(second), NOON)
    run(kept)
    library = Library.of(kept)
    mark(library)
    seen_as_they_arrived(kept)
    adopt(kept)
    box.until(noon + timedelta(days=20))
    assert cull(kept).files == 2
    assert_carried(library, 2)
    box.until(noon + timedelta(days=440))
    assert cull(kept).rows_dropped == 2
    assert marks(library) == {}
    assert library.parts("marks") == []
    assert notes(library) == {"n": 1}


def test_a_site_knows_that_it_changed(settings: Settings, library: Library, tmp_path: Path) -> None:
    """A day is made again when what belongs to its uploads changed."""
    update(settings, tmp_path / "site")
    assert update(settings, tmp_path / "site").days_made == 0
    mark(library)
    assert update(settings, tmp_path / "site").days_made == 1


@pytest.mark.parametrize(
    ("wrong", "meant"), [("events", ""), ("mark", "marks"), ("Frames", "frames")]
)
def test_an_unknown_table_is_an_error_that_lists_the_known(
    library: Library, wrong: str, meant: str
) -> None:
    """Whoever asks: nothing is taken for another table."""
    listed = "expected media or frames or marks or notes"
    change = library.catalog.begin()
    for ask in (
        lambda: library.parts(wrong),
        lambda: library.catalog.manifest().table(wrong),
        lambda: library.catalog.table(wrong),
        lambda: change.read(DAY, wrong),
        lambda: change.write(DAY, pa.table({}), wrong),
        lambda: tables.schema(wrong),
    ):
        with pytest.raises(QueryError, match=listed) as caught:
            ask()
        assert (f"Did you mean '{meant}'?" in str(caught.value)) == bool(meant)
