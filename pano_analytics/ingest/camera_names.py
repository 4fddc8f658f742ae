"""Renaming cameras that an older version, or other settings, spelled differently."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.ingest.days import settle
from pano_analytics.model.tables import TABLES
from pano_analytics.store.catalog import CameraDay, Change

Spell = Callable[[str], str]


def respell(change: Change, spell: Spell) -> None:
    """Move all rows of each camera whose name `spell` changes; none is lost.

    This includes rows whose file is gone: what was culled under the old spelling belongs to
    the camera as much as new uploads.
    """
    others = {camera for camera in change.cameras() if spell(camera) != camera}
    for day in sorted(change.days()) if others else ():
        if day.camera in others:
            _move(change, day, CameraDay(spell(day.camera), day.date))


def _move(change: Change, day: CameraDay, target: CameraDay) -> None:
    for table in _tables():
        rows = change.read(day, table)
        if rows is None:
            continue
        change.write(day, rows.slice(0, 0), table)
        together = _joined(change.read(target, table), rows)
        if table == "media":
            settle(change, target, together)
        else:
            change.write(target, together, table)


def _tables() -> list[str]:
    """Return the tables by camera-day, `media` last."""
    by_day = [table.name for table in TABLES.values() if table.is_by_day]
    return sorted(by_day, key=lambda name: name == "media")


def _joined(there: pa.Table | None, rows: pa.Table) -> pa.Table:
    if there is None:
        return rows
    is_new = pc.invert(pc.is_in(rows["media_id"], there["media_id"]))
    return pa.concat_tables([there, rows.filter(is_new)])
