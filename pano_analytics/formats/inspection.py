"""What is really in one uploaded file, found in one reading of it.

`inspect_file` opens a file once, hashes and decodes the same bytes, and returns an
`Inspection`. Nothing is ever written. Bad contents are a state with a reason in words;
only what is no readable file, or changes while it is read, is an error. The rules and
the choice of the grid are in `docs/design/inspect.md`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, cast

from pano_analytics.errors import MediaError
from pano_analytics.formats import dhav, sniff
from pano_analytics.formats.demux import (
    BARE_STREAMS,
    MAX_PACKETS,
    UPRIGHT,
    declared_period_s,
    decoded_key,
    error_words,
    filled_times,
    open_clip,
    orientation_of,
    packets_of,
    refusal,
    steady_times,
    upright_size,
)
from pano_analytics.formats.endings import Ending, ending_of
from pano_analytics.formats.opening import open_media
from pano_analytics.formats.structure import verdict_of
from pano_analytics.formats.verdict import Undecodable, Unsupported
from pano_analytics.model.upload import KINDS, Frame, Inspection, Kind
from pano_analytics.work.confined import is_out_of_memory

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
"""A picture or clip that declares more pixels than this is not decoded."""
MAX_SNAPSHOT_BYTES = 64 << 20
"""A snapshot larger than this is not decoded."""
_IN_MEMORY_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_MAX_PLAIN_PIXELS = 20_000_000
_JPEG_QUALITY = 75
_MAX_JPEG_SCANS = 100
_FINE_PX = 5
_FOUR_TIMES = [min(255, 4 * level) for level in range(256)]
_HELD_PICTURES = 8
_HELD_KEYS = 8 * STRIP_FRAMES
_MOST_TAIL_PACKETS = 600
_ORIENTATION_TAG = 0x0112
_SLICES = re.compile(b"\0\0\1([\1-\xaf])")
_DNG_VERSION_TAG = 0xC612
_SHORT_SHARE = 0.6
_SHORT_S = 3.0


class MediaChanged(MediaError):
    """The file changed while it was being read: it is still being written."""


def inspect_file(path: Path, kind: str, expected_duration_s: float | None = None) -> Inspection:
    """Return what is really in the file at `path`, read once.

    `kind` is "snapshot" or "clip", as the name says; contents of the other kind are read
    as what they are. `expected_duration_s` is the length that a clip's name promises, in
    seconds. Raises MediaChanged where the file changed meanwhile, and MediaError where
    there is no regular file to read; contents never raise.
    """
    if kind not in KINDS:
        raise MediaError(f"expected the kind snapshot or clip, got {kind!r}")
    with open_media(path) as (file, before):
        content, sha256 = _read(path, file, before.st_size)
        upload = _Upload(content, before.st_size, path.suffix.lower(), cast(Kind, kind))
        found = _inspected(upload, expected_duration_s)
        _check_unchanged(path, before, os.fstat(file.fileno()))
    return replace(found, sha256=sha256)


@dataclass(frozen=True, slots=True)
class _Upload:
    """One opened file: its contents, and what its name says of them."""

    content: BinaryIO
    size_bytes: int
    suffix: str
    kind: Kind

    @property
    def ending(self) -> Ending | None:
        return ending_of(self.suffix)


def _inspected(upload: _Upload, expected_s: float | None) -> Inspection:
    if upload.size_bytes == 0:
        return Inspection("empty", "0 bytes: the upload has no content")
    try:
        format_name = sniff.format_of(upload.content, upload.size_bytes, upload.kind, upload.ending)
        if format_name in sniff.PICTURES:
            return _picture(upload, format_name)
        return _clip(upload, format_name, expected_s)
    except Unsupported as reason:
        return Inspection("unsupported", str(reason))
    except Undecodable as reason:
        return Inspection("damaged", str(reason))
    except MemoryError as error:
        return Inspection("unsupported", str(refusal(error)))


# --- reading ------------------------------------------------------------------------------


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
            f"{path} cannot be read completely: {error.strerror}; check its disk"
        ) from error
    return file, digest.hexdigest()


def _check_unchanged(path: Path, before: os.stat_result, after: os.stat_result) -> None:
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise MediaChanged(
            f"{path} changed while it was read ({before.st_size} bytes, then "
            f"{after.st_size}): it is still being written; look again later"
        )


# --- pictures -----------------------------------------------------------------------------


def _picture(upload: _Upload, format_name: str) -> Inspection:
    if upload.size_bytes > MAX_SNAPSHOT_BYTES:
        raise Unsupported(
            f"too large to look at: {upload.size_bytes} bytes, more than {MAX_SNAPSHOT_BYTES}; "
            "not decoded"
        )
    upload.content.seek(0)
    data = upload.content.read()
    image = _open_picture(data, format_name)
    clock = _snapshot_clock(image)
    orientation = _orientation(image)
    width, height = upright_size(*image.size, orientation)
    picture, trouble = _decode_picture(data, image)
    picture = upright(picture, orientation)
    return Inspection(
        "partial" if trouble else "complete",
        trouble or _note(upload, format_name),
        width,
        height,
        codec=format_name.lower(),
        camera_clock=clock,
        frames=(_frame(0.0, picture, 1.0, THUMBNAIL_WIDTH),),
    )


def _note(upload: _Upload, format_name: str) -> str | None:
    """Return what to say of a picture or clip whose name promises something else.

    Which container a clip lies in makes no difference to anybody.
    """
    is_picture = format_name in sniff.PICTURES
    if is_picture and (upload.ending is None or format_name not in upload.ending.formats):
        article = "an" if format_name == "AVIF" else "a"
        return f"{article} {format_name} picture named {upload.suffix!a}"
    if not is_picture and upload.kind == "snapshot":
        return f"a clip named {upload.suffix!a}"
    return None


def _orientation(image: ImageFile) -> int:
    """Return how EXIF says that the picture is to be turned for display, 1 to 8."""
    from PIL.Image import Exif

    if image.format == "TIFF" or "exif" not in image.info:
        # Pillow turns a TIFF by itself.
        return UPRIGHT
    exif = Exif()
    try:
        exif.load(image.info["exif"])
        return _valid_orientation(exif.get(_ORIENTATION_TAG))
    except Exception:
        # Whatever a hostile header makes the reader raise: browsers do not turn it either.
        return UPRIGHT


def _valid_orientation(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def upright(picture: Image, orientation: int) -> Image:
    """Return a picture turned for display, by the `orientation` that EXIF counts from 1 to 8."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return picture.transpose(turns[orientation]) if orientation in turns else picture


