"""Foscam: a word for the alarm before the stamp; on older models the camera in parentheses."""

from __future__ import annotations

import re

from pano_analytics.layouts.folders import Folder
from pano_analytics.layouts.forms import DATE, EXTENSION, TIME, Form, read_forms
from pano_analytics.layouts.names import CLIP_EXTENSIONS, SNAPSHOT_EXTENSIONS
from pano_analytics.model.upload import Reading

LAYOUTS = {
    "foscam-clip": "FI9805E_MAC/record/alarm_20151018_093118.mkv, MDalarm_20180812_100109.mkv",
    "foscam-mjpeg": "00626E542693(shop)_0_20170117100000_123.jpg",
    "foscam-snap": "FI9800P_MAC/snap/MDAlarm_20180914-111429.jpg, HMDAlarm_ for a person",
}

_WORD = r"(?P<event>[A-Za-z]{0,12}alarm|schedule[a-z]{0,8}|manual[a-z]{0,8}|record|snap[a-z]{0,8})"
_STEM = rf"{_WORD}_{DATE}[_-]{TIME}(?:[_-](?P<sequence>\d{{1,6}}))?"
_MEANINGS = {"ALARM": "alarm", "IOALARM": "alarm", "MDALARM": "motion", "HMDALARM": "person"}
_ANY_CASE = re.ASCII | re.IGNORECASE


def _trigger(word: str) -> str:
    upper = word.upper()
    if upper.startswith("SCHEDULE"):
        return "scheduled"
    if upper.startswith("MANUAL"):
        return "manual"
    return _MEANINGS.get(upper, "other")


def _pattern(extensions: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"{_STEM}\.(?P<extension>{'|'.join(extensions)})", _ANY_CASE)


FORMS = (
    Form("foscam-snap", _pattern(SNAPSHOT_EXTENSIONS), trigger=_trigger),
    Form("foscam-clip", _pattern(CLIP_EXTENSIONS), trigger=_trigger),
    Form(
        "foscam-mjpeg",
        re.compile(
            rf"[0-9A-F]{{12}}\((?P<camera>[^()]*)\)_\w{{1,2}}_{DATE}{TIME}"
            rf"(?:_(?P<sequence>\d+))?{EXTENSION}",
            _ANY_CASE,
        ),
    ),
)


def read(folder: Folder, name: str) -> Reading | None:
    """Return what the path says, or None if the name is not of this family."""
    return read_forms(FORMS, folder, name)
