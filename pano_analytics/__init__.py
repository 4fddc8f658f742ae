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

_PLACES = {"culling": "upkeep.culling"}

# First of all: no zone may be read before the newest database has been chosen.
zones.use_newest()


def __getattr__(name: str) -> Any:
    # Late: `pano` on a quiet run needs no pandas, and starting it must be quick.
    if name == "__version__":
        return import_module("importlib.metadata").version("pano-analytics")
    if name in ("Library", "open"):
        return getattr(import_module("pano_analytics.library"), name)
    if name in __all__:
        return import_module(f"pano_analytics.{_PLACES.get(name, name)}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    # For tab completion: what a notebook uses, without the rooms behind it.
    return [*__all__, "__doc__"]