def _open_picture(data: bytes, format_name: str) -> ImageFile:
    """Read the header and hold what it declares against the limits; decode nothing."""
    try:
        image = _reader(format_name)(BytesIO(data))
    except Exception as error:
        # Readers of hostile bytes raise whatever comes, and a file must never end a run.
        if _is_about_format(error):
            raise Unsupported(
                f"a {format_name} picture of a kind that pano does not read: {error_words(error)}"
            ) from error
        raise refusal(error, f"the {format_name} header is broken: {{}}") from error
    _check_limits(data, image)
    # All bytes are at hand: handing them over in pieces would only copy them again.
    image.decodermaxblock = max(len(data), image.decodermaxblock)
    return image


_OF_FORMAT = ("cannot handle", "supported", "unknown", "unrecognized", "not available")


def _is_about_format(error: Exception) -> bool:
    """Tell whether a reader says that it does not know a sort of picture, not that it is broken."""
    words = str(error).lower()
    return any(word in words for word in _OF_FORMAT)


def _reader(format_name: str) -> Callable[[BytesIO], ImageFile]:
    """Return Pillow's reader of one format: no search for it, and the limits are ours."""
    if format_name == "JPEG":
        from PIL.JpegImagePlugin import jpeg_factory

        return jpeg_factory
    return _other_readers()[format_name]


def _other_readers() -> dict[str, Callable[[BytesIO], ImageFile]]:
    from PIL.AvifImagePlugin import AvifImageFile
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.GifImagePlugin import GifImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.TiffImagePlugin import TiffImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    return {
        "PNG": PngImageFile,
        "GIF": GifImageFile,
        "WEBP": WebPImageFile,
        "BMP": BmpImageFile,
        "TIFF": TiffImageFile,
        "AVIF": AvifImageFile,
    }


