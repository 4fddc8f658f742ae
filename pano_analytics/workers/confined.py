"""Open untrusted files in processes with limits: memory, processor time and a deadline.

A file can then use only limited resources, whatever it declares. A process that opens uploads
calls `confine`: beyond its limit it gets no memory, and beyond its processor time the kernel
ends it. Ingest workers are such processes; all other code passes the work to one with
`call`.
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
"""The memory limit for opening one file; 8 megapixels of H.265 take 165 MB."""

_IDLE_S = 60.0
_DATA_PAGES = 5  # the field of /proc/self/statm

_is_confined = False


class Ended(Exception):
    """The work was stopped or failed; the message continues a sentence: "took longer than 60 s"."""


def confine(memory_bytes: int = MEMORY_BYTES) -> None:
    """Limit this process permanently to `memory_bytes` more than it uses now.

    RLIMIT_DATA counts private writable memory. RLIMIT_AS would also count the address space
    that thread pools reserve, and mapped libraries.
    """
    global _is_confined
    if _is_confined:
        return
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[_DATA_PAGES])
    _lower_limit(resource.RLIMIT_DATA, pages * resource.getpagesize() + memory_bytes)
    _lower_limit(resource.RLIMIT_CORE, 0)
    _is_confined = True


def _lower_limit(resource_id: int, limit: int) -> None:
    _, hard = resource.getrlimit(resource_id)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource_id, (limit, limit))


def allow(cpu_s: float) -> None:
    """Let a confined process use `cpu_s` more seconds of processor time; then SIGXCPU ends it."""
    if _is_confined:
        used = resource.getrusage(resource.RUSAGE_SELF)
        until = int(used.ru_utime + used.ru_stime + cpu_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` means that the memory limit was reached."""
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

    The function is passed by name, and arguments and result as JSON, so that a process under
    a hostile file's control can return only data. Raises MediaError if the function does, and
    Ended after `limit_s` seconds, after `cpu_s` seconds of processor time, if the memory does
    not suffice, or if the process ends.
    """
    job = {
        "module": function.__module__,
        "function": function.__qualname__,
        "arguments": arguments,
        "cpu_s": cpu_s,
    }
    child = _take_child(memory_bytes)
    try:
        reply = child.ask(job, limit_s)
    except BaseException:
        child.end()
        raise
    if "value" in reply:
        _return_child(child)
        return reply["value"]
    # Do not reuse a process after an error: a bad file may have left it in a bad state.
    child.end()
    raise MediaError(reply["error"]) if "error" in reply else Ended(reply["failed"])


class _Child:
    """A confined process that runs one job after another."""

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
        """Return the reply to a job. Raises Ended."""
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
            raise Ended(_ending_of(self.process.wait(), job["cpu_s"]))
        return dict(json.loads(line))

    def end(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.communicate()


def _ending_of(code: int, cpu_s: float) -> str:
    if code == -signal.SIGXCPU:
        return f"took more than {cpu_s:g} s of processor time"
    return f"ended its process ({_signal_name(-code)})" if code < 0 else "ended its process"


def _signal_name(number: int) -> str:
    return signal.strsignal(number) or f"signal {number}"


# Keep one idle process: starting one takes most of a second on a small machine.
_idle: deque[_Child] = deque()


def _take_child(memory_bytes: int) -> _Child:
    try:
        child = _idle.pop()
    except IndexError:
        return _Child(memory_bytes)
    if child.memory_bytes == memory_bytes and child.process.poll() is None:
        return child
    child.end()
    return _Child(memory_bytes)


def _return_child(child: _Child) -> None:
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
        return  # busy, or already ended
    child.end()


def _dismiss_all() -> None:
    while _idle:
        _idle.pop().end()


atexit.register(_dismiss_all)
os.register_at_fork(after_in_child=_idle.clear)


# --- the confined process -----------------------------------------------------------------


def attend(memory_bytes: int) -> None:
    """Run the jobs from standard input until it closes. Only for `call`."""
    # The caller gets these signals too, and ends this process by closing its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.umask(0o077)
    os.dup2(2, 1)  # output of a library must not mix with the replies
    threading.Thread(target=_end_with_caller, daemon=True).start()
    confine(memory_bytes)
    for line in sys.stdin.buffer:
        print(json.dumps(_reply(json.loads(line))), file=replies, flush=True)


def _end_with_caller() -> NoReturn:
    poll = select.poll()
    poll.register(0, 0)  # wait only for the other end to close
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
        # Hostile bytes can make a library raise anything. The caller then ends this process.
        if is_out_of_memory(error):
            return {"failed": "needs more memory than the limit per file"}
        return {"failed": f"failed: {type(error).__name__}: {error}"}
