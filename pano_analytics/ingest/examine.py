"""Opening files in parallel: a process that dies loses its batch, which is tried again."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

from pano_analytics.errors import MediaError
from pano_analytics.media import Inspection

BATCH = 12


class Task(NamedTuple):
    """One file to open: where it lies, what its name says it is, how long it should be."""

    path: str
    kind: str
    expected_duration_s: float | None


class Outcome(NamedTuple):
    """What came of a task: the inspection, or why there is none.

    `trouble` is changed (written to while it was read), gone or unreadable.
    """

    inspection: Inspection | None
    trouble: str | None = None
    reason: str | None = None


def open_batch(tasks: Sequence[Task]) -> list[Outcome]:
    """Inspect the files of one batch, in this process; never raises for what a file holds."""
    return [_open(task) for task in tasks]


def _open(task: Task) -> Outcome:
    from pano_analytics import inspect as inspection

    try:
        found = inspection.inspect_file(Path(task.path), task.kind, task.expected_duration_s)
    except inspection.MediaChanged as error:
        return Outcome(None, "changed", str(error))
    except FileNotFoundError:
        return Outcome(None, "gone", "went while it was to be read")
    except MediaError as error:
        return Outcome(None, "unreadable", str(error))
    return Outcome(found)


def pool(workers: int | None = None) -> ProcessPoolExecutor:
    """Return the usual executor: one process a core, started clean (no inherited locks)."""
    # spawn and not fork: this process runs threads (syncing, DuckDB in a dashboard).
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers or os.cpu_count() or 1, mp_context=context)


class Examiner:
    """Opens files through an executor, batch by batch, in the order they were given.

    `make_executor` is the seam for more than one machine; `workers` how many
    batches are under way at once.
    """

    def __init__(self, make_executor: Callable[[], Executor], workers: int) -> None:
        self._make = make_executor
        self._executor: Executor | None = None
        self._window = workers * 3

    def __enter__(self) -> Examiner:
        return self

    def __exit__(self, *exc: object) -> None:
        self._drop()

    def _drop(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield one outcome a task, in their order."""
        under_way: deque[_Sent] = deque()
        batches = _batches(tasks)
        while True:
            while len(under_way) < self._window and (batch := next(batches, None)):
                under_way.append(self._send(batch))
            if not under_way:
                return
            yield from self._collect(under_way.popleft())

    def _send(self, batch: list[Task]) -> _Sent:
        """Hand a batch over; without a future where the pool is broken (it is done again)."""
        if self._executor is None:
            self._executor = self._make()
        executor = self._executor
        try:
            return _Sent(batch, executor, executor.submit(open_batch, batch))
        except BrokenProcessPool:
            return _Sent(batch, executor, None)

    def _outcomes(self, sent: _Sent) -> list[Outcome] | None:
        """Return what came of a batch, or None where its process died."""
        try:
            if sent.future is not None:
                return sent.future.result()
        except (BrokenProcessPool, CancelledError, OSError):
            pass
        if sent.executor is self._executor:  # others of this pool are lost with it, once
            self._drop()
        return None

    def _collect(self, sent: _Sent) -> list[Outcome]:
        outcomes = self._outcomes(sent)
        return [self._alone(task) for task in sent.batch] if outcomes is None else outcomes

    def _alone(self, task: Task) -> Outcome:
        """Open one file by itself, so that only the file that kills its reader is blamed."""
        for _ in range(2):
            outcomes = self._outcomes(self._send([task]))
            if outcomes is not None:
                return outcomes[0]
        return Outcome(Inspection("damaged", "reading it ended the reading process, twice"))


class _Sent(NamedTuple):
    """A batch under way, and the executor that has it."""

    batch: list[Task]
    executor: Executor
    future: Future[list[Outcome]] | None


def _batches(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    batch: list[Task] = []
    for task in tasks:
        batch.append(task)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
