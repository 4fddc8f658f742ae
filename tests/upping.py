"""For tests of `pano up`: a home with ports of its own, and a camera that uploads."""

from __future__ import annotations

import ftplib
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image
from serving import DEADLINE_S, free_port, snapshot_path, wait_until

from pano_analytics import settings as settings_room
from pano_analytics.receive.accounts import Accounts, make_folder, new_account
from pano_demo import live

CAMERA, PASSWORD = "front_door", "three-small-words"
PANO = [sys.executable, "-m", "pano_analytics.cli"]


@dataclass
class Home:
    """A home with its own settings, and `pano up` once it runs."""

    folder: Path
    more: str = ""
    ports: dict[str, int] = field(
        default_factory=lambda: {name: free_port() for name in ("serve", "receive", "health")}
    )
    process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.uploads.mkdir(parents=True)
        self.library.mkdir()
        self.config.write_text(
            f'uploads = "uploads"\nlibrary = "library"\nzone = "UTC"\n{self.more}\n'
            f"[dashboard]\nport = {self.ports['serve']}\n"
            f'[receive]\naddress = "127.0.0.1"\nport = {self.ports["receive"]}\ntls = "off"\n'
            f"[up]\nhealth_port = {self.ports['health']}\n{self.up}"
        )

    up: str = ""

    @property
    def config(self) -> Path:
        return self.folder / "pano.toml"

    @property
    def uploads(self) -> Path:
        return self.folder / "uploads"

    @property
    def library(self) -> Path:
        return self.folder / "library"

    @property
    def log(self) -> str:
        return (self.library / "log" / "up.log").read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['serve']}"

    def let_in(self, camera: str = CAMERA) -> None:
        """Give a camera an account."""
        settings = settings_room.load(self.config)
        account = new_account(settings, camera, camera, None, PASSWORD)
        make_folder(account, self.uploads)
        Accounts(self.library).add(account)

    def run(self, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run another `pano` on this home, to its end."""
        command = [*PANO, *arguments, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, **more)

    def health(self) -> tuple[int, dict[str, Any]]:
        """Return what the health address says, with its status; 0 where nobody answers."""
        try:
            place = f"http://127.0.0.1:{self.ports['health']}/healthz"
            with urllib.request.urlopen(place, timeout=DEADLINE_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {"parts": []}

    def part(self, name: str) -> dict[str, Any]:
        """Return how a part is doing."""
        found = [part for part in self.health()[1]["parts"] if part["part"] == name]
        return found[0] if found else {"state": "unknown"}

    def until_well(self) -> None:
        def is_well() -> bool:
            assert self.process is None or self.process.poll() is None, self.log
            return self.health()[0] == 200

        wait_until(is_well, "pano up is not well")

    def pid_of(self, part: str) -> int:
        """Return the process of a part."""
        assert self.process is not None
        found = [pid for pid in children(self.process.pid) if part in command_of(pid)]
        assert len(found) == 1, (part, found)
        return found[0]

    def server(self) -> live.DemoServer:
        return live.DemoServer("127.0.0.1", self.ports["receive"], {CAMERA: PASSWORD})

    def upload(self, when: datetime) -> str:
        """Upload a picture as a camera does; return its path once its last byte is taken."""
        path = snapshot_path(CAMERA, when)
        live.send(self.server(), CAMERA, path, picture(when.second))
        return path


def picture(shade: int) -> bytes:
    """Return a JPEG."""
    made = io.BytesIO()
    Image.linear_gradient("L").point(lambda value: (value + shade * 4) % 256).save(made, "JPEG")
    return made.getvalue()


def is_receiving(home: Home) -> bool:
    try:
        with ftplib.FTP() as line:
            line.connect("127.0.0.1", home.ports["receive"], timeout=5)
        return True
    except ftplib.all_errors:
        return False


def children(pid: int) -> list[int]:
    """Return the processes that `pid` started and that are alive."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


def descendants(pid: int) -> list[int]:
    """Return all processes below `pid`."""
    found = children(pid)
    return [*found, *(below for child in found for below in descendants(child))]


def command_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has buried yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@contextmanager
def upping(home: Home, environment: Mapping[str, str] | None = None) -> Iterator[Home]:
    """Run `pano up` on `home` until the block ends."""
    output = (home.folder / "shown.log").open("w")
    home.process = subprocess.Popen(
        [*PANO, "up", "--config", str(home.config)],
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    output.close()
    try:
        home.until_well()
        yield home
    finally:
        home.process.send_signal(signal.SIGTERM)
        code = home.process.wait(DEADLINE_S)
        home.process = None
    assert code in (0, -signal.SIGKILL)


def stamp() -> datetime:
    """Return this second, as a camera's clock in UTC has it."""
    return datetime.fromtimestamp(int(time.time()))
