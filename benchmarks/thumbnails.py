"""Thumbnails as single files or in one pack per camera-day: inodes, bytes, and times.

    python benchmarks/thumbnails.py [--thumbnails 100000] [--day 330]

Both ways store the same thumbnails of the same camera-days, synced day by day as
ingest does. Serving reads 5,000 of them in random order; culling removes the older
half of the days. Each ratio is packs to single files: below 1, packs are better.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SIZE_BYTES = (9_000, 19_000)
SERVED = 5_000


def main() -> None:
    """Print the cost of each way, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--thumbnails", type=int, default=100_000)
    parser.add_argument("--day", type=int, default=330)
    asked = parser.parse_args()
    days = asked.thumbnails // asked.day
    chance = random.Random(1)
    pictures = [chance.randbytes(chance.randint(*SIZE_BYTES)) for _ in range(64)]
    wanted = [(chance.randrange(days), chance.randrange(asked.day)) for _ in range(SERVED)]
    with tempfile.TemporaryDirectory(prefix="pano-bench-") as scratch:
        figures = {
            way.__name__: measure(
                way(Path(scratch, way.__name__), asked.day, pictures), days, wanted
            )
            for way in (Singles, Packs)
        }
    print(f"{days * asked.day} thumbnails of {days} camera-days")
    for what in figures["Singles"]:
        single, pack = figures["Singles"][what], figures["Packs"][what]
        ratio = pack / single
        print(f"{what:18} single files {single:12.2f}   packs {pack:12.2f}   ratio {ratio:.3f}")


class Singles:
    """One file per thumbnail."""

    def __init__(self, root: Path, a_day: int, pictures: list[bytes]) -> None:
        self.root, self.a_day, self.pictures = root, a_day, pictures

    def picture(self, day: int, number: int) -> bytes:
        return self.pictures[(day * 7 + number) % len(self.pictures)]

    def write(self, day: int) -> None:
        folder = self.root / f"camera{day % 6}" / f"{day:05d}"
        folder.mkdir(parents=True)
        for number in range(self.a_day):
            path = folder / f"{number:016x}.jpg"
            path.write_bytes(self.picture(day, number))
            _sync(path)
        _sync(folder)

    def read(self, day: int, number: int) -> bytes:
        return (self.root / f"camera{day % 6}" / f"{day:05d}" / f"{number:016x}.jpg").read_bytes()

    def cull(self, day: int) -> None:
        shutil.rmtree(self.root / f"camera{day % 6}" / f"{day:05d}")


class Packs(Singles):
    """One file per camera-day; a thumbnail is a range of it."""

    def write(self, day: int) -> None:
        folder = self.root / f"camera{day % 6}" / f"{day:05d}"
        folder.mkdir(parents=True)
        path = folder / "0.pack"
        with path.open("xb") as file:
            file.writelines(self.picture(day, number) for number in range(self.a_day))
        _sync(path)
        _sync(folder)

    def read(self, day: int, number: int) -> bytes:
        sizes = [len(self.picture(day, before)) for before in range(number + 1)]
        with (self.root / f"camera{day % 6}" / f"{day:05d}" / "0.pack").open("rb") as file:
            file.seek(sum(sizes[:-1]))
            return file.read(sizes[-1])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def measure(way: Singles, days: int, wanted: list[tuple[int, int]]) -> dict[str, float]:
    """Return the cost of writing, storing, serving and culling in one way."""
    write_s = timed(lambda: [way.write(day) for day in range(days)])
    paths = list(way.root.rglob("*"))
    kept = sum(path.stat().st_blocks * 512 for path in paths)
    for day, number in wanted[:50]:
        assert way.read(day, number) == way.picture(day, number)
    serve = [timed(lambda w=one: way.read(*w)) for one in wanted]
    cull_s = timed(lambda: [way.cull(day) for day in range(days // 2)])
    return {
        "write, s": write_s,
        "inodes": len(paths),
        "on disk, MB": kept / 1e6,
        "serve one, us": statistics.median(serve) * 1e6,
        "cull half, s": cull_s,
    }


def timed(deed: Callable[[], object]) -> float:
    """Return the seconds that `deed` takes."""
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
