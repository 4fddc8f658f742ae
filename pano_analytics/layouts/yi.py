"""Yi with yi-hack: an hour folder; minute, second and length in the name; all in UTC."""

from __future__ import annotations

import re

from pano_analytics.layouts.folders import Folder
from pano_analytics.layouts.forms import EXTENSION, Form, read_forms
from pano_analytics.model.upload import Reading

LAYOUTS = {
    "yi": "2020Y08M24D12H/E110M10S50.mp4: at minute 10, second 10, for 50 seconds",
    "yi-bare": "29M00S60.mp4 outside its hour folder: a clip, its day unknown",
}

_HOUR_FOLDER = r"(?P<year>\d{4})Y(?P<month>\d\d)M(?P<day>\d\d)D(?P<hour>\d\d)H"
_NAME = rf"(?:[A-Z]\d)?(?P<minute>\d\d)M(?P<second>\d\d)S(?P<length>\d{{1,4}})?{EXTENSION}"

FORMS = (
    Form("yi", re.compile(rf"{_HOUR_FOLDER}/{_NAME}", re.ASCII), depth=1, zone="utc"),
    Form(
        "yi-bare",
        re.compile(_NAME, re.ASCII),
        zone="utc",
        undated="the folder with day and hour (2020Y08M24D12H) is missing",
    ),
)


def read(folder: Folder, name: str) -> Reading | None:
    """Return what the path says, or None if the name is not of this family."""
    return read_forms(FORMS, folder, name)
