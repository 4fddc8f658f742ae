"""The login: who is let in, for how long, and where it leads."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Page, expect
from serving import (
    NAME,
    PASSWORD,
    PHONE,
    Inside,
    Served,
    ask,
    cookies_of,
    log_in,
    make_library,
    serving_inside,
)
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from pano_analytics.access.users import Users
from pano_analytics.dashboard import auth
from pano_analytics.dashboard.limits import network_of

DEEP = "/?camera=front_door&start=2026-11-20T14%3A00&q=a%20b%2Bc"


def test_the_cookie_is_for_this_server_only(locked: Served) -> None:
    """No script reads it, no other site sends it, and it ends."""
    said = log_in(locked.url).headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=lax" in said
    assert "expires=" in said
    assert "secure" not in said


def test_the_cookie_is_secure_by_tls() -> None:
    """Over TLS the cookie never travels in clear; over plain HTTP it could not be set so."""
    assert auth.cookie_options("https")["secure"]
    assert not auth.cookie_options("http")["secure"]


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, so that its headers can be read."""

    def redirect_request(self, *args: Any) -> None:
        return None


def test_over_tls_the_whole_way(locked_folder: Path, tmp_path: Path) -> None:
    """Served with a certificate, the login sets a cookie marked Secure."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is missing: apt-get install openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            certificate,
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ],
        check=True,
        capture_output=True,
    )
    tls = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    with serving_inside(locked_folder, **tls) as server:
        trust = ssl.create_default_context(cafile=str(certificate))
        handler = urllib.request.HTTPSHandler(context=trust)
        keep = urllib.request.build_opener(handler, Stay())
        url = server.url.replace("http://127.0.0.1", "https://localhost") + "/login"
        form = f"username={NAME}&password={quote(PASSWORD)}".encode()
        with pytest.raises(urllib.error.HTTPError) as redirect:
            keep.open(url, form)
        assert "Secure" in redirect.value.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("name", "password"),
    [(NAME, ""), (NAME, PASSWORD.upper()), ("bob", PASSWORD), ("", ""), (NAME, "x" * 5000)],
)
def test_a_wrong_login_sets_no_cookie(inside: Inside, name: str, password: str) -> None:
    """A wrong name or password leads back to the form, with the way one wanted to go."""
    inside.application.door.attempts = auth.Attempts()
    answer = log_in(inside.url, name, password, wanted=DEEP)
    assert answer.status == 303
    assert "set-cookie" not in answer.headers
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["next"] == [DEEP]
    assert query["failed"] == ["1"]


def test_a_page_without_login_leads_there_and_back(locked: Served) -> None:
    """The address that was asked for, query and all, goes through the login unchanged."""
    way = ask(locked.url, DEEP).headers["location"]
    form = ask(locked.url, way).text
    hidden = re.search(r'name="next" value="([^"]*)"', form)
    assert hidden is not None
    assert hidden[1].replace("&amp;", "&") == DEEP
    assert log_in(locked.url, wanted=DEEP).headers["location"] == DEEP


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "//other.test/",
        "/\\other.test",
        "\\\\other.test",
        "http://other.test/",
        "other.test",
        "/\t/other.test",
        "/\n/other.test",
        "javascript:alert(1)",
        "/ /x",
        "/login",
        "/logout?x=1",
        "/x\r\nSet-Cookie:x",
        "///other.test",
        "/ä",
    ],
)
def test_no_login_leads_to_another_host(locked: Served, wanted: str) -> None:
    """A `next` that a browser could read as another host leads to the front page instead."""
    assert log_in(locked.url, wanted=wanted).headers["location"] == "/"


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.sampled_from(["", "/pano"]))
def test_next_always_stays_here(wanted: str, prefix: str) -> None:
    """Whatever `next` is, a browser resolves what is left of it to this host (WHATWG URL)."""
    for text in (wanted, "/" + wanted, f"{prefix}/{wanted}"):
        safe = auth.safe_next(text, prefix)
        assert safe.startswith(f"{prefix}/")
        assert not re.match(r"[/\\]{2}", safe)
        assert not re.search(r"[\x00-\x20\\]", safe)


def test_a_foreign_form_logs_nobody_in_or_out(locked: Served) -> None:
    """A post from another site's page is refused before it is read."""
    foreign = {"Origin": "http://other.test"}
    assert log_in(locked.url, **foreign).status == 403
    assert ask(locked.url, "/logout", "POST", foreign).status == 403
    assert log_in(locked.url, Origin="null").status == 403
    assert log_in(locked.url, Origin=locked.url).status == 303


