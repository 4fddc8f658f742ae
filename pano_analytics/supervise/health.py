"""The health address: whether all is well, asked by monitors and by containers' health checks."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PLACE = "/healthz"
_PATIENCE_S = 10


class HealthServer:
    """Answers GET /healthz with what `tell` returns; in threads of its own.

    `tell` gives a document with `is_healthy`. Raises OSError where the port
    cannot be had.
    """

    def __init__(self, address: str, port: int, tell: Callable[[], dict[str, Any]]) -> None:
        handler = type("_Told", (_Handler,), {"tell": staticmethod(tell)})
        kind = type("_Server", (_Server,), {"address_family": _family(address)})
        self._server: ThreadingHTTPServer = kind((address, port), handler)
        self.port: int = self._server.server_address[1]
        # It need not look around for its end: its thread goes with the process.
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 3600}, daemon=True
        ).start()


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 16


class _Handler(BaseHTTPRequestHandler):
    tell: Callable[[], dict[str, Any]]
    timeout = _PATIENCE_S  # who connects and says nothing does not stay
    server_version, sys_version = "pano", ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] not in (PLACE, "/"):
            self.send_error(404)
            return
        said = self.tell()
        body = (json.dumps(said, indent=1) + "\n").encode()
        self.send_response(200 if said["is_healthy"] else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        """Say nothing: it is asked every minute, for years."""
