"""The dashboard: cameras at a glance, activity, pictures and clips, in a browser, behind a login.

`serve` starts it. Panel is imported only when `serve` is first used, so that `pano --help`
and a quiet ingest do not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pano_analytics.dashboard.server import serve

__all__ = ["serve"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pano_analytics.dashboard import server

    return getattr(server, name)
