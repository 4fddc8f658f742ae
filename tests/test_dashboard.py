"""The dashboard as a visitor meets it: a real server, a real browser, desktop and phone size."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import pytest
from playwright.sync_api import Browser, Page, expect
from serving import (
    DESKTOP,
    PANO,
    PHONE,
    Served,
    Watch,
    clip_path,
    make_clip,
    make_picture,
    serving,
    snapshot_path,
)

import pano_analytics

FRONT, EVIL = "front_door", "<img src=x onerror=alert(1)>"
NOON = datetime(2026, 11, 20, 12, 10)
ZONE = "Europe/Berlin"
SETTINGS = """
uploads = "{uploads}"
library = "{library}"
zone = "{zone}"

[[cameras]]
name = "front_door"
description = "Porch & <b>path</b>"
admin_url = "http://admin:secret@192.168.1.20/"
live_url = "https://192.168.1.20/live?user=admin&password=secret&channel=1"

[[cameras]]
name = "never"
"""

Visit = Callable[..., Page]


# --- uploads: two cameras, two days, one moment with everything, and what goes wrong


def fill(uploads: Path) -> None:
    """Write the uploads that the tests below know of."""
    for hour in range(20):
        when = NOON - timedelta(hours=hour)
        for camera in (FRONT, EVIL):
            make_picture(uploads / snapshot_path(camera, when), shade=20 + hour * 5)
    make_clip(uploads / clip_path(FRONT, NOON - timedelta(seconds=4), 10), seconds=9)
    make_picture(uploads / snapshot_path(FRONT, NOON + timedelta(seconds=2)), size=(1280, 720))
    cut = make_picture(uploads / snapshot_path(FRONT, NOON - timedelta(minutes=5)))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    make_picture(uploads / snapshot_path(FRONT, NOON - timedelta(minutes=6))).write_bytes(b"no")
    make_hevc(uploads / clip_path(FRONT, NOON - timedelta(minutes=30), 2))


def make_hevc(path: Path) -> None:
    """Write a clip in the coding that Debian's Chromium does not play."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx265", rate=10, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(20):
            frame = av.VideoFrame(320, 180, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([60 + number * 5]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def make_home(folder: Path) -> Path:
    """Return a settings file whose library has been filled."""
    uploads, config = folder / "uploads", folder / "pano.toml"
    fill(uploads)
    config.write_text(SETTINGS.format(uploads=uploads, library=folder / "library", zone=ZONE))
    ingest(config)
    return config


def ingest(config: Path, *options: str) -> None:
    command = [*PANO, "ingest", "--quiet", "--config", str(config), *options]
    subprocess.run(command, check=True, timeout=60)


@contextmanager
def serving_home(config: Path, folder: Path) -> Iterator[Served]:
    command = [*PANO, "serve", "--config", str(config)]
    with serving(folder / "library", folder, command=command) as server:
        yield server


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The settings file of a filled library, shared by tests that only read."""
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def site(home: Path) -> Iterator[Served]:
    """`pano serve` on that library."""
    with serving_home(home, home.parent) as server:
        yield server


def ready(page: Page) -> Page:
    """Return `page` once it is drawn and tied to the server."""
    page.wait_for_function("document.documentElement.dataset.connected === 'true'")
    return page


def headline(page: Page) -> Any:
    return page.locator(".gallery h2")


def cell_of(page: Page, camera: str, when: datetime) -> Any:
    return page.locator(f'.cell[data-key="{camera} {when:%Y-%m-%dT%H}"]')


def moment_tile(page: Page) -> Any:
    """Return the tile of the moment that has a clip with snapshots."""
    return page.locator(".tile:has(.length):has(.stack)").first


def video(page: Page, what: str) -> Any:
    return page.evaluate(f"document.querySelector('dialog video').{what}")


BOTH = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])


# --- overview


def test_overview_shows_each_camera(visit: Visit, site: Served) -> None:
    """A camera's card has its latest picture, when, how many today, silence, its text and links."""
    page = ready(visit(site.url))
    card = page.get_by_role("article", name=FRONT)
    expect(card.locator("img")).to_have_js_property("complete", True)
    assert card.locator("img").evaluate("image => image.naturalWidth") > 0
    expect(card).to_contain_text("20 Nov")
    expect(card).to_contain_text("Porch & <b>path</b>")
    expect(card.get_by_role("link", name="Settings")).to_have_attribute(
        "href", "http://192.168.1.20/"
    )
    live = card.get_by_role("link", name="Live").get_attribute("href")
    assert live == "https://192.168.1.20/live?channel=1"
    expect(page.get_by_role("article", name="never")).to_contain_text("No uploads yet")
    expect(page.get_by_role("article", name="never")).to_contain_text("Silent")


def test_no_password_and_no_markup_of_names_reaches_the_page(visit: Visit, site: Served) -> None:
    """Passwords in links are nowhere in the page, and a name that is HTML is shown as text."""
    page = ready(visit(site.url))
    assert "secret" not in page.content()
    expect(page.get_by_role("article", name=EVIL)).to_contain_text(EVIL)
    assert page.locator('img[src="x"]').count() == 0


# --- selection and address


@BOTH
def test_heatmap_cell_filters_the_gallery_and_back_undoes_it(
    visit: Visit, site: Served, size: tuple[int, int]
) -> None:
    """A click on an hour shows that hour; the address says so; Back and Forward follow."""
    page = ready(visit(site.url, size))
    all_of_it = headline(page).inner_text()
    cell_of(page, FRONT, NOON).click()
    expect(headline(page)).to_have_text("5 files: 4 snapshots, 1 clip")
    assert "camera=front_door&from=2026-11-20T12&to=2026-11-20T13" in page.url
    page.go_back()
    expect(headline(page)).to_have_text(all_of_it)
    page.go_forward()
    expect(headline(page)).to_have_text("5 files: 4 snapshots, 1 clip")


@BOTH
def test_a_link_opened_anew_shows_the_same(
    visit: Visit, site: Served, size: tuple[int, int]
) -> None:
    """Selection and open item are in the address alone: another browser sees the same."""
    page = ready(visit(site.url, size))
    cell_of(page, FRONT, NOON).click()
    expect(headline(page)).to_have_text("5 files: 4 snapshots, 1 clip")
    moment_tile(page).click()
    expect(page.locator("dialog video")).to_be_visible()
    again = ready(visit(page.url, size))
    expect(again.locator("dialog video")).to_be_visible()
    shown = page.locator(".viewer .title").text_content()
    expect(again.locator(".viewer .title")).to_have_text(shown or "")
    again.keyboard.press("Escape")
    expect(headline(again)).to_have_text("5 files: 4 snapshots, 1 clip")


def test_heatmap_is_reachable_by_keyboard(visit: Visit, site: Served) -> None:
    """One tab stop a heatmap, arrows between its hours, Enter selects; each says what it holds."""
    page = ready(visit(site.url))
    stop = page.locator('.heatmap:first-child [data-roam][tabindex="0"]')
    assert stop.count() == 1
    cell_of(page, FRONT, NOON - timedelta(hours=1)).focus()
    page.keyboard.press("ArrowRight")
    focused = page.locator(":focus")
    expect(focused).to_have_attribute(
        "aria-label", re.compile("12:00 to 13:00: 4 snapshots, 1 clip")
    )
    page.keyboard.press("Enter")
    expect(headline(page)).to_have_text("5 files: 4 snapshots, 1 clip")
    expect(page.locator(":focus")).to_have_attribute("aria-current", "true")


def test_bad_values_in_the_address_are_named_and_the_rest_holds(visit: Visit, site: Served) -> None:
    """Garbage is left out with a notice each; what is good in the same address still counts."""
    search = "?camera=nobody&camera=front_door&from=soon&kind=clip&t=x&item=..%2F..%2Fetc"
    page = ready(visit(site.url + "/" + search))
    expect(headline(page)).to_have_text("2 files: 0 snapshots, 2 clips")
    expect(page.locator(".notices p")).to_have_count(4)
    expect(page.locator(".notices")).to_contain_text("There is no camera named “nobody”.")


def test_an_empty_range_says_so_and_leads_to_what_is_nearest(visit: Visit, site: Served) -> None:
    """Nothing found is said in words, with links to the uploads before and after."""
    page = ready(visit(f"{site.url}/?from=2026-11-25&to=2026-11-26"))
    expect(page.locator(".empty")).to_contain_text("No files in this range")
    page.get_by_role("link", name="Closest earlier: Fri 20 Nov, 12:10").click()
    expect(headline(page)).to_contain_text("files:")
    assert "from=2026-11-20T12" in page.url


def test_range_kind_and_camera_can_be_chosen_in_the_bar(visit: Visit, site: Served) -> None:
    """Range inputs, stepping, kind and camera chips each change gallery and address."""
    page = ready(visit(f"{site.url}/?from=2026-11-20&to=2026-11-21"))
    page.get_by_role("link", name="Clips", exact=True).click()
    expect(headline(page)).to_have_text("2 files: 0 snapshots, 2 clips")
    page.get_by_role("navigation", name="Cameras").get_by_text(EVIL).click()
    expect(headline(page)).to_have_text("No files")
    page.get_by_role("navigation", name="Kind").get_by_text("All").click()
    expect(headline(page)).to_contain_text("13 files")
    page.get_by_role("link", name=re.compile("^Earlier")).click()
    expect(headline(page)).to_contain_text("7 files")
    assert "from=2026-11-19&to=2026-11-20" in page.url
    page.locator(".range summary").click()
    page.get_by_label("From").fill("2026-11-20T11:30")
    page.get_by_label("To", exact=True).fill("2026-11-20T12:30")
    page.get_by_role("button", name="Show").click()
    expect(headline(page)).to_have_text("1 file: 1 snapshot, 0 clips")
    assert "from=2026-11-20T11:30&to=2026-11-20T12:30" in page.url


# --- the viewer


@BOTH
def test_a_thumbnail_opens_its_clip_and_it_plays(
    visit: Visit, site: Served, size: tuple[int, int]
) -> None:
    """A moment's tile opens the clip, which runs by itself, has its real length and seeks."""
    page = ready(visit(site.url, size))
    moment_tile(page).click()
    page.wait_for_function("document.querySelector('dialog video')?.currentTime > 0.3")
    assert video(page, "duration") == pytest.approx(9, abs=0.2)
    page.locator(".seek").evaluate(
        "bar => { bar.value = 500; bar.dispatchEvent(new Event('input')) }"
    )
    page.wait_for_function("document.querySelector('dialog video').currentTime > 4.4")
    page.go_back()
    expect(page.locator("dialog.viewer")).to_be_hidden()


def test_key_frames_seek_and_snapshots_lead_into_the_clip(
    visit: Visit, site: Served, home: Path
) -> None:
    """The strip has key frames and snapshots; a snapshot's clip starts at its own moment."""
    page = ready(visit(site.url))
    moment_tile(page).click()
    clip = page.url.partition("item=")[2]
    frames = pano_analytics.open(home).frames(clip)
    expect(page.locator(".strip .key")).to_have_count(len(frames))
    expect(page.locator(".strip .still")).to_have_count(2)
    page.locator(".strip .key").nth(5).click()
    page.wait_for_function("document.querySelector('dialog video').currentTime >= 5")
    page.locator(".strip .still").last.click()
    picture = page.locator(".stage img.full")
    expect(picture).to_have_js_property("naturalWidth", 1280)
    page.get_by_role("link", name="Play the clip from 12:10:02").click()
    # Ten seconds by its times are nine in the file, and the snapshot came after six.
    page.wait_for_function("document.querySelector('dialog video')?.currentTime >= 5.3")
    assert video(page, "currentTime") < 7.5


def test_the_picture_zooms_and_pans(visit: Visit, site: Served) -> None:
    """Wheel, double click, keys and drag: the point under the pointer stays, 0 shows all again."""
    page = ready(visit(f"{site.url}/?mode=files&kind=snapshot"))
    page.locator(".tile").first.click()
    expect(page.locator(".stage img.full")).to_be_visible()
    stage = page.locator(".stage")
    box = stage.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.wheel(0, -600)
    page.wait_for_function("Number(document.querySelector('.stage').dataset.scale) > 1.5")
    before = page.locator(".sheet").evaluate("sheet => sheet.style.transform")
    page.mouse.down()
    page.mouse.move(x + 60, y + 20)
    page.mouse.up()
    assert page.locator(".sheet").evaluate("sheet => sheet.style.transform") != before
    page.keyboard.press("0")
    expect(stage).to_have_attribute("data-scale", "1.00")
    page.mouse.dblclick(x, y)
    expect(stage).to_have_attribute("data-scale", "3.00")
    page.keyboard.press("-")
    page.keyboard.press("-")
    page.keyboard.press("-")
    page.keyboard.press("-")
    expect(stage).to_have_attribute("data-scale", "1.00")


@pytest.mark.parametrize("width", [320, 390, 430])
@pytest.mark.parametrize("kind", ["clip", "snapshot"])
def test_the_viewer_closes_from_its_first_line_on_a_phone(
    visit: Visit, site: Served, width: int, kind: str, tmp_path: Path
) -> None:
    """The close button stands beside the title, not on a line of its own; all fits the width."""
    page = ready(visit(f"{site.url}/?mode=files&kind={kind}", (width, 780)))
    page.locator(".tile").first.click()
    expect(page.locator(".viewer header .downloads a").first).to_be_visible()
    title = page.locator(".viewer .title b").bounding_box()
    close = page.get_by_role("button", name="Close (Esc)").bounding_box()
    assert title is not None
    assert close is not None
    assert close["y"] < title["y"] + title["height"]
    assert close["x"] + close["width"] <= width
    lines = page.locator(
        ".viewer > header > .button:not(.close), .viewer .downloads a"
    ).evaluate_all(
        "all => new Set(all.map(one => Math.round(one.getBoundingClientRect().top / 20))).size"
    )
    page.screenshot(path=tmp_path / "viewer.png")
    place = page.locator(".viewer .place").bounding_box()
    assert place is not None
    assert place["y"] > close["y"] + close["height"] / 2
    assert lines == 1 or width < 360


def test_two_fingers_zoom_on_a_phone(visit: Visit, site: Served) -> None:
    """Spreading two fingers enlarges the picture between them."""
    page = ready(visit(f"{site.url}/?mode=files&kind=snapshot", PHONE))
    page.locator(".tile").first.tap()
    expect(page.locator(".stage img.full")).to_be_visible()
    page.locator(".stage").evaluate(
        """stage => {
          const box = stage.getBoundingClientRect()
          const [x, y] = [box.x + box.width / 2, box.y + box.height / 2]
          const send = (type, id, dx) => stage.dispatchEvent(new PointerEvent(type, {
            pointerId: id, pointerType: 'touch', clientX: x + dx, clientY: y, bubbles: true }))
          stage.setPointerCapture = () => {}
          send('pointerdown', 1, -20); send('pointerdown', 2, 20)
          send('pointermove', 1, -60); send('pointermove', 2, 60)
          send('pointerup', 1, -60); send('pointerup', 2, 60)
        }"""
    )
    scale = float(page.locator(".stage").get_attribute("data-scale") or 0)
    assert scale == pytest.approx(3, rel=0.05)


def test_arrows_walk_through_the_pictures_and_escape_returns(visit: Visit, site: Served) -> None:
    """Right and left step along the gallery; Esc closes and puts the focus where one got to."""
    page = ready(visit(site.url))
    page.locator(".tile").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".viewer .place")).to_have_text(re.compile("^1 of "))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".viewer .place")).to_have_text(re.compile("^3 of "))
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".viewer .place")).to_have_text(re.compile("^2 of "))
    page.keyboard.press("Escape")
    expect(page.locator("dialog.viewer")).to_be_hidden()
    assert "item=" not in page.url
    keys = page.locator(".tile").evaluate_all("tiles => tiles.map(tile => tile.dataset.key)")
    assert page.locator(":focus").get_attribute("data-key") == keys[1]


