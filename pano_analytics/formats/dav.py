"""DHAV clips as they lie on disks: with foreign bytes before, between and behind the frames."""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO

from pano_analytics.formats import dhav
from pano_analytics.formats.verdict import NOTHING, UNBROKEN, Verdict, cut

_MOST_FRAME_BYTES = 64 << 20
_TAIL_BYTES = 1 << 16
_HEAD_BYTES = 1 << 20
_MOST_IN_MEMORY_BYTES = 64 << 20


def verdict(content: BinaryIO, size_bytes: int) -> Verdict:
    """Check that the last frame ends as its header says; what stands behind it is no frame."""
    start = max(0, size_bytes - _TAIL_BYTES)
    content.seek(start)
    tail = content.read(_TAIL_BYTES)
    at = tail.rfind(dhav.END_MAGIC, 0, len(tail) - 4)
    while at >= 0:
        end = at + dhav.TRAILER.size
        if _is_frame(content, start + end, tail[:end]):
            rest = tail[end:]
            if _begins(rest):
                return cut("its last frame is cut off")
            return NOTHING if rest else UNBROKEN
        at = tail.rfind(dhav.END_MAGIC, 0, at)
    return cut("its last frame is cut off")


def _is_frame(content: BinaryIO, end: int, tail: bytes) -> bool:
    length = dhav.last_frame_bytes(tail)
    if length is None or length > min(end, _MOST_FRAME_BYTES):
        return False
    content.seek(end - length)
    return dhav.is_whole_tail(content.read(length))


def _begins(rest: bytes) -> bool:
    """Tell whether another frame begins in what stands behind the last whole one."""
    return dhav.MAGIC in rest or any(rest.endswith(dhav.MAGIC[:n]) for n in (1, 2, 3))


def first_frame(content: BinaryIO) -> int | None:
    """Return the offset of the first whole frame near the beginning, None where there is none."""
    content.seek(0)
    found = next((f for f in dhav.frames(content.read(_HEAD_BYTES)) if f.is_whole), None)
    return found.offset if found else None


def in_step(content: BinaryIO, size_bytes: int) -> BinaryIO:
    """Return a clip with its frames one behind another.

    FFmpeg skips 32 KB and more where a frame does not follow at once, and the frames in
    them. What holds no foreign bytes is returned as it is.
    """
    if size_bytes > _MOST_IN_MEMORY_BYTES:
        return content
    content.seek(0)
    data = content.read()
    frames = list(dhav.frames(data))
    ends = [f.offset + f.length for f in frames]
    if all(f.offset == end for f, end in zip(frames, [0, *ends], strict=False)):
        return content
    # Where a frame's own length cannot be trusted it reaches to the next one.
    following = [*(f.offset for f in frames[1:]), size_bytes]
    stops = [
        end if f.is_whole else after for f, end, after in zip(frames, ends, following, strict=True)
    ]
    return BytesIO(b"".join(data[f.offset : stop] for f, stop in zip(frames, stops, strict=True)))
