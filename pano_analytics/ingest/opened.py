"""Storing the results of opening files: rows, frames and thumbnail packs of one camera-day."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.errors import PartError
from pano_analytics.ingest.days import facts_of, settle
from pano_analytics.ingest.examine import Outcome, Task
from pano_analytics.model.tables import media_table, replaced, schema, uploads_of
from pano_analytics.model.upload import (
    NOT_WHOLE_STATES,
    Frame,
    Inspection,
    Upload,
    changed_meanwhile,
    opened,
    still_arriving,
    to_open,
    went_missing,
)
from pano_analytics.store import locators
from pano_analytics.store.catalog import CameraDay, Catalog, Change
from pano_analytics.store.locators import Locator
from pano_analytics.store.storage import Storage, stamp

# A file with a time this far from now is not still being uploaded: it was copied here later.
_UNDER_WAY = timedelta(hours=36)
_CLOCK_BEGINS = datetime(2005, 1, 1, tzinfo=UTC)


def mark_unread(change: Change) -> None:
    """Mark every file that could not be read completely as unread.

    The version that opened it may have supported fewer formats.
    """
    for day in sorted(change.days()):
        known = change.read(day)
        if known is None:
            continue
        again = known.filter(pc.is_in(known["state"], pa.array(NOT_WHOLE_STATES)))
        if again.num_rows:
            settle(change, day, replaced(known, map(to_open, uploads_of(again, *day))))


def tasks(uploads: Iterable[Upload]) -> Iterator[tuple[str, Task]]:
    """Yield the media_id and task of each upload of a camera-day that is still to be opened."""
    for upload in uploads:
        if upload.is_waiting:
            yield upload.media_id, Task(upload.path, upload.kind, _expected_s(upload))


def _expected_s(upload: Upload) -> float | None:
    if upload.kind != "clip" or upload.end is None or upload.duration_s is not None:
        return None
    return (upload.end - upload.start).total_seconds()


def apply(
    change: Change,
    storage: Storage,
    day: CameraDay,
    outcomes: Mapping[str, Outcome],
    quiet_s: float,
) -> tuple[pa.Table, list[str]]:
    """Put the outcomes for some files of a camera-day, by media_id, into `change`.

    Return the facts for the journal and the name of the pack written, not yet synced.
    Outcomes without news change nothing.
    """
    known, pack = change.read(day), Pack(day)
    if known is None:
        return facts_of([]), []
    tried = known.filter(pc.is_in(known["media_id"], pa.array(list(outcomes), pa.string())))
    updates = [
        (was, _updated(was, outcomes[was.media_id], pack, quiet_s))
        for was in uploads_of(tried, *day)
    ]
    new = [upload for was, upload in updates if upload != was]
    if new:
        _write_frames(change, day, [upload.media_id for upload in new], pack)
        settle(change, day, replaced(known, new))
    inspected = [upload for upload in new if outcomes[upload.media_id].inspection]
    return facts_of([media_table(inspected)]), pack.write(storage)


def sweep(catalog: Catalog, since: str) -> None:
    """Remove the packs of a killed run (stamped `since` or later) that no frame names.

    Frames of any day may name a pack, because a row that moves to another day takes its
    frames along. If a part cannot be read, all packs are kept.
    """
    left = {name for name in catalog.storage.files(locators.FOLDER) if _is_pack(name, since)}
    folders = {name.rpartition("/")[0] for name in left}
    frames = catalog.manifest().table("frames")
    try:
        # Most packs are named by the frames of their own day: read these first.
        for day in sorted(frames, key=lambda day: locators.folder(day) not in folders):
            if not left:
                return
            left -= locators.files(catalog.read(frames[day], "frames")["thumb"])
    except (PartError, FileNotFoundError):
        return
    for name in left:
        catalog.storage.remove(name)


def _is_pack(name: str, since: str) -> bool:
    pack = name.rpartition("/")[2]
    return pack.endswith(".pack") and bool(since) and pack >= since


class Pack:
    """The thumbnails that one run stores for one camera-day, concatenated in one file."""

    def __init__(self, day: CameraDay) -> None:
        self.file = f"{locators.folder(day)}/{stamp()}-{secrets.token_hex(2)}.pack"
        self.frames: list[dict[str, object]] = []
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, media_id: str, frame: Frame, version: int) -> str:
        """Add one picture of a file and return the locator of its thumbnail."""
        locator = locators.make(Locator(self.file, self._size, len(frame.thumbnail)))
        self._pieces.append(frame.thumbnail)
        self._size += len(frame.thumbnail)
        self.frames.append(
            {
                "media_id": media_id,
                "offset_s": frame.offset_s,
                "thumb": locator,
                "grid": frame.grid,
                "grid_version": version,
            }
        )
        return locator

    def write(self, storage: Storage) -> list[str]:
        """Write the pack, if it is not empty; return its name in a list."""
        if not self._pieces:
            return []
        storage.put(self.file, lambda file: file.writelines(self._pieces))
        return [self.file]


def _write_frames(change: Change, day: CameraDay, media_ids: list[str], pack: Pack) -> None:
    new = pa.Table.from_pylist(pack.frames, schema=schema("frames"))
    known = change.read(day, "frames")
    if known is not None:
        kept = known.filter(
            pc.invert(pc.is_in(known["media_id"], pa.array(media_ids, pa.string())))
        )
        new = pa.concat_tables([kept, new])
    if new.num_rows or known is not None:
        change.write(day, new, "frames")


def _updated(was: Upload, outcome: Outcome, pack: Pack, quiet_s: float) -> Upload:
    inspection = outcome.inspection
    if inspection is None:
        return _without_inspection(was, outcome)
    may_grow = _may_grow(was, inspection, quiet_s)
    now = still_arriving(was, inspection, quiet_s) if may_grow else opened(was, inspection)
    if (now.state, now.sha256) == (was.state, was.sha256):
        return was  # still pending, with the same content
    kept = _keep(was.media_id, inspection.frames, pack)
    return replace(now, thumb=kept[most_informative(inspection.frames)] if kept else None)


def _without_inspection(was: Upload, outcome: Outcome) -> Upload:
    if outcome.trouble == "changed":
        return changed_meanwhile(was)
    return went_missing(was) if outcome.trouble == "gone" else to_open(was, outcome.reason)


def _may_grow(was: Upload, inspection: Inspection, quiet_s: float) -> bool:
    """Return whether an incomplete file was written to recently, and may still grow."""
    age_s = (datetime.now(UTC) - was.mtime).total_seconds()
    return inspection.state != "complete" and age_s < quiet_s and _may_be_under_way(was.start)


def _may_be_under_way(start: datetime) -> bool:
    # A camera whose clock was reset writes names with old times.
    return start < _CLOCK_BEGINS or abs(datetime.now(UTC) - start) < _UNDER_WAY


def _keep(media_id: str, frames: Iterable[Frame], pack: Pack) -> list[str]:
    from pano_analytics.model.grid import GRID_VERSION

    return [pack.add(media_id, frame, GRID_VERSION) for frame in frames]


def most_informative(frames: Sequence[Frame]) -> int:
    """Return the index of the most informative picture, which differs most from all others.

    A clip begins and ends with an empty yard; a person in it makes the luminance grid of a
    key frame differ from the median grid of the clip.
    """
    if len(frames) < 3:
        return len(frames) // 2
    grids = np.array(
        [np.frombuffer(frame.grid, dtype=np.uint8) for frame in frames], dtype=np.int16
    )
    distance = np.abs(grids - np.median(grids, axis=0))
    # Only the tenth of the cells that differ most: a person is small, noise is everywhere.
    strongest = np.sort(distance, axis=1)[:, -max(1, grids.shape[1] // 10) :]
    return int(strongest.mean(axis=1).argmax())
