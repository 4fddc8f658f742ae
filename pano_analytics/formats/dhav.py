"""The formats of Dahua and Amcrest cameras: DHAV clips, and the clock inside their JPEGs.

A `.dav` clip is a sequence of frames, each with a 24-byte header, an extension that
describes the stream, the payload (Annex B video, ADTS AAC or A-law audio) and an
8-byte trailer that repeats the frame's length. Every snapshot has the same packed clock in a
comment segment. The format is the one that FFmpeg's `dhav` demuxer
reads, checked against files of real cameras; see `docs/design/inspect.md`.

All times here are the camera's wall clock: naive, in whole seconds, from 2000 to 2063.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pano_analytics.errors import MediaError
from pano_analytics.formats.jpeg import MAGIC as JPEG_MAGIC

HEADER = struct.Struct("<4s4BIIIHBB")
TRAILER = struct.Struct("<4sI")
MAGIC = b"DHAV"
END_MAGIC = b"dhav"

KEY_VIDEO = 0xFD
VIDEO = 0xFC
AUDIO = 0xF0
# Side data without video or audio; demuxers skip it.
SIDE_DATA = 0xF1
FRAME_TYPES = frozenset((KEY_VIDEO, VIDEO, AUDIO, SIDE_DATA))

VIDEO_CODECS = {"h264": 2, "hevc": 12}
AUDIO_CODECS = {"aac": 0x1A, "pcm_alaw": 0x0E, "pcm_mulaw": 0x16}
SAMPLE_RATE_CODES = {
    8000: 0,
    4000: 1,
    11025: 3,
    16000: 4,
    20000: 5,
    22050: 6,
    32000: 7,
    44100: 8,
    48000: 9,
}

_CLOCK_AT = 16
_CHECKSUM_AT = 23
_COMMENT_MARK = MAGIC + b"\xfb"
_COMMENT_BYTES = 252
_UNIX_MARK = b"\x00\x7c\x00\x00"
_UNIX_COMMENT_BYTES = 4092
# The length in a snapshot's trailer is that of a DHAV frame around the JPEG without its
# comments: 24 bytes of header, 16 of extension, 8 of trailer (as in two real snapshots).
_SNAPSHOT_FRAME_EXTRA = 24 + 16 + 8


# --- the packed clock ---------------------------------------------------------------------


def pack_clock(clock: datetime) -> int:
    """Return the 32-bit word for a naive wall clock; fractions of seconds are dropped.

    From the lowest bit: second 6 bits, minute 6, hour 5, day 5, month 4, year - 2000 6.
    Raises MediaError outside 2000 to 2063, which the word cannot hold.
    """
    if not 2000 <= clock.year <= 2063:
        raise MediaError(f"a DHAV clock holds the years 2000 to 2063, not {clock.year}")
    date = (clock.year - 2000) << 26 | clock.month << 22 | clock.day << 17
    return date | clock.hour << 12 | clock.minute << 6 | clock.second


def unpack_clock(word: int) -> datetime | None:
    """Return the naive wall clock in `word`, or None if it is not a valid time."""
    try:
        return datetime(
            2000 + (word >> 26 & 63),
            word >> 22 & 15,
            word >> 17 & 31,
            word >> 12 & 31,
            word >> 6 & 63,
            word & 63,
        )
    except ValueError:
        return None


def _checksum(header: bytes | bytearray | memoryview) -> int:
    return sum(header[:_CHECKSUM_AT]) & 0xFF


# --- frames -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """The header of one frame of a clip.

    `offset` and `length` are in bytes, including header and trailer; `clock_word` is the
    packed clock; `ms` is an independent 16-bit counter of milliseconds; `is_whole` is True
    if the trailer is where `length` says.
    """

    offset: int
    kind: int
    number: int
    length: int
    clock_word: int
    ms: int
    extension_bytes: int
    is_whole: bool

    @property
    def clock(self) -> datetime | None:
        """The camera's wall clock (naive), or None if the word is not a valid time."""
        return unpack_clock(self.clock_word)

    @property
    def is_key(self) -> bool:
        """Whether the frame is a picture that decodes on its own."""
        return self.kind == KEY_VIDEO

    @property
    def is_video(self) -> bool:
        """Whether the frame contains a picture."""
        return self.kind in (KEY_VIDEO, VIDEO)

    @property
    def payload(self) -> slice:
        """The slice of the payload in the buffer that the frame was read from."""
        start = self.offset + HEADER.size + self.extension_bytes
        return slice(start, self.offset + self.length - TRAILER.size)


def _frame(
    kind: int, extension: bytes, payload: bytes, number: int, clock: datetime, ms: int
) -> bytes:
    length = HEADER.size + len(extension) + len(payload) + TRAILER.size
    header = bytearray(
        HEADER.pack(
            MAGIC, kind, 0, 0, 0, number, length, pack_clock(clock), ms & 0xFFFF, len(extension), 0
        )
    )
    header[_CHECKSUM_AT] = _checksum(header)
    return b"".join((header, extension, payload, TRAILER.pack(END_MAGIC, length)))


