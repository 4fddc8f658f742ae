"""A self-signed certificate for the upload server and the dashboard, if you have none.

Browsers and cameras ask once whether to trust it; from then on all traffic is encrypted.
The key is created once and kept, so that whoever trusts the key also trusts renewed
certificates.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pano_analytics.access.users import write_private
from pano_analytics.errors import PanoError
from pano_analytics.store.storage import Storage

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

FOLDER = "tls"
"""The folder in a library where upload server and dashboard keep their certificate."""
CERTIFICATE_NAME, KEY_NAME, LOCK_NAME = "own-certificate.pem", "own-key.pem", "own-certificate.lock"

LIFETIME = dt.timedelta(days=820)
"""Apple's browsers refuse a server certificate that is valid for more than 825 days."""
RENEW_BEFORE = dt.timedelta(days=60)
"""A certificate that expires sooner is renewed."""
# Old cameras support RSA only; some of them take seconds for more than 2048 bits.
_KEY_BITS = 2048
# The clocks of cameras may be wrong, and so may that of a computer that has just started.
_BACKDATED = dt.timedelta(days=2)
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secret and authenticated, supported by every browser since 2014."""
_HOST = re.compile(r"(?!.{254})[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


class CertificateError(PanoError):
    """A certificate or its key cannot be created or used."""

    exit_code = 7


def ensure_certificate(folder: Path, names: Iterable[str] = ()) -> tuple[Path, Path]:
    """Return the files of a self-signed certificate in `folder` and of its key (PEM, 0600).

    The certificate is created on first use for `own_names()` and `names` (host names and
    addresses). It is renewed with the same key if it expires within 60 days or lacks one of
    these names. This is fast if there is nothing to do: call it daily, and load the files
    that it returns into the `ssl.SSLContext` in use; open connections are not affected.
    Several processes may call it at the same time. Raises CertificateError if
    `cryptography` is not installed, and LibraryError if `folder` cannot be written to.
    """
    paths = folder / CERTIFICATE_NAME, folder / KEY_NAME
    wanted = {*own_names(), *(_normal(name) for name in names if not _is_wildcard(name))}
    with Storage(folder).lock(LOCK_NAME, wait=True):
        key = _key(paths[1])
        kept = _kept(paths[0], key)
        known = _names(kept) if kept else set()
        if kept is None or _ends_soon(kept) or not wanted <= known:
            # Keep former addresses, which may return: a laptop moves, a lease is renewed.
            write_private(paths[0], _signed(key, sorted(wanted | known)))
    return paths


def own_names() -> set[str]:
    """Return the names and addresses that others on the network know this computer by."""
    host = socket.gethostname().lower()
    names = {"localhost", "127.0.0.1", "::1"} | _lan_addresses()
    try:
        names |= {_normal(host)}
    except CertificateError:
        return names  # "" or a name that no resolver would accept
    # The mDNS name, by which phones and desktops find it
    return names if "." in host else names | {f"{host}.local"}


def _lan_addresses() -> set[str]:
    """Return the address that this computer uses for outgoing traffic, without sending any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737
        except OSError:
            return set()  # no network, or no route
        return {str(probe.getsockname()[0])}


def _is_wildcard(name: str) -> bool:
    return name in ("", "0.0.0.0", "::")


def _normal(name: str) -> str:
    """Return a host name or address as certificates spell it. Raises CertificateError."""
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        pass
    try:
        normal = name.lower().encode("idna").decode("ascii")
    except ValueError:
        normal = ""
    if not _HOST.fullmatch(normal):
        raise CertificateError(
            f"expected a host name or an address for the certificate, got {name!r}. "
            f"Give one such as 'pano.lan' or '192.168.1.20'."
        )
    return normal


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the context of a TLS server with this certificate and key, TLS 1.2 or newer.

    Raises CertificateError if the files cannot be read or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    load(context, certificate, key)
    return context


def load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Use this certificate for new connections of `context`. Raises CertificateError."""
    try:
        # Without this callback, OpenSSL would ask on the terminal, which a service lacks.
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise CertificateError(
            f"expected a certificate (PEM, with its intermediate certificates) in {certificate} "
            f"and its key, without a password, in {key}; {error}. Correct both files, or set "
            f"neither to have a certificate created."
        ) from error


def _no_password() -> str:
    raise ValueError("the key is protected with a password")


def _key(path: Path) -> RSAPrivateKey:
    serialization, rsa = _cryptography("serialization"), _cryptography("asymmetric.rsa")
    try:
        loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if isinstance(loaded, rsa.RSAPrivateKey):
            path.chmod(0o600)
            return cast("RSAPrivateKey", loaded)
    except (OSError, ValueError, TypeError):
        pass  # none yet, or cut short by a full disk, so that nobody has used it
    key: RSAPrivateKey = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    data = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(path, data)
    return key


def _kept(path: Path, key: RSAPrivateKey) -> x509.Certificate | None:
    """Return the certificate at `path`; None if it is missing or belongs to another key."""
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        return certificate if certificate.public_key() == key.public_key() else None
    except (OSError, ValueError):
        return None


def _names(certificate: x509.Certificate) -> set[str]:
    from cryptography import x509

    try:
        alternatives = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except x509.ExtensionNotFound:
        return set()
    return {
        *alternatives.get_values_for_type(x509.DNSName),
        *map(str, alternatives.get_values_for_type(x509.IPAddress)),
    }


def _ends_soon(certificate: x509.Certificate) -> bool:
    now = dt.datetime.now(dt.UTC)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    # It may begin in the future if this computer's clock was ahead at that time.
    return not begins <= now <= ends - RENEW_BEFORE


def _signed(key: RSAPrivateKey, names: list[str]) -> bytes:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    serialization, hashes = _cryptography("serialization"), _cryptography("hashes")
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Panopticon analytics")])
    begins = dt.datetime.now(dt.UTC) - _BACKDATED
    builder = (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
    )
    signed: bytes = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return signed


def _general(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _cryptography(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"cryptography.hazmat.primitives.{module}")
    except ImportError as error:
        raise CertificateError(
            "creating a certificate needs the package `cryptography`, which is not "
            "installed. Install it with `pip install 'pano-analytics[receive]'`, or provide your "
            "own certificate and key."
        ) from error
