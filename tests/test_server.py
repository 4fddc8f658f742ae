"""The served dashboard: what every answer says, that no route leaks, how the process ends.

The page itself is none of this file's business; a route that leaks is.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from bokeh.util.token import get_token_payload
from playwright.sync_api import Browser, expect
from serving import (
    FRONT,
    NAME,
    PANO,
    Answer,
    Inside,
    Served,
    addresses,
    ask,
    cookie_of,
    free_port,
    log_in,
    logged_in,
    sample_of,
    serving,
    wait_until,
    watched,
)
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from pano_analytics.dashboard import auth
from pano_analytics.errors import PanoError


def test_every_answer_forbids_other_hosts(served: Served) -> None:
    """Pages, media, login and errors alike carry a policy that names no host but this one."""
    paths = [*addresses(served.library), "/login", "/logout", "/liveness", "/nothing", "/media/%ff"]
    for path in paths:
        for method in ("GET", "HEAD", "POST"):
            headers = ask(served.url, path, method).headers
            policy = headers["content-security-policy"]
            assert re.search(r"default-src '(self|none)'", policy), (method, path)
            assert not re.search(r"https?:|\*|\bdata:.*script|ws:", policy), policy
            assert headers["x-content-type-options"] == "nosniff"


def test_the_page_names_no_other_host(served: Served) -> None:
    """Scripts, styles and icons of the page come from this server."""
    page = ask(served.url, "/").text
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)""", page)
    assert links
    assert [link for link in links if urlsplit(link).netloc] == []


def test_pages_are_compressed_and_pictures_are_not(served: Served) -> None:
    """Scripts shrink on the wire; a JPEG is sent as it is."""
    wants = {"Accept-Encoding": "gzip"}
    assert ask(served.url, "/", headers=wants).headers["content-encoding"] == "gzip"
    picture = ask(served.url, addresses(served.library)[2], headers=wants)
    assert "content-encoding" not in picture.headers


def patterns(router: Any) -> Iterator[str]:
    """Yield the regular expression of every route below `router`."""
    for rule in router.rules:
        if hasattr(rule.target, "rules"):
            yield from patterns(rule.target)
        elif hasattr(rule.matcher, "regex"):
            yield rule.matcher.regex.pattern


GUESSES = [
    "//",
    "/./",
    "/%2e/",
    "/index.html",
    "/login/",
    "/LOGIN",
    "/login/../media",
    "/login;/ws",
    "/%6cogin/..",
    "/liveness/",
    "/liveness/../ws",
    "/users.json",
    "/login.secret",
    "/manifest.json",
    "/library.json",
    "/admin",
    "/rest/session_info",
    "/static/js/bokeh.min.js",
    "/static/extensions/panel/panel.min.js",
    "/static/../users.json",
    "/static/%2e%2e/users.json",
    "/components/os/path/css/x",
    "/components/pano_analytics.access.users/Users/css/users.json",
    "/favicon.ico/../ws",
    "/dashboard",
    "/autoload.js?bokeh-autoload-element=1",
    "/?bokeh-session-id=x",
    "/ws?bokeh-token=x",
    "http://other.test/",
    "*",
]
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")


def is_without_data(answer: Answer) -> bool:
    """Say whether `answer` is a refusal or the way to the login, and small enough to be no more."""
    if answer.status == 302:
        return answer.headers["location"].startswith("/login?next=") and not answer.body
    return answer.status in (400, 401, 403, 404, 405) and len(answer.body) < 200


def test_without_a_login_no_route_answers_with_data(inside: Inside, locked_folder: Path) -> None:
    """Every route in the running application's table, and a list of guesses, by every method."""
    table = sorted(set(patterns(inside.application.default_router)))
    assert {r"/ws$", r"/?$", r"/static/(.*)$", r"/metadata$"} <= set(table)
    paths = [sample_of(pattern) for pattern in table] + addresses(locked_folder) + GUESSES
    for path in [path for path in paths if path not in auth.OPEN]:
        for method in METHODS:
            answer = ask(inside.url, path, method)
            assert is_without_data(answer), (method, path, answer)


def test_a_login_opens_what_was_closed(inside: Inside, locked_folder: Path) -> None:
    """The addresses of the test above do hold data: with a login each answers 200 with a body."""
    cookie = cookie_of(log_in(inside.url))
    for path in addresses(locked_folder):
        answer = ask(inside.url, path, headers={"Cookie": cookie})
        assert answer.status == 200, path
        assert len(answer.body) > 1000


def test_what_is_open_to_all_tells_nothing(locked: Served) -> None:
    """The four open addresses give a form, a sign of life and an icon, whatever they are asked."""
    assert ask(locked.url, "/liveness?endpoint=/").text == '{"live": true}'
    assert ask(locked.url, "/favicon.ico").headers["content-type"] == "image/x-icon"
    for path in ("/login", "/logout", "/login?failed=1"):
        page = ask(locked.url, path).text
        assert NAME not in page
        assert FRONT not in page


