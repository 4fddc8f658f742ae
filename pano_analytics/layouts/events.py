"""What vendors' words for an event mean in ours."""

from __future__ import annotations

import re

# The first that is found in the word wins, so the narrower ones stand first:
# MD_WITH_TARGET is motion, VEHICLE_DETECTION a vehicle, LINE_CROSSING a smart event.
# GeoVision's words (VFD a face, VEHICE a plate, TRAFFIC people counted in a region, ...)
# are those of the table "Event name table" in the manual of its GV-TMEB5800.
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
    """Return the trigger that an event's word means, `other` where none; None for no word."""
    upper = word.upper()
    if not upper:
        return None
    return next((trigger for known, trigger in _MEANINGS if known.search(upper)), "other")
