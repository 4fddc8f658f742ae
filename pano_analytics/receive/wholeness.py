"""Whether a file has its end, as far as its contents tell: whole, cut, or nothing said.

Quick, for a camera waits for the answer: a few seeks, and nothing is decoded.
What each format tells is in `docs/design/receive.md`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

from pano_analytics.errors import MediaError
from pano_analytics.inspect import container_format_of, structure_trouble
from pano_analytics.layouts import sidecars
from pano_analytics.layouts.names import kind_of

Says = Literal["whole", "cut", "unbroken", "nothing", "unasked"]


class Contents(NamedTuple):
    """What the contents say of their own end; `reason` in words where they say cut."""

    says: Says
    reason: str = ""


_WHOLE, _NOTHING = Contents("whole"), Contents("nothing")
# Amcrest puts 8 bytes behind the end marker, others pad.
_TAIL_BYTES = 4096
# No picture or clip is shorter; DHAV's and MP4's first headers alone are longer.
_FEWEST_BYTES = 16
_MOST_BOXES = 100_000
# Real pictures have a few dozen; a flood of markers must not hold up other cameras.
_MOST_SEGMENTS = 10_000


def contents_of(file: BinaryIO, name: str) -> Contents:
    """Return what the contents of `file` say; `name` is the one that the camera gave it.

    `file` is read from anywhere and left anywhere. Raises OSError where it cannot be read.
    """
    size_bytes = file.seek(0, 2)
    if is_media(name) and size_bytes < _FEWEST_BYTES:
        return Contents("cut", f"{size_bytes} bytes are no picture and no clip")
    file.seek(0)
    if file.read(3) == b"\xff\xd8\xff":
        return _jpeg(file, size_bytes)
    try:
        container = container_format_of(file)
    except MediaError:
        return _NOTHING
    return _mp4(file, size_bytes) if container == "mov" else _other(file, container, size_bytes)


def is_media(name: str) -> bool:
    """Tell whether `name` ends as pictures and clips do, what is in progress included."""
    return kind_of(_final(name).rpartition(".")[2]) is not None


def is_in_progress(name: str) -> bool:
    """Tell whether `name` is one that is to be changed when the upload is done: `.mp4_`, `.tmp`."""
    reading = sidecars.read(name)
    return reading is not None and reading.layout == "sidecar-inprogress"


def _final(name: str) -> str:
    if not is_in_progress(name):
        return name
    return name.rstrip("_") if name.endswith("_") else name.rpartition(".")[0]


# --- pictures -----------------------------------------------------------------------------


def _jpeg(file: BinaryIO, size_bytes: int) -> Contents:
    """Look for the end marker behind the picture's start: a thumbnail in a header has its own."""
    start = _start_of_picture(file, size_bytes)
    if start is None:
        return Contents("cut", "the picture ends inside its header")
    if _finds_end(file, max(start, size_bytes - _TAIL_BYTES)):
        return _WHOLE
    # More may stand behind the picture than anybody foresaw.
    return _NOTHING if _finds_end(file, start) else Contents("cut", "the picture has no end marker")


def _start_of_picture(file: BinaryIO, size_bytes: int) -> int | None:
    """Return where the first scan's data begins, by the lengths of the segments before it."""
    offset = 2
    for _ in range(_MOST_SEGMENTS):
        file.seek(offset)
        head = file.read(4)
        if len(head) < 4:
            return None
        if head[0] != 0xFF:
            return offset  # not as the standard has it: search all the rest
        if head[1] == 0xFF or head[1] == 0x01 or 0xD0 <= head[1] <= 0xD8:
            offset += 1 if head[1] == 0xFF else 2
            continue
        offset += 2 + int.from_bytes(head[2:], "big")
        if offset > size_bytes:
            return None
        if head[1] == 0xDA:
            return offset
    return offset  # search all the rest


def _finds_end(file: BinaryIO, offset: int) -> bool:
    file.seek(offset)
    last = b""
    while piece := file.read(1 << 20):
        if b"\xff\xd9" in last + piece:
            return True
        last = piece[-1:]
    return False


# --- clips --------------------------------------------------------------------------------


def _mp4(file: BinaryIO, size_bytes: int) -> Contents:
    names: set[bytes] = set()
    end = 0
    for name, end in _boxes(file, size_bytes):
        if end > size_bytes:
            words = f"{end - size_bytes} bytes are missing inside {name.decode('latin-1')!r}"
            return Contents("cut", words)
        names.add(name)
    if b"moov" not in names:
        return Contents("cut", "the clip's index (moov) is missing")
    # Fragments come one after another: one less is a whole clip as well.
    return _NOTHING if b"moof" in names or end < size_bytes else _WHOLE


def _boxes(file: BinaryIO, size_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yield (name, end) of the top-level boxes; one that runs to the end of the file ends them."""
    offset = 0
    for _ in range(_MOST_BOXES):
        file.seek(offset)
        head = file.read(16)
        if len(head) < 8:
            return
        length, name = struct.unpack_from(">I4s", head)
        if length == 1 and len(head) == 16:
            length = struct.unpack_from(">Q", head, 8)[0]
        if length < 8 or not name.isalnum():
            return
        offset += length
        yield name, offset
        if offset > size_bytes:
            return


def _other(file: BinaryIO, container: str, size_bytes: int) -> Contents:
    trouble = structure_trouble(file, container, size_bytes)
    if container == "avi" and _is_avi_without_length(file):
        return _NOTHING  # written as it was sent: nobody went back to fill it in
    if trouble is not None:
        return Contents("cut", trouble)
    # Frames and packets follow each other: cut between two, a clip looks whole.
    return _WHOLE if container == "avi" else _NOTHING


def _is_avi_without_length(file: BinaryIO) -> bool:
    file.seek(4)
    return file.read(4) in (b"\0\0\0\0", b"\xff\xff\xff\xff")
