"""Uploads that pano does not read: kept, aged, counted, named as such, and never called cut."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from clocks import Box, box_at
from lived_in import picture
from PIL import Image
from shared_files import clip_path, lay, snapshot_path

from pano_analytics.cli import pano
from pano_analytics.dashboard import payloads
from pano_analytics.dashboard.answers import Uploads, find_item
from pano_analytics.dashboard.selection import Selection
from pano_analytics.doctor import examine
from pano_analytics.formats import demux
from pano_analytics.ingest import examine as opening
from pano_analytics.ingest.run import ingest
from pano_analytics.inspection import inspect_file
from pano_analytics.library import Library
from pano_analytics.present import STATE_BADGES
from pano_analytics.settings import Settings
from pano_analytics.settings import check as checked
from pano_analytics.upkeep import culling
from pano_analytics.upkeep.check import check

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\1\0meta" + bytes(500)
NOW = datetime.now().replace(microsecond=0)


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Box:
    return box_at(monkeypatch, datetime.now(UTC))


@pytest.fixture
def settings(tmp_path: Path, box: Box) -> Settings:
    """A picture that is read and one that is not, twenty days and an hour old."""
    said = checked({"keep_days": 14, "zone": "UTC", "site": {"folder": str(tmp_path / "pages")}})
    settings = said.model_copy(
        update={"uploads": tmp_path / "uploads", "library": tmp_path / "library"}
    )
    for days in (20, 0):
        when = NOW - timedelta(days=days, hours=1)
        lay(picture(days), tmp_path / "uploads" / snapshot_path("porch", when))
        lay(HEIC, tmp_path / "uploads" / snapshot_path("porch", when + timedelta(seconds=9)))
    ingest(settings)
    return settings


def test_it_ages_like_others(settings: Settings, box: Box) -> None:
    """Read or not, an upload goes when it was kept for its days, and not before."""
    library = Library.of(settings)
    assert culling.plan(library).frame().empty
    box.pass_by(days=13)
    assert culling.plan(library).frame().empty
    box.pass_by(days=2)
    assert library.media()["state"].value_counts().to_dict() == {"complete": 2, "unsupported": 2}
    due = culling.plan(library).frame()
    found = library.media().merge(due[["media_id"]], on="media_id")
    assert found["state"].value_counts().to_dict() == {"complete": 2, "unsupported": 2}


def test_check_and_status_count_it(settings: Settings) -> None:
    """Every depth of check agrees with it; status names the state with its number."""
    assert check(Library.of(settings), "hash").empty
    where = ["--uploads", str(settings.uploads), "--library", str(settings.library)]
    told = json.loads(CliRunner().invoke(pano, ["status", "--json", *where]).stdout)
    assert told["states"] == {"complete": 2, "unsupported": 2}
    assert "2 unsupported" in CliRunner().invoke(pano, ["status", *where]).stdout


def test_site_and_viewer_use_its_own_words(settings: Settings, tmp_path: Path) -> None:
    """The badge says what it is, with the reason, and nothing says damaged or cut."""
    where = ["--uploads", str(settings.uploads), "--library", str(settings.library)]
    done = CliRunner().invoke(pano, ["site", str(tmp_path / "pages"), *where])
    assert done.exit_code == 0, done.output
    text = " ".join(page.read_text("utf-8") for page in (tmp_path / "pages").rglob("*.html"))
    assert STATE_BADGES["unsupported"][0] in text
    assert "a HEIC picture: pano does not read this format" in text
    library = Library.of(settings)
    frame = library.media(state="unsupported")
    item = payloads.item(find_item(library, frame["media_id"].iloc[0], None, None), library.zone)
    head = payloads.gallery_head(Uploads(frame, has_more=False), None, Selection(), is_known=True)
    for said in (json.dumps(item, default=str), json.dumps(head, default=str), text):
        assert not re.search(r"(?i)unreadable|damaged|cut off", said)
    assert "Not supported" in json.dumps(item, default=str)
    assert "2 in a format that is not supported" in json.dumps(head, default=str)


# --- what exceeds the limits ------------------------------------------------------------


def large_clip() -> bytes:
    """Return a whole H.264 clip of 16 megapixels: one picture takes 24 MB, several are held."""
    out = BytesIO()
    with av.open(out, "w", format="mp4") as container:
        options = {"preset": "ultrafast", "g": "1", "threads": "1"}
        stream = container.add_stream("libx264", rate=1, options=options)
        stream.width, stream.height, stream.pix_fmt = 4096, 4096, "yuv420p"
        image = av.VideoFrame.from_ndarray(np.zeros((6144, 4096), np.uint8), format="yuv420p")
        container.mux(stream.encode(image))
        container.mux(stream.encode())
    return out.getvalue()


def large_picture() -> bytes:
    out = BytesIO()
    Image.new("RGB", (4000, 4000)).save(out, "PNG")
    return out.getvalue()


# In a process that has loaded what it needs, and may take little more.
IN_LITTLE_MEMORY = """
import sys
from pathlib import Path
from pano_analytics.workers.confined import confine
from pano_analytics.ingest.examine import prepare
from pano_analytics.inspection import inspect_file
prepare()
confine(30 << 20)
found = inspect_file(Path(sys.argv[1]), sys.argv[2])
print(found.state, found.state_reason, sep="|")
"""


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [(large_clip, "a.mp4", "clip"), (large_picture, "a.png", "snapshot")],
)
def test_what_takes_too_much_memory_is_too_large(
    data: object, name: str, kind: str, tmp_path: Path
) -> None:
    """It is whole, and read where there is memory; where there is not it is not called damaged."""
    path = tmp_path / name
    path.write_bytes(data())  # type: ignore[operator]
    assert inspect_file(path, kind).state == "complete"
    command = [sys.executable, "-c", IN_LITTLE_MEMORY, str(path), kind]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.stdout == f"unsupported|too large to look at: {demux.TOO_MUCH_MEMORY}\n", ran.stderr


def test_too_large_is_not_cut(settings: Settings) -> None:
    """Files that took too long or too much are a finding of their own, without the wifi."""
    assert settings.uploads is not None
    for number in range(8):
        when = NOW - timedelta(hours=2, minutes=number)
        lay(picture(number), settings.uploads / clip_path("porch", when, when, "mp4"))
    outcome = opening.given_up(opening.Task("x", "clip", None), "took longer than 300 s")
    assert outcome.inspection is not None
    assert outcome.inspection.state == "unsupported"
    found = examine(Library.of(settings)).set_index("word")
    assert "uploads_cut" not in found.index
    assert not found["advice"].str.contains("wifi signal").any()
    assert "format_unsupported" in found.index
    assert pd.notna(found.loc["format_unsupported", "evidence"])
