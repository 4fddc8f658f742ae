"""One picture as a camera takes it: light, what moves, weather, lens, sensor, text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pano_demo import osd, veils
from pano_demo.cast import BACKWARDS, has_foliage, has_shade, scene
from pano_demo.planes import (
    HEIGHT,
    WIDTH,
    Box,
    Bytes,
    Planes,
    add_light,
    bloom,
    through_lens,
)
from pano_demo.sensor import Exposure, add_noise, add_video_noise, expose
from pano_demo.sun import Look

if TYPE_CHECKING:
    from pano_demo.scenery import Layer, Motion

Colours = NDArray[np.float32]

# The lens reaches this far around what moves: blur and sharpening together.
_REACH_PX = 24
# A slow shutter at night smears what moves; so many moments make one picture.
_SHUTTER_S = {"night_ir": 1 / 12, "dusk": 1 / 25}
_SHUTTER_MOMENTS = 3
# The wind moves the branches to and fro between so many pictures.
_GUSTS = 10
_GUST_HZ = 5.0
# Added to times that may lie before the act, so that they are never negative.
_BEFORE_S = 20
# How far a cloud must have come to shade the whole picture.
_WHOLLY = 1.5
_BEAMS = 14


# The act of an empty scene, and how many pictures of a video have the same noise: those
# between two key pictures, for what is left of it is not worth a camera's bits.
NOBODY = "nobody"
GROUP = 30


@dataclass(frozen=True, slots=True)
class Shot:
    """What one picture shows.

    `act` is a motion of the scenery, the name of a veil, "wind" or "scheduled";
    `t_s` counts from the beginning of the act (negative before it); `wall` is painted
    into the upper right corner, None leaves it empty; `number` picks the noise, which
    cameras filter harder where `is_video`.
    """

    camera: str
    look: Look
    act: str
    t_s: float
    exposure: Exposure
    number: int
    is_raining: bool = False
    is_windy: bool = False
    is_video: bool = False
    wall: datetime | None = None
    width: int = WIDTH


def take(shot: Shot) -> Planes:
    """Return the picture that `shot` describes."""
    if shot.is_video and _is_played(shot) and not shot.is_raining:
        planes = _take_video(shot)
    else:
        planes = _take_whole(shot)
    osd.paint_title(planes, scene(shot.camera).title)
    if shot.wall is not None:
        osd.paint_clock(planes, shot.wall)
    return planes.reduced(shot.width)


def _take_whole(shot: Shot) -> Planes:
    planes = _before_sensor(shot)
    add_light(planes, bloom(planes))
    _weather(shot, planes)
    _through_sensor(shot, planes)
    return planes


def _take_video(shot: Shot) -> Planes:
    """Return a picture of a video in which only the actor changes from the last one."""
    planes = _empty(shot.camera, shot.look, shot.exposure, shot.number // GROUP).copy()
    part = _actor(shot, _Behind(shot.camera, shot.look))
    if part is not None:
        new, (left, top, right, bottom) = part
        halo = _halo(shot.camera, shot.look)[top:bottom, left:right]
        add_light(new, np.ascontiguousarray(halo))
        _through_sensor(shot, new, left, top)
        _insert(planes, *part)
    return planes


@lru_cache(maxsize=1)
def _halo(camera: str, look: Look) -> Bytes:
    """Return the bloom of the scene with nobody in it."""
    return bloom(_still_planes(camera, look.light))


@lru_cache(maxsize=1)
def _empty(camera: str, look: Look, exposure: Exposure, group: int) -> Planes:
    return _take_whole(Shot(camera, look, NOBODY, 0.0, exposure, group * GROUP, is_video=True))


def _through_sensor(shot: Shot, planes: Planes, left: int = 0, top: int = 0) -> None:
    """Expose `planes`, whose corner lies at `left`, `top` of the picture, and add noise."""
    gain = shot.exposure.gain * shot.look.dimming
    expose(planes, Exposure(gain, shot.exposure.blue, shot.exposure.red))
    if shot.is_video:
        add_video_noise(planes, shot.look.light, shot.number // GROUP, left, top)
    else:
        add_noise(planes, shot.look.light, shot.number)


def _before_sensor(shot: Shot) -> Planes:
    """Return the scene with what moves in it, seen through the lens."""
    look, gust = shot.look, _gust(shot)
    planes = _blown_planes(shot.camera, look.light, gust)
    if look.second is None:
        planes = planes.copy()
    else:
        planes = planes.blended(_still_planes(shot.camera, look.second), look.share)
    if shot.act == "shadow":
        planes = _in_shade(shot, planes)
    part = _actor(shot, _Behind(shot.camera, look))
    if part is not None:
        _insert(planes, *part)
    return planes


# --- the scene with nobody in it ------------------------------------------------------------


def _gust(shot: Shot) -> float | None:
    """Return where the wind's to and fro stands, in steps; None where no wind blows."""
    is_moved = shot.act == "wind" or shot.is_windy
    if not is_moved or not has_foliage(shot.camera, shot.look.light):
        return None
    way = (shot.t_s + _BEFORE_S) * _GUST_HZ % (2 * (_GUSTS - 1))
    return min(way, 2 * (_GUSTS - 1) - way)