def test_downloads_are_whole_and_play_elsewhere(visit: Visit, site: Served, home: Path) -> None:
    """The MP4 opens in another program with all its pictures; the original is byte for byte."""
    page = ready(visit(site.url))
    moment_tile(page).click()
    with page.expect_download() as asked:
        page.get_by_role("link", name="MP4").click()
    assert asked.value.suggested_filename.endswith(".mp4")
    with av.open(BytesIO(asked.value.path().read_bytes())) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 90
    with page.expect_download() as asked:
        page.get_by_role("link", name="Original").click()
    original = home.parent / "uploads" / clip_path(FRONT, NOON - timedelta(seconds=4), 10)
    assert asked.value.path().read_bytes() == original.read_bytes()


def test_hevc_gets_a_message_the_download_and_a_transcode(visit: Visit, site: Served) -> None:
    """Where the browser cannot play it, words and a way out; converted on request it plays."""
    page = ready(visit(f"{site.url}/?kind=clip&to=2026-11-20T12"))
    page.locator(".tile").click()
    expect(page.locator(".message")).to_contain_text("does not play HEVC")
    expect(page.locator(".message").get_by_role("link", name="Download")).to_be_visible()
    page.get_by_role("button", name="Convert and play").click()
    page.wait_for_function("document.querySelector('dialog video').currentTime > 0.2")
    expect(page.locator(".message")).to_be_hidden()


