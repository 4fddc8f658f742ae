"""Channels of a recorder: each file says its own, and no clip holds another channel's pictures."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from clocks import seen_as_they_arrived
from lived_in import film, picture, run
from shared_files import lay

from pano_analytics import layouts, status
from pano_analytics.errors import SettingsError
from pano_analytics.ingest import memory
from pano_analytics.ingest.link import Clip, SnapshotTime, holders
from pano_analytics.library import Library
from pano_analytics.settings import Settings, check
from pano_analytics.store.catalog import Catalog
from pano_analytics.store.storage import Storage
from pano_analytics.upkeep import culling

NOON = datetime(2026, 3, 3, 12)
PICTURE = picture(1, (64, 36))


def settings_in(folder: Path, **said: Any) -> Settings:
    (folder / "uploads").mkdir(exist_ok=True)
    checked = check({"zone": "UTC", **said})
    return checked.model_copy(update={"uploads": folder / "uploads", "library": folder / "library"})


@pytest.mark.parametrize(
    ("path", "channel"),
    [
        ("rec/2026-03-03/001/jpg/12/00/05[M][0@0][0].jpg", 1),
        ("rec/2026-03-03/002/jpg/12/00/05[M][0@0][0].jpg", 2),
        ("rec/2026-03-03/016/dav/12/12.00.00-12.00.30[M][0@0][0].dav", 16),
        ("rec/002/2026-03-03/dav/12/12.00.00-12.00.30[M][0@0][0].dav", 2),
        ("rec/2026-03-03/pic_002/12/00/05[M][0@0][1].jpg", 2),
        ("rec/2026-03-03/002/jpg/12/30.20[R][0@0][0].jpg", 2),
        ("rec/Snapshot/2026-03-03_002_12.00.05-12.00.05[R][0@0][0].jpg", 2),
        ("rec/002_20260303120005_[M][0@0][1].jpg", 2),
        ("cam/2026-03-03/12hour/mp4/12.00.00-12.00.30[M][0@0][0].mp4", 1),
        ("cam/2026-03-03/12hour/jpg/12.00.05[M][1@0][0].jpg", 2),
        ("cam/2026-03-03/12hour/jpg/12.00.05[M].jpg", None),
        ("cam/2026-03-03/12hour/jpg/12.00.05[M][2129@0][0].jpg", None),
        ("/mnt/dvr/2026-03-03/0/dav/12/1/0/2129/12.00.00-12.00.30[R][0@0][0].dav", 1),
        ("/mnt/dvr/2026-03-03/1/dav/12/1/0/2129/12.00.00-12.00.30[R][0@0][0].dav", 2),
        ("192.168.0.64_02_20260303120005422_MOTION_DETECTION.jpg", 2),
        ("20260303120005422_PLATE_VEHICLE_DETECTION.jpg", None),
        ("nvr/2026/03/03/NVR_01_20260303120005.jpg", 1),
        ("nvr/2026/03/03/NVR_00_20260303120005.mp4", 0),
        ("10_20260303120000_20260303121000.mp4", 10),
        ("nvr/Channel 3/2026-03-03/12-00-05.jpg", 3),
        ("nvr/NVR_ch04_main_20260303120005.jpg", 4),
        ("FI9805E_00626E55D0A1/snap/MDAlarm_20260303-120005.jpg", None),
        ("2026-03/03/12/front/00.05.mp4", None),
        ("porch/2026-03-03/12-00-05.jpg", None),
    ],
)
def test_layouts_that_know_channels_read_them(path: str, channel: int | None) -> None:
    """A folder's number, the number in the name, or the one in brackets, counted from 1."""
    assert layouts.read(path).channel == channel


def test_a_template_can_name_the_channel() -> None:
    """The field {channel} is a number."""
    reading = layouts.Template.parse("{channel}-{start:%Y%m%d%H%M%S}.jpg").read(
        "x/07-20260303120005.jpg"
    )
    assert reading is not None
    assert reading.channel == 7


