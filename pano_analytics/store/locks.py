"""Who may write a library: one process at a time, for as long as it holds the lock."""

from __future__ import annotations

from contextlib import AbstractContextManager

from pano_analytics.store.storage import Storage

LOCK = "state/lock"


def writing(storage: Storage, wait: bool = False) -> AbstractContextManager[None]:
    """Hold the library as its only writer; the lock ends with the process, however that ends.

    Raises LibraryBusy if another process holds it and `wait` is False, and LibraryError where
    the library cannot be written to.
    """
    return storage.lock(LOCK, wait)


def is_written(storage: Storage) -> bool:
    """Tell whether a process is writing the library."""
    return storage.is_locked(LOCK)
