"""`pano sessions`: list visits, each with the events of all cameras that saw it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli import frames
from pano_analytics.cli.options import settings_options
from pano_analytics.cli.terminal import shown

if TYPE_CHECKING:
    from pano_analytics.settings import Settings

_HEADS = ("start", "length", "cameras", "events", "files", "marks", "session_id")


@click.command("sessions")
@settings_options
@frames.listing_options("visits")
@click.option(
    "--min-cameras",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Only visits that at least so many cameras saw.",
)
def command(settings: Settings, listing: frames.FrameListing, min_cameras: int) -> None:
    """List visits: events of several cameras that follow each other, as one line.

    How soon one camera follows another is learned from the events of this home. An event that
    no other belongs to is a visit of its own. The end of a line says which cameras usually
    see such a visit and did not, or were silent then. Times are in the time zone of the
    settings. The columns of --json and --csv are those of `library.sessions` (see
    docs/columns.md).

    \b
    Exit codes: 0 printed, 2 settings or usage, 4 no readable library, 6 no such camera,
    or an invalid time.

    \b
    Examples:
      pano sessions --start 2026-11-20 --min-cameras 2
      pano sessions --camera garage --unreviewed
      pano sessions --json | jq -r .path
    """
    from pano_analytics.library import Library
    from pano_analytics.store.home import library_of

    library_of(settings)
    found = listing.ask(Library.of(settings).sessions, min_cameras=min_cameras)

    def show_table() -> None:
        rows = list(found.itertuples())
        frames.print_table(_HEADS, map(_cells, rows), map(_missing, rows), "no visits")

    listing.show(found, show_table)


def _cells(visit: Any) -> tuple[str, ...]:
    return (
        f"{visit.start:%Y-%m-%d %H:%M:%S}",
        frames.length_of(visit),
        shown(visit.path),
        str(visit.events),
        str(visit.files),
        frames.listed(frames.marks_of(visit)),
        visit.session_id,
    )


def _missing(visit: Any) -> str:
    """Return which cameras should have seen a visit and did not, and its note."""
    parts = (
        f"not seen by {shown(visit.unseen_by)}" if isinstance(visit.unseen_by, str) else "",
        f"silent: {shown(visit.silent)}" if isinstance(visit.silent, str) else "",
        shown(visit.note) if isinstance(visit.note, str) else "",
    )
    return "; ".join(part for part in parts if part)
