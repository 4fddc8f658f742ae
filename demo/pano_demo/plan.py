"""Everything that will be made, decided before the first picture is painted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from pano_demo import habits
from pano_demo.cameras import CAMERAS, DemoCamera, camera_named
from pano_demo.cast import act_for
from pano_demo.days import DemoDay, all_days, wall
from pano_demo.habits import SCHEDULED, Act, Event
from pano_demo.planes import WIDTH
from pano_demo.story import INCIDENT, DemoEvent, tell
from pano_demo.sun import Look, light_at, look_at

_SILENT_FOR = timedelta(hours=46)
# Shorter trees have no time for a camera to fall silent in.
_FEWEST_DAYS_WITH_SILENCE = 5
_SMALL_DAYS = 3
_SCHEDULED_HOUR = 12.0
_NEVER = datetime.max.replace(tzinfo=UTC)
_UNFINISHED_FOR = timedelta(seconds=13)


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """The whole demonstration: its cameras, days and events, in order of time.

    `end` is aware, in the home's zone; nothing arrives later. `unfinished` is a recording
    whose clip is still being uploaded at `end`, or None; `width` that of all pictures.
    """

    seed: int
    end: datetime
    cameras: tuple[DemoCamera, ...]
    days: tuple[DemoDay, ...]
    events: tuple[Event, ...]
    unfinished: Event | None
    width: int = WIDTH

    @property
    def zone(self) -> ZoneInfo:
        """The zone of the home."""
        assert isinstance(self.end.tzinfo, ZoneInfo)
        return self.end.tzinfo

    @property
    def is_small(self) -> bool:
        """Whether it is so short that it is meant for a test."""
        return len(self.days) <= _SMALL_DAYS

    def day_of(self, moment: datetime) -> DemoDay:
        """Return the day on which the aware `moment` falls."""
        local = moment.astimezone(self.zone).date()
        return next((day for day in self.days if day.date == local), DemoDay(local))

    def look_of(self, event: Event) -> Look:
        """Return the look of the pictures of `event`."""
        return look_at(event.moment.at, self.zone, self.day_of(event.moment.at).is_overcast)

    def is_rainy(self, event: Event) -> bool:
        """Return whether rain is seen during `event`."""
        local = event.moment.at.astimezone(self.zone)
        return not _is_indoors(event) and self.day_of(local).is_rainy_at(local)

    def is_windy(self, event: Event) -> bool:
        """Return whether the wind is seen during `event`."""
        return not _is_indoors(event) and self.day_of(event.moment.at).is_windy


def _is_indoors(event: Event) -> bool:
    return camera_named(event.moment.camera).is_indoors


def make_plan(*, seed: int, end: datetime, days: int, cameras: int) -> DemoPlan:
    """Return the plan of a tree of `days` days that ends at `end` (aware, with a ZoneInfo)."""
    zone = end.tzinfo
    assert isinstance(zone, ZoneInfo)
    chosen = CAMERAS[:cameras]
    calendar = all_days(seed, end, days)
    director = _Director(seed, zone, calendar, {camera.name for camera in chosen})
    moments = director.moments()
    events = habits.record(
        moments,
        director.cast,
        seed=seed,
        zone=zone,
        end=end.astimezone(UTC),
        silent_from=_silent_from(end, days, moments),
        longest_s=_longest_s(days),
    )
    plan = DemoPlan(seed, end, chosen, calendar, tuple(events), None)
    return replace(plan, unfinished=_unfinished(plan, director))


def _longest_s(days: int) -> int:
    return habits.SHORTEST_CLIP_S if days <= _SMALL_DAYS else habits.LONGEST_CLIP_S


def _silent_from(end: datetime, days: int, moments: list[DemoEvent]) -> datetime:
    """Return when the silent camera falls silent: about two days ago, after the incident."""
    if days < _FEWEST_DAYS_WITH_SILENCE:
        return end
    incident = [moment.at for moment in moments if moment.kind == INCIDENT]
    return max([end - _SILENT_FOR, *(at + timedelta(hours=2) for at in incident)])


class _Director:
    """Knows the calendar and the cameras, so that it can say who is seen where."""

    def __init__(
        self, seed: int, zone: ZoneInfo, days: tuple[DemoDay, ...], cameras: set[str]
    ) -> None:
        self.seed = seed
        self.zone = zone
        self.days = days
        self.cameras = cameras
        self.overcast = {day.date: day.is_overcast for day in days}

    def moments(self) -> list[DemoEvent]:
        told = [*tell(self.days, self.seed, self.zone), *self._scheduled()]
        here = [moment for moment in told if moment.camera in self.cameras]
        return sorted(here, key=lambda moment: (moment.at, moment.camera))

    def _scheduled(self) -> Iterator[DemoEvent]:
        for day in self.days:
            at = wall(day, _SCHEDULED_HOUR, self.zone).astimezone(UTC)
            for camera in sorted(self.cameras):
                yield DemoEvent(
                    camera,
                    at + timedelta(seconds=habits.LEAD_S),
                    SCHEDULED,
                    "nothing",
                    SCHEDULED,
                    "The picture of every noon.",
                )

    def light(self, at: datetime) -> str:
        grey = self.overcast.get(at.astimezone(self.zone).date(), False)
        return light_at(at, self.zone, grey)

    def cast(self, camera: str, role: str, what: str, at: datetime) -> Act:
        return act_for(camera, role, what, self.light(at))


def _unfinished(plan: DemoPlan, director: _Director) -> Event | None:
    """Return the recording whose clip is being uploaded when the story ends."""
    camera = next((c for c in plan.cameras if c.clip_suffix == ".mp4"), None)
    start = (plan.end.astimezone(UTC) - _UNFINISHED_FOR).replace(microsecond=0)
    is_busy = (
        any(e.moment.camera == camera.name and e.end >= start for e in plan.events)
        if camera
        else True
    )
    if camera is None or is_busy:
        return None
    role = "headlights" if director.light(start) == "night_ir" else "wind"
    moment = DemoEvent(
        camera.name,
        start + timedelta(seconds=habits.LEAD_S),
        role,
        "nothing",
        "false_alarm",
        "Still being uploaded.",
    )
    act = director.cast(camera.name, role, "nothing", start)
    return _half_uploaded(plan, camera, moment, act, start)


def _half_uploaded(
    plan: DemoPlan, camera: DemoCamera, moment: DemoEvent, act: Act, start: datetime
) -> Event:
    recorded = habits.record(
        [moment],
        lambda *_: act,
        seed=plan.seed,
        zone=plan.zone,
        end=_NEVER,
        silent_from=_NEVER,
        longest_s=_longest_s(len(plan.days)),
    )[0]
    path = habits.clip_path(
        camera, recorded.wall_start, recorded.wall_start + (recorded.end - recorded.start)
    )
    upload = habits.DemoUpload(
        f"{path}_",
        "clip",
        recorded.wall_start,
        None,
        start,
        plan.end.astimezone(UTC),
        0,
        fault="unfinished",
    )
    return replace(recorded, uploads=(upload,))


def event_rng(plan: DemoPlan, event: Event, purpose: str) -> Random:
    """Return the dice of `event` for one `purpose`."""
    return Random(f"{plan.seed} {purpose} {event.moment.camera} {event.start.isoformat()}")
