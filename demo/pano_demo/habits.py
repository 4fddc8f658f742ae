"""What a camera makes of a moment: names, bursts, clips, arrivals and the files that fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Protocol
from zoneinfo import ZoneInfo

from pano_demo.cameras import DemoCamera, camera_named
from pano_demo.story import INCIDENT, DemoEvent

# A camera keeps a few seconds in memory, so that a clip begins before what set it off.
LEAD_S = 4
SHORTEST_CLIP_S = 8
LONGEST_CLIP_S = 14
SCHEDULED = "scheduled"

# Of 77 clips of a real camera 8 held no snapshot; snapshots without a clip come
# mostly from what stopped as soon as it began, so from false alarms.
_NO_SNAPSHOT_SHARE = 0.10
_NO_CLIP_SHARE = {True: 0.42, False: 0.10}
_USUAL_BURST_SHARE = 0.66
_IDX_SHARE = 0.6
# What fails, as (fault, kind of file, share of the files of that kind); at least one each.
_FAULTS = (
    ("truncated", "snapshot", 0.0022),
    ("empty", "snapshot", 0.0010),
    ("truncated", "clip", 0.006),
    ("empty", "clip", 0.003),
    ("stub", "clip", 0.002),
)
_REBOOT_AFTER = timedelta(hours=3, minutes=12)


@dataclass(frozen=True, slots=True)
class Act:
    """What is seen: the name of a motion of the scenery (or an effect) and its length."""

    name: str
    duration_s: float


class Casting(Protocol):
    """Gives the act for a role before a camera at a moment."""

    def __call__(self, camera: str, role: str, what: str, at: datetime) -> Act: ...


@dataclass(frozen=True, slots=True)
class DemoUpload:
    """One file that a camera sends.

    `wall_start` and `wall_end` are naive and what the camera's clock said; `true_start`
    and `arrived` are aware (UTC) and right; `offset_s` counts from the start of the
    recording; `fault` is None or truncated, empty, stub (a clip of 156 bytes) or again
    (uploaded a second time, hours later).
    """

    path: str
    kind: str
    wall_start: datetime
    wall_end: datetime | None
    true_start: datetime
    arrived: datetime
    offset_s: int
    fault: str | None = None
    has_idx: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """A moment as recorded: `start` to `end` (aware, UTC) and the uploads that show it."""

    moment: DemoEvent
    act: Act
    start: datetime
    end: datetime
    wall_start: datetime
    uploads: tuple[DemoUpload, ...]

    @property
    def length_s(self) -> int:
        """The length of the recording, in whole seconds as its name tells it."""
        return round((self.end - self.start).total_seconds())


def record(
    moments: Iterable[DemoEvent],
    casting: Casting,
    *,
    seed: int,
    zone: ZoneInfo,
    end: datetime,
    silent_from: datetime,
    longest_s: int = LONGEST_CLIP_S,
) -> list[Event]:
    """Return the events that the cameras make of `moments`, all arrived by `end`."""
    recorder = _Recorder(casting, seed, zone, longest_s)
    events = [recorder.event(moment) for moment in moments]
    kept = [event for event in events if _has_happened(event, end, silent_from)]
    return _with_faults(kept, seed, end)


def clip_length_s(act: Act, longest_s: int) -> int:
    """Return how long a clip of `act` runs, in whole seconds."""
    return min(longest_s, max(SHORTEST_CLIP_S, round(LEAD_S + act.duration_s + 1)))


def _has_happened(event: Event, end: datetime, silent_from: datetime) -> bool:
    is_lost = camera_named(event.moment.camera).goes_silent and event.start >= silent_from
    return not is_lost and all(upload.arrived <= end for upload in event.uploads)


class _Recorder:
    def __init__(self, casting: Casting, seed: int, zone: ZoneInfo, longest_s: int) -> None:
        self.casting = casting
        self.seed = seed
        self.zone = zone
        self.longest_s = longest_s
        self.busy_until: dict[str, datetime] = {}

    def event(self, moment: DemoEvent) -> Event:
        act = self.casting(moment.camera, moment.role, moment.what, moment.at)
        start = (moment.at - timedelta(seconds=LEAD_S)).replace(microsecond=0)
        # What happens while a camera is still recording is recorded when it is done.
        busy = self.busy_until.get(moment.camera, start)
        start = max(start, busy)
        event = self._record(moment, act, start)
        if moment.role != SCHEDULED:
            self.busy_until[moment.camera] = event.end + timedelta(seconds=1)
        return event

    def _record(self, moment: DemoEvent, act: Act, start: datetime) -> Event:
        camera = camera_named(moment.camera)
        rng = Random(f"{self.seed} habit {camera.name} {start.isoformat()}")
        length_s = 1 if moment.role == SCHEDULED else clip_length_s(act, self.longest_s)
        uploads = tuple(self._uploads(camera, moment, start, length_s, rng))
        # A burst without a clip may go on for longer than a clip would have.
        last_s = max([length_s, *(upload.offset_s + 1 for upload in uploads)])
        end = start + timedelta(seconds=last_s)
        return Event(moment, act, start, end, self._wall(camera, start), uploads)

    def _wall(self, camera: DemoCamera, moment: datetime) -> datetime:
        """Return what the camera's clock says at `moment`."""
        return (moment.astimezone(self.zone) + camera.clock_offset).replace(tzinfo=None)

    def _uploads(
        self, camera: DemoCamera, moment: DemoEvent, start: datetime, length_s: int, rng: Random
    ) -> Iterator[DemoUpload]:
        has_clip, offsets = _choose(camera, moment, length_s, rng)
        arrived = start
        for offset_s in offsets:
            shot = start + timedelta(seconds=offset_s)
            arrived = max(arrived, shot) + timedelta(milliseconds=rng.randint(900, 2400))
            yield self._snapshot(camera, moment, shot, arrived, offset_s)
        if has_clip:
            end = start + timedelta(seconds=length_s)
            arrived = max(arrived, end) + timedelta(milliseconds=rng.randint(1800, 6500))
            yield self._clip(camera, start, end, arrived, rng)

    def _snapshot(
        self,
        camera: DemoCamera,
        moment: DemoEvent,
        shot: datetime,
        arrived: datetime,
        offset_s: int,
    ) -> DemoUpload:
        wall = self._wall(camera, shot)
        letter = "R" if moment.role == SCHEDULED else "M"
        return DemoUpload(
            snapshot_path(camera, wall, letter), "snapshot", wall, None, shot, arrived, offset_s
        )

    def _clip(
        self, camera: DemoCamera, start: datetime, end: datetime, arrived: datetime, rng: Random
    ) -> DemoUpload:
        wall = self._wall(camera, start), self._wall(camera, end)
        has_idx = camera.clip_suffix == ".dav" and rng.random() < _IDX_SHARE
        return DemoUpload(
            clip_path(camera, *wall), "clip", *wall, start, arrived, 0, has_idx=has_idx
        )


