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

from pano_analytics.demo.planes import HEIGHT, WIDTH, Bytes, Planes, upscale

Map = NDArray[np.float32]
_GREY = 118
_ROWS, _COLUMNS = HEIGHT // 8, WIDTH // 8


@dataclass(frozen=True, slots=True)
class Veil:
    """What lies over a picture: `glow` is light to add, `haze` (0 to 1) evens everything out.

    `glow` is a map of the whole picture, or None.
    """

    glow: Bytes | None = None
    haze: float = 0.0


def apply(planes: Planes, veil: Veil) -> None:
    """Lay `veil` over `planes`, in place."""
    bright = Image.fromarray(planes.y)
    if veil.haze:
        bright = bright.point([round(v + veil.haze * (_GREY - v)) for v in range(256)])
    if veil.glow is not None:
        bright = ImageChops.add(bright, Image.fromarray(veil.glow))
    np.copyto(planes.y, np.asarray(bright))


# --- shadows --------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _clouds(seed: int) -> Map:
    """Return smooth noise between 0 and 1, wider than the picture so that it can pass by."""
    rng = np.random.default_rng([77, seed])
    total = np.zeros((_ROWS, _COLUMNS * 3), dtype=np.float32)
    for cells, weight in ((3, 1.0), (7, 0.5), (16, 0.25)):
        grid = rng.random((cells, cells * 5)).astype(np.float32)
        image = Image.fromarray(grid).resize((_COLUMNS * 3, _ROWS), Image.Resampling.BICUBIC)
        total += weight * np.asarray(image)
    return np.asarray((total - total.min()) / (total.max() - total.min()), dtype=np.float32)


def shadow_mask(t_s: float) -> Bytes:
    """Return where the shadow of a drifting cloud lies (0 to 255) at `t_s`."""
    across = int(min(max(t_s + 4, 0), 20) * 20)
    part = _clouds(1)[:, across:across + _COLUMNS]
    arrived = min(1.0, max(0.0, (t_s + 0.5) / 2.5))
    strength = np.clip((part - 0.42) * 5, 0, 1) * arrived
    return upscale(strength * 255)


# --- headlights -----------------------------------------------------------------------------


def headlights(t_s: float) -> Veil:
    """Return two beams that sweep over the ground and what they leave in the lens."""
    y, x = np.mgrid[0:_ROWS, 0:_COLUMNS].astype(np.float32)
    way = (t_s - 0.4) / 4.6
    strength = math.exp(-((way - 0.5) / 0.34) ** 2)
    centre = _COLUMNS * (-0.25 + 1.5 * way)
    beam = np.zeros((_ROWS, _COLUMNS), dtype=np.float32)
    for apart, height in ((-13, 0.60), (15, 0.64)):
        away = ((x - centre - apart) / 46) ** 2 + ((y - _ROWS * height) / 21) ** 2
        beam += np.exp(-away)
    wash = np.exp(-(((x - centre) / 105) ** 2) - ((y - _ROWS * 0.5) / 70) ** 2)
    return Veil(upscale(strength * (120 * beam + 34 * wash)))


# --- rain -----------------------------------------------------------------------------------


@lru_cache(maxsize=12)
def _streaks(number: int, is_infrared: bool) -> Bytes:
    """Return the drops of one exposure: thin streaks, near ones wide and out of focus."""
    rng = Random(f"streaks {number} {is_infrared}")
    far = Image.new("L", (WIDTH, HEIGHT))
    near = Image.new("L", (WIDTH // 2, HEIGHT // 2))
    for _ in range(300 if is_infrared else 230):
        _streak(far, rng, rng.randint(24, 60), rng.randint(26, 120 if is_infrared else 60), 1)
    for _ in range(26 if is_infrared else 9):
        _streak(near, rng, rng.randint(40, 90), rng.randint(60, 190 if is_infrared else 80), 4)
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
    scale = 4
    sheet = Image.new("L", (WIDTH // scale, HEIGHT // scale))
    x = sheet.width * (0.36 + 0.035 * t_s) + 3 * math.sin(5.1 * t_s)
    y = sheet.height * (0.06 + 0.085 * t_s)
    draw = ImageDraw.Draw(sheet)
    draw.line((x - 8, -20, x, y), fill=62, width=2)
    _legs(draw, x, y, t_s)
    draw.ellipse((x - 15, y - 4, x + 15, y + 40), fill=255)
    draw.ellipse((x - 10, y + 33, x + 10, y + 54), fill=225)
    soft = np.asarray(sheet.filter(ImageFilter.GaussianBlur(4.2))).astype(np.float32)
    halo = np.asarray(sheet.filter(ImageFilter.GaussianBlur(26))).astype(np.float32)
    return Veil(upscale(1.15 * soft + 0.7 * halo), haze=0.03)


def _legs(draw: ImageDraw.ImageDraw, x: float, y: float, t_s: float) -> None:
    for side in (-1, 1):
        for pair in range(4):
            swing = 5 * math.sin(6.3 * t_s + pair * 1.9 + (side > 0) * 1.2)
            root = (x + side * 8, y + 30 + pair * 4)
            spread = (pair - 1.5) * 24
            knee = (x + side * (40 + 3 * pair), y + 16 + spread * 0.8 + swing)
            foot = (x + side * (62 - 4 * pair), y + 36 + spread * 1.9 + 1.6 * swing)
            draw.line((root, knee, foot), fill=170, width=4, joint="curve")


VEIL_LENGTHS_S = {"shadow": 9.0, "headlights": 5.5, "rain": 6.0, "spider": 9.0, "wind": 6.0}
