"""The supervisor: starts all parts, reports their health, and stops them in order."""

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
from pano_analytics.service.supervise import problems
from pano_analytics.service.supervise.health import PLACE, HealthServer
from pano_analytics.service.supervise.heartbeat import beat
from pano_analytics.service.supervise.keeper import LOOK_EVERY_S, Keeper, Runner
from pano_analytics.service.supervise.notify import notify, watchdog_s
from pano_analytics.service.supervise.parts import Errand, ServiceCommand
from pano_analytics.service.supervise.state import LOCK, PartState, forget_state, now, write_state
from pano_analytics.settings import Settings, Up
from pano_analytics.store.home import places
from pano_analytics.store.storage import Storage

log = logging.getLogger("pano.up")

LOG_NAME = "log/up.log"
READY_S = 60.0
"""After so long, READY is sent even if a part is still starting."""
STOP_S = 8.0
"""How long parts may take to stop; containers are killed after ten seconds."""
LIBRARY_EVERY_S = 30.0
"""How often uploads and library are checked."""


class SuperviseError(PanoError):
    """The parts cannot be supervised."""

    exit_code = 7


def up(
    settings: Settings,
    parts: Sequence[ServiceCommand],
    errands: Sequence[Errand] = (),
    *,
    is_quiet: bool = False,
    on_well: Callable[[], object] = lambda: None,
) -> None:
    """Run `parts` and `errands` until SIGTERM, SIGINT or SIGHUP; then stop them in order.

    Their output goes to one log file, and also to stderr (only warnings if `is_quiet`).
    `on_well` is called once, when all parts are well for the first time. Raises
    SettingsError if uploads or library are not set or the log cannot be written,
    SuperviseError if another supervisor is running or the health port is not available.
    """
    storage = _library(settings)
    handlers = _log_to(settings, storage, is_quiet)
    try:
        with storage.lock(LOCK):
            asyncio.run(_Supervisor(settings, storage, parts, errands).run(on_well))
    except LibraryBusy:
        raise SuperviseError(
            f"{storage.address()}: expected no other `pano up` for this library; one is running. "
            f"`pano status` shows its state."
        ) from None
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


def _library(settings: Settings) -> Storage:
    storage = places(settings).storage
    storage.make()
    return storage


