"""The session with explicit TLS (AUTH TLS), for cameras that support it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, ClassVar

from OpenSSL import SSL
from pyftpdlib.handlers import TLS_DTPHandler, TLS_FTPHandler

from pano_analytics.access import certificates
from pano_analytics.receive.control import USER_SENT
from pano_analytics.receive.session import Channel, FtpSession


class TlsChannel(TLS_DTPHandler, Channel):  # type: ignore[misc]
    """A data connection with TLS if PROT P requested it."""

    def handle_error(self) -> None:
        Channel.handle_error(self)  # that of TLS_DTPHandler sends no reply

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


class TlsSession(TLS_FTPHandler, FtpSession):  # type: ignore[misc]
    """A control connection that can be secured."""

    dtp_handler = TlsChannel
    proto_cmds: ClassVar[dict[str, Any]] = {
        **FtpSession.proto_cmds,
        **{name: TLS_FTPHandler.proto_cmds[name] for name in ("AUTH", "PBSZ", "PROT")},
    }
    _ssl_accepting: bool

    def flush_account(self) -> None:
        FtpSession.flush_account(self)
        self._pbsz = self._prot = False

    def ftp_AUTH(self, line: str) -> None:
        """Start TLS, and discard what was sent before in plain text."""
        if not self._ssl_requested:
            self.flush_account()
        # An attacker between camera and server may have appended commands, which would
        # otherwise be treated as encrypted.
        self.ac_in_buffer = b""
        super().ftp_AUTH(line)

    def dismiss(self, kind: str, reply: str) -> None:
        """Close the connection, without a reply during a handshake."""
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
        # pyftpdlib's `close` does not call that of `Control`.
        self.leave()
        super().close()

    def leave(self) -> None:
        """Also record that a client disconnected because of the encryption."""
        if not self._has_left and not self.service.is_ending:
            if self._ssl_accepting:
                self.note_refusal("tls_failed", "it hung up in the middle")
            elif self._ssl_established and self.stage < USER_SENT:
                # Some clients check the certificate only after the handshake.
                self.note_refusal("tls_certificate", "it hung up before it sent a user name")
        super().leave()


_CERTIFICATE = re.compile(r"alert.*(certificate|unknown ca|access denied)")
_VERSION = re.compile(
    r"unsupported protocol|no shared cipher|protocol version|handshake failure|version too low"
    r"|inappropriate fallback|insufficient security"
)


def _reason(error: BaseException | None) -> str:
    """Return OpenSSL's message about a failed handshake."""
    try:
        return str(error.args[0][-1][-1])  # type: ignore[union-attr]
    except (IndexError, TypeError, AttributeError):
        return type(error).__name__


def _kind(reason: str) -> str:
    """Return the kind of refusal for OpenSSL's message about a failed handshake."""
    if _CERTIFICATE.search(reason):
        return "tls_certificate"
    return "tls_version" if _VERSION.search(reason) else "tls_failed"


def context(certificate: Path, key: Path) -> Any:
    """Return a pyOpenSSL context for a server. Raises CertificateError."""
    tls_context = SSL.Context(SSL.TLS_SERVER_METHOD)
    tls_context.set_min_proto_version(SSL.TLS1_2_VERSION)
    # TLS 1.3 sends tickets after the handshake. A camera that only writes closes its
    # connection without reading them, which resets it, and the end of the file is lost.
    tls_context.set_max_proto_version(SSL.TLS1_2_VERSION)
    tls_context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    # Old cameras support AES in CBC mode only, which is still better than plain text.
    tls_context.set_cipher_list(b"DEFAULT:!aNULL:!PSK:!SRP")
    load(tls_context, certificate, key)
    return tls_context


def load(tls_context: Any, certificate: Path, key: Path) -> None:
    """Use this certificate for new connections; open ones are not affected."""
    certificates.server_context(certificate, key)  # raises CertificateError with a clear text
    tls_context.use_certificate_chain_file(str(certificate))
    tls_context.use_privatekey_file(str(key))
