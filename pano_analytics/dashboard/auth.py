"""Access control: who is admitted, the login pages, and the answers to everybody else.

Every request passes `Unadmitted` before any route is matched, so new routes, and those
of Panel, require the login by default. Four addresses are open to anybody: the login, the
logout, `/liveness` and the icon. While the library has no user, only this computer has
access.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bokeh.server.auth_provider import AuthProvider
from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher
from tornado.web import RequestHandler, create_signed_value, decode_signed_value

from pano_analytics.access.sessions import IDLE_DAYS, SESSION_DAYS, LoginSession, Sessions
from pano_analytics.access.users import NAME_MAX_LENGTH, PASSWORD_MAX_LENGTH, Users, login_secret
from pano_analytics.dashboard.headers import FORM_POLICY, nonce_of
from pano_analytics.dashboard.limits import Attempts
from pano_analytics.dashboard.origin import is_same_origin, peer_of, sign_of_another
from pano_analytics.errors import PanoError
from pano_analytics.model.upload import resolved

log = logging.getLogger(__name__)

TEMPLATES = Path(__file__).with_name("templates")
DEVICE, DEVICE_DAYS = "_device", 365.0
"""A second cookie that marks a browser that was logged in before. It grants no access."""
OPEN = ("/login", "/logout", "/liveness", "/favicon.ico")

# The visitor's name while the library has no users.
LOCAL_VISITOR = "local"


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request is refused: an HTTP status and a sentence for the visitor."""

    status: int
    sentence: str


def safe_next(wanted: str, prefix: str = "") -> str:
    """Return `wanted` if it is a path and query on this server, else the front page.

    With a backslash, a second slash or a control character, a browser could take part of it
    for another host (browsers drop tabs and newlines inside an address).
    """
    front_page = f"{prefix}/"
    is_plain = wanted.isascii() and wanted.isprintable() and not set(wanted) & set("\\ ")
    if not is_plain or not wanted.startswith(front_page) or wanted.startswith("//"):
        return front_page
    return front_page if is_open(wanted.partition("?")[0], prefix) else wanted


def is_open(path: str, prefix: str = "") -> bool:
    """Return whether `path` needs no login."""
    return path in [f"{prefix}{known}" for known in OPEN]


