"""The optional heartbeat: requests an address, or runs a command, while all is well."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from importlib.metadata import version

from pano_analytics.settings import Up

TIMEOUT_S = 30.0


def beat(settings: Up) -> str | None:
    """Request the heartbeat address and run the command; return what went wrong, or None.

    The returned text does not contain the full address: whoever knows it can report that all
    is well.
    """
    troubles = [
        trouble
        for trouble in (
            _request(settings.heartbeat_url) if settings.heartbeat_url else None,
            _run(settings.heartbeat_command) if settings.heartbeat_command else None,
        )
        if trouble
    ]
    return "; ".join(troubles) or None


def _request(url: str) -> str | None:
    request = urllib.request.Request(
        url, headers={"User-Agent": f"pano-analytics/{version('pano-analytics')}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        return f"{request.host} answered {error.code}"
    except (OSError, ValueError) as error:
        return f"{request.host} could not be reached ({type(error).__name__})"


def _run(command: tuple[str, ...]) -> str | None:
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not finish within {TIMEOUT_S:.0f} s"
    except (OSError, ValueError) as error:
        return f"{command[0]} could not be run ({getattr(error, 'strerror', None) or error})"
    return f"{command[0]} ended with exit {result.returncode}" if result.returncode else None
