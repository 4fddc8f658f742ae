"""D-Link: day and hour folders, a stamp, and a `D` in summer time."""

from __future__ import annotations

import re

from pano_analytics.layouts.folders import Folder
from pano_analytics.layouts.forms import DATE, EXTENSION, TIME, Form, read_forms
from pano_analytics.model.upload import Reading

LAYOUTS = {"dlink": "20160706/13/v_20160706_130501D.mp4, the D in summer time only"}

_STAMP = rf"{DATE}_{TIME}(?P<daylight>D)?(?:_(?P<sequence>\d+))?{EXTENSION}"

FORMS = (
    Form("dlink", re.compile(rf"[A-Z]_{_STAMP}", re.ASCII | re.IGNORECASE)),
    Form("dlink", re.compile(rf"\d{{8}}/\d\d/{_STAMP}", re.ASCII | re.IGNORECASE), depth=2),
)


def read(folder: Folder, name: str) -> Reading | None:
    """Return what the path says, or None if the name is not of this family."""
    return read_forms(FORMS, folder, name)
