"""Culled uploads in the dashboard: their pictures are still seen, their files are gone for good."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from clocks import seen_as_they_arrived
from playwright.sync_api import Page, expect
from serving import (
    DAY,
    DEADLINE_S,
    DESKTOP,
    FRONT,
    PANO,
    PHONE,
    Served,
    ask,
    clip_path,
    make_clip,
    make_picture,
    serving,
    snapshot_path,
)

import pano_analytics
from pano_analytics.settings import load
from pano_analytics.store.timekeeping import PAGE
from pano_analytics.upkeep.culling import adopt, cull

# More than any disk has: so sparse a file takes no space.
HUGE = 10**12


@pytest.fixture(scope="module")
def culled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a library whose front door was culled; the garage has more than its disk can hold."""
    folder = tmp_path_factory.mktemp("culled")
    uploads = folder / "uploads"
    made = [
        make_picture(uploads / snapshot_path(FRONT, DAY)),
        make_clip(uploads / clip_path(FRONT, DAY - timedelta(seconds=1), 3)),
    ]
    for path in made:
        os.utime(path, (DAY.timestamp(), DAY.timestamp()))
    (folder / "pano.toml").write_text(
        'uploads = "uploads"\nlibrary = "library"\nzone = "Europe/Berlin"\nkeep_days = 3\n'
        '[[cameras]]\nname = "garage"\nkeep_days = 36500\n'
    )
    config = ["--config", str(folder / "pano.toml")]
    subprocess.run([*PANO, "ingest", "--quiet", *config], check=True, timeout=DEADLINE_S)
    settings = load(folder / "pano.toml")
    seen_as_they_arrived(settings)
    adopt(settings)
    assert cull(settings, up_to=2).files == 2
    huge = make_picture(uploads / snapshot_path("garage", DAY))
    os.truncate(huge, HUGE)
    command = [*PANO, "ingest", "--quiet", "--no-inspect", *config]
    subprocess.run(command, check=True, timeout=DEADLINE_S)
    _leap(folder / "library" / PAGE)
    with serving(folder / "library", folder) as server:
        yield server


def _leap(page: Path) -> None:
    """Let the library have known a time 40 days ago: this computer's clock is in doubt."""
    document = json.loads(page.read_bytes())
    for name in ("time_us", "start_time_us"):
        document["known"][name] -= 40 * 86_400_000_000
    page.write_text(json.dumps(document))


def test_the_overview_says_that_the_clock_is_in_doubt(
    visit: Callable[..., Page], culled: Served
) -> None:
    """Why nothing is culled stands above the cameras, with what to do."""
    page = visit(culled.url)
    expect(page.locator(".troubles .trouble")).to_contain_text("40 days ahead")
    expect(page.locator(".troubles .trouble")).to_contain_text("pano clock --confirm")


@pytest.fixture
def rows(culled: Served) -> dict[str, dict[str, Any]]:
    frame = pano_analytics.open(culled.library).media(camera=FRONT)
    return {row["kind"]: row for row in frame.to_dict("records")}


def place(row: dict[str, Any]) -> str:
    return f"{quote(row['camera'])}/{row['date']:%Y-%m-%d}/{row['media_id']}"


@pytest.mark.parametrize("kind", ["snapshot", "clip"])
def test_its_file_is_gone_and_its_picture_is_not(
    culled: Served, rows: dict[str, dict[str, Any]], kind: str
) -> None:
    """/media and /clip answer 410 with a sentence; /thumb still gives the picture."""
    row = rows[kind]
    for path in (f"/media/{place(row)}", f"/clip/{place(row)}.mp4"):
        answer = ask(culled.url, path)
        assert (answer.status, answer.text) == (
            410,
            "This upload was deleted to free space; only its catalog entry is left.\n",
        )
    assert ask(culled.url, f"/thumb/{row['thumb']}.jpg").status == 200


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_viewer_shows_what_was_kept(
    visit: Callable[..., Page],
    culled: Served,
    rows: dict[str, dict[str, Any]],
    size: tuple[int, int],
) -> None:
    """When it was culled, its thumbnail, and the clip's key frames to step through."""
    page = visit(f"{culled.url}/?item={rows['clip']['media_id']}", size=size)
    expect(page.locator(".note h3")).to_have_text(
        f"Culled on {rows['clip']['culled_at']:%-d %B %Y}"
    )
    expect(page.locator(".note .reason")).to_have_text("kept for 3 days")
    kept = page.locator(".stage img.kept")
    expect(kept).to_be_visible()
    keys = page.locator(".strip a.key")
    assert keys.count() >= 2
    for number in (0, 1):
        keys.nth(number).click()
        shown = keys.nth(number).locator("img").get_attribute("src")
        assert shown is not None
        expect(kept).to_have_attribute(
            "src", page.evaluate("(src) => new URL(src, location).href", shown)
        )
    page.wait_for_function("document.querySelector('.stage img.kept').naturalWidth > 0")


def test_the_overview_says_how_many_days_fit(visit: Callable[..., Page], culled: Served) -> None:
    """The camera whose disk is too small says so on its card; no other does."""
    page = visit(culled.url)
    garage = page.locator(".card", has_text="garage")
    expect(garage.locator(".short-disk")).to_have_text("Disk: only 1 of 36500 days")
    expect(page.locator(".short-disk")).to_have_count(1)
