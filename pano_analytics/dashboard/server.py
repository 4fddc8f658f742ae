"""The server process of the dashboard: access control, routes, headers and shutdown.

`guard` adds access control to every Panel server that this process starts afterwards,
whether `serve` or plain `panel serve` starts it.
"""

from __future__ import annotations

import errno
import importlib
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

# Panel and Bokeh read this on import: load scripts and styles from this host only.
os.environ["BOKEH_RESOURCES"] = "server"

import bokeh.server.server
import jinja2
import panel as pn
from bokeh.protocol.exceptions import ProtocolError
from bokeh.server.tornado import BokehTornado
from bokeh.server.views.ico_handler import IcoHandler
from bokeh.settings import settings as bokeh_settings
from tornado.ioloop import PeriodicCallback
from tornado.web import GZipContentEncoding

from pano_analytics.access.users import Users
from pano_analytics.dashboard import auth
from pano_analytics.dashboard.auth import AccessControl
from pano_analytics.dashboard.headers import Headers
from pano_analytics.dashboard.limits import WEBSOCKET_BYTES, BoundedServer, raise_descriptor_limit
from pano_analytics.dashboard.origin import is_loopback
from pano_analytics.dashboard.routes import library_files, routes
from pano_analytics.dashboard.tls import LOOK_EVERY_MS, Certificate
from pano_analytics.errors import PanoError

if TYPE_CHECKING:
    from panel.io.server import Server

    from pano_analytics.library import Library
    from pano_analytics.settings import Dashboard

log = logging.getLogger(__name__)

TITLE = "Panopticon"


class ServeError(PanoError):
    """The dashboard cannot be served as asked."""

    exit_code = 7


def guard(library: Library) -> AccessControl:
    """Add the access control of `library` to every Panel server that this process starts later.

    Panel has no option for another application class or HTTP server, and a plugin of
    `panel serve` cannot reach them, so the classes are replaced where Bokeh looks them up.
    """
    settings = library.settings.dashboard
    door = AccessControl(
        library.folder,
        session_days=settings.session_days,
        idle_days=settings.session_idle_days,
        is_behind_proxy=settings.behind_proxy,
    )
    bokeh_settings.resources.set_value("server")
    guarded = type("GuardedTornado", (_Guarded,), {"door": door, "files": library_files(library)})
    bokeh.server.server.BokehTornado = guarded  # type: ignore[attr-defined, assignment]
    bokeh.server.server.HTTPServer = BoundedServer  # type: ignore[attr-defined]
    return door


class _Guarded(BokehTornado):
    """Bokeh's application with access control, and our routes before its own."""

    door: AccessControl
    files: Any
    rounds_ms = 2_000

    def __init__(self, *args: Any, prefix: str | None = None, **kwargs: Any) -> None:
        place = _prefix(prefix)
        kwargs |= self._settings(place)
        super().__init__(*args, prefix=prefix, **kwargs)
        # Access control compares Origin with Host, which a fixed list cannot do.
        self.websocket_origins.add("*")
        self.add_handlers(r".*", self._rules(place))
        self._sockets: WeakSet[Any] = WeakSet()
        self._rounds = PeriodicCallback(self.turn_out, self.rounds_ms)

    def _settings(self, prefix: str) -> dict[str, Any]:
        return {
            "auth_provider": auth.Provider(self.door, prefix),
            "transforms": [GZipContentEncoding, Headers],
            # Bokeh would write cookies and headers into the page, where any script can read them.
            "include_cookies": [],
            "include_headers": None,
            "exclude_cookies": None,
            "exclude_headers": ["Cookie", "Authorization"],
            # Only this process can create document ids, and each page gets a new one.
            "generate_session_ids": True,
            "sign_sessions": True,
            "secret_key": secrets.token_bytes(32),
            "websocket_max_message_size_bytes": WEBSOCKET_BYTES,
        }

    def _rules(self, prefix: str) -> list[Any]:
        known = {"door": self.door, "prefix": prefix}
        return [
            (auth.Unadmitted(self.door, prefix), auth.Turnstile, known),
            (rf"{prefix}/login", auth.LoginHandler, known),
            (rf"{prefix}/logout", auth.LogoutHandler, known),
            (rf"{prefix}/sessions", auth.SessionsHandler, known),
            # Bokeh serves it at the root only, where a proxy may serve something else.
            (rf"{prefix}/favicon\.ico", IcoHandler, {"app": self}),
            *routes(self.files, prefix),
        ]

    def new_connection(self, protocol: Any, socket: Any, context: Any, session: Any) -> Any:
        page_login = getattr(session.document.session_context.request, "login", None)
        if page_login != getattr(socket.request, "login", None):
            raise ProtocolError("this page belongs to another login")
        self._sockets.add(socket)
        return super().new_connection(protocol, socket, context, session)

    def turn_out(self) -> None:
        """Close the open pages of visitors who are no longer admitted."""
        for page in list(self._sockets):
            if self.door.refusal(page.request, self.prefix) is not None:
                page.close(1008, "logged out")

    def start(self) -> None:
        super().start()
        self._rounds.start()

    def stop(self, wait: bool = True) -> None:
        self._rounds.stop()
        self.files.close()
        self.door.close()
        super().stop(wait)


