"""What answers tell the browser: no inline script, no eval, nothing kept past the logout."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from serving import (
    Inside,
    Served,
    addresses,
    ask,
    cookie_of,
    log_in,
    logged_in,
    serving_inside,
    settle,
)

OTHERS = ["/login", "/logout", "/sessions", "/liveness", "/nothing", "/static/js/bokeh.min.js"]


def test_every_answer_carries_all_headers(locked: Served) -> None:
    """Pages, redirects, refusals, errors, pictures and static files alike; no HSTS by HTTP."""
    cookie = cookie_of(log_in(locked.url))
    foreign = {"Origin": "http://evil.test"}
    for path in [*addresses(locked.library), *OTHERS, "/media/%ff", "/static/none.js", "/ws"]:
        for headers in ({}, {"Cookie": cookie}, foreign):
            for method in ("GET", "HEAD", "POST", "DELETE"):
                answer = ask(locked.url, path, method, headers)
                said = answer.headers
                where = (method, path, headers, answer.status)
                assert said["x-content-type-options"] == "nosniff", where
                assert said["x-frame-options"] == "DENY", where
                assert said["referrer-policy"] == "same-origin", where
                assert said["cross-origin-opener-policy"] == "same-origin", where
                assert "camera=()" in said["permissions-policy"], where
                assert "frame-ancestors 'none'" in said["content-security-policy"], where
                assert not re.search("unsafe-(inline|eval)", said["content-security-policy"])
                assert "strict-transport-security" not in said
                assert "server" not in said


def test_a_nonce_is_used_once(served: Served) -> None:
    """Each answer has another one, and every script and style of a page carries it."""
    first, second = ask(served.url, "/"), ask(served.url, "/")
    nonces = [
        re.findall("'nonce-([^']+)'", answer.headers["content-security-policy"])
        for answer in (first, second)
    ]
    assert len({*nonces[0], *nonces[1]}) == 2
    tags = re.findall(r"<(?:script|style)[^>]*>", first.text)
    assert len(tags) > 5
    assert [tag for tag in tags if f'nonce="{nonces[0][0]}"' not in tag and "json" not in tag] == []
    assert not re.search(r'\sstyle="', first.text)


def test_no_page_breaks_the_policy(visit: Callable[..., Page], served: Served) -> None:
    """Every page in a real browser: a violation is an error of the console, and fails this."""
    page = visit(served.url)
    settle(page)
    page.locator("#pano-gallery img").first.click()
    expect(page.locator("dialog.viewer")).to_be_visible()
    page.keyboard.press("Escape")
    for path in [*addresses(served.library)[1:4], "/login", "/logout", "/sessions"]:
        page.goto(served.url + path)


@pytest.mark.parametrize(
    "script",
    [
        "eval('1')",
        "new Function('return 1')()",
        "document.body.append(Object.assign(document.createElement('script'), {text: 'ran = 1'}));"
        "ran",
        "document.body.innerHTML = '<img src=x onerror=\"window.ran = 1\">'; "
        "await new Promise(done => setTimeout(done, 300)); ran",
        "const made = document.createElement('script'); made.src = URL.createObjectURL("
        "new Blob(['ran = 1'])); document.body.append(made); "
        "await new Promise(done => setTimeout(done, 300)); ran",
    ],
)
def test_the_policy_holds(served: Served, chromium: Browser, script: str) -> None:
    """On the page itself neither eval nor inline scripts nor handlers run."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(served.url)
    settle(page)
    # What the debugger evaluates may do more; so a script of the page does it, a little later.
    page.evaluate(
        "(text) => { const made = document.createElement('script');"
        " made.nonce = document.querySelector('script[nonce]').nonce;"
        " made.text = `setTimeout(async () => { try { ${text}; window.outcome = 'ran' }"
        " catch (error) { window.outcome = 'refused' } }, 100)`;"
        " document.head.append(made) }",
        script,
    )
    page.wait_for_function("() => window.outcome")
    assert page.evaluate("window.outcome") == "refused"
    context.close()


def test_pictures_are_asked_for_again(inside: Inside, locked_folder: Path) -> None:
    """A browser that has a thumbnail gets 304 with the login and nothing without it."""
    cookie = cookie_of(log_in(inside.url))
    for path in addresses(locked_folder)[1:]:
        first = ask(inside.url, path, headers={"Cookie": cookie})
        assert first.headers["cache-control"] == "private, no-cache", path
        known = {"If-None-Match": first.headers["etag"]}
        again = ask(inside.url, path, headers={"Cookie": cookie, **known})
        assert (again.status, again.body) == (304, b"")
        assert ask(inside.url, path, headers=known).status in (302, 401)


def test_where_nothing_can_be_cleared_nothing_is_kept(inside: Inside, locked_folder: Path) -> None:
    """By HTTP under another name than localhost browsers ignore Clear-Site-Data."""
    cookie = cookie_of(log_in(inside.url))
    for path in addresses(locked_folder):
        answer = ask(inside.url, path, headers={"Cookie": cookie, "Host": "cameras.lan"})
        assert "no-store" in answer.headers["cache-control"], path


def test_after_the_logout_the_browser_shows_nothing(
    inside: Inside, locked_folder: Path, chromium: Browser
) -> None:
    """Going back, or to a picture that was seen before, leads to the login."""
    picture = inside.url + addresses(locked_folder)[1]
    with logged_in(chromium, inside.url) as page:
        page.goto(inside.url)
        settle(page)
        page.goto(picture)
        assert page.evaluate("document.images[0].naturalWidth") > 0
        page.goto(f"{inside.url}/logout")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        page.go_back()
        page.go_back()
        assert page.locator("img").count() == 0
        for path in (picture, inside.url):
            page.goto(path)
            expect(page.get_by_label("Password")).to_be_visible()


def test_hsts_by_https(locked_folder: Path, tmp_path: Path) -> None:
    """Behind a proxy that speaks HTTPS, or by HTTPS itself, browsers are told to stay with it."""
    with serving_inside(locked_folder, http_server_kwargs={"xheaders": True}) as server:
        https = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
        for path in ("/", "/login", "/nothing", "/liveness", "/static/js/bokeh.min.js"):
            said = ask(server.url, path, headers=https).headers
            assert said["strict-transport-security"].startswith("max-age=31536000")
        answer = log_in(server.url, **https)
        for cookie in answer.headers["set-cookie"].splitlines():
            assert cookie.startswith("__Host-pano_")
            assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))
        known = {"Cookie": cookie_of(answer)}
        assert ask(server.url, "/", headers={**https, **known}).status == 200
        assert ask(server.url, "/", headers=known).status == 302
