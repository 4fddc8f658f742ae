"""Progress bars on the terminal, one per phase, for commands that take long."""

from __future__ import annotations

import sys
from typing import Any

import click


class ProgressBar:
    """Shows progress: call it with the name of the phase, the count done and the total."""

    def __init__(self) -> None:
        self._phase = ""
        self._bar: Any = None
        self._done = 0

    def __call__(self, phase: str, done: int, total: int) -> None:
        if phase != self._phase:
            self.close()
            self._phase, self._done = phase, 0
            self._bar = click.progressbar(length=total, label=phase, file=sys.stderr, show_pos=True)
            self._bar.__enter__()
        self._bar.update(done - self._done)
        self._done = done

    def close(self) -> None:
        """End the current bar; the next call starts a new one."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
