"""An open upload: its contents, and what its name says about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from pano_analytics.formats import sniff
from pano_analytics.formats.endings import Ending, ending_of
from pano_analytics.model.upload import Kind


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file: its contents, and what its name says about them."""

    content: BinaryIO
    size_bytes: int
    suffix: str
    kind: Kind

    @property
    def ending(self) -> Ending | None:
        return ending_of(self.suffix)


def note_of(upload: Opened, format_name: str) -> str | None:
    """Return a note for a picture or clip whose suffix says something else, else None.

    A clip in another container than its suffix says gets no note: it makes no difference.
    """
    is_picture = format_name in sniff.PICTURES
    if is_picture and (upload.ending is None or format_name not in upload.ending.formats):
        article = "an" if format_name == "AVIF" else "a"
        return f"{article} {format_name} picture named {upload.suffix!a}"
    if not is_picture and upload.kind == "snapshot":
        return f"a clip named {upload.suffix!a}"
    return None
