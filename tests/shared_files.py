"""Where the real camera files lie, and how tests lay them into an upload tree."""

from __future__ import annotations

import csv
import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
MEDIA = SHARED / "media"
LISTINGS = SHARED / "listings"

needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason="the real camera files are not here")
needs_listings = pytest.mark.skipif(not LISTINGS.is_dir(), reason="the listings are not here")


def lay(source: Path | bytes, target: Path, mtime: datetime | None = None) -> Path:
    """Put a file's bytes at `target`, arrived an hour ago unless told otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, bytes):
        target.write_bytes(source)
    else:
        shutil.copyfile(source, target)
    arrived = (mtime or datetime.now() - timedelta(hours=1)).timestamp()
    os.utime(target, (arrived, arrived))
    return target


def snapshot_path(camera: str, start: datetime, crop: int = 0, trigger: str = "M") -> str:
    """Return the path of an IP2M-842 snapshot."""
    return (
        f"{camera}/AMC0001_F01N44/{start:%Y-%m-%d}/001/jpg/{start:%H}/{start:%M}/"
        f"{start:%S}[{trigger}][0@0][{crop}].jpg"
    )


def clip_path(camera: str, start: datetime, end: datetime, ending: str = "dav") -> str:
    """Return the path of an IP2M-842 clip."""
    return (
        f"{camera}/AMC0001_F01N44/{start:%Y-%m-%d}/001/dav/{start:%H}/"
        f"{start:%H.%M.%S}-{end:%H.%M.%S}[M][0@0][0].{ending}"
    )


def lay_listing(root: Path, camera: str = "porch") -> int:
    """Lay the 344 real uploads of one camera as files of one byte; return how many."""
    with (LISTINGS / "real_uploads_one_camera.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        start = datetime.fromisoformat(row["timestamp_utc"].removesuffix("Z"))
        if row["kind"] == "mp4":
            end = start + timedelta(seconds=int(row["duration_seconds"]))
            lay(b"x", root / clip_path(camera, start, end, "mp4"), end)
            continue
        crop = 0
        while (root / snapshot_path(camera, start, crop)).exists():
            crop += 1
        lay(b"x", root / snapshot_path(camera, start, crop), start)
    return len(rows)