@pytest.mark.parametrize(
    ("state", "words"),
    [("partial", "1 partial"), ("damaged", "1 could not be read")],
)
def test_what_is_not_whole_is_said_in_words(
    visit: Visit, site: Served, state: str, words: str
) -> None:
    """Partial and unreadable files are counted, can be filtered, and carry a badge."""
    page = ready(visit(site.url))
    page.locator(".problems").get_by_text(words).click()
    expect(headline(page)).to_have_text("1 file: 1 snapshot, 0 clips")
    assert f"state={state}" in page.url
    page.locator(".tile").click()
    expect(page.locator(".viewer .title .badge")).to_be_visible()
    if state == "damaged":
        expect(page.locator(".note")).to_contain_text("Nothing in this file can be read")


# --- the page as a whole


def test_the_calls_shown_give_what_is_shown(visit: Visit, site: Served, home: Path) -> None:
    """Each "as DataFrame" line runs as it stands, and answers with the rows of the figure."""
    page = ready(visit(f"{site.url}/?camera=front_door&from=2026-11-20T12&kind=snapshot"))
    library = pano_analytics.open(home)
    calls = page.locator(".frame code").all_text_contents()
    assert len(calls) == 3
    frames = [eval(call, {"library": library}) for call in calls]
    assert frames[0]["camera"].tolist() == [FRONT, "never", EVIL]
    assert set(frames[1].columns) == {"camera", "bucket", "snapshots", "clips"}
    assert (
        headline(page).inner_text()
        == f"{len(frames[2])} files: {len(frames[2])} snapshots, 0 clips"
    )


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_the_browsers_zone_shifts_nothing(chromium: Browser, site: Served, zone: str) -> None:
    """The same times and days stand in the page wherever the visitor is."""
    context = chromium.new_context(timezone_id=zone, locale="en-US")
    page = context.new_page()
    page.goto(f"{site.url}/?from=2026-11-20T12&to=2026-11-20T13&camera=front_door")
    ready(page)
    expect(page.locator(".tile").first).to_contain_text("12:09:56")
    expect(page.locator(".tiles h3").first).to_contain_text("Friday 20 November 2026")
    page.locator(".tile").first.click()
    expect(page.locator(".viewer .title")).to_contain_text("12:09:56 – 12:10:06 CET")
    context.close()


