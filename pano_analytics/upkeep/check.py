"""Find disagreements between upload tree, catalog, journal and thumbnails. Writes nothing.

Each depth includes the cheaper ones: presence (names, parts, locators), size (and modification
time), decode (opens every upload and decodes every thumbnail), hash (compares the bytes with the
catalogued hash).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, partial
from io import BytesIO
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.errors import (
    DecisionsError,
    JournalError,
    LibraryError,
    MediaError,
    NoProcess,
    QueryError,
    UploadTreeError,
)
from pano_analytics.ingest import examine, walk
from pano_analytics.ingest.examine import Outcome, Task
from pano_analytics.ingest.listing import NameReader, now_us
from pano_analytics.library import Library
from pano_analytics.model import alike, arguments
from pano_analytics.model.corrections import ClockCorrection
from pano_analytics.model.tables import TABLES, of_uploads, schema, uploads_of
from pano_analytics.model.times import from_epoch_us, instant, sane
from pano_analytics.model.upload import Upload, encode_path, locate, resolved
from pano_analytics.receive import records
from pano_analytics.store import locators, runs, timekeeping
from pano_analytics.store.catalog import WHOLE, CameraDay, Part
from pano_analytics.store.decisions import Decisions
from pano_analytics.store.home import Home
from pano_analytics.store.journal import Journal
from pano_analytics.store.locks import is_written
from pano_analytics.store.removal import AT_WORK
from pano_analytics.wording import many
from pano_analytics.workers import crew
from pano_analytics.workers.executors import MakeExecutor

DEPTHS = ("presence", "size", "decode", "hash")

_INGEST = "run `pano ingest --full`"
_REBUILD = "run `pano rebuild`"
_RESTORE = "restore the journal with `pano restore`, or recreate it with `pano rebuild`"
_DISK = "check the disk; restore the file from a copy of the uploads if there is one"

# Kind of disagreement -> the depth that finds it, and what to do.
WHAT: dict[str, tuple[str, str]] = {
    "part_missing": ("presence", _REBUILD),
    "part_unreadable": ("presence", _REBUILD),
    "part_rows": ("presence", _REBUILD),
    "row_twice": ("presence", _REBUILD),
    "file_missing": ("presence", _INGEST),
    "file_back": ("presence", _INGEST),
    "file_unreadable": (
        "presence",
        f"let pano read it (owner, mode), then {_INGEST}",
    ),
    "not_in_catalog": ("presence", _INGEST),
    "thumb_missing": ("presence", _REBUILD),
    "frame_missing": ("presence", _REBUILD),
    "frame_orphan": ("presence", _REBUILD),
    "row_orphan": ("presence", _REBUILD),
    "journal_torn": (
        "presence",
        "run `pano restore` with a backup that has it; without one, move it out of the library and "
        "run `pano rebuild`",
    ),
    "decisions_damaged": (
        "presence",
        "run `pano restore` with a backup that has the file; a last line that is cut off was never "
        "confirmed to anybody, and the next `pano ingest` drops it",
    ),
    "journal_lacks": ("presence", _RESTORE),
    "journal_lacks_gone": ("presence", _RESTORE),
    "overwritten": (
        "presence",
        "the earlier content may exist in a copy of the uploads; let the cameras upload to `pano "
        "receive`, which keeps both versions",
    ),
    "overwrite_tried": (
        "presence",
        "nothing was lost: compare both uploads; if the camera itself does not reuse names, give "
        "it a new password with `pano camera password NAME`",
    ),
    "cull_unfinished": ("presence", "run `pano cull --delete`, which continues from there"),
    "run_unfinished": (
        "presence",
        "run `pano ingest`, which moves current parts into the tree and removes the others",
    ),
    "size_differs": ("size", _INGEST),
    "mtime_differs": ("size", _INGEST),
    "state_differs": ("decode", _DISK),
    "thumb_unreadable": ("decode", _REBUILD),
    "hash_differs": ("hash", _DISK),
    "journal_hash_differs": ("hash", _RESTORE),
}
COLUMNS = ("what", "camera", "date", "path", "media_id", "part", "expected", "found", "advice")

Progress = Callable[[str, int, int], None]


class Disagreement(NamedTuple):
    """One disagreement; fields that do not apply to its kind are None."""

    what: str
    camera: str | None = None
    date: date | None = None
    path: str | None = None
    media_id: str | None = None
    part: str | None = None
    expected: str | None = None
    found: str | None = None


def check(
    library: Library,
    depth: str = "presence",
    *,
    camera: str | Iterable[str] | None = None,
    start: Any = None,
    end: Any = None,
    progress: Progress | None = None,
    make_executor: MakeExecutor | None = None,
) -> pd.DataFrame:
    """Return the disagreements, one row each, with the columns of COLUMNS.

    `what` is one of WHAT; `expected` is what the catalog (or the journal) says, as text.
    `camera`, `start` and `end` select whole camera-days. Uploads that arrived or changed
    after the last run began are ignored. Nothing is written. Raises QueryError for invalid
    arguments, LibraryError if no manifest is readable, UploadTreeError if there is no upload
    tree, as with a disk that is not mounted.
    """
    if depth not in DEPTHS:
        raise QueryError(
            f"depth: expected one of {', '.join(DEPTHS)}; got {depth!r}."
            f"{alike.hint(str(depth), DEPTHS)}"
        )
    scope = _Scope.of(library, camera, start, end)
    work = _Check(library, scope, DEPTHS.index(depth), progress or _silent, make_executor)
    found = sorted(
        work.findings(), key=lambda one: (one.camera or "", str(one.date), one.path or "")
    )
    rows = [(*one, WHAT[one.what][1]) for one in found]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def _place(one: Disagreement) -> tuple[str, str, str]:
    return one.camera or "", str(one.date), one.path or ""


def _silent(what: str, done: int, total: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class _Scope:
    """The camera-days to check."""

    cameras: frozenset[str] | None
    start: datetime | None
    end: datetime | None

    @classmethod
    def of(cls, library: Library, camera: Any, start: Any, end: Any) -> _Scope:
        named = arguments.names(camera, "camera", library.camera_names())
        return cls(
            None if named is None else frozenset(named),
            instant(start, library.zone, "start"),
            instant(end, library.zone, "end"),
        )

    @property
    def is_ranged(self) -> bool:
        return self.start is not None or self.end is not None

    def has(self, camera: str, start_us: int) -> bool:
        """Return whether an upload in the tree belongs to a camera-day to check."""
        return (
            (self.cameras is None or camera in self.cameras)
            and (self.start is None or start_us >= _us(self.start))
            and (self.end is None or start_us < _us(self.end))
        )

    def may_have(self, day: date | None) -> bool:
        """Return whether a folder of that day may contain such uploads; zones shift by a day."""
        # A camera whose clock was never set puts today's uploads into folders of long ago.
        if day is None or day.year < 2005:
            return True
        is_late = self.start is not None and day < self.start.date() - timedelta(days=1)
        is_early = self.end is not None and day > self.end.date() + timedelta(days=1)
        return not (is_late or is_early)


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


class _Check:
    """One check and its caches. The manifest is read once, and the journal after it."""

    def __init__(
        self,
        library: Library,
        scope: _Scope,
        level: int,
        progress: Progress,
        make_executor: MakeExecutor | None,
    ) -> None:
        self.library, self.scope, self.level, self.progress = library, scope, level, progress
        workers = library.settings.ingest.workers or crew.cores()
        self.workers = workers
        self.make_executor = make_executor or partial(crew.pool, workers)
        self.manifest = library.catalog.manifest()
        self.days = self.manifest.select(
            "media",
            scope.cameras,
            None if scope.start is None else _us(scope.start),
            None if scope.end is None else _us(scope.end),
        )
        self.root = _root(library, bool(self.manifest.media))
        self.since_ns = _last_run_ns(library)
        self._ids: list[np.ndarray] = []
        self._unread: set[CameraDay] = set()
        self._packs: dict[str, int | None] = {}

    def findings(self) -> Iterator[Disagreement]:
        """Yield all disagreements, cheapest first."""
        opening = examine.crew(self.root, self.make_executor, self.workers)
        total, done = sum(part.rows for _, part in self.days), 0
        with opening as crew:
            for day, part in self.days:
                yield from self._day(day, part, crew.run)
                done += part.rows
                self.progress("checking rows", done, total)
        yield from self._whole_tables()
        yield from self._twice()
        yield from self._torn()
        yield from self._damaged_decisions()
        yield from self._unfinished()
        yield from self._left_behind()
        yield from self._tried()
        yield from self._tree()

    # --- one camera-day -----------------------------------------------------

    def _day(
        self, day: CameraDay, part: Part, run: Callable[[Iterable[Task]], Iterator[Outcome]]
    ) -> Iterator[Disagreement]:
        table = yield from self._opened(day, part, "media")
        if table is None:
            self._unread.add(day)
            return
        uploads = uploads_of(table, *day)
        self._ids.append(_numbers(table["media_id"]))
        is_sound = []
        for upload in uploads:
            is_sound.append((yield from self._file(day, upload)))  # noqa: PERF401 - it yields itself
        yield from self._journal(day, uploads)
        for belonging in of_uploads():
            yield from self._belonging(day, uploads, belonging.name)
        if self.level >= DEPTHS.index("decode"):
            yield from self._contents(day, list(compress(uploads, is_sound)), run)

    def _opened(
        self, day: CameraDay, part: Part, table: str
    ) -> Generator[Disagreement, None, pa.Table | None]:
        """Yield what is wrong with a part; return its rows, or None if they cannot be read."""
        camera, date = (None, None) if day == WHOLE else day
        finding = partial(Disagreement, camera=camera, date=date, part=part.path)
        try:
            found = self.library.catalog.read(part, table)
        except FileNotFoundError:
            if self._is_retired(part):
                return None
            yield finding("part_missing", expected=many(part.rows, "row"), found="no file")
            return None
        except (OSError, pa.ArrowException, LibraryError) as error:
            NoProcess.check(error)
            yield finding("part_unreadable", expected=many(part.rows, "row"), found=_line(error))
            return None
        if found.num_rows != part.rows:
            yield finding("part_rows", expected=str(part.rows), found=str(found.num_rows))
        return found

    def _whole_tables(self) -> Iterator[Disagreement]:
        """Yield what is wrong with tables that are not kept by camera and day."""
        for table in [name for name in TABLES if not TABLES[name].is_by_day]:
            for day, part in self.manifest.table(table).items():
                yield from self._opened(day, part, table)

    def _is_retired(self, part: Part) -> bool:
        # A check may take longer than the grace period for superseded parts.
        now = self.library.catalog.manifest()
        return part.path not in {current.path for _, _, current in now.everything()}

    def _file(self, day: CameraDay, upload: Upload) -> Generator[Disagreement, None, bool]:
        """Yield what is wrong with a row's file; return whether its content can be compared."""
        finding = _of(day, upload, expected=upload.state)
        is_gone = upload.is_gone
        try:
            found = os.lstat(locate(self.root, upload.path))
        except (FileNotFoundError, NotADirectoryError):
            if not is_gone:
                yield finding("file_missing", found="no file")
            return False
        except OSError as error:
            yield finding("file_unreadable", found=_line(error))
            return False
        if found.st_mtime_ns >= self.since_ns:
            return False
        if is_gone or not stat.S_ISREG(found.st_mode):
            yield from self._of_another_kind(finding, is_gone, found)
            return False
        differs = list(self._measures(day, upload, found))
        yield from differs
        return not differs

    def _of_another_kind(
        self, finding: Callable[..., Disagreement], is_gone: bool, found: os.stat_result
    ) -> Iterator[Disagreement]:
        is_file = stat.S_ISREG(found.st_mode)
        if is_gone and is_file:
            yield finding("file_back", found=f"{found.st_size} bytes")
        elif not is_gone:
            yield finding("file_missing", found="not a regular file")

    def _measures(
        self, day: CameraDay, upload: Upload, found: os.stat_result
    ) -> Iterator[Disagreement]:
        if self.level < DEPTHS.index("size"):
            return
        finding = _of(day, upload)
        if found.st_size != upload.size_bytes:
            yield finding("size_differs", expected=str(upload.size_bytes), found=str(found.st_size))
        mtime = from_epoch_us(sane(found.st_mtime_ns) // 1000)
        if mtime != upload.mtime:
            expected, actual = upload.mtime.isoformat(), mtime.isoformat()
            yield finding("mtime_differs", expected=expected, found=actual)

    # --- journal and thumbnails ---------------------------------------------

    @cached_property
    def _is_journal_torn(self) -> bool:
        # A torn journal is one finding; entries missing from the rest are not reported as well.
        try:
            Journal(self.library.storage).require()
            _ = self._seen, self._gone_ids, self._forgotten_ids
        except JournalError:
            return True
        return False

    def _torn(self) -> Iterator[Disagreement]:
        finding = partial(Disagreement, "journal_torn", expected="a readable file of the journal")
        torn = Journal(self.library.storage).torn()
        yield from (finding(part=one.name, found=one.why) for one in torn)
        if self._is_journal_torn and not torn:
            try:
                _ = self._seen, self._gone_ids, self._forgotten_ids
            except JournalError as error:
                yield finding(found=str(error).partition(": expected")[0])

    def _damaged_decisions(self) -> Iterator[Disagreement]:
        finding = partial(Disagreement, "decisions_damaged", expected="whole lines and files")
        damage = Decisions(self.library.storage).damage()
        yield from (finding(part=one.name, found=one.why) for one in damage)

    @cached_property
    def _seen(self) -> pa.Table:
        return Journal(self.library.storage).seen()

    @cached_property
    def _seen_ids(self) -> np.ndarray:
        return np.unique(_numbers(self._seen["media_id"]))

    @cached_property
    def _gone_ids(self) -> np.ndarray:
        journal = Journal(self.library.storage)
        notes = [journal.read_gone(name, ("media_id",)) for name in journal.gone_files()]
        ids = [_numbers(table["media_id"]) for table in notes]
        return np.unique(np.concatenate([np.array([], dtype=np.uint64), *ids]))

    @cached_property
    def _forgotten_ids(self) -> np.ndarray:
        return np.unique(_numbers(Journal(self.library.storage).forgotten()["media_id"]))

    def _is_to_drop(self, upload: Upload) -> bool:
        # A culling was killed after noting that the row is dropped: the next one drops it.
        return upload.state == "culled" and bool(
            np.isin(np.uint64(int(upload.media_id, 16)), self._forgotten_ids)
        )

    def _journal(self, day: CameraDay, uploads: list[Upload]) -> Iterator[Disagreement]:
        if self._is_journal_torn:
            return
        uploads = [upload for upload in uploads if not self._is_to_drop(upload)]
        for upload in uploads:
            if upload.media_id in self._overwritten and not upload.is_gone:
                before, after = self._overwritten[upload.media_id]
                yield _of(day, upload)("overwritten", expected=before, found=after)
        gone = [upload for upload in uploads if upload.is_gone]
        for what, checked, known in (
            ("journal_lacks", uploads, self._seen_ids),
            ("journal_lacks_gone", gone, self._gone_ids if gone else self._seen_ids),
        ):
            ids = np.array([int(upload.media_id, 16) for upload in checked], dtype=np.uint64)
            for index in np.flatnonzero(~np.isin(ids, known)):
                upload = checked[index]
                yield _of(day, upload)(what, expected=upload.state, found="no entry")

    def _belonging(
        self, day: CameraDay, uploads: list[Upload], table: str
    ) -> Iterator[Disagreement]:
        """Yield what is wrong with the rows of a table that belong to a camera-day's uploads."""
        part = self.manifest.table(table).get(day)
        found = (yield from self._opened(day, part, table)) if part else None
        kept = schema(table).empty_table() if found is None else found
        path = part.path if part else None
        by_id = {upload.media_id: upload for upload in uploads}
        orphan = "frame_orphan" if table == "frames" else "row_orphan"
        for one in kept["media_id"].to_pylist():
            if one not in by_id:
                finding = _about(day, one, None, part=path)
                yield finding(orphan, expected="its upload", found="no row")
        if table == "frames":
            yield from self._frames(day, by_id, kept, path)

    def _frames(
        self, day: CameraDay, by_id: Mapping[str, Upload], frames: pa.Table, part: str | None
    ) -> Iterator[Disagreement]:
        shown = set(frames["thumb"].to_pylist())
        for upload in by_id.values():
            if upload.thumb is not None and upload.thumb not in shown:
                yield _of(day, upload)("frame_missing", expected=upload.thumb, found="no frame")
        for frame in frames.select(["media_id", "thumb"]).to_pylist():
            owner = by_id.get(frame["media_id"])
            path = None if owner is None else owner.path
            finding = _about(day, frame["media_id"], path, part=part)
            yield from self._thumb(finding, frame["thumb"])

    def _thumb(self, finding: Callable[..., Disagreement], locator: str) -> Iterator[Disagreement]:
        file, offset, size = locators.parse(locator)
        has = self._pack_size(file)
        if has is None or offset + size > has:
            found = "no pack" if has is None else f"a pack of {has} bytes"
            yield finding("thumb_missing", expected=locator, found=found)
        elif self.level >= DEPTHS.index("decode"):
            trouble = self._undecodable(locator)
            if trouble:
                yield finding("thumb_unreadable", expected=locator, found=trouble)

    def _pack_size(self, file: str) -> int | None:
        if file not in self._packs:
            try:
                self._packs[file] = self.library.storage.size_bytes(file)
            except (OSError, LibraryError):
                self._packs[file] = None
        return self._packs[file]

    def _undecodable(self, locator: str) -> str | None:
        from PIL import Image

        try:
            Image.open(BytesIO(self.library.thumbnail_bytes(locator))).load()
        except (OSError, SyntaxError, ValueError, MediaError) as error:
            return _line(error)
        return None

    # --- the contents of files ----------------------------------------------

    def _contents(
        self,
        day: CameraDay,
        uploads: list[Upload],
        run: Callable[[Iterable[Task]], Iterator[Outcome]],
    ) -> Iterator[Disagreement]:
        opened = [upload for upload in uploads if not upload.is_waiting]
        for upload, outcome in zip(opened, run(map(self._task, opened)), strict=True):
            inspection = outcome.inspection
            finding = _of(day, upload)
            if inspection is None:
                if outcome.trouble == "unreadable":
                    yield finding("file_unreadable", expected=upload.state, found=outcome.reason)
                continue
            if inspection.state != upload.state:
                state = (
                    f"{inspection.state}: {inspection.state_reason}"
                    if inspection.state_reason
                    else inspection.state
                )
                yield finding("state_differs", expected=upload.state, found=state)
            if self.level >= DEPTHS.index("hash"):
                yield from self._hashes(finding, upload, inspection.sha256)

    def _task(self, upload: Upload) -> Task:
        length = None if upload.end is None else (upload.end - upload.start).total_seconds()
        return Task(upload.path, upload.kind, length if upload.kind == "clip" else None)

    def _hashes(
        self, finding: Callable[..., Disagreement], upload: Upload, sha256: str | None
    ) -> Iterator[Disagreement]:
        if sha256 != upload.sha256:
            yield finding("hash_differs", expected=upload.sha256, found=sha256)
        noted = None if self._is_journal_torn else self._noted_hashes.get(upload.media_id)
        if noted is not None and noted != upload.sha256:
            yield finding("journal_hash_differs", expected=noted, found=upload.sha256)

    @cached_property
    def _noted_hashes(self) -> Mapping[str, str]:
        facts = self._seen.filter(pc.is_valid(self._seen["sha256"])).sort_by("noted")
        columns = facts["media_id"].to_pylist(), facts["sha256"].to_pylist()
        return dict(zip(*columns, strict=True))

    @cached_property
    def _overwritten(self) -> Mapping[str, tuple[str, str]]:
        """media_id -> the SHA-256 before and after a complete upload was replaced."""
        found = Journal(self.library.storage).overwritten()
        return {one.media_id: (one.before, one.after) for one in found}

    # --- the whole library --------------------------------------------------

    def _twice(self) -> Iterator[Disagreement]:
        if not self._ids:
            return
        ids, counts = np.unique(np.concatenate(self._ids), return_counts=True)
        for number, count in zip(ids[counts > 1], counts[counts > 1], strict=True):
            yield Disagreement(
                "row_twice", media_id=f"{number:016x}", expected="1 row", found=many(count, "row")
            )

    def _unfinished(self) -> Iterator[Disagreement]:
        journal = Journal(self.library.storage)
        for name in journal.open_plans():
            if journal.is_torn(name):
                continue
            files = journal.read_plan(name).num_rows
            yield Disagreement(
                "cull_unfinished", part=name, expected="no open plan", found=many(files, "file")
            )

    def _left_behind(self) -> Iterator[Disagreement]:
        """Yield a finding if a killed run left files of the catalog in the wrong place."""
        if not self._is_abandoned():
            return
        left = self.library.catalog.misplaced()
        # Check again: a run that began meanwhile may have moved some of them.
        if any(left) and self._is_abandoned():
            [example, *_] = [name for names in left for name in names]
            yield Disagreement(
                "run_unfinished",
                part=example,
                expected="current parts in the tree, and no other files",
                found=f"{many(len(left.into_tree), 'current part')} outside the tree, "
                f"{many(len(left.out_of_tree), 'replaced part')} in it, "
                f"{many(len(left.stray), 'file')} that nothing refers to",
            )

    def _is_abandoned(self) -> bool:
        """Return whether the last run left its mark and no process is writing."""
        storage = self.library.storage
        return storage.exists(AT_WORK) and not is_written(storage)

    def _tried(self) -> Iterator[Disagreement]:
        """Yield attempts to replace or remove complete uploads, which `pano receive` recorded."""
        status = records.read(self.library.storage) or {}
        for camera, tally in status.get("cameras", {}).items():
            for one in tally.get("last_tries", ()):
                at = datetime.fromisoformat(one["at"])
                if self.scope.has(camera, _us(at)):
                    yield Disagreement(
                        "overwrite_tried",
                        camera,
                        at.astimezone(self.library.zone).date(),
                        one["path"],
                        expected="the first upload, which was kept",
                        found=records.try_in_words(one),
                    )

    def _tree(self) -> Iterator[Disagreement]:
        home = Home.read(self.library.storage)
        if home is None:
            raise LibraryError(
                f"{self.library.folder}: expected library.json; there is none. "
                f"Restore it with `pano restore`."
            )
        root_name = encode_path(resolved(self.root).name) or "camera"
        behind = timekeeping.read_time(self.library.storage).behind()
        decided = self._clock_corrections()
        reader = NameReader(self.library.settings, home.root_id, root_name, behind, decided)
        known = np.unique(np.concatenate([np.array([], dtype=np.uint64), *self._ids]))
        trouble = walk.WalkProblems()
        units = [one for one in walk.units(self.root) if self.scope.may_have(one.day)]
        for count, unit in enumerate(units):
            yield from self._unit(unit, reader, known, trouble)
            self.progress("checking the tree", count + 1, len(units))
        for path, reason in trouble.unreadable:
            yield Disagreement(
                "file_unreadable", path=path, expected="a readable file or folder", found=reason
            )

    def _clock_corrections(self) -> tuple[ClockCorrection, ...]:
        try:
            return Decisions(self.library.storage).clock_corrections()
        except DecisionsError:
            return ()  # reported for its file

    def _unit(
        self, unit: walk.WalkUnit, reader: NameReader, known: np.ndarray, trouble: walk.WalkProblems
    ) -> Iterator[Disagreement]:
        settled = [e for e in walk.entries(self.root, unit, trouble) if e.mtime_ns < self.since_ns]
        for day, rows in reader.read(settled, now_us(), {}).days.items():
            if day in self._unread:
                continue  # already reported, for its part
            ids = np.array([int(row.media_id, 16) for row in rows], dtype=np.uint64)
            for index in np.flatnonzero(~np.isin(ids, known)):
                row = rows[index]
                # Ingest may have put an upload with a doubtful time into a day outside the scope.
                if self.scope.is_ranged and row.time_source != "name":
                    continue
                if self.scope.has(day.camera, row.start):
                    yield _about(day, row.media_id, row.path)(
                        "not_in_catalog",
                        expected="no row",
                        found=f"{row.size_bytes} bytes",
                    )


def _of(day: CameraDay, upload: Upload, **more: Any) -> Callable[..., Disagreement]:
    """Return a function that makes findings about a catalogued upload."""
    return _about(day, upload.media_id, upload.path, **more)


def _about(
    day: CameraDay, media_id: str, path: str | None, **more: Any
) -> Callable[..., Disagreement]:
    """Return a function that makes findings about one upload."""
    known = {"path": path, "media_id": media_id, **more}
    return partial(Disagreement, camera=day.camera, date=day.date, **known)


def _numbers(ids: pa.ChunkedArray) -> np.ndarray:
    """Return ids of 16 hex digits as 64-bit numbers, which take 8 MB per million."""
    return np.array([int(one, 16) for one in ids.to_pylist()], dtype=np.uint64)


def _root(library: Library, has_rows: bool) -> Path:
    root = library.settings.the_uploads()
    if not root.is_dir() or (has_rows and not any(root.iterdir())):
        raise UploadTreeError(
            f"{root}: expected the uploads that the library knows; there are none. "
            f"Is its disk mounted?"
        )
    return root


def _last_run_ns(library: Library) -> int:
    """Return when the last run began, in Unix nanoseconds; it did not see younger files."""
    beat = runs.read(library.storage)
    moment = datetime.fromisoformat(beat["started"]) if beat else datetime.now(UTC)
    return _us(moment) * 1000


def _line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
