"""Check: each kind of disagreement is found at its depth, and nothing else is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from lived_in import MIDNIGHT, NOON, THREADS, at, fresh, lay, live, picture, renew, run
from shared_files import snapshot_path

from pano_analytics.cli import pano
from pano_analytics.cli.check import DEPTHS as DEPTHS_OF_THE_COMMAND
from pano_analytics.cli.terminal import shown
from pano_analytics.errors import AttentionNeeded, LibraryError, QueryError, UploadTreeError
from pano_analytics.library import Library
from pano_analytics.receive import records
from pano_analytics.settings import Settings
from pano_analytics.store.catalog import CameraDay, Catalog, unlisted
from pano_analytics.store.journal import PLAN, Journal
from pano_analytics.store.locks import LOCK
from pano_analytics.store.removal import mark_at_work
from pano_analytics.upkeep.check import COLUMNS, DEPTHS, WHAT, check

NOON_DAY = CameraDay("porch", NOON.date())


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return the settings of a library that has lived; only to be copied."""
    settings = fresh(tmp_path_factory.mktemp("lived"))
    live(settings)
    return settings


@pytest.fixture
def settings(lived: Settings, tmp_path: Path) -> Settings:
    for name, folder in (("uploads", lived.uploads), ("library", lived.library)):
        shutil.copytree(str(folder), tmp_path / name)
    return lived.model_copy(
        update={"uploads": tmp_path / "uploads", "library": tmp_path / "library"}
    )


def found(library: Library, depth: str, **scope: object) -> pd.DataFrame:
    """Return what is found but for the uploads that were replaced, which are told for ever."""
    told = check(library, depth, make_executor=THREADS, **scope)  # type: ignore[arg-type]
    return told[told["what"] != "overwritten"]


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_library_that_has_lived_agrees_with_itself(library: Library, depth: str) -> None:
    """Cut, lost and doubtful uploads are no disagreement: the rows say what they are."""
    assert found(library, depth).to_dict("records") == []


def test_what_was_whole_and_holds_other_bytes_is_told(library: Library) -> None:
    """Overwritten by another server, which a catalog that agrees with the tree does not show."""
    told = check(library, make_executor=THREADS)
    assert set(told["what"]) == {"overwritten"}
    paths = [at(30), at(40), at(50), snapshot_path("garden", MIDNIGHT)]
    assert sorted(told["path"]) == sorted(paths)
    now = library.media(columns=["path", "sha256"]).set_index("path")["sha256"]
    for row in told.itertuples():
        history = list(library.history(row.media_id)["sha256"].dropna())
        assert (row.expected, row.found) == (history[0], history[-1])
        assert row.found == now[row.path]
        assert row.expected != row.found


def test_a_library_made_anew_agrees_with_itself(settings: Settings, library: Library) -> None:
    """What rebuild makes has nothing to be found at any depth."""
    renew(settings)
    assert found(library, "hash").to_dict("records") == []


def _files(library: Library) -> Path:
    assert library.uploads is not None
    return library.uploads


def _change(library: Library, alter: Callable[[pa.Table], pa.Table], table: str = "media") -> None:
    """Write the rows of one camera-day otherwise, as no ingest would."""
    change = Catalog(library.storage).begin()
    rows = change.read(NOON_DAY, table)
    assert rows is not None
    change.write(NOON_DAY, alter(rows), table)
    change.commit()


def _part(library: Library, table: str = "media") -> Path:
    return library.storage.path(library.catalog.manifest().table(table)[NOON_DAY].path)


def _pack(library: Library) -> Path:
    thumb = library.media().set_index("path").loc[at(1), "thumb"]
    return library.storage.path(f"thumbs/{thumb.rpartition('/')[0]}")


def _part_missing(library: Library) -> None:
    _part(library).unlink()


def _part_unreadable(library: Library) -> None:
    _part(library, "frames").write_bytes(b"torn")


