"""`pano camera`: the upload accounts of cameras, and what to enter in the cameras."""

from __future__ import annotations

import os
import stat
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.receive import not_installed
from pano_analytics.cli.terminal import say, say_text
from pano_analytics.errors import AttentionNeeded, SettingsError

if TYPE_CHECKING:
    from pano_analytics.receive.accounts import Account, Accounts
    from pano_analytics.settings import Settings
    from pano_analytics.store.storage import Storage

POLL_S = 0.5

_WAIT = click.option(
    "--wait/--no-wait",
    "is_waiting",
    default=None,
    help="Wait for the first upload and report on it.  [default: if `pano receive` is running]",
)
_TIMEOUT = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=900.0,
    show_default=True,
    metavar="SECONDS",
    help="Stop waiting after this time.",
)
_STDIN = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input."
)


@click.group()
def command() -> None:
    """Manage the upload accounts of cameras.

    \b
    Examples:
      pano camera add front_door
      pano camera list
      pano camera password front_door
      pano camera remove front_door
    """


@command.command()
@click.argument("name")
@settings_options
@click.option(
    "--user", help="The user name that the camera logs in with.  [default: derived from NAME]"
)
@click.option(
    "--folder", help="Folder below the upload root.  [default: from the settings, else NAME]"
)
@_STDIN
@_WAIT
@_TIMEOUT
def add(
    settings: Settings,
    name: str,
    user: str | None,
    folder: str | None,
    password_stdin: bool,
    is_waiting: bool | None,
    timeout_s: float,
) -> None:
    """Create an upload account for the camera NAME and wait for its first upload.

    Prints what to type into the camera. The password is generated, shown only once,
    and stored only as a hash. While waiting, the command shows what the server refuses
    and what to do about it.

    \b
    Exit codes: 0 done (and the first upload is complete, if waited for), 2 settings or
    usage, 3 upload root missing, 8 no upload arrived in time.

    \b
    Examples:
      pano camera add front_door
      pano camera add "Back yard" --user yard --no-wait
    """
    from pano_analytics.receive import accounts as accounts_module

    uploads, accounts = _where(settings)
    password, shown = _password(password_stdin)
    account = accounts_module.new_account(settings, name, user, folder, password)
    accounts.check(account)
    settings = _settle_folder(settings, account)
    accounts_module.make_folder(account, uploads)
    accounts.add(account)
    say_text(f"{account.camera} can now upload to {account.jail(uploads)}. Enter in the camera:\n")
    _show(settings, account, shown)
    _wait_if_asked(settings, account, is_waiting, timeout_s)


@command.command()
@click.argument("name")
@settings_options
@_STDIN
@_WAIT
@_TIMEOUT
def password(
    settings: Settings,
    name: str,
    password_stdin: bool,
    is_waiting: bool | None,
    timeout_s: float,
) -> None:
    """Give the camera NAME a new password; the old one stops working.

    \b
    Examples:
      pano camera password front_door
    """
    from pano_analytics.receive import accounts as accounts_module

    _, accounts = _where(settings)
    new, shown = _password(password_stdin)
    old = accounts.of_camera(name)
    account = accounts.set_password(name, accounts_module.check_password(new, old.name, old.camera))
    say_text(f"{account.camera} has a new password. Enter in the camera:\n")
    _show(settings, account, shown)
    _wait_if_asked(settings, account, is_waiting, timeout_s)


@command.command()
@click.argument("name")
@settings_options
def remove(settings: Settings, name: str) -> None:
    """Remove the upload account of the camera NAME; what it uploaded stays.

    \b
    Examples:
      pano camera remove front_door
    """
    _, accounts = _where(settings)
    account = accounts.remove(name)
    say(f"{account.camera} can no longer upload; its folder stays.")


@command.command(name="list")
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(settings: Settings, as_json: bool) -> None:
    """List the cameras that have an upload account, what they uploaded, and what was refused.

    Below each camera, lists what the server refused from it in the last day (logins,
    uploads, folders, connections) and what to do about it. Then lists refusals of
    clients that are not a known camera, by address. With --json, prints all refusals of
    the last 15 days; `is_open` is true if nothing has succeeded since.

    \b
    Examples:
      pano camera list
      pano camera list --json
    """
    import json

    report = _report(settings)
    if as_json:
        say(json.dumps(report))
        return
    if not report["cameras"]:
        say("No camera has an upload account yet: `pano camera add NAME` makes one.")
    for line in _list_in_words(report):
        say(line)
    if not report["is_receiving"]:
        say("`pano receive` is not running.", err=True)


