"""Adopting an upload root, once: a marker in it, and its identity in the library."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.ingest.run import LOCK
from pano_analytics.model.upload import GONE_STATES
from pano_analytics.settings import Settings
from pano_analytics.store.catalog import Catalog
from pano_analytics.store.storage import Storage
from pano_analytics.store.tree import MARKER, Doomed, Tree, WrongRoot, adopted
from pano_analytics.store.tree import adopt as note
from pano_analytics.upkeep.culling.places import places, settings_of
from pano_analytics.upkeep.culling.run import keep_reserve

if TYPE_CHECKING:
    from pano_analytics.library import Library

# So many of the newest uploads are looked for: a mount point that is bare, or
# another disk, has none of them.
_LOOKED_FOR = 1000


def adopt(where: Settings | Library) -> bool:
    """Mark the upload root as the one that this library may cull.

    Returns False where that was done before. Raises WrongRoot where the root
    carries another library's marker, or holds none of the newest uploads that
    the library knows; UploadTreeError where there is no root; LibraryError.
    """
    root, storage = places(settings_of(where))
    with storage.lock(LOCK, wait=True), Tree.opened(root) as tree:
        known, found = adopted(storage), tree.identity()
        if known is not None and known == found:
            return False
        if found is not None:
            raise WrongRoot(
                f"{root}: expected an upload root without a marker, or with that of this library; "
                f"{MARKER} belongs to another one. If that library no longer exists, delete "
                f"{MARKER} yourself and try again."
            )
        _refuse_strange(storage, tree)
        identity = known or secrets.token_hex(16)
        # The library first: a marker that no library knows could never be taken back.
        note(storage, identity)
        tree.mark(identity)
        keep_reserve(storage)
    return True


def _refuse_strange(storage: Storage, tree: Tree) -> None:
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
        there = table.filter(pc.invert(pc.is_in(table["state"], pa.array(GONE_STATES))))
        columns = (there["path"], there["size_bytes"], there["mtime"].cast(pa.int64()))
        files += [Doomed(*one) for one in zip(*(c.to_pylist() for c in columns), strict=True)]
        if len(files) >= _LOOKED_FOR:
            break
    return files[-_LOOKED_FOR:]