@lru_cache(maxsize=12)
def _plate(camera: str, light: str) -> Bytes:
    return scene(camera).plate(light)


@lru_cache(maxsize=12)
def _still_planes(camera: str, light: str) -> Planes:
    return through_lens(_plate(camera, light))


@lru_cache(maxsize=_GUSTS + 4)
def _gust_planes(camera: str, light: str, number: int) -> Planes:
    return through_lens(scene(camera).windy(light, number / _GUST_HZ))


def _blown_planes(camera: str, light: str, gust: float | None) -> Planes:
    if gust is None:
        return _still_planes(camera, light)
    low = int(gust)
    planes = _gust_planes(camera, light, low)
    share = gust - low
    return planes.blended(_gust_planes(camera, light, low + 1), share) if share else planes


@lru_cache(maxsize=4)
def _shaded_planes(camera: str, light: str) -> Planes:
    if has_shade(camera, light):
        return through_lens(scene(camera).clouded(light, _WHOLLY))
    return veils.shaded(_still_planes(camera, light))


def _in_shade(shot: Shot, planes: Planes) -> Planes:
    """Return `planes` with the shadow of a cloud where it has come by now."""
    shaded = _shaded_planes(shot.camera, shot.look.light)
    return planes.masked(shaded, veils.shadow_mask(shot.t_s))


@dataclass(frozen=True, slots=True)
class _Behind:
    """What stands behind the actors, before the lens."""

    camera: str
    look: Look

    def part(self, box: Box) -> Colours:
        """Return the part `box` (left, top, right, bottom) of the scene."""
        left, top, right, bottom = box
        place = np.s_[top:bottom, left:right]
        seen = _plate(self.camera, self.look.light)[place].astype(np.float32)
        if self.look.second is not None:
            other = _plate(self.camera, self.look.second)[place]
            seen += self.look.share * (other - seen)
        return seen


# --- what moves -----------------------------------------------------------------------------


def _motion(shot: Shot) -> Motion | None:
    name = shot.act.removeprefix(BACKWARDS)
    motions = scene(shot.camera).motions(shot.look.light)
    return next((motion for motion in motions if motion.name == name), None)


def _is_played(shot: Shot) -> bool:
    return _motion(shot) is not None


def _actor(shot: Shot, behind: _Behind) -> tuple[Planes, Box] | None:
    """Return the part of the picture that holds the actor of `shot`, if one is seen, and where."""
    motion = _motion(shot)
    if motion is None or not 0 <= shot.t_s < motion.duration_s:
        return None
    layers = [layer for layer in _layers(shot, motion) if layer.alpha.any()]
    box = _around(layers)
    return (_seen(behind, layers, box), box) if box is not None else None


def _layers(shot: Shot, motion: Motion) -> list[Layer]:
    """Return what the shutter sees of `motion` while it is open, one layer or several."""
    t_s = motion.duration_s - shot.t_s if shot.act.startswith(BACKWARDS) else shot.t_s
    open_s = _SHUTTER_S.get(shot.look.light)
    if open_s is None:
        return [motion.frame(t_s)]
    return [motion.frame(t_s + open_s * k / _SHUTTER_MOMENTS) for k in range(_SHUTTER_MOMENTS)]


