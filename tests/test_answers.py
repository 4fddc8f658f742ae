"""What stands between the library and the page: questions asked once, frames into exact JSON."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pano_analytics
from pano_analytics.dashboard import payloads
from pano_analytics.dashboard.answers import HEATMAP_DAYS, AnswerCache, Answers, heat_span, shared
from pano_analytics.dashboard.page import _first
from pano_analytics.dashboard.records import Block
from pano_analytics.dashboard.selection import Selection
from pano_analytics.dashboard.tiles import with_tiles
from pano_analytics.dashboard.views import Gallery, PageSocket
from pano_analytics.model.upload import Upload

BERLIN = ZoneInfo("Europe/Berlin")


def blocks(*rows: tuple[str, str, str, str | None], has_more: bool = False) -> tuple[Block, ...]:
    """Return what becomes of uploads of (media_id, kind, start, end), in the order given."""
    frame = pd.DataFrame(rows, columns=["media_id", "kind", "start", "end"])
    for column in ("start", "end"):
        times = pd.to_datetime(frame[column], utc=True, format="ISO8601")
        frame[column] = times.dt.tz_convert(BERLIN)
    return payloads.blocks(
        with_tiles(
            frame.assign(
                camera="front",
                trigger="motion",
                date=[start.date() for start in frame["start"]],
                time_source="name",
                arrived=frame["start"],
                state="complete",
                clip_id=None,
                duration_s=float("nan"),
                codec=None,
                thumb="front/2026-11-20/0-a.pack/0-10",
            ),
            {},
        ),
        has_more=has_more,
    )


# --- asked once


def test_a_second_visitor_asks_nothing_anew(library_folder: Path) -> None:
    """Two pages on one library and one selection hold the very same frames."""
    library = pano_analytics.open(library_folder)
    first, second = (Answers(library, Selection()) for _ in range(2))
    assert first.uploads is second.uploads
    assert first.heat is second.heat


def test_answers_of_an_older_catalog_are_given_up() -> None:
    """With the first answer of a new generation all of the old one go."""
    kept = AnswerCache()
    kept.get((1, "a"), lambda: "old")
    kept.get((2, "b"), lambda: "new")
    assert kept.get((2, "b"), lambda: "asked again") == "new"
    assert kept.get((1, "a"), lambda: "asked again") == "asked again"


def test_what_is_kept_is_bounded_by_its_rows() -> None:
    """Big answers push out the least recently used ones, the latest stays."""
    kept = AnswerCache()
    big = pd.DataFrame({"x": range(200_000)})
    kept.get((1, "a"), lambda: big)
    kept.get((1, "b"), lambda: big.copy())
    assert kept.get((1, "a"), lambda: None) is None
    assert kept.get((1, "b"), lambda: None) is not None


def test_each_library_has_its_own(library_folder: Path) -> None:
    """Answers are never shared between two libraries."""
    one, other = (pano_analytics.open(library_folder) for _ in range(2))
    assert shared(one) is not shared(other)
    assert shared(one) is shared(one)


def test_a_day_that_the_browser_has_is_not_sent_again(library_folder: Path) -> None:
    """The first message has all days, the next only those that differ; another selection all."""
    library = pano_analytics.open(library_folder)
    answers = Answers(library, Selection())
    gallery = Gallery(PageSocket(), library, answers)
    assert len(json.loads(gallery.first)["blocks"]) == 1
    again = json.loads(gallery._message())
    assert (again["blocks"], len(again["order"])) == ([], 1)
    answers.selection.kind = "clip"
    assert len(json.loads(gallery._message())["blocks"]) == 1


# --- exact JSON


@given(st.text(max_size=50))
def test_no_name_breaks_out_of_the_page(name: str) -> None:
    """JSON inside a script element holds no `<`, and says the same as before."""
    text = _first({"part": payloads.dumps({"name": f"</script><!--{name}"})})
    assert "<" not in text
    assert json.loads(text)["part"]["name"] == f"</script><!--{name}"


def test_blocks_hold_wall_clock_seconds_of_their_day() -> None:
    """Seconds count from the local midnight as the clock shows them, a clip past midnight too."""
    found = blocks(
        ("b" * 16, "snapshot", "2026-11-20T23:30:05", None),
        ("a" * 16, "clip", "2026-11-20T22:59:50", "2026-11-20T23:00:20"),
    )
    days = [json.loads(block.text) for block in found]
    assert [day["date"] for day in days] == ["2026-11-21", "2026-11-20"]
    assert [day["wall"] for day in days] == [[30 * 60 + 5], [86_390]]
    assert days[1]["span"] == [30]
    assert days[1]["thumb"] == [[0, "0-10"]]
    assert days[1]["packs"] == ["front/2026-11-20/0-a.pack"]


def test_a_day_changes_its_digest_with_its_content() -> None:
    """Equal rows give equal digests, another row another one."""
    row = ("a" * 16, "snapshot", "2026-11-20T12:00:00", None)
    one, same, other = blocks(row), blocks(row), blocks(row, ("b" * 16, *row[1:]))
    assert one[0].digest == same[0].digest != other[0].digest


def test_the_last_day_of_a_cut_list_does_not_count_itself_whole() -> None:
    """Where older uploads were left out, the oldest day is marked incomplete."""
    row = ("a" * 16, "snapshot", "2026-11-20T12:00:00", None)
    assert json.loads(blocks(row)[0].text)["complete"] is True
    assert json.loads(blocks(row, has_more=True)[0].text)["complete"] is False


@pytest.mark.parametrize(
    ("state", "duration_s", "at"),
    [("complete", 9.0, 5.4), ("partial", 4.0, 6.0), ("unread", None, 6.0)],
)
def test_a_snapshots_moment_in_its_clip_is_scaled(
    state: str, duration_s: float | None, at: float
) -> None:
    """Ten seconds by its times in nine of file: six become 5.4; a cut clip keeps its pace."""
    start = pd.Timestamp("2026-11-20T12:00", tz=BERLIN)
    end = start + timedelta(seconds=10)
    known = {"media_id": "c", "kind": "clip", "start": start, "end": end, "state": state}
    clip = Upload.of({**known, "duration_s": duration_s})
    taken = start + timedelta(seconds=6)
    snapshot = Upload.of({"media_id": "s", "kind": "snapshot", "start": taken})
    found = payloads._clip_moment(snapshot, clip)
    assert found == {"id": "c", "at": at}


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("http://192.168.1.2/", "http://192.168.1.2/"),
        ("rtsp://192.168.1.2/live", "rtsp://192.168.1.2/live"),
        ("javascript:alert(1)", None),
        (None, None),
    ],
)
def test_only_addresses_become_links(url: str | None, link: str | None) -> None:
    """A script in disguise is no link."""
    assert payloads._web(url) == link


def test_the_repeated_hour_is_one_cell_of_the_heatmap() -> None:
    """The day of the autumn step has 24 cells, and both passes count in one."""
    buckets = pd.date_range(pd.Timestamp("2026-10-25", tz=BERLIN), periods=25, freq="h")
    frame = pd.DataFrame({"camera": "front", "bucket": buckets, "snapshots": 1, "clips": 0})
    counts = payloads.hourly(frame)["front"]
    assert len(counts) == 24
    assert counts.loc[datetime(2026, 10, 25, 2), "snapshots"] == 2


# --- which days the heatmaps show


def known_cameras(first: str | None, latest: str | None) -> pd.DataFrame:
    times = {"first": [first], "latest": [latest]}
    return pd.DataFrame({k: pd.to_datetime(v, utc=True) for k, v in times.items()})


@given(
    st.dates(date(2020, 1, 1), date(2026, 11, 22)),
    st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)),
    st.none() | st.dates(date(2000, 1, 1), date(2040, 1, 1)),
)
def test_heatmaps_stay_within_what_there_is(
    oldest: date, end: datetime | None, until: date | None
) -> None:
    """Whatever is selected: at most 15 days, none before the first or after today."""
    today = date(2026, 11, 22)
    cameras = known_cameras(oldest.isoformat(), today.isoformat())
    first, last, earlier, later = heat_span(cameras, Selection(end=end, until=until), today)
    assert oldest <= first <= last <= today
    assert (last - first).days == min(HEATMAP_DAYS - 1, (today - oldest).days)
    assert earlier is None or oldest <= earlier < first
    assert later is None or last < later <= today


def test_an_empty_library_shows_today() -> None:
    """Without any upload the heatmaps show one empty day."""
    today = date(2026, 11, 22)
    assert heat_span(known_cameras(None, None), Selection(), today) == (today, today, None, None)
