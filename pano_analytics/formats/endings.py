"""The list of file name endings that layouts accept, and the formats that pano reads."""

from __future__ import annotations

from typing import NamedTuple

from pano_analytics.model.upload import Kind


class Ending(NamedTuple):
    """What a file with this ending should be.

    `formats` are the names that `sniff` gives to its contents; empty for a format that pano
    does not read, whose files are catalogued as `unsupported`.
    """

    kind: Kind
    title: str
    formats: frozenset[str]


def _ending(kind: Kind, title: str, *formats: str) -> Ending:
    return Ending(kind, title, frozenset(formats))


ENDINGS: dict[str, Ending] = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), _ending("snapshot", "JPEG", "JPEG")),
    "png": _ending("snapshot", "PNG", "PNG"),
    "bmp": _ending("snapshot", "BMP", "BMP"),
    "gif": _ending("snapshot", "GIF", "GIF"),
    "webp": _ending("snapshot", "WebP", "WEBP"),
    **dict.fromkeys(("tif", "tiff"), _ending("snapshot", "TIFF", "TIFF")),
    "avif": _ending("snapshot", "AVIF", "AVIF"),
    **dict.fromkeys(("heic", "heif", "hif"), _ending("snapshot", "HEIC")),
    **dict.fromkeys(
        ("dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf"),
        _ending("snapshot", "raw sensor data"),
    ),
    **dict.fromkeys(("mp4", "m4v", "mov", "3gp", "3g2"), _ending("clip", "MP4", "mov")),
    "dav": _ending("clip", "DHAV", "dhav"),
    "avi": _ending("clip", "AVI", "avi"),
    **dict.fromkeys(("mkv", "webm"), _ending("clip", "Matroska", "matroska")),
    **dict.fromkeys(("ts", "m2ts", "mts"), _ending("clip", "MPEG transport stream", "mpegts")),
    **dict.fromkeys(
        ("mpg", "mpeg", "m2v", "vob"), _ending("clip", "MPEG", "mpeg", "mpegvideo", "mpegts")
    ),
    **dict.fromkeys(("asf", "wmv"), _ending("clip", "ASF", "asf")),
    "flv": _ending("clip", "FLV", "flv"),
    **dict.fromkeys(("h264", "264"), _ending("clip", "H.264 stream", "h264", "hxvs")),
    **dict.fromkeys(("h265", "265", "hevc"), _ending("clip", "H.265 stream", "hevc", "hxvs")),
    **dict.fromkeys(("mjpeg", "mjpg"), _ending("clip", "Motion JPEG", "mjpeg")),
}


def ending_of(name: str) -> Ending | None:
    """Return what a file called `name` should be, by its ending in any letter case."""
    return ENDINGS.get(name.rpartition(".")[2].lower())
