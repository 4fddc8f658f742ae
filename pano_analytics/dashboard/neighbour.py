"""Which program of this computer is at the other end of a connection, as far as Linux tells.

A proxy or forwarder that changes nothing in what it passes on cannot be told from
a browser by the request. But a browser belongs to a person, and takes no
connections from other machines.
"""

from __future__ import annotations

# pathlib takes ten times as long, and a visitor waits.
# ruff: noqa: PTH115, PTH116
import ipaddress
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
# State 0A; the far end of such a socket is port 0.
_LISTENER = re.compile(r":0000 0A ")
_LOOPBACK = re.compile(r"(0{16}FFFF0000)?[0-9A-F]{6}7F:|0{24}01000000:")
SYSTEM_ACCOUNTS = range(1, 1000)
NOBODY = 65534


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """One TCP socket of this computer, as /proc/net/tcp has it; `here` is ADDRESS:PORT in hex."""

    here: str
    state: str
    uid: int
    inode: str


def forwards(peer: Any, local: Any) -> str | None:
    """Return why the program that connected from `peer` to `local` is no person's browser.

    Both are socket addresses of this computer. None where it may be one, and where the
    system does not tell.
    """
    table = _table()
    found = _between(table, peer, local)
    if found is None:
        return None
    if _is_system(found.uid):
        return f"it comes from a program of the system account {found.uid}"
    open_to_others = {
        wire.inode
        for wire in map(_wire, filter(_LISTENER.search, table))
        if wire.uid == found.uid and not _LOOPBACK.match(wire.here)
    }
    # Looking through programs takes a while: not where there is nothing to be found.
    if open_to_others and _sockets_beside(found) & open_to_others:
        return "it comes from a program that other machines can connect to"
    return None


def _is_system(uid: int) -> bool:
    return uid != os.geteuid() and (uid in SYSTEM_ACCOUNTS or uid == NOBODY)


def _table() -> list[str]:
    lines: list[str] = []
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            lines += (PROC / "net" / name).read_text().splitlines()[1:]
    return lines


def _wire(line: str) -> TcpSocket:
    fields = line.split()
    return TcpSocket(fields[1], fields[3], int(fields[7]), fields[9])


def _between(table: list[str], peer: Any, local: Any) -> TcpSocket | None:
    """Return the socket at the other end: its own end is `peer`, the far one `local`."""
    for is_mapped in (False, True):
        ends = f" {_hex(peer, is_mapped)} {_hex(local, is_mapped)} "
        for line in table:
            if ends in line:
                return _wire(line)
    return None


def _hex(end: Any, is_mapped: bool) -> str:
    """Return a socket address as the table has it, IPv4 as it is or mapped into IPv6."""
    address = ipaddress.ip_address(str(end[0]).partition("%")[0])
    plain = getattr(address, "ipv4_mapped", None) or address
    packed = plain.packed
    if is_mapped and plain.version == 4:
        packed = bytes(10) + b"\xff\xff" + packed
    # In words of four bytes, each with its last byte first.
    words = [packed[at : at + 4][::-1].hex().upper() for at in range(0, len(packed), 4)]
    return f"{''.join(words)}:{int(end[1]):04X}"


def _sockets_beside(wire: TcpSocket) -> set[str]:
    """Return the inodes of all sockets of the program that holds `wire`; none if it is ours."""
    # The newest first: whoever connects now has mostly not run for long.
    for number in sorted(map(int, filter(str.isdigit, os.listdir(PROC))), reverse=True):
        with suppress(OSError):  # it ended meanwhile, or is another's
            folder = f"{PROC}/{number}"
            if number != os.getpid() and os.stat(folder).st_uid == wire.uid:
                inodes = set(_sockets_of(f"{folder}/fd"))
                if wire.inode in inodes:
                    return inodes
    return set()


def _sockets_of(folder: str) -> Iterator[str]:
    for name in os.listdir(folder):
        with suppress(OSError):  # closed meanwhile
            target = os.readlink(f"{folder}/{name}")
            if target.startswith("socket:["):
                yield target[8:-1]
