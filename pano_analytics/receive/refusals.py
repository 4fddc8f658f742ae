"""What the upload server refused, counted by camera, kind and address, with advice for each.

Every refusal is counted, but a flood of them takes little space: for each kind, a camera (or
all unknown clients together) has at most `MOST_ADDRESSES` addresses, and all others are
counted in one entry without an address. Text that a client sent is cut to `LONGEST_DETAIL`
characters before it is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pano_analytics.wording import printable

MOST_ADDRESSES = 20
LONGEST_DETAIL = 200
DAYS = 15
"""A refusal is removed this many days after it last happened."""
RECENT = timedelta(days=1)

About = Literal["login", "encryption", "connection", "data", "upload"]
Settles = Literal["login", "upload", "time"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of refusal: what it concerns, in words, and what to do about it.

    `settled_by` says what shows that the cause is gone: a later login (or upload) of the same
    camera or address, or only time. "time" is for failures that continue while other uploads
    work, such as a missing folder for one kind of file.
    """

    about: About
    what: str
    advice: str
    settled_by: Settles = "time"


_RETYPE = (
    "Enter user and password in the camera again: `pano camera list` shows the user names, `pano "
    "camera password NAME` sets a new password."
)
_SESSIONS = (
    "Restart the camera if it does not close its connections; `max_connections` and "
    "`max_connections_per_address` under [receive] allow more."
)
_FIREWALL = (
    "Open the passive ports ([receive] passive_ports, 50000-50099 unless set) in the firewall of "
    "this computer, set `masquerade` in a container or behind NAT, and choose passive mode (PASV) "
    "in the camera."
)
_TLS = (
    'Update the camera\'s firmware, or let it upload without encryption (`tls = "optional"` under '
    "[receive], and plain FTP in the camera)."
)

