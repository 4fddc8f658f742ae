"""Compare this version with an older one: six tasks, run alternately on the same uploads.

    git worktree add ../before v0.9
    python benchmarks/against.py ../before [--rounds 7] [--only "names only"]

Each task runs as a whole process with the package of one side first on its path; the
sides alternate and take turns to begin. Each side works on a library that it made itself,
since that is what its users have. Printed are the medians of the elapsed time and of the
processor time of all processes, and the ratios new to old. The limit is 1.05.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import gallery
from processes import Cost, cost
from trees import make_tree

HERE = Path(__file__).resolve().parent.parent
PANO = "from pano_analytics.cli import main; main()"
# The package must come from the side that is measured, not from where it is installed.
PROOF = "import pano_analytics, sys; sys.exit(not pano_analytics.__file__.startswith(sys.argv[1]))"
CAMERA_DAY = """
import json, statistics, sys, time
import pano_analytics
library = pano_analytics.open(sys.argv[1])
first = library.media(limit=1, newest_first=False, columns=["camera", "start"])
day = first["start"][0].normalize()
def ask():
    return library.media(camera=first["camera"][0], start=day, end=day + type(day - day)(days=1))
ask()
times = []
for _ in range(60):
    begun = time.perf_counter(), time.process_time()
    ask()
    times.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
print(json.dumps([statistics.median(column) for column in zip(*times)]))
"""
SERVE = """
import sys
import pano_analytics
from pano_analytics.dashboard.server import assemble, run
server = assemble(pano_analytics.open(sys.argv[1]), port=0)
print(server.port, flush=True)
run(server)
"""


@dataclass
class Side:
    """A checkout, the folder of its libraries, and what each task took."""

    name: str
    checkout: Path
    folder: Path
    times: dict[str, list[Cost]] = field(default_factory=dict)

    def cost(self, code: str, *arguments: str) -> Cost:
        """Run `code` with this side's package; return what it and all its processes took."""
        command = [sys.executable, "-c", code, *arguments]
        return cost(command, cwd=self.folder, env=self.environment())

    def output(self, code: str, *arguments: str) -> str:
        """Run `code` with this side's package; return what it prints."""
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(
            command,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment(),
        ).stdout

    def environment(self) -> dict[str, str]:
        """Return an environment in which this side's package is found first."""
        return {**os.environ, "PYTHONPATH": str(self.checkout)}

    def pano(self, library: str, uploads: Path, *arguments: str) -> Cost:
        """Run a command of pano on `library` (a name in this side's folder)."""
        where = ["--uploads", str(uploads), "--library", str(self.folder / library)]
        return self.cost(PANO, *arguments, *where)


