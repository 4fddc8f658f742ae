"""Demuxing clips with FFmpeg: packets, times of pictures, single key frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from pano_analytics.errors import MediaError
from pano_analytics.formats import dav
from pano_analytics.formats.verdict import Undecodable, Unsupported
from pano_analytics.workers.confined import is_out_of_memory

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MAX_PACKETS = 500_000
"""At most this many packets of a clip are read: about two hours of video and audio."""
BARE_STREAMS = frozenset(("h264", "hevc", "m4v", "mpegvideo", "mjpeg"))
"""Formats that may have no timestamps, just consecutive pictures."""

# FFmpeg reads a picture as a clip of one frame.
_PIPES = {
    "JPEG": "jpeg_pipe",
    "PNG": "png_pipe",
    "GIF": "gif",
    "WEBP": "webp_pipe",
    "BMP": "bmp_pipe",
    "TIFF": "tiff_pipe",
}
_CLOCK_STEP_S = 2.0
_LAPSE_STEP_S = 60.0


def open_clip(
    content: BinaryIO, format_name: str, options: dict[str, str] | None = None
) -> InputContainer:
    """Open a clip for reading, with the demuxer of its container only."""
    import av

    format_name = _PIPES.get(format_name, format_name)
    if format_name == "dhav":
        content = dav.without_gaps(content, content.seek(0, 2))
    content.seek(0)
    return av.open(content, "r", format=format_name, options=options, metadata_errors="replace")


def packets_of(container: InputContainer) -> Iterator[Packet[Any]]:
    """Yield the packets of all streams, complete or cut off. Raises FFmpeg's errors."""
    try:
        yield from (packet for packet in container.demux() if packet.size)
    except IndexError:
        # In a DHAV clip, the audio stream may begin later; PyAV then fails on the unknown
        # stream when it flushes all streams, after the last packet.
        return


TOO_MUCH_MEMORY = "it needs more memory than the limit per file"


def refusal(error: BaseException, form: str = "{}") -> MediaError:
    """Return the error to raise for a file on which a reader failed with `error`.

    `form` is a format string for the reason. A file that exceeds our limits may be complete:
    it is reported as too large, not as damaged.
    """
    if is_out_of_memory(error):
        return Unsupported(f"too large to look at: {TOO_MUCH_MEMORY}")
    return Undecodable(form.format(error_words(error)))


def error_words(error: BaseException) -> str:
    """Return the message of FFmpeg or Pillow, without codes and addresses."""
    if is_out_of_memory(error):
        return TOO_MUCH_MEMORY
    words = str(getattr(error, "strerror", None) or error)
    return words.splitlines()[0] if words else type(error).__name__


def decode_key(context: VideoCodecContext, packet: Packet[Any]) -> VideoFrame | None:
    """Return the picture of one key packet, or None if it does not decode.

    It is decoded by itself, so that a failure affects no other picture.
    """
    return decoded_key(context, packet)[0]


def decoded_key(
    context: VideoCodecContext, packet: Packet[Any]
) -> tuple[VideoFrame | None, BaseException | None]:
    """Return the picture of one key packet as `decode_key` does, and the error if it failed."""
    import av

    try:
        pictures = context.decode(packet) or context.decode(None)
        context.flush_buffers()
    except (av.FFmpegError, MemoryError, EOFError, ValueError, OSError) as error:
        return None, error
    return (pictures[0] if pictures else None), None


# --- orientation ------------------------------------------------------------------------

UPRIGHT = 1


def orientation_of(picture: VideoFrame) -> int:
    """Return the EXIF orientation, 1 to 8, of a decoded picture.

    It is read from the display matrix; other angles are rounded to the nearest quarter turn.
    """
    try:
        matrix = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV does not know every kind of side data (EXIF); `rotation` has quarter turns only.
        return {90: 8, 180: 3, -180: 3, -90: 6}.get(picture.rotation, UPRIGHT)
    if matrix is None:
        return UPRIGHT
    a, b, _, c, d = memoryview(bytes(cast("bytes", matrix))).cast("i")[:5]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return {(True, True): 1, (False, True): 2, (False, False): 3, (True, False): 4}[
            (a >= 0, d >= 0)
        ]
    return {(True, True): 5, (True, False): 6, (False, False): 7, (False, True): 8}[
        (b >= 0, c >= 0)
    ]


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return the size (width, height) of a picture after turning it for display."""
    return (height, width) if orientation >= 5 else (width, height)


def matrix_of(orientation: int) -> list[int]:
    """Return the display matrix for an EXIF orientation: 9 numbers in FFmpeg's order."""
    a, b, c, d = _MATRICES[orientation]
    return [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]


_MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


# --- time -------------------------------------------------------------------------------


def declared_period_s(stream: VideoStream) -> float:
    """Return the seconds per picture that the stream declares, or 0.1.

    For a stream without a container, FFmpeg always reports 25 frames per second, so its
    headers are read first.
    """
    is_bare = stream.container.format.name in BARE_STREAMS
    rate = (is_bare and stream.codec_context.framerate) or stream.average_rate
    return float(1 / rate) if rate and 0 < rate <= 1000 else 0.1


def filled_times(times_s: Sequence[float | None]) -> list[float]:
    """Return the times (s); a missing one becomes the one before, or the first known one."""
    last = next((time_s for time_s in times_s if time_s is not None), 0.0)
    filled = []
    for time_s in times_s:
        last = last if time_s is None else time_s
        filled.append(last)
    return filled


def steady_times(times_s: Sequence[float], fallback_s: float) -> tuple[list[float], float]:
    """Return (seconds from the first picture, for each picture; period in seconds).

    Cameras may set their clock while they record: a step that is zero, negative or more than
    2 s is replaced by the period, the mean of the usual steps (`fallback_s` if there are
    none). In a time lapse, where most steps are longer, steps of up to 60 s are kept.
    """
    steps = [later - earlier for earlier, later in pairwise(times_s)]
    longest = _longest_step(steps)
    good = [step for step in steps if 0 < step <= longest]
    middle = median(good) if good else fallback_s
    period = fmean([step for step in good if 0.5 <= step / middle <= 1.5] or [middle])
    steady = (step if 0 < step <= longest else period for step in steps)
    return list(accumulate(steady, initial=0.0))[: len(times_s)], period


def _longest_step(steps: list[float]) -> float:
    usual = sum(0 < step <= _CLOCK_STEP_S for step in steps)
    return _CLOCK_STEP_S if 2 * usual >= len(steps) else _LAPSE_STEP_S
