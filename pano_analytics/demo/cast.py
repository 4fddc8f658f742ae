"""Who plays whom: from a role of the story to a motion that the scenery can show."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from zlib import crc32

from pano_analytics.demo.habits import SCHEDULED, Act
from pano_analytics.demo.scenery import load_scene
from pano_analytics.demo.story import FALSE_SORTS
from pano_analytics.demo.veils import VEIL_LENGTHS_S

if TYPE_CHECKING:
    from pano_analytics.demo.scenery import Motion, Scene

# Words looked for in a motion's name and label, the best first.
_WORDS = {
    "resident": ("resident", "walk"),
    "gardener": ("garden", "walk"),
    "courier": ("courier", "parcel", "post", "walk"),
    "passer": ("pass", "dog", "walk"),
    "stranger": ("stranger", "hood", "prowl"),
    "car_in": ("arriv", "_in", "in"),
    "car_out": ("leav", "depart", "_out", "out"),
    "car": ("pass", "drive", "car"),
    "cat": ("cat",),
    "fox": ("fox",),
}
_ONLY_FOR = {"stranger": ("stranger", "hood", "prowl")}


@lru_cache(maxsize=6)
def scene(camera: str) -> Scene:
    """Return the scenery before `camera`, read once in each process."""
    return load_scene(camera)


@lru_cache(maxsize=512)
def act_for(camera: str, role: str, what: str, light: str) -> Act | None:
    """Return what plays `role` before `camera` in `light`, or None where nothing can."""
    if role in FALSE_SORTS:
        return Act(role, VEIL_LENGTHS_S[role])
    if role == SCHEDULED:
        return Act(SCHEDULED, 0.0)
    motion = _best(scene(camera).motions(light), role, what)
    return Act(motion.name, motion.duration_s) if motion else None


def _best(motions: Sequence[Motion], role: str, what: str) -> Motion | None:
    able = [motion for motion in motions if motion.what == what and _is_free(motion, role)]
    for word in _WORDS[role]:
        found = [motion for motion in able if word in _said(motion)]
        if found:
            return _pick(found, role)
    return _pick(able, role) if able else None


def _is_free(motion: Motion, role: str) -> bool:
    """Return whether `motion` is not kept for another role."""
    return not any(
        word in _said(motion)
        for kept_for, words in _ONLY_FOR.items() if kept_for != role
        for word in words
    )


def _said(motion: Motion) -> str:
    return f"{motion.name} {motion.label}".lower()


def _pick(motions: list[Motion], role: str) -> Motion:
    ordered = sorted(motions, key=lambda motion: motion.name)
    return ordered[crc32(role.encode()) % len(ordered)]
