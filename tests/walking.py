"""An empty machine to type a document's commands into: its own folders, user and network.

    with machine(folder) as box:
        box.type("pano init --uploads /srv/ftp")

The machine is a mount and network namespace: what is written to /srv, /etc, /home
and the like lands in `folder` and goes with it. The user `anna` types; a line
that starts with `sudo` runs as root. Programs that would change a real machine
(`systemctl`, `apt-get`, `docker` ...) are stand-ins that only note the call,
except that `systemctl` starts the program of a unit as systemd would.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pexpect
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample" / "uploads"
PASSWORD = "correct horse battery"
USER, UID = "anna", 1234
HOME = f"/home/{USER}"
TIMEOUT_S = 60.0
# What `timeout` and the commands themselves return when they are ended from outside.
ENDED = {124, 130, 143}
# Programs that keep running until they are stopped.
SERVICES = re.compile(r"^(pano (up|serve|receive)\b|pano ingest .*--watch|\S*/jupyter lab)")
READY = r"https?://\S+|listening|takes uploads|ready"
WRITABLE = ("etc", "home", "mnt", "opt", "root", "run", "srv", "usr/local", "var/lib")

SYSTEMCTL = f"""#!/bin/sh
# Stands in for systemd: runs the program of a unit that is started.
echo "systemctl $*" >> /run/called
case "$1" in
    restart) /usr/local/bin/stop-unit; set -- enable "$2" ;;
    stop) /usr/local/bin/stop-unit; exit 0 ;;
    enable|start) ;;
    *) exit 0 ;;
esac
for last; do :; done
unit=/etc/systemd/system/${{last%.service}}.service
[ -f "$unit" ] || exit 0
program=$(sed -n 's/^ExecStart=//p' "$unit" | tr -d '"')
setsid setpriv --reuid {UID} --regid {UID} --clear-groups env HOME={HOME} $program \\
    > /run/unit.log 2>&1 < /dev/null &
echo $! > /run/unit.pid
"""
STOP_UNIT = """#!/bin/sh
[ -f /run/unit.pid ] && kill "$(cat /run/unit.pid)" 2>/dev/null; rm -f /run/unit.pid
exit 0
"""
NOTED = """#!/bin/sh
echo "$(basename "$0") $*" >> /run/called
"""
GIT = f"""#!/bin/sh
# The project's address in the documents is an example: this clone stands in for it.
for word; do
    shift
    case "$word" in https://github.com/*) word="file://{ROOT}" ;; esac
    set -- "$@" "$word"
done
exec /usr/bin/git "$@"
"""
MAKE = f"""#!/bin/sh
# `make setup` is what CI begins with: here its result is put in place.
[ "$1" = -C ] && cd "$2" && shift 2
[ "$1" = setup ] && exec ln -sfn "{ROOT}/.venv" .venv
exec /usr/bin/make "$@"
"""
PROGRAMS = {
    "systemctl": SYSTEMCTL,
    "stop-unit": STOP_UNIT,
    "git": GIT,
    "make": MAKE,
    **dict.fromkeys(("apt-get", "journalctl", "ufw", "docker", "xdg-open", "notify-send"), NOTED),
}


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    children = [int(one) for one in text.split()]
    return [*children, *(one for child in children for one in descendants(child))]


def is_running(pid: int) -> bool:
    """Return whether a process exists and is no zombie, which the machine's first one leaves."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_until_gone(pids: list[int]) -> None:
    """Wait until none of the processes runs any more."""
    until = time.monotonic() + TIMEOUT_S
    while any(map(is_running, pids)):
        assert time.monotonic() < until, f"still there: {pids}"
        time.sleep(0.05)


# The words of docs/install.md.
INSTALL = (
    f"sudo install -d -o {USER} /opt/pano",
    "git clone --depth 1 https://github.com/YOU/pano-analytics /opt/pano",
    "cd /opt/pano",
    "make setup",
    "sudo ln -s /opt/pano/.venv/bin/pano /usr/local/bin/pano",
)


