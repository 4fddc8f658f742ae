"""Which clip holds which snapshot: the camera's pictures of a motion lie within its clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Clip(NamedTuple):
    """A clip's span, both ends included, microseconds since 1970 UTC."""

    start: int
    end: int
    media_id: str


def holders(moments: Sequence[int], clips: Sequence[Clip]) -> list[str | None]:
    """Return for each moment the clip that holds it, or None.

    `moments` and `clips` must be sorted by (start) time. Where clips overlap,
    the one that began last holds the moment: it is the one the camera was
    writing for it.
    """
    held: list[str | None] = []
    running: list[Clip] = []
    upcoming = 0
    for moment in moments:
        while upcoming < len(clips) and clips[upcoming].start <= moment:
            running.append(clips[upcoming])
            upcoming += 1
        if running:
            running = [clip for clip in running if clip.end >= moment]
        held.append(running[-1].media_id if running else None)
    return held
