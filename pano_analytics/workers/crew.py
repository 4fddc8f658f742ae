"""Run work in parallel through an executor; the batch of a process that dies is retried.

Any `concurrent.futures.Executor` can do the work: a process pool on this machine, or the
client of a cluster (`workers/executors.py`).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from typing import Generic, TypeVar

from pano_analytics.errors import NoProcess
from pano_analytics.workers.confined import confine
from pano_analytics.workers.executors import MakeExecutor, ProcessPool, WorkerPool, adapted

# How often a pool is started before giving up: a process may be killed during its start.
_MAX_STARTS = 3
# The interval of checks on a pool that has not responded yet.
_CHECK_S = 0.5

Task = TypeVar("Task")
Result = TypeVar("Result")

# The modules that workers need, loaded before they are forked. A process that watches has
# them in memory as well, so the lists are short.
OPENING = ("av", "PIL.JpegImagePlugin", "pano_analytics.inspection", "pano_analytics.cli")
LOOKING = ("pano_analytics.ingest.scan", "pano_analytics.cli")


def begin(needed: Sequence[str]) -> None:
    """Start the fork server, which loads the modules `needed`, without waiting for it.

    Only the first call in a process has an effect; creating a pool also makes it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(needed))
    with starting():
        forkserver.ensure_running()


@contextmanager
def starting() -> Iterator[None]:
    """Convert the errors of processes and threads that cannot be started to NoProcess."""
    try:
        yield
    except (OSError, EOFError) as error:  # EOFError: the other end of a pipe was never opened
        raise NoProcess.of(error) from error
    except RuntimeError as error:
        if not NoProcess.matches(error):
            raise
        raise NoProcess.of(error) from error


def pool(workers: int) -> ProcessPool:
    """Return the default executor: clean processes, without inherited locks or threads.

    They are forked from a process that only loads the modules they need, so starting one is
    cheap, and they share the memory of those modules.
    """
    begin(OPENING)
    return ProcessPool(workers, _begin_work)


