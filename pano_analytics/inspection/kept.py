"""Create what the library stores of a picture: a thumbnail and a luminance grid."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, cast

from pano_analytics.model.grid import GRID_SHAPE
from pano_analytics.model.upload import Frame

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL_WIDTH = 480
"""The width of a snapshot's thumbnail in pixels; smaller pictures keep their size."""
STRIP_THUMBNAIL_WIDTH = 320
"""The width of the thumbnails of a clip's key frames, in pixels."""
_JPEG_QUALITY = 75
_FINE_PX = 5
_FOUR_TIMES = [min(255, 4 * level) for level in range(256)]


def upright(picture: Image, orientation: int) -> Image:
    """Return a picture turned for display by its EXIF `orientation`, 1 to 8."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return picture.transpose(turns[orientation]) if orientation in turns else picture


def frame_of(offset_s: float, image: Image, pixel_aspect: float, width: int) -> Frame:
    """Return the grid and the thumbnail, at most `width` pixels wide, of a picture."""
    picture = image if image.mode in ("RGB", "L") else _eight_bits(image)
    return Frame(offset_s, _grid(picture.convert("L")), _thumbnail(picture, pixel_aspect, width))


def _eight_bits(image: Image) -> Image:
    """Return a picture of any mode as RGB; scale 16-bit grey, which Pillow would clip."""
    if image.mode.startswith(("I", "F")):
        grey = image.convert("F")
        most = 65535.0 if image.mode.startswith("I;16") else cast("float", grey.getextrema()[1])
        scale = 255 / max(most, 255.0)
        return grey.point(lambda level: level * scale + 0).convert("L")
    return image.convert("RGB")


def luminance_grid(light: Image, rows: int, columns: int) -> tuple[Image, Image]:
    """Return two pictures of `columns` x `rows` cells: their means, and 4 x their deviations.

    `light` has mode L and any size. The deviation is the mean absolute deviation from the
    cell's mean, of _FINE_PX x _FINE_PX points per cell for any size, so that snapshots and
    clips are comparable; from 64 levels on, its value is 255.
    """
    from PIL.Image import Resampling
    from PIL.ImageChops import difference

    fine = _boxed(light, columns * _FINE_PX, rows * _FINE_PX)
    mean = fine.reduce(_FINE_PX)
    deviation = difference(fine, mean.resize(fine.size, Resampling.NEAREST))
    return mean, deviation.point(_FOUR_TIMES).reduce(_FINE_PX)


def _boxed(light: Image, width: int, height: int) -> Image:
    """Return the mean luminance of each of `width` x `height` boxes, by the fastest method."""
    from PIL.Image import Resampling

    factor = light.width // width
    if light.size == (width * factor, height * factor):
        return light.reduce(factor)
    return light.resize((width, height), Resampling.BOX)


def _grid(light: Image) -> bytes:
    """Return the grid of shape GRID_SHAPE in row-major order, one byte per cell."""
    _, rows, columns = GRID_SHAPE
    return b"".join(p.tobytes() for p in luminance_grid(light, rows, columns))


def _thumbnail(picture: Image, pixel_aspect: float, width: int) -> bytes:
    from PIL.Image import Resampling

    target = fitted(round(picture.width * pixel_aspect), picture.height, width)
    if picture.size != target:
        picture = picture.resize(target, Resampling.BICUBIC)
    # Otherwise Pillow copies the camera's comment into the thumbnail.
    picture.info = {}
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def fitted(width: int, height: int, limit: int) -> tuple[int, int]:
    """Return the size scaled down to at most `limit` wide and 2 x `limit` high."""
    scale = min(1.0, limit / width, 2 * limit / height)
    return max(1, round(width * scale)), max(1, round(height * scale))
