"""Small files that claim much: what a hostile or broken camera may upload."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from datetime import datetime

from pano_analytics.formats import dhav

_MATRIX = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
_H264_64X48 = bytes.fromhex("0142c00affe100096742c00ada1118d08001000468ce0fc8")


def box(name: bytes, *contents: bytes) -> bytes:
    """Return an MP4 box."""
    content = b"".join(contents)
    return struct.pack(">I4s", len(content) + 8, name) + content


def full_box(name: bytes, *numbers: int, tail: bytes = b"") -> bytes:
    """Return an MP4 box of version 0 without flags, with 32-bit numbers."""
    return box(name, struct.pack(f">{len(numbers) + 1}I", 0, *numbers), tail)


def track(samples: int, width: int = 64, height: int = 48, extra: bytes = b"") -> bytes:
    """Return a `trak` of H.264 whose tables claim `samples` pictures of one byte each."""
    entry = struct.pack(
        ">6xH16xHHIIIH32sHh", 1, width, height, 0x480000, 0x480000, 0, 1, b"", 24, -1
    )
    table = box(
        b"stbl",
        full_box(b"stsd", 1, tail=box(b"avc1", entry, box(b"avcC", _H264_64X48))),
        full_box(b"stts", 1, samples, 1000),
        full_box(b"stsc", 1, 1, samples, 1),
        full_box(b"stsz", 1, samples),
        full_box(b"stco", 1, 48),
        extra,
    )
    media = box(
        b"mdia",
        full_box(b"mdhd", 0, 0, 10_000, 1000, 0),
        full_box(b"hdlr", 0, int.from_bytes(b"vide"), 0, 0, 0, tail=b"\0"),
        box(b"minf", full_box(b"vmhd", 0, 0), table),
    )
    size = struct.pack(">II", width << 16, height << 16)
    return box(b"trak", full_box(b"tkhd", 0, 0, 1, 0, 1000, 0, 0, 0, 0, tail=_MATRIX + size), media)


def mp4(*tracks: bytes) -> bytes:
    """Return an MP4 of `tracks` with 64 bytes of pictures."""
    head = full_box(b"mvhd", 0, 0, 10_000, 1000, 1 << 16, 1 << 24, 0, 0, tail=_MATRIX + bytes(28))
    start = box(b"ftyp", b"isom", bytes(4), b"isom") + box(b"mdat", bytes(64))
    return start + box(b"moov", head, *tracks)


def mp4_of_80_million_pictures() -> bytes:
    """Return an MP4 below a kilobyte whose index takes 2 GB."""
    return mp4(track(80_000_000))


def mp4_of_many_large_tracks() -> bytes:
    return mp4(*[track(8_000_000) for _ in range(40)])


def mp4_of_a_thousand_tracks() -> bytes:
    return mp4(*[track(10) for _ in range(1000)])


def mp4_of_nested_boxes() -> bytes:
    inner = track(10)
    for _ in range(5000):
        inner = box(b"moov", inner)
    return mp4(inner)


def mp4_of_tables_longer_than_it() -> bytes:
    tables = b"".join(full_box(name, 0x0FFFFFFF) for name in (b"ctts", b"stss", b"sdtp", b"stps"))
    return mp4(track(10, extra=tables))


def mp4_of_boxes_of_nothing() -> bytes:
    return mp4(track(10)) + box(b"free") * 400_000


def mp4_of_huge_pictures() -> bytes:
    return mp4(track(10, 65_535, 65_535))


def avi_of_huge_pictures() -> bytes:
    """Return an AVI of raw pictures, 32,000 x 32,000, whose headers promise a billion."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content

    side = 32_000
    main = struct.pack("<14I", 40_000, 0, 0, 16, 1 << 30, 0, 1, 0, side, side, 0, 0, 0, 0)
    stream = struct.pack("<4s4sIHHIIIIIIIIhhhh", b"vids", b"DIB ", 0, 0, 0, 0, 1, 25, 0, 1 << 30,
                         0, 0, 0, 0, 0, 0, 0)  # fmt: skip
    shape = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    lists = chunk(b"LIST", b"strl" + chunk(b"strh", stream) + chunk(b"strf", shape))
    head = chunk(b"LIST", b"hdrl" + chunk(b"avih", main) + lists)
    movie = chunk(b"LIST", b"movi" + chunk(b"00db", bytes(64)) * 20)
    return chunk(b"RIFF", b"AVI " + head + movie)