KINDS: dict[str, Kind] = {
    # --- logins
    "wrong_password": Kind("login", "wrong password", _RETYPE, "login"),
    "unknown_user": Kind("login", "unknown user name", _RETYPE, "login"),
    "anonymous": Kind(
        "login",
        "anonymous login",
        "Turn off anonymous login in the camera, and enter the user and password that `pano "
        "camera add NAME` shows.",
        "login",
    ),
    "account_removed": Kind(
        "login",
        "the account was removed",
        "Add the camera again with `pano camera add NAME`, or turn off its uploads.",
        "login",
    ),
    "account_changed": Kind(
        "login",
        "the account was changed while the camera was logged in",
        "The camera has to log in again: enter its new password, or restart it.",
        "login",
    ),
    "folder_not_there": Kind(
        "login",
        "the folder of this camera is missing",
        "Mount the disk of the upload folder, or create the folder again.",
        "login",
    ),
    "accounts_unreadable": Kind(
        "login",
        "the list of accounts cannot be read",
        "The log of `pano receive` shows the file and what is wrong with it.",
        "login",
    ),
    "no_login": Kind(
        "login",
        "connected, but did not log in",
        "Check the encryption setting of the camera, and that it is set to FTP on this port.",
        "login",
    ),
    "plain_login": Kind(
        "login",
        "tried to log in without encryption, which is required",
        'Choose FTPS ("explicit") in the camera, or allow plain FTP with `tls = "optional"` '
        "under [receive].",
        "login",
    ),
    # --- encryption
    "tls_version": Kind(
        "encryption",
        "the TLS handshake failed: no protocol version or cipher in common (pano uses TLS 1.2)",
        _TLS,
        "login",
    ),
    "tls_certificate": Kind(
        "encryption",
        "the TLS handshake failed: the client does not accept the server's certificate",
        "Turn off certificate checks in the camera, load the certificate of this server "
        "(tls/own-certificate.pem in the library) into it, or set `certificate` and `key` under "
        "[receive] to one that it accepts.",
        "login",
    ),
    "tls_failed": Kind("encryption", "the TLS handshake failed", _TLS, "login"),
    "tls_data_failed": Kind(
        "encryption", "the TLS handshake failed on the data connection", _TLS, "upload"
    ),
    "tls_implicit": Kind(
        "encryption",
        "the client started with TLS immediately (implicit FTPS)",
        'Choose explicit FTPS ("FTP over TLS", AUTH TLS) in the camera, or no encryption.',
        "login",
    ),
    "tls_off": Kind(
        "encryption",
        "asked for TLS, which is turned off",
        'Set `tls = "optional"` under [receive], or turn off encryption in the camera.',
        "login",
    ),
    "not_ftp": Kind(
        "connection",
        "uses a protocol other than FTP",
        "Choose FTP in the camera, not SFTP (SSH) and not HTTP.",
        "login",
    ),
    # --- connections
    "too_many_sessions": Kind(
        "connection", "too many connections from this camera", _SESSIONS, "login"
    ),
    "server_full": Kind("connection", "too many connections in all", _SESSIONS, "login"),
    "pushed_out": Kind(
        "connection",
        "an idle connection was closed to make room for a newer one",
        _SESSIONS,
        "login",
    ),
    "no_descriptors": Kind(
        "connection",
        "this process cannot open any more files",
        "Raise the limit of open files of `pano receive` (LimitNOFILE of the service, `ulimit "
        "-n`).",
        "login",
    ),
    # --- data connections
    "data_never_opened": Kind(
        "data", "requested a data connection but never opened it", _FIREWALL, "upload"
    ),
    "data_refused": Kind("data", "the data connection failed", _FIREWALL, "upload"),
    "plain_data": Kind(
        "data",
        "tried to send files without encryption, which is required",
        'Choose "encrypt data" (PROT P) in the camera, or allow plain FTP with `tls = '
        '"optional"` under [receive].',
        "upload",
    ),
    "foreign_data": Kind(
        "data",
        "another address opened the camera's data connection",
        "Find out what scans the ports of this computer. If the camera really uses two addresses, "
        "give it only one.",
        "upload",
    ),
    # --- uploads
    "stalled": Kind(
        "upload",
        "an upload stopped in the middle",
        "Check the camera's Wi-Fi signal; a higher `stalled_after_s` under [receive] waits longer.",
        "upload",
    ),
    "missing_folder": Kind(
        "upload",
        "the folder to upload to does not exist",
        "Leave the remote directory in the camera empty (or /), or let it create folders; or "
        "create the folder yourself below the camera's folder.",
    ),
    "folder_not_entered": Kind(
        "upload",
        "the folder to enter does not exist",
        "Leave the remote directory in the camera empty (or /), or let it create folders.",
        "upload",
    ),
    "folder_refused": Kind(
        "upload",
        "a folder could not be created",
        "Check the remote directory in the camera, and who owns the upload folder.",
    ),
    "upload_refused": Kind(
        "upload",
        "an upload was refused",
        "Check the remote directory and the file names in the camera, and who owns the upload "
        "folder.",
    ),
    "name_refused": Kind(
        "upload",
        "the name is not allowed",
        "Choose shorter or plainer names in the camera.",
    ),
    "rename_refused": Kind(
        "upload",
        "a rename was refused",
        "The upload stays under its first name. If possible, turn off renaming in the camera.",
    ),
    "whole_kept": Kind(
        "upload",
        "an attempt to change, rename or remove a complete upload",
        "The upload is unchanged. If none of your cameras does that, somebody else uses the "
        "account: `pano camera password NAME`.",
        "upload",
    ),
    "resume_refused": Kind(
        "upload",
        "an upload could not be resumed",
        "The camera has to send the file from the beginning.",
        "upload",
    ),
    "disk_full": Kind(
        "upload",
        "the disk is full",
        "Free some space: `pano status` shows the disk, `pano cull` what could be deleted; "
        "`keep_free_mb` under [receive] is kept free.",
        "upload",
    ),
    "file_too_large": Kind(
        "upload",
        "the file is too large",
        "`max_file_mb` under [receive] allows larger ones; or set shorter clips in the camera.",
    ),
    "quota": Kind(
        "upload",
        "the camera reached its daily upload limit",
        "Find out why it uploads so much. `max_files_per_day`, `max_folders_per_day` and "
        "`max_gb_per_day` under [receive] allow more.",
    ),
    "rate": Kind(
        "upload",
        "the camera reached its hourly limit of files or folders",
        "Find out why it uploads so much. `max_files_per_hour` and `max_folders_per_hour` under "
        "[receive] allow more.",
    ),
    "storage_error": Kind(
        "upload",
        "the upload could not be written",
        "Check the disk of the upload folder and who owns it.",
        "upload",
    ),
    "not_permitted": Kind(
        "upload",
        "a command that cameras may not use here",
        "Cameras can upload, but not read, delete or change files. If uploads arrive, no action "
        "is needed.",
        "upload",
    ),
    "unsupported_command": Kind(
        "upload",
        "a command that this server does not know",
        "If uploads arrive, no action is needed.",
        "upload",
    ),
    "other": Kind("upload", "refused", "The log of `pano receive` has the reply.", "upload"),
}


