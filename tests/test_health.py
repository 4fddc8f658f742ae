"""The health address: bounded, for monitors, and for no page of another site."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest
from serving import ask

from pano_analytics.service.supervise import health
from pano_analytics.service.supervise.health import HealthServer


@pytest.fixture(scope="module")
def url() -> str:
    server = HealthServer("127.0.0.1", 0, lambda: {"is_healthy": True})
    return f"http://127.0.0.1:{server.port}"


@pytest.mark.long
def test_half_sent_requests_do_not_silence_it(url: str) -> None:
    """With 200 connections that say nothing, a monitor is answered at once."""
    place = ("127.0.0.1", int(url.rpartition(":")[2]))
    with contextlib.ExitStack() as held:
        for _ in range(200):
            wire = held.enter_context(socket.create_connection(place, 20))
            wire.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        began = time.monotonic()
        for _ in range(5):
            assert ask(url, health.PLACE).status == 200
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:5007"}, 200),
        ({"Host": "rebound.test"}, 403),
        ({"Origin": "http://evil.test"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_no_page_of_another_site_reads_it(url: str, headers: dict[str, str], status: int) -> None:
    """Neither by a request across sites nor by a name that resolves to this computer."""
    answer = ask(url, health.PLACE, headers=headers)
    assert answer.status == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
