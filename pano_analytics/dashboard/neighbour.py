"""Find the local program at the other end of a connection, as far as Linux shows it.

A proxy or forwarder that passes requests on unchanged cannot be recognised by the request.
But a browser runs under a person's account, and accepts no connections from other machines.
"""

from __future__ import annotations

# pathlib takes ten times as long, while a visitor waits.
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
    """Return why the program that connected from `peer` to `local` is not a person's browser.

    Both are socket addresses of this computer. Returns None if it may be a browser, or if
    the system does not show the program.
    """
    table = _table()
    peer_socket = _socket_between(table, peer, local)
    if peer_socket is None:
        return None
    if _is_system(peer_socket.uid):
        return f"it comes from a program of the system account {peer_socket.uid}"
    open_to_others = {
        listener.inode
        for listener in map(_parse_socket, filter(_LISTENER.search, table))
        if listener.uid == peer_socket.uid and not _LOOPBACK.match(listener.here)
    }
    # Searching the programs takes a while, so do it only if there is something to find.
    if open_to_others and _sockets_of_program(peer_socket) & open_to_others:
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


def _parse_socket(line: str) -> TcpSocket:
    fields = line.split()
    return TcpSocket(fields[1], fields[3], int(fields[7]), fields[9])


def _socket_between(table: list[str], peer: Any, local: Any) -> TcpSocket | None:
    """Return the socket whose own address is `peer` and whose remote address is `local`."""
    for is_mapped in (False, True):
        ends = f" {_hex(peer, is_mapped)} {_hex(local, is_mapped)} "
        for line in table:
            if ends in line:
                return _parse_socket(line)
    return None


def _hex(end: Any, is_mapped: bool) -> str:
    """Return a socket address in the format of the table, IPv4 plain or mapped into IPv6."""
    address = ipaddress.ip_address(str(end[0]).partition("%")[0])
    plain = getattr(address, "ipv4_mapped", None) or address
    packed = plain.packed
    if is_mapped and plain.version == 4:
        packed = bytes(10) + b"\xff\xff" + packed
    # In little-endian words of four bytes.
    words = [packed[at : at + 4][::-1].hex().upper() for at in range(0, len(packed), 4)]
    return f"{''.join(words)}:{int(end[1]):04X}"


def _sockets_of_program(sock: TcpSocket) -> set[str]:
    """Return the inodes of all sockets of the program that holds `sock`; empty for this one."""
    # Newest first: a program that connects now has usually not run for long.
    for number in sorted(map(int, filter(str.isdigit, os.listdir(PROC))), reverse=True):
        with suppress(OSError):  # it has ended, or belongs to another user
            folder = f"{PROC}/{number}"
            if number != os.getpid() and os.stat(folder).st_uid == sock.uid:
                inodes = set(_sockets_in(f"{folder}/fd"))
                if sock.inode in inodes:
                    return inodes
    return set()


def _sockets_in(folder: str) -> Iterator[str]:
    for name in os.listdir(folder):
        with suppress(OSError):  # closed meanwhile
            target = os.readlink(f"{folder}/{name}")
            if target.startswith("socket:["):
                yield target[8:-1]
