"""The table of parts: which commands `pano up` runs, when, and how each is asked if it is well."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from pano_analytics.settings import Settings

ANSWER_S = 5.0
"""How long a part may take to answer."""
DAY_S = 86_400.0
SITE_EVERY_S = 60.0
"""How soon after one run of `pano site` the next may begin."""
SITE_SHARE = 0.1
"""How much of the time `pano site` may run."""
_SETTLE_S = 120.0
_AGAIN_S = 3600.0
_UPLOADERS = "uploaders.json"


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Part:
    """A command that lasts: `arguments` of `pano`, when it is wanted, how it answers.

    `is_well` is called in a thread and may block for ANSWER_S; None where
    nothing can be asked.
    """

    name: str
    arguments: tuple[str, ...]
    is_wanted: Callable[[], bool] = _always
    is_well: Callable[[], bool] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ran:
    """When an errand last ran, in seconds: since the supervisor began, and since it ended.

    `mark` is what it was done for when it last went well; `is_failed` tells that
    it did not since.
    """

    up_s: float
    since_s: float | None = None
    took_s: float = 0.0
    mark: str = ""
    is_failed: bool = False


@dataclass(frozen=True, slots=True)
class Errand:
    """A command that ends: `arguments` of `pano`, and whether it is due.

    `mark` tells what there is to be done it for; it is asked before it runs.
    """

    name: str
    arguments: tuple[str, ...]
    is_due: Callable[[Ran, str], bool]
    mark: Callable[[], str] = str


def parts_of(settings: Settings, where: tuple[str, ...]) -> tuple[Part, ...]:
    """Return the parts that last; `where` are the options that give each its settings."""
    return (
        Part("receive", ("receive", *where), lambda: is_to_receive(settings), _greeter(settings)),
        Part("ingest", ("ingest", "--watch", *where)),
        Part("serve", ("serve", *where), is_well=lambda: is_serving(settings)),
    )


def errands_of(settings: Settings, where: tuple[str, ...]) -> tuple[Errand, ...]:
    """Return the errands that `settings` ask for."""
    errands = []
    if settings.cull.scheduled:
        errands.append(Errand("cull", ("cull", "--delete", "--wait", *where), _is_daily))
    if settings.site.folder is not None:
        mark = _manifest_mark(settings)
        errands.append(Errand("site", ("site", *where), _is_site_due, mark))
    return tuple(errands)


def is_to_receive(settings: Settings) -> bool:
    """Tell whether `pano up` is to run the upload server."""
    return settings.up.receive and has_accounts(settings)


def has_accounts(settings: Settings) -> bool:
    """Tell whether a camera may log in, so that there is something to receive."""
    library = settings.library
    has_server = find_spec("pyftpdlib") is not None
    return has_server and library is not None and (library / _UPLOADERS).exists()


def _is_daily(ran: Ran, mark: str) -> bool:
    if ran.up_s < _SETTLE_S:  # first let a tree that was mounted late be seen
        return False
    return ran.since_s is None or ran.since_s >= (_AGAIN_S if ran.is_failed else DAY_S)


def _is_site_due(ran: Ran, mark: str) -> bool:
    if not mark:  # no catalog yet
        return False
    if ran.since_s is None:
        return True
    rest_s = max(SITE_EVERY_S, ran.took_s / SITE_SHARE)
    # "Today" moves on even where nothing comes.
    return ran.since_s >= rest_s and (mark != ran.mark or ran.since_s >= DAY_S)


def _manifest_mark(settings: Settings) -> Callable[[], str]:
    def mark() -> str:
        try:
            found = (Path(settings.library or "") / "manifest.json").stat()
        except OSError:
            return ""
        return f"{found.st_ino}-{found.st_mtime_ns}"

    return mark


# --- asking ------------------------------------------------------------------


def is_serving(settings: Settings) -> bool:
    """Tell whether the dashboard answers."""
    said = settings.dashboard
    host = _reachable(said.address)
    connection = (
        http.client.HTTPSConnection(host, said.port, timeout=ANSWER_S, context=_trusting())
        if said.is_secure
        else http.client.HTTPConnection(host, said.port, timeout=ANSWER_S)
    )
    try:
        connection.request("GET", f"{said.prefix}/liveness")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _trusting() -> ssl.SSLContext:
    # It is asked whether it answers, on this computer; nothing is told to it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _greeter(settings: Settings) -> Callable[[], bool] | None:
    said = settings.receive
    if said.port == 0:
        return None
    return lambda: is_greeting(_reachable(said.address), said.port)


def is_greeting(host: str, port: int) -> bool:
    """Tell whether an FTP server greets there, and take leave of it."""
    try:
        with socket.create_connection((host, port), timeout=ANSWER_S) as connection:
            greeting = connection.recv(256)
            connection.sendall(b"QUIT\r\n")
            return greeting.startswith(b"220")
    except OSError:
        return False


def _reachable(address: str) -> str:
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
