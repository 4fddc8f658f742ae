"""The files of decisions: what people decided about uploads, which exists nowhere else.

Each open library that decides something has its own file below `decisions/`, to which it
appends one line of JSON with a checksum per decision. It keeps the file locked, so writers
need no other lock, and wait for nobody. Ingest folds the files that nobody has locked into
one Parquet file. All readers merge all files, and count each decision once, by its id.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pano_analytics.errors import DecisionsError, LibraryError, NoProcess, QueryError
from pano_analytics.model.corrections import ClockCorrection
from pano_analytics.model.decision import CLOCK_CORRECTED, UNDO, Decision, DecisionSet, Mark
from pano_analytics.model.times import from_epoch_us
from pano_analytics.store.parts import read_parquet
from pano_analytics.store.storage import TEMPORARY, AppendedFile, Storage, stamp
from pano_analytics.wording import many

FOLDER = "decisions"
LINES, FOLDED = ".jsonl", ".parquet"

_SCHEMA = pa.schema(
    [
        pa.field("decision_id", pa.string()),
        pa.field("order", pa.int64()),
        pa.field("decided", pa.timestamp("us", tz="UTC")),
        pa.field("who", pa.string()),
        pa.field("decision", pa.string()),
        pa.field("media_ids", pa.list_(pa.string())),
        pa.field("note", pa.string()),
        pa.field("undoes", pa.string()),
        # What a decision says about the clock of a camera; older files do not have it.
        pa.field("clock_camera", pa.string()),
        pa.field("clock_start", pa.timestamp("us")),
        pa.field("clock_end", pa.timestamp("us")),
        pa.field("clock_seconds", pa.float64()),
    ]
)
_ABOUT_CLOCK = [name for name in _SCHEMA.names if name.startswith("clock_")]
_NO_CLOCK = (None,) * len(_ABOUT_CLOCK)
_CHECKSUM = b',"checksum":"'
_TRIES = 5
# A temporary file this old is from a writer that was killed.
_LEFT_AFTER_S = 3600.0


class DamagedFile(NamedTuple):
    """Something in a file of decisions that cannot be read: the file's name, and what it is.

    `is_cut` is whether it is only a last line that is cut off, which was never acknowledged.
    """

    name: str
    why: str
    is_cut: bool = False


class Decisions:
    """The decisions of one library; safe to share between threads.

    What is read is kept, and only what was added since is read again. Methods that read raise
    DecisionsError if a Parquet file is damaged; a line that is cut off or damaged is left out.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._lock = threading.RLock()
        self._file: AppendedFile | None = None
        self._known = DecisionSet()
        # How far each file was read, in bytes.
        self._read: dict[str, int] = {}

    def is_empty(self) -> bool:
        """Return whether nobody has decided anything yet; costs one look into the folder."""
        return not _sizes(self.storage)

    def everything(self) -> list[tuple[Decision, bool]]:
        """Return all decisions in their order, each with whether it was taken back."""
        with self._lock:
            self._refresh()
            return [(one, self._known.is_undone(one.decision_id)) for one in self._known.in_order()]

    def marks(self, media_ids: Iterable[str], who: str | None = None) -> list[Mark]:
        """Return the states of those of the uploads that decisions in force name.

        `is_reviewed` is whether `who` has reviewed the upload; for None, whether anybody has.
        """
        with self._lock:
            self._refresh()
            found = (self._known.mark(media_id, who) for media_id in media_ids)
            return [mark for mark in found if mark is not None]

    def pinned(self) -> frozenset[str]:
        """Return the ids of the uploads that are pinned."""
        if self.is_empty():
            return frozenset()
        with self._lock:
            self._refresh()
            return self._known.pinned()

    def decide(
        self, who: str, decision: str, media_ids: Iterable[str], note: str | None = None
    ) -> Decision:
        """Write a decision; return it when it is on the disk.

        Raises StorageFull or another PanoError if it cannot be written; it then has no effect.
        """
        with self._lock:
            self._refresh()
            named = tuple(sorted(set(media_ids)))
            return self._write(who, decision, media_ids=named, note=note)

    def correct_clock(
        self, who: str, clock: ClockCorrection, others: Iterable[ClockCorrection] = ()
    ) -> Decision:
        """Write a correction of a camera's clock; return it when it is on the disk.

        Raises QueryError if it overlaps one that is in force or one of `others`, and the
        errors of `decide`.
        """
        with self._lock:
            self._refresh()
            for known in (*others, *self.clock_corrections()):
                if clock.overlaps(known):
                    raise QueryError(
                        f"expected a correction of {clock.camera!r} that overlaps no other; there "
                        f"is one of {known}. Take that back first."
                    )
            return self._write(who, CLOCK_CORRECTED, clock=clock)

    def about_clocks(self) -> list[Decision]:
        """Return the decisions in force about clocks of cameras, the latest first."""
        if self.is_empty():
            return []
        with self._lock:
            self._refresh()
            return self._known.about_clocks()

    def clock_corrections(self) -> tuple[ClockCorrection, ...]:
        """Return the corrections in force of cameras' clocks, the latest first.

        If two overlap, which two writers at the same time or an undo that is taken back can
        cause, the first applies.
        """
        return tuple(one.clock for one in self.about_clocks() if one.clock is not None)

    def undo(self, who: str, decision_id: str) -> Decision:
        """Write that a decision is taken back; return that when it is on the disk.

        Raises QueryError for an unknown id and for a decision that was taken back before, and
        the errors of `decide`.
        """
        with self._lock:
            self._refresh()
            if self._known.get(decision_id) is None:
                raise QueryError(
                    "decision_id: expected the id of a decision in this library, as "
                    f"library.decisions() gives it; got {decision_id!r}."
                )
            if self._known.is_undone(decision_id):
                raise QueryError(
                    f"decision_id: expected a decision in force; {decision_id!r} was taken back "
                    "before. To bring it back, undo that undo."
                )
            return self._write(who, UNDO, undoes=decision_id)

    def _write(
        self,
        who: str,
        decision: str,
        *,
        media_ids: tuple[str, ...] = (),
        note: str | None = None,
        undoes: str | None = None,
        clock: ClockCorrection | None = None,
    ) -> Decision:
        order, now = self._known.last_order + 1, datetime.now(UTC)
        new = secrets.token_hex(8)
        one = Decision(new, order, now, who, decision, media_ids, note, undoes, clock)
        try:
            file = self._appended(_line(one))
        except OSError as error:
            raise self.storage.error_of(error) from error
        self._known.update([one])
        self._read[file.name] = file.size_bytes
        return one

    def _appended(self, line: bytes) -> AppendedFile:
        """Append a line to this library's own file; return that."""
        for _ in range(_TRIES):
            file = self._file
            if file is None or not file.is_usable:
                file = self._file = self.storage.start_appending(_new_name(LINES))
            file.append(line)
            if file.is_usable:
                return file
        raise LibraryError(
            f"{self.storage.address(FOLDER)}: expected a folder that only pano changes; its files "
            f"are removed while they are written. Nothing was decided."
        )

    def close(self) -> None:
        """Close this library's own file, which can then be folded."""
        with self._lock:
            if self._file is not None:
                self._file.close()

    # --- reading ------------------------------------------------------------

    def _refresh(self) -> None:
        """Read what was added to the files since the last call."""
        for left in reversed(range(_TRIES)):
            try:
                return self._take_in(self._listed())
            except FileNotFoundError:  # folded since it was listed
                if not left:
                    raise
        raise AssertionError("unreachable")

    def _listed(self) -> dict[str, int]:
        """Return name -> size in bytes of the files at one moment.

        A folder that changes while it is listed may show neither a new file nor the files that
        were folded into it: if there are other files than last time, list it until nothing
        changes.
        """
        sizes, names = _sizes(self.storage), self._read.keys()
        while sizes.keys() != names:
            sizes, names = _sizes(self.storage), sizes.keys()
        return sizes

    def _take_in(self, sizes: dict[str, int]) -> None:
        if any(sizes.get(name, -1) < done for name, done in self._read.items()):
            # Folded, or a writer took back a line that did not reach the disk.
            self._known, self._read = DecisionSet(), {}
        for name, size_bytes in sizes.items():
            done = self._read.get(name, 0)
            if name.endswith(FOLDED) and not done:
                self._known.update(_folded(self.storage, name))
                self._read[name] = size_bytes
            elif name.endswith(LINES) and size_bytes > done:
                data = _whole_lines(self.storage.read_range(name, done, size_bytes - done))
                self._known.update(one for one in _decoded(data) if one is not None)
                self._read[name] = done + len(data)

    # --- upkeep ---------------------------------------------------------------

    def damage(self) -> list[DamagedFile]:
        """Return what cannot be read: damaged lines, last lines that are cut off, and files.

        The last line of a file that is being written is not reported.
        """
        return [one for name in _sizes(self.storage) for one in self._damage_of(name)]

    def _damage_of(self, name: str) -> Iterator[DamagedFile]:
        is_ended = self.storage.is_unlocked(name)
        try:
            if name.endswith(FOLDED):
                _folded(self.storage, name)
                return
            data = self.storage.read(name)
        except FileNotFoundError:  # folded since it was listed
            return
        except DecisionsError as error:
            yield DamagedFile(name, str(error.__cause__).splitlines()[0])
            return
        whole = _whole_lines(data)
        for number, one in enumerate(_decoded(whole), 1):
            if one is None:
                yield DamagedFile(name, f"line {number} is damaged")
        cut_bytes = len(data) - len(whole)
        if cut_bytes and is_ended:
            why = f"the last line is cut off after {many(cut_bytes, 'byte')}"
            yield DamagedFile(name, why, is_cut=True)

    def require(self) -> None:
        """Raise DecisionsError if a decision that was acknowledged cannot be read."""
        for one in self.damage():
            if not one.is_cut:
                raise DecisionsError.of(self.storage.address(one.name), one.why)

    def fold(self) -> None:
        """Merge the files whose writers have ended into one. For the holder of the library's lock.

        The last line of such a file, if it is cut off, was never acknowledged, and is dropped.
        A file with another damaged line stays, and so do all if a Parquet file is damaged: a
        backup may have them. Raises StorageFull or another PanoError.
        """
        names = _sizes(self.storage)
        if not names:
            return
        self._drop_leftovers()
        ended = [one for one in names if one.endswith(LINES) and self.storage.is_unlocked(one)]
        sound = {name: found for name in ended if (found := self._sound(name)) is not None}
        if not sound:
            return
        folded = [name for name in names if name.endswith(FOLDED)]
        merged = DecisionSet(one for decisions in sound.values() for one in decisions)
        try:
            merged.update(one for name in folded for one in _folded(self.storage, name))
        except DecisionsError:
            return
        self._swap([*sound, *folded], merged)

    def _sound(self, name: str) -> list[Decision] | None:
        """Return the decisions of a file whose writer has ended; None if a line is damaged."""
        found = list(_decoded(_whole_lines(self.storage.read(name))))
        return None if None in found else [one for one in found if one is not None]

    def _swap(self, names: list[str], merged: DecisionSet) -> None:
        """Write `merged` to a new file, and remove the files `names` once it is on the disk."""
        if len(merged):
            new = _new_name(FOLDED)
            table = _table(merged.in_order())

            def write(file: IO[bytes]) -> None:
                pq.write_table(table, file, compression="zstd", compression_level=1)

            self.storage.put(new, write, is_synced=True)
            self.storage.sync([new])
        for name in names:
            self.storage.unlink(name)

    def _drop_leftovers(self) -> None:
        for name in self.storage.sizes_bytes(FOLDER):
            age_s = self.storage.age_s(name) or 0.0
            if name.endswith(TEMPORARY) and age_s > _LEFT_AFTER_S:
                self.storage.unlink(name)


