"""`pano user`: who may log in to the dashboard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pano_analytics.cli.options import resolve
from pano_analytics.errors import SettingsError
from pano_analytics.users import Users, check_name

_FOLDER = click.Path(path_type=Path)
_LIBRARY = click.option(
    "--library", type=_FOLDER, help="The library folder; else what pano.toml says."
)
_CONFIG = click.option(
    "--config", type=_FOLDER, help="Settings; else PANO_CONFIG, else ./pano.toml."
)


def library_folder(library: Path | None, config: Path | None) -> Path:
    """Return the library folder that the options or the settings name. Raises SettingsError."""
    named: Path | None = resolve(config, None, library).library
    if named is None:
        raise SettingsError(
            'expected a library: --library LIB, or a pano.toml with `library = "LIB"` given by '
            "--config, PANO_CONFIG or lying here; found none."
        )
    return named


@click.group()
def command() -> None:
    """Say who may log in to the dashboard.

    \b
    Examples:
      pano user add anna --library LIB
      pano user list --library LIB
      pano user remove anna --library LIB
    """


@command.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@_LIBRARY
@_CONFIG
def add(name: str, password_stdin: bool, **where: Any) -> None:
    """Let NAME log in, or give NAME a new password (which ends NAME's logins).

    \b
    Examples:
      pano user add anna
      pass show cameras | pano user add anna --password-stdin
    """
    users = Users(library_folder(**where))
    checked = check_name(name)
    is_known = users.get(checked) is not None
    users.add(checked, _password(password_stdin))
    click.echo(f"{checked} has a new password." if is_known else f"{checked} can log in.")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


@command.command(name="list")
@_LIBRARY
@_CONFIG
def list_(**where: Any) -> None:
    """List who may log in, one name a line, with the day it was added.

    \b
    Examples:
      pano user list --library LIB
    """
    for user in Users(library_folder(**where)).all():
        click.echo(f"{user.name}\t{user.added.astimezone():%Y-%m-%d}")


@command.command()
@click.argument("name")
@_LIBRARY
@_CONFIG
def remove(name: str, **where: Any) -> None:
    """Let NAME log in no more; open pages of NAME end as well.

    \b
    Examples:
      pano user remove anna
    """
    Users(library_folder(**where)).remove(name)
    click.echo(f"{name} can log in no more.")
