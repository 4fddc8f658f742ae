"""Clips taken apart by FFmpeg: packets, the times between pictures, single key frames."""

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
"""A clip is read to this many packets: about two hours of picture and sound."""
BARE_STREAMS = frozenset(("h264", "hevc", "m4v", "mpegvideo", "mjpeg"))
"""Formats that may hold no times at all, only one picture after another."""

# A picture is a clip of one frame.
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
    """Open a clip for reading with its container's own demuxer and no other."""
    import av

    format_name = _PIPES.get(format_name, format_name)
    if format_name == "dhav":
        content = dav.in_step(content, content.seek(0, 2))
    content.seek(0)
    return av.open(content, "r", format=format_name, options=options, metadata_errors="replace")


def packets_of(container: InputContainer) -> Iterator[Packet[Any]]:
    """Yield the packets of all streams, whole or cut. Raises FFmpeg's errors."""
    try:
        yield from (packet for packet in container.demux() if packet.size)
    except IndexError:
        # A DHAV clip may show its sound only later; PyAV then stumbles over the stream it
        # did not know when all packets are out and it asks each stream for what is held.
        return


TOO_MUCH_MEMORY = "it needs more memory than the limit per file"


def refusal(error: BaseException, told: str = "{}") -> MediaError:
    """Return the error to raise for a file that a reader ends with `error` on.

    A file that exceeds our limits may well be whole: it is too large to look at, not damaged.
    """
    if is_out_of_memory(error):
        return Unsupported(f"too large to look at: {TOO_MUCH_MEMORY}")
    return Undecodable(told.format(error_words(error)))


def error_words(error: BaseException) -> str:
    """Return what FFmpeg or Pillow says is wrong, without codes and addresses."""
    if is_out_of_memory(error):
        return TOO_MUCH_MEMORY
    words = str(getattr(error, "strerror", None) or error)
    return words.splitlines()[0] if words else type(error).__name__


def decode_key(context: VideoCodecContext, packet: Packet[Any]) -> VideoFrame | None:
    """Return the picture of one key packet, decoded on its own so that failures stay single.

    None where it does not decode.
    """
    return decoded_key(context, packet)[0]


def decoded_key(
    context: VideoCodecContext, packet: Packet[Any]
) -> tuple[VideoFrame | None, BaseException | None]:
    """Return the picture of one key packet as `decode_key` does, and what went wrong."""
    import av

    try:
        pictures = context.decode(packet) or context.decode(None)
        context.flush_buffers()
    except (av.FFmpegError, MemoryError, EOFError, ValueError, OSError) as error:
        return None, error
    return (pictures[0] if pictures else None), None


# --- how a picture is to be turned ------------------------------------------------------

UPRIGHT = 1


def orientation_of(picture: VideoFrame) -> int:
    """Return how a decoded picture is to be turned for display, as EXIF counts it: 1 to 8.

    It is read from the display matrix; a matrix that turns by other than quarters is
    taken for the nearest quarter.
    """
    try:
        matrix = picture.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV does not know every sort of side data (EXIF); this way tells quarters only.
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
    """Return the size of a picture once it is turned for display."""
    return (height, width) if orientation >= 5 else (width, height)


def matrix_of(orientation: int) -> list[int]:
    """Return the display matrix that turns a picture so: 9 numbers as FFmpeg orders them."""
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
    """Return the seconds a picture stands by the rate that the stream declares, or 0.1.

    Of a stream without a container FFmpeg tells 25 frames per second, whatever its
    headers say; those are asked first.
    """
    is_bare = stream.container.format.name in BARE_STREAMS
    rate = (is_bare and stream.codec_context.framerate) or stream.average_rate
    return float(1 / rate) if rate and 0 < rate <= 1000 else 0.1


def filled_times(times_s: Sequence[float | None]) -> list[float]:
    """Return the times with each missing one as the one before, or as the first that is told."""
    last = next((time_s for time_s in times_s if time_s is not None), 0.0)
    filled = []
    for time_s in times_s:
        last = last if time_s is None else time_s
        filled.append(last)
    return filled


def steady_times(times_s: Sequence[float], fallback_s: float) -> tuple[list[float], float]:
    """Return (seconds from the first picture, one for each; the period of a picture).

    A camera sets its clock while it records: a step of nothing, back, or of more than
    2 s is replaced by the period, which is the mean of the usual steps (`fallback_s`
    where there are none). A clip that always steps slower is taken at its word.
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
