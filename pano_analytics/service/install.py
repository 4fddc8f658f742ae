"""systemd units for this installation: their text, their sandbox, and installing them."""

from __future__ import annotations

import difflib
import grp
import hashlib
import os
import pwd
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pano_analytics.errors import SettingsError
from pano_analytics.settings import Settings

SYSTEM_UNITS = Path("/etc/systemd/system")
BOOTED = Path("/run/systemd/system")
"""Exists if this machine was booted with systemd (sd_booted(3))."""
_LOWEST_FREE_PORT = 1024
_MARK = "# pano install: sha256="
_HINT = "# `pano install` replaces this file; use `systemctl edit` for changes that are to be kept."
# The hint in units of earlier versions, which count as unchanged too.
_EARLIER_HINT = "# What `systemctl edit` adds is kept; this file is written anew by `pano install`."

State = Literal["new", "same", "ours", "changed"]


@dataclass(frozen=True)
class Installation:
    """Where pano is installed, and the files that its services use. All paths are absolute.

    `account` is the account that runs the services; None for user services.
    """

    command: Path
    config: Path
    uploads: Path
    library: Path
    site: Path | None
    account: str | None
    log: Path | None = None
    ports: tuple[int, ...] = ()

    @property
    def is_system(self) -> bool:
        """Whether these are system services, not user services."""
        return self.account is not None

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that the services use."""
        logs = None if self.log is None else self.log.parent
        return tuple(path for path in (self.uploads, self.library, self.site, logs) if path)


@dataclass(frozen=True)
class UnitFile:
    """One unit file: the text it should have, and how the existing file compares with it."""

    path: Path
    text: str
    state: State

    @property
    def difference(self) -> str:
        """The changes made by hand, as a unified diff."""
        current = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        names = (f"{self.path} (installed)", f"{self.path} (pano's)")
        return "\n".join(difflib.unified_diff(current, self.text.splitlines(), *names, lineterm=""))


def place(settings: Settings, config: Path, account: str | None) -> Installation:
    """Return where the running pano is installed, and the files that its services use.

    Raises SettingsError if the settings name no folders, or a path cannot be used in a unit.
    """
    if settings.uploads is None or settings.library is None:
        raise SettingsError(
            f"{config}: expected `uploads` and `library`, so that services know their folders. "
            "Add them."
        )
    installation = Installation(
        command=Path(sys.executable).with_name("pano"),
        config=config.absolute(),
        uploads=settings.uploads.absolute(),
        library=settings.library.absolute(),
        site=settings.site.folder.absolute() if settings.site.folder else None,
        account=account,
        log=settings.up.log.absolute() if settings.up.log else None,
        ports=(settings.dashboard.port, settings.receive.port, settings.up.health_port),
    )
    for path in (installation.command, installation.config, *installation.folders):
        if not str(path).isprintable():
            raise SettingsError(
                f"{str(path)!a}: expected a path with printable characters only, as systemd "
                f"requires."
            )
    return installation


# --- the text of the units ---------------------------------------------------


def units(at: Installation, parts: Iterable[str] = ("up",)) -> dict[str, str]:
    """Return the units of `parts` (keys of PARTS), as file name -> text."""
    texts: dict[str, str] = {}
    for part in parts:
        texts[f"{_stem(part)}.service"] = _signed(_service(at, part))
        if part in _EVERY:
            texts[f"{_stem(part)}.timer"] = _signed(_timer(part))
    return texts


PARTS: dict[str, tuple[str, str]] = {
    "up": ("up", "receives, ingests, culls and shows camera uploads"),
    "ingest": ("ingest --quiet", "ingests new camera uploads"),
    "cull": ("cull --delete", "deletes camera uploads after their retention time"),
    "site": ("site", "writes static pages of camera uploads"),
    "serve": ("serve", "shows camera uploads in a browser"),
}
"""Part -> its arguments for `pano`, and what it does."""

TIMED = ("ingest", "cull", "site", "serve")
"""The parts that replace `pano up` if timers are used."""

_EVERY = {"ingest": "*:0/2", "site": "*:1/5", "cull": "*-*-* 03:40:00"}


def _stem(part: str) -> str:
    return "pano" if part == "up" else f"pano-{part}"


def _service(at: Installation, part: str) -> str:
    words, does = PARTS[part]
    call = f"{_argument(at.command)} {words} --config {_argument(at.config)}"
    lines = [
        "[Unit]",
        f"Description=Panopticon analytics: {does}",
        *(["After=network-online.target", "Wants=network-online.target"] if at.is_system else []),
        *(f"RequiresMountsFor={_word(path)}" for path in at.folders if at.is_system),
        "",
        "[Service]",
        *_KIND[part],
        f"ExecStart={call}",
        *([f"User={at.account}"] if at.is_system else []),
        *_limits(part),
        *(_sandbox(at, part) if at.is_system else _USER_SANDBOX),
    ]
    if part not in _EVERY:
        target = "multi-user.target" if at.is_system else "default.target"
        lines += ["", "[Install]", f"WantedBy={target}"]
    return "\n".join([*lines, ""])


_STAYS = ["Restart=always", "RestartSec=5s"]
_KIND = {
    # `pano up` notifies systemd when it is ready, and regularly that it is alive.
    "up": ["Type=notify", "NotifyAccess=main", "WatchdogSec=60s", *_STAYS, "TimeoutStopSec=60s"],
    "serve": ["Type=exec", *_STAYS],
    # Ending by SIGTERM is a success: the next run continues.
    "ingest": ["Type=oneshot", "SuccessExitStatus=143"],
    "cull": ["Type=oneshot", "SuccessExitStatus=143"],
    "site": ["Type=oneshot", "SuccessExitStatus=143"],
}


def _limits(part: str) -> list[str]:
    # `pano up` restarts a part that the OOM killer ended; the other parts continue.
    policy = ["OOMPolicy=continue"] if part == "up" else []
    return [
        "",
        "# Leave processor and disk to other programs.",
        "MemoryMax=1G",
        "TasksMax=256",
        *policy,
    ]


_USER_SANDBOX = [
    "",
    "# Restrictions that user services can set without root.",
    "NoNewPrivileges=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallErrorNumber=EPERM",
]

_SYSTEM_SANDBOX = [
    "NoNewPrivileges=yes",
    "ProtectProc=invisible",
    "PrivateDevices=yes",
    "PrivateTmp=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "RemoveIPC=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged",
    "SystemCallErrorNumber=EPERM",
]

_WRITES: dict[str, Callable[[Installation], Iterable[Path | None]]] = {
    "up": lambda at: at.folders,
    "ingest": lambda at: [at.library],
    "cull": lambda at: [at.uploads, at.library],
    "site": lambda at: [at.library, at.site],
    "serve": lambda at: [at.library],
}


def _sandbox(at: Installation, part: str) -> Iterator[str]:
    writes = [path for path in _WRITES[part](at) if path is not None]
    yield from ("", "# The whole system is read-only, except for its own folders.")
    yield "ProtectSystem=strict"
    # Home folders are hidden, unless a file or folder of this installation is in one.
    touched = (at.command, at.config, *at.folders)
    yield f"ProtectHome={'read-only' if any(map(_is_in_a_home, touched)) else 'yes'}"
    yield from (f"ReadWritePaths={_word(path)}" for path in writes)
    yield from (line for line in _SYSTEM_SANDBOX if line != "PrivateTmp=yes" or not _in_tmp(at))
    yield from _capabilities(at, part)


def _capabilities(at: Installation, part: str) -> list[str]:
    if part not in ("up", "serve") or not any(0 < port < _LOWEST_FREE_PORT for port in at.ports):
        return ["CapabilityBoundingSet=", "AmbientCapabilities="]
    return [
        "# For a port below 1024.",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
    ]


def _is_in_a_home(path: Path) -> bool:
    return any(path.is_relative_to(home) for home in ("/home", "/root", "/run/user"))


def _in_tmp(at: Installation) -> bool:
    touched = (at.command, at.config, *at.folders)
    return any(path.is_relative_to(tmp) for path in touched for tmp in ("/tmp", "/var/tmp"))


def _timer(part: str) -> str:
    return f"""\
