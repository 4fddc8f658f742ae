"""A bar a phase on the terminal, for the deeds that take long."""

from __future__ import annotations

import sys
from typing import Any

import click


class Bar:
    """Shows how far a deed is: call it with the phase, what is done and how much there is."""

    def __init__(self) -> None:
        self._phase = ""
        self._bar: Any = None
        self._done = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._phase:
            self.close()
            self._phase, self._done = what, 0
            self._bar = click.progressbar(length=total, label=what, file=sys.stderr, show_pos=True)
            self._bar.__enter__()
        self._bar.update(done - self._done)
        self._done = done

    def close(self) -> None:
        """End the line; the next call begins a new bar."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
