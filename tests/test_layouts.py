"""From a path to what the camera said: real paths, facts of each family, and properties."""

from __future__ import annotations

import csv
import re
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pano_analytics import layouts
from pano_analytics.errors import SettingsError
from pano_analytics.layouts import LAYOUTS, SIDECARS, Template, amcrest, read
from pano_analytics.model.upload import TRIGGERS, Reading

REAL_PATHS = Path(__file__).resolve().parents[2] / "shared" / "listings" / "upload_paths.tsv"


def real_rows() -> list[dict[str, str]]:
    if not REAL_PATHS.exists():
        return []
    with REAL_PATHS.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def iso(moment: datetime | None) -> str:
    if moment is None:
        return ""
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")


def told(reading: Reading) -> tuple[str, str | None, str, str]:
    return reading.kind, reading.layout, iso(reading.start), iso(reading.end)


# Real paths


@pytest.mark.skipif(not REAL_PATHS.exists(), reason="the list of real upload paths is not here")
@pytest.mark.parametrize("row", real_rows(), ids=lambda row: row["path"])
def test_a_real_path_is_read_right(row: dict[str, str]) -> None:
    """Kind, layout, start and end of every real path collected from twelve vendors."""
    reading = read(row["path"])
    assert told(reading) == (row["kind"], row["layout"], row["start"] or "", row["end"] or "")


@pytest.mark.skipif(not REAL_PATHS.exists(), reason="the list of real upload paths is not here")
@pytest.mark.parametrize("row", real_rows(), ids=lambda row: row["path"])
@pytest.mark.parametrize(
    "prefix", ["/srv/ftp/", "//nas//share//", "C:\\cams\\", "D:/cams/", "ftp://user@host:21/x/"]
)
def test_a_prefix_does_a_real_path_no_harm(row: dict[str, str], prefix: str) -> None:
    """Absolute, doubled, Windows and URL prefixes leave kind and times as they are."""
    path = row["path"].partition("://")[2] or row["path"]
    assert told(read(prefix + path))[0::2] == told(read(path))[0::2]
    assert read(prefix + path).end == read(path).end


# Facts: path, layout, kind, trigger, start, end

DAY = "cam/AMC0028V_795UUB/2021-03-06"

AMCREST = [
    (f"{DAY}/001/jpg/10/22/28[M][0@0][0].jpg", "dahua-deep", "motion", "10:22:28", ""),
    (f"{DAY}/001/jpg/10/22/28[R][1@3][2].JPG", "dahua-deep", "scheduled", "10:22:28", ""),
    (f"{DAY}/001/jpg/10/22/28[A][0@0].jpeg", "dahua-deep", "alarm", "10:22:28", ""),
    (f"{DAY}/001/jpg/10/22/28[F].jpg", "dahua-deep", "manual", "10:22:28", ""),
    (f"{DAY}/001/jpg/10/22/28[X][0@0][0].png", "dahua-deep", "other", "10:22:28", ""),
    (
        f"{DAY}/001/dav/10/10.22.28-10.22.55[I][0@0][0].dav",
        "dahua-deep",
        "smart",
        "10:22:28",
        "10:22:55",
    ),
    (
        f"{DAY}/001/dav/10/10.22.28-10.22.55[m][0@0][0].MP4",
        "dahua-deep",
        "motion",
        "10:22:28",
        "10:22:55",
    ),
    (
        f"{DAY}/001/dav/10/10.22.28-10.22.28[M][0@0][0].avi",
        "dahua-deep",
        "motion",
        "10:22:28",
        "10:22:28",
    ),
    (f"{DAY}/10hour/jpg/10.22.28[M][0@0][0].jpg", "amcrest-hour", "motion", "10:22:28", ""),
    (
        f"{DAY}/10hour/mp4/10.22.28-10.22.55[M][0@0][0].mp4",
        "amcrest-hour",
        "motion",
        "10:22:28",
        "10:22:55",
    ),
    (f"{DAY}/001/jpg/10/22.28[R][0@0][0].jpg", "dahua-shallow", "scheduled", "10:22:28", ""),
    (f"{DAY}/pic_001/10/22.28[M][0@0][1].jpg", "dahua-pic001", "motion", "10:22:28", ""),
    (f"{DAY}/pic_001/10/22/28[M][0@0][1].jpg", "dahua-pic001", "motion", "10:22:28", ""),
    (
        "cam/Snapshot/2021-03-06_001_10.22.28-10.22.28[R][0@0][0].jpg",
        "dahua-flat",
        "scheduled",
        "10:22:28",
        "",
    ),
    (
        "cam/2021-03-06_001_10.22.28-10.22.55[M][0@0][0].mkv",
        "dahua-flat",
        "motion",
        "10:22:28",
        "10:22:55",
    ),
    ("001_20210306102228_[A][0@0][0].jpg", "dahua-nnn", "alarm", "10:22:28", ""),
    (
        "2021-03-06/0/dav/10/1/0/526862/10.22.28-10.30.00[R][0@0][0].dav",
        "dahua-nvr",
        "scheduled",
        "10:22:28",
        "10:30:00",
    ),
]


