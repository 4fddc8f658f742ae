"""Processes of a measured command."""

from __future__ import annotations

import subprocess


def tree_of(pid: int) -> list[int]:
    """Return a process and all that it started, directly or not."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [pid, *(below for child in found.stdout.split() for below in tree_of(int(child)))]
