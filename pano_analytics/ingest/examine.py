"""Opening files in worker processes: what `inspection` finds in each, or why it failed."""

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

# Few enough that a killed process loses little, enough that passing tasks costs little.
BATCH = 12
# A clip of an hour takes less, even from a slow disk; a decoder in an endless loop never ends.
LIMIT_S = 300.0
# Processor time for any file, and one second more per 10 MB.
_CPU_S, _CPU_BYTES = 30.0, 10_000_000


class Task(NamedTuple):
    """One file to open: its path as stored, its kind by its name, and its expected duration."""

    path: str
    kind: str
    expected_duration_s: float | None


class Outcome(NamedTuple):
    """The result of a task: the inspection, or why there is none.

    `trouble` is "changed" (written to while it was read), "gone" or "unreadable".
    """

    inspection: Inspection | None
    trouble: str | None = None
    reason: str | None = None


def crew(root: Path, make_executor: MakeExecutor, workers: int) -> Crew[Task, Outcome]:
    """Return the workers that open files below the upload root, each batch in one worker."""
    work = partial(open_batch, root)
    return Crew(make_executor, workers, work, given_up, BATCH, LIMIT_S)


def given_up(task: Task, what: str) -> Outcome:
    """Return the outcome for a file that exceeds the limits of the worker.

    It may be complete: the limits are pano's own.
    """
    return Outcome(Inspection("unsupported", f"too large to look at: reading it {what}"))


def prepare() -> None:
    """Import what is needed to open files, so that the first file does not wait for it."""
    import av  # noqa: F401
    from PIL import JpegImagePlugin  # noqa: F401

    from pano_analytics import inspection  # noqa: F401


def open_batch(root: Path, tasks: Sequence[Task]) -> list[Outcome]:
    """Inspect the files of one batch in this process; never raises because of file contents."""
    confine_worker()
    # Exclude existing objects from the collection after each file.
    gc.collect()
    gc.freeze()
    root = root_here(root)
    return [_open(locate(root, task.path), task) for task in tasks]


def _open(file: Path, task: Task) -> Outcome:
    from pano_analytics import inspection

    try:
        allow(_CPU_S + file.lstat().st_size / _CPU_BYTES)
        result = inspection.inspect_file(file, task.kind, task.expected_duration_s)
    except inspection.MediaChanged as error:
        return Outcome(None, "changed", str(error))
    except FileNotFoundError:
        return Outcome(None, "gone", "removed before it was read")
    except MediaError as error:
        return Outcome(None, "unreadable", str(error))
    finally:
        # Decoders are in reference cycles: until these are collected, the memory of one file
        # counts against the limit of the next.
        gc.collect()
    return Outcome(result)