def _choose(
    camera: DemoCamera, moment: DemoEvent, length_s: int, rng: Random
) -> tuple[bool, list[int]]:
    """Return whether a clip is made, and the offsets of the snapshots in seconds."""
    if moment.role == SCHEDULED:
        return False, [0]
    first = rng.choices((6, 7, 8), (5, 4, 1))[0]
    burst = range(first, first + _burst(camera, rng))
    within = [offset_s for offset_s in burst if offset_s < length_s]
    if moment.kind == INCIDENT:
        return True, within
    if rng.random() < _NO_CLIP_SHARE[moment.false_sort is not None]:
        return False, list(burst)
    return True, [] if rng.random() < _NO_SNAPSHOT_SHARE else within


def _burst(camera: DemoCamera, rng: Random) -> int:
    usual = camera.snapshots_per_event
    return usual if rng.random() < _USUAL_BURST_SHARE else rng.randint(1, usual + 2)


# --- names ----------------------------------------------------------------------------------


def snapshot_path(camera: DemoCamera, wall: datetime, letter: str = "M") -> str:
    """Return where `camera` uploads the snapshot it takes at the naive time `wall`."""
    day = f"{camera.name}/{camera.serial}/{wall:%Y-%m-%d}"
    tail = f"[{letter}][0@0][0].jpg"
    if camera.clip_suffix == ".mp4":
        return f"{day}/{wall:%H}hour/jpg/{wall:%H.%M.%S}{tail}"
    return f"{day}/001/jpg/{wall:%H/%M/%S}{tail}"


