"""Xiaomi: two stamps in the name, or an hour folder with minute and second in the name."""

from __future__ import annotations

import re

from pano_analytics.layouts.folders import Folder
from pano_analytics.layouts.forms import DATE, END_DATE, END_TIME, EXTENSION, TIME, Form, read_forms
from pano_analytics.model.upload import Reading

LAYOUTS = {
    "xiaomi-2stamp": "00_20260504135500_20260505001000.mp4",
    "xiaomi-hour": "2021022423/01M59S_1614186119.mp4",
}

FORMS = (
    Form(
        "xiaomi-2stamp",
        re.compile(
            rf"(?:(?P<sequence>(?P<channel>\d{{1,3}})|[^_]+)_)?{DATE}{TIME}_{END_DATE}{END_TIME}{EXTENSION}",
            re.ASCII,
        ),
    ),
    Form(
        "xiaomi-hour",
        re.compile(
            rf"{DATE}(?P<hour>\d\d)/(?P<minute>\d\d)M(?P<second>\d\d)S"
            rf"(?:_?\d{{9,11}}|(?P<length>\d{{1,4}}))?{EXTENSION}",
            re.ASCII,
        ),
        depth=1,
    ),
)


def read(folder: Folder, name: str) -> Reading | None:
    """Return what the path says, or None if the name is not of this family."""
    return read_forms(FORMS, folder, name)
