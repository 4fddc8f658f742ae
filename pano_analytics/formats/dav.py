"""DHAV clips as found on disks: with foreign bytes before, between and after the frames."""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO

from pano_analytics.formats import dhav
from pano_analytics.formats.verdict import NOTHING, UNBROKEN, Verdict, cut

_MAX_FRAME_BYTES = 64 << 20
_TAIL_BYTES = 1 << 16
_HEAD_BYTES = 1 << 20
_MAX_IN_MEMORY_BYTES = 64 << 20


def verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Check that the last frame ends where its header says, and that no frame begins after it."""
    start = max(0, size_bytes - _TAIL_BYTES)
    content.seek(start)
    tail = content.read(_TAIL_BYTES)
    at = tail.rfind(dhav.END_MAGIC, 0, len(tail) - 4)
    while at >= 0:
        end = at + dhav.TRAILER.size
        if _is_frame(content, start + end, tail[:end]):
            rest = tail[end:]
            if _has_frame_start(rest):
                return cut("its last frame is cut off")
            return NOTHING if rest else UNBROKEN
        at = tail.rfind(dhav.END_MAGIC, 0, at)
    return cut("its last frame is cut off")


def _is_frame(content: BinaryIO, end: int, tail: bytes) -> bool:
    length = dhav.last_frame_bytes(tail)
    if length is None or length > min(end, _MAX_FRAME_BYTES):
        return False
    content.seek(end - length)
    return dhav.is_whole_tail(content.read(length))


def _has_frame_start(rest: bytes) -> bool:
    """Return whether another frame begins in `rest`, the bytes after the last complete one."""
    return dhav.MAGIC in rest or any(rest.endswith(dhav.MAGIC[:n]) for n in (1, 2, 3))


def first_frame(content: BinaryIO) -> int | None:
    """Return the offset of the first complete frame near the beginning, or None."""
    content.seek(0)
    frame = next((f for f in dhav.frames(content.read(_HEAD_BYTES)) if f.is_whole), None)
    return frame.offset if frame else None


def without_gaps(content: BinaryIO, size_bytes: int) -> BinaryIO:
    """Return a clip without foreign bytes between its frames.

    If a frame does not follow immediately, FFmpeg skips 32 KB or more, including the frames
    in them. A clip without foreign bytes, or larger than 64 MB, is returned unchanged.
    """
    if size_bytes > _MAX_IN_MEMORY_BYTES:
        return content
    content.seek(0)
    data = content.read()
    frames = list(dhav.frames(data))
    ends = [f.offset + f.length for f in frames]
    if all(f.offset == end for f, end in zip(frames, [0, *ends], strict=False)):
        return content
    # A frame whose declared length is wrong extends to the next frame.
    following = [*(f.offset for f in frames[1:]), size_bytes]
    stops = [
        end if f.is_whole else after for f, end, after in zip(frames, ends, following, strict=True)
    ]
    return BytesIO(b"".join(data[f.offset : stop] for f, stop in zip(frames, stops, strict=True)))
