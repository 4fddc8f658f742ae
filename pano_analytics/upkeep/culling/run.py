"""One culling: finish an interrupted one, plan, check limits, journal, delete, drop old rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NotRequired, TypedDict, cast

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.errors import AttentionNeeded, PanoError, UploadTreeError
from pano_analytics.ingest import memory
from pano_analytics.ingest.days import settle
from pano_analytics.settings import Settings
from pano_analytics.store import locators, own_tree, runs, timekeeping
from pano_analytics.store.catalog import MANIFEST, CameraDay, Catalog, Change, Part
from pano_analytics.store.decisions import Decisions
from pano_analytics.store.journal import Journal
from pano_analytics.store.locks import writing
from pano_analytics.store.removal import AT_WORK, Carried, carry_out, mark_at_work
from pano_analytics.store.runs import ENDED, INTERRUPTED
from pano_analytics.store.storage import Storage, StorageFull
from pano_analytics.store.timekeeping import Time
from pano_analytics.store.tree import Tree, adopted
from pano_analytics.upkeep.culling.expired import ExpiredFile
from pano_analytics.upkeep.culling.pins import Pins
from pano_analytics.upkeep.culling.places import clock, most_files, places, settings_of, storage_of
from pano_analytics.upkeep.culling.planning import CullPlan, Left, make, plan, plan_table
from pano_analytics.wording import many

if TYPE_CHECKING:
    from pano_analytics.library import Library

# How many files are journalled, marked and deleted at a time.
BATCH = 5000
# Culling must write to the journal before it deletes, even on a full disk. This space is
# reserved for that, and batches are small until there is more.
RESERVE = "state/reserve"
RESERVE_BYTES = 16 << 20
_SMALL_BATCH = 200
# A scheduled culling runs daily; uploads that became due since the last one are its normal work.
_ORDINARY = timedelta(days=2)

Progress = Callable[[str, int, int], None]


class TooMany(AttentionNeeded):
    """The plan exceeds what a run may delete without explicit permission."""


@dataclass
class Culled:
    """The result of a culling. `stayed` are planned files that were not deleted, with the reason.

    `looked_us` is when it planned, in the library's time (µs); None if it made no plan.
    """

    files: int = 0
    size_bytes: int = 0
    finished: int = 0
    rows_dropped: int = 0
    looked_us: int | None = None
    stayed: list[tuple[str, str]] = field(default_factory=list)

    def add(self, carried: Carried) -> None:
        self.files += carried.files
        self.size_bytes += carried.size_bytes
        self.stayed += carried.stayed


class CullRun(TypedDict):
    """How a culling ended, as the JSON file of `runs.CULL` has it.

    `started` and `finished` are ISO 8601 in UTC, `exit` is the exit code, and `error` the
    message if it failed. The others are the figures of `Culled`, and `stayed` is a count. Those
    that were added later are missing in files of earlier versions.
    """

    format: int
    pid: int
    started: str
    finished: str
    exit: int
    error: str | None
    files: int
    size_bytes: int
    rows_dropped: int
    stayed: int
    looked_us: NotRequired[int | None]


def cull(
    where: Settings | Library,
    *,
    up_to: int | None = None,
    wait: bool = False,
    now: datetime | None = None,
    progress: Progress | None = None,
) -> Culled:
    """Delete uploads past their retention time, and rows past theirs (`rows_days`).

    `now` (aware) replaces the time of this computer's clock. `up_to` limits the number of
    files, instead of the limits in the settings. Holds the library's lock. Raises ClockDoubt
    if the clock is implausible, TooMany if more than `up_to` files are due, WrongRoot if the
    upload root is not the adopted one, StrangeTree if most known uploads are not in it,
    JournalError if a file of the journal is torn, DecisionsError if it cannot be read what is
    pinned, LibraryBusy, UploadTreeError, QueryError or another LibraryError; nothing is deleted
    then. If a camera exceeds a limit, nothing of that camera is deleted, and TooMany is raised
    at the end. The plan of a killed culling is finished first, regardless of limits. What is
    pinned while it runs is kept, too, unless its batch is already being deleted.
    """
    settings, now = settings_of(where), clock(now)
    up_to = most_files(up_to)
    root, storage = places(settings)
    with writing(storage, wait), _recorded(storage) as done, Tree.opened(root) as tree:
        tree.require(adopted(storage))
        own_tree.require(storage, root)
        Journal(storage).require()
        if _free(storage) < RESERVE_BYTES:
            storage.remove(RESERVE)
        time = timekeeping.keep(storage, now)
        time.require()
        for name in (runs.CULL, AT_WORK, MANIFEST, RESERVE, timekeeping.PAGE):
            storage.drop_leftovers(name)
        # A killed run left this mark, so that the next ingest sweeps: keep it.
        was_at_work = storage.exists(AT_WORK)
        journal = Journal(storage)
        decisions = Decisions(storage)
        pins = Pins.of(settings, decisions)
        for name in journal.open_plans():
            carried = carry_out(storage, journal, tree, name, pins.protected)
            done.finished += carried.files
            done.add(carried)
        found = make(settings, storage, tree, time, pins)
        _refuse_too_many(found, up_to)
        held = {} if up_to is not None else held_back(settings, found, last_run(storage))
        due = [one for one in found.due if one.camera not in held]
        _forget_folders(storage, due)
        waiting = _oldest_first(due)
        while waiting:
            if not pins.are_current(decisions):
                pins = Pins.of(settings, decisions)
                still = {one.path for one in make(settings, storage, tree, time, pins).due}
                waiting = [one for one in waiting if one.path in still]
            batch, waiting = _split(waiting, storage)
            mark_at_work(storage)
            name = journal.note_plan(plan_table(batch, settings, time.wall))
            storage.sync([name])
            done.add(carry_out(storage, journal, tree, name, pins.protected))
            if progress is not None:
                progress("deleting", done.files - done.finished, len(due))
        kept = Pins.of(settings, decisions).protected
        done.rows_dropped = drop_rows(storage, journal, settings.cull.rows_days, time, kept)
        journal.fold()
        if not was_at_work and storage.exists(AT_WORK):
            storage.remove(AT_WORK)
        keep_reserve(storage)
        done.looked_us = time.at_us
        _raise_if_held(found, held, done)
    return done


def _refuse_too_many(found: CullPlan, up_to: int | None) -> None:
    count = len(found.due)
    if up_to is not None and count > up_to:
        raise TooMany(
            f"expected at most {many(up_to, 'file')}, as --up-to says; this run would "
            f"delete {many(count, 'file')} ({_gb(found.size_bytes)}). Nothing was "
            f"deleted. {_advice(count)}"
        )


def _raise_if_held(found: CullPlan, held: Mapping[str, str], done: Culled) -> None:
    if not held:
        return
    count = sum(one.camera in held for one in found.due)
    reasons = "; ".join(f"{camera}: expected {why}" for camera, why in sorted(held.items()))
    others = ""
    if done.files:
        were = "was" if done.files == 1 else "were"
        others = f"{many(done.files, 'file')} of other cameras {were} deleted."
    nothing = "of it" if done.files else ""
    raise TooMany(
        f"{reasons}. Nothing {nothing + ' ' if nothing else ''}was deleted. "
        f"{others + ' ' if others else ''}{_advice(count)}"
    )


def _advice(count: int) -> str:
    return (
        f"Check the plan that `pano cull` shows; if it is right, run "
        f"`pano cull --delete --up-to {count}`."
    )


def _forget_folders(storage: Storage, due: Iterable[ExpiredFile]) -> None:
    """Make the next ingest read the folders of deleted files, even if they look unchanged.

    Otherwise a file that was uploaded again with the same name, size and time would go
    unnoticed.
    """
    known = memory.load(storage)
    above = {
        str(folder) for one in due for folder in PurePosixPath(one.path).parents if folder.name
    } | {""}
    units = {
        path: replace(seen, fingerprint="") if path in above else seen
        for path, seen in known.units.items()
    }
    if units != known.units:
        memory.save(storage, replace(known, units=units))


def held_back(settings: Settings, found: CullPlan, before: CullRun | None = None) -> dict[str, str]:
    """Return the cameras that exceed a limit, each with a sentence about it.

    Each camera is checked by itself, so that none can hold up another. Uploads that became
    due since the culling `before` (from `last_run`), if that was at most two days ago, are
    the normal work of a schedule and are not counted for `most_share`: so the last uploads
    of a quiet camera can be deleted.
    """
    held = {}
    for left in found.cameras:
        own = [one for one in found.due if one.camera == left.camera]
        reason = _exceeded(settings, left, own, _ordinary_since(found, before))
        if reason:
            held[left.camera] = reason
    return held


def _ordinary_since(found: CullPlan, before: CullRun | None) -> datetime:
    """Return the time of the previous culling, or now if that was too long ago."""
    looked_us = before.get("looked_us") if before else None
    if not isinstance(looked_us, int):
        return found.now
    ago = timedelta(microseconds=max(found.time_us - looked_us, 0))
    return found.now - ago if ago <= _ORDINARY else found.now


def _exceeded(settings: Settings, left: Left, own: list[ExpiredFile], since: datetime) -> str:
    caps, size_bytes = settings.cull, sum(one.size_bytes for one in own)
    uploads = [one for one in own if one.media_id is not None]
    there = len(uploads) + left.left_files
    longer = [one for one in uploads if one.is_over(since)]
    would = f"; it would lose {len(own):,} ({_gb(size_bytes)})"
    if len(own) > caps.most_files:
        return f"at most {many(caps.most_files, 'file')} per run (most_files){would}"
    if size_bytes > caps.most_gb * 1e9:
        return f"at most {caps.most_gb:g} GB per run (most_gb){would}"
    if len(longer) > caps.most_share * there:
        of_its = f"at most {caps.most_share:.0%} of its {many(there, 'upload')}"
        return f"{of_its} per run (most_share){would}"
    return ""


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e8 else f"{size_bytes / 1e6:.1f} MB"


def _oldest_first(due: Iterable[ExpiredFile]) -> list[ExpiredFile]:
    return sorted(due, key=lambda one: (one.date, one.camera, one.path))


def _split(
    waiting: list[ExpiredFile], storage: Storage
) -> tuple[list[ExpiredFile], list[ExpiredFile]]:
    """Return the next batch and the rest; a small batch while the disk is nearly full."""
    size = BATCH if _free(storage) > _PLENTY * RESERVE_BYTES else min(BATCH, _SMALL_BATCH)
    return waiting[:size], waiting[size:]


_PLENTY = 4


def _free(storage: Storage) -> int:
    return storage.space().free_bytes


def keep_reserve(storage: Storage) -> None:
    """Reserve space for culling on a full disk, if there is plenty now."""
    if storage.exists(RESERVE) or _free(storage) < _PLENTY * RESERVE_BYTES:
        return
    storage.put(RESERVE, lambda file: os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES))


# --- rows past their retention time ---------------------------------------------


def drop_rows(
    storage: Storage,
    journal: Journal,
    rows_days: int,
    time: Time,
    protected: frozenset[str] = frozenset(),
) -> int:
    """Drop rows that were culled `rows_days` ago, with their thumbnails; return how many.

    Those of the uploads `protected` (`media_id`s) stay. The journal is written first: if the
    run is killed, the next culling drops them. Packs of thumbnails that are no longer used are
    deleted after the readers' grace period.
    """
    catalog = Catalog(storage)
    change, cutoff = catalog.begin(), time.wall - timedelta(days=rows_days)
    dropped: list[str] = []
    packs: set[str] = set()
    for day, _ in catalog.manifest().days_where(lambda part: _may_have_old(part, cutoff)):
        dropped += _drop(change, day, cutoff, protected, packs)
    if dropped:
        mark_at_work(storage)
        storage.sync([journal.forget(dropped, time.now())])
        change.retire(_unused(change, packs))
        change.commit()
    return len(dropped)


def _may_have_old(part: Part, cutoff: datetime) -> bool:
    # Uploads are culled after their recording time; if that is wrong, the row is found later.
    is_young = part.first_us is not None and part.first_us > cutoff.timestamp() * 1_000_000
    return part.held != part.rows and not is_young


def _drop(
    change: Change,
    day: CameraDay,
    cutoff: datetime,
    protected: frozenset[str],
    packs: set[str],
) -> list[str]:
    """Remove the old culled rows of a camera-day in `change`; add their packs to `packs`."""
    table = change.read(day)
    assert table is not None, "the manifest names its part"
    last = pa.scalar(cutoff, table.schema.field("culled_at").type)
    is_old = pc.and_(pc.equal(table["state"], "culled"), pc.less_equal(table["culled_at"], last))
    is_pinned = pc.is_in(table["media_id"], pa.array(list(protected), pa.string()))
    is_old = pc.and_(pc.fill_null(is_old, False), pc.invert(is_pinned))
    old = table.filter(is_old)
    if not old.num_rows:
        return []
    frames = change.read(day, "frames")
    if frames is not None:
        is_of_old = pc.is_in(frames["media_id"], old["media_id"])
        packs |= locators.files(frames.filter(is_of_old)["thumb"])
    change.drop_belonging(old["media_id"], day)
    settle(change, day, table.filter(pc.invert(is_old)))
    return list(old["media_id"].to_pylist())


def _unused(change: Change, packs: set[str]) -> set[str]:
    """Return the `packs` that no frame of any day refers to; rows may have moved between days."""
    left = set(packs)
    for day in sorted(change.days("frames")):
        if not left:
            break
        frames = change.read(day, "frames")
        left -= set() if frames is None else locators.files(frames["thumb"])
    return left


# --- the last run ---------------------------------------------------------------


@contextmanager
def _recorded(storage: Storage) -> Iterator[Culled]:
    """Record in the library how the culling in the block ended."""
    done = Culled()
    with runs.noted(storage, runs.CULL, lambda: _figures(done)):
        yield done


def _figures(done: Culled) -> dict[str, object]:
    return {
        "files": done.files,
        "size_bytes": done.size_bytes,
        "rows_dropped": done.rows_dropped,
        "stayed": len(done.stayed),
        "looked_us": done.looked_us,
    }


def last_run(where: Storage | Settings | Library) -> CullRun | None:
    """Return how the last culling of a library ended, or None if there was none."""
    return cast("CullRun | None", runs.read(storage_of(where), runs.CULL))


def is_stopped(where: Settings | Library) -> bool:
    """Return whether the cause that stopped the last culling persists. Writes nothing.

    Checks the tree and its marker, the clock, the limits and the disk's free space again; any
    other error counts until a culling succeeds.
    """
    settings = settings_of(where)
    _, storage = places(settings)
    before = last_run(storage)
    code = 0 if before is None else before["exit"]
    if code == StorageFull.exit_code:
        return _free(storage) < RESERVE_BYTES
    if code not in (UploadTreeError.exit_code, TooMany.exit_code):
        return code not in (0, ENDED, INTERRUPTED)
    try:
        found = plan(settings)
    except PanoError:
        return True
    return found.trouble is not None or bool(held_back(settings, found, before))
