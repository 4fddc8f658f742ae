"""Motion and motionEye: the number of an event before the stamp, or one folder per day."""

from __future__ import annotations

import re

from pano_analytics.layouts.folders import Folder
from pano_analytics.layouts.forms import DASHED_DATE, DATE, EXTENSION, TIME, Form, read_forms
from pano_analytics.model.upload import Reading

LAYOUTS = {
    "motion": "01-20200312013601-00.jpg, 01-20200312013601.mp4",
    "motioneye": "Camera1/2017-08-17/19-26-21.jpg",
}


def _trigger(word: str) -> str:
    return "scheduled" if word else "motion"


FORMS = (
    Form(
        "motion",
        re.compile(
            rf"(?:(?P<else_camera>[\w.]{{1,64}})-)?\d{{1,8}}-{DATE}{TIME}"
            rf"(?:-(?:(?P<sequence>\d{{1,6}}m?)|(?P<event>snapshot)))?{EXTENSION}",
            re.ASCII,
        ),
        trigger=_trigger,
    ),
    Form(
        "motioneye",
        re.compile(
            rf"{DASHED_DATE}/(?P<hour>\d\d)-(?P<minute>\d\d)-(?P<second>\d\d)"
            rf"(?:-(?P<sequence>\d{{1,6}}))?{EXTENSION}",
            re.ASCII,
        ),
        depth=1,
    ),
)


def read(folder: Folder, name: str) -> Reading | None:
    """Return what the path says, or None if the name is not of this family."""
    return read_forms(FORMS, folder, name)
