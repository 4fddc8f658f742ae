"""The addresses of uploads, clips and thumbnails: what they give, and what they never give."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import (
    DAY,
    GARDEN,
    Answer,
    Served,
    address_of,
    ask,
    clip_path,
    ingest,
    make_clip,
    make_picture,
    rows,
    serving,
    snapshot_path,
)

import pano_analytics
from pano_analytics.dashboard.routes import disposition
from pano_analytics.formats.sniff import media_type
from pano_analytics.model.upload import Upload
from pano_analytics.present import download_name


def test_the_upload_comes_byte_for_byte(served: Served) -> None:
    """/media is the file itself, with its kind, its length and a name that says what it is."""
    row = rows(served.library)["snapshot"]
    answer = ask(served.url, address_of(row))
    assert answer.body == pano_analytics.open(served.library).source(row).read_bytes()
    assert answer.headers["content-type"] == "image/jpeg"
    name = f"front_door_{DAY:%Y-%m-%d_%H-%M-%S}.jpg"
    assert answer.headers["content-disposition"] == f'inline; filename="{name}"'
    saved = ask(served.url, address_of(row) + "?download=1")
    assert saved.headers["content-disposition"] == f'attachment; filename="{name}"'


def test_the_clip_comes_as_mp4(served: Served) -> None:
    """/clip is an MP4 that browsers play."""
    row = rows(served.library)["clip"]
    answer = ask(served.url, address_of(row, "clip", ".mp4"))
    assert answer.status == 200
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.body[4:8] == b"ftyp"


def test_a_thumbnail_is_sent_once(served: Served) -> None:
    """Packs never change: a browser that has a thumbnail is only told that it may show it."""
    row = rows(served.library)["snapshot"]
    path = f"/thumb/{row['thumb']}.jpg"
    answer = ask(served.url, path)
    assert answer.body == pano_analytics.open(served.library).thumbnail_bytes(row["thumb"])
    assert answer.headers["cache-control"] == "private, no-cache"
    again = ask(served.url, path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_a_camera_of_any_name_is_served(served: Served) -> None:
    """A name with umlauts, a space and an ampersand works, and names its downloads in full."""
    frame = pano_analytics.open(served.library).media(camera=GARDEN, kind="snapshot")
    row = dict(frame.iloc[0])
    said = ask(served.url, address_of(row)).headers["content-disposition"]
    plain, full = re.findall(r"filename\*?=(\S+?)(?:;|$)", said)
    assert plain == '"G_rten_Hof_2026-11-20_14-23-11.jpg"'
    assert unquote(full.removeprefix("UTF-8''")) == "Gärten_Hof_2026-11-20_14-23-11.jpg"
    assert ask(served.url, f"/thumb/{row['thumb']}.jpg").status == 200


@pytest.mark.parametrize("place", ["media", "clip"])
@pytest.mark.parametrize(
    ("asked", "status", "piece"),
    [
        ("bytes=0-99", 206, slice(0, 100)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=-50", 206, slice(-50, None)),
        ("bytes=0-", 200, slice(None)),
        ("bytes=99999999-", 416, None),
        ("bytes=5-2", 416, None),
        ("lines=1-2", 200, slice(None)),
    ],
)
def test_ranges(served: Served, place: str, asked: str, status: int, piece: slice | None) -> None:
    """A player seeks by ranges: from the start, from the end, and beyond it."""
    row = rows(served.library)["clip"]
    path = address_of(row, place, ".mp4" if place == "clip" else "")
    whole = ask(served.url, path).body
    answer = ask(served.url, path, headers={"Range": asked})
    assert answer.status == status
    if piece is None:
        assert answer.headers["content-range"] == f"bytes */{len(whole)}"
    else:
        assert answer.body == whole[piece]


def test_asked_again_a_file_that_stayed_is_not_sent(served: Served) -> None:
    """ETag gives 304, HEAD the headers alone, and a range of an older version the whole file."""
    path = address_of(rows(served.library)["clip"])
    first = ask(served.url, path)
    kept = ask(served.url, path, headers={"If-None-Match": first.headers["etag"]})
    assert (kept.status, kept.body) == (304, b"")
    head = ask(served.url, path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(first.body))
    stale = ask(served.url, path, headers={"Range": "bytes=0-9", "If-Range": '"old"'})
    assert (stale.status, len(stale.body)) == (200, len(first.body))
    fresh = {"Range": "bytes=0-9", "If-Range": first.headers["etag"]}
    assert ask(served.url, path, headers=fresh).status == 206


PLACES = ["media", "clip", "thumb"]
NO_ONE = "0000000000000000"
ESCAPES = [
    "/media/../../etc/passwd",
    "/media/%2e%2e/%2e%2e/etc/passwd",
    "/media/..%2f..%2f/x/y",
    f"/media/%252e%252e/2026-11-20/{NO_ONE}",
    "/media/front_door/2026-11-20/%00",
    f"/media/%00/2026-11-20/{NO_ONE}",
    "/media/front_door/2026-11-20/../../users.json",
    f"/media/front_door/2026-02-31/{NO_ONE}",
    f"/media/front_door/0000-00-00/{NO_ONE}",
    f"/media/front_door/9999-12-31/{NO_ONE}",
    "/media/front_door/2026-11-20/000000000000000g",
    "/media/front_door/2026-11-20/'%20OR%201=1%20--",
    f"/media/%ff%fe/2026-11-20/{NO_ONE}",
    "/media/%c0%ae%c0%ae/2026-11-20/x",
    f"/media/{'a' * 3000}/2026-11-20/{NO_ONE}",
    f"/media/front%5C..%5C..%5Cdoor/2026-11-20/{NO_ONE}",
    "/clip/a/b/c.mp4",
    "/clip/a/b/c",
    "/thumb/../../users.json.jpg",
    "/thumb/%2e%2e/2026-11-20/a.pack/0-10.jpg",
    "/thumb/../2026-11-20/a.pack/0-10.jpg",
    "/thumb/front_door/2026-11-20/a.pack/0-10.jpg",
    "/thumb/front_door/2026-11-20/a.pack/x-y.jpg",
    "/thumb/front_door/2026-11-20/..%2f..%2f..%2fusers.json/0-10.jpg",
    "/thumb/%00.jpg",
    "/thumb/front_door/2026-11-20/a.pack/99999999999999999999-1.jpg",
    "/thumb/.jpg",
    f"/thumb/{'a' * 3000}/2026-11-20/a.pack/0-1.jpg",
    "/thumb//etc/passwd.jpg",
]


@pytest.mark.parametrize("path", ESCAPES)
def test_what_is_no_address_is_refused(served: Served, path: str) -> None:
    """Dots in every spelling, zero bytes, broken UTF-8, long and made-up names: 4xx, never 5xx."""
    for method in ("GET", "HEAD"):
        answer = ask(served.url, path, method)
        assert 400 <= answer.status < 500, answer
    assert len(answer.body) < 200


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=40), st.sampled_from(PLACES))
def test_any_text_as_an_address_is_refused(served: Served, text: str, place: str) -> None:
    """Whatever stands behind /media/, /clip/ or /thumb/, nothing but a real address gets a file."""
    for spelled in (quote(text, safe="/"), quote(text, safe="")):
        for path in (f"/{place}/{spelled}", f"/{place}/{spelled}/2026-11-20/x.mp4"):
            assert 400 <= ask(served.url, path).status < 500


@dataclass
class Changed:
    """A served library whose upload tree a test may change, and its rows by camera."""

    server: Served
    uploads: Path
    row: dict[str, dict[str, Any]]

    def ask(self, camera: str, place: str = "media", ending: str = "") -> Answer:
        return ask(self.server.url, address_of(self.row[camera], place, ending))

    def file(self, camera: str) -> Path:
        return self.uploads / self.row[camera]["path"]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Changed]:
    """Five cameras with a snapshot each and one with a clip, to be spoilt one by one."""
    folder = tmp_path_factory.mktemp("changed")
    uploads, library = folder / "uploads", folder / "library"
    for camera in ("gone", "link", "inner", "fifo", "folder", "html", "replaced"):
        make_picture(uploads / snapshot_path(camera, DAY))
    make_clip(uploads / clip_path("junk", DAY, 3))
    ingest(uploads, library)
    frame = pano_analytics.open(library).media()
    row = {row["camera"]: dict(row) for _, row in frame.iterrows()}
    with serving(library, folder) as server:
        yield Changed(server, uploads, row)


def test_an_upload_that_went_is_gone(changed: Changed) -> None:
    """A file that was deleted since gives 410 with a sentence, and its thumbnail stays."""
    changed.file("gone").unlink()
    answer = changed.ask("gone")
    assert answer.status == 410
    assert answer.text == "This upload is no longer in the upload folder.\n"
    assert ask(changed.server.url, f"/thumb/{changed.row['gone']['thumb']}.jpg").status == 200


@pytest.mark.parametrize("camera", ["link", "fifo", "folder"])
def test_only_a_file_inside_the_upload_folder_is_served(changed: Changed, camera: str) -> None:
    """A link out of the tree, a pipe or a folder in place of the file gives 404 at once."""
    file = changed.file(camera)
    file.unlink()
    make: dict[str, Callable[[], object]] = {
        "link": lambda: file.symlink_to("/etc/passwd"),
        "fifo": lambda: os.mkfifo(file),
        "folder": file.mkdir,
    }
    make[camera]()
    answer = changed.ask(camera)
    assert answer.status == 404
    assert answer.text == "This upload is not a file in the upload folder.\n"


def test_a_folder_that_leads_out_is_not_followed(changed: Changed, tmp_path: Path) -> None:
    """A folder on the way that became a link out of the tree gives 404, not what lies there."""
    file = changed.file("inner")
    outside = tmp_path / "outside"
    shutil.move(file.parent, outside)
    file.parent.symlink_to(outside)
    assert changed.ask("inner").status == 404


def test_a_page_among_the_uploads_is_never_run(changed: Changed) -> None:
    """An HTML file under the name of a picture is a download of no kind, not a page of ours."""
    changed.file("html").write_text("<script>alert(1)</script>")
    answer = changed.ask("html")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_a_replaced_upload_is_sent_anew(changed: Changed) -> None:
    """The ETag follows the file, not its first reading."""
    before = changed.ask("replaced")
    changed.file("replaced").write_bytes(b"\xff\xd8\xff another picture")
    after = changed.ask("replaced")
    assert after.headers["etag"] != before.headers["etag"]
    assert after.body.endswith(b"another picture")


def test_a_clip_that_cannot_be_played_says_so(changed: Changed) -> None:
    """Junk gives 422 with a sentence; a picture asked for as a clip gives 415."""
    changed.file("junk").write_bytes(b"\0" * 5000)
    answer = changed.ask("junk", "clip", ".mp4")
    assert answer.status == 422
    assert len(answer.text) > 20
    assert changed.ask("replaced", "clip", ".mp4").status == 415


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b"\x1aE\xdf\xa3", "video/x-matroska"),
        (b"RIFF....AVI ", "video/x-msvideo"),
        (b"RIFF....WEBP", "image/webp"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\0\x10meta", "image/avif"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x10meta", "application/octet-stream"),
        (b"DHAV\xfd", "application/octet-stream"),
        (b"<svg xmlns=", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_the_kind_is_read_from_the_file(head: bytes, kind: str) -> None:
    """A name may lie; the first bytes decide, and nothing that runs is ever a kind."""
    assert media_type(head) == kind


@given(st.text(min_size=1), st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)))
def test_a_download_has_a_safe_name(camera: str, start: datetime) -> None:
    """Whatever a camera is called, the name has no separator, no quote and no control character."""
    row = {"media_id": "0", "camera": camera, "start": start, "path": "a/b[c].jpg"}
    name = download_name(Upload.of(row), ZoneInfo("Europe/Berlin"))
    assert re.fullmatch(r"[\w.-]+\.jpg", name)
    assert not name.startswith(".") or name == ".jpg"
    said = disposition(name, True)
    assert said.isascii()
    assert re.fullmatch(r"""attachment; filename="[\w.-]+"(; filename\*=UTF-8''[\w.%~-]+)?""", said)
