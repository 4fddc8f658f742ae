"""Time until the gallery shows its first thumbnails, compared with a static page of the same ones.

    python benchmarks/gallery.py [--library LIB] [--rounds 7]

A browser with an empty cache alternately visits three pages of one server: the
dashboard, an empty Panel page, and a static page with the thumbnails that the
dashboard shows first. Time is measured from the navigation to the last visible
thumbnail (for the empty page: until Panel has drawn it). The result is the
dashboard's time minus that of the empty page, divided by that of the static page;
the target is 2. Without --library a library of 1,200 snapshots is generated.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
SIZE = {"width": 1280, "height": 800}
SNAPSHOTS = 1_200
# The time from the start of the navigation until everything is shown, checked at every frame.
WATCH = """
window.whenDone = (isDone) => new Promise((tell) => {
  const look = () => isDone() ? tell(performance.now()) : requestAnimationFrame(look)
  look()
})
window.seen = (image) => image.getBoundingClientRect().top < innerHeight
window.loaded = (image) => image.complete && image.naturalWidth > 0
window.allLoaded = (selector) => {
  const images = [...document.querySelectorAll(selector)].filter(seen)
  return images.length > 0 && images.every(loaded)
}
"""
DONE = {
    "dashboard": "whenDone(() => allLoaded('.tile img'))",
    "empty": "whenDone(() => window.Bokeh?.documents[0]?.is_idle)",
    "static": "whenDone(() => document.readyState !== 'loading' && allLoaded('img'))",
}


def main() -> None:
    """Print the medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pano-bench-") as folder:
        library = given.library or make_library(Path(folder))
        with serving(library) as addresses, browser() as chromium:
            report(measure(chromium, addresses, given.rounds))


def report(times: dict[str, list[float]]) -> None:
    """Print the measurements."""
    median = {name: statistics.median(found) for name, found in times.items()}
    for name, found in times.items():
        print(f"{name:10} {median[name]:7.0f} ms   ({min(found):.0f} to {max(found):.0f})")
    beyond = median["dashboard"] - median["empty"]
    print(f"above an empty Panel page: {beyond:.0f} ms, {beyond / median['static']:.2f} x static")
    print(f"total: {median['dashboard'] / median['static']:.2f} x static")


def make_library(folder: Path) -> Path:
    """Make uploads and ingest them."""
    uploads, library = folder / "uploads", folder / "library"
    make_uploads(uploads)
    command = [sys.executable, "-c", "from pano_analytics.cli import main; main()", "ingest"]
    where = ["--quiet", "--uploads", str(uploads), "--library", str(library)]
    subprocess.run([*command, *where], check=True)
    return library


def make_uploads(uploads: Path) -> None:
    """Write uploads of one camera, a different picture every minute."""
    begin = datetime(2026, 11, 20)
    for number in range(SNAPSHOTS):
        when = begin + timedelta(minutes=number)
        path = uploads / f"yard/AMC0/{when:%Y-%m-%d}/001/jpg/{when:%H/%M/%S}[M][0@0][0].jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(picture(number))


def picture(number: int) -> bytes:
    """Return a JPEG that compresses like a photograph of leaves, different for each number."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 255, (36, 64, 3), np.uint8)).resize((1280, 720))
    buffer = BytesIO()
    coarse.save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


# --- the server, in a separate process


@contextmanager
def serving(library: Path) -> Iterator[dict[str, str]]:
    """Serve the pages; yield their URLs, without the static page's thumbnails."""
    with started(serve, library) as dashboard, started(serve_empty) as empty:
        yield {"dashboard": dashboard, "empty": empty, "static": f"{dashboard}static"}


@contextmanager
def started(target: Callable[..., None], *arguments: Path) -> Iterator[str]:
    """Run a server in a process of its own; yield the URL that it sends through its pipe."""
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=target, args=(there, *arguments))
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def serve(address: Connection, library: Path) -> None:
    """Serve the dashboard and the static page."""
    import pano_analytics
    from pano_analytics.dashboard.server import assemble, run

    main_server = assemble(pano_analytics.open(library), port=0)
    main_server._tornado.add_handlers(r".*", [(r"/static", static_page())])
    address.send(f"http://127.0.0.1:{main_server.port}/")
    run(main_server)


def serve_empty(address: Connection) -> None:
    """Serve an empty Panel page, without the dashboard's content security policy."""
    import panel as pn

    empty = pn.serve({"/": lambda: pn.Column()}, port=0, show=False, start=False, verbose=False)
    empty.start()
    address.send(f"http://localhost:{empty.port}/")
    empty.io_loop.start()


def static_page() -> Any:
    """Return a handler that shows the thumbnails named in `?src=…` in a plain page."""
    from html import escape

    from tornado.web import RequestHandler

    class StaticPage(RequestHandler):
        def get(self) -> None:
            images = "".join(
                f'<img src="{escape(source)}" width="270" height="152">'
                for source in self.get_arguments("src")
            )
            self.write(f"<!doctype html><title>static</title><body>{images}</body>")

    return StaticPage


# --- the browser


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium."""
    found = shutil.which("chromium")
    if found is None:
        raise SystemExit("This benchmark needs chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS.split())
        yield chromium
        chromium.close()


def measure(chromium: Browser, addresses: dict[str, str], rounds: int) -> dict[str, list[float]]:
    """Visit all pages alternately, `rounds` times, after one visit that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in addresses}
    sources = shown_first(chromium, addresses["dashboard"])
    addresses = {**addresses, "static": addresses["static"] + "?" + sources}
    for number in range(rounds + 1):
        for name, address in addresses.items():
            taken = visit(chromium, name, address)
            if number:
                times[name].append(taken)
    return times


@contextmanager
def fresh(chromium: Browser) -> Iterator[Page]:
    """Yield a page in a browser context with an empty cache."""
    context = chromium.new_context(viewport=SIZE)
    context.add_init_script(WATCH)
    yield context.new_page()
    context.close()


def visit(chromium: Browser, name: str, address: str) -> float:
    """Return the milliseconds from the navigation until the page is complete."""
    with fresh(chromium) as page:
        page.goto(address, wait_until="commit")
        taken: float = page.evaluate(DONE[name])
        return taken


def shown_first(chromium: Browser, address: str) -> str:
    """Return the visible thumbnails of the dashboard, as a query for the static page."""
    with fresh(chromium) as page:
        page.goto(address, wait_until="commit")
        page.evaluate(DONE["dashboard"])
        found: list[str] = page.evaluate(
            "[...document.querySelectorAll('.card img, .tile img')].filter(seen)"
            ".map((image) => image.getAttribute('src'))"
        )
    print(f"{len(found)} visible thumbnails")
    return "&".join(f"src={quote(source)}" for source in found)


if __name__ == "__main__":
    main()
