"""Which program of this computer is at the other end of a connection, as far as Linux tells.

A proxy or forwarder that changes nothing in what it passes on cannot be told from
a browser by the request. But a browser belongs to a person, and takes no
connections from other machines.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
LISTENING = "0A"
SYSTEM_ACCOUNTS = range(1, 1000)
NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Wire:
    """One TCP socket of this computer, as /proc/net/tcp has it."""

    here: tuple[str, int]
    there: tuple[str, int]
    state: str
    uid: int
    inode: str


def forwards(peer: Any, local: Any) -> str | None:
    """Return why the program that connected from `peer` to `local` is no person's browser.

    Both are socket addresses of this computer. None where it may be one, and where the
    system does not tell.
    """
    wires = list(_wires())
    ends = (_plain(peer), _plain(local))
    found = next((wire for wire in wires if (wire.here, wire.there) == ends), None)
    if found is None:
        return None
    if _is_system(found.uid):
        return f"it comes from a program of the system account {found.uid}"
    open_to_others = {wire.inode for wire in wires if _is_open_to_others(wire)}
    if _sockets_beside(found) & open_to_others:
        return "it comes from a program that other machines can connect to"
    return None


def _is_system(uid: int) -> bool:
    return uid != os.geteuid() and (uid in SYSTEM_ACCOUNTS or uid == NOBODY)


def _is_open_to_others(wire: Wire) -> bool:
    return wire.state == LISTENING and not ipaddress.ip_address(wire.here[0]).is_loopback


def _wires() -> Iterator[Wire]:
    for name in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            here, there = _ends(fields[1]), _ends(fields[2])
            yield Wire(here, there, fields[3], int(fields[7]), fields[9])


def _ends(text: str) -> tuple[str, int]:
    address, _, port = text.partition(":")
    # In words of four bytes, each with its last byte first.
    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
    return _plain((str(ipaddress.ip_address(b"".join(words))), int(port, 16)))


def _plain(end: Any) -> tuple[str, int]:
    address = ipaddress.ip_address(str(end[0]).partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address), int(end[1])


def _sockets_beside(wire: Wire) -> set[str]:
    """Return the inodes of all sockets of the program that holds `wire`; none if it is ours."""
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or is another's
            if folder.stat().st_uid == wire.uid and folder.name != str(os.getpid()):
                inodes = set(_sockets_of(folder))
                if wire.inode in inodes:
                    return inodes
    return set()


def _sockets_of(folder: Path) -> Iterator[str]:
    for entry in (folder / "fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            name = str(entry.readlink())
            if name.startswith("socket:["):
                yield name[8:-1]
