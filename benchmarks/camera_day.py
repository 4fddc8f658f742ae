"""Time a query for one camera-day, compared with DuckDB on exactly the part that holds it.

    python benchmarks/camera_day.py [--rounds 40]

The catalog grows from 365 to 3,650 to 10,950 partitions, and the time must stay the
same. Both sides run alternately in one process; the ratio is that of the medians.
The target is a ratio of 2 at every size.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pano_analytics.library import COLUMNS, Library
from pano_analytics.model.tables import schema
from pano_analytics.settings import Settings
from pano_analytics.store.catalog import CameraDay, Catalog
from pano_analytics.store.storage import Storage

CAMERAS = 6
ROWS = 330


def main() -> None:
    """Print one line per size: the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    for days in (61, 608, 1825):
        with tempfile.TemporaryDirectory(prefix="pano-bench-") as folder:
            measure(Path(folder), days, rounds)


def measure(folder: Path, days: int, rounds: int) -> None:
    """Make a catalog of `days` x 6 partitions and query one camera-day with pano and DuckDB."""
    first = date(2021, 1, 1)
    fill(Catalog(Storage(folder)), first, days)
    library = Library(folder, Settings(library=folder, zone="UTC"))
    wanted = CameraDay("camera3", first + timedelta(days=days // 2))
    start = datetime(wanted.date.year, wanted.date.month, wanted.date.day, tzinfo=UTC)
    part = str(library.storage.path(library.catalog.manifest().media[wanted].path))
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    known = duckdb.connect()

    def by_hand() -> Any:
        statement = (
            f"SELECT {names} FROM read_parquet(?, hive_partitioning = true) "
            "WHERE start >= ? AND start < ? ORDER BY start"
        )
        found = known.sql(statement, params=[part, start, start + timedelta(days=1)])
        return found.to_arrow_table().to_pandas()

    def asked() -> Any:
        return library.media(camera=wanted.camera, start=start, end=start + timedelta(days=1))

    assert len(by_hand()) == len(asked()) == ROWS
    hand, ours = [], []
    for _ in range(rounds):
        hand.append(timed(by_hand))
        ours.append(timed(asked))
    ratio = statistics.median(ours) / statistics.median(hand)
    print(
        f"{days * CAMERAS:6d} partitions: DuckDB {statistics.median(hand) * 1000:.1f} ms, "
        f"pano {statistics.median(ours) * 1000:.1f} ms, ratio {ratio:.2f} (target 2)"
    )


def fill(catalog: Catalog, first: date, days: int) -> None:
    """Write one partition per camera and day, with rows that differ in their times."""
    change = catalog.begin()
    for back in range(days):
        day = first + timedelta(days=back)
        for camera in range(CAMERAS):
            change.write(CameraDay(f"camera{camera}", day), rows(day))
    change.commit()


def rows(day: date) -> pa.Table:
    """Return a day of snapshots, one every four minutes."""
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return pa.Table.from_pylist(
        [
            {
                "media_id": f"{number:016x}",
                "kind": "snapshot",
                "start": begins + timedelta(seconds=260 * number),
                "path": f"camera/{day}/{number}.jpg",
                "size_bytes": 250_000,
                "state": "complete",
                "thumb": f"camera/{day}/x.pack/{number}-1000",
            }
            for number in range(ROWS)
        ],
        schema=schema("media"),
    )


def timed(deed: Callable[[], Any]) -> float:
    """Return the seconds that `deed` takes."""
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
