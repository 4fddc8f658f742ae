"""Ingest by names alone, compared with a plain loop over the same 178,000 files.

    python benchmarks/ingest_names.py [--files 178000] [--rounds 3]

The plain loop is what somebody would write in an afternoon: scandir and stat, one
regular expression per path, one Parquet file per day. Both run alternately as whole
processes on the same tree; the ratio is that of the medians. The target is 1.5.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trees import make_tree

PLAIN = """
import os, re, sys
from collections import defaultdict
from datetime import datetime
import pyarrow as pa, pyarrow.parquet as pq

root, out = sys.argv[1:]
form = re.compile(
    r'(?P<camera>[^/]+)/[^/]+/(?P<date>\\d{4}-\\d\\d-\\d\\d)/001/(?:jpg/(?P<h>\\d\\d)/(?P<m>\\d\\d)/'
    r'(?P<s>\\d\\d)|dav/\\d\\d/(?P<start>\\d\\d\\.\\d\\d\\.\\d\\d)-(?P<end>\\d\\d\\.\\d\\d\\.\\d\\d))'
    r'\\[(?P<trigger>.)\\].*\\.(?P<ext>jpg|dav|mp4)$'
)
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
            start = datetime.strptime(f"{found['date']} {clock}", '%Y-%m-%d %H.%M.%S')
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


def main() -> None:
    """Print the ratio and the figures behind it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=178_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pano-bench-") as scratch:
        root = Path(scratch, "uploads")
        files, folders = make_tree(root, asked.files)
        print(f"{files} files in {folders} folders")
        plain, ours = [], []
        for number in range(asked.rounds):
            library, flat = f"{scratch}/library{number}", f"{scratch}/plain{number}"
            plain.append(_timed([sys.executable, "-c", PLAIN, str(root), flat]))
            ours.append(
                _timed(
                    [
                        sys.executable,
                        "-m",
                        "pano_analytics.cli",
                        "ingest",
                        "--no-inspect",
                        "--uploads",
                        str(root),
                        "--library",
                        library,
                    ]
                )
            )
        quiet = [
            _timed(
                [
                    sys.executable,
                    "-m",
                    "pano_analytics.cli",
                    "ingest",
                    "--no-inspect",
                    "--uploads",
                    str(root),
                    "--library",
                    library,
                ]
            )
            for _ in range(asked.rounds)
        ]
        find = [_timed(["find", str(root), "-printf", "%s %T@\\n"]) for _ in range(asked.rounds)]
    print(f"plain loop {statistics.median(plain):.2f} s, pano {statistics.median(ours):.2f} s")
    print(f"ratio {statistics.median(ours) / statistics.median(plain):.2f} (target 1.5)")
    print(f"nothing new {statistics.median(quiet):.2f} s, find {statistics.median(find):.2f} s")
    print(f"ratio {statistics.median(quiet) / statistics.median(find):.2f} (target 1.0)")


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
