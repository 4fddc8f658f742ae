"""The catalog: one generation at a time, whatever is killed or read meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from datetime import date
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from older import with_one_manifest

from pano_analytics.errors import LibraryError
from pano_analytics.library.queries import Queries
from pano_analytics.model.tables import schema
from pano_analytics.model.upload import decode_path, encode_path, media_id
from pano_analytics.store import catalog as room
from pano_analytics.store.catalog import CameraDay, Catalog, day_of_part, unlisted
from pano_analytics.store.storage import Storage


def rows(count: int, mark: str = "x", start_us: int = 0) -> pa.Table:
    """Return media rows that carry a mark."""
    common = {"kind": "clip", "state": "complete", "trigger_raw": mark}
    return pa.Table.from_pylist(
        [{"media_id": f"{n:016x}", "start": start_us + n, **common} for n in range(count)],
        schema=schema("media"),
    )


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(Storage(tmp_path))


def test_a_change_over_several_days_is_one(catalog: Catalog) -> None:
    """Two days written together become visible together, under one new generation."""
    change = catalog.begin()
    for number in (1, 2):
        change.write(CameraDay("a", date(2026, 1, number)), rows(number))
    assert catalog.manifest().generation == 0
    change.commit()
    manifest = catalog.manifest()
    assert manifest.generation == 1
    assert sorted(part.rows for part in manifest.media.values()) == [1, 2]


def test_another_process_sees_the_new_manifest(catalog: Catalog) -> None:
    """A reader that kept the manifest reads it anew when it has changed."""
    reader = Catalog(catalog.storage)
    assert reader.manifest().generation == 0
    change = catalog.begin()
    change.write(CameraDay("a", date(2026, 1, 1)), rows(1))
    change.commit()
    assert reader.manifest().generation == 1


def test_superseded_parts_stay_for_readers_and_go_later(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old part outlives its successor by the grace period, and no longer."""
    day = CameraDay("a", date(2026, 1, 1))
    for mark in "xy":
        change = catalog.begin()
        change.write(day, rows(1, mark))
        change.commit()
    old = catalog.manifest().retired[0][0]
    assert catalog.where(old) == unlisted(old)
    assert catalog.storage.exists(catalog.where(old))
    monkeypatch.setattr(room, "GRACE_S", -1.0)
    change = catalog.begin()
    change.write(day, rows(1, "z"))
    change.commit()
    assert not catalog.storage.exists(catalog.where(old))


def test_leftovers_of_a_killed_writer_are_swept(catalog: Catalog) -> None:
    """Files that no manifest names go at the next start; those that it names stay."""
    day = CameraDay("a", date(2026, 1, 1))
    change = catalog.begin()
    change.write(day, rows(1))
    change.commit()
    kept = catalog.manifest().media[day].path
    catalog.storage.put("parts/media/camera=a/date=2026-01-02/part-x.parquet", lambda f: None)
    catalog.storage.put("parts/media/camera=a/date=2026-01-01/part-y.pano-tmp", lambda f: None)
    assert len(catalog.sweep()) == 2
    assert catalog.storage.exists(kept)
    assert list(catalog.storage.files("parts")) == [kept]


def test_readers_see_one_generation_and_no_mixture(catalog: Catalog) -> None:
    """While days are rewritten, each question sees all days of one writing."""
    days = [CameraDay("a", date(2026, 1, number)) for number in range(1, 9)]

    def write(mark: str) -> None:
        change = catalog.begin()
        for day in days:
            change.write(day, rows(3, mark))
        change.commit()

    write("0")
    done = threading.Event()
    seen: list[tuple[int, int]] = []

    def read() -> None:
        reader = Catalog(catalog.storage)
        queries = Queries(reader, "UTC")
        while not done.is_set():
            frame = queries.sql("SELECT count(DISTINCT trigger_raw) AS m, count(*) AS n FROM media")
            seen.append((int(frame["m"].iloc[0]), int(frame["n"].iloc[0])))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for mark in range(1, 30):
        write(str(mark))
    done.set()
    for reader in readers:
        reader.join()
    assert seen
    assert set(seen) == {(1, 24)}


def test_an_older_part_lacks_columns_and_nothing_breaks(catalog: Catalog) -> None:
    """What a part of an older schema lacks is supplied as null, without opening its footer."""
    change = catalog.begin()
    change.write(CameraDay("a", date(2026, 1, 1)), rows(2))
    change.write(CameraDay("a", date(2026, 1, 2)), rows(1).drop_columns(["culled_at", "thumb"]))
    change.commit()
    manifest = catalog.manifest()
    from dataclasses import replace

    parts = [
        replace(part, schema_version=0 if part.rows == 1 else part.schema_version)
        for part in manifest.media.values()
    ]
    frame = Queries(catalog, "UTC").ask("SELECT * FROM {source}", parts)
    assert len(frame) == 3
    assert frame["thumb"].isna().all()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 99}'])
def test_a_manifest_that_is_none_is_told(catalog: Catalog, damage: bytes) -> None:
    """A manifest that cannot be read is an error that says what to do, not an empty library."""
    catalog.storage.replace(room.MANIFEST, damage)
    with pytest.raises(LibraryError, match="pano"):
        catalog.manifest()


def filled(catalog: Catalog, cameras: Iterable[str], days: Iterable[date]) -> None:
    """Commit two rows for each camera-day, those of later days later."""
    change = catalog.begin()
    for camera in cameras:
        for day in days:
            start_us = (day - date(1970, 1, 1)).days * 86_400_000_000
            change.write(CameraDay(camera, day), rows(2, start_us=start_us))
    change.commit()


MAY = [date(2026, 5, 30), date(2026, 5, 31), date(2026, 6, 1), date(2026, 7, 1)]


