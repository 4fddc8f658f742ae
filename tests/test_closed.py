"""The door fails closed: what does not prove that it comes from this computer stays outside."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from proxying import nginx
from serving import (
    NAME,
    PANO,
    PASSWORD,
    Inside,
    Served,
    addresses,
    ask,
    cookie_of,
    free_port,
    log_in,
    make_library,
    serving,
    serving_inside,
    wait_until,
)
from test_server import knock, pano

from pano_analytics.access.users import Users
from pano_analytics.dashboard import neighbour


def everything(library: Path) -> list[str]:
    """Return an address of every kind that is behind the door."""
    return [*addresses(library), "/static/js/bokeh.min.js", "/metadata", "/sessions", "/nothing"]


def raw(url: str, request: str) -> int:
    """Send `request` as it stands; return the status, 0 where the connection is closed."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=20) as wire:
        wire.sendall(request.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        head = wire.makefile("rb").readline().split()
    return int(head[1]) if head else 0


# --- nobody has a login ---------------------------------------------------------------


def test_this_computer_sees_everything(served: Served) -> None:
    """Without a user, who sits here needs no login, by whichever loopback name."""
    port = urlsplit(served.url).port
    for path in addresses(served.library):
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", "localhost"):
            assert ask(served.url, path, headers={"Host": host}).status == 200


SIGNS = [
    "Forwarded: for=192.0.2.7",
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-For: 192.0.2.7",
    "X-Forwarded-Host: cameras.lan",
    "X-Forwarded-Host: localhost",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Port: 443",
    "X-Forwarded-Server: proxy",
    "X-Forwarded-Prefix: /cameras",
    "X-Real-IP: 127.0.0.1",
    "X-Real-IP: ::1",
    "Via: 1.1 varnish",
    "X-Client-IP: 127.0.0.1",
    "X-Cluster-Client-IP: 127.0.0.1",
    "True-Client-IP: 127.0.0.1",
    "Fastly-Client-IP: 127.0.0.1",
    "CF-Connecting-IP: 127.0.0.1",
    "CF-Ray: 7d",
    "CDN-Loop: cloudflare",
    "X-Original-Host: cameras.lan",
    "X-Scheme: https",
    "Front-End-Https: on",
    "X-Arr-Log-Id: 7",
    "X-Envoy-External-Address: 127.0.0.1",
    "X-Request-Id: 7",
    "Tailscale-User-Login: anna",
    "Remote-User: anna",
    "X-Forwarded-For:",
    "x-some-proxy-of-next-year: 1",
    "Connection: upgrade",
]


@pytest.mark.parametrize("sign", SIGNS)
def test_no_sign_of_a_proxy_comes_in(served: Served, sign: str) -> None:
    """Whatever a proxy adds, a loopback address and a loopback Host included, is refused."""
    request = f"GET {{}} HTTP/1.1\nHost: 127.0.0.1\n{sign}"
    for path in everything(served.library):
        assert raw(served.url, request.format(path)) == 403, path


@pytest.mark.parametrize(
    "request_head",
    [
        "GET / HTTP/1.0\nHost: 127.0.0.1",
        "GET / HTTP/1.0",
        "GET / HTTP/1.1\nHost: 192.168.1.20:5006",
        "GET / HTTP/1.1\nHost: cameras.lan",
        "GET / HTTP/1.1\nHost: localhost.evil.test",
        "GET / HTTP/1.1\nHost: 127.0.0.1.evil.test",
        "GET / HTTP/1.1\nHost: 0.0.0.0",
        "GET / HTTP/1.1\nHost: ",
        "GET / HTTP/1.1\nHost: 127.0.0.1\nHost: evil.test",
        "GET / HTTP/1.1",
        "GET / HTTP/1.1\nHost: 127.0.0.1\nConnection: close\nUser-Agent: Mozilla/5.0",
        "GET / HTTP/1.1\nHost: 127.0.0.1\nOrigin: http://evil.test",
        "GET / HTTP/1.1\nHost: 127.0.0.1\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors",
        "GET http://evil.test/ HTTP/1.1\nHost: evil.test",
    ],
)
def test_what_is_not_from_here_is_refused(served: Served, request_head: str) -> None:
    """HTTP/1.0, names that are no loopback (DNS rebinding), foreign pages, no or two hosts."""
    assert raw(served.url, request_head) in (400, 403)


def test_websockets_walk_the_same_gate(served: Served) -> None:
    """A foreign page, a foreign name or a proxy opens no websocket; our own page does."""
    assert knock(served.url, Origin="http://evil.test") == 403
    assert knock(served.url, Host="evil.test", Origin="http://evil.test") == 403
    assert knock(served.url, Origin=served.url, Via="1.1 proxy") == 403
    assert knock(served.url, Origin=served.url) == 101


PROXIES = {
    "default": "",
    "host": "proxy_set_header Host $host;",
    "loopback host": "proxy_set_header Host localhost;",
    "1.1": "proxy_http_version 1.1;",
    "1.1 loopback": "proxy_http_version 1.1; proxy_set_header Host 127.0.0.1;",
    "websockets": "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
    'proxy_set_header Connection "upgrade"; proxy_set_header Host localhost;',
    "names": "proxy_http_version 1.1; proxy_set_header Host localhost; "
    'proxy_set_header Connection ""; proxy_set_header X-Real-IP 127.0.0.1;',
    "forwarded": "proxy_http_version 1.1; proxy_set_header Host localhost; "
    'proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $remote_addr;',
}


@pytest.fixture(scope="module")
def fronts(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A real nginx before a dashboard without users, configured in many ways."""
    fronts = {name: f"http://127.0.0.1:{free_port()}" for name in PROXIES}
    servers = "".join(
        f"server {{ listen 127.0.0.1:{urlsplit(fronts[name]).port}; "
        f"location / {{ proxy_pass {served.url}; {text} }} }}\n"
        for name, text in PROXIES.items()
    )
    port = urlsplit(fronts["default"]).port or 0
    with nginx(tmp_path_factory.mktemp("nginx"), servers, port):
        yield fronts


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("host", ["192.168.1.20", "localhost", "127.0.0.1"])
def test_a_proxy_without_users_shows_nothing(
    served: Served, fronts: dict[str, str], name: str, host: str
) -> None:
    """Through nginx, whatever the visitor calls it by, nothing is shown."""
    assert ask(fronts[name], "/liveness").status == 200
    for path in everything(served.library):
        answer = ask(fronts[name], path, headers={"Host": host})
        assert answer.status == 403, path
        assert len(answer.body) < 500


def test_a_silent_proxy_is_seen_by_what_it_listens_on(served: Served, tmp_path: Path) -> None:
    """One that sends nothing of its own, by HTTP/1.1 with a loopback Host, and any forwarder."""
    port = free_port()
    text = (
        f"server {{ listen 0.0.0.0:{port}; location / {{ proxy_pass {served.url}; "
        "proxy_http_version 1.1; proxy_set_header Host localhost; "
        'proxy_set_header Connection ""; } }'
    )
    with nginx(tmp_path, text, port):
        for path in everything(served.library):
            answer = ask(f"http://127.0.0.1:{port}", path)
            assert answer.status == 403, path
        assert "other machines" in answer.text


def test_a_tcp_forwarder_is_no_browser(served: Served, tmp_path: Path) -> None:
    """A program that passes bytes on from the network, Host and all."""
    port = free_port()
    with subprocess.Popen(
        [PANO[0], "-c", FORWARDER, str(port), str(urlsplit(served.url).port)]
    ) as forwarder:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: forwarder.poll() is not None or answers(url), "no forwarder")
            for path in addresses(served.library):
                assert ask(url, path, headers={"Host": "localhost"}).status == 403
        finally:
            forwarder.kill()


FORWARDER = """
import asyncio, sys
async def pipe(reader, writer):
    while data := await reader.read(65536):
        writer.write(data); await writer.drain()
    writer.close()
async def take(reader, writer):
    there = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer))