def _prefix(prefix: str | None) -> str:
    inner = (prefix or "").strip("/")
    return f"/{inner}" if inner else ""


def visitor() -> str | None:
    """Return the visitor of the current session ("local" while there are no users).

    Returns None outside a session, and on a server without `guard`.
    """
    context = pn.state.curdoc.session_context if pn.state.curdoc else None
    name: str | None = getattr(getattr(context, "request", None), "visitor", None)
    return name


def page(library: Library) -> Any:
    """Return the dashboard for one session, or a plain page that says why it cannot be shown."""
    if visitor() is None:
        return trouble(
            "It was started without its login page. Start it with `pano serve`, or run `panel "
            "serve` with --plugins pano_analytics.dashboard.plugin."
        )
    try:
        build = importlib.import_module("pano_analytics.dashboard.page").build
        return build(library)
    except PanoError as error:
        log.error("the dashboard cannot be shown: %s", error)
        return trouble(str(error))
    except Exception:
        log.exception("the dashboard cannot be shown")
        return trouble(
            "This page could not be created. Reload it; if that does not help, see the log of the "
            "server."
        )


def trouble(sentence: str) -> pn.Template:
    """Return a page without scripts that shows `sentence` instead of the dashboard."""
    template = pn.Template(_trouble())
    template.add_variable("sentence", sentence)
    return template


@cache
def _trouble() -> jinja2.Template:
    text = (auth.TEMPLATES / "trouble.html").read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True).from_string(text)


def serve(
    library: Library,
    settings: Dashboard | None = None,
    *,
    announce: Callable[[str], object] = print,
    warn: Callable[[str], object] = log.warning,
) -> None:
    """Serve the dashboard of `library` until SIGTERM or SIGINT.

    `settings` defaults to those of the library. `announce` gets one line with the address,
    `warn` one line per risk. Raises ServeError if there is no user and other computers could
    connect, or if the port is not available, and CertificateError if HTTPS is not possible.
    """
    settings = settings or library.settings.dashboard
    raise_descriptor_limit()
    check_address(library.folder, settings.address, settings.behind_proxy)
    certificate = Certificate(settings, library.folder) if settings.is_secure else None
    server = assemble(
        library,
        settings.address,
        settings.port,
        prefix=settings.prefix,
        http_server_kwargs={
            "xheaders": settings.behind_proxy,
            "ssl_options": certificate and certificate.context,
        },
    )
    # A caller may stop the server as soon as it reads the address: handle signals before that.
    _handle_signals(server)
    announce(_greeting(library, settings, server.port))
    if _is_unencrypted(settings):
        warn(OVERHEARD)
    run(server, certificate)


