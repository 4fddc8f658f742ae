"""What is really in one uploaded file, found in one reading of it.

`inspect_file` opens a file once, hashes and decodes the same bytes, and returns an
`Inspection`. Nothing is ever written. Bad contents are a state with a reason in words;
only what is no readable file, or changes while it is read, is an error. The rules and
the choice of the grid are in `docs/design/inspect.md`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from io import BytesIO
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, BinaryIO

from pano_analytics import dhav
from pano_analytics.confined import is_out_of_memory
from pano_analytics.errors import MediaError
from pano_analytics.media import Frame, Inspection

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

GRID_SHAPE: tuple[int, int, int] = (2, 27, 48)
"""Planes, rows and columns of the luminance grid: the cells' means, then four times their
mean absolute deviations. Chosen by the sensitivity curve in `docs/design/inspect.md`."""
GRID_VERSION = 1
THUMBNAIL_WIDTH = 480
"""Pixels across a snapshot's thumbnail; smaller pictures keep their size."""
STRIP_THUMBNAIL_WIDTH = 320
"""Pixels across a thumbnail of a clip's strip of key frames."""
STRIP_FRAMES = 16
"""At most so many key frames of a clip are kept, spread evenly, first and last included."""
MAX_PIXELS = 50_000_000
"""A picture that declares more than this is not decoded."""
MAX_SNAPSHOT_BYTES = 64 << 20
"""A snapshot larger than this is not decoded."""
MAX_PACKETS = 500_000
"""A clip is read to this many packets: about two hours of picture and sound."""

_IN_MEMORY_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_MAX_PLAIN_PIXELS = 20_000_000
_JPEG_QUALITY = 75
_MAX_JPEG_SCANS = 100
_FINE_PX = 5
_FOUR_TIMES = [min(255, 4 * level) for level in range(256)]
_CLOCK_STEP_S = 2.0
_LAPSE_STEP_S = 60.0
_HELD_KEYS = 8 * STRIP_FRAMES
_SHORT_SHARE = 0.6
_SHORT_S = 3.0


class MediaChanged(MediaError):
    """The file changed while it was being read: it is still being written."""


class Undecodable(MediaError):
    """Nothing in the file decodes; the text says why, and becomes the state's reason."""


def inspect_file(path: Path, kind: str, expected_duration_s: float | None = None) -> Inspection:
    """Return what is really in the file at `path`, read once.

    `kind` is "snapshot" or "clip"; `expected_duration_s` the length that a clip's name
    promises, in seconds. Raises MediaChanged where the file changed meanwhile, and
    MediaError where there is no regular file to read; contents never raise.
    """
    look = _LOOKS.get(kind)
    if look is None:
        raise MediaError(f"expected the kind snapshot or clip, got {kind!r}")
    with open_media(path) as (file, before):
        content, sha256 = _read(path, file, before.st_size)
        try:
            found = look(content, path, before.st_size, expected_duration_s)
        except Undecodable as reason:
            found = Inspection("damaged", str(reason))
        except MemoryError as error:
            found = Inspection("damaged", _words(error))
        _check_unchanged(path, before, os.fstat(file.fileno()))
    return replace(found, sha256=sha256)


# --- reading ------------------------------------------------------------------------------


