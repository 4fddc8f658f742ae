"""The library: half-open ranges, zones, zero-filled activity, clear refusals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.dataset as dataset
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from shared_files import clip_path, lay, snapshot_path

import pano_analytics
from pano_analytics.analysis import activity
from pano_analytics.errors import LibraryError, MediaError, QueryError
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.settings import check

NOON = datetime(2026, 3, 3, 12, 0, 0)


def made(tmp_path: Path, names: list[str], zone: str = "Europe/Berlin", **said: object) -> Library:
    """Return a library of files with these names, listed but not opened."""
    (tmp_path / "uploads").mkdir(exist_ok=True)
    for name in names:
        lay(b"x", tmp_path / "uploads" / name)
    settings = check({"zone": zone, **said}).model_copy(
        update={"uploads": tmp_path / "uploads", "library": tmp_path / "library"}
    )
    ingest(settings, is_inspecting=False)
    return Library.of(settings)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """A clip of 20 s at noon with two snapshots in it, and a snapshot of another camera."""
    return made(
        tmp_path,
        [
            clip_path("porch", NOON, NOON + timedelta(seconds=20)),
            snapshot_path("porch", NOON + timedelta(seconds=7)),
            snapshot_path("porch", NOON + timedelta(seconds=8)),
            snapshot_path("garden", NOON + timedelta(days=2)),
        ],
    )


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        (None, None, 4),
        ("2026-03-03 12:00", "2026-03-03 12:00:01", 1),
        ("2026-03-03 12:00:19", "2026-03-03 13:00", 1),
        ("2026-03-03 12:00:20", "2026-03-03 13:00", 0),
        ("2026-03-03 11:00", "2026-03-03 12:00", 0),
        ("2026-03-03 12:00:07", "2026-03-03 12:00:08", 2),
        ("2026-03-03", "2026-03-04", 3),
        ("2026-03-03T11:00:00Z", "2026-03-03T11:00:01Z", 1),
        (datetime(2026, 3, 3, 11, tzinfo=UTC), None, 4),
        ("2026-03-04", None, 1),
    ],
)
def test_ranges_are_half_open_and_select_by_overlap(
    library: Library, start: object, end: object, rows: int
) -> None:
    """[start, end): what begins at the end is out, what still runs at the start is in."""
    assert len(library.media(start=start, end=end)) == rows


def test_media_takes_one_name_or_several(library: Library) -> None:
    """camera=, kind= and state= select; together they narrow."""
    assert len(library.media(camera="porch")) == 3
    assert len(library.media(camera=["porch", "garden"], kind="snapshot")) == 3
    assert len(library.media(kind=("clip",), state="unread")) == 1
    assert len(library.media(state=["complete"])) == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"camera": "prch"},
        {"kind": "video"},
        {"state": ["complete", "fine"]},
        {"start": "Tuesday"},
        {"start": "2026-03-04", "end": "2026-03-03"},
        {"columns": ["nothing"]},
    ],
)
def test_a_question_not_understood_says_what_was_expected(
    library: Library, asked: dict[str, object]
) -> None:
    """A slip is told, never answered with an empty frame."""
    with pytest.raises(QueryError, match="expected"):
        library.media(**asked)  # type: ignore[arg-type]


def test_frames_come_back_in_the_zone_with_promised_types(library: Library) -> None:
    """Times are aware in the library's zone; the wall clock is naive; an empty frame keeps both."""
    for frame in (library.media(), library.media(state="complete")):
        assert str(frame["start"].dt.tz) == "Europe/Berlin"
        assert frame["wall_start"].dt.tz is None
        assert list(frame.columns[:4]) == ["media_id", "camera", "date", "kind"]
    assert library.media()["start"].iloc[0].hour == 12


def test_order_limit_and_columns(library: Library) -> None:
    """The newest first, so many, these columns."""
    frame = library.media(newest_first=True, limit=2, columns=["camera", "start"])
    assert frame["camera"].tolist() == ["garden", "porch"]
    assert list(frame.columns) == ["camera", "start"]


def test_activity_by_day_counts_and_fills_with_zeros(library: Library) -> None:
    """Every camera has every day, from the first to the last upload of the chosen."""
    frame = library.activity(by="day")
    assert list(frame.columns) == ["camera", "bucket", "snapshots", "clips"]
    assert frame.groupby("camera")["bucket"].nunique().to_dict() == {"garden": 3, "porch": 3}
    porch = frame[frame.camera == "porch"]
    assert porch["snapshots"].tolist() == [2, 0, 0]
    assert porch["clips"].tolist() == [1, 0, 0]
    assert porch["bucket"].iloc[0] == pd.Timestamp("2026-03-03", tz="Europe/Berlin")


def test_activity_by_weekday_has_seven_whatever_came(library: Library) -> None:
    """Weekdays come Monday first, with zeros."""
    frame = library.activity(by="weekday", camera="porch")
    assert frame["bucket"].tolist() == list(activity.WEEKDAYS)
    assert frame["snapshots"].tolist() == [0, 2, 0, 0, 0, 0, 0]


def test_activity_takes_the_range_it_is_given(library: Library) -> None:
    """A range asked for is filled from end to end, also where nothing came."""
    frame = library.activity("hour", camera="garden", start="2026-03-01", end="2026-03-02")
    assert len(frame) == 24
    assert frame["snapshots"].sum() == 0


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_day_of_the_clock_change_has_its_own_hours(
    library: Library, day: str, hours: int
) -> None:
    """The spring day has 23 hours, the autumn day 25, each counted once."""
    after = str(pd.Timestamp(day).date() + timedelta(days=1))
    frame = library.activity("hour", camera="porch", start=day, end=after)
    assert len(frame) == hours
    assert frame["bucket"].is_unique


