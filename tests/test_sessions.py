"""Sessions: known to the server, listed, ended, limited in time, each with documents of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bokeh.util.token import generate_jwt_token
from click.testing import CliRunner
from playwright.sync_api import Browser, expect
from serving import (
    NAME,
    PASSWORD,
    Inside,
    addresses,
    ask,
    cookie_of,
    log_in,
    logged_in,
    make_library,
    serving_inside,
)
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from pano_analytics.access import sessions as room
from pano_analytics.access.sessions import Sessions
from pano_analytics.access.users import Users
from pano_analytics.cli import pano


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with two users, whose sessions tests may end."""
    folder = make_library(tmp_path_factory.mktemp("sessions"))
    Users(folder).add(NAME, PASSWORD)
    Users(folder).add("bob", PASSWORD)
    return folder


@pytest.fixture(scope="module")
def server(library: Path) -> Iterator[Inside]:
    with serving_inside(library) as running:
        yield running


def status(server: Inside, cookie: str, path: str = "/") -> int:
    return ask(server.url, path, headers={"Cookie": cookie}).status


def run(*arguments: str) -> str:
    result = CliRunner().invoke(pano, ["user", *arguments])
    assert result.exception is None, result
    return result.output


def test_a_stolen_cookie_ends_with_the_logout(server: Inside, library: Path) -> None:
    """After the logout the same cookie opens nothing, and another session goes on."""
    cookie, other = cookie_of(log_in(server.url)), cookie_of(log_in(server.url))
    assert status(server, cookie) == 200
    ask(server.url, "/logout", "POST", {"Cookie": cookie})
    for path in addresses(library):
        assert status(server, cookie, path) in (302, 401)
    assert status(server, other) == 200


def test_a_login_ends_the_session_before_it(server: Inside) -> None:
    """Who logs in again in the same browser gets a new cookie, and the old one is worth nothing."""
    before = cookie_of(log_in(server.url))
    after = cookie_of(log_in(server.url, Cookie=before))
    assert before != after
    assert status(server, before) == 302
    assert status(server, after) == 200


def test_a_chosen_cookie_opens_nothing(server: Inside) -> None:
    """Nobody can make a session up, nor give one to somebody else before the login."""
    name = server.application.door.cookie
    for value in ("", "x", "a" * 43, "a" * 5000, '"', "x|y|z"):
        assert status(server, f"{name}={value}") == 302
    chosen = f"{name}={'a' * 43}"
    assert cookie_of(log_in(server.url, Cookie=chosen)) != chosen
    assert status(server, chosen) == 302


def test_the_library_holds_no_token(server: Inside, library: Path) -> None:
    """sessions.json is readable by its owner only, and no cookie can be made from it."""
    token = cookie_of(log_in(server.url)).partition("=")[2].strip('"')
    path = library / "sessions.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token not in path.read_text()
    for session in json.loads(path.read_text())["sessions"]:
        assert status(server, f"{server.application.door.cookie}={session['id']}") == 302


def test_one_lists_and_ends_ones_own(server: Inside, chromium: Browser) -> None:
    """The page shows one's own sessions, ends one of them or all others, and no one else's."""
    other, bob = cookie_of(log_in(server.url)), cookie_of(log_in(server.url, "bob"))
    with logged_in(chromium, server.url) as page:
        page.goto(f"{server.url}/sessions")
        expect(page.get_by_text("This browser")).to_have_count(1)
        page.get_by_role("button", name="End this login").first.click()
        page.get_by_role("button", name="End all other logins").click()
        expect(page.get_by_role("button")).to_have_count(0)
        expect(page.get_by_text("This browser")).to_be_visible()
    assert status(server, other) == 302
    assert status(server, bob) == 200


def test_nobody_ends_the_session_of_another(server: Inside, library: Path) -> None:
    """Not by its id, and not from a foreign page."""
    mine, bob = cookie_of(log_in(server.url)), cookie_of(log_in(server.url, "bob"))
    [theirs] = Sessions(library).current("bob")[:1]
    form = {"Cookie": mine, "Content-Type": "application/x-www-form-urlencoded"}
    assert ask(server.url, "/sessions", "POST", form, f"end={theirs.id}").status == 303
    assert status(server, bob) == 200
    foreign = {**form, "Origin": "http://evil.test"}
    assert ask(server.url, "/sessions", "POST", foreign, "end=others").status == 403