@dataclass
class AccessControl:
    """Decide who has access to the library in `folder`.

    A session ends `session_days` after its login, and `idle_days` after its last request.
    """

    folder: Path
    session_days: float = SESSION_DAYS
    idle_days: float = IDLE_DAYS
    is_behind_proxy: bool = False
    attempts: Attempts = field(default_factory=Attempts)
    _had_users: bool = False

    @cached_property
    def users(self) -> Users:
        return Users(self.folder)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self.folder, self.session_days, self.idle_days)

    @cached_property
    def _secret(self) -> bytes:
        return login_secret(self.folder)

    @cached_property
    def cookie(self) -> str:
        """The cookie's name, different for each library: two on one host keep separate logins."""
        place = str(resolved(self.folder)).encode("utf-8", "surrogateescape")
        return f"pano_{hashlib.blake2b(place, digest_size=4).hexdigest()}"

    def cookie_for(self, request: HTTPServerRequest, prefix: str = "", what: str = "") -> str:
        """Return the cookie's name for `request`; over HTTPS, one that no HTTP page can set."""
        if request.protocol != "https":
            return self.cookie + what
        return f"{'__Secure-' if prefix else '__Host-'}{self.cookie}{what}"

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        # One password at a time: each takes 16 MB and a tenth of a second.
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="login")

    @cached_property
    def known_pool(self) -> ThreadPoolExecutor:
        """The pool for browsers that logged in before, so that strangers do not delay them."""
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="known")

    def close(self) -> None:
        """Stop checking passwords."""
        for pool in (self.pool, self.known_pool):
            pool.shutdown(wait=False, cancel_futures=True)

    def refusal(self, request: HTTPServerRequest, prefix: str = "") -> Denial | None:
        """Return why `request` is refused, or None if it is admitted."""
        if getattr(getattr(request.connection, "context", None), "is_crowded", False):
            return Denial(503, "Too many requests at once. Please try again in a moment.")
        if not is_same_origin(request):
            return Denial(403, "This address only accepts requests from its own pages.")
        if _names_a_document(request):
            return Denial(403, "Each visitor gets a new page; its id cannot be chosen.")
        if is_open(request.path, prefix):
            return None
        try:
            return self._check_login(request, prefix)
        except (PanoError, OSError) as error:
            log.error("all logins are refused: %s", error)
            return Denial(503, UNREADABLE)

    def _check_login(self, request: HTTPServerRequest, prefix: str) -> Denial | None:
        if not self.has_users():
            return self._check_local(request)
        if self.session_of(request, prefix) is None:
            return Denial(401, "Please log in.")
        return None

    def has_users(self) -> bool:
        """Return whether anybody can log in. Raises LibraryError if the list of users is gone."""
        if self.users.all():
            self._had_users = bool(self._secret)  # made now, so that it outlives the list
            return True
        self.users.check_presence(self._had_users)
        return False

    def _check_local(self, request: HTTPServerRequest) -> Denial | None:
        if self.is_behind_proxy:
            return Denial(503, _NO_USERS_PROXY)
        reason = sign_of_another(request)
        return None if reason is None else Denial(403, _NO_USERS.format(reason=reason))

    def session_of(self, request: HTTPServerRequest, prefix: str = "") -> LoginSession | None:
        """Return the session whose cookie `request` carries, or None.

        A session ends when it expires, when its user is removed, and when the password changes.
        """
        cookie = request.cookies.get(self.cookie_for(request, prefix))
        if cookie is None or not self.users.all() or len(cookie.value) > 256:
            return None
        session = self.sessions.find(cookie.value)
        return session if session and self._is_valid(session) else None

    def _is_valid(self, session: LoginSession) -> bool:
        user = self.users.get(session.user)
        return user is not None and hmac.compare_digest(session.stamp, self._stamp(user.hashed))

    def visitor(self, request: HTTPServerRequest, prefix: str = "") -> str | None:
        """Return the name of the user who is logged in, or None."""
        session = self.session_of(request, prefix)
        return None if session is None else session.user

    def note(self, session: LoginSession) -> None:
        """Note that `session` is in use."""
        if self.sessions.note(session):
            self.known_pool.submit(self.sessions.save)

    def _stamp(self, hashed: str) -> str:
        return hmac.digest(self._secret, hashed.encode(), "sha256").hex()[:32]

    def ticket(self, name: str, address: str = "", browser: str = "") -> bytes:
        """Begin a session of the user `name`; return the value of its cookie."""
        user = self.users.get(name)
        if user is None:
            raise KeyError(name)
        return self.sessions.begin(user.name, self._stamp(user.hashed), address, browser).encode()

    def device_mark(self, name: str) -> bytes:
        """Return the cookie that marks a browser as used by `name`; it grants no access."""
        user = self.users.get(name)
        stamp = "" if user is None else self._stamp(user.hashed)
        value = json.dumps([secrets.token_hex(8), name, stamp])
        return create_signed_value(self._secret, f"{self.cookie}{DEVICE}", value)

    def known_device(self, request: HTTPServerRequest, name: str, prefix: str = "") -> str | None:
        """Return the id of this browser if `name` logged in from it before, else None."""
        cookie = request.cookies.get(self.cookie_for(request, prefix, DEVICE))
        if cookie is None or len(cookie.value) > 1024:
            return None
        value = decode_signed_value(
            self._secret, f"{self.cookie}{DEVICE}", cookie.value, max_age_days=DEVICE_DAYS
        )
        if value is None:
            return None
        device, owner, stamp = json.loads(value)
        user = self.users.get(name)
        is_theirs = user is not None and owner == user.name and stamp == self._stamp(user.hashed)
        return str(device) if is_theirs else None

    async def is_right(self, name: str, password: str, is_known: bool = False) -> bool:
        """Return whether `password` is that of `name`, without blocking the event loop."""
        loop = asyncio.get_running_loop()
        pool = self.known_pool if is_known else self.pool
        return await loop.run_in_executor(pool, self.users.verify, name, password)


UNREADABLE = "The list of users cannot be read; see the log of the server."
_NO_USERS = (
    "There are no users yet, so the dashboard can only be opened on the computer that serves it, "
    "and not through a proxy. This request is refused because {reason}. Add a user on that "
    "computer: pano user add NAME"
)
_NO_USERS_PROXY = (
    "There are no users yet, and behind a proxy nobody can open the dashboard without logging in. "
    "On the computer that serves it, run: pano user add NAME"
)


def _names_a_document(request: HTTPServerRequest) -> bool:
    # Bokeh accepts a document id from the request: two visitors with the same link would
    # share one document.
    is_named = {"bokeh-session-id", "bokeh-token"} & set(request.arguments)
    return bool(is_named) or "Bokeh-Session-Id" in request.headers


class Unadmitted(Matcher):
    """Matches every request that is refused, and sets the visitor on every other request."""

    def __init__(self, door: AccessControl, prefix: str) -> None:
        self.door, self.prefix = door, prefix

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        if self.door.refusal(request, self.prefix) is not None:
            return {}
        if not is_open(request.path, self.prefix):
            self._set_visitor(request)
        return None

    def _set_visitor(self, request: HTTPServerRequest) -> None:
        # Panel passes the request to the session, and so to the page: see server.visitor.
        login = self.door.session_of(request, self.prefix)
        if login is not None:
            self.door.note(login)
        request.visitor = login.user if login else LOCAL_VISITOR  # type: ignore[attr-defined]
        request.login = login.id if login else ""  # type: ignore[attr-defined]
        request.connection.context.is_admitted = True  # type: ignore[union-attr]
        nonce_of(request)