@pytest.mark.parametrize(
    ("snapshot", "clip"),
    [
        ("{d:%Y-%m-%d}/00{n}/jpg/{t:%H}/{t:%M}/{t:%S}[M][0@0][0].jpg",
         "{d:%Y-%m-%d}/00{n}/dav/{s:%H}/{s:%H.%M.%S}-{e:%H.%M.%S}[M][0@0][0].mp4"),
        ("{d:%Y-%m-%d}/{t:%H}hour/jpg/{t:%H.%M.%S}[M][{n}@0][0].jpg",
         "{d:%Y-%m-%d}/{s:%H}hour/mp4/{s:%H.%M.%S}-{e:%H.%M.%S}[M][{n}@0][0].mp4"),
        ("10.0.0.9_0{n}_{t:%Y%m%d%H%M%S}000_MOTION_DETECTION.jpg",
         "RecS0{n}_ch{n}/0{n}_{s:%Y%m%d%H%M%S}_{e:%Y%m%d%H%M%S}.mp4"),
    ],
)  # fmt: skip
def test_snapshots_get_the_clip_of_their_own_channel(
    tmp_path: Path, snapshot: str, clip: str
) -> None:
    """Two channels record at once; channel 3 has no clip, and its picture none either."""
    settings = settings_in(tmp_path)
    start, end = NOON, NOON + timedelta(seconds=30)
    for n in (1, 2, 3):
        taken = NOON + timedelta(seconds=4 + n)
        said = {"d": NOON, "s": start, "e": end, "t": taken, "n": n}
        lay(PICTURE, tmp_path / "uploads/rec" / snapshot.format(**said))
        if n < 3:
            lay(film(1), tmp_path / "uploads/rec" / clip.format(**said))
    run(settings)
    media = Library.of(settings).media()
    clips = media[media["kind"] == "clip"].set_index("media_id")["channel"]
    taken_by = media[media["kind"] == "snapshot"].set_index("channel")["clip_id"]
    assert len(clips) == 2
    numbers = sorted(taken_by.index)
    assert [clips[taken_by[number]] for number in numbers[:2]] == numbers[:2]
    assert taken_by[[numbers[2]]].isna().all()


def test_an_unknown_channel_pairs_where_there_is_but_one() -> None:
    """A camera whose clips have no number keeps its pairs; a recorder's are left apart."""
    clip = Clip(0, 100, "a")
    assert holders([SnapshotTime(10, 1)], [clip]) == ["a"]
    assert holders([SnapshotTime(10, 1), SnapshotTime(20, 2), SnapshotTime(30)], [clip]) == [
        None,
        None,
        "a",
    ]
    other = Clip(0, 100, "b", 2)
    assert holders([SnapshotTime(10, 1), SnapshotTime(20, 2)], [clip, other]) == [None, "b"]


def test_clips_past_midnight_hold_pictures_of_their_own_channel_only(tmp_path: Path) -> None:
    """What runs over from the day before is told apart as well."""
    settings = settings_in(tmp_path)
    root = tmp_path / "uploads/rec"
    lay(film(1), root / "2026-03-03/001/dav/23/23.59.50-00.00.20[M][0@0][0].mp4")
    for n in (1, 2):
        lay(PICTURE, root / f"2026-03-04/00{n}/jpg/00/00/05[M][0@0][0].jpg")
    run(settings)
    media = Library.of(settings).media().set_index("channel")
    taken = media[media["kind"] == "snapshot"]["clip_id"]
    assert taken[1] is not None
    assert taken[[2]].isna().all()


def test_an_older_library_gets_its_channels_at_the_next_ingest(tmp_path: Path) -> None:
    """Rows without the column open; the next run fills it and pairs anew, old days included."""
    settings = settings_in(tmp_path)
    root = tmp_path / "uploads/rec"
    for n in (1, 2):
        lay(PICTURE, root / f"2026-03-03/00{n}/jpg/12/00/05[M][0@0][0].jpg")
    lay(film(1), root / "2026-03-03/001/dav/12/12.00.00-12.00.30[M][0@0][0].mp4")
    run(settings)
    assert settings.library is not None
    storage = Storage(settings.library)
    change = Catalog(storage).begin()
    for day in change.days():
        rows = change.read(day)
        assert rows is not None
        clip = rows["media_id"][rows["kind"].to_pylist().index("clip")].as_py()
        told = {"channel": pa.nulls(3, pa.int32()), "clip_id": pa.array([clip] * 3)}
        for name, column in told.items():
            rows = rows.set_column(
                rows.schema.get_field_index(name), rows.schema.field(name), column
            )
        change.write(day, rows)
    change.commit()
    known = memory.load(storage)
    known.reading = 0
    for path, seen in known.units.items():
        known.units[path] = replace(seen, fingerprint="of an older pano")
    memory.save(storage, known)
    assert Library.of(settings).media()["channel"].isna().all()

    run(settings)
    media = Library.of(settings).media()
    assert sorted(media["channel"]) == [1, 1, 2]
    pairs = media[media["kind"] == "snapshot"].set_index("channel")["clip_id"]
    assert pairs.notna().to_dict() == {1: True, 2: False}


