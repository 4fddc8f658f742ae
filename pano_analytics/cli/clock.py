"""`pano clock`: what this computer's clock says, and whether the library believes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.errors import AttentionNeeded

if TYPE_CHECKING:
    from pano_analytics.settings import Settings


@click.command("clock")
@settings_options
@click.option("--confirm", is_flag=True, help="Say that this computer's clock is right now.")
def command(settings: Settings, confirm: bool) -> None:
    """Show whether this computer's clock can be right, or confirm that it is.

    Nothing is deleted while the clock disagrees with the time that has passed since
    pano last looked: it was set, it leapt, or the computer was switched off for
    long. When it is set right again, culling goes on by itself. If it is right
    as it is, confirm it.

    \b
    Exit codes: 0 the clock agrees, 2 settings or usage, 4 library unusable,
    8 it does not agree.

    \b
    Examples:
      pano clock
      pano clock --confirm
    """
    from pano_analytics import timekeeping
    from pano_analytics.home import library_of
    from pano_analytics.ingest.run import LOCK

    storage = library_of(settings)
    if confirm:
        with storage.lock(LOCK, wait=True):
            found = timekeeping.confirm(storage)
        click.echo(f"confirmed: it is {found.wall:%Y-%m-%d %H:%M} UTC")
        return
    found = timekeeping.look(storage)
    if found.doubt:
        raise AttentionNeeded(found.doubt)
    click.echo(f"{found.wall:%Y-%m-%d %H:%M} UTC, as it should be")
