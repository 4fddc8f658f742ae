"""Adopting an upload root, once: write a marker into it, and its identity into the library."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.model.upload import GONE_STATES
from pano_analytics.settings import Settings
from pano_analytics.store.catalog import Catalog
from pano_analytics.store.locks import writing
from pano_analytics.store.storage import Storage
from pano_analytics.store.tree import MARKER, Doomed, Tree, WrongRoot, adopted
from pano_analytics.store.tree import adopt as note
from pano_analytics.upkeep.culling.places import places, settings_of
from pano_analytics.upkeep.culling.run import keep_reserve

if TYPE_CHECKING:
    from pano_analytics.library import Library

# How many of the newest uploads to look for: a bare mount point or another disk has none.
_NEWEST = 1000


def adopt(where: Settings | Library) -> bool:
    """Mark the upload root as the one that this library may cull.

    Return False if it already was. Raises WrongRoot if the root has another library's
    marker, or contains none of the newest uploads that the library knows; UploadTreeError if
    there is no root; LibraryError.
    """
    root, storage = places(settings_of(where))
    with writing(storage, wait=True), Tree.opened(root) as tree:
        known, found = adopted(storage), tree.identity()
        if known is not None and known == found:
            return False
        if found is not None:
            raise WrongRoot(
                f"{root}: expected an upload root without a marker, or with that of this library; "
                f"{MARKER} belongs to another one. If that library no longer exists, delete "
                f"{MARKER} yourself and try again."
            )
        _check_is_own_tree(storage, tree)
        identity = known or secrets.token_hex(16)
        # The library first: a marker that no library knows would block every later adoption.
        note(storage, identity)
        tree.mark(identity)
        keep_reserve(storage)
    return True


def _check_is_own_tree(storage: Storage, tree: Tree) -> None:
    files = _newest(Catalog(storage))
    if files and not any(not found.is_absent for _, found in tree.look(files)):
        raise WrongRoot(
            f"{tree.root}: expected the uploads that the library knows; none of the newest "
            f"{len(files)} exists. Is the right disk mounted? Nothing was written."
        )


def _newest(catalog: Catalog) -> list[Doomed]:
    files: list[Doomed] = []
    for _, part in catalog.manifest().newest_first():
        if part.held == 0:
            continue
        table = catalog.read(part)
        present = table.filter(pc.invert(pc.is_in(table["state"], pa.array(GONE_STATES))))
        columns = (present["path"], present["size_bytes"], present["mtime"].cast(pa.int64()))
        files += [Doomed(*one) for one in zip(*(c.to_pylist() for c in columns), strict=True)]
        if len(files) >= _NEWEST:
            break
    return files[-_NEWEST:]
