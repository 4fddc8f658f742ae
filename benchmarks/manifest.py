"""Time the manifest of many cameras and days, compared with one file for all parts.

    python benchmarks/manifest.py [--rounds 5] [--only 500x400]

Measured in a process of its own for each round, both sides in turn: opening (read the
manifest; cameras, counters, newest moment), its memory at the end, one camera-day asked
for at first, and a commit of one camera-day without its Parquet part. The limits for 500
cameras x 400 days are 0.3 s and 150 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from pano_analytics.store.catalog import CameraDay, Catalog, Manifest, Part
from pano_analytics.store.months import PART_FIELDS
from pano_analytics.store.storage import Storage

SIZES = ((10, 14), (50, 400), (500, 400), (5000, 14))
LAST = date(2026, 11, 20)
DAY_US = 86_400_000_000
ONE_FILE = "one-file.json"
WHAT = ("open_s", "memory_mb", "camera_day_s", "commit_s")


def main() -> None:
    """Print one row per size: seconds and MB, and the ratios to one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="one size, such as 500x400")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(child(*asked.child)))
        return
    for cameras, days in SIZES:
        if asked.only in (None, f"{cameras}x{days}"):
            with tempfile.TemporaryDirectory(prefix="pano-bench-") as folder:
                measure(Path(folder), cameras, days, asked.rounds)


def measure(folder: Path, cameras: int, days: int, rounds: int) -> None:
    """Make the manifests of `cameras` x `days`, and measure both in turn."""
    make(Storage(folder), cameras, days)
    found: dict[str, list[dict[str, float]]] = {"months": [], "one file": []}
    for _ in range(rounds):
        for kind, values in found.items():
            command = [sys.executable, __file__, "--child", kind, str(folder), name(cameras // 2)]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            values.append(json.loads(said))
    ours, theirs = (
        {what: statistics.median(value[what] for value in values) for what in WHAT}
        for values in found.values()
    )
    print(f"{cameras} x {days}:")
    for what in WHAT:
        ratio = ours[what] / theirs[what]
        print(f"  {what:13} {ours[what]:9.3f}, one file {theirs[what]:9.3f}, ratio {ratio:.2f}")


def name(number: int) -> str:
    return f"camera{number:04d}"


def make(storage: Storage, cameras: int, days: int) -> None:
    """Write the manifest of a library, and the same as one file; no part is there."""
    first = LAST - timedelta(days=days - 1)
    keys = [
        CameraDay(name(n), first + timedelta(days=d)) for n in range(cameras) for d in range(days)
    ]
    tables = {table: {day: part(table, day) for day in keys} for table in ("media", "frames")}
    manifest = replace(Manifest().changed(tables), generation=1)
    Catalog(storage).adopt(manifest)
    storage.replace(ONE_FILE, whole(tables))


def part(table: str, day: CameraDay) -> Part:
    path = f"parts/{table}/camera={day.camera}/date={day.date}/part-00000001-abcdef.parquet"
    if table != "media":
        return Part(path, 400)
    start_us = (day.date - date(1970, 1, 1)).days * DAY_US
    held = {"size_bytes": 40_000_000, "held": 150, "held_bytes": 40_000_000}
    span = {"first_us": start_us, "last_us": start_us + DAY_US - 1}
    return Part(path, 150, 140, 10, **span, **held, states={"complete": 149, "partial": 1})


# --- one file for all, as pano wrote and read it at first ---------------------


def whole(tables: dict[str, dict[CameraDay, Part]]) -> bytes:
    document: dict[str, object] = {"format": 1, "generation": 1, "fields": PART_FIELDS}
    for table, parts in tables.items():
        nested: dict[str, dict[str, list[object]]] = {}
        for day, one in sorted(parts.items()):
            values = [getattr(one, field) for field in PART_FIELDS]
            nested.setdefault(day.camera, {})[day.date.isoformat()] = values
        document[table] = nested
    return json.dumps(document | {"retired": []}, separators=(",", ":")).encode()


def parsed(data: bytes) -> dict[str, dict[CameraDay, Part]]:
    document = json.loads(data)
    return {table: dict(flat(document[table])) for table in ("media", "frames")}


def flat(nested: dict[str, dict[str, list[object]]]) -> Iterator[tuple[CameraDay, Part]]:
    for camera, days in nested.items():
        for day, values in days.items():
            yield CameraDay(camera, date.fromisoformat(day)), Part(*values)


# --- one round ----------------------------------------------------------------


def child(kind: str, folder: str, camera: str) -> dict[str, float]:
    """Measure one side in this process."""
    storage, day = Storage(Path(folder)), CameraDay(camera, LAST - timedelta(days=3))
    measured = with_months if kind == "months" else with_one_file
    return measured(storage, day)


def with_months(storage: Storage, day: CameraDay) -> dict[str, float]:
    catalog = Catalog(storage)
    start_us = (day.date - date(1970, 1, 1)).days * DAY_US

    def open_it() -> None:
        manifest = catalog.manifest()
        assert manifest.cameras()
        assert manifest.total().rows > 0

    def ask() -> None:
        found = catalog.manifest().select("media", [day.camera], start_us, start_us + DAY_US)
        assert [key for key, _ in found] == [day]

    def commit() -> None:
        manifest = catalog.manifest()
        changed = manifest.changed({"media": {day: part("media", day)}})
        catalog.adopt(replace(changed, generation=manifest.generation + 1))

    return rounds_of(open_it, ask, commit)


def with_one_file(storage: Storage, day: CameraDay) -> dict[str, float]:
    tables: dict[str, dict[CameraDay, Part]] = {}
    start_us = (day.date - date(1970, 1, 1)).days * DAY_US

    def open_it() -> None:
        tables.update(parsed(storage.read(ONE_FILE)))
        assert sorted({key.camera for key in tables["media"]})
        assert sum(one.rows for one in tables["media"].values()) > 0

    def ask() -> None:
        found = [
            key
            for key, one in tables["media"].items()
            if key.camera == day.camera
            and (one.last_us or 0) >= start_us
            and (one.first_us or 0) < start_us + DAY_US
        ]
        assert found == [day]

    def commit() -> None:
        changed = {**tables, "media": {**tables["media"], day: part("media", day)}}
        storage.replace(ONE_FILE, whole(changed))

    return rounds_of(open_it, ask, commit)


def rounds_of(
    open_it: Callable[[], None], ask: Callable[[], None], commit: Callable[[], None]
) -> dict[str, float]:
    opened = timed(open_it)
    asked = timed(ask)
    memory = rss_mb()
    return {
        "open_s": opened,
        "memory_mb": memory,
        "camera_day_s": asked,
        "commit_s": timed(commit),
    }


def timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def rss_mb() -> float:
    """Return the most memory that this process has had so far, Python and Arrow included."""
    status = Path(f"/proc/{os.getpid()}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
