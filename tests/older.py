"""Libraries as earlier versions of pano left them."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pano_analytics.store.catalog import MANIFEST, Catalog
from pano_analytics.store.months import PART_FIELDS
from pano_analytics.store.storage import Storage


def with_one_manifest(storage: Storage, without: Iterable[str] = ()) -> None:
    """Give a library one manifest file for all its parts, without the last fields of each."""
    manifest = Catalog(storage).manifest()
    kept = [name for name in PART_FIELDS if name not in set(without)]
    assert kept == list(PART_FIELDS[: len(kept)]), "they were only ever added at the end"
    tables: dict[str, Any] = {"media": defaultdict(dict), "frames": defaultdict(dict)}
    for table, day, part in manifest.everything():
        values = [getattr(part, name) for name in kept]
        tables[table][day.camera][day.date.isoformat()] = values
    document = {
        "format": 1,
        "generation": manifest.generation,
        "fields": kept,
        **tables,
        "retired": [entry for entry in manifest.retired if not entry[0].startswith("manifests/")],
    }
    storage.replace(MANIFEST, json.dumps(document).encode())
    shutil.rmtree(storage.path("manifests"))