def _log_to(settings: Settings, storage: Storage, is_quiet: bool) -> list[logging.Handler]:
    path = settings.up.log or storage.path(LOG_NAME)
    if settings.up.log is None:
        storage.make_folder(str(Path(LOG_NAME).parent))
    console = on_stderr("%(message)s" if "JOURNAL_STREAM" in os.environ else FORM)
    console.setLevel(logging.WARNING if is_quiet else logging.INFO)
    handlers = [rotating(path, settings.uploads), console]
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
        parts: Sequence[ServiceCommand],
        errands: Sequence[Errand],
    ) -> None:
        self.settings, self.storage = settings, storage
        self.keepers = [Keeper(part, self._changed) for part in parts]
        self.runners = [Runner(errand, self._changed) for errand in errands]
        self.started, self._began = now(), time.monotonic()
        self.problems: list[problems.Problem] = []
        self._written: dict[str, Any] = {}
        self._change = asyncio.Event()

    async def run(self, on_well: Callable[[], object]) -> None:
        """Run everything until a signal to stop arrives."""
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
            await self._stop(tasks)
            forget_state(self.storage)
            log.info("stopped")

    def _tasks(self, on_well: Callable[[], object]) -> list[Any]:
        tasks = [keeper.keep() for keeper in self.keepers]
        tasks += [
            self._run_errands(),
            self._check_library(),
            self._announce_well(on_well),
            self._notify_manager(),
        ]
        return [*tasks, self._beat()] if _has_heartbeat(self.settings.up) else tasks

    async def _until(self, stop: asyncio.Event, tasks: list[asyncio.Future[Any]]) -> None:
        """Return when `stop` is set. Raises the exception of a task, if one fails."""
        waiting = asyncio.ensure_future(stop.wait())
        pending: list[asyncio.Future[Any]] = [waiting, *tasks]
        while not waiting.done():
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
                pending.remove(task)
        waiting.cancel()

    def _health_server(self) -> HealthServer:
        config = self.settings.up
        try:
            return HealthServer(config.health_address, config.health_port, self.report)
        except OSError as error:
            is_taken = error.errno == errno.EADDRINUSE
            raise SuperviseError(
                f"expected port {config.health_port} on {config.health_address} for the health "
                f"address; {'another program uses it' if is_taken else error.strerror}. Choose "
                f"another with health_port under [up] (0 picks a free one)."
            ) from error

    def _all(self) -> list[Keeper | Runner]:
        return [*self.keepers, *self.runners]

    # --- health report ------------------------------------------------------

    def report(self) -> dict[str, Any]:
        """Return the state of all parts and the problems, ready for JSON."""
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
        report = self.report()
        if report == self._written:
            return
        try:
            write_state(self.storage, report)
            self._written = report
        except (PanoError, OSError) as error:
            log.warning("the state of `pano up` could not be saved: %s", error)

    def _is_settled(self) -> bool:
        """Return whether every part has been well, is off, or ended with an error to fix."""
        states = [keeper.state for keeper in self.keepers]
        return all(one.was_well or one.state == "off" or one.is_explained for one in states)

    def _is_in_hand(self) -> bool:
        return all(kept.is_in_hand for kept in self._all())

    def _is_well(self) -> bool:
        return all(kept.state.is_well for kept in self._all())

    async def _announce_well(self, on_well: Callable[[], object]) -> None:
        await self._wait_for(self._is_well)
        log.info("all parts are running")
        on_well()

    async def _notify_manager(self) -> None:
        """Notify the service manager of the start, then twice per watchdog interval."""
        await self._until_settled()
        notify("READY=1", "STATUS=running")
        every_s = watchdog_s()
        while every_s is not None:
            await self._wait_for(self._is_in_hand)
            notify("WATCHDOG=1")
            await asyncio.sleep(every_s / 2)

    async def _until_settled(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                await self._wait_for(self._is_settled)

    async def _wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._change.clear()
            await self._change.wait()

    async def _beat(self) -> None:
        """Send the heartbeat as long as all is well."""
        config = self.settings.up
        await self._until_settled()
        trouble: str | None = None
        while True:
            if self.report()["is_healthy"]:
                before, trouble = trouble, await asyncio.to_thread(beat, config)
                if trouble and trouble != before:
                    log.warning("the heartbeat failed: %s", trouble)
                elif before and not trouble:
                    log.info("the heartbeat works again")
            await asyncio.sleep(config.heartbeat_minutes * 60)

    async def _check_library(self) -> None:
        """Check uploads and library regularly, and log new problems."""
        while True:
            up_s = time.monotonic() - self._began
            found = await asyncio.to_thread(problems.find, self.settings, up_s)
            if found != self.problems:
                for problem in found:
                    log.warning("%s: %s", problem["what"], problem["detail"])
                self.problems = found
                self._changed()
            await asyncio.sleep(LIBRARY_EVERY_S)

    async def _run_errands(self) -> None:
        """Run the errands that are due, one at a time."""
        while True:
            for runner in self.runners:
                await runner.run_if_due()
            await asyncio.sleep(LOOK_EVERY_S)

    # --- stopping -----------------------------------------------------------

    async def _stop(self, tasks: list[asyncio.Future[Any]]) -> None:
        """Stop all children: SIGTERM first, then SIGKILL."""
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
    # Under nohup, SIGHUP is ignored, and must stay so.
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([] if is_ignored else [signal.SIGHUP])]


def _has_heartbeat(config: Up) -> bool:
    return bool(config.heartbeat_url or config.heartbeat_command)


def _is_ill(part: PartState) -> bool:
    return not part.is_well


def _as_problem(part: PartState) -> problems.Problem:
    return {"what": "part_down", "detail": f"{part.part}: {part.state}; {part.detail}".strip("; ")}
