"""`pano ingest`: bring the library up to date with the upload tree."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pano_analytics.cli.options import settings_options
from pano_analytics.cli.progress import ProgressBar
from pano_analytics.cli.terminal import say, say_text, shown
from pano_analytics.errors import JournalError, LibraryBusy, PanoError
from pano_analytics.logs import on_stderr
from pano_analytics.wording import many

if TYPE_CHECKING:
    from pano_analytics.ingest.run import IngestSummary
    from pano_analytics.service.schedule import Stop
    from pano_analytics.settings import Settings


@click.command("ingest")
@settings_options
@click.option(
    "--no-inspect", is_flag=True, help="Read names and sizes only; a later run opens the files."
)
@click.option("--full", is_flag=True, help="Scan every folder, however old.")
@click.option(
    "--accept-tree",
    is_flag=True,
    help="Accept the tree as it is, if most known uploads were deleted or it is a different tree.",
)
@click.option("--wait", is_flag=True, help="Wait for another run to finish instead of exiting.")
@click.option(
    "--unknown",
    is_flag=True,
    help="List every file that is not read, with the reason (an unknown name, a link, ...).",
)
@click.option(
    "--watch", is_flag=True, help="Keep running, and ingest each upload when it is complete."
)
@click.option(
    "--poll",
    is_flag=True,
    help="With --watch: poll, for file systems without change notifications.",
)
@click.option(
    "--log",
    "log_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one line per run, and each warning, to this file; it is rotated.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
def command(
    settings: Settings,
    no_inspect: bool,
    full: bool,
    accept_tree: bool,
    wait: bool,
    unknown: bool,
    watch: bool,
    poll: bool,
    log_file: Path | None,
    quiet: bool,
) -> None:
    """Bring the library up to date with the upload tree.

    Reads the names first, so that all uploads show at once, then opens new files,
    newest day first. If nothing is new, it does nothing. The upload tree is only read,
    never changed. With --watch it keeps running. A tree that lacks most of the uploads
    that the library knows is refused, since another disk may be mounted there; to use
    it anyway, pass --accept-tree.

    \b
    Exit codes: 0 done (or another run is active, or --watch was ended by
    SIGTERM), 2 settings or usage, 3 upload tree missing, empty or not the
    library's, 4 library unusable, 9 its disk full, 130 interrupted, 143 ended by SIGTERM.

    \b
    Examples:
      pano ingest --uploads /srv/ftp --library /var/lib/pano
      pano ingest --no-inspect
      pano ingest --watch --log /var/log/pano/ingest.log
    """
    once = {"--no-inspect": no_inspect, "--unknown": unknown, "--wait": wait}
    _refuse_mixed(watch, poll, {**once, "--accept-tree": accept_tree})
    _begin_workers(settings, no_inspect)
    from pano_analytics.ingest.no_pandas import spare_pandas
    from pano_analytics.service import schedule

    spare_pandas()
    if log_file is not None:
        schedule.log_to(log_file, settings)
    with _ending(is_watching=watch) as stop, _logged():
        if watch:
            _watch(settings, poll, full, quiet, stop)
        else:
            _once(settings, no_inspect, full, accept_tree, wait, unknown, quiet, stop)


def _refuse_mixed(watch: bool, poll: bool, once: dict[str, bool]) -> None:
    mixed = [name for name, is_given in once.items() if is_given and watch]
    if mixed:
        raise click.UsageError(f"--watch cannot be combined with {mixed[0]}.")
    if poll and not watch:
        raise click.UsageError("--poll needs --watch.")


@contextmanager
def _ending(is_watching: bool) -> Iterator[Stop]:
    """Turn SIGTERM and Ctrl-C into exit codes, after locks and workers are released."""
    from pano_analytics.service import schedule

    try:
        with schedule.ending_on_sigterm() as stop:
            yield stop
    except schedule.Stopped:
        sys.exit(0 if is_watching else 143)
    except KeyboardInterrupt:
        say("pano: interrupted; the next run continues from here.", err=True)
        sys.exit(130)


@contextmanager
def _logged() -> Iterator[None]:
    """Write what ends the run to the log, too."""
    from pano_analytics.service.schedule import Stopped, log

    try:
        yield
    except LibraryBusy as error:
        log.info("%s", error)
        raise
    except PanoError as error:
        log.error("%s", error)
        raise
    except (Stopped, KeyboardInterrupt):
        log.info("ended")
        raise


def _watch(settings: Settings, poll: bool, full: bool, quiet: bool, stop: Stop) -> None:
    from pano_analytics.service import schedule

    handler = on_stderr("pano: %(message)s")
    # Only warnings about waiting: `main` prints the error that ends the command.
    handler.addFilter(lambda record: record.levelno == logging.WARNING)
    schedule.log.addHandler(handler)

    def report(summary: IngestSummary) -> None:
        schedule.log.info(line(summary))
        if not quiet:
            say(line(summary))

    schedule.log.info("watching %s", settings.uploads)
    schedule.watch(settings, report, is_polling=poll, is_full=full, stop=stop)


def _once(
    settings: Settings,
    no_inspect: bool,
    full: bool,
    accept_tree: bool,
    wait: bool,
    unknown: bool,
    quiet: bool,
    stop: Stop,
) -> None:
    from pano_analytics.ingest.run import ingest
    from pano_analytics.service.schedule import log

    bar = ProgressBar() if sys.stderr.isatty() and not quiet else None
    summary = ingest(
        settings,
        is_inspecting=not no_inspect,
        is_full=full,
        accept_tree=accept_tree,
        is_listing_unknown=unknown,
        wait=wait,
        progress=bar or stop.check,
    )
    if bar is not None:
        bar.close()
    log.info(line(summary))
    if unknown:
        for path, reason in [*summary.unknown_files, *summary.skipped]:
            say_text(f"{shown(path)}\t{shown(reason)}")
    elif not quiet:
        say(line(summary))
    for path, reason in summary.unreadable[:_MAX_SHOWN]:
        log.warning("%s: could not be read: %s", shown(path), reason)
        say(f"pano: {shown(path)}: could not be read: {reason}", err=True)
    for torn in summary.torn:
        error = JournalError.of(torn.name, torn.why)
        log.warning("%s", error)
        say(f"pano: {error}", err=True)


def _begin_workers(settings: Settings, no_inspect: bool) -> None:
    """Start the workers early if this is a first run: they load modules while this process does."""
    from pano_analytics.store.home import catalog_stamp
    from pano_analytics.store.storage import Storage
    from pano_analytics.workers import crew

    if settings.library and catalog_stamp(Storage(settings.library)) is None:
        crew.begin(crew.LOOKING if no_inspect else crew.OPENING)


# A tree that cannot be read at all should not fill a mail with one line per folder.
_MAX_SHOWN = 20


def line(summary: IngestSummary) -> str:
    """Return a summary of the run on one line."""
    tally = summary.tally
    opened = ", ".join(f"{count} {state}" for state, count in sorted(summary.opened.items()))
    notes = [
        f"{many(summary.files, 'file')} in {many(summary.units, 'folder')}",
        f"{tally.new} new, {tally.changed} changed, {tally.missing} missing",
        f"{sum(summary.opened.values())} opened" + (f" ({opened})" if opened else ""),
    ]
    for count, word in (
        (summary.waiting, "still to open"),
        (summary.unknown, "unknown (see --unknown)"),
        (summary.ignored, "ignored"),
        (len(summary.skipped), "skipped (see --unknown)"),
        (len(summary.unreadable), "unreadable"),
    ):
        if count:
            notes.append(f"{count} {word}")
    return f"ingest: {'; '.join(notes)}; {summary.seconds:.1f} s"
