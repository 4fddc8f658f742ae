"""`pano ingest`: bring the library up to date with the upload tree."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from pano_analytics.cli.options import settings_options

if TYPE_CHECKING:
    from pano_analytics.ingest.run import Summary
    from pano_analytics.settings import Settings


@click.command("ingest")
@settings_options
@click.option(
    "--no-inspect", is_flag=True, help="Names and sizes only; a later run opens the files."
)
@click.option("--full", is_flag=True, help="Look at every folder, however old.")
@click.option("--wait", is_flag=True, help="Wait for another run instead of leaving it to it.")
@click.option("--unknown", is_flag=True, help="List the files that no layout knows.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
def command(
    settings: Settings, no_inspect: bool, full: bool, wait: bool, unknown: bool, quiet: bool
) -> None:
    """Bring the library up to date with the upload tree.

    Reads the names first, so that everything shows at once, then opens new
    files, newest day first. Run again with nothing new it does nothing. The
    upload tree is only ever read.

    \b
    Exit codes: 0 done (or another run is at work), 2 settings or usage,
    3 upload tree missing or empty, 4 library unusable, 130 interrupted.

    \b
    Examples:
      pano ingest --uploads /srv/ftp --library /var/lib/pano
      pano ingest --no-inspect
    """
    from pano_analytics.ingest.run import ingest

    progress = _Progress() if sys.stderr.isatty() and not quiet else None
    summary = ingest(
        settings,
        is_inspecting=not no_inspect,
        is_full=full or unknown,
        wait=wait,
        progress=progress,
    )
    if progress is not None:
        progress.close()
    if unknown:
        for path, reason in summary.unknown_files:
            click.echo(f"{path}\t{reason}")
    elif not quiet:
        click.echo(line(summary))
    for path, reason in summary.unreadable:
        click.echo(f"pano: {path}: could not be read: {reason}", err=True)


def line(summary: Summary) -> str:
    """Return the run in one line."""
    tally = summary.tally
    opened = ", ".join(f"{count} {state}" for state, count in sorted(summary.opened.items()))
    notes = [
        f"{summary.files} files in {summary.units} folders",
        f"{tally.new} new, {tally.changed} changed, {tally.missing} missing",
        f"{sum(summary.opened.values())} opened" + (f" ({opened})" if opened else ""),
    ]
    for count, word in (
        (summary.waiting, "still to open"),
        (summary.unknown, "unknown (see --unknown)"),
        (summary.ignored, "ignored"),
        (len(summary.skipped), "skipped"),
        (len(summary.unreadable), "unreadable"),
    ):
        if count:
            notes.append(f"{count} {word}")
    return f"ingest: {'; '.join(notes)}; {summary.seconds:.1f} s"


class _Progress:
    """A bar a phase on the terminal."""

    def __init__(self) -> None:
        self._phase = ""
        self._bar: Any = None
        self._done = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._phase:
            self.close()
            self._phase, self._done = what, 0
            self._bar = click.progressbar(length=total, label=what, file=sys.stderr, show_pos=True)
            self._bar.__enter__()
        self._bar.update(done - self._done)
        self._done = done

    def close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
