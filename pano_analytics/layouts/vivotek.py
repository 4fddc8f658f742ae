"""Vivotek: any prefix and a stamp; for an event also a number and its part (pre, trg, pst)."""

from __future__ import annotations

import re

from pano_analytics.layouts.folders import Folder
from pano_analytics.layouts.forms import DATE, EXTENSION, TIME, Form, read_forms
from pano_analytics.model.upload import Reading

LAYOUTS = {
    "vivotek": "video_20050107175903.jpg, any prefix",
    "vivotek-event": "video_20050107180659_4_trg.jpg",
}


def _trigger(word: str) -> str:
    # pre, trg and pst mean before, at and after the trigger, not what triggered it.
    return "other"


FORMS = (
    Form(
        "vivotek-event",
        re.compile(
            rf".+_{DATE}{TIME}_(?P<sequence>\d{{1,6}})_(?P<event>[a-z]{{2,8}}){EXTENSION}",
            re.ASCII | re.IGNORECASE,
        ),
        trigger=_trigger,
    ),
    Form("vivotek", re.compile(rf".+_{DATE}{TIME}{EXTENSION}", re.ASCII)),
)


def read(folder: Folder, name: str) -> Reading | None:
    """Return what the path says, or None if the name is not of this family."""
    return read_forms(FORMS, folder, name)
