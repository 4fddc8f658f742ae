"""Whether a picture's end is there is told by its own structure, wherever it is cut."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import pytest
from PIL import Image
from test_inspect import clip, moov_first

from pano_analytics.receive.wholeness import contents_of


def pages(format_name: str, **how: object) -> bytes:
    """Three pictures in one file, of colours that do not compress to nothing."""
    noise = [Image.effect_noise((96, 64), 40 + 10 * n).convert("RGB") for n in range(3)]
    out = io.BytesIO()
    noise[0].save(out, format_name, save_all=True, append_images=noise[1:], **how)
    return out.getvalue()


def one(format_name: str) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((96, 64), 40).convert("RGB").save(out, format_name)
    return out.getvalue()


def tiff_with_exif() -> bytes:
    exif, out = Image.Exif(), io.BytesIO()
    exif.get_ifd(0x8769)[36867] = "2026:11:27 14:05:09"
    Image.effect_noise((96, 64), 40).save(out, "TIFF", exif=exif)
    return out.getvalue()


def heic() -> bytes:
    """The same boxes as an AVIF, under the brand of a HEIC."""
    return one("AVIF").replace(b"ftypavif", b"ftypheic").replace(b"avif", b"heic")


PICTURES: dict[str, Callable[[], bytes]] = {
    "a.gif": lambda: one("GIF"),
    "moving.gif": lambda: pages("GIF", duration=100, loop=0),
    "a.tif": lambda: one("TIFF"),
    "pages.tif": lambda: pages("TIFF"),
    "packed.tiff": lambda: pages("TIFF", compression="tiff_lzw"),
    "exif.tif": tiff_with_exif,
    "a.avif": lambda: one("AVIF"),
    "moving.avif": lambda: pages("AVIF"),
    "a.heic": heic,
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_whole_picture_is_whole_and_each_beginning_of_it_is_cut(name: str) -> None:
    """However the connection ended; that is asked only where the file says nothing."""
    data = PICTURES[name]()
    assert contents_of(io.BytesIO(data), name).says == "whole"
    # Pillow pads a page of a TIFF to 16 bytes, which no reader misses.
    last = len(data.rstrip(b"\0")) - 1
    for length in (*range(64, last, 997), last):
        found = contents_of(io.BytesIO(data[:length]), name)
        # A cut between two boxes leaves boxes that are whole.
        assert found.says == "cut" or (name.endswith(("avif", "heic")) and found.says == "nothing")
        assert found.reason or found.says == "nothing"


def test_a_picture_in_boxes_without_pixels_is_not_whole() -> None:
    """Cut exactly behind the index, nothing in the file tells."""
    data = heic()
    at = data.index(b"mdat") - 4
    assert contents_of(io.BytesIO(data[:at]), "a.heic").says == "nothing"


def open_ended(data: bytes, name: bytes = b"mdat") -> bytes:
    """The same boxes, but that the last one has the length 0: to the end of the file."""
    at = data.rindex(name) - 4
    assert at + int.from_bytes(data[at : at + 4], "big") == len(data)
    return data[:at] + bytes(4) + data[at + 4 :]


@pytest.mark.parametrize(
    ("name", "make"),
    [("a.avif", lambda: one("AVIF")), ("a.heic", heic), ("a.mp4", moov_first), ("a.mov", clip)],
)
def test_a_box_to_the_end_of_the_file_does_not_tell_where_that_is(
    name: str, make: Callable[[], bytes]
) -> None:
    """Whole or cut, the contents say nothing, so that the connection is asked."""
    data = open_ended(make(), b"moov" if name == "a.mov" else b"mdat")
    for length in (len(data), len(data) - 1, len(data) - 200):
        assert contents_of(io.BytesIO(data[:length]), name).says == "nothing"


def test_a_clip_without_an_index_is_cut_though_its_pictures_go_to_the_end() -> None:
    """As FFmpeg leaves it when it is stopped: the index would follow the pictures."""
    data = clip()
    at = data.index(b"mdat") - 4
    stopped = data[:at] + bytes(4) + data[at + 4 : data.index(b"moov") - 4]
    assert contents_of(io.BytesIO(stopped), "a.mp4").says == "cut"


@pytest.mark.parametrize("name", ["moving.gif", "pages.tif"])
def test_what_a_camera_puts_behind_the_end_is_no_harm(name: str) -> None:
    """As with JPEG."""
    data = PICTURES[name]() + bytes(8)
    assert contents_of(io.BytesIO(data), name).says == "whole"


def test_a_gif_that_is_not_as_the_standard_has_it_says_nothing() -> None:
    """It may be whole all the same."""
    data = PICTURES["a.gif"]()
    broken = data[:13] + b"\x99" * 900
    assert contents_of(io.BytesIO(broken), "a.gif").says in ("nothing", "cut")
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)
    assert contents_of(io.BytesIO(head + b"\x99" * 90), "a.gif").says == "nothing"


@pytest.mark.timeout(10)
def test_a_hostile_picture_keeps_nobody_waiting() -> None:
    """Directories that lead in circles, and blocks without end."""
    circle = b"II*\0" + struct.pack("<I", 8) + struct.pack("<HI", 0, 8) + bytes(64)
    assert contents_of(io.BytesIO(circle), "a.tif").says == "nothing"
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)
    contents_of(io.BytesIO(head + b"!\xff\0" * (1 << 20)), "a.gif")
    contents_of(io.BytesIO(head + b"!\xff" + b"\1x" * (1 << 20)), "a.gif")
