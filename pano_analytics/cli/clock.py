"""`pano clock`: check this computer's clock against the time that the library has recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.terminal import say
from pano_analytics.errors import AttentionNeeded

if TYPE_CHECKING:
    from pano_analytics.settings import Settings


@click.command("clock")
@settings_options
@click.option("--confirm", is_flag=True, help="Confirm that this computer's clock is right now.")
def command(settings: Settings, confirm: bool) -> None:
    """Check whether this computer's clock is plausible, or confirm that it is right.

    Nothing is deleted while the clock disagrees with the time that has passed since
    pano last ran: somebody changed the clock, it jumped, or the computer was off for a
    long time. Once it is correct again, culling resumes by itself. If it is already
    right, confirm it.

    \b
    Exit codes: 0 the clock is plausible, 2 settings or usage, 4 library unusable,
    8 it is not plausible.

    \b
    Examples:
      pano clock
      pano clock --confirm
    """
    from pano_analytics.store import timekeeping
    from pano_analytics.store.home import library_of
    from pano_analytics.store.locks import writing

    storage = library_of(settings)
    if confirm:
        with writing(storage, wait=True):
            time = timekeeping.confirm(storage)
        say(f"confirmed: it is {time.wall:%Y-%m-%d %H:%M} UTC")
        return
    time = timekeeping.read_time(storage)
    if time.doubt:
        raise AttentionNeeded(time.doubt)
    say(f"{time.wall:%Y-%m-%d %H:%M} UTC, plausible")