@pytest.mark.parametrize(("path", "layout", "trigger", "start", "end"), AMCREST)
def test_amcrest_and_dahua(path: str, layout: str, trigger: str, start: str, end: str) -> None:
    """Every form of the family, whichever letter, channel, crop and extension it carries."""
    reading = read(path)
    day = "2021-03-06T"
    assert (reading.layout, reading.trigger) == (layout, trigger)
    assert (iso(reading.start), iso(reading.end)) == (day + start, day + end if end else "")
    assert reading.zone == "camera"


OTHERS = [
    (
        "front/2022/11/15/Front Door_01_20221115233531.jpg",
        "reolink",
        None,
        "2022-11-15T23:35:31",
        "",
    ),
    ("front/2022/11/My_Cam 2_00_20221115233531.mp4", "reolink", None, "2022-11-15T23:35:31", ""),
    (
        "RecM01_20210226_235959_000032_6D28808_10E7C35.mp4",
        "reolink-sd",
        "motion",
        "2021-02-26T23:59:59",
        "2021-02-27T00:00:32",
    ),
    (
        "RecS0A_DST20260925_125653_125718_0_55149000000000_927C9.mp4",
        "reolink-sd",
        "vehicle",
        "2026-09-25T12:56:53",
        "2026-09-25T12:57:18",
    ),
    (
        "RecM0A_DST20260925_125653_125718_0_5514C000000000_927C9.mp4",
        "reolink-sd",
        "person",
        "2026-09-25T12:56:53",
        "2026-09-25T12:57:18",
    ),
    (
        "porch_01_20190319093422939_LINE_CROSSING_DETECTION.jpg",
        "hik",
        "smart",
        "2019-03-19T09:34:22.939",
        "",
    ),
    ("192.168.0.64_01_20190319093422_TIMING.jpg", "hik", "scheduled", "2019-03-19T09:34:22", ""),
    (
        "192.168.0.64_01_20211223100318344_VEHICLE_DETECTION.jpg",
        "hik",
        "vehicle",
        "2021-12-23T10:03:18.344",
        "",
    ),
    (
        "192.168.0.64_01_20211223100318344_FACE_SNAP.JPG",
        "hik",
        "person",
        "2021-12-23T10:03:18.344",
        "",
    ),
    (
        "192.168.0.64_01_20211223100318344_IO_ALARM.jpg",
        "hik",
        "alarm",
        "2021-12-23T10:03:18.344",
        "",
    ),
    (
        "20200821153653979_549-A8_VEHICLE_DETECTION.jpg",
        "hik-lpr",
        "plate",
        "2020-08-21T15:36:53.979",
        "",
    ),
    (
        "FI9805E_00626E542693/record/alarm_20151018_093118.mkv",
        "foscam-clip",
        "alarm",
        "2015-10-18T09:31:18",
        "",
    ),
    (
        "FI9805E_00626E542693/record/Schedule_20151018_093118.avi",
        "foscam-clip",
        "scheduled",
        "2015-10-18T09:31:18",
        "",
    ),
    ("snap/MDAlarm_20180807-135928.jpg", "foscam-snap", "motion", "2018-08-07T13:59:28", ""),
    ("snap/hmdalarm_20180807-135928.JPG", "foscam-snap", "person", "2018-08-07T13:59:28", ""),
    ("20160706/13/v_20160706_130501.mp4", "dlink", None, "2016-07-06T13:05:01", ""),
    ("garage_20050107175903.mp4", "vivotek", None, "2005-01-07T17:59:03", ""),
    ("garage_20050107180659_2_pre.jpg", "vivotek-event", "other", "2005-01-07T18:06:59", ""),
    ("2020Y08M24D12H/00M00S.mp4", "yi", None, "2020-08-24T12:00:00", ""),
    ("2020Y08M24D23H/E159M30S120.mp4", "yi", None, "2020-08-24T23:59:30", "2020-08-25T00:01:30"),
    ("2021022423/01M59S_1614186119.mp4", "xiaomi-hour", None, "2021-02-24T23:01:59", ""),
    ("01-20200312013601.mp4", "motion", "motion", "2020-03-12T01:36:01", ""),
    ("01-20200312013601-snapshot.jpg", "motion", "scheduled", "2020-03-12T01:36:01", ""),
    ("Camera1/2017-08-17/19-26-21.mp4", "motioneye", None, "2017-08-17T19:26:21", ""),
    (
        "M/TRIPWIRE/2021-01-09/14/TRIPWIRE_2021-01-09-14-05-06-007_002.jpg",
        "geovision",
        "smart",
        "2021-01-09T14:05:06.007",
        "",
    ),
    ("2026-01-05/13/front/07.21.mp4", "frigate", None, "2026-01-05T13:07:21", ""),
]