@contextmanager
def open_media(path: Path) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """Open a regular file without following a link or waiting for a FIFO's writer.

    Gives the file, for reading only, and its status when it was opened. Raises
    MediaError saying what is there instead, or what keeps it from being read.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise MediaError(_why_not_opened(path, error)) from error
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        os.close(descriptor)
        raise MediaError(
            f"{path} is {_sort_of(before.st_mode)}, not a file of media: "
            "nothing is read from it; move it out of the upload tree"
        )
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        yield file, before


def _why_not_opened(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return f"{str(path)!r} is no name a file can have: {error}"
    if error.errno == errno.ELOOP:
        return f"{path} is a symbolic link, and links are not followed: name the file itself"
    if isinstance(error, PermissionError):
        return f"{path} may not be read: give the user who runs pano the right to read it"
    return f"{path} cannot be opened: {error.strerror}"


def _sort_of(mode: int) -> str:
    sorts: tuple[tuple[Callable[[int], bool], str], ...] = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for test, name in sorts if test(mode)), "something else")


def _read(path: Path, file: BinaryIO, size_bytes: int) -> tuple[BinaryIO, str]:
    """Return the contents, in memory where they are small, and the SHA-256 of the whole."""
    try:
        if size_bytes <= _IN_MEMORY_BYTES:
            # One byte more than there should be: what grew meanwhile shows, and is told.
            data = file.read(size_bytes + 1) or b""
            return BytesIO(data), hashlib.sha256(data).hexdigest()
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
        file.seek(0)
    except OSError as error:
        raise MediaError(
            f"{path} cannot be read to its end: {error.strerror}; check the disk it lies on"
        ) from error
    return file, digest.hexdigest()


def _check_unchanged(path: Path, before: os.stat_result, after: os.stat_result) -> None:
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise MediaChanged(
            f"{path} changed while it was read ({before.st_size} bytes, then "
            f"{after.st_size}): it is still being written; look again later"
        )


def _empty() -> Inspection:
    return Inspection("empty", "0 bytes: the upload never got its contents")


# --- pictures -----------------------------------------------------------------------------

# By content, whatever the name says. Formats that run programs (EPS) or hold other files
# are left out on purpose; so is all that no camera writes.
_PICTURES: tuple[tuple[bytes, int, str, frozenset[str]], ...] = (
    (b"\xff\xd8\xff", 0, "JPEG", frozenset((".jpg", ".jpeg", ".jpe"))),
    (b"\x89PNG\r\n\x1a\n", 0, "PNG", frozenset((".png",))),
    (b"GIF8", 0, "GIF", frozenset((".gif",))),
    (b"WEBP", 8, "WEBP", frozenset((".webp",))),
)


def _snapshot(
    content: BinaryIO, path: Path, size_bytes: int, _expected_s: float | None
) -> Inspection:
    if size_bytes == 0:
        return _empty()
    if size_bytes > MAX_SNAPSHOT_BYTES:
        raise Undecodable(f"{size_bytes} bytes are more than a snapshot has: not decoded")
    data = content.read()
    format_name, note = _picture_format(data, path)
    image = _open_picture(data, format_name)
    (width, height), clock = image.size, _snapshot_clock(image)
    picture, trouble = _decode_picture(data, image)
    return Inspection(
        "partial" if trouble else "complete",
        trouble or note,
        width,
        height,
        codec=format_name.lower(),
        camera_clock=clock,
        frames=(_frame(0.0, picture, 1.0, THUMBNAIL_WIDTH),),
    )


def _picture_format(data: bytes, path: Path) -> tuple[str, str | None]:
    """Return Pillow's name of the format, and a note where the file's name says another."""
    for magic, offset, name, suffixes in _PICTURES:
        if data.startswith(magic, offset):
            suffix = path.suffix.lower()
            return name, None if suffix in suffixes else f"a {name} picture named {suffix!a}"
    raise Undecodable(f"no picture: the file begins with {_beginning(data)}")


def _beginning(data: bytes) -> str:
    if data.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return "a web page"
    if not any(data[:_CHUNK_BYTES]):
        return "zeros"
    return ascii(data[:12].decode("latin-1"))


def _words(error: BaseException) -> str:
    if is_out_of_memory(error):
        return "it takes more memory than one file may take"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _open_picture(data: bytes, format_name: str) -> ImageFile:
    """Read the header and hold what it declares against the limits; decode nothing."""
    try:
        image = _reader(format_name)(BytesIO(data))
    except Exception as error:
        # Readers of hostile bytes raise whatever comes, and a file must never end a run.
        raise Undecodable(f"the {format_name} header is broken: {_words(error)}") from error
    _check_limits(data, image)
    # All bytes are at hand: handing them over in pieces would only copy them again.
    image.decodermaxblock = max(len(data), image.decodermaxblock)
    return image


def _reader(format_name: str) -> Callable[[BytesIO], ImageFile]:
    """Return Pillow's reader of one format: no search for it, and the limits are ours."""
    from PIL.GifImagePlugin import GifImageFile
    from PIL.JpegImagePlugin import jpeg_factory
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    readers: dict[str, Callable[[BytesIO], ImageFile]] = {
        "JPEG": jpeg_factory,
        "PNG": PngImageFile,
        "GIF": GifImageFile,
        "WEBP": WebPImageFile,
    }
    return readers[format_name]


