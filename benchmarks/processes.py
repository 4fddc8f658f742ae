"""Find the processes of a measured command."""

from __future__ import annotations

import subprocess


def tree_of(pid: int) -> list[int]:
    """Return the ids of a process and of all processes that it started, directly or not."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [pid, *(below for child in found.stdout.split() for below in tree_of(int(child)))]