class Turnstile(RequestHandler):
    """Answers refused requests: pages redirect to the login, everything else gets an error."""

    def initialize(self, door: AccessControl, prefix: str) -> None:
        self.door, self.prefix = door, prefix

    def prepare(self) -> None:
        refusal = self.door.refusal(self.request, self.prefix)
        if refusal is None:  # admitted since it was matched
            refusal = Denial(503, "Please try again.")
        self.set_header("Cache-Control", "no-store")
        if refusal.status == 401 and self._is_page():
            self.redirect(f"{self.prefix}/login?next={quote(self.request.uri or '/', safe='')}")
        else:
            self._note(refusal)
            self.set_status(refusal.status)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(refusal.sentence + "\n")

    def _note(self, refusal: Denial) -> None:
        # A 401 before the login is normal. The query is not logged: it may contain anything.
        if refusal.status != 401:
            request_line = f"{self.request.method} {self.request.path}"
            log.warning(
                "refused %s from %s: %s", request_line, peer_of(self.request), refusal.sentence
            )

    def _is_page(self) -> bool:
        # Browsers say what they need the answer for; without that header, assume a page.
        is_asking = self.request.method in ("GET", "HEAD")
        is_upgrade = "upgrade" in self.request.headers.get("Connection", "").lower()
        mode = self.request.headers.get("Sec-Fetch-Mode", "navigate")
        return is_asking and not is_upgrade and mode == "navigate"


