"""Deprecated: the package `pano_demo` under its old name; goes with the next version."""

from __future__ import annotations

import warnings

from pano_demo import (
    CAMERAS,
    DEFAULT_DAYS,
    FALSE_SORTS,
    INCIDENT,
    Camera,
    DemoSummary,
    Event,
    Plan,
    make_demo,
    make_plan,
    make_sample,
    truth_path,
)

__all__ = [
    "CAMERAS",
    "DEFAULT_DAYS",
    "FALSE_SORTS",
    "INCIDENT",
    "Camera",
    "DemoSummary",
    "Event",
    "Plan",
    "make_demo",
    "make_plan",
    "make_sample",
    "truth_path",
]

warnings.warn(
    "pano_analytics.demo is now the package pano_demo; the old name goes with 0.2",
    DeprecationWarning,
    stacklevel=2,
)
