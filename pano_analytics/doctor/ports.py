"""Can a camera upload? Connect to an FTP server in the same way as a camera.

A camera opens one connection to log in and asks, with PASV, where to send a file; the
server names an address and a port, and the camera opens a second connection there. If
a router, a firewall or a container lets only the first one through, the login works, the
camera's own test button reports success, and no file ever arrives. So this logs in, asks
three times (a server uses another port each time), connects to that port, lists the folder
through it, and uploads nothing.

A connection from this computer to itself passes no firewall. Run `pano doctor --ftp` on
another computer in the house to get the result that a camera would get.
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
class FtpEndpoint:
    """An FTP server, and an account that may upload there."""

    host: str
    port: int
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Server({self.host!r}, {self.port}, {self.user!r})"


class _Closed(Exception):
    """A connection failed; the text says which one, and why."""


def knock(server: FtpEndpoint, timeout_s: float = _TIMEOUT_S) -> list[Finding]:
    """Return why cameras cannot upload to `server`; empty if they can."""
    where = f"{server.host}:{server.port}"
    try:
        with _connected(server, timeout_s) as ftp:
            ftp.login(server.user, server.password)
            data_hosts = {_list_passively(ftp, timeout_s) for _ in range(_TRIES)}
            control_host = str(ftp.sock.getpeername()[0]) if ftp.sock else server.host
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
    return [_other_address(where, other) for other in sorted(data_hosts - {control_host})]


def _other_address(where: str, other: str) -> Finding:
    evidence = (
        f"{where} redirects cameras to {other}, which is reachable here; can cameras reach it?"
    )
    return Finding(None, "ports_closed", "advice", "possible", evidence, ADVICE)


ADVICE = (
    "Open the server's control port and its passive ports in the firewall of its computer, and "
    "publish them one to one if it runs in a container; set the address that cameras see "
    "(masquerade in [receive], pasv_address in vsftpd)."
)


def _connected(server: FtpEndpoint, timeout_s: float) -> ftplib.FTP:
    """Return a connection, encrypted if the server offers that. Raises _Closed on failure."""
    # Use the address in the reply to PASV, as cameras do.
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
        """Log in over the connection as it is: encrypted after `auth`, otherwise in clear."""
        return ftplib.FTP.login(self, *words, **more)


def _any_certificate() -> ssl.SSLContext:
    # Only reachability matters here; cameras accept self-signed certificates, too.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _list_passively(ftp: ftplib.FTP, timeout_s: float) -> str:
    """List the folder through a passive connection, and return the address that it used."""
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
        # The server may forbid listing, or require encrypted data, but it was reached.
        return
    while data.recv(4096):
        pass
    if reply.startswith("1"):
        ftp.voidresp()


def reason(error: BaseException) -> str:
    """Return in words why a connection failed."""
    if isinstance(error, TimeoutError):
        return "no answer; a firewall may block it"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
