"""The part's side of supervision: a part ends with its supervisor, however that ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

SUPERVISOR = "PANO_SUPERVISOR"
"""The environment variable with the process id of a part's supervisor."""
_PR_SET_PDEATHSIG = 1


def end_with_supervisor() -> None:
    """Have the kernel kill this process when its supervisor ends; do nothing if it has none.

    The part calls this first, rather than the supervisor between fork and exec, where a process
    with threads must not take a lock.
    """
    supervisor = os.environ.pop(SUPERVISOR, "")
    if not supervisor or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if str(os.getppid()) != supervisor:  # the supervisor ended before prctl was called
        os.kill(os.getpid(), signal.SIGKILL)


def environment(supervisor: int) -> dict[str, str]:
    """Return the environment for a part of the process `supervisor`."""
    # Only the supervisor talks to the service manager.
    private = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    kept = {name: value for name, value in os.environ.items() if name not in private}
    return _SMALL | kept | {SUPERVISOR: str(supervisor), "PYTHONUNBUFFERED": "1"}


# Return unused memory to the kernel sooner, unless the user has set these variables.
_SMALL = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
