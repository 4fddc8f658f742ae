"""Take the screenshots of the dashboard for the documentation.

    pano demo data/uploads && pano ingest --uploads data/uploads --library data/library
    python tools/screenshots.py [--library data/library] [--into docs/screenshots]

Desktop and phone, dark and light, each below 400 kB. Check them before you
commit them: nothing overlaps, every label is readable.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import pano_analytics

MOST_BYTES = 400_000
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
DESKTOP: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}


def _stay(page: Page) -> None:
    """Leave the page as it loaded."""


def _open_clip(page: Page) -> None:
    page.locator("dialog video").wait_for()
    page.wait_for_function("document.querySelector('dialog video').currentTime > 6.5")
    page.keyboard.press("Space")


def _open_picture(page: Page) -> None:
    page.wait_for_function("document.querySelector('.stage img.full')?.complete")


def _to_gallery(page: Page) -> None:
    page.locator(".gallery").evaluate("gallery => gallery.scrollIntoView()")


@dataclass(frozen=True)
class Shot:
    """One screenshot: its name, the URL's query, theme, size, and what to do before it is taken."""

    name: str
    search: str = ""
    scheme: str = "dark"
    device: dict[str, Any] = field(default_factory=lambda: DESKTOP)
    act: Callable[[Page], None] = _stay


def shots(clip: str, snapshot: str, hour: str) -> list[Shot]:
    """Return all screenshots; `clip` and `snapshot` are items, `hour` is the query of an hour."""
    return [
        Shot("desktop-dark"),
        Shot("desktop-light", scheme="light"),
        Shot("hour-light", hour, "light"),
        Shot("clip-dark", f"?item={clip}", act=_open_clip),
        Shot("picture-dark", f"?item={snapshot}", act=_open_picture),
        Shot("phone-dark", device=PHONE),
        Shot("phone-light", "", "light", PHONE, _to_gallery),
        Shot("phone-clip", f"?item={clip}", "dark", PHONE, _open_clip),
    ]


def main() -> None:
    """Take all screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path, default=Path("data/library"))
    parser.add_argument("--into", type=Path, default=Path("docs/screenshots"))
    given = parser.parse_args()
    given.into.mkdir(parents=True, exist_ok=True)
    clip, snapshot, hour = choose(given.library)
    with serving(given.library) as address, browser() as chromium:
        for shot in shots(clip, snapshot, hour):
            size = save(take(chromium, address, shot), given.into / f"{shot.name}.webp")
            print(f"{shot.name}.webp  {size / 1000:.0f} kB")


def choose(library: Path) -> tuple[str, str, str]:
    """Return a clip by daylight with snapshots, one of its snapshots, and the query of its hour."""
    opened = pano_analytics.open(library)
    media = opened.media(state="complete")
    clips = media[(media["kind"] == "clip") & (media["codec"] == "h264")]
    held = media[media["kind"] == "snapshot"].groupby("clip_id")["media_id"].agg(["size", middle])
    joined = clips.join(held, on="media_id", how="inner")
    wishes = (
        joined["start"].dt.hour.between(9, 15) & (joined["size"] >= 3),
        joined["path"].isin(of_people(opened.uploads)),
    )
    # The newest of the clips that meet the most wishes.
    best = joined.loc[sum(wishes).sort_values(kind="stable").index[-1]]
    start = best["start"]
    hour = f"?camera={best['camera']}&from={start:%Y-%m-%dT%H}&to={start:%Y-%m-%dT}"
    return best["media_id"], best["middle"], f"{hour}{start.hour + 1:02}"


def middle(values: pd.Series) -> Any:
    """Return the value in the middle."""
    return values.iloc[len(values) // 2]


def of_people(uploads: Path | None) -> set[str]:
    """Return the paths of uploads that show a person, if the demonstration's truth exists."""
    truth = uploads and uploads.with_name(f"{uploads.name}.truth.parquet")
    if truth is None or not truth.exists():
        return set()
    events = pd.read_parquet(truth)
    return set(events.loc[events["kind"] == "person", "files"].explode())


@contextmanager
def serving(library: Path) -> Iterator[str]:
    """Run `pano serve` on a free port until the block ends."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-c", "from pano_analytics.cli import main; main()", "serve"]
    process = subprocess.Popen([*command, "--library", str(library), "--port", str(port)])
    try:
        wait_for(f"http://127.0.0.1:{port}/liveness")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url: str) -> None:
    """Return as soon as `url` answers."""
    for _ in range(300):
        try:
            urllib.request.urlopen(url).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium."""
    found = shutil.which("chromium")
    if found is None:
        raise SystemExit("chromium is needed to take screenshots: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS.split())
        yield chromium
        chromium.close()


def take(chromium: Browser, address: str, shot: Shot) -> bytes:
    """Return one screenshot as PNG."""
    context = chromium.new_context(
        # `wait_for_function` evaluates text in the page, which the dashboard's policy refuses.
        bypass_csp=True,
        color_scheme=shot.scheme,
        **shot.device,
    )  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(address + shot.search)
    page.wait_for_function("document.documentElement.dataset.connected === 'true'")
    shot.act(page)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    png: bytes = page.screenshot()
    context.close()
    return png


def save(png: bytes, path: Path) -> int:
    """Write a picture as WebP, in the best quality below MOST_BYTES; return its size in bytes."""
    picture = Image.open(BytesIO(png)).convert("RGB")
    for quality in (90, 80, 70, 60, 50):
        buffer = BytesIO()
        picture.save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() < MOST_BYTES:
            break
    path.write_bytes(buffer.getvalue())
    return buffer.tell()


if __name__ == "__main__":
    main()
