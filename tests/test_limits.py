"""What strangers may take before anybody has logged in: connections, time, bytes, log."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from serving import (
    NAME,
    Inside,
    Served,
    ask,
    cookie_of,
    log_in,
    serving,
    serving_inside,
)

from pano_analytics.dashboard import limits
from pano_analytics.logs import RateLimitFilter

HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "


@contextlib.contextmanager
def holding(
    url: str, count: int, text: bytes = HALF, source: str = ""
) -> Iterator[list[socket.socket]]:
    """Hold `count` connections that sent `text` and no more; yield them."""
    place = urlsplit(url)
    held: list[socket.socket] = []
    try:
        for _ in range(count):
            wire = socket.create_connection(
                (place.hostname or "", place.port or 0), 20, (source, 0) if source else None
            )
            held.append(wire)
            with contextlib.suppress(OSError):
                wire.sendall(text)
        yield held
    finally:
        for wire in held:
            wire.close()


def are_open(held: list[socket.socket]) -> int:
    """Return how many of the connections the server still keeps."""
    count = 0
    for wire in held:
        wire.settimeout(0.001)
        try:
            count += wire.recv(1) != b""
        except TimeoutError:
            count += 1
        except OSError:
            pass
    return count


@pytest.mark.parametrize(
    "text",
    [HALF, b"", b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\nusername="],
    ids=["headers", "nothing", "body"],
)
def test_half_sent_requests_shut_nobody_out(locked: Served, text: bytes) -> None:
    """With 300 of them held by one address, others of that address are served at once."""
    with holding(locked.url, 300, text) as held:
        began = time.monotonic()
        for _ in range(10):
            assert ask(locked.url, "/login").status == 200
        assert cookie_of(log_in(locked.url))
        assert time.monotonic() - began < 5
        assert are_open(held) <= limits.PER_ADDRESS
    assert len(locked.log.read_text()) < 20_000


class Stream:
    """What `Connections` uses of a stream."""

    is_closed = False

    def closed(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Passed:
    is_admitted: bool


def test_answers_that_nobody_reads_make_room() -> None:
    """A stranger who leaves answers unread goes after a while; who passed the door stays."""
    now = [0.0]
    known = limits.Connections(lambda: now[0])
    stranger, user = Stream(), Stream()
    for stream, has_passed in ((stranger, False), (user, True)):
        assert known.admit(stream, "10.0.0.1", Passed(has_passed), 2)
        known.begin(stream)
    assert not known.admit(Stream(), "10.0.0.1", Passed(False), 2)
    assert known.admit(Stream(), "10.0.0.2", Passed(False), 2)
    now[0] = limits.ANSWER_S + 1
    assert known.admit(Stream(), "10.0.0.1", Passed(False), 2)
    assert (stranger.is_closed, user.is_closed) == (True, False)


def test_where_descriptors_run_out_it_waits_and_goes_on(
    locked_folder: Path, tmp_path: Path
) -> None:
    """With few descriptors and many addresses at it, it serves on, and its log stays short."""
    program = (
        "import resource; from pano_analytics.dashboard import limits\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (120, 120))\n"
        "limits.most_connections = lambda: 10_000\n"  # so that accepting itself fails
        "from pano_analytics.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "serve", "--library", str(locked_folder)]
    with (
        serving(locked_folder, tmp_path, command=command) as server,
        contextlib.ExitStack() as all_of,
    ):
        for number in range(2, 6):
            all_of.enter_context(holding(server.url, 60, source=f"127.0.0.{number}"))
        time.sleep(2)
        assert ask(server.url, "/liveness").status == 200
        text = server.log.read_text()
        assert "cannot accept connections at the moment" in text
        assert len(text) < 20_000
        assert len(os.listdir(f"/proc/{server.process.pid}/fd")) <= 120


@pytest.mark.long
def test_few_descriptors_are_shared_with_files(locked_folder: Path, tmp_path: Path) -> None:
    """Where the system gives few, connections take half of them, and pages are still read."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\n"
        "from pano_analytics.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "serve", "--library", str(locked_folder)]
    with (
        serving(locked_folder, tmp_path, command=command) as server,
        contextlib.ExitStack() as all_of,
    ):
        for number in range(2, 6):
            all_of.enter_context(holding(server.url, 60, source=f"127.0.0.{number}"))
        assert ask(server.url, "/login").status == 200
        assert cookie_of(log_in(server.url))
        assert "cannot accept connections" not in server.log.read_text()


