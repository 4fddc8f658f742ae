"""Unattended ingest: `--watch`, the log of runs, and ending a run by SIGTERM.

Every few minutes there is an ordinary run. Between these, only the folders that `changes`
reports are listed. The library's lock is held for one pass at a time, so that other commands
get their turn.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pano_analytics.errors import LibraryBusy, UploadTreeError
from pano_analytics.ingest import examine
from pano_analytics.ingest.run import IngestSummary, Openers, ingest, ingest_folders
from pano_analytics.logs import rotating
from pano_analytics.settings import Settings
from pano_analytics.store.storage import StorageFull
from pano_analytics.workers import crew
from pano_analytics.workers.executors import MakeExecutor

if TYPE_CHECKING:
    from pano_analytics.ingest.changes import Changes

log = logging.getLogger("pano")
log.addHandler(logging.NullHandler())  # without a log file, commands print what is wrong

RUN_EVERY_S = 300.0
"""How often a watching ingest makes an ordinary run, whatever changes it was notified of."""
RETRY_S = 2.0
"""How soon it tries again if the upload tree is gone."""
RETRY_BUSY_S = 0.5
"""How soon it tries again if another run holds the lock."""
RETRY_FULL_S = 30.0
"""How soon it tries again if the disk is full."""


class Stopped(BaseException):
    """SIGTERM arrived: the run ends; unfinished writes are completed or discarded as a whole."""


class Stop:
    """Whether SIGTERM arrived. The first one raises `Stopped` in the main thread."""

    def __init__(self) -> None:
        self.has_arrived = False

    def __call__(self, *_: Any) -> None:
        if not self.has_arrived:
            self.has_arrived = True
            raise Stopped

    def check(self, *_: Any) -> None:
        """Raise `Stopped` again, in case Python only printed the first one (in a finalizer)."""
        if self.has_arrived:
            raise Stopped


@contextmanager
def ending_on_sigterm() -> Iterator[Stop]:
    """Make SIGTERM raise `Stopped` in the main thread, until the block ends."""
    stop = Stop()
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def log_to(path: Path, settings: Settings) -> None:
    """Write one line per run, and each warning, to the file at `path`; it rotates by size.

    Raises SettingsError if the file cannot be written or lies in the upload tree.
    """
    log.addHandler(rotating(path, settings.uploads))
    log.setLevel(logging.INFO)


def watch(
    settings: Settings,
    report: Callable[[IngestSummary], None],
    *,
    is_polling: bool = False,
    is_full: bool = False,
    stop: Stop | None = None,
    make_executor: MakeExecutor | None = None,
) -> None:
    """Keep the library up to date until SIGTERM (`Stopped`) or an interrupt ends it.

    `report` is called with the summary of each pass that changed the catalog. If the upload
    tree is gone, the disk is full or another run holds the lock, it waits and logs that once.
    `make_executor` is as for `ingest`. Raises LibraryError and SettingsError, which waiting
    would not fix.
    """
    workers = settings.ingest.workers or crew.cores()
    make = make_executor or partial(crew.pool, workers)
    with examine.crew(settings.the_uploads(), make, workers) as openers:
        openers.warm(examine.prepare)
        watcher = _Watcher(settings, report, openers, make, stop or Stop(), is_full)
        while True:
            watcher.attend(is_polling)


class _Watcher:
    """The state of a watching ingest between passes."""

    def __init__(
        self,
        settings: Settings,
        report: Callable[[IngestSummary], None],
        openers: Openers,
        make_executor: MakeExecutor,
        stop: Stop,
        is_full: bool,
    ) -> None:
        self.settings, self.report, self.openers, self.stop = settings, report, openers, stop
        self.make_executor, self.is_full = make_executor, is_full
        self.trouble = ""
        self.generation = -1
        self.was_interrupted = False

    def attend(self, is_polling: bool) -> None:
        """Ingest changes as they arrive until something prevents it; then wait a moment."""
        from pano_analytics.ingest.changes import listen

        root = self.settings.uploads
        if root is None:
            ingest(self.settings)  # raises the error that explains it
            return
        try:
            with closing(listen(root, is_polling)) as changes:
                self._attend(changes)
        except UploadTreeError as error:
            self._wait(error, RETRY_S)
        except (StorageFull, OSError) as error:
            self._wait(error, RETRY_FULL_S)

    def _wait(self, error: Exception, seconds: float) -> None:
        if str(error) != self.trouble:
            log.warning("%s Waiting for it.", error)
        self.trouble = str(error)
        time.sleep(seconds)
        self.stop.check()

    def _attend(self, changes: Changes) -> None:
        if changes.is_partial:
            log.info(
                "More folders than can be watched: new files in folders of old days show up later."
            )
        run_due = retry_due = time.monotonic()
        folders: set[str] = set()
        while True:
            # Wait at most RETRY_S: only by trying do we notice that the tree was unmounted.
            folders |= changes.wait(min(min(run_due, retry_due) - time.monotonic(), RETRY_S))
            self.stop.check()
            if not folders and time.monotonic() < min(run_due, retry_due):
                continue
            try:
                if time.monotonic() >= run_due:
                    summary = self._run(changes)
                    run_due = time.monotonic() + RUN_EVERY_S
                else:
                    summary = self._ingest_folders(folders, changes)
            except LibraryBusy as error:
                self._wait(error, RETRY_BUSY_S)
                retry_due = time.monotonic()
                continue
            folders.clear()
            self._report_if_changed(summary)
            retry_due = time.monotonic() + self._pause_s(summary)

    def _pause_s(self, summary: IngestSummary) -> float:
        """Return how long to wait for changes before the files still to open are tried again."""
        if not summary.waiting:
            return RUN_EVERY_S
        return 0 if self.was_interrupted else max(self.settings.ingest.quiet_s, RETRY_S)

    def _run(self, changes: Changes) -> IngestSummary:
        summary = ingest(
            self.settings,
            is_full=self.is_full,
            progress=self.stop.check,
            make_executor=self.make_executor,
            openers=self.openers,
            is_called_away=self._interrupt_check(changes),
        )
        self.is_full = False
        return summary

    def _ingest_folders(self, folders: set[str], changes: Changes) -> IngestSummary:
        return ingest_folders(
            self.settings,
            folders,
            self.openers,
            self._interrupt_check(changes),
            self.make_executor,
        )

    def _interrupt_check(self, changes: Changes) -> Callable[[], bool]:
        self.was_interrupted = False

        def is_called_away() -> bool:
            self.stop.check()
            self.was_interrupted = changes.has_news()
            return self.was_interrupted

        return is_called_away

    def _report_if_changed(self, summary: IngestSummary) -> None:
        if self.trouble:
            log.warning("Working again.")
            self.trouble = ""
        if summary.generation != self.generation:
            self.report(summary)
        self.generation = summary.generation