async def main():
    async with await asyncio.start_server(take, "0.0.0.0", int(sys.argv[1])) as server:
        await server.serve_forever()
asyncio.run(main())
"""


def answers(url: str) -> bool:
    try:
        return ask(url, "/liveness").status == 200
    except OSError:
        return False


def test_behind_a_proxy_nobody_is_local(library_folder: Path) -> None:
    """With behind_proxy and without a user not even this computer comes in."""
    with serving_inside(library_folder, http_server_kwargs={"xheaders": True}) as server:
        for path in everything(library_folder):
            for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Real-IP": "::1"}):
                answer = ask(server.url, path, headers=headers)
                assert answer.status == 503
                assert "pano user add" in answer.text


# --- the list of users goes wrong --------------------------------------------------------


@pytest.fixture(scope="module")
def own_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose list of users may be damaged."""
    return make_library(tmp_path_factory.mktemp("damaged"))


@pytest.fixture(params=[False, True], ids=["direct", "proxy"])
def damaged(own_library: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Inside, str]]:
    """A running server with a user, and that user's cookie."""
    Users(own_library).add(NAME, PASSWORD)
    with serving_inside(own_library, http_server_kwargs={"xheaders": request.param}) as server:
        yield server, cookie_of(log_in(server.url))


DAMAGE = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "another format": lambda path: path.write_text('{"format": 99, "users": []}'),
    "no list": lambda path: path.write_text("[]"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a loop": lambda path: (path.unlink(), path.symlink_to(path)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_list_of_users_closes_the_door(
    damaged: tuple[Inside, str], own_library: Path, kind: str
) -> None:
    """Gone, empty, torn or unreadable while it runs: closed to all, with a login or without."""
    server, cookie = damaged
    users = own_library / "users.json"
    kept = users.read_bytes()
    try:
        DAMAGE[kind](users)
        for path in [*everything(own_library), "/login"]:
            for headers in ({}, {"Cookie": cookie}):
                assert ask(server.url, path, headers=headers).status == 503, path
    finally:
        shutil.rmtree(users) if users.is_dir() else users.unlink(missing_ok=True)
        users.write_bytes(kept)
    assert ask(server.url, "/", headers={"Cookie": cookie}).status == 200