def _check_limits(data: bytes, image: ImageFile) -> None:
    width, height = image.size
    # Only a JPEG decodes at a reduced scale; the others cost all their pixels.
    limit = MAX_PIXELS if image.format in ("JPEG", "MPO") else _MAX_PLAIN_PIXELS
    if width * height <= 0:
        raise Undecodable(f"declares {width} x {height} pixels")
    if width * height > limit:
        _refuse_size(data, image, limit)
    if image.format == "TIFF" and _DNG_VERSION_TAG in image.tag_v2:  # type: ignore[attr-defined]
        raise Unsupported("a raw picture (DNG): pano does not read this format")
    # Each scan of a progressive picture costs a pass over all pixels, however few its bytes.
    if "progressive" in image.info and data.count(b"\xff\xda") > _MAX_JPEG_SCANS:
        raise Undecodable(f"more than {_MAX_JPEG_SCANS} scans in one picture: not decoded")


_TOO_LARGE = "too large to look at: declares {} x {} pixels, more than {}; not decoded"


def _refuse_size(data: bytes, image: ImageFile, limit: int) -> NoReturn:
    """Raise for a picture that is too large to look at: whole, as far as is told, or cut."""
    verdict = verdict_of(BytesIO(data), image.format or "", len(data))
    words = _TOO_LARGE.format(*image.size, limit)
    if verdict.says == "cut":
        raise Undecodable(f"{verdict.reason}; {words}")
    raise Unsupported(words)


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
        return coarse, f"{trouble}; a low-resolution picture decodes"
    raise Undecodable(f"no row of the picture decodes: {trouble}")


def _load(image: ImageFile) -> str | None:
    """Decode in place, a JPEG at the smallest scale that fills the thumbnail."""
    target = _fit(image.width, image.height, THUMBNAIL_WIDTH)
    try:
        image.draft(None, target)
        image.load()
    except Exception as error:
        if is_out_of_memory(error):
            raise refusal(error) from error
        words = error_words(error)
        if _is_about_format(error):
            raise Unsupported(f"a kind of picture that pano does not read: {words}") from error
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
    picture = image if image.mode in ("RGB", "L") else _eight_bits(image)
    return Frame(offset_s, _grid(picture.convert("L")), _thumbnail(picture, pixel_aspect, width))


def _eight_bits(image: Image) -> Image:
    """Return a picture of any mode as RGB; 16-bit grey is scaled, which Pillow would clip."""
    if image.mode.startswith(("I", "F")):
        grey = image.convert("F")
        most = 65535.0 if image.mode.startswith("I;16") else cast("float", grey.getextrema()[1])
        scale = 255 / max(most, 255.0)
        return grey.point(lambda level: level * scale + 0).convert("L")
    return image.convert("RGB")


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

# Formats whose packets may be whole though the last picture is not: its end is only where
# the decoder finds it.
_ENDS_IN_PICTURES = frozenset(("mpegts", "mpeg", "h264", "hevc", "mpegvideo", "m4v", "hxvs"))


# Containers whose header tells a length of its own; an MP4 tells its samples instead, and
# an AVI without its own size tells nonsense.
_DECLARE_LENGTH = frozenset(("matroska", "flv", "asf"))


