"""Inspect still pictures: header, limits, orientation, clock, and how much decodes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, NoReturn

from pano_analytics.formats import dhav
from pano_analytics.formats.demux import UPRIGHT, error_words, refusal, upright_size
from pano_analytics.formats.structure import verdict_of
from pano_analytics.formats.verdict import Undecodable, Unsupported
from pano_analytics.inspection.kept import THUMBNAIL_WIDTH, fitted, frame_of, upright
from pano_analytics.inspection.limits import MAX_PIXELS, MAX_SNAPSHOT_BYTES, TOO_LARGE
from pano_analytics.inspection.opened import Opened, note_of
from pano_analytics.model.upload import Inspection
from pano_analytics.workers.confined import is_out_of_memory

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_MAX_PLAIN_PIXELS = 20_000_000
_MAX_JPEG_SCANS = 100
_ORIENTATION_TAG = 0x0112
_DNG_VERSION_TAG = 0xC612
_OF_FORMAT = ("cannot handle", "supported", "unknown", "unrecognized", "not available")


def inspect_picture(upload: Opened, format_name: str) -> Inspection:
    """Return the inspection of a still picture. Raises Undecodable or Unsupported."""
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
        trouble or note_of(upload, format_name),
        width,
        height,
        codec=format_name.lower(),
        camera_clock=clock,
        frames=(frame_of(0.0, picture, 1.0, THUMBNAIL_WIDTH),),
    )


def _orientation(image: ImageFile) -> int:
    """Return the EXIF orientation of a picture, 1 to 8."""
    from PIL.Image import Exif

    if image.format == "TIFF" or "exif" not in image.info:
        # Pillow turns a TIFF by itself.
        return UPRIGHT
    exif = Exif()
    try:
        exif.load(image.info["exif"])
        return _valid_orientation(exif.get(_ORIENTATION_TAG))
    except Exception:
        # A hostile header can make the reader raise anything; browsers do not turn it either.
        return UPRIGHT


def _valid_orientation(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def _open_picture(data: bytes, format_name: str) -> ImageFile:
    """Read the header and check the limits, without decoding."""
    try:
        image = _reader(format_name)(BytesIO(data))
    except Exception as error:
        # Hostile bytes can make a reader raise anything, and a file must never end a run.
        if _is_about_format(error):
            raise Unsupported(
                f"a {format_name} picture of a kind that pano does not read: {error_words(error)}"
            ) from error
        raise refusal(error, f"the {format_name} header is broken: {{}}") from error
    _check_limits(data, image)
    # All bytes are in memory: passing them in blocks would only copy them again.
    image.decodermaxblock = max(len(data), image.decodermaxblock)
    return image


def _is_about_format(error: Exception) -> bool:
    """Return whether `error` means that the format is not supported, rather than broken."""
    words = str(error).lower()
    return any(word in words for word in _OF_FORMAT)


def _reader(format_name: str) -> Callable[[BytesIO], ImageFile]:
    """Return Pillow's reader of one format, without detection and without Pillow's limits."""
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
    # Only a JPEG decodes at a reduced scale; others need memory for all pixels.
    limit = MAX_PIXELS if image.format in ("JPEG", "MPO") else _MAX_PLAIN_PIXELS
    if width * height <= 0:
        raise Undecodable(f"declares {width} x {height} pixels")
    if width * height > limit:
        _refuse_size(data, image, limit)
    if image.format == "TIFF" and _DNG_VERSION_TAG in image.tag_v2:  # type: ignore[attr-defined]
        raise Unsupported("a raw picture (DNG): pano does not read this format")
    # Each scan of a progressive picture is a pass over all pixels, however few bytes it has.
    if "progressive" in image.info and data.count(b"\xff\xda") > _MAX_JPEG_SCANS:
        raise Undecodable(f"more than {_MAX_JPEG_SCANS} scans in one picture: not decoded")


def _refuse_size(data: bytes, image: ImageFile, limit: int) -> NoReturn:
    """Raise for a picture that is too large: Undecodable if it is cut off, else Unsupported."""
    verdict = verdict_of(BytesIO(data), image.format or "", len(data))
    words = TOO_LARGE.format(*image.size, limit)
    if verdict.says == "cut":
        raise Undecodable(f"{verdict.reason}; {words}")
    raise Unsupported(words)


def _snapshot_clock(image: ImageFile) -> datetime | None:
    """Return the clock in an Amcrest or Dahua comment; a JPEG may have several comments."""
    segments = getattr(image, "applist", ())
    clocks = (dhav.read_comment(payload) for marker, payload in segments if marker == "COM")
    return next((clock for clock in clocks if clock is not None), None)


def _decode_picture(data: bytes, image: ImageFile) -> tuple[Image, str | None]:
    """Return the picture, reduced for its thumbnail, and what is wrong with it, or None."""
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
    """Decode in place, a JPEG at the smallest scale that fills the thumbnail.

    Returns what is wrong with the picture, or None.
    """
    target = fitted(image.width, image.height, THUMBNAIL_WIDTH)
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
    """Return how many rows were decoded before the data ended; the others are still black."""
    # With no tiles left to decode, load() does not try to decode again.
    image.tile = []
    try:
        image.load()
        box = image.getbbox()
    except Exception:
        return 0
    return box[3] if box else 0


def _coarse_picture(data: bytes) -> Image | None:
    """Return the picture from the complete scans of a cut-off progressive JPEG, or None.

    The decoder returns no row before the end marker, so add one.
    """
    image = _open_picture(data + b"\xff\xd9", "JPEG")
    if _load(image) is not None:
        return None
    lowest, highest = image.convert("L").getextrema()
    return image if lowest != highest else None
