"""Frigate's recordings: day, hour and camera as folders, then minute and second; all in UTC."""

from __future__ import annotations

import re

from pano_analytics.layouts.folders import Folder
from pano_analytics.layouts.forms import DASHED_DATE, EXTENSION, Form, read_forms
from pano_analytics.model.upload import Reading

LAYOUTS = {"frigate": "2026-01/05/13/front/07.21.mp4 or 2026-01-05/13/front/07.21.mp4"}

_BELOW_DAY = rf"(?P<hour>\d\d)/(?P<camera>[^/]+)/(?P<minute>\d\d)\.(?P<second>\d\d){EXTENSION}"

FORMS = (
    Form(
        "frigate",
        re.compile(rf"(?P<year>\d{{4}})-(?P<month>\d\d)/(?P<day>\d\d)/{_BELOW_DAY}", re.ASCII),
        depth=4,
        zone="utc",
    ),
    Form("frigate", re.compile(rf"{DASHED_DATE}/{_BELOW_DAY}", re.ASCII), depth=3, zone="utc"),
)


def read(folder: Folder, name: str) -> Reading | None:
    """Return what the path says, or None if the name is not of this family."""
    return read_forms(FORMS, folder, name)