def test_the_command_lists_and_ends(server: Inside, library: Path) -> None:
    """`pano user sessions` tells who is logged in; `end-sessions` ends them while it runs."""
    where = ["--library", str(library)]
    run("end-sessions", "--all", *where)
    agent = {"User-Agent": "Fox\x9b 1"}
    anna, bob = cookie_of(log_in(server.url)), cookie_of(log_in(server.url, "bob", **agent))
    lines = run("sessions", *where).splitlines()
    assert len(lines) == 2
    assert "\x9b" not in "".join(lines)
    fields = next(line for line in lines if "\tbob\t" in line).split("\t")
    assert re.fullmatch("[0-9a-f]{8}", fields[0])
    assert "127.0.0.1" in fields
    assert run("sessions", "bob", *where).count("\n") == 1
    assert run("end-sessions", "--id", fields[0], *where) == "1 session ended.\n"
    assert status(server, bob) == 302
    assert status(server, anna) == 200
    assert run("end-sessions", NAME, *where) == "1 session ended.\n"
    assert status(server, anna) == 302
    assert CliRunner().invoke(pano, ["user", "end-sessions", *where]).exit_code == 2


@pytest.mark.parametrize("how", ["logout", "password", "removed", "command"])
def test_open_pages_close_with_the_session(server: Inside, library: Path, how: str) -> None:
    """The websocket of a page ends within seconds when its session does, whatever ended it."""
    users = Users(library)
    users.add("carl", PASSWORD)
    cookie = cookie_of(log_in(server.url, "carl"))
    with open_page(server, cookie) as page:
        if how == "command":
            time.sleep(2.5)  # longer than the rounds: it stays open until there is a reason
        assert not page.done()
        if how == "logout":
            ask(server.url, "/logout", "POST", {"Cookie": cookie})
        elif how == "password":
            users.add("carl", "another password")
        elif how == "removed":
            users.remove("carl")
        else:
            run("end-sessions", "carl", "--library", str(library))
        page.result(20)
    assert status(server, cookie) == 302


def test_two_visitors_never_share_a_document(server: Inside) -> None:
    """Ids of documents are signed by the server; none can be chosen, nor used by another login."""
    anna, bob = cookie_of(log_in(server.url)), cookie_of(log_in(server.url, "bob"))
    page = ask(server.url, "/", headers={"Cookie": anna}).text
    token = re.search(r'"token":"([^"]+)"', page)
    assert token is not None
    for query in ("bokeh-session-id=chosen", f"bokeh-token={token[1]}"):
        for cookie in (anna, bob):
            assert status(server, cookie, f"/?{query}") == 403
    chosen = {"Cookie": anna, "Bokeh-Session-Id": "chosen"}
    assert ask(server.url, "/", headers=chosen).status == 403
    for cookie, wire_token, is_taken in (
        (anna, token[1], True),
        (bob, token[1], False),
        (anna, token[1][:-4] + "AAAA", False),
        (anna, generate_jwt_token("chosen", signed=False), False),
    ):
        with open_page(server, cookie, wire_token) as page:
            assert is_taken == (not page.done())


@contextlib.contextmanager
def open_page(server: Inside, cookie: str, token: str = "") -> Iterator[Future[None]]:
    """Open the websocket of a page (or with `token`); the future is done when it is closed.

    When the block begins, the server has acknowledged it or closed it.
    """
    page = ask(server.url, "/", headers={"Cookie": cookie}).text
    token = token or re.findall(r'"token":"([^"]+)"', page)[0]
    is_settled, is_over = threading.Event(), threading.Event()

    async def hold() -> None:
        headers = {"Cookie": cookie, "Origin": server.url}
        request = HTTPRequest(f"{server.url.replace('http', 'ws')}/ws", headers=headers)
        wire = await websocket_connect(request, subprotocols=["bokeh", token])
        message: Any = await wire.read_message()
        if message is not None:
            is_settled.set()
        while message is not None and not is_over.is_set():
            with contextlib.suppress(TimeoutError):
                message = await asyncio.wait_for(wire.read_message(), 0.2)
        wire.close()

    with ThreadPoolExecutor(1) as aside:
        future = aside.submit(lambda: asyncio.run(hold()))
        future.add_done_callback(lambda _: is_settled.set())
        assert is_settled.wait(20)
        time.sleep(0.1)
        yield future
        is_over.set()


