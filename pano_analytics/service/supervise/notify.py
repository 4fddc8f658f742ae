"""Notifications to the service manager (sd_notify(3)): ready, watchdog, stopping."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

SOCKET, EVERY_US, FOR_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"


def notify(*messages: str) -> None:
    """Send `messages`, such as READY=1, to the service manager; do nothing if there is none."""
    address = os.environ.get(SOCKET, "")
    if not address.startswith(("/", "@")):
        return
    # @ marks an abstract socket, whose name begins with a zero byte.
    where = f"\0{address[1:]}" if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        # A service manager that does not read must not block us.
        channel.setblocking(False)
        channel.sendto("\n".join(messages).encode(), where)


def watchdog_s() -> float | None:
    """Return the interval in seconds of the service manager's watchdog, or None."""
    is_for_us = os.environ.get(FOR_PID, str(os.getpid())) == str(os.getpid())
    try:
        every_us = int(os.environ.get(EVERY_US, "0"))
    except ValueError:
        return None
    return every_us / 1e6 if is_for_us and every_us > 0 else None