def test_theme_follows_the_system_and_the_choice_is_kept(chromium: Browser, site: Served) -> None:
    """Dark where the system is dark; a press on the button changes that for good."""
    context = chromium.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(site.url)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Dark or light").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    context.close()


@BOTH
def test_nothing_sticks_out_of_the_window(
    visit: Visit, site: Served, size: tuple[int, int]
) -> None:
    """No part is wider than the window, and the bar stays in view while one scrolls."""
    page = ready(visit(f"{site.url}/?mode=files", size))
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_function("scrollY > 300")
    assert page.locator("#pano-bar").evaluate("bar => bar.getBoundingClientRect().top") == 0


# Every element with words of its own whose colour is too close to what lies behind it (WCAG AA).
FAINT = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
  const parse = text => {
    canvas.clearRect(0, 0, 1, 1)
    canvas.fillStyle = text
    canvas.fillRect(0, 0, 1, 1)
    return [...canvas.getImageData(0, 0, 1, 1).data]
  }
  const light = colour => colour.slice(0, 3).map(value => value / 255)
    .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0)
  const up = element => element ? [element, ...up(element.parentElement)] : []
  const behind = element => up(element).map(one => parse(getComputedStyle(one).backgroundColor))
    .find(colour => colour[3] > 128) ?? [255, 255, 255]
  const contrast = element => {
    const opacity = up(element).reduce((product, one) => product * getComputedStyle(one).opacity, 1)
    const ground = behind(element)
    const text = parse(getComputedStyle(element).color)
      .map((value, index) => value * opacity + (ground[index] ?? 0) * (1 - opacity))
    const [low, high] = [light(text), light(ground)].sort((a, b) => a - b)
    return (high + 0.05) / (low + 0.05)
  }
  const speaks = element => [...element.childNodes]
    .some(node => node.nodeType === 3 && node.data.trim())
  return [...document.querySelectorAll('body *:not(script, style)')]
    .filter(element => speaks(element) && element.checkVisibility({ opacityProperty: true }))
    .filter(element => contrast(element) < 4.5)
    .map(element => `${element.className}: ${element.textContent}`)
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read(chromium: Browser, site: Served, scheme: str) -> None:
    """All text has the contrast of WCAG AA, in both themes, dimmed heatmaps and viewer included."""
    context = chromium.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{site.url}/?camera=front_door&state=partial&camera=nobody")
    ready(page)
    expect(page.locator(".heatmap.dimmed").first).to_be_visible()
    assert page.evaluate("document.querySelectorAll('.heatmap figcaption').length") == 3
    assert page.evaluate(FAINT) == []
    page.locator(".tile").first.click()
    expect(page.locator(".viewer aside dl")).to_be_visible()
    assert page.evaluate(FAINT) == []
    context.close()


