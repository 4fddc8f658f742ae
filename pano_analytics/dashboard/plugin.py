"""The dashboard for plain `panel serve`: the door and the addresses, as a plugin of Panel.

`panel serve apps/dashboard.py --plugins pano_analytics.dashboard.plugin` imports this
before its server is made. The library is the one that `PANO_LIBRARY` names,
else that of `PANO_CONFIG` or `./pano.toml`. Without the plugin the page says
how to start it and shows nothing.
"""

from __future__ import annotations

import os
import sys

import pano_analytics
from pano_analytics.dashboard import server
from pano_analytics.errors import PanoError
from pano_analytics.library import Library

ENVIRONMENT = "PANO_LIBRARY"

# What Panel asks of a plugin; our addresses come with the guard, before Panel's own.
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
