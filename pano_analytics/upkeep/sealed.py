"""Files encrypted with a passphrase, written and read as streams.

The key comes from the passphrase by scrypt (RFC 7914); the content is cut into chunks of
1 MiB, each sealed with AES-256-GCM. As in STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015),
a chunk's nonce contains a random prefix, its number, and whether it is the last: swapped,
missing, repeated or cut-off chunks are detected.

    magic (8) | log2 N, r, p (1 each) | salt (16) | nonce prefix (7) | HMAC-SHA-256 (32) | chunks

The HMAC covers everything before it, to distinguish a wrong passphrase from damaged content.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from typing import IO, TYPE_CHECKING, Any

from pano_analytics.errors import LibraryError, SettingsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"panoseal"
PASSPHRASE_MIN_LENGTH = 12

_HEAD = struct.Struct(">8sBBB16s7s")
_MAC_BYTES, _TAG_BYTES, _CHUNK_BYTES = 32, 16, 1 << 20
# Takes 128 MB and about half a second on a small computer; files that need over 256 MB are
# refused.
_LOG2_N, _R, _P = 17, 8, 1
_MAX_LOG2_N = 18


class SealError(LibraryError):
    """The passphrase is wrong, or the file is damaged."""


def check_passphrase(passphrase: str) -> str:
    """Return `passphrase` if it is long enough. Raises SettingsError otherwise."""
    if len(passphrase) < PASSPHRASE_MIN_LENGTH:
        raise SettingsError(
            f"expected a passphrase of at least {PASSPHRASE_MIN_LENGTH} characters; got "
            f"{len(passphrase)}. Several words are easy to remember and hard to guess."
        )
    return passphrase


def is_sealed(head: bytes) -> bool:
    """Return whether a file that begins with `head` is encrypted in this format."""
    return head.startswith(MAGIC)


class Writer:
    """Encrypts what is written to it into `file`, which is not readable before `close`."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        salt, self._prefix = secrets.token_bytes(16), secrets.token_bytes(7)
        head = _HEAD.pack(MAGIC, _LOG2_N, _R, _P, salt, self._prefix)
        self._cipher, mac = _keys(passphrase, head)
        self._file, self._buffer, self._number, self._size = file, bytearray(), 0, 0
        file.write(head + mac)

    def write(self, data: bytes) -> int:
        """Buffer `data`, and write each chunk once it is known not to be the last."""
        self._buffer += data
        self._size += len(data)
        while len(self._buffer) > _CHUNK_BYTES:
            self._write_chunk(bytes(self._buffer[:_CHUNK_BYTES]), is_last=False)
            del self._buffer[:_CHUNK_BYTES]
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Do nothing: chunks have a fixed size."""

    def close(self) -> None:
        """Write the last chunk; the file itself stays open."""
        self._write_chunk(bytes(self._buffer), is_last=True)

    def _write_chunk(self, chunk: bytes, is_last: bool) -> None:
        nonce = _nonce(self._prefix, self._number, is_last)
        self._file.write(self._cipher.encrypt(nonce, chunk, None))
        self._number += 1


class SealedReader:
    """Decrypts `file`, and returns only verified content. Raises SealError."""

    def __init__(self, file: IO[bytes], passphrase: str, name: str) -> None:
        self._file, self._name = file, name
        head, mac = file.read(_HEAD.size), file.read(_MAC_BYTES)
        if len(mac) < _MAC_BYTES:
            raise self._damaged()
        _, log2_n, r, p, _, self._prefix = _HEAD.unpack(head)
        if log2_n > _MAX_LOG2_N or r != _R or p != _P:
            raise self._damaged()
        self._cipher, expected = _keys(passphrase, head)
        if not hmac.compare_digest(mac, expected):
            raise SealError(
                f"{name}: wrong passphrase, or the first bytes of the file are damaged. Nothing "
                f"was restored."
            )
        self._number, self._buffer, self._is_done = 0, b"", False
        self._next = file.read(_CHUNK_BYTES + _TAG_BYTES)

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes (all if negative); b"" at the end."""
        while not self._is_done and (size < 0 or len(self._buffer) < size):
            self._buffer += self._chunk()
        size = len(self._buffer) if size < 0 else size
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _chunk(self) -> bytes:
        from cryptography.exceptions import InvalidTag

        sealed, self._next = self._next, self._file.read(_CHUNK_BYTES + _TAG_BYTES)
        self._is_done = not self._next
        try:
            nonce = _nonce(self._prefix, self._number, self._is_done)
            chunk = self._cipher.decrypt(nonce, sealed, None)
        except (InvalidTag, ValueError):
            raise self._damaged() from None
        self._number += 1
        return chunk

    def _damaged(self) -> SealError:
        return SealError(
            f"{self._name}: expected an encrypted backup, complete and unchanged; it is damaged "
            f"or cut off. Nothing was restored; use another backup."
        )


def _keys(passphrase: str, head: bytes) -> tuple[AESGCM, bytes]:
    """Return the cipher, and the HMAC of `head` that verifies the passphrase."""
    _, log2_n, r, p, salt, _ = _HEAD.unpack(head)
    secret = passphrase.encode("utf-8", "surrogateescape")
    key = hashlib.scrypt(secret, salt=salt, n=1 << log2_n, r=r, p=p, maxmem=1 << 29, dklen=64)
    return _cipher()(key[:32]), hmac.digest(key[32:], head, "sha256")


def _nonce(prefix: bytes, number: int, is_last: bool) -> bytes:
    return prefix + struct.pack(">I?", number, is_last)


def _cipher() -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise SettingsError(
            "encrypting backups needs the package `cryptography`, which is not installed. Install "
            "it with `pip install 'pano-analytics[receive]'`."
        ) from error
    return AESGCM
