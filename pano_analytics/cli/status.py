"""`pano status`: show the state of the library, for people and monitoring tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.terminal import say
from pano_analytics.errors import AttentionNeeded

if TYPE_CHECKING:
    from pano_analytics.settings import Settings


@click.command("status")
@settings_options
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object (see docs/operations.md)."
)
@click.option(
    "--max-age",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MINUTES",
    help="Report a problem if the last run ended longer ago than this.",
)
def command(settings: Settings, as_json: bool, max_age: float | None) -> None:
    """Show the state of the library, for people and monitoring tools.

    Fast, and writes nothing: shows whether the uploads can be reached, when the last
    run was and how it ended, what is waiting, which cameras are silent (see
    silent_after_hours in the settings), and the free space of the disks. Times are in
    the time zone of the settings, or in UTC with --json.

    \b
    Exit codes: 0 healthy, 2 settings or usage, 4 no library, 8 a problem (upload
    root missing, no good last run or none within --max-age, a silent camera).

    \b
    Examples:
      pano status
      pano status --json --max-age 30 || notify-send "pano needs you"
    """
    from zoneinfo import ZoneInfo

    from pano_analytics import status

    report = status.collect(settings, max_age)
    zone = ZoneInfo(settings.zone)
    for line in [status.as_json(report)] if as_json else status.in_words(report, zone):
        say(line)
    if not report["is_healthy"]:
        words = ", ".join(dict.fromkeys(one["what"] for one in report["problems"]))
        raise AttentionNeeded(f"status: {words}")
