"""The library: what notebooks, pages and scripts hold."""

from pano_analytics.library.library import COLUMNS, Library, open

__all__ = ["COLUMNS", "Library", "open"]
