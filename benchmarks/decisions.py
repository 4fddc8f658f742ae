"""Time a decision until it is acknowledged, compared with a bare append and fsync.

    python benchmarks/decisions.py [--rounds 5] [--count 300] [--known 0]

In each round both sides write lines of the same length to the same disk, in turn; the limit
for the ratio of the medians is 3. `--known` decisions are there before. Also measured, with
1,000 and 100,000 decisions in a library: reading all of them for the first time, and the marks
of the 500 uploads of a day once they are read.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO

from pano_analytics.model.decision import Decision, DecisionSet
from pano_analytics.store.decisions import FOLDER, Decisions
from pano_analytics.store.storage import Storage

LIMIT = 3.0
SIZES = (1_000, 100_000)
DAY = 500


def main() -> None:
    """Print one row for deciding, and one per size for reading."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--known", type=int, default=0)
    asked = parser.parse_args()
    # Beside this file: a folder for temporary files may be in memory, where syncing is free.
    with tempfile.TemporaryDirectory(prefix="decisions-", dir=Path(__file__).parent) as folder:
        deciding(Path(folder), asked.rounds, asked.count, asked.known)
        for size in SIZES:
            reading(Path(folder) / str(size), size)


def deciding(folder: Path, rounds: int, count: int, known: int) -> None:
    """Measure both sides in turn; each round of decisions has a writer of its own."""
    storage = Storage(folder)
    make(storage, known)
    ours: list[float] = []
    bare: list[float] = []
    for number in range(rounds):
        writer = Decisions(storage)
        ours_now, bare_now = one_round(folder / f"bare-{number}", writer, count)
        ours, bare = ours + ours_now, bare + bare_now
        writer.close()
        writer.fold()
    ratio = statistics.median(ours) / statistics.median(bare)
    print(
        f"a decision {ms(ours)}, append and fsync {ms(bare)}, ratio {ratio:.2f} (limit {LIMIT:.0f})"
    )


def one_round(path: Path, writer: Decisions, count: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each decision, and of each append to a file at `path`."""
    # Reads what is known and makes the file, which each process does once.
    writer.decide("anna", "reviewed", [media_id(0)])
    [own] = writer.storage.path(FOLDER).glob("*.jsonl")
    line = own.read_bytes()
    with path.open("wb", buffering=0) as file:
        bare = partial(append, file, line)
        ours = partial(writer.decide, "anna", "reviewed", [media_id(0)])
        pairs = [(timed(ours), timed(bare)) for _ in range(count)]
    return [one for one, _ in pairs], [one for _, one in pairs]


def append(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    os.fsync(file.fileno())


def reading(folder: Path, size: int) -> None:
    """Measure how long a library takes to read all decisions, and the marks of one day."""
    storage = Storage(folder)
    make(storage, size)
    reader, day = Decisions(storage), [media_id(number) for number in range(DAY)]
    first = timed(lambda: reader.marks(day))
    again = [timed(lambda: reader.marks(day)) for _ in range(20)]
    print(f"{size:7,} decisions: read {first * 1000:.0f} ms, marks of a day {ms(again)}")


def make(storage: Storage, count: int) -> None:
    """Fold `count` decisions about as many uploads into the library."""
    if count:
        now = datetime(2026, 3, 3, tzinfo=UTC)
        found = DecisionSet(
            Decision(f"{number:016x}", number, now, "anna", "reviewed", (media_id(number),))
            for number in range(count)
        )
        Decisions(storage)._swap([], found)


def media_id(number: int) -> str:
    return f"{number:016x}"


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ms(times: list[float]) -> str:
    return f"{statistics.median(times) * 1000:.2f} ms"


if __name__ == "__main__":
    main()
