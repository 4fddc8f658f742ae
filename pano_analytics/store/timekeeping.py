"""How much time has surely passed, whatever anybody sets this computer's clock to.

A wall clock may be wrong, and may leap. The time since the computer started does
neither, so within one run of the computer elapsed time is known exactly. From one
start to the next only the wall clock tells, and it is believed for half a day at
most. What is added up in this way is the *library's time*: it never runs backwards
and never leaps. The journal stamps its notes with it, and culling measures ages by it.

Where the wall clock does not agree with it, that is said (`Time.doubt`) and nothing
is deleted until they agree again or the owner has confirmed the clock. The rules and
their reasons stand in `docs/design/time.md`.
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
"""What a library knows of time: a page in its folder."""
_FORMAT = 1
_HEARTBEAT, _HEARTBEAT_FORMAT = "state/heartbeat.json", 1
_S = 1_000_000
# Clocks are corrected by seconds all the time. More than this is a leap.
APART_US = 600 * _S
# For so long at most a computer that started again is believed to have been off without
# a question. Less than the shortest `keep_days`: no restart makes a fresh upload old.
OFF_US = 12 * 3600 * _S
# Corrections that add up to a thousandth of the time that passed are those of a slow or
# fast crystal, followed without a word.
_DRIFT = 1000
# A name agrees with an arrival that was stamped by a wrong clock, if it lies within this
# before the corrected arrival: uploads come late, and how wrong the clock was is known
# to within the half day.
_LATE_US = 18 * 3600 * _S
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ClockDoubt(AttentionNeeded):
    """The computer's clock disagrees with the time that the library knows has passed."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """What the clocks say: the wall clock (µs UTC), the time since a start, and which start."""

    wall_us: int
    boot_us: int
    boot_id: str