def _begin_work() -> None:
    """Make this process end only with the run that started it.

    Ctrl-C and a service manager signal the whole group, but only the run handles the signal,
    and closes the pool. A killed run closes nothing, so a thread waits for its end; the pool's
    own pipes stay open while any other worker lives.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    global _is_worker
    _is_worker = True
    threading.Thread(target=_end_with_parent, daemon=True).start()


_is_worker = False


def confine_worker() -> None:
    """Limit the memory of a pool's process permanently; do nothing in any other process.

    For work that opens untrusted files; listing a huge folder, for example, has no limit.
    """
    if _is_worker:
        confine()


def _end_with_parent() -> None:
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass
class _Submitted(Generic[Task, Result]):
    """A submitted batch, and the executor that runs it."""

    batch: list[Task]
    executor: WorkerPool
    future: Future[list[Result]] | None


class _Lost(Exception):
    """The result of a batch is lost; the message says what happened to its process."""

    def __init__(self, what: str, is_late: bool = False) -> None:
        super().__init__(what)
        self.is_late = is_late


class Crew(Generic[Task, Result]):
    """Runs `work` on tasks in batches, and yields the results in the order of the tasks.

    `work` takes a batch and returns one result per task; both must be picklable. A batch
    whose process died, or that is not done `limit_s` seconds after all earlier ones, is
    repeated task by task in new processes. A task that kills its process twice, or alone
    takes longer than `limit_s`, results in `given_up(task, reason)`. Memory is bounded: only
    a few batches are submitted or waiting to be collected at a time.
    """

    def __init__(
        self,
        make_executor: MakeExecutor,
        workers: int,
        work: Callable[[Sequence[Task]], list[Result]],
        given_up: Callable[[Task, str], Result],
        batch: int,
        limit_s: float | None = None,
    ) -> None:
        self._make, self._work, self._given_up = make_executor, work, given_up
        self._batch, self._window, self._limit_s = batch, workers * 3, limit_s
        self._executor: WorkerPool | None = None

    def __enter__(self) -> Crew[Task, Result]:
        return self

    def __exit__(self, *exc: object) -> None:
        self._drop()

    def warm(self, prepare: Callable[[], None]) -> None:
        """Start a process and call `prepare` in it, so that the first task does not wait."""
        with starting():
            if self._executor is None:
                self._executor = adapted(self._make())
            self._executor.submit(prepare)

    def _drop(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def run(self, tasks: Iterable[Task]) -> Generator[Result, None, None]:
        """Yield one result per task, in order; closing the generator cancels pending batches."""
        pending: deque[_Submitted[Task, Result]] = deque()
        batches = _batches(tasks, self._batch)
        try:
            while True:
                while len(pending) < self._window and (batch := next(batches, None)):
                    pending.append(self._submit(batch))
                if not pending:
                    return
                yield from self._collect(pending.popleft())
        finally:
            for submitted in pending:
                if submitted.future is not None:
                    submitted.future.cancel()

    def _submit(self, batch: list[Task]) -> _Submitted[Task, Result]:
        """Submit a batch; without a future if the pool is broken (the batch is then repeated)."""
        executor = self._executor or self._new_executor()
        try:
            with starting():
                return _Submitted(batch, executor, executor.submit(self._work, batch))
        except executor.lost:
            return _Submitted(batch, executor, None)

    def _new_executor(self) -> WorkerPool:
        """Return a new executor with at least one started process. Raises NoProcess."""
        for left in reversed(range(_MAX_STARTS)):
            with starting():
                executor = self._executor = adapted(self._make())
            try:
                with starting():
                    # The start of a process must not count towards a task's time limit.
                    _wait(executor, executor.submit(_ready))
                return executor
            except executor.lost as error:  # not the fault of a task
                self._drop()
                if not left:
                    raise NoProcess.of(error) from error
        raise AssertionError("unreachable")

    def _results(self, submitted: _Submitted[Task, Result]) -> list[Result]:
        """Return the results of the oldest submitted batch. Raises _Lost."""
        lost = _Lost("ended its process, twice")
        try:
            if submitted.future is not None:
                return submitted.future.result(self._limit_s)
        except FutureTimeout:
            if submitted.future is None or submitted.future.done():  # raised by the work
                raise
            lost = _Lost(f"took longer than {self._limit_s:g} s", is_late=True)
            submitted.executor.kill()
        except submitted.executor.lost:
            pass
        if submitted.executor is self._executor:  # drop a pool only once
            self._drop()
        raise lost

    def _collect(self, submitted: _Submitted[Task, Result]) -> list[Result]:
        try:
            return self._results(submitted)
        except _Lost:
            return [self._run_alone(task) for task in submitted.batch]

    def _run_alone(self, task: Task) -> Result:
        """Run one task alone, so that only a task that kills its process is given up."""
        try:
            return self._run_once(task)
        except _Lost as lost:
            if lost.is_late:
                return self._given_up(task, str(lost))
        try:
            return self._run_once(task)
        except _Lost as lost:
            return self._given_up(task, str(lost))

    def _run_once(self, task: Task) -> Result:
        return self._results(self._submit([task]))[0]


def _wait(executor: WorkerPool, first: Future[None]) -> None:
    """Wait for the first result. Raises NoProcess if the pool's manager thread has ended.

    A pool does not report that its manager thread could not start a process.
    """
    while True:
        try:
            return first.result(_CHECK_S)
        except FutureTimeout:
            if executor.is_dead() and not first.done():
                executor.kill()  # otherwise this process would wait for them at its end
                ended = RuntimeError("a thread of the pool has ended")
                raise NoProcess.of(ended) from None


def _ready() -> None:
    """Do nothing; a result shows that the process has started."""


def _batches(tasks: Iterable[Task], size: int) -> Iterator[list[Task]]:
    batch: list[Task] = []
    for task in tasks:
        batch.append(task)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
