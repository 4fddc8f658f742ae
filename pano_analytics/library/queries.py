"""Queries of the catalog: each is one SQL statement, run by DuckDB and returned as a DataFrame."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import duckdb
import pandas as pd
import pyarrow as pa

from pano_analytics.errors import PartError, QueryError
from pano_analytics.library import zone_rules
from pano_analytics.model.tables import TABLES, named, schema
from pano_analytics.store.catalog import FOLDERS, Catalog, Part, day_of_part

Result = TypeVar("Result")

# A part that was moved out of the tree after the manifest was read is found by the next
# attempt; a busy writer may move it, or another one, several times in between.
_TRIES = 8
_PAUSE_S = 0.02
# The query was interrupted, or needed too much memory: no part is at fault.
_NOT_FROM_A_PART = (duckdb.InterruptException, duckdb.OutOfMemoryException)
_NULLABLE_TYPES: dict[pa.DataType, Any] = {
    pa.bool_(): pd.BooleanDtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}
_DAY_US = 86_400_000_000
# What DuckDB and Arrow raise for statements or values that they reject.
_REJECTIONS = (duckdb.Error, pa.ArrowException, TypeError, ValueError, OverflowError)
# Integer columns of the tables that may be null.
NULLABLE = ("width", "height", "channel", "grid_version")
_NO_HIVE = "hive_partitioning = false"
_HIVE = "hive_partitioning = true, hive_types = {'camera': 'VARCHAR', 'date': 'DATE'}"


class Queries:
    """An in-memory DuckDB database over the parts of a catalog; safe to share between threads.

    A query names the files it reads, taken from the manifest once, so that it sees one
    generation. Times are returned in `zone` (an IANA name).
    """

    def __init__(self, catalog: Catalog, zone: str) -> None:
        self._catalog = catalog
        self._zone = zone
        self._database = duckdb.connect()
        # GLOBAL: each query has its own cursor, which is a session of its own.
        self._database.execute(f"SET GLOBAL TimeZone = '{zone}'")
        self._lock = threading.Lock()
        self._viewed: int | None = None
        for table in TABLES:
            self._make_empty(table)

    def _make_empty(self, table: str) -> None:
        partitions = [pa.field("camera", pa.string()), pa.field("date", pa.date32())]
        own = partitions if named(table).is_by_day else []
        columns = pa.schema([*schema(table), *own]).empty_table()
        self._database.register("columns", columns)
        self._database.execute(f"CREATE TABLE {_empty(table)} AS SELECT * FROM columns")
        self._database.unregister("columns")

    def ask(
        self,
        statement: str,
        parts: Iterable[Part],
        values: Sequence[Any] = (),
        table: str = "media",
        uploads: Iterable[Part] = (),
    ) -> pd.DataFrame:
        """Run `statement`, in which `{source}` stands for the rows of `parts`.

        `{uploads}` stands for the rows of the `media` parts `uploads`. `values` are the
        values of its `?`. Without parts the table is empty but has its columns. Raises
        PartError if a part cannot be read.
        """
        chosen, others = list(parts), list(uploads)

        def answer(is_again: bool) -> pd.DataFrame:
            asked = statement.format(
                source=self._source(table, chosen, is_again),
                uploads=self._source("media", others, is_again),
            )
            return _frame(self._database.cursor(), asked, list(values))

        try:
            return _retried(answer)
        except _NOT_FROM_A_PART:
            raise
        except (duckdb.Error, pa.ArrowException, UnicodeDecodeError) as error:
            # The statement is our own, so the error must come from the files.
            raise self._part_error(error, [*chosen, *others]) from error

    def _part_error(self, error: Exception, parts: Sequence[Part]) -> PartError:
        """Return an error that names the part that could not be read, or else the library.

        DuckDB names the file if it is truncated or unreadable, but not if bytes within it
        are wrong.
        """
        paths = [self._catalog.storage.address(part.path) for part in parts]
        named = [path for path in paths if path in str(error)] or paths
        return PartError.of(named[0] if len(named) == 1 else self._catalog.storage.address(), error)

    def sql(self, statement: str, values: Any = None) -> pd.DataFrame:
        """Run a user's own statement on the views, one per table.

        `values` are the values of its `?` (a sequence) or its `$name` (a mapping). Raises
        QueryError with DuckDB's message for an invalid statement, PartError if a part of
        the catalog cannot be read.
        """
        try:
            _expect_one(self._database.cursor(), statement)
            if self._shift is None:
                return _retried(lambda again: _frame(self._with_views(again), statement, values))
            zone_rules.expect_own_clock(statement, self._zone)
            shifted = self._shift.values(values)
            result = _retried(lambda again: _frame(self._with_views(again), statement, shifted))
            return self._shift.frame(result)
        except QueryError:
            raise
        except _REJECTIONS as error:
            if any(self._catalog.storage.address(one) in str(error) for one in FOLDERS):
                raise self._part_error(error, self._all()) from error
            raise QueryError(
                f"expected an SQL query of the views {_listed(TABLES)}; {error}"
            ) from error

    def _all(self) -> list[Part]:
        return [part for _, _, part in self._catalog.manifest().everything()]

    def _with_views(self, is_again: bool) -> duckdb.DuckDBPyConnection:
        manifest = self._catalog.manifest()
        with self._lock:
            if is_again or self._viewed != manifest.generation:
                for table in TABLES:
                    source = self._source(table, manifest.table(table).values(), is_again)
                    self._database.execute(
                        f"CREATE OR REPLACE VIEW {table} AS "
                        f"SELECT * {self._shift_clause(table)} FROM {source}"
                    )
                self._viewed = manifest.generation
            return self._database.cursor()

    @cached_property
    def _shift(self) -> zone_rules.Shift | None:
        return zone_rules.shift(self._database, self._zone)

    def _shift_clause(self, table: str) -> str:
        """Return SQL that shifts the instants of a table if DuckDB's zone rules differ."""
        instants = [field.name for field in schema(table) if getattr(field.type, "tz", None)]
        if self._shift is None or not instants:
            return ""
        shifted = (f"{self._shift.sql(quoted)} AS {quoted}" for quoted in map(_column, instants))
        return f"REPLACE ({', '.join(shifted)})"

    def _source(self, table: str, parts: Iterable[Part], is_again: bool) -> str:
        """Return SQL for the rows of `parts`; the schema adds columns that older parts lack.

        With `is_again` each part is located first: some may have been moved since.
        """
        by_version: dict[int, list[str]] = defaultdict(list)
        aside: list[str] = []
        for part in parts:
            name = self._catalog.where(part.path) if is_again else part.path
            address = self._catalog.storage.address(name)
            if name == part.path:
                by_version[part.schema_version].append(address)
            else:
                aside.append(_read_aside(table, part, address))
        if not by_version and not aside:
            return _empty(table)
        hive = _HIVE if named(table).is_by_day else _NO_HIVE
        reads = [*(_read(paths, hive) for paths in by_version.values()), *aside]
        if len(reads) == 1 and set(by_version) == {named(table).version}:
            return reads[0]
        union = " UNION ALL BY NAME ".join(
            f"SELECT * FROM {source}" for source in [_empty(table), *reads]
        )
        return f"({union})"