OVERHEARD = (
    'passwords are sent unencrypted, and others on the network can read them. Set tls = "own" '
    "under [dashboard] (or --tls own) to serve HTTPS; see docs/https.md, also for reverse proxies."
)


def _is_unencrypted(settings: Dashboard) -> bool:
    is_private = settings.is_secure or settings.behind_proxy
    return not is_private and not all(map(is_loopback, _resolved(settings.address)))


def assemble(
    library: Library, address: str = "127.0.0.1", port: int = 5006, **options: Any
) -> Server:
    """Return the server, bound to its port and not yet started. Raises ServeError.

    `options` go to Panel's server, `http_server_kwargs` among them to Tornado's.
    """
    guard(library)
    http = options.pop("http_server_kwargs", {})
    # Import it now, so that the first visitor does not wait for it.
    importlib.import_module("pano_analytics.dashboard.page")
    try:
        server: Server = pn.serve(  # type: ignore[no-untyped-call]
            {"/": lambda: page(library)},
            address=address,
            port=port,
            title=TITLE,
            show=False,
            start=False,
            verbose=False,
            num_procs=1,
            http_server_kwargs=http,
            **options,
        )
        return server
    except OSError as error:
        raise _port_error(error, address, port) from error


def run(server: Server, certificate: Certificate | None = None) -> None:
    """Run `server` until SIGTERM or SIGINT, then shut it down cleanly."""
    loop: Any = server.io_loop
    _handle_signals(server)
    server.start()
    renewal = PeriodicCallback(certificate.refresh, LOOK_EVERY_MS) if certificate else None
    if renewal is not None:
        renewal.start()
    try:
        loop.start()
    finally:
        server.stop(wait=False)


def _handle_signals(server: Server) -> None:
    loop: Any = server.io_loop
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.asyncio_loop.add_signal_handler(number, loop.stop)


def check_address(folder: Path, address: str, is_behind_proxy: bool = False) -> None:
    """Raise ServeError if the library in `folder` has no user and other computers could connect.

    They can at every address except loopback ones, and behind a proxy at any address.
    """
    users = Users(folder)
    if users.all():
        return
    users.check_presence()
    if is_behind_proxy:
        raise ServeError(
            "expected at least one user to serve the dashboard behind a proxy, through which "
            "anybody may connect; there is none. Add one with `pano user add NAME`."
        )
    if all(map(is_loopback, _resolved(address))):
        return
    raise ServeError(
        f"expected at least one user to serve the dashboard on {address or 'every address'}, where "
        f"other computers can reach it; there is none. Add one with `pano user add NAME`, or "
        f"serve on 127.0.0.1."
    )


def _resolved(address: str) -> list[str]:
    try:
        # An empty address means all addresses.
        return [str(entry[4][0]) for entry in socket.getaddrinfo(address or "0.0.0.0", None)]
    except OSError as error:
        raise ServeError(
            f"expected an address of this computer, got {address!r} ({error.strerror}). "
            f"Try --address 127.0.0.1, or 0.0.0.0 for all of them."
        ) from error


def _port_error(error: OSError, address: str, port: int) -> PanoError:
    if error.errno == errno.EADDRINUSE:
        return ServeError(
            f"expected port {port} on {address} to be free; another program uses it. Stop that "
            f"program, or choose another port with --port (0 picks a free one)."
        )
    return ServeError(
        f"expected to listen on {address} port {port}; {error.strerror or error}. "
        f"Choose another with --address and --port."
    )


def _greeting(library: Library, settings: Dashboard, port: int | None) -> str:
    scheme = "https" if settings.is_secure else "http"
    host = socket.gethostname() if settings.address in ("", "0.0.0.0", "::") else settings.address
    known = Users(library.folder).all()
    note = "" if known else " (this computer only; run `pano user add NAME` to allow others)"
    name = f"[{host}]" if ":" in host else host
    return f"Dashboard: {scheme}://{name}:{port}{settings.prefix}/{note}"
