"""GeoVision: address, event, day and hour as folders; event and stamp in the name."""

from __future__ import annotations

import re

from pano_analytics.layouts.events import trigger_of
from pano_analytics.layouts.folders import Folder
from pano_analytics.layouts.forms import DASHED_DATE, EXTENSION, Form, read_forms
from pano_analytics.model.upload import Reading

LAYOUTS = {"geovision": "MAC/MOTION/2021-01-09/14/MOTION_2021-01-09-14-05-06-123_001.jpg"}

_STAMP = (
    rf"{DASHED_DATE}-(?P<hour>\d\d)-(?P<minute>\d\d)-(?P<second>\d\d)(?:-(?P<fraction>\d{{3}}))?"
    rf"(?:_(?P<sequence>\d{{1,6}}))?{EXTENSION}"
)
_EVENT = r"(?P<event>[A-Za-z][\w ]*)"

FORMS = (
    Form(
        "geovision",
        re.compile(rf"{_EVENT}/\d{{4}}-\d\d-\d\d/\d\d/(?P=event)_{_STAMP}", re.ASCII),
        depth=3,
        trigger=trigger_of,
    ),
    Form("geovision", re.compile(rf"{_EVENT}_{_STAMP}", re.ASCII), trigger=trigger_of),
)


def read(folder: Folder, name: str) -> Reading | None:
    """Return what the path says, or None if the name is not of this family."""
    return read_forms(FORMS, folder, name)
