"""The six views of the demonstration home: rendered plates and the actors that cross them.

The assets were rendered once by `demo/scenery`; this loads them. A scene has one
plate for each light, a mask of its foliage (which the wind moves), motions (crops
with an alpha, cast shadow included) and additive overlays. Everything is
deterministic; pictures are uint8 RGB at 1080p, made from smaller ones by Lanczos.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pano_analytics.errors import PanoError

Picture = NDArray[np.uint8]

SCENES: tuple[str, ...] = ("front_door", "driveway", "garden", "side_gate", "garage", "street")
SIZE = (1920, 1080)
ASSETS = Path(__file__).parent / "assets"

# One step of the crops' grid: two pixels of 1280x720 are three of 1920x1080.
_GRID = (2, 3)
_WIND_VARIANTS, _CLOUD_VARIANTS = 3, 2
_NIGHT = "night_ir"

# Whose motions a daylight borrows, the likest first: soft light from soft, hard from hard.
_LENDERS: dict[str, tuple[str, ...]] = {
    "morning": ("afternoon", "noon", "overcast", "dusk"),
    "noon": ("morning", "afternoon", "overcast", "dusk"),
    "afternoon": ("morning", "noon", "overcast", "dusk"),
    "overcast": ("dusk", "noon", "morning", "afternoon"),
    "dusk": ("overcast", "noon", "morning", "afternoon"),
}


class SceneryError(PanoError):
    """A scene, light, motion or overlay was asked for that does not exist."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A piece of picture at (x, y) of 1080p: `rgb` (h, w, 3) and `alpha` (h, w), both uint8."""

    x: int
    y: int
    rgb: Picture
    alpha: Picture


@dataclass(frozen=True, slots=True)
class Motion:
    """Somebody or something that crosses a scene in one light.

    `relit` is (scene, light) where the motion was rendered in another daylight: its
    colours are then brought to `light` by the ratio of the two empty plates around it.
    """

    name: str
    what: str
    label: str
    light: str
    fps: float
    file: Path = field(repr=False)
    boxes: tuple[tuple[int, int, int, int], ...] = field(repr=False)
    relit: tuple[str, str] | None = None

    @property
    def duration_s(self) -> float:
        """Length in seconds, the last frame's own time included."""
        return len(self.boxes) / self.fps

    def frame(self, t_s: float) -> Layer:
        """Return the layer at `t_s` seconds, held at the first and last frame outside."""
        at = min(len(self.boxes) - 1, max(0, math.floor(t_s * self.fps + 1e-6)))
        layer = _layers(self.file, self.boxes)[at]
        return layer if self.relit is None else _relit(layer, *self.relit, self.light)


@dataclass(frozen=True)
class Scene:
    """One camera's view."""

    name: str
    title: str
    lights: tuple[str, ...]
    _about: dict[str, Any] = field(repr=False, compare=False)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of every picture."""
        return SIZE

    def variants(self, light: str) -> range:
        """Return the plates of a light: 0 is still, then those of wind, then those of clouds."""
        return range(len(self.windy_variants(light)) + len(self.clouded_variants(light)) + 1)

    def windy_variants(self, light: str) -> range:
        """Return the plates whose foliage the wind has moved; empty for a room."""
        self._check_light(light)
        return range(1, 1 + (_WIND_VARIANTS if self._about["foliage"] else 0))

    def clouded_variants(self, light: str) -> range:
        """Return the plates with a cloud's shadow; empty where no sun shines."""
        first = self.windy_variants(light).stop
        return range(first, first + (_CLOUD_VARIANTS if self._has_shade(light) else 0))

    def plate(self, light: str, variant: int = 0) -> Picture:
        """Return the empty scene, (1080, 1920, 3); SceneryError for an unknown light or variant."""
        if variant not in self.variants(light):
            raise SceneryError(
                f"expected a variant below {len(self.variants(light))} of {self.name} in "
                f"{light}, got {variant}; ask variants({light!r}) first"
            )
        if variant in self.windy_variants(light):
            return self.windy(light, variant * 0.71)
        if variant in self.clouded_variants(light):
            nth = variant - self.clouded_variants(light).start + 1
            return self.clouded(light, nth / (_CLOUD_VARIANTS + 1))
        return _picture(ASSETS / f"{self.name}_{light}.webp")

    def windy(self, light: str, t_s: float, strength: float = 1.0) -> Picture:
        """Return the plate with its foliage as the wind has it at `t_s`; still at strength 0."""
        self._check_light(light)
        return _blown(self.name, light, round(t_s, 3), round(strength, 2))

    def clouded(self, light: str, at: float) -> Picture:
        """Return a sunlit plate with a cloud's shadow part of the way (`at`, 0 to 1) across it."""
        sunny = self.plate(light)
        if not self._has_shade(light):
            return sunny
        shaded = _picture(ASSETS / f"{self.name}_{light}_shade.webp")
        return _mix(sunny, shaded, _cloud_edge(at))

    def motions(self, light: str) -> tuple[Motion, ...]:
        """Return what can happen in a light: what was rendered in it, then what is relit for it.

        By day every daylight motion can be had; by night only those rendered by night.
        """
        self._check_light(light)
        entries = self._about["motions"]
        own = [_motion(entry) for entry in entries if entry["light"] == light]
        if light == _NIGHT:
            return tuple(own)
        known = {motion.name for motion in own}
        for lender in _LENDERS[light]:
            lent = [e for e in entries if e["light"] == lender and e["name"] not in known]
            own += [_motion(entry, (self.name, lender), light) for entry in lent]
            known |= {entry["name"] for entry in lent}
        return tuple(own)

    @property
    def overlays(self) -> tuple[str, ...]:
        """Names of the additive overlays, such as "headlights"."""
        return tuple(self._about["overlays"])

    def overlay(self, name: str, share: float) -> Picture:
        """Return the light to add (uint8, black where none) at `share` (0 to 1) of its course."""
        if name not in self._about["overlays"]:
            raise SceneryError(
                f"expected an overlay of {self.name} ({', '.join(self.overlays) or 'it has none'}),"
                f" got {name!r}; see Scene.overlays"
            )
        count = self._about["overlays"][name]
        place = min(1.0, max(0.0, share)) * (count - 1)
        low = min(int(place), count - 2)
        first, second = (_picture(ASSETS / f"{self.name}_{name}_{i}.webp") for i in (low, low + 1))
        weight = np.full(SIZE[::-1], round((place - low) * 255), np.uint8)
        return _mix(first, second, weight)

    def _has_shade(self, light: str) -> bool:
        return light in self._about["shade"]

    def _check_light(self, light: str) -> None:
        if light not in self.lights:
            raise SceneryError(
                f"expected a light of {self.name} ({', '.join(self.lights)}), got {light!r}; "
                "see Scene.lights"
            )