def _part_rows(library: Library) -> None:
    catalog = library.catalog
    manifest = catalog.manifest()
    part = replace(manifest.media[NOON_DAY], rows=99)
    catalog.adopt(manifest.changed({"media": {NOON_DAY: part}}))


def _row_twice(library: Library) -> None:
    _change(
        library, lambda rows: pa.concat_tables([rows, rows.filter(pc.equal(rows["path"], at(1)))])
    )


def _file_missing(library: Library) -> None:
    (_files(library) / at(1)).unlink()


def _file_is_a_folder(library: Library) -> None:
    (_files(library) / at(1)).unlink()
    (_files(library) / at(1)).mkdir()
    os.utime(_files(library) / at(1), (0, 0))


def _file_back(library: Library) -> None:
    lay(picture(100), _files(library) / at(100))


def _not_in_catalog(library: Library) -> None:
    lay(picture(300), _files(library) / at(300))


def _thumb_missing(library: Library) -> None:
    _pack(library).write_bytes(_pack(library).read_bytes()[:10])


def _pack_missing(library: Library) -> None:
    _pack(library).unlink()


def _frame_missing(library: Library) -> None:
    one = library.media().set_index("path").loc[at(1), "media_id"]
    _change(library, lambda rows: rows.filter(pc.not_equal(rows["media_id"], one)), "frames")


def _frame_orphan(library: Library) -> None:
    one = library.media().set_index("path").loc[at(1), "media_id"]
    _change(library, lambda rows: _renamed(rows, one), "frames")


def _renamed(rows: pa.Table, media_id: str) -> pa.Table:
    again = [{**r, "media_id": "0" * 16} for r in rows.to_pylist() if r["media_id"] == media_id]
    return pa.concat_tables([rows, pa.Table.from_pylist(again, schema=rows.schema)])


def _journal_lacks(library: Library) -> None:
    for path in (library.folder / "journal").glob("seen-*"):
        path.unlink()


def _journal_lacks_gone(library: Library) -> None:
    for path in (library.folder / "journal").glob("gone-*"):
        path.unlink()


def _size_differs(library: Library) -> None:
    path = _files(library) / at(1)
    was = path.stat()
    path.write_bytes(picture(1) + b"x")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def _mtime_differs(library: Library) -> None:
    lay(picture(1), _files(library) / at(1), NOON + timedelta(hours=1))


