"""`pano undo`: take back what somebody decided about events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.terminal import say, shown

if TYPE_CHECKING:
    from pano_analytics.settings import Settings


@click.command("undo")
@click.argument("decision_id", metavar="ID")
@settings_options
@click.option("--who", help="Who takes it back; by default the user name on this computer.")
def command(settings: Settings, decision_id: str, who: str | None) -> None:
    """Take back what somebody decided about events, or a correction of a camera's clock.

    ID is the id that `pano mark` or `pano clock correct` printed; `library.decisions()` lists
    all. The events are then marked as if that decision had never been made, and the next
    `pano ingest` restores the times. Prints the id of the undo, which can be taken back in
    turn.

    \b
    Exit codes: 0 taken back, 2 settings or usage, 4 library unusable, 6 an unknown
    id or a decision that was taken back before, 9 the library's disk full.

    \b
    Examples:
      pano undo 0d9a8b7c6e5f4a3b
      pano undo 0d9a8b7c6e5f4a3b --who anna
    """
    from pano_analytics.library import Library
    from pano_analytics.store.home import library_of

    library_of(settings)
    undo = Library.of(settings).undo(decision_id, who)
    say(f"{undo}: {shown(decision_id)} is taken back")