def _check_limits(data: bytes, image: ImageFile) -> None:
    width, height = image.size
    # Only a JPEG decodes at a reduced scale; the others cost all their pixels.
    limit = MAX_PIXELS if image.format in ("JPEG", "MPO") else _MAX_PLAIN_PIXELS
    if not 0 < width * height <= limit:
        raise Undecodable(
            f"declares {width} x {height} pixels, none or more than {limit}: not decoded"
        )
    # Each scan of a progressive picture costs a pass over all pixels, however few its bytes.
    if "progressive" in image.info and data.count(b"\xff\xda") > _MAX_JPEG_SCANS:
        raise Undecodable(f"more than {_MAX_JPEG_SCANS} scans in one picture: not decoded")


def _snapshot_clock(image: ImageFile) -> datetime | None:
    """Return the clock of an Amcrest or Dahua comment; each JPEG may carry several comments."""
    segments = getattr(image, "applist", ())
    clocks = (dhav.read_comment(payload) for marker, payload in segments if marker == "COM")
    return next((clock for clock in clocks if clock is not None), None)


def _decode_picture(data: bytes, image: ImageFile) -> tuple[Image, str | None]:
    """Return the picture, reduced for its thumbnail, and what is wrong with it if anything."""
    is_progressive = "progressive" in image.info
    trouble = _load(image)
    if trouble is None:
        return image, None
    rows = _decoded_rows(image)
    if rows:
        return image, f"{trouble}; about {rows / image.height:.0%} of the picture decodes"
    if is_progressive and (coarse := _coarse_picture(data)):
        return coarse, f"{trouble}; a coarse picture decodes"
    raise Undecodable(f"no row of the picture decodes: {trouble}")


def _load(image: ImageFile) -> str | None:
    """Decode in place, a JPEG at the smallest scale that fills the thumbnail."""
    target = _fit(image.width, image.height, THUMBNAIL_WIDTH)
    try:
        image.draft(None, target)
        image.load()
    except Exception as error:
        words = _words(error)
        return "the picture is cut off" if "truncat" in words else words
    return None


def _decoded_rows(image: ImageFile) -> int:
    """Return how many rows were decoded before the data ended: the rest is still all black."""
    # Without a tile left to decode, load() gives what there is instead of trying again.
    image.tile = []
    try:
        image.load()
        box = image.getbbox()
    except Exception:
        return 0
    return box[3] if box else 0


def _coarse_picture(data: bytes) -> Image | None:
    """Return what the scans present of a progressive JPEG give, or None.

    Its decoder waits for the end marker before it gives any row, so one is added.
    """
    image = _open_picture(data + b"\xff\xd9", "JPEG")
    if _load(image) is not None:
        return None
    lowest, highest = image.convert("L").getextrema()
    return image if lowest != highest else None


# --- what is kept of a picture ------------------------------------------------------------


def _frame(offset_s: float, image: Image, pixel_aspect: float, width: int) -> Frame:
    picture = image if image.mode in ("RGB", "L") else image.convert("RGB")
    return Frame(offset_s, _grid(picture.convert("L")), _thumbnail(picture, pixel_aspect, width))


def luminance_grid(light: Image, rows: int, columns: int) -> tuple[Image, Image]:
    """Return two pictures of `columns` x `rows` cells: their means, and 4 x their deviations.

    `light` is of mode L and any size. The deviation is the mean absolute one, from the
    cell's own mean, among _FINE_PX x _FINE_PX points a cell whatever the picture's size,
    so that snapshots and clips compare; at 64 levels and more it stands at 255.
    """
    from PIL.Image import Resampling
    from PIL.ImageChops import difference

    fine = _boxed(light, columns * _FINE_PX, rows * _FINE_PX)
    mean = fine.reduce(_FINE_PX)
    away = difference(fine, mean.resize(fine.size, Resampling.NEAREST))
    return mean, away.point(_FOUR_TIMES).reduce(_FINE_PX)