@cache
def load_scene(name: str) -> Scene:
    """Return the scene of that name; SceneryError for any other than SCENES."""
    if name not in SCENES:
        raise SceneryError(f"expected a scene of {', '.join(SCENES)}, got {name!r}")
    about = json.loads((ASSETS / f"{name}.json").read_text(encoding="utf-8"))
    return Scene(name, about["title"], tuple(about["lights"]), about)


def composite(plate: Picture, layer: Layer) -> Picture:
    """Return the plate with a layer laid over it; the plate itself is not altered."""
    out = plate.copy()
    height, width = layer.alpha.shape
    window = out[layer.y : layer.y + height, layer.x : layer.x + width]
    window[:] = _mix(window, layer.rgb, layer.alpha)
    return out


def add_light(plate: Picture, light: Picture, gain: float = 1.0) -> Picture:
    """Return the plate with an overlay's light added, clipped at white."""
    return np.minimum(plate + light * np.float32(gain), 255).astype(np.uint8)


def _mix(below: Picture, above: Picture, alpha: Picture) -> Picture:
    """Blend by alpha / 255 in 16-bit integers, rounded."""
    share = alpha.astype(np.uint16)[..., None]
    total = below * (255 - share) + above * share + 127
    mixed: Picture = ((total + (total >> 8)) >> 8).astype(np.uint8)
    return mixed


@lru_cache(maxsize=12)
def _picture(path: Path) -> Picture:
    with Image.open(path) as image:
        full = image.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
    picture: Picture = np.array(full, np.uint8)
    picture.flags.writeable = False
    return picture


def _motion(
    entry: dict[str, Any], relit: tuple[str, str] | None = None, light: str | None = None
) -> Motion:
    boxes = tuple((x, y, w, h) for x, y, w, h in entry["boxes"])
    return Motion(
        entry["name"],
        entry["what"],
        entry["label"],
        light or entry["light"],
        entry["fps"],
        ASSETS / entry["file"],
        boxes,
        relit,
    )


