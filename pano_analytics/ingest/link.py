"""Which clip covers which snapshot: a camera takes snapshots of a motion during its clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Clip(NamedTuple):
    """A clip's span, both ends included, microseconds since 1970 UTC, and its channel."""

    start: int
    end: int
    media_id: str
    channel: int | None = None


class SnapshotTime(NamedTuple):
    """When a snapshot was taken (microseconds since 1970 UTC), and its channel."""

    start: int
    channel: int | None = None


def holders(moments: Sequence[SnapshotTime], clips: Sequence[Clip]) -> list[str | None]:
    """Return for each moment the media_id of the clip that covers it, or None.

    `moments` and `clips` must be sorted by start. If clips overlap, the one that began last
    covers the moment: it was recorded for the same motion. If there is more than one channel,
    a clip covers moments of its own channel only; clips and snapshots without a channel then
    form a channel of their own.
    """
    known = {one.channel for one in moments} | {one.channel for one in clips}
    known.discard(None)
    if len(known) <= 1:
        return _holders([moment.start for moment in moments], clips)
    held: list[str | None] = [None] * len(moments)
    for channel in (*known, None):
        own = [clip for clip in clips if clip.channel == channel]
        places = [at for at, moment in enumerate(moments) if moment.channel == channel]
        covering = _holders([moments[at].start for at in places], own)
        for at, media_id in zip(places, covering, strict=True):
            held[at] = media_id
    return held


def _holders(moments: Sequence[int], clips: Sequence[Clip]) -> list[str | None]:
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
