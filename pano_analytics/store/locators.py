"""Locators: the text in a column `thumb`, which says where a thumbnail is stored.

A locator is `CAMERA/DAY/STAMP.pack/OFFSET-SIZE`: a pack below `thumbs/`, and the bytes of
one JPEG in it. It is percent-encoded, so that it can be part of an address as it is. Packs
never change, so a locator always means the same picture. No other module reads the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.errors import LibraryError, MediaError
from pano_analytics.store.parts import CameraDay, folder_name
from pano_analytics.store.storage import Storage

FOLDER = "thumbs"
_SPAN = re.compile(r"(\d{1,15})-(\d{1,9})", re.ASCII)
# Exactly four path segments: a camera may be called `thumb`, too.
_URL = re.compile(
    r".*/thumb/((?!\.{1,2}/)[\w.~%-]{1,768}/\d{4}-\d\d-\d\d/[0-9a-f-]{1,64}\.pack/"
    rf"{_SPAN.pattern})\.jpg",
    re.ASCII | re.DOTALL,
)


class Locator(NamedTuple):
    """One thumbnail: the library's file that holds it, and its bytes there."""

    file: str
    offset: int
    size: int


def folder(day: CameraDay) -> str:
    """Return the library's folder for the packs of a camera-day."""
    return f"{FOLDER}/{folder_name(day.camera)}/{day.date.isoformat()}"


def parse(text: object) -> Locator:
    """Return the file and bytes that a locator names. Raises MediaError for any other text."""
    pack, _, span = str(text).rpartition("/")
    match = _SPAN.fullmatch(span)
    if not isinstance(text, str) or match is None or not pack.endswith(".pack"):
        raise MediaError(f"expected a locator from the column thumb, got {text!r}.")
    return Locator(_file(pack), int(match[1]), int(match[2]))


def make(locator: Locator) -> str:
    """Return the text of the column `thumb`."""
    return f"{locator.file.removeprefix(f'{FOLDER}/')}/{locator.offset}-{locator.size}"


def read(storage: Storage, text: object) -> bytes:
    """Return the JPEG that a locator names. Raises MediaError if there is none."""
    file, offset, size = parse(text)
    try:
        data = storage.read_range(file, offset, size)
    except (OSError, LibraryError) as error:
        raise MediaError(f"{text}: expected a thumbnail; {error}") from error
    if len(data) != size:
        raise MediaError(f"{text}: expected {size} bytes, got {len(data)}; run `pano ingest`.")
    return data


def in_url(path: str) -> str | None:
    """Return the locator in an address `…/thumb/LOCATOR.jpg`, None if there is none.

    `path` is as the browser sent it, still percent-encoded.
    """
    match = _URL.fullmatch(path)
    return match[1] if match else None


def files(column: pa.ChunkedArray | pa.Array) -> set[str]:
    """Return the files (packs, below the library) that a column `thumb` points into."""
    packs = pc.replace_substring_regex(pc.drop_null(column), "/[^/]*$", "")
    return {_file(pack) for pack in pc.unique(packs).to_pylist()}


def packed(locators: Iterable[object]) -> tuple[list[str], list[list[int | str] | int]]:
    """Return locators in a short form for pages: the packs, and a pack and span per locator.

    Each pack is an index into the first list; `PACK/SPAN` is the locator. A value that is not
    text means no picture, and becomes 0.
    """
    split = [text.rpartition("/") if isinstance(text, str) else None for text in locators]
    packs = {pack: at for at, pack in enumerate(dict.fromkeys(one[0] for one in split if one))}
    return list(packs), [[packs[one[0]], one[2]] if one else 0 for one in split]


def _file(pack: str) -> str:
    return f"{FOLDER}/{pack}"
