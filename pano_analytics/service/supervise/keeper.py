"""One child process: started, listened to, asked, ended; started again when it died."""

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
from pano_analytics.service.supervise.parts import Errand, Part, Ran
from pano_analytics.service.supervise.state import PartState, Word, now

log = logging.getLogger("pano.up")

LOOK_EVERY_S = 2.0
"""How often it is asked whether a part is wanted, or an errand due."""
ASK_EVERY_S, ASK_DEAF_S, ASK_FIRST_S = 15.0, 2.0, 0.5
"""How often a part is asked whether it is well: usually, after no answer, while it starts."""
START_S = 120.0
"""How long a part may start."""
ALIVE_S = 3.0
"""A part that cannot be asked is well once it has been at work for so long."""
DEAF_AFTER = 3
"""So many questions without an answer, and it is started anew."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
MENDING_S = 30.0
"""How long it may take us to bring a part back before somebody else is to try."""
STEADY_S = 60.0
"""After so long at work, the next wait is the first one again."""
ERRAND_S = 6 * 3600.0
"""How long an errand may take."""
LONGEST_LINE = 4000
LAST_WORDS_S = 2.0
"""How long what a process said last may take to arrive."""


class Child:
    """A process of ours, in a group of its own, whose lines go to the log under its name."""

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
            # Ctrl-C is for the supervisor alone, which then ends all in order.
            start_new_session=True,
            env={**environment(os.getpid()), **self.extra},
        )
        listening = asyncio.ensure_future(self._listen())
        try:
            code = await self.process.wait()
            # What it started itself ends with it, and may hold its end of the pipe.
            self.signal(signal.SIGKILL)
            await asyncio.wait([listening], timeout=LAST_WORDS_S)
            return code
        finally:
            self.signal(signal.SIGKILL)
            listening.cancel()

    async def _listen(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        rest = b""
        while data := await self.process.stdout.read(1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._say(line)
        self._say(rest)

    def _say(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()[:LONGEST_LINE]
        if text:
            self.last_line = text
            log.info("%s: %s", self.name, text)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and all that it started; nothing where they are gone."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)


class _Kept:
    """What parts and errands have in common: a state that others are told of."""

    def __init__(self, name: str, state: Word, child: Child, told: Callable[[], None]) -> None:
        self.child = child
        self.state = PartState(name, state, now())
        self.is_stopping = False
        self._ill_since: float | None = time.monotonic()
        self._told = told

    @property
    def is_in_hand(self) -> bool:
        """Whether starting everything anew would mend nothing here.

        It is well, ended with a reason for its owner, or is being brought back.
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
            self._told()

    def _ending(self, code: int) -> str:
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit {code}"
        last = f": {self.child.last_line}" if code > 0 and self.child.last_line else ""
        return f"ended {how}{last}"


class Keeper(_Kept):
    """Keeps one part at work."""

    def __init__(self, part: Part, told: Callable[[], None]) -> None:
        super().__init__(part.name, "starting", Child(part.name, part.environment), told)
        self.part = part
        self._wait_s = FIRST_WAIT_S

    async def keep(self) -> None:
        """Start the part whenever it is wanted and not at work, until all are stopped."""
        while True:
            await self._until_wanted()
            code = await self._once()
            if self.is_stopping:
                return
            if code is None:
                continue
            detail = self._ending(code)
            log.warning("%s %s; again in %.0f s", self.part.name, detail, self._wait_s)
            restarts = self.state.restarts + 1
            self._become("down", restarts=restarts, exit_code=code, detail=detail)
            await asyncio.sleep(self._wait_s)
            self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)

    async def _until_wanted(self) -> None:
        while not self.part.is_wanted():
            self._become("off")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _once(self) -> int | None:
        """Run it once; return how it ended, or None where it is no longer wanted."""
        if self.state.state != "down":
            self._become("starting")
        log.info("%s starts", self.part.name)
        running = asyncio.ensure_future(self.child.run(self.part.arguments))
        watching = asyncio.ensure_future(self._watch())
        try:
            await asyncio.wait([running, watching], return_when=asyncio.FIRST_COMPLETED)
            is_unwanted = watching.done() and not self.part.is_wanted()
            if not running.done():  # not wanted, or deaf for too long
                self.child.signal(signal.SIGTERM if is_unwanted else signal.SIGKILL)
            code = await running
            return None if is_unwanted else code
        finally:
            watching.cancel()
            running.cancel()

    async def _watch(self) -> None:
        """Return when the part is to be ended: no longer wanted, or deaf."""
        began, silent = time.monotonic(), 0
        while self.part.is_wanted():
            await asyncio.sleep(self._pause_s())
            at_work_s = time.monotonic() - began
            if await self._answers(at_work_s):
                silent = 0
                self._note_up(at_work_s)
            elif self.state.state in ("up", "deaf") or at_work_s > START_S:
                silent += 1
                self._become("deaf", detail="it is not responding")
                if silent >= DEAF_AFTER:
                    log.warning("%s is not responding", self.part.name)
                    return

    def _pause_s(self) -> float:
        return {"up": ASK_EVERY_S, "deaf": ASK_DEAF_S}.get(self.state.state, ASK_FIRST_S)

    async def _answers(self, at_work_s: float) -> bool:
        if self.part.is_well is None:
            return at_work_s > ALIVE_S
        return await asyncio.to_thread(self.part.is_well)

    def _note_up(self, at_work_s: float) -> None:
        if self.state.state != "up":
            self._become("up", was_well=True, detail="")
        if at_work_s > STEADY_S:
            self._wait_s = FIRST_WAIT_S


class Runner(_Kept):
    """Runs one errand when it is due."""

    def __init__(self, errand: Errand, told: Callable[[], None]) -> None:
        super().__init__(errand.name, "waiting", Child(errand.name), told)
        self.errand = errand
        self._began = time.monotonic()
        self._ended: float | None = None
        self._ran = Ran(0.0)

    async def run_if_due(self) -> None:
        """Run the errand if it is due, and note how it went."""
        mark = self.errand.mark()
        if self.is_stopping or not self.errand.is_due(self._since(), mark):
            return
        log.info("%s starts", self.errand.name)
        self._become("running")
        began = time.monotonic()
        code = await self._run()
        if bool(self.is_stopping):  # told so meanwhile
            return
        self._ended = time.monotonic()
        is_failed = code != 0
        kept = self._ran.mark if is_failed else mark
        self._ran = Ran(0.0, None, self._ended - began, kept, is_failed)
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
        return replace(self._ran, up_s=at - self._began, since_s=since_s)
