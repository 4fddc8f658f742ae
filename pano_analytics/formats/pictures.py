"""PNG, GIF, WebP, BMP and TIFF: whether a picture is complete."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from pano_analytics.formats.verdict import NOTHING, WHOLE, Verdict, cut, missing

_TAIL_BYTES = 4096
_UNCOMPRESSED_BMP = (0, 3, 6)
# Tags for offsets and lengths of strips, tiles and an embedded JPEG: TIFF 6.0, sections 8, 15
# and 22.
_TIFF_PIECES = ((273, 279), (324, 325), (513, 514))
_TIFF_PIECE_TAGS = {tag for pair in _TIFF_PIECES for tag in pair}
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
# Tags for nested directories, with a preview or with EXIF data.
_TIFF_DIRECTORIES = (330, 34665, 34853)
# Limits for the number of reads, against hostile files.
_MAX_GIF_BLOCKS = 1 << 18
_MAX_TIFF_PAGES = 256
_MAX_TIFF_ENTRIES = 1000
_MAX_TIFF_PIECES = 1 << 16


def png_verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Look for the end chunk; some writers add a few bytes after it."""
    content.seek(max(0, size_bytes - _TAIL_BYTES))
    if b"\0\0\0\0IEND\xaeB`\x82" in content.read(_TAIL_BYTES):
        return WHOLE
    return cut("the picture has no end chunk")


def gif_verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Walk the blocks of all pictures to the trailer."""
    content.seek(0)
    at = 13 + _gif_colours(content.read(13), 10)
    for _ in range(_MAX_GIF_BLOCKS):
        if at >= size_bytes:
            return cut("the picture has no trailer")
        content.seek(at)
        head = content.read(10)
        if head[:1] == b";":
            return WHOLE
        if head[:1] == b"!":
            at = _after_gif_data(content, at + 2)
        elif head[:1] == b",":
            at = _after_gif_data(content, at + 11 + _gif_colours(head, 9))
        else:
            return NOTHING
    return NOTHING


def _gif_colours(head: bytes, at: int) -> int:
    """Return the length of the colour table, from the flags at `at`."""
    flags = head[at] if at < len(head) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_gif_data(content: BinaryIO, at: int) -> int:
    """Return the end of a series of sub-blocks, each preceded by its length."""
    for _ in range(_MAX_GIF_BLOCKS):
        content.seek(at)
        length = content.read(1)
        at += 1 + (length[0] if length else 0)
        if length in (b"", b"\0"):
            break
    return at


def webp_verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Compare the length that the picture declares with the size of the file."""
    content.seek(4)
    end = 8 + int.from_bytes(content.read(4), "little")
    if end > size_bytes:
        return missing(end - size_bytes)
    return WHOLE if end == size_bytes else NOTHING


def bmp_verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Compare the end of the pixels, computed from the header, with the size of the file."""
    content.seek(0)
    head = content.read(38).ljust(38, b"\0")
    declared, pixels, header = (*struct.unpack_from("<I4xI", head, 2), head[14])
    # Some writers declare a wrong length, so compute it from the pixels.
    end = pixels + _pixel_bytes(head, header) if pixels else declared
    if end > size_bytes:
        return missing(end - size_bytes)
    return WHOLE if size_bytes == max(end, declared) else NOTHING


def _pixel_bytes(head: bytes, header: int) -> int:
    if header == 12:
        width, height, _, bits = struct.unpack_from("<4H", head, 18)
        return int((width * bits + 31) // 32 * 4 * height)
    width, height, _, bits, compression, length = struct.unpack_from("<iiHHII", head, 18)
    if compression not in _UNCOMPRESSED_BMP:
        return int(length)
    return int((abs(width) * bits + 31) // 32 * 4 * abs(height))


def tiff_verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Compare the ends of directories and pixels of all pages with the size of the file."""
    content.seek(0)
    order = "<" if content.read(2) == b"II" else ">"
    try:
        ends = list(_tiff_ends(content, order, size_bytes))
    except struct.error:
        return cut("its directory is missing at its end")
    end = max((end for end in ends if end is not None), default=0)
    if end > size_bytes:
        return missing(end - size_bytes)
    return WHOLE if end and None not in ends else NOTHING


def _tiff_ends(content: BinaryIO, order: str, size_bytes: int) -> Iterator[int | None]:
    """Yield the end offset of each part of a TIFF, and None if parts are not checked.

    Raises struct.error if a directory is missing.
    """
    pages, nested, seen = [*_numbers(content, order, 4, 1, "I")], list[int](), {0}
    while pages or nested:
        is_page = bool(pages)
        at = (pages or nested).pop()
        if at in seen:
            continue
        seen.add(at)
        [count] = _numbers(content, order, at, 1, "H")
        if count > _MAX_TIFF_ENTRIES or len(seen) > _MAX_TIFF_PAGES:
            yield None
            return
        entries = {}
        for entry in range(count):
            position = at + 2 + 12 * entry
            tag, field_type = _numbers(content, order, position, 2, "H")
            [items] = _numbers(content, order, position + 4, 1, "I")
            length = items * _TIFF_SIZES.get(field_type, 1)
            if length > 4:
                [value] = _numbers(content, order, position + 8, 1, "I")
                yield value + length
            else:
                value = position + 8
            if value + length <= size_bytes and items <= _MAX_TIFF_PIECES:
                entries[tag] = value, items, {3: "H", 4: "I", 13: "I"}.get(field_type, "")
            elif tag in _TIFF_PIECE_TAGS:
                yield None
        yield from _pieces(content, order, entries)
        if is_page:  # in nested directories, some writers omit the link to a next one
            pages += _numbers(content, order, at + 2 + 12 * count, 1, "I")
        for tag in _TIFF_DIRECTORIES:
            if tag in entries and entries[tag][2] == "I":
                nested += _numbers(content, order, *entries[tag])


def _pieces(
    content: BinaryIO, order: str, entries: dict[int, tuple[int, int, str]]
) -> Iterator[int]:
    for pair in _TIFF_PIECES:
        offsets, lengths = (
            _numbers(content, order, *entries[tag]) if tag in entries and entries[tag][2] else ()
            for tag in pair
        )
        yield from (offset + length for offset, length in zip(offsets, lengths, strict=False))


def _numbers(content: BinaryIO, order: str, at: int, count: int, form: str) -> tuple[int, ...]:
    content.seek(at)
    form = f"{order}{count}{form}"
    return struct.unpack(form, content.read(struct.calcsize(form)))
