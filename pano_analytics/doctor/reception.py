"""Is our own upload server as cameras need it? What it recorded, and a connection to it.

Where it has no accounts, uploads come some other way, and nothing is reported. That cameras
log in and then open no connection for data is the surest sign of closed ports there is,
for it is seen from where the cameras are; this computer, asking itself, passes no firewall.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from pano_analytics.doctor.arrivals import is_many, is_rising
from pano_analytics.doctor.findings import Finding, span
from pano_analytics.doctor.ports import ADVICE, reason
from pano_analytics.library import Library
from pano_analytics.receive import records, refusals
from pano_analytics.receive.accounts import FILE_NAME, Accounts
from pano_analytics.settings import Receive
from pano_analytics.wording import many

# So many in a row: a client that asked and changed its mind is no closed port.
_IN_A_ROW = 3
_TIMEOUT_S = 3.0
_LEAST_FREE = 2
_FIRST_UPLOAD = timedelta(minutes=15)


def check(library: Library) -> Iterator[Finding]:
    """Yield what is wrong with receiving; nothing where this library receives nothing."""
    if not library.storage.path(FILE_NAME).exists():
        return
    told = records.read(library.storage) or {}
    if not records.is_running(library.storage):
        yield _not_running(told)
    else:
        yield from _unanswered(library.settings.receive, told)
        yield from _crowded(library.settings.receive)
    for camera, tally in told.get("cameras", {}).items():
        yield from _no_connection(camera, tally)
        yield from _cut(camera, tally, library.settings.doctor.recent_days)
        yield from _tried(camera, tally, library.settings.doctor.days)
    yield from _tells_of_refusals(told)
    yield from _never_came(library, told.get("cameras", {}))


def _never_came(library: Library, tallies: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Name the cameras that have an account and never uploaded; the others have rows by now."""
    known = set(library.camera_names())
    now = datetime.now(UTC)
    for account in Accounts(library.folder).all():
        tally = tallies.get(account.camera, {})
        waiting = now - account.added
        if account.camera in known or tally.get("whole") or waiting < _FIRST_UPLOAD:
            continue
        if _unanswered_asks(tally) >= _IN_A_ROW:
            continue  # the cause is told already
        login = tally.get("last_login")
        evidence = (
            f"its account {account.name!r} was added {span(waiting.total_seconds())} ago; it "
            + (f"logged in {_ago(login)}, but uploaded nothing" if login else "never logged in")
        )
        told = (account.camera, "camera_silent", "problem", "certain", evidence, _FIRST_ADVICE)
        yield Finding(*told, waiting.total_seconds(), _FIRST_UPLOAD.total_seconds())


_FIRST_ADVICE = (
    "Enter address, port, user and password in the camera as `pano camera add` showed them, use "
    "the camera's test button, and turn on recording on motion; `pano camera password NAME` shows "
    "all of it again, with a new password."
)


def _not_running(told: Mapping[str, Any]) -> Finding:
    ended = told.get("finished") or told.get("updated")
    since = f"it stopped {_ago(ended)}" if ended else "it has never run"
    evidence = f"`pano receive` is not running; {since}"
    advice = "Start it: `pano receive`, `pano up`, or the service that `pano install` created."
    return Finding(None, "ports_closed", "problem", "certain", evidence, advice)


def _unanswered(said: Receive, told: Mapping[str, Any]) -> Iterator[Finding]:
    """Knock where cameras knock: at the address that they are told, if there is one."""
    listens = told.get("address") or said.address
    host = said.masquerade or (listens if listens not in ("0.0.0.0", "::") else "127.0.0.1")
    port = told.get("port") or said.port
    try:
        with socket.create_connection((host, port), _TIMEOUT_S) as control:
            control.settimeout(_TIMEOUT_S)
            greeting = control.recv(200).decode("ascii", "replace").strip()
    except OSError as error:
        evidence = (
            f"{host}:{port}, the upload address of the cameras, does not answer: {reason(error)}"
        )
        yield Finding(None, "ports_closed", "problem", "certain", evidence, ADVICE)
        return
    if not greeting.startswith("220"):
        evidence = f"{host}:{port} answers {greeting!r}, which is not the greeting of an FTP server"
        yield Finding(None, "ports_closed", "problem", "likely", evidence, ADVICE)


def _crowded(said: Receive) -> Iterator[Finding]:
    """Look whether others have taken the passive ports."""
    first, last = said.passive_ports
    free = sum(_is_free(said.address, port) for port in range(first, last + 1))
    if free >= min(_LEAST_FREE, last - first + 1):
        return
    evidence = f"{free} of the {last - first + 1} passive ports {first}-{last} are free"
    advice = "Another program uses them: set others with `passive_ports` under [receive]."
    yield Finding(None, "ports_closed", "problem", "certain", evidence, advice, free, _LEAST_FREE)


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with suppress(OSError), socket.socket(family) as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trying.bind((address, port))
        return True
    return False


