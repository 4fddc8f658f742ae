"""The library's time: how much time has certainly passed, whatever the computer's clock says.

A wall clock may be wrong, and may jump. The time since the computer was started does neither,
so elapsed time is known exactly until the next start. Across a restart only the wall clock is
available, and it is trusted for half a day at most. The sum is the *library's time*: it never
runs backwards and never jumps. The journal stamps its entries with it, and culling measures
ages by it.

If the wall clock disagrees with it, this is reported (`Time.doubt`) and nothing is deleted
until they agree again or the owner has confirmed the clock. `docs/design/time.md` explains
the rules.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pano_analytics.errors import AttentionNeeded, LibraryError
from pano_analytics.model.times import from_epoch_us
from pano_analytics.settings import Settings
from pano_analytics.store.storage import Storage
from pano_analytics.store.tree import ADOPTED
from pano_analytics.wording import many

PAGE = "clock.json"
"""The file in a library's folder in which it keeps track of time."""
_FORMAT = 1
_HEARTBEAT, _HEARTBEAT_FORMAT = "state/heartbeat.json", 1
_S = 1_000_000
# Clocks are corrected by seconds all the time. More than this is a jump.
APART_US = 600 * _S
# The longest time that a restarted computer may have been off without the clock being in
# doubt. Less than the shortest `keep_days`: no restart makes a new upload old.
OFF_US = 12 * 3600 * _S
# Corrections of up to a thousandth of the elapsed time are due to a slow or fast clock
# crystal, and are accepted silently.
_DRIFT = 1000
# A name agrees with an arrival that was stamped by a wrong clock if it is at most this much
# before the corrected arrival: uploads may be late, and the error of the clock is known only
# to within half a day.
_LATE_US = 18 * 3600 * _S
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ClockDoubt(AttentionNeeded):
    """The computer's clock disagrees with the library's time."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Readings of the wall clock (µs UTC) and the time since the start (µs), and which start."""

    wall_us: int
    boot_us: int
    boot_id: str


