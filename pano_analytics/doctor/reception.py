"""Does our own upload server work for the cameras? Its records, and a test connection to it.

If it has no accounts, uploads arrive in some other way, and nothing is reported. If cameras
log in and then open no data connection, ports are closed. This is the most reliable sign of
it, because a connection from this computer to itself passes no firewall.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from pano_analytics.doctor.arrivals import is_many, is_rising
from pano_analytics.doctor.findings import Finding
from pano_analytics.doctor.ports import ADVICE, reason
from pano_analytics.library import Library
from pano_analytics.receive import records, refusals
from pano_analytics.receive.accounts import FILE_NAME, Accounts
from pano_analytics.settings import Receive
from pano_analytics.wording import many, span

# Only so many failures in a row are reported: a client may also change its mind once.
_IN_A_ROW = 3
_TIMEOUT_S = 3.0
_LEAST_FREE = 2
_FIRST_UPLOAD = timedelta(minutes=15)


def check(library: Library) -> Iterator[Finding]:
    """Yield what is wrong with the upload server; nothing if this library has no accounts."""
    if not library.storage.exists(FILE_NAME):
        return
    record = records.read(library.storage) or {}
    if not records.is_running(library.storage):
        yield _not_running(record)
    else:
        yield from _unanswered(library.settings.receive, record)
        yield from _crowded(library.settings.receive)
    for camera, tally in record.get("cameras", {}).items():
        yield from _no_data_connection(camera, tally)
        yield from _cut(camera, tally, library.settings.doctor.recent_days)
        yield from _overwrite_attempts(camera, tally, library.settings.doctor.days)
    yield from _refusals(record)
    yield from _never_uploaded(library, record.get("cameras", {}))


def _never_uploaded(
    library: Library, tallies: Mapping[str, Mapping[str, Any]]
) -> Iterator[Finding]:
    """Report cameras that have an account but never uploaded; all others are in the library."""
    known = set(library.camera_names())
    now = datetime.now(UTC)
    for account in Accounts(library.folder).all():
        tally = tallies.get(account.camera, {})
        waiting = now - account.added
        if account.camera in known or tally.get("whole") or waiting < _FIRST_UPLOAD:
            continue
        if _unanswered_requests(tally) >= _IN_A_ROW:
            continue  # `_no_data_connection` reports the cause
        login = tally.get("last_login")
        evidence = (
            f"its account {account.name!r} was added {span(waiting.total_seconds())} ago; it "
            + (f"logged in {_ago(login)}, but uploaded nothing" if login else "never logged in")
        )
        fields = (account.camera, "camera_silent", "problem", "certain", evidence, _FIRST_ADVICE)
        yield Finding(*fields, waiting.total_seconds(), _FIRST_UPLOAD.total_seconds())


_FIRST_ADVICE = (
    "Enter address, port, user and password in the camera as `pano camera add` showed them, use "
    "the camera's test button, and turn on recording on motion; `pano camera password NAME` shows "
    "all of it again, with a new password."
)


def _not_running(record: Mapping[str, Any]) -> Finding:
    stopped = record.get("finished") or record.get("updated")
    since = f"it stopped {_ago(stopped)}" if stopped else "it has never run"
    evidence = f"`pano receive` is not running; {since}"
    advice = "Start it: `pano receive`, `pano up`, or the service that `pano install` created."
    return Finding(None, "ports_closed", "problem", "certain", evidence, advice)


def _unanswered(settings: Receive, record: Mapping[str, Any]) -> Iterator[Finding]:
    """Connect to the address that cameras use, if one is configured."""
    listens = record.get("address") or settings.address
    host = settings.masquerade or (listens if listens not in ("0.0.0.0", "::") else "127.0.0.1")
    port = record.get("port") or settings.port
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


def _crowded(settings: Receive) -> Iterator[Finding]:
    """Check whether other programs use the passive ports."""
    first, last = settings.passive_ports
    free = sum(_is_free(settings.address, port) for port in range(first, last + 1))
    if free >= min(_LEAST_FREE, last - first + 1):
        return
    evidence = f"{free} of the {last - first + 1} passive ports {first}-{last} are free"
    advice = "Another program uses them: set others with `passive_ports` under [receive]."
    yield Finding(None, "ports_closed", "problem", "certain", evidence, advice, free, _LEAST_FREE)


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with suppress(OSError), socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
        return True
    return False


def _no_data_connection(camera: str, tally: Mapping[str, Any]) -> Iterator[Finding]:
    number = _unanswered_requests(tally)
    if number < _IN_A_ROW:
        return
    evidence = (
        f"it logged in from {tally.get('last_address')}, last {_ago(tally.get('last_login'))}, and "
        f"{number} times in a row opened no data connection"
    )
    yield Finding(camera, "ports_closed", "problem", "certain", evidence, ADVICE, number, _IN_A_ROW)


def _unanswered_requests(tally: Mapping[str, Any]) -> int:
    return int(tally.get("unanswered") or 0)


def _ago(moment: str | None) -> str:
    """Return how long ago `moment` (ISO 8601) was, in words."""
    if moment is None:
        return "some time ago"
    return f"{span((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())} ago"


def _cut(camera: str, tally: Mapping[str, Any], recent_days: int) -> Iterator[Finding]:
    """Report if more uploads are cut off than before; these have no name and no row."""
    days: Mapping[str, list[int]] = tally.get("days") or {}
    since = (datetime.now(UTC) - timedelta(days=recent_days)).date().isoformat()
    recent = [counts for day, counts in days.items() if day >= since]
    earlier = [counts for day, counts in days.items() if day < since]
    recent_total, recent_cut = (sum(sum(one) for one in recent), sum(one[1] for one in recent))
    earlier_total, earlier_cut = (sum(sum(one) for one in earlier), sum(one[1] for one in earlier))
    if not (
        is_rising(recent_cut, recent_total, earlier_cut, earlier_total)
        or is_many(recent_cut + earlier_cut, recent_total + earlier_total)
    ):
        return
    why = (tally.get("last_cut") or {}).get("reason", "")
    evidence = (
        f"{recent_cut} of the last {many(recent_total, 'upload')} were cut off; "
        f"{earlier_cut} of {earlier_total} in the days before"
    )
    advice = (
        "The camera aborts uploads: check its Wi-Fi signal, and the log of `pano receive`. The "
        "incomplete files are kept aside."
    )
    fields = (camera, "uploads_cut", "problem", "certain", f"{evidence} (the last: {why})", advice)
    yield Finding(
        *fields, recent_cut / recent_total if recent_total else earlier_cut / earlier_total
    )


def _overwrite_attempts(camera: str, tally: Mapping[str, Any], days: int) -> Iterator[Finding]:
    """Report attempts of the last days to change complete uploads; the server prevented all."""
    since = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    attempts = [one for one in tally.get("last_tries", ()) if one["at"] >= since]
    if not attempts:
        return
    last = attempts[-1]
    evidence = (
        f"{many(len(attempts), 'attempt')} to replace or remove complete uploads in "
        f"{many(days, 'day')}, "
        f"{tally['tries']} in all; the last: {last['path']}, {records.try_in_words(last)}"
    )
    began = datetime.fromisoformat(attempts[0]["at"])
    fields = (camera, "overwrite_tried", "problem", "certain", evidence, _TRIED_ADVICE)
    yield Finding(*fields, len(attempts), 0, began)


_TRIED_ADVICE = (
    "Nothing was lost: both uploads are kept, and `pano check` lists them. This is harmless in "
    "the hour that is repeated at the end of daylight saving time, or if a camera uses the same "
    "name again and again: let it name files by time. Otherwise somebody else uses the account: "
    "run `pano camera password NAME`, and check who is in your network."
)


# `_no_data_connection` reports the first, `_overwrite_attempts` the second.
_REPORTED_ELSEWHERE = ("data_never_opened", "whole_kept")


def _refusals(record: Mapping[str, Any]) -> Iterator[Finding]:
    """Report what was refused in the last day and has not worked since."""
    for refusal in refusals.unsettled(record):
        if refusal.kind in _REPORTED_ELSEWHERE and refusal.camera in record.get("cameras", {}):
            continue
        yield _refusal(refusal, refusal.address in record.get("bans", {}))


_WORDS: dict[refusals.About, str] = {
    "login": "login_refused",
    "encryption": "encryption_failed",
    "connection": "connection_refused",
    "data": "ports_closed",
    "upload": "upload_refused",
}


def _refusal(refusal: refusals.RefusalCount, is_slowed: bool) -> Finding:
    # A network scanner is not a camera's problem; a client that keeps trying may be a camera.
    is_problem = refusal.camera is not None or refusal.count >= _IN_A_ROW
    evidence = (
        f"{many(refusal.count, 'refusal')} from {refusal.address or 'several addresses'}, the last "
        f"{_ago(refusal.last)}: {refusal.text}"
        + ("; login attempts from there are slowed down for now" if is_slowed else "")
    )
    return Finding(
        refusal.camera,
        _WORDS[refusal.meaning.about],
        "problem" if is_problem else "advice",
        "certain",
        evidence,
        refusal.meaning.advice,
        refusal.count,
        since=datetime.fromisoformat(refusal.first),
    )