@pytest.mark.parametrize(("path", "layout", "trigger", "start", "end"), OTHERS)
def test_the_other_families(
    path: str, layout: str, trigger: str | None, start: str, end: str
) -> None:
    """What each vendor's names say, beyond the real paths."""
    reading = read(path)
    assert (reading.layout, reading.trigger) == (layout, trigger), reading.reason
    assert (iso(reading.start), iso(reading.end)) == (start, end)


@pytest.mark.parametrize(
    ("path", "zone", "fold"),
    [
        ("20160706/13/v_20160706_130501D.mp4", "camera", 0),
        ("20160706/13/v_20160706_130501.mp4", "camera", None),
        ("RecS02_DST20230426_145918_150032_2B14808_32F1DF.mp4", "camera", 0),
        ("RecS02_20230126_145918_150032_2B14808_32F1DF.mp4", "camera", None),
        ("2020Y08M24D12H/E110M10S50.mp4", "utc", None),
        ("2026-01/05/13/front/07.21.mp4", "utc", None),
    ],
)
def test_summer_time_and_utc(path: str, zone: str, fold: int | None) -> None:
    """A mark of summer time settles the repeated hour; its absence settles nothing."""
    reading = read(path)
    assert (reading.zone, reading.fold) == (zone, fold)


@pytest.mark.parametrize(
    ("path", "layout"),
    [
        (f"{DAY}/001/dav/10/10.22.28-10.22.55[M][0@0][0].idx", "sidecar-idx"),
        (f"{DAY}/001/dav/10/10.22.28-10.22.55[M][0@0][0].dav_", "sidecar-inprogress"),
        (f"{DAY}/001/dav/10/10.22.28-10.22.55[M][0@0][0].idx_", "sidecar-inprogress"),
        ("2020Y08M24D12H/E110M10S50.mp4.tmp", "sidecar-inprogress"),
        ("cam/.28.jpg.pano-part", "sidecar-inprogress"),
        ("cam/AMC0028V_795UUB/DVRWorkDirectory", "sidecar-marker"),
        ("Camera1/2017-08-17/19-26-21.mp4.thumb", "sidecar-preview"),
        ("cam/Thumbs.db", "sidecar-system"),
        ("cam/.DS_Store", "sidecar-system"),
    ],
)
def test_what_is_no_upload_is_ignored(path: str, layout: str) -> None:
    """Indexes, marks, unfinished and hidden files, under any layout asked for."""
    for asked in (None, "amcrest"):
        reading = read(path, asked)
        assert (reading.kind, reading.layout) == ("ignore", layout)
        assert reading.reason


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("2021-13-06/001/jpg/10/22/28[M][0@0][0].jpg", "month"),
        ("2021-02-30/001/jpg/10/22/28[M][0@0][0].jpg", "day"),
        ("2021-03-06/001/jpg/25/22/28[M][0@0][0].jpg", "hour"),
        ("2021-03-06/001/dav/10/10.22.28-10.61.00[M][0@0][0].mp4", "minute"),
        ("9999-12-31/001/dav/23/23.59.59-00.00.30[M][0@0][0].mp4", "range"),
        ("001_20261307123325_[M][0@0][1].jpg", "month"),
        ("99.00.00-99.00.01[M].mp4", "hour"),
        ("Front_01_20221315233531.jpg", "month"),
        ("00_20261304135500_20260505001000.mp4", "month"),
        ("192.168.0.64_01_20190319253422939_MOTION_DETECTION.jpg", "hour"),
        ("MDAlarm_20261399-021400.jpg", "month"),
        ("2020Y13M24D12H/E110M10S50.mp4", "month"),
        ("99M00S60.mp4", "minute"),
        ("2026-13/05/13/front/07.21.mp4", "month"),
    ],
)
def test_an_impossible_time_is_unknown_and_named(path: str, wrong: str) -> None:
    """No other family takes it either, and the reason tells what cannot be."""
    reading = read(path)
    assert told(reading) == ("unknown", None, "", "")
    assert wrong in (reading.reason or "")


@pytest.mark.parametrize(
    "path",
    [
        "holiday.jpg", "notes.txt", "", "cam/", "noextension", "20210306.jpg", "IMG_20210306.jpg",
        "2021-03-06/28.jpg", "prefix_MDAlarm_20260925-021400.jpg", "cam/snapshot.jpg",
        "20210306102228.txt", "Front_01_20221115233531.pdf", "a" * 300 + "_20221115233531.jpg",
        "MDAlarm_٢٠١٨٠٨٠٧-135928.jpg",
    ],
)  # fmt: skip
def test_what_no_layout_knows_is_unknown_with_a_reason(path: str) -> None:
    """Never a guess: a name that only resembles is not claimed."""
    reading = read(path)
    assert reading.kind == "unknown"
    assert reading.reason


@pytest.mark.parametrize("name", ["28[M][0@0][0].jpg", "22.28[M].jpg", "10.22.28-10.22.55[M].mp4"])
def test_a_name_torn_from_its_folders_keeps_its_kind(name: str) -> None:
    """What it is stands in the name; when it was does not, and the reason says so."""
    reading = read(name)
    assert reading.kind in ("snapshot", "clip")
    assert reading.start is None
    assert reading.trigger == "motion"
    assert "folders" in (reading.reason or "")


