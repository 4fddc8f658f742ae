"""Checks whether a file is complete, from the structure of its format."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from pano_analytics.formats import asf, avi, dav, flv, jpeg, matroska, mp4, mpeg, pictures
from pano_analytics.formats.verdict import NOTHING, Verdict

_VERDICTS: dict[str, Callable[[BinaryIO, int], Verdict]] = {
    "JPEG": jpeg.verdict,
    "PNG": pictures.png_verdict,
    "GIF": pictures.gif_verdict,
    "WEBP": pictures.webp_verdict,
    "BMP": pictures.bmp_verdict,
    "TIFF": pictures.tiff_verdict,
    "mjpeg": jpeg.stream_verdict,
    "mov": mp4.verdict,
    "AVIF": mp4.picture_verdict,
    "HEIC": mp4.picture_verdict,
    "dhav": dav.verdict,
    "matroska": matroska.verdict,
    "avi": avi.verdict,
    "flv": flv.verdict,
    "asf": asf.verdict,
    "mpegts": mpeg.transport_verdict,
    "mpeg": mpeg.program_verdict,
}


def verdict_of(content: BinaryIO, format_name: str, size_bytes: int) -> Verdict:
    """Return whether a file is complete, from the structure of its format (named as in `sniff`).

    Fast: makes a few reads, and decodes nothing. The position in `content` changes.
    """
    check = _VERDICTS.get(format_name)
    return check(content, size_bytes) if check else NOTHING