def clip_path(camera: DemoCamera, start: datetime, end: datetime) -> str:
    """Return where `camera` uploads the clip from `start` to `end` (naive)."""
    day = f"{camera.name}/{camera.serial}/{start:%Y-%m-%d}"
    name = f"{start:%H.%M.%S}-{end:%H.%M.%S}[M][0@0][0]{camera.clip_suffix}"
    folder = f"{start:%H}hour/mp4" if camera.clip_suffix == ".mp4" else f"001/dav/{start:%H}"
    return f"{day}/{folder}/{name}"


# --- faults ---------------------------------------------------------------------------------


def _with_faults(events: Sequence[Event], seed: int, end: datetime) -> list[Event]:
    """Return `events` with a few of their uploads failed, none of the incident's."""
    rng = Random(f"{seed} faults")
    spared = {
        upload.path for event in events for upload in event.uploads if event.moment.kind == INCIDENT
    }
    faults: dict[str, str] = {}
    for fault, kind, share in _FAULTS:
        for path in _victims(events, fault, kind, share, spared | set(faults), rng):
            faults[path] = fault
    failed = [_fail(event, faults) for event in events]
    return _upload_again(failed, rng, end)


def _victims(
    events: Sequence[Event], fault: str, kind: str, share: float, spared: set[str], rng: Random
) -> list[str]:
    suffix = ".dav" if fault == "stub" else ""
    paths = [upload.path for event in events for upload in event.uploads if upload.kind == kind]
    open_to = [path for path in paths if path not in spared and path.endswith(suffix)]
    return rng.sample(open_to, min(len(open_to), max(1, round(share * len(paths)))))


def _fail(event: Event, faults: dict[str, str]) -> Event:
    uploads = tuple(_failed(upload, faults.get(upload.path)) for upload in event.uploads)
    return replace(event, uploads=uploads)


def _failed(upload: DemoUpload, fault: str | None) -> DemoUpload:
    if fault != "stub":
        return replace(upload, fault=fault)
    # A stub is a clip that ended in the second in which it began, and says so in its name.
    folder, _, name = upload.path.rpartition("/")
    begin, _, tail = name.partition("-")
    path = f"{folder}/{begin}-{begin}{tail[tail.index('[') :]}"
    return replace(upload, path=path, wall_end=upload.wall_start, fault="stub", has_idx=False)


def _upload_again(events: list[Event], rng: Random, end: datetime) -> list[Event]:
    """Let one camera start anew and send an event's files a second time."""
    able = [
        index
        for index, event in enumerate(events)
        if len(event.uploads) >= 3
        and event.moment.kind != INCIDENT
        and event.end + _REBOOT_AFTER + timedelta(minutes=5) <= end
        and not any(upload.fault for upload in event.uploads)
    ]
    if able:
        index = rng.choice(able)
        events[index] = _later(events[index])
    return events


def _later(event: Event) -> Event:
    back = event.end + _REBOOT_AFTER
    uploads = tuple(
        replace(upload, arrived=back + timedelta(milliseconds=1370 * number), fault="again")
        for number, upload in enumerate(event.uploads)
    )
    return replace(event, uploads=uploads)
