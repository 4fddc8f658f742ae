"""Size limits: larger files are not decoded."""

from __future__ import annotations

MAX_PIXELS = 50_000_000
"""A picture or clip that declares more pixels than this is not decoded."""
MAX_SNAPSHOT_BYTES = 64 << 20
"""A snapshot larger than this is not decoded."""
STRIP_FRAMES = 16
"""The most key frames kept of a clip, evenly spread and with the first and last."""
TOO_LARGE = "too large to look at: declares {} x {} pixels, more than {}; not decoded"
