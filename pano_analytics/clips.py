"""Deprecated: `pano_analytics.present.clips` under its old name, which will be removed in 0.2."""

from __future__ import annotations

import warnings

from pano_analytics.present.clips import ClipCache, remux, transcode

__all__ = ["ClipCache", "remux", "transcode"]

warnings.warn(
    "pano_analytics.clips is now pano_analytics.present.clips; the old name will be removed in 0.2",
    DeprecationWarning,
    stacklevel=2,
)