@dataclass
class Machine:
    """The namespaces, reached through the process that holds them."""

    pid: int
    folder: Path
    cwd: str = HOME
    children: list[pexpect.spawn[str]] = field(default_factory=list)
    services: list[tuple[str, pexpect.spawn[str]]] = field(default_factory=list)

    def type(self, line: str, *, accept: frozenset[int] = frozenset({0})) -> str:
        """Type one line, answer its questions, and return what it printed.

        A service is left running until `stop_services`. Fails the test on an exit
        code that is not in `accept` and on any traceback.
        """
        if line.startswith("cd ") and "&&" not in line:
            return self._change_folder(line)
        child = self.start(line)
        if SERVICES.match(line):
            child.expect(READY, timeout=TIMEOUT_S)
            self.services.append((line, child))
            return str(child.after)
        if line.startswith("pano camera add") and "--no-wait" not in line:
            self._upload_as_camera(child)
        return self._end_of(line, child, accept)

    def stop_services(self) -> None:
        """Press Ctrl-C in each terminal that a service runs in."""
        while self.services:
            line, child = self.services.pop()
            own = descendants(child.pid)
            child.sendintr()
            self._end_of(line, child, frozenset({0, *ENDED}))
            # `nsenter` ends at once; what it started may still be ending.
            wait_until_gone(own)

    def _end_of(self, line: str, child: pexpect.spawn[str], accept: frozenset[int]) -> str:
        said = self.rest_of(child)
        code = child.exitstatus if child.exitstatus is not None else 128 + (child.signalstatus or 0)
        assert "Traceback" not in said, f"{line}\n{said}"
        assert code in accept, f"$ {line}\nexit {code}\n{said}"
        return said

    def _upload_as_camera(self, child: pexpect.spawn[str]) -> None:
        """Do what the camera does once the printed table was typed into its page."""
        child.expect(r"Waiting for")
        table = dict(re.findall(r"^ +(port|user|password) +(\S+)", str(child.before), re.MULTILINE))
        assert set(table) == {"port", "user", "password"}, child.before
        now = datetime.now(UTC).astimezone(ZoneInfo("Europe/Berlin"))
        name = f"AMC0/{now:%Y-%m-%d}/001/jpg/{now:%H/%M/%S}[M][0@0][0].jpg"
        self.root(
            "curl --silent --show-error --globoff --retry 20 --retry-connrefused --retry-delay 1"
            f" --ftp-create-dirs --user '{table['user']}:{table['password']}' -T -"
            f" 'ftp://127.0.0.1:{table['port']}/{name}'",
            picture(),
        )

    def start(self, line: str) -> pexpect.spawn[str]:
        """Type one line and return the terminal that it runs in."""
        is_root = line.startswith("sudo ")
        who = [] if is_root else ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
        words = [
            *("nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", "--"),
            *("env", "-i", f"HOME={HOME}", f"USER={USER}", f"SUDO_USER={USER if is_root else ''}"),
            "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            *("LANG=C.UTF-8", "TERM=dumb", "COLUMNS=200", *who, "bash", "-c"),
            f"cd {self.cwd} && {line.removeprefix('sudo ').replace('&& sudo ', '&& ')}",
        ]
        child = pexpect.spawn(words[0], words[1:], encoding="utf-8", timeout=TIMEOUT_S, echo=False)
        self.children.append(child)
        return child

    def rest_of(self, child: pexpect.spawn[str]) -> str:
        """Return all that is printed until the end, with each question for a password answered."""
        said = child.before if isinstance(child.before, str) else ""
        while child.expect([r"(?i)(password|passphrase|confirmation)[^\n]*: ?$", pexpect.EOF]) == 0:
            said += str(child.before)
            child.sendline(PASSWORD)
        said += str(child.before)
        child.close()
        return said

    def root(self, script: str, data: bytes = b"") -> str:
        """Run a script as root, outside the story: what was there before, and looks at the end."""
        words = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", "--"]
        done = subprocess.run(
            [*words, "sh", "-ec", script], input=data, capture_output=True, check=False
        )
        said = done.stdout.decode()
        assert done.returncode == 0, f"{script}\n{said}{done.stderr.decode()}"
        return said

    def write(self, path: str, text: str, *, is_append: bool = False) -> None:
        """Write a file as the user who types."""
        name = path.replace("~", HOME)
        quoted = text.replace("'", "'\\''")
        self.root(
            f"mkdir -p $(dirname {name}); printf %s '{quoted}' {'>>' if is_append else '>'} {name};"
            f"chown -R {USER}: {HOME} {name}"
        )

    def _change_folder(self, line: str) -> str:
        target = line.removeprefix("cd ").replace("~", HOME).strip()
        where = self.root(f"cd {self.cwd} && cd {target} && pwd")
        self.cwd = where.strip()
        return ""


