"""Detect the format of a file from its first bytes, whatever its name says.

FFmpeg's own detection is not used: it would accept a text file as a playlist, and open the files
named in it. Formats that contain programs (EPS) are excluded deliberately.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from pano_analytics.formats import asf, dav, jpeg, mp4, mpeg
from pano_analytics.formats.endings import Ending
from pano_analytics.formats.verdict import Undecodable, Unsupported
from pano_analytics.model.upload import Kind

_HEAD_BYTES = 1 << 16
_MAX_ZEROS = 1 << 20

PICTURES = frozenset(("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"))
"""The names that `format_of` gives to pictures; all other names are clips."""

# (bytes, offset, name); the names of pictures are Pillow's, those of clips FFmpeg's.
_MAGICS: tuple[tuple[bytes, int, str], ...] = (
    (jpeg.MAGIC, 0, "JPEG"),
    (b"\x89PNG\r\n\x1a\n", 0, "PNG"),
    (b"GIF8", 0, "GIF"),
    (b"WEBP", 8, "WEBP"),
    (b"DHAV", 0, "dhav"),
    (b"DAHUA", 0, "dhav"),
    (b"\x1aE\xdf\xa3", 0, "matroska"),
    (b"AVI ", 8, "avi"),
    (b"FLV\x01", 0, "flv"),
    (asf.MAGIC, 0, "asf"),
    (b"\0\0\1\xba", 0, "mpeg"),
    # Hikvision's header before a program stream.
    (b"IMKH", 0, "mpeg"),
    (b"HXVS", 0, "hxvs"),
    (b"HXVF", 0, "hxvs"),
    (b"DKIF", 0, "ivf"),
)
# Formats that pano does not read; bytes as Latin-1 text.
_UNREAD_AS_TEXT: tuple[tuple[str, int, str], ...] = (
    ("II*\0\x10\0\0\0CR", 0, "a raw picture (CR2)"),
    ("FUJIFILMCCD-RAW", 0, "a raw picture (RAF)"),
    ("IIRO", 0, "a raw picture (ORF)"),
    ("IIRS", 0, "a raw picture (ORF)"),
    ("IIU\0", 0, "a raw picture (RW2)"),
    ("\0\0\0\x0cjP  ", 0, "a JPEG 2000 picture"),
    ("\0\0\0\x0cJXL ", 0, "a JPEG XL picture"),
    ("\xff\x0a", 0, "a JPEG XL picture"),
    ("8BPS", 0, "a Photoshop picture"),
    ("WAVE", 8, "sound without pictures (WAV)"),
    ("ID3", 0, "sound without pictures (MP3)"),
    ("fLaC", 0, "sound without pictures (FLAC)"),
    ("#!AMR", 0, "sound without pictures (AMR)"),
    ("OggS", 0, "an Ogg file"),
    (".RMF", 0, "a RealMedia clip"),
    ("PK\x03\x04", 0, "a ZIP archive"),
    ("\x1f\x8b\x08", 0, "a gzip archive"),
    ("Rar!", 0, "a RAR archive"),
    ("7z\xbc\xaf\x27\x1c", 0, "a 7-Zip archive"),
    ("%PDF", 0, "a PDF document"),
    ("Salted__", 0, "an encrypted file"),
)
_UNREAD = tuple((mark.encode("latin-1"), at, name) for mark, at, name in _UNREAD_AS_TEXT)
# A shorter file is a stub, not one of these formats.
_MIN_UNREAD_BYTES = 64
# What browsers may be given: pictures and clips, and nothing that they would run.
_MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
    "mov": "video/mp4",
    "matroska": "video/x-matroska",
    "avi": "video/x-msvideo",
}
HEAD_BYTES = 1 << 11
"""How many of a file's first bytes `media_type` looks at."""
_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_AVIF = frozenset((b"avif", b"avis"))
_BMP_HEADERS = frozenset((12, 16, 40, 52, 56, 64, 108, 124))
_ADTS = re.compile(rb"\xff[\xf0\xf1\xf8\xf9\xf2\xf3\xfa\xfb]")


def format_of(
    content: BinaryIO, size_bytes: int, kind: Kind | None, ending: Ending | None = None
) -> str:
    """Return the name of the format: Pillow's for a picture, FFmpeg's for a clip.

    `kind` is what the file name says. It is used in messages and for ambiguous contents: a
    JPEG that is followed by another one is a Motion JPEG clip only if a clip is expected.
    Raises Unsupported for a format that pano does not read, even if only the `ending` says
    so, and Undecodable for other contents.
    """
    content.seek(0)
    head = content.read(_HEAD_BYTES)
    name = _by_magic(head, _MAGICS) or _by_boxes(head) or _by_structure(head)
    if name == "JPEG" and kind == "clip" and jpeg.is_stream(content, size_bytes):
        name = "mjpeg"
    if name is None and dav.first_frame(content) is not None:
        name = "dhav"
    content.seek(0)
    if ending is not None and not ending.formats and name in (None, "TIFF") and any(head):
        # Raw sensor data is stored in TIFF files, with a small preview.
        raise Unsupported(f"{ending.title}: pano does not read this format")
    if name is not None:
        return name
    unread = _by_magic(head, _UNREAD) or (_ADTS.match(head) and "sound without pictures")
    if unread and size_bytes >= _MIN_UNREAD_BYTES:
        raise Unsupported(f"{unread}: pano does not read this format")
    noun = "picture" if kind == "snapshot" else "clip"
    raise Undecodable(f"no {noun}: the file begins with {_beginning(content, head)}")


def media_type(head: bytes) -> str:
    """Return the media type of a file from its first HEAD_BYTES bytes.

    It is "application/octet-stream" for all but the formats that browsers show as pictures
    or clips: a browser must never run an upload.
    """
    try:
        name = _by_magic(head, _MAGICS) or _by_boxes(head) or _by_structure(head)
    except Unsupported:
        name = None
    return _MEDIA_TYPES.get(name or "", "application/octet-stream")


def _by_magic(head: bytes, magics: tuple[tuple[bytes, int, str], ...]) -> str | None:
    return next((name for magic, at, name in magics if head.startswith(magic, at)), None)


def _by_boxes(head: bytes) -> str | None:
    """Distinguish MP4 from pictures that also consist of boxes, by the brands in the first box."""
    if head[4:8] not in mp4.BOXES:
        return None
    if head[4:8] != b"ftyp":
        return "mov"
    length = int.from_bytes(head[:4], "big")
    if length > 1024 or not head[length + 4 : length + 8].isalnum():
        return "mov"
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length, 4))]
    if brands[0] == b"crx ":
        raise Unsupported("a raw picture (CR3): pano does not read this format")
    if not _AVIF.isdisjoint(brands):
        return "AVIF"
    if brands[0] in _HEIC or brands[0] in (b"mif1", b"msf1"):
        raise Unsupported("a HEIC picture: pano does not read this format", "HEIC")
    return "mov"


def _by_structure(head: bytes) -> str | None:
    """Recognize formats that have no unique magic number."""
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head.startswith((b"II*\0", b"MM\0*")) and not head.startswith(b"II*\0\x10\0\0\0CR"):
        return "TIFF"
    if mpeg.packets_of_transport(head):
        return "mpegts"
    if head.startswith(b"--") and b"image/jpeg" in head[:512].lower():
        return "mjpeg"
    return mpeg.bare_stream(head)


def _beginning(content: BinaryIO, head: bytes) -> str:
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return "a web page"
    if not any(head) and not any(content.read(_MAX_ZEROS)):
        return "zeros"
    return ascii(head[:12].decode("latin-1"))
