"""The static site in a real browser: from disk and a web server, phone and desktop, no script."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from serving import DESKTOP, PHONE, Watch, free_port, wait_until
from shared_files import snapshot_path
from site_home import GATE, NOON, PORCH, Home, clip_path, home, later

from pano_analytics.site.run import update

__all__ = ["home"]

Visit = Callable[..., Page]

BOTH = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
SCRIPT = pytest.mark.parametrize("has_script", [True, False], ids=["script", "plain"])


@pytest.fixture(scope="module")
def served(home: Home) -> Iterator[str]:
    """A plain web server on the folder that holds uploads and site."""
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    process = subprocess.Popen(
        command, cwd=home.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _answers(port), "the web server does not answer")
        yield f"http://127.0.0.1:{port}/site/"
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    import socket

    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["disk", "server"])
def root(request: pytest.FixtureRequest, home: Home) -> str:
    """Where the site begins: a folder opened from disk, or an address."""
    if request.param == "server":
        return str(request.getfixturevalue("served"))
    return "file://" + quote(str(home.site)) + "/"


@contextmanager
def visiting(
    browser: Browser, root: str, size: tuple[int, int] = DESKTOP, has_script: bool = True
) -> Iterator[Page]:
    """Open the first page; raises AssertionError at the end for what a page must not do."""
    is_phone = size == PHONE
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        has_touch=is_phone,
        is_mobile=is_phone,
        java_script_enabled=has_script,
    )
    watch = Watch(urlsplit(root).netloc)
    watch.over(context)
    failed: list[str] = []
    context.on("requestfailed", lambda request: failed.append(f"{request.failure} {request.url}"))
    context.on("response", lambda got: failed.append(got.url) if got.status >= 400 else None)
    try:
        page = context.new_page()
        page.goto(root + "index.html")
        yield page
    finally:
        context.close()
    assert not watch.trouble, "\n".join(watch.trouble)
    # What is under way when a page is left is given up.
    assert [told for told in failed if "ERR_ABORTED" not in told] == []


def wait_in(page: Page, is_so: str) -> None:
    """Return as soon as the expression holds; Playwright's own way needs `eval`: forbidden here."""
    wait_until(lambda: bool(page.evaluate(is_so)), f"never in {page.url}: {is_so}")


IN_VIEW = """() => [...document.images].filter(image => {
    const box = image.getBoundingClientRect()
    return box.width && box.top < innerHeight && box.bottom > 0
})"""


def pictures(page: Page) -> list[int]:
    """Return the widths of all pictures that are in view, once they are loaded."""
    wait_in(page, f"({IN_VIEW})().every(image => image.naturalWidth)")
    return list(page.evaluate(f"({IN_VIEW})().map(image => image.naturalWidth)"))


@BOTH
@SCRIPT
def test_the_way_from_the_cameras_to_a_picture_and_on(
    chromium: Browser, home: Home, root: str, size: tuple[int, int], has_script: bool
) -> None:
    """Cameras, a camera, its day, a picture, the next: all by links, each with its pictures."""
    with visiting(chromium, root, size, has_script) as page:
        expect(page.get_by_role("heading", name="Cameras")).to_be_visible()
        page.get_by_role("article", name=PORCH).get_by_role("link", name=PORCH, exact=True).click()
        expect(page.get_by_role("heading", name=PORCH)).to_be_visible()
        page.get_by_role("link", name="Thursday 19 November 2026").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("3 pictures, 1 clip")
        page.locator(".tile").last.click()
        title = page.get_by_role("heading", level=1)
        expect(title).to_contain_text("Thursday 19 November 2026, 12:00:00")
        full = page.locator("img.full")
        full.wait_for()
        for moment in ("12:01:00", "12:10:00", "12:40:00", "Friday 20 November 2026, 11:59:58"):
            page.get_by_role("link", name="Later").click()
            expect(title).to_contain_text(moment, timeout=30_000)
        page.get_by_role("link", name="Earlier").click()
        expect(title).to_contain_text("Thursday 19 November 2026, 12:40:00")
        page.get_by_role("link", name="Day", exact=True).click()
        expect(page.locator(".tile:target")).to_contain_text("12:40:00")


@BOTH
def test_pictures_show_and_nothing_overflows(
    chromium: Browser, home: Home, root: str, size: tuple[int, int]
) -> None:
    """On each kind of page all pictures in view have loaded, and none is wider than the window."""
    day = f"{GATE}/2026-11-20"
    one = home.page_of(snapshot_path(PORCH, NOON)).relative_to(home.site).as_posix()
    with visiting(chromium, root, size) as page:
        for name in ("index.html", f"{PORCH}/index.html", f"{day}/index.html", one):
            page.goto(root + name)
            widths = pictures(page)
            assert widths, name
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= size[0], name


@pytest.mark.parametrize("ending", ["mp4", "dav"])
@SCRIPT
def test_clips_play(
    chromium: Browser, home: Home, root: str, ending: str, has_script: bool
) -> None:
    """A clip that browsers play as it is, and one packed anew; both with script and without."""
    start = later(-2) if ending == "mp4" else later(600)
    path = clip_path(PORCH, start, later(4 if ending == "mp4" else 604), ending)
    name = home.page_of(path).relative_to(home.site).as_posix()
    with visiting(chromium, root, has_script=has_script) as page:
        page.goto(root + name)
        video = page.locator("video")
        expect(video).to_be_visible()
        video.evaluate("video => { video.muted = true; return video.play() }")
        page.wait_for_timeout(300)
        assert video.evaluate("video => [video.error, video.videoWidth > 0]") == [None, True]
        # Python's own web server knows no ranges, without which nothing can be sought.
        if has_script and root.startswith("file:"):
            page.locator("[data-at]").last.click()
            at = float(page.locator("[data-at]").last.get_attribute("data-at") or 0)
            assert video.evaluate("video => video.currentTime") >= at > 0


