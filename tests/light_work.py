"""Work for the tests of executors, in a module that workers import in no time."""

from __future__ import annotations

import time
from collections.abc import Sequence


def doubled(numbers: Sequence[int]) -> list[int]:
    """Return each number twice as large."""
    return [number * 2 for number in numbers]


def slow(numbers: Sequence[int]) -> list[int]:
    """Return each number twice as large; 13 takes nine seconds."""
    if 13 in numbers:
        time.sleep(9)
    return doubled(numbers)


def stand_still() -> None:
    """Return after ten minutes."""
    time.sleep(600)
