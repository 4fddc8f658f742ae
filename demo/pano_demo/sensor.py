"""What the sensor adds to a picture: exposure that drifts, and noise that was filtered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pano_demo.planes import HEIGHT, WIDTH, Bytes, Planes

_SLACK_PX = 331
# What a video's filter, which looks back over many pictures, divides the noise by.
_FILTERED_SHARE = {"night_ir": 3}

Grains = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Grain:
    """How noisy a light is: deviations in steps of 0 to 255 after the camera's filter.

    `fine` grain is about a pixel wide, `coarse` (what the filter leaves in the dark) about
    five; `colour` is that of the blotches in both colour planes.
    """

    fine: float
    coarse: float
    colour: float


GRAINS = {
    "morning": Grain(2.0, 0.8, 0.9),
    "noon": Grain(1.7, 0.7, 0.7),
    "afternoon": Grain(2.0, 0.8, 0.9),
    "overcast": Grain(2.2, 1.0, 1.0),
    "dusk": Grain(3.2, 2.0, 2.0),
    "night_ir": Grain(4.2, 1.8, 0.0),
}


@dataclass(frozen=True, slots=True)
class Exposure:
    """How the camera set itself: `gain` on brightness, and the white balance's error."""

    gain: float = 1.0
    blue: int = 0
    red: int = 0


def _filtered(rng: np.random.Generator, radius: float, deviation: float) -> NDArray[np.float32]:
    """Return noise that a filter of `radius` has smoothed, with the wanted deviation."""
    raw = rng.integers(0, 256, (HEIGHT + _SLACK_PX, WIDTH + _SLACK_PX), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(raw).filter(ImageFilter.GaussianBlur(radius)))
    noise = smooth.astype(np.float32) - smooth.mean(dtype=np.float32)
    return np.asarray(noise * (deviation / max(1e-6, float(noise.std()))), dtype=np.float32)


@cache
def _sheet(light: str) -> tuple[Grains, Grains]:
    """Return the noise in `light`, for brightness and for colour: more than a picture."""
    grain = GRAINS[light]
    rng = np.random.default_rng([sorted(GRAINS).index(light), 1080])
    bright = _filtered(rng, 0.55, grain.fine) + _filtered(rng, 2.4, grain.coarse)
    colour = _filtered(rng, 3.5, grain.colour)
    return _bytes(bright), _bytes(colour)


def _bytes(noise: NDArray[np.float32]) -> Grains:
    return np.clip(np.rint(noise), -127, 127).astype(np.int8)


# Filters clean bright parts best; true black is clipped and stays calm.
_WEIGHT = np.interp(np.arange(256), (0, 14, 60, 255), (0.35, 1.1, 1.2, 0.55))
_WEIGHTS = np.rint(_WEIGHT * 128).astype(np.int16)


def _window(number: int) -> tuple[slice, slice]:
    down, right = number * 137 % _SLACK_PX, number * 61 % _SLACK_PX
    return slice(down, down + HEIGHT), slice(right, right + WIDTH)


def add_noise(planes: Planes, light: str, number: int) -> None:
    """Add the noise of `light` in place; `number` chooses which, the same twice being equal."""
    bright, colour = _sheet(light)
    window = _window(number)
    _add(planes.y, (bright[window] * _WEIGHTS[planes.y]) >> 7)
    if GRAINS[light].colour:
        _add(planes.cb, colour[window].astype(np.int16))
        _add(planes.cr, -colour[window].astype(np.int16))


def add_video_noise(planes: Planes, light: str, number: int, left: int = 0, top: int = 0) -> None:
    """Add what the filter of a video leaves of the noise, in place.

    `planes` may be a part of the picture, with its corner at `left`, `top`.
    """
    bright, _ = _sheet(light)
    rows, columns = planes.y.shape
    part = bright[_window(number)][top : top + rows, left : left + columns].astype(np.int16)
    _add(planes.y, part // _FILTERED_SHARE.get(light, 2))


def _add(plane: Bytes, amount: NDArray[np.int16]) -> None:
    np.copyto(plane, np.clip(plane + amount, 0, 255), casting="unsafe")


def expose(planes: Planes, exposure: Exposure) -> None:
    """Apply `exposure` in place; highlights bend instead of clipping hard."""
    values = np.arange(256) * exposure.gain
    bent = np.where(values > 235, 235 + (values - 235) * 0.5, values)
    table = np.clip(np.rint(bent), 0, 255).astype(int).tolist()
    np.copyto(planes.y, np.asarray(Image.fromarray(planes.y).point(table)))
    for plane, shift in ((planes.cb, exposure.blue), (planes.cr, exposure.red)):
        if shift:
            _add(plane, np.full((1, 1), shift, dtype=np.int16))
