"""Root that is bound by the modes of files, as everybody else is."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION_3 = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2


@contextmanager
def bound_by_modes() -> Iterator[None]:
    """Take from this thread, and those that it starts, the right to read what modes forbid."""
    if os.geteuid():
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    held = (ctypes.c_uint32 * 6)()
    _called(libc.capget(header, held))
    bound = (ctypes.c_uint32 * 6)(*held)
    bound[0] &= ~(_DAC_OVERRIDE | _DAC_READ_SEARCH)
    _called(libc.capset(header, bound))
    try:
        yield
    finally:
        _called(libc.capset(header, held))


def _called(answer: int) -> None:
    if answer:
        raise OSError(ctypes.get_errno(), "capabilities cannot be asked or set")
