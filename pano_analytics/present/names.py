"""The file name of a downloaded upload."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo

from pano_analytics.model.times import WallClock
from pano_analytics.model.upload import Upload


def download_name(upload: Upload, zone: ZoneInfo, ending: str | None = None) -> str:
    """Return a name with camera and time, such as `front_door_2026-11-20_14-23-11.jpg`.

    The time is the one that all pages show: in `zone`, and corrected if the camera's clock was
    wrong; in a repeated hour, the name includes the zone (`_CET`). Letters and digits of any
    script are kept; everything else becomes `_`. `ending` (with its dot) defaults to the
    suffix of the path, or `.bin` if that has unusual characters.
    """
    start = upload.start.astimezone(zone)
    is_repeated = WallClock(zone).is_repeated(start.replace(tzinfo=None))
    stem = f"{upload.camera}_{start:%Y-%m-%d_%H-%M-%S}" + (f"_{start:%Z}" if is_repeated else "")
    name = re.sub(r"[^\w.-]+", "_", stem).strip("._")
    return name[-120:].lstrip("._") + (ending or _ending(upload.path))


def _ending(path: str) -> str:
    ending = PurePosixPath(path).suffix.lower().rstrip("_")
    return ending if re.fullmatch(r"\.[a-z0-9]{1,8}", ending) else ".bin"
