"""Panopticon analytics: find what happened in weeks of camera uploads, at home, without a cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pano_analytics.library import Library, open

__all__ = ["Library", "open"]


def __getattr__(name: str) -> Any:
    # Late: `pano` on a quiet run needs no pandas, and starting it must be quick.
    if name in __all__:
        from pano_analytics import library

        return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
