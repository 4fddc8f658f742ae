"""Ingest that nobody calls: `--watch`, the log that it and cron write, and how a run is ended.

Every few minutes an ordinary run looks at what ordinary runs look at, and opens
what waits. Between them only the folders are looked at that `changes` tells of.
The library's lock is held for one pass at a time, so that other commands get
their turn.
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
from pano_analytics.ingest.run import Openers, Summary, ingest, ingest_folders
from pano_analytics.logs import rotating
from pano_analytics.settings import Settings
from pano_analytics.store.storage import StorageFull
from pano_analytics.workers import crew

if TYPE_CHECKING:
    from pano_analytics.ingest.changes import Changes

log = logging.getLogger("pano")
log.addHandler(logging.NullHandler())  # without a log file, commands themselves say what is wrong

RUN_EVERY_S = 300.0
"""How often a watching ingest makes an ordinary run, whatever it was told meanwhile."""
RETRY_S = 2.0
"""How soon it asks again for an upload tree that went."""
RETRY_BUSY_S = 0.5
"""How soon it asks again for the lock that another run holds."""
RETRY_FULL_S = 30.0
"""How soon it tries again on a full disk."""


class Stopped(BaseException):
    """SIGTERM came: what is being written is finished or abandoned whole, and all ends."""


class Stop:
    """Whether SIGTERM came. The first one raises `Stopped` wherever the main thread is."""

    def __init__(self) -> None:
        self.has_come = False

    def __call__(self, *_: Any) -> None:
        if not self.has_come:
            self.has_come = True
            raise Stopped

    def check(self, *_: Any) -> None:
        """Raise `Stopped` again: what a finalizer or callback raises, Python only prints."""
        if self.has_come:
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
    """Write a line a run, and each warning, to the file at `path`; it rotates by size.

    Raises SettingsError where the file cannot be written or lies in the upload tree.
    """
    log.addHandler(rotating(path, settings.uploads))
    log.setLevel(logging.INFO)


def watch(
    settings: Settings,
    told: Callable[[Summary], None],
    *,
    is_polling: bool = False,
    is_full: bool = False,
    stop: Stop | None = None,
) -> None:
    """Keep the library up to date until SIGTERM (`Stopped`) or an interrupt ends it.

    `told` gets the summary of each pass that found something. An upload tree
    that goes, a full disk and a lock that is held are waited for, and said once
    in the log. Raises LibraryError and SettingsError, which no waiting mends.
    """
    workers = settings.ingest.workers or crew.cores()
    with examine.crew(partial(crew.pool, workers), workers) as openers:
        openers.warm(examine.prepare)
        watcher = _Watcher(settings, told, openers, stop or Stop(), is_full)
        while True:
            watcher.attend(is_polling)


class _Watcher:
    """What a watching ingest holds from one pass to the next."""

    def __init__(
        self,
        settings: Settings,
        told: Callable[[Summary], None],
        openers: Openers,
        stop: Stop,
        is_full: bool,
    ) -> None:
        self.settings, self.told, self.openers, self.stop = settings, told, openers, stop
        self.is_full = is_full
        self.trouble = ""
        self.generation = -1
        self.was_called_away = False

    def attend(self, is_polling: bool) -> None:
        """Listen and bring in what comes, until something is in the way; then wait a moment."""
        from pano_analytics.ingest.changes import listen

        root = self.settings.uploads
        if root is None:
            ingest(self.settings)  # says what is expected
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
        run_due = again = time.monotonic()
        folders: set[str] = set()
        while True:
            # Not longer at a time: only asking tells that the tree was unmounted.
            folders |= changes.wait(min(min(run_due, again) - time.monotonic(), RETRY_S))
            self.stop.check()
            if not folders and time.monotonic() < min(run_due, again):
                continue
            try:
                if time.monotonic() >= run_due:
                    summary = self._run(changes)
                    run_due = time.monotonic() + RUN_EVERY_S
                else:
                    summary = self._bring_in(folders, changes)
            except LibraryBusy as error:
                self._wait(error, RETRY_BUSY_S)
                again = time.monotonic()
                continue
            folders.clear()
            self._tell(summary)
            again = time.monotonic() + self._pause_s(summary)

    def _pause_s(self, summary: Summary) -> float:
        """Return how long to wait for news before what waits to be opened is tried again."""
        if not summary.waiting:
            return RUN_EVERY_S
        return 0 if self.was_called_away else max(self.settings.ingest.quiet_s, RETRY_S)

    def _run(self, changes: Changes) -> Summary:
        summary = ingest(
            self.settings,
            is_full=self.is_full,
            progress=self.stop.check,
            openers=self.openers,
            is_called_away=self._asking(changes),
        )
        self.is_full = False
        return summary

    def _bring_in(self, folders: set[str], changes: Changes) -> Summary:
        return ingest_folders(self.settings, folders, self.openers, self._asking(changes))

    def _asking(self, changes: Changes) -> Callable[[], bool]:
        self.was_called_away = False

        def is_called_away() -> bool:
            self.stop.check()
            self.was_called_away = changes.has_news()
            return self.was_called_away

        return is_called_away

    def _tell(self, summary: Summary) -> None:
        if self.trouble:
            log.warning("Working again.")
            self.trouble = ""
        if summary.generation != self.generation:
            self.told(summary)
        self.generation = summary.generation
