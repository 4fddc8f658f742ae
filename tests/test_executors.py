"""Executors of any kind: their own errors, their own way to end workers, their own mount points."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from light_work import doubled, slow, stand_still
from lived_in import lay, picture
from shared_files import snapshot_path

from pano_analytics.ingest import examine
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.settings import Settings
from pano_analytics.workers.crew import Crew, pool
from pano_analytics.workers.executors import (
    ROOT_VARIABLE,
    MakeExecutor,
    ProcessPool,
    WorkerPool,
    adapted,
)

NOON = datetime(2026, 3, 3, 12)


class Disconnected(Exception):
    """What the executor below reports of a worker that is gone."""


class Remote(Executor):
    """An executor with errors of its own; a worker that sees -1 is gone, with all it had."""

    lost: tuple[type[BaseException], ...] = (Disconnected,)
    made = 0

    def __init__(self) -> None:
        Remote.made += 1
        self.threads = ThreadPoolExecutor(1)
        self.killed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.killed:
            raise Disconnected
        return self.threads.submit(self._call, fn, *args)

    def _call(self, fn: Callable[..., Any], *args: Any) -> Any:
        if args and -1 in args[-1]:
            self.killed = True
        if self.killed:
            raise Disconnected
        return fn(*args)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.threads.shutdown(wait, cancel_futures=cancel_futures)

    def kill(self) -> None:
        self.killed = True

    def is_dead(self) -> bool:
        return False


def test_an_executor_with_errors_of_its_own_loses_only_the_task_that_ends_its_workers() -> None:
    blamed: list[tuple[int, str]] = []

    def given_up(number: int, what: str) -> int:
        blamed.append((number, what))
        return 0

    tasks = [*range(20), -1, *range(20, 40)]
    with Crew(Remote, 2, doubled, given_up, batch=5) as crew:
        results = list(crew.run(tasks))
    assert results == [number * 2 if number >= 0 else 0 for number in tasks]
    assert blamed == [(-1, "ended its process, twice")]
    assert Remote.made > 1


@pytest.mark.long
@pytest.mark.parametrize("make", [partial(ThreadPoolExecutor, 1), partial(pool, 1)])
def test_a_task_that_takes_too_long_is_given_up_by_any_executor(make: MakeExecutor) -> None:
    """A thread cannot be ended: it is left behind, and others do the rest."""
    with Crew(make, 1, slow, lambda number, _: -number, batch=4, limit_s=3.0) as crew:
        results = list(crew.run(range(20)))
    assert results == [-13 if number == 13 else number * 2 for number in range(20)]


def test_what_an_executor_is() -> None:
    assert isinstance(Remote(), WorkerPool)
    made = pool(1)
    assert adapted(made) is made
    threads = ThreadPoolExecutor(1)
    assert not isinstance(threads, WorkerPool)
    assert adapted(threads).submit(doubled, [2]).result() == [4]


def test_killed_processes_are_gone_at_once() -> None:
    made = ProcessPool(2)
    futures = [made.submit(stand_still) for _ in range(2)]
    assert made.submit(doubled, [1]) is not None
    time.sleep(0.5)
    assert not made.is_dead()
    made.kill()
    for future in futures:
        with pytest.raises(made.lost):
            future.result(30)


def tree(root: Path, content: Callable[[int], bytes]) -> None:
    for second in range(3):
        path = lay(content(second), root / snapshot_path("porch", NOON.replace(second=second)))
        os.utime(path, (NOON.timestamp(), NOON.timestamp()))


def media(library: Path, uploads: Path, make_executor: MakeExecutor) -> pd.DataFrame:
    settings = Settings(uploads=uploads, library=library, zone="UTC")
    ingest(settings, make_executor=make_executor)
    return Library.of(settings).media()


def at_their_mount(root: str) -> None:
    os.environ[ROOT_VARIABLE] = root


def test_workers_may_have_the_uploads_elsewhere(tmp_path: Path) -> None:
    """Here are only names and sizes; where the workers look there are pictures."""
    here, there = tmp_path / "here" / "uploads", tmp_path / "there"
    tree(there, lambda second: picture(second))
    tree(here, lambda second: b"\0" * len(picture(second)))
    make = partial(ProcessPool, 2, partial(at_their_mount, str(there)))
    assert media(tmp_path / "one", here, make)["state"].tolist() == ["complete"] * 3
    assert media(tmp_path / "two", here, partial(pool, 2))["state"].tolist() == ["damaged"] * 3


def test_threads_processes_and_others_make_the_same_library(tmp_path: Path) -> None:
    uploads = tmp_path / "uploads"
    tree(uploads, lambda second: picture(second))
    first = media(tmp_path / "processes", uploads, partial(pool, 2))
    for name, make in (("threads", partial(ThreadPoolExecutor, 2)), ("remote", Remote)):
        other = media(tmp_path / name, uploads, make)
        drop = ["thumb"]  # named at random
        pd.testing.assert_frame_equal(other.drop(columns=drop), first.drop(columns=drop))


def test_a_task_names_its_file_as_the_column_does() -> None:
    assert examine.Task("porch/x.jpg", "snapshot", None).path == "porch/x.jpg"