def _list_in_words(report: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each camera, and below it what the server refused from it."""
    open_ = [one for one in report["refusals"] if one["is_open"]]
    names = [one["camera"] for one in report["cameras"]]
    for one in report["cameras"]:
        yield _line(one)
        if _is_still_cut(one):
            yield f"    {_CUT_ADVICE}"
        yield from _refusals(one["camera"], open_)
    for refused in open_:
        if refused["camera"] not in names:
            who = refused["camera"] or refused["address"] or "several addresses"
            yield f"{who}: {_times(refused)}{refused['text']}"
            yield f"    {refused['advice']}"
    for address, end in report["bans"].items():
        yield (
            f"{address}: many failed logins; login attempts from there are slowed down until {end}."
        )


_CUT_ADVICE = (
    "The camera will send it again. If this keeps happening, check the camera's Wi-Fi signal "
    "first; if every upload is cut off, set `check_contents = false` under [receive]."
)


def _is_still_cut(one: dict[str, Any]) -> bool:
    """Return whether no complete upload arrived since the last one that was cut off."""
    cut, last = one["last_cut"], one["last"]
    return bool(cut) and (not last or last["at"] < cut["at"])


def _refusals(camera: str, refusals: list[dict[str, Any]]) -> Iterator[str]:
    for one in refusals:
        if one["camera"] == camera:
            source = f" (from {one['address']})" if one["address"] else ""
            yield f"  refused {_times(one)}{one['text']}{source}"
            yield f"    {one['advice']}"


def _times(one: dict[str, Any]) -> str:
    count = "once" if one["count"] == 1 else f"{one['count']} times"
    return f"{count}, last {one['last']}: "


def _report(settings: Settings) -> dict[str, Any]:
    from pano_analytics.receive import records, refusals
    from pano_analytics.store.storage import Storage

    _, accounts = _where(settings)
    storage = Storage(accounts.folder)
    status = records.read(storage) or {}
    unsettled = refusals.unsettled(status)
    tallies = status.get("cameras", {})
    cameras = [
        {
            "camera": one.camera,
            "user": one.name,
            "folder": one.folder,
            "added": one.added.isoformat(timespec="seconds"),
            **{key: tallies.get(one.camera, {}).get(key) for key in _TALLY_KEYS},
        }
        for one in accounts.all()
    ]
    return {
        "is_receiving": records.is_running(storage),
        "cameras": cameras,
        "refused": status.get("refused", []),
        "refusals": [
            {**one.as_json(), "is_open": one in unsettled} for one in refusals.remembered(status)
        ],
        "bans": status.get("bans", {}),
    }


_TALLY_KEYS = (
    "whole",
    "cut",
    "size_bytes",
    "last_login",
    "last_address",
    "last",
    "last_cut",
    "tries",
    "last_tries",
)


def _line(one: dict[str, Any]) -> str:
    from pano_analytics.receive.records import try_in_words

    last, cut = one["last"], one["last_cut"]
    notes = [f"{one['camera']}: user {one['user']}, folder {one['folder']}"]
    notes.append(f"{one['whole'] or 0} complete, last {last['at']}" if last else "no uploads yet")
    if cut:
        notes.append(f"{one['cut']} cut off, last: {cut['reason']}")
    if one["tries"]:
        last_try = one["last_tries"][-1]
        notes.append(
            f"{one['tries']} attempts to replace or remove complete uploads, which were kept; "
            f"last: "
            f"{last_try['path']}, {try_in_words(last_try)}"
        )
    return "; ".join(notes)


def _where(settings: Settings) -> tuple[Path, Accounts]:
    """Return the upload root and the library's accounts; create the library's folder if needed."""
    try:
        from pano_analytics.receive.accounts import Accounts
        from pano_analytics.receive.server import places
    except ImportError as error:
        raise not_installed(error) from error
    uploads, library = places(settings)
    return uploads, Accounts(library)


def _settle_folder(settings: Settings, account: Account) -> Settings:
    """Return settings in which the account's folder belongs to its camera.

    If it does not yet, a table for the camera is added to the settings file.
    """
    from pano_analytics import settings as settings_module
    from pano_analytics.receive.accounts import is_of

    if is_of(settings, account):
        return settings
    config = settings_module.find(click.get_current_context().params.get("config"))
    if config is None:
        raise SettingsError(
            f"uploads to {account.folder!r} would not be assigned to {account.camera!r}: that "
            f"needs a folder with the camera's name, or a settings file. Choose another NAME or "
            f"--folder, or create a pano.toml (`pano init`)."
        )
    changed = _with_camera(config, account)
    say(f"{config}: added {account.camera!r} with its folder {account.folder!r}.")
    given = {"uploads": settings.uploads, "library": settings.library}
    return changed.model_copy(update=given)


def _with_camera(config: Path, account: Account) -> Settings:
    """Add the camera to the settings file, atomically, if the result is valid."""
    from pano_analytics import settings as settings_module
    from pano_analytics.settings.edit import with_camera
    from pano_analytics.store.storage import Storage

    # A link stays a link: the file that it leads to is changed.
    file = config.resolve()
    before = file.stat()
    try:
        text = with_camera(file.read_bytes().decode(), account.camera, account.folder)
    except ImportError as error:
        raise not_installed(error) from error
    except (SettingsError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{config}: cannot add the camera: {error}. Add a table for it yourself, with name = "
            f"{account.camera!r} and folder = {account.folder!r}."
        ) from error
    checked = settings_module.check(tomllib.loads(text), str(config))
    Storage(file.parent).replace(file.name, text.encode(), stat.S_IMODE(before.st_mode))
    # Only root may give a file away, and only root would have taken it from its owner.
    with suppress(PermissionError):
        os.chown(file, before.st_uid, before.st_gid)
    return checked


def _password(from_stdin: bool) -> tuple[str, str]:
    """Return the password, and the text to show for it: one that was entered is not repeated."""
    from pano_analytics.receive.accounts import new_password

    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n"), "the one that you entered"
    generated = new_password()
    return generated, generated


def _show(settings: Settings, account: Account, password: str) -> None:
    from pano_analytics.receive import hints
    from pano_analytics.receive.server import lan_address

    receive = settings.receive
    login = hints.Login(lan_address(receive), _port(settings), account.name, password, receive.tls)
    for line in hints.to_type_in(login):
        say(line)


def _port(settings: Settings) -> int:
    """Return the port of the running server, else the one in the settings."""
    from pano_analytics.receive import records
    from pano_analytics.store.storage import Storage

    assert settings.library is not None
    storage = Storage(settings.library)
    status = (records.read(storage) or {}) if records.is_running(storage) else {}
    return int(status.get("port", settings.receive.port))


# --- waiting for the first upload -----------------------------------------------------------


def _wait_if_asked(
    settings: Settings, account: Account, is_waiting: bool | None, timeout_s: float
) -> None:
    from pano_analytics.receive import records
    from pano_analytics.store.storage import Storage

    assert settings.library is not None
    storage = Storage(settings.library)
    is_running = records.is_running(storage) or _is_about_to_run(storage)
    if not is_running:
        say_text("\n`pano receive` is not running: start it first.")
    if is_waiting if is_waiting is not None else is_running or sys.stdout.isatty():
        say_text(f"\nWaiting for {account.camera}'s first upload (Ctrl-C to stop waiting) …")
        _wait(settings, storage, account, time.monotonic() + timeout_s)


def _is_about_to_run(storage: Storage) -> bool:
    """Return whether `pano up` will start receiving in seconds, now that there is an account."""
    from pano_analytics.service.supervise.state import read_state

    status = read_state(storage) or {}
    parts = {one["part"]: one["state"] for one in status.get("parts", [])}
    return bool(status.get("is_running")) and parts.get("receive") in ("off", "starting")


def _wait(settings: Settings, storage: Storage, account: Account, until: float) -> None:
    """Print what happens until a picture or clip arrives. Raises AttentionNeeded if none does."""
    from pano_analytics.receive import records

    since, printed = records.now(), set[str]()
    while time.monotonic() < until:
        status = records.read(storage) or {}
        for line in _news(status, account, since):
            if line not in printed:
                printed.add(line)
                say(line)
        if _has_arrived(settings, status, account, since, printed):
            return
        time.sleep(POLL_S)
    raise AttentionNeeded(
        f"no picture or clip from {account.camera} arrived in time. Can the camera reach this "
        f"computer? `pano camera list` shows later uploads, and what was refused."
    )


def _news(status: dict[str, Any], account: Account, since: str) -> Iterator[str]:
    """Yield lines about refusals, logins and cut uploads since `since`."""
    from pano_analytics.receive import refusals

    for one in refusals.remembered(status):
        if one.last >= since and one.camera in (account.camera, None):
            who = one.camera or "a client that is not logged in"
            source = f" from {one.address}" if one.address else ""
            yield f"Refused: {who}{source}: {one.text}. {one.meaning.advice}"
    for address, end in status.get("bans", {}).items():
        yield f"{address}: many failed logins; login attempts are slowed down until {end}."
    tally = status.get("cameras", {}).get(account.camera, {})
    if (tally.get("last_login") or "") >= since:
        yield f"{account.camera} logged in from {tally['last_address']}."
    cut = tally.get("last_cut")
    if cut and cut["at"] >= since:
        yield f"An upload was cut off: {cut['path']} ({cut['reason']}). The camera will try again."


def _has_arrived(
    settings: Settings, status: dict[str, Any], account: Account, since: str, printed: set[str]
) -> bool:
    """Report on the newest upload, once, and return whether it is a picture or clip."""
    from pano_analytics.receive import arrival
    from pano_analytics.receive.arrival import is_in_progress

    last = status.get("cameras", {}).get(account.camera, {}).get("last")
    if not last or last["at"] < since or last["path"] in printed:
        return False
    if is_in_progress(last["path"].rpartition("/")[2]):
        return False
    printed.add(last["path"])
    at = datetime.fromisoformat(last["at"])
    upload = arrival.examine_upload(settings, account.camera, last["path"], at)
    if not upload.is_media:
        say(f"A file arrived that is neither a picture nor a clip: {last['path']} (a test file?).")
        return False
    for line in arrival.in_words(upload, settings, account.camera):
        say(line)
    return True
