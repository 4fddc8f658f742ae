"""Names that look alike: when two spellings mean one camera, one folder, one account.

Two spellings of one name differ in bytes where a Mac takes letters and accents apart
(NFD) and others do not (NFC), or in letter case where a disk does not tell cases apart.
Here, and only here, is decided that both are the same name, on every disk. What is shown
and kept is the composed spelling (NFC); paths on disk keep their own bytes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache


def normal(name: str) -> str:
    """Return `name` as it is shown and kept: its letters composed (NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


@lru_cache(maxsize=4096)
def key(name: str) -> str:
    """Return what all spellings of `name` have in common: letter case and composition left out.

    The caseless match of the Unicode standard (section 3.13, D145).
    """
    if name.isascii():
        return name.lower()
    folded = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFC", folded)


def find(name: str, among: Iterable[str]) -> str | None:
    """Return the one of `among` that means `name`: spelled the same if there is one, else alike."""
    alike = [one for one in among if key(one) == key(name)]
    same = (one for one in alike if normal(one) == normal(name))
    return next(same, alike[0] if alike else None)


def hint(unknown: str | Iterable[str], known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" with what resembles the `unknown` names; "" where nothing does.

    It begins with a space, to be appended to an error message.
    """
    names = {key(name): name for name in known}
    asked = [unknown] if isinstance(unknown, str) else unknown
    near = [close for one in asked for close in get_close_matches(key(one), names, 1)]
    found = " or ".join(repr(names[one]) for one in dict.fromkeys(near))
    return f" Did you mean {found}?" if found else ""
