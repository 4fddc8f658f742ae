"""The dashboard for plain `panel serve`: access control and routes as a Panel plugin.

`panel serve apps/dashboard.py --plugins pano_analytics.dashboard.plugin` imports this
before it creates its server. The library is the one in `PANO_LIBRARY`, else that of
`PANO_CONFIG` or `./pano.toml`. Without the plugin, the page only says how to start it.
"""

from __future__ import annotations

import os
import sys

import pano_analytics
from pano_analytics.dashboard import server
from pano_analytics.errors import PanoError
from pano_analytics.library import Library

ENVIRONMENT = "PANO_LIBRARY"

# Panel requires this name in a plugin; `guard` adds our routes, before Panel's own.
ROUTES: list[tuple[str, type]] = []


def _library() -> Library:
    try:
        return pano_analytics.open(os.environ.get(ENVIRONMENT) or None)
    except PanoError as error:
        sys.exit(f"pano: {error}")


library = _library()
server.guard(library)


def show() -> None:
    """Put the dashboard on the page of the current session."""
    server.page(library).servable(title=server.TITLE)
