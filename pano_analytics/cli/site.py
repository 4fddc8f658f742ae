"""`pano site`: write static pages of all cameras, for any web server or to open from disk."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.progress import ProgressBar
from pano_analytics.cli.terminal import say
from pano_analytics.errors import SettingsError
from pano_analytics.wording import many

if TYPE_CHECKING:
    from pano_analytics.settings import Settings
    from pano_analytics.site.summary import SiteSummary


@click.command("site")
@settings_options
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="Generate every page, and replace those that differ.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
def command(
    settings: Settings, folder: Path | None, full: bool, as_json: bool, quiet: bool
) -> None:
    """Write static pages of all cameras to FOLDER, or update them.

    The pages need no special server and hardly any JavaScript: open index.html from
    disk, or serve the folder with any web server. FOLDER must contain nothing but the
    site; the default is `folder` under [site] in the settings. Pages are removed when
    their media are gone.

    \b
    Exit codes: 0 done (or another run is active), 2 settings or usage, or a
    folder with files that are not the site's, 4 no library, 9 the disk is full,
    143 ended by SIGTERM.

    \b
    Examples:
      pano site /srv/pano-site
      pano site --library /var/lib/pano /srv/pano-site --json
    """
    from pano_analytics.site.run import update

    target = folder or settings.site.folder
    if target is None:
        raise SettingsError(
            "site: expected FOLDER, or `folder` under [site] in the settings; neither was given."
        )
    bar = ProgressBar() if sys.stderr.isatty() and not quiet and not as_json else None
    with _ending_on_sigterm():
        done = update(settings, target.expanduser().absolute(), is_full=full, progress=bar)
    if bar is not None:
        bar.close()
    if as_json:
        say(json.dumps({**asdict(done), "folder": str(done.folder)}))
    elif not quiet:
        say(line(done))


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Make SIGTERM exit with code 143 until the block ends."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def line(done: SiteSummary) -> str:
    """Return a summary of the run on one line."""
    notes = [
        f"{many(done.cameras, 'camera')}, {many(done.days, 'day')}",
        f"{many(done.days_made, 'day')} regenerated",
        f"{many(done.written, 'file')} written, {done.removed} removed",
    ]
    if done.clips_packed:
        notes.append(f"{many(done.clips_packed, 'clip')} packed")
    if done.clips_waiting:
        notes.append(f"{many(done.clips_waiting, 'clip')} waiting for free space")
    return f"site: {'; '.join(notes)}; {done.seconds:.1f} s"
