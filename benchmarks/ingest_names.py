"""Ingest by names alone, compared with a plain loop over the same files, on trees of any shape.

    python benchmarks/ingest_names.py [--files 178000] [--rounds 3] [--shapes archive,full]

The plain loop is what somebody would write in an afternoon: scandir and stat, one
regular expression per path, one Parquet file per day. Both run alternately as whole
processes on the same tree; the ratios are those of the medians: of the time, and of the
processor time of all processes. The targets are 1.5 and 1.8.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from processes import Cost, cost
from trees import SHAPES

PLAIN = """
import os, re, sys
from collections import defaultdict
from datetime import datetime
import pyarrow as pa, pyarrow.parquet as pq

root, out, form = sys.argv[1:]
form = re.compile(form)
days = defaultdict(list)
waiting = [root]
while waiting:
    folder = waiting.pop()
    with os.scandir(folder) as listing:
        for item in listing:
            if item.is_dir():
                waiting.append(item.path)
                continue
            path = item.path[len(root) + 1:]
            found = form.match(path)
            if found is None:
                continue
            told = item.stat()
            clock = found['start'] or f"{found['h']}.{found['m']}.{found['s']}"
            start = datetime.strptime(f"{found['date']} {clock}", DATE + ' %H.%M.%S')
            days[found['date']].append(
                (path, found['camera'], start, found['trigger'], told.st_size, told.st_mtime)
            )
os.makedirs(out)
for day, rows in days.items():
    columns = list(zip(*rows))
    names = ['path', 'camera', 'start', 'trigger', 'size_bytes', 'mtime']
    pq.write_table(pa.table(dict(zip(names, map(list, columns)))), f'{out}/{day}.parquet')
print(sum(map(len, days.values())))
"""

_DEEP = (
    r"(?P<camera>[^/]+)/[^/]+/(?P<date>\d{4}-\d\d-\d\d)/001/(?:jpg/(?P<h>\d\d)/(?P<m>\d\d)/"
    r"(?P<s>\d\d)|dav/\d\d/(?P<start>\d\d\.\d\d\.\d\d)-(?P<end>\d\d\.\d\d\.\d\d))"
    r"\[(?P<trigger>.)\].*\.(?P<ext>jpg|dav|mp4)$"
)
_FULL = (
    r"(?P<camera>[^/]+)/(?P<date>\d{4}-\d\d-\d\d)/001/jpg/(?P<h>\d\d)/(?P<m>\d\d)\.(?P<s>\d\d)"
    r"(?P<start>-.*)?\[(?P<trigger>.)\].*\.(?P<ext>jpg)$"
)
_FLAT = (
    r"(?P<camera>[^/]+)/\d+_(?P<date>\d{8})(?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)(?P<start>-.*)?_"
    r"\[(?P<trigger>.)\].*\.(?P<ext>jpg)$"
)
FORMS = {"archive": _DEEP, "small": _DEEP, "full": _FULL, "flat": _FLAT}


def main() -> None:
    """Print the ratios of each shape and the figures behind them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=178_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    asked = parser.parse_args()
    for shape in asked.shapes.split(","):
        with tempfile.TemporaryDirectory(prefix="pano-bench-") as scratch:
            _measure(Path(scratch), shape, asked.files, asked.rounds)


def _measure(scratch: Path, shape: str, wanted: int, rounds: int) -> None:
    root, library, flat = scratch / "uploads", scratch / "library", scratch / "plain"
    files, folders = SHAPES[shape](root, wanted)
    print(f"{shape}: {files} files in {folders} folders")
    date = "%Y%m%d" if shape == "flat" else "%Y-%m-%d"
    plain = [sys.executable, "-c", PLAIN.replace("DATE", repr(date))]
    plain += [str(root), str(flat), FORMS[shape]]
    ours = [sys.executable, "-m", "pano_analytics.cli", "ingest", "--no-inspect"]
    ours += ["--uploads", str(root), "--library", str(library)]
    theirs, first = [], []
    for _ in range(rounds):
        for folder in (library, flat):
            shutil.rmtree(folder, ignore_errors=True)
        theirs.append(cost(plain))
        first.append(cost(ours))
    _print("plain loop", theirs, "pano", first)
    quiet = [cost(ours) for _ in range(rounds)]
    find = [cost(["find", str(root), "-printf", "%s %T@\n"]) for _ in range(rounds)]
    _print("find", find, "nothing new", quiet)


def _print(name: str, base: list[Cost], ours_name: str, ours: list[Cost]) -> None:
    for what, of in (("time", 0), ("processor time", 1)):
        one, other = (statistics.median(cost[of] for cost in costs) for costs in (base, ours))
        print(f"  {what}: {name} {one:.2f} s, {ours_name} {other:.2f} s, ratio {other / one:.2f}")


if __name__ == "__main__":
    main()
