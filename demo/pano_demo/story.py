"""What happened at home: people, cars and animals, and what only looked like something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from zoneinfo import ZoneInfo

from pano_demo.days import DemoDay, wall
from pano_demo.sun import DAYLIGHTS, light_at

FALSE_SORTS = ("wind", "shadow", "headlights", "rain", "spider")
INCIDENT = "incident"


@dataclass(frozen=True, slots=True)
class DemoEvent:
    """Something moves before a camera at `at` (aware, UTC).

    `role` is who moves ("resident", "courier", "car_in", ...) or the sort of a false
    alarm; `what` is person, car, animal or nothing; `story` one line for a reader. Moments
    with the same `visit` have one cause: somebody who passes several cameras, or a single
    false alarm. It is unique within one story; empty for scheduled pictures.
    """

    camera: str
    at: datetime
    role: str
    what: str
    kind: str
    story: str
    visit: str = ""

    @property
    def false_sort(self) -> str | None:
        """The sort of the false alarm, None where something really moved."""
        return self.role if self.role in FALSE_SORTS else None


@dataclass(frozen=True, slots=True)
class _Step:
    """One stop on a way past the cameras, `after_s` seconds after its beginning."""

    after_s: int
    camera: str
    role: str
    what: str


_LEAVE_BY_CAR = (
    _Step(0, "front_door", "resident", "person"),
    _Step(19, "driveway", "resident", "person"),
    _Step(64, "driveway", "car_out", "car"),
)
_LEAVE_BY_BIKE = (
    _Step(0, "front_door", "resident", "person"),
    _Step(34, "garage", "resident", "person"),
)
_COME_BY_CAR = (
    _Step(0, "street", "car", "car"),
    _Step(11, "driveway", "car_in", "car"),
    _Step(58, "driveway", "resident", "person"),
    _Step(80, "front_door", "resident", "person"),
)
_COME_BY_BIKE = (
    _Step(0, "garage", "resident", "person"),
    _Step(54, "front_door", "resident", "person"),
)
_POST = (
    _Step(0, "driveway", "courier", "person"),
    _Step(22, "front_door", "courier", "person"),
)
_PARCEL = (
    _Step(0, "street", "car", "car"),
    _Step(38, "driveway", "courier", "person"),
    _Step(57, "front_door", "courier", "person"),
)
_BINS = (
    _Step(0, "side_gate", "resident", "person"),
    _Step(33, "driveway", "resident", "person"),
    _Step(104, "side_gate", "resident", "person"),
)
_TO_THE_SHED = (
    _Step(0, "side_gate", "gardener", "person"),
    _Step(28, "garden", "gardener", "person"),
)
_HOODED_STRANGER = (
    _Step(0, "side_gate", "stranger", "person"),
    _Step(41, "garden", "stranger", "person"),
    _Step(72, "garden", "stranger", "person"),
    _Step(108, "garage", "stranger", "person"),
    _Step(139, "garage", "stranger", "person"),
    _Step(166, "driveway", "stranger", "person"),
)
_CAT_ROUND = (
    _Step(0, "front_door", "cat", "animal"),
    _Step(70, "side_gate", "cat", "animal"),
    _Step(112, "garden", "cat", "animal"),
)
_FOX_ROUND = (
    _Step(0, "side_gate", "fox", "animal"),
    _Step(47, "garden", "fox", "animal"),
)


def tell(days: Iterable[DemoDay], seed: int, zone: ZoneInfo) -> list[DemoEvent]:
    """Return every moment of `days`, in order of time; the same seed tells the same story."""
    teller = _Teller(seed, zone)
    moments = [moment for day in days for moment in teller.day(day)]
    return sorted(moments, key=lambda moment: (moment.at, moment.camera))


class _Teller:
    def __init__(self, seed: int, zone: ZoneInfo) -> None:
        self.seed = seed
        self.zone = zone
        self.visits = 0

    def day(self, day: DemoDay) -> Iterator[DemoEvent]:
        rng = Random(f"{self.seed} story {day.date}")
        yield from self._household(day, rng)
        yield from self._strangers(day, rng)
        yield from self._animals(day, rng)
        yield from self._false_alarms(day)
        if day.has_incident:
            yield from self._incident(day)

    def _walk(
        self, day: DemoDay, hour: float, steps: tuple[_Step, ...], kind: str, story: str
    ) -> Iterator[DemoEvent]:
        self.visits += 1
        visit = f"{day.date} {self.visits}"
        for step in steps:
            at = wall(day, hour + step.after_s / 3600, self.zone).astimezone(UTC)
            yield DemoEvent(step.camera, at, step.role, step.what, kind, story, visit)

    def _one(
        self, day: DemoDay, hour: float, camera: str, role: str, what: str, kind: str, story: str
    ) -> Iterator[DemoEvent]:
        yield from self._walk(day, hour, (_Step(0, camera, role, what),), kind, story)

    # --- people who live here -------------------------------------------------------------

    def _household(self, day: DemoDay, rng: Random) -> Iterator[DemoEvent]:
        if day.is_weekend:
            yield from self._weekend(day, rng)
        else:
            yield from self._workday(day, rng)
        if day.date.weekday() in (2, 6):
            yield from self._walk(
                day, _near(rng, 19.6, 0.3), _BINS, "routine", "The bins are put out."
            )

    def _workday(self, day: DemoDay, rng: Random) -> Iterator[DemoEvent]:
        yield from self._walk(
            day, _near(rng, 7.45, 0.1), _LEAVE_BY_CAR, "routine", "A resident drives to work."
        )
        yield from self._walk(
            day, _near(rng, 8.05, 0.15), _LEAVE_BY_BIKE, "routine", "A resident leaves by bicycle."
        )
        yield from self._walk(
            day,
            _near(rng, 17.1, 0.35),
            _COME_BY_BIKE,
            "routine",
            "A resident comes home by bicycle.",
        )
        yield from self._walk(
            day, _near(rng, 18.1, 0.45), _COME_BY_CAR, "routine", "A resident drives home."
        )

    def _weekend(self, day: DemoDay, rng: Random) -> Iterator[DemoEvent]:
        yield from self._walk(
            day, _near(rng, 9.7, 0.4), _LEAVE_BY_CAR, "routine", "A resident fetches rolls."
        )
        yield from self._walk(
            day, _near(rng, 10.4, 0.2), _COME_BY_CAR, "routine", "A resident is back with rolls."
        )
        if day.rain_hours is None:
            yield from self._gardening(day, rng)
        if day.date.weekday() == 5:
            yield from self._guests(day, rng)

    def _gardening(self, day: DemoDay, rng: Random) -> Iterator[DemoEvent]:
        for first, last in ((10.9, 12.2), (14.0, 15.6)):
            story = "Weekend gardening."
            yield from self._walk(day, first, _TO_THE_SHED, "routine", story)
            for _ in range(rng.randint(2, 4)):
                hour = rng.uniform(first + 0.1, last)
                yield from self._one(day, hour, "garden", "gardener", "person", "routine", story)
            hour = rng.uniform(first, last)
            yield from self._one(day, hour, "garage", "resident", "person", "routine", story)

    def _guests(self, day: DemoDay, rng: Random) -> Iterator[DemoEvent]:
        story = "Guests come for dinner."
        for hour in (_near(rng, 18.9, 0.1), _near(rng, 19.2, 0.1)):
            yield from self._walk(day, hour, _COME_BY_CAR, "visit", story)
        yield from self._one(
            day,
            _near(rng, 23.2, 0.3),
            "front_door",
            "resident",
            "person",
            "visit",
            "The guests leave.",
        )

    # --- people who do not ----------------------------------------------------------------

    def _strangers(self, day: DemoDay, rng: Random) -> Iterator[DemoEvent]:
        if day.date.weekday() != 6:
            yield from self._walk(
                day, _near(rng, 11.6, 0.35), _POST, "delivery", "The postman brings letters."
            )
        if day.date.weekday() != 6 and rng.random() < 0.5:
            yield from self._walk(
                day, rng.uniform(13.2, 16.6), _PARCEL, "delivery", "A courier brings a parcel."
            )
        for _ in range(rng.randint(0, 1)):
            hour = rng.choice((rng.uniform(6.6, 9.0), rng.uniform(16.0, 20.5)))
            role = rng.choice(("passer", "dog_walker"))
            yield from self._one(
                day, hour, "street", role, "person", "passing", "Someone walks past."
            )
        for _ in range(rng.randint(1, 3)):
            role = rng.choice(("car", "car_slow"))
            yield from self._one(
                day,
                rng.triangular(6.0, 22.5, 17.0),
                "street",
                role,
                "car",
                "passing",
                "A car passes.",
            )

    def _incident(self, day: DemoDay) -> Iterator[DemoEvent]:
        hour = _near(Random(f"{self.seed} incident"), 15.2, 0.15)
        yield from self._walk(
            day,
            hour,
            _HOODED_STRANGER,
            INCIDENT,
            "A hooded stranger tries the side gate, the garden and the garage.",
        )

    # --- animals --------------------------------------------------------------------------

    def _animals(self, day: DemoDay, rng: Random) -> Iterator[DemoEvent]:
        if rng.random() < 0.6:
            yield from self._walk(
                day, rng.uniform(0.8, 4.2), _FOX_ROUND, "wildlife", "A fox crosses the garden."
            )
        if rng.random() < 0.45:
            hour = rng.choice((rng.uniform(5.2, 8.5), rng.uniform(15.5, 22.8)))
            yield from self._walk(
                day, hour, _CAT_ROUND, "wildlife", "The neighbours' cat makes its round."
            )

    # --- what only looked like something ---------------------------------------------------

    def _false_alarms(self, day: DemoDay) -> Iterator[DemoEvent]:
        rng = Random(f"{self.seed} false {day.date}")
        yield from self._wind(day, rng)
        yield from self._shadows(day, rng)
        yield from self._headlights(day, rng)
        yield from self._rain(day, rng)
        yield from self._spider(day, rng)

    def _false(self, day: DemoDay, hour: float, camera: str, sort: str) -> Iterator[DemoEvent]:
        yield from self._one(day, hour, camera, sort, "nothing", "false_alarm", _EXCUSES[sort])

    def _wind(self, day: DemoDay, rng: Random) -> Iterator[DemoEvent]:
        gusts = _WINDY if day.is_windy else _BREEZE
        for camera, (fewest, most) in gusts.items():
            for _ in range(rng.randint(fewest, most)):
                yield from self._false(day, rng.triangular(6.5, 20.5, 14.0), camera, "wind")

    def _shadows(self, day: DemoDay, rng: Random) -> Iterator[DemoEvent]:
        for camera, most in _SHADOWS.items():
            for _ in range(rng.randint(most // 2, most)):
                hour = rng.uniform(7.0, 19.0)
                is_sunny = not day.is_overcast and not day.is_windy
                if is_sunny and self._light(day, hour) in DAYLIGHTS:
                    yield from self._false(day, hour, camera, "shadow")

    def _headlights(self, day: DemoDay, rng: Random) -> Iterator[DemoEvent]:
        for camera, (fewest, most) in _HEADLIGHTS.items():
            for _ in range(rng.randint(fewest, most)):
                hour = rng.choice(
                    (
                        rng.uniform(5.2, 7.4),
                        rng.triangular(16.5, 23.9, 18.5),
                        rng.triangular(16.5, 23.9, 18.5),
                    )
                )
                if self._light(day, hour) == "night_ir":
                    yield from self._false(day, hour, camera, "headlights")

    def _rain(self, day: DemoDay, rng: Random) -> Iterator[DemoEvent]:
        if day.rain_hours is None:
            return
        for camera, most in _RAIN.items():
            for _ in range(rng.randint(most * 2 // 3, most)):
                yield from self._false(day, rng.uniform(*day.rain_hours), camera, "rain")

    def _spider(self, day: DemoDay, rng: Random) -> Iterator[DemoEvent]:
        if not day.has_spider:
            return
        for _ in range(rng.randint(18, 26)):
            hour = rng.uniform(18.0, 30.0)
            if self._light(day, hour) == "night_ir":
                yield from self._false(day, hour, SPIDER_CAMERA, "spider")

    def _light(self, day: DemoDay, hour: float) -> str:
        return light_at(wall(day, hour, self.zone), self.zone, day.is_overcast)


SPIDER_CAMERA = "side_gate"

_EXCUSES = {
    "wind": "Branches move in the wind.",
    "shadow": "A shadow wanders over the ground.",
    "headlights": "The lights of a passing car sweep over the picture.",
    "rain": "Rain falls before the lens.",
    "spider": "A spider crosses the lens in the infrared light.",
}
# Fewest and most false alarms a day.
_WINDY = {"garden": (54, 66), "front_door": (12, 16), "side_gate": (10, 14)}
_BREEZE = {"garden": (5, 10), "front_door": (1, 4), "side_gate": (0, 3)}
_SHADOWS = {"front_door": 5, "driveway": 8, "garden": 7}
_HEADLIGHTS = {"driveway": (4, 8), "street": (3, 6), "front_door": (0, 1)}
_RAIN = {"front_door": 14, "driveway": 20, "garden": 24, "side_gate": 12, "street": 16}


def _near(rng: Random, hour: float, spread: float) -> float:
    """Return an hour near `hour`, nearly always within two `spread`s."""
    return hour + max(-2.0, min(2.0, rng.gauss(0, 1))) * spread
