"""The door: who comes in, by which login, and what those hear who do not.

Every request passes `Unadmitted` before any route is looked for, so a route
that somebody adds, or that Panel brings along, is behind the login without
asking for it. Four addresses are open: the login, the logout, the sign of life
and the icon. Where the library has no user at all, only this computer may look.
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
"""A second cookie: that this browser was logged in before. It lets nobody in."""
OPEN = ("/login", "/logout", "/liveness", "/favicon.ico")

# The name under which things are done where nobody logs in.
LOCAL_VISITOR = "local"


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request does not come in: an HTTP status and a sentence for whoever asked."""

    status: int
    sentence: str


def safe_next(wanted: str, prefix: str = "") -> str:
    """Return `wanted` if it is a path and query on this server, else the front page.

    A backslash, a second slash or a control character would let a browser read
    another host out of it (browsers drop tabs and newlines inside an address).
    """
    front = f"{prefix}/"
    plain = wanted.isascii() and wanted.isprintable() and not set(wanted) & set("\\ ")
    if not plain or not wanted.startswith(front) or wanted.startswith("//"):
        return front
    return front if is_open(wanted.partition("?")[0], prefix) else wanted


def is_open(path: str, prefix: str = "") -> bool:
    """Return whether `path` answers to anybody."""
    return path in [f"{prefix}{known}" for known in OPEN]


@dataclass
class AccessControl:
    """Who may come in to the library in `folder`.

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
        """The cookie's name; two libraries on one host must not log each other out."""
        place = str(resolved(self.folder)).encode("utf-8", "surrogateescape")
        return f"pano_{hashlib.blake2b(place, digest_size=4).hexdigest()}"

    def cookie_for(self, request: HTTPServerRequest, prefix: str = "", what: str = "") -> str:
        """Return the cookie's name for `request`: by HTTPS one that no HTTP page can set."""
        if request.protocol != "https":
            return self.cookie + what
        return f"{'__Secure-' if prefix else '__Host-'}{self.cookie}{what}"

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        # One password at a time: each takes 16 MB and a tenth of a second.
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="login")

    @cached_property
    def known_pool(self) -> ThreadPoolExecutor:
        """For browsers that logged in before, who must not queue behind strangers."""
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="known")

    def close(self) -> None:
        """Check no more passwords."""
        for pool in (self.pool, self.known_pool):
            pool.shutdown(wait=False, cancel_futures=True)

    def refusal(self, request: HTTPServerRequest, prefix: str = "") -> Denial | None:
        """Return why `request` is not admitted, or None where it is."""
        if getattr(getattr(request.connection, "context", None), "is_crowded", False):
            return Denial(503, "Too many requests at once. Please try again in a moment.")
        if not is_same_origin(request):
            return Denial(403, "This address only accepts requests from its own pages.")
        if _names_a_document(request):
            return Denial(403, "Each visitor gets their own page; it cannot be chosen.")
        if is_open(request.path, prefix):
            return None
        try:
            return self._stranger(request, prefix)
        except (PanoError, OSError) as error:
            log.error("all logins are refused: %s", error)
            return Denial(503, UNREADABLE)

    def _stranger(self, request: HTTPServerRequest, prefix: str) -> Denial | None:
        if not self.has_users():
            return self._not_from_here(request)
        if self.session_of(request, prefix) is None:
            return Denial(401, "Please log in.")
        return None

    def has_users(self) -> bool:
        """Return whether anybody can log in. Raises LibraryError where the list of them is gone."""
        if self.users.all():
            self._had_users = bool(self._secret)  # made now, so that it outlives the list
            return True
        self.users.check_presence(self._had_users)
        return False

    def _not_from_here(self, request: HTTPServerRequest) -> Denial | None:
        if self.is_behind_proxy:
            return Denial(503, _NO_USERS_PROXY)
        sign = sign_of_another(request)
        return None if sign is None else Denial(403, _NO_USERS.format(sign=sign))

    def session_of(self, request: HTTPServerRequest, prefix: str = "") -> LoginSession | None:
        """Return the session whose cookie `request` carries, or None.

        It ends with its days, with its user, and with a new password.
        """
        kept = request.cookies.get(self.cookie_for(request, prefix))
        if kept is None or not self.users.all() or len(kept.value) > 256:
            return None
        session = self.sessions.find(kept.value)
        return session if session and self._is_valid(session) else None

    def _is_valid(self, session: LoginSession) -> bool:
        user = self.users.get(session.user)
        return user is not None and hmac.compare_digest(session.stamp, self._stamp(user.hashed))

    def visitor(self, request: HTTPServerRequest, prefix: str = "") -> str | None:
        """Return the name of who is logged in, or None."""
        session = self.session_of(request, prefix)
        return None if session is None else session.user

    def note(self, session: LoginSession) -> None:
        """Note that `session` is in use."""
        if self.sessions.note(session):
            self.known_pool.submit(self.sessions.save)

    def _stamp(self, hashed: str) -> str:
        return hmac.digest(self._secret, hashed.encode(), "sha256").hex()[:32]

    def ticket(self, name: str, address: str = "", browser: str = "") -> bytes:
        """Begin a session of the user `name`; return the cookie that stands for it."""
        user = self.users.get(name)
        if user is None:
            raise KeyError(name)
        return self.sessions.begin(user.name, self._stamp(user.hashed), address, browser).encode()

    def device_mark(self, name: str) -> bytes:
        """Return the cookie of a browser that the user `name` logged in from; it lets nobody in."""
        user = self.users.get(name)
        stamp = "" if user is None else self._stamp(user.hashed)
        value = json.dumps([secrets.token_hex(8), name, stamp])
        return create_signed_value(self._secret, f"{self.cookie}{DEVICE}", value)

    def known_device(self, request: HTTPServerRequest, name: str, prefix: str = "") -> str | None:
        """Return what tells this browser from others, if `name` logged in from it before."""
        kept = request.cookies.get(self.cookie_for(request, prefix, DEVICE))
        if kept is None or len(kept.value) > 1024:
            return None
        value = decode_signed_value(
            self._secret, f"{self.cookie}{DEVICE}", kept.value, max_age_days=DEVICE_DAYS
        )
        if value is None:
            return None
        device, owner, stamp = json.loads(value)
        user = self.users.get(name)
        is_theirs = user is not None and owner == user.name and stamp == self._stamp(user.hashed)
        return str(device) if is_theirs else None

    async def is_right(self, name: str, password: str, is_known: bool = False) -> bool:
        """Return whether `password` opens for `name`, without holding up the event loop."""
        loop = asyncio.get_running_loop()
        pool = self.known_pool if is_known else self.pool
        return await loop.run_in_executor(pool, self.users.verify, name, password)


