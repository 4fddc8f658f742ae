"""What opening files told, put into rows, frames and thumbnail packs of one camera-day."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.errors import PartError
from pano_analytics.ingest.days import Row, facts_of, rows_of, settle, table_of
from pano_analytics.ingest.examine import Outcome, Task
from pano_analytics.model.tables import schema
from pano_analytics.model.upload import Frame, Inspection, decode_path
from pano_analytics.store import locators
from pano_analytics.store.catalog import Catalog, Change, Day, thumb_folder
from pano_analytics.store.locators import Locator
from pano_analytics.store.storage import Storage, stamp

WAITING = ("unread", "pending")
NOT_WHOLE = ("partial", "damaged", "unsupported")
# A name this far from now is no upload under way: it was copied here later.
_UNDER_WAY = timedelta(hours=36)
_CLOCK_BEGINS = datetime(2005, 1, 1, tzinfo=UTC)


def wait_again(change: Change) -> None:
    """Mark every file that could not be read whole as unread: older versions read fewer formats."""
    for day in sorted(change.days()):
        known = change.read(day)
        if known is not None and pc.any(pc.is_in(known["state"], pa.array(NOT_WHOLE))).as_py():
            settle(change, day, table_of(map(_waiting, rows_of(change, day))))


def _waiting(row: Row) -> Row:
    if row["state"] not in NOT_WHOLE:
        return row
    return {**row, "state": "unread", "state_reason": None}


def tasks(root: Path, rows: Iterable[Row]) -> Iterator[tuple[str, Task]]:
    """Yield what to open, by media_id: the rows of a camera-day that wait for it."""
    for row in rows:
        if row["state"] in WAITING:
            path = f"{root}/{os.fsdecode(decode_path(row['path']))}"
            task = Task(path, row["kind"], _expected_s(row))
            yield row["media_id"], task


def _expected_s(row: Row) -> float | None:
    if row["kind"] != "clip" or row["end"] is None or row["duration_s"] is not None:
        return None
    return float((row["end"] - row["start"]).total_seconds())


def apply(
    change: Change, storage: Storage, day: Day, outcomes: Mapping[str, Outcome], quiet_s: float
) -> tuple[pa.Table, list[str]]:
    """Put what came of some files of a camera-day, by media_id, into `change`.

    Returns the facts for the journal and the pack written, not yet synced.
    Outcomes that tell nothing new change nothing.
    """
    rows = rows_of(change, day)
    pack = Pack(day)
    told = {
        row["media_id"]: (row, _updated(row, outcomes[row["media_id"]], pack, quiet_s))
        for row in rows
        if row["media_id"] in outcomes
    }
    new = {media_id: row for media_id, (was, row) in told.items() if row != was}
    if new:
        _write_frames(change, day, list(new), pack)
        settle(change, day, table_of(new.get(row["media_id"], row) for row in rows))
    told_of = [row for media_id, row in new.items() if outcomes[media_id].inspection]
    return facts_of([table_of(told_of)]), pack.write(storage)


def sweep(catalog: Catalog, since: str) -> None:
    """Remove the packs of a killed run (stamped `since` or later) that no frame names.

    A row that moves to another day takes its frames along: those of any day may name a
    pack. Where a part cannot be read, all packs stay.
    """
    left = {name for name in catalog.storage.files(locators.FOLDER) if _is_pack(name, since)}
    folders = {name.rpartition("/")[0] for name in left}
    frames = catalog.manifest().table("frames")
    try:
        # The days that packs were made for name most of them.
        for day in sorted(frames, key=lambda day: _folder(day) not in folders):
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


def _folder(day: Day) -> str:
    return f"{locators.FOLDER}/{thumb_folder(day)}"


class Pack:
    """The thumbnails that one run keeps of one camera-day, one after another in one file."""

    def __init__(self, day: Day) -> None:
        self.file = f"{_folder(day)}/{stamp()}-{secrets.token_hex(2)}.pack"
        self.frames: list[dict[str, object]] = []
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, media_id: str, frame: Frame, version: int) -> str:
        """Take in one picture kept of a file and return its thumbnail's locator."""
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
        """Write the pack, if it holds anything; return its name."""
        if not self._pieces:
            return []
        storage.put(self.file, lambda file: file.writelines(self._pieces))
        return [self.file]


