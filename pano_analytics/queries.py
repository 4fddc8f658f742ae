"""Questions to the catalog: one SQL statement a question, answered by DuckDB as a DataFrame."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import duckdb
import pandas as pd
import pyarrow as pa

from pano_analytics.catalog import Catalog, Part
from pano_analytics.columns import TABLES, schema
from pano_analytics.errors import PartError, QueryError
from pano_analytics.media import SCHEMA_VERSION

Result = TypeVar("Result")

_TRIES = 3
_PAUSE_S = 0.05
# Somebody ended the question, or it was too big.
_NOT_OF_A_PART = (duckdb.InterruptException, duckdb.OutOfMemoryException)
_HIVE = "hive_partitioning = true, hive_types = {'camera': VARCHAR, 'date': DATE}"


class Queries:
    """One DuckDB in memory over the parts of a catalog; safe to share between threads.

    A question names the files it asks, taken from the manifest once, so that it
    sees one generation. Times come back in `zone` (an IANA name).
    """

    def __init__(self, catalog: Catalog, zone: str) -> None:
        self._catalog = catalog
        self._database = duckdb.connect()
        # GLOBAL: each question has a cursor, a session of its own.
        self._database.execute(f"SET GLOBAL TimeZone = '{zone}'")
        self._lock = threading.Lock()
        self._viewed: int | None = None
        for table in TABLES:
            self._make_empty(table)

    def _make_empty(self, table: str) -> None:
        partitions = [pa.field("camera", pa.string()), pa.field("date", pa.date32())]
        columns = pa.schema([*schema(table), *partitions]).empty_table()
        self._database.register("columns", columns)
        self._database.execute(f"CREATE TABLE {_empty(table)} AS SELECT * FROM columns")
        self._database.unregister("columns")

    def ask(
        self,
        statement: str,
        parts: Iterable[Part],
        values: Sequence[Any] = (),
        table: str = "media",
    ) -> pd.DataFrame:
        """Answer `statement`, in which `{source}` stands for the rows of `parts`.

        `values` fill its `?`. No part at all is an empty table with its columns. Raises
        PartError where a part cannot be read.
        """
        chosen = list(parts)
        asked = statement.format(source=self._source(table, chosen))
        try:
            return _retried(lambda: _frame(self._database.cursor(), asked, values))
        except _NOT_OF_A_PART:
            raise
        except (duckdb.Error, UnicodeDecodeError) as error:
            # The statement is our own: what DuckDB stumbles over is what it reads.
            raise self._torn(error, chosen) from error

    def _torn(self, error: Exception, parts: Sequence[Part]) -> PartError:
        """Return the error that names the part that could not be read, or all where none is told.

        DuckDB names it where a file has no end or may not be read; not where bytes within
        it are wrong.
        """
        paths = [str(self._catalog.storage.path(part.path)) for part in parts]
        named = [path for path in paths if path in str(error)] or paths
        return PartError.of(named[0] if len(named) == 1 else self._catalog.storage.root, error)

    def sql(self, statement: str) -> pd.DataFrame:
        """Answer a user's own statement over the views `media` and `frames`.

        Raises QueryError with DuckDB's own words where it is no valid question, PartError
        where a part of the catalog cannot be read.
        """
        try:
            return _retried(lambda: _frame(self._with_views(), statement))
        except duckdb.Error as error:
            if str(self._catalog.storage.path("parts")) in str(error):
                raise self._torn(error, self._all()) from error
            raise QueryError(
                f"expected a question in SQL about the views media and frames; came {error}"
            ) from error

    def _all(self) -> list[Part]:
        manifest = self._catalog.manifest()
        return [part for table in TABLES for part in manifest.table(table).values()]

    def _with_views(self) -> duckdb.DuckDBPyConnection:
        manifest = self._catalog.manifest()
        with self._lock:
            if self._viewed != manifest.generation:
                for table in TABLES:
                    source = self._source(table, manifest.table(table).values())
                    self._database.execute(
                        f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM {source}"
                    )
                self._viewed = manifest.generation
            return self._database.cursor()

    def _source(self, table: str, parts: Iterable[Part]) -> str:
        """Return SQL for the rows of `parts`; the schema supplies what older parts lack."""
        by_version: dict[int, list[str]] = defaultdict(list)
        for part in parts:
            by_version[part.schema_version].append(str(self._catalog.storage.path(part.path)))
        if not by_version:
            return _empty(table)
        reads = [_read(paths) for paths in by_version.values()]
        if set(by_version) == {SCHEMA_VERSION}:
            return reads[0]
        union = " UNION ALL BY NAME ".join(
            f"SELECT * FROM {source}" for source in [_empty(table), *reads]
        )
        return f"({union})"


def _empty(table: str) -> str:
    return f"no_{table}"


def _read(paths: Iterable[str]) -> str:
    listed = ", ".join(quoted(path) for path in paths)
    return f"read_parquet([{listed}], {_HIVE})"


def quoted(text: str) -> str:
    """Return `text` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _frame(
    cursor: duckdb.DuckDBPyConnection, statement: str, values: Sequence[Any] = ()
) -> pd.DataFrame:
    """Return the whole answer; a statement that answers nothing gives an empty frame."""
    found: Any = cursor.sql(statement, params=list(values) or None)
    # By way of Arrow: the frames that DuckDB makes itself hold dates as times.
    if found is None:
        return pd.DataFrame()
    frame: pd.DataFrame = found.to_arrow_table().to_pandas()
    return frame


def _retried(answer: Callable[[], Result]) -> Result:
    """Ask again where a file went between manifest and reading: the next manifest knows better."""
    for left in reversed(range(_TRIES)):
        try:
            return answer()
        except (duckdb.IOException, duckdb.InvalidInputException):
            if not left:
                raise
            time.sleep(_PAUSE_S)
    raise AssertionError("unreachable")
