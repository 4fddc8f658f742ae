"""Files in an upload tree that are not uploads: indexes, markers, uploads in progress."""

from __future__ import annotations

import re

from pano_analytics.model.upload import Reading

LAYOUTS = {
    "sidecar-idx": "Amcrest's and Dahua's index of a clip: 10.22.28-10.22.55[M].idx",
    "sidecar-inprogress": "an upload in progress: .mp4_, .idx_, .tmp, .part, .pano-part",
    "sidecar-marker": "DVRWorkDirectory, a marker beside Dahua's date folders",
    "sidecar-preview": "a recorder's preview picture of a clip: .mp4.thumb",
    "sidecar-system": "hidden files and those of operating systems: Thumbs.db, .DS_Store",
}

PART = ".pano-part"
"""The extension of incomplete uploads of `pano receive`: `.NAME.xxxxxxxx.pano-part`."""
_IN_PROGRESS = re.compile(
    r".*\.\w*_|.*\.(?:tmp|temp|part|partial|filepart|crdownload|pano-part)|\.pureftpd-upload.*",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_SYSTEM = frozenset(("thumbs.db", "desktop.ini", "ehthumbs.db"))


def read(name: str) -> Reading | None:
    """Return the `ignore` reading of a file that is not an upload, or None if it may be one."""
    lowered = name.lower()
    if _IN_PROGRESS.fullmatch(name):
        return _ignore("sidecar-inprogress", "an upload in progress, until it is renamed")
    if lowered.endswith(".idx"):
        return _ignore("sidecar-idx", "the index file of a clip")
    if lowered == "dvrworkdirectory":
        return _ignore("sidecar-marker", "a marker file of the camera")
    if lowered.endswith(".thumb"):
        return _ignore("sidecar-preview", "a small picture made of a clip")
    if name.startswith(".") or lowered in _SYSTEM:
        return _ignore("sidecar-system", "a hidden or system file")
    return None


def _ignore(layout: str, reason: str) -> Reading:
    return Reading(kind="ignore", layout=layout, reason=reason)
