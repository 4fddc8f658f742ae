"""The forecast: how many of the days wanted the disk can hold, said where people look."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from clocks import box_at, seen_as_they_arrived
from hypothesis import given
from hypothesis import strategies as st
from lived_in import run
from older import with_one_manifest
from shared_files import lay, snapshot_path

from pano_analytics import status
from pano_analytics.cli import pano
from pano_analytics.errors import QueryError
from pano_analytics.library import Library
from pano_analytics.settings import Settings, check
from pano_analytics.store.storage import Storage
from pano_analytics.upkeep.culling import adopt, cull, forecast
from pano_analytics.upkeep.culling.forecasting import _days_that_fit

Usage = namedtuple("Usage", "total used free")
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)


def filled(folder: Path, days: int, size: int = 1000, cameras: tuple[str, ...] = ("porch",)) -> Any:
    """Return settings after so many whole days of so many bytes of each camera."""
    settings = check({"zone": "UTC", "keep_days": 14}).model_copy(
        update={"uploads": folder / "uploads", "library": folder / "library"}
    )
    for camera in cameras:
        for day in range(1, days + 1):
            moment = TODAY - timedelta(days=day) + timedelta(hours=1)
            came = moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
            lay(b"x" * size, folder / "uploads" / snapshot_path(camera, moment), came)
    run(settings, is_inspecting=False)
    return settings


def has_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, free))


def said(settings: Settings) -> list[str]:
    return list(forecast(Library.of(settings)).text)


def test_only_nine_of_fourteen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1000 bytes a day, five days there, 4,999 bytes free: nine whole days fit."""
    settings = filled(tmp_path, 5)
    has_free(monkeypatch, 4_999)
    [room] = forecast(Library.of(settings)).to_dict("records")
    assert room["text"] == "porch: only 9 of 14"
    assert (room["bytes_per_day"], room["held_bytes"], room["disk_bytes"]) == (1000, 5000, 9999)
    assert (room["wanted_bytes"], room["possible_days"], room["is_short"]) == (14_000, 9, True)
    has_free(monkeypatch, 9_000)
    assert said(settings) == [""]
    has_free(monkeypatch, 8_999)
    assert said(settings) == ["porch: only 13 of 14"]


def test_status_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a problem with its own word, beside the camera, and in the plan."""
    settings = filled(tmp_path, 5)
    has_free(monkeypatch, 4_999)
    told = status.collect(settings)
    details = [one["detail"] for one in told["problems"] if one["what"] == "disk_too_small"]
    assert details == ["porch: only 9 of 14 days fit on its disk"]
    assert any(
        "camera    porch" in text and "only 9 of 14" in text
        for text in status.in_words(told, ZoneInfo("UTC"))
    )
    assert json.loads(status.as_json(told))["culling"]["cameras"][0]["text"] == (
        "porch: only 9 of 14"
    )
    (tmp_path / "pano.toml").write_text(
        'uploads = "uploads"\nlibrary = "library"\nzone = "UTC"\nkeep_days = 14\n'
    )
    shown = CliRunner().invoke(pano, ["cull", "--config", str(tmp_path / "pano.toml")])
    assert "porch: only 9 of 14 days" in shown.stdout


def test_cameras_share_their_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All get the same days, none more than it wants; one that keeps all takes its bytes away."""
    settings = filled(tmp_path, 4, cameras=("attic", "barn", "porch"))
    own = [{"name": "attic", "keep_days": 2}, {"name": "barn", "keep_days": 20}]
    wishes = settings.model_copy(update={"cameras": check({"cameras": own}).cameras})
    has_free(monkeypatch, 10_000)
    assert said(wishes) == ["", "barn: only 10 of 20", "porch: only 10 of 14"]
    kept = [{"name": "attic", "keep_days": "forever"}, *own[1:]]
    forever = settings.model_copy(update={"cameras": check({"cameras": kept}).cameras})
    assert said(forever) == ["", "barn: only 9 of 20", "porch: only 9 of 14"]


def test_what_was_culled_still_counts_as_uploaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rate is that of what came; what is there is only what is left."""
    # From the start, so that the time of day at which the test runs does not matter.
    box_at(monkeypatch, (TODAY + timedelta(hours=2)).replace(tzinfo=UTC))
    settings = filled(tmp_path, 5).model_copy(update={"keep_days": 3})
    seen_as_they_arrived(settings)
    adopt(settings)
    cull(settings, up_to=3)
    has_free(monkeypatch, 0)
    [room] = forecast(Library.of(settings)).to_dict("records")
    assert (room["bytes_per_day"], room["held_bytes"]) == (1000, 2000)
    assert room["text"] == "porch: only 2 of 3"


def test_a_manifest_of_before_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts written before bytes were counted are read for it."""
    settings = filled(tmp_path, 5)
    has_free(monkeypatch, 4_999)
    uncounted = ("size_bytes", "held", "held_bytes", "states")
    with_one_manifest(Storage(tmp_path / "library"), without=uncounted)
    assert said(settings) == ["porch: only 9 of 14"]


def test_without_the_disk_nothing_is_forecast(tmp_path: Path) -> None:
    """Where the disk is not mounted its mount point is of another one."""
    settings = filled(tmp_path, 1)
    assert len(said(settings)) == 1
    (tmp_path / "bare").mkdir()
    for place in ("bare", "nowhere"):
        assert said(settings.model_copy(update={"uploads": tmp_path / place})) == []


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 10**9)), min_size=1, max_size=6),
    st.integers(0, 10**11),
)
def test_the_days_fit_and_no_more_would(wants: list[tuple[int, float]], room: int) -> None:
    """What each gets fits together, and all want no more or nothing more would fit."""
    days = _days_that_fit(wants, room)
    most = max(keep for keep, _ in wants)

    def needed(all_days: float) -> float:
        return sum(min(all_days, keep) * rate for keep, rate in wants)

    assert needed(days) <= room * (1 + 1e-9) + 1e-6
    assert days >= most or needed(days + 0.01) > room


def test_how_much_fits_is_said_without_and_beyond_keep_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1000 bytes a day and 10,000 bytes of room are ten days, whatever is kept."""
    settings = filled(tmp_path, 5)
    has_free(monkeypatch, 5_000)
    for keep_days in (None, 3, "forever", 10, 14):
        library = Library.of(settings.model_copy(update={"keep_days": keep_days}))
        frame = forecast(library)
        assert frame["possible_days"].tolist() == [10]
        assert frame["is_short"].tolist() == [keep_days == 14]
        assert str(frame["keep_days"].dtype) == "Int64"
    with pytest.raises(QueryError, match="now: expected an aware datetime"):
        forecast(Library.of(settings), "today")  # type: ignore[arg-type]
