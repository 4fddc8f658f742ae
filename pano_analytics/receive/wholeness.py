"""Whether a file has its end, as far as its contents tell: whole, cut, or nothing said.

Quick, for a camera waits for the answer: a few seeks, and nothing is decoded.
What each format tells is in `docs/design/receive.md`.
"""

from __future__ import annotations

from typing import BinaryIO, Literal, NamedTuple

from pano_analytics.formats import sniff
from pano_analytics.formats.structure import verdict_of
from pano_analytics.formats.verdict import Undecodable, Unsupported
from pano_analytics.layouts import sidecars
from pano_analytics.layouts.names import kind_of

Says = Literal["whole", "cut", "unbroken", "nothing", "unasked"]


class Contents(NamedTuple):
    """What the contents say of their own end; `reason` in words where they say cut."""

    says: Says
    reason: str = ""


# No picture or clip is shorter; DHAV's and MP4's first headers alone are longer.
_FEWEST_BYTES = 16


def contents_of(file: BinaryIO, name: str) -> Contents:
    """Return what the contents of `file` say; `name` is the one that the camera gave it.

    `file` is read from anywhere and left anywhere. Raises OSError where it cannot be read.
    """
    size_bytes = file.seek(0, 2)
    if is_media(name) and size_bytes < _FEWEST_BYTES:
        return Contents("cut", f"{size_bytes} bytes are neither a picture nor a clip")
    try:
        format_name = sniff.format_of(file, size_bytes, kind_of(_final(name).rpartition(".")[2]))
    except Unsupported as error:
        format_name = error.format_name
    except Undecodable:
        return Contents("nothing")
    return Contents(*verdict_of(file, format_name, size_bytes))


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