def _code(codes: dict[str, int], codec: str) -> int:
    if codec not in codes:
        raise MediaError(f"expected a DHAV codec ({', '.join(codes)}); got {codec!r}")
    return codes[codec]


def _video_extension(codec: str, fps: int, width: int, height: int) -> bytes:
    coarse = b""
    if width % 8 == height % 8 == 0 and max(width, height) // 8 <= 255:
        coarse = bytes((0x80, 0, width // 8, height // 8))
    size = struct.pack("<B3xHH", 0x82, width, height)
    return coarse + size + bytes((0x81, 0, _code(VIDEO_CODECS, codec), fps))


def video_frame(
    payload: bytes,
    *,
    number: int,
    clock: datetime,
    ms: int,
    is_key: bool,
    codec: str = "h264",
    fps: int,
    width: int,
    height: int,
) -> bytes:
    """Return one picture (Annex B, `codec` h264 or hevc) as a complete DHAV frame.

    `number` counts the pictures of a clip from 0, `clock` is the camera's naive wall
    clock and `ms` a running count of milliseconds, of which 16 bits are stored.
    """
    extension = _video_extension(codec, fps, width, height) if is_key else b""
    return _frame(KEY_VIDEO if is_key else VIDEO, extension, payload, number, clock, ms)


def audio_frame(
    payload: bytes,
    *,
    number: int,
    clock: datetime,
    ms: int,
    codec: str = "aac",
    channels: int = 1,
    sample_rate_hz: int = 8000,
) -> bytes:
    """Return one audio packet (`codec` aac with ADTS header, or pcm_alaw) as a DHAV frame."""
    if sample_rate_hz not in SAMPLE_RATE_CODES:
        raise MediaError(
            f"expected a sample rate of DHAV, {sorted(SAMPLE_RATE_CODES)} Hz; got {sample_rate_hz}"
        )
    extension = bytes(
        (0x83, channels, _code(AUDIO_CODECS, codec), SAMPLE_RATE_CODES[sample_rate_hz])
    )
    return _frame(AUDIO, extension, payload, number, clock, ms)


def video_clip(
    pictures: Iterable[tuple[bytes, bool]],
    *,
    start: datetime,
    fps: int,
    width: int,
    height: int,
    codec: str = "h264",
) -> bytes:
    """Return a complete `.dav` of `pictures`, each (Annex B bytes, whether it is a key frame)."""
    parts = []
    for number, (payload, is_key) in enumerate(pictures):
        ms = number * 1000 // fps
        parts.append(
            video_frame(
                payload,
                number=number,
                clock=start + timedelta(milliseconds=ms),
                ms=ms,
                is_key=is_key,
                codec=codec,
                fps=fps,
                width=width,
                height=height,
            )
        )
    return b"".join(parts)


def _header_at(data: bytes | bytearray | memoryview, offset: int) -> FrameHeader | None:
    if offset + HEADER.size > len(data):
        return None
    magic, kind, _, _, _, number, length, word, ms, extension, _ = HEADER.unpack_from(data, offset)
    smallest = HEADER.size + TRAILER.size
    if magic != MAGIC or kind not in FRAME_TYPES or length < smallest + extension:
        return None
    end = offset + length
    is_whole = end <= len(data) and TRAILER.unpack_from(data, end - TRAILER.size) == (
        END_MAGIC,
        length,
    )
    return FrameHeader(offset, kind, number, length, word, ms, extension, is_whole)


def frames(data: bytes | bytearray) -> Iterator[FrameHeader]:
    """Yield the header of every frame in `data`, in file order.

    Bytes between frames are skipped, as demuxers do; a frame whose end is cut off or
    overwritten is yielded with `is_whole` false, and the search continues after its header.
    """
    offset = data.find(MAGIC)
    while offset >= 0:
        header = _header_at(data, offset)
        if header is None:
            offset = data.find(MAGIC, offset + len(MAGIC))
            continue
        yield header
        step = header.length if header.is_whole else HEADER.size
        offset = data.find(MAGIC, offset + step)


def last_frame_bytes(tail: bytes | bytearray | memoryview) -> int | None:
    """Return the length of the last frame in bytes, from the last 8 bytes of a file, or None."""
    if len(tail) < TRAILER.size:
        return None
    magic, length = TRAILER.unpack_from(tail, len(tail) - TRAILER.size)
    return length if magic == END_MAGIC and length >= HEADER.size + TRAILER.size else None


def is_whole_tail(tail: bytes | bytearray | memoryview) -> bool:
    """Return whether `tail`, the end of a file, ends with a complete frame.

    `tail` must reach back to the start of the last frame (see `last_frame_bytes`);
    otherwise the result is False.
    """
    length = last_frame_bytes(tail)
    if length is None or length > len(tail):
        return False
    header = _header_at(tail, len(tail) - length)
    return header is not None and header.is_whole


def shift_clock(data: bytes, start: datetime) -> bytes:
    """Return the clip `data` as if its first frame had been recorded at `start` (naive).

    All frames are shifted by the same time; only the packed clocks and header checksums
    change. Raises MediaError if `data` has no frame with a clock, or if a clock would leave
    the years 2000 to 2063.
    """
    headers = list(frames(data))
    clocks = {header.clock_word: header.clock for header in headers}
    first = next((clock for clock in clocks.values() if clock is not None), None)
    if first is None:
        raise MediaError("expected a DHAV clip with a clock to shift, found no such frame")
    shift = start - first
    moved = {word: pack_clock(clock + shift) for word, clock in clocks.items() if clock is not None}
    shifted = bytearray(data)
    for header in headers:
        if header.clock_word in moved:
            _stamp(shifted, header.offset, moved[header.clock_word])
    return bytes(shifted)


def _stamp(data: bytearray, offset: int, word: int) -> None:
    """Write the packed clock and the checksum of the 24-byte header at `offset`, in place."""
    struct.pack_into("<I", data, offset + _CLOCK_AT, word)
    data[offset + _CHECKSUM_AT] = _checksum(data[offset : offset + _CHECKSUM_AT])


# --- snapshots ----------------------------------------------------------------------------


def jpeg_comment(clock: datetime, ms: int = 0) -> bytes:
    """Return the payload of a snapshot's clock comment, 252 bytes as real cameras write it."""
    payload = bytearray(_COMMENT_BYTES)
    payload[:5] = _COMMENT_MARK
    # The comment contains its own length at both ends, in big-endian order.
    payload[12:16] = struct.pack(">I", _COMMENT_BYTES)
    payload[-8:] = END_MAGIC + struct.pack(">I", _COMMENT_BYTES)
    struct.pack_into("<H", payload, 20, ms & 0xFFFF)
    _stamp(payload, 0, pack_clock(clock))
    return bytes(payload)


def read_comment(comment: bytes | None) -> datetime | None:
    """Return the naive wall clock of a snapshot's comment.

    None if the comment is from another maker, or its checksum or time is invalid.
    """
    if not comment or len(comment) <= _CHECKSUM_AT or not comment.startswith(_COMMENT_MARK):
        return None
    if comment[_CHECKSUM_AT] != _checksum(comment):
        return None
    return unpack_clock(struct.unpack_from("<I", comment, _CLOCK_AT)[0])


def jpeg_trailer(jpeg_bytes: int) -> bytes:
    """Return the 8 bytes after a snapshot's end marker.

    `jpeg_bytes` is the length of the JPEG without its comment segments.
    """
    return TRAILER.pack(END_MAGIC, jpeg_bytes + _SNAPSHOT_FRAME_EXTRA)


def _segment(payload: bytes) -> bytes:
    return b"\xff\xfe" + struct.pack(">H", len(payload) + 2) + payload


def _unix_comment(clock: datetime) -> bytes:
    """Return the other comment of real snapshots: the wall clock counted as Unix seconds."""
    seconds = (clock.replace(microsecond=0) - datetime(1970, 1, 1)) // timedelta(seconds=1)
    head = _UNIX_MARK + struct.pack("<I", seconds)
    return head.ljust(_UNIX_COMMENT_BYTES, b"\0")


def camera_jpeg(jpeg: bytes, clock: datetime) -> bytes:
    """Return a plain JPEG as an Amcrest camera would upload it at `clock` (naive).

    Both comment segments are put before the frame header, the trailer after the end marker.
    """
    position = next(
        (offset for offset, marker, _ in _segments(jpeg) if marker in (0xC0, 0xC1, 0xC2)), None
    )
    if position is None:
        raise MediaError("expected a JPEG picture, found none to write a camera's clock into")
    comments = _segment(_unix_comment(clock)) + _segment(jpeg_comment(clock))
    return jpeg[:position] + comments + jpeg[position:] + jpeg_trailer(len(jpeg))


def _segments(jpeg: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """Yield (offset, marker, payload bytes) of the segments up to the first scan, inclusive."""
    offset = 2 if jpeg.startswith(JPEG_MAGIC) else len(jpeg)
    while offset + 4 <= len(jpeg) and jpeg[offset] == 0xFF:
        marker, length = jpeg[offset + 1], struct.unpack_from(">H", jpeg, offset + 2)[0]
        yield offset, marker, length - 2
        if marker == 0xDA:
            return
        offset += 2 + length


def stamp_jpeg(data: bytes, clock: datetime) -> bytes:
    """Return the snapshot `data` with the clock of its comments set to `clock` (naive).

    Raises MediaError if it has no such comment (see `camera_jpeg`).
    """
    stamped, is_stamped = bytearray(data), False
    for offset, marker, payload_bytes in _segments(data):
        start = offset + 4
        if marker != 0xFE:
            continue
        if data.startswith(_COMMENT_MARK, start) and payload_bytes > _CHECKSUM_AT:
            _stamp(stamped, start, pack_clock(clock))
            is_stamped = True
        elif data.startswith(_UNIX_MARK, start) and payload_bytes >= 8:
            stamped[start : start + 8] = _unix_comment(clock)[:8]
    if not is_stamped:
        raise MediaError("expected a snapshot with a camera's clock comment, found none to set")
    return bytes(stamped)
