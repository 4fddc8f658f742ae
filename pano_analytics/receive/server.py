"""The server of `pano receive`: one loop for all cameras, with a graceful end."""

from __future__ import annotations

import ipaddress
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

from pano_analytics.access import certificates
from pano_analytics.errors import LibraryBusy, PanoError
from pano_analytics.receive import descriptors, records, tls
from pano_analytics.receive.descriptors import is_out_of_descriptors
from pano_analytics.receive.service import Service
from pano_analytics.receive.service import places as places
from pano_analytics.receive.session import Channel, FtpSession
from pano_analytics.receive.work import ThreadedTasks
from pano_analytics.settings import Receive, Settings
from pano_analytics.store.storage import Storage

log = logging.getLogger("pano.receive")

TICK_S = 0.5
BACK_OFF_S = 1.0
"""How long no connection is accepted after the system has run out of descriptors."""
FINISH_S = 8.0
"""How long running uploads may take to finish after the server was told to end."""
_RENEW_EVERY_S = 24 * 3600.0
_TRIES_FOR_LOCK = 10


class ReceiveError(PanoError):
    """Uploads cannot be received: the address or port is not available."""

    exit_code = 7


class UploadServer(FTPServer):  # type: ignore[misc]
    """pyftpdlib's server, which stays open even if accepting a connection fails.

    `door` decides who may be connected; the only limit here is that of the system.
    """

    max_cons_per_ip = 0
    service: Service

    def _accept_new_cons(self) -> bool:
        return bool(len(self.ioloop.socket_map) < self.max_cons)

    def handle_accept(self) -> None:
        try:
            super().handle_accept()
        except OSError as error:
            self._back_off(error)

    def _back_off(self, error: OSError) -> None:
        """Accept no connection for a while: the one that waits would keep the loop busy."""
        if is_out_of_descriptors(error):
            self.service.refused("no_descriptors", None, "", error.strerror or "")
        else:
            log.error("a new connection could not be accepted: %s", error)
        self.del_channel()
        self.ioloop.call_later(BACK_OFF_S, self._go_on)

    def _go_on(self) -> None:
        if not self._closed:
            self.add_channel()

    def handle_error(self) -> None:
        log.exception("a new connection failed")


class Receiver:
    """A listening server and its loop, for one thread; `stop` may be called from any thread."""

    def __init__(self, settings: Settings) -> None:
        self.service = Service(settings)
        receive = self.service.settings
        self._tls: Any = None
        session = self._session(receive)
        self.server = _listening(receive, session)
        self.server.service = self.service
        door = self.service.door
        limit = descriptors.make_room(door.most + door.most_strangers)
        self.server.max_cons = descriptors.most_connections(limit)
        self.service.work = ThreadedTasks(self.server.ioloop, receive.max_connections)
        self.address, self.port = self.server.address
        self.service.record.listening = {
            "address": self.address,
            "port": self.port,
            "tls": receive.tls,
        }
        self._stop_at: float | None = None
        self._next_tick = 0.0
        self._renew_at = time.monotonic() + _RENEW_EVERY_S

    def stop(self, *_: Any) -> None:
        """Accept no more uploads, wait some seconds for running ones, then end `run`."""
        if self._stop_at is None:
            self.service.is_ending = True
            self._stop_at = time.monotonic() + FINISH_S

    def run(self) -> None:
        """Serve until `stop` is called."""
        self.service.record.write()
        loop = self.server.ioloop
        wait_s = TICK_S
        try:
            while not self._is_done():
                soonest = loop.loop(min(max(wait_s, 0), TICK_S), blocking=False)
                wait_s = TICK_S if soonest is None else soonest
                if time.monotonic() >= self._next_tick or self._stop_at is not None:
                    self._next_tick = time.monotonic() + TICK_S
                    self._tick()
        finally:
            self.server.close_all()
            self.service.record.write(finished=records.now())

    def _is_done(self) -> bool:
        if self._stop_at is None:
            return False
        is_idle = not self.server.ip_map and not self.service.work.running
        return is_idle or time.monotonic() > self._stop_at

    def _tick(self) -> None:
        self.service.tick()
        if self._stop_at is not None:
            self._dismiss()
        if self._tls is not None and time.monotonic() > self._renew_at:
            self._renew_at = time.monotonic() + _RENEW_EVERY_S
            self._renew()

    def _dismiss(self) -> None:
        """Close the server's socket and all idle sessions."""
        self.server.close()
        for one in list(self.server.ioloop.socket_map.values()):
            if isinstance(one, FtpSession) and one.is_idle():
                one.reply("421 The server is going down.")
                one.close_when_done()

    # --- TLS

    def _session(self, receive: Receive) -> type[FtpSession]:
        """Return the class of sessions for these settings."""
        common: dict[str, Any] = {
            "service": self.service,
            "authorizer": self.service.gate,
            "passive_ports": range(receive.passive_ports[0], receive.passive_ports[1] + 1),
            "masquerade_address": receive.masquerade,
        }
        limits = {
            "read_limit": (receive.max_kb_per_s or 0) << 10,
            "timeout": receive.stalled_after_s,
        }
        if receive.tls == "off":
            return type(
                "OwnSession",
                (FtpSession,),
                {**common, "dtp_handler": _with_limits(Channel, limits)},
            )
        self._tls = tls.context(*self._certificate())
        required = dict.fromkeys(
            ("tls_control_required", "tls_data_required"), receive.tls == "required"
        )
        secured = {"ssl_context": self._tls, "dtp_handler": _with_limits(tls.TlsChannel, limits)}
        return type("OwnSession", (tls.TlsSession,), {**common, **required, **secured})

    def _certificate(self) -> tuple[Path, Path]:
        receive = self.service.settings
        if receive.certificate is not None and receive.key is not None:
            return receive.certificate, receive.key
        names = [name for name in (receive.address, receive.masquerade) if name]
        return certificates.ensure_certificate(
            self.service.storage.root / certificates.FOLDER, names
        )

    def _renew(self) -> None:
        try:
            tls.load(self._tls, *self._certificate())
        except (PanoError, OSError) as error:
            log.error("the certificate was not renewed: %s", error)


