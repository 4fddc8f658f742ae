"""`pano check`: report differences between upload tree, catalog, journal and thumbnails."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.terminal import say, shown
from pano_analytics.errors import AttentionNeeded
from pano_analytics.wording import many

if TYPE_CHECKING:
    import pandas as pd

    from pano_analytics.settings import Settings

DEPTHS = ("presence", "size", "decode", "hash")


@click.command("check")
@settings_options
@click.option(
    "--depth",
    type=click.Choice(DEPTHS),
    default="presence",
    show_default=True,
    help="How thorough the check is; each depth includes the cheaper ones.",
)
@click.option("--camera", multiple=True, help="Only this camera; can be repeated.")
@click.option("--start", help="Only days from this date on, such as 2026-11-20.")
@click.option("--end", help="Only days before this date.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def command(
    settings: Settings,
    depth: str,
    camera: tuple[str, ...],
    start: str | None,
    end: str | None,
    as_json: bool,
) -> None:
    """Report differences between upload tree, catalog, journal and thumbnails.

    Depths, from cheap to expensive: presence (names, parts, locators), size (and
    modification time), decode (opens every upload), hash (compares the bytes with the
    catalogued hash). Nothing is written. Uploads that arrived after the last run began
    are ignored.

    \b
    Exit codes: 0 no differences, 2 settings or usage, 3 upload tree missing, 4 no
    readable catalog (`pano rebuild` makes one), 8 differences found.

    \b
    Examples:
      pano check
      pano check --depth hash --camera front_door --start 2026-11-01
      pano check --json | jq -r .path
    """
    from pano_analytics.cli.progress import ProgressBar
    from pano_analytics.library import Library
    from pano_analytics.upkeep.check import check

    bar = ProgressBar() if sys.stderr.isatty() else None
    try:
        found = check(
            Library.of(settings),
            depth,
            camera=camera or None,
            start=start,
            end=end,
            progress=bar,
        )
    finally:
        if bar is not None:
            bar.close()
    for line in _json_lines(found) if as_json else _table(found):
        say(line)
    if len(found):
        raise AttentionNeeded(f"{many(len(found), 'disagreement')} found.")


def _json_lines(found: pd.DataFrame) -> Iterator[str]:
    for row in found.to_dict("records"):
        yield json.dumps({str(name): _plain(value) for name, value in row.items()})


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _table(found: pd.DataFrame) -> Iterator[str]:
    """Yield one section per kind of disagreement: what to do, then the cases."""
    if not len(found):
        yield "no differences found"
    for what, cases in found.groupby("what", sort=True):
        yield f"{what} ({len(cases)}): {cases['advice'].iloc[0]}"
        for case in cases.itertuples():
            where = case.path or case.part or case.media_id
            yield f"  {shown(where)}: expected {shown(case.expected)}, found {shown(case.found)}"
