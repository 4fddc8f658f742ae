"""Names that look alike: when two spellings mean one camera, one folder, one account.

Two spellings of a name differ in bytes if a Mac decomposes letters with accents (NFD) and
other systems do not (NFC), and in letter case if a file system ignores case. Only this module
decides that both are the same name, whatever the file system. The composed spelling (NFC) is
displayed and stored; paths on disk keep their own bytes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache


def normal(name: str) -> str:
    """Return `name` as it is displayed and stored: composed (NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


@lru_cache(maxsize=4096)
def key(name: str) -> str:
    """Return a key that all spellings of `name` share, whatever their case and composition.

    This is the canonical caseless match of the Unicode standard (section 3.13, D145).
    """
    if name.isascii():
        return name.lower()
    folded = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFC", folded)


def find(name: str, among: Iterable[str]) -> str | None:
    """Return the name in `among` that matches `name`, preferably in its spelling, or None."""
    alike = [one for one in among if key(one) == key(name)]
    same = (one for one in alike if normal(one) == normal(name))
    return next(same, alike[0] if alike else None)


def hint(unknown: str | Iterable[str], known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" with the known names closest to `unknown`; "" if none is close.

    It begins with a space, so that it can be appended to an error message.
    """
    names = {key(name): name for name in known}
    unknown_names = [unknown] if isinstance(unknown, str) else unknown
    near = [close for one in unknown_names for close in get_close_matches(key(one), names, 1)]
    suggestions = " or ".join(repr(names[one]) for one in dict.fromkeys(near))
    return f" Did you mean {suggestions}?" if suggestions else ""
