"""The catalog: immutable Parquet parts by camera and day, and a manifest that names them.

Invariants: a part, or the file of a month, is written once under a new name and never
changed. The root of the manifest is replaced atomically, after all files that it names are
synced to disk. So a reader that has read the root sees exactly one generation. Files that are
no longer named are kept for a grace period, for readers that still use them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import pyarrow as pa

from pano_analytics.errors import LibraryError, PartError
from pano_analytics.store import locators
from pano_analytics.store.change import Change
from pano_analytics.store.manifest import MANIFEST, Manifest, Retired, decode, encode
from pano_analytics.store.months import FOLDER as MONTHS
from pano_analytics.store.months import Content, Month, MonthCache, new_name
from pano_analytics.store.months import encode as encode_month
from pano_analytics.store.parts import (
    TREE,
    UNLISTED,
    WHOLE,
    CameraDay,
    Part,
    Sealed,
    Span,
    complete,
    counts,
    day_of_part,
    read_parquet,
    sizes,
    span_us,
    unlisted,
)
from pano_analytics.store.storage import TEMPORARY, Stamp, Storage

__all__ = [
    "FOLDERS",
    "GRACE_S",
    "MANIFEST",
    "WHOLE",
    "CameraDay",
    "Catalog",
    "Change",
    "Manifest",
    "Misplaced",
    "Month",
    "Part",
    "Sealed",
    "Span",
    "counts",
    "day_of_part",
    "sizes",
    "span_us",
    "unlisted",
]

# The folders that may contain parts.
FOLDERS = (TREE, UNLISTED)
GRACE_S = 600.0


class Misplaced(NamedTuple):
    """What a killed writer left: parts to move, by their names in the tree, and files to remove."""

    into_tree: list[str]
    out_of_tree: list[str]
    stray: list[str]


class Catalog:
    """The parts and the manifest of one library."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._seen: tuple[Stamp, Manifest] | None = None
        self._months = MonthCache(storage.read)

    def manifest(self) -> Manifest:
        """Return the current manifest; its root is read again only if it has changed.

        Raises LibraryError if it cannot be read or is invalid.
        """
        try:
            stamp = self.storage.stamp(MANIFEST)
            if stamp is None:
                return Manifest(content=self.content)
            if self._seen is None or self._seen[0] != stamp:
                self._seen = (stamp, decode(self.storage.read(MANIFEST), self.content))
        except OSError as error:
            raise self.storage.error_of(error) from error
        return self._seen[1]

    def content(self, month: Month) -> Content:
        """Return the parts of a month of a manifest. Raises OSError or LibraryError."""
        return self._months.content(month)

    def table(self, table: str) -> Mapping[CameraDay, Part]:
        """Return the current parts of a table by camera-day; QueryError for an unknown table."""
        return self.manifest().table(table)

    def read(self, part: Part, table: str = "media") -> pa.Table:
        """Return a part's rows with the current columns; columns that it lacks are null.

        Raises PartError if it is damaged or unreadable, FileNotFoundError if it is gone.
        """
        # In the tree; unlisted, before or after it is current; again in the tree, in case it
        # was moved there in between.
        for name in (part.path, unlisted(part.path)):
            with suppress(FileNotFoundError):
                return self._read(name, table)
        return self._read(part.path, table)

    def _read(self, name: str, table: str) -> pa.Table:
        try:
            with self.storage.source(name) as source:
                return complete(read_parquet(source), table)
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise PartError.of(self.storage.address(name), error) from error

    def newest_days(self, camera: str, most: int, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield columns of up to `most` camera-days of a camera, newest first, as asked for.

        All parts must have the columns. Raises the errors of `column`.
        """
        for _, part in islice(self.manifest().newest_first([camera]), most):
            with self.storage.source(self.where(part.path)) as source:
                yield read_parquet(source, columns)

    def column(self, part: Part, name: str) -> pa.ChunkedArray:
        """Return a column of a part of `media`, which must have it; the others are not read.

        Raises FileNotFoundError if the part is gone, another OSError or ArrowException if it is
        damaged or unreadable.
        """
        with self.storage.source(self.where(part.path)) as source:
            return read_parquet(source, [name])[name]

    def where(self, path: str) -> str:
        """Return the current name of the part `path`: in the tree, or unlisted if not current."""
        aside = unlisted(path)
        is_aside = not self.storage.exists(path) and self.storage.exists(aside)
        return aside if is_aside else path

    def adopt(self, manifest: Manifest) -> Manifest:
        """Publish a manifest whose parts are in place and synced. Lock holder only."""
        return self.publish(manifest)

    def publish(
        self,
        manifest: Manifest,
        new: Collection[str] = (),
        replaced: Collection[str] = (),
        unsynced: Iterable[str] = (),
    ) -> Manifest:
        """Replace the manifest, after syncing all files that it names, and those in `unsynced`.

        The parts `new` are unlisted; they are moved into the tree after the manifest was
        replaced and the parts in `replaced` were moved out. The replaced parts, and months
        that are no longer named, are kept for readers that still use them, and removed by a
        later change. Lock holder only.
        """
        base = self.manifest_or_none()
        manifest = self._with_files(manifest)
        months = set(manifest.files()) - set(base.files())
        self.storage.sync([*months, *map(unlisted, new), *unsynced])
        over = [*replaced, *sorted(set(base.files()) - set(manifest.files()))]
        retired = _retired(manifest.retired, over)
        manifest = replace(manifest, retired=self._purged(retired, base.retired))
        self.storage.replace(MANIFEST, encode(manifest))
        stamp = self.storage.stamp(MANIFEST)
        self._seen = None if stamp is None else (stamp, manifest)
        if base.months and not base.files():
            # A manifest of format 1 (one file): its retired parts are still in the tree.
            replaced = [*replaced, *(path for path, _ in base.retired)]
        self._arrange(new, [path for path in replaced if path.startswith(f"{TREE}/")])
        return manifest

    def _arrange(self, new: Collection[str], replaced: Collection[str]) -> None:
        """Move parts out of the tree, then new ones into it, so that no row is in it twice."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(lambda path: self.storage.move(path, unlisted(path)), replaced))
            list(pool.map(lambda path: self.storage.move(unlisted(path), path), new))
        self.storage.remove_folders(replaced)
        if new or replaced:
            self.storage.sync_folders([*new, *replaced, f"{UNLISTED}/part"])

    def manifest_or_none(self) -> Manifest:
        """Return the current manifest, or an empty one if it cannot be read."""
        try:
            return self.manifest()
        except LibraryError:
            return Manifest(content=self.content)

    def _with_files(self, manifest: Manifest) -> Manifest:
        """Write the months that have no file yet; return the manifest that names them all."""
        months = {
            key: month if month.file else self._put(month, manifest.generation)
            for key, month in manifest.months.items()
        }
        return replace(manifest, months=months, content=self.content)

    def _put(self, month: Month, generation: int) -> Month:
        assert month.content is not None, "a month without a file has its content in memory"
        name, data = new_name(month.key, generation), encode_month(month.key, month.content)
        self.storage.put(name, lambda file: file.write(data))
        return replace(month, file=name, content=None)

    def _purged(self, retired: Retired, known: Retired) -> Retired:
        """Remove the retired files that no reader can still use; return the others."""
        # Removed before the manifest is replaced: a killed run at worst leaves a manifest
        # that lists a removed file as retired. Only files that the current manifest lists as
        # retired: after a clock jump, files that it still names must not be removed.
        due = {path for path, since in known if time.time() - since > GRACE_S}
        for path in due:
            self.storage.remove(path)
            self.storage.remove(unlisted(path))
        return tuple(entry for entry in retired if entry[0] not in due)

    def begin(self) -> Change:
        """Start a change; only the holder of the library's lock may commit it."""
        return Change(self)

    def sweep(self) -> list[str]:
        """Finish moving the files of a killed writer, and remove files that nothing names.

        Return the removed files. Lock holder only.
        """
        left = self.misplaced()
        self._arrange(left.into_tree, left.out_of_tree)
        for name in (*left.stray, *self._temporary()):
            self.storage.remove(name)
        return left.stray

    def misplaced(self) -> Misplaced:
        """Return the files that are not where the manifest says.

        There are such files during a commit, too.
        """
        manifest = self.manifest()
        current = {part.path for _, _, part in manifest.everything()}
        retired = {path for path, _ in manifest.retired}
        aside = {unlisted(path): path for path in (*current, *retired)}
        in_tree = [name for name in self.storage.files(TREE) if name not in current]
        out = [name for name in self.storage.files(UNLISTED) if name not in retired]
        months = set(self.storage.files(MONTHS)) - {*manifest.files(), *retired}
        stray = [name for name in in_tree if name not in retired]
        stray += [name for name in out if name not in aside] + sorted(months)
        return Misplaced(
            [aside[name] for name in out if aside.get(name) in current],
            [name for name in in_tree if name in retired],
            stray,
        )

    def _temporary(self) -> list[str]:
        names = [
            name for folder in (locators.FOLDER, "journal") for name in self.storage.files(folder)
        ]
        return [name for name in names if name.endswith(TEMPORARY)]


def _retired(known: Retired, replaced: Iterable[str]) -> Retired:
    now, names = time.time(), {name for name, _ in known}
    return (*known, *((name, now) for name in replaced if name not in names))
