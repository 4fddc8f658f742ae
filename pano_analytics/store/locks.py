"""The lock of a library: only the process that holds it may write."""

from __future__ import annotations

from contextlib import AbstractContextManager

from pano_analytics.store.storage import Storage

LOCK = "state/lock"


def writing(storage: Storage, wait: bool = False) -> AbstractContextManager[None]:
    """Hold the lock of the library; it is released when the process ends, even if killed.

    Raises LibraryBusy if another process holds it and `wait` is False, and LibraryError if
    the library is not writable.
    """
    return storage.lock(LOCK, wait)


def is_written(storage: Storage) -> bool:
    """Return whether a process holds the lock of the library."""
    return storage.is_locked(LOCK)