@lru_cache(maxsize=512)
def _relit_gain(scene: str, lender: str, light: str) -> NDArray[np.float32]:
    """How much brighter a neighbourhood is in `light`, per channel, on a grid of 1/24."""
    small = (SIZE[0] // 24, SIZE[1] // 24)
    pair = []
    for name in (light, lender):
        plate = Image.fromarray(_picture(ASSETS / f"{scene}_{name}.webp"))
        pair.append(np.asarray(plate.resize(small, Image.Resampling.BOX), np.float32) + 8)
    gain: NDArray[np.float32] = np.clip(pair[0] / pair[1], 0.12, 2.0)
    return gain


def _relit(layer: Layer, scene: str, lender: str, light: str) -> Layer:
    """Bring a layer's colours from the light it was rendered in to another."""
    height, width = layer.alpha.shape
    gain = _relit_gain(scene, lender, light)
    y = np.clip((layer.y + np.arange(height)) // 24, 0, gain.shape[0] - 1)
    x = np.clip((layer.x + np.arange(width)) // 24, 0, gain.shape[1] - 1)
    weight = (layer.alpha > 0).astype(np.float32)
    local = gain[y][:, x]
    mean = (local * weight[..., None]).sum((0, 1)) / max(1.0, float(weight.sum()))
    rgb = np.clip(layer.rgb * (0.5 * local + 0.5 * mean), 0, 255).astype(np.uint8)
    return Layer(layer.x, layer.y, rgb, layer.alpha)


@lru_cache(maxsize=6)
def _layers(file: Path, boxes: tuple[tuple[int, int, int, int], ...]) -> tuple[Layer, ...]:
    """Decode a motion: each frame has its colours above and its alpha below."""
    with av.open(str(file)) as container:
        frames = [
            np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            for frame in container.decode(video=0)
        ]
    return tuple(_layer(frame, box) for frame, box in zip(frames, boxes, strict=True))


def _layer(frame: Picture, box: tuple[int, int, int, int]) -> Layer:
    x, y, width, height = box
    half = frame.shape[0] // 2
    colours, alpha = frame[:height, :width], frame[half : half + height, :width, 1]
    small, large = _GRID
    size = (width * large // small, height * large // small)
    rgb = np.asarray(Image.fromarray(colours).resize(size, Image.Resampling.LANCZOS))
    matte = np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.BILINEAR))
    return Layer(x * large // small, y * large // small, rgb, _clean(matte))


def _clean(matte: Picture) -> Picture:
    """Take the codec's haze off both ends of the matte."""
    spread = (matte.astype(np.int32) - 16) * 255 // 223
    return np.clip(spread, 0, 255).astype(np.uint8)


@lru_cache(maxsize=4)
def _foliage(name: str) -> tuple[NDArray[np.float32], tuple[int, int, int, int]]:
    """How freely each pixel sways (0 to 1), and the box (y0, y1, x0, x1) that holds it all."""
    with Image.open(ASSETS / f"{name}_foliage.png") as image:
        full = image.convert("L").resize(SIZE, Image.Resampling.BILINEAR)
    loose = np.asarray(full, np.float32) / np.float32(255)
    ys, xs = np.nonzero(loose > 0.02)
    return loose, (int(ys.min()), int(ys.max()) + 1, int(xs.min()), int(xs.max()) + 1)


@lru_cache(maxsize=24)
def _blown(name: str, light: str, t_s: float, strength: float) -> Picture:
    """Move the foliage's pixels: gusts bend whole boughs, flutter turns single leaves."""
    still = _picture(ASSETS / f"{name}_{light}.webp")
    loose, (y0, y1, x0, x1) = _foliage(name)
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    sway = loose[y0:y1, x0:x1] * np.float32(strength)
    dx, dy = _wind(x, y, t_s)
    sample_x = np.clip(np.rint(x + dx * sway), 0, SIZE[0] - 1).astype(np.intp)
    sample_y = np.clip(np.rint(y + dy * sway), 0, SIZE[1] - 1).astype(np.intp)
    out: Picture = still.copy()
    out[y0:y1, x0:x1] = still[sample_y, sample_x]
    out.flags.writeable = False
    return out


def _wind(
    x: NDArray[np.float32], y: NDArray[np.float32], t_s: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Displacement in pixels: sums of travelling waves, the longer the slower."""
    dx = np.zeros_like(x)
    dy = np.zeros_like(x)
    for across, down, turns, size in _WAVES:
        phase = x * np.float32(across) + y * np.float32(down) - np.float32(turns * t_s)
        dx += np.float32(size) * np.sin(phase)
        dy += np.float32(size * 0.5) * np.cos(phase * np.float32(1.13))
    return dx, dy


# (radians a pixel across, down, radians a second, pixels): boughs, twigs, leaves.
_WAVES = (
    (0.008, 0.005, 2.3, 5.0),
    (0.021, -0.017, 4.1, 2.6),
    (0.067, 0.081, 7.9, 1.7),
    (-0.19, 0.23, 13.0, 1.0),
)


def _cloud_edge(at: float) -> Picture:
    """The matte of a cloud's shadow whose soft, wavy front has come `at` of the way."""
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    wave = 90 * np.sin(x / 310) + 55 * np.sin(y / 140 + 1.3) + 30 * np.sin(x / 87 + y / 61)
    front = (x + 0.6 * y + wave) / (width + 0.6 * height)
    matte: Picture = (np.clip((at - front) * 6 + 0.5, 0, 1) * 255).astype(np.uint8)
    return matte