[Unit]
Description=Panopticon analytics: when it {PARTS[part][1]}

[Timer]
OnCalendar={_EVERY[part]}
AccuracySec=5s
Persistent=yes

[Install]
WantedBy=timers.target
"""


_PLAIN = re.compile(r"[A-Za-z0-9_./@+-]+")


def _word(path: Path) -> str:
    """Return a path as one word of a unit file, as systemd.syntax(7) has them."""
    text = str(path)
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _argument(path: Path) -> str:
    # Only in command lines does $ begin a variable.
    return _word(path).replace("$", "$$")


# --- writing and removing units -----------------------------------------------


def _signed(text: str) -> str:
    return f"{_MARK}{_digest(text)}\n{_HINT}\n{text}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _state(path: Path, text: str) -> State:
    try:
        current = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "new"
    if current == text:
        return "same"
    first, _, rest = current.partition("\n")
    body = rest.removeprefix(_HINT + "\n").removeprefix(_EARLIER_HINT + "\n")
    is_ours = first == _MARK + _digest(body)
    return "ours" if is_ours else "changed"


def compare(folder: Path, texts: dict[str, str]) -> list[UnitFile]:
    """Return the units for `folder`, each compared with the file that exists there."""
    return [
        UnitFile(folder / name, text, _state(folder / name, text)) for name, text in texts.items()
    ]


def write(unit: UnitFile) -> None:
    """Write the unit atomically; a file that was changed by hand is kept as `.before`.

    Raises SettingsError if the file cannot be written.
    """
    if unit.state == "same":
        return
    new = unit.path.with_name(f".{unit.path.name}.new")
    try:
        unit.path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(unit.text, encoding="utf-8")
        if unit.state == "changed":
            unit.path.replace(unit.path.with_name(f"{unit.path.name}.before"))
        new.replace(unit.path)
    except OSError as error:
        raise SettingsError(
            f"{unit.path}: cannot write this unit; {error.strerror or error}. System services "
            "need root (sudo); --user does not."
        ) from error


def remove(folder: Path, texts: dict[str, str], changed_too: bool = False) -> list[UnitFile]:
    """Remove the units in `texts`; return those kept because they were changed by hand."""
    existing = [unit for unit in compare(folder, texts) if unit.state != "new"]
    kept = [unit for unit in existing if unit.state == "changed" and not changed_too]
    for unit in existing:
        if unit not in kept:
            unit.path.unlink()
    return kept


# --- commands to run ------------------------------------------------------------


def folders_to_make(at: Installation) -> list[list[str]]:
    """Return the commands that create the missing folders, owned by the account."""
    missing = [path for path in at.folders if not path.exists()]
    if at.account is None:
        return [["mkdir", "-p", str(path)] for path in missing]
    group = grp.getgrgid(pwd.getpwnam(at.account).pw_gid).gr_name
    owned = ["install", "-d", "-o", at.account, "-g", group]
    return [[*owned, str(path)] for path in missing]


def to_start(at: Installation, names: Iterable[str]) -> list[list[str]]:
    """Return the commands that start the units, now and whenever the machine starts."""
    started = _started(names)
    linger = [] if at.is_system else [["loginctl", "enable-linger"]]
    control = _control(at)
    return [
        [*control, "daemon-reload"],
        [*control, "enable", *started],
        [*control, "restart", *started],
        *linger,
    ]


def to_stop(at: Installation, names: Iterable[str]) -> list[list[str]]:
    """Return the commands that stop the units and keep them from starting again."""
    return [[*_control(at), "disable", "--now", *_started(names)]]


def _control(at: Installation) -> list[str]:
    return ["systemctl"] if at.is_system else ["systemctl", "--user"]


def _started(names: Iterable[str]) -> list[str]:
    """Return the units to start: a timer instead of its service, if there is one."""
    listed = list(names)
    return [
        name
        for name in listed
        if name.replace(".service", ".timer") not in listed or name.endswith(".timer")
    ]


def run(command: list[str]) -> None:
    """Run a command. Raises SettingsError with its error output if it fails."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SettingsError(
            f"{shlex.join(command)}: expected success; {result.stderr.strip() or result.returncode}"
        )


