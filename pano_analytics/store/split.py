"""Cameras created by a template with {camera}, and the table of the settings for each."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pano_analytics.settings import Settings
from pano_analytics.settings.owners import names_cameras
from pano_analytics.store.storage import Storage

NAME = "state/split.json"
FORMAT = 1


def load(storage: Storage) -> dict[str, str]:
    """Return camera -> the name of the table whose template reads its uploads."""
    document = storage.document(NAME, FORMAT) or {}
    return dict(document.get("parents", {}))


def add(storage: Storage, parents: Mapping[str, str]) -> None:
    """Store more cameras; called before their rows are committed.

    Culling must never see a row of such a camera without knowing its rules.
    """
    if not parents:
        return
    known = load(storage)
    if parents.items() - known.items():
        document = {"format": FORMAT, "parents": {**known, **parents}}
        storage.replace(NAME, json.dumps(document).encode())


def with_cameras(settings: Settings, storage: Storage) -> Settings:
    """Return settings in which these cameras have the rules of their tables."""
    parents = {
        child: parent
        for child, parent in load(storage).items()
        if (table := settings.table(parent)) is not None and names_cameras(table.layout)
    }
    return settings.with_split(parents)