def _seen(behind: _Behind, layers: list[Layer], box: Box) -> Planes:
    """Return the part `box` of the scene with the mean of `layers` in it, through the lens."""
    part = behind.part(box)
    total = sum((_with(part, layer, *box[:2]) for layer in layers), np.zeros_like(part))
    return through_lens(np.clip(total / len(layers) + 0.5, 0, 255).astype(np.uint8), box)


def _insert(planes: Planes, new: Planes, box: Box) -> None:
    """Put `new` into the `box` of `planes`, but for the rim where the lens saw no surroundings."""
    left, top, right, bottom = box
    inner = np.s_[
        _trim(top) : bottom - top - _trim(HEIGHT - bottom),
        _trim(left) : right - left - _trim(WIDTH - right),
    ]
    for old, fresh in ((planes.y, new.y), (planes.cb, new.cb), (planes.cr, new.cr)):
        old[top:bottom, left:right][inner] = fresh[inner]


def _trim(room_px: int) -> int:
    """Return how much of a box's rim to leave out, none at the picture's own edge."""
    return _REACH_PX * 2 // 3 if room_px > 0 else 0


def _around(layers: list[Layer]) -> Box | None:
    """Return the box around `layers` with the reach of the lens, or None outside the picture."""
    if not layers:
        return None
    left = max(0, min(layer.x for layer in layers) - _REACH_PX)
    top = max(0, min(layer.y for layer in layers) - _REACH_PX)
    right = min(WIDTH, max(layer.x + layer.alpha.shape[1] for layer in layers) + _REACH_PX)
    bottom = min(HEIGHT, max(layer.y + layer.alpha.shape[0] for layer in layers) + _REACH_PX)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _with(part: Colours, layer: Layer, left: int, top: int) -> Colours:
    """Return `part` of a picture (its corner at `left`, `top`) with `layer` over it."""
    seen = part.copy()
    x, y = layer.x - left, layer.y - top
    rows = slice(max(0, y), min(seen.shape[0], y + layer.alpha.shape[0]))
    columns = slice(max(0, x), min(seen.shape[1], x + layer.alpha.shape[1]))
    cut = np.s_[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    alpha = layer.alpha[cut].astype(np.float32)[..., None]
    alpha /= 255 if layer.alpha.dtype == np.uint8 else 1
    seen[rows, columns] += alpha * (layer.rgb[cut].astype(np.float32) - seen[rows, columns])
    return seen


# --- weather --------------------------------------------------------------------------------


def _weather(shot: Shot, planes: Planes) -> None:
    is_infrared = shot.look.light == "night_ir"
    if shot.is_raining or shot.act == "rain":
        veils.apply(planes, veils.rain(shot.t_s + _BEFORE_S, is_infrared))
    lasts_s = veils.VEIL_LENGTHS_S.get(shot.act, 0.0)
    if not 0 <= shot.t_s <= lasts_s:
        return
    if shot.act == "spider":
        veils.apply(planes, veils.spider(shot.t_s))
    if shot.act == "headlights":
        _headlights(shot, planes, shot.t_s / lasts_s)


def _headlights(shot: Shot, planes: Planes, share: float) -> None:
    """Add the light of a car that passes, and let the camera close its eye a little."""
    if "headlights" not in scene(shot.camera).overlays:
        veils.apply(planes, veils.headlights(shot.t_s))
        return
    place = share * (_BEAMS - 1)
    low = min(int(place), _BEAMS - 2)
    first, second = (Image.fromarray(_beam(shot.camera, n)) for n in (low, low + 1))
    add_light(planes, np.asarray(Image.blend(first, second, place - low)))


@lru_cache(maxsize=_BEAMS)
def _beam(camera: str, number: int) -> Bytes:
    light = scene(camera).overlay("headlights", number / (_BEAMS - 1))
    return np.asarray(Image.fromarray(light).convert("L"))
