"""The demonstration's clips: encoded once each, then reused with another clock."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import chain

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pano_analytics.formats import dhav
from pano_demo.picture import GROUP
from pano_demo.planes import HEIGHT, WIDTH, Bytes, Planes

FPS = 10
_KEY_EVERY = GROUP
# A camera's encoder is a hasty one, too. One thread: x264 cuts a picture by the number of
# its threads, and the bytes must not depend on the machine's cores.
_X264 = {
    "preset": "superfast",
    "crf": "31",
    "maxrate": "1100k",
    "bufsize": "2200k",
    "threads": "1",
    "bf": "0",
    "x264-params": (
        f"keyint={_KEY_EVERY}:min-keyint={_KEY_EVERY}:scenecut=0:rc-lookahead=0:ref=1:subme=1"
        ":me=dia:trellis=0:partitions=none:weightp=0:aq-mode=0:no-mixed-refs=1"
    ),
}
# As a camera's stream says of itself: full range, the colours of BT.601.
_FULL_RANGE, _BT601 = 2, 6
_STUB_BYTES = 156
# MP4 counts its clock from 1904; cameras write their local time there.
_MP4_EPOCH = datetime(1904, 1, 1)
# A clip is first made with this clock, then shifted.
_FIRST_CLOCK = datetime(2020, 1, 1)


def encode(pictures: Iterable[Planes], suffix: str) -> bytes:
    """Return `pictures`, 15 a second, as a clip: DHAV for `.dav`, else MP4 (H.264 in both)."""
    rest = iter(pictures)
    first = next(rest)
    height, width = first.y.shape
    every = chain([first], rest)
    if suffix == ".dav":
        frames = list(_annex_b(every, width, height))
        return dhav.video_clip(frames, start=_FIRST_CLOCK, fps=FPS, width=width, height=height)
    return _mp4(every, width, height)


def at_clock(clip: bytes, suffix: str, start: datetime) -> bytes:
    """Return `clip` as recorded at `start`, the camera's naive wall clock."""
    if suffix == ".dav":
        return dhav.shift_clock(clip, start)
    return _mp4_at_clock(clip, start)


def stub(start: datetime) -> bytes:
    """Return the 156 bytes that some cameras leave of a clip that never was."""
    fixed = len(_stub_of(b"", start))
    return _stub_of(b"\0\0\0\1" + bytes(_STUB_BYTES - fixed - 4), start)


def _stub_of(payload: bytes, start: datetime) -> bytes:
    return dhav.video_frame(
        payload, number=0, clock=start, ms=0, is_key=True, fps=FPS, width=WIDTH, height=HEIGHT
    )


# --- encoding -------------------------------------------------------------------------------


def _annex_b(pictures: Iterable[Planes], width: int, height: int) -> Iterator[tuple[bytes, bool]]:
    with av.open(io.BytesIO(), "w", format="h264") as container:
        stream = _stream(container, width, height)
        for frame in chain(_frames(pictures), [None]):
            for packet in stream.encode(frame):
                yield bytes(packet), packet.is_keyframe


def _mp4(pictures: Iterable[Planes], width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = _stream(container, width, height)
        for frame in chain(_frames(pictures), [None]):
            container.mux(stream.encode(frame))
    return buffer.getvalue()


def _stream(container: av.container.OutputContainer, width: int, height: int) -> VideoStream:
    stream = container.add_stream("libx264", rate=FPS, options=_X264)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
    stream.codec_context.color_range = _FULL_RANGE
    stream.codec_context.colorspace = _BT601
    return stream


def _frames(pictures: Iterable[Planes]) -> Iterator[VideoFrame]:
    for number, planes in enumerate(pictures):
        frame = VideoFrame(planes.y.shape[1], planes.y.shape[0], "yuvj420p")
        colours = (_halved(planes.cb), _halved(planes.cr))
        for plane, values in zip(frame.planes, (planes.y, *colours), strict=True):
            plane.update(_padded(values, plane.line_size).tobytes())
        frame.pts = number
        yield frame


def _halved(plane: Bytes) -> Bytes:
    pairs = plane.astype(np.uint16)
    pairs = pairs[::2] + pairs[1::2]
    return ((pairs[:, ::2] + pairs[:, 1::2] + 2) >> 2).astype(np.uint8)


def _padded(values: Bytes, line_bytes: int) -> Bytes:
    spare = line_bytes - values.shape[1]
    return np.ascontiguousarray(np.pad(values, ((0, 0), (0, spare))) if spare else values)


# --- the clock of an MP4 --------------------------------------------------------------------


def _mp4_at_clock(clip: bytes, start: datetime) -> bytes:
    clock = (start - _MP4_EPOCH) // timedelta(seconds=1)
    stamped = bytearray(clip)
    for offset in _clock_offsets(clip, 0, len(clip)):
        # Version 0 boxes: created and changed, four bytes each.
        struct.pack_into(">II", stamped, offset, clock, clock)
    return bytes(stamped)


def _clock_offsets(clip: bytes, start: int, stop: int) -> Iterator[int]:
    """Yield where the boxes that carry a clock keep it."""
    while start + 8 <= stop:
        length, name = struct.unpack_from(">I4s", clip, start)
        if name in (b"moov", b"trak", b"mdia"):
            yield from _clock_offsets(clip, start + 8, start + length)
        elif name in (b"mvhd", b"tkhd", b"mdhd"):
            yield start + 12
        start += max(length, 8)
