"""Who on this computer may read what pano writes."""

from __future__ import annotations

from typing import Literal

Readers = Literal["owner", "group", "everybody"]
