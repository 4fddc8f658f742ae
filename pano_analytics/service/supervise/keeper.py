"""Child processes of `pano up`: started, logged, checked, stopped, and restarted if they fail."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from pano_analytics.service.supervise.child import environment
from pano_analytics.service.supervise.parts import Errand, Ran, ServiceCommand
from pano_analytics.service.supervise.state import PartState, Word, now

log = logging.getLogger("pano.up")

LOOK_EVERY_S = 2.0
"""How often to check whether a part is wanted, or an errand due."""
CHECK_EVERY_S, CHECK_DEAF_S, CHECK_FIRST_S = 15.0, 2.0, 0.5
"""How often a part's health is checked: usually, after no answer, and while it starts."""
START_S = 120.0
"""How long a part may take to start."""
ALIVE_S = 3.0
"""A part without a health check counts as well after running for so long."""
DEAF_AFTER = 3
"""A part is restarted after so many checks without an answer."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
MENDING_S = 30.0
"""How long a part may stay down before the service manager should restart `pano up`."""
STEADY_S = 60.0
"""After running for so long, a part's next restart waits FIRST_WAIT_S again."""
ERRAND_S = 6 * 3600.0
"""How long an errand may take."""
LONGEST_LINE = 4000
LAST_OUTPUT_S = 2.0
"""How long to wait for the last output of a process that ended."""


