"""The health address, for monitoring tools and health checks of containers."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

PLACE = "/healthz"
_TIMEOUT_S = 10
_PAUSE_S = 0.5
_MAX_CONNECTIONS = 16
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class HealthServer:
    """Answers GET /healthz with what `report` returns, in its own threads.

    `report` returns a JSON document with `is_healthy`. Raises OSError if the port is not
    available.
    """

    def __init__(self, address: str, port: int, report: Callable[[], dict[str, Any]]) -> None:
        handler = type("_ReportHandler", (_Handler,), {"report": staticmethod(report)})
        kind = type("_Server", (_Server,), {"address_family": _family(address)})
        self._server: ThreadingHTTPServer = kind((address, port), handler)
        self.port: int = self._server.server_address[1]
        # No need to poll for shutdown: the thread ends with the process.
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 3600}, daemon=True
        ).start()


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class _Server(ThreadingHTTPServer):
    """Limits the number of connections: the oldest is closed for a new one."""

    daemon_threads = True
    request_queue_size = 16

    def server_activate(self) -> None:
        self._open: dict[Any, None] = {}
        self._lock = threading.Lock()
        super().server_activate()

    def get_request(self) -> tuple[Any, Any]:
        try:
            return super().get_request()
        except OSError:
            # No descriptors left: the connection stays queued, so trying again at once would spin.
            time.sleep(_PAUSE_S)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open[request] = None
            surplus = list(self._open)[:-_MAX_CONNECTIONS]
        for oldest in surplus:
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a client may disconnect at any time."""


class _Handler(BaseHTTPRequestHandler):
    report: Callable[[], dict[str, Any]]
    timeout = _TIMEOUT_S  # a silent client is disconnected
    server_version, sys_version = "pano", ""

    def do_GET(self) -> None:
        if self._is_foreign_page():
            self.send_error(403)
            return
        if self.path.partition("?")[0] not in (PLACE, "/"):
            self.send_error(404)
            return
        document = self.report()
        body = (json.dumps(document, indent=1) + "\n").encode()
        self.send_response(200 if document["is_healthy"] else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def _is_foreign_page(self) -> bool:
        # A page of another site, or DNS rebinding: a foreign name that resolves to this computer.
        if self.headers.get("Origin") or self.headers.get("Sec-Fetch-Site") == "cross-site":
            return True
        name = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        return _is_loopback(self.client_address[0]) and not (
            name in ("", "localhost") or _is_address(name)
        )

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *args: object) -> None:
        """Log nothing: there is a request every minute, for years."""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
