"""How ingest grows with the tree: first run, quiet run, one new file, memory.

    python benchmarks/ingest_scale.py [--sizes 10000 100000 1000000]

Each size is measured as whole processes against tools that do the least: the
first run against `find` over the same tree, the quiet run against `find -printf
'%s %T@'`, and one new file against the quiet run. Ratios are of medians.
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
from pathlib import Path

from trees import make_tree


def main() -> None:
    """Print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    for size in parser.parse_args().sizes:
        with tempfile.TemporaryDirectory(prefix="pano-bench-") as scratch:
            measure(Path(scratch), size)


def measure(scratch: Path, size: int) -> None:
    """Make a tree of `size` files and ingest it, again, and again with one file more."""
    root = scratch / "uploads"
    files, folders = make_tree(root, size)
    ingest = [sys.executable, "-m", "pano_analytics.cli", "ingest", "--no-inspect", "--quiet"]
    ingest += ["--uploads", str(root), "--library", str(scratch / "library")]
    first_s, memory_mb = run(ingest)
    quiet = statistics.median(run(ingest)[0] for _ in range(5))
    find = statistics.median(run(["find", str(root), "-printf", "%s %T@\n"])[0] for _ in range(5))
    one = statistics.median(one_more(root, ingest, number) for number in range(5))
    print(
        f"{files:8d} files, {folders:7d} folders: first run {first_s / find:6.1f} x find, "
        f"{memory_mb:5.0f} MB; quiet {quiet / find:5.2f} x find ({quiet:.2f} s); "
        f"one new file {one / quiet:5.2f} x quiet ({one:.2f} s)",
        flush=True,
    )


def one_more(root: Path, ingest: list[str], number: int) -> float:
    """Return what a run costs that finds one new upload of today."""
    now = datetime.now() - timedelta(hours=1, seconds=number)
    folder = root / f"camera0/AMC0000_F01N44/{now:%Y-%m-%d}/001/jpg/{now:%H/%M}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{now:%S}[M][0@0][0].jpg").touch()
    return run(ingest)[0]


def run(command: list[str]) -> tuple[float, float]:
    """Return the seconds and the peak memory (MB, of this process and its largest child)."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} ended with {status}")
    return time.perf_counter() - began, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