class Child:
    """A child process in its own process group; its output goes to the log under its name."""

    def __init__(self, name: str, extra: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.extra = extra or {}
        self.process: Process | None = None
        self.last_line = ""

    async def run(self, arguments: tuple[str, ...]) -> int:
        """Run `pano` with `arguments` to its end and return its exit code (negative: a signal)."""
        self.last_line = ""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pano_analytics.cli",
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            # Only the supervisor gets Ctrl-C; it then stops all children in order.
            start_new_session=True,
            env={**environment(os.getpid()), **self.extra},
        )
        reading = asyncio.ensure_future(self._read_output())
        try:
            code = await self.process.wait()
            # End its own children too: they may hold its end of the pipe.
            self.signal(signal.SIGKILL)
            await asyncio.wait([reading], timeout=LAST_OUTPUT_S)
            return code
        finally:
            self.signal(signal.SIGKILL)
            reading.cancel()

    async def _read_output(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        rest = b""
        while data := await self.process.stdout.read(1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._log_line(line)
        self._log_line(rest)

    def _log_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()[:LONGEST_LINE]
        if text:
            self.last_line = text
            log.info("%s: %s", self.name, text)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process group; do nothing if it is gone."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)


class _Supervised:
    """What parts and errands have in common: a state, and a callback for its changes."""

    def __init__(self, name: str, state: Word, child: Child, on_change: Callable[[], None]) -> None:
        self.child = child
        self.state = PartState(name, state, now())
        self.is_stopping = False
        self._ill_since: float | None = time.monotonic()
        self._on_change = on_change

    @property
    def is_in_hand(self) -> bool:
        """Whether restarting `pano up` would not help here.

        That is so if it is well, ended with an error that its owner must fix, or is being
        restarted.
        """
        ill_s = 0.0 if self._ill_since is None else time.monotonic() - self._ill_since
        return self.state.is_well or self.state.is_explained or ill_s < MENDING_S

    def _become(self, word: Word, **more: object) -> None:
        is_new = word != self.state.state
        since = now() if is_new else self.state.since
        self.state = replace(self.state, state=word, since=since, **more)  # type: ignore[arg-type]
        if self.state.is_well:
            self._ill_since = None
        elif self._ill_since is None:
            self._ill_since = time.monotonic()
        if is_new or more:
            self._on_change()

    def _ending(self, code: int) -> str:
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit {code}"
        last = f": {self.child.last_line}" if code > 0 and self.child.last_line else ""
        return f"ended {how}{last}"


class Keeper(_Supervised):
    """Runs one part, and restarts it when it ends."""

    def __init__(self, part: ServiceCommand, on_change: Callable[[], None]) -> None:
        super().__init__(part.name, "starting", Child(part.name, part.environment), on_change)
        self.part = part
        self._wait_s = FIRST_WAIT_S

    async def keep(self) -> None:
        """Start the part whenever it is wanted and not running, until `pano up` stops."""
        while True:
            await self._until_wanted()
            code = await self._once()
            if self.is_stopping:
                return
            if code is None:
                continue
            detail = self._ending(code)
            log.warning("%s %s; restarting in %.0f s", self.part.name, detail, self._wait_s)
            restarts = self.state.restarts + 1
            self._become("down", restarts=restarts, exit_code=code, detail=detail)
            await asyncio.sleep(self._wait_s)
            self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)

    async def _until_wanted(self) -> None:
        while not self.part.is_wanted():
            self._become("off")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _once(self) -> int | None:
        """Run the part once; return its exit code, or None if it is no longer wanted."""
        if self.state.state != "down":
            self._become("starting")
        log.info("%s starts", self.part.name)
        running = asyncio.ensure_future(self.child.run(self.part.arguments))
        watching = asyncio.ensure_future(self._watch())
        try:
            await asyncio.wait([running, watching], return_when=asyncio.FIRST_COMPLETED)
            is_unwanted = watching.done() and not self.part.is_wanted()
            if not running.done():  # not wanted, or not responding for too long
                self.child.signal(signal.SIGTERM if is_unwanted else signal.SIGKILL)
            code = await running
            return None if is_unwanted else code
        finally:
            watching.cancel()
            running.cancel()

    async def _watch(self) -> None:
        """Return when the part should be stopped: it is no longer wanted, or not responding."""
        began, unanswered = time.monotonic(), 0
        while self.part.is_wanted():
            await asyncio.sleep(self._pause_s())
            running_s = time.monotonic() - began
            if await self._answers(running_s):
                unanswered = 0
                self._note_up(running_s)
            elif self.state.state in ("up", "deaf") or running_s > START_S:
                unanswered += 1
                self._become("deaf", detail="it is not responding")
                if unanswered >= DEAF_AFTER:
                    log.warning("%s is not responding", self.part.name)
                    return

    def _pause_s(self) -> float:
        return {"up": CHECK_EVERY_S, "deaf": CHECK_DEAF_S}.get(self.state.state, CHECK_FIRST_S)

    async def _answers(self, running_s: float) -> bool:
        if self.part.is_well is None:
            return running_s > ALIVE_S
        return await asyncio.to_thread(self.part.is_well)

    def _note_up(self, running_s: float) -> None:
        if self.state.state != "up":
            self._become("up", was_well=True, detail="")
        if running_s > STEADY_S:
            self._wait_s = FIRST_WAIT_S


class Runner(_Supervised):
    """Runs one errand when it is due."""

    def __init__(self, errand: Errand, on_change: Callable[[], None]) -> None:
        super().__init__(errand.name, "waiting", Child(errand.name), on_change)
        self.errand = errand
        self._began = time.monotonic()
        self._ended: float | None = None
        self._last = Ran(0.0)

    async def run_if_due(self) -> None:
        """Run the errand if it is due, and note how it went."""
        mark = self.errand.mark()
        if self.is_stopping or not self.errand.is_due(self._since(), mark):
            return
        log.info("%s starts", self.errand.name)
        self._become("running")
        began = time.monotonic()
        code = await self._run()
        if bool(self.is_stopping):  # stopped meanwhile
            return
        self._ended = time.monotonic()
        is_failed = code != 0
        done_mark = self._last.mark if is_failed else mark
        self._last = Ran(0.0, None, self._ended - began, done_mark, is_failed)
        detail = self._ending(code) if is_failed else ""
        self._become("failed" if is_failed else "waiting", exit_code=code, detail=detail)
        if is_failed:
            log.warning("%s %s", self.errand.name, detail)

    async def _run(self) -> int:
        try:
            async with asyncio.timeout(ERRAND_S):
                return await self.child.run(self.errand.arguments)
        except TimeoutError:
            return -signal.SIGKILL

    def _since(self) -> Ran:
        at = time.monotonic()
        since_s = None if self._ended is None else at - self._ended
        return replace(self._last, up_s=at - self._began, since_s=since_s)