def clocks() -> Clocks:
    """Read this computer's clocks. Time asleep counts as time since the start."""
    since_start = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    try:
        boot_id = _BOOT_ID.read_text().strip()
    except OSError:
        boot_id = "unknown"
    boot_us = time.clock_gettime_ns(since_start) // 1000
    return Clocks(time.time_ns() // 1000, boot_us, boot_id)


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch in which the wall clock ran on steadily, without a leap.

    `steady_us` is its distance to the time since the start; `from_us` and `to_us`
    are what it said first and last.
    """

    steady_us: int
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Behind:
    """Between `from_us` and `to_us` the wall clock was behind by `by_us`, or by a little less."""

    from_us: int
    to_us: int
    by_us: int


@dataclass(frozen=True, slots=True)
class ClockMemory:
    """What was known of time at the last look; all in microseconds.

    `time_us` is the library's time, `ahead_us` how far ahead of it a right wall clock
    is. `start_time_us` and `start_boot_us` are the library's time and the time since
    the start at the first look after this start. `run` is how the wall clock has run since
    its last leap, `before` its runs before leaps that are not yet explained.
    `behind` are the times in which it is known to have been behind.
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
        """Begin at the library's time `time_us`, if the wall clock is right now."""
        run = Run(now.wall_us - now.boot_us, now.wall_us, now.wall_us)
        return cls(time_us, 0, now.boot_id, now.boot_us, time_us, now.boot_us, run)

    def apart_us(self) -> int:
        """Return how far the wall clock is ahead of what it should say (below 0: behind)."""
        return self.run.steady_us + self.boot_us - self.time_us - self.ahead_us

    @property
    def is_agreed(self) -> bool:
        return abs(self.apart_us()) <= APART_US


def advance(known: ClockMemory, now: Clocks) -> ClockMemory:
    """Return what is known at `now`, from what was known at the last look."""
    is_same_start = now.boot_id == known.boot_id and now.boot_us >= known.boot_us
    if not is_same_start:
        known = _started(known, now)
    passed_us = now.boot_us - known.boot_us
    since_start_us = now.boot_us - known.start_boot_us
    off_us = now.wall_us - known.ahead_us - known.start_time_us - since_start_us
    if not 0 < off_us <= OFF_US:
        off_us = 0  # nothing that it was off for explains this
    time_us = max(known.time_us + passed_us, known.start_time_us + off_us + since_start_us)
    told = replace(known, time_us=time_us, boot_us=now.boot_us)
    return _settled(_drifted(_ran_on(told, now), passed_us))


def _started(known: ClockMemory, now: Clocks) -> ClockMemory:
    """Return what is known at the first look after a start: no time has surely passed."""
    behind, apart_us = known.behind, known.apart_us()
    if apart_us < -APART_US:
        # How long the computer had been off before is not known, half a day at the most.
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


def _ran_on(known: ClockMemory, now: Clocks) -> ClockMemory:
    """Carry the wall clock's run on, or begin another where it leapt."""
    run, steady_us = known.run, now.wall_us - now.boot_us
    if abs(steady_us - run.steady_us) <= APART_US:
        return replace(known, run=replace(run, steady_us=steady_us, to_us=now.wall_us))
    return replace(known, run=Run(steady_us, now.wall_us, now.wall_us), before=(*known.before, run))


def _drifted(known: ClockMemory, passed_us: int) -> ClockMemory:
    if not known.is_agreed:
        return known
    most_us = passed_us // _DRIFT
    return replace(known, ahead_us=known.ahead_us + min(max(known.apart_us(), -most_us), most_us))


def _settled(known: ClockMemory) -> ClockMemory:
    """Note, once the wall clock is right, how far it was behind before its leaps."""
    if not known.is_agreed:
        return known
    behind = tuple(
        Behind(run.from_us, run.to_us, by_us)
        for run in known.before
        if (by_us := known.run.steady_us - run.steady_us) > APART_US
    )
    return replace(known, before=(), behind=known.behind + behind)


def confirmed(known: ClockMemory) -> ClockMemory:
    """Return what is known once the owner said that the wall clock is right now.

    No time passes by it. Had the computer been off for as long as its clock was ahead,
    nothing came meanwhile, and what there is is kept for so much longer.
    """
    return _settled(replace(known, ahead_us=known.ahead_us + known.apart_us()))


# --- the library's page ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Time:
    """The library's time, as known at the last look and carried on since."""

    known: ClockMemory

    def now_us(self) -> int:
        """Return the library's time now, in microseconds; it never runs backwards."""
        now = clocks()
        is_same_start = now.boot_id == self.known.boot_id
        passed_us = now.boot_us - self.known.boot_us if is_same_start else 0
        return self.known.time_us + max(passed_us, 0)

    def now(self) -> datetime:
        """Return the library's time now (aware, UTC)."""
        return from_epoch_us(self.now_us())

    @property
    def at_us(self) -> int:
        """The library's time at this look, in microseconds."""
        return self.known.time_us

    @property
    def wall(self) -> datetime:
        """What this computer's clock said at this look (aware, UTC)."""
        return from_epoch_us(self.known.run.steady_us + self.known.boot_us)

    @property
    def doubt(self) -> str | None:
        """What is wrong with this computer's clock and what to do; None where it is right."""
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
        """Raise ClockDoubt where the clock is in doubt: nothing irreversible may be done."""
        if self.doubt:
            raise ClockDoubt(f"expected a plausible clock: {self.doubt}")

    def behind(self) -> tuple[Behind, ...]:
        """Return when the wall clock was behind, the present included where it is now."""
        apart_us = self.known.apart_us()
        if apart_us >= -APART_US:
            return self.known.behind
        run = self.known.run
        # To the hour, and without an end: it stays the same as long as the clock does.
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

    `wall` stands for what this computer's clock says. Raises LibraryError where the
    page cannot be read.
    """
    now = clocks()
    if wall is not None:
        now = replace(now, wall_us=int(wall.timestamp() * _S))
    known = _read(storage)
    return Time(advance(known or _first(storage, now), now))


def keep(storage: Storage, wall: datetime | None = None) -> Time:
    """Return the library's time and note it in the library. Lock holder only."""
    found = read_time(storage, wall)
    _write(storage, found.known)
    return found


def confirm(storage: Storage) -> Time:
    """Take the clock of this computer for right, as its owner says. Lock holder only."""
    found = Time(confirmed(read_time(storage).known))
    _write(storage, found.known)
    return found


def trouble(settings: Settings, storage: Storage) -> str | None:
    """Return why culling is held back because of the clock, None where it is not.

    For all that tell people how the library is doing. A clock that is ahead matters only
    where uploads are to be culled; one that is behind stamps arrivals wrongly.
    """
    if not storage.exists(PAGE):
        return None
    try:
        found = read_time(storage)
    except LibraryError as error:
        return str(error)
    is_culled = settings.cull.scheduled or storage.exists(ADOPTED)
    return found.doubt if is_culled or found.known.apart_us() < 0 else None


def _first(storage: Storage, now: Clocks) -> ClockMemory:
    """Begin with what journal and heartbeat last knew: as if the computer had started since."""
    # The journal loads Arrow, which whoever only asks about the clock can do without.
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
    """Return the latest that a moment may have been that this computer's clock stamped (µs)."""
    by_us = (one.by_us for one in behind if _is_stamped(one, arrived_us))
    return arrived_us + max(by_us, default=0)


def _is_stamped(one: Behind, arrived_us: int) -> bool:
    return one.from_us - APART_US <= arrived_us <= one.to_us + APART_US


def corrected_us(behind: tuple[Behind, ...], arrived_us: int, named_us: int) -> int:
    """Return when an upload arrived, held against the time that its name tells (both µs UTC).

    That is `arrived_us`, unless it was stamped while the clock was behind and the name
    agrees with the right time: then no earlier than the name.
    """
    for one in behind:
        right_us = arrived_us + one.by_us
        if _is_stamped(one, arrived_us) and right_us - _LATE_US <= named_us <= right_us + APART_US:
            return named_us
    return arrived_us