def _sizes(storage: Storage) -> dict[str, int]:
    """Return name -> size in bytes of all files of decisions."""
    sizes = storage.sizes_bytes(FOLDER)
    return {name: size for name, size in sizes.items() if name.endswith((LINES, FOLDED))}


def _new_name(ending: str) -> str:
    return f"{FOLDER}/{stamp()}-{secrets.token_hex(4)}{ending}"


# --- lines --------------------------------------------------------------------


def _line(one: Decision) -> bytes:
    """Return a decision as a line of JSON, whose last key is a checksum of all before it."""
    fields = one._asdict() | {"decided": one.decided.isoformat()}
    del fields["clock"]
    if one.clock is not None:
        fields["clock"] = one.clock.to_json()
    body = json.dumps(fields, separators=(",", ":")).encode()[:-1]
    return body + _CHECKSUM + _checksum(body) + b'"}\n'


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8).hexdigest().encode()


def _whole_lines(data: bytes) -> bytes:
    """Return the part of `data` up to its last line end: what follows is still being written."""
    return data[: data.rfind(b"\n") + 1]


def _decoded(data: bytes) -> Iterator[Decision | None]:
    """Yield the decision of each line; None for a damaged line."""
    for line in data.split(b"\n")[:-1]:
        body, _, end = line.rpartition(_CHECKSUM)
        yield _decision(body) if end == _checksum(body) + b'"}' else None


