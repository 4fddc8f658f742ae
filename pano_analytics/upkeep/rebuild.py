"""Rebuild the catalog from upload tree and journal, beside the old one, and swap it in atomically.

The steps, after each of which the process may be killed: note in the journal what only the old
catalog knows; ingest the whole tree into a separate library below `rebuild/`; move its parts and
thumbnails in, under names that no manifest contains yet; swap the manifest. Until then readers
see the complete old catalog.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.errors import LibraryError, UploadTreeError
from pano_analytics.ingest import gone, memory, obstacles, unread, walk
from pano_analytics.ingest.days import FACTS
from pano_analytics.ingest.run import ASIDE, IngestSummary, Progress, ingest
from pano_analytics.model.tables import TABLES, Table, media_table, of_uploads, schema, uploads_of
from pano_analytics.model.upload import GONE_STATES, Upload, locate, media_id, went_missing
from pano_analytics.settings import Settings
from pano_analytics.store import locators, own_tree, timekeeping
from pano_analytics.store.catalog import (
    FOLDERS,
    CameraDay,
    Catalog,
    Change,
    Manifest,
    Part,
    unlisted,
)
from pano_analytics.store.decisions import FOLDER as DECISIONS
from pano_analytics.store.home import NAME as HOME_PAGE
from pano_analytics.store.home import Home, places
from pano_analytics.store.journal import FOLDER as JOURNAL
from pano_analytics.store.journal import SEEN, Journal
from pano_analytics.store.locks import writing
from pano_analytics.store.removal import AT_WORK, GoneUpload, finish, gone_uploads
from pano_analytics.store.storage import Storage, stamp
from pano_analytics.workers.executors import MakeExecutor

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_PART_NAME = re.compile(r"/part-(\d+)-[\w-]+\.parquet$")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The result of a rebuild.

    `rows` counts all rows, `gone` those of files that no longer exist. `opened` maps the
    states of opened uploads to counts; `unreadable_parts` are parts of the old catalog that
    could not be read.
    """

    generation: int
    rows: int
    gone: int
    opened: dict[str, int]
    unreadable_parts: tuple[str, ...]
    seconds: float


def rebuild(
    settings: Settings,
    *,
    wait: bool = False,
    progress: Progress | None = None,
    make_executor: MakeExecutor | None = None,
) -> Rebuilt:
    """Rebuild the catalog of `settings.library`; readers see the old one until it is done.

    Opens every upload, and needs space for a second catalog. Raises LibraryBusy,
    UploadTreeError if the tree is missing, empty or not fully readable, and LibraryError if
    the journal belongs to another library. Nothing is changed then, except that facts may
    have been added to the journal.
    """
    storage = places(settings).storage
    began = time.monotonic()
    with writing(storage, wait):
        work = _Rebuild(settings, storage)
        work.check()
        # First finish a killed culling, so that its files are not catalogued.
        finish(storage, settings.uploads)
        work.note_gone()
        summary = work.ingest_aside(progress, make_executor)
        work.refuse_partial_tree(summary)
        work.merge_journal()
        work.carry_over()
        manifest = work.move_in()
        work.clean_up()
    rows, gone_rows = _counts(Catalog(storage), manifest)
    return Rebuilt(
        manifest.generation,
        rows,
        gone_rows,
        summary.opened,
        tuple(work.unreadable_parts),
        time.monotonic() - began,
    )


