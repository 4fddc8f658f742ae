"""Hostile files are opened in processes with limits: memory, processor time, and a deadline.

A file costs what it is, not what it claims. A process that opens uploads is `confine`d:
beyond its limit it gets no memory, and beyond its processor time the kernel ends it. Workers
of ingest are such processes; everybody else hands the work to one with `call`.
"""

from __future__ import annotations

import atexit
import errno
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NoReturn

from pano_analytics.errors import MediaError

MEMORY_BYTES = 512 << 20
"""What looking at one file may take; 8 megapixels of H.265 take 165 MB."""

_IDLE_S = 60.0
_DATA_PAGES = 5  # the field of /proc/self/statm

_is_confined = False


class Ended(Exception):
    """The work was ended or failed; the text continues a sentence: "took longer than 60 s"."""


def confine(memory_bytes: int = MEMORY_BYTES) -> None:
    """Limit this process, once and for good, to `memory_bytes` more than it holds now.

    RLIMIT_DATA counts private memory that may be written to, and neither the address
    space that thread pools reserve nor the libraries that are mapped, as RLIMIT_AS does.
    """
    global _is_confined
    if _is_confined:
        return
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[_DATA_PAGES])
    _lower(resource.RLIMIT_DATA, pages * resource.getpagesize() + memory_bytes)
    _lower(resource.RLIMIT_CORE, 0)
    _is_confined = True


def _lower(which: int, limit: int) -> None:
    _, hard = resource.getrlimit(which)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(which, (limit, limit))


def allow(cpu_s: float) -> None:
    """Let a confined process use `cpu_s` more seconds of processor time; then SIGXCPU ends it."""
    if _is_confined:
        used = resource.getrusage(resource.RUSAGE_SELF)
        until = int(used.ru_utime + used.ru_stime + cpu_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether `error` is the answer to a wish for memory beyond the limit."""
    return isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM


# --- the caller ---------------------------------------------------------------------------


def call(
    function: Callable[..., Any],
    *arguments: Any,
    limit_s: float,
    cpu_s: float,
    memory_bytes: int = MEMORY_BYTES,
) -> Any:
    """Return `function(*arguments)`, called in a confined process.

    The function is named by its module, and what goes in and comes out is JSON: what a
    hostile file makes of that process is read as data. Raises MediaError as the function
    does, and Ended after `limit_s` seconds, after `cpu_s` seconds of processor time, where
    the memory does not suffice, or where the process ends.
    """
    job = {
        "module": function.__module__,
        "function": function.__qualname__,
        "arguments": arguments,
        "cpu_s": cpu_s,
    }
    child = _taken(memory_bytes)
    try:
        reply = child.ask(job, limit_s)
    except BaseException:
        child.end()
        raise
    if "value" in reply:
        _give_back(child)
        return reply["value"]
    # What a bad file left in that process is nobody else's.
    child.end()
    raise MediaError(reply["error"]) if "error" in reply else Ended(reply["failed"])


class _Child:
    """A confined process that does one job after another."""

    def __init__(self, memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from {__name__} import attend; attend({memory_bytes})"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, job: dict[str, Any], limit_s: float) -> dict[str, Any]:
        """Return the reply to a job; raises Ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise Ended("ended its process") from error
        if not wait([self.process.stdout.fileno()], limit_s):
            raise Ended(f"took longer than {limit_s:g} s")
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            raise Ended(_how(self.process.wait(), job["cpu_s"]))
        return dict(json.loads(line))

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.communicate()


def _how(code: int, cpu_s: float) -> str:
    if code == -signal.SIGXCPU:
        return f"took more than {cpu_s:g} s of processor time"
    return f"ended its process ({_name(-code)})" if code < 0 else "ended its process"


def _name(number: int) -> str:
    return signal.strsignal(number) or f"signal {number}"


# One stays for whoever asks next: starting it takes a good part of a second on a small box.
_idle: deque[_Child] = deque()


def _taken(memory_bytes: int) -> _Child:
    try:
        child = _idle.pop()
    except IndexError:
        return _Child(memory_bytes)
    if child.memory_bytes == memory_bytes and child.process.poll() is None:
        return child
    child.end()
    return _Child(memory_bytes)


def _give_back(child: _Child) -> None:
    if _idle:
        child.end()
        return
    _idle.append(child)
    timer = threading.Timer(_IDLE_S, _dismiss, [child])
    timer.daemon = True
    timer.start()


def _dismiss(child: _Child) -> None:
    try:
        _idle.remove(child)
    except ValueError:
        return  # at work, or gone
    child.end()


def _dismiss_all() -> None:
    while _idle:
        _idle.pop().end()


atexit.register(_dismiss_all)
os.register_at_fork(after_in_child=_idle.clear)


# --- the confined process -----------------------------------------------------------------


def attend(memory_bytes: int) -> None:
    """Do the jobs that come on standard input until it closes. For `call` alone."""
    # The caller is signalled too, and ends this one by closing its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.umask(0o077)
    os.dup2(2, 1)  # a library that prints must not speak in a reply
    threading.Thread(target=_end_with_caller, daemon=True).start()
    confine(memory_bytes)
    for line in sys.stdin.buffer:
        print(json.dumps(_reply(json.loads(line))), file=replies, flush=True)


def _end_with_caller() -> NoReturn:
    poll = select.poll()
    poll.register(0, 0)  # nothing but that the other end was closed
    poll.poll()
    os._exit(1)


def _reply(job: dict[str, Any]) -> dict[str, Any]:
    try:
        function = getattr(importlib.import_module(job["module"]), job["function"])
        allow(job["cpu_s"])
        return {"value": function(*job["arguments"])}
    except MediaError as error:
        return {"error": str(error)}
    except Exception as error:
        # Whatever hostile bytes make a library raise: it is told, and costs this process.
        if is_out_of_memory(error):
            return {"failed": "needs more memory than the limit per file"}
        return {"failed": f"failed: {type(error).__name__}: {error}"}