def test_an_end_before_its_start_is_no_end() -> None:
    """Two whole dates in the wrong order: the clock was set back meanwhile."""
    reading = read("00_20260505001000_20260504135500.mp4")
    assert (reading.start, reading.end) == (datetime(2026, 5, 5, 0, 10), None)


def test_a_url_may_be_percent_encoded() -> None:
    """As a browser's address bar gives it; elsewhere a % is a %."""
    name = "2021-03-06/001/jpg/10/22/28%5BM%5D%5B0@0%5D%5B0%5D.jpg"
    assert read(f"http://host/my%20cam/{name}").camera == "my cam"
    assert read(name).kind == "unknown"


@pytest.mark.parametrize(
    ("word", "trigger"),
    [
        ("MOTION_DETECTION", "motion"),
        ("MOTION", "motion"),
        ("MD_WITH_TARGET", "motion"),
        ("PIR_ALARM", "motion"),
        ("TIMING", "scheduled"),
        ("MANUAL_CAPTURE", "manual"),
        ("VEHICLE_DETECTION", "vehicle"),
        ("PEOPLE_DETECTION", "person"),
        ("FACE_DETECTION", "person"),
        ("LINE_CROSSING_DETECTION", "smart"),
        ("INTRUSION_DETECTION", "smart"),
        ("REGION_ENTRANCE", "smart"),
        ("UNATTENDED_BAGGAGE", "smart"),
        ("ALARM_INPUT", "alarm"),
        ("VIDEO_LOSS", "other"),
        ("TAMPERING", "other"),
    ],
)
def test_an_events_word_is_translated(word: str, trigger: str) -> None:
    """And kept as the vendor wrote it."""
    reading = read(f"192.168.0.64_01_20190319093422939_{word}.jpg")
    assert (reading.trigger, reading.trigger_raw) == (trigger, word)


def test_an_end_at_24_is_midnight() -> None:
    """A recorder closes the day's last file so."""
    reading = read("2021-12-31/0/dav/23/23.30.00-24.00.00[R][0@0][0].dav")
    assert reading.end == datetime(2022, 1, 1)


def test_crops_of_one_second_are_told_apart() -> None:
    """The last bracket counts the crops of one shot."""
    whole, crop = (read(f"{DAY}/001/jpg/10/22/28[M][0@0][{n}].jpg") for n in (0, 1))
    assert (whole.sequence, crop.sequence) == ("0", "1")


# Cameras and days


@pytest.mark.parametrize(
    ("path", "camera"),
    [
        ("front/2021-03-06/001/jpg/10/22/28[M].jpg", "front"),
        ("front/3J030FCPAK00194/3J030FCPAK00194/2018-10-10/001/jpg/15/07/47[M].jpg", "front"),
        ("a/front/AMC0200KBE29V0X8B2/2017-10-16/001/dav/21/21.06.24-21.06.47[M].mp4", "front"),
        ("AMC0028V_795UUB/2021-03-06/001/jpg/10/22/28[M].jpg", None),
        ("S:\\2021-03-06\\001\\jpg\\10\\22\\28[M].jpg", None),
        ("/mnt/sd/2021-03-06/001/jpg/10/22/28[M].jpg", None),
        ("/mnt/dvr/2021-03-06/001/jpg/10/22/28[M].jpg", None),
        ("ftp://camhost/2021-03-06/001/jpg/10/22/28[M].jpg", None),
        ("front/2022/11/15/192.168.0.64_01_20221115233531123_TIMING.jpg", "front"),
        ("192.168.0.64_01_20221115233531123_TIMING.jpg", "192.168.0.64"),
        ("any/2022/11/15/Front Door_01_20221115233531.jpg", "Front Door"),
        ("front/FI9800P_00123E45E060/snap/MDAlarm_20180914-111429.jpg", "front"),
        ("FI9800P_00123E45E060/snap/MDAlarm_20180914-111429.jpg", "FI9800P_00123E45E060"),
        ("x/00-18-ae-a8-da-2a/MOTION/2021-01-09/14/MOTION_2021-01-09-14-05-06-123_001.jpg", "x"),
        ("2026-01/05/13/front/07.21.mp4", "front"),
        ("yard/2020Y08M24D12H/E110M10S50.mp4", "yard"),
        ("Camera1/2017-08-17/19-26-21.jpg", "Camera1"),
    ],
)
def test_the_camera_that_a_path_suggests(path: str, camera: str | None) -> None:
    """The folder right above dates and serials, or the name's own word for it."""
    assert read(path).camera == camera