def _clip(upload: _Upload, format_name: str, expected_s: float | None) -> Inspection:
    content = upload.content
    verdict = verdict_of(content, format_name, upload.size_bytes)
    try:
        clip = _walked(content, format_name)
    except (Undecodable, Unsupported) as reason:
        # What is cut off cannot tell what it was.
        raise (Undecodable(f"{verdict.reason}; {reason}") if verdict.reason else reason) from reason
    if format_name in BARE_STREAMS:
        _settle_rate(clip, expected_s)
    trouble = verdict.reason or clip.trouble
    if format_name in _DECLARE_LENGTH or (format_name == "avi" and verdict.says == "whole"):
        trouble = trouble or _too_short(clip.duration_s, clip.declared_s, "it declares")
    short = _too_short(clip.duration_s, expected_s, "its name promises")
    trouble = "; ".join(filter(None, (trouble, short))) or None
    if not clip.frames:
        raise Undecodable(f"no picture decodes: {trouble or 'it holds no key frame'}")
    return Inspection(
        "partial" if trouble else "complete",
        trouble or clip.note or _note(upload, format_name),
        clip.width,
        clip.height,
        fps=clip.fps,
        duration_s=round(clip.duration_s, 3),
        codec=clip.codec,
        camera_clock=_dhav_clock(content) if format_name == "dhav" else clip.clock,
        frames=tuple(clip.frames),
    )


def _settle_rate(clip: _Clip, expected_s: float | None) -> None:
    """Spread the pictures of a stream that tells no times over the length its name promises."""
    if expected_s is None or clip.is_rate_told or not clip.pictures or clip.duration_s <= 0:
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
    note: str | None = None
    pictures: int = 0
    is_rate_told: bool = True
    declared_s: float | None = None
    frames: list[Frame] = field(default_factory=list)


def _walked(content: BinaryIO, format_name: str) -> _Clip:
    """Walk over all packets of a clip, and decode a few key frames spread over it."""
    import av

    # An edit list may hide samples, and samples are what is counted here.
    options = {"ignore_editlist": "1"} if format_name == "mov" else None
    try:
        with open_clip(content, format_name, options) as container:
            return _walk(container, format_name)
    except (av.FFmpegError, MemoryError, EOFError, ValueError, OSError) as error:
        raise refusal(error, "no clip can be read from it: {}") from error


def _walk(container: InputContainer, format_name: str) -> _Clip:
    stream = _pictures_of(container)
    packets = _Packets(stream, has_tail=format_name in _ENDS_IN_PICTURES)
    trouble = packets.gather(container)
    offsets_s, period_s = steady_times(packets.times_s(), declared_period_s(stream))
    codec = stream.codec_context.codec.canonical_name
    clip = _Clip(codec, _creation_clock(container), trouble=trouble)
    clip.pictures, clip.is_rate_told = len(offsets_s), bool(stream.codec_context.framerate)
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
    """Return the stream of moving pictures; a cover picture beside it is not one."""
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
        raise Unsupported(_TOO_LARGE.format(width, height, MAX_PIXELS))
    return stream


class _Packets:
    """The times of a clip's pictures, and some key packets spread evenly over it.

    Whatever the length of the clip, few of its key packets are held in memory.
    """

    def __init__(self, stream: VideoStream, *, has_tail: bool = False) -> None:
        self.stream_index = stream.index
        self.codec = stream.codec_context.name
        self.has_tail = has_tail
        self.is_too_many = False
        self._tail: list[Packet[Any]] = []
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
                    self.is_too_many = True
                    return self._flaw(is_cut)
        except (av.FFmpegError, MemoryError, EOFError, ValueError, OSError) as error:
            if is_out_of_memory(error):
                raise refusal(error) from error
            return f"the rest cannot be read: {error_words(error)}"
        return self._missing(container) or self._flaw(is_cut)

    def _flaw(self, is_cut: bool) -> str | None:
        if is_cut:
            return "its last packet is cut off"
        return "part of it is filled with zeros" if self._is_hollow else None

    def _add(self, packet: Packet[Any]) -> None:
        if packet.is_corrupt:
            return
        self._counts[packet.stream_index] += 1
        if packet.stream_index != self.stream_index:
            return
        # No coded picture begins with zeros: they are a hole that the upload never filled.
        self._is_hollow = self._is_hollow or (
            self.codec != "rawvideo" and not any(memoryview(packet)[:16])
        )
        self._ticks.append((packet.dts, packet.pts))
        self._tick_s = float(packet.time_base or 0)
        if packet.is_keyframe:
            self._hold(len(self._ticks) - 1, packet)
            self._tail.clear()
        if self.has_tail and len(self._tail) < _MOST_TAIL_PACKETS:
            self._tail.append(packet)

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
        if not container.format.name.startswith("mov"):
            return None
        for stream in container.streams:
            counted, declared = self._counts[stream.index], stream.frames
            # Plain sound (PCM) declares each tick as a sample, and many come in one packet.
            if declared == stream.duration and stream.type == "audio":
                continue
            if stream.type in ("video", "audio") and counted < declared:
                sort = "pictures" if stream.type == "video" else "packets of sound"
                return f"holds {counted} of the {declared} {sort} it declares"
        return None

    def tail_trouble(self) -> str | None:
        """Decode what follows the last key frame: a picture that was cut off shows an error.

        Only the very last picture is judged. Where the one before it does not decode
        either, the stream is one that this decoder finds fault with, and nothing is told.
        """
        if not self._tail or len(self._tail) == _MOST_TAIL_PACKETS:
            return None
        if self.codec.startswith("mpeg") and _lacks_slices(self._tail):
            return "its last picture is cut off"
        context = _strict_decoder(self.codec)
        are_whole = [_decodes(context, packet) for packet in self._tail]
        is_only_last = not are_whole[-1] and all(are_whole[-2:-1])
        return "its last picture is cut off" if is_only_last else None


