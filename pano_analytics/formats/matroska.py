"""Matroska and WebM: elements, each with its length in front unless it was streamed."""

from __future__ import annotations

from typing import BinaryIO

from pano_analytics.formats.verdict import NOTHING, UNBROKEN, WHOLE, Verdict, missing

_SEGMENT = b"\x18S\x80g"
_MOST_ELEMENTS = 100_000


def verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Check the segment's declared end; in a streamed one, the end of each element."""
    offset = 0
    for _ in range(_MOST_ELEMENTS):
        content.seek(offset)
        head = content.read(16)
        if not head:
            return UNBROKEN
        name_bytes = 9 - head[0].bit_length()
        length, start = _vint(head, name_bytes)
        if start <= name_bytes:
            # No element: padding, or one whose header is cut.
            return NOTHING
        # An element without a length is stepped into.
        offset += start + (length or 0)
        if offset > size_bytes:
            return missing(offset - size_bytes)
        if head[:name_bytes] == _SEGMENT and length is not None:
            return WHOLE
    return NOTHING


def _vint(data: bytes, offset: int) -> tuple[int | None, int]:
    """Return (value, offset behind it) of an EBML length; None where it is unknown."""
    first = data[offset] if offset < len(data) else 0
    width = 9 - first.bit_length()
    if width > 8 or offset + width > len(data):
        return None, offset
    value = int.from_bytes(data[offset : offset + width], "big") & (1 << 7 * width) - 1
    return (None if value == (1 << 7 * width) - 1 else value), offset + width