@pytest.mark.parametrize(
    ("path", "camera"),
    [
        ("front/AMC0028V_795UUB/2021-03-06/x.jpg", "front"),
        ("front/x.jpg", "front"),
        ("house/back/AMC0028V_795UUB/2021-03-06/x.jpg", "Back Yard"),
        ("house/backyard/x.jpg", "House"),
        ("house/x.jpg", "House"),
        ("2nd floor/x.jpg", "2nd floor"),
        ("1234/x.jpg", "1234"),
        ("AMC0028V_795UUB/2021-03-06/x.jpg", "root"),
        ("3J030FCPAK00194/3J030FCPAK00194/2018-10-10/x.jpg", "root"),
        ("2021-03-06/001/jpg/10/22/x.jpg", "root"),
        ("20160706/13/x.mp4", "root"),
        ("2022/11/15/x.jpg", "root"),
        ("2020Y08M24D12H/x.mp4", "root"),
        ("Snapshot/x.jpg", "root"),
        ("x.jpg", "root"),
        ("2026-01/05/13/garden/07.21.mp4", "garden"),
        ("2026-01-05/13/garden/07.21.mp4", "garden"),
    ],
)
def test_the_camera_below_a_known_root(path: str, camera: str) -> None:
    """Its configured folder, the longest one; else the first level; else the root itself."""
    folders = {"house": "House", "house/back": "Back Yard", "hou": "no part of a name"}
    backwards = dict(reversed(folders.items()))
    assert layouts.camera_below(path, folders, "root") == camera
    assert layouts.camera_below(path, backwards, "root") == camera


@pytest.mark.parametrize(
    ("folder", "day"),
    [
        ("cam/2021-03-06", date(2021, 3, 6)),
        ("20160706", date(2016, 7, 6)),
        ("cam/2022/11/15", date(2022, 11, 15)),
        ("2026-01/05", date(2026, 1, 5)),
        ("MAC/MOTION/2021-01-09", date(2021, 1, 9)),
        ("cam/2020Y08M24D12H", date(2020, 8, 24)),
        ("2021022423", date(2021, 2, 24)),
        ("cam/2021-02-30", None),
        ("20161306", None),
        ("2022/13/15", None),
        ("2026-01", None),
        ("cam/2022/11", None),
        ("cam/2021-03-06/001", None),
        ("cam/11/15", None),
        ("cam", None),
        ("", None),
        ("٢٠٢١-03-06", None),
    ],
)
def test_day_folders(folder: str, day: date | None) -> None:
    """A folder that holds one calendar day says so by its own name, or does not."""
    assert layouts.day_of_folder(folder.split("/")) == day


# One layout alone


def test_a_layout_or_a_family_can_be_asked_for() -> None:
    """A camera's setting restricts it to one: what else it finds is unknown."""
    deep = f"{DAY}/001/jpg/10/22/28[M][0@0][0].jpg"
    shallow = f"{DAY}/001/jpg/10/22.28[M][0@0][0].jpg"
    assert read(deep, "amcrest").layout == read(deep, "dahua").layout == "dahua-deep"
    assert read(deep, "dahua-deep").layout == "dahua-deep"
    assert read(shallow, "dahua-deep").kind == "unknown"
    assert "dahua-deep" in (read(shallow, "dahua-deep").reason or "")
    assert read(deep, "reolink").kind == "unknown"


def test_a_layout_that_does_not_exist_is_refused() -> None:
    """With the names that do."""
    with pytest.raises(SettingsError, match=r"dahua-deep.*got 'dauha'"):
        read("x.jpg", "dauha")


def test_every_layout_read_is_listed() -> None:
    """Whatever a reading names is described in LAYOUTS or SIDECARS."""
    seen = {layout for _, layout, *_ in (*AMCREST, *OTHERS)}
    assert seen <= set(LAYOUTS)
    assert not set(LAYOUTS) & set(SIDECARS)
    assert all(line and "\n" not in line for line in LAYOUTS.values())


# Properties

PIECES = (
    "2021-03-06 2021 03 06 13 / [M] [0@0] [0] .jpg .mp4 _ - . 20210306102228 Rec S02_DST alarm "
    "9999-12-31 23.59.59 \0 2020Y08M24D12H 10M10S50 E1 \ud800 \udcff ٣ ftp:// %5B \\"
)
PATHS = st.one_of(
    st.text(),
    st.text(alphabet=st.characters(), min_size=1),
    st.text(alphabet="0123456789[]@._-/\\MDYHSTE: jpgmp4dav"),
    st.lists(st.sampled_from(PIECES.split(" "))).map("".join),
)


@given(PATHS)
@example("\0")
@example("\udcff/\ud800[M].jpg")
@example("9999-12-31/001/dav/23/23.59.59-00.00.30[M].mp4")
@example("9999Y12M31D23H/59M59S9999.mp4")
def test_no_text_is_too_strange(path: str) -> None:
    """Any text at all is read to a consistent record, and never raises."""
    reading = read(path)
    assert reading.trigger is None or reading.trigger in TRIGGERS
    assert reading.layout is None or reading.layout in LAYOUTS or reading.layout in SIDECARS
    assert reading.kind != "snapshot" or reading.end is None
    assert reading.end is None or (reading.start is not None and reading.end >= reading.start)
    assert reading.reason or reading.start
    layouts.day_of_folder(path.split("/"))
    assert layouts.camera_below(path, {}, "root")


