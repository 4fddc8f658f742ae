"""`pano events`: list the events of cameras, with what people decided about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli import frames
from pano_analytics.cli.options import settings_options
from pano_analytics.cli.terminal import shown

if TYPE_CHECKING:
    from pano_analytics.settings import Settings

_HEADS = ("start", "length", "camera", "files", "triggers", "marks", "event_id")


@click.command("events")
@settings_options
@frames.listing_options("events")
def command(settings: Settings, listing: frames.FrameListing) -> None:
    """List the events of cameras, and which of them are reviewed, pinned or dismissed.

    One line per event, sorted by start. Times are in the time zone of the settings. The
    columns of --json and --csv are those of `library.events` (see docs/columns.md). `pano
    mark` takes the ids in the last column.

    \b
    Exit codes: 0 printed, 2 settings or usage, 4 no readable library, 6 no such camera,
    or an invalid time.

    \b
    Examples:
      pano events --start 2026-11-20 --end 2026-11-21
      pano events --camera front_door --unreviewed --who anna
      pano events --pinned --json | jq -r .event_id
    """
    from pano_analytics.library import Library
    from pano_analytics.store.home import library_of

    library_of(settings)
    found = listing.ask(Library.of(settings).events)

    def show_table() -> None:
        cells = map(_cells, found.itertuples())
        notes = map(shown, found["note"].fillna(""))
        frames.print_table(_HEADS, cells, notes, "no events")

    listing.show(found, show_table)


def _cells(event: Any) -> tuple[str, ...]:
    return (
        f"{event.start:%Y-%m-%d %H:%M:%S}",
        frames.length_of(event),
        shown(event.camera),
        str(event.files),
        frames.listed([event.triggers]),
        frames.listed(frames.marks_of(event)),
        event.event_id,
    )
