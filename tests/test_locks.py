"""What stands between the rooms and the disk of a library: the lock, stamps, notes of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pano_analytics.errors import LibraryBusy, UploadTreeError
from pano_analytics.settings import Settings
from pano_analytics.store import catalog, home, runs
from pano_analytics.store.locks import is_written, writing
from pano_analytics.store.storage import Storage


def test_a_library_has_one_writer_at_a_time(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "library")
    with writing(storage):
        assert is_written(storage)
        with pytest.raises(LibraryBusy), writing(Storage(storage.root)):
            pass
    assert not is_written(storage)


def test_a_stamp_differs_after_each_replacement_even_by_the_same_bytes(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert storage.stamp("page") is None
    storage.replace("page", b"same")
    before = storage.stamp("page")
    assert before == storage.stamp("page")
    storage.replace("page", b"same")
    assert storage.stamp("page") != before


def test_a_shared_file_outlives_the_name_it_was_shared_from(tmp_path: Path) -> None:
    one, other = Storage(tmp_path / "one"), Storage(tmp_path / "other")
    one.replace("journal/a", b"fact")
    other.share("journal/a", one)
    assert (other.root / "journal/a").stat().st_ino == (one.root / "journal/a").stat().st_ino
    one.remove("journal/a")
    assert other.read("journal/a") == b"fact"
    one.take("journal/a", other, "journal/a")
    assert (one.read("journal/a"), other.exists("journal/a")) == (b"fact", False)


@pytest.mark.parametrize("name", [runs.NAME, runs.CULL])
def test_every_run_is_noted_in_the_same_way(tmp_path: Path, name: str) -> None:
    storage = Storage(tmp_path)
    with pytest.raises(UploadTreeError), runs.noted(storage, name, lambda: {"files": 2}):
        raise UploadTreeError("no tree")
    found = runs.read(storage, name)
    assert found is not None
    assert (found["exit"], found["error"]) == (UploadTreeError.exit_code, "no tree")
    assert found["files"] == 2
    with runs.noted(storage, name, dict):
        pass
    assert (runs.read(storage, name) or {})["exit"] == 0


def test_an_upload_root_that_is_not_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    found = home.places(Settings(uploads=tmp_path / "no", library=tmp_path / "library"))
    with pytest.raises(UploadTreeError, match="mounted\\? Create it"):
        found.require_uploads("Create it.")


def test_the_name_of_the_manifest_is_said_alike_where_arrow_is_not_loaded() -> None:
    assert home.MANIFEST == catalog.MANIFEST