def dav_of_huge_lengths() -> bytes:
    """Return DHAV frames whose lengths say 4 GB each."""
    frame = bytearray(
        dhav.video_frame(
            b"\0\0\0\1" + bytes(64),
            number=1,
            clock=datetime(2026, 5, 17),
            ms=0,
            is_key=True,
            fps=10,
            width=64,
            height=48,
        )
    )
    frame[12:16] = struct.pack("<I", 0xFFFFFFF0)
    return bytes(frame) * 50


def mkv_of_nested_lengths() -> bytes:
    head = b"\x1aE\xdf\xa3\x84\x42\x86\x81\x01"
    return head + (b"\x18S\x80g\x01" + b"\xff" * 7) + (b"\x1fC\xb6u\x01" + b"\x7f" * 7) * 20_000


def ts_of_many_streams() -> bytes:
    """Return a transport stream in which each packet begins a stream of its own."""
    packets = [
        b"G" + struct.pack(">H", 0x4000 | pid) + b"\x10" + b"\0\0\1\xe0" + bytes(180)
        for pid in range(32, 8000)
    ]
    return b"".join(packets)


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """Return a grey PNG that declares so many pixels and holds `rows`, deflated."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def png_of_text() -> bytes:
    """Return a PNG whose compressed texts swell to 2 GB."""
    text = zlib.compress(bytes(64 << 20), 9)
    one = b"zTXtkey\0\0" + text
    chunk = struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one))
    whole = png(16, 16, bytes(17 * 16))
    return whole[:33] + chunk * 32 + whole[33:]


def jpeg(width: int, height: int) -> bytes:
    """Return a JPEG of 16 x 16 pixels that declares others."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(out, "JPEG")
    data = out.getvalue()
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def jpeg_of_many_scans() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(out, "JPEG", progressive=True)
    data = out.getvalue()
    frame, scan = data.index(b"\xff\xc2") + 5, data.index(b"\xff\xda")
    huge = data[:frame] + struct.pack(">HH", 6000, 8000) + data[frame + 4 : scan]
    return huge + data[scan:-2] * 99 + b"\xff\xd9"


def gif_of_huge_frames() -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + (
        b"," + struct.pack("<HHHHB", 0, 0, 65_000, 65_000, 0) + b"\x02\x02\x4c\x01\0"
    ) * 50 + b";"  # fmt: skip


CLIPS: dict[str, tuple[str, Callable[[], bytes]]] = {
    make.__name__: (ending, make)
    for ending, make in (
        ("mp4", mp4_of_80_million_pictures),
        ("mp4", mp4_of_many_large_tracks),
        ("mp4", mp4_of_a_thousand_tracks),
        ("mp4", mp4_of_nested_boxes),
        ("mp4", mp4_of_tables_longer_than_it),
        ("mp4", mp4_of_boxes_of_nothing),
        ("mp4", mp4_of_huge_pictures),
        ("avi", avi_of_huge_pictures),
        ("dav", dav_of_huge_lengths),
        ("mkv", mkv_of_nested_lengths),
        ("ts", ts_of_many_streams),
    )
}
PICTURES: dict[str, Callable[[], bytes]] = {
    "jpeg_of_four_billion_pixels": lambda: jpeg(65_500, 65_500),
    "jpeg_within_the_limit": lambda: jpeg(7000, 7000),
    "jpeg_of_many_scans": jpeg_of_many_scans,
    "png_of_four_billion_pixels": lambda: png(65_500, 65_500, bytes(1 << 20)),
    "png_within_the_limit": lambda: png(5000, 3999, bytes(5001 * 3999)),
    "png_of_text": png_of_text,
    "gif_of_huge_frames": gif_of_huge_frames,
}
