"""Hikvision: an address or any word, a stamp in milliseconds, and a word for the event."""

from __future__ import annotations

import re

from pano_analytics.layouts.events import trigger_of
from pano_analytics.layouts.folders import Folder
from pano_analytics.layouts.forms import DATE, EXTENSION, TIME, Form, read_forms
from pano_analytics.model.upload import Reading

LAYOUTS = {
    "hik": "192.168.0.64_01_20190319093422939_MOTION_DETECTION.jpg, any word first",
    "hik-clip": "192.168.0.67_20210207230537_20210224_220227_0.mp4: a clip, its time unknown",
    "hik-lpr": "20260108141528320_PLATE_VEHICLE_DETECTION.jpg",
}

_FIELD = r"(?P<else_camera>.+?)(?:_(?P<sequence>(?P<channel>\d{1,3})))?_"
_MILLISECONDS = r"(?P<fraction>\d{3})"
_EVENT = r"_(?P<event>[A-Za-z][\w -]*)"


def _plate(word: str) -> str:
    return "plate"


FORMS = (
    Form(
        "hik-clip",
        re.compile(rf".+_\d{{14}}_\d{{8}}_\d{{6}}_(?P<sequence>\d+){EXTENSION}", re.ASCII),
        undated="its two timestamps differ, and it is unknown which one is the start",
    ),
    Form(
        "hik-lpr",
        re.compile(
            rf"(?:{_FIELD})?{DATE}{TIME}{_MILLISECONDS}_[^_]+"
            rf"_(?P<event>VEHICLE_DETECTION|VEHICLE|PLATE|ANPR){EXTENSION}",
            re.ASCII | re.IGNORECASE,
        ),
        trigger=_plate,
    ),
    Form(
        "hik",
        re.compile(rf"(?:{_FIELD})?{DATE}{TIME}{_MILLISECONDS}(?:{_EVENT})?{EXTENSION}", re.ASCII),
        trigger=trigger_of,
    ),
    Form(
        "hik",
        re.compile(rf"{_FIELD}{DATE}{TIME}{_EVENT}{EXTENSION}", re.ASCII),
        trigger=trigger_of,
    ),
)


def read(folder: Folder, name: str) -> Reading | None:
    """Return what the path says, or None if the name is not of this family."""
    return read_forms(FORMS, folder, name)