def _write_frames(change: Change, day: Day, media_ids: list[str], pack: Pack) -> None:
    new = pa.Table.from_pylist(pack.frames, schema=schema("frames"))
    known = change.read(day, "frames")
    if known is not None:
        kept = known.filter(
            pc.invert(pc.is_in(known["media_id"], pa.array(media_ids, pa.string())))
        )
        new = pa.concat_tables([kept, new])
    if new.num_rows or known is not None:
        change.write(day, new, "frames")


def _updated(row: Row, outcome: Outcome, pack: Pack, quiet_s: float) -> Row:
    found = outcome.inspection
    if found is None:
        return {**row, **_without_inspection(outcome)}
    state, reason = _state(row, found, quiet_s)
    if (state, found.sha256) == (row["state"], row["sha256"]):
        return row  # still pending, and not a byte has come
    kept = _keep(row["media_id"], found.frames, pack)
    end = row["end"]
    if end is None and row["kind"] == "clip" and found.duration_s is not None:
        end = row["start"] + timedelta(seconds=found.duration_s)
    return {
        **row,
        "end": end,
        "state": state,
        "state_reason": reason,
        "width": found.width,
        "height": found.height,
        "fps": found.fps,
        "duration_s": found.duration_s,
        "codec": found.codec,
        "camera_clock": found.camera_clock,
        "sha256": found.sha256,
        "thumb": kept[telling(found.frames)] if kept else None,
    }


_TROUBLE = {
    "changed": ("pending", "it changed while it was read"),
    "gone": ("missing", "no longer in the upload tree"),
}


def _without_inspection(outcome: Outcome) -> Row:
    state, reason = _TROUBLE.get(outcome.trouble or "", ("unread", outcome.reason))
    return {"state": state, "state_reason": reason}


def _state(row: Row, found: Inspection, quiet_s: float) -> tuple[str, str | None]:
    """Return the state: what is not whole and was written to just now may still grow."""
    if found.state == "complete":
        return found.state, found.state_reason
    age_s = (datetime.now(UTC) - row["mtime"]).total_seconds()
    if age_s < quiet_s and _may_be_under_way(row["start"]):
        return "pending", f"not complete yet, and written to less than {quiet_s:g} s ago"
    return found.state, found.state_reason


def _may_be_under_way(start: datetime) -> bool:
    # A camera whose clock was reset writes names of long ago.
    return start < _CLOCK_BEGINS or abs(datetime.now(UTC) - start) < _UNDER_WAY


def _keep(media_id: str, frames: Iterable[Frame], pack: Pack) -> list[str]:
    from pano_analytics.model.grid import GRID_VERSION

    return [pack.add(media_id, frame, GRID_VERSION) for frame in frames]


def telling(frames: Sequence[Frame]) -> int:
    """Return the index of the picture that tells most: farthest from what all show.

    A clip begins and ends with the empty yard; whoever crosses it makes the
    luminance grid of a key frame differ from the median grid of the clip.
    """
    if len(frames) < 3:
        return len(frames) // 2
    grids = np.array(
        [np.frombuffer(frame.grid, dtype=np.uint8) for frame in frames], dtype=np.int16
    )
    distance = np.abs(grids - np.median(grids, axis=0))
    # The tenth of the cells that differ most: a figure is small, noise is everywhere.
    strongest = np.sort(distance, axis=1)[:, -max(1, grids.shape[1] // 10) :]
    return int(strongest.mean(axis=1).argmax())
