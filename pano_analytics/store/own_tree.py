"""Checks that an upload tree is the one that the library knows, by its marker and its uploads.

A mount point without its disk, another disk at the same path, or another tree in the settings
has none of the uploads that the library knows; these must not be taken for deleted. The check
looks at a few hundred files and writes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, TypeVar

from pano_analytics.errors import LibraryError, UploadTreeError
from pano_analytics.model.times import epoch_us
from pano_analytics.model.upload import GONE_STATES, decode_path, encode_path
from pano_analytics.store.catalog import Catalog, Manifest, Month, Part
from pano_analytics.store.storage import Storage
from pano_analytics.store.tree import MARKER, Doomed, Tree, WrongRoot, adopted

# How many uploads are checked, and from how many camera-days, spread over the whole library;
# a small library is checked completely.
_UPLOADS, _PLACES = 200, 8

Element = TypeVar("Element")


class StrangeTree(UploadTreeError):
    """The upload tree does not contain the uploads that the library knows."""


class TreeProblem(NamedTuple):
    """What is wrong with the tree: the word that `pano status` uses, and a sentence."""

    word: str
    text: str


def require(storage: Storage, root: Path) -> None:
    """Raise StrangeTree unless `root` is the tree that the library knows, if it knows any."""
    text = _mismatch(storage, root)
    if text:
        raise StrangeTree(text)


def trouble(storage: Storage, root: Path | None) -> TreeProblem | None:
    """Return what is wrong with the upload tree of a library, or None.

    For commands and pages that report the state of the library. This does not check whether
    the tree exists at all.
    """
    if root is None or not root.is_dir():
        return None
    try:
        text = _mismatch(storage, root)
        return TreeProblem("uploads_strange", text) if text else _unmarked(storage, root)
    except UploadTreeError:
        return None


def _unmarked(storage: Storage, root: Path) -> TreeProblem | None:
    with Tree.opened(root) as tree:
        if adopted(storage) is None or tree.identity() is not None:
            return None
    text = (
        f"{root}: the marker {MARKER} that `pano cull --adopt` wrote is not there; nothing is "
        f"culled. If this is the right disk, run `pano cull --adopt` again."
    )
    return TreeProblem("marker_missing", text)


def _mismatch(storage: Storage, root: Path) -> str | None:
    with Tree.opened(root) as tree:
        try:
            marked, known = tree.identity(), adopted(storage)
        except WrongRoot as error:
            return str(error)
        if known is not None and marked not in (None, known):
            return (
                f"{root}: expected the upload tree of this library; its marker {MARKER} belongs "
                f"to another library. Is the right disk mounted? Nothing was changed. To use this "
                f"tree for this library from now on, delete the marker and run `pano cull "
                f"--adopt`."
            )
        looked_for, present = _counted(tree, Catalog(storage))
        is_empty = not tree.names(())
    if 2 * present >= looked_for:
        return None
    lacking = f"{looked_for - present} of {looked_for} checked uploads are missing"
    return (
        f"{root}: expected the uploads that the library knows; "
        f"{'the folder is empty' if is_empty else lacking}. "
        f"Is its disk mounted, and is it the right one? Nothing was changed. For another tree, "
        f"use another library (--library). If most uploads were deleted, or to use this tree for "
        f"this library, run `pano ingest --accept-tree`."
    )


def _counted(tree: Tree, catalog: Catalog) -> tuple[int, int]:
    """Return how many known uploads were checked, and how many of them are present."""
    looked_for = present = 0
    try:
        chosen = _chosen(catalog.manifest())
    except (OSError, LibraryError):
        chosen = []  # an unreadable catalog will be rebuilt; until then nothing can be checked
    for part, count in chosen:
        known = _known(catalog, part)
        names = {file.path for file in known}
        for file, status in tree.look(_spread(known, count)):
            looked_for += 1
            present += not status.is_absent or _is_renamed(tree, file, names)
    return looked_for, present


def _chosen(manifest: Manifest) -> list[tuple[Part, int]]:
    """Return some parts and how many uploads of each to check, in proportion to their size.

    In a large library, only the months of the chosen parts are read.
    """
    months = sorted(
        (month for month in manifest.months.values() if _held(month.media)),
        key=lambda month: (month.key.month, month.key.camera),
    )
    held = list(accumulate(_held(month.media) for month in months))
    if not held or (held[-1] <= _UPLOADS and len(manifest.media) <= 2 * _PLACES):
        parts = [part for month in months for part in _parts(manifest, month)]
        return [(part, _UPLOADS) for part in parts]
    places = [(n + 1) * held[-1] // _PLACES for n in range(_PLACES)]
    picked = [_at(manifest, months, held, place) for place in places]
    counted = Counter(part.path for part in picked)
    chosen = {part.path: part for part in picked}
    return [(part, counted[path] * _UPLOADS // _PLACES) for path, part in chosen.items()]


def _at(manifest: Manifest, months: list[Month], held: list[int], place: int) -> Part:
    """Return the part with the upload number `place` of all existing uploads."""
    index = bisect_left(held, place)
    parts = _parts(manifest, months[index])
    before = held[index] - _held(months[index].media)
    return parts[bisect_left(list(accumulate(map(_held, parts), initial=before))[1:], place)]


def _held(part: Part) -> int:
    return part.rows if part.held is None else part.held


def _parts(manifest: Manifest, month: Month) -> list[Part]:
    """Return the parts of a month that have existing uploads, by day."""
    return [part for _, part in sorted(manifest.content(month)["media"].items()) if _held(part)]


def _known(catalog: Catalog, part: Part) -> list[Doomed]:
    try:
        rows = catalog.read(part).select(["path", "size_bytes", "mtime", "state"]).to_pylist()
    except (OSError, LibraryError):
        return []
    return [
        Doomed(row["path"], row["size_bytes"], epoch_us(row["mtime"].replace(tzinfo=None)))
        for row in rows
        if row["state"] not in GONE_STATES
    ]


def _spread(all_of: Sequence[Element], count: int) -> Sequence[Element]:
    """Return `count` elements of a list, evenly spaced and including the last."""
    if len(all_of) <= count:
        return all_of
    return [all_of[(n + 1) * len(all_of) // count - 1] for n in range(count)]


def _is_renamed(tree: Tree, file: Doomed, known: Iterable[str]) -> bool:
    """Return whether an upload is in its folder under a name that is not in the catalog yet.

    Cameras rename finished uploads, from `*.mp4_` to `*.mp4`.
    """
    return any(measures == file[1:] for measures in _others(tree, file, known))


def _others(tree: Tree, file: Doomed, known: Iterable[str]) -> Iterator[tuple[int, int]]:
    folder = file.path.rpartition("/")[0]
    names = tree.names(tuple(decode_path(folder).split(b"/")) if folder else ())
    paths = (f"{folder}/{encode_path(name.decode('utf-8', 'surrogateescape'))}" for name in names)
    others = [Doomed(path.lstrip("/"), 0, 0) for path in paths if path.lstrip("/") not in known]
    for _, status in tree.look(others):
        if status.trouble is None:
            yield status.size_bytes, status.mtime_us