UNREADABLE = "The list of users cannot be read; see the log of the server."
_NO_USERS = (
    "There are no users yet, so the dashboard can only be opened on the computer that serves it, "
    "and not through a proxy. This request is refused because {sign}. Add a user on that "
    "computer: pano user add NAME"
)
_NO_USERS_PROXY = (
    "There are no users yet, and behind a proxy nobody can open the dashboard without logging in. "
    "On the computer that serves it, run: pano user add NAME"
)


def _names_a_document(request: HTTPServerRequest) -> bool:
    # Bokeh takes the id of a document from whoever asks, so that two visitors who were
    # given the same link would work on one document.
    is_named = {"bokeh-session-id", "bokeh-token"} & set(request.arguments)
    return bool(is_named) or "Bokeh-Session-Id" in request.headers


class Unadmitted(Matcher):
    """Matches every request that the door refuses; who is admitted gets a name on it."""

    def __init__(self, door: AccessControl, prefix: str) -> None:
        self.door, self.prefix = door, prefix

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        if self.door.refusal(request, self.prefix) is not None:
            return {}
        if not is_open(request.path, self.prefix):
            self._name(request)
        return None

    def _name(self, request: HTTPServerRequest) -> None:
        # Panel hands the request to the session, and so to the page: see server.visitor.
        login = self.door.session_of(request, self.prefix)
        if login is not None:
            self.door.note(login)
        request.visitor = login.user if login else LOCAL_VISITOR  # type: ignore[attr-defined]
        request.login = login.id if login else ""  # type: ignore[attr-defined]
        request.connection.context.is_admitted = True  # type: ignore[union-attr]
        nonce_of(request)