def clocks() -> Clocks:
    """Read this computer's clocks. The time since the start includes time asleep."""
    since_start = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    try:
        boot_id = _BOOT_ID.read_text().strip()
    except OSError:
        boot_id = "unknown"
    boot_us = time.clock_gettime_ns(since_start) // 1000
    return Clocks(time.time_ns() // 1000, boot_us, boot_id)


@dataclass(frozen=True, slots=True)
class Run:
    """A period in which the wall clock ran steadily, without a jump.

    `steady_us` is its difference to the time since the start; `from_us` and `to_us` are its
    first and last reading. All in microseconds.
    """

    steady_us: int
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Behind:
    """From `from_us` to `to_us`, the wall clock was behind by `by_us` µs or slightly less."""

    from_us: int
    to_us: int
    by_us: int


@dataclass(frozen=True, slots=True)
class ClockMemory:
    """The state at the last reading of the clocks; all in microseconds.

    `time_us` is the library's time, and `ahead_us` how far a correct wall clock is ahead of
    it. `start_time_us` and `start_boot_us` are the library's time and the time since the
    start at the first reading after this start. `run` is the wall clock's run since its last
    jump, `before` are its runs before jumps that are not yet explained. `behind` are the
    periods in which it is known to have been behind.
    """

    time_us: int
    ahead_us: int
    boot_id: str
    boot_us: int
    start_time_us: int
    start_boot_us: int
    run: Run
    before: tuple[Run, ...] = ()
    behind: tuple[Behind, ...] = ()

    @classmethod
    def begun(cls, time_us: int, now: Clocks) -> ClockMemory:
        """Return the first state, at the library's time `time_us`, with a correct wall clock."""
        run = Run(now.wall_us - now.boot_us, now.wall_us, now.wall_us)
        return cls(time_us, 0, now.boot_id, now.boot_us, time_us, now.boot_us, run)

    def apart_us(self) -> int:
        """Return the µs that the wall clock is ahead of what it should say (below 0: behind)."""
        return self.run.steady_us + self.boot_us - self.time_us - self.ahead_us

    @property
    def is_agreed(self) -> bool:
        return abs(self.apart_us()) <= APART_US


def advance(known: ClockMemory, now: Clocks) -> ClockMemory:
    """Return the state at the reading `now`, from the state at the last reading."""
    is_same_start = now.boot_id == known.boot_id and now.boot_us >= known.boot_us
    if not is_same_start:
        known = _after_start(known, now)
    passed_us = now.boot_us - known.boot_us
    since_start_us = now.boot_us - known.start_boot_us
    off_us = now.wall_us - known.ahead_us - known.start_time_us - since_start_us
    if not 0 < off_us <= OFF_US:
        off_us = 0  # no time that the computer may have been off explains this
    time_us = max(known.time_us + passed_us, known.start_time_us + off_us + since_start_us)
    advanced = replace(known, time_us=time_us, boot_us=now.boot_us)
    return _with_explained_jumps(_with_drift(_with_run(advanced, now), passed_us))


def _after_start(known: ClockMemory, now: Clocks) -> ClockMemory:
    """Return the state at the first reading after a start: no time has certainly passed."""
    behind, apart_us = known.behind, known.apart_us()
    if apart_us < -APART_US:
        # How long the computer had been off before is unknown, but half a day at most.
        behind += (Behind(known.run.from_us, known.run.to_us, OFF_US - apart_us),)
    return replace(
        known,
        boot_id=now.boot_id,
        boot_us=now.boot_us,
        start_time_us=known.time_us,
        start_boot_us=now.boot_us,
        run=Run(now.wall_us - now.boot_us, now.wall_us, now.wall_us),
        before=(),
        behind=behind,
    )


def _with_run(known: ClockMemory, now: Clocks) -> ClockMemory:
    """Continue the wall clock's run, or begin a new one if it jumped."""
    run, steady_us = known.run, now.wall_us - now.boot_us
    if abs(steady_us - run.steady_us) <= APART_US:
        return replace(known, run=replace(run, steady_us=steady_us, to_us=now.wall_us))
    return replace(known, run=Run(steady_us, now.wall_us, now.wall_us), before=(*known.before, run))


def _with_drift(known: ClockMemory, passed_us: int) -> ClockMemory:
    if not known.is_agreed:
        return known
    most_us = passed_us // _DRIFT
    return replace(known, ahead_us=known.ahead_us + min(max(known.apart_us(), -most_us), most_us))


def _with_explained_jumps(known: ClockMemory) -> ClockMemory:
    """Record, once the wall clock is correct, how far it was behind before its jumps."""
    if not known.is_agreed:
        return known
    behind = tuple(
        Behind(run.from_us, run.to_us, by_us)
        for run in known.before
        if (by_us := known.run.steady_us - run.steady_us) > APART_US
    )
    return replace(known, before=(), behind=known.behind + behind)


def confirmed(known: ClockMemory) -> ClockMemory:
    """Return the state after the owner confirmed that the wall clock is correct now.

    The library's time does not change. If the computer was in fact off for that long, nothing
    was uploaded in that time, and existing uploads are only kept for longer.
    """
    return _with_explained_jumps(replace(known, ahead_us=known.ahead_us + known.apart_us()))


# --- the library's page ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Time:
    """The library's time, at one reading of the clocks and continued since."""

    known: ClockMemory

    def now_us(self) -> int:
        """Return the library's time now, in µs since 1970 UTC; it never runs backwards."""
        now = clocks()
        is_same_start = now.boot_id == self.known.boot_id
        passed_us = now.boot_us - self.known.boot_us if is_same_start else 0
        return self.known.time_us + max(passed_us, 0)

    def now(self) -> datetime:
        """Return the library's time now (aware, UTC)."""
        return from_epoch_us(self.now_us())

    @property
    def at_us(self) -> int:
        """The library's time at this reading, in microseconds since 1970 UTC."""
        return self.known.time_us

    @property
    def wall(self) -> datetime:
        """The time of this computer's clock at this reading (aware, UTC)."""
        return from_epoch_us(self.known.run.steady_us + self.known.boot_us)

    @property
    def doubt(self) -> str | None:
        """What is wrong with this computer's clock and what to do; None if it is correct."""
        known = self.known
        if known.is_agreed:
            return None
        apart_us = known.apart_us()
        expected = from_epoch_us(known.time_us + known.ahead_us)
        return (
            f"this computer's clock says {self.wall:%Y-%m-%d %H:%M} UTC; by the time that has "
            f"passed since pano last ran it should say {expected:%Y-%m-%d %H:%M} UTC: it is "
            f"{_span(apart_us)} {'ahead' if apart_us > 0 else 'behind'}. "
            f"If it is wrong, set it, preferably with a time server. If it is right now, or this "
            f"computer was switched off for that long, run `pano clock --confirm`. Until then, "
            f"nothing is deleted."
        )

    def require(self) -> None:
        """Raise ClockDoubt if the clock is in doubt; called before anything irreversible."""
        if self.doubt:
            raise ClockDoubt(f"expected a plausible clock: {self.doubt}")

    def behind(self) -> tuple[Behind, ...]:
        """Return the periods in which the wall clock was behind, including the current one."""
        apart_us = self.known.apart_us()
        if apart_us >= -APART_US:
            return self.known.behind
        run = self.known.run
        # In whole hours and without an end, so that it stays the same while the clock does.
        by_us = (OFF_US - apart_us) // (3600 * _S) * (3600 * _S)
        return (*self.known.behind, Behind(run.from_us, _FOREVER_US, by_us))


_FOREVER_US = 1 << 62


def _span(us: int) -> str:
    seconds = abs(us) / _S
    for unit, size in (("years", 31_557_600), ("days", 86_400), ("hours", 3600)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return many(round(seconds / 60), "minute")


def read_time(storage: Storage, wall: datetime | None = None) -> Time:
    """Return the library's time; nothing is written.

    `wall` replaces the reading of this computer's clock. Raises LibraryError if the file
    PAGE cannot be read.
    """
    now = clocks()
    if wall is not None:
        now = replace(now, wall_us=int(wall.timestamp() * _S))
    known = _read(storage)
    return Time(advance(known or _first(storage, now), now))


def keep(storage: Storage, wall: datetime | None = None) -> Time:
    """Return the library's time and store it in the library. Lock holder only."""
    library_time = read_time(storage, wall)
    _write(storage, library_time.known)
    return library_time


def confirm(storage: Storage) -> Time:
    """Record that the owner confirmed this computer's clock. Lock holder only."""
    library_time = Time(confirmed(read_time(storage).known))
    _write(storage, library_time.known)
    return library_time


def trouble(settings: Settings, storage: Storage) -> str | None:
    """Return why the clock is in doubt, or None.

    For commands and pages that report the state of the library. A clock that is ahead matters
    only if uploads are culled; one that is behind stamps arrivals wrongly.
    """
    if not storage.exists(PAGE):
        return None
    try:
        library_time = read_time(storage)
    except LibraryError as error:
        return str(error)
    is_culled = settings.cull.scheduled or storage.exists(ADOPTED)
    return library_time.doubt if is_culled or library_time.known.apart_us() < 0 else None


def _first(storage: Storage, now: Clocks) -> ClockMemory:
    """Return the first state, from the journal and heartbeat, as if after a restart."""
    # The journal imports Arrow, which is not needed otherwise.
    from pano_analytics.store.journal import Journal

    last_us = max(Journal(storage).last_us(), _heartbeat_us(storage))
    if not last_us:
        return ClockMemory.begun(now.wall_us, now)
    run = Run(last_us - now.boot_us, last_us, last_us)
    return replace(ClockMemory.begun(last_us, now), boot_id="", run=run)


def _heartbeat_us(storage: Storage) -> int:
    beat = storage.document(_HEARTBEAT, _HEARTBEAT_FORMAT)
    try:
        return int(datetime.fromisoformat(str((beat or {})["finished"])).timestamp() * _S)
    except (KeyError, ValueError):
        return 0


def _read(storage: Storage) -> ClockMemory | None:
    try:
        document = json.loads(storage.read(PAGE))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(storage, error) from error
    try:
        return _known(document)
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(storage, error) from error


def _known(document: dict[str, Any]) -> ClockMemory:
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']!r}")
    values = dict(document["known"])
    values["run"] = Run(**values["run"])
    values["before"] = tuple(Run(**one) for one in values["before"])
    values["behind"] = tuple(Behind(**one) for one in values["behind"])
    return ClockMemory(**values)


def _unreadable(storage: Storage, error: Exception) -> LibraryError:
    return LibraryError(
        f"{storage.path(PAGE)}: expected the file in which pano keeps track of time; {error}. "
        f"Restore it "
        f"with `pano restore`, or delete it: pano then starts from the journal."
    )


def _write(storage: Storage, known: ClockMemory) -> None:
    document = {"format": _FORMAT, "known": asdict(known)}
    storage.replace(PAGE, json.dumps(document, separators=(",", ":")).encode())


def latest_us(behind: tuple[Behind, ...], arrived_us: int) -> int:
    """Return the latest time that a stamp of this computer's clock can mean (both µs UTC)."""
    by_us = (one.by_us for one in behind if _is_stamped(one, arrived_us))
    return arrived_us + max(by_us, default=0)


def _is_stamped(one: Behind, arrived_us: int) -> bool:
    return one.from_us - APART_US <= arrived_us <= one.to_us + APART_US


def corrected_us(behind: tuple[Behind, ...], arrived_us: int, named_us: int) -> int:
    """Return when an upload arrived, corrected by the time in its name (all µs UTC).

    That is `arrived_us`, unless it was stamped while the clock was behind and the name agrees
    with the correct time: then it is the time in the name.
    """
    for one in behind:
        right_us = arrived_us + one.by_us
        if _is_stamped(one, arrived_us) and right_us - _LATE_US <= named_us <= right_us + APART_US:
            return named_us
    return arrived_us