@given(PATHS)
def test_a_folder_reader_reads_the_same(path: str) -> None:
    """Reading folder by folder is only faster."""
    plain = layouts.plain(path)
    folder, slash, name = plain.rpartition("/")
    if slash and "://" not in plain:
        assert layouts.folder_reader(folder)(name) == read(plain)


# No measure of speed: a pattern that backtracks would take minutes or years.
@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "unit",
    ["0", "_", "-", "[", "a", "/", "0/", "1-", "0_", "00.", "_0", ".jpg", "\\", "AMC0", "20210306/",
     "2021-03-06/", "20210306102228_", "Rec", "alarm", "(", "../", "\ud800"],
)  # fmt: skip
@pytest.mark.parametrize("end", ["", ".jpg", "_20210306102228.jpg", "[M].jpg", "/x_1.mp4"])
def test_no_text_keeps_a_pattern_busy(unit: str, end: str) -> None:
    """Ten thousand repetitions of anything cost about as much as their length."""
    read(unit * 10_000 + end)
    read((unit * 255)[: 255 - len(end)] + end)
    layouts.camera_below(unit * 10_000 + end, {}, "root")


MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2099, 12, 30)).map(
    lambda moment: moment.replace(microsecond=0)
)
LETTERS = st.sampled_from([*amcrest.TRIGGERS.items(), ("Z", "other")])

SNAPSHOT_FORMS = {
    "dahua-deep": "cam/{:%Y-%m-%d/001/jpg/%H/%M/%S}[L][0@0][0].jpg",
    "dahua-shallow": "cam/{:%Y-%m-%d/001/jpg/%H/%M.%S}[L][0@0][0].jpg",
    "dahua-pic001": "cam/{:%Y-%m-%d/pic_001/%H/%M/%S}[L][0@0][1].jpg",
    "dahua-nnn": "cam/001_{:%Y%m%d%H%M%S}_[L][0@0][1].jpg",
    "dahua-flat": "cam/Snapshot/{:%Y-%m-%d_001_%H.%M.%S-%H.%M.%S}[L][0@0][0].jpg",
    "amcrest-hour": "cam/{:%Y-%m-%d/%Hhour/jpg/%H.%M.%S}[L][0@0][0].jpg",
    "reolink": "cam/{:%Y/%m/%d}/Front Door_01_{:%Y%m%d%H%M%S}.jpg",
    "hik": "10.0.0.1_01_{:%Y%m%d%H%M%S}123_MOTION_DETECTION.jpg",
    "foscam-snap": "M_00626E542693/snap/MDAlarm_{:%Y%m%d-%H%M%S}.jpg",
    "foscam-mjpeg": "00626E542693(yard)_0_{:%Y%m%d%H%M%S}_7.jpg",
    "dlink": "{:%Y%m%d/%H}/v_{:%Y%m%d_%H%M%S}.mp4",
    "vivotek": "video_{:%Y%m%d%H%M%S}.jpg",
    "yi": "{:%YY%mM%dD%HH/E1%MM%SS}.mp4",
    "xiaomi-hour": "{:%Y%m%d%H/%MM%SS}_1614186119.mp4",
    "motion": "01-{:%Y%m%d%H%M%S}-00.jpg",
    "motioneye": "Camera1/{:%Y-%m-%d/%H-%M-%S}.jpg",
    "geovision": "M/MOTION/{:%Y-%m-%d/%H}/MOTION_{:%Y-%m-%d-%H-%M-%S}-123_001.jpg",
    "frigate": "{:%Y-%m/%d/%H}/front/{:%M.%S}.mp4",
}


@pytest.mark.parametrize("layout", SNAPSHOT_FORMS)
@given(moment=MOMENTS, letter=LETTERS)
def test_a_written_time_is_read_back(
    layout: str, moment: datetime, letter: tuple[str, str]
) -> None:
    """Each form, formatted from a time, says that time and the trigger of its letter again."""
    path = SNAPSHOT_FORMS[layout].format(moment, moment).replace("[L]", f"[{letter[0]}]")
    reading = read(path)
    assert reading.layout == layout
    assert reading.start is not None
    assert reading.start.replace(microsecond=0) == moment
    if "[L]" in SNAPSHOT_FORMS[layout]:
        assert (reading.trigger, reading.trigger_raw) == (letter[1], letter[0])


CLIP_FORMS = {
    "dahua-deep": "cam/{:%Y-%m-%d/001/dav/%H/%H.%M.%S}-{:%H.%M.%S}[M][0@0][0].dav",
    "amcrest-hour": "cam/{:%Y-%m-%d/%Hhour/mp4/%H.%M.%S}-{:%H.%M.%S}[M][0@0][0].mp4",
    "dahua-nvr": "{:%Y-%m-%d/0/dav/%H/1/0/2129/%H.%M.%S}-{:%H.%M.%S}[R][0@0][0].dav",
    "reolink-sd": "RecS02_{:%Y%m%d_%H%M%S}_{:%H%M%S}_2B14808_32F1DF.mp4",
    "xiaomi-2stamp": "00_{:%Y%m%d%H%M%S}_{:%Y%m%d%H%M%S}.mp4",
}