def _state_differs(library: Library) -> None:
    path = _files(library) / at(1)
    was, data = path.stat(), picture(1)
    path.write_bytes(data[: len(data) // 2].ljust(len(data), b"\0"))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def _hash_differs(library: Library) -> None:
    path = _files(library) / at(1)
    was, data = path.stat(), bytearray(picture(1))
    data[-300] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def _thumb_unreadable(library: Library) -> None:
    data = bytearray(_pack(library).read_bytes())
    data[:] = b"\0" * len(data)
    _pack(library).write_bytes(data)


def _journal_hash_differs(library: Library) -> None:
    journal = Journal(library.storage)
    facts = journal.seen()
    last = facts.filter(pc.is_valid(facts["sha256"])).sort_by("noted")
    one = library.media().set_index("path").loc[at(1), "media_id"]
    own = last.filter(pc.equal(last["media_id"], one)).to_pylist()[-1]
    later = own["noted"] + timedelta(seconds=1)
    journal.note_seen(
        pa.Table.from_pylist([{**own, "sha256": "0" * 64, "noted": later}], schema=facts.schema)
    )


def _cull_unfinished(library: Library) -> None:
    Journal(library.storage).note_plan(PLAN.empty_table())


def _run_unfinished(library: Library) -> None:
    mark_at_work(library.storage)
    part = library.catalog.manifest().media[NOON_DAY].path
    assert library.storage.move(part, unlisted(part))


def _overwrite_tried(library: Library) -> None:
    record = records.Record(library.storage)
    record.note_attempt("porch", "replace", at(1), at(3), "192.0.2.7")
    record.note_attempt("porch", "remove", at(1), None, "192.0.2.7")
    record.write()


def _decisions_damaged(library: Library) -> None:
    library.decide(library.events(), "pinned")
    [file] = (library.folder / "decisions").iterdir()
    file.write_bytes(file.read_bytes().replace(b"pinned", b"pinnex"))


PLANTED: list[tuple[Callable[[Library], None], str]] = [
    (_part_missing, "part_missing"),
    (_part_unreadable, "part_unreadable"),
    (_part_rows, "part_rows"),
    (_row_twice, "row_twice"),
    (_file_missing, "file_missing"),
    (_file_is_a_folder, "file_missing"),
    (_file_back, "file_back"),
    (_not_in_catalog, "not_in_catalog"),
    (_thumb_missing, "thumb_missing"),
    (_pack_missing, "thumb_missing"),
    (_frame_missing, "frame_missing"),
    (_frame_orphan, "frame_orphan"),
    (_journal_lacks, "journal_lacks"),
    (_journal_lacks_gone, "journal_lacks_gone"),
    (_decisions_damaged, "decisions_damaged"),
    (_cull_unfinished, "cull_unfinished"),
    (_run_unfinished, "run_unfinished"),
    (_overwrite_tried, "overwrite_tried"),
    (_size_differs, "size_differs"),
    (_mtime_differs, "mtime_differs"),
    (_state_differs, "state_differs"),
    (_thumb_unreadable, "thumb_unreadable"),
    (_hash_differs, "hash_differs"),
    (_journal_hash_differs, "journal_hash_differs"),
]


@pytest.mark.parametrize(
    ("plant", "what"), PLANTED, ids=[plant.__name__[1:] for plant, _ in PLANTED]
)
def test_what_disagrees_is_found_at_its_depth(
    library: Library, plant: Callable[[Library], None], what: str
) -> None:
    """A planted disagreement shows at its own depth and not at a cheaper one, with what to do."""
    plant(library)
    depth = WHAT[what][0]
    cheaper = DEPTHS[: DEPTHS.index(depth)]
    assert all(what not in set(found(library, one).what) for one in cheaper)
    told = found(library, depth)
    assert what in set(told.what)
    assert tuple(told.columns) == COLUMNS
    assert told.expected.notna().all()
    assert told.advice.str.contains("pano|disk").all()


def test_every_word_of_the_vocabulary_is_tried() -> None:
    """Some have a test of their own: what root alone reads, the replaced, tables, the journal."""
    own = {"file_unreadable", "overwritten", "row_orphan", "journal_torn"}
    assert {what for _, what in PLANTED} | own == set(WHAT)


def test_nothing_else_is_said_about_a_missing_file(library: Library) -> None:
    """One cause is one finding, with the path, the id and the state it should have."""
    one = library.media().set_index("path").loc[at(1)]
    _file_missing(library)
    [told] = found(library, "hash").to_dict("records")
    assert (told["what"], told["path"], told["media_id"]) == (
        "file_missing",
        at(1),
        one["media_id"],
    )
    assert (told["camera"], told["date"]) == ("porch", NOON.date())
    assert (told["expected"], told["found"]) == ("complete", "no file")


def test_a_missing_part_is_told_once(library: Library) -> None:
    """The uploads of a part that is gone are not listed one by one as well."""
    _part_missing(library)
    assert found(library, "presence").what.tolist() == ["part_missing"]


def test_a_killed_run_is_reported_until_the_next_ingest(
    settings: Settings, library: Library
) -> None:
    """What it left is counted, while nobody writes; the ingest puts all in its place."""
    _run_unfinished(library)
    library.storage.put("unlisted/part-00000099-abcdef-0.parquet", lambda file: file.write(b""))
    with library.storage.lock(LOCK):
        assert found(library, "presence").empty
    [told] = found(library, "presence").to_dict("records")
    assert told["what"] == "run_unfinished"
    assert told["found"] == (
        "1 current part outside the tree, 0 replaced parts in it, 1 file that nothing refers to"
    )
    run(settings)
    assert found(library, "presence").empty
    assert not library.storage.exists("unlisted/part-00000099-abcdef-0.parquet")
    assert _part(library).exists()


def test_nothing_is_written(library: Library) -> None:
    """A check leaves tree and library as they were, to the nanosecond."""
    _not_in_catalog(library)
    before = _stamps(library)
    found(library, "hash")
    assert _stamps(library) == before


def _stamps(library: Library) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for root in (library.folder, _files(library))
        for path in root.rglob("*")
    }


def test_what_came_since_the_last_run_is_its_own_affair(library: Library) -> None:
    """An upload younger than the last run's beginning is the next run's, not a disagreement."""
    path = _files(library) / at(300)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(300))
    (_files(library) / at(1)).write_bytes(b"being written anew")
    assert found(library, "hash").to_dict("records") == []


