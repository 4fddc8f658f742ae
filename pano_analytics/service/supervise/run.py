"""The supervisor: starts all parts, tells how they are, ends them in order."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pano_analytics.errors import LibraryBusy, PanoError
from pano_analytics.logs import FORM, on_stderr, rotating
from pano_analytics.service.supervise import look
from pano_analytics.service.supervise.health import PLACE, HealthServer
from pano_analytics.service.supervise.heartbeat import beat
from pano_analytics.service.supervise.keeper import LOOK_EVERY_S, Keeper, Runner
from pano_analytics.service.supervise.notify import notify, watchdog_s
from pano_analytics.service.supervise.parts import Errand, Part
from pano_analytics.service.supervise.state import LOCK, PartState, forget_state, now, write_state
from pano_analytics.settings import Settings, Up
from pano_analytics.store.storage import Storage

log = logging.getLogger("pano.up")

LOG_NAME = "log/up.log"
READY_S = 60.0
"""After so long it is at work for the service manager, whatever a part still waits for."""
STOP_S = 8.0
"""How long parts may take to end; containers are killed after ten seconds."""
LIBRARY_EVERY_S = 30.0
"""How often uploads and library are looked at."""


class SuperviseError(PanoError):
    """The parts cannot be kept at work as asked."""

    exit_code = 7


def up(
    settings: Settings,
    parts: Sequence[Part],
    errands: Sequence[Errand] = (),
    *,
    is_quiet: bool = False,
    on_well: Callable[[], object] = lambda: None,
) -> None:
    """Keep `parts` at work and run `errands` until SIGTERM, SIGINT or SIGHUP ends it in order.

    All they say goes to one log file, and unless `is_quiet` to stderr.
    `on_well` is called once, when all parts are well for the first time. Raises
    SettingsError where uploads or library are not set or the log cannot be
    written, SuperviseError where another supervisor is at work or the health
    port cannot be had.
    """
    storage = Storage(_library(settings))
    handlers = _log_to(settings, storage, is_quiet)
    try:
        with storage.lock(LOCK):
            asyncio.run(_Supervisor(settings, storage, parts, errands).run(on_well))
    except LibraryBusy:
        raise SuperviseError(
            f"{storage.root}: expected no other `pano up` for this library; one is running. `pano "
            f"status` shows its state."
        ) from None
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


def _library(settings: Settings) -> Path:
    settings.the_uploads()
    library = settings.the_library()
    Storage(library).make()
    return library


def _log_to(settings: Settings, storage: Storage, is_quiet: bool) -> list[logging.Handler]:
    path = settings.up.log or storage.path(LOG_NAME)
    if settings.up.log is None:
        storage.make_folder(str(Path(LOG_NAME).parent))
    shown = on_stderr("%(message)s" if "JOURNAL_STREAM" in os.environ else FORM)
    shown.setLevel(logging.WARNING if is_quiet else logging.INFO)
    handlers = [rotating(path, settings.uploads), shown]
    for handler in handlers:
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    return handlers


class _Supervisor:
    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        parts: Sequence[Part],
        errands: Sequence[Errand],
    ) -> None:
        self.settings, self.storage = settings, storage
        self.keepers = [Keeper(part, self._changed) for part in parts]
        self.runners = [Runner(errand, self._changed) for errand in errands]
        self.started, self._began = now(), time.monotonic()
        self.problems: list[look.Problem] = []
        self._written: dict[str, Any] = {}
        self._change = asyncio.Event()

    async def run(self, on_well: Callable[[], object]) -> None:
        """Keep all at work until told to stop."""
        health = self._health_server()
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in _stop_signals():
            loop.add_signal_handler(number, stop.set)
        log.info(
            "up with %s; health at http://%s:%d%s",
            ", ".join(kept.state.part for kept in self._all()),
            self.settings.up.health_address,
            health.port,
            PLACE,
        )
        tasks = [asyncio.ensure_future(task) for task in self._tasks(on_well)]
        try:
            await self._until(stop, tasks)
        finally:
            log.info("stopping")
            notify("STOPPING=1")
            await self._end(tasks)
            forget_state(self.storage)
            log.info("stopped")

    def _tasks(self, on_well: Callable[[], object]) -> list[Any]:
        tasks = [keeper.keep() for keeper in self.keepers]
        tasks += [self._errands(), self._look(), self._greet(on_well), self._tell_manager()]
        return [*tasks, self._beat()] if _has_heartbeat(self.settings.up) else tasks

    async def _until(self, stop: asyncio.Event, tasks: list[asyncio.Future[Any]]) -> None:
        """Return when told to stop; raise what a task of ours raised, which none should."""
        waiting = asyncio.ensure_future(stop.wait())
        asked: list[asyncio.Future[Any]] = [waiting, *tasks]
        while not waiting.done():
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
                asked.remove(task)
        waiting.cancel()

    def _health_server(self) -> HealthServer:
        said = self.settings.up
        try:
            return HealthServer(said.health_address, said.health_port, self.tell)
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            raise SuperviseError(
                f"expected port {said.health_port} on {said.health_address} for the health "
                f"address; {'another program uses it' if is_taken else error.strerror}. Choose "
                f"another with health_port under [up] (0 picks a free one)."
            ) from error

    def _all(self) -> list[Keeper | Runner]:
        return [*self.keepers, *self.runners]

    # --- what is told -------------------------------------------------------

    def tell(self) -> dict[str, Any]:
        """Return how all are doing, ready for JSON."""
        parts = [kept.state for kept in self._all()]
        problems = [*map(_as_problem, filter(_is_ill, parts)), *self.problems]
        return {
            "is_healthy": not problems,
            "pid": os.getpid(),
            "started": self.started.isoformat(timespec="seconds"),
            "parts": [part.to_json() for part in parts],
            "problems": problems,
        }

    def _changed(self) -> None:
        self._change.set()
        said = self.tell()
        if said == self._written:
            return
        try:
            write_state(self.storage, said)
            self._written = said
        except (PanoError, OSError) as error:
            log.warning("the state of `pano up` could not be saved: %s", error)

    def _is_settled(self) -> bool:
        """Tell whether every part has been well, or said why it cannot be."""
        states = [keeper.state for keeper in self.keepers]
        return all(one.was_well or one.state == "off" or one.is_explained for one in states)

    def _is_in_hand(self) -> bool:
        return all(kept.is_in_hand for kept in self._all())

    def _is_well(self) -> bool:
        return all(kept.state.is_well for kept in self._all())

    async def _greet(self, on_well: Callable[[], object]) -> None:
        await self._wait_for(self._is_well)
        log.info("all parts are running")
        on_well()

    async def _tell_manager(self) -> None:
        """Say that all started, then that all is well, twice as often as is wanted."""
        await self._until_settled()
        notify("READY=1", "STATUS=at work")
        every_s = watchdog_s()
        while every_s is not None:
            await self._wait_for(self._is_in_hand)
            notify("WATCHDOG=1")
            await asyncio.sleep(every_s / 2)

    async def _until_settled(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                await self._wait_for(self._is_settled)

    async def _wait_for(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._change.clear()
            await self._change.wait()

    async def _beat(self) -> None:
        """Let others know, as long as all is well."""
        said = self.settings.up
        await self._until_settled()
        trouble: str | None = None
        while True:
            if self.tell()["is_healthy"]:
                before, trouble = trouble, await asyncio.to_thread(beat, said)
                if trouble and trouble != before:
                    log.warning("the heartbeat failed: %s", trouble)
                elif before and not trouble:
                    log.info("the heartbeat works again")
            await asyncio.sleep(said.heartbeat_minutes * 60)

    async def _look(self) -> None:
        """Look at uploads and library again and again."""
        while True:
            up_s = time.monotonic() - self._began
            found = await asyncio.to_thread(look.problems, self.settings, up_s)
            if found != self.problems:
                for problem in found:
                    log.warning("%s: %s", problem["what"], problem["detail"])
                self.problems = found
                self._changed()
            await asyncio.sleep(LIBRARY_EVERY_S)

    async def _errands(self) -> None:
        """Run what is due, one at a time."""
        while True:
            for runner in self.runners:
                await runner.run_if_due()
            await asyncio.sleep(LOOK_EVERY_S)

    # --- the end ------------------------------------------------------------

    async def _end(self, tasks: list[asyncio.Future[Any]]) -> None:
        """End all children: first asked to, then made to."""
        for kept in self._all():
            kept.is_stopping = True
        processes = [kept.child.process for kept in self._all() if kept.child.process]
        alive = [process for process in processes if process.returncode is None]
        for kept in self._all():
            kept.child.signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await asyncio.gather(*(process.wait() for process in alive))
        for kept in self._all():
            kept.child.signal(signal.SIGKILL)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _stop_signals() -> list[signal.Signals]:
    # nohup has SIGHUP ignored, and means it.
    hung_up = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([] if hung_up else [signal.SIGHUP])]


def _has_heartbeat(said: Up) -> bool:
    return bool(said.heartbeat_url or said.heartbeat_command)


def _is_ill(part: PartState) -> bool:
    return not part.is_well


def _as_problem(part: PartState) -> look.Problem:
    return {"what": "part_down", "detail": f"{part.part}: {part.state}; {part.detail}".strip("; ")}