@pytest.mark.parametrize("layout", CLIP_FORMS)
@given(start=MOMENTS, length_s=st.integers(0, 86_399))
def test_a_clip_is_read_back_across_midnight(layout: str, start: datetime, length_s: int) -> None:
    """Any length below a day, zero included, wherever midnight falls."""
    end = start + timedelta(seconds=length_s)
    reading = read(CLIP_FORMS[layout].format(start, end))
    assert (reading.layout, reading.start, reading.end) == (layout, start, end)


@given(
    path=st.sampled_from([path for path, *_ in (*AMCREST, *OTHERS)]),
    prefix=st.sampled_from(
        ["/", "//", "/home/u/.local/", "E:\\x\\", "http://h/", "./", "../", "a/b/"]
    ),
)
def test_prefixes_do_no_harm(path: str, prefix: str) -> None:
    """Nothing but the camera's guess may depend on what stands before."""
    assert told(read(prefix + path)) == told(read(path))
    assert told(read(prefix + path.replace("/", "//"))) == told(read(path))
    assert told(read(prefix + path.replace("/", "\\"))) == told(read(path))


# Templates


def test_a_template_reads_its_own_scheme() -> None:
    """Camera, time and counter from folders and name, whatever stands before."""
    template = Template.parse("{camera}/{date:%Y%m%d}/{start:%H%M%S}_{seq}.jpg")
    reading = template.read("/srv/x/front yard/20210306/102228_07.JPG")
    assert reading is not None
    assert told(reading) == ("snapshot", "template", "2021-03-06T10:22:28", "")
    assert (reading.camera, reading.sequence) == ("front yard", "07")
    assert template.read("front/20210306/102228.jpg") is None
    assert template.read("20210306/102228_07.jpg") is None
    assert template.text == "{camera}/{date:%Y%m%d}/{start:%H%M%S}_{seq}.jpg"


@pytest.mark.parametrize(
    ("text", "path", "start", "end", "trigger"),
    [
        ("{date:%Y/%m/%d}/{start:%H.%M.%S}-{end:%H.%M.%S}.{ext}",
         "2021/03/06/23.59.50-00.00.05.mkv", "2021-03-06T23:59:50", "2021-03-07T00:00:05", None),
        ("{start:%Y-%m-%dT%H%M%S%f}+{length}s*.mp4", "2021-03-06T102228123+90s (1).mp4",
         "2021-03-06T10:22:28.123", "2021-03-06T10:23:58.123", None),
        ("{any}_{start:%Y%m%d%H%M%S}_{end:%Y%m%d%H%M%S}_{trigger}.dav",
         "a_b_20210306102228_20210308000000_person.dav",
         "2021-03-06T10:22:28", "2021-03-08T00:00:00", "person"),
        ("{date:%Y-%m-%d}/{start:%Y-%m-%d %H.%M}.jpg", "2021-03-06/2021-03-06 10.22.jpg",
         "2021-03-06T10:22:00", "", None),
        ("{start:%Y%m%d%H%M%S}[{trigger}].jpg", "20210306102228[R].jpg",
         "2021-03-06T10:22:28", "", "scheduled"),
    ],
)  # fmt: skip
def test_templates_with_ends_and_triggers(
    text: str, path: str, start: str, end: str, trigger: str | None
) -> None:
    """An end, a length in seconds, a date across folders, a trigger's word or letter."""
    reading = Template.parse(text).read(path)
    assert reading is not None
    assert (iso(reading.start), iso(reading.end), reading.trigger) == (start, end, trigger)


def test_a_date_said_twice_must_agree() -> None:
    """A folder of one day that holds a name of another does not fit."""
    template = Template.parse("{date:%Y%m%d}/{start:%Y%m%d_%H%M%S}.jpg")
    assert template.read("20210306/20210306_102228.jpg") is not None
    assert template.read("20210306/20210307_102228.jpg") is None


