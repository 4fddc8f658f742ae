"""How ingest grows with the tree: first run, quiet run, one new file, memory, interruption.

    python benchmarks/ingest_scale.py [--sizes 10000 100000 1000000] [--scratch DIR]

At each size, whole processes are compared with a minimal tool: the first run and the
quiet run with `find -printf '%s %T@'` over the same tree, and a run with one new file
with the quiet run. Memory is the peak of all processes of the first run together
(shared pages are counted once). Finally, a first run is interrupted half-way and
resumed; the time of both together is compared with the uninterrupted run. Ratios are
those of the medians.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from processes import tree_of
from trees import make_tree


def main() -> None:
    """Print one line per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--scratch", type=Path, help="a folder on the disk to measure")
    asked = parser.parse_args()
    for size in asked.sizes:
        with tempfile.TemporaryDirectory(prefix="pano-bench-", dir=asked.scratch) as scratch:
            measure(Path(scratch), size)


def measure(scratch: Path, size: int) -> None:
    """Make a tree of `size` files and ingest it: once, again, and with one new file."""
    root = scratch / "uploads"
    files, folders = make_tree(root, size)
    ingest = [sys.executable, "-m", "pano_analytics.cli", "ingest", "--no-inspect", "--quiet"]
    ingest += ["--uploads", str(root), "--library"]
    first, again = [*ingest, str(scratch / "library")], [*ingest, str(scratch / "interrupted")]
    memory_mb = peak_mb(first)
    shutil.rmtree(scratch / "library")
    first_s = run(first)
    resumed_s = interrupted(again, first_s / 2) + run(again)
    shutil.rmtree(scratch / "interrupted")
    quiet = statistics.median(run(first) for _ in range(5))
    find = statistics.median(run(["find", str(root), "-printf", "%s %T@\n"]) for _ in range(5))
    one = statistics.median(one_more(root, first, number) for number in range(5))
    print(
        f"{files:8d} files, {folders:7d} folders: first run {first_s:.1f} s, "
        f"{first_s / find:.1f} x find, {memory_mb:.0f} MB; "
        f"interrupted and resumed {resumed_s / first_s:.2f} x first run; "
        f"quiet {quiet / find:.2f} x find ({quiet:.2f} s); "
        f"one new file {one / quiet:.2f} x quiet ({one:.2f} s)",
        flush=True,
    )


def one_more(root: Path, ingest: list[str], number: int) -> float:
    """Return the seconds of a run with one new upload of today."""
    now = datetime.now() - timedelta(hours=1, seconds=number)
    folder = root / f"camera0/AMC0000_F01N44/{now:%Y-%m-%d}/001/jpg/{now:%H/%M}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{now:%S}[M][0@0][0].jpg").touch()
    return run(ingest)


def interrupted(command: list[str], after_s: float) -> float:
    """Return the seconds of a run that is interrupted with Ctrl-C after `after_s`."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.send_signal(signal.SIGINT)
    process.wait()
    return time.perf_counter() - began


def run(command: list[str]) -> float:
    """Run a process and return the seconds that it takes."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def peak_mb(command: list[str]) -> float:
    """Return the peak memory of a process and all processes that it started."""
    process, peak = subprocess.Popen(command, stdout=subprocess.DEVNULL), 0.0
    while process.poll() is None:
        peak = max(peak, sum(map(held_mb, tree_of(process.pid))))
        time.sleep(0.1)
    return peak


def held_mb(pid: int) -> float:
    """Return the memory of one process: its own pages and its share of shared pages."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


if __name__ == "__main__":
    main()
