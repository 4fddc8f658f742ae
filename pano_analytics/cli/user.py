"""`pano user`: manage who may log in to the dashboard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pano_analytics.access.sessions import Sessions
from pano_analytics.access.users import UserError, Users, check_name
from pano_analytics.cli.options import resolve
from pano_analytics.cli.terminal import say, say_text, shown
from pano_analytics.errors import LibraryError, SettingsError

_FOLDER = click.Path(path_type=Path)
_LIBRARY = click.option(
    "--library", type=_FOLDER, help="The library folder; else the one in pano.toml."
)
_CONFIG = click.option(
    "--config", type=_FOLDER, help="The settings file; else $PANO_CONFIG, else ./pano.toml."
)


def library_folder(library: Path | None, config: Path | None) -> Path:
    """Return the library folder that the options or the settings name. Raises SettingsError."""
    return _required(resolve(config, None, library).library)


def _existing_library(library: Path | None, config: Path | None) -> Path:
    """Return the library folder. Raises LibraryError if it does not exist."""
    folder = library_folder(library, config)
    if not folder.exists():
        raise LibraryError(
            f"{folder}: expected a library; the folder does not exist. Check the path."
        )
    return folder


def _required(library: Path | None) -> Path:
    if library is None:
        raise SettingsError(
            'expected a library: --library LIB, or a pano.toml with `library = "LIB"` given by '
            "--config or PANO_CONFIG or in this folder; found none."
        )
    return library


@click.group()
def command() -> None:
    """Manage the users of the dashboard.

    \b
    Examples:
      pano user add anna --library LIB
      pano user list --library LIB
      pano user remove anna --library LIB
      pano user sessions --library LIB
      pano user end-sessions anna --library LIB
    """


@command.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@_LIBRARY
@_CONFIG
def add(name: str, password_stdin: bool, **where: Any) -> None:
    """Add the user NAME, or give NAME a new password (which ends NAME's sessions).

    A new password needs 12 to 128 characters and must not be a common one.

    \b
    Examples:
      pano user add anna
      pass show cameras | pano user add anna --password-stdin
    """
    from pano_analytics.store.home import make_library

    library_folder(**where)
    users = Users(make_library(resolve(where["config"], None, where["library"])).root)
    checked = check_name(name)
    is_known = users.get(checked) is not None
    users.add(checked, _password(password_stdin))
    say(f"{checked} has a new password." if is_known else f"{checked} can log in.")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


@command.command(name="list")
@_LIBRARY
@_CONFIG
def list_(**where: Any) -> None:
    """List the users, one per line, with the day each was added.

    \b
    Examples:
      pano user list --library LIB
    """
    for user in Users(_existing_library(**where)).all():
        say_text(f"{user.name}\t{user.added.astimezone():%Y-%m-%d}")


@command.command()
@click.argument("name")
@_LIBRARY
@_CONFIG
def remove(name: str, **where: Any) -> None:
    """Remove the user NAME and close the pages that NAME has open.

    \b
    Examples:
      pano user remove anna
    """
    Users(_existing_library(**where)).remove(name)
    say(f"{name} can no longer log in.")


@command.command()
@click.argument("name", required=False)
@_LIBRARY
@_CONFIG
def sessions(name: str | None, **where: Any) -> None:
    """List the open sessions, of all users or of NAME, one per line, most recent first.

    Columns: id, user, start, last activity (to within five minutes), the address that
    logged in, and the browser.

    \b
    Examples:
      pano user sessions
      pano user sessions anna
    """
    for session in _sessions(**where).current(name):
        times = (f"{at.astimezone():%Y-%m-%d %H:%M}" for at in (session.begun, session.seen))
        texts = (session.short_id, session.user, *times, session.address, session.browser)
        say_text("\t".join(shown(text) for text in texts))


@command.command(name="end-sessions")
@click.argument("name", required=False)
@click.option("--id", "session_id", help="Only the session with this id.")
@click.option("--all", "is_all", is_flag=True, help="End the sessions of all users.")
@_LIBRARY
@_CONFIG
def end_sessions(name: str | None, session_id: str | None, is_all: bool, **where: Any) -> None:
    """End NAME's sessions, one session, or all of them, and close their open pages.

    \b
    Examples:
      pano user end-sessions anna
      pano user end-sessions --id 3fa9c1d2
      pano user end-sessions --all
    """
    if sum((name is not None, session_id is not None, is_all)) != 1:
        raise click.UsageError("expected one of NAME, --id ID and --all.")
    open_sessions = _sessions(**where)
    ended = [one.id for one in open_sessions.current(name) if one.id.startswith(session_id or "")]
    if session_id is not None and len(ended) != 1:
        raise UserError(_not_one(session_id, len(ended)))
    open_sessions.end(ended)
    say(f"{len(ended)} {'session' if len(ended) == 1 else 'sessions'} ended.")


def _not_one(session_id: str, count: int) -> str:
    return (
        f"expected the id of one session, got {session_id!r}, which matches {count}. `pano user "
        f"sessions` lists them."
    )


def _sessions(library: Path | None, config: Path | None) -> Sessions:
    settings = resolve(config, None, library)
    limits = settings.dashboard
    return Sessions(_required(settings.library), limits.session_days, limits.session_idle_days)
