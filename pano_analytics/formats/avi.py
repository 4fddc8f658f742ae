"""AVI: chunks inside RIFF lists, whose lengths are filled in when the recording ends."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

from pano_analytics.formats.verdict import NOTHING, UNBROKEN, WHOLE, Verdict, cut, missing

# Lengths that were never filled in: the file was written to a pipe, or not finished.
_OPEN_LENGTHS = (0, 0xFFFFFFFF)
_HEADER_BYTES = 1 << 20
_MAX_CHUNKS = 100_000
_CHUNK_NAME = re.compile(rb"\d\d[a-zA-Z]{2}|ix\d\d|LIST|JUNK|idx1")


def verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Check the declared lengths, or the chunks themselves if lengths were never filled in."""
    offset = 0
    while True:
        content.seek(offset)
        head = content.read(12)
        if len(head) < 12 or head[:4] != b"RIFF":
            # An AVI of more than 1 GB consists of several consecutive lists.
            return WHOLE
        length = struct.unpack_from("<I", head, 4)[0]
        if length in _OPEN_LENGTHS:
            return _streamed(content, size_bytes)
        end = offset + 8 + length
        if end > size_bytes:
            return missing(end - size_bytes)
        offset = end + length % 2


def _streamed(content: BinaryIO, size_bytes: int) -> Verdict:
    """Walk over the chunks of an AVI without lengths: the last one must end inside the file."""
    content.seek(0)
    offset = content.read(_HEADER_BYTES).find(b"movi")
    if offset < 0:
        return cut("it ends inside its header")
    offset += 4
    for _ in range(_MAX_CHUNKS):
        content.seek(offset)
        head = content.read(12)
        if not head:
            return UNBROKEN
        if len(head) < 8:
            return cut("its last picture is cut off")
        length = struct.unpack_from("<I", head, 4)[0]
        if not _CHUNK_NAME.fullmatch(head[:4]):
            return NOTHING
        if head[:4] == b"LIST" and head[8:] == b"rec ":
            offset += 12
            continue
        if head[:4] == b"idx1" and length in _OPEN_LENGTHS:
            return WHOLE
        offset += 8 + length + length % 2
        if offset - length % 2 > size_bytes:
            return missing(offset - length % 2 - size_bytes)
        if head[:4] == b"idx1":
            return WHOLE
    return NOTHING