class Turnstile(RequestHandler):
    """Answers what is not admitted: a page leads to the login and back, all else is refused."""

    def initialize(self, door: AccessControl, prefix: str) -> None:
        self.door, self.prefix = door, prefix

    def prepare(self) -> None:
        refusal = self.door.refusal(self.request, self.prefix)
        if refusal is None:  # let in while we were getting here
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
        # Whoever has yet to log in gets a 401; that is no event. The query may hold anything.
        if refusal.status != 401:
            asked = f"{self.request.method} {self.request.path}"
            log.warning("refused %s from %s: %s", asked, peer_of(self.request), refusal.sentence)

    def _is_page(self) -> bool:
        # Browsers say what an answer is for; who does not say is taken for a reader of pages.
        is_asking = self.request.method in ("GET", "HEAD")
        is_upgrade = "upgrade" in self.request.headers.get("Connection", "").lower()
        mode = self.request.headers.get("Sec-Fetch-Mode", "navigate")
        return is_asking and not is_upgrade and mode == "navigate"


class _Form(RequestHandler):
    """A page with a form, in the house's own template."""

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
        """End these sessions, and close the pages that are open with them."""
        loop = asyncio.get_running_loop()
        ids = [session.id for session in sessions]
        await loop.run_in_executor(self.door.known_pool, self.door.sessions.end, ids)
        for one in sessions:
            log.info("session %s of %s ended from %s", one.short_id, one.user, self.address())
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
    """The login. `next` (a path and query here) is where one wanted to go."""

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
        # Nothing so long can be right, and nothing so long is counted, checked or kept.
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
            # Back to the form by a redirect: reloading it must not try the password again.
            again = f"{self.prefix}/login?failed=1&next={quote(wanted, safe='')}"
            self.redirect(again, status=303)

    async def _is_right(self, key: str, name: str, password: str, is_known: bool) -> bool:
        self.door.attempts.note(key)
        if not await self.door.is_right(name, password, is_known):
            # A name that nobody has is not written down: it may be a password.
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
        self._hand_out("", ticket, self.door.session_days)
        self._hand_out(DEVICE, self.door.device_mark(name), DEVICE_DAYS)

    def _hand_out(self, what: str, value: bytes, days: float) -> None:
        self.set_cookie(
            self.door.cookie_for(self.request, self.prefix, what),
            value,
            expires_days=days,
            **cookie_options(self.request.protocol, self.prefix),
        )


def cookie_options(protocol: str, prefix: str = "") -> dict[str, Any]:
    """Return the cookie's attributes for an answer over `protocol` ("http" or "https")."""
    place = prefix or "/"
    return {"httponly": True, "samesite": "Lax", "path": place, "secure": protocol == "https"}


class LogoutHandler(_Form):
    """The logout: asked for by a page of ours (a post), so that no foreign picture can do it."""

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
        # Pictures that the browser kept go with the login.
        self.set_header("Clear-Site-Data", '"cache"')
        self.redirect(f"{self.prefix}/login", status=303)


class SessionsHandler(_Form):
    """Where one is logged in, for oneself: each session can be ended, and all others at once."""

    def _own(self) -> tuple[LoginSession | None, list[LoginSession]]:
        login = self.door.session_of(self.request, self.prefix)
        return login, self.door.sessions.current(login.user) if login else []

    def get(self) -> None:
        login, own = self._own()
        self.render(
            "sessions.html",
            action=f"{self.prefix}/sessions",
            logout=f"{self.prefix}/logout",
            front=f"{self.prefix}/",
            own=own,
            login=login,
        )

    async def post(self) -> None:
        login, own = self._own()
        wanted = self.get_body_argument("end", "")
        # Only one's own are looked through, so nobody can end those of others.
        others = [one for one in own if login is not None and one.id != login.id]
        await self.end([one for one in others if wanted in ("others", one.id)])
        self.redirect(f"{self.prefix}/sessions", status=303)


class Provider(AuthProvider):
    """The same door for Panel's own handlers, which ask again for themselves."""

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