def _boxed(light: Image, width: int, height: int) -> Image:
    """Return the mean light in each of `width` x `height` boxes, by the quickest way."""
    from PIL.Image import Resampling

    factor = light.width // width
    if light.size == (width * factor, height * factor):
        return light.reduce(factor)
    return light.resize((width, height), Resampling.BOX)


def _grid(light: Image) -> bytes:
    """Return the grid of GRID_SHAPE, plane by plane and row by row, one byte a cell."""
    _, rows, columns = GRID_SHAPE
    return b"".join(p.tobytes() for p in luminance_grid(light, rows, columns))


def _thumbnail(picture: Image, pixel_aspect: float, width: int) -> bytes:
    from PIL.Image import Resampling

    target = _fit(round(picture.width * pixel_aspect), picture.height, width)
    if picture.size != target:
        picture = picture.resize(target, Resampling.BICUBIC)
    # Pillow would copy the camera's comment into the thumbnail.
    picture.info = {}
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _fit(width: int, height: int, limit: int) -> tuple[int, int]:
    """Return the size within `limit` across and twice that down, never enlarged."""
    scale = min(1.0, limit / width, 2 * limit / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


# --- clips --------------------------------------------------------------------------------

_MP4_BOXES = frozenset((b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide"))


def _clip(content: BinaryIO, _path: Path, size_bytes: int, expected_s: float | None) -> Inspection:
    if size_bytes == 0:
        return _empty()
    container_format = container_format_of(content)
    cut = structure_trouble(content, container_format, size_bytes)
    clip = _walked(content, container_format)
    short = _too_short(clip.duration_s, expected_s, "its name promises")
    trouble = "; ".join(filter(None, (cut or clip.trouble, short))) or None
    if not clip.frames:
        raise Undecodable(f"no picture decodes: {trouble or 'it holds no key frame'}")
    return Inspection(
        "partial" if trouble else "complete",
        trouble,
        clip.width,
        clip.height,
        fps=clip.fps,
        duration_s=round(clip.duration_s, 3),
        codec=clip.codec,
        camera_clock=_dhav_clock(content) if container_format == "dhav" else clip.clock,
        frames=tuple(clip.frames),
    )


def container_format_of(content: BinaryIO) -> str:
    """Return FFmpeg's name of the container, by its first bytes whatever the file's name.

    FFmpeg's own guess is not asked: it would take a text file for a playlist and open
    what that names. Raises MediaError where it is no container that cameras write.
    """
    content.seek(0)
    head = content.read(512)
    content.seek(0)
    if head[4:8] in _MP4_BOXES:
        return "mov"
    if head.startswith((b"DHAV", b"DAHUA")):
        return "dhav"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if head[:1] == head[188:189] == b"G":
        return "mpegts"
    raise Undecodable(f"no clip: the file begins with {_beginning(head)}")


def _too_short(duration_s: float, expected_s: float | None, promise: str) -> str | None:
    if expected_s is None or duration_s >= _SHORT_SHARE * expected_s:
        return None
    if expected_s - duration_s <= _SHORT_S:
        return None
    return f"{duration_s:.1f} s of the {expected_s:.0f} s {promise}"


def _dhav_clock(content: BinaryIO) -> datetime | None:
    content.seek(0)
    first = next(dhav.frames(content.read(1 << 16)), None)
    return first.clock if first else None


# --- whole or cut, by the structure of the container --------------------------------------


def _box_trouble(content: BinaryIO, size_bytes: int) -> str | None:
    """Walk the top-level boxes of an MP4: the last one must end inside the file."""
    offset = 0
    for _ in range(MAX_PACKETS):
        content.seek(offset)
        header = content.read(16)
        length, name = _box(header, size_bytes - offset)
        if length == 0 or not name.isalnum():
            # The end, or padding behind the last box: the packets tell the rest.
            return None
        if offset + length > size_bytes:
            missing = offset + length - size_bytes
            return f"{missing} bytes are missing at its end, inside the box {name.decode()!r}"
        offset += length
    return None


def _box(header: bytes, rest_bytes: int) -> tuple[int, bytes]:
    """Return (length, name) of the box that `header` begins; length 0 where there is none."""
    if len(header) < 8:
        return 0, b""
    length, name = struct.unpack_from(">I4s", header)
    if length == 1 and len(header) == 16:
        length = struct.unpack_from(">Q", header, 8)[0]
    return (rest_bytes if length == 0 else length if length >= 8 else 0), name


def _dhav_trouble(content: BinaryIO, size_bytes: int) -> str | None:
    """Hold the last 8 bytes of a DHAV clip against the header they point back to."""
    content.seek(max(0, size_bytes - 8))
    length = dhav.last_frame_bytes(content.read(8))
    if length is not None and length <= min(size_bytes, MAX_SNAPSHOT_BYTES):
        content.seek(size_bytes - length)
        if dhav.is_whole_tail(content.read(length)):
            return None
    return "its last frame is cut off"


def _matroska_trouble(content: BinaryIO, size_bytes: int) -> str | None:
    """Hold the declared end of a Matroska segment against the size of the file."""
    content.seek(0)
    head = content.read(4096)
    length, offset = _vint(head, 4)
    segment = offset + (length or 0)
    if head[segment : segment + 4] != b"\x18S\x80g":
        return None
    declared, start = _vint(head, segment + 4)
    if declared is None or start + declared <= size_bytes:
        return None
    return f"{start + declared - size_bytes} bytes are missing at its end"


def _vint(data: bytes, offset: int) -> tuple[int | None, int]:
    """Return (value, offset behind it) of an EBML length; None where it is unknown."""
    first = data[offset] if offset < len(data) else 0
    width = 9 - first.bit_length()
    if width > 8 or offset + width > len(data):
        return None, offset
    value = int.from_bytes(data[offset : offset + width], "big") & (1 << 7 * width) - 1
    return (None if value == (1 << 7 * width) - 1 else value), offset + width


def _avi_trouble(content: BinaryIO, size_bytes: int) -> str | None:
    """Hold the declared length of an AVI against the size of the file."""
    content.seek(4)
    declared = struct.unpack("<I", content.read(4))[0] + 8
    if declared == 8:
        return "its recording was never finished"
    missing = declared - size_bytes
    return f"{missing} bytes are missing at its end" if missing > 0 else None


def _mpegts_trouble(_content: BinaryIO, size_bytes: int) -> str | None:
    """Transport streams come in packets of 188 bytes."""
    return "its last packet is cut off" if size_bytes % 188 else None


_STRUCTURES: dict[str, Callable[[BinaryIO, int], str | None]] = {
    "mov": _box_trouble,
    "dhav": _dhav_trouble,
    "matroska": _matroska_trouble,
    "avi": _avi_trouble,
    "mpegts": _mpegts_trouble,
}


def structure_trouble(content: BinaryIO, container_format: str, size_bytes: int) -> str | None:
    """Return what the container's own structure tells of a missing end, in words, or None."""
    return _STRUCTURES[container_format](content, size_bytes)


# --- whole or cut, by the packets; and the strip of key frames ----------------------------


@dataclass
class _Clip:
    """What one walk over a clip's packets gathers."""

    codec: str | None = None
    clock: datetime | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    duration_s: float = 0.0
    trouble: str | None = None
    frames: list[Frame] = field(default_factory=list)


def open_clip(
    content: BinaryIO, container_format: str, options: dict[str, str] | None = None
) -> InputContainer:
    """Open a clip for reading with its container's own demuxer and no other."""
    import av

    content.seek(0)
    return av.open(
        content, "r", format=container_format, options=options, metadata_errors="replace"
    )


def packets_of(container: InputContainer) -> Iterator[Packet[Any]]:
    """Yield the packets of all streams, whole or cut. Raises FFmpeg's errors."""
    try:
        yield from (packet for packet in container.demux() if packet.size)
    except IndexError:
        # A DHAV clip may show its sound only later; PyAV then stumbles over the stream it
        # did not know when all packets are out and it asks each stream for what is held.
        return


def _walked(content: BinaryIO, container_format: str) -> _Clip:
    """Walk over all packets of a clip, and decode a few key frames spread over it."""
    import av

    # An edit list may hide samples, and samples are what is counted here.
    options = {"ignore_editlist": "1"} if container_format == "mov" else None
    try:
        with open_clip(content, container_format, options) as container:
            return _walk(container)
    except (av.FFmpegError, MemoryError, EOFError, ValueError, OSError) as error:
        raise Undecodable(f"no clip can be read from it: {error_words(error)}") from error


def error_words(error: BaseException) -> str:
    """Return what FFmpeg says is wrong, without its codes and addresses."""
    told = None if is_out_of_memory(error) else getattr(error, "strerror", None)
    return str(told or _words(error))


def _walk(container: InputContainer) -> _Clip:
    if not container.streams.video:
        raise Undecodable("no clip can be read from it: it holds no pictures")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise Undecodable("no clip can be read from it: its codec is unknown")
    packets = _Packets(stream.index)
    trouble = packets.gather(container)
    offsets_s, period_s = steady_times(packets.times_s(), declared_period_s(stream))
    clip = _Clip(stream.codec_context.name, _creation_clock(container), trouble=trouble)
    if offsets_s:
        clip.duration_s = offsets_s[-1] + period_s
        clip.fps = round(1 / period_s, 3) if period_s else None
    if container.format.name in _DECLARE_LENGTH and container.duration:
        declared_s = container.duration / 1e6
        clip.trouble = trouble or _too_short(clip.duration_s, declared_s, "it declares")
    _decode_strip(clip, stream, [(offsets_s[i], packet) for i, packet in packets.strip()])
    return clip


# Containers whose header tells a length of its own; an MP4 tells its samples instead.
_DECLARE_LENGTH = frozenset(("matroska,webm", "avi"))


class _Packets:
    """The times of a clip's pictures, and some key packets spread evenly over it.

    Whatever the length of the clip, few of its key packets are held in memory.
    """

    def __init__(self, stream_index: int) -> None:
        self.stream_index = stream_index
        self._ticks: list[tuple[int | None, int | None]] = []
        self._tick_s = 0.0
        self._counts: Counter[int] = Counter()
        self._held: list[tuple[int, Packet[Any]]] = []
        self._last_key: tuple[int, Packet[Any]] | None = None
        self._keys = 0
        self._stride = 1
        self._is_hollow = False

    def gather(self, container: InputContainer) -> str | None:
        """Walk over all packets; return what is wrong with them, if anything."""
        import av

        is_cut = False
        try:
            for packet in packets_of(container):
                is_cut = is_cut or packet.is_corrupt
                self._add(packet)
                if self._counts.total() >= MAX_PACKETS:
                    return f"longer than {MAX_PACKETS} packets: the rest was not looked at"
        except (av.FFmpegError, MemoryError, EOFError, ValueError, OSError) as error:
            return f"the rest cannot be read: {error_words(error)}"
        return self._missing(container) or self._flaw(is_cut)

    def _flaw(self, is_cut: bool) -> str | None:
        if is_cut:
            return "its last packet is cut off"
        return "a stretch of it is zeros" if self._is_hollow else None

    def _add(self, packet: Packet[Any]) -> None:
        if packet.is_corrupt:
            return
        self._counts[packet.stream_index] += 1
        if packet.stream_index != self.stream_index:
            return
        # No picture begins with zeros: they are a hole that the upload never filled.
        self._is_hollow = self._is_hollow or not any(memoryview(packet)[:16])
        self._ticks.append((packet.dts, packet.pts))
        self._tick_s = float(packet.time_base or 0)
        if packet.is_keyframe:
            self._hold(len(self._ticks) - 1, packet)

    def times_s(self) -> list[float]:
        """Return when each picture was decoded, in file order; shown, where no more is told.

        A picture without a time repeats the one before, a step that steady_times replaces.
        """
        which = 0 if any(ticks[0] is not None for ticks in self._ticks) else 1
        clock = (ticks[which] for ticks in self._ticks)
        return filled_times([None if t is None else self._tick_s * t for t in clock])

    def _hold(self, index: int, packet: Packet[Any]) -> None:
        self._last_key = (index, packet)
        if self._keys % self._stride == 0:
            self._held.append((index, packet))
        self._keys += 1
        if len(self._held) > _HELD_KEYS:
            self._held = self._held[::2]
            self._stride *= 2

    def strip(self) -> list[tuple[int, Packet[Any]]]:
        """Return at most STRIP_FRAMES (index of the picture, key packet), evenly spread."""
        held = self._held
        if self._last_key and held[-1][0] != self._last_key[0]:
            held = [*held, self._last_key]
        count = min(STRIP_FRAMES, len(held))
        if count < 2:
            return held
        return [held[round(i * (len(held) - 1) / (count - 1))] for i in range(count)]

    def _missing(self, container: InputContainer) -> str | None:
        """Hold the packets counted against the samples that an MP4 declares."""
        for stream in container.streams:
            counted, declared = self._counts[stream.index], stream.frames
            if stream.type in ("video", "audio") and counted < declared:
                sort = "pictures" if stream.type == "video" else "packets of sound"
                return f"holds {counted} of the {declared} {sort} it declares"
        return None


def declared_period_s(stream: VideoStream) -> float:
    """Return the seconds a picture stands by the rate that the stream declares, or 0.1."""
    rate = stream.average_rate
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


def _creation_clock(container: InputContainer) -> datetime | None:
    """Return the time in an MP4's header as the camera meant it: local, though labelled UTC."""
    try:
        clock = datetime.fromisoformat(container.metadata.get("creation_time", ""))
    except ValueError:
        return None
    return clock.replace(tzinfo=None, microsecond=0) if 2000 <= clock.year < 2100 else None


def _decode_strip(clip: _Clip, stream: VideoStream, keys: list[tuple[float, Packet[Any]]]) -> None:
    context = stream.codec_context
    # One thread: ingest already runs one process a core.
    context.thread_count = 1
    context.options = {"max_pixels": str(MAX_PIXELS)}
    for offset_s, packet in keys:
        picture = decode_key(context, packet)
        if picture is not None:
            clip.width, clip.height = picture.width, picture.height
            clip.frames.append(_strip_frame(offset_s, picture, _pixel_aspect(stream)))
    failed = len(keys) - len(clip.frames)
    if failed and clip.trouble is None:
        clip.trouble = f"{failed} of the {len(keys)} key frames looked at do not decode"


def decode_key(context: VideoCodecContext, packet: Packet[Any]) -> VideoFrame | None:
    """Return the picture of one key packet, decoded on its own so that failures stay single.

    None where it does not decode.
    """
    import av

    try:
        pictures = context.decode(packet) or context.decode(None)
        context.flush_buffers()
    except (av.FFmpegError, MemoryError, EOFError, ValueError, OSError):
        return None
    return pictures[0] if pictures else None


def _pixel_aspect(stream: VideoStream) -> float:
    """Return width : height of a pixel; some cameras store wide pictures as 640x480."""
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return float(aspect) if aspect and 0.25 <= aspect <= 4 else 1.0


def _strip_frame(offset_s: float, picture: VideoFrame, pixel_aspect: float) -> Frame:
    width, height = _fit(round(picture.width * pixel_aspect), picture.height, STRIP_THUMBNAIL_WIDTH)
    shrunk = picture.reformat(width, height, "rgb24", interpolation="AREA")
    image: Image = shrunk.to_image()  # type: ignore[no-untyped-call]
    return _frame(round(offset_s, 3), image, 1.0, STRIP_THUMBNAIL_WIDTH)


_LOOKS: dict[str, Callable[[BinaryIO, Path, int, float | None], Inspection]] = {
    "snapshot": _snapshot,
    "clip": _clip,
}
