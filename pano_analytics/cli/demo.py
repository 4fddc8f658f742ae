"""`pano demo`: make an upload tree to look at, and the truth about it."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from pano_analytics import demo


class _End(click.ParamType[datetime | date]):
    """A day (its last second is meant) or an instant in ISO form."""

    name = "date or time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | date:
        found = value if isinstance(value, date) else _parsed(value)
        if found is not None:
            return found
        return self.fail(
            f"expected a day such as 2026-11-20 or a time such as 2026-11-20T18:30, came {value!r}",
            param,
            ctx,
        )


def _parsed(text: str) -> datetime | date | None:
    for parse in (date.fromisoformat, datetime.fromisoformat):
        try:
            return parse(text)
        except ValueError:
            continue
    return None


@click.command(name="demo")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--seed", default=1, show_default=True, help="Another number tells another fortnight."
)
@click.option(
    "--end", type=_End(), default=None, help="The last day, or the last instant; without it, now."
)
@click.option(
    "--days",
    default=demo.DEFAULT_DAYS,
    show_default=True,
    type=click.IntRange(1, 3660),
    help="How many days the uploads reach back.",
)
@click.option(
    "--cameras",
    default=len(demo.CAMERAS),
    show_default=True,
    type=click.IntRange(1, len(demo.CAMERAS)),
    help="Only the first so many.",
)
@click.option(
    "--zone",
    default=None,
    help="The zone of the home, such as Europe/Berlin; without it, this machine's.",
)
def command(
    directory: Path,
    seed: int,
    end: datetime | date | None,
    days: int,
    cameras: int,
    zone: str | None,
) -> None:
    """Make demonstration uploads in DIR: a home seen by its cameras.

    DIR must be new or empty; it becomes an upload root as cameras fill it by FTP. What
    truly happened is written beside it, into DIR.truth.parquet.

    \b
    Examples:
      pano demo data/uploads
      pano demo small --days 2 --cameras 2 --end 2026-11-20
    """
    with click.progressbar(length=1, label="Demonstration", file=sys.stderr) as bar:
        summary = demo.make_demo(
            directory,
            seed=seed,
            end=end,
            days=days,
            cameras=cameras,
            zone=zone,
            progress=lambda done, total: _show(bar, done, total),
        )
    click.echo(_line(summary))


def _show(bar: Any, done: int, total: int) -> None:
    bar.length = total
    bar.update(done - bar.pos)


def _line(made: demo.DemoSummary) -> str:
    return (
        f"{made.root}: {made.snapshots} snapshots and {made.clips} clips of {made.events} "
        f"events ({made.false_alarms} false alarms), {made.bytes_ / 1e6:.0f} MB "
        f"in {made.seconds:.0f} s; times of {made.zone}; truth in {made.truth}"
    )