def _with_limits(base: type[Channel], limits: dict[str, Any]) -> type[Channel]:
    return type("OwnChannel", (base,), limits)


def _listening(receive: Receive, session: type[FtpSession]) -> UploadServer:
    try:
        server = UploadServer((receive.address, receive.port), session, ioloop=IOLoop())
    except OSError as error:
        suggestion = (
            "root, or a service with that permission" if 0 < receive.port < 1024 else "another port"
        )
        raise ReceiveError(
            f"expected to listen on {receive.address}:{receive.port}; {error.strerror or error}"
            f". Use {suggestion}, or set `port` and `address` under [receive]."
        ) from error
    return server


def serve(settings: Settings, announce: Callable[[Receiver], None]) -> None:
    """Receive uploads until SIGTERM or an interrupt; `announce` is called once it listens.

    Raises UploadTreeError, LibraryError, CertificateError or ReceiveError if it cannot
    start, and KeyboardInterrupt, after everything is closed, if it is interrupted.
    """
    _, library = places(settings)
    with _alone(Storage(library)):
        receiver = Receiver(settings)
        before = signal.signal(signal.SIGTERM, receiver.stop)
        try:
            announce(receiver)
            receiver.run()
        finally:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _alone(storage: Storage) -> Iterator[None]:
    """Hold the lock for a library's only server. Raises ReceiveError if another has it."""
    with ExitStack() as held:
        for left in reversed(range(_TRIES_FOR_LOCK)):
            try:
                held.enter_context(storage.lock(records.LOCK))
                break
            except LibraryBusy:
                # Another process may hold the lock briefly, to check whether a server runs.
                if not left:
                    raise ReceiveError(
                        f"{storage.address()}: expected no other `pano receive` for this library; "
                        f"one is running. `pano camera list` shows what it received."
                    ) from None
                time.sleep(0.1)
        yield


def lan_address(receive: Receive) -> str:
    """Return the address at which cameras on the network reach this server."""
    if receive.masquerade:
        return receive.masquerade
    with suppress(ValueError):
        if not ipaddress.ip_address(receive.address).is_unspecified:
            return receive.address
    for name in sorted(certificates.own_names()):
        with suppress(ValueError):
            address = ipaddress.ip_address(name)
            if address.version == 4 and not address.is_loopback:
                return name
    return "127.0.0.1"