@limits(max_examples=60, deadline=None)
@given(
    st.lists(st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31)), min_size=1, max_size=20),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"]),
    st.sampled_from(["day", "weekday"]),
)
def test_activity_loses_and_invents_nothing(moments: list[datetime], zone: str, by: str) -> None:
    """The sum over all buckets is the number of uploads, in any zone."""
    from zoneinfo import ZoneInfo

    quarters = pd.Series(pd.to_datetime(moments, utc=True)).dt.floor("15min").dt.as_unit("us")
    counts = pd.DataFrame({"camera": "a", "quarter": quarters, "snapshots": 1, "clips": 0})
    counts = counts.groupby(["camera", "quarter"], as_index=False).sum()
    filled = activity.zero_filled(counts, by, ["a", "b"], None, None, ZoneInfo(zone))
    assert filled["snapshots"].sum() == len(moments)
    assert filled.groupby("camera")["bucket"].count().nunique() == 1


def test_sql_over_everything(library: Library) -> None:
    """Any question in SQL; a wrong one is told in DuckDB's words; an empty view has columns."""
    counted = library.sql("SELECT camera, count(*) AS uploads FROM media GROUP BY 1 ORDER BY 1")
    assert counted["uploads"].tolist() == [1, 3]
    assert library.sql("SELECT * FROM frames").empty
    with pytest.raises(QueryError, match="no_such"):
        library.sql("SELECT no_such FROM media")


def test_an_empty_library_answers_with_empty_frames(tmp_path: Path) -> None:
    """No upload at all is an empty table, never an error."""
    library = made(tmp_path, [])
    assert library.media().empty
    assert library.media(camera="porch").empty
    assert library.activity("hour").empty
    assert library.cameras().empty
    assert library.sql("SELECT count(*) AS n FROM media")["n"].iloc[0] == 0
    assert library.parts() == []


def test_cameras_tell_latest_silent_and_links_without_passwords(tmp_path: Path) -> None:
    """One row a camera, those that never uploaded included."""
    library = made(
        tmp_path,
        [snapshot_path("porch", NOON)],
        cameras=[
            {"name": "porch", "description": "By the door", "admin_url": "http://a:pw@10.0.0.2/"},
            {"name": "barn"},
        ],
    )
    frame = library.cameras().set_index("camera")
    assert frame.loc["porch", "admin_url"] == "http://10.0.0.2/"
    assert frame.loc["porch", "snapshots"] == 1
    assert bool(frame.loc["barn", "is_silent"])
    assert not bool(frame.loc["porch", "is_silent"])
    assert pd.isna(frame.loc["barn", "latest"])
    assert "pw" not in (library.folder / "library.json").read_text()


def test_one_item_with_or_without_its_day(library: Library) -> None:
    """An item is found by its id alone, quicker with camera and day, also where they are wrong."""
    row = library.media(camera="garden").iloc[0]
    for hints in (
        {},
        {"camera": "garden", "date": row["date"]},
        {"camera": "porch", "date": "2026-03-03"},
    ):
        assert library.item(row["media_id"], **hints)["path"] == row["path"]
    with pytest.raises(QueryError):
        library.item("0" * 16)


@pytest.mark.parametrize(
    "locator",
    [
        "",
        "x",
        "../../../etc/passwd/0-9",
        "a/../../b.pack/0-9",
        "a.pack/0",
        "a.pack/-1-5",
        "a.pack/0-٣",
    ],
)
def test_a_locator_that_leads_nowhere_is_refused(library: Library, locator: str) -> None:
    """A locator names bytes in a pack of the library and nothing else."""
    with pytest.raises(MediaError):
        library.thumbnail_bytes(locator)


def test_other_tools_read_the_parts(library: Library) -> None:
    """parts() are Parquet files that Arrow reads as they lie, camera and date from folders."""
    found = dataset.dataset(library.parts(), partitioning="hive").to_table()
    assert found.num_rows == 4
    assert set(found["camera"].to_pylist()) == {"porch", "garden"}


def test_where_there_is_no_library_the_way_to_one_is_told(tmp_path: Path) -> None:
    """open() of nothing names the command that makes one."""
    with pytest.raises(LibraryError, match="pano ingest"):
        pano_analytics.open(tmp_path)


def test_open_takes_the_settings_file(tmp_path: Path, library: Library) -> None:
    """A pano.toml opens the library that it names."""
    file = tmp_path / "pano.toml"
    file.write_text('library = "library"\nuploads = "uploads"\nzone = "Europe/Berlin"\n')
    assert len(pano_analytics.open(file).media()) == 4
    assert len(pano_analytics.open(str(library.folder)).media()) == 4


def test_a_column_without_values_keeps_the_type_of_text(library: Library) -> None:
    """Text stays text if all of it is null, beside nullable numbers and names that repeat."""
    frame = library.sql("SELECT NULL::VARCHAR a, NULL::INTEGER a, 1 b, NULL::VARCHAR c, true d")
    assert [str(kind) for kind in frame.dtypes] == ["str", "Int64", "int64", "str", "bool"]
    assert list(frame.columns) == ["a", "a", "b", "c", "d"]
