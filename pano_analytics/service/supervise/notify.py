"""What a service manager is told (sd_notify(3)): that all started, is well, is stopping."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

SOCKET, EVERY_US, FOR_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"


def notify(*said: str) -> None:
    """Tell the service manager `said`, such as READY=1; nothing where there is none."""
    address = os.environ.get(SOCKET, "")
    if not address.startswith(("/", "@")):
        return
    # A name that begins with @ is one of no file: its first byte is zero.
    where = f"\0{address[1:]}" if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        # A manager that does not listen must not hold up what it manages.
        line.setblocking(False)
        line.sendto("\n".join(said).encode(), where)


def watchdog_s() -> float | None:
    """Return within how many seconds the service manager wants to hear of us, or None."""
    is_meant = os.environ.get(FOR_PID, str(os.getpid())) == str(os.getpid())
    try:
        every_us = int(os.environ.get(EVERY_US, "0"))
    except ValueError:
        return None
    return every_us / 1e6 if is_meant and every_us > 0 else None
