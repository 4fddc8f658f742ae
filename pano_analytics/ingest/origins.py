"""Which camera-days have the rows of a folder: read from the catalog if the memory is lost.

Without it, rows whose times have changed meanwhile, because of another zone or a correction of
a clock, would be added to their new camera-day and stay in the old one as well.
"""

from __future__ import annotations

from collections import defaultdict

import pyarrow as pa

from pano_analytics.errors import LibraryError
from pano_analytics.ingest.walk import WalkUnit
from pano_analytics.store.catalog import CameraDay, Catalog


class Origins:
    """The camera-days of all rows in a catalog, by the folders of their files."""

    def __init__(self, catalog: Catalog) -> None:
        self._in: dict[str, set[CameraDay]] = defaultdict(set)
        self._below: dict[str, set[CameraDay]] = defaultdict(set)
        for day, part in catalog.manifest().media.items():
            try:
                paths = catalog.column(part, "path").to_pylist()
            except (OSError, LibraryError, pa.ArrowException):
                continue  # `pano check` reports it
            for folder in {path.rpartition("/")[0] for path in paths}:
                self._add(folder, day)

    def _add(self, folder: str, day: CameraDay) -> None:
        self._in[folder].add(day)
        while folder:
            self._below[folder].add(day)
            folder = folder.rpartition("/")[0]

    def of(self, unit: WalkUnit) -> tuple[CameraDay, ...]:
        """Return the camera-days that have rows of a unit."""
        found = self._in if unit.day is None else self._below
        return tuple(sorted(found.get(unit.path, ())))
