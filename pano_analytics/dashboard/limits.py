"""Limits for visitors who have not logged in: connections, time and bytes.

`BoundedServer` replaces Tornado's HTTP server. When one address, or all of them together,
hold too many connections, the connection that has kept the server waiting longest is closed
in favour of the new one. Half-sent requests therefore cannot lock anybody out.
"""

from __future__ import annotations

import ipaddress
import logging
import resource
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer, _HTTPRequestContext, _ProxyAdapter
from tornado.httputil import HTTPMessageDelegate
from tornado.ioloop import IOLoop

log = logging.getLogger(__name__)

# Browsers open six connections to a host, and one for each open page.
PER_ADDRESS = 64
# Simultaneous requests per client behind a proxy. A browser may send 128 over HTTP/2.
PER_CLIENT = 256
TOTAL = 1024
DESCRIPTORS = 8192
# Visitors without a login get short responses, which nobody needs longer to read.
ANSWER_S = 10.0
PAUSE_S, FREED_AT_ONCE = 1.0, 16
ACCEPTED_AT_ONCE = 128
WEBSOCKET_BYTES = 256 * 1024

HTTP_LIMITS: dict[str, Any] = {
    # From when the server starts to wait until the end of the headers.
    "idle_connection_timeout": 20.0,
    "body_timeout": 20.0,
    "max_header_size": 32 * 1024,
    # The largest request body is the login form.
    "max_body_size": 16 * 1024,
    "max_buffer_size": 1024 * 1024,
}


def network_of(address: str) -> str:
    """Return what counts as one visitor: an IPv4 address, or the /64 network of an IPv6 one."""
    # One household has 2^64 IPv6 addresses.
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return str(ipaddress.ip_network((parsed, 64), strict=False) if parsed.version == 6 else parsed)


class Attempts:
    """Counts failed logins; after 10 in 5 minutes, further attempts must wait.

    Attempts count per address, and per browser for one that was logged in before, so that
    strangers cannot lock users out by trying their names. The addresses of one IPv6 network
    also count together. `clock` returns seconds.
    """

    LIMIT, NETWORK_LIMIT, WINDOW_S, KEPT = 10, 100, 300.0, 10_000

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, deque[float]] = {}

    def wait_s(self, key: str) -> float:
        """Return the seconds until another attempt is allowed; 0.0 if it is allowed now."""
        return max(self._wait_s(*counted) for counted in self._counted(key))

    def note(self, key: str) -> None:
        """Count an attempt. Call this before checking it, or many at once would all pass."""
        for name, limit in self._counted(key):
            tries = self._failed.pop(name, deque(maxlen=limit))
            tries.append(self._clock())
            self._failed[name] = tries
        while len(self._failed) > self.KEPT:
            del self._failed[next(iter(self._failed))]

    def forget(self, key: str) -> None:
        """Reset the count after a successful login."""
        self._failed.pop(key, None)

    def _counted(self, key: str) -> list[tuple[str, int]]:
        network = network_of(key)
        return [(key, self.LIMIT)] + [(network, self.NETWORK_LIMIT)] * (network != key)

    def _wait_s(self, key: str, limit: int) -> float:
        tries = self._failed.get(key, deque())
        if len(tries) < limit:
            return 0.0
        return max(0.0, tries[0] + self.WINDOW_S - self._clock())


def raise_descriptor_limit() -> None:
    """Raise the limit of open files of this process as far as allowed, up to DESCRIPTORS."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def most_connections() -> int:
    """Return the maximum number of connections; half of the descriptors stay free for files."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return TOTAL if soft == resource.RLIM_INFINITY else max(8, min(TOTAL, soft // 2))


@dataclass(eq=False, slots=True)
class Held:
    """One open connection; `since` is when its wait or its response began, in seconds."""

    stream: Any
    peer: str
    context: Any
    since: float
    is_waiting: bool = True
    client: str | None = None
    """Behind a proxy, the client whose request is being answered."""

    def may_go(self, now: float) -> bool:
        """Return whether it may be closed in favour of another.

        It may while its request is incomplete, or when a visitor without a login takes too
        long to read the response.
        """
        return self.is_waiting or not (self.context.is_admitted or now - self.since < ANSWER_S)


