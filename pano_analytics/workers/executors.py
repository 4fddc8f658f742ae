"""What does the work: executors, and what a `Crew` must know about each kind.

Any `concurrent.futures.Executor` can do the work. An executor that knows more says so with the
members of `WorkerPool`: which errors mean that a worker died, how to end its workers whatever
they are doing, and whether it can still answer. `adapted` adds the usual answers for others.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

Result = TypeVar("Result")

ROOT_VARIABLE = "PANO_WORKER_UPLOADS"
"""Environment variable of a worker: where its computer has the upload root."""


@runtime_checkable
class WorkerPool(Protocol):
    """An executor that a `Crew` can rely on."""

    lost: tuple[type[BaseException], ...]
    """Errors of `submit` or of a future that mean: a worker died, or the pool gave up its task."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand over a call; raises one of `lost` if the pool can take no more."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls."""

    def kill(self) -> None:
        """End all workers, whatever they are doing; their calls fail with one of `lost`."""

    def is_dead(self) -> bool:
        """Return whether the pool will never answer, and will not say so."""


MakeExecutor = Callable[[], Executor | WorkerPool]


def adapted(executor: Executor | WorkerPool) -> WorkerPool:
    """Return `executor` itself if it is a WorkerPool, else with the usual answers."""
    return executor if isinstance(executor, WorkerPool) else _Adapter(executor)


class _Adapter:
    """An executor of any kind. Its workers cannot be ended: what is stuck is left behind."""

    lost: tuple[type[BaseException], ...] = (BrokenExecutor, CancelledError)

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._executor.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait, cancel_futures=cancel_futures)

    def kill(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def is_dead(self) -> bool:
        return False


class _Context(ForkServerContext):
    """A multiprocessing context that remembers the processes it made."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[BaseProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> BaseProcess:  # type: ignore[override]
        process = multiprocessing.get_context("forkserver").Process(*args, **kwargs)
        self.made.append(process)
        return process


class ProcessPool(ProcessPoolExecutor):
    """Processes of this computer, forked from a server that has loaded what they need."""

    lost: tuple[type[BaseException], ...] = (BrokenExecutor, CancelledError)

    def __init__(self, workers: int, initializer: Callable[[], object] | None = None) -> None:
        self._pano_context = _Context()
        self._pano_threads: list[threading.Thread] = []
        super().__init__(workers, mp_context=self._pano_context, initializer=initializer)

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """Hand over a call; the first one starts the pool's own thread."""
        before = set() if self._pano_threads else set(threading.enumerate())
        future = super().submit(fn, *args, **kwargs)
        if not self._pano_threads:
            self._pano_threads = [
                thread
                for thread in threading.enumerate()
                if thread not in before and type(thread).__module__ == "concurrent.futures.process"
            ]
        return future

    def kill(self) -> None:
        """End the processes, whatever they are doing."""
        for process in self._pano_context.made:
            process.kill()

    def is_dead(self) -> bool:
        """Return whether the pool's own thread has ended, which tells nobody about it."""
        return bool(self._pano_threads) and not any(one.is_alive() for one in self._pano_threads)


def root_here(root: Path) -> Path:
    """Return where this worker finds the upload root: another computer may mount it elsewhere."""
    return Path(os.environ.get(ROOT_VARIABLE) or root)
