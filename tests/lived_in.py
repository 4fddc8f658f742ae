"""A library that has lived: uploads replaced, cut, lost, come back, and clocks that were wrong."""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cache, partial
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pandas as pd
from PIL import Image
from shared_files import clip_path, lay, snapshot_path

from pano_analytics.ingest.run import IngestSummary, ingest
from pano_analytics.library import Library
from pano_analytics.settings import Settings, check
from pano_analytics.upkeep.rebuild import Rebuilt, rebuild

NOON = datetime(2026, 3, 3, 12, 0, 0)
MIDNIGHT = datetime(2000, 1, 1)
THREADS = partial(ThreadPoolExecutor, 2)


@cache
def picture(number: int, size: tuple[int, int] = (320, 180)) -> bytes:
    """Return a JPEG that no other number gives."""
    rows, columns = size[1] // 10, size[0] // 10
    noise = random.Random(number).randbytes(rows * columns)
    out = BytesIO()
    small = Image.frombytes("L", (columns, rows), noise)
    small.resize(size).convert("RGB").save(out, "JPEG")
    return out.getvalue()


@cache
def film(seconds: int) -> bytes:
    """Return an MP4 of so many seconds with a key frame a second."""
    out = BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=5, options={"g": "5", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(seconds * 5):
            image = np.full((48, 64, 3), index * 7 % 256, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return out.getvalue()


def at(seconds: float, camera: str = "porch") -> str:
    """Return the path of a snapshot so long after noon."""
    return snapshot_path(camera, NOON + timedelta(seconds=seconds))


def fresh(folder: Path) -> Settings:
    """Return settings for an empty tree and no library yet, in Berlin."""
    (folder / "uploads").mkdir()
    return check({"zone": "Europe/Berlin"}).model_copy(
        update={"uploads": folder / "uploads", "library": folder / "library"}
    )


def run(settings: Settings, **wishes: bool) -> IngestSummary:
    """Ingest with threads for processes: quick, and the same in all else."""
    return ingest(settings, make_executor=THREADS, **wishes)


def renew(settings: Settings) -> Rebuilt:
    return rebuild(settings, make_executor=THREADS)


def live(settings: Settings) -> Library:
    """Lay uploads into the tree, ingest, change them, ingest, as years do."""
    assert settings.uploads is not None
    root, late = settings.uploads, NOON + timedelta(days=9)
    lay(film(4), root / clip_path("porch", NOON, NOON + timedelta(seconds=4), "mp4"))
    lay(film(2), root / clip_path("garden", NOON, NOON + timedelta(seconds=2), "mp4"))
    for second in (1, 2, 30, 40, 50):
        lay(picture(second), root / at(second))
    lay(picture(1), root / at(1, "garden"))
    lay(picture(7, (1280, 720))[:20_000], root / at(60))
    lay(picture(8)[:60], root / at(70))
    lay(b"", root / at(80))
    lay(b"no upload", root / "porch/AMC0001_F01N44/2026-03-03/notes.txt")
    lay(picture(90), root / snapshot_path("porch", MIDNIGHT), MIDNIGHT)
    lay(picture(91), root / snapshot_path("porch", MIDNIGHT + timedelta(seconds=9)), MIDNIGHT)
    lay(picture(92), root / snapshot_path("garden", MIDNIGHT), NOON)
    lay(picture(93), root / snapshot_path("porch", NOON - timedelta(days=1)))
    run(settings)
    lay(picture(31, (640, 360)), root / at(30))  # replaced
    lay(picture(41), root / at(40), late)
    lay(b"", root / at(50))  # shrunk to nothing
    lay(picture(94), root / snapshot_path("garden", MIDNIGHT), late)  # with a doubtful clock
    (root / at(2)).unlink()
    (root / clip_path("garden", NOON, NOON + timedelta(seconds=2), "mp4")).unlink()
    (root / snapshot_path("porch", MIDNIGHT + timedelta(seconds=9))).unlink()
    lost = root / snapshot_path("porch", NOON - timedelta(days=1))
    lost.unlink()
    for folder in lost.parents[:5]:
        folder.rmdir()
    run(settings)
    lay(picture(2), root / at(2))  # back again
    lay(picture(100), root / at(100))
    run(settings, is_inspecting=False)
    (root / at(100)).unlink()  # gone before it was opened
    run(settings)
    return Library.of(settings)


def told(library: Library) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return media and frames, with each thumbnail's content in the place of its locator."""
    media = library.sql("select * from media order by media_id")
    frames = library.sql("select * from frames order by media_id, offset_s")
    for frame in (media, frames):
        frame["thumb"] = [_content(library, locator) for locator in frame["thumb"]]
    return media, frames


def _content(library: Library, locator: str | None) -> str | None:
    if locator is None or pd.isna(locator):
        return None
    return hashlib.sha256(library.thumbnail_bytes(locator)).hexdigest()


def assert_same(
    before: tuple[pd.DataFrame, pd.DataFrame], after: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    for was, now in zip(before, after, strict=True):
        pd.testing.assert_frame_equal(was, now)