@dataclass(slots=True)
class RefusalCount:
    """How often one kind of refusal happened; times in UTC (ISO 8601).

    `camera` is None for clients that are not (yet) known as a camera; `address` is empty for
    the sum of several. `detail` is the last reply, `command` the last command.
    """

    camera: str | None
    address: str
    kind: str
    count: int = 0
    first: str = ""
    last: str = ""
    detail: str = ""
    command: str = ""

    @property
    def meaning(self) -> Kind:
        """The description of this kind; unknown kinds (of a newer version) are `other`."""
        return KINDS.get(self.kind, KINDS["other"])

    @property
    def text(self) -> str:
        """What happened, as a sentence without a full stop, safe for a terminal."""
        what = self.meaning.what
        if self.detail and self.detail.rstrip(".").casefold() not in what.casefold():
            what = f"{what} ({self.detail.rstrip('.')})"
        return f"{what}: {self.command}" if self.command else what

    def as_json(self) -> dict[str, Any]:
        """Return all fields for JSON, with `text` and `advice`."""
        return {**asdict(self), "text": self.text, "advice": self.meaning.advice}


_FIELDS = {one.name for one in fields(RefusalCount)}


class Refusals:
    """All recorded refusals."""

    def __init__(self, kept: Iterable[Mapping[str, Any]] = ()) -> None:
        self._groups: dict[tuple[str | None, str], dict[str, RefusalCount]] = {}
        for one in kept:
            with suppress(TypeError, ValueError):  # damaged counts must not stop the server
                self._insert(RefusalCount(**{key: one[key] for key in _FIELDS if key in one}))

    def _insert(self, one: RefusalCount) -> None:
        self._groups.setdefault((one.camera, one.kind), {})[one.address] = one

    def note(self, one: RefusalCount, at: str) -> RefusalCount:
        """Count a refusal at the time `at` (ISO 8601), and return its updated entry."""
        group = self._groups.setdefault((one.camera, one.kind), {})
        # Insert it at the end, so that the address that has been quiet longest is first.
        known = group.pop(one.address, None)
        entry = known or RefusalCount(one.camera, one.address, one.kind, first=at)
        entry.count, entry.last = entry.count + 1, at
        entry.detail, entry.command = brief(one.detail), brief(one.command)
        group[one.address] = entry
        if sum(address != "" for address in group) > MOST_ADDRESSES:
            self._merge_oldest(group)
        return entry

    @staticmethod
    def _merge_oldest(group: dict[str, RefusalCount]) -> None:
        """Move the address that has been quiet longest to the entry for all others."""
        oldest = group.pop(next(address for address in group if address))
        others = group.pop("", None)
        if others is None:
            oldest.address = ""
            others = oldest
        else:
            others.count += oldest.count
            others.first, others.last = (
                min(others.first, oldest.first),
                max(others.last, oldest.last),
            )
        group[""] = others

    def forget_before(self, moment: str) -> None:
        """Remove refusals that have not happened again since `moment` (ISO 8601)."""
        for key, group in list(self._groups.items()):
            kept = {address: one for address, one in group.items() if one.last >= moment}
            if kept:
                self._groups[key] = kept
            else:
                del self._groups[key]

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def all(self) -> list[RefusalCount]:
        """Return all entries, those of cameras first, by name and then by time."""
        entries = [one for group in self._groups.values() for one in group.values()]
        return sorted(entries, key=lambda one: (one.camera is None, one.camera or "", one.last))


def brief(text: str) -> str:
    """Return text of a client on one line, safe to show, at most LONGEST_DETAIL long."""
    # Cut it before processing, too: it may be large.
    return printable(text[:LONGEST_DETAIL])[:LONGEST_DETAIL]


# --- for other processes ------------------------------------------------------------------


def remembered(record: Mapping[str, Any]) -> list[RefusalCount]:
    """Return the refusals in what `records.read` returned."""
    return Refusals(record.get("refusals") or ()).all()


def unsettled(record: Mapping[str, Any], now: datetime | None = None) -> list[RefusalCount]:
    """Return the refusals of the last day whose cause may still exist."""
    since = ((now or datetime.now(UTC)) - RECENT).isoformat()
    tallies: Mapping[str, Mapping[str, Any]] = record.get("cameras") or {}
    recent = [one for one in remembered(record) if one.last >= since]
    return [one for one in recent if one.last > _settled_at(one, tallies)]


def _settled_at(one: RefusalCount, tallies: Mapping[str, Mapping[str, Any]]) -> str:
    """Return when it worked again (ISO 8601), or "" if it has not."""
    if one.meaning.settled_by == "time":
        return ""
    if one.camera is None:
        own = [tally for tally in tallies.values() if tally.get("last_address") == one.address]
    else:
        own = [tallies[one.camera]] if one.camera in tallies else []
    return max((_worked_at(tally, one.meaning.settled_by) for tally in own), default="")


def _worked_at(tally: Mapping[str, Any], what: Settles) -> str:
    if what == "login":
        return str(tally.get("last_login") or "")
    return str((tally.get("last") or {}).get("at") or "")
