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
@click.option("--camera", multiple=True, help="Only this camera; can be repeated.")
@click.option("--start", help="Only events that overlap the time from here on, such as 2026-11-20.")
@click.option("--end", help="Only events that start before this time.")
@click.option("--who", help="Whose reviews count; by default those of anybody.")
@click.option("--unreviewed", is_flag=True, help="Only events with files that are not reviewed.")
@click.option("--pinned", is_flag=True, help="Only events that are pinned.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
def command(
    settings: Settings,
    camera: tuple[str, ...],
    start: str | None,
    end: str | None,
    who: str | None,
    unreviewed: bool,
    pinned: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
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

    frames.require_one_format(as_json, as_csv)
    library_of(settings)
    found = Library.of(settings).events(
        list(camera) or None,
        start,
        end,
        who=who,
        is_reviewed=False if unreviewed else None,
        is_pinned=True if pinned else None,
    )
    if as_csv:
        frames.print_csv(found)
    elif as_json:
        frames.print_json(found)
    else:
        cells = map(_cells, found.itertuples())
        notes = map(shown, found["note"].fillna(""))
        frames.print_table(_HEADS, cells, notes, "no events")


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
