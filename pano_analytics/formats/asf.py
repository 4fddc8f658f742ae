"""ASF and WMV: a header that declares the size of the file and of its packets."""

from __future__ import annotations

import struct
from typing import BinaryIO

from pano_analytics.formats.verdict import NOTHING, UNBROKEN, WHOLE, Verdict, cut, missing

MAGIC = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_INDEX = bytes.fromhex("90080033b1e5cf1189f400a0c90349cb")
_IS_BROADCAST = 1
_DATA_HEADER_BYTES = 50
_MAX_HEADER_BYTES = 1 << 20


def verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Compare the declared file size; in a broadcast, check that the last packet is complete."""
    content.seek(0)
    head = content.read(_MAX_HEADER_BYTES)
    at = head.find(_PROPERTIES)
    if at < 0 or at + 104 > len(head):
        return cut("it ends inside its header")
    declared = struct.unpack_from("<Q", head, at + 40)[0]
    flags, smallest, largest = struct.unpack_from("<III", head, at + 88)
    if declared and not flags & _IS_BROADCAST:
        return missing(declared - size_bytes) if declared > size_bytes else WHOLE
    if _has_index(content, size_bytes):
        return WHOLE
    data_bytes = size_bytes - int.from_bytes(head[16:24], "little") - _DATA_HEADER_BYTES
    if smallest != largest or not smallest:
        return NOTHING
    return cut("its last packet is cut off") if data_bytes % smallest else UNBROKEN


def _has_index(content: BinaryIO, size_bytes: int) -> bool:
    """Return whether the file has a complete index, which is written last."""
    start = max(0, size_bytes - _MAX_HEADER_BYTES)
    content.seek(start)
    tail = content.read(_MAX_HEADER_BYTES)
    at = tail.rfind(_INDEX)
    # Writers to a pipe, which cannot seek back to the header, append data after the index.
    return at >= 0 and start + at + int.from_bytes(tail[at + 16 : at + 24], "little") <= size_bytes
