"""Which uploads share a tile of the gallery, and whose picture it shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pandas as pd

from pano_analytics.analysis.events import Rule, covers, event_ids

# Scheduled pictures that form no event share a tile when they follow each other this closely.
_BURST = Rule(timedelta(seconds=15), longest=None, scheduled=True)


def with_tiles(uploads: pd.DataFrame, rules: Mapping[str, Rule]) -> pd.DataFrame:
    """Return `uploads` with the columns `tile` (a `media_id`) and `is_cover`.

    The uploads of an event share a tile, which is the `event_id`. Of the scheduled uploads, a
    clip shares its tile with the snapshots taken during it, and the pictures of a burst share
    one. Only `uploads` count: those excluded by a filter are in no event here. `is_cover`
    marks the upload whose picture the tile shows.
    """
    tile = event_ids(uploads, rules)
    rest = uploads[tile.isna()]
    tile = tile.where(tile.notna(), _recordings(rest).reindex(uploads.index))
    return uploads.assign(tile=tile, is_cover=covers(uploads, tile))


def _recordings(rest: pd.DataFrame) -> pd.Series:
    """Return the tile of each upload that forms no event."""
    is_clip = rest["kind"] == "clip"
    clips = rest["media_id"].where(is_clip)
    holders = rest["clip_id"].where(rest["clip_id"].isin(clips.dropna()))
    alone = rest[~is_clip & holders.isna()]
    bursts = event_ids(alone, _BURST).reindex(rest.index)
    return clips.fillna(holders).fillna(bursts).fillna(rest["media_id"])
