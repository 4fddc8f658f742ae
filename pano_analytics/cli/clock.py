"""`pano clock`: this computer's clock, and corrections of the clocks of cameras."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.terminal import say, shown
from pano_analytics.errors import AttentionNeeded

if TYPE_CHECKING:
    import pandas as pd

    from pano_analytics.library import Library
    from pano_analytics.settings import Settings


@click.group("clock", invoke_without_command=True)
@settings_options
@click.option("--confirm", is_flag=True, help="Confirm that this computer's clock is right now.")
@click.pass_context
def command(context: click.Context, settings: Settings, confirm: bool) -> None:
    """Check whether this computer's clock is plausible, or confirm that it is right.

    Nothing is deleted while the clock disagrees with the time that has passed since
    pano last ran: somebody changed the clock, it jumped, or the computer was off for a
    long time. Once it is correct again, culling resumes by itself. If it is already
    right, confirm it. The commands below correct the clocks of cameras.

    \b
    Exit codes: 0 the clock is plausible, 2 settings or usage, 4 library unusable,
    8 it is not plausible.

    \b
    Examples:
      pano clock
      pano clock --confirm
      pano clock correct garage --start 2026-11-03 --end "2026-11-17 18:30" --seconds -2820
    """
    if context.invoked_subcommand is not None:
        if confirm:
            raise click.UsageError("expected --confirm without a command.")
        return
    _own_clock(settings, confirm)


def _own_clock(settings: Settings, is_confirmed: bool) -> None:
    from pano_analytics.store import timekeeping
    from pano_analytics.store.home import library_of
    from pano_analytics.store.locks import writing

    storage = library_of(settings)
    if is_confirmed:
        with writing(storage, wait=True):
            time = timekeeping.confirm(storage)
        say(f"confirmed: it is {time.wall:%Y-%m-%d %H:%M} UTC")
        return
    time = timekeeping.read_time(storage)
    if time.doubt:
        raise AttentionNeeded(time.doubt)
    say(f"{time.wall:%Y-%m-%d %H:%M} UTC, plausible")


@command.command()
@click.argument("camera")
@settings_options
@click.option(
    "--start",
    required=True,
    help="When the error began, by the camera's own clock, such as 2026-11-03.",
)
@click.option("--end", help="When it ended, by the same clock; without it, the error goes on.")
@click.option(
    "--seconds",
    type=float,
    required=True,
    help="By how much the clock was ahead; negative if it was behind.",
)
@click.option("--who", help="Who decides; by default the user name on this computer.")
def correct(
    settings: Settings,
    camera: str,
    start: str,
    end: str | None,
    seconds: float,
    who: str | None,
) -> None:
    """Correct the uploads of CAMERA, whose clock was wrong.

    The next `pano ingest` moves the uploads whose names have a time in the range, and all
    that follows from their times; no file is opened or changed. `pano doctor` proposes the
    values. Set the camera's clock, too: the correction does not do that.

    Prints the id of the correction: `pano undo` takes it back.

    \b
    Exit codes: 0 stored, 2 settings or usage, 4 library unusable, 6 no such camera, an
    invalid time, or an overlap with another correction, 9 the library's disk full.

    \b
    Examples:
      pano clock correct garage --start 2026-11-03 --end "2026-11-17 18:30" --seconds -2820
      pano clock correct garage --start 2026-11-03 --seconds 61.5
    """
    library = _library(settings)
    stored = library.correct_clock(camera, start, end, seconds, who)
    say(f"{stored}: the next `pano ingest` corrects the uploads of {shown(camera)}")


@command.command("list")
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def list_command(settings: Settings, as_json: bool) -> None:
    """List the corrections of cameras' clocks that are in force.

    Times are by the camera's own clock. `pano undo` takes those with an id back; the others
    are in the settings.

    \b
    Exit codes: 0 printed, 2 settings or usage, 4 no readable library.

    \b
    Examples:
      pano clock list
      pano clock list --json | jq -r 'select(.camera == "garage").decision_id'
    """
    found = _library(settings).clock_corrections()
    for line in _json_lines(found) if as_json else _in_words(found):
        say(line)


def _library(settings: Settings) -> Library:
    from pano_analytics.library import Library
    from pano_analytics.store.home import library_of

    library_of(settings)
    return Library.of(settings)


def _json_lines(found: pd.DataFrame) -> Iterator[str]:
    for row in found.astype(object).where(found.notna(), None).to_dict("records"):
        yield json.dumps({str(name): _plain(value) for name, value in row.items()})


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _in_words(found: pd.DataFrame) -> Iterator[str]:
    from pano_analytics.model.corrections import ClockCorrection

    if not len(found):
        yield "no corrections"
    columns = ["decision_id", "camera", "start", "end", "seconds"]
    for row in found[columns].astype(object).where(found[columns].notna(), None).itertuples(False):
        said = ClockCorrection(*row[1:])
        yield f"{row[0] or 'in the settings':16}  {shown(said.camera)}: {said}"
