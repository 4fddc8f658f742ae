"""An upload server in a thread, and cameras that upload to it: shared by the tests of receiving."""

from __future__ import annotations

import ftplib
import io
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pano_analytics.access.users import hash_password
from pano_analytics.model.upload import encode_path
from pano_analytics.receive import accounts as accounts_room
from pano_analytics.receive import records
from pano_analytics.receive.server import Receiver
from pano_analytics.settings import Settings, check
from pano_analytics.store.storage import Storage

PATIENCE_S = 30.0
records.WRITE_EVERY_S = 0.1
PASSWORD = "wAtCh-the-door7"
HASHED = hash_password(PASSWORD, accounts_room.PARALLEL)
TINY_JPEG = (
    b"\xff\xd8\xff\xdb\x00\x04\x00\x00\xff\xda\x00\x04\x00\x00" + b"\x11" * 3000 + b"\xff\xd9"
)


def settings_of(folder: Path, **receive: Any) -> Settings:
    """Return settings for uploads and a library below `folder`, on a port of its own."""
    (folder / "uploads").mkdir(exist_ok=True)
    own = {"address": "127.0.0.1", "port": 0, "keep_free_mb": 0, "sync": False, "tls": "off"}
    return check({"receive": own | receive}).model_copy(
        update={"uploads": folder / "uploads", "library": folder / "library"}
    )


def let_in(settings: Settings, *cameras: str) -> None:
    """Give cameras an account each, all with the same password."""
    assert settings.library is not None
    assert settings.uploads is not None
    settings.library.mkdir(exist_ok=True)
    room = accounts_room.Accounts(settings.library)
    for camera in cameras:
        account = accounts_room.Account(
            camera, camera, encode_path(camera), HASHED, datetime.now(UTC)
        )
        room.add(account)
        accounts_room.make_folder(account, settings.uploads)


@dataclass
class Running:
    """A server at work, and where it puts what comes."""

    receiver: Receiver
    settings: Settings

    @property
    def port(self) -> int:
        return int(self.receiver.port)

    def folder(self, camera: str = "porch") -> Path:
        assert self.settings.uploads is not None
        return self.settings.uploads / camera

    def told(self) -> dict[str, Any]:
        """Return what the server tells others, once it has told all that happened till now."""
        assert self.settings.library is not None
        before = records.now()
        until(lambda: self._asked_to_write() > before)
        return self._read() or {}

    def _asked_to_write(self) -> str:
        """Have the server write soon; return when it last did."""
        self.receiver.service.record._is_new = True
        return str((self._read() or {}).get("updated", ""))

    def _read(self) -> dict[str, Any] | None:
        assert self.settings.library is not None
        return records.read(Storage(self.settings.library))


@contextmanager
def serving(settings: Settings) -> Iterator[Running]:
    """Serve in a thread for as long as the block runs."""
    assert settings.library is not None
    with Storage(settings.library).lock(records.LOCK):
        receiver = Receiver(settings)
        thread = threading.Thread(target=receiver.run)
        thread.start()
        try:
            yield Running(receiver, settings)
        finally:
            receiver.stop()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


@contextmanager
def receive_command(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run `pano receive` for as long as the block runs, also where the block fails."""
    command = [sys.executable, "-m", "pano_analytics.cli", "receive", "--port", "0", *options]
    command += ["--uploads", str(folder / "uploads"), "--library", str(folder / "library")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
    ) as server:
        try:
            yield server
        finally:
            server.kill()


def port_of(server: subprocess.Popen[str]) -> int:
    assert server.stdout is not None
    return int(server.stdout.readline().partition("://")[2].split(":")[1].split()[0])


def until(fact: Callable[[], Any]) -> None:
    """Wait until `fact` holds."""
    end = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def parts(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.pano-part"))


def files(folder: Path) -> list[str]:
    """Return the names below `folder` that an upload has come to have."""
    found = (path for path in folder.rglob("*") if path.is_file() and path not in parts(folder))
    return sorted(path.relative_to(folder).as_posix() for path in found)


def login(running: Running, camera: str = "porch", password: str = PASSWORD) -> ftplib.FTP:
    """Return a session of a camera."""
    ftp = ftplib.FTP(encoding="utf-8")
    ftp.connect("127.0.0.1", running.port, timeout=PATIENCE_S)
    ftp.login(camera, password)
    return ftp


def store(ftp: ftplib.FTP, name: str, data: bytes, command: str = "STOR") -> str:
    return ftp.storbinary(f"{command} {name}", io.BytesIO(data))


def begin(ftp: ftplib.FTP, name: str, data: bytes, command: str = "STOR") -> socket.socket:
    """Begin an upload as a camera does; return the data connection once `data` was sent."""
    ftp.voidcmd("TYPE I")
    connection = ftp.transfercmd(f"{command} {name}")
    connection.sendall(data)
    return connection


def reset(connection: socket.socket | ftplib.FTP) -> None:
    """Close a connection so that the other side is told of a reset."""
    sock = connection.sock if isinstance(connection, ftplib.FTP) else connection
    assert sock is not None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
