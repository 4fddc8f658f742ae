"""The same session with TLS, as cameras ask for it (AUTH TLS), for those that can."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, ClassVar

from OpenSSL import SSL
from pyftpdlib.handlers import TLS_DTPHandler, TLS_FTPHandler

from pano_analytics.access import certificates
from pano_analytics.receive.control import USER_SENT
from pano_analytics.receive.session import Channel, Session


class TlsChannel(TLS_DTPHandler, Channel):  # type: ignore[misc]
    """A data connection with TLS where PROT P asked for it."""

    def handle_error(self) -> None:
        Channel.handle_error(self)  # not TLS's own, which leaves the camera without an answer

    def handle_failed_ssl_handshake(self) -> None:
        self._fail_handshake(_reason(sys.exception()))
        self.close()

    def close(self) -> None:
        if self._ssl_accepting and not self._closed and self.cmd_channel.connected:
            self._fail_handshake("it hung up in the middle")
        super().close()

    def _fail_handshake(self, reason: str) -> None:
        self._ssl_accepting = False
        self._resp: Any = ()
        self.cmd_channel.refuse("tls_data_failed", f"522 TLS handshake failed: {reason}.")


class TlsSession(TLS_FTPHandler, Session):  # type: ignore[misc]
    """A control connection that can be secured."""

    dtp_handler = TlsChannel
    proto_cmds: ClassVar[dict[str, Any]] = {
        **Session.proto_cmds,
        **{name: TLS_FTPHandler.proto_cmds[name] for name in ("AUTH", "PBSZ", "PROT")},
    }
    _ssl_accepting: bool

    def flush_account(self) -> None:
        Session.flush_account(self)
        self._pbsz = self._prot = False

    def ftp_AUTH(self, line: str) -> None:
        """Begin TLS; nothing that came before it counts, nor what came with it in plain text."""
        if not self._ssl_requested:
            self.flush_account()
        # Somebody between camera and server may have put commands behind the camera's own,
        # to be taken for encrypted ones.
        self.ac_in_buffer = b""
        super().ftp_AUTH(line)

    def dismiss(self, kind: str, reply: str) -> None:
        """Close the connection; in the middle of a handshake without a reply."""
        if self._ssl_accepting:
            self._ssl_accepting = False
            self.note_refusal(kind, "in the middle of the TLS handshake")
            self.close()
        else:
            super().dismiss(kind, reply)

    def handle_failed_ssl_handshake(self) -> None:
        self._ssl_accepting = False
        reason = _reason(sys.exception())
        self.note_refusal(_kind(reason), reason)
        super().handle_failed_ssl_handshake()

    def close(self) -> None:
        # pyftpdlib closes past the classes between.
        self.leave()
        super().close()

    def leave(self) -> None:
        """Tell of a client that went away because of the encryption, too."""
        if not self._has_left and not self.service.is_ending:
            if self._ssl_accepting:
                self.note_refusal("tls_failed", "it hung up in the middle")
            elif self._ssl_established and self.stage < USER_SENT:
                # Some look at the certificate only when the handshake is done.
                self.note_refusal("tls_certificate", "it hung up before it sent a user name")
        super().leave()


_CERTIFICATE = re.compile(r"alert.*(certificate|unknown ca|access denied)")
_VERSION = re.compile(
    r"unsupported protocol|no shared cipher|protocol version|handshake failure|version too low"
    r"|inappropriate fallback|insufficient security"
)


def _reason(error: BaseException | None) -> str:
    """Return OpenSSL's own words for what went wrong in a handshake."""
    try:
        return str(error.args[0][-1][-1])  # type: ignore[union-attr]
    except (IndexError, TypeError, AttributeError):
        return type(error).__name__


def _kind(reason: str) -> str:
    """Return which kind of refusal a failed handshake was, by OpenSSL's words."""
    if _CERTIFICATE.search(reason):
        return "tls_certificate"
    return "tls_version" if _VERSION.search(reason) else "tls_failed"


def context(certificate: Path, key: Path) -> Any:
    """Return pyOpenSSL's context for a server; raises CertificateError as `certificates` does."""
    made = SSL.Context(SSL.TLS_SERVER_METHOD)
    made.set_min_proto_version(SSL.TLS1_2_VERSION)
    # 1.3 sends tickets after the handshake. A camera that only writes closes with them
    # unread, which resets the connection, and the end of its file is lost.
    made.set_max_proto_version(SSL.TLS1_2_VERSION)
    made.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    # Old cameras know AES in CBC mode only; that is still better than plain text.
    made.set_cipher_list(b"DEFAULT:!aNULL:!PSK:!SRP")
    load(made, certificate, key)
    return made


def load(made: Any, certificate: Path, key: Path) -> None:
    """Let new connections use this certificate; those that are open stay."""
    certificates.server_context(certificate, key)  # says in words what is wrong with them
    made.use_certificate_chain_file(str(certificate))
    made.use_privatekey_file(str(key))
