"""The real camera files, laid into Amcrest paths, go the whole way into a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from serving import Served, serving
from shared_files import MEDIA, clip_path, lay, needs_media, snapshot_path

import pano_analytics
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.settings import check

pytestmark = needs_media

START = datetime(2020, 6, 1, 16, 29, 11)
ZONE = "America/Los_Angeles"


@dataclass(frozen=True)
class Real:
    """A real file, where it is laid, and what is true of it."""

    file: str
    path: str
    state: str
    start: datetime
    length_s: float | None = None
    codec: str | None = None

    @property
    def is_playable(self) -> bool:
        return self.codec == "h264" and self.length_s is not None


def _snapshot(file: str, camera: str, start: datetime) -> Real:
    return Real(file, snapshot_path(camera, start), "complete", start, None, "jpeg")


def _clip(
    file: str, after_s: int, said_s: int, state: str, length_s: float | None, codec: str | None
) -> Real:
    start = START + timedelta(seconds=after_s)
    end = start + timedelta(seconds=said_s)
    path = clip_path("porch", start, end, Path(file).suffix.removeprefix("."))
    return Real(file, path, state, start, length_s, codec)


REAL = [
    _snapshot("1591027084.jpg", "porch", datetime(2020, 6, 1, 15, 58, 4)),
    _snapshot("1593216147.jpg", "porch", datetime(2020, 6, 26, 17, 2, 27)),
    _snapshot("camera1_snapshot.jpg", "yard", datetime(2020, 6, 1, 16, 0, 0)),
    _snapshot("camera2_snapshot.jpg", "yard", datetime(2020, 6, 1, 16, 0, 1)),
    _snapshot("camera3_snapshot.jpg", "yard", datetime(2020, 6, 1, 16, 0, 2)),
    _clip("1591028951.mp4", 0, 27, "complete", 25.1, "h264"),
    _clip("dav/amcrest_h264_aac.dav", 100, 27, "complete", 25.1, "h264"),
    _clip("dav/amcrest_h264_video_only.dav", 200, 27, "complete", 25.1, "h264"),
    _clip("dav/ntp_back.dav", 300, 27, "complete", 25.1, "h264"),
    _clip("dav/hevc.dav", 400, 10, "complete", 10.0, "hevc"),
    _clip("dav/trunc_half.dav", 500, 27, "partial", 10.1, "h264"),
    _clip("dav/stub_156.dav", 600, 0, "damaged", None, None),
    _clip("one-by-one-person-detection.mp4", 700, 139, "complete", 139.4, "h264"),
    _clip("car-detection.mp4", 900, 30, "complete", 30.2, "h264"),
    _clip("offline_h265.mp4", 1000, 1, "complete", None, "hevc"),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Every real file in its place, ingested."""
    folder = tmp_path_factory.mktemp("real")
    for real in REAL:
        lay(MEDIA / real.file, folder / "uploads" / real.path)
    settings = check({"zone": ZONE}).model_copy(
        update={"uploads": folder / "uploads", "library": folder / "library"}
    )
    ingest(settings)
    return pano_analytics.open(folder / "library")


@pytest.fixture(scope="module")
def rows(library: Library) -> dict[str, Any]:
    return {row["path"]: row for _, row in library.media().iterrows()}


@pytest.fixture(scope="module")
def served(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(library.folder, tmp_path_factory.mktemp("log")) as server:
        yield server


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.file)
def test_a_real_file_has_its_time_state_and_thumbnail(
    real: Real, rows: dict[str, Any], library: Library
) -> None:
    """Time by its name in the camera's zone, state by its inside, a thumbnail if any decodes."""
    row = rows[real.path]
    assert row["start"].tz_localize(None) == real.start
    assert row["state"] == real.state
    if real.state == "damaged":
        assert row["thumb"] != row["thumb"]
        return
    assert row["codec"] == real.codec
    thumbnail = library.thumbnail(row)
    thumbnail.load()
    assert thumbnail.width >= 320
    if real.length_s is not None:
        assert row["duration_s"] == pytest.approx(real.length_s, abs=0.3)


def test_the_comment_clock_agrees_with_the_picture(rows: dict[str, Any]) -> None:
    """The clock that the camera embedded in its real snapshots is the one their names tell."""
    for real in REAL[:2]:
        assert rows[real.path]["camera_clock"] == real.start


def test_a_clip_keeps_a_strip_of_key_frames(rows: dict[str, Any], library: Library) -> None:
    """The real clip has 14 key frames, one every two seconds, each kept with its thumbnail."""
    frames = library.frames(rows[REAL[5].path]["media_id"])
    assert len(frames) >= 8
    assert frames["offset_s"].is_monotonic_increasing
    assert frames["offset_s"].iloc[-1] == pytest.approx(24.0, abs=2.1)
    assert all(library.thumbnail_bytes(thumb)[:2] == b"\xff\xd8" for thumb in frames["thumb"])


@pytest.mark.parametrize(
    "real", [real for real in REAL if real.is_playable], ids=lambda real: real.file
)
def test_a_real_clip_plays_and_seeks_in_the_browser(
    real: Real, rows: dict[str, Any], served: Served, visit: Any
) -> None:
    """At its real length, from any moment: .mp4 as it is, .dav remuxed on first request."""
    row = rows[real.path]
    page = visit(served.url + "/liveness")
    address = f"/clip/{row['camera']}/{row['date']:%Y-%m-%d}/{row['media_id']}.mp4"
    told = page.evaluate(
        """async address => {
            const video = document.createElement('video');
            video.muted = true;
            document.body.append(video);
            const once = name => new Promise((done, fail) => {
                video.addEventListener(name, done, {once: true});
                video.addEventListener('error', () => fail(video.error.message), {once: true});
            });
            const known = once('loadedmetadata');
            video.src = address;
            await known;
            const sought = once('seeked');
            video.currentTime = video.duration * 0.6;
            await sought;
            const at = video.currentTime;
            await video.play();
            await new Promise(done => setTimeout(done, 400));
            return {length: video.duration, at, later: video.currentTime,
                    size: [video.videoWidth, video.videoHeight]};
        }""",
        address,
    )
    # Where a clip has sound, that runs on for the two seconds that the picture lacks.
    assert real.length_s is not None
    assert real.length_s - 0.5 < told["length"] < real.length_s + 2.1
    assert told["at"] == pytest.approx(told["length"] * 0.6, abs=0.3)
    assert told["later"] > told["at"]
    assert told["size"][1] in (432, 480)
