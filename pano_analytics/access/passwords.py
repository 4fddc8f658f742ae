"""Reject passwords that are easy to guess.

The list contains those with at least 6 characters among the 30,000 most common passwords,
from zxcvbn (MIT; its notice is at the top of the file).
"""

from __future__ import annotations

import gzip
import re
import unicodedata
from functools import cache
from importlib.resources import files

FILE_NAME = "common_passwords.txt.gz"
_KEYS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiopasdfghjklzxcvbnm")
_SPELLED = str.maketrans("0134578@$!", "oieastbasi")


@cache
def common() -> frozenset[str]:
    """Return the common passwords, in lower case."""
    text = gzip.decompress(files("pano_analytics.access").joinpath(FILE_NAME).read_bytes()).decode()
    return frozenset(line for line in text.splitlines() if not line.startswith("# "))


def weakness(password: str, name: str = "") -> str | None:
    """Return in words why `password` of user `name` is easy to guess, or None."""
    plain = unicodedata.normalize("NFKC", password).casefold()
    if not common().isdisjoint(_forms(plain)):
        return "it is among the most common passwords, or one of them followed by digits or symbols"
    if _is_repeated(plain) or _is_row(plain):
        return "it repeats a few characters or follows the keys of a keyboard"
    if name and re.sub(r"[\W\d_]+", "", plain) in (name.casefold(), name.casefold() * 2):
        return "it is the name of the user"
    return None


def _forms(plain: str) -> set[str]:
    # Attackers try variants such as P4ssw0rd!2026 soon after the word itself.
    bare = re.sub(r"[\W\d_]+$", "", plain)
    return {plain, bare, plain.translate(_SPELLED), bare.translate(_SPELLED)}


def _is_repeated(plain: str) -> bool:
    return re.fullmatch(r"(.{1,4}?)\1+.{0,3}", plain, re.DOTALL) is not None or len(set(plain)) < 4


def _is_row(plain: str) -> bool:
    return any(plain in row * 3 or plain in row[::-1] * 3 for row in _KEYS)
