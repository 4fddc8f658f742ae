"""Reolink: the camera's name, its channel and a stamp; on its own card a start and an end."""

from __future__ import annotations

import re

from pano_analytics.layouts.folders import Folder
from pano_analytics.layouts.forms import DATE, END_TIME, EXTENSION, TIME, Form, read_forms
from pano_analytics.model.upload import Reading

LAYOUTS = {
    "reolink": "Front Door_01_20221115233531.jpg, in one folder, by month or by day",
    "reolink-sd": "its own card: RecS02_DST20230426_145918_150032_2B14808_32F1DF.mp4",
}


def _trigger(flags: str) -> str | None:
    """Return the trigger from the bits in hex digits 5 to 7 of a name on the camera's card.

    A person takes precedence over a vehicle. According to reolink_aio (MIT) and clips with a
    known cause, digit 5 contains 4 for a person and 1 for a vehicle, digit 6 contains 8 for
    a pet and 1 for the timer, and digit 7 contains 8 for motion.
    """
    if not flags:
        return None
    who, pet_or_timer, motion = (int(digit, 16) for digit in flags[4:7])
    objects = ((who & 4, "person"), (who & 1, "vehicle"), (pet_or_timer & 8, "other"))
    others = ((motion & 8, "motion"), (pet_or_timer & 1, "scheduled"))
    return next((trigger for bit, trigger in (*objects, *others) if bit), "other")


FORMS = (
    Form(
        "reolink-sd",
        re.compile(
            rf"(?:Mp4Record_\d{{4}}-\d\d-\d\d_)?Rec[A-Z]\w\w_(?P<daylight>DST)?{DATE}_{TIME}"
            rf"_{END_TIME}(?:(?:_\d)?_(?P<event>[0-9A-F]{{7,16}})_[0-9A-F]+|_\w*)?{EXTENSION}",
            re.ASCII | re.IGNORECASE,
        ),
        trigger=_trigger,
    ),
    Form(
        "reolink",
        re.compile(
            rf"(?P<camera>.+)_(?P<sequence>(?P<channel>\d{{1,3}}))_{DATE}{TIME}{EXTENSION}",
            re.ASCII,
        ),
    ),
)


def read(folder: Folder, name: str) -> Reading | None:
    """Return what the path says, or None if the name is not of this family."""
    return read_forms(FORMS, folder, name)
