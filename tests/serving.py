"""For tests of the served dashboard: a real library, a real server process, a real browser.

    def test_it(visit, served):
        page = visit(served.url + "/?camera=front_door")

`visit` gives Playwright pages whose every console error, uncaught exception and
request to another host fails the test.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import av
import bokeh.server.server
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeout

import pano_analytics
from pano_analytics.access.users import Users

CHROMIUM = "/usr/bin/chromium"
PANO = [sys.executable, "-c", "from pano_analytics.cli import main; main()"]
DESKTOP, PHONE = (1280, 800), (390, 844)
NAME, PASSWORD = "anna", "correct horse battery"
DEADLINE_S = 60.0

FRONT, GARDEN = "front_door", "Gärten & Hof"
DAY = datetime(2026, 11, 20, 14, 23, 11)


# --- uploads and a library -------------------------------------------------


def make_picture(path: Path, shade: int = 90, size: tuple[int, int] = (640, 360)) -> Path:
    """Write a JPEG that is no flat grey, so that it compresses like a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0, 120, size[0])[None, :] + np.linspace(0, shade, size[1])[:, None]
    Image.fromarray(ramp.astype(np.uint8)).convert("RGB").save(path, quality=85)
    return path


def make_clip(path: Path, seconds: int = 3, size: tuple[int, int] = (320, 180)) -> Path:
    """Write an H.264 MP4 of `seconds` seconds at 10 frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "10", "crf": "30"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(seconds * 10):
            shade = np.full((size[1], size[0], 3), 40 + number, np.uint8)
            shade[40:90, number * 5 : number * 5 + 30] = 220
            frame = av.VideoFrame.from_ndarray(shade, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def snapshot_path(camera: str, when: datetime) -> str:
    return f"{camera}/AMC0/{when:%Y-%m-%d}/001/jpg/{when:%H/%M/%S}[M][0@0][0].jpg"


def clip_path(camera: str, start: datetime, seconds: int) -> str:
    end = start + timedelta(seconds=seconds)
    return (
        f"{camera}/AMC0/{start:%Y-%m-%d}/001/dav/{start:%H}/"
        f"{start:%H.%M.%S}-{end:%H.%M.%S}[M][0@0][0].mp4"
    )


def make_library(folder: Path) -> Path:
    """Make uploads of two cameras below `folder` and ingest them; return the library's folder."""
    uploads, library = folder / "uploads", folder / "library"
    for camera in (FRONT, GARDEN):
        make_picture(uploads / snapshot_path(camera, DAY))
        make_clip(uploads / clip_path(camera, DAY - timedelta(seconds=1), 3))
    ingest(uploads, library)
    return library


def ingest(uploads: Path, library: Path) -> None:
    where = ["--uploads", str(uploads), "--library", str(library)]
    subprocess.run([*PANO, "ingest", "--quiet", *where], check=True, timeout=DEADLINE_S)


@pytest.fixture(scope="session")
def library_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small library without users, shared by tests that only read."""
    return make_library(tmp_path_factory.mktemp("open"))


@pytest.fixture(scope="session")
def locked_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small library with one user, shared by tests that only read."""
    library = make_library(tmp_path_factory.mktemp("locked"))
    Users(library).add(NAME, PASSWORD)
    return library


# --- a server process ------------------------------------------------------