def test_a_lost_list_is_not_served_again(own_library: Path, tmp_path: Path) -> None:
    """Started anew, a library whose users are gone is refused, and says how to go on."""
    library = shutil.copytree(own_library, tmp_path / "library")
    Users(library).add(NAME, PASSWORD)
    (library / "users.json").unlink()
    run = pano("serve", "--library", str(library), "--port", "0")
    assert run.returncode == 4
    assert re.search("users.json is missing.*pano user add NAME", run.stderr, re.DOTALL)
    Users(library).add(NAME, PASSWORD)
    with serving(library, tmp_path) as server:
        assert ask(server.url, "/").status == 302


def test_removing_the_last_user_is_no_damage(own_library: Path, tmp_path: Path) -> None:
    """Who removes the last user on purpose is back where nobody had a login yet."""
    library = shutil.copytree(own_library, tmp_path / "library")
    Users(library).add(NAME, PASSWORD)
    Users(library).remove(NAME)
    with serving(library, tmp_path) as server:
        assert ask(server.url, "/").status == 200
        assert ask(server.url, "/", headers={"X-Forwarded-For": "127.0.0.1"}).status == 403


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to give up rights")
def test_an_unreadable_list_is_no_empty_one(own_library: Path) -> None:
    """Where the server may not read the list, the command says so and serves nothing."""
    users = own_library / "users.json"
    Users(own_library).add(NAME, PASSWORD)
    users.chmod(0)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from pano_analytics.dashboard.server import check_address\n"
        "from pano_analytics.errors import PanoError\n"
        "os.setuid(65534)\n"
        f"try: check_address(Path({str(own_library)!r}), '127.0.0.1')\n"
        "except (PanoError, OSError): sys.exit(0)\n"
        "sys.exit(1)"
    )
    assert subprocess.run([PANO[0], "-c", code]).returncode == 0


def test_a_program_is_judged_by_its_sockets() -> None:
    """A client that listens to others is a forwarder, by IPv4, IPv6 or one mapped to the other."""
    for family, host, client in (
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET, "127.0.0.1", "::ffff:127.0.0.1"),
    ):
        with socket.create_server((host, 0), family=family) as server:
            port = server.getsockname()[1]
            for listens_on, is_forwarder in (("0.0.0.0", True), ("::", True), ("127.0.0.1", False)):
                command = [PANO[0], "-c", CLIENT, listens_on, client, str(port)]
                with subprocess.Popen(command) as program:
                    wire, peer = server.accept()
                    found = neighbour.forwards(peer, wire.getsockname())
                    program.kill()
                    wire.close()
                assert (found is not None) == is_forwarder, (client, listens_on, found)


CLIENT = """
import socket, sys, time
on, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
kinds = {True: socket.AF_INET6, False: socket.AF_INET}
listener = socket.create_server((on, 0), family=kinds[":" in on])
wire = socket.socket(kinds[":" in host])
wire.connect((host, port))
time.sleep(60)
"""