def test_the_keys_are_shown_on_request(visit: Visit, site: Served) -> None:
    """`?` shows the keys, Esc hides them."""
    page = ready(visit(site.url))
    page.keyboard.press("?")
    expect(page.locator("dialog.help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.help")).to_be_hidden()


# --- libraries of their own


def test_new_uploads_appear_and_nothing_is_lost(chromium: Browser, tmp_path: Path) -> None:
    """An upload ingested while the page is open appears; the open item and the place stay."""
    config = make_home(tmp_path)
    with serving_home(config, tmp_path) as server:
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        watch = Watch(server.url.removeprefix("http://"))
        watch.over(context)
        page = context.new_page()
        page.goto(f"{server.url}/?mode=files")
        ready(page)
        page.mouse.wheel(0, 900)
        tile = page.locator(".tile").nth(12)
        tile.scroll_into_view_if_needed()
        key = tile.get_attribute("data-key")
        top = tile.evaluate("tile => tile.getBoundingClientRect().top")
        before = headline(page).inner_text()
        for minute in range(1, 9):
            late = NOON + timedelta(minutes=minute)
            make_picture(tmp_path / "uploads" / snapshot_path(FRONT, late))
        ingest(config)
        expect(headline(page)).not_to_have_text(before, timeout=15_000)
        place = page.locator(f'.tile[data-key="{key}"]')
        assert place.evaluate("tile => tile.getBoundingClientRect().top") == pytest.approx(
            top, abs=2
        )
        expect(page.get_by_role("button", name="8 new")).to_be_visible()
        context.close()
        assert not watch.trouble


