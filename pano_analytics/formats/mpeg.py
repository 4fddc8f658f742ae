"""MPEG: transport streams, program streams, and bare streams of H.264, H.265 or MPEG video.

None of them has an end mark that every writer sets. It is possible to check whether the last
packet is complete; whether the last picture is complete, only a decoder can find out.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from pano_analytics.formats.verdict import NOTHING, UNBROKEN, WHOLE, Verdict, cut, missing

_PACK = b"\0\0\1\xba"
_END_OF_PROGRAM = b"\0\0\1\xb9"
_TAIL_BYTES = 1 << 20
_START_CODE = re.compile(b"\0\0\1(..)", re.DOTALL)
# (offset of the first sync byte, length of a packet): plain, preceded by a timestamp (from
# camcorders), followed by error correction.
_PACKETS = ((0, 188), (4, 192), (0, 204))


def packets_of_transport(head: bytes) -> tuple[int, int] | None:
    """Return (offset of the first sync byte, bytes per packet), or None for other contents."""
    for offset, length in _PACKETS:
        marks = head[offset : offset + 4 * length : length]
        if len(marks) >= 2 and not marks.strip(b"G"):
            return offset, length
    return None


def transport_verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Check that a transport stream consists of complete packets, which have a fixed length."""
    content.seek(0)
    packets = packets_of_transport(content.read(1024))
    if not packets:
        return NOTHING
    return cut("its last packet is cut off") if size_bytes % packets[1] else UNBROKEN


def program_verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Look for the end code; without one, check that the last packet ends inside the file."""
    start = max(0, size_bytes - _TAIL_BYTES)
    content.seek(start)
    tail = content.read(_TAIL_BYTES)
    if tail[-64:].rstrip(b"\0").endswith(_END_OF_PROGRAM):
        return WHOLE
    pack = tail.find(_PACK)
    while pack >= 0:
        end = _end_of_packets(tail, pack)
        if end is not None:
            if end > len(tail):
                return missing(end - len(tail))
            return UNBROKEN if end == len(tail) else NOTHING
        pack = tail.find(_PACK, pack + 4)
    return NOTHING


def _end_of_packets(data: bytes, offset: int) -> int | None:
    """Return the end of the packets from `offset` on, or None if they are not contiguous."""
    while offset + 14 <= len(data):
        if data[offset : offset + 3] != b"\0\0\1":
            return None
        name = data[offset + 3]
        if name < 0xB9:
            return None
        if name == 0xB9:
            offset += 4
        elif name == 0xBA:
            # MPEG-2 packs contain the number of stuffing bytes; MPEG-1 packs have none.
            is_second = data[offset + 4] >> 6 == 1
            stuffing = data[offset + 13] & 7
            offset += 14 + stuffing if is_second else 12
        else:
            offset += 6 + int.from_bytes(data[offset + 4 : offset + 6], "big")
    return offset


def bare_stream(head: bytes) -> str | None:
    """Return FFmpeg's name of a stream without a container: h264, hevc, mpegvideo or m4v.

    Looks only for the parameter sets, which precede the first picture.
    """
    if not head.startswith((b"\0\0\1", b"\0\0\0\1")):
        return None
    for match in _START_CODE.finditer(head):
        first, second = match[1]
        if first in (0x40, 0x42, 0x44) and second == 1:
            return "hevc"
        if first & 0x9F == 7 and first & 0x60:
            return "h264"
        if first == 0xB3:
            return "mpegvideo"
        if first == 0xB0 or (0x20 <= first <= 0x2F and match.start() < 64 and second < 0x10):
            return "m4v"
    return None