class _Rebuild:
    """One rebuild. The caller holds the lock."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self.settings, self.storage = settings, storage
        self.aside = storage.below(ASIDE)
        self.catalog, self.journal = Catalog(storage), Journal(storage)
        self.old = self.catalog.manifest_or_none()
        self.unreadable_parts: list[str] = []
        self.time = timekeeping.keep(storage)
        self.began = self.time.now()

    @property
    def root(self) -> Path:
        return places(self.settings).uploads

    def check(self) -> None:
        """Raise an error if there is no upload tree, or the journal is of another library."""
        if not self.root.is_dir() or not any(unit.may_hold for unit in walk.units(self.root)):
            raise UploadTreeError(
                f"{self.root}: expected uploads to rebuild the catalog from; there are none. "
                f"Is its disk mounted? Nothing was changed."
            )
        own_tree.require(self.storage, self.root)
        root_id = Home.settle(self.storage, self.settings).root_id
        first = self.journal.seen().slice(0, 1).to_pylist()
        if first and media_id(root_id, first[0]["path"]) != first[0]["media_id"]:
            raise LibraryError(
                f"{self.storage.address()}: expected {HOME_PAGE} and journal of the same library; "
                f"their identities differ. Restore {HOME_PAGE} with `pano restore`."
            )

    def note_gone(self) -> None:
        """Note in the journal rows whose files are gone, and uploads that it does not contain.

        After this, the old catalog is no longer needed.
        """
        self.journal.fold()
        seen = set(self.journal.seen()["media_id"].to_pylist())
        noted = self._noted_gone(_moment(_LONG_AGO))
        facts: list[pa.Table] = []
        gone_facts: list[GoneUpload] = []
        for uploads, belonging in self._old_days():
            facts.append(media_table(one for one in uploads if one.media_id not in seen))
            lost = [_as_gone(one) for one in uploads if self._is_to_note(one, noted)]
            gone_facts += gone_uploads(lost, belonging)
        facts = [one.select(FACTS) for one in facts]
        self.storage.sync(gone.note(self.journal, facts, gone_facts, self.time.now_us()))

    def _noted_gone(self, since: pa.Scalar) -> set[str]:
        files = self.journal.gone_files()
        notes = [self.journal.read_gone(name, ("media_id", "noted")) for name in files]
        return {one for table in notes for one in _since(table, since)["media_id"].to_pylist()}

    def _old_days(self) -> Iterator[tuple[list[Upload], dict[str, pa.Table]]]:
        for day, part in self._parts("media"):
            rows = self._read(part, "media")
            if rows is not None:
                kept = {table.name: self._old(table.name, day) for table in of_uploads()}
                belonging = {name: rows for name, rows in kept.items() if rows is not None}
                yield uploads_of(rows, *day), belonging

    def _parts(self, table: str) -> Iterator[tuple[CameraDay, Part]]:
        """Yield the old catalog's parts of a table; add unreadable ones to `unreadable_parts`."""
        for month in self.old.months.values():
            try:
                yield from self.old.content(month).get(table, {}).items()
            except (OSError, LibraryError):
                self.unreadable_parts.append(str(month.file))

    def _old(self, table: str, day: CameraDay) -> pa.Table | None:
        part = self.old.table(table).get(day)
        return None if part is None else self._read(part, table)

    def _read(self, part: Part, table: str) -> pa.Table | None:
        try:
            return self.catalog.read(part, table)
        except (OSError, LibraryError):
            self.unreadable_parts.append(part.path)
            return None

    def _is_to_note(self, upload: Upload, noted: set[str]) -> bool:
        if upload.is_gone:
            return upload.media_id not in noted
        try:
            os.lstat(locate(self.root, upload.path))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False  # inaccessible does not mean gone
        return False

    def ingest_aside(
        self, progress: Progress | None, make_executor: MakeExecutor | None
    ) -> IngestSummary:
        """Build the new catalog in a separate library with the same identity and journal."""
        self.storage.remove_tree(ASIDE)
        self.storage.replace(AT_WORK, stamp().encode())
        for page in (HOME_PAGE, timekeeping.PAGE):
            self.aside.replace(page, self.storage.read(page))
        for name in self.storage.files(JOURNAL):
            self.aside.share(name, self.storage)
        # For the corrections of clocks. Copied, because people may decide meanwhile.
        for name in self.storage.files(DECISIONS):
            self.aside.replace(name, self.storage.read(name))
        return ingest(
            self.settings,
            is_full=True,
            progress=progress,
            make_executor=make_executor,
            storage=self.aside,
        )

    def refuse_partial_tree(self, summary: IngestSummary) -> None:
        """Raise UploadTreeError if unreadable folders have known uploads, which would seem gone."""
        folders = tuple(f"{path}/" for path, _ in summary.unreadable)
        if not folders:
            return
        known = self.journal.seen()["path"].to_pylist()
        hidden = next((path for path in known if path.startswith(folders) or "./" in folders), None)
        if hidden is not None:
            raise UploadTreeError(
                f"{self.root}: expected a fully readable tree; {summary.unreadable[0][0]} could "
                f"not be read ({summary.unreadable[0][1]}), and it has known uploads, such as "
                f"{hidden}. Make it readable; the catalog is unchanged."
            )

    def merge_journal(self) -> None:
        """Add the new entries of the separate library's journal to the library's own."""
        separate = Journal(self.aside)
        since = _moment(self.began)
        facts = separate.seen()
        fresh = _without(_since(facts, since), self.journal.seen())
        noted = [self.journal.note_seen(fresh)] if fresh.num_rows else []
        own = self._noted_gone(since)
        for name in separate.gone_files():
            rows = _since(separate.read_gone(name), since)
            is_new = [media_id not in own for media_id in rows["media_id"].to_pylist()]
            rows = rows.filter(pa.array(is_new, pa.bool_()))
            noted += [self.journal.note_gone(rows)] if rows.num_rows else []
        self.storage.sync(noted)

    def carry_over(self) -> None:
        """Copy the tables that cannot be rebuilt from tree and journal from the old catalog.

        Rows of an upload go to the camera-day that the upload has now; rows that were already
        restored from the journal are not added twice.
        """
        new = Catalog(self.aside)
        change, days = new.begin(), cache(lambda: _days_of(new))
        for table in [one for one in TABLES.values() if not one.is_derived]:
            for day, part in self._parts(table.name):
                rows = self._read(part, table.name)
                if rows is None:
                    continue
                by_day = {day: rows} if not table.is_of_uploads else _by_camera_day(rows, days())
                for target, own in by_day.items():
                    _add(change, target, own, table)
        if change:
            change.commit()

    def move_in(self) -> Manifest:
        """Move parts and thumbnails in, and swap the manifest, the only step that readers see."""
        separate = Catalog(self.aside)
        new = separate.manifest()
        parts = [part.path for _, _, part in new.everything()]
        beside = [*self.aside.files(locators.FOLDER), *new.files()]
        needed = {*parts, *beside, *_packs_named(separate, new)}
        targets = {**{name: unlisted(name) for name in parts}, **{name: name for name in beside}}
        for name, target in targets.items():
            self.storage.take(name, self.aside, target)
        self.storage.remove(memory.NAME)
        generation, replaced = self._generation() + 1, self._replaced({*needed, *targets.values()})
        manifest = replace(new, generation=generation, retired=self.old.retired)
        return self.catalog.publish(manifest, parts, replaced, beside)

    def _generation(self) -> int:
        """Return the highest generation so far, even if the old manifest is not readable."""
        existing = (name for folder in FOLDERS for name in self.storage.files(folder))
        named = (_PART_NAME.search(name) for name in existing)
        return max([self.old.generation, *(int(match[1]) for match in named if match)])

    def _replaced(self, needed: set[str]) -> list[str]:
        """Return the files of the old catalog only; readers may still use them for a while."""
        known = {path for path, _ in self.old.retired}
        known |= {unlisted(path) for path in known}
        tops = (*FOLDERS, "manifests", locators.FOLDER)
        existing = [name for top in tops for name in self.storage.files(top)]
        return [name for name in existing if name not in needed and name not in known]

    def clean_up(self) -> None:
        """Keep the state that the separate ingest wrote, and remove its library."""
        for name in (unread.NAME, obstacles.NAME, memory.NAME):
            if self.aside.exists(name):
                self.storage.replace(name, self.aside.read(name))
        self.storage.remove_tree(ASIDE)
        self.storage.remove(AT_WORK)


