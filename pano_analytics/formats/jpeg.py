"""JPEG and Motion JPEG: where the picture begins, and whether it has its end marker."""

from __future__ import annotations

from typing import BinaryIO

from pano_analytics.formats.verdict import NOTHING, WHOLE, Verdict, cut

MAGIC = b"\xff\xd8\xff"
_END = b"\xff\xd9"
# Amcrest cameras append 8 bytes to the end marker, others add padding.
_TAIL_BYTES = 4096
# Real pictures have a few dozen; a file full of markers must not delay other cameras.
_MAX_SEGMENTS = 10_000


def verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Look for the end marker after the start of the scan; a thumbnail in a header has its own."""
    start = _start_of_picture(content, size_bytes)
    if start is None:
        return cut("the picture ends inside its header")
    if _end_after(content, max(start, size_bytes - _TAIL_BYTES)) is not None:
        return WHOLE
    # There may be more data after the picture than _TAIL_BYTES.
    if _end_after(content, start) is not None:
        return NOTHING
    return cut("the picture has no end marker")


def stream_verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Return whether the last picture of a Motion JPEG stream has its end marker."""
    content.seek(max(0, size_bytes - _TAIL_BYTES))
    tail = content.read(_TAIL_BYTES)
    end = tail.rfind(_END)
    return NOTHING if end > tail.rfind(MAGIC) else cut("its last picture is cut off")


def is_stream(content: BinaryIO, size_bytes: int) -> bool:
    """Return whether another picture follows directly after the first one."""
    start = _start_of_picture(content, size_bytes)
    end = None if start is None else _end_after(content, start)
    if end is None:
        return False
    content.seek(end)
    return content.read(64).lstrip(b"\0\r\n ").startswith(MAGIC)


def _start_of_picture(content: BinaryIO, size_bytes: int) -> int | None:
    """Return the offset of the first scan's data, from the lengths of the segments before it."""
    offset = 2
    for _ in range(_MAX_SEGMENTS):
        content.seek(offset)
        head = content.read(4)
        if len(head) < 4:
            return None
        if head[0] != 0xFF:
            return offset  # not a valid segment: search the rest
        if head[1] == 0xFF or head[1] == 0x01 or 0xD0 <= head[1] <= 0xD8:
            offset += 1 if head[1] == 0xFF else 2
            continue
        offset += 2 + int.from_bytes(head[2:], "big")
        if offset > size_bytes:
            return None
        if head[1] == 0xDA:
            return offset
    return offset  # too many segments: search the rest


def _end_after(content: BinaryIO, offset: int) -> int | None:
    """Return the offset just after the first end marker at or after `offset`, or None."""
    content.seek(offset)
    last = b""
    while piece := content.read(1 << 20):
        found = (last + piece).find(_END)
        if found >= 0:
            return offset - len(last) + found + len(_END)
        offset += len(piece)
        last = piece[-1:]
    return None