def test_logging_out_takes_a_post(locked: Served) -> None:
    """A link or a picture to /logout only asks; the form's post drops the cookie."""
    assert "set-cookie" not in ask(locked.url, "/logout").headers
    answer = ask(locked.url, "/logout", "POST")
    assert answer.headers["location"] == "/login"
    assert re.match(r'pano_\w+="";.*expires=', answer.headers["set-cookie"])
    assert answer.headers["clear-site-data"] == '"cache"'


def test_too_many_failures_are_slowed_down(inside: Inside) -> None:
    """The eleventh try within minutes is not even looked at, right password or not."""
    inside.application.door.attempts = auth.Attempts()
    for _ in range(auth.Attempts.LIMIT):
        assert log_in(inside.url, password="wrong").status == 303
    answer = log_in(inside.url, wanted=DEEP)
    inside.application.door.attempts = auth.Attempts()
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "Too many failed logins" in answer.text
    assert DEEP.replace("&", "&amp;") in answer.text


def test_failures_are_counted_for_five_minutes() -> None:
    """Ten tries, whoever else tries; forgotten after five minutes or a right password."""
    now = [0.0]
    attempts = auth.Attempts(lambda: now[0])
    for _ in range(10):
        assert attempts.wait_s("10.0.0.1") == 0
        attempts.note("10.0.0.1")
    assert attempts.wait_s("10.0.0.1") == 300
    assert attempts.wait_s("10.0.0.2") == 0
    now[0] = 301
    assert attempts.wait_s("10.0.0.1") == 0
    for _ in range(10):
        attempts.note("10.0.0.1")
    attempts.forget("10.0.0.1")
    assert attempts.wait_s("10.0.0.1") == 0


def test_one_network_of_ipv6_is_one_address() -> None:
    """Whoever has a /64 does not get ten tries for each of its addresses."""
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1")
    assert network_of("10.0.0.1") != network_of("10.0.0.2")


def test_a_neighbour_by_ipv6_locks_nobody_out() -> None:
    """Ten failures of one address stop that one; of many addresses of a /64, the whole /64."""
    attempts = auth.Attempts(lambda: 0.0)
    for _ in range(10):
        attempts.note("2001:db8::1")
    assert attempts.wait_s("2001:db8::1") == 300
    assert attempts.wait_s("2001:db8::2") == 0
    for number in range(100):
        attempts.note(f"2001:db8::1:{number:x}")
    assert attempts.wait_s("2001:db8::2") == 300
    assert attempts.wait_s("2001:db8:0:1::2") == 0
    assert attempts.wait_s("device 7") == 0


def test_failures_take_bounded_memory() -> None:
    """A flood of addresses is forgotten from its beginning."""
    attempts = auth.Attempts(lambda: 0.0)
    for number in range(attempts.KEPT + 100):
        attempts.note(f"10.0.0.{number}")
    assert len(attempts._failed) == attempts.KEPT


def test_long_names_are_neither_counted_nor_kept(inside: Inside) -> None:
    """What cannot be right is refused by its length: a form of 16 kB at most, and a short name."""
    door = inside.application.door
    door.attempts = auth.Attempts()
    log_in(inside.url)
    for name in ("x" * 10_000, "\u00e4" * 1000):
        answer = log_in(inside.url, name)
        assert answer.status == 303
        assert "failed=1" in answer.headers["location"]
    assert sum(map(len, door.attempts._failed)) < 200
    with contextlib.suppress(OSError, http.client.HTTPException):
        assert log_in(inside.url, "x" * 1_000_000).status >= 400
    assert log_in(inside.url).status == 303


@pytest.mark.long
def test_strangers_cannot_lock_out_the_owner(inside: Inside) -> None:
    """A hundred wrong passwords from elsewhere, or here by a browser that is not known."""
    door = inside.application.door
    door.attempts = auth.Attempts()
    browser = "; ".join(cookies_of(log_in(inside.url)))
    for number in range(100):
        door.attempts.note(f"10.0.0.{number}")
    assert log_in(inside.url).headers["location"] == "/"
    for _ in range(auth.Attempts.LIMIT):
        log_in(inside.url, password="wrong")
    stranger, owner = log_in(inside.url), log_in(inside.url, Cookie=browser)
    other = log_in(inside.url, "bob", Cookie=browser)
    for _ in range(auth.Attempts.LIMIT):
        log_in(inside.url, password="wrong", Cookie=browser)
    thief = log_in(inside.url, Cookie=browser)
    door.attempts = auth.Attempts()
    assert (stranger.status, owner.status) == (429, 303)
    assert owner.headers["location"] == "/"
    assert other.status == 429
    assert thief.status == 429


def request_with(cookie: str, host: str = "localhost", peer: str = "127.0.0.1") -> Any:
    class Context:
        address, remote_ip, protocol = (peer, 1), peer, "http"

    class Connection:
        context = Context()

    headers = HTTPHeaders({"Host": host, "Cookie": cookie})
    line = RequestStartLine("GET", "/", "HTTP/1.1")
    return HTTPServerRequest(start_line=line, headers=headers, connection=cast(Any, Connection()))


