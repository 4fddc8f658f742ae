"""Work in parallel through an executor: a process that dies loses its batch, tried again.

The executor is the seam for more than one machine: a process pool here, a cluster's client
elsewhere (`workers/executors.py`).
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

# A process may be ended by chance before it has begun; not so often.
_STARTS = 3
# How often a pool that has not answered yet is looked at.
_LOOK_S = 0.5

Task = TypeVar("Task")
Result = TypeVar("Result")

# What those who open files need: all that a watching process keeps loaded twice.
OPENING = ("av", "PIL.JpegImagePlugin", "pano_analytics.inspection", "pano_analytics.cli")
LOOKING = ("pano_analytics.ingest.look", "pano_analytics.cli")


def begin(needed: Sequence[str]) -> None:
    """Start what workers are forked from, which loads the modules `needed`; does not wait for it.

    Once a process; a pool that comes first does the same.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(needed))
    with starting():
        forkserver.ensure_running()


@contextmanager
def starting() -> Iterator[None]:
    """Turn what comes of processes and threads that cannot be started into NoProcess."""
    try:
        yield
    except (OSError, EOFError) as error:  # of a pipe whose other end did not come to be
        raise NoProcess.of(error) from error
    except RuntimeError as error:
        if not NoProcess.matches(error):
            raise
        raise NoProcess.of(error) from error


def pool(workers: int) -> ProcessPool:
    """Return the usual executor: processes started clean (no inherited locks or threads).

    They are forked from one that has loaded what they need and does nothing
    else: starting one costs next to nothing, and what is loaded they share.
    """
    begin(OPENING)
    return ProcessPool(workers, _begin_work)


def _begin_work() -> None:
    """Live and die with the run that started this process.

    Ctrl-C and a service manager signal the whole group: the run alone answers,
    and closes the pool. A run that was killed closes nothing, so its end is
    watched for; a pool's own pipes stay open as long as another worker lives.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    global _is_worker
    _is_worker = True
    threading.Thread(target=_end_with_parent, daemon=True).start()


_is_worker = False


def confine_worker() -> None:
    """Limit the memory of a pool's process, for good; nothing in any other process.

    For work that opens hostile files: listing a huge folder may take what it takes.
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
class _Sent(Generic[Task, Result]):
    """A batch under way, and the pool that has it."""

    batch: list[Task]
    executor: WorkerPool
    future: Future[list[Result]] | None


class _Lost(Exception):
    """What came of a batch will never be known; the text says what became of its process."""

    def __init__(self, what: str, is_late: bool = False) -> None:
        super().__init__(what)
        self.is_late = is_late


class Crew(Generic[Task, Result]):
    """Does `work` on tasks, batch by batch, and gives the results in their order.

    `work` takes a batch and returns one result a task; both must pickle. A
    batch whose process died, or is still at it `limit_s` after all before it
    was done, is done again task by task, in new processes. A task that kills
    its process twice, or takes longer than that alone, becomes
    `given_up(task, what it did)`. Memory is bounded: only a few batches are
    under way or waiting to be taken at once.
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
        """Have a process started and `prepare` called in it, so that no first task waits."""
        with starting():
            if self._executor is None:
                self._executor = adapted(self._make())
            self._executor.submit(prepare)

    def _drop(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def run(self, tasks: Iterable[Task]) -> Generator[Result, None, None]:
        """Yield one result a task, in their order; what is no longer asked for is called off."""
        under_way: deque[_Sent[Task, Result]] = deque()
        batches = _batches(tasks, self._batch)
        try:
            while True:
                while len(under_way) < self._window and (batch := next(batches, None)):
                    under_way.append(self._send(batch))
                if not under_way:
                    return
                yield from self._collect(under_way.popleft())
        finally:
            for sent in under_way:
                if sent.future is not None:
                    sent.future.cancel()

    def _send(self, batch: list[Task]) -> _Sent[Task, Result]:
        """Hand a batch over; without a future where the pool is broken (it is done again)."""
        executor = self._executor or self._started()
        try:
            with starting():
                return _Sent(batch, executor, executor.submit(self._work, batch))
        except executor.lost:
            return _Sent(batch, executor, None)

    def _started(self) -> WorkerPool:
        """Return a new executor, one process of which has started; raises NoProcess."""
        for left in reversed(range(_STARTS)):
            with starting():
                executor = self._executor = adapted(self._make())
            try:
                with starting():
                    # What a process needs to start is no task's time.
                    _wait(executor, executor.submit(_ready))
                return executor
            except executor.lost as error:  # no task had a part in it
                self._drop()
                if not left:
                    raise NoProcess.of(error) from error
        raise AssertionError("unreachable")

    def _results(self, sent: _Sent[Task, Result]) -> list[Result]:
        """Return what came of a batch, the oldest under way; raises _Lost."""
        lost = _Lost("ended its process, twice")
        try:
            if sent.future is not None:
                return sent.future.result(self._limit_s)
        except FutureTimeout:
            if sent.future is None or sent.future.done():  # the work's own, of a slow network
                raise
            lost = _Lost(f"took longer than {self._limit_s:g} s", is_late=True)
            sent.executor.kill()
        except sent.executor.lost:
            pass
        if sent.executor is self._executor:  # others of this pool are lost with it, once
            self._drop()
        raise lost

    def _collect(self, sent: _Sent[Task, Result]) -> list[Result]:
        try:
            return self._results(sent)
        except _Lost:
            return [self._alone(task) for task in sent.batch]

    def _alone(self, task: Task) -> Result:
        """Do one task by itself, so that only the one that harms its process is blamed."""
        try:
            return self._once(task)
        except _Lost as lost:
            if lost.is_late:
                return self._given_up(task, str(lost))
        try:
            return self._once(task)
        except _Lost as lost:
            return self._given_up(task, str(lost))

    def _once(self, task: Task) -> Result:
        return self._results(self._send([task]))[0]


def _wait(executor: WorkerPool, first: Future[None]) -> None:
    """Wait for the first result; raises NoProcess where the thread that hands it over ended.

    A pool whose own thread could not start another tells nobody.
    """
    while True:
        try:
            return first.result(_LOOK_S)
        except FutureTimeout:
            if executor.is_dead() and not first.done():
                executor.kill()  # else this process would wait for them when it ends
                ended = RuntimeError("a thread of the pool has ended")
                raise NoProcess.of(ended) from None


def _ready() -> None:
    """Do nothing: whoever did it has started."""


def _batches(tasks: Iterable[Task], size: int) -> Iterator[list[Task]]:
    batch: list[Task] = []
    for task in tasks:
        batch.append(task)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
