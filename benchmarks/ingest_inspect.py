"""Ingest with inspection on all cores, compared with a bare loop over the same files.

    python benchmarks/ingest_inspect.py [--files 3000] [--rounds 3]

The bare loop does the minimum that any solution must do: it reads each file,
hashes it, decodes it at reduced size (`draft` and `load`), makes a thumbnail and
saves it as JPEG, with one process per core. Ingest does the same, and also walks
the tree, reads names, determines states and clocks, stores grids, packs thumbnails
and commits. Both run alternately as whole processes; the target ratio is 1.15.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

BARE = """
import hashlib, sys
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path

def one(path):
    from PIL import Image
    data = Path(path).read_bytes()
    hashlib.sha256(data).hexdigest()
    with Image.open(BytesIO(data)) as image:
        image.draft("RGB", (480, 270))
        image.load()
        image.thumbnail((480, 270))
        image.save(BytesIO(), "JPEG", quality=75)

if __name__ == "__main__":
    paths = [str(path) for path in Path(sys.argv[1]).rglob("*.jpg")]
    with ProcessPoolExecutor(int(sys.argv[2])) as pool:
        list(pool.map(one, paths, chunksize=12))
"""


def main() -> None:
    """Print the ratio and the figures behind it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="pano-bench-") as scratch:
        root = Path(scratch, "uploads")
        make_snapshots(root, asked.files)
        bare, ours = [], []
        for number in range(asked.rounds):
            bare.append(timed([sys.executable, "-c", BARE, str(root), str(cores)]))
            library = f"{scratch}/library{number}"
            command = [sys.executable, "-m", "pano_analytics.cli", "ingest"]
            ours.append(timed([*command, "--uploads", str(root), "--library", library]))
    bare_s, ours_s = statistics.median(bare), statistics.median(ours)
    print(f"{asked.files} snapshots of 1080p on {cores} cores")
    print(f"bare loop {bare_s:.2f} s, {asked.files / bare_s / cores:.0f} files per second and core")
    print(f"pano      {ours_s:.2f} s, {asked.files / ours_s / cores:.0f} files per second and core")
    print(f"ratio {ours_s / bare_s:.2f} (target 1.15)")


def make_snapshots(root: Path, count: int) -> None:
    """Write `count` snapshots of about 300 KB, two dozen different ones by their noise."""
    chance = np.random.default_rng(1)
    scene = Image.effect_noise((1920, 1080), 90).filter(ImageFilter.GaussianBlur(6))
    shots = [snapshot(scene, chance) for _ in range(24)]
    begins = datetime(2026, 3, 3, 8)
    for number in range(count):
        moment = begins + timedelta(seconds=11 * number)
        path = root / f"porch/AMC0001_F01N44/{moment:%Y-%m-%d}/001/jpg/{moment:%H/%M}"
        path.mkdir(parents=True, exist_ok=True)
        target = path / f"{moment:%S}[M][0@0][0].jpg"
        target.write_bytes(shots[number % len(shots)])
        os.utime(target, (moment.timestamp() + 5,) * 2)


def snapshot(scene: Image.Image, chance: np.random.Generator) -> bytes:
    """Return one picture of the scene, with its own sensor noise."""
    noise = chance.normal(0, 5, (540, 960)).astype(np.int16)
    grain = np.kron(noise, np.ones((2, 2), np.int16))
    picture = np.clip(np.asarray(scene, dtype=np.int16) + grain, 0, 255).astype(np.uint8)
    out = BytesIO()
    Image.fromarray(picture).convert("RGB").save(out, "JPEG", quality=80)
    return out.getvalue()


def timed(command: list[str]) -> float:
    """Run a process and return the seconds that it takes."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
