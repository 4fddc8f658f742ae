"""Deprecated alias of the package `pano_demo`; removed in version 0.2."""

from __future__ import annotations

import warnings

from pano_demo import (
    CAMERAS,
    DEFAULT_DAYS,
    FALSE_SORTS,
    INCIDENT,
    DemoCamera,
    DemoPlan,
    DemoSummary,
    Event,
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
    "DemoCamera",
    "DemoPlan",
    "DemoSummary",
    "Event",
    "Plan",
    "make_demo",
    "make_plan",
    "make_sample",
    "truth_path",
]

Camera = DemoCamera
Plan = DemoPlan

warnings.warn(
    "pano_analytics.demo is now the package pano_demo; the old name will be removed in 0.2",
    DeprecationWarning,
    stacklevel=2,
)
