"""The delay from an upload's last byte until a watching ingest shows it, and the cost of watching.

    python benchmarks/ingest_watch.py [--files 178000] [--uploads 15] [--polling]

A tree of that size is ingested once. Then pictures arrive one by one in today's
folder, in a new one, and in that of two days ago, written as cameras do: under a
temporary name, then renamed. The result is the time until the library has the
picture as complete. The target is two seconds.
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

from PIL import Image
from processes import tree_of
from trees import make_tree

from pano_analytics.library import Library
from pano_analytics.settings import check
from pano_analytics.store.catalog import CameraDay

PATIENCE_S = 120.0
SETTLE_S, IDLE_S = 5.0, 30.0


def main() -> None:
    """Print one line per kind of folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=178_000)
    parser.add_argument("--uploads", type=int, default=15)
    parser.add_argument("--polling", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pano-bench-") as scratch:
        root, folder = Path(scratch, "uploads"), Path(scratch, "library")
        make_tree(root, asked.files)
        places = ["--uploads", str(root), "--library", str(folder)]
        ingest = [sys.executable, "-m", "pano_analytics.cli", "ingest", "--quiet", *places]
        subprocess.run(ingest, check=True)
        watch = subprocess.Popen([*ingest, "--watch", *(["--poll"] if asked.polling else [])])
        library = Library.of(check({}).model_copy(update={"uploads": root, "library": folder}))
        try:
            time.sleep(SETTLE_S)
            measure(library, root, asked.uploads)
            print(f"idle: {idle_percent(watch.pid):.1f} % of a core")
        finally:
            watch.terminate()
            watch.wait()


def measure(library: Library, root: Path, uploads: int) -> None:
    """Print, for each kind of folder, how long it took until its uploads were shown."""
    today = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for name, back, is_new in (
        ("today's folder", 0, False),
        ("a new minute's folder", 0, True),
        ("the day before yesterday", 2, True),
    ):
        took = []
        for number in range(uploads):
            moment = today - timedelta(days=back) + timedelta(minutes=number if is_new else 0)
            took.append(shown_s(library, root, moment + timedelta(seconds=number)))
            time.sleep(1.3)
        print(
            f"{name}: {statistics.median(took):.2f} s median, {max(took):.2f} s at most",
            flush=True,
        )


def shown_s(library: Library, root: Path, moment: datetime) -> float:
    """Write one picture as a camera does; return the seconds until it is shown as complete."""
    folder = root / f"camera0/AMC0000_F01N44/{moment:%Y-%m-%d}/001/jpg/{moment:%H/%M}"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{moment:%S}[M][0@0][9].jpg"
    (folder / f"{name}_").write_bytes(PICTURE)
    (folder / f"{name}_").rename(folder / name)
    began, path = time.perf_counter(), (folder / name).relative_to(root).as_posix()
    day = CameraDay("camera0", moment.date())
    while time.perf_counter() - began < PATIENCE_S:
        part = library.catalog.manifest().media.get(day)
        if part is not None:
            rows = library.catalog.read(part).select(["path", "state"]).to_pylist()
            if {"path": path, "state": "complete"} in rows:
                return time.perf_counter() - began
        time.sleep(0.02)
    raise SystemExit(f"{path} was not shown within {PATIENCE_S:g} s")


def idle_percent(pid: int) -> float:
    """Return the percentage of a core that the process and its children use when idle."""
    time.sleep(SETTLE_S)
    before = sum(map(used_s, tree_of(pid)))
    time.sleep(IDLE_S)
    return (sum(map(used_s, tree_of(pid))) - before) / IDLE_S * 100


def used_s(pid: int) -> float:
    """Return the processor seconds of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _picture() -> bytes:
    out = BytesIO()
    Image.effect_noise((1920, 1080), 60).convert("RGB").save(out, "JPEG", quality=80)
    return out.getvalue()


PICTURE = _picture()

if __name__ == "__main__":
    main()