# --- time ------------------------------------------------------------------------------------


class Clock:
    """A clock that tests can move."""

    now_at = datetime(2026, 11, 20, tzinfo=UTC)

    @classmethod
    def now(cls, zone: Any) -> datetime:
        return cls.now_at

    fromisoformat = staticmethod(datetime.fromisoformat)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    monkeypatch.setattr(room, "datetime", Clock)
    Clock.now_at = datetime(2026, 11, 20, tzinfo=UTC)
    return Clock


def test_a_session_ends_after_its_idle_days(tmp_path: Path, clock: type[Clock]) -> None:
    """Seven days without a request end it; a request every six days does not, until the 30th."""
    sessions = Sessions(tmp_path)
    idle, used = (sessions.begin(NAME, "", "", "") for _ in range(2))
    for _ in range(4):
        clock.now_at += timedelta(days=6)
        session = sessions.find(used)
        assert session is not None
        assert sessions.note(session)
        sessions.save()
    assert sessions.find(idle) is None
    assert Sessions(tmp_path).find(used) is not None
    clock.now_at += timedelta(days=6)
    assert sessions.find(used) is None
    assert sessions.current() == []


def test_sessions_survive_a_restart_and_are_bounded(tmp_path: Path) -> None:
    """Another process knows them; of one user only so many are kept, the last used ones."""
    sessions = Sessions(tmp_path)
    tokens = [sessions.begin(NAME, "", "", "") for _ in range(room.MOST_PER_USER + 3)]
    again = Sessions(tmp_path)
    assert [again.find(token) is not None for token in tokens].count(True) == room.MOST_PER_USER
    assert again.find(tokens[-1])
    again.end([again.find(tokens[-1]).id])  # type: ignore[union-attr]
    assert sessions.find(tokens[-1]) is None


@pytest.mark.parametrize("text", ["", "{", '{"format": 1, "sessions": [{}]}'])
def test_a_torn_list_of_sessions_lets_nobody_in(tmp_path: Path, text: str) -> None:
    """Everybody logs in again, and can."""
    sessions = Sessions(tmp_path)
    token = sessions.begin(NAME, "", "", "")
    sessions.path.write_text(text)
    assert sessions.find(token) is None
    assert sessions.find(sessions.begin(NAME, "", "", "")) is not None


def test_a_full_disk_keeps_nobody_out_or_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login that cannot be written down holds in this process, and its end does as well."""
    sessions = Sessions(tmp_path)
    kept = sessions.begin(NAME, "", "", "")

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pano_analytics.access.users.write_private", full)
    token = sessions.begin(NAME, "", "", "")
    for known in (token, kept):
        session = sessions.find(known)
        assert session is not None
        sessions.end([session.id])
        assert sessions.find(known) is None


def test_settings_say_how_long(tmp_path: Path) -> None:
    """session_days and session_idle_days reach the door, and the cookie ends with them."""
    library = make_library(tmp_path)
    page = json.loads((library / "library.json").read_text())
    page["settings"]["dashboard"]["session_days"] = 1
    (library / "library.json").write_text(json.dumps(page))
    Users(library).add(NAME, PASSWORD)
    with serving_inside(library) as server:
        assert server.application.door.sessions._longest == timedelta(days=1)
        said = log_in(server.url).headers["set-cookie"].splitlines()[0]
        ends = re.search(r"expires=([^;]+)", said)
        assert ends is not None
        end = time.mktime(time.strptime(ends[1], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
        assert abs(end - time.time() - 86_400) < 120