def test_after_a_restart_the_page_comes_back_with_its_selection(
    chromium: Browser, home: Path, tmp_path: Path
) -> None:
    """The server ends and starts again: the page recovers by itself and shows the same."""
    context = chromium.new_context()
    page = context.new_page()
    with serving_home(home, tmp_path) as server:
        page.goto(f"{server.url}/?camera=front_door&from=2026-11-20T12&to=2026-11-20T13")
        ready(page)
        page.evaluate("window.isOld = true")
    expect(page.locator("#pano-lost")).to_be_visible()
    port = server.url.rpartition(":")[2]
    command = [*PANO, "serve", "--config", str(home), "--port", port]
    again = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        page.wait_for_function("!window.isOld", timeout=30_000)
        ready(page)
        expect(headline(page)).to_have_text("5 files: 4 snapshots, 1 clip")
    finally:
        again.terminate()
        again.wait(60)
        context.close()


def test_in_the_repeated_hour_tiles_are_what_happened_together(
    visit: Visit, tmp_path: Path
) -> None:
    """The clock of the house goes from 2:20 to 2:05, 45 minutes later: another tile."""
    uploads, config = tmp_path / "uploads", tmp_path / "pano.toml"
    for minute, second, in_utc in ((20, 0, 0), (20, 20, 0), (5, 0, 1), (20, 30, 1)):
        path = make_picture(
            uploads / snapshot_path(FRONT, datetime(2026, 10, 25, 2, minute, second))
        )
        arrived = datetime(2026, 10, 25, in_utc, minute, second, tzinfo=UTC).timestamp() + 5
        os.utime(path, (arrived, arrived))
    library = tmp_path / "library"
    config.write_text(SETTINGS.format(uploads=uploads, library=library, zone="Europe/Berlin"))
    ingest(config)
    with serving_home(config, tmp_path) as server:
        page = ready(visit(f"{server.url}/?from=2026-10-25&to=2026-10-26"))
        expect(headline(page)).to_have_text("4 files: 4 snapshots, 0 clips")
        expect(page.locator(".tile")).to_have_count(3)
        labels = page.locator(".tile").evaluate_all(
            "all => all.map(one => one.getAttribute('aria-label'))"
        )
        assert [", with 1 snapshot" in label for label in labels] == [False, False, True], labels
        page.goto("about:blank")


