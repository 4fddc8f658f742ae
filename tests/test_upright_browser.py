"""A browser shows turned uploads upright, in the size that the catalog names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page
from serving import serving
from shared_files import clip_path, lay, snapshot_path
from test_formats import clip, picture

from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.settings import check

NOON = datetime(2026, 3, 3, 12)
SIZES = """() => {
    const shown = document.querySelector('dialog video, dialog .stage img.full');
    if (!shown) return null;
    const [width, height] = [shown.videoWidth ?? shown.naturalWidth,
                             shown.videoHeight ?? shown.naturalHeight];
    return width ? [width, height] : null;
}"""


@pytest.mark.parametrize("kind", ["snapshot", "clip"])
def test_turned_uploads_are_upright_in_the_viewer(
    kind: str, tmp_path: Path, visit: Callable[..., Page]
) -> None:
    """A quarter turn, by EXIF or by the display matrix, makes 160 x 120 stand upright."""
    uploads = tmp_path / "uploads"
    if kind == "snapshot":
        lay(picture("JPEG", orientation=6), uploads / snapshot_path("porch", NOON))
    else:
        end = NOON + timedelta(seconds=2)
        lay(clip("mp4", orientation=6), uploads / clip_path("porch", NOON, end, "mp4"))
    settings = check({"zone": "UTC"}).model_copy(
        update={"uploads": uploads, "library": tmp_path / "library"}
    )
    ingest(settings)
    row = Library.of(settings).media().iloc[0]
    assert (row["state"], row["width"], row["height"]) == ("complete", 120, 160)
    with serving(tmp_path / "library", tmp_path) as server:
        page = visit(f"{server.url}/?item={row['media_id']}")
        shown = page.wait_for_function(SIZES).json_value()
        page.close()
    assert shown == [120, 160]
