"""For tests of the static site: a home with all that can happen, and a crawler of its pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from serving import make_clip, make_picture
from shared_files import lay, snapshot_path
from test_clips import dav

from pano_analytics.ingest.run import ingest as real_ingest
from pano_analytics.library import Library
from pano_analytics.settings import Settings, check
from pano_analytics.site.run import update
from pano_analytics.site.summary import SiteSummary

NOON = datetime(2026, 11, 20, 12, 0)
PORCH, GATE, EVIL, STRAY = "porch", "gate", "<img src=x onerror=alert(1)>\"'&;", b"b\xffrn #1?%41"
CROWD = 160
SIZE = (320, 180)


@dataclass(frozen=True)
class Home:
    """Uploads, their library and their site, side by side in a folder."""

    folder: Path

    @property
    def uploads(self) -> Path:
        return self.folder / "uploads"

    @property
    def site(self) -> Path:
        return self.folder / "site"

    def settings(self, **site: Any) -> Settings:
        told = {
            "zone": "Europe/Berlin",
            "cameras": [
                {
                    "name": PORCH,
                    "description": "Above <the> bell & path",
                    "admin_url": "http://admin:secret@192.168.1.20/?a=1&b=2",
                    "live_url": "rtsp://admin:secret@192.168.1.20/live",
                },
                {"name": "never"},
            ],
            "site": site,
        }
        places = {"uploads": self.uploads, "library": self.folder / "library"}
        return check(told).model_copy(update=places)

    @property
    def library(self) -> Library:
        return Library.of(self.settings())

    def ingest(self, **how: Any) -> None:
        real_ingest(self.settings(), make_executor=partial(ThreadPoolExecutor, 2), **how)

    def update(self, is_full: bool = False, **site: Any) -> SiteSummary:
        return update(self.settings(**site), self.site, is_full=is_full)

    def pages(self) -> dict[str, str]:
        """Return the text of each page, by its name in the site."""
        return {
            path.relative_to(self.site).as_posix(): path.read_text("utf-8")
            for path in sorted(self.site.rglob("*.html"))
        }

    def page_of(self, path: str) -> Path:
        """Return where the page of the upload `path` lies."""
        media = self.library.media()
        media_id = media[media["path"] == path]["media_id"].iloc[0]
        [found] = self.site.rglob(f"{media_id}.html")
        return found


def clip_path(camera: str, start: datetime, end: datetime, ending: str) -> str:
    return (
        f"{camera}/AMC0001_F01N44/{start:%Y-%m-%d}/001/dav/{start:%H}/"
        f"{start:%H.%M.%S}-{end:%H.%M.%S}[M][0@0][0].{ending}"
    )


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def lay_picture(root: Path, camera: str, when: datetime, shade: int = 90) -> Path:
    path = make_picture(root / snapshot_path(camera, when), shade=shade, size=SIZE)
    return stamped(path, when)


def stamped(path: Path, when: datetime) -> Path:
    """Let a file have arrived ten seconds after `when`, by a clock in Berlin."""
    from zoneinfo import ZoneInfo

    arrived = (when + timedelta(seconds=10)).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    os.utime(path, (arrived, arrived))
    return path


def fill(root: Path) -> None:
    """Lay three days of a porch, a crowded day of a gate, and two cameras of hostile names."""
    for day in range(3):
        for minute in (0, 1, 40):
            lay_picture(root, PORCH, later(-86400 * day + 60 * minute), 20 + day * 9 + minute)
    mp4 = clip_path(PORCH, later(-2), later(4), "mp4")
    stamped(make_clip(root / mp4, 6, SIZE), later(4))
    lay_picture(root, PORCH, later(2))
    for name, start, data in (
        ("dav", later(600), dav()),
        ("dav", later(-86400 + 600), dav()),
        ("mp4", later(1200), b"no clip"),
    ):
        end = start + timedelta(seconds=4)
        stamped(lay(data, root / clip_path(PORCH, start, end, name)), end)
    cut = lay_picture(root, PORCH, later(1500))
    cut.write_bytes(cut.read_bytes()[:-200])
    stamped(cut, later(1500))
    stamped(lay(b"", root / snapshot_path(PORCH, later(1510))), later(1510))
    for number in range(CROWD):
        lay_picture(root, GATE, later(number * 11), 30 + number % 60)
    lay_picture(root, EVIL, NOON)
    odd = Path(os.fsdecode(os.fsencode(root) + b"/" + STRAY))
    rest = snapshot_path("x", NOON).removeprefix("x/")
    stamped(make_picture(odd / rest, size=SIZE), NOON)


def made_home(folder: Path) -> Home:
    home = Home(folder)
    fill(home.uploads)
    home.ingest()
    home.update()
    return home


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The home with its library and site, shared by tests that only read."""
    return made_home(tmp_path_factory.mktemp("it's [a] site 100% #"))


# --- crawling


@dataclass
class Page(HTMLParser):
    """What a page leads to, and what of it can be led to."""

    links: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    anchors: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    text: str = ""
    policy: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if told.get("http-equiv") == "Content-Security-Policy":
            self.policy = told["content"]
        if "id" in told:
            self.anchors.append(told["id"])
        for name in ("src", "poster"):
            if name in told:
                self.files.append(told[name])
        if "href" in told and tag == "link" and not told["href"].startswith("data:"):
            self.files.append(told["href"])
        if "href" in told and tag == "a":
            scheme = urlsplit(told["href"]).scheme
            (self.outside if scheme else self.links).append(told["href"])
        assert not any(name.startswith("on") or name == "style" for name in told), told

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text("utf-8"))
    page.close()
    return page


def target(page: Path, href: str) -> Path:
    """Return the file that a relative address on a page means."""
    parts = urlsplit(href)
    raw = os.path.normpath(os.path.join(os.fsencode(page.parent), unquote_to_bytes(parts.path)))
    return Path(os.fsdecode(raw)) if parts.path else page


def crawl(site: Path, is_settled: bool = True) -> tuple[dict[Path, Page], set[Path]]:
    """Follow every link from the first page; return the pages, and all files that they show.

    Raises AssertionError for what leads nowhere. Where a run was killed, uploads may have
    gone since, and an anchor may be elsewhere: only links from page to page are held then.
    """
    pages: dict[Path, Page] = {}
    shown: set[Path] = set()
    waiting = [site / "index.html"]
    while waiting:
        path = waiting.pop()
        if path in pages:
            continue
        pages[path] = parsed(path)
        for href in pages[path].files:
            if is_settled or target(path, href).is_relative_to(site):
                shown.add(_there(path, href))
        for href in pages[path].links:
            if not is_settled and not target(path, href).is_relative_to(site):
                continue
            found = _there(path, href)
            if found.suffix == ".html" and found.is_relative_to(site):
                waiting.append(found)
            else:
                shown.add(found)
    for path, page in pages.items():
        for href in page.links:
            fragment = urlsplit(href).fragment
            if is_settled and fragment and not fragment.startswith("t="):
                assert fragment in pages[target(path, href)].anchors, (path, href)
    return pages, shown


def _there(page: Path, href: str) -> Path:
    assert not urlsplit(href).scheme, (page, href)
    assert not href.startswith("/"), (page, href)
    found = target(page, href)
    assert found.is_file(), (page, href)
    return found


def files_of(site: Path) -> Iterator[tuple[str, int, int]]:
    """Yield name, inode and modification time of each file of a site, but for its lock."""
    for path in sorted(site.rglob("*")):
        if path.is_file() and path.name != ".pano-site.lock":
            status = path.stat()
            yield path.relative_to(site).as_posix(), status.st_ino, status.st_mtime_ns
