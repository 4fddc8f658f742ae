"""Whether the contents of a file show that its end is present: whole, cut or unknown.

This needs a few seeks and decodes nothing, because a camera waits for the reply.
`docs/design/receive.md` lists what each format shows.
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
    """What the contents say about their end; `reason` is text if `says` is "cut"."""

    says: Says
    reason: str = ""


# Pictures and clips are never shorter; the first headers of DHAV and MP4 alone are longer.
_FEWEST_BYTES = 16


def contents_of(file: BinaryIO, name: str) -> Contents:
    """Return what the contents of `file` say; `name` is the one that the camera sent.

    Moves the position of `file`. Raises OSError if it cannot be read.
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
    """Return whether `name` has the extension of a picture or clip, also one in progress."""
    return kind_of(_final(name).rpartition(".")[2]) is not None


def is_in_progress(name: str) -> bool:
    """Return whether `name` is one for an upload in progress, such as `.mp4_` or `.tmp`."""
    reading = sidecars.read(name)
    return reading is not None and reading.layout == "sidecar-inprogress"


def _final(name: str) -> str:
    if not is_in_progress(name):
        return name
    return name.rstrip("_") if name.endswith("_") else name.rpartition(".")[0]
