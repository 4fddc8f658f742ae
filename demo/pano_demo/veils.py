"""What deceives a motion detector: shadows, headlights, rain and a spider on the lens.

Each is a function of the seconds since it began.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from pano_demo.planes import HEIGHT, WIDTH, Bytes, Planes, add_light, upscale

Map = NDArray[np.float32]
_GREY = 118
_ROWS, _COLUMNS = HEIGHT // 8, WIDTH // 8


@dataclass(frozen=True, slots=True)
class Veil:
    """What lies over a picture: `glow` is light to add, `haze` (0 to 1) evens everything out.

    `glow` is a map of the whole picture.
    """

    glow: Bytes
    haze: float = 0.0


def apply(planes: Planes, veil: Veil) -> None:
    """Lay `veil` over `planes`, in place."""
    bright = Image.fromarray(planes.y)
    if veil.haze:
        bright = bright.point([round(v + veil.haze * (_GREY - v)) for v in range(256)])
    np.copyto(planes.y, np.asarray(bright))
    add_light(planes, veil.glow)


# --- shadows --------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _clouds(seed: int) -> Map:
    """Return smooth noise between 0 and 1, wider than the picture so that it can pass by."""
    rng = np.random.default_rng([77, seed])
    total = np.zeros((_ROWS, _COLUMNS * 3), dtype=np.float32)
    for cells, weight in ((2, 1.0), (4, 0.45), (9, 0.14)):
        grid = rng.random((cells, cells * 5)).astype(np.float32)
        image = Image.fromarray(grid).resize((_COLUMNS * 3, _ROWS), Image.Resampling.BICUBIC)
        total += weight * np.asarray(image)
    return np.asarray((total - total.min()) / (total.max() - total.min()), dtype=np.float32)


def shadow_mask(t_s: float) -> Bytes:
    """Return where the shadow of a drifting cloud lies (0 to 255) at `t_s`."""
    across = int(min(max(t_s + 4, 0), 20) * 20)
    part = _clouds(1)[:, across : across + _COLUMNS]
    arrived = min(1.0, max(0.0, (t_s + 0.5) / 2.5))
    strength = np.clip((part - 0.42) * 5, 0, 1) * arrived
    return upscale(strength * 255)


def shaded(planes: Planes) -> Planes:
    """Return `planes` as if the sun were hidden: darker where it seems to shine."""
    small = Image.fromarray(planes.y).resize((_COLUMNS, _ROWS), Image.Resampling.BOX)
    # A coarse look: told for each pixel, sun and shade would draw a rim around everything.
    bright = np.asarray(small.filter(ImageFilter.GaussianBlur(4)))
    left = Image.fromarray(upscale(255 * (1 - _SUNLIT[bright])))
    paler = (np.array(Image.fromarray(plane).point(_PALER)) for plane in (planes.cb, planes.cr))
    return Planes(np.array(ImageChops.multiply(Image.fromarray(planes.y), left)), *paler)


_PALER = [round(128 + 0.72 * (v - 128)) for v in range(256)]
# What the sun's share of the light is, by brightness: less in what lies in shade already,
# and in the sky.
_SUNLIT = 0.42 * np.interp(np.arange(256), (30, 110, 225, 250), (0.3, 1, 1, 0))


# --- headlights -----------------------------------------------------------------------------


def headlights(t_s: float) -> Veil:
    """Return two beams that sweep over the ground and what they leave in the lens."""
    y, x = np.mgrid[0:_ROWS, 0:_COLUMNS].astype(np.float32)
    way = (t_s - 0.4) / 4.6
    strength = math.exp(-(((way - 0.5) / 0.34) ** 2))
    centre = _COLUMNS * (-0.25 + 1.5 * way)
    beam = np.zeros((_ROWS, _COLUMNS), dtype=np.float32)
    for apart, height in ((-13, 0.60), (15, 0.64)):
        away = ((x - centre - apart) / 46) ** 2 + ((y - _ROWS * height) / 21) ** 2
        beam += np.exp(-away)
    wash = np.exp(-(((x - centre) / 105) ** 2) - ((y - _ROWS * 0.5) / 70) ** 2)
    return Veil(upscale(strength * (74 * beam + 30 * wash)))


# --- rain -----------------------------------------------------------------------------------


@lru_cache(maxsize=12)
def _streaks(number: int, is_infrared: bool) -> Bytes:
    """Return the drops of one exposure: thin streaks, near ones wide and out of focus."""
    rng = Random(f"streaks {number} {is_infrared}")
    far = Image.new("L", (WIDTH, HEIGHT))
    near = Image.new("L", (WIDTH // 2, HEIGHT // 2))
    for _ in range(300 if is_infrared else 230):
        _streak(far, rng, rng.randint(24, 60), rng.randint(26, 120 if is_infrared else 60), 1)
    for _ in range(26 if is_infrared else 0):
        _streak(near, rng, rng.randint(40, 90), rng.randint(60, 190), 4)
    near = near.filter(ImageFilter.GaussianBlur(3.2)).resize((WIDTH, HEIGHT))
    return np.asarray(ImageChops.add(far.filter(ImageFilter.GaussianBlur(0.9)), near))


def _streak(image: Image.Image, rng: Random, length: int, light: int, width: int) -> None:
    x, y = rng.uniform(0, image.width), rng.uniform(-length, image.height)
    lean = rng.gauss(0.10, 0.02) * length
    ImageDraw.Draw(image).line((x, y, x - lean, y + length), fill=light, width=width)


def rain(t_s: float, is_infrared: bool) -> Veil:
    """Return the streaks of rain and the haze that it makes of the distance."""
    number = round(max(t_s, 0) * 15) % 6
    return Veil(glow=_streaks(number, is_infrared), haze=0.05 if is_infrared else 0.10)


# --- a spider -------------------------------------------------------------------------------


def spider(t_s: float) -> Veil:
    """Return a spider so near to the lens that it is a pale blur, walking on its thread."""
    scale = 2
    sheet = Image.new("L", (WIDTH // scale, HEIGHT // scale))
    x = sheet.width * (0.38 + 0.03 * t_s) + 5 * math.sin(5.1 * t_s)
    y = sheet.height * (0.02 + 0.085 * t_s)
    draw = ImageDraw.Draw(sheet)
    draw.line((x - 30, -40, x, y), fill=52, width=3)
    _legs(draw, x, y, t_s)
    draw.ellipse((x - 22, y - 6, x + 22, y + 54), fill=235)
    draw.ellipse((x - 15, y + 46, x + 15, y + 76), fill=190)
    small = (WIDTH // 8, HEIGHT // 8)
    soft = np.asarray(sheet.filter(ImageFilter.GaussianBlur(6))).astype(np.float32)
    far = sheet.resize(small, Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(11))
    halo = np.asarray(far.resize(sheet.size, Image.Resampling.BILINEAR)).astype(np.float32)
    return Veil(upscale(0.9 * soft + 0.8 * halo), haze=0.03)


def _legs(draw: ImageDraw.ImageDraw, x: float, y: float, t_s: float) -> None:
    """Draw eight legs, each a bow from the body over its knee, no two in step."""
    for side in (-1, 1):
        for pair in range(4):
            swing = 0.14 * math.sin(6.3 * t_s + pair * 1.9 + (side > 0) * 1.2)
            along = -0.95 + 0.62 * pair + swing
            reach = (118, 92, 88, 126)[pair]
            root = np.array((x + side * 14, y + 44 + pair * 6))
            foot = root + reach * np.array((side * math.cos(along), math.sin(along)))
            knee = (root + foot) / 2 + np.array((side * 22, -26))
            bow = [tuple(_bow(root, knee, foot, k / 9)) for k in range(10)]
            draw.line(bow, fill=150 - 12 * pair, width=6 - pair // 2, joint="curve")


def _bow(
    root: NDArray[np.float64], knee: NDArray[np.float64], foot: NDArray[np.float64], share: float
) -> NDArray[np.float64]:
    """Return a point of the curve from `root` to `foot` that `knee` pulls aside."""
    rest = 1 - share
    return rest * rest * root + 2 * rest * share * knee + share * share * foot


VEIL_LENGTHS_S = {"shadow": 9.0, "headlights": 5.5, "rain": 6.0, "spider": 9.0, "wind": 6.0}