@dataclass
class Served:
    """A running server: where it answers, and its process."""

    url: str
    process: subprocess.Popen[str]
    log: Path
    library: Path

    def stop(self) -> int:
        """Ask the process to end and return its exit code."""
        self.process.terminate()
        return self.process.wait(DEADLINE_S)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(
    library: Path,
    folder: Path,
    *options: str,
    command: list[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """Run `pano serve` (or `command`) on a free port until the block ends; its log in `folder`."""
    port = free_port()
    arguments = command or [*PANO, "serve", "--library", str(library), *options]
    log = folder / f"server-{port}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*arguments, "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
        )
    server = Served(f"http://127.0.0.1:{port}", process, log, library)
    try:
        wait_until(lambda: _answers(server), f"the server does not answer; {log}", server)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(DEADLINE_S)


def _answers(server: Served) -> bool:
    if server.process.poll() is not None:
        raise AssertionError(f"the server ended: {server.log.read_text()}")
    try:
        return ask(server.url, "/liveness").status == 200
    except OSError:
        return False


def wait_until(is_so: Callable[[], bool], otherwise: str, server: Served | None = None) -> None:
    """Return as soon as `is_so`; fail after a minute with `otherwise` and the server's log."""
    end = time.monotonic() + DEADLINE_S
    while not is_so():
        if time.monotonic() > end:
            raise AssertionError(otherwise + (server.log.read_text() if server else ""))
        time.sleep(0.05)


@pytest.fixture(scope="session")
def served(library_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`pano serve` on a small library without users."""
    with serving(library_folder, tmp_path_factory.mktemp("log")) as server:
        yield server


@pytest.fixture(scope="session")
def locked(locked_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`pano serve` on a small library with one user, NAME with PASSWORD."""
    with serving(locked_folder, tmp_path_factory.mktemp("log")) as server:
        yield server


# --- a server inside this process ------------------------------------------


@dataclass
class Inside:
    """A server running in a thread of this process, so that its routing table can be read."""

    server: Any

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def application(self) -> Any:
        return self.server._tornado


@contextmanager
def serving_inside(library: Path, **options: Any) -> Iterator[Inside]:
    """Serve `library` in a thread until the block ends; `options` go to Panel's server."""
    from pano_analytics.dashboard.server import assemble

    stock = bokeh.server.server.BokehTornado, bokeh.server.server.HTTPServer
    ready: list[Any] = []
    started = threading.Event()

    def run() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        server = assemble(pano_analytics.open(library), port=0, **options)
        server.start()
        ready.append(server)
        server.io_loop.add_callback(started.set)
        server.io_loop.start()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(DEADLINE_S)
    server = ready[0]
    try:
        yield Inside(server)
    finally:
        server.io_loop.add_callback(lambda: (server.stop(wait=False), server.io_loop.stop()))
        thread.join(DEADLINE_S)
        bokeh.server.server.BokehTornado, bokeh.server.server.HTTPServer = stock


@pytest.fixture(scope="session")
def inside(locked_folder: Path) -> Iterator[Inside]:
    """A server on the library with one user, in this process; sessions end soon after a visitor."""
    soon = {"unused_session_lifetime_milliseconds": 300, "check_unused_sessions_milliseconds": 100}
    with serving_inside(locked_folder, **soon) as server:
        yield server


# --- asking without a browser ----------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a server said to one request; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(
    url: str,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
) -> Answer:
    """Send `path` as it stands, without following or tidying anything."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=DEADLINE_S)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer_of(answer)
    finally:
        connection.close()


def answer_of(answer: http.client.HTTPResponse) -> Answer:
    """Return what came, with cookies one on each line, the login first."""
    found = {name.lower(): value for name, value in answer.getheaders()}
    if "set-cookie" in found:
        cookies = answer.headers.get_all("Set-Cookie", [])
        found["set-cookie"] = "\n".join(sorted(cookies, key=_order))
    return Answer(answer.status, found, answer.read())


def _order(cookie: str) -> bool:
    return "_device=" in cookie


def log_in(
    url: str, name: str = NAME, password: str = PASSWORD, wanted: str = "/", **headers: str
) -> Answer:
    """Send the login form."""
    form = urlencode({"username": name, "password": password, "next": wanted})
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return ask(url, "/login", "POST", {**kind, **headers}, form)


def cookie_of(answer: Answer) -> str:
    """Return the Cookie header that a browser would send after `answer`."""
    return answer.headers["set-cookie"].partition(";")[0]


def cookies_of(answer: Answer) -> list[str]:
    """Return all cookies of `answer`: the login's, and the one that knows the browser."""
    return [line.partition(";")[0] for line in answer.headers["set-cookie"].splitlines()]


def rows(library: Path) -> dict[str, dict[str, Any]]:
    """Return one row a kind of the camera FRONT."""
    frame = pano_analytics.open(library).media(camera=FRONT)
    return {row["kind"]: dict(row) for _, row in frame.iterrows()}


def addresses(library: Path) -> list[str]:
    """Return the page, and an address that answers with data for every route of media."""
    row = rows(library)
    return [
        "/",
        f"/thumb/{row['snapshot']['thumb']}.jpg",
        address_of(row["snapshot"]),
        address_of(row["clip"]),
        address_of(row["clip"], "clip", ".mp4"),
    ]


def address_of(row: Mapping[str, Any], place: str = "media", ending: str = "") -> str:
    """Return the address of a row of the catalog, as pages spell it."""
    camera = quote(str(row["camera"]), safe="")
    return f"/{place}/{camera}/{str(row['date'])[:10]}/{row['media_id']}{ending}"


# --- a browser -------------------------------------------------------------


@dataclass
class Watch:
    """What a page must not do: log errors, throw, or ask any host but its own."""

    host: str
    trouble: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        """Watch all pages of `context`, requests of their workers included."""
        context.on("request", lambda request: self._asked(request.url))
        context.on("console", self._said)
        context.on("weberror", lambda error: self.trouble.append(f"uncaught: {error.error}"))
        context.on("page", lambda page: page.on("websocket", lambda ws: self._asked(ws.url)))

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "about") and parts.netloc != self.host:
            self.trouble.append(f"foreign request: {url}")

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.trouble.append(f"console error: {message.text} ({message.location})")


