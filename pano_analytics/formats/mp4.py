"""MP4, MOV and 3GP: a sequence of boxes, each preceded by its length."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from pano_analytics.formats.verdict import NOTHING, UNBROKEN, WHOLE, Verdict, cut, missing

BOXES = frozenset((b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide"))
_MAX_BOXES = 100_000


def verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Check that each top-level box ends inside the file, and that there is an index."""
    return _verdict(content, size_bytes, b"moov")


def picture_verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Check the same for a picture in boxes (AVIF, HEIC), whose pixels follow the index."""
    return _verdict(content, size_bytes, b"meta", pixels=b"mdat")


def _verdict(content: BinaryIO, size_bytes: int, index: bytes, pixels: bytes = b"") -> Verdict:
    names: set[bytes] = set()
    end: int | None = 0
    for name, end in boxes(content, size_bytes):
        if end is not None and end > size_bytes:
            return missing(end - size_bytes, f", inside the box {name.decode()!r}")
        names.add(name)
    if index not in names:
        return cut(f"its index ({index.decode()}) is missing")
    # A clip that lacks its last fragments looks complete, except for the index of fragments
    # (mfra), which is written last.
    if end is None or end < size_bytes or (pixels and pixels not in names):
        return NOTHING
    return UNBROKEN if b"moof" in names and b"mfra" not in names else WHOLE


def boxes(content: BinaryIO, size_bytes: int) -> Iterator[tuple[bytes, int | None]]:
    """Yield (name, end offset) of the top-level boxes, up to padding after the last one.

    The end is None for a box of length 0, which extends to the end of the file.
    """
    offset = 0
    for _ in range(_MAX_BOXES):
        content.seek(offset)
        head = content.read(16)
        if len(head) < 8:
            return
        length, name = struct.unpack_from(">I4s", head)
        if length == 1 and len(head) == 16:
            length = struct.unpack_from(">Q", head, 8)[0]
        if length == 0 and name.isalnum():
            yield name, None
            return
        if length < 8 or not name.isalnum():
            return
        offset += length
        yield name, offset
        if offset > size_bytes:
            return
