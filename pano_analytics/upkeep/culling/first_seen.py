"""When uploads were first seen, from the journal: the only time that no clock or name can fake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.model.times import epoch_us
from pano_analytics.store.journal import Journal
from pano_analytics.upkeep.culling.expired import ExpiredFile

# An upload in its current form: media_id, size and modification time (µs).
Key = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class FirstSeen:
    """When some uploads were first seen, in the library's time (µs)."""

    first: Mapping[Key, int]

    @classmethod
    def of(cls, journal: Journal, media_ids: Iterable[str | None]) -> FirstSeen:
        """Return when these uploads were first seen in their current form.

        An upload that was replaced, or was gone and is back, counts as new.
        """
        wanted = pa.array(sorted({one for one in media_ids if one is not None}), pa.string())
        gone = _last_gone(journal, wanted)
        facts = journal.seen().select(["media_id", "size_bytes", "mtime", "noted"])
        first: dict[Key, int] = {}
        for fact in facts.filter(pc.is_in(facts["media_id"], wanted)).to_pylist():
            key = (fact["media_id"], fact["size_bytes"], _us(fact["mtime"]))
            noted = _us(fact["noted"])
            if noted > gone.get(key[0], 0):
                first[key] = min(noted, first.get(key, noted))
        return cls(first)

    def first_us(self, one: ExpiredFile) -> int | None:
        """Return when an upload was first seen (µs), or None if the journal does not contain it."""
        return self.first.get((one.media_id or "", one.size_bytes, one.mtime_us))


def _last_gone(journal: Journal, wanted: pa.Array) -> dict[str, int]:
    last: dict[str, int] = {}
    for name in journal.gone_files():
        notes = journal.read_gone(name, ("media_id", "noted"))
        for note in notes.filter(pc.is_in(notes["media_id"], wanted)).to_pylist():
            last[note["media_id"]] = max(_us(note["noted"]), last.get(note["media_id"], 0))
    return last


def _us(moment: datetime) -> int:
    return epoch_us(moment.replace(tzinfo=None))
