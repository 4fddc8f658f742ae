"""What lies beside uploads and is none: indexes, markers, files still on their way."""

from __future__ import annotations

import re

from pano_analytics.model.upload import Reading

LAYOUTS = {
    "sidecar-idx": "the index that Amcrest and Dahua lay beside a clip: 10.22.28-10.22.55[M].idx",
    "sidecar-inprogress": "an upload still on its way: .mp4_, .idx_, .tmp, .part, .pano-part",
    "sidecar-marker": "DVRWorkDirectory, the mark beside Dahua's date folders",
    "sidecar-preview": "a small picture that a recorder made of a clip: .mp4.thumb",
    "sidecar-system": "hidden files and what systems leave behind: Thumbs.db, .DS_Store",
}

PART = ".pano-part"
"""How what `pano receive` has of an upload that is not whole ends: `.NAME.xxxxxxxx.pano-part`."""
_IN_PROGRESS = re.compile(
    r".*\.\w*_|.*\.(?:tmp|temp|part|partial|filepart|crdownload|pano-part)|\.pureftpd-upload.*",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_SYSTEM = frozenset(("thumbs.db", "desktop.ini", "ehthumbs.db"))


def read(name: str) -> Reading | None:
    """Return the `ignore` reading of a file that is no upload, or None."""
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