def _decision(body: bytes) -> Decision:
    fields = json.loads(body + b"}")
    fields["decided"] = datetime.fromisoformat(fields["decided"])
    fields["media_ids"] = tuple(fields["media_ids"])
    clock = fields.get("clock")
    fields["clock"] = None if clock is None else ClockCorrection.of_json(**clock)
    # A newer pano may have added others.
    return Decision(**{name: fields[name] for name in Decision._fields})


# --- the folded file ----------------------------------------------------------


def _table(decisions: list[Decision]) -> pa.Table:
    names = [name for name in _SCHEMA.names if name not in _ABOUT_CLOCK]
    rows = [
        (*(getattr(one, name) for name in names), *(one.clock or _NO_CLOCK)) for one in decisions
    ]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
    return pa.table(arrays, schema=_SCHEMA)


def _folded(storage: Storage, name: str) -> Iterable[Decision]:
    """Return the decisions of a Parquet file. Raises DecisionsError if it is damaged."""
    data = storage.read(name)
    try:
        rows = read_parquet(pa.BufferReader(data))
        decided = rows["decided"].cast(pa.int64()).to_pylist()
        named = _tuples(rows["media_ids"].combine_chunks())
        others = [
            name for name in Decision._fields if name not in ("decided", "media_ids", "clock")
        ]
        columns = {name: rows[name].to_pylist() for name in others}
        columns["clock"] = _clocks(rows)
    except (pa.ArrowException, OSError, KeyError) as error:
        NoProcess.check(error)
        path = f"{storage.path(name)}"
        raise DecisionsError.of(path, str(error).splitlines()[0]) from error
    moments = [from_epoch_us(one) for one in decided]
    columns |= {"decided": moments, "media_ids": named}
    values = (columns[name] for name in Decision._fields)
    return [Decision(*row) for row in zip(*values, strict=True)]


def _clocks(rows: pa.Table) -> list[ClockCorrection | None]:
    if _ABOUT_CLOCK[0] not in rows.column_names:
        return [None] * rows.num_rows
    values = zip(*(rows[name].to_pylist() for name in _ABOUT_CLOCK), strict=True)
    return [None if one[0] is None else ClockCorrection(*one) for one in values]


def _tuples(lists: pa.ListArray) -> list[tuple[str, ...]]:
    """Return a column of lists; several times faster than Arrow's own conversion."""
    values, bounds = lists.values.to_pylist(), lists.offsets.to_pylist()
    return [tuple(values[low:high]) for low, high in pairwise(bounds)]
