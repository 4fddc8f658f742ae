"""`pano mark`: store what somebody decided about events."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.terminal import say
from pano_analytics.model.decision import DECISIONS
from pano_analytics.wording import many

if TYPE_CHECKING:
    from pano_analytics.settings import Settings


@click.command("mark")
@click.argument("decision", type=click.Choice([*DECISIONS]), metavar="DECISION")
@click.argument("event_ids", nargs=-1, metavar="[EVENT_ID]...")
@settings_options
@click.option("--note", help="A note about the events; needed for `noted`.")
@click.option("--who", help="Who decides; by default the user name on this computer.")
@click.option("--camera", multiple=True, help="All events of this camera; can be repeated.")
@click.option("--start", help="All events that overlap the time from here on, such as 2026-11-20.")
@click.option("--end", help="All events that start before this time.")
def command(
    settings: Settings,
    decision: str,
    event_ids: tuple[str, ...],
    note: str | None,
    who: str | None,
    camera: tuple[str, ...],
    start: str | None,
    end: str | None,
) -> None:
    """Store what somebody decided about events.

    DECISION is reviewed, unreviewed, dismissed, restored, pinned, unpinned or noted. EVENT_ID
    is from `pano events`; - reads one id per line from standard input. Instead of ids, give
    --camera, --start or --end for all events of a camera or a range. A `media_id` that is
    not the id of an event stands for that upload alone. Reviewed is personal; everything else
    is common to all. Nothing in the upload tree is changed.

    Prints the id of the decision: `pano undo` takes it back.

    \b
    Exit codes: 0 stored, 2 settings or usage, 4 library unusable, 6 an unknown id, a
    missing note or an invalid time, 9 the library's disk full.

    \b
    Examples:
      pano mark reviewed 5f0c1d2e3a4b5c6d
      pano mark dismissed --camera driveway --start 2026-11-20 --end 2026-11-21 --note wind
      pano events --unreviewed --json | jq -r .event_id | pano mark reviewed -
    """
    from pano_analytics.library import Library
    from pano_analytics.store.home import library_of

    is_range = bool(camera or start or end)
    if is_range == bool(event_ids):
        raise click.UsageError("expected either EVENT_IDs or a range: --camera, --start, --end.")
    library_of(settings)
    library = Library.of(settings)
    chosen: Any = list(_all_ids(event_ids))
    if is_range:
        chosen = library.events(list(camera) or None, start, end, columns="event_id")
    if not len(chosen):
        say("no events; nothing was decided")
        return
    decided = library.decide(chosen, decision, who, note)
    say(f"{decided}: {many(len(chosen), 'event')} {decision}")


def _all_ids(event_ids: Iterable[str]) -> Iterator[str]:
    for one in event_ids:
        if one == "-":
            yield from filter(None, (line.strip() for line in sys.stdin))
        else:
            yield one
