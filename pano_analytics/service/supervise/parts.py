"""The commands that `pano up` runs, when it runs them, and how it checks their health."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from pano_analytics.settings import Settings
from pano_analytics.store.home import catalog_stamp
from pano_analytics.store.storage import Storage

ANSWER_S = 5.0
"""How long a part may take to answer."""
DAY_S = 86_400.0
SITE_EVERY_S = 60.0
"""How soon after one run of `pano site` the next may begin."""
SITE_SHARE = 0.1
"""The largest share of the time that `pano site` may run."""
_SETTLE_S = 120.0
_RETRY_S = 3600.0
_UPLOADERS = "uploaders.json"


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ServiceCommand:
    """A command that keeps running: `pano` with `arguments`, whenever `is_wanted`.

    `is_well` is its health check, called in a thread; it may block for ANSWER_S. None if it
    has none.
    """

    name: str
    arguments: tuple[str, ...]
    is_wanted: Callable[[], bool] = _always
    is_well: Callable[[], bool] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ran:
    """The last run of an errand; times in seconds.

    `up_s` is the time since the supervisor started, `since_s` since the run ended (None before
    the first one), `took_s` its duration. `mark` is the mark of the last successful run, and
    `is_failed` whether the last run failed.
    """

    up_s: float
    since_s: float | None = None
    took_s: float = 0.0
    mark: str = ""
    is_failed: bool = False


@dataclass(frozen=True, slots=True)
class Errand:
    """A command that ends: `pano` with `arguments`, whenever `is_due`.

    `mark` identifies the state of its input; it is called before each run.
    """

    name: str
    arguments: tuple[str, ...]
    is_due: Callable[[Ran, str], bool]
    mark: Callable[[], str] = str


def parts_of(settings: Settings, where: tuple[str, ...]) -> tuple[ServiceCommand, ...]:
    """Return the parts that keep running; `where` holds the options that select the settings."""
    return (
        ServiceCommand(
            "receive", ("receive", *where), lambda: should_receive(settings), _ftp_check(settings)
        ),
        ServiceCommand("ingest", ("ingest", "--watch", *where)),
        ServiceCommand("serve", ("serve", *where), is_well=lambda: is_serving(settings)),
    )


def errands_of(settings: Settings, where: tuple[str, ...]) -> tuple[Errand, ...]:
    """Return the errands that `settings` require; `where` as in `parts_of`."""
    errands = []
    if settings.cull.scheduled:
        errands.append(Errand("cull", ("cull", "--delete", "--wait", *where), _is_daily))
    if settings.site.folder is not None:
        mark = _manifest_mark(settings)
        errands.append(Errand("site", ("site", *where), _is_site_due, mark))
    return tuple(errands)


def should_receive(settings: Settings) -> bool:
    """Return whether `pano up` should run the upload server."""
    return settings.up.receive and has_accounts(settings)


def has_accounts(settings: Settings) -> bool:
    """Return whether any camera has an upload account, and the server is installed."""
    library = settings.library
    has_server = find_spec("pyftpdlib") is not None
    return has_server and library is not None and Storage(library).exists(_UPLOADERS)


def _is_daily(ran: Ran, mark: str) -> bool:
    if ran.up_s < _SETTLE_S:  # first give a tree that is mounted late the time to appear
        return False
    return ran.since_s is None or ran.since_s >= (_RETRY_S if ran.is_failed else DAY_S)


def _is_site_due(ran: Ran, mark: str) -> bool:
    if not mark:  # no catalog yet
        return False
    if ran.since_s is None:
        return True
    rest_s = max(SITE_EVERY_S, ran.took_s / SITE_SHARE)
    # Even without new uploads, what counts as today changes.
    return ran.since_s >= rest_s and (mark != ran.mark or ran.since_s >= DAY_S)


def _manifest_mark(settings: Settings) -> Callable[[], str]:
    def mark() -> str:
        try:
            found = catalog_stamp(Storage(Path(settings.library or "")))
        except OSError:
            return ""
        return "" if found is None else "-".join(map(str, found))

    return mark


# --- health checks -----------------------------------------------------------


def is_serving(settings: Settings) -> bool:
    """Return whether the dashboard answers."""
    dashboard = settings.dashboard
    host = _reachable(dashboard.address)
    connection = (
        http.client.HTTPSConnection(host, dashboard.port, timeout=ANSWER_S, context=_trusting())
        if dashboard.is_secure
        else http.client.HTTPConnection(host, dashboard.port, timeout=ANSWER_S)
    )
    try:
        connection.request("GET", f"{dashboard.prefix}/liveness")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _trusting() -> ssl.SSLContext:
    # A health check on this computer, which sends nothing secret.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _ftp_check(settings: Settings) -> Callable[[], bool] | None:
    receive = settings.receive
    if receive.port == 0:
        return None
    return lambda: is_greeting(_reachable(receive.address), receive.port)


def is_greeting(host: str, port: int) -> bool:
    """Return whether an FTP server greets at this address; then send QUIT."""
    try:
        with socket.create_connection((host, port), timeout=ANSWER_S) as connection:
            greeting = connection.recv(256)
            connection.sendall(b"QUIT\r\n")
            return greeting.startswith(b"220")
    except OSError:
        return False


def _reachable(address: str) -> str:
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
