"""What confined processes are asked to do in tests; light, for each starts with nothing loaded."""

from __future__ import annotations

import os
import time


def swell(megabytes: int) -> int:
    """Hold so much memory; for a confined process."""
    return len(bytearray(megabytes << 20))


def spin() -> None:
    """Never end; for a confined process."""
    while True:
        pass


def sleep(seconds: float) -> None:
    """Wait; for a confined process."""
    time.sleep(seconds)


def crash() -> None:
    """End as a library does that reads where nothing is."""
    os.kill(os.getpid(), 11)


def speak(text: str) -> str:
    """Print as a library does that explains itself, and return `text`."""
    print("hello")
    os.write(1, b"hello\n")
    return text


def work_for(seconds: float) -> None:
    """Use so much processor time; for a confined process."""
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass
