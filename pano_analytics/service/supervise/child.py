"""A part's own side: it ends with its supervisor, however that ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

SUPERVISOR = "PANO_SUPERVISOR"
"""The environment variable that tells a part the process id of its supervisor."""
_PR_SET_PDEATHSIG = 1


def end_with_supervisor() -> None:
    """Have the kernel end this process with its supervisor; nothing where it has none.

    Called before anything else is done, and not by who forks: what runs between
    fork and exec of a process with threads must not take a lock.
    """
    supervisor = os.environ.pop(SUPERVISOR, "")
    if not supervisor or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if str(os.getppid()) != supervisor:  # it ended before it was asked for
        os.kill(os.getpid(), signal.SIGKILL)


def environment(supervisor: int) -> dict[str, str]:
    """Return what a part of the process `supervisor` finds in its environment."""
    # What it is told about the service manager is for the supervisor alone.
    private = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    kept = {name: value for name, value in os.environ.items() if name not in private}
    return _SMALL | kept | {SUPERVISOR: str(supervisor), "PYTHONUNBUFFERED": "1"}


# Memory that is not in use goes back to the kernel sooner; whoever sets these is heard.
_SMALL = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