class _Form(RequestHandler):
    """A page with a form, based on `door.html`."""

    def initialize(self, door: AccessControl, prefix: str) -> None:
        self.door, self.prefix = door, prefix

    def get_template_path(self) -> str:
        return str(TEMPLATES)

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")
        policy = FORM_POLICY.format(nonce=nonce_of(self.request))
        self.set_header("Content-Security-Policy", policy)

    def get_template_namespace(self) -> dict[str, Any]:
        return {**super().get_template_namespace(), "nonce": nonce_of(self.request)}

    def compute_etag(self) -> None:
        return None

    def address(self) -> str:
        return str(self.request.remote_ip)

    async def end(self, sessions: list[LoginSession]) -> None:
        """End these sessions and close their open pages."""
        loop = asyncio.get_running_loop()
        ids = [session.id for session in sessions]
        await loop.run_in_executor(self.door.known_pool, self.door.sessions.end, ids)
        for session in sessions:
            log.info(
                "session %s of %s ended from %s", session.short_id, session.user, self.address()
            )
        turn_out = getattr(self.application, "turn_out", None)
        if turn_out is not None:
            turn_out()

    def prepare(self) -> None:
        if self.request.method == "POST" and not _is_form(self.request):
            self._refuse(415, "Expected a form (application/x-www-form-urlencoded).")
            return
        try:
            self.door.has_users()
        except (PanoError, OSError) as error:
            log.error("all logins are refused: %s", error)
            self._refuse(503, UNREADABLE)

    def _refuse(self, status: int, sentence: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(sentence + "\n")


def _is_form(request: HTTPServerRequest) -> bool:
    kind = request.headers.get("Content-Type", "").partition(";")[0]
    has_body = bool(request.body)
    return not has_body or kind.strip().lower() == "application/x-www-form-urlencoded"


class LoginHandler(_Form):
    """The login page. `next` is the path and query to go to after the login."""

    def get(self) -> None:
        wanted = safe_next(self.get_query_argument("next", ""), self.prefix)
        if self.door.visitor(self.request, self.prefix):
            self.redirect(wanted)
            return
        note = "Wrong name or password." if self._has_failed() else ""
        self._show(wanted, note)

    def _has_failed(self) -> bool:
        return bool(self.get_query_argument("failed", ""))

    def _show(self, wanted: str, note: str) -> None:
        self.render(
            "login.html",
            action=f"{self.prefix}/login",
            next=wanted,
            note=note,
            name=self.get_body_argument("username", "")[:NAME_MAX_LENGTH],
            has_users=self.door.has_users(),
        )

    async def post(self) -> None:
        name = self.get_body_argument("username", "")
        password = self.get_body_argument("password", "", strip=False)
        wanted = safe_next(self.get_body_argument("next", ""), self.prefix)
        # Nothing longer can be right, so it is neither checked nor counted nor stored.
        is_possible = len(name) <= NAME_MAX_LENGTH and len(password) <= PASSWORD_MAX_LENGTH
        device = self.door.known_device(self.request, name, self.prefix) if is_possible else None
        key = f"device {device}" if device else self.address()
        if wait_s := self.door.attempts.wait_s(key):
            log.warning("too many failed logins from %s", self.address())
            self._slow_down(wanted, wait_s)
        elif is_possible and await self._is_right(key, name, password, bool(device)):
            await self._admit(name)
            self.redirect(wanted, status=303)
        else:
            # Redirect to the form, so that reloading it does not try the password again.
            form_url = f"{self.prefix}/login?failed=1&next={quote(wanted, safe='')}"
            self.redirect(form_url, status=303)

    async def _is_right(self, key: str, name: str, password: str, is_known: bool) -> bool:
        self.door.attempts.note(key)
        if not await self.door.is_right(name, password, is_known):
            # An unknown name is not logged: it may be a password.
            known = self.door.users.get(name)
            who = f"as {known.name}" if known else "with an unknown name"
            log.warning("failed login %s from %s", who, self.address())
            return False
        self.door.attempts.forget(key)
        return True

    def _slow_down(self, wanted: str, wait_s: float) -> None:
        minutes = int(wait_s // 60) + 1
        self.set_status(429)
        self.set_header("Retry-After", str(int(wait_s) + 1))
        self._show(wanted, f"Too many failed logins. Try again in {minutes} min.")

    async def _admit(self, name: str) -> None:
        browser = self.request.headers.get("User-Agent", "")
        before = self.door.session_of(self.request, self.prefix)

        def begin() -> bytes:
            if before is not None:
                self.door.sessions.end([before.id])
            return self.door.ticket(name, self.address(), browser)

        loop = asyncio.get_running_loop()
        ticket = await loop.run_in_executor(self.door.known_pool, begin)
        log.info("login of %s from %s", name, self.address())
        self._store_cookie("", ticket, self.door.session_days)
        self._store_cookie(DEVICE, self.door.device_mark(name), DEVICE_DAYS)

    def _store_cookie(self, what: str, value: bytes, days: float) -> None:
        self.set_cookie(
            self.door.cookie_for(self.request, self.prefix, what),
            value,
            expires_days=days,
            **cookie_options(self.request.protocol, self.prefix),
        )


def cookie_options(protocol: str, prefix: str = "") -> dict[str, Any]:
    """Return the cookie's attributes for a response over `protocol` ("http" or "https")."""
    place = prefix or "/"
    return {"httponly": True, "samesite": "Lax", "path": place, "secure": protocol == "https"}


class LogoutHandler(_Form):
    """The logout. It takes a POST, so that an image on another site cannot trigger it."""

    def get(self) -> None:
        self.render(
            "logout.html",
            action=f"{self.prefix}/logout",
            front=f"{self.prefix}/",
            sessions=f"{self.prefix}/sessions",
        )

    async def post(self) -> None:
        login = self.door.session_of(self.request, self.prefix)
        if login is not None:
            await self.end([login])
        options = cookie_options(self.request.protocol, self.prefix)
        self.clear_cookie(self.door.cookie_for(self.request, self.prefix), **options)
        # Remove the pictures from the browser's cache as well.
        self.set_header("Clear-Site-Data", '"cache"')
        self.redirect(f"{self.prefix}/login", status=303)


class SessionsHandler(_Form):
    """The visitor's own sessions: each other one can be ended, or all others at once."""

    def _own_sessions(self) -> tuple[LoginSession | None, list[LoginSession]]:
        login = self.door.session_of(self.request, self.prefix)
        return login, self.door.sessions.current(login.user) if login else []

    def get(self) -> None:
        login, own = self._own_sessions()
        self.render(
            "sessions.html",
            action=f"{self.prefix}/sessions",
            logout=f"{self.prefix}/logout",
            front=f"{self.prefix}/",
            own=own,
            login=login,
        )

    async def post(self) -> None:
        login, own = self._own_sessions()
        wanted = self.get_body_argument("end", "")
        # Only the visitor's own sessions are searched, so nobody can end another user's.
        others = [session for session in own if login is not None and session.id != login.id]
        await self.end([session for session in others if wanted in ("others", session.id)])
        self.redirect(f"{self.prefix}/sessions", status=303)


class Provider(AuthProvider):
    """The same access control for Panel's own handlers, which check again themselves."""

    def __init__(self, door: AccessControl, prefix: str) -> None:
        self.door, self.prefix = door, prefix
        super().__init__()

    @property
    def get_user(self) -> Any:
        return self._user

    def _user(self, handler: RequestHandler) -> str | None:
        if self.door.refusal(handler.request, self.prefix) is not None:
            return None
        return self.door.visitor(handler.request, self.prefix) or LOCAL_VISITOR

    @property
    def login_url(self) -> str:
        return "/login"

    @property
    def logout_url(self) -> str:
        return "/logout"
