"""Executors for parallel work, and the adapter that describes their errors.

Any `concurrent.futures.Executor` can do the work. An executor can also implement `WorkerPool`:
which errors mean that a worker died, how to kill its workers, and whether it can still return
results. `adapted` adds defaults for executors that do not.
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
"""Environment variable of a worker: the upload root on its machine."""


@runtime_checkable
class WorkerPool(Protocol):
    """An executor that a `Crew` can rely on."""

    lost: tuple[type[BaseException], ...]
    """Errors of `submit` or of a future after a worker died or the pool cancelled the task."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a call. Raises one of `lost` if the pool accepts no more calls."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls."""

    def kill(self) -> None:
        """Kill all workers; their calls fail with one of `lost`."""

    def is_dead(self) -> bool:
        """Return whether the pool can never return a result, without raising an error."""


MakeExecutor = Callable[[], Executor | WorkerPool]


def adapted(executor: Executor | WorkerPool) -> WorkerPool:
    """Return `executor` itself if it is a WorkerPool, otherwise an adapter around it."""
    return executor if isinstance(executor, WorkerPool) else _Adapter(executor)


class _Adapter:
    """An executor of any kind. Its workers cannot be killed: a stuck task is abandoned."""

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
    """A multiprocessing context that keeps a list of the processes it created."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[BaseProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> BaseProcess:  # type: ignore[override]
        process = multiprocessing.get_context("forkserver").Process(*args, **kwargs)
        self.made.append(process)
        return process


class ProcessPool(ProcessPoolExecutor):
    """Processes on this machine, forked from a server that has loaded the modules they need."""

    lost: tuple[type[BaseException], ...] = (BrokenExecutor, CancelledError)

    def __init__(self, workers: int, initializer: Callable[[], object] | None = None) -> None:
        self._pano_context = _Context()
        # None until the first call. Empty if the thread ended before it was looked for.
        self._pano_threads: list[threading.Thread] | None = None
        super().__init__(workers, mp_context=self._pano_context, initializer=initializer)

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """Submit a call; the first one starts the pool's manager thread."""
        before = set(threading.enumerate()) if self._pano_threads is None else set()
        future = super().submit(fn, *args, **kwargs)
        if self._pano_threads is None:
            self._pano_threads = [
                thread
                for thread in threading.enumerate()
                if thread not in before and type(thread).__module__ == "concurrent.futures.process"
            ]
        return future

    def kill(self) -> None:
        """Kill the processes, even during a task."""
        for process in self._pano_context.made:
            process.kill()

    def is_dead(self) -> bool:
        """Return whether the pool's manager thread has ended, which the pool does not report."""
        threads = self._pano_threads
        return threads is not None and not any(thread.is_alive() for thread in threads)


def root_here(root: Path) -> Path:
    """Return the upload root on this worker's machine, which may mount it at another path."""
    return Path(os.environ.get(ROOT_VARIABLE) or root)