def picture() -> bytes:
    """Return a JPEG as a camera sends it, without a clock of its own inside."""
    data = BytesIO()
    Image.effect_noise((640, 360), 60).convert("RGB").save(data, "JPEG")
    return data.getvalue()


@contextmanager
def machine(folder: Path, *, is_installed: bool = True) -> Iterator[Machine]:
    """Give a machine with a camera's uploads at /srv/ftp and, if `is_installed`, pano in /opt."""
    held = _hold(folder)
    box = Machine(_child_of(held), folder)
    try:
        _furnish(box)
        if is_installed:
            for line in INSTALL:
                box.type(line)
            box.cwd = HOME
        yield box
    finally:
        for child in box.children:
            child.close(force=True)
        held.kill()
        held.wait()


def _hold(folder: Path) -> subprocess.Popen[str]:
    """Start the process that holds the namespaces. Skips where that is not allowed."""
    if os.geteuid() or shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("an empty machine needs root and util-linux's unshare and nsenter")
    made = f"mount -t tmpfs tmpfs {folder} && mkdir {folder}/over && cd {folder}/over"
    for name in WRITABLE:
        upper = name.replace("/", "-")
        made += (
            f" && mkdir -p {upper} {upper}.work && mount -t overlay overlay"
            f" -o lowerdir=/{name},upperdir={folder}/over/{upper},"
            f"workdir={folder}/over/{upper}.work /{name}"
        )
    script = f"{made} && ip link set lo up && echo ready && exec sleep 3600"
    held = subprocess.Popen(
        [
            *("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"),
            *("--propagation", "private", "bash", "-c", script),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert held.stdout is not None
    answer = held.stdout.readline()
    if answer.strip() != "ready":
        held.kill()
        pytest.skip(f"an empty machine cannot be made here: {answer.strip()}")
    return held


def _child_of(held: subprocess.Popen[str]) -> int:
    return int(Path(f"/proc/{held.pid}/task/{held.pid}/children").read_text().split()[0])


def _furnish(box: Machine) -> None:
    """Make the user, the stand-ins, the command, and the uploads of the sample."""
    box.root(
        f"echo '{USER}:x:{UID}:{UID}::{HOME}:/bin/bash' >> /etc/passwd;"
        f"echo '{USER}:x:{UID}:' >> /etc/group;"
        f"mkdir -p {HOME} /run/systemd/system /srv/ftp /var/lib/pano /mnt/usb /var/log/pano;"
        "printf '[safe]\n\tdirectory = *\n' > /etc/gitconfig;"
        "touch /run/called; chmod 666 /run/called;"
        f"cp -r {SAMPLE}/. /srv/ftp; chmod 755 /root;"
        f"chown -R {USER}: {HOME} /srv/ftp /var/lib/pano /mnt/usb /var/log/pano"
    )
    for name, text in PROGRAMS.items():
        box.root(
            f"cat > /usr/local/bin/{name} <<'END'\n{text}\nEND\nchmod 755 /usr/local/bin/{name}"
        )
    if subprocess.run(
        ["setpriv", f"--reuid={UID}", "--clear-groups", "test", "-x", str(ROOT)], check=False
    ).returncode:
        pytest.skip(f"the user of the empty machine cannot read {ROOT}")
