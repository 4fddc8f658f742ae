"""Who crosses which scene, when and how."""

from __future__ import annotations

from dataclasses import dataclass, field

TITLES = {"front_door": "Front door", "driveway": "Driveway", "garden": "Garden",
          "side_gate": "Side gate", "garage": "Garage", "street": "Street"}


@dataclass(frozen=True)
class Play:
    """One motion: an actor on a path. `speed` in m/s; `waits` are (share of path, seconds)."""

    name: str
    what: str
    label: str
    actor: str
    path: tuple
    speed: float
    file: str
    waits: tuple = ()
    z: float = 0.0
    fps: float = 8.0
    by_night: bool = True
    by_day: bool = True
    extra: dict = field(default_factory=dict)


PLAYS: dict[str, tuple[Play, ...]] = {
    "front_door": (
        Play("courier brings a parcel", "person", "courier", "courier", ((1.2, 7.8), (0.1, 7.2), (-0.1, 5.2), (0.0, 3.0), (-0.1, 2.2)), 1.35, "courier", by_night=False),
        Play("resident walks to the door", "person", "resident", "woman", ((-1.2, 7.8), (0.05, 7.1), (0.15, 4.6), (-0.05, 2.0)), 1.35, "resident"),
        Play("stranger in a hood looks round", "person", "stranger", "hood", ((1.4, 7.9), (0.2, 7.2), (0.15, 4.4), (0.25, 2.6)), 1.25, "hood", by_day=False),
        Play("cat crosses the path", "animal", "cat", "cat", ((-2.4, 3.8), (-0.9, 3.6), (0.8, 3.3), (2.2, 3.0)), 1.0, "cat"),
    ),
    "driveway": (
        Play("car arriving", "car", "car", "car:white", ((-8.5, 13.0), (-5.2, 13.0), (-3.2, 12.3), (-1.8, 10.6), (-1.45, 8.6), (-1.45, 6.3)), 3.0, "car_in", by_night=False),
        Play("car passing in the street", "car", "car", "car:black", ((12, 15.6), (-12, 15.6)), 8.0, "car_pass", by_night=False, z=-0.1),
        Play("resident walks to the car", "person", "resident", "man", ((-2.6, 1.3), (-1.0, 2.6), (0.2, 3.9), (0.35, 5.4)), 1.25, "resident"),
        Play("courier walks up the drive", "person", "courier", "courier", ((-1.7, 9.8), (-1.4, 8.0), (-1.2, 4.4)), 1.35, "courier", by_night=False),
        Play("stranger in a hood by the car", "person", "stranger", "hood", ((-0.6, 10.4), (-0.2, 7.6), (0.25, 5.2), (-0.2, 3.4)), 1.2, "hood"),
        Play("fox trots over the drive", "animal", "fox", "fox", ((-2.7, 7.7), (0.2, 7.9), (3.0, 8.1)), 1.35, "fox"),
    ),
    "garden": (
        Play("gardener crosses the lawn", "person", "gardener", "man", ((3.2, 9.6), (2.2, 8.0), (0.6, 5.4), (-0.2, 4.0)), 1.3, "gardener"),
        Play("resident walks to the shed", "person", "resident", "woman", ((-0.6, 3.2), (0.4, 4.6), (2.3, 7.6), (3.4, 9.2)), 1.35, "resident", by_night=False),
        Play("stranger in a hood at the fence", "person", "stranger", "hood", ((-3.6, 11.6), (-1.2, 10.6), (1.0, 8.8), (1.8, 6.6)), 1.3, "hood"),
        Play("fox crosses the lawn", "animal", "fox", "fox", ((-3.8, 6.4), (-1.0, 5.6), (1.8, 5.9)), 1.3, "fox"),
        Play("cat strolls over the terrace", "animal", "cat", "cat", ((3.6, 3.6), (1.6, 3.4), (-0.8, 3.7)), 1.0, "cat", by_night=False),
    ),
    "side_gate": (
        Play("resident brings out the bin", "person", "resident", "woman", ((0.25, 7.7), (0.2, 5.4), (0.35, 2.6)), 1.15, "resident"),
        Play("courier walks down the passage", "person", "courier", "courier", ((0.35, 2.4), (0.15, 5.0), (0.15, 7.8)), 1.25, "courier", by_night=False),
        Play("stranger in a hood tries the gate", "person", "stranger", "hood", ((0.1, 7.9), (0.2, 5.6), (0.45, 3.2)), 1.05, "hood"),
        Play("cat comes along the wall", "animal", "cat", "cat", ((0.3, 6.8), (-0.1, 5.2), (0.5, 2.8)), 1.0, "cat"),
    ),
    "garage": (
        Play("resident walks to the bench", "person", "resident", "blue", ((-0.9, 5.6), (-1.25, 4.2), (-1.55, 2.6)), 0.85, "resident"),
        Play("stranger in a hood in the garage", "person", "stranger", "hood", ((-1.2, 5.9), (-1.1, 4.0), (-1.2, 2.4)), 0.8, "hood"),
    ),
    "street": (
        Play("resident passes with shopping", "person", "passer-by", "blue", ((-5.6, 3.2), (2.2, 3.1)), 1.45, "passer"),
        Play("woman walks a dog", "person", "dog walker", "woman", ((3.4, 3.4), (-4.2, 3.5)), 1.4, "dogwalk", by_night=False, extra={"dog": True}),
        Play("stranger in a hood passes", "person", "stranger", "hood", ((-4.6, 3.3), (2.2, 3.2)), 1.4, "hood", by_day=False),
        Play("car passing", "car", "car", "car:silver", ((-17, 5.9), (11, 5.9)), 7.5, "car_pass", by_night=False, z=-0.1),
        Play("car driving by slowly", "car", "car", "car:red", ((11, 7.7), (-19, 7.7)), 7.0, "car_slow", by_night=False, z=-0.1),
        Play("cat crosses the road", "animal", "cat", "cat", ((-1.0, 7.8), (-0.6, 4.4)), 1.0, "cat", z=-0.1),
        Play("fox trots down the pavement", "animal", "fox", "fox", ((2.8, 3.1), (-4.2, 3.3)), 1.7, "fox"),
    ),
}

# The way of a car whose headlights sweep through the dark view; it turns in towards the house.
BEAMS = {
    "front_door": ((-16.0, 11.0), (-6.0, 10.6), (0.0, 9.8), (4.0, 9.6)),
    "driveway": ((-13.0, 13.0), (-5.0, 13.0), (-2.2, 11.8), (-1.5, 8.8)),
    "garden": ((-14.0, 22.0), (-8.0, 19.0), (0.0, 17.5), (8.0, 18.0)),
    "side_gate": ((-9.0, 16.5), (-2.0, 16.0), (0.6, 14.5), (0.8, 12.0)),
    "street": ((-26.0, 5.9), (-12.0, 5.9), (-4.0, 5.9), (6.0, 5.9)),
}
