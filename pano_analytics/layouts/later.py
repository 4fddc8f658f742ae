"""The name of a later upload: one whose own name was taken by a whole file with other bytes.

`pano receive` never puts other bytes in the place of a whole file. What comes later is
kept beside it as `STEM.pano-later-0123456789ab.EXT`, with the first digits of its SHA-256,
so that the same bytes always get the same name. Layouts read such a name as the one that
it came under: same camera, time and kind.
"""

from __future__ import annotations

import os
import re

MARK = ".pano-later-"
LENGTHS = (12, 24, 64)
"""So many digits of the SHA-256 a name has; more where the fewer are taken by other bytes."""

_LATER = re.compile(r"(.+)\.pano-later-([0-9a-f]{12,64})(\.[^.]*)?", re.DOTALL)
_LONGEST_BYTES = 255


def later_name(name: str, sha256: str, digits: int = LENGTHS[0]) -> str:
    """Return the name for bytes with this SHA-256 (hex) that came as `name`.

    It is at most 255 bytes long: of a longer one, the end of the stem is left out.
    """
    name = split(name)[0]
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    tail = f"{MARK}{sha256[:digits]}{dot}{ending}"
    room = max(1, _LONGEST_BYTES - len(os.fsencode(tail)))
    return os.fsdecode(os.fsencode(stem)[:room]) + tail


def split(name: str) -> tuple[str, str | None]:
    """Return the name that a file came under, and the digits that tell it from the first.

    The digits are None where `name` is not that of a later upload.
    """
    found = _LATER.fullmatch(name) if MARK in name else None
    return (found[1] + (found[3] or ""), found[2]) if found else (name, None)