def _lacks_slices(packets: Sequence[Packet[Any]]) -> bool:
    """Tell whether the last picture of MPEG-1 or MPEG-2 ends higher than the one before.

    Its decoder fills what lacks from the picture before, without a word.
    """
    last_rows = [max(_SLICES.findall(bytes(packet)), default=b"") for packet in packets[-2:]]
    return last_rows[-1] < last_rows[0]


def _strict_decoder(codec: str) -> VideoCodecContext:
    """Return a decoder that takes no picture of which anything is missing."""
    from av.codec import CodecContext

    context = cast("VideoCodecContext", CodecContext.create(codec, "r"))
    context.thread_count = 1
    context.options = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
    return context


def _decodes(context: VideoCodecContext, packet: Packet[Any]) -> bool:
    import av

    try:
        return not any(picture.is_corrupt for picture in context.decode(packet))
    except (av.FFmpegError, MemoryError, EOFError, ValueError, OSError):
        return False


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
    turn = None
    too_large: BaseException | None = None
    for offset_s, packet in keys:
        picture, error = decoded_key(context, packet)
        if error is not None and is_out_of_memory(error):
            too_large = error
        if picture is not None:
            # One matrix holds for the whole clip, and asking for it takes half a millisecond.
            turn = turn or orientation_of(picture)
            clip.width, clip.height = upright_size(picture.width, picture.height, turn)
            clip.frames.append(_strip_frame(offset_s, picture, _pixel_aspect(stream), turn))
    if keys and not clip.frames and (too_large or not _has_room_for(context)):
        raise refusal(too_large or MemoryError())
    failed = len(keys) - len(clip.frames)
    if failed and clip.trouble is None:
        clip.trouble = f"{failed} of the {len(keys)} inspected key frames do not decode"


def _has_room_for(context: VideoCodecContext) -> bool:
    """Tell whether as many pictures as decoders hold fit into what this process may take.

    Decoders that get no memory often say that the data is invalid.
    """
    try:
        bytearray(_HELD_PICTURES * context.width * context.height * 3 // 2)
    except MemoryError:
        return False
    return True


def _pixel_aspect(stream: VideoStream) -> float:
    """Return width : height of a pixel; some cameras store wide pictures as 640x480."""
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return float(aspect) if aspect and 0.25 <= aspect <= 4 else 1.0


def _strip_frame(
    offset_s: float, picture: VideoFrame, pixel_aspect: float, orientation: int
) -> Frame:
    square = (round(picture.width * pixel_aspect), picture.height)
    target = _fit(*upright_size(*square, orientation), STRIP_THUMBNAIL_WIDTH)
    width, height = upright_size(*target, orientation)
    shrunk = picture.reformat(width, height, "rgb24", interpolation="AREA")
    image: Image = shrunk.to_image()  # type: ignore[no-untyped-call]
    turned = upright(image, orientation)
    return _frame(round(offset_s, 3), turned, 1.0, STRIP_THUMBNAIL_WIDTH)