def test_keys_and_swipes_step(chromium: Browser, home: Home, root: str) -> None:
    """Arrow keys step through pictures and days, Escape leads up, a swipe is a step."""
    name = home.page_of(snapshot_path(PORCH, later(60))).relative_to(home.site).as_posix()
    with visiting(chromium, root, PHONE) as page:
        page.goto(root + name)
        page.keyboard.press("ArrowLeft")
        arrived(page, "12:00:02")
        page.keyboard.press("ArrowRight")
        arrived(page, "12:01:00")
        swipe(page, 300, 60)
        arrived(page, "12:10:00")
        page.keyboard.press("Escape")
        arrived(page, "Friday 20 November 2026")
        page.keyboard.press("ArrowLeft")
        arrived(page, "Thursday 19 November 2026")


def arrived(page: Page, title: str) -> None:
    """Return when a page of that title is there, its script at work."""
    expect(page.get_by_role("heading", level=1)).to_contain_text(title, timeout=30_000)
    page.wait_for_load_state("load")


def swipe(page: Page, start: int, end: int) -> None:
    """Draw a finger over the picture from `start` to `end`, in pixels from the left."""
    page.locator(".stage").evaluate(
        """(stage, [start, end]) => {
            const touch = x => new Touch({identifier: 1, target: stage, clientX: x, clientY: 200})
            stage.dispatchEvent(new TouchEvent("touchstart", {touches: [touch(start)]}))
            stage.dispatchEvent(new TouchEvent("touchend", {changedTouches: [touch(end)]}))
        }""",
        [start, end],
    )


def test_hostile_names_open_from_disk(chromium: Browser, home: Home) -> None:
    """A picture whose path holds blanks, #, ?, % and bytes that are no UTF-8 is shown."""
    media = home.library.media()
    odd = media[media["path"].str.startswith("b%FFrn")]["path"].iloc[0]
    name = home.page_of(odd).relative_to(home.site).as_posix()
    root = "file://" + quote(str(home.site)) + "/"
    with visiting(chromium, root) as page:
        page.goto(root + name)
        assert page.locator("img.full").evaluate("image => image.naturalWidth") == 320


DOCS = Path(__file__).parents[1] / "docs" / "site.md"
SERVER = """
pid "{folder}/pid"; daemon off; error_log "{folder}/error.log"; events {{ }}
http {{
    include /etc/nginx/mime.types; access_log off;
    client_body_temp_path "{folder}/b"; proxy_temp_path "{folder}/p";
    fastcgi_temp_path "{folder}/f"; uwsgi_temp_path "{folder}/u"; scgi_temp_path "{folder}/s";
    server {{ listen 127.0.0.1:{port}; {recipe} }}
}}
"""


@contextmanager
def nginx(home: Home, folder: Path) -> Iterator[str]:
    """Serve a site at `folder`/www as the documentation says; the password is `pass`."""
    port, text = free_port(), DOCS.read_text("utf-8")
    recipe = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)[0]
    for told, real in (
        ("/srv/pano-site/", f'"{folder}/www/"'),
        ("/srv/ftp/", f'"{home.uploads}/"'),
        ("/etc/nginx/cameras.htpasswd", f"{folder}/users"),
    ):
        assert told in recipe
        recipe = recipe.replace(told, real)
    (folder / "users").write_text("anna:{PLAIN}pass\n")
    (folder / "conf").write_text(SERVER.format(folder=folder, port=port, recipe=recipe))
    folder.chmod(0o755)
    process = subprocess.Popen(["nginx", "-c", str(folder / "conf"), "-g", "user root;"])
    try:
        wait_until(lambda: _answers(port), "nginx does not answer")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.mark.skipif(
    shutil.which("nginx") is None or os.geteuid() != 0, reason="nginx is not here, or may not read"
)
def test_nginx_as_documented(chromium: Browser, home: Home, tmp_path: Path) -> None:
    """With the recipe of the documentation: a password is asked for, odd names show, clips seek."""
    update(home.settings(media_url="/uploads/"), tmp_path / "www")
    names = {path.name: path.relative_to(tmp_path / "www") for path in tmp_path.rglob("*.html")}
    media = home.library.media()
    odd = media[media["path"].str.startswith("b%FFrn")]["media_id"].iloc[0]
    clip = home.page_of(clip_path(PORCH, later(-2), later(4), "mp4")).name
    with nginx(home, tmp_path) as url:
        refused = chromium.new_page()
        for place in ("/cameras/index.html", "/uploads/porch/x.jpg"):
            assert refused.request.get(url + place).status == 401
        refused.close()
        context = chromium.new_context(http_credentials={"username": "anna", "password": "pass"})
        page = context.new_page()
        page.goto(f"{url}/cameras/{names[f'{odd}.html']}")
        assert page.locator("img.full").evaluate("image => image.naturalWidth") == 320
        page.goto(f"{url}/cameras/{names[clip]}")
        page.locator("[data-at]").last.click()
        wait_in(page, "document.querySelector('video').currentTime >= 5")
        assert page.request.get(f"{url}/cameras/.pano-site.json").status == 403
        context.close()


def test_both_themes(chromium: Browser, home: Home) -> None:
    """The page is as light or dark as its visitor's system."""
    shades = []
    for scheme in ("light", "dark"):
        context = chromium.new_context(color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto("file://" + quote(str(Path(home.site) / "index.html")))
        shades.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        context.close()
    assert shades == ["rgb(245, 246, 248)", "rgb(14, 17, 22)"]
