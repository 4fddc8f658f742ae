"""Text of unknown origin, made safe for a terminal."""

from __future__ import annotations

import sys
from typing import Any

from pano_analytics.wording import printable


def shown(text: Any) -> str:
    """Return `text` on one line; nothing in it can move the cursor or break the encoding."""
    encoding = sys.stdout.encoding or "utf-8"
    return printable(str(text)).encode(encoding, "backslashreplace").decode(encoding)
