"""The library: the interface that notebooks, pages and scripts use."""

from pano_analytics.library.library import COLUMNS, Library, open

__all__ = ["COLUMNS", "Library", "open"]