def opened(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is read from now on."""
    names: list[str] = []
    read = storage.read

    def noted(name: str) -> bytes:
        names.append(name)
        return read(name)

    monkeypatch.setattr(storage, "read", noted)
    return names


def test_a_question_reads_its_own_month_alone(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cameras, counters and spans stand in the root; a camera-day's parts in its month."""
    filled(catalog, ("a", "b"), MAY)
    storage = Storage(catalog.storage.root)
    names = opened(storage, monkeypatch)
    manifest = Catalog(storage).manifest()
    assert (manifest.cameras(), len(manifest.media)) == (["a", "b"], 8)
    total, own = manifest.total(), manifest.total(["b"])
    assert (total.rows, total.clips, own.rows, own.states) == (16, 16, 8, {"complete": 8})
    first = (MAY[0] - date(1970, 1, 1)).days * 86_400_000_000
    assert own.first_us == first
    assert names == [room.MANIFEST]
    assert manifest.media[CameraDay("a", MAY[2])].rows == 2
    [(day, _)] = manifest.select(cameras=["a"], start_us=own.last_us)
    assert day == CameraDay("a", MAY[3])
    assert [day.date for day, _ in islice(manifest.newest_first(["a"]), 2)] == MAY[:1:-1]
    assert [name.split(".")[:2] for name in names[1:]] == [
        ["manifests/a", "2026-06"],
        ["manifests/a", "2026-07"],
    ]
    assert sorted(manifest.media) == [CameraDay(camera, day) for camera in "ab" for day in MAY]
    assert len(names) == len(set(names)) == 7


def test_a_commit_rewrites_its_own_months_alone(catalog: Catalog) -> None:
    """The files of all other months stay, under the same names; replaced ones wait for readers."""
    filled(catalog, ("a", "b"), MAY)
    before = set(catalog.manifest().files())
    reader = Catalog(catalog.storage).manifest()
    filled(catalog, ["b"], MAY[2:3])
    after = catalog.manifest()
    [old], [new] = before - set(after.files()), set(after.files()) - before
    assert (old[:19], new[:19]) == ("manifests/b.2026-06",) * 2
    assert old in {name for name, _ in after.retired}
    assert reader.media[CameraDay("b", MAY[2])].path != after.media[CameraDay("b", MAY[2])].path
    change = catalog.begin()
    change.write(CameraDay("b", MAY[2]), rows(0))
    change.commit()
    assert new not in catalog.manifest().files()
    assert len(catalog.manifest().files()) == 5
    assert len(catalog.manifest().media) == 7


def test_one_manifest_for_all_is_carried_over_by_the_next_change(catalog: Catalog) -> None:
    """A library of before opens as it is, and is as it was after its first change."""
    filled(catalog, ("a", "b"), MAY)
    filled(catalog, ["a"], MAY[:1])
    before = catalog.manifest()
    parts = dict(before.media)
    with_one_manifest(catalog.storage)
    reader = Catalog(catalog.storage)
    old = reader.manifest()
    assert (dict(old.media), old.cameras(), old.generation) == (parts, ["a", "b"], 2)
    assert (old.total(), old.retired[0]) == (before.total(), before.retired[0])
    assert (old.files(), Queries(reader, "UTC").sql("SELECT * FROM media").shape[0]) == ([], 16)
    filled(catalog, ["c"], MAY[:1])
    now = Catalog(catalog.storage).manifest()
    assert {day: part for day, part in now.media.items() if day.camera != "c"} == parts
    assert len(now.files()) == 7
    assert json.loads(catalog.storage.read(room.MANIFEST))["format"] == 2


def test_a_torn_month_is_told(catalog: Catalog) -> None:
    """Where the file of a month cannot be read, the error names it and says what to do."""
    filled(catalog, ["a"], MAY[:1])
    [name] = catalog.manifest().files()
    for damage in (b"", b"[]", b"{}", b'{"camera": "a", "tables": 3}'):
        catalog.storage.replace(name, damage)
        with pytest.raises(LibraryError, match=rf"{name}.*pano rebuild"):
            dict(Catalog(catalog.storage).manifest().media)


def test_the_longest_name_of_a_camera_has_months(catalog: Catalog) -> None:
    """Names that begin alike and are long have files of their own."""
    names = ["ä" * 40 + end for end in "xy"]
    filled(catalog, names, MAY[:1])
    assert Catalog(catalog.storage).manifest().cameras() == names
    assert len(Catalog(catalog.storage).manifest().media) == 2


@given(st.text(min_size=1, max_size=40).filter(lambda text: "\0" not in text))
def test_any_camera_name_makes_a_folder_and_back(name: str) -> None:
    """Slashes, dots, quotes and signs in a name stay inside one folder's name."""
    from urllib.parse import quote

    try:
        folder = quote(name, safe="")
    except UnicodeEncodeError:
        return
    day = CameraDay(name, date(2026, 1, 1))
    assert day_of_part(f"parts/media/camera={folder}/date=2026-01-01/part-1.parquet") == day
    assert "/" not in folder


@given(st.binary(min_size=1, max_size=60).filter(lambda raw: b"\0" not in raw))
def test_any_bytes_of_a_name_come_back(raw: bytes) -> None:
    """The text of a path means one name and back, whatever its bytes."""
    import os

    text = encode_path(os.fsdecode(raw))
    assert decode_path(text) == raw
    text.encode("utf-8")


def test_an_id_is_of_root_and_path() -> None:
    """The same path below another root is another upload."""
    assert len(media_id("a", "x.jpg")) == 16
    assert media_id("a", "x.jpg") == media_id("a", "x.jpg") != media_id("b", "x.jpg")