def test_a_template_knows_impossible_times_and_sidecars() -> None:
    """Month 13 is unknown with its reason; an unfinished upload is ignored."""
    template = Template.parse("{start:%Y%m%d%H%M%S}{any}.{ext}")
    impossible = template.read("20211306102228.jpg")
    assert impossible is not None
    assert impossible.kind == "unknown"
    assert "month" in (impossible.reason or "")
    unfinished = template.read("20210306102228.mp4_")
    assert unfinished is not None
    assert unfinished.kind == "ignore"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "end in"),
        ("{start:%Y%m%d%H%M%S}", "end in"),
        ("{start:%Y%m%d%H%M%S}.txt", "end in"),
        ("{camera}.jpg", "year"),
        ("{start:%H%M%S}.jpg", "year"),
        ("{date:%Y%m%d}.jpg", "hour"),
        ("{start}.jpg", "format"),
        ("{start:%Y%m%d%I%M}.jpg", "%I"),
        ("{start:%Y%m%d%H%}.jpg", "'%'"),
        ("{when:%Y%m%d%H}.jpg", "{when:%Y%m%d%H}"),
        ("{camera:x}/{start:%Y%m%d%H}.jpg", "{camera:x}"),
        ("{camera/{start:%Y%m%d%H}.jpg", "pairs"),
        ("{camera}{any}_{start:%Y%m%d%H}.jpg", "between"),
        ("{camera}_*_{seq}_{any}_{start:%Y%m%d%H}.jpg", "at most"),
        ("{start:%Y%m%d%H}-{end:%d%H}.mp4", "whole date"),
        ("{start:%Y%m%d%H}-{end:%M}.mp4", "hour"),
        ("{start:%Y%m%d%H}-{end:%H}-{length}.mp4", "both"),
    ],
)
def test_a_wrong_template_is_refused_at_once(text: str, expected: str) -> None:
    """The message quotes the template, says what was expected and shows a right one."""
    with pytest.raises(SettingsError) as refused:
        Template.parse(text)
    assert expected in str(refused.value)
    assert repr(text) in str(refused.value)
    assert "{camera}/{date:%Y%m%d}" in str(refused.value)


@given(text=st.text(alphabet="{}%YmdHMSf:/*.jpg _acnestrlth"), path=PATHS)
def test_no_template_breaks_otherwise(text: str, path: str) -> None:
    """Any text is a template or a SettingsError, and a template reads any path."""
    try:
        template = Template.parse(text)
    except SettingsError:
        return
    template.read(path)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("unit", ["-", "_", "0", "a", "-0", "a/", "20210306102228-"])
def test_no_name_keeps_a_template_busy(unit: str) -> None:
    """The free parts of a template are few enough for any name."""
    folder = "{any}-{trigger}-*"
    template = Template.parse(
        f"{folder}/{folder}/{{camera}}-{{any}}-{{seq}}-{{start:%Y%m%d%H}}.jpg"
    )
    template.read(unit * 10_000)
    longest = (unit.strip("/") * 255)[:255]
    template.read(f"{longest}/{longest}/{longest[:250]}.jpg")


@given(moment=MOMENTS, seq=st.integers(0, 10**6))
def test_a_template_reads_back_what_it_writes(moment: datetime, seq: int) -> None:
    """Formatted by the same directives, a time comes back."""
    template = Template.parse("{date:%Y/%m-%d}/{start:%H%M%S}_{seq}.jpg")
    reading = template.read(f"{moment:%Y/%m-%d/%H%M%S}_{seq}.jpg")
    assert reading is not None
    assert (reading.start, reading.sequence) == (moment, str(seq))


# What docs/cameras.md says


CAMERAS_PAGE = (Path(__file__).parents[1] / "docs/cameras.md").read_text(encoding="utf-8")
_SAID = re.findall(
    r"^\| [^|]+ \| `(.+)` \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$", CAMERAS_PAGE, re.M
)


def test_cameras_page_has_every_family() -> None:
    """Each family of layouts has an example in the table of what is read."""
    families = {layouts.family_of(read(path).layout or "").__name__ for path, *_ in _SAID}
    assert families == {family.__name__ for family in layouts.FAMILIES.values()}


@pytest.mark.parametrize(("path", "end", "cause", "channel", "clock"), _SAID)
def test_cameras_page_says_what_is_read(
    path: str, end: str, cause: str, channel: str, clock: str
) -> None:
    """The example is read, and tells neither more nor less than the table says."""
    reading = read(path)
    assert reading.start is not None
    assert f"{reading.start:%Y-%m-%d %H:%M:%S}" == "2026-11-20 09:50:06" or "09.50.00" in path
    known = (reading.end is not None, reading.trigger is not None, reading.channel is not None)
    assert known == (end == "yes", cause == "yes", channel == "yes")
    assert reading.zone == ("utc" if clock == "UTC" else "camera")


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{date:%YY%mM%dD%HH}/{any}{start:%MM%SS}{length}.{ext}",
         "porch/2026Y11M20D09H/E150M06S27.mp4"),
        ("{start:%d-%m-%Y_%H.%M.%S}.{ext}", "porch/20-11-2026_09.50.06.jpg"),
    ],
)  # fmt: skip
def test_templates_of_the_cameras_page_read_its_examples(template: str, path: str) -> None:
    """Both stand in the page, and the names are read on the camera's own clock."""
    assert f'"{template}"' in CAMERAS_PAGE
    assert path.removeprefix("porch/") in CAMERAS_PAGE
    reading = Template.parse(template).read(path)
    assert reading is not None
    assert (reading.start, reading.zone) == (datetime(2026, 11, 20, 9, 50, 6), "camera")
