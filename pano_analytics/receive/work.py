"""Disk work in threads, so that no camera waits for another one's large file."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

log = logging.getLogger("pano.receive")

Then = Callable[[Future[Any]], None]


class ThreadedTasks:
    """Run tasks in threads, and pass their results to the loop, in its own thread.

    All methods must be called from the loop's thread. A pipe, which the loop polls like its
    sockets, tells it that a task is done.
    """

    def __init__(self, ioloop: Any, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pano-receive")
        self._done: SimpleQueue[tuple[Future[Any], Then]] = SimpleQueue()
        self._ioloop = ioloop
        self._fileno, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        ioloop.register(self._fileno, self, ioloop.READ)
        self.running = 0
        self.is_closed = False

    def run(self, task: Callable[[], Any], then: Then) -> None:
        """Run `task` in a thread, then call `then(future)` in the loop."""
        future = self._pool.submit(task)
        self.running += 1
        future.add_done_callback(partial(self._wake_loop, then))

    def _wake_loop(self, then: Then, future: Future[Any]) -> None:
        self._done.put((future, then))
        with suppress(OSError):  # full: the loop will wake anyway; closed: the loop has ended
            os.write(self._writer, b"\0")

    # --- the interface for the loop

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        """Call the `then` of each finished task."""
        with suppress(BlockingIOError):
            os.read(self._fileno, 1 << 16)
        with suppress(Empty):
            while True:
                future, then = self._done.get_nowait()
                self.running -= 1
                try:
                    then(future)
                except Exception:
                    log.exception("the end of an upload could not be processed")

    def handle_error(self) -> None:
        log.exception("the end of an upload could not be processed")

    def handle_close(self) -> None:
        self.close()

    def close(self) -> None:
        """Wait for running tasks; their results are discarded."""
        if self.is_closed:
            return
        self.is_closed = True
        self._ioloop.unregister(self._fileno)
        self._pool.shutdown(wait=True, cancel_futures=True)
        os.close(self._fileno)
        os.close(self._writer)