@contextmanager
def watched(browser: Browser, url: str, size: tuple[int, int] = DESKTOP) -> Iterator[Page]:
    """Open a page for the server at `url`; raises AssertionError at the end if it misbehaved."""
    width, height = size
    is_phone = size == PHONE
    context = browser.new_context(
        viewport={"width": width, "height": height}, has_touch=is_phone, is_mobile=is_phone
    )
    watch = Watch(urlsplit(url).netloc)
    watch.over(context)
    try:
        yield context.new_page()
    finally:
        context.close()
    assert not watch.trouble, "\n".join(watch.trouble)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    flags = (
        "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags.split())
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """`visit(url, size=DESKTOP)`: a watched page on `url`, in a browser context of its own."""
    opened: list[Any] = []

    def open_page(url: str, size: tuple[int, int] = DESKTOP) -> Page:
        guard = watched(chromium, url, size)
        page = guard.__enter__()
        opened.append(guard)
        page.goto(url, wait_until="commit")
        return page

    yield open_page
    for guard in reversed(opened):
        guard.__exit__(None, None, None)


@contextmanager
def logged_in(browser: Browser, url: str) -> Iterator[Page]:
    """A page, not watched, whose browser context holds a login of NAME."""
    name, _, value = cookie_of(log_in(url)).partition("=")
    context = browser.new_context()
    context.add_cookies([{"name": name, "value": value.strip('"'), "url": url}])
    try:
        yield context.new_page()
    finally:
        context.close()


def _wait_for_function(
    page: Page, expression: str, *, arg: Any = None, timeout: float = 30_000, **_: Any
) -> Any:
    """Return the first true value of `expression` in the page, asked again and again.

    Playwright's own would let the page ask, by eval, which the policy of our pages refuses.
    """
    end = time.monotonic() + timeout / 1000
    while True:
        with suppress(PlaywrightError):  # the page may be on its way to another
            if page.evaluate(expression, arg):
                return page.evaluate_handle(expression, arg)
        if time.monotonic() > end:
            raise PlaywrightTimeout(f"{timeout} ms went by without {expression}")
        page.wait_for_timeout(20)


Page.wait_for_function = _wait_for_function  # type: ignore[method-assign, assignment]


def settle(page: Page) -> None:
    """Return when Panel has drawn the page and nothing is under way."""
    page.wait_for_function(
        "() => window.Bokeh && Bokeh.documents.length > 0 && Bokeh.documents[0].is_idle",
        timeout=DEADLINE_S * 1000,
    )


def sample_of(pattern: str) -> str:
    """Return a path that the pattern of a route matches."""
    path = re.sub(r"\(\?![^)]*\)", "", pattern.removesuffix("$"))
    path = re.sub(r"\[\^/\]\+|\.[*+]", "x", path)
    path = re.sub(r"[()]", "", path).replace("/?", "/").replace(r"\.", ".")
    path = path if path.startswith("/") else f"/{path}"
    assert re.fullmatch(pattern.removesuffix("$"), path), (pattern, path)
    return path
