"""Culling: planning and deleting uploads past their retention time, within safety limits."""

from __future__ import annotations

from pano_analytics.upkeep.culling.expired import ExpiredFile
from pano_analytics.upkeep.culling.forecasting import Room, forecast, rooms
from pano_analytics.upkeep.culling.marker import adopt
from pano_analytics.upkeep.culling.planning import CullPlan, plan
from pano_analytics.upkeep.culling.run import Culled, TooMany, cull, is_stopped, last_run

__all__ = [
    "CullPlan",
    "Culled",
    "ExpiredFile",
    "Room",
    "TooMany",
    "adopt",
    "cull",
    "forecast",
    "is_stopped",
    "last_run",
    "plan",
    "rooms",
]
