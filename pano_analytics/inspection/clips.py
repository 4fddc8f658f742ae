"""Inspect clips: whether they are complete, how long they play, and a strip of key frames."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from pano_analytics.formats import dhav
from pano_analytics.formats.demux import (
    BARE_STREAMS,
    MAX_PACKETS,
    declared_period_s,
    decoded_key,
    open_clip,
    orientation_of,
    refusal,
    steady_times,
    upright_size,
)
from pano_analytics.formats.structure import verdict_of
from pano_analytics.formats.verdict import Undecodable, Unsupported
from pano_analytics.inspection.kept import STRIP_THUMBNAIL_WIDTH, fitted, frame_of, upright
from pano_analytics.inspection.limits import MAX_PIXELS, TOO_LARGE
from pano_analytics.inspection.opened import Opened, note_of
from pano_analytics.inspection.packets import Packets
from pano_analytics.model.upload import Frame, Inspection
from pano_analytics.workers.confined import is_out_of_memory

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL.Image import Image

_HELD_PICTURES = 8
_SHORT_SHARE = 0.6
_SHORT_S = 3.0
# Formats whose last packet may look complete although the last picture is not: only the
# decoder notices its end.
_ENDS_IN_PICTURES = frozenset(("mpegts", "mpeg", "h264", "hevc", "mpegvideo", "m4v", "hxvs"))
# Containers whose header declares a length. An MP4 declares its samples instead, and the
# length in an AVI is wrong if its size is missing.
_DECLARE_LENGTH = frozenset(("matroska", "flv", "asf"))


def inspect_clip(upload: Opened, format_name: str, expected_s: float | None) -> Inspection:
    """Return the inspection of a clip, whose name gives the length `expected_s` if known.

    Raises Undecodable or Unsupported.
    """
    content = upload.content
    verdict = verdict_of(content, format_name, upload.size_bytes)
    try:
        clip = _scan(content, format_name)
    except (Undecodable, Unsupported) as reason:
        # If the file is cut off, its kind cannot be determined.
        raise (Undecodable(f"{verdict.reason}; {reason}") if verdict.reason else reason) from reason
    if format_name in BARE_STREAMS:
        _set_rate(clip, expected_s)
    trouble = verdict.reason or clip.trouble
    if format_name in _DECLARE_LENGTH or (format_name == "avi" and verdict.says == "whole"):
        trouble = trouble or _too_short(clip.duration_s, clip.declared_s, "it declares")
    short = _too_short(clip.duration_s, expected_s, "its name promises")
    trouble = "; ".join(filter(None, (trouble, short))) or None
    if not clip.frames:
        raise Undecodable(f"no picture decodes: {trouble or 'it holds no key frame'}")
    return Inspection(
        "partial" if trouble else "complete",
        trouble or clip.note or note_of(upload, format_name),
        clip.width,
        clip.height,
        fps=clip.fps,
        duration_s=round(clip.duration_s, 3),
        codec=clip.codec,
        camera_clock=_dhav_clock(content) if format_name == "dhav" else clip.clock,
        frames=tuple(clip.frames),
    )


def _set_rate(clip: ClipScan, expected_s: float | None) -> None:
    """Spread the pictures of a stream without times over the length in the file name."""
    if expected_s is None or clip.has_frame_rate or not clip.pictures or clip.duration_s <= 0:
        return
    scale = expected_s / clip.duration_s
    clip.duration_s, clip.fps = expected_s, round(clip.pictures / expected_s, 3)
    clip.frames = [replace(f, offset_s=round(f.offset_s * scale, 3)) for f in clip.frames]


def _too_short(duration_s: float, expected_s: float | None, promise: str) -> str | None:
    if expected_s is None or duration_s >= _SHORT_SHARE * expected_s:
        return None
    if expected_s - duration_s <= _SHORT_S:
        return None
    return f"{duration_s:.1f} s of the {expected_s:.0f} s {promise}"


def _dhav_clock(content: BinaryIO) -> datetime | None:
    content.seek(0)
    first = next(dhav.frames(content.read(1 << 20)), None)
    return first.clock if first else None


@dataclass
class ClipScan:
    """The results of reading all packets of a clip once."""

    codec: str | None = None
    clock: datetime | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    duration_s: float = 0.0
    trouble: str | None = None
    note: str | None = None
    pictures: int = 0
    has_frame_rate: bool = True
    declared_s: float | None = None
    frames: list[Frame] = field(default_factory=list)


def _scan(content: BinaryIO, format_name: str) -> ClipScan:
    """Read all packets of a clip, and decode a few key frames spread over it."""
    import av

    # Ignore edit lists: they may hide samples, which are counted here.
    options = {"ignore_editlist": "1"} if format_name == "mov" else None
    try:
        with open_clip(content, format_name, options) as container:
            return _scan_container(container, format_name)
    except (av.FFmpegError, MemoryError, EOFError, ValueError, OSError) as error:
        raise refusal(error, "no clip can be read from it: {}") from error


def _scan_container(container: InputContainer, format_name: str) -> ClipScan:
    stream = _pictures_of(container)
    packets = Packets(stream, has_tail=format_name in _ENDS_IN_PICTURES)
    trouble = packets.gather(container)
    offsets_s, period_s = steady_times(packets.times_s(), declared_period_s(stream))
    codec = stream.codec_context.codec.canonical_name
    clip = ClipScan(codec, _creation_clock(container), trouble=trouble)
    clip.pictures, clip.has_frame_rate = len(offsets_s), bool(stream.codec_context.framerate)
    if offsets_s:
        clip.duration_s = offsets_s[-1] + period_s
        clip.fps = round(1 / period_s, 3) if period_s else None
    declared_s = container.duration / 1e6 if container.duration else 0.0
    if packets.is_too_many:
        clip.note = f"longer than {MAX_PACKETS} packets: the rest was not inspected"
        clip.duration_s = max(clip.duration_s, declared_s)
    else:
        clip.declared_s = declared_s or None
    _decode_strip(clip, stream, [(offsets_s[i], packet) for i, packet in packets.strip()])
    clip.trouble = clip.trouble or packets.tail_trouble()
    return clip


def _pictures_of(container: InputContainer) -> VideoStream:
    """Return the video stream, ignoring cover pictures."""
    streams = container.streams
    if not streams.video and streams.audio:
        raise Unsupported("it has sound but no pictures")
    if not streams.video:
        raise Undecodable("no clip can be read from it: it has no pictures")
    moving = [s for s in streams.video if "attached_pic" not in str(s.disposition)]
    stream = (moving or streams.video)[0]
    if stream.codec_context is None:
        raise Unsupported("its pictures are in a codec that pano does not read")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS:
        raise Unsupported(TOO_LARGE.format(width, height, MAX_PIXELS))
    return stream


def _creation_clock(container: InputContainer) -> datetime | None:
    """Return the time in an MP4's header: the camera's local time, although labelled UTC."""
    try:
        clock = datetime.fromisoformat(container.metadata.get("creation_time", ""))
    except ValueError:
        return None
    return clock.replace(tzinfo=None, microsecond=0) if 2000 <= clock.year < 2100 else None


def _decode_strip(
    clip: ClipScan, stream: VideoStream, keys: list[tuple[float, Packet[Any]]]
) -> None:
    context = stream.codec_context
    # One thread: ingest already runs one process per core.
    context.thread_count = 1
    context.options = {"max_pixels": str(MAX_PIXELS)}
    turn = None
    too_large: BaseException | None = None
    for offset_s, packet in keys:
        picture, error = decoded_key(context, packet)
        if error is not None and is_out_of_memory(error):
            too_large = error
        if picture is not None:
            # The matrix is the same for the whole clip, and reading it takes half a millisecond.
            turn = turn or orientation_of(picture)
            clip.width, clip.height = upright_size(picture.width, picture.height, turn)
            clip.frames.append(_strip_frame(offset_s, picture, _pixel_aspect(stream), turn))
    if keys and not clip.frames and (too_large or not _has_room_for(context)):
        raise refusal(too_large or MemoryError())
    failed = len(keys) - len(clip.frames)
    if failed and clip.trouble is None:
        clip.trouble = f"{failed} of the {len(keys)} inspected key frames do not decode"


def _has_room_for(context: VideoCodecContext) -> bool:
    """Return whether the pictures that a decoder holds fit in the memory limit.

    Decoders that get no memory often report invalid data instead.
    """
    try:
        bytearray(_HELD_PICTURES * context.width * context.height * 3 // 2)
    except MemoryError:
        return False
    return True


def _pixel_aspect(stream: VideoStream) -> float:
    """Return the aspect ratio of a pixel; some cameras store wide pictures as 640x480."""
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return float(aspect) if aspect and 0.25 <= aspect <= 4 else 1.0


def _strip_frame(
    offset_s: float, picture: VideoFrame, pixel_aspect: float, orientation: int
) -> Frame:
    square = (round(picture.width * pixel_aspect), picture.height)
    target = fitted(*upright_size(*square, orientation), STRIP_THUMBNAIL_WIDTH)
    width, height = upright_size(*target, orientation)
    shrunk = picture.reformat(width, height, "rgb24", interpolation="AREA")
    image: Image = shrunk.to_image()  # type: ignore[no-untyped-call]
    turned = upright(image, orientation)
    return frame_of(round(offset_s, 3), turned, 1.0, STRIP_THUMBNAIL_WIDTH)
