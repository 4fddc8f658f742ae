"""What an upload was before it was replaced, and which uploads hold the same content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from lived_in import NOON, at, fresh, lay, picture, renew, run
from shared_files import snapshot_path

from pano_analytics.library import COLUMNS, Library
from pano_analytics.settings import Settings
from pano_analytics.store.journal import SEEN, Journal
from pano_analytics.store.storage import Storage


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return fresh(tmp_path)


@pytest.fixture
def uploads(settings: Settings) -> Path:
    assert settings.uploads is not None
    return settings.uploads


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_all_that_a_file_was_stays_told(
    settings: Settings, library: Library, uploads: Path
) -> None:
    """Grown, emptied, replaced: one media_id, and each content with size, times and hash."""
    contents = [picture(1)[:3000], picture(1), b"", picture(2)]
    for number, data in enumerate(contents):
        lay(data, uploads / at(1), NOON + timedelta(hours=number))
        run(settings)
    [media_id] = library.media().media_id
    history = library.history(media_id)
    opened = history[history.sha256.notna()]
    assert opened.sha256.tolist() == [sha256(data) for data in contents]
    assert opened.size_bytes.tolist() == [len(data) for data in contents]
    assert opened.mtime.diff().dropna().eq(timedelta(hours=1)).all()
    assert history.noted.is_monotonic_increasing
    # As long as the arrival is the earliest ever, first seen is not lost.
    first = pd.Timestamp(NOON).tz_localize(datetime.now().astimezone().tzinfo)
    assert history.arrived.min() == first == library.media().arrived.iloc[0]
    assert str(history.noted.dt.tz) == "Europe/Berlin"


def test_history_survives_the_catalog(settings: Settings, library: Library, uploads: Path) -> None:
    """A rebuild, and the loss of the file, leave what was noted as it was."""
    for number in (1, 2):
        lay(picture(number), uploads / at(1), NOON + timedelta(hours=number))
        run(settings)
    lay(picture(3), uploads / at(3))
    (uploads / at(1)).unlink()
    run(settings, accept_tree=True)
    [media_id] = library.media(state="missing").media_id
    before = library.history(media_id)
    renew(settings)
    assert len(before) == 4
    pd.testing.assert_frame_equal(library.history(media_id), before)


def test_an_unknown_upload_has_no_history(library: Library) -> None:
    """An empty frame with its columns, also where there is no journal yet."""
    empty = library.history("0" * 16)
    assert list(empty) == [
        "media_id",
        "path",
        "size_bytes",
        "mtime",
        "arrived",
        "noted",
        "sha256",
        "state",
    ]
    assert len(empty) == 0


def test_duplicates_are_linked_to_the_first_that_arrived(
    settings: Settings, library: Library, uploads: Path
) -> None:
    """Same content under other names, of any camera: all rows, each with its original."""
    for hours, path in ((3, at(1)), (1, at(2)), (2, at(3, "garden"))):
        lay(picture(1), uploads / path, NOON + timedelta(hours=hours))
    lay(picture(2), uploads / at(4))
    for second in (5, 6):
        lay(b"", uploads / at(second))
    again = snapshot_path("porch", NOON + timedelta(days=1))
    for path, hours in ((at(7), 0), (again, 24)):
        lay(picture(3), uploads / path, NOON + timedelta(hours=hours))
    run(settings)
    same = library.duplicates()
    ids = library.media().set_index("path").media_id
    assert same.path.tolist() == [at(7), again, at(2), at(3, "garden"), at(1)]
    assert same.original_id.tolist() == [ids[at(7)]] * 2 + [ids[at(2)]] * 3
    assert list(same) == [*COLUMNS, "original_id"]
    assert library.duplicates(camera="garden").empty
    assert library.duplicates(camera="porch").path.tolist() == [at(7), again, at(2), at(1)]
    assert library.duplicates(end=NOON.date() + timedelta(days=1)).path.tolist() == [
        *(at(2), at(3, "garden"), at(1)),
    ]


def test_no_library_has_no_duplicates(library: Library) -> None:
    """An empty library answers with an empty frame."""
    assert library.duplicates().empty


def test_what_was_seen_in_years_is_not_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folding joins the small files of facts; a large one stays as it is, and all is told."""
    monkeypatch.setattr("pano_analytics.store.journal._FOLD_SEEN_BELOW_BYTES", 20_000)
    journal = Journal(Storage(tmp_path))
    large = journal.note_seen(_seen(range(2000)))
    for number in range(2000, 2065):
        journal.note_seen(_seen([number]))
    journal.fold()
    names = sorted(path.name for path in (tmp_path / "journal").iterdir())
    assert len(names) == 2
    assert large.rpartition("/")[2] in names
    assert journal.seen()["media_id"].to_pylist() == [f"{number:016x}" for number in range(2065)]


def _seen(numbers: Iterable[int]) -> pa.Table:
    moment = datetime(2026, 3, 3, tzinfo=UTC)
    facts = [
        {
            "media_id": f"{number:016x}",
            "path": f"porch/{number}.jpg",
            "size_bytes": number,
            "mtime": moment,
            "arrived": moment,
            "noted": moment,
            "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        }
        for number in numbers
    ]
    return pa.Table.from_pylist(facts, schema=SEEN)
