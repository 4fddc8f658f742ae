"""`pano rebuild`: rebuild the catalog from the upload tree and the journal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.terminal import say
from pano_analytics.wording import many

if TYPE_CHECKING:
    from pano_analytics.settings import Settings
    from pano_analytics.upkeep.rebuild import Rebuilt


@click.command("rebuild")
@settings_options
@click.option("--wait", is_flag=True, help="Wait for another run to finish instead of exiting.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
def command(settings: Settings, wait: bool, quiet: bool) -> None:
    """Rebuild the catalog from the upload tree and the journal.

    Opens every upload again. The new catalog is built beside the existing one, which
    stays in use until the new one is complete, or if the rebuild is killed. Needs space
    for a second catalog with its thumbnails. Rows of files that are gone are restored
    from the journal.

    \b
    Exit codes: 0 done (or another run is active), 2 settings or usage,
    3 upload tree missing, empty or not readable as a whole, 4 library unusable,
    130 interrupted.

    \b
    Examples:
      pano rebuild
      pano rebuild --uploads /srv/ftp --library /var/lib/pano --wait
    """
    from pano_analytics.cli.progress import ProgressBar
    from pano_analytics.upkeep.rebuild import rebuild

    bar = ProgressBar() if sys.stderr.isatty() and not quiet else None
    try:
        result = rebuild(settings, wait=wait, progress=bar)
    finally:
        if bar is not None:
            bar.close()
    for path in result.unreadable_parts:
        say(f"pano: {path}: could not be read; its uploads were read again", err=True)
    if not quiet:
        say(line(result))


def line(result: Rebuilt) -> str:
    """Return a summary of the rebuild on one line."""
    opened = ", ".join(f"{count} {state}" for state, count in sorted(result.opened.items()))
    return (
        f"rebuild: {many(result.rows, 'upload')}, {result.gone} of them gone; "
        f"opened {opened or 'none'}; generation {result.generation}; {result.seconds:.1f} s"
    )
