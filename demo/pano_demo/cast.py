"""Who plays whom: from a role of the story to a motion that the scenery can show."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from zlib import crc32

from pano_demo.habits import SCHEDULED, Act
from pano_demo.scenery import load_scene
from pano_demo.story import FALSE_SORTS
from pano_demo.veils import VEIL_LENGTHS_S

if TYPE_CHECKING:
    from pano_demo.scenery import Motion, Scene

# Words looked for in a motion's name and label, the best first.
_WORDS = {
    "resident": ("resident", "gardener"),
    "gardener": ("gardener", "resident"),
    "courier": ("courier",),
    "passer": ("passer", "resident"),
    "dog_walker": ("dog", "passer", "resident"),
    "stranger": ("hood",),
    "car_in": ("arriving",),
    "car_out": ("arriving",),
    "car": ("car passing", "car"),
    "car_slow": ("slowly", "car"),
    "cat": ("cat",),
    "fox": ("fox",),
}
_KEPT = {"hood": "stranger"}
# Nobody turns round on a drive: a car leaves it as it came, backwards.
_BACKWARDS = frozenset(("car_out",))
BACKWARDS = "backwards: "
_UNSEEN_S = 5.0


@lru_cache(maxsize=6)
def scene(camera: str) -> Scene:
    """Return the scenery before `camera`, read once in each process."""
    return load_scene(camera)


@lru_cache(maxsize=512)
def act_for(camera: str, role: str, what: str, light: str) -> Act:
    """Return what plays `role` before `camera` in `light`.

    Where the scenery has nobody for it, a car by night is seen by its headlights, and
    anybody else was gone before the first picture: the story does not depend on it.
    """
    if role in FALSE_SORTS:
        return Act(role, VEIL_LENGTHS_S[role])
    if role == SCHEDULED:
        return Act(SCHEDULED, 0.0)
    motion = _best(scene(camera).motions(light), role, what)
    if motion is not None:
        return Act(f"{BACKWARDS if role in _BACKWARDS else ''}{motion.name}", motion.duration_s)
    if what == "car" and light == "night_ir":
        return Act("headlights", VEIL_LENGTHS_S["headlights"])
    return Act(f"unseen {role}", _UNSEEN_S)


def has_shade(camera: str, light: str) -> bool:
    """Return whether the scenery has a plate of this light without the sun."""
    return len(scene(camera).clouded_variants(light)) > 0


def has_foliage(camera: str, light: str) -> bool:
    """Return whether the wind has something to move before `camera`."""
    return len(scene(camera).windy_variants(light)) > 0


def _best(motions: Sequence[Motion], role: str, what: str) -> Motion | None:
    able = [motion for motion in motions if motion.what == what and _is_free(motion, role)]
    for word in _WORDS[role]:
        found = [motion for motion in able if word in _said(motion)]
        if found:
            return _pick(found, role)
    return _pick(able, role) if able else None


def _is_free(motion: Motion, role: str) -> bool:
    """Return whether `motion` is not kept for another role."""
    return all(role == kept_for or word not in _said(motion) for word, kept_for in _KEPT.items())


def _said(motion: Motion) -> str:
    return f"{motion.name} {motion.label}".lower()


def _pick(motions: list[Motion], role: str) -> Motion:
    ordered = sorted(motions, key=lambda motion: motion.name)
    return ordered[crc32(role.encode()) % len(ordered)]
