"""Opening files: what `inspection` finds in each, or why it finds nothing."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pano_analytics.errors import MediaError
from pano_analytics.model.upload import Inspection, locate
from pano_analytics.workers.confined import allow
from pano_analytics.workers.crew import Crew, confine_worker
from pano_analytics.workers.executors import MakeExecutor, root_here

# So few that a killed process loses little, so many that handing over costs little.
BATCH = 12
# A clip of an hour comes from a slow disk in less; a decoder that goes round in
# circles never ends.
LIMIT_S = 300.0
# Bounded by what a file is: so much for any, and a second more for each 10 MB.
_CPU_S, _CPU_BYTES = 30.0, 10_000_000


class Task(NamedTuple):
    """One file to open: its path as in the column, what its name says it is, its length in s."""

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


def crew(root: Path, make_executor: MakeExecutor, workers: int) -> Crew[Task, Outcome]:
    """Return those who open files below the upload root, each batch in one worker."""
    work = partial(open_batch, root)
    return Crew(make_executor, workers, work, given_up, BATCH, LIMIT_S)


def given_up(task: Task, what: str) -> Outcome:
    """Return what is said of a file that exceeds the limits of whoever opens it.

    It may well be whole: the limits are ours.
    """
    return Outcome(Inspection("unsupported", f"too large to look at: reading it {what}"))


def prepare() -> None:
    """Load what opens files, so that the first of them need not wait for it."""
    import av  # noqa: F401
    from PIL import JpegImagePlugin  # noqa: F401

    from pano_analytics import inspection  # noqa: F401


def open_batch(root: Path, tasks: Sequence[Task]) -> list[Outcome]:
    """Inspect the files of one batch, in this process; never raises for what a file holds."""
    confine_worker()
    # What is here already is not looked through again after each file.
    gc.collect()
    gc.freeze()
    root = root_here(root)
    return [_open(locate(root, task.path), task) for task in tasks]


def _open(file: Path, task: Task) -> Outcome:
    from pano_analytics import inspection

    try:
        allow(_CPU_S + file.lstat().st_size / _CPU_BYTES)
        found = inspection.inspect_file(file, task.kind, task.expected_duration_s)
    except inspection.MediaChanged as error:
        return Outcome(None, "changed", str(error))
    except FileNotFoundError:
        return Outcome(None, "gone", "removed before it was read")
    except MediaError as error:
        return Outcome(None, "unreadable", str(error))
    finally:
        # Decoders lie in reference cycles: until these are collected, the memory of one
        # file counts against the next.
        gc.collect()
    return Outcome(found)
