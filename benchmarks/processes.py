"""Find the processes of a measured command, and what they cost."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


def tree_of(pid: int) -> list[int]:
    """Return the ids of a process and of all processes that it started, directly or not."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [pid, *(below for child in found.stdout.split() for below in tree_of(int(child)))]


class Cost(NamedTuple):
    """What a command took: time, and processor time of all its processes, in seconds."""

    time_s: float
    processor_s: float


# prctl(2): who outlives its parent becomes a child of this process, which then counts it.
_SET_CHILD_SUBREAPER = 36


def cost(
    command: list[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Cost:
    """Run a command; return its cost, with that of processes that it leaves behind."""
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=cwd, env=env)
    time_s = time.perf_counter() - began
    try:
        while True:
            os.wait()
    except ChildProcessError:
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = (after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime)
    return Cost(time_s, sum(used))
