"""The luminance grid of a picture: its shape, and how to turn its bytes into an array."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

GRID_SHAPE: tuple[int, int, int] = (2, 27, 48)
"""Planes, rows and columns. The first plane has the means of the cells, the second four times
their mean absolute deviations. The size follows the sensitivity curve in
`docs/design/inspect.md`."""
GRID_VERSION = 1


def planes(grid: bytes) -> np.ndarray:
    """Return a grid as unsigned bytes of GRID_SHAPE: means (0 to 255), then 4 x deviations.

    Raises ValueError for bytes of another length, such as those of another GRID_VERSION.
    """
    import numpy as np

    return np.frombuffer(grid, np.uint8).reshape(GRID_SHAPE)