def main() -> None:
    """Print one line per task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path, help="a checkout of the older version")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--files", type=int, default=178_000, help="of the tree that is only named")
    parser.add_argument("--only", action="append", choices=[name for name, _ in TASKS])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pano-bench-") as scratch:
        sides = [
            Side("old", given.before.resolve(), Path(scratch, "old")),
            Side("new", HERE, Path(scratch, "new")),
        ]
        for side in sides:
            side.folder.mkdir()
            side.output(PROOF, str(side.checkout))
        trees = Trees(Path(scratch), given.files)
        for name, task in TASKS:
            if not given.only or name in given.only:
                task(sides, trees, given.rounds, name)
                report(name, sides)


def report(name: str, sides: list[Side]) -> None:
    """Print the medians of a task and their ratios."""
    old, new = ([statistics.median(c) for c in zip(*s.times[name], strict=True)] for s in sides)
    figures = [
        f"{what} {a:8.4f} s -> {b:8.4f} s, ratio {b / a:.3f}"
        for what, a, b in zip(("elapsed", "processor"), old, new, strict=True)
        if a  # a browser's processor time is not measured
    ]
    print(f"{name:11} {'; '.join(figures)}", flush=True)


@dataclass
class Trees:
    """The uploads that the tasks work on, each tree made when it is first needed."""

    scratch: Path
    files: int

    def names(self) -> Path:
        """Return a tree of empty files with the names of an archive."""
        root = self.scratch / "names"
        if not root.exists():
            make_tree(root, self.files)
        return root

    def pictures(self) -> Path:
        """Return a tree of snapshots that can be opened."""
        root = self.scratch / "pictures"
        if not root.exists():
            gallery.make_uploads(root)
        return root


Measure = Callable[[Side, int], Cost]


def alternate(sides: list[Side], rounds: int, name: str, measure: Measure) -> None:
    """Measure both sides in each round; the side that begins changes from round to round."""
    for number in range(rounds):
        for side in sides if number % 2 else sides[::-1]:
            side.times.setdefault(name, []).append(measure(side, number))


def names_only(sides: list[Side], trees: Trees, rounds: int, name: str) -> None:
    """Measure the first ingest by names."""

    def measure(side: Side, number: int) -> Cost:
        shutil.rmtree(side.folder / "names", ignore_errors=True)
        return side.pano("names", trees.names(), "ingest", "--no-inspect", "--quiet")

    trees.names()
    alternate(sides, rounds, name, measure)


def quiet_run(sides: list[Side], trees: Trees, rounds: int, name: str) -> None:
    """Measure an ingest that finds nothing new."""

    def measure(side: Side, number: int) -> Cost:
        return side.pano("names", trees.names(), "ingest", "--no-inspect", "--quiet")

    for side in sides:
        measure(side, 0)
    alternate(sides, rounds, name, measure)


def camera_day(sides: list[Side], trees: Trees, rounds: int, name: str) -> None:
    """Measure a query for one camera-day, without the start of the process."""

    def measure(side: Side, number: int) -> Cost:
        return Cost(*json.loads(side.output(CAMERA_DAY, str(side.folder / "names"))))

    for side in sides:
        if not (side.folder / "names").exists():
            side.pano("names", trees.names(), "ingest", "--no-inspect", "--quiet")
    alternate(sides, rounds, name, measure)


def inspection(sides: list[Side], trees: Trees, rounds: int, name: str) -> None:
    """Measure the first ingest of snapshots that are opened."""

    def measure(side: Side, number: int) -> Cost:
        shutil.rmtree(side.folder / "pictures", ignore_errors=True)
        return side.pano("pictures", trees.pictures(), "ingest", "--quiet")

    trees.pictures()
    alternate(sides, rounds, name, measure)


def site(sides: list[Side], trees: Trees, rounds: int, name: str) -> None:
    """Measure the first run of the static site."""

    def measure(side: Side, number: int) -> Cost:
        target = side.folder / f"site{number}"
        taken = side.pano("pictures", trees.pictures(), "site", "--quiet", str(target))
        shutil.rmtree(target)
        return taken

    with_pictures(sides, trees)
    alternate(sides, rounds, name, measure)


def gallery_shown(sides: list[Side], trees: Trees, rounds: int, name: str) -> None:
    """Measure from the navigation to the last visible thumbnail; no processor time is known."""
    with_pictures(sides, trees)
    with ExitStack() as stack:
        addresses = {side.name: stack.enter_context(serving(side)) for side in sides}
        chromium = stack.enter_context(gallery.browser())

        def measure(side: Side, number: int) -> Cost:
            return Cost(gallery.visit(chromium, "dashboard", addresses[side.name]) / 1000, 0.0)

        for side in sides:
            measure(side, 0)
        alternate(sides, rounds, name, measure)


def with_pictures(sides: list[Side], trees: Trees) -> None:
    """Ingest the snapshots where that has not been done."""
    for side in sides:
        if not (side.folder / "pictures").exists():
            side.pano("pictures", trees.pictures(), "ingest", "--quiet")


@contextmanager
def serving(side: Side) -> Iterator[str]:
    """Serve the dashboard of one side; yield its address."""
    command = [sys.executable, "-c", SERVE, str(side.folder / "pictures")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=side.environment(), cwd=side.folder
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        process.terminate()


TASKS: list[tuple[str, Callable[[list[Side], Trees, int, str], None]]] = [
    ("names only", names_only),
    ("quiet run", quiet_run),
    ("camera-day", camera_day),
    ("inspection", inspection),
    ("site", site),
    ("gallery", gallery_shown),
]

if __name__ == "__main__":
    main()
