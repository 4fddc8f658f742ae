"""Inspect what an uploaded file really contains, reading it once.

`inspect_file` opens a file once, hashes and decodes the same bytes, and returns an
`Inspection`. It writes nothing. Bad contents result in a state with a reason; only a path
that is not a readable file, or a file that changes while it is read, is an error. The rules
and the choice of the grid are in `docs/design/inspect.md`.
"""

from pano_analytics.inspection.files import MediaChanged, inspect_file
from pano_analytics.inspection.kept import STRIP_THUMBNAIL_WIDTH, THUMBNAIL_WIDTH, luminance_grid
from pano_analytics.inspection.limits import MAX_PIXELS, MAX_SNAPSHOT_BYTES, STRIP_FRAMES

__all__ = [
    "MAX_PIXELS",
    "MAX_SNAPSHOT_BYTES",
    "STRIP_FRAMES",
    "STRIP_THUMBNAIL_WIDTH",
    "THUMBNAIL_WIDTH",
    "MediaChanged",
    "inspect_file",
    "luminance_grid",
]
