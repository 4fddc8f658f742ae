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
import ipaddress
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from bokeh.server.auth_provider import AuthProvider
from tornado.httputil import HTTPServerRequest, split_host_and_port
from tornado.routing import Matcher
from tornado.web import RequestHandler, create_signed_value, decode_signed_value

from pano_analytics.errors import PanoError
from pano_analytics.users import Users, login_secret

log = logging.getLogger(__name__)

TEMPLATES = Path(__file__).with_name("templates")
SESSION_DAYS = 30
OPEN = ("/login", "/logout", "/liveness", "/favicon.ico")

# The name under which things are done where nobody logs in.
LOCAL_VISITOR = "local"

# Nothing but its own inline style: the page that sees passwords runs no script.
LOGIN_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request does not come in: an HTTP status and a sentence for whoever asked."""

    status: int
    sentence: str


class Attempts:
    """Failed logins of the last minutes, by address and by name.

    An address has 10 tries in 5 minutes; a name has 50, from wherever, so that
    a stranger cannot cheaply lock the owner out. `clock` gives seconds.
    """

    PER_ADDRESS, PER_NAME, WINDOW_S, KEPT = 10, 50, 300.0, 10_000

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, deque[float]] = {}

    def wait_s(self, address: str, name: str) -> float:
        """Return the seconds until another try is heard; 0.0 where it is heard now."""
        return max(self._wait_s(key, limit) for key, limit in self._keys(address, name).items())

    def note(self, address: str, name: str) -> None:
        """Count a try: before it is checked, or many at once would all pass."""
        for key, limit in self._keys(address, name).items():
            tries = self._failed.pop(key, deque(maxlen=limit))
            tries.append(self._clock())
            self._failed[key] = tries
        while len(self._failed) > self.KEPT:
            del self._failed[next(iter(self._failed))]

    def forget(self, address: str, name: str) -> None:
        """Start anew after a right password."""
        for key in self._keys(address, name):
            self._failed.pop(key, None)

    def _keys(self, address: str, name: str) -> dict[str, int]:
        return {f"address {_network(address)}": self.PER_ADDRESS, f"name {name}": self.PER_NAME}

    def _wait_s(self, key: str, limit: int) -> float:
        tries = self._failed.get(key, deque())
        if len(tries) < limit:
            return 0.0
        return max(0.0, tries[0] + self.WINDOW_S - self._clock())


def _network(address: str) -> str:
    # One household holds 2^64 addresses of IPv6.
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


def is_loopback(host: str) -> bool:
    """Return whether `host` (a name or an address, without port) is this computer itself."""
    if host.lower() == "localhost":
        return True
    try:
        parsed = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


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
class Door:
    """Who may come in to the library whose users and secret lie in `folder`."""

    folder: Path
    session_days: float = SESSION_DAYS
    attempts: Attempts = field(default_factory=Attempts)

    @cached_property
    def users(self) -> Users:
        return Users(self.folder)

    @cached_property
    def _secret(self) -> bytes:
        return login_secret(self.folder)

    @cached_property
    def cookie(self) -> str:
        """The cookie's name; two libraries on one host must not log each other out."""
        place = str(self.folder.resolve()).encode("utf-8", "surrogateescape")
        return f"pano_{hashlib.blake2b(place, digest_size=4).hexdigest()}"

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        # One password at a time: each takes 16 MB and a tenth of a second.
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="login")

    def close(self) -> None:
        """Check no more passwords."""
        self.pool.shutdown(wait=False, cancel_futures=True)

    def refusal(self, request: HTTPServerRequest, prefix: str = "") -> Refusal | None:
        """Return why `request` is not admitted, or None where it is."""
        if not _is_same_origin(request):
            return Refusal(403, "This address answers to its own pages only.")
        if is_open(request.path, prefix):
            return None
        try:
            return self._stranger(request)
        except (PanoError, OSError) as error:
            log.error("nobody is let in: %s", error)
            return Refusal(503, UNREADABLE)

    def _stranger(self, request: HTTPServerRequest) -> Refusal | None:
        if not self.users.all():
            return None if _is_from_here(request) else Refusal(403, _NO_USERS)
        if self.visitor(request) is None:
            return Refusal(401, "Please log in.")
        return None

    def visitor(self, request: HTTPServerRequest) -> str | None:
        """Return the name of who is logged in, or None.

        A login ends with its days, with the user, and with a new password.
        """
        kept = request.cookies.get(self.cookie)
        if kept is None:
            return None
        value = decode_signed_value(
            self._secret, self.cookie, kept.value, max_age_days=self.session_days
        )
        return None if value is None else self._known(value)

    def _known(self, value: bytes) -> str | None:
        name, stamp = json.loads(value)
        user = self.users.get(name)
        if user is None or not hmac.compare_digest(stamp, self._stamp(user.hashed)):
            return None
        return user.name

    def _stamp(self, hashed: str) -> str:
        return hmac.digest(self._secret, hashed.encode(), "sha256").hex()[:32]

    def ticket(self, name: str) -> bytes:
        """Return the signed cookie that lets the user `name` in."""
        user = self.users.get(name)
        if user is None:
            raise KeyError(name)
        value = json.dumps([user.name, self._stamp(user.hashed)])
        return create_signed_value(self._secret, self.cookie, value)

    async def is_right(self, name: str, password: str) -> bool:
        """Return whether `password` opens for `name`, without holding up the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, self.users.verify, name, password)


UNREADABLE = "The list of users cannot be read; what is wrong is in the log of the server."
_NO_USERS = (
    "Nobody has a login here yet, so only the computer that serves this may look. "
    "Add one there: pano user add NAME"
)


def _is_same_origin(request: HTTPServerRequest) -> bool:
    # Browsers send Origin with every post, every websocket and every foreign fetch.
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == request.host.lower()


def _is_from_here(request: HTTPServerRequest) -> bool:
    # The name in the address bar counts too: a foreign page may let its own
    # host name resolve to 127.0.0.1 (DNS rebinding).
    context = getattr(request.connection, "context", None)
    peer = getattr(context, "address", None) or ("",)  # remote_ip is what a proxy says
    name = split_host_and_port(request.host.lower())[0]
    return all(is_loopback(str(host)) for host in (peer[0], request.remote_ip, name))


class Unadmitted(Matcher):
    """Matches every request that the door refuses; who is admitted gets a name on it."""

    def __init__(self, door: Door, prefix: str) -> None:
        self.door, self.prefix = door, prefix

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        if self.door.refusal(request, self.prefix) is not None:
            return {}
        if not is_open(request.path, self.prefix):
            # Panel hands the request to the session, and so to the page: see server.visitor.
            name = self.door.visitor(request) or LOCAL_VISITOR
            request.visitor = name  # type: ignore[attr-defined]
        return None


class Turnstile(RequestHandler):
    """Answers what is not admitted: a page leads to the login and back, all else is refused."""

    def initialize(self, door: Door, prefix: str) -> None:
        self.door, self.prefix = door, prefix

    def prepare(self) -> None:
        refusal = self.door.refusal(self.request, self.prefix)
        if refusal is None:  # let in while we were getting here
            refusal = Refusal(503, "Please ask again.")
        self.set_header("Cache-Control", "no-store")
        if refusal.status == 401 and self._is_page():
            self.redirect(f"{self.prefix}/login?next={quote(self.request.uri or '/', safe='')}")
        else:
            self.set_status(refusal.status)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(refusal.sentence + "\n")

    def _is_page(self) -> bool:
        # Browsers say what an answer is for; who does not say is taken for a reader of pages.
        is_asking = self.request.method in ("GET", "HEAD")
        is_upgrade = "upgrade" in self.request.headers.get("Connection", "").lower()
        mode = self.request.headers.get("Sec-Fetch-Mode", "navigate")
        return is_asking and not is_upgrade and mode == "navigate"


class _Form(RequestHandler):
    """A page with a form, in the house's own template."""

    def initialize(self, door: Door, prefix: str) -> None:
        self.door, self.prefix = door, prefix

    def get_template_path(self) -> str:
        return str(TEMPLATES)

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", LOGIN_POLICY)

    def compute_etag(self) -> None:
        return None

    def prepare(self) -> None:
        try:
            self.door.users.all()
        except (PanoError, OSError) as error:
            log.error("nobody is let in: %s", error)
            self.set_status(503)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(UNREADABLE + "\n")