def ticket(door: auth.AccessControl) -> str:
    return f"{door.cookie}={door.ticket(NAME).decode()}"


def test_a_login_survives_a_restart(tmp_path: Path) -> None:
    """Another process with the same library knows the cookie; another library's does not."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Users(tmp_path / name).add(NAME, PASSWORD)
    cookie = ticket(auth.AccessControl(tmp_path / "one"))
    assert auth.AccessControl(tmp_path / "one").visitor(request_with(cookie)) == NAME
    forged = cookie.replace(
        auth.AccessControl(tmp_path / "one").cookie, auth.AccessControl(tmp_path / "two").cookie
    )
    assert auth.AccessControl(tmp_path / "two").visitor(request_with(forged)) is None


def test_a_login_ends(tmp_path: Path) -> None:
    """With its days, with a new password, and with the user."""
    users = Users(tmp_path)
    users.add(NAME, PASSWORD)
    door = auth.AccessControl(tmp_path)
    cookie = ticket(door)
    assert door.visitor(request_with(cookie)) == NAME
    assert auth.AccessControl(tmp_path, session_days=0).visitor(request_with(cookie)) is None
    users.add(NAME, "another password")
    assert door.visitor(request_with(cookie)) is None
    cookie = ticket(door)
    users.add("bob", PASSWORD)
    users.remove(NAME)
    assert door.visitor(request_with(cookie)) is None


def test_a_broken_list_of_users_lets_nobody_in(tmp_path: Path) -> None:
    """Where users.json cannot be read the answer is 503, not an open door."""
    (tmp_path / "users.json").write_text("{")
    refusal = auth.AccessControl(tmp_path).refusal(request_with(""))
    assert refusal is not None
    assert refusal.status == 503


@pytest.mark.parametrize(
    ("host", "peer", "is_let_in"),
    [
        ("localhost:5006", "127.0.0.1", True),
        ("127.0.0.1:5006", "127.0.0.1", True),
        ("[::1]:5006", "::1", True),
        ("localhost", "::ffff:127.0.0.1", True),
        ("rebound.test:5006", "127.0.0.1", False),
        ("localhost:5006", "192.168.1.7", False),
        ("192.168.1.2:5006", "192.168.1.7", False),
        ("", "127.0.0.1", False),
    ],
)
def test_without_users_only_this_computer_looks(
    tmp_path: Path, host: str, peer: str, is_let_in: bool
) -> None:
    """Both ends count: who asks, and under which name (a foreign name may resolve to 127.0.0.1)."""
    refusal = auth.AccessControl(tmp_path).refusal(request_with("", host, peer))
    assert (refusal is None) == is_let_in


def test_removing_a_user_ends_open_pages(tmp_path: Path) -> None:
    """The websocket of a page is closed once its visitor may not look any more."""
    library = make_library(tmp_path)
    Users(library).add(NAME, PASSWORD)
    closed: list[int] = []
    with serving_inside(library) as server:

        class Socket:
            request = request_with(ticket(server.application.door))

            def close(self, code: int, reason: str) -> None:
                closed.append(code)

        socket = Socket()
        server.application._sockets.add(socket)
        server.application.turn_out()
        assert closed == []
        Users(library).add("bob", PASSWORD)
        Users(library).remove(NAME)
        server.application.turn_out()
        assert closed == [1008]


def fill(page: Page, password: str) -> None:
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_the_deep_link_survives_a_failed_login(visit: Callable[..., Page], locked: Served) -> None:
    """Who follows a link, mistypes and then logs in stands where the link led, and logs out."""
    page = visit(locked.url + DEEP)
    fill(page, "mistyped it")
    expect(page.get_by_role("alert")).to_have_text("Wrong name or password.")
    fill(page, PASSWORD)
    page.wait_for_url(lambda url: urlsplit(url).path == "/")
    query = parse_qs(urlsplit(page.url).query)
    assert query["camera"] == ["front_door"]
    page.goto(f"{locked.url}/logout")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    page.goto(f"{locked.url}/?camera=front_door")
    expect(page.get_by_label("Password")).to_be_visible()


def test_the_login_fits_a_phone(visit: Callable[..., Page], locked: Served) -> None:
    """At phone size nothing of the form is cut off, and the field does not make iOS zoom in."""
    page = visit(f"{locked.url}/login", PHONE)
    expect(page.get_by_role("button", name="Log in")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    size = page.get_by_label("Password").evaluate("node => getComputedStyle(node).fontSize")
    assert float(size.removesuffix("px")) >= 16
