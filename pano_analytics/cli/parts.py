"""`pano parts`: the Parquet files of exactly one generation of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.terminal import say

if TYPE_CHECKING:
    from pano_analytics.settings import Settings


@click.command("parts")
@click.argument("table", default="media")
@settings_options
def command(settings: Settings, table: str) -> None:
    """List the Parquet files of a table, for other tools.

    Prints one path per line. They are those of exactly one generation, even while an ingest
    is running; the next commit moves the files that it replaces. TABLE is media (the default),
    frames, or another table of docs/columns.md. Between runs of ingest, a pattern such
    as LIBRARY/parts/media/**/*.parquet matches the same files.

    \b
    Exit codes: 0 printed, 2 settings or usage, 4 no readable catalog, 6 no such table.

    \b
    Examples:
      pano parts
      pano parts frames
    """
    from pano_analytics.library import Library
    from pano_analytics.store.home import library_of

    library_of(settings)
    for path in Library.of(settings).parts(table):
        say(path)
