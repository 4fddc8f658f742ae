"""Simulated cameras: what happened once happens now, and is uploaded as cameras do it."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from serving import DEADLINE_S

from pano_analytics import layouts
from pano_analytics.errors import UploadTreeError
from pano_analytics.formats import dhav
from pano_analytics.inspection import inspect_file
from pano_demo import live

SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "uploads"
NOON, NIGHT = datetime(2026, 12, 3, 12, 30, 5, tzinfo=UTC), datetime(2027, 1, 5, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize("now", [NOON, NIGHT])
def test_it_happens_again_now(tmp_path: Path, now: datetime) -> None:
    """Names, embedded clocks and arrivals are those of now; pictures and clip are whole."""
    plan = live.plan_of(SAMPLE)
    event, stock = live.again(plan, SAMPLE, now, random.Random(4))
    uploads = list(live.contents(plan, event, stock))
    assert [upload.kind for upload, _ in uploads].count("clip") == 1
    for upload, content in uploads:
        reading = layouts.read(upload.path)
        assert reading.kind == upload.kind
        assert reading.start is not None
        since = reading.start.replace(tzinfo=UTC) - now
        assert timedelta(0) <= since <= timedelta(seconds=30)
        assert now < upload.arrived < now + timedelta(seconds=60)
        path = tmp_path / Path(upload.path).name
        path.write_bytes(content)
        assert inspect_file(path, upload.kind, None).state == "complete"
        if upload.kind == "snapshot":
            assert dhav.jpeg_comment(reading.start) in content
            assert dhav.jpeg_comment(reading.start + timedelta(seconds=1)) not in content


def test_the_dice_choose_among_cameras() -> None:
    """One after another sees something, those that fell silent never do."""
    plan = live.plan_of(SAMPLE)
    dice = random.Random(1)
    seen = {live.again(plan, SAMPLE, NOON, dice)[0].moment.camera for _ in range(12)}
    assert seen
    assert "street" not in seen


def test_a_tree_that_is_no_demonstration(tmp_path: Path) -> None:
    """Without its truth, or without a clip, it is refused in words."""
    with pytest.raises(UploadTreeError, match="pano demo"):
        live.plan_of(tmp_path / "nothing")
    with pytest.raises(UploadTreeError, match="none is left"):
        live.again(live.plan_of(SAMPLE), tmp_path, NOON, random.Random(1))


@pytest.mark.parametrize("where", ["nowhere", "host:", ":21", "host:ftp"])
def test_a_server_that_cannot_be(where: str) -> None:
    """HOST:PORT is asked for."""
    command = [
        sys.executable,
        "-m",
        "pano_analytics.cli",
        "demo",
        str(SAMPLE),
        "--upload-to",
        where,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert ended.returncode == 2
    assert re.search("expected HOST:PORT", ended.stderr)
