"""The same session with TLS, as cameras ask for it (AUTH TLS), for those that can."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from OpenSSL import SSL
from pyftpdlib.handlers import TLS_DTPHandler, TLS_FTPHandler

from pano_analytics import certificates
from pano_analytics.receive.session import Channel, Session


class TlsChannel(TLS_DTPHandler, Channel):  # type: ignore[misc]
    """A data connection with TLS where PROT P asked for it."""

    def handle_error(self) -> None:
        Channel.handle_error(self)  # not TLS's own, which leaves the camera without an answer


class TlsSession(TLS_FTPHandler, Session):  # type: ignore[misc]
    """A control connection that can be secured."""

    dtp_handler = TlsChannel
    proto_cmds: ClassVar[dict[str, Any]] = {
        **Session.proto_cmds,
        **{name: TLS_FTPHandler.proto_cmds[name] for name in ("AUTH", "PBSZ", "PROT")},
    }

    def flush_account(self) -> None:
        Session.flush_account(self)
        self._pbsz = self._prot = False


def context(certificate: Path, key: Path) -> Any:
    """Return pyOpenSSL's context for a server; raises CertificateError as `certificates` does."""
    made = SSL.Context(SSL.TLS_SERVER_METHOD)
    made.set_min_proto_version(SSL.TLS1_2_VERSION)
    # 1.3 sends tickets after the handshake. A camera that only writes closes with them
    # unread, which resets the connection, and the end of its file is lost.
    made.set_max_proto_version(SSL.TLS1_2_VERSION)
    made.set_options(SSL.OP_NO_COMPRESSION)
    load(made, certificate, key)
    return made


def load(made: Any, certificate: Path, key: Path) -> None:
    """Let new connections use this certificate; those that are open stay."""
    certificates.server_context(certificate, key)  # says in words what is wrong with them
    made.use_certificate_chain_file(str(certificate))
    made.use_privatekey_file(str(key))
