"""Matroska and WebM: elements, each preceded by its length unless it was streamed."""

from __future__ import annotations

from typing import BinaryIO

from pano_analytics.formats.verdict import NOTHING, UNBROKEN, WHOLE, Verdict, missing

_SEGMENT = b"\x18S\x80g"
_MAX_ELEMENTS = 100_000


def verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Check the segment's declared end; in a streamed file, check the end of each element."""
    offset = 0
    for _ in range(_MAX_ELEMENTS):
        content.seek(offset)
        head = content.read(16)
        if not head:
            return UNBROKEN
        name_bytes = 9 - head[0].bit_length()
        length, start = _vint(head, name_bytes)
        if start <= name_bytes:
            # Not an element: padding, or a header that is cut off.
            return NOTHING
        # Descend into an element of unknown length.
        offset += start + (length or 0)
        if offset > size_bytes:
            return missing(offset - size_bytes)
        if head[:name_bytes] == _SEGMENT and length is not None:
            return WHOLE
    return NOTHING


def _vint(data: bytes, offset: int) -> tuple[int | None, int]:
    """Return (value, offset after it) of an EBML length; the value is None if unknown."""
    first = data[offset] if offset < len(data) else 0
    width = 9 - first.bit_length()
    if width > 8 or offset + width > len(data):
        return None, offset
    value = int.from_bytes(data[offset : offset + width], "big") & (1 << 7 * width) - 1
    return (None if value == (1 << 7 * width) - 1 else value), offset + width
