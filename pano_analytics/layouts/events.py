"""Translate the makers' words for events into triggers."""

from __future__ import annotations

import re

# The first pattern found in the word wins, so narrower patterns come first:
# MD_WITH_TARGET is motion, VEHICLE_DETECTION a vehicle, LINE_CROSSING a smart event.
# GeoVision's words (VFD: a face, VEHICE: a plate, TRAFFIC: people counted in a region, ...)
# are from the "Event name table" in the manual of its GV-TMEB5800.
_MEANINGS = tuple(
    (re.compile(pattern), trigger)
    for pattern, trigger in (
        (r"TIMING|TIMER|SCHEDULE|INTERVAL|CONTINUOUS", "scheduled"),
        (r"MANUAL", "manual"),
        (r"PLATE|ANPR|LPR|^VEHICE$", "plate"),
        (r"VEHICLE", "vehicle"),
        (r"HUMAN|PERSON|PEOPLE|PEDESTRIAN|FACE|^VFD$", "person"),
        (r"MOTION|(?:^|_)V?MD(?:_|$)|(?:^|_)PIR", "motion"),
        (
            r"LINE|INTRUSION|FIELD|REGION|ENTRANCE|EXIT|LOITER|BAGGAGE|OBJECT|LUGGAGE|PARKING"
            r"|GATHER|SMART|SCENE|TRIPWIRE|CROSS|PERIMETER|^AOI|^OSC$|^CDD$|^TRAFFIC$",
            "smart",
        ),
        (r"ALARM|SENSOR|(?:^|_)IO(?:_|$)|INPUT", "alarm"),
    )
)


def trigger_of(word: str) -> str | None:
    """Return the trigger for the maker's word for an event: `other` if unknown, None for ""."""
    upper = word.upper()
    if not upper:
        return None
    return next((trigger for known, trigger in _MEANINGS if known.search(upper)), "other")