def test_only_what_is_asked_for_is_checked(library: Library) -> None:
    """A camera, or a span of time, leaves the rest alone."""
    _file_missing(library)
    _not_in_catalog(library)
    lay(picture(400), _files(library) / snapshot_path("garden", NOON + timedelta(days=1)))
    assert set(found(library, "presence", camera="garden").what) == {"not_in_catalog"}
    assert set(found(library, "presence", camera="porch").camera) == {"porch"}
    later = found(library, "presence", start=NOON.date() + timedelta(days=1), end="2026-03-05")
    assert later[["what", "camera"]].to_numpy().tolist() == [["not_in_catalog", "garden"]]


@pytest.mark.parametrize(
    ("depth", "scope"), [("deep", {}), ("size", {"camera": "cellar"}), ("size", {"start": "noon"})]
)
def test_a_question_not_understood_is_told(
    library: Library, depth: str, scope: dict[str, str]
) -> None:
    with pytest.raises(QueryError, match="expected"):
        found(library, depth, **scope)


def test_a_missing_tree_or_manifest_is_an_error_not_a_list(library: Library) -> None:
    """A disk that is not mounted is not a million missing files."""
    root = _files(library)
    root.rename(root.with_name("elsewhere"))
    root.mkdir()
    with pytest.raises(UploadTreeError, match="mounted"):
        found(library, "presence")
    (library.folder / "manifest.json").write_bytes(b"torn")
    with pytest.raises(LibraryError, match="pano rebuild"):
        found(Library(library.folder, library.settings), "presence")


def test_the_command_lists_and_exits_8(tmp_path: Path) -> None:
    """Found: a table or JSON lines, and exit code 8; nothing found: one line and 0."""
    settings = fresh(tmp_path)
    lay(picture(1), tmp_path / "uploads" / at(1))
    lay(picture(2), tmp_path / "uploads" / at(2))
    run(settings)
    library = Library.of(settings)
    where = ["--uploads", str(settings.uploads), "--library", str(settings.library)]
    clean = CliRunner().invoke(pano, ["check", *where])
    assert (clean.exit_code, clean.stdout) == (0, "no differences found\n")
    _file_missing(library)
    listed = CliRunner().invoke(pano, ["check", *where])
    assert f"  {at(1)}: expected complete, found no file" in listed.stdout
    assert "pano ingest --full" in listed.stdout
    as_json = CliRunner().invoke(pano, ["check", *where, "--json"])
    assert isinstance(as_json.exception, AttentionNeeded)
    assert as_json.exception.exit_code == 8
    [told] = map(json.loads, as_json.stdout.splitlines())
    assert (told["what"], told["date"]) == ("file_missing", "2026-03-03")
    assert list(told) == list(COLUMNS)


def test_the_command_knows_every_depth() -> None:
    """The choices of the command, which imports nothing heavy, are those of the room."""
    assert DEPTHS_OF_THE_COMMAND == DEPTHS


def test_names_cannot_move_the_cursor() -> None:
    """A name with escape codes is shown as text."""
    assert shown("a\x1b[2Jb\nc") == "a\\x1b[2Jb\\nc"
