"""The text a camera paints into its pictures: its name and its clock."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from pano_demo.planes import HEIGHT, WIDTH, Planes

# Cameras draw from a small raster font and enlarge it without smoothing much; the
# bundled face is close to theirs. Sizes are in pixels of a 1080p picture.
_FONT_PX = 21
_ENLARGED = 2
_MARGIN_PX = 30
_WHITE, _BLACK = 235, 12


def clock_text(wall: datetime) -> str:
    """Return `wall` (naive) as the cameras write it, such as `2026-11-20 14:23:11 Fri`."""
    # Not %a: the weekday must not depend on the language of the machine.
    weekday = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[wall.weekday()]
    return f"{wall:%Y-%m-%d %H:%M:%S} {weekday}"


@lru_cache(maxsize=64)
def _glyphs(text: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return (how white, how covered) of `text`, both of shape (rows, columns), 0 to 255."""
    font = ImageFont.load_default(_FONT_PX)
    width = int(font.getlength(text)) + 6
    height = _FONT_PX + 8
    face = Image.new("L", (width, height))
    draw = ImageDraw.Draw(face)
    draw.fontmode = "L"
    draw.text((3, 2), text, fill=255, font=font)
    face = face.point([min(255, int(v * 1.5)) for v in range(256)])
    cover = face.filter(ImageFilter.MaxFilter(3))
    size = (width * _ENLARGED, height * _ENLARGED)
    white = face.resize(size, Image.Resampling.BILINEAR)
    covered = cover.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(white), np.asarray(covered)


def paint_title(planes: Planes, title: str) -> None:
    """Paint the camera's name into the lower left corner, in place."""
    _, covered = _glyphs(title)
    _paint(planes, title, _MARGIN_PX, HEIGHT - _MARGIN_PX - covered.shape[0])


def paint_clock(planes: Planes, wall: datetime) -> None:
    """Paint the naive wall clock into the upper right corner, in place."""
    text = clock_text(wall)
    _, covered = _glyphs(text)
    _paint(planes, text, WIDTH - _MARGIN_PX - covered.shape[1], _MARGIN_PX)


def _paint(planes: Planes, text: str, x: int, y: int) -> None:
    white, covered = _glyphs(text)
    place = np.s_[y : y + white.shape[0], x : x + white.shape[1]]
    ink = (_BLACK * 255 + (_WHITE - _BLACK) * white.astype(np.int32)) // 255
    cover = covered.astype(np.int32)
    planes.y[place] = (planes.y[place] * (255 - cover) + ink * cover) // 255
    for plane in (planes.cb, planes.cr):
        plane[place] = (plane[place] * (255 - cover) + 128 * cover) // 255