def test_thousands_stay_light_and_an_empty_library_says_so(visit: Visit, tmp_path: Path) -> None:
    """Before the first upload the page waits in words; with 5,000 few tiles exist at a time."""
    uploads, config = tmp_path / "uploads", tmp_path / "pano.toml"
    uploads.mkdir()
    config.write_text(SETTINGS.format(uploads=uploads, library=tmp_path / "library", zone=ZONE))
    with serving_home(config, tmp_path) as server:
        page = ready(visit(f"{server.url}/?mode=files"))
        expect(page.locator(".empty")).to_contain_text("No uploads yet")
        picture = make_picture(tmp_path / "one.jpg", size=(64, 36)).read_bytes()
        for number in range(5_000):
            path = uploads / snapshot_path(FRONT, NOON - timedelta(seconds=20 * number))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture)
        ingest(config, "--no-inspect")
        expect(headline(page)).to_have_text("5,000 files: 5,000 snapshots, 0 clips", timeout=15_000)
        page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_function("scrollY > 20000")
        expect(page.locator(".tile").last).to_be_in_viewport()
        assert page.locator(".tile").count() < 120
        expect(page.locator(".problems")).to_contain_text("5,000 not opened yet")
        # What the page says once the server is gone is another test's.
        page.goto("about:blank")
