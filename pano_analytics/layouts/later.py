"""The name of a later upload: one whose name already belongs to a complete, different file.

`pano receive` never replaces a complete file with different content. A later upload of the
same name is kept beside it as `STEM.pano-later-0123456789ab.EXT`, with the first digits of
its SHA-256, so that the same content always gets the same name. Layouts read such a name
like the original one: same camera, time and kind.
"""

from __future__ import annotations

import os
import re

MARK = ".pano-later-"
LENGTHS = (12, 24, 64)
"""How many digits of the SHA-256 a name has; more only if a shorter name is already taken."""

_LATER = re.compile(r"(.+)\.pano-later-([0-9a-f]{12,64})(\.[^.]*)?", re.DOTALL)
_LONGEST_BYTES = 255


def later_name(name: str, sha256: str, digits: int = LENGTHS[0]) -> str:
    """Return the name under which a later upload of `name` with this SHA-256 (hex) is kept.

    It has at most 255 bytes: the stem is shortened if necessary.
    """
    name = split(name)[0]
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    tail = f"{MARK}{sha256[:digits]}{dot}{ending}"
    room = max(1, _LONGEST_BYTES - len(os.fsencode(tail)))
    return os.fsdecode(os.fsencode(stem)[:room]) + tail


def split(name: str) -> tuple[str, str | None]:
    """Return the original name of an upload, and the digits of a later one.

    The digits are None if `name` is not that of a later upload.
    """
    match = _LATER.fullmatch(name) if MARK in name else None
    return (match[1] + (match[3] or ""), match[2]) if match else (name, None)