class LoginHandler(_Form):
    """The login. `next` (a path and query here) is where one wanted to go."""

    def get(self) -> None:
        wanted = safe_next(self.get_query_argument("next", ""), self.prefix)
        if self.door.visitor(self.request):
            self.redirect(wanted)
            return
        note = "That name and password do not go together." if self._has_failed() else ""
        self._show(wanted, note)

    def _has_failed(self) -> bool:
        return bool(self.get_query_argument("failed", ""))

    def _show(self, wanted: str, note: str) -> None:
        name = self.get_body_argument("username", "")
        self.render(
            "login.html",
            action=f"{self.prefix}/login",
            next=wanted,
            note=note,
            name=name,
            has_users=bool(self.door.users.all()),
        )

    async def post(self) -> None:
        name = self.get_body_argument("username", "")
        wanted = safe_next(self.get_body_argument("next", ""), self.prefix)
        if wait_s := self.door.attempts.wait_s(str(self.request.remote_ip), name):
            self._slow_down(wanted, wait_s)
        elif await self._is_right(name, self.get_body_argument("password", "", strip=False)):
            self._admit(name)
            self.redirect(wanted, status=303)
        else:
            # Back to the form by a redirect: reloading it must not try the password again.
            again = f"{self.prefix}/login?failed=1&next={quote(wanted, safe='')}"
            self.redirect(again, status=303)

    async def _is_right(self, name: str, password: str) -> bool:
        address = str(self.request.remote_ip)
        self.door.attempts.note(address, name)
        if not await self.door.is_right(name, password):
            log.warning("failed login from %s", address)
            return False
        self.door.attempts.forget(address, name)
        return True

    def _slow_down(self, wanted: str, wait_s: float) -> None:
        minutes = int(wait_s // 60) + 1
        self.set_status(429)
        self.set_header("Retry-After", str(int(wait_s) + 1))
        self._show(wanted, f"Too many failed logins. Try again in {minutes} min.")

    def _admit(self, name: str) -> None:
        self.set_cookie(
            self.door.cookie,
            self.door.ticket(name),
            expires_days=self.door.session_days,
            **cookie_options(self.request.protocol, self.prefix),
        )


def cookie_options(protocol: str, prefix: str = "") -> dict[str, Any]:
    """Return the cookie's attributes for an answer over `protocol` ("http" or "https")."""
    place = prefix or "/"
    return {"httponly": True, "samesite": "Lax", "path": place, "secure": protocol == "https"}


class LogoutHandler(_Form):
    """The logout: asked for by a page of ours (a post), so that no foreign picture can do it."""

    def get(self) -> None:
        self.render("logout.html", action=f"{self.prefix}/logout", front=f"{self.prefix}/")

    def post(self) -> None:
        options = cookie_options(self.request.protocol, self.prefix)
        self.clear_cookie(self.door.cookie, **options)
        self.redirect(f"{self.prefix}/login", status=303)


class Provider(AuthProvider):
    """The same door for Panel's own handlers, which ask again for themselves."""

    def __init__(self, door: Door, prefix: str) -> None:
        self.door, self.prefix = door, prefix
        super().__init__()

    @property
    def get_user(self) -> Any:
        return self._user

    def _user(self, handler: RequestHandler) -> str | None:
        if self.door.refusal(handler.request, self.prefix) is not None:
            return None
        return self.door.visitor(handler.request) or LOCAL_VISITOR

    @property
    def login_url(self) -> str:
        return "/login"

    @property
    def logout_url(self) -> str:
        return "/logout"
