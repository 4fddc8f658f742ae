"""The catalog: immutable Parquet parts by camera and day, and one manifest that names them.

Invariants. A part is written once under a new name and never changed. The
manifest is swapped in one step, after every part it names is on the disk. So a
reader that read the manifest once sees one generation and no mixture; parts
that are no longer named stay for a grace period, for readers still at them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from pano_analytics.errors import PartError, refused
from pano_analytics.store.change import Change
from pano_analytics.store.manifest import MANIFEST, Manifest, decode, encode
from pano_analytics.store.parts import (
    TREE,
    WHOLE,
    Day,
    Part,
    Sealed,
    Span,
    complete,
    counts,
    day_of_part,
    sizes,
    span_us,
    thumb_folder,
)
from pano_analytics.store.storage import TEMPORARY, Storage

__all__ = [
    "GRACE_S",
    "MANIFEST",
    "WHOLE",
    "Catalog",
    "Change",
    "Day",
    "Manifest",
    "Part",
    "Sealed",
    "Span",
    "counts",
    "day_of_part",
    "sizes",
    "span_us",
    "thumb_folder",
]

GRACE_S = 600.0


class Catalog:
    """The parts and the manifest of one library."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._seen: tuple[tuple[int, int, int], Manifest] | None = None

    def manifest(self) -> Manifest:
        """Return the current manifest; read anew only when the file has changed.

        Raises LibraryError where it may not be read, or is none.
        """
        try:
            stamp = self._stamp()
            if stamp is None:
                return Manifest()
            if self._seen is None or self._seen[0] != stamp:
                self._seen = (stamp, decode(self.storage.read(MANIFEST)))
        except OSError as error:
            raise refused(error, None, self.storage.root) or error from error
        return self._seen[1]

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self.storage.path(MANIFEST).stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def table(self, table: str) -> Mapping[Day, Part]:
        """Return the current parts of a table by camera-day; QueryError for an unknown one."""
        return self.manifest().table(table)

    def read(self, part: Part, table: str = "media") -> pa.Table:
        """Return a part's rows with today's columns, those it lacks as nulls.

        Raises PartError where it is torn or may not be read, FileNotFoundError where it went.
        """
        path = self.storage.path(part.path)
        try:
            return complete(pq.read_table(path, partitioning=None), table)
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise PartError.of(path, error) from error

    def adopt(self, manifest: Manifest) -> None:
        """Swap in a manifest whose parts are in place and synced. Lock holder only."""
        self.storage.replace(MANIFEST, encode(manifest))

    def publish(self, manifest: Manifest, base: Manifest) -> Manifest:
        """Swap in the manifest that follows `base`, without what its readers had time for."""
        # Unlinked before the swap: no reader may still be at them, and a killed
        # run at worst names a retired file twice. Only what the manifest now in
        # force has retired: a clock that jumps must not reach what it still names.
        due = {path for path, since in base.retired if time.time() - since > GRACE_S}
        for path in due:
            self.storage.remove(path)
        kept = tuple(entry for entry in manifest.retired if entry[0] not in due)
        manifest = replace(manifest, retired=kept)
        self.adopt(manifest)
        return manifest

    def begin(self) -> Change:
        """Start a change; only the holder of the library's lock may commit it."""
        return Change(self)

    def sweep(self) -> list[str]:
        """Remove what a killed writer left: files that no manifest names. Lock holder only."""
        manifest = self.manifest()
        named = {part.path for _, _, part in manifest.everything()}
        named |= {path for path, _ in manifest.retired}
        stray = [name for name in self.storage.files(TREE) if name not in named]
        for name in stray:
            self.storage.remove(name)
        for folder in (TREE, "thumbs", "journal"):
            for name in list(self.storage.files(folder)):
                if name.endswith(TEMPORARY):
                    self.storage.remove(name)
        return stray