def _no_connection(camera: str, tally: Mapping[str, Any]) -> Iterator[Finding]:
    number = _unanswered_asks(tally)
    if number < _IN_A_ROW:
        return
    evidence = (
        f"it logged in from {tally.get('last_address')}, last {_ago(tally.get('last_login'))}, and "
        f"{number} times in a row opened no data connection"
    )
    yield Finding(camera, "ports_closed", "problem", "certain", evidence, ADVICE, number, _IN_A_ROW)


def _unanswered_asks(tally: Mapping[str, Any]) -> int:
    return int(tally.get("unanswered") or 0)


def _ago(moment: str | None) -> str:
    """Return how long ago a moment of the record was (ISO 8601)."""
    if moment is None:
        return "some time ago"
    return f"{span((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())} ago"


def _cut(camera: str, tally: Mapping[str, Any], recent_days: int) -> Iterator[Finding]:
    """Say whether more uploads break off than before; what was cut never got a name, nor a row."""
    days: Mapping[str, list[int]] = tally.get("days") or {}
    since = (datetime.now(UTC) - timedelta(days=recent_days)).date().isoformat()
    recent = [counts for day, counts in days.items() if day >= since]
    before = [counts for day, counts in days.items() if day < since]
    new, newly = (sum(sum(one) for one in recent), sum(one[1] for one in recent))
    old, then = (sum(sum(one) for one in before), sum(one[1] for one in before))
    if not (is_rising(newly, new, then, old) or is_many(newly + then, new + old)):
        return
    why = (tally.get("last_cut") or {}).get("reason", "")
    evidence = (
        f"{newly} of the last {many(new, 'upload')} were cut off; {then} of {old} in the days "
        f"before"
    )
    advice = (
        "The camera aborts uploads: check its Wi-Fi signal, and the log of `pano receive`. The "
        "incomplete files are kept aside."
    )
    told = (camera, "uploads_cut", "problem", "certain", f"{evidence} (the last: {why})", advice)
    yield Finding(*told, newly / new if new else then / old)


def _tried(camera: str, tally: Mapping[str, Any], days: int) -> Iterator[Finding]:
    """Name the attempts on whole uploads of the last days; the server let none of them through."""
    since = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    tries = [one for one in tally.get("last_tries", ()) if one["at"] >= since]
    if not tries:
        return
    last = tries[-1]
    evidence = (
        f"{many(len(tries), 'attempt')} to replace or remove complete uploads in "
        f"{many(days, 'day')}, "
        f"{tally['tries']} in all; the last: {last['path']}, {records.try_in_words(last)}"
    )
    began = datetime.fromisoformat(tries[0]["at"])
    told = (camera, "overwrite_tried", "problem", "certain", evidence, _TRIED_ADVICE)
    yield Finding(*told, len(tries), 0, began)


_TRIED_ADVICE = (
    "Nothing was lost: both uploads are kept, and `pano check` lists them. This is harmless in "
    "the hour that is repeated at the end of daylight saving time, or if a camera uses the same "
    "name again and again: let it name files by time. Otherwise somebody else uses the account: "
    "run `pano camera password NAME`, and check who is in your network."
)


# `_no_connection` counts the first in a row, `_tried` tells of the second.
_TOLD_ELSEWHERE = ("data_never_opened", "whole_kept")


def _tells_of_refusals(told: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what was refused in the last day, and has not worked since."""
    for one in refusals.unsettled(told):
        if one.kind in _TOLD_ELSEWHERE and one.camera in told.get("cameras", {}):
            continue
        yield _refusal(one, one.address in told.get("bans", {}))


_WORDS: dict[refusals.About, str] = {
    "login": "login_refused",
    "encryption": "encryption_failed",
    "connection": "connection_refused",
    "data": "ports_closed",
    "upload": "upload_refused",
}


def _refusal(one: refusals.Refusal, is_slowed: bool) -> Finding:
    # Whoever scans the network is no fault of a camera; a client that tries again may be one.
    is_problem = one.camera is not None or one.count >= _IN_A_ROW
    evidence = (
        f"{many(one.count, 'refusal')} from {one.address or 'several addresses'}, the last "
        f"{_ago(one.last)}: {one.text}"
        + ("; login attempts from there are slowed down for now" if is_slowed else "")
    )
    return Finding(
        one.camera,
        _WORDS[one.meaning.about],
        "problem" if is_problem else "advice",
        "certain",
        evidence,
        one.meaning.advice,
        one.count,
        since=datetime.fromisoformat(one.first),
    )
