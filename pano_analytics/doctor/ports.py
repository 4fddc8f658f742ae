"""Can a camera upload? The way to an FTP server, taken as a camera takes it.

A camera opens one connection to log in and asks, with PASV, where to send a file; the
server names an address and a port, and the camera opens a second connection there. If
a router, a firewall or a container lets only the first through, the login works, the
camera's own test button is content, and no file ever comes. So this logs in, asks three
times (a server takes another port each time), opens what it was told, lists the folder
through it, and uploads nothing.

A connection from this computer to itself passes no firewall. Asked from another one in
the house (`pano doctor --ftp`) the answer is the camera's.
"""

from __future__ import annotations

import ftplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass

from pano_analytics.doctor.findings import Finding

_TRIES = 3
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Server:
    """An FTP server, and who may upload there."""

    host: str
    port: int
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Server({self.host!r}, {self.port}, {self.user!r})"


class _Closed(Exception):
    """A connection that did not come about; the text says which, and why."""


def knock(server: Server, timeout_s: float = _TIMEOUT_S) -> list[Finding]:
    """Return why no upload can come to `server`; nothing where a camera could upload."""
    where = f"{server.host}:{server.port}"
    try:
        with _connected(server, timeout_s) as ftp:
            ftp.login(server.user, server.password)
            told = {_list_passively(ftp, timeout_s) for _ in range(_TRIES)}
            asked = str(ftp.sock.getpeername()[0]) if ftp.sock else server.host
    except ftplib.error_perm as error:
        advice = (
            f"Enter user and password again, here and in the camera; `pano camera password NAME` "
            f"sets a new password. The error text comes from the server at {where}."
        )
        evidence = f"{where} refuses the login of {server.user!r}: {error}"
        return [Finding(None, "login_refused", "problem", "certain", evidence, advice)]
    except (_Closed, OSError, EOFError, ftplib.Error) as error:
        evidence = f"{where}: {error or type(error).__name__}"
        return [Finding(None, "ports_closed", "problem", "certain", evidence, ADVICE)]
    return [_elsewhere(where, other) for other in sorted(told - {asked})]


def _elsewhere(where: str, other: str) -> Finding:
    evidence = (
        f"{where} redirects cameras to {other}, which is reachable here; can cameras reach it?"
    )
    return Finding(None, "ports_closed", "advice", "possible", evidence, ADVICE)


ADVICE = (
    "Open the server's control port and its passive ports in the firewall of its computer, and "
    "publish them one to one if it runs in a container; set the address that cameras see "
    "(masquerade in [receive], pasv_address in vsftpd)."
)


def _connected(server: Server, timeout_s: float) -> ftplib.FTP:
    """Return a connection, encrypted where the server offers that; raises _Closed if none."""
    # Cameras take what address they are told; so does this.
    ftp = _Client(context=_any_certificate(), timeout=timeout_s)
    try:
        ftp.connect(server.host, server.port)
    except (OSError, EOFError, ftplib.Error) as error:
        raise _Closed(f"no FTP server answers: {reason(error)}") from error
    with suppress(ftplib.Error):
        ftp.auth()
    return ftp


class _Client(ftplib.FTP_TLS):
    trust_server_pasv_ipv4_address = True

    def login(self, *words: str, **more: str) -> str:  # type: ignore[override]
        """Log in as it is now: encrypted after `auth`, else in clear, as a camera does."""
        return ftplib.FTP.login(self, *words, **more)


def _any_certificate() -> ssl.SSLContext:
    # The question is whether it can be reached. Its certificate is its own, as cameras take it.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _list_passively(ftp: ftplib.FTP, timeout_s: float) -> str:
    """List the folder through the connection that the server asks for; return to which address."""
    try:
        host, port = ftplib.parse227(ftp.sendcmd("PASV"))
    except ftplib.Error as error:
        raise _Closed(f"logged in, but the server opens no passive port: {error}") from error
    try:
        data = socket.create_connection((host, port), timeout_s)
    except OSError as error:
        raise _Closed(
            f"logged in, but its passive port {host}:{port} does not open: {reason(error)}"
        ) from error
    with data:
        _read_list(ftp, data)
    return host


def _read_list(ftp: ftplib.FTP, data: socket.socket) -> None:
    try:
        reply = ftp.sendcmd("NLST")
    except ftplib.error_temp as error:
        raise _Closed(f"its passive port opened, but no data arrives: {error}") from error
    except ftplib.error_perm:
        # It may list nothing to anybody, or want data encrypted: it was reached.
        return
    while data.recv(4096):
        pass
    if reply.startswith("1"):
        ftp.voidresp()


def reason(error: BaseException) -> str:
    """Return in words why a connection did not come about."""
    if isinstance(error, TimeoutError):
        return "no answer; a firewall may block it"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