def _column(name: str) -> str:
    return f'"{name}"'


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}"


def _empty(table: str) -> str:
    return f"no_{table}"


def _read(paths: Iterable[str], hive: str) -> str:
    listed = ", ".join(quoted(path) for path in paths)
    return f"read_parquet([{listed}], {hive})"


def _read_aside(table: str, part: Part, path: str) -> str:
    """Return SQL for a part outside the tree, whose folder does not name its camera and day."""
    read = _read([path], _NO_HIVE)
    if not named(table).is_by_day:
        return read
    day = day_of_part(part.path)
    return f"(SELECT *, {quoted(day.camera)} AS camera, DATE '{day.date}' AS date FROM {read})"


def quoted(text: str) -> str:
    """Return `text` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _expect_one(cursor: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Raise QueryError unless there is exactly one statement.

    Of several, DuckDB would return only the result of the last.
    """
    statements = cursor.extract_statements(statement)
    if len(statements) != 1:
        raise QueryError(
            f"expected one statement in SQL; got {len(statements) or 'none'}. "
            "Use one call per statement."
        )


def _frame(cursor: duckdb.DuckDBPyConnection, statement: str, values: Any = None) -> pd.DataFrame:
    """Return the whole result; an empty frame for a statement without a result."""
    result: Any = cursor.sql(statement, params=values or None)
    if result is None:
        return pd.DataFrame()
    return _as_pandas(result.to_arrow_table())


def _as_pandas(table: pa.Table) -> pd.DataFrame:
    """Return the table as a frame with types that pandas can calculate with and compare.

    Converted from Arrow, because frames made by DuckDB lose the types of nullable columns. In
    two steps: nullable integers and booleans get pandas' nullable types, the others do not.
    """
    names = [*map(str, range(table.num_columns))]  # the names of a result may repeat
    columns = [_calculable(column) for column in table.columns]
    are_nullable = [
        column.type in _NULLABLE_TYPES and bool(column.null_count or name in NULLABLE)
        for name, column in zip(table.column_names, columns, strict=True)
    ]
    converted = pa.table(columns, names)
    plain = [name for name, one in zip(names, are_nullable, strict=True) if not one]
    nullable = [name for name, one in zip(names, are_nullable, strict=True) if one]
    frame: pd.DataFrame = converted.select(plain).to_pandas()
    if nullable:
        others = converted.select(nullable).to_pandas(types_mapper=_NULLABLE_TYPES.get)
        frame = pd.concat([frame, others], axis=1)[names]
    frame.columns = pd.Index(table.column_names)
    return frame


def _calculable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column with a type that pandas can calculate with; signed integers as 64 bits."""
    kind = column.type
    if pa.types.is_decimal(kind):
        column = _number(column)
    elif pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s"))
    elif pa.types.is_time(kind):
        # A time of day has no zone and no date: return the time since midnight.
        column = column.cast(pa.time64("us")).cast(pa.int64()).cast(pa.duration("us"))
    elif pa.types.is_interval(kind):
        column = _duration(column)
    elif pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
        column = column.cast(pa.int64())
    return column


def _number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return decimals as integers if they are whole and fit 64 bits, otherwise as floats."""
    if column.type.scale == 0:
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            pass
    return column.cast(pa.float64())


def _duration(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return intervals as durations; unchanged if some count months, which vary in length."""
    values = column.to_pylist()
    if any(value is not None and value.months for value in values):
        return column
    lengths = [
        None if value is None else value.days * _DAY_US + value.nanoseconds // 1000
        for value in values
    ]
    return pa.chunked_array([pa.array(lengths, pa.int64()).cast(pa.duration("us"))])


def _retried(answer: Callable[[bool], Result]) -> Result:
    """Return `answer(is_again)`; repeated if a part moved after the manifest was read."""
    for left in reversed(range(_TRIES)):
        try:
            return answer(left < _TRIES - 1)
        except (duckdb.IOException, duckdb.InvalidInputException):
            if not left:
                raise
            time.sleep(_PAUSE_S)
    raise AssertionError("unreachable")