# --- one account, several cameras ---------------------------------------------------------


def lay_recorder(root: Path, days: int = 1) -> None:
    for n in (1, 2):
        for day in range(days):
            at = datetime.now() - timedelta(days=day, hours=1)
            path = f"{at:%Y-%m-%d}/00{n}/jpg/{at:%H}/{at:%M}/{at:%S}[M][0@0][0].jpg"
            lay(PICTURE, root / "uploads/rec" / path, at)


def test_tables_with_channels_split_an_account(tmp_path: Path) -> None:
    """Silence, days to keep and pages are those of each table; other channels stay the folder's."""
    tables = [
        {"name": "yard", "folder": "rec", "channel": 1, "keep_days": "forever"},
        {"name": "gate", "folder": "rec", "channel": 2, "silent_after_hours": 0.01},
    ]
    settings = settings_in(tmp_path, keep_days=3, silent_after_hours=1e6, cameras=tables)
    lay_recorder(tmp_path, days=6)
    at = datetime.now()
    lay(PICTURE, tmp_path / f"uploads/rec/{at:%Y-%m-%d}/003/jpg/{at:%H}/{at:%M}/01[M][0@0][0].jpg")
    run(settings)
    library = Library.of(settings)
    assert library.media().groupby("camera").size().to_dict() == {"gate": 6, "rec": 1, "yard": 6}
    told = {one["camera"]: one["is_silent"] for one in status.collect(settings)["cameras"]}
    assert told == {"yard": False, "gate": True, "rec": False}
    seen_as_they_arrived(settings)
    culling.adopt(settings)
    assert {one.camera for one in culling.plan(settings).due} == {"gate"}


def test_two_tables_of_one_channel_or_two_layouts_are_refused() -> None:
    """Nobody could say whose the uploads are, or how they are read."""
    for one, other in (
        ({"channel": 1}, {"channel": 1}),
        ({}, {}),
        ({"channel": 1}, {"channel": 2, "layout": "reolink"}),
    ):
        tables = [{"name": "a", "folder": "rec", **one}, {"name": "b", "folder": "rec", **other}]
        with pytest.raises(SettingsError, match=r"for each camera|the same layout"):
            check({"cameras": tables})


def test_a_template_that_names_the_camera_splits_its_account(tmp_path: Path) -> None:
    """Each name is a camera of its own, with the rules of the table, or of its own table."""
    layout = "{camera}/{date:%Y%m%d}/{start:%H%M%S}.jpg"
    tables = [
        {"name": "rec", "layout": layout, "keep_days": "forever", "description": "the recorder"},
        {"name": "South", "keep_days": 3},
    ]
    settings = settings_in(tmp_path, keep_days=3, silent_after_hours=1e6, cameras=tables)
    for camera in ("north", "south"):
        for day in (0, 9):
            at = datetime.now() - timedelta(days=day, hours=1)
            lay(PICTURE, tmp_path / f"uploads/rec/{camera}/{at:%Y%m%d}/{at:%H%M%S}.jpg", at)
    run(settings)
    library = Library.of(settings)
    assert library.media().groupby("camera").size().to_dict() == {"South": 2, "north": 2}
    assert sorted(library.camera_names()) == ["South", "north"]
    cameras = library.cameras().set_index("camera")
    assert cameras.loc["north", "description"] == "the recorder"
    assert not cameras["is_silent"].any()
    assert status.collect(settings)["is_healthy"]
    seen_as_they_arrived(settings)
    culling.adopt(settings)
    assert {one.camera for one in culling.plan(settings).due} == {"South"}