class Connections:
    """The open connections; decides which one is closed when a new one needs its place."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: dict[Any, Held] = {}

    def admit(self, stream: Any, peer: str, context: Any, per_address: int | None) -> bool:
        """Add `stream`, closing another connection if needed; return False if none may go."""
        self._forget_closed()
        from_peer = [held for held in self._held.values() if held.peer == peer]
        is_full = per_address is not None and len(from_peer) >= per_address
        if is_full and not self._close_longest(self._closable(from_peer)):
            return False
        if len(self._held) >= most_connections() and not self.make_room():
            return False
        self._held[stream] = Held(stream, peer, context, self._clock())
        return True

    def make_room(self) -> bool:
        """Close a connection of the peer with the most idle ones; return False if none is idle."""
        idle = self._closable(self._held.values())
        busiest = Counter(held.peer for held in idle).most_common(1)
        return self._close_longest([held for held in idle if held.peer == busiest[0][0]])

    def _closable(self, connections: Iterable[Held]) -> list[Held]:
        now = self._clock()
        return [held for held in connections if held.may_go(now)]

    def _close_longest(self, idle: list[Held]) -> bool:
        if not idle:
            return False
        longest = min(idle, key=lambda held: held.since)
        del self._held[longest.stream]
        longest.stream.close()
        return True

    def _forget_closed(self) -> None:
        for stream in [stream for stream in self._held if stream.closed()]:
            del self._held[stream]

    def wait(self, stream: Any) -> None:
        """Note that the server waits for a request on `stream`."""
        if held := self._held.get(stream):
            held.since, held.is_waiting, held.client = self._clock(), True, None

    def begin(self, stream: Any) -> None:
        """Note that a whole request has arrived on `stream`."""
        if held := self._held.get(stream):
            held.since, held.is_waiting = self._clock(), False

    def of_client(self, stream: Any, client: str) -> int:
        """Note a request of `client` on `stream`; return how many requests `client` has open."""
        if held := self._held.get(stream):
            held.client = client
        return sum(
            held.client == client and not held.stream.closed() for held in self._held.values()
        )


class Context(_HTTPRequestContext):
    """The data of a connection; behind a proxy, that of the client it forwards."""

    is_crowded = False
    """Whether this client has too many simultaneous requests."""
    is_admitted = False
    """Whether the current request was admitted."""

    def __init__(self, stream: Any, address: Any, *more: Any) -> None:
        super().__init__(stream, address, *more)
        self.local = stream.socket.getsockname() if isinstance(address, tuple) else None

    def _apply_xheaders(self, headers: Any) -> None:
        # The proxy itself appends the last entry of X-Forwarded-For. Most proxies pass on an
        # X-Real-IP that the visitor made up, so it counts only without X-Forwarded-For.
        if "X-Forwarded-For" in headers:
            headers = headers.copy()
            headers.pop("X-Real-Ip", None)
        super()._apply_xheaders(headers)


class BoundedServer(HTTPServer):
    """Tornado's HTTP server with limits on everything that visitors can make it hold."""

    def initialize(  # type: ignore[override]
        self, request_callback: Any, **options: Any
    ) -> None:
        super().initialize(request_callback, **{**HTTP_LIMITS, **options})
        self.connections = Connections(IOLoop.current().time)
        if self.xheaders:
            request_callback.door.is_behind_proxy = True

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        for listener in sockets:
            acceptor = Acceptor(listener, self._take, self.connections.make_room)
            self._sockets[listener.fileno()] = listener
            self._handlers[listener.fileno()] = acceptor.stop

    def _take(self, connection: socket.socket, address: Any) -> None:
        try:
            self._handle_connection(connection, address)
        except OSError as error:
            log.warning("a connection failed before its first request: %s", error)
            connection.close()

    def handle_stream(self, stream: Any, address: Any) -> None:
        peer = network_of(str(address[0])) if isinstance(address, tuple) and address else ""
        context = Context(stream, address, self.protocol, self.trusted_downstream)
        # Behind a proxy, all visitors have its address.
        limit = None if self.xheaders else PER_ADDRESS
        if not self.connections.admit(stream, peer, context, limit):
            log.warning("a connection from %s was refused: too many are open", peer)
            stream.close()
            return
        connection = HTTP1ServerConnection(stream, self.conn_params, context)
        self._connections.add(connection)
        connection.start_serving(self)

    def start_request(self, server_conn: Any, request_conn: Any) -> HTTPMessageDelegate:
        delegate = self.request_callback.start_request(server_conn, request_conn)  # type: ignore[union-attr]
        arrival = IncomingRequest(self.connections, delegate, request_conn)
        return _ProxyAdapter(arrival, request_conn) if self.xheaders else arrival


class IncomingRequest(HTTPMessageDelegate):
    """One incoming request; the server waits until it is complete."""

    def __init__(self, connections: Connections, inner: HTTPMessageDelegate, conn: Any) -> None:
        self._connections, self._inner = connections, inner
        self._stream, self._context = conn.stream, conn.context
        self._context.is_admitted = False
        connections.wait(self._stream)

    def headers_received(self, start_line: Any, headers: Any) -> Any:
        client = network_of(self._context.remote_ip)
        count = self._connections.of_client(self._stream, client)
        self._context.is_crowded = count > PER_CLIENT
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Any:
        return self._inner.data_received(chunk)

    def finish(self) -> None:
        self._connections.begin(self._stream)
        self._inner.finish()

    def on_connection_close(self) -> None:
        self._inner.on_connection_close()


class Acceptor:
    """Accepts connections on `listener`; pauses when no file descriptors are left."""

    def __init__(
        self,
        listener: socket.socket,
        take: Callable[[socket.socket, Any], None],
        make_room: Callable[[], bool],
    ) -> None:
        self._listener, self._take, self._make_room = listener, take, make_room
        self._loop = IOLoop.current()
        self._timer: object | None = None
        self._is_stopped = False
        self._listen()

    def _listen(self) -> None:
        self._timer = None
        self._loop.add_handler(self._listener, self._accept, IOLoop.READ)

    def stop(self) -> None:
        """Stop accepting connections."""
        self._is_stopped = True
        if self._timer is not None:
            self._loop.remove_timeout(self._timer)
        else:
            self._loop.remove_handler(self._listener)

    def _accept(self, listener: Any, events: int) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            if self._is_stopped:
                return
            try:
                connection, address = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._pause(error)
                return
            self._take(connection, address)

    def _pause(self, error: OSError) -> None:
        # The connection stays in the queue: accepting it again at once would keep failing.
        log.error(
            "cannot accept connections at the moment; next attempt in %g s: %s", PAUSE_S, error
        )
        for _ in range(FREED_AT_ONCE):
            self._make_room()
        self._loop.remove_handler(self._listener)
        self._timer = self._loop.call_later(PAUSE_S, self._listen)
