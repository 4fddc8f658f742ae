"""Which users of this computer may read the files that pano writes."""

from __future__ import annotations

from typing import Literal

Readers = Literal["owner", "group", "everybody"]