def knock(url: str, **headers: str) -> int:
    """Open a websocket as the page does; return the status of the handshake."""

    async def connect() -> int:
        request = HTTPRequest(f"{url.replace('http', 'ws')}/ws", headers=headers)
        try:
            (await websocket_connect(request, subprotocols=["bokeh", "x"])).close()
        except HTTPClientError as error:
            return error.code
        return 101

    # In a thread: the browser of other tests keeps a loop running in this one.
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(lambda: asyncio.run(connect())).result()


def test_the_websocket_asks_for_the_login(locked: Served) -> None:
    """Without a cookie, with a made-up one or from a foreign page no websocket opens."""
    cookie = cookie_of(log_in(locked.url))
    assert knock(locked.url) in (401, 403)
    assert knock(locked.url, Cookie=cookie[:-3] + "abc") in (401, 403)
    assert knock(locked.url, Cookie=cookie, Origin="http://other.test") == 403
    assert knock(locked.url, Cookie=cookie, Origin=locked.url) == 101


def pano(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `pano` to its end."""
    environment = {name: value for name, value in os.environ.items() if name != "PANO_CONFIG"}
    return subprocess.run(
        [*PANO, *arguments], capture_output=True, text=True, timeout=120, env=environment, cwd=cwd
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(
    library_folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """SIGTERM and Ctrl-C end the server with exit code 0; it printed one line, its address."""
    with serving(library_folder, tmp_path) as server:
        ask(server.url, "/")
        server.process.send_signal(number)
        assert server.process.wait(60) == 0
        lines = server.log.read_text().splitlines()
        assert len(lines) == 1
        assert f"{server.url}/" in lines[0]


@pytest.mark.parametrize("address", ["0.0.0.0", "::", ""])
def test_without_a_user_no_other_address_is_served(library_folder: Path, address: str) -> None:
    """The refusal says what was expected, what came, and how to add a user."""
    run = pano("serve", "--library", str(library_folder), "--address", address, "--port", "0")
    assert run.returncode == 7
    assert "pano user add NAME" in run.stderr
    assert "Traceback" not in run.stderr


def test_with_a_user_others_may_look(locked_folder: Path, tmp_path: Path) -> None:
    """On all addresses the door is closed to who has no login, this computer included."""
    with serving(locked_folder, tmp_path, "--address", "0.0.0.0") as server:
        assert ask(server.url, "/").status == 302


def test_a_port_that_is_taken(library_folder: Path) -> None:
    """The error names the port and the option."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        run = pano("serve", "--library", str(library_folder), "--port", port)
    assert run.returncode == 7
    assert port in run.stderr
    assert "--port" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [(["--library", "nothing"], 4, "pano ingest"), ([], 2, "expected `library`")],
)
def test_a_library_that_is_not_there(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    """The error says how to make one, or how to name it."""
    run = pano("serve", *arguments, cwd=tmp_path)
    assert run.returncode == code
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_the_settings_say_where(library_folder: Path, tmp_path: Path) -> None:
    """Address and port stand in pano.toml, and a library that is still to be filled is served."""
    port = free_port()
    config = tmp_path / "pano.toml"
    (tmp_path / "uploads").mkdir()
    config.write_text(f'library = "empty"\nuploads = "uploads"\n[dashboard]\nport = {port}\n')
    process = subprocess.Popen([*PANO, "serve", "--config", str(config)], stdout=subprocess.PIPE)
    try:
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                return ask(url, "/").status == 200
            except OSError:
                return False

        wait_until(answers, "the server does not answer")
    finally:
        process.terminate()
        assert process.wait(60) == 0


def test_importing_the_dashboard_imports_no_panel() -> None:
    """`pano --help` and ingest do not wait for Panel."""
    code = (
        "import sys, pano_analytics.dashboard, pano_analytics.cli.serve, pano_analytics.cli.user;"
        "sys.exit(bool({'panel', 'bokeh', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


APP = Path(__file__).parent.parent / "apps" / "dashboard.py"


def documented_command() -> list[str]:
    """Return the command in the docstring of apps/dashboard.py, as this test runs it."""
    text = re.search(r"panel serve .*?--port \d+", APP.read_text(), re.DOTALL)
    assert text is not None
    words = text[0].replace("\\", " ").split()[:-2]
    panel = str(Path(sys.executable).with_name("panel"))
    return [str(APP) if word == "apps/dashboard.py" else word for word in [panel, *words[1:]]]


@pytest.mark.parametrize("folder", ["library_folder", "locked_folder"])
def test_plain_panel_serve_is_the_same(
    request: pytest.FixtureRequest, tmp_path: Path, folder: str
) -> None:
    """By the documented command the same doors are closed, and the same addresses answer."""
    library: Path = request.getfixturevalue(folder)
    environment = {"PANO_LIBRARY": str(library)}
    command = documented_command()
    with serving(library, tmp_path, command=command, environment=environment) as server:
        cookie = ""
        if folder == "locked_folder":
            for path in [*addresses(library), "/dashboard", "/dashboard/ws", "/static/js/x.js"]:
                assert is_without_data(ask(server.url, path))
            cookie = cookie_of(log_in(server.url))
        for path in [*addresses(library), "/dashboard"]:
            answer = ask(server.url, path, headers={"Cookie": cookie})
            assert answer.status == 200, path
            assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_without_the_plugin_nothing_is_shown(
    library_folder: Path, tmp_path: Path, chromium: Browser
) -> None:
    """`panel serve apps/dashboard.py` alone says how to start it, and shows no upload."""
    panel = str(Path(sys.executable).with_name("panel"))
    command = [panel, "serve", str(APP), "--index", "dashboard", "--liveness"]
    environment = {"PANO_LIBRARY": str(library_folder)}
    with serving(library_folder, tmp_path, command=command, environment=environment) as server:
        page = chromium.new_page()
        page.goto(server.url)
        expect(page.get_by_role("alert")).to_contain_text("--plugins")
        page.close()


def misbehave(browser: Browser, url: str, script: str, event: str) -> None:
    """Let a watched page do what `script` does, and see `event` come of it."""
    with watched(browser, url) as page:
        page.goto(f"{url}/logout")
        with page.expect_event(event):
            page.evaluate(script)


@pytest.mark.parametrize(
    ("script", "event", "trouble"),
    [
        ("new Image().src = 'http://other.test/x.png'", "request", r"foreign request: .*other"),
        ("console.error('planted')", "console", "console error: planted"),
        ("setTimeout(() => { throw new Error('planted') })", "pageerror", "uncaught: .*planted"),
    ],
)
def test_the_watch_sees_trouble(
    chromium: Browser, served: Served, script: str, event: str, trouble: str
) -> None:
    """What other tests rely on: a foreign request, blocked or not, and any error fail them."""
    with pytest.raises(AssertionError, match=trouble):
        misbehave(chromium, served.url, script, event)


def test_a_quiet_page_passes_the_watch(chromium: Browser, served: Served) -> None:
    """The watch does not fail on a page that does nothing wrong."""
    misbehave(chromium, served.url, "new Image().src = '/favicon.ico?new'", "request")


def test_sessions_are_given_back(inside: Inside, chromium: Browser) -> None:
    """When the browser goes, the session goes too."""
    with logged_in(chromium, inside.url) as page:
        page.goto(inside.url)
        page.wait_for_function("() => window.Bokeh && Bokeh.documents.length > 0")
        wait_until(lambda: inside.server.get_sessions() != [], "no session was made")
    wait_until(lambda: inside.server.get_sessions() == [], "a session was kept")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PanoError("the library is <b>upside down</b>"), "the library is <b>upside down</b>"),
        (RuntimeError("a secret"), "This page could not be created."),
    ],
)
def test_a_page_that_fails_says_so(
    inside: Inside,
    chromium: Browser,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    sentence: str,
) -> None:
    """An exception while the page is made gives a page that says what to do, not a blank one."""

    def fail(library: object) -> None:
        raise error

    monkeypatch.setattr("pano_analytics.dashboard.page.build", fail)
    with logged_in(chromium, inside.url) as page:
        page.goto(inside.url)
        expect(page.get_by_role("alert")).to_contain_text(sentence)


def test_the_page_knows_who_looks(
    inside: Inside, chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside a session `visitor` gives the name of the login, and outside of one nobody's."""
    from pano_analytics.dashboard.server import trouble, visitor

    monkeypatch.setattr(
        "pano_analytics.dashboard.page.build", lambda library: trouble(f"hello {visitor()}")
    )
    with logged_in(chromium, inside.url) as page:
        page.goto(inside.url)
        expect(page.get_by_role("alert")).to_contain_text(f"hello {NAME}")
    assert visitor() is None


def test_the_page_holds_no_login(inside: Inside) -> None:
    """Bokeh writes what it knows of the request into the page; the cookie must not be in it."""
    cookie = cookie_of(log_in(inside.url))
    page = ask(inside.url, "/", headers={"Cookie": cookie}).text
    token = re.search(r'"token":"([^"]+)"', page)
    assert token is not None
    payload = get_token_payload(token[1])
    assert cookie.partition("=")[2].strip('"') not in str(payload)
    assert "Host" in payload["headers"]