def _as_gone(upload: Upload) -> Upload:
    return upload if upload.is_gone else went_missing(upload)


def _moment(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, SEEN.field("noted").type)


def _since(notes: pa.Table, since: pa.Scalar) -> pa.Table:
    return notes.filter(pc.greater_equal(notes["noted"], since))


_FACT = ("media_id", "size_bytes", "mtime", "arrived", "sha256")


def _without(facts: pa.Table, known: pa.Table) -> pa.Table:
    """Return the facts that are not in `known`, regardless of when they were noted."""
    numbered = _keys(facts).append_column("row", pa.array(range(facts.num_rows), pa.int64()))
    fresh = numbered.join(_keys(known), keys=list(_FACT), join_type="left anti", use_threads=False)
    return facts.take(fresh["row"])


def _keys(facts: pa.Table) -> pa.Table:
    # Nulls are never equal in a join, so an unknown hash becomes an empty string.
    return pa.table({name: _key(facts[name]) for name in _FACT})


def _key(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64())
    return pc.fill_null(column, "") if pa.types.is_string(column.type) else column


def _packs_named(catalog: Catalog, manifest: Manifest) -> set[str]:
    """Return the packs that rows and frames refer to, including those of gone files."""
    named: set[str] = set()
    for table in [name for name in TABLES if "thumb" in schema(name).names]:
        for part in manifest.table(table).values():
            named |= locators.files(catalog.read(part, table)["thumb"])
    return named


def _days_of(catalog: Catalog) -> dict[str, CameraDay]:
    """Return media_id -> camera-day of all uploads."""
    return {
        media_id: day
        for day, part in catalog.manifest().media.items()
        for media_id in catalog.read(part)["media_id"].to_pylist()
    }


def _by_camera_day(rows: pa.Table, days: Mapping[str, CameraDay]) -> dict[CameraDay, pa.Table]:
    """Return rows that belong to uploads, by the camera-day of their upload."""
    at = [days.get(media_id) for media_id in rows["media_id"].to_pylist()]
    camera_days = sorted({day for day in at if day is not None})
    return {
        key: rows.filter(pa.array([day == key for day in at], pa.bool_())) for key in camera_days
    }


def _add(change: Change, day: CameraDay, rows: pa.Table, table: Table) -> None:
    existing = change.read(day, table.name)
    if existing is not None:
        known = {tuple(row.values()) for row in existing.select(table.key).to_pylist()}
        keys = [tuple(row.values()) for row in rows.select(table.key).to_pylist()]
        rows = rows.filter(pa.array([key not in known for key in keys], pa.bool_()))
        rows = pa.concat_tables([existing, rows])
    change.write(day, rows, table.name)


def _counts(catalog: Catalog, manifest: Manifest) -> tuple[int, int]:
    """Return the number of rows, and of those whose file is gone."""
    states = [catalog.read(part)["state"] for part in manifest.media.values()]
    return (
        sum(map(len, states)),
        sum(pc.sum(pc.is_in(one, pa.array(GONE_STATES))).as_py() or 0 for one in states),
    )