def test_the_descriptor_limit_is_raised() -> None:
    """A process that was started with few descriptors takes what it may have."""
    code = (
        "import resource; from pano_analytics.dashboard import limits\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)); limits.raise_descriptor_limit()\n"
        "assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, limits.DESCRIPTORS)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); limits.raise_descriptor_limit()\n"
        "assert limits.most_connections() == 32"
    )
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= limits.DESCRIPTORS
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_slow_headers_and_idle_connections_end(
    locked_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever does not finish a request in time is closed, byte by byte or silent."""
    short = {"idle_connection_timeout": 0.5, "body_timeout": 0.5}
    monkeypatch.setattr(limits, "HTTP_LIMITS", limits.HTTP_LIMITS | short)
    body = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90\r\n\r\nu"
    whole = b"GET /liveness HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with serving_inside(locked_folder) as server:
        for text in (b"", HALF, body, whole):
            with holding(server.url, 1, text) as [wire]:
                wire.settimeout(10)
                with contextlib.suppress(ConnectionError):
                    while wire.recv(4096):
                        wire.send(b"x")
        with holding(server.url, 1, HALF) as [wire]:
            began = time.monotonic()
            with contextlib.suppress(OSError):
                while time.monotonic() - began < 10:
                    wire.sendall(b"x")
                    time.sleep(0.1)
            assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET /login HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000,
        b"POST /login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n"
        + b"x" * 20_000
        + b"\r\n0\r\n\r\n",
    ],
    ids=["header", "address", "body", "chunks"],
)
def test_what_is_too_long_is_not_read(locked: Served, request_text: bytes) -> None:
    """Headers above 32 kB and bodies above 16 kB end the connection."""
    with holding(locked.url, 1, request_text) as [wire]:
        wire.settimeout(20)
        with contextlib.suppress(ConnectionError):
            answer = wire.makefile("rb").read()
            assert b" 200 " not in answer[:20]


@pytest.mark.long
def test_long_names_leave_nothing_behind(locked_folder: Path, tmp_path: Path) -> None:
    """Two hundred logins with names of a megabyte, or of just what a form may hold."""
    with serving(locked_folder, tmp_path) as server:
        log_in(server.url, "warm", "up-the-server")
        before = resident_mb(server)
        for number in range(200):
            size = 1_000_000 if number % 2 else 15_000
            with contextlib.suppress(OSError):
                log_in(server.url, f"{number}" * (size // len(f"{number}")), "wrong-password")
        assert resident_mb(server) - before < 20


def resident_mb(server: Served) -> float:
    """Return how much memory the server has."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def test_the_cap_behind_a_proxy_counts_the_client(
    locked_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One visitor of a proxy with too many requests is told so; another is not."""
    monkeypatch.setattr(limits, "PER_CLIENT", 5)
    monkeypatch.setattr(limits, "PER_ADDRESS", 3)
    with serving_inside(locked_folder, http_server_kwargs={"xheaders": True}) as server:
        assert statuses_of_crowd(server, "192.0.2.1", 10).count(503) >= 4
        assert set(statuses_of_crowd(server, "192.0.2.2", 5)) == {200}


def statuses_of_crowd(server: Inside, client: str, count: int) -> list[int]:
    """Send `count` requests of `client` whose bodies are still to come, then end them."""
    head = (
        f"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: spoofed, {client}\r\n"
        f"X-Real-IP: 203.0.113.{count}\r\nContent-Length: 0\r\n"
    ).encode()
    get = head.replace(b"POST", b"GET").replace(b"Content-Length: 0", b"Content-Length: 2")
    with holding(server.url, count, get + b"\r\n") as held:
        time.sleep(0.5)
        statuses = []
        for wire in held:
            wire.settimeout(20)
            wire.sendall(b"ok")
            statuses.append(int(wire.makefile("rb").readline().split()[1]))
    return statuses


@pytest.mark.parametrize(
    ("headers", "counted"),
    [
        ({"X-Forwarded-For": "203.0.113.9, 192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "192.0.2.1", "X-Real-IP": "203.0.113.9"}, "192.0.2.1"),
        ({"X-Real-IP": "192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "no address"}, "127.0.0.1"),
    ],
)
def test_the_address_that_counts_is_the_proxys_word(
    locked_folder: Path, headers: dict[str, str], counted: str
) -> None:
    """Not what the visitor wrote in front of it, nor a header that the proxy just passes on."""
    with serving_inside(locked_folder, http_server_kwargs={"xheaders": True}) as server:
        log_in(server.url, NAME, "wrong", **headers)
        assert list(server.application.door.attempts._failed) == [counted]


# --- the log ------------------------------------------------------------------------------


def test_a_flood_of_lines_is_counted_not_written(caplog: pytest.LogCaptureFixture) -> None:
    """Ten lines a minute of one place; with the next one, how many there were."""
    now, written = [0.0], []
    handler = logging.Handler()
    handler.emit = lambda record: written.append(record.getMessage())  # type: ignore[method-assign]
    handler.addFilter(RateLimitFilter(lambda: now[0]))
    logger = logging.getLogger("flooded")
    logger.addHandler(handler)
    for second in range(180):
        now[0] = float(second)
        for number in range(100):
            logger.warning("line %d", number)
    logger.error("another place: %s", "x" * 10_000)
    logger.removeHandler(handler)
    assert len(written) < 40
    assert sum("5990 similar" in line for line in written) == 2
    assert len(written[-1]) == RateLimitFilter.TEXT