def account_of_services(requested: str | None, library: Path | None) -> str:
    """Return the account that runs the system services.

    That is `requested`, else the owner of the library, else the user who ran sudo or,
    without sudo, this process's user. Raises SettingsError if there is no such account,
    or it is root.
    """
    name = requested or _owner(library) or os.environ.get("SUDO_USER") or _own_account()
    if not name or name == "root":
        raise SettingsError(
            "expected an account for the services that is not root; choose one with --account. "
            "`sudo useradd --system --shell /usr/sbin/nologin pano` creates one."
        )
    try:
        pwd.getpwnam(name)
    except KeyError:
        raise SettingsError(
            f"--account {name}: expected an existing account; there is none with that name. "
            f"`sudo useradd --system --shell /usr/sbin/nologin {shlex.quote(name)}` creates it."
        ) from None
    return name


def _own_account() -> str | None:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return None


def _owner(folder: Path | None) -> str | None:
    try:
        owner = None if folder is None else folder.owner()
    except (OSError, KeyError):
        return None
    return None if owner == "root" else owner


def check_access(at: Installation) -> None:
    """Raise SettingsError if the services' account cannot run, read or write what it needs.

    The check runs as that account, which only root can do; user services are not checked.
    """
    if at.account is None or os.geteuid() != 0:
        return
    checks = [("-x", at.command, "run"), ("-r", at.config, "read")]
    checks += [("-w", path, "write to") for path in at.folders if path.exists()]
    for flag, path, action in checks:
        if not _may(at.account, flag, path):
            raise SettingsError(
                f"{path}: expected a path that the account {at.account} can {action}; it cannot. "
                "Change the permissions, or choose another account with --account."
            )


def _may(account: str, flag: str, path: Path) -> bool:
    user = pwd.getpwnam(account)
    result = subprocess.run(
        ["test", flag, str(path)],
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=os.getgrouplist(account, user.pw_gid),
        cwd="/",
        check=False,
    )
    return result.returncode == 0
