"""PNG and WebP: where a whole picture ends."""

from __future__ import annotations

from typing import BinaryIO

from pano_analytics.formats.verdict import NOTHING, WHOLE, Verdict, cut, missing

_TAIL_BYTES = 4096


def png_verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Look for the end chunk; some writers put a few bytes behind it."""
    content.seek(max(0, size_bytes - _TAIL_BYTES))
    if b"\0\0\0\0IEND\xaeB`\x82" in content.read(_TAIL_BYTES):
        return WHOLE
    return cut("the picture has no end chunk")


def webp_verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Compare the length that the picture declares with the size of the file."""
    content.seek(4)
    end = 8 + int.from_bytes(content.read(4), "little")
    if end > size_bytes:
        return missing(end - size_bytes)
    return WHOLE if end == size_bytes else NOTHING
