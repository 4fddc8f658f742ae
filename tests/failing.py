"""Runs a `pano` command many times, each time with another call to the disk failing.

Started with `power.c` preloaded: everything is loaded once, then each run is a fork on a
fresh copy of a home, in which the n-th call fails; then the same again undisturbed.
After each of the two, `pano status` tells of the library. `proof` is one more command after
the first, and `copy` a folder whose journal is told. Prints one JSON line for each run.
The errors take turns.

    python failing.py HOME WORK SPEC      SPEC: {"argv", "errors", "most", "where", "stdin",
                                         "proof", "copy"}
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import shutil
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any


@cache
def disk() -> ctypes.CDLL:
    """Return the library that is preloaded."""
    return ctypes.CDLL(os.environ["LD_PRELOAD"])


def fresh(home: Path, work: Path) -> None:
    """Lay a copy of `home` at `work`."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(home, work, symlinks=True)


def run(argv: list[str], work: Path, at: int, error: int, stdin: str) -> dict[str, Any]:
    """Run a command in a fork, with the call number `at` failing; return what came of it."""
    output, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(output)
        os._exit(_in_fork(argv, work, at, error, stdin, told))
    os.close(told)
    with os.fdopen(output, "rb") as file:
        text = file.read().decode()
    _, status = os.waitpid(child, 0)
    return {"at": at, "error": error, "code": os.waitstatus_to_exitcode(status), **json.loads(text)}


def _in_fork(argv: list[str], work: Path, at: int, error: int, stdin: str, told: int) -> int:
    os.chdir(work)
    sys.stdin = io.StringIO(stdin)
    sys.stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    sys.stderr = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    from pano_analytics.cli import main

    disk().power_arm(at, error)
    try:
        main(argv)
        code: object = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 99
    calls = disk().power_arm(0, 0)
    said = [stream.buffer.getvalue().decode() for stream in (sys.stdout, sys.stderr)]  # type: ignore[attr-defined]
    with os.fdopen(told, "wb") as file:
        file.write(json.dumps({"calls": calls, "out": said[0], "err": said[1]}).encode())
    return code if isinstance(code, int) else 0


def uploads(work: Path) -> dict[str, str]:
    """Return the hash of every file in the upload tree."""
    root = work / "uploads"
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest() for path in files}


def points(calls: int, most: int) -> list[int]:
    """Return up to `most` of the calls 1 to `calls`, evenly spread."""
    if calls <= most:
        return list(range(1, calls + 1))
    return sorted({1 + round(i * (calls - 1) / (most - 1)) for i in range(most)})


def main() -> None:
    home, work, spec = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    warm(spec["argv"])
    fresh(home, work)
    undisturbed = run(spec["argv"], work, 0, 0, spec["stdin"])
    print(json.dumps(undisturbed), flush=True)
    errors = spec["errors"]
    for number, at in enumerate(points(undisturbed["calls"], spec["most"])):
        fresh(home, work)
        failed = run(spec["argv"], work, at, errors[number % len(errors)], spec["stdin"])
        failed["uploads"] = uploads(work)
        failed["between"] = run(["status", "--json", *spec["where"]], work, 0, 0, "")
        if spec["proof"]:
            failed["proof"] = run(spec["proof"], work, 0, 0, "")
        failed["journal"] = sorted(
            path.name for path in (work / spec["copy"] / "journal").glob("*")
        )
        again = run(spec["argv"], work, 0, 0, spec["stdin"])
        again["uploads"] = uploads(work)
        look = run(["status", "--json", *spec["where"]], work, 0, 0, "")
        print(json.dumps({**failed, "again": again, "look": look}), flush=True)


def warm(argv: list[str]) -> None:
    """Load what the commands load, and let threads open files where processes would."""
    import duckdb  # noqa: F401
    import pandas  # noqa: F401

    from pano_analytics.cli import COMMANDS, pano
    from pano_analytics.ingest import run as ingesting  # noqa: F401
    from pano_analytics.workers import crew

    crew.pool = lambda workers: ThreadPoolExecutor(1)  # type: ignore[assignment]
    for name in COMMANDS:
        pano.get_command(None, name)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
