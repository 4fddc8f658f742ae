"""`pano receive` at work: one loop for all cameras, ended without hurting an upload."""

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
from pano_analytics.receive.session import Channel, Session
from pano_analytics.receive.work import Work
from pano_analytics.settings import Receive, Settings
from pano_analytics.store.storage import Storage

log = logging.getLogger("pano.receive")

TICK_S = 0.5
BACK_OFF_S = 1.0
"""How long no connection is let in after the system had none to give."""
FINISH_S = 8.0
"""How long uploads under way may take to finish once the server was told to end."""
_RENEW_EVERY_S = 24 * 3600.0
_TRIES_FOR_LOCK = 10


class ReceiveError(PanoError):
    """Uploads cannot be received as asked: the address or port cannot be had."""

    exit_code = 7


class Server(FTPServer):  # type: ignore[misc]
    """pyftpdlib's server, which here stays open whatever a new connection runs into.

    Who may be connected is the matter of `door`; the only limit here is that of the system.
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
        """Let no connection in for a while: the one that waits would wake the loop for ever."""
        if is_out_of_descriptors(error):
            self.service.refused("no_descriptors", None, "", error.strerror or "")
        else:
            log.error("expected a new connection; %s", error)
        self.del_channel()
        self.ioloop.call_later(BACK_OFF_S, self._go_on)

    def _go_on(self) -> None:
        if not self._closed:
            self.add_channel()

    def handle_error(self) -> None:
        log.exception("an error with a new connection")


class Receiver:
    """A server that listens, and its loop. For one thread; `stop` may be called from any."""

    def __init__(self, settings: Settings) -> None:
        self.service = Service(settings)
        said = self.service.said
        self._tls: Any = None
        session = self._session(said)
        self.server = _listening(said, session)
        self.server.service = self.service
        door = self.service.door
        limit = descriptors.make_room(door.most + door.most_strangers)
        self.server.max_cons = descriptors.most_connections(limit)
        self.service.work = Work(self.server.ioloop, said.max_connections)
        self.address, self.port = self.server.address
        self.service.record.listening = {
            "address": self.address,
            "port": self.port,
            "tls": said.tls,
        }
        self._stop_at: float | None = None
        self._next_tick = 0.0
        self._renew_at = time.monotonic() + _RENEW_EVERY_S

    def stop(self, *_: Any) -> None:
        """Take no more; let uploads under way finish for some seconds, then end `run`."""
        if self._stop_at is None:
            self.service.is_ending = True
            self._stop_at = time.monotonic() + FINISH_S

    def run(self) -> None:
        """Serve until told to stop."""
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
        is_idle = not self.server.ip_map and not self.service.work.under_way
        return is_idle or time.monotonic() > self._stop_at

    def _tick(self) -> None:
        self.service.tick()
        if self._stop_at is not None:
            self._dismiss()
        if self._tls is not None and time.monotonic() > self._renew_at:
            self._renew_at = time.monotonic() + _RENEW_EVERY_S
            self._renew()

    def _dismiss(self) -> None:
        """Close the door, and the sessions in which nothing is under way."""
        self.server.close()
        for one in list(self.server.ioloop.socket_map.values()):
            if isinstance(one, Session) and one.is_idle():
                one.reply("421 The server is going down.")
                one.close_when_done()

    # --- TLS

    def _session(self, said: Receive) -> type[Session]:
        """Return the class of sessions for these settings."""
        common: dict[str, Any] = {
            "service": self.service,
            "authorizer": self.service.gate,
            "passive_ports": range(said.passive_ports[0], said.passive_ports[1] + 1),
            "masquerade_address": said.masquerade,
        }
        limits = {
            "read_limit": (said.max_kb_per_s or 0) << 10,
            "timeout": said.stalled_after_s,
        }
        if said.tls == "off":
            return type("OwnSession", (Session,), {**common, "dtp_handler": _own(Channel, limits)})
        self._tls = tls.context(*self._certificate())
        required = dict.fromkeys(
            ("tls_control_required", "tls_data_required"), said.tls == "required"
        )
        secured = {"ssl_context": self._tls, "dtp_handler": _own(tls.TlsChannel, limits)}
        return type("OwnSession", (tls.TlsSession,), {**common, **required, **secured})

    def _certificate(self) -> tuple[Path, Path]:
        said = self.service.said
        if said.certificate is not None and said.key is not None:
            return said.certificate, said.key
        names = [name for name in (said.address, said.masquerade) if name]
        return certificates.ensure_certificate(
            self.service.storage.root / certificates.FOLDER, names
        )

    def _renew(self) -> None:
        try:
            tls.load(self._tls, *self._certificate())
        except (PanoError, OSError) as error:
            log.error("the certificate was not renewed: %s", error)


def _own(kind: type[Channel], limits: dict[str, Any]) -> type[Channel]:
    return type("OwnChannel", (kind,), limits)


def _listening(said: Receive, session: type[Session]) -> Server:
    try:
        server = Server((said.address, said.port), session, ioloop=IOLoop())
    except OSError as error:
        what = "root, or a service with that permission" if 0 < said.port < 1024 else "another port"
        raise ReceiveError(
            f"expected to listen on {said.address}:{said.port}; {error.strerror or error}"
            f". Use {what}, or set `port` and `address` under [receive]."
        ) from error
    return server


def serve(settings: Settings, announce: Callable[[Receiver], None]) -> None:
    """Take uploads until SIGTERM or an interrupt; `announce` is called when it listens.

    Raises UploadTreeError, LibraryError, CertificateError or ReceiveError where it
    cannot; KeyboardInterrupt once everything is closed.
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
    """Hold the lock of the one server of a library. Raises ReceiveError where another has it."""
    with ExitStack() as held:
        for left in reversed(range(_TRIES_FOR_LOCK)):
            try:
                held.enter_context(storage.lock(records.LOCK))
                break
            except LibraryBusy:
                # Somebody may only be asking whether one is at work.
                if not left:
                    raise ReceiveError(
                        f"{storage.root}: expected no other `pano receive` for this library; "
                        f"one is running. `pano camera list` shows what it received."
                    ) from None
                time.sleep(0.1)
        yield


def lan_address(said: Receive) -> str:
    """Return the address that cameras on the network reach this server at."""
    if said.masquerade:
        return said.masquerade
    with suppress(ValueError):
        if not ipaddress.ip_address(said.address).is_unspecified:
            return said.address
    for name in sorted(certificates.own_names()):
        with suppress(ValueError):
            address = ipaddress.ip_address(name)
            if address.version == 4 and not address.is_loopback:
                return name
    return "127.0.0.1"
