"""Xiaomi Dafang and others with Dafang hacks: day, month and year, then the time with dots."""

from __future__ import annotations

import re

from pano_analytics.layouts.folders import Folder
from pano_analytics.layouts.forms import EXTENSION, Form, read_forms
from pano_analytics.model.upload import Reading

LAYOUTS = {"dafang": "27-11-2026_14.05.09.jpg, from %d-%m-%Y_%H.%M.%S in motion.conf"}

FORMS = (
    Form(
        "dafang",
        re.compile(
            r"(?P<day>\d\d)-(?P<month>\d\d)-(?P<year>\d{4})"
            r"_(?P<hour>\d\d)\.(?P<minute>\d\d)\.(?P<second>\d\d)"
            rf"(?:[-_.](?P<sequence>\d{{1,6}}))?{EXTENSION}",
            re.ASCII,
        ),
    ),
)


def read(folder: Folder, name: str) -> Reading | None:
    """Return what the path says, or None if the name is not of this family."""
    return read_forms(FORMS, folder, name)
