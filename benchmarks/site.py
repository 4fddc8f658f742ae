"""The cost of the static site: the first run, a run with nothing new, and one new upload.

    python benchmarks/site.py [--cameras 6] [--days 15] [--uploads 50]

Uploads are tiny, so that the benchmark measures the site and not the disk. Each run
is a separate process, including its start-up; it is compared with a process that only
opens the library and queries all uploads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

from PIL import Image

LAST = datetime(2026, 11, 20, 20)
PANO = [sys.executable, "-c", "from pano_analytics.cli import main; main()"]
BARE = "import pano_analytics, sys; len(pano_analytics.open(sys.argv[1]).media())"


def main() -> None:
    """Make uploads, ingest them, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("cameras", 6), ("days", 15), ("uploads", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), given.cameras, given.days, given.uploads)


def measure(folder: Path, cameras: int, days: int, uploads: int) -> None:
    """Print the processor time and the files of each kind of run."""
    for camera in range(cameras):
        for day in range(days):
            for number in range(uploads):
                when = LAST - timedelta(days=day, minutes=7 * number)
                lay(folder / "uploads", f"camera{camera}", when, number)
    pano(folder, "ingest", "--quiet")
    print(f"{cameras} cameras, {days} days, {cameras * days * uploads} uploads")
    bare_s = min(asked([sys.executable, "-c", BARE, str(folder / "library")])[0] for _ in range(3))
    print(f"a process that queries all uploads: {bare_s:.2f} s")
    told("first run", folder, bare_s)
    told("nothing new", folder, bare_s)
    lay(folder / "uploads", "camera0", LAST + timedelta(minutes=1), 1)
    pano(folder, "ingest", "--quiet")
    told("one new upload", folder, bare_s)


def lay(root: Path, camera: str, when: datetime, number: int) -> None:
    """Write a tiny picture with the name that a camera would give it."""
    name = f"{camera}/AMC0/{when:%Y-%m-%d}/001/jpg/{when:%H/%M/%S}[M][0@0][0].jpg"
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = BytesIO()
    Image.new("RGB", (160, 90), (number * 5 % 256, 90, 120)).save(picture, "JPEG")
    path.write_bytes(picture.getvalue())
    os.utime(path, (when.timestamp() + 5, when.timestamp() + 5))


def pano(folder: Path, *arguments: str) -> tuple[float, str]:
    """Run a command on the library in `folder`; return its processor time and output."""
    where = ["--uploads", str(folder / "uploads"), "--library", str(folder / "library")]
    return asked([*PANO, *arguments, *where])


def asked(command: list[str]) -> tuple[float, str]:
    """Run a command; return its processor time in seconds and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used_s, done.stdout


def told(what: str, folder: Path, bare_s: float) -> None:
    """Run `pano site` and print its times and counts."""
    began = time.monotonic()
    used_s, said = pano(folder, "site", "--json", str(folder / "site"))
    wall_s = time.monotonic() - began
    summary = json.loads(said)
    print(
        f"{what}: {used_s:.2f} s processor time ({used_s / bare_s:.2f} x query), {wall_s:.2f} s; "
        f"{summary['days_made']} of {summary['days']} days made, {summary['written']} files written"
    )


if __name__ == "__main__":
    main()
