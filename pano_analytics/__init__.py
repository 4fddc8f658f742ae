"""Panopticon analytics: find what happened in weeks of camera uploads, at home, without a cloud."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pano_analytics.model import zones

if TYPE_CHECKING:
    from pano_analytics import doctor, errors, plots
    from pano_analytics.library import Library, open
    from pano_analytics.upkeep import culling

    __version__: str

__all__ = ["Library", "__version__", "culling", "doctor", "errors", "open", "plots"]

_MODULES = {"culling": "upkeep.culling"}

# Must come first: choose the newest time zone database before any zone is read.
zones.use_newest()


def __getattr__(name: str) -> Any:
    # Imported late: a quiet run of `pano` does not need pandas, and should start fast.
    if name == "__version__":
        return import_module("importlib.metadata").version("pano-analytics")
    if name in ("Library", "open"):
        return getattr(import_module("pano_analytics.library"), name)
    if name in __all__:
        return import_module(f"pano_analytics.{_MODULES.get(name, name)}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    # For tab completion: what notebooks use, without internal packages.
    return [*__all__, "__doc__"]
