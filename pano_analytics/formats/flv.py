"""FLV: tags, each followed by its own length."""

from __future__ import annotations

import struct
from typing import BinaryIO

from pano_analytics.formats.verdict import NOTHING, UNBROKEN, WHOLE, Verdict, cut, missing

_HEADER_BYTES = 4096
_MAX_TAGS = 100_000


def verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Compare the declared file size, else walk over the tags: the last one must be complete."""
    content.seek(0)
    head = content.read(_HEADER_BYTES)
    declared = _declared_bytes(head)
    if declared is not None:
        return missing(declared - size_bytes) if declared > size_bytes else WHOLE
    offset = int.from_bytes(head[5:9], "big") + 4
    for _ in range(_MAX_TAGS):
        content.seek(offset)
        tag = content.read(11)
        if not tag:
            return UNBROKEN
        if len(tag) < 11:
            return cut("its last tag is cut off")
        if tag[0] & 0x1F not in (8, 9, 18):
            return NOTHING
        offset += 11 + int.from_bytes(tag[1:4], "big") + 4
        if offset > size_bytes:
            return missing(offset - size_bytes)
    return NOTHING


def _declared_bytes(head: bytes) -> int | None:
    """Return the `filesize` in the clip's metadata, or None if there is none."""
    at = head.find(b"\0\x08filesize\0")
    if at < 0 or at + 19 > len(head):
        return None
    value = struct.unpack_from(">d", head, at + 11)[0]
    return int(value) if 0 < value < 1 << 53 else None
