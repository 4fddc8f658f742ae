"""Catalog, journal and thumbnails work on a storage that has no local paths."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from memory_storage import MemoryStorage
from test_catalog import rows

from pano_analytics.errors import JournalError, LibraryBusy, PartError
from pano_analytics.store import catalog as room
from pano_analytics.store import journal as journal_room
from pano_analytics.store import locators
from pano_analytics.store.catalog import MANIFEST, CameraDay, Catalog, unlisted
from pano_analytics.store.journal import SEEN, Journal
from pano_analytics.store.locators import Locator
from pano_analytics.store.locks import writing

DAY = CameraDay("a", date(2026, 1, 1))
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def commit(catalog: Catalog, table: pa.Table) -> str:
    """Write a camera-day's rows; return the name of its part."""
    change = catalog.begin()
    change.write(DAY, table)
    return change.commit().media[DAY].path


def seen(number: int) -> pa.Table:
    fact = {"media_id": f"{number:016x}", "path": f"{number}.jpg", "arrived": NOON, "noted": NOON}
    return pa.Table.from_pylist([fact], schema=SEEN)


def test_a_commit_is_read_by_another_catalog(storage: MemoryStorage) -> None:
    """Rows and statistics come back, and the replaced part stays for readers."""
    old = commit(Catalog(storage), rows(2, "x"))
    name = commit(Catalog(storage), rows(3, "y"))
    reader = Catalog(storage)
    part = reader.table("media")[DAY]
    assert (part.path, part.rows, reader.manifest().generation) == (name, 3, 2)
    assert reader.read(part).equals(rows(3, "y"))
    assert reader.column(part, "trigger_raw").to_pylist() == ["y"] * 3
    assert list(storage.files("parts")) == [name]
    assert reader.where(old) == unlisted(old)
    assert storage.exists(unlisted(old))


def test_the_manifest_is_replaced_after_its_files_are_synced(storage: MemoryStorage) -> None:
    """The parts and months come first, as on a disk."""
    part = commit(Catalog(storage), rows(1))
    (month,) = Catalog(storage).manifest().files()
    assert storage.synced == [month, unlisted(part), MANIFEST]


def test_what_a_killed_writer_left_is_swept(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(storage)
    kept = commit(catalog, rows(1))
    storage.put("parts/media/camera=a/date=2026-01-02/part-x.parquet", lambda file: None)
    assert len(catalog.sweep()) == 1
    monkeypatch.setattr(room, "GRACE_S", -1.0)
    commit(catalog, rows(2))
    commit(catalog, rows(3))
    assert kept not in storage.content
    assert unlisted(kept) not in storage.content


def test_a_damaged_part_is_named_by_its_address(storage: MemoryStorage) -> None:
    name = commit(Catalog(storage), rows(1))
    storage.put(name, lambda file: file.write(b"torn"))
    reader = Catalog(storage)
    with pytest.raises(PartError, match=f"memory:{name}: expected a readable part"):
        reader.read(reader.table("media")[DAY])


def test_the_journal_is_read_and_merged(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_room, "FOLD_ABOVE", 2)
    journal = Journal(storage)
    for number in range(4):
        journal.note_seen(seen(number))
    before = journal.seen()
    journal.fold()
    assert len(list(storage.files("journal"))) == 1
    assert Journal(storage).seen().equals(before)
    assert Journal(storage).arrivals() == {
        f"{number:016x}": int(NOON.timestamp()) * 1_000_000 for number in range(4)
    }


def test_a_torn_journal_is_named_by_its_address(storage: MemoryStorage) -> None:
    name = Journal(storage).note_seen(seen(1))
    storage.put(name, lambda file: file.write(b"PAR1"))
    with pytest.raises(JournalError, match=f"memory:{name}: expected a readable file"):
        Journal(storage).require()
    with pytest.raises(JournalError, match=f"memory:{name}"):
        Journal(storage).seen()


def test_a_thumbnail_is_a_range_of_a_pack(storage: MemoryStorage) -> None:
    pack = f"{locators.folder(DAY)}/0-1.pack"
    storage.put(pack, lambda file: file.write(b"one" + b"other"))
    assert locators.read(storage, locators.make(Locator(pack, 3, 5))) == b"other"


def test_one_process_writes(storage: MemoryStorage) -> None:
    with writing(storage), pytest.raises(LibraryBusy), writing(storage):
        pass
