"""A picture as brightness and two colour planes, and the lens it was seen through."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

WIDTH, HEIGHT = 1920, 1080

Bytes = NDArray[np.uint8]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Planes:
    """One picture, full range as in a JPEG: `y`, `cb`, `cr`, each (1080, 1920) bytes."""

    y: Bytes
    cb: Bytes
    cr: Bytes

    def copy(self) -> Planes:
        """Return planes of their own memory."""
        return Planes(self.y.copy(), self.cb.copy(), self.cr.copy())

    def image(self) -> Image.Image:
        """Return the picture for Pillow, in mode YCbCr."""
        return Image.merge("YCbCr", [Image.fromarray(p) for p in (self.y, self.cb, self.cr)])

    def blended(self, other: Planes, share: float) -> Planes:
        """Return new planes with a `share` (0 to 1) of `other` in them."""
        pairs = zip((self.y, self.cb, self.cr), (other.y, other.cb, other.cr), strict=True)
        mixed = (Image.blend(Image.fromarray(a), Image.fromarray(b), share) for a, b in pairs)
        return Planes(*(np.array(plane) for plane in mixed))

    def masked(self, other: Planes, mask: Bytes) -> Planes:
        """Return new planes that show `other` where `mask` (0 to 255) is high."""
        matte = Image.fromarray(mask)
        pairs = zip((self.y, self.cb, self.cr), (other.y, other.cb, other.cr), strict=True)
        mixed = (Image.composite(Image.fromarray(b), Image.fromarray(a), matte) for a, b in pairs)
        return Planes(*(np.array(plane) for plane in mixed))

    def reduced(self, width: int) -> Planes:
        """Return the picture at `width` pixels, 16:9 as before; itself at its own width."""
        if width == self.y.shape[1]:
            return self
        size = (width, width * HEIGHT // WIDTH)
        small = (
            Image.fromarray(p).resize(size, Image.Resampling.BOX)
            for p in (self.y, self.cb, self.cr)
        )
        return Planes(*(np.array(p) for p in small))


def to_planes(rgb: Bytes) -> Planes:
    """Return a picture of shape (rows, columns, 3) as planes."""
    parts = Image.fromarray(rgb).convert("YCbCr").split()
    return Planes(*(np.array(part) for part in parts))


@cache
def _corner_masks() -> tuple[Bytes, Bytes]:
    """Return (softness, brightness) over the picture: 0 to 255, from the middle outwards."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    radius = np.hypot((x - WIDTH / 2) / (WIDTH / 2), (y - HEIGHT / 2) / (WIDTH / 2)) / 1.147
    soft = np.clip((radius - 0.45) * 1.7, 0, 1) * 210
    light = 255 * (1 - 0.24 * radius**2.6)
    return soft.astype(np.uint8), light.astype(np.uint8)


def through_lens(rgb: Bytes, box: Box = (0, 0, WIDTH, HEIGHT)) -> Planes:
    """Return `rgb`, the part `box` (left, top, right, bottom) of a picture, as a lens shows it.

    A cheap wide lens is soft towards the corners and darker there; the camera then
    sharpens, which leaves the thin bright rims that its pictures are known by. All this
    is seen in brightness alone: colour is stored at half the size anyway.
    """
    left, top, right, bottom = box
    soft, light = (Image.fromarray(mask[top:bottom, left:right]) for mask in _corner_masks())
    planes = to_planes(rgb)
    bright = Image.fromarray(planes.y).filter(ImageFilter.GaussianBlur(0.8))
    bright = Image.composite(bright.filter(ImageFilter.GaussianBlur(2.2)), bright, soft)
    bright = bright.filter(ImageFilter.UnsharpMask(radius=2.2, percent=60, threshold=2))
    bright = ImageChops.multiply(bright.point(_TONES), light)
    paler = (np.array(Image.fromarray(plane).point(_PALER)) for plane in (planes.cb, planes.cr))
    return Planes(np.array(bright), *paler)


# Cheap sensors lift the shadows, and show colours a little paler than they are.
_TONES = [round(9 + 246 * (v / 255) ** 0.9) for v in range(256)]
_PALER = [round(128 + 0.86 * (v - 128)) for v in range(256)]
_BLOOM = [0] * 200 + [round((v - 200) * 0.42) for v in range(200, 256)]
_BLOOM_SCALE = 8


def bloom(planes: Planes) -> Bytes:
    """Return the light that bright parts leave around them in a lens that is never clean."""
    size = (WIDTH // _BLOOM_SCALE, HEIGHT // _BLOOM_SCALE)
    small = Image.fromarray(planes.y).point(_BLOOM).resize(size, Image.Resampling.BOX)
    soft = small.filter(ImageFilter.GaussianBlur(3))
    return np.asarray(soft.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))


def add_light(planes: Planes, light: Bytes) -> None:
    """Add `light` to the brightness of `planes`, in place, up to white."""
    lit = ImageChops.add(Image.fromarray(planes.y), Image.fromarray(light))
    np.copyto(planes.y, np.asarray(lit))


def upscale(grid: NDArray[np.floating[Any]]) -> Bytes:
    """Return a coarse grid (0 to 255, cut where beyond) stretched over the whole picture."""
    image = Image.fromarray(np.clip(grid, 0, 255).astype(np.uint8))
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
